/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows all usage texts; examples come first. */
#include "bench/gwsim/help.h"

#include <string.h>

static const struct {
	const char *verb, *text;
} texts[] = {
{ "help",
"gwsim - a post office to try backups on, and the oracle that judges the copy\n"
"\n"
"  gwsim make po --profile small           a post office of 12 users, 2,000 blobs, 50 MB\n"
"  gwsim run po --rate 200 --for 1m        agents at work in it for a minute\n"
"  gwsim check copy --live po              is the copy complete, each database one instant?\n"
"  gwsim churn po --fraction 1%            a day's changes at once\n"
"  gwsim copy po copy                      the copy a well-behaved backup makes\n"
"\n"
"  gwsim help make|run|check|churn|copy    more about each\n"
"\n"
"Exit codes: 0 done; 1 could not be done; 2 wrong usage; 14 `check` found something wrong.\n" },
{ "make",
"  gwsim make po\n"
"  gwsim make po --profile medium --seed 7\n"
"  gwsim make po --profile custom --users 300 --msgdbs 100 --blobs 1M --blob-bytes 4k\n"
"  gwsim make dom --type domain\n"
"\n"
"Makes a post office or domain in DIR, which must be absent or empty. The same options make the same bytes.\n"
"\n"
"  --profile small|medium|large|custom   small: 50 MB (default); medium: 1.4 GB; large: 8 GB, 400,000 blobs;\n"
"                                        the options below change a profile, custom starts from small\n"
"  --users N --msgdbs N                  user databases (up to 46,000), message databases (up to 255)\n"
"  --blobs N --blob-bytes AVG            blobs and their mean size; sizes are log-normal\n"
"  --same-size                           every blob has exactly that size\n"
"  --db-share PERCENT                    share of databases in the bytes, default 12%; records need a minimum\n"
"  --seed S                              default 1\n"
"  --type post-office|domain\n"
"\n"
"k, M and G behind a number mean 2^10, 2^20, 2^30.\n" },
{ "run",
"  gwsim run po --for 10s                          as fast as possible for ten seconds\n"
"  gwsim run po --rate 50 --processes 4            50 events a second until SIGTERM\n"
"  gwsim run po --mass-expiry 100k                 delete 102,400 blobs, then end\n"
"  gwsim run po --mass-expiry 5000 --for 30s       delete 5,000 blobs, then work on\n"
"\n"
"Lets agent processes deliver, read, purge, index and keep up in the post office DIR. By day an index grows by its\n"
".inc; at the end of each day every .inc is combined into its .idx and every user's database is kept up. Three events in\n"
"ten deliver mail, 1.2 blobs each: an office of 500 GB is --rate 10 in its hours and --rate 300 in a burst.\n"
"Figures go to stderr, one line of totals to stdout. SIGTERM and SIGINT end it after the transaction under way; SIGKILL may tear a database.\n"
"Databases stay near the number of records they were made with.\n"
"\n"
"  --rate R             events a second of all processes; 0, the default: as fast as possible\n"
"  --for T              10s, 2m, 500ms, 1h\n"
"  --processes N        default 2\n"
"  --day T              from one night to the next, default 10s\n"
"  --mass-expiry N      first delete N blobs\n"
"  --seed S             default 1\n"
"  --every T            between two lines of figures, default 2s; 0: none\n"
"  --keep-deleted DIR   give each blob a hard link below DIR before it is deleted\n" },
{ "check",
"  gwsim check copy\n"
"  gwsim check copy --live po\n"
"  gwsim check staging --databases-only\n"
"\n"
"Judges the office DIR: the layout is complete; every database is one instant of this office (page number, database,\n"
"run, checksum, and the sums in its header); every registered database is there; every blob that a message refers\n"
"to is there with its size and SHA-256. One line per finding, then a summary. Exit code 0: clean; 14: not.\n"
"\n"
"  --live LIVE        also: no database is newer than in LIVE, none of LIVE's is missing\n"
"  --sizes-only       do not read the blobs\n"
"  --databases-only   a staging tree: neither layout nor blobs\n"
"  --threads N        default: one per processor, at most 4\n"
"\n"
"A live office can be checked while agents are at work. Names match in any case; offiles may be a symbolic link.\n" },
{ "churn",
"  gwsim churn po --fraction 1%\n"
"  gwsim churn po --fraction 0.02 --seed 5\n"
"\n"
"Changes the fraction of the pages of every database through transactions, adds that fraction of the blobs, deletes\n"
"half as many, and writes that fraction of the indexes anew. Prints one line of JSON with exact figures by kind; pages\n"
"count whole, headers and new pages too; changed_bytes is the sum: what a copy must receive to be equal again.\n"
"No agents may be at work.\n"
"\n"
"  --fraction F    1% or 0.01\n"
"  --only NAME     this database alone, such as ofmsg/msg0.db; neither index nor log;\n"
"                  new blobs change wphost.db too, which gives out their numbers\n"
"  --seed S        default 1\n" },
{ "copy",
"  gwsim copy po copy\n"
"  gwsim copy po staging --databases-only\n"
"\n"
"Copies DIR to DEST, absent or empty: each database under its lock, one after another, then offiles.\n"
"Blobs deleted meanwhile are missing in the copy: see --keep-deleted of `gwsim run`.\n" },
};

bool
help_print(FILE *to, const char *verb)
{
	if (!verb)
		verb = "help";
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		if (strcmp(texts[i].verb, verb) != 0)
			continue;
		fputs(texts[i].text, to);
		return true;
	}
	return false;
}
