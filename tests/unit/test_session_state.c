/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the server tells of a profile, whom it lets in or sends away, and what it says when it cannot know. */
#include "tests/unit/session_rig.h"

static void
a_revoked_certificate_ends_its_session(void **state)
{
	struct wire_msg question = {.type = WIRE_SUMS_REQ};
	struct grant g = {0};

	(void)state;
	connect_live(&w.c);
	assert_int_equal(server_revoke(w.server, "po1", on_granted, &g), 0);
	assert_false(g.over);
	while (!g.over)
		turn();
	assert_int_equal(g.err, 0);
	question.u.sums_req.after = (char *)(uintptr_t)"";
	(void)wire_conn_send(w.c.conn, &question); /* its end may have come already */
	while (!w.c.closed && !w.c.seen[WIRE_SUMS])
		turn();
	assert_int_equal(w.c.seen[WIRE_SUMS], 0);
	hang_up(&w.c);
	dial(&w.c);
	if (!w.c.closed) {
		hello(&w.c);
		await_end(&w.c);
	}
	assert_int_equal(server_revoke(w.server, "po1", on_granted, &g), -ERR_NOTFOUND);
}

static enum server_state
state_when_enrolled_hours_ago(int64_t hours)
{
	const struct timespec then = {.tv_sec = clock_wall_ns() / 1000000000 - hours * 3600};
	struct server_profile_status st;
	char pin[256];

	scratch_path(&w.scratch, "store/.identity/pins/po1", pin);
	assert_int_equal(utimensat(AT_FDCWD, pin, (struct timespec[2]){then, then}, 0), 0);
	assert_true(server_status(w.server, 0, &st));
	return st.state;
}

/* Nobody has to tell the server: that it hears of no set is enough. */
static void
a_profile_without_a_set_for_too_long_is_late(void **state)
{
	(void)state;
	connect_live(&w.c);
	assert_int_not_equal(state_when_enrolled_hours_ago(25), SERVER_LATE);
	assert_int_equal(state_when_enrolled_hours_ago(27), SERVER_LATE);
	begin_job(&w.c, 5);
	seal(&w.c, 5, "");
	await(&w.c, WIRE_SEALED, 1);
	assert_int_equal(state_when_enrolled_hours_ago(0), SERVER_LATE); /* the set's T0 is of 1970 */
}

/* Whoever is not a profile's session has one of few places, and not for long: strangers, and a certificate without a HELLO. */
static void
say_due(struct collector *c, int64_t hours_ago)
{
	struct wire_msg m = {.type = WIRE_DUE};

	m.u.due.at_ns = clock_wall_ns() - hours_ago * 3600 * 1000000000;
	say(c, &m);
	begin_job(c, 5); /* an answer: it was heard */
}

static void
a_set_is_late_only_when_a_run_is_overdue_too(void **state)
{
	(void)state;
	connect_live(&w.c);
	say_due(&w.c, 1);
	assert_int_not_equal(state_when_enrolled_hours_ago(27), SERVER_LATE);
	hang_up(&w.c);
	server_free(w.server);
	start_server();
	w.c.version_max = 1; /* nobody tells it again */
	connect_live(&w.c);
	assert_int_not_equal(state_when_enrolled_hours_ago(27), SERVER_LATE);
	hang_up(&w.c);
	w.c.version_max = 0;
	connect_live(&w.c);
	say_due(&w.c, 3);
	assert_int_equal(state_when_enrolled_hours_ago(27), SERVER_LATE);
	say_due(&w.c, -100000);
	assert_int_not_equal(state_when_enrolled_hours_ago(7 * 24), SERVER_LATE);
	assert_int_equal(state_when_enrolled_hours_ago(9 * 24), SERVER_LATE); /* no collector puts it off for years */
}

static void
sets_that_nobody_adds_to_grow_old(void **state)
{
	struct server_profile_status st;
	struct grant g = {0};

	(void)state;
	connect_live(&w.c);
	begin_job(&w.c, 5);
	seal(&w.c, 5, "");
	await(&w.c, WIRE_SEALED, 1);
	assert_int_equal(server_revoke(w.server, "po1", on_granted, &g), 0);
	while (!g.over)
		turn();
	assert_true(server_status(w.server, 0, &st));
	assert_false(st.enrolled);
	assert_int_equal(st.state, SERVER_LATE);
}

