/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tidemark-dbcopy - copies the databases of a post office or domain while it is in use; the interface is GroupWise DBCOPY's. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/version.h"
#include "collector/copyrun.h"

static const char usage[] =
    "tidemark-dbcopy /grpwise/po1 /backup/po1         copy what is missing or changed\n"
    "tidemark-dbcopy -v -t 4 /grpwise/po1 /backup/po1 say each file, four at a time\n"
    "\n"
    "usage: tidemark-dbcopy [-v] [-t N] [-i mm-dd-yyyy] SOURCE DESTINATION\n"
    "  -v             a line for every file\n"
    "  -t N           threads, 1..16 (2)\n"
    "  -i mm-dd-yyyy  only files changed since that day\n"
    "Each database is copied under a record lock that its writers honour.  The log is DESTINATION/mmddgwbk.nnn.\n"
    "Exit status: 0 every file arrived whole, 1 something is missing or damaged (the log names it), 2 usage,\n15 no space.\n";

static int
bad_usage(const char *why)
{
	fprintf(stderr, "tidemark-dbcopy: %s\n%s", why, usage);
	return 2;
}

static int64_t
day_start(const char *text)
{
	struct tm tm = {.tm_isdst = -1};
	int used = 0;

	if (sscanf(text, "%2d-%2d-%4d%n", &tm.tm_mon, &tm.tm_mday, &tm.tm_year, &used) != 3 || text[used] || tm.tm_mon < 1 || tm.tm_mon > 12 ||
	    tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_year < 1971)
		return -1;
	tm.tm_mon -= 1;
	tm.tm_year -= 1900;
	return mktime(&tm);
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"report", required_argument, NULL, 'R'}, /* the collector's */
	    {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},
	    {0},
	};
	struct copyrun_options run = {.threads = 2, .report_fd = -1};
	int option, err;

	while ((option = getopt_long(argc, argv, "vt:i:h", options, NULL)) != -1) {
		switch (option) {
		case 'v': run.verbose = true; break;
		case 't': run.threads = (unsigned)atoi(optarg); break;
		case 'i': run.since_s = day_start(optarg); break;
		case 'R': run.report_fd = atoi(optarg); break;
		case 'h': fputs(usage, stdout); return 0;
		case 'V': printf("tidemark-dbcopy %s\n", tidemark_version); return 0;
		default: return bad_usage("unknown option");
		}
	}
	if (argc - optind != 2)
		return bad_usage("give a source and a destination");
	if (run.threads < 1 || run.threads > 16)
		return bad_usage("-t takes 1..16");
	if (run.since_s < 0)
		return bad_usage("-i takes a day as mm-dd-yyyy");
	run.source = argv[optind];
	run.destination = argv[optind + 1];
	err = copyrun(&run);
	if (err)
		fprintf(stderr, "tidemark-dbcopy: %s\n", err_text());
	return err == -ERR_NOSPACE || err == -ERR_CONFIG ? err_exit_status(err) : err != 0;
}
