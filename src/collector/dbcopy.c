/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dbcopy - the child process that copies, from its start to the proof that its work is whole.
 *
 * Happy path: list the live tree (lane), start the child, take its reports, reap it, then check
 * (lane): exit status, log, list of files; prune names that vanished from the live tree.  Failure modes: cannot be started,
 * time limit, non-zero exit, an error in its log, a live database that is missing, empty or older than it was at T0.
 * On stop the child's whole process group gets TERM, five seconds later KILL.
 *
 * The child writes its output into the job's log itself: nothing of it passes the loop, and nobody waits for its end, which something that
 * the child started may hold off for ever.  What is left in the child's session is ended before anything is believed: it could still write.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "base/log.h"
#include "base/workpool.h"
#include "collector/copychild.h"
#include "collector/dbcopy.h"
#include "collector/dbcopy_proof.h"
#include "collector/procsession.h"
#include "collector/shadow.h"
#include "collector/shellwords.h"
#include "collector/staginglock.h"
#include "livetree.h"

#define NO_SPACE "local staging has no space left: no backup was made; free some space in the collector's state and run it again"
#define GRACE_S 5      /* from TERM to KILL */
#define LINGER_MS 2000 /* in which what a good run left may end by itself */
#define REPORT_PIECE (256u * 1024u)

enum step { STEP_LISTING, STEP_COPYING, STEP_CHECKING, STEP_OVER };

struct dbcopy {
	struct dbcopy_setup setup;
	struct dbcopy_events events;
	void *arg;
	char *staging, *shadow, *log_file, *command; /* copies of the setup's */
	bool builtin;
	uint8_t key[BLOCK_KEY_BYTES];

	enum step step;
	struct job job;             /* listing, then checking */
	bool job_runs, prove;       /* prove: the job is to look at what the child did, too */
	struct dbcopy_proof proof;  /* belongs to the lane while a job runs */
	char *marker;
	struct dbcopy_figures figures;
	uint64_t total;             /* bytes of the live databases */
	int err;                    /* of the lane's work, or of the whole */
	char text[1024];

	pid_t pid;
	int status;                 /* wait status */
	bool reaped, stopped, timed_out, freed;
	int log_fd;
	struct event *report, *child, *limit;
	int report_fd;
	uint8_t *report_data;       /* bytes of an unfinished report */
	size_t report_len, report_cap;
};

/* ---- the end ---- */

static void
keep_error(struct dbcopy *d, int err)
{
	if (d->err == 0) {
		d->err = err;
		snprintf(d->text, sizeof d->text, "%s", err_text());
	}
}

static void
close_event(struct event **ev, int *fd)
{
	if (*ev)
		event_free(*ev);
	*ev = NULL;
	if (fd && *fd >= 0) {
		close(*fd);
		*fd = -1;
	}
}

static void
destroy(struct dbcopy *d)
{
	close_event(&d->report, &d->report_fd);
	close_event(&d->child, NULL);
	close_event(&d->limit, NULL);
	if (d->log_fd >= 0)
		close(d->log_fd);
	dblist_fini(&d->proof.before);
	dblist_fini(&d->proof.had);
	free(d->marker);
	free(d->report_data);
	free(d->staging);
	free(d->shadow);
	free(d->log_file);
	free(d->command);
	free(d);
}

static void
over(struct dbcopy *d)
{
	d->step = STEP_OVER;
	close_event(&d->limit, NULL);
	if (d->stopped) {
		d->err = -ERR_STOPPED;
		snprintf(d->text, sizeof d->text, "DBCOPY was stopped");
	}
	if (d->freed)
		destroy(d);
	else
		d->events.done(d->err, d->text, &d->figures, d->arg);
}

/* ---- the proof (lane) ---- */

/* What the child left running in its session could still write into staging. */
static void
end_session(struct dbcopy *d)
{
	size_t ended = 0;
	int err = procsession_end(d->pid, d->prove ? LINGER_MS : 0, &ended);

	if (err) {
		(void)err_prefix(err, "what DBCOPY started still runs and may write into local staging");
		keep_error(d, err);
	} else if (ended) {
		log_warn("dbcopy.left", "DBCOPY ended and left %zu processes running; they were ended", ended);
		dprintf(d->log_fd, "tidemark: DBCOPY ended and left %zu processes running; they were ended\n", ended);
	}
}