static void
a_name_that_was_only_given_a_token_is_not_green(void **state)
{
	struct server_profile_status st = {0};
	struct grant g = {0};
	int i;

	(void)state;
	assert_int_equal(server_token_create(w.server, "typo", 60, on_granted, &g), 0);
	while (!g.over)
		turn();
	free(g.token);
	i = server_find(w.server, "typo");
	assert_true(i >= 0 && server_status(w.server, (size_t)i, &st));
	assert_int_equal(st.state, SERVER_DEGRADED);
	assert_non_null(strstr(st.reason, "no collector is enrolled"));
}

static void
who_only_stays_counts_as_connecting_and_is_sent_away(void **state)
{
	struct collector stranger = {0};
	struct identity_token token;
	struct server_facts facts;
	char *text = make_token();

	(void)state;
	assert_int_equal(identity_token_parse(text, &token), 0);
	free(text);
	assert_int_equal(identity_open_enrolling(token.pin, sizeof token.pin, &stranger.identity), 0);
	dial(&stranger);
	dial(&w.c);
	do {
		turn();
		server_facts(w.server, &facts);
	} while (facts.connecting + facts.sessions < 2);
	assert_int_equal(facts.connecting, 2);
	server_connecting_ms = -1;
	await_end(&stranger);
	await_end(&w.c);
	server_connecting_ms = 60000;
	hang_up(&stranger);
	identity_close(stranger.identity);
	hang_up(&w.c);
	connect_live(&w.c);
	server_facts(w.server, &facts);
	assert_int_equal(facts.sessions, 1);
}

static void
a_token_that_the_server_has_no_time_for_is_told(void **state)
{
	struct grant g = {0};

	(void)state;
	assert_int_equal(server_token_create(w.server, "po1", 0, on_granted, &g), -ERR_USAGE);
	assert_int_equal(server_token_create(w.server, "po1", 60, on_granted, &g), 0);
	server_free(w.server);
	w.server = NULL;
	assert_true(g.over);
	free(g.token);
}

static void
a_restart_keeps_the_job_and_what_was_durable(void **state)
{
	(void)state;
	connect_live(&w.c);
	put(&w.c, "offiles/fd1/a", "one");
	settle(&w.c);
	begin_job(&w.c, 10);
	struct treemap_sum before = w.c.total;
	hang_up(&w.c);
	server_free(w.server);
	start_server();
	connect_live(&w.c);
	assert_int_equal(w.c.total.count, before.count);
	assert_true(hash128_equal(w.c.total.hash, before.hash));
	seal(&w.c, 10, "");
	await(&w.c, WIRE_SEALED, 1);
}

/* ---- what cannot be known now ---- */

static void
on_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	*(bool *)arg = true;
}

/* Turns the loop for so long; gives how often it turned. */
static unsigned
turn_for(int ms)
{
	const struct timeval t = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	bool over = false;
	struct event *e = event_new(w.base, -1, 0, on_over, &over);
	unsigned turns = 0;

	event_add(e, &t);
	for (; !over; turns++)
		turn();
	event_free(e);
	return turns;
}

static void
revoke_it(void)
{
	struct grant g = {0};

	assert_int_equal(server_revoke(w.server, "po1", on_granted, &g), 0);
	while (!g.over)
		turn();
	assert_int_equal(g.err, 0);
}

/* Who waits cannot be let in, and the listener says so as long as he waits. */
static void
a_server_without_descriptors_rests_and_then_lets_in_who_waited(void **state)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), next;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct rlimit limit, none;
	struct server_facts facts;

	(void)state;
	for (server_facts(w.server, &facts); facts.connecting; server_facts(w.server, &facts))
		turn(); /* who was enrolled lets go of his descriptor */
	to.sin_port = htons((uint16_t)atoi(strrchr(facts.listen, ':') + 1));
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	next = dup(fd);
	close(next);
	none = (struct rlimit){.rlim_cur = (rlim_t)next, .rlim_max = limit.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
	assert_in_range(turn_for(500), 1, 50);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	do {
		turn();
		server_facts(w.server, &facts);
	} while (!facts.connecting);
	close(fd);
}

static void
a_revocation_that_cannot_look_does_not_say_that_there_is_nothing_to_revoke(void **state)
{
	struct server_profile_status st;
	struct grant g = {0};

	(void)state;
	disk.unseen = "po1";
	assert_int_equal(server_revoke(w.server, "po1", on_granted, &g), -ERR_IO);
	assert_true(server_status(w.server, 0, &st));
	disk.unseen = NULL;
	assert_int_equal(st.state, SERVER_DEGRADED);
	assert_null(strstr(st.reason, "token create"));
	assert_non_null(strstr(st.reason, "not known"));
	revoke_it();
}

