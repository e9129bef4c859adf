/* SPDX-License-Identifier: GPL-2.0-or-later */
/* collector/config - its defaults, its refusals, and that the files in conf say what the tables say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "collector/config.h"
#include "server/config.h"
#include "tests/lib/scratch.h"

static struct scratch scratch;
static struct conf *conf;

static int
setup(void **state)
{
	(void)state;
	scratch_open(&scratch);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	conf_free(conf);
	conf = NULL;
	scratch_close(&scratch);
	return 0;
}

static int
load(const char *text)
{
	char path[256];
	FILE *f = fopen(scratch_path(&scratch, "c.conf", path), "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	conf_free(conf);
	conf = NULL;
	return collector_config_load(path, &conf);
}

#define HEAD "[collector]\nserver = b.example.org:7460\n"
#define PO "[profile \"po1\"]\npath = /grpwise/po1\n"

static void
refused(const char *text, const char *words)
{
	assert_int_equal(load(text), -ERR_CONFIG);
	if (!strstr(err_text(), words))
		fail_msg("\"%s\" does not say \"%s\"", err_text(), words);
}

static void
what_is_not_said_has_its_default(void **state)
{
	const struct collector_config *c;
	const struct profile_config *p;

	(void)state;
	assert_int_equal(load(HEAD PO), 0);
	c = collector_config_main(conf);
	assert_string_equal(c->server, "b.example.org:7460");
	assert_string_equal(c->state, "/var/lib/tidemark-collector");
	assert_string_equal(c->run_dir, "/run/tidemark");
	assert_int_equal(c->workers, 2);
	p = collector_config_profile(conf, "po1");
	assert_non_null(p);
	assert_int_equal(p->type, LAYOUT_POST_OFFICE);
	assert_int_equal(p->schedule.n, 1);
	assert_string_equal(p->schedule.items[0], "Mon..Fri 22:30");
	assert_string_equal(p->timezone, "local");
	assert_string_equal(p->dbcopy, "builtin");
	assert_int_equal(p->dbcopy_timeout_ms, 6 * 3600000);
	assert_int_equal(p->bandwidth, 0);
	assert_string_equal(p->purge_stamp, "off");
	assert_string_equal(p->notify, "off");
	assert_int_equal(p->rescan_ms, 7 * 86400000);
	assert_int_equal(p->index_poll_ms, 5 * 60000);
	assert_int_equal(p->late_ms, 26 * 3600000);
	assert_null(collector_config_profile(conf, "po2"));
	char *dir = collector_profile_dir(conf, "po1");
	assert_string_equal(dir, "/var/lib/tidemark-collector/po1");
	free(dir);
}

static void
a_bandwidth_is_a_kib_per_second_at_least_or_unlimited(void **state)
{
	static const struct {
		const char *text;
		uint64_t rate;
	} rates[] = {{"1024", 1024}, {"1K", 1024}, {"20M", 20 << 20}, {"0", 0}, {"unlimited", 0}};

	(void)state;
	for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
		char text[256];

		snprintf(text, sizeof text, HEAD PO "bandwidth = %s\n", rates[i].text);
		assert_int_equal(load(text), 0);
		assert_int_equal(collector_config_profile(conf, "po1")->bandwidth, rates[i].rate);
	}
	refused(HEAD PO "bandwidth = 20\n", "20M is 20 MiB per second");
	refused(HEAD PO "bandwidth = 1023\n", "less than 1K");
}

static void
the_words_of_a_type_are_in_the_layouts_order(void **state)
{
	(void)state;
	for (int t = 0; t < LAYOUT_TYPES; t++) {
		char text[256];

		snprintf(text, sizeof text, HEAD PO "type = %s\n", layout_type_name((enum layout_type)t));
		assert_int_equal(load(text), 0);
		assert_int_equal(collector_config_profile(conf, "po1")->type, t);
	}
}

static void
a_profile_is_not_named_like_a_folder_of_our_own(void **state)
{
	(void)state;
	refused(HEAD "[profile \"upgrade\"]\npath = /grpwise/po1\n", "a folder of our own");
	refused(HEAD "[profile \"identity\"]\npath = /grpwise/po1\n", "a folder of our own");
}

static void
what_cannot_be_is_refused_with_its_place(void **state)
{
	(void)state;
	refused("[collector]\n" PO, "server");
	refused("[collector]\nserver = nowhere\n" PO, "not an address");
	refused("[collector]\nserver = host:99999\n" PO, "not an address");
	refused("[collector]\nserver = host:80x\n" PO, "not an address");
	refused(HEAD "[profile \"po1\"]\npath = grpwise/po1\n", "not an absolute path");
	refused(HEAD "[profile \"po1\"]\n", "path");
	refused(HEAD PO "schedule = Mon..Fri 25:00\n", "schedule");
	refused(HEAD PO "timezone = Mars/Olympus\n", "time zone");
	refused(HEAD PO "bandwidth = fast\n", "bandwidth");
	refused(HEAD PO "workers = 2\n", "workers");
	refused(HEAD "workers = 99\n" PO, "workers");
	refused(HEAD "[profile \"../po\"]\npath = /grpwise/po1\n", "not a profile's name");
	refused(HEAD "[profile \".hidden\"]\npath = /grpwise/po1\n", "not a profile's name");
}

static void
mistakes_between_keys_are_told_beside_all_others(void **state)
{
	(void)state;
	assert_int_equal(load(HEAD "state = /grpwise/po1/state\nworkers = 99\n" PO "[profile \"a/b\"]\npath = /b\n[profile \"..\"]\n"), -ERR_CONFIG);
	assert_non_null(strstr(err_text(), "c.conf:3: state: /grpwise/po1/state lies inside the watched tree"));
	assert_non_null(strstr(err_text(), "c.conf:4: workers: "));
	assert_non_null(strstr(err_text(), "c.conf:7: a/b: not a profile's name"));
	assert_non_null(strstr(err_text(), "c.conf:9: ..: not a profile's name"));
	assert_non_null(strstr(err_text(), "c.conf:9: path: missing"));
}

static char found[2048];

static void
note_found(int line, const char *key, const char *text, void *arg)
{
	size_t used = strlen(found);

	(void)arg;
	snprintf(found + used, sizeof found - used, "%d %s %s\n", line, key, text);
}

static void
a_look_at_the_host_tells_what_the_file_cannot(void **state)
{
	char text[1024], tree[256];

	(void)state;
	scratch_path(&scratch, "", tree);
	snprintf(text, sizeof text, HEAD "[profile \"a\"]\npath = /nowhere/po\ndbcopy = /nowhere/dbcopy\n[profile \"b\"]\npath = %s\ndbcopy = /bin/true\n"
	    "[profile \"c\"]\npath = %s/.\ndbcopy = /bin/true\n", tree, tree);
	assert_int_equal(load(text), 0);
	found[0] = '\0';
	collector_config_look(conf, note_found, NULL);
	assert_non_null(strstr(found, "4 path "));
	assert_non_null(strstr(found, "5 dbcopy DBCOPY cannot be run"));
	assert_non_null(strstr(found, "7 path "));
	assert_non_null(strstr(found, "wphost.db"));
	assert_non_null(strstr(found, "10 path the tree of profile \"b\" is the same"));
	assert_null(strstr(found, "7 path the tree"));
}

static void
a_dbcopy_that_is_a_directory_is_told(void **state)
{
	char text[1024], tree[256];

	(void)state;
	scratch_path(&scratch, "", tree);
	snprintf(text, sizeof text, HEAD "[profile \"a\"]\npath = %s\ndbcopy = %s -v\n", tree, tree);
	assert_int_equal(load(text), 0);
	found[0] = '\0';
	collector_config_look(conf, note_found, NULL);
	assert_non_null(strstr(found, "5 dbcopy DBCOPY cannot be run"));
}

static void
trees_in_trees_and_a_state_behind_a_link_are_told(void **state)
{
	char text[2048], tree[256], inner[256], link[256];

	(void)state;
	scratch_path(&scratch, "", tree);
	scratch_path(&scratch, "offiles", inner);
	scratch_path(&scratch, "link", link);
	assert_int_equal(mkdir(inner, 0700), 0);
	assert_int_equal(symlink(".", link), 0);
	snprintf(text, sizeof text, HEAD "state = %s/offiles\n[profile \"b\"]\npath = %s\n[profile \"a\"]\npath = %s/offiles\n", tree, link, link);
	assert_int_equal(load(text), 0);
	found[0] = '\0';
	collector_config_look(conf, note_found, NULL);
	assert_non_null(strstr(found, "5 path the collector's state lies inside this tree"));
	assert_non_null(strstr(found, "7 path the tree of profile \"b\" has this one in it"));
}

static void
state_inside_a_watched_tree_is_refused(void **state)
{
	(void)state;
	refused(HEAD "state = /grpwise/po1/state\n" PO, "inside the watched tree");
	refused(HEAD "state = /grpwise/po1\n" PO, "inside the watched tree");
	refused(HEAD "[profile \"po1\"]\npath = /var/lib/\n", "inside the watched tree");
	refused(HEAD "[profile \"po1\"]\npath = /\n", "inside the watched tree");
	assert_int_equal(load(HEAD "state = /grpwise/po1-state\n" PO), 0);
}

static void
names_that_may_be_folders_and_certificates(void **state)
{
	static const char *const good[] = {"po1", "PO-1.a_b", "9", "abcdefghijklmnopqrstuvwxyz012345"};
	static const char *const bad[] = {"", ".", "..", ".a", "-a", "_a", "a/b", "a b", "abcdefghijklmnopqrstuvwxyz0123456", "\xc3\xa4"};

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_true(profile_name_valid(good[i]));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(profile_name_valid(bad[i]));
}

/* ---- the files in conf: an introduction, then exactly what `tidemark config generate` prints ---- */

