/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of gwsim: verbs, their options, and the limits of what can be asked for. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "bench/gwsim/check.h"
#include "bench/gwsim/churn.h"
#include "bench/gwsim/copy.h"
#include "bench/gwsim/die.h"
#include "bench/gwsim/help.h"
#include "bench/gwsim/make.h"
#include "bench/gwsim/options.h"
#include "bench/gwsim/run.h"

enum { EXIT_USAGE = 2, EXIT_FINDINGS = 14 };

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
limit(const char *verb, const char *option, uint64_t value, uint64_t least, uint64_t most)
{
	if (value < least || value > most)
		usage_error(verb, "--%s must be %" PRIu64 " to %" PRIu64, option, least, most);
}

static void
limit_plan(const struct plan *plan)
{
	limit("make", "users", plan->users, 1, 46000);
	limit("make", "msgdbs", plan->msgdbs, 1, 255);
	limit("make", "blobs", plan->blobs, 0, 100000000);
	limit("make", "blob-bytes", plan->blob_bytes, 16, 1 << 30);
	if (plan->db_share > 0.9)
		usage_error("make", "--db-share must be 0%% to 90%%");
}

static int
verb_make(int argc, char **argv)
{
	const char *profile = "small", *type = "post-office", *dir;
	struct plan plan = { .seed = 1 }, wish = { .seed = 1 };
	bool users = false, msgdbs = false, blobs = false, bytes = false, share = false;
	const struct option_spec specs[] = {
		{ "profile", OPTION_TEXT, &profile, NULL }, { "type", OPTION_TEXT, &type, NULL },
		{ "users", OPTION_NUMBER, &wish.users, &users }, { "msgdbs", OPTION_NUMBER, &wish.msgdbs, &msgdbs },
		{ "blobs", OPTION_NUMBER, &wish.blobs, &blobs },
		{ "blob-bytes", OPTION_NUMBER, &wish.blob_bytes, &bytes },
		{ "db-share", OPTION_FRACTION, &wish.db_share, &share }, { "seed", OPTION_NUMBER, &wish.seed, NULL },
		{ "same-size", OPTION_FLAG, &wish.same_size, NULL }, { NULL, OPTION_FLAG, NULL, NULL },
	};
	struct made made;
	double start = now();

	dir = options_parse(argc, argv, "make", specs);
	if (!plan_profile(&plan, profile))
		usage_error("make", "there is no profile \"%s\"", profile);
	if (strcmp(type, "domain") != 0 && strcmp(type, "post-office") != 0)
		usage_error("make", "--type is post-office or domain");
	plan.domain = strcmp(type, "domain") == 0;
	plan.seed = wish.seed;
	plan.users = users ? wish.users : plan.users;
	plan.msgdbs = msgdbs ? wish.msgdbs : plan.msgdbs;
	plan.blobs = blobs ? wish.blobs : plan.blobs;
	plan.blob_bytes = bytes ? wish.blob_bytes : plan.blob_bytes;
	plan.db_share = share ? wish.db_share : plan.db_share;
	plan.same_size = wish.same_size;
	limit_plan(&plan);
	make_office(dir, &plan, &made);
	printf("made: %s seed=%" PRIu64 " run=%016" PRIx64 " databases=%" PRIu64 " db_bytes=%" PRIu64 " blobs=%" PRIu64
		" blob_bytes=%" PRIu64 " other_bytes=%" PRIu64 " seconds=%.2f\n", dir, plan.seed, made.run_id,
		made.databases, made.db_bytes, made.blobs, made.blob_bytes, made.other_bytes, now() - start);
	return 0;
}

/* Open an office to work in: it needs at least its main database. */
static void
open_for_work(struct office *office, const char *dir)
{
	office_open(office, dir);
	if (!office_count(office, ROLE_HOST))
		die("%s is no post office or domain: there is no wphost.db or wpdomain.db", dir);
	if (!office->domain && !office->offiles)
		die("%s has no offiles", dir);
}

static int
verb_run(int argc, char **argv)
{
	struct run_plan plan = { .day = 10, .every = 2, .seed = 1, .processes = 2 };
	uint64_t rate = 0;
	const struct option_spec specs[] = {
		{ "rate", OPTION_NUMBER, &rate, NULL }, { "for", OPTION_SECONDS, &plan.seconds, NULL },
		{ "day", OPTION_SECONDS, &plan.day, NULL }, { "every", OPTION_SECONDS, &plan.every, NULL }, { "seed", OPTION_NUMBER, &plan.seed, NULL },
		{ "processes", OPTION_NUMBER, &plan.processes, NULL },
		{ "mass-expiry", OPTION_NUMBER, &plan.expire, NULL },
		{ "keep-deleted", OPTION_TEXT, &plan.graveyard, NULL }, { NULL, OPTION_FLAG, NULL, NULL },
	};
	const char *dir = options_parse(argc, argv, "run", specs);
	struct office office;
	int code;

	limit("run", "processes", plan.processes, 1, 256);
	if (plan.day <= 0)
		usage_error("run", "--day must be longer than nothing");
	plan.rate = (double)rate;
	open_for_work(&office, dir);
	code = run_office(&office, &plan);
	office_close(&office);
	return code;
}