/* Somebody who was told that it holds nothing would remove it. */
static void
a_profile_that_is_not_open_yet_is_not_said_to_hold_nothing(void **state)
{
	struct server_profile_status st;

	(void)state;
	connect_live(&w.c);
	put(&w.c, "offiles/fd1/a", "one");
	settle(&w.c);
	hang_up(&w.c);
	revoke_it();
	server_free(w.server);
	atomic_store(&locks_wait, true);
	start_server();
	(void)turn_for(500); /* the keeper tells that there are no sets */
	assert_true(server_status(w.server, 0, &st));
	atomic_store(&locks_wait, false);
	assert_int_equal(st.staged.count, 0);
	assert_non_null(strstr(st.reason, "no collector is enrolled"));
	assert_null(strstr(st.reason, "remove"));
}

static void
sets_that_the_keeper_cannot_tell_make_nothing_green_and_are_asked_for_again(void **state)
{
	struct server_profile_status st;
	FILE *f = fopen(getenv(KEEPER_FAILS), "w");

	(void)state;
	assert_non_null(f);
	fclose(f);
	server_free(w.server);
	start_server();
	connect_live(&w.c);
	assert_true(server_status(w.server, 0, &st));
	assert_int_equal(st.state, SERVER_DEGRADED);
	assert_non_null(strstr(st.reason, "an old keeper has them"));
	assert_int_equal(unlink(getenv(KEEPER_FAILS)), 0);
	tenant_again_ms = 0;
	while (state_when_enrolled_hours_ago(27) != SERVER_LATE)
		turn();
	assert_int_equal(state_when_enrolled_hours_ago(0), SERVER_OK);
	tenant_again_ms = 60000;
}

/* The collector sends what it is told no hash of. */
static void
blocks_that_cannot_be_read_are_not_told_and_end_nothing(void **state)
{
	struct wire_msg question = {.type = WIRE_BLOCKS_REQ};

	(void)state;
	connect_live(&w.c);
	put(&w.c, "ofuser/a.db", "one");
	settle(&w.c);
	question.u.blocks_req.path = (char *)(uintptr_t)"ofuser/a.db";
	question.u.blocks_req.count = 1;
	say(&w.c, &question);
	await(&w.c, WIRE_BLOCKS, 1);
	assert_int_equal(w.c.n_items, 1);
	atomic_store(&bad_sector, true);
	say(&w.c, &question);
	await(&w.c, WIRE_BLOCKS, 2);
	atomic_store(&bad_sector, false);
	assert_true(w.c.present);
	assert_int_equal(w.c.n_items, 0);
}

/* What comes of it is refused, as long as its inode is bad, and all else goes on. */
static void
a_file_whose_inode_cannot_be_read_is_told_as_absent(void **state)
{
	struct wire_msg question = {.type = WIRE_BLOCKS_REQ};

	(void)state;
	needs_openat2();
	connect_live(&w.c);
	put(&w.c, "ofuser/a.db", "one");
	settle(&w.c);
	disk.unreadable = "a.db";
	question.u.blocks_req.path = (char *)(uintptr_t)"ofuser/a.db";
	question.u.blocks_req.count = 1;
	say(&w.c, &question);
	await(&w.c, WIRE_BLOCKS, 1);
	assert_false(w.c.present);
	put(&w.c, "ofuser/b.db", "two");
	settle(&w.c);
	assert_false(w.c.closed);
	disk.unreadable = NULL;
}

static void
what_is_only_received_is_not_called_durable(void **state)
{
	struct wire_msg begin = {.type = WIRE_BEGIN};
	struct server_profile_status st;

	(void)state;
	connect_live(&w.c);
	begin.u.begin.op = ++w.c.op;
	begin.u.begin.path = (char *)(uintptr_t)"ofuser/a.db";
	begin.u.begin.size = 1 << 20;
	say(&w.c, &begin);
	await(&w.c, WIRE_ACK, 1);
	assert_int_equal(w.c.durable, 0);
	assert_true(server_status(w.server, 0, &st));
	assert_int_equal(st.last_durable_ns, 0);
	hang_up(&w.c);
	connect_live(&w.c);
	put(&w.c, "ofuser/b.db", "two");
	settle(&w.c);
	assert_true(server_status(w.server, 0, &st));
	assert_true(st.last_durable_ns > 0);
}

