/* SPDX-License-Identifier: GPL-2.0-or-later */
/* server_config - defaults hold, mistakes are told, and a profile needs no section. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/err.h"
#include "server/config.h"
#include "tests/lib/scratch.h"

static int
load(const char *text, struct conf **ret_conf)
{
	struct scratch scratch;
	char file[256];
	int fd;

	scratch_open(&scratch);
	fd = open(scratch_path(&scratch, "server.conf", file), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	int err = server_config_load(file, ret_conf);
	scratch_close(&scratch);
	return err;
}

static void
an_empty_file_is_all_defaults(void **state)
{
	struct conf *conf;

	(void)state;
	assert_int_equal(load("", &conf), 0);
	assert_string_equal(server_config_main(conf)->listen, "0.0.0.0:7460");
	assert_string_equal(server_config_main(conf)->store, "/var/lib/tidemark");
	assert_string_equal(server_config_main(conf)->web, "off");
	conf_free(conf);
}

static void
a_profile_without_a_section_has_the_defaults_of_the_table(void **state)
{
	struct conf *conf;

	(void)state;
	assert_int_equal(load("[profile \"po1\"]\n", &conf), 0);
	const struct server_profile_config *named = server_config_profile(conf, "po1"), *other = server_config_profile(conf, "po2");
	assert_true(named != other);
	assert_int_equal(named->keep_days, other->keep_days);
	assert_int_equal(named->late_ms, other->late_ms);
	assert_string_equal(named->notify, other->notify);
	conf_free(conf);
}

static void
mistakes_are_told(void **state)
{
	static const char *const bad[] = {
		"[server]\nlisten = nowhere\n", "[server]\nstore = relative\n", "[server]\nweb = maybe\n",
		"[profile \"../etc\"]\n", "[profile \"po1\"]\nkeep-days = 0\n", "[server]\nlissten = 0.0.0.0:1\n",
	};
	struct conf *conf;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(load(bad[i], &conf), -ERR_CONFIG);
		assert_true(strlen(err_text()) > 10);
	}
}

static void
every_profile_with_an_impossible_name_is_told(void **state)
{
	struct conf *conf;

	(void)state;
	assert_int_equal(load("[profile \"a/b\"]\n[server]\nlisten = nowhere\n[profile \"..\"]\n", &conf), -ERR_CONFIG);
	assert_non_null(strstr(err_text(), ":1: a/b: not a profile's name"));
	assert_non_null(strstr(err_text(), ":3: listen: "));
	assert_non_null(strstr(err_text(), ":4: ..: not a profile's name"));
}

static void
an_address_of_web_is_warned_of_until_something_listens_there(void **state)
{
	struct conf *conf;

	(void)state;
	assert_int_equal(load("", &conf), 0);
	assert_null(server_config_idle(conf));
	conf_free(conf);
	assert_int_equal(load("[server]\nweb = 127.0.0.1:7461\n", &conf), 0);
	assert_non_null(strstr(server_config_idle(conf), "nothing listens"));
	conf_free(conf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_file_is_all_defaults),
		cmocka_unit_test(a_profile_without_a_section_has_the_defaults_of_the_table),
		cmocka_unit_test(mistakes_are_told),
		cmocka_unit_test(every_profile_with_an_impossible_name_is_told),
		cmocka_unit_test(an_address_of_web_is_warned_of_until_something_listens_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