static void
prove(struct dbcopy *d)
{
	size_t used = strlen(d->text);

	if (d->err == 0) {
		int err = dbcopy_proof_end(&d->proof);

		if (err)
			keep_error(d, err);
	} else if (dbcopy_proof_failed(&d->proof) == -ERR_INCOMPLETE) {
		snprintf(d->text + used, sizeof d->text - used, "; %s", err_text());
	}
	/* The built-in one says so itself. */
	if (d->err == -ERR_INCOMPLETE && !d->builtin && dbcopy_proof_no_space(&d->proof)) {
		d->err = -ERR_NOSPACE;
		used = strlen(d->text);
		snprintf(d->text + used, sizeof d->text - used, "; " NO_SPACE);
	}
}

static void
check_run(struct job *job)
{
	struct dbcopy *d = (struct dbcopy *)((char *)job - offsetof(struct dbcopy, job));

	if (d->pid > 0)
		end_session(d);
	if (d->prove)
		prove(d);
}

static void
check_done(struct job *job, bool cancelled)
{
	struct dbcopy *d = (struct dbcopy *)((char *)job - offsetof(struct dbcopy, job));

	d->job_runs = false;
	if (cancelled)
		d->stopped = true;
	over(d);
}

/* ---- the child's life ---- */

static void
signal_group(struct dbcopy *d, int signal_number)
{
	if (d->pid > 0 && !d->reaped)
		kill(-d->pid, signal_number);
}

static void
on_limit(evutil_socket_t fd, short what, void *arg)
{
	struct dbcopy *d = arg;
	struct timeval grace = {GRACE_S, 0};

	(void)fd, (void)what;
	if (!d->timed_out && !d->stopped) {
		d->timed_out = true;
		signal_group(d, SIGTERM);
		evtimer_add(d->limit, &grace);
	} else {
		signal_group(d, SIGKILL);
	}
}

static int
judge_exit(struct dbcopy *d)
{
	if (d->timed_out)
		return err_set(ERR_TIMEOUT, "DBCOPY did not end within its time limit (dbcopy-timeout) and was killed");
	if (WIFSIGNALED(d->status))
		return err_set(ERR_INCOMPLETE, "DBCOPY was killed by signal %d", WTERMSIG(d->status));
	if (d->builtin && WEXITSTATUS(d->status) == err_exit_status(-ERR_NOSPACE))
		return err_set(ERR_NOSPACE, NO_SPACE);
	if (WEXITSTATUS(d->status) != 0)
		return err_set(ERR_INCOMPLETE, "DBCOPY ended with status %d; the job's log has its output", WEXITSTATUS(d->status));
	return 0;
}

/* The child is reaped and its reports are read: nothing more will come. */
static void
maybe_check(struct dbcopy *d)
{
	int err;

	if (d->step != STEP_COPYING || !d->reaped || d->report_fd >= 0)
		return;
	d->prove = !d->stopped;
	if (d->prove && (err = judge_exit(d)) != 0)
		keep_error(d, err);
	d->step = STEP_CHECKING;
	d->job = (struct job){.run = check_run, .done = check_done};
	d->job_runs = true;
	workpool_submit(d->setup.pool, d->setup.lane, &d->job);
}

static void
on_child(evutil_socket_t fd, short what, void *arg)
{
	struct dbcopy *d = arg;

	(void)fd, (void)what;
	if (!d->reaped && d->pid > 0 && waitpid(d->pid, &d->status, WNOHANG) == d->pid) {
		d->reaped = true;
		maybe_check(d);
	}
}

static void
give_file(struct dbcopy *d, char *path, struct dbcopy_file *file)
{
	d->figures.files_copied += file->changed;
	d->figures.bytes_copied += file->changed ? file->size : 0;
	d->figures.files++;
	d->figures.bytes += file->size;
	if (d->events.file && !d->stopped)
		d->events.file(file, d->arg);
	else
		free(file->hashes);
	if (d->events.progress && !d->stopped)
		d->events.progress(d->figures.files, d->figures.bytes, d->arg);
	free(path);
}

/* Gives every whole report and keeps the rest for the next bytes. */
static int
take_reports(struct dbcopy *d)
{
	size_t at = 0, used;
	struct dbcopy_file file;
	char *path;
	int got;

	while ((got = dbcopy_report_unpack(d->report_data + at, d->report_len - at, &used, &path, &file)) == 1) {
		at += used;
		give_file(d, path, &file);
	}
	memmove(d->report_data, d->report_data + at, d->report_len - at);
	d->report_len -= at;
	return got;
}