static void
ends_in_what_is_generated(const char *path, const struct conf_table *table, const char *title)
{
	char *made = NULL, text[65536];
	size_t len = 0, n;
	FILE *out = open_memstream(&made, &len), *f = fopen(path, "r");

	assert_non_null(out);
	assert_non_null(f);
	conf_generate(table, title, out);
	fclose(out);
	n = fread(text, 1, sizeof text - 1, f);
	text[n] = '\0';
	fclose(f);
	if (n < len || strcmp(text + n - len, made) != 0)
		fail_msg("%s differs from `tidemark config generate`", path);
	for (size_t i = 0; i < n - len; i++)
		assert_true((i && text[i - 1] != '\n') || text[i] == '#' || text[i] == '\n');
	free(made);
}

static void
the_collectors_file_is_its_defaults(void **state)
{
	(void)state;
	ends_in_what_is_generated("conf/collector.conf", &collector_conf_table, "tidemark collector");
}

static void
the_servers_file_is_its_defaults(void **state)
{
	(void)state;
	ends_in_what_is_generated("conf/server.conf", &server_conf_table, "tidemark server");
	assert_int_equal(server_config_load("conf/server.conf", &conf), 0);
	assert_string_equal(server_config_main(conf)->store, "/var/lib/tidemark");
	assert_int_equal(server_config_profile(conf, "any")->keep_days, 14);
}

