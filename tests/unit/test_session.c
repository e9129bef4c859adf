/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may speak, what is answered, and what becomes of a job between a collector and the server. */
#include "tests/unit/session_rig.h"

/* ---- what is promised ---- */

static void
a_token_enrols_and_each_session_has_a_higher_number(void **state)
{
	struct server_profile_status st;

	(void)state;
	connect_live(&w.c);
	assert_int_equal(w.c.token, 1);
	assert_true(server_status(w.server, 0, &st));
	assert_string_equal(st.name, "po1");
	assert_string_equal(st.type, "post-office");
	assert_true(st.enrolled && st.connected);
	hang_up(&w.c);
	connect_live(&w.c);
	assert_int_equal(w.c.token, 2);
}

static void
a_second_collector_is_sent_away_while_the_first_lives(void **state)
{
	struct collector second = {.identity = w.c.identity};

	(void)state;
	connect_live(&w.c);
	dial(&second);
	hello(&second);
	while (!second.closed && !second.seen[WIRE_WELCOME])
		turn();
	assert_int_equal(second.seen[WIRE_WELCOME], 0);
	put(&w.c, "offiles/fd1/a", "still here");
	settle(&w.c);
	assert_int_equal(w.c.durable, 1);
	hang_up(&second);
}

/* As the kernel does for the killed, who leave something unread: a reset, which overtakes what the server has no room for. */
static void
drop_dead(struct collector *c)
{
	struct linger at_once = {.l_onoff = 1};

	assert_int_equal(setsockopt(c->conn->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
	hang_up(c);
}

/* What a killed collector sent is more than the server keeps in memory, so it stops reading, and does not see the end. */
static void
a_killed_collector_does_not_wait_for_its_own_ghost(void **state)
{
	char *data = malloc(WIRE_WHOLE_MAX), path[64];

	(void)state;
	assert_non_null(data);
	memset(data, 'x', WIRE_WHOLE_MAX);
	data[WIRE_WHOLE_MAX - 1] = '\0';
	connect_live(&w.c);
	for (unsigned i = 0; i < 400; i++) {
		snprintf(path, sizeof path, "offiles/fd1/b%u", i);
		put(&w.c, path, data);
	}
	while (wire_conn_queued(w.c.conn) > 50u << 20)
		turn();
	drop_dead(&w.c);
	connect_live(&w.c);
	assert_int_equal(w.c.token, 2);
	put(&w.c, "offiles/fd1/a", "here again");
	settle(&w.c);
	assert_int_equal(w.c.durable, 1);
	free(data);
}

static void
what_is_durable_can_be_asked_for(void **state)
{
	struct wire_msg m = {.type = WIRE_SUMS_REQ};

	(void)state;
	connect_live(&w.c);
	put(&w.c, "offiles/fd1/a", "one");
	put(&w.c, "offiles/fd1/b", "two");
	put(&w.c, "ofuser/u.db", "three");
	settle(&w.c);
	m.u.sums_req.after = (char *)(uintptr_t)"";
	say(&w.c, &m);
	await(&w.c, WIRE_SUMS, 1);
	assert_int_equal(w.c.n_items, 2);
	m = (struct wire_msg){.type = WIRE_LIST_REQ};
	m.u.list_req.dir = (char *)(uintptr_t)"offiles/fd1";
	m.u.list_req.after = (char *)(uintptr_t)"a";
	say(&w.c, &m);
	await(&w.c, WIRE_LIST, 1);
	assert_int_equal(w.c.n_items, 1);
	m = (struct wire_msg){.type = WIRE_BLOCKS_REQ};
	m.u.blocks_req.path = (char *)(uintptr_t)"ofuser/u.db";
	m.u.blocks_req.count = 10;
	say(&w.c, &m);
	await(&w.c, WIRE_BLOCKS, 1);
	assert_int_equal(w.c.n_items, 1);
	assert_true(hash128_equal(w.c.first_block, block_hash(&w.c.key, "three", 5)));
	m.u.blocks_req.path = (char *)(uintptr_t)"../../etc";
	(void)wire_conn_send(w.c.conn, &m); /* refused here or there */
}

static void
a_message_in_the_wrong_state_ends_the_session(void **state)
{
	(void)state;
	dial(&w.c);
	seal(&w.c, 1, "");
	await_end(&w.c);
	hang_up(&w.c);
	dial(&w.c);
	put(&w.c, "offiles/fd1/a", "too early");
	await_end(&w.c);
	hang_up(&w.c);
	connect_live(&w.c);
	hello(&w.c);
	await_end(&w.c);
	assert_int_not_equal(w.c.close_err, 0);
}

static void
only_a_poke_seals_and_only_what_both_hold(void **state)
{
	struct server_profile_status st;

	(void)state;
	connect_live(&w.c);
	seal(&w.c, 5, ""); /* never begun */
	await(&w.c, WIRE_JOB_FAILED, 1);
	assert_int_equal(w.c.failed_code, ERR_STOPPED);
	begin_job(&w.c, 5);
	put(&w.c, "offiles/fd1/a", "one");
	settle(&w.c);
	w.c.total.bytes++;
	seal(&w.c, 5, "");
	while (w.c.seen[WIRE_JOB_FAILED] < 2 && !w.c.seen[WIRE_SEALED])
		turn();
	assert_int_equal(w.c.seen[WIRE_SEALED], 0);
	assert_int_equal(w.c.failed_code, ERR_DIFFERS);
	w.c.total.bytes--;
	seal(&w.c, 5, "");
	await(&w.c, WIRE_SEALED, 1);
	assert_string_equal(w.c.last_set, "tuenov24");
	assert_true(server_status(w.server, 0, &st));
	assert_string_equal(st.last_set, "tuenov24");
	assert_null(st.job);
	assert_int_equal(st.last_job->result, JOB_GOOD);
	/* Staging is free again. */
	w.c.nak_err = 0;
	put(&w.c, "ofuser/u.db", "later");
	settle(&w.c);
	assert_int_equal(w.c.nak_err, 0);
}

static void
refuses_to_seal(struct collector *c, int code)
{
	unsigned before = c->seen[WIRE_JOB_FAILED];

	while (c->seen[WIRE_JOB_FAILED] == before && !c->seen[WIRE_SEALED])
		turn();
	assert_int_equal(c->seen[WIRE_SEALED], 0);
	assert_int_equal(c->failed_code, code);
}

static void
only_the_job_that_was_begun_is_sealed(void **state)
{
	(void)state;
	connect_live(&w.c);
	begin_job(&w.c, 5);
	seal(&w.c, 4, "");
	refuses_to_seal(&w.c, ERR_BUSY);
	seal(&w.c, 5, "");
	await(&w.c, WIRE_SEALED, 1);
}

static void
a_job_whose_t0_could_not_be_kept_has_not_begun_and_begins_when_it_is_told_again(void **state)
{
	(void)state;
	connect_live(&w.c);
	put(&w.c, "offiles/fd0/a", "a blob");
	settle(&w.c);
	begin_job(&w.c, 8);
	seal(&w.c, 8, "");
	writes_errno = ENOSPC; /* the seal needs nothing written here; what the index forgets after it is its last write */
	writes_heads_only = true;
	await(&w.c, WIRE_SEALED, 1);
	fail_to_begin_job(&w.c, 9);
	writes_errno = 0;
	hang_up(&w.c);
	connect_live(&w.c);
	begin_job(&w.c, 9);
	seal(&w.c, 9, "removals");
	await(&w.c, WIRE_JOB_FAILED, w.c.seen[WIRE_JOB_FAILED] + 1);
	assert_string_equal(w.c.text, "up to 1"); /* what was removed before T0 is not in the set */
}

static void
an_index_file_that_was_lost_loses_its_row_and_both_sides_are_compared(void **state)
{
	(void)state;
	connect_live(&w.c);
	put(&w.c, "ofuser/index/a", "index");
	settle(&w.c);
	begin_job(&w.c, 8);
	seal(&w.c, 8, "lost");
	await(&w.c, WIRE_SEALED, 1);
	while (!w.c.closed)
		turn();
	assert_int_equal(w.c.close_err, -ERR_DIFFERS);
	hang_up(&w.c);
	connect_live(&w.c);
	assert_int_equal(w.c.total.count, 0); /* as WELCOME tells it */
}

static void
a_file_that_is_on_its_way_is_waited_for(void **state)
{
	struct wire_msg m = {.type = WIRE_BEGIN};

	(void)state;
	connect_live(&w.c);
	begin_job(&w.c, 5);
	m.u.begin.op = ++w.c.op;
	m.u.begin.path = (char *)(uintptr_t)"offiles/fd1/large";
	m.u.begin.mode = WIRE_BEGIN_WHOLE;
	m.u.begin.size = 1 << 20;
	say(&w.c, &m);
	while (w.c.received < w.c.op && !w.c.closed)
		turn();
	seal(&w.c, 5, "");
	refuses_to_seal(&w.c, ERR_BUSY);
	m = (struct wire_msg){.type = WIRE_ABORT};
	m.u.abort.op = w.c.op;
	say(&w.c, &m);
	settle(&w.c);
	seal(&w.c, 5, "");
	await(&w.c, WIRE_SEALED, 1);
}

static void
a_collector_of_the_other_type_is_sent_away(void **state)
{
	(void)state;
	connect_live(&w.c);
	hang_up(&w.c);
	dial(&w.c);
	hello_of(&w.c, LAYOUT_DOMAIN);
	while (!w.c.closed && w.c.seen[WIRE_WELCOME] < 2)
		turn();
	assert_int_equal(w.c.seen[WIRE_WELCOME], 1);
	hang_up(&w.c);
	connect_live(&w.c);
}

/* ---- what the collector tells of a job, and hears of a set ---- */

static void
say_over(struct collector *c, uint64_t job, int code, const char *text)
{
	struct wire_msg m = {.type = WIRE_JOB_OVER};

	m.u.job_over.job = job;
	m.u.job_over.date = 20261124;
	m.u.job_over.t0_ns = 1000000;
	m.u.job_over.origin = (char *)(uintptr_t)"schedule";
	m.u.job_over.code = code;
	m.u.job_over.text = (char *)(uintptr_t)text;
	say(c, &m);
}

static const struct job_record *
until_ended(uint64_t job)
{
	const struct job_record *r;

	while (!(r = jobs_find(server_jobs(w.server, "po1"), job)) || r->result == JOB_RUNNING)
		turn();
	return r;
}

static void
a_job_that_failed_on_the_collector_is_a_failure_here(void **state)
{
	struct wire_msg from = {.type = WIRE_ORIGIN};
	struct server_profile_status st;
	const struct job_record *r;

	(void)state;
	connect_live(&w.c);
	from.u.origin.job = 5;
	from.u.origin.origin = (char *)(uintptr_t)"user root";
	say(&w.c, &from);
	begin_job(&w.c, 5);
	say_over(&w.c, 5, ERR_INCOMPLETE, "DBCOPY ended with 7");
	r = until_ended(5);
	assert_int_equal(r->result, JOB_FAILED);
	assert_int_equal(r->code, ERR_INCOMPLETE);
	assert_string_equal(r->origin, "user root");
	assert_string_equal(r->text, "DBCOPY ended with 7");
	assert_true(server_status(w.server, 0, &st));
	assert_int_equal(st.state, SERVER_FAILED);
	assert_non_null(strstr(st.reason, "DBCOPY ended with 7"));
	begin_job(&w.c, 6); /* the hold is released, and another job may come */
	say_over(&w.c, 6, ERR_STOPPED, "stopped by user root");
	assert_int_equal(until_ended(6)->result, JOB_STOPPED);
}

static void
a_job_that_failed_before_it_came_here_is_a_failure_here(void **state)
{
	struct server_profile_status st;

	(void)state;
	connect_live(&w.c);
	say_over(&w.c, 7, ERR_NOSPACE, "no room");
	assert_string_equal(until_ended(7)->origin, "schedule");
	assert_true(server_status(w.server, 0, &st));
	assert_int_equal(st.state, SERVER_FAILED);
	begin_job(&w.c, 8);
	seal(&w.c, 8, "now");
	await(&w.c, WIRE_SEALED, 1);
	assert_int_equal(until_ended(8)->result, JOB_GOOD);
	say_over(&w.c, 8, ERR_IO, "heard too late: it is sealed");
	say_over(&w.c, 9, ERR_STOPPED, "stopped");
	until_ended(9);
	assert_int_equal(until_ended(8)->result, JOB_GOOD);
	assert_true(server_status(w.server, 0, &st));
	assert_int_not_equal(st.state, SERVER_FAILED);
}

static void
what_a_later_version_says_ends_a_session_of_the_first(void **state)
{
	(void)state;
	w.c.version_max = 1;
	connect_live(&w.c);
	say_over(&w.c, 5, ERR_IO, "");
	await_end(&w.c);
	assert_int_equal(w.c.close_err, -ERR_PEER);
	assert_null(jobs_find(server_jobs(w.server, "po1"), 5));
}

static void
a_collector_hears_of_the_newest_set_once_it_is_welcomed(void **state)
{
	(void)state;
	connect_live(&w.c);
	begin_job(&w.c, 5);
	seal(&w.c, 5, "");
	await(&w.c, WIRE_NEWEST, 1);
	await(&w.c, WIRE_SEALED, 1);
	hang_up(&w.c);
	connect_live(&w.c);
	await(&w.c, WIRE_NEWEST, 2);
	hang_up(&w.c);
	w.c.version_max = 1;
	connect_live(&w.c);
	begin_job(&w.c, 6); /* an answer: whatever was said with WELCOME has come */
	assert_int_equal(w.c.seen[WIRE_NEWEST], 2);
}

static void
ask_names(const char *set, const char *after)
{
	struct wire_msg m = {.type = WIRE_NAMES_REQ};

	m.u.names_req.set = (char *)(uintptr_t)set;
	m.u.names_req.after = (char *)(uintptr_t)after;
	say(&w.c, &m);
}

static void
the_names_of_a_set_come_a_page_at_a_time(void **state)
{
	(void)state;
	connect_live(&w.c);
	ask_names("latest", "");
	await(&w.c, WIRE_NAMES, 1);
	assert_string_equal(w.c.page, "ofmsg/msg0.db ofmsg/msg1.db ");
	assert_string_equal(w.c.next, "there");
	assert_string_equal(w.c.last_set, "tuenov24");
	ask_names("tuenov24", w.c.next);
	await(&w.c, WIRE_NAMES, 2);
	assert_string_equal(w.c.page, "ofmsg/msg2.db ");
	assert_string_equal(w.c.next, "");
	ask_names("never", "");
	await(&w.c, WIRE_REFUSED, 1);
	assert_int_equal(w.c.op, WIRE_NAMES_REQ);
	assert_int_equal(w.c.failed_code, ERR_NOTFOUND);
	assert_string_equal(w.c.text, "no such set");
}

static void
a_second_page_while_the_first_is_on_its_way_ends_the_session(void **state)
{
	(void)state;
	connect_live(&w.c);
	ask_names("latest", "");
	ask_names("latest", "");
	await_end(&w.c);
	assert_int_equal(w.c.close_err, -ERR_PEER);
}

static void
a_collector_of_the_first_version_may_not_ask_for_names(void **state)
{
	(void)state;
	w.c.version_max = 1;
	connect_live(&w.c);
	ask_names("latest", "");
	await_end(&w.c);
	assert_int_equal(w.c.close_err, -ERR_PEER);
}

static void
sets_for_which_there_is_no_memory_are_not_an_empty_list(void **state)
{
	struct wire_msg question = {.type = WIRE_SETS_REQ};

	(void)state;
	connect_live(&w.c);
	no_room_for = sizeof(struct wire_set);
	say(&w.c, &question);
	while (!w.c.seen[WIRE_REFUSED] && !w.c.seen[WIRE_SETS] && !w.c.closed)
		turn();
	no_room_for = 0;
	assert_int_equal(w.c.seen[WIRE_REFUSED], 1);
	assert_int_equal(w.c.failed_code, ERR_NOMEM);
	say(&w.c, &question);
	await(&w.c, WIRE_SETS, 1);
}

static void
a_stop_from_the_server_ends_a_running_seal(void **state)
{
	(void)state;
	connect_live(&w.c);
	begin_job(&w.c, 6);
	unsigned before = w.c.seen[WIRE_PROGRESS];
	seal(&w.c, 6, "hang");
	await(&w.c, WIRE_PROGRESS, before + 1);
	put(&w.c, "ofuser/u.db", "not now");
	put(&w.c, "offiles/fd1/a", "a blob may come");
	settle(&w.c);
	assert_int_equal(w.c.nak_err, ERR_BUSY);
	assert_int_equal(w.c.seen[WIRE_NAK], 1);
	assert_int_equal(server_stop(w.server, "po1", "user root"), 0);
	await(&w.c, WIRE_JOB_FAILED, 1);
	assert_int_equal(w.c.failed_code, ERR_STOPPED);
	assert_string_equal(w.c.stop_origin, "server: user root");
	assert_int_equal(server_stop(w.server, "po1", "user root"), -ERR_NOTFOUND);
	put(&w.c, "ofuser/u.db", "now");
	settle(&w.c);
	assert_int_equal(w.c.seen[WIRE_NAK], 1);
}

static void
a_keeper_that_dies_fails_the_job_and_comes_back(void **state)
{
	(void)state;
	connect_live(&w.c);
	begin_job(&w.c, 7);
	log_set_level(LOG_ERROR);
	seal(&w.c, 7, "die");
	await(&w.c, WIRE_JOB_FAILED, 1);
	assert_int_equal(w.c.failed_code, ERR_UNREACHABLE);
	wait_for_keeper();
	seal(&w.c, 7, ""); /* the job was not ended: it may be sealed again */
	await(&w.c, WIRE_SEALED, 1);
}

static void
doubtful_files_lose_their_rows(void **state)
{
	struct server_profile_status st;

	(void)state;
	connect_live(&w.c);
	put(&w.c, "ofuser/u.db", "doubted");
	settle(&w.c);
	begin_job(&w.c, 8);
	seal(&w.c, 8, "doubt");
	await(&w.c, WIRE_JOB_FAILED, 1);
	assert_int_equal(w.c.failed_code, ERR_DIFFERS);
	assert_true(server_status(w.server, 0, &st));
	assert_int_equal(st.staged.count, 0);
}

static void
a_collector_that_goes_away_does_not_cancel_the_seal(void **state)
{
	(void)state;
	connect_live(&w.c);
	begin_job(&w.c, 9);
	seal(&w.c, 9, "");
	while (wire_conn_queued(w.c.conn) || w.c.seen[WIRE_SEALED] + w.c.seen[WIRE_PROGRESS] < 2)
		turn(); /* the order is given */
	hang_up(&w.c);
	struct server_profile_status st;
	do {
		turn();
		assert_true(server_status(w.server, 0, &st));
	} while (!*st.last_set || st.connected);
	w.c.last_set[0] = '\0';
	connect_live(&w.c);
	assert_string_equal(w.c.last_set, "tuenov24");
}

static void
a_seal_that_is_asked_for_again_after_a_lost_connection_goes_on(void **state)
{
	unsigned before;

	(void)state;
	connect_live(&w.c);
	begin_job(&w.c, 9);
	before = w.c.seen[WIRE_PROGRESS];
	seal(&w.c, 9, "hang");
	await(&w.c, WIRE_PROGRESS, before + 1); /* the keeper is at work */
	hang_up(&w.c);
	connect_live(&w.c);
	assert_string_equal(w.c.last_set, ""); /* no set yet: the collector asks again */
	before = w.c.seen[WIRE_PROGRESS];
	seal(&w.c, 9, "hang");
	while (w.c.seen[WIRE_PROGRESS] == before && !w.c.seen[WIRE_JOB_FAILED])
		turn();
	assert_int_equal(w.c.seen[WIRE_JOB_FAILED], 0);
	assert_int_equal(server_stop(w.server, "po1", "user root"), 0);
	await(&w.c, WIRE_JOB_FAILED, 1); /* the answer comes to the new connection */
	assert_int_equal(w.c.failed_code, ERR_STOPPED);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		SESSION_TEST(a_token_enrols_and_each_session_has_a_higher_number),
		SESSION_TEST(a_second_collector_is_sent_away_while_the_first_lives),
		SESSION_TEST(a_killed_collector_does_not_wait_for_its_own_ghost),
		SESSION_TEST(what_is_durable_can_be_asked_for),
		SESSION_TEST(a_message_in_the_wrong_state_ends_the_session),
		SESSION_TEST(only_a_poke_seals_and_only_what_both_hold),
		SESSION_TEST(only_the_job_that_was_begun_is_sealed),
		SESSION_TEST(a_job_whose_t0_could_not_be_kept_has_not_begun_and_begins_when_it_is_told_again),
		SESSION_TEST(an_index_file_that_was_lost_loses_its_row_and_both_sides_are_compared),
		SESSION_TEST(a_file_that_is_on_its_way_is_waited_for),
		SESSION_TEST(a_collector_of_the_other_type_is_sent_away),
		SESSION_TEST(a_job_that_failed_on_the_collector_is_a_failure_here),
		SESSION_TEST(a_job_that_failed_before_it_came_here_is_a_failure_here),
		SESSION_TEST(what_a_later_version_says_ends_a_session_of_the_first),
		SESSION_TEST(a_collector_hears_of_the_newest_set_once_it_is_welcomed),
		SESSION_TEST(the_names_of_a_set_come_a_page_at_a_time),
		SESSION_TEST(a_second_page_while_the_first_is_on_its_way_ends_the_session),
		SESSION_TEST(a_collector_of_the_first_version_may_not_ask_for_names),
		SESSION_TEST(sets_for_which_there_is_no_memory_are_not_an_empty_list),
		SESSION_TEST(a_stop_from_the_server_ends_a_running_seal),
		SESSION_TEST(a_keeper_that_dies_fails_the_job_and_comes_back),
		SESSION_TEST(doubtful_files_lose_their_rows),
		SESSION_TEST(a_collector_that_goes_away_does_not_cancel_the_seal),
		SESSION_TEST(a_seal_that_is_asked_for_again_after_a_lost_connection_goes_on),
	};

	return SESSION_MAIN(argc, argv, tests);
}