static void
on_report(evutil_socket_t fd, short what, void *arg)
{
	struct dbcopy *d = arg;
	ssize_t n;
	int err = 0;

	(void)what;
	if (d->report_cap - d->report_len < REPORT_PIECE) {
		size_t cap = d->report_cap * 2 + REPORT_PIECE;
		uint8_t *grown = realloc(d->report_data, cap);

		if (grown) {
			d->report_data = grown;
			d->report_cap = cap;
		} else {
			err = err_set(ERR_NOMEM, "no memory for tidemark-dbcopy's report");
		}
	}
	n = err ? 0 : read(fd, d->report_data + d->report_len, d->report_cap - d->report_len);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		d->report_len += (size_t)n;
		err = take_reports(d);
		if (err == 0)
			return;
	} else if (err == 0 && d->report_len && !d->stopped) {
		err = err_set(ERR_PEER, "tidemark-dbcopy's report ended in the middle of a file");
	}
	if (err)
		keep_error(d, err);
	close_event(&d->report, &d->report_fd);
	maybe_check(d);
}

/* ---- starting it ---- */

static int
start_builtin(struct dbcopy *d)
{
	char program[PATH_MAX], root[PATH_MAX];
	int pair[2], err;
	char *words[] = {program, (char[]){"--report"}, (char[]){"3"}, root, d->staging, NULL};

	if ((err = copychild_sibling("tidemark-dbcopy", program, sizeof program)) != 0)
		return err;
	snprintf(root, sizeof root, "%s", livetree_root(d->setup.tree));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return err_sys("making tidemark-dbcopy's report channel");
	err = copychild_start(words, d->log_fd, pair[1], d->setup.lock, &d->pid);
	close(pair[1]);
	if (err == 0 && write(pair[0], d->key, sizeof d->key) != (ssize_t)sizeof d->key)
		err = err_sys("giving tidemark-dbcopy its key");
	d->report_fd = pair[0];
	if (err)
		return err;
	evutil_make_socket_nonblocking(pair[0]);
	d->report = event_new(d->setup.base, pair[0], EV_READ | EV_PERSIST, on_report, d);
	return d->report && event_add(d->report, NULL) == 0 ? 0 : err_set(ERR_NOMEM, "watching tidemark-dbcopy");
}

static int
start_external(struct dbcopy *d)
{
	char **words;
	size_t n;
	int err = shellwords_split(d->command, 2, &words, &n);

	if (err)
		return err;
	words[n] = d->shadow;
	words[n + 1] = d->staging;
	err = copychild_start(words, d->log_fd, -1, d->setup.lock, &d->pid);
	words[n] = words[n + 1] = NULL;
	shellwords_free(words);
	return err;
}

static int
watch_child(struct dbcopy *d)
{
	struct timeval limit = {d->setup.timeout_ms / 1000, d->setup.timeout_ms % 1000 * 1000};

	d->child = evsignal_new(d->setup.base, SIGCHLD, on_child, d);
	d->limit = evtimer_new(d->setup.base, on_limit, d);
	if (!d->child || !d->limit || event_add(d->child, NULL) != 0 || (d->setup.timeout_ms && evtimer_add(d->limit, &limit) != 0))
		return err_set(ERR_NOMEM, "watching DBCOPY");
	return 0;
}

static int
start_child(struct dbcopy *d)
{
	/* SIGCHLD is watched before there is a child: it cannot end unseen. */
	int err = watch_child(d);

	if (err == 0)
		err = d->builtin ? start_builtin(d) : start_external(d);
	if (d->pid > 0)
		staginglock_lead(d->setup.lock, d->pid);
	return err;
}

static void
list_run(struct job *job)
{
	struct dbcopy *d = (struct dbcopy *)((char *)job - offsetof(struct dbcopy, job));
	int err = dbcopy_proof_begin(&d->proof);

	if (err == 0 && !d->builtin)
		err = shadow_make(d->shadow, d->setup.tree);
	if (err)
		keep_error(d, err);
}

static uint64_t
bytes_of(const struct dblist *list)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < list->n; i++)
		bytes += list->files[i].size;
	return bytes;
}

