/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tidemark-release - makes, signs and shows releases of the collector: a tool for whoever builds tidemark. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/version.h"
#include "release/maker.h"
#include "release/release.h"

#define DAYS_DEFAULT 365
#define DAYS_MAX 3650

static const char usage[] =
    "usage: tidemark-release VERB ..., makes releases that collectors upgrade themselves to\n"
    "\n"
    "  tidemark-release key FILE            make a key; the line it prints goes into the keys of collectors\n"
    "  tidemark-release pack DIR FILE [DAYS]  pack the programs in DIR, good for DAYS (365)\n"
    "  tidemark-release renew FILE [DAYS]   begin its time anew; it is to be signed again\n"
    "  tidemark-release sign FILE KEY...    sign it; two keys have to\n"
    "  tidemark-release show FILE [KEYS]    what it says, and whether those KEYS trust it\n"
    "\n"
    "Keys that sign are kept apart from each other and from every server.  The README, \"Upgrades\", tells the whole way.\n";

static int
failed(int err)
{
	fprintf(stderr, "tidemark-release: %s\n", err_text());
	return err_exit_status(err);
}

static int
run_key(const char *file)
{
	uint8_t key[SIGNING_KEY_BYTES];
	char hex[DIGEST_HEX];
	int err = maker_key(file, key);

	if (err)
		return failed(err);
	digest_hex(key, hex);
	printf("ed25519 %s\n", hex);
	return 0;
}

static int64_t
days_of(const char *text)
{
	char *end = NULL;
	long days = text ? strtol(text, &end, 10) : DAYS_DEFAULT;

	if (text && (end == text || *end || days < 1 || days > DAYS_MAX))
		return err_set(ERR_USAGE, "\"%s\" is no number of days (1 to %d)", text, DAYS_MAX);
	return days;
}

static void
show_time(const char *what, int64_t s)
{
	time_t t = (time_t)s;
	struct tm tm;
	char text[32] = "?";

	if (gmtime_r(&t, &tm))
		strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &tm);
	printf("%-9s %s\n", what, text);
}

static int
run_show(const char *file, const char *keys_file)
{
	struct release_keys keys;
	char version[RELEASE_VERSION_TEXT], hex[DIGEST_HEX];
	struct release r;
	uint8_t *data;
	size_t len;
	int err = maker_read(file, &r, &data, &len);

	if (err)
		return failed(err);
	release_version_text(&r.version, version);
	printf("version   %s\nplatform  %s\n", version, r.platform);
	show_time("made", r.made_s);
	show_time("expires", r.expires_s);
	for (size_t i = 0; i < r.n_signatures; i++) {
		digest_hex(r.signatures[i].key, hex);
		printf("signed    %s\n", hex);
	}
	err = keys_file ? release_keys_load(keys_file, &keys) : 0;
	if (!err && keys_file)
		err = release_trust(data, &r, &keys, r.platform);
	if (!err && keys_file)
		err = release_in_time(&r, time(NULL));
	if (!err && keys_file)
		puts("trusted   yes");
	free(data);
	return err ? failed(err) : 0;
}

static int
run_sign(const char *file, char **keys)
{
	int err = 0;

	for (; !err && *keys; keys++)
		err = maker_sign(file, *keys);
	return err ? failed(err) : 0;
}

static int
run(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "--help";
	int64_t days;

	if (strcmp(verb, "--version") == 0) {
		printf("tidemark-release %s\n", tidemark_version);
		return 0;
	}
	if (strcmp(verb, "key") == 0 && argc == 3)
		return run_key(argv[2]);
	if (strcmp(verb, "show") == 0 && (argc == 3 || argc == 4))
		return run_show(argv[2], argv[3]);
	if (strcmp(verb, "sign") == 0 && argc > 3)
		return run_sign(argv[2], argv + 3);
	if (strcmp(verb, "pack") == 0 && (argc == 4 || argc == 5)) {
		int err = (days = days_of(argv[4])) < 0 ? (int)days : maker_pack(argv[2], days, argv[3]);
		return err ? failed(err) : 0;
	}
	if (strcmp(verb, "renew") == 0 && (argc == 3 || argc == 4)) {
		int err = (days = days_of(argv[3])) < 0 ? (int)days : maker_renew(argv[2], days);
		return err ? failed(err) : 0;
	}
	fputs(usage, strcmp(verb, "--help") == 0 || strcmp(verb, "help") == 0 ? stdout : stderr);
	return strcmp(verb, "--help") == 0 || strcmp(verb, "help") == 0 ? 0 : 2;
}

/* The line of a key that found no room would be missed only when nobody trusts a release. */
int
main(int argc, char **argv)
{
	int status;

	umask(022);
	status = run(argc, argv);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fputs("tidemark-release: standard output could not be written (no space?): what was printed is not whole there\n", stderr);
		return status ? status : 1;
	}
	return status;
}