static int
verb_check(int argc, char **argv)
{
	struct check_plan plan = { 0 };
	const struct option_spec specs[] = {
		{ "live", OPTION_TEXT, &plan.live, NULL }, { "sizes-only", OPTION_FLAG, &plan.sizes_only, NULL },
		{ "databases-only", OPTION_FLAG, &plan.databases_only, NULL },
		{ "threads", OPTION_NUMBER, &plan.threads, NULL }, { NULL, OPTION_FLAG, NULL, NULL },
	};
	const char *dir = options_parse(argc, argv, "check", specs);

	return check_office(dir, &plan) ? 0 : EXIT_FINDINGS;
}

static int
verb_churn(int argc, char **argv)
{
	const char *only = NULL;
	double fraction = 0;
	uint64_t seed = 1;
	bool given = false;
	const struct option_spec specs[] = {
		{ "fraction", OPTION_FRACTION, &fraction, &given }, { "seed", OPTION_NUMBER, &seed, NULL },
		{ "only", OPTION_TEXT, &only, NULL }, { NULL, OPTION_FLAG, NULL, NULL },
	};
	const char *dir = options_parse(argc, argv, "churn", specs);
	struct churned churned;
	struct office office;

	if (!given)
		usage_error("churn", "which --fraction?");
	open_for_work(&office, dir);
	if (!only)
		churn_office(&office, fraction, seed, &churned);
	else if (!churn_one(&office, only, fraction, seed, &churned))
		die("%s has no database %s", dir, only);
	printf("{\"changed_databases\":%" PRIu64 ",\"changed_db_pages\":%" PRIu64 ",\"changed_db_bytes\":%" PRIu64
		",\"new_blobs\":%" PRIu64 ",\"new_blob_bytes\":%" PRIu64 ",\"deleted_blobs\":%" PRIu64
		",\"deleted_blob_bytes\":%" PRIu64 ",\"index_files\":%" PRIu64 ",\"index_bytes\":%" PRIu64
		",\"log_bytes\":%" PRIu64 ",\"changed_bytes\":%" PRIu64 ",\"seed\":%" PRIu64 "}\n",
		churned.changed_databases, churned.changed_db_pages, churned.changed_db_pages * PAGE_BYTES,
		churned.new_blobs, churned.new_blob_bytes, churned.deleted_blobs, churned.deleted_blob_bytes,
		churned.index_files, churned.index_bytes, churned.log_bytes, churned_bytes(&churned), seed);
	office_close(&office);
	return 0;
}

static int
verb_copy(int argc, char **argv)
{
	bool databases_only = false;
	const struct option_spec specs[] = {
		{ "databases-only", OPTION_FLAG, &databases_only, NULL }, { NULL, OPTION_FLAG, NULL, NULL },
	};
	const char *from, *to;

	if (argc < 2)
		usage_error("copy", "which directories?");
	from = argv[0];
	to = options_parse(argc - 1, argv + 1, "copy", specs);
	printf("copied: %s vanished_blobs=%lu\n", to, copy_office(from, to, databases_only));
	return 0;
}

/* An agent keeps every database open. */
static void
raise_file_limit(void)
{
	struct rlimit rlimit;

	if (getrlimit(RLIMIT_NOFILE, &rlimit) == 0) {
		rlimit.rlim_cur = rlimit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rlimit);
	}
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*verb)(int argc, char **argv);
	} verbs[] = {
		{ "make", verb_make }, { "run", verb_run }, { "check", verb_check }, { "churn", verb_churn },
		{ "copy", verb_copy },
	};
	const char *verb = argc > 1 ? argv[1] : "";

	if (strcmp(verb, "help") == 0 || strcmp(verb, "--help") == 0)
		return help_print(stdout, argc > 2 ? argv[2] : NULL) ? 0 : EXIT_USAGE;
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
		if (strcmp(verbs[i].name, verb) != 0)
			continue;
		for (int j = 2; j < argc; j++)
			if (strcmp(argv[j], "--help") == 0)
				return help_print(stdout, verb) ? 0 : EXIT_USAGE;
		raise_file_limit();
		return verbs[i].verb(argc - 2, argv + 2);
	}
	help_print(stderr, NULL);
	return EXIT_USAGE;
}