/* The file as it is once an administrator has taken away the "#" from what only he can know. */
static void
the_collectors_file_is_good_with_its_examples(void **state)
{
	char text[65536], line[1024];
	size_t len = 0;
	FILE *f = fopen("conf/collector.conf", "r");

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof line, f)) {
		bool example = line[0] == '#' && (line[1] == '[' || (strchr(line, '=') && line[1] != ' '));

		len += (size_t)snprintf(text + len, sizeof text - len, "%s", line + example);
	}
	fclose(f);
	assert_non_null(strstr(text, "\nserver"));
	char *server = strstr(text, "\nserver");
	char *end = strchr(server + 1, '\n');
	*end = '\0';
	char given[65536];
	snprintf(given, sizeof given, "%.*s\nserver = b.example.org:7460\n%s", (int)(server - text), text, end + 1);
	char *path = strstr(given, "\npath");
	assert_non_null(path);
	end = strchr(path + 1, '\n');
	char whole[70000];
	snprintf(whole, sizeof whole, "%.*s\npath = /grpwise/po1\n%s", (int)(path - given), given, end + 1);
	if (load(whole) != 0)
		fail_msg("%s", err_text());
	assert_int_equal(conf_count(conf, "profile"), 1);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(what_is_not_said_has_its_default),
	    T(a_bandwidth_is_a_kib_per_second_at_least_or_unlimited),
	    T(the_words_of_a_type_are_in_the_layouts_order),
	    T(what_cannot_be_is_refused_with_its_place),
	    T(mistakes_between_keys_are_told_beside_all_others),
	    T(a_profile_is_not_named_like_a_folder_of_our_own),
	    T(a_look_at_the_host_tells_what_the_file_cannot),
	    T(a_dbcopy_that_is_a_directory_is_told),
	    T(trees_in_trees_and_a_state_behind_a_link_are_told),
	    T(state_inside_a_watched_tree_is_refused),
	    T(names_that_may_be_folders_and_certificates),
	    T(the_collectors_file_is_its_defaults),
	    T(the_servers_file_is_its_defaults),
	    T(the_collectors_file_is_good_with_its_examples),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