static void
list_done(struct job *job, bool cancelled)
{
	struct dbcopy *d = (struct dbcopy *)((char *)job - offsetof(struct dbcopy, job));
	int err;

	d->job_runs = false;
	if (cancelled)
		d->stopped = true;
	if (d->stopped || d->err) {
		over(d);
		return;
	}
	d->total = bytes_of(&d->proof.before);
	d->step = STEP_COPYING;
	if ((err = start_child(d)) != 0) {
		keep_error(d, err);
		d->reaped = d->pid == 0;
		signal_group(d, SIGKILL);
		close_event(&d->report, &d->report_fd);
		if (d->reaped)
			over(d);
	}
}

uint64_t
dbcopy_total(const struct dbcopy *d)
{
	return d->total;
}

int
dbcopy_start(const struct dbcopy_setup *setup, const struct dbcopy_events *events, void *arg, struct dbcopy **ret_dbcopy)
{
	struct dbcopy *d = calloc(1, sizeof *d);

	if (!d)
		return err_set(ERR_NOMEM, "starting DBCOPY");
	d->setup = *setup;
	d->events = *events;
	d->arg = arg;
	d->report_fd = -1;
	d->builtin = strcmp(setup->command, "builtin") == 0;
	d->staging = strdup(setup->staging);
	d->shadow = strdup(setup->shadow);
	d->log_file = strdup(setup->log_file);
	d->command = strdup(setup->command);
	memcpy(d->key, setup->key, sizeof d->key);
	d->log_fd = open(setup->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (asprintf(&d->marker, "%s.running", setup->shadow) < 0)
		d->marker = NULL;
	d->proof = (struct dbcopy_proof){
	    .tree = setup->tree,
	    .staging = d->staging,
	    .marker = d->builtin ? NULL : d->marker,
	    .log_fd = d->log_fd,
	    .figures = &d->figures,
	};
	if (!d->staging || !d->shadow || !d->log_file || !d->command || !d->marker || d->log_fd < 0) {
		int err = d->log_fd < 0 ? err_sys("opening the job's log %s", setup->log_file) : err_set(ERR_NOMEM, "starting DBCOPY");

		destroy(d);
		return err;
	}
	d->job = (struct job){.run = list_run, .done = list_done};
	d->job_runs = true;
	workpool_submit(setup->pool, setup->lane, &d->job);
	*ret_dbcopy = d;
	return 0;
}

void
dbcopy_stop(struct dbcopy *d)
{
	struct timeval grace = {GRACE_S, 0};

	if (d->step == STEP_OVER || d->stopped)
		return;
	d->stopped = true;
	signal_group(d, SIGTERM);
	if (d->limit && !d->reaped)
		evtimer_add(d->limit, &grace);
}

void
dbcopy_free(struct dbcopy *d)
{
	if (!d)
		return;
	if (d->step == STEP_OVER) {
		destroy(d);
		return;
	}
	/* The owner goes before the end: the child is killed now, and when nothing of it is left we free ourselves. */
	d->freed = true;
	d->stopped = true;
	if (d->step == STEP_COPYING) {
		if (!d->reaped && d->pid > 0)
			copychild_reap(d->pid, &d->status);
		d->reaped = true;
	}
	if (!d->job_runs)
		destroy(d);
}

char *
dbcopy_problem(const char *command)
{
	char program[PATH_MAX], **words = NULL, *problem = NULL;
	const char *path = program;
	struct stat st;
	size_t n = 0;

	if (strcmp(command, "builtin") == 0) {
		if (copychild_sibling("tidemark-dbcopy", program, sizeof program) != 0)
			return strdup(err_text());
	} else if (shellwords_split(command, 0, &words, &n) != 0) {
		return strdup(err_text());
	} else {
		path = words[0];
	}
	if (*path != '/')
		problem = strdup("dbcopy must be \"builtin\" or begin with an absolute path");
	else if (access(path, X_OK) != 0 && asprintf(&problem, "DBCOPY cannot be run: %s: %s", path, strerror(errno)) < 0)
		problem = NULL;
	else if (!problem && stat(path, &st) == 0 && !S_ISREG(st.st_mode) && asprintf(&problem, "DBCOPY cannot be run: %s is no program", path) < 0)
		problem = NULL;
	shellwords_free(words);
	return problem;
}
