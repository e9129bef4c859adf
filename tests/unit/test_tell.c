/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tell - each job can be found, and no other is told in its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "control/api.h"
#include "control/client.h"
#include "control/tell.h"
#include "jobs.h"
#include "tests/lib/scratch.h"

#define PROFILES 3u

static struct scratch scratch;
static char path[256];
static struct jobs *histories[PROFILES];

static void
put(size_t profile, uint64_t id)
{
	struct job_record r = {.id = id, .result = JOB_GOOD, .phase = JOB_DONE};

	snprintf(r.profile, sizeof r.profile, "po%zu", profile);
	assert_int_equal(jobs_put(histories[profile], &r), 0);
}

/* po0 and po1 began in one second, as a schedule has it. */
static int
setup(void **state)
{
	char name[16], file[256];

	(void)state;
	scratch_open(&scratch);
	scratch_path(&scratch, "s", path);
	for (size_t i = 0; i < PROFILES; i++) {
		snprintf(name, sizeof name, "jobs%zu", i);
		assert_int_equal(jobs_open(scratch_path(&scratch, name, file), NULL, 0, &histories[i]), 0);
	}
	put(0, 5000);
	put(0, 7000);
	put(1, 7000);
	put(2, 6000);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < PROFILES; i++)
		jobs_close(histories[i]);
	scratch_close(&scratch);
	return 0;
}

static const struct jobs *
nth(void *arg, size_t i)
{
	(void)arg;
	return i < PROFILES ? histories[i] : NULL;
}

static void
jobs_of_two_profiles_that_began_in_one_second_are_both_in_the_list(void **state)
{
	static const char *const want[] = {"po0 7000", "po1 7000", "po2 6000", "po0 5000"};
	json_t *o = tell_jobs(nth, NULL, 100), *list = json_object_get(o, "jobs"), *job;
	char got[64];
	size_t i;

	(void)state;
	assert_int_equal(json_array_size(list), sizeof want / sizeof *want);
	json_array_foreach(list, i, job)
	{
		snprintf(got, sizeof got, "%s %lld", json_string_value(json_object_get(job, "profile")), (long long)json_integer_value(json_object_get(job, "id")));
		assert_string_equal(got, want[i]);
	}
	json_decref(o);
}

/* ---- one job ---- */

static void
on_job(struct api_request *req, void *arg)
{
	(void)arg;
	tell_job_reply(req, nth, NULL, api_part(req, 0));
}

static void
on_last_job(struct api_request *req, void *arg)
{
	(void)arg;
	tell_job_reply(req, nth, NULL, "");
}

static const struct api_route routes[] = {{"GET", "/v1/last", on_last_job}, {"GET", "/v1/jobs/{}", on_job}, {0}};

/* In the child: 100 and the number in the profile's name. */
static int
on_line(const json_t *job, void *arg)
{
	*(int *)arg = 100 + json_string_value(json_object_get(job, "profile"))[2] - '0';
	return 0;
}

static void
on_child(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	event_base_loopbreak(arg);
}

/* What a client is told for this path: 100 and the profile, or an error, positive. */
static int
ask(const char *request_path)
{
	struct event_base *base = event_base_new();
	struct event *child = evsignal_new(base, SIGCHLD, on_child, base);
	struct api *api;
	int status, told = 0, err;

	assert_int_equal(api_new(base, path, routes, NULL, &api), 0);
	event_add(child, NULL);
	pid_t pid = fork();
	if (pid == 0) {
		err = client_ask(path, "GET", request_path, NULL, on_line, NULL, &told);
		_exit(err ? -err : told);
	}
	event_base_dispatch(base);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	api_free(api);
	event_free(child);
	event_base_free(base);
	return WEXITSTATUS(status);
}

static void
each_of_two_jobs_of_one_id_can_be_shown(void **state)
{
	(void)state;
	assert_int_equal(ask("/v1/jobs/6000"), 102);
	assert_int_equal(ask("/v1/jobs/7000?profile=po0"), 100);
	assert_int_equal(ask("/v1/jobs/7000?profile=po1"), 101);
	assert_int_equal(ask("/v1/jobs/7000?profile=po2"), ERR_NOTFOUND);
	assert_int_equal(ask("/v1/jobs/7000"), ERR_USAGE);
	assert_int_equal(ask("/v1/last"), 100);
}

static void
what_is_no_id_is_no_job(void **state)
{
	(void)state;
	assert_int_equal(ask("/v1/jobs/lst"), ERR_NOTFOUND);
	assert_int_equal(ask("/v1/jobs/6000x"), ERR_NOTFOUND);
	assert_int_equal(ask("/v1/jobs/0"), ERR_NOTFOUND);
	assert_int_equal(ask("/v1/jobs/-6000"), ERR_NOTFOUND);
	assert_int_equal(ask("/v1/jobs/18446744073709557616"), ERR_NOTFOUND); /* 2^64 + 6000 */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jobs_of_two_profiles_that_began_in_one_second_are_both_in_the_list),
		cmocka_unit_test(each_of_two_jobs_of_one_id_can_be_shown),
		cmocka_unit_test(what_is_no_id_is_no_job),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