/* Five wrong proofs burn a token: nobody gets them all in at once. */
static void
a_connection_has_one_try_at_a_token(void **state)
{
	struct wire_msg m = {.type = WIRE_ENROL};
	struct collector stranger = {0};
	struct identity_token token;
	char *text = make_token();
	uint8_t record[64];
	char path[256];
	int fd;

	(void)state;
	assert_int_equal(identity_token_parse(text, &token), 0);
	free(text);
	assert_int_equal(identity_open_enrolling(token.pin, sizeof token.pin, &stranger.identity), 0);
	dial(&stranger);
	m.u.enrol.profile = (char *)(uintptr_t)"po1";
	m.u.enrol.csr = (struct wire_bytes){(const uint8_t *)"x", 1};
	for (int i = 0; i < 5; i++)
		say(&stranger, &m);
	await_end(&stranger);
	(void)turn_for(200); /* what it has given to do */
	scratch_path(&w.scratch, "store/.identity/tokens/po1", path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_true(read(fd, record, sizeof record) > 9);
	assert_in_range(record[9], 0, 1); /* wrong proofs */
	close(fd);
	hang_up(&stranger);
	identity_close(stranger.identity);
}

/* Its collector comes, with the type that nobody had told, while another one is being enrolled. */
static void
a_profile_that_is_opened_again_waits_for_an_enrolment(void **state)
{
	struct wire_msg m = {.type = WIRE_ENROL};
	struct collector other = {0};
	struct identity_request *request;
	struct identity_token token;
	char *text = make_token();
	uint8_t exporter[32];
	const uint8_t *csr;
	size_t len;

	(void)state;
	assert_int_equal(identity_token_parse(text, &token), 0);
	free(text);
	assert_int_equal(identity_open_enrolling(token.pin, sizeof token.pin, &other.identity), 0);
	dial(&other);
	dial(&w.c);
	assert_int_equal(identity_enrol_begin("po1", &request), 0);
	identity_request_csr(request, &csr, &len);
	m.u.enrol.profile = (char *)(uintptr_t)"po1";
	m.u.enrol.csr = (struct wire_bytes){csr, len};
	assert_int_equal(wire_conn_exporter(other.conn, exporter), 0);
	assert_int_equal(identity_proof(token.secret, exporter, csr, len, m.u.enrol.proof), 0);
	atomic_store(&lanes_wait, true);
	say(&other, &m);
	(void)turn_for(200);
	atomic_store(&locks_wait, true); /* once it is closed it is not open again soon */
	hello(&w.c);
	(void)turn_for(200);
	atomic_store(&lanes_wait, false);
	await(&other, WIRE_ENROLLED, 1);
	atomic_store(&locks_wait, false);
	identity_request_free(request);
	free(other.certificate);
	free(other.authority);
	hang_up(&other);
	identity_close(other.identity);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		SESSION_TEST(a_revoked_certificate_ends_its_session),
		SESSION_TEST(a_profile_without_a_set_for_too_long_is_late),
		SESSION_TEST(a_set_is_late_only_when_a_run_is_overdue_too),
		SESSION_TEST(sets_that_nobody_adds_to_grow_old),
		SESSION_TEST(a_name_that_was_only_given_a_token_is_not_green),
		SESSION_TEST(who_only_stays_counts_as_connecting_and_is_sent_away),
		SESSION_TEST(a_token_that_the_server_has_no_time_for_is_told),
		SESSION_TEST(a_restart_keeps_the_job_and_what_was_durable),
		SESSION_TEST(a_server_without_descriptors_rests_and_then_lets_in_who_waited),
		SESSION_TEST(a_revocation_that_cannot_look_does_not_say_that_there_is_nothing_to_revoke),
		SESSION_TEST(a_profile_that_is_not_open_yet_is_not_said_to_hold_nothing),
		SESSION_TEST(sets_that_the_keeper_cannot_tell_make_nothing_green_and_are_asked_for_again),
		SESSION_TEST(blocks_that_cannot_be_read_are_not_told_and_end_nothing),
		SESSION_TEST(a_file_whose_inode_cannot_be_read_is_told_as_absent),
		SESSION_TEST(what_is_only_received_is_not_called_durable),
		SESSION_TEST(a_connection_has_one_try_at_a_token),
		SESSION_TEST(a_profile_that_is_opened_again_waits_for_an_enrolment),
	};

	return SESSION_MAIN(argc, argv, tests);
}
