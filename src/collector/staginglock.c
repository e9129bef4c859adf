/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * staginglock - one lock file; while it is locked its text is the session of DBCOPY, 0 before that is known.
 *
 * Killed between DBCOPY's start and the text: whoever holds the lock then is what had just been started, and the next job ends it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "collector/procsession.h"
#include "collector/staginglock.h"

#define LOCK_NAME "dbcopy.lock"
#define NOTE_BYTES 16 /* the session's number and spaces; written when the lock is taken, so that a full disk keeps nobody from noting it */
#define TRIES 3 /* a holder may end while we look for it */
/* Scripts use the low descriptors for themselves, and bash what is just below 256. */
#define DESCRIPTOR_MIN 100

static int
note_session(int lock, pid_t session)
{
	char text[NOTE_BYTES + 1];

	snprintf(text, sizeof text, "%-*d\n", NOTE_BYTES - 1, (int)session);
	return fsio_pwrite(lock, text, NOTE_BYTES, 0);
}

/* 0: DBCOPY was not started, or its collector was killed before it could note that. */
static pid_t
known_session(int dir)
{
	char *text = NULL;
	pid_t session = 0;
	size_t len;

	if (fsio_read_file(dir, LOCK_NAME, 64, &text, &len) == 0)
		session = (pid_t)atoi(text);
	free(text);
	return session;
}

/* Ends what holds the lock and may be ended. */
static int
free_lock(int dir)
{
	struct procsession_one holder;
	struct stat st;
	size_t ended;
	pid_t known;
	int err = fsio_stat(dir, LOCK_NAME, &st);

	if (err || !procsession_holder(&st, LOCK_NAME, &holder))
		return err;
	known = known_session(dir);
	/* With nothing noted it can only be what was started that very moment. */
	if (!known || holder.session == known) {
		err = procsession_end(holder.session, 0, &ended);
		return err ? err_prefix(err, "DBCOPY of an earlier backup still runs") : 0;
	}
	return err_set(ERR_BUSY, "process %d (%s), which DBCOPY of an earlier backup started, still runs and may write into local staging", (int)holder.pid,
	    holder.name);
}

static int
take_beneath(int dir)
{
	int lock = fsio_lock(dir, LOCK_NAME), err = 0, moved;

	for (int i = 0; lock == -ERR_BUSY && err == 0 && i < TRIES; i++) {
		err = free_lock(dir);
		if (err == 0)
			lock = fsio_lock(dir, LOCK_NAME);
	}
	if (err)
		return err;
	if (lock < 0)
		return lock == -ERR_BUSY ? err_set(ERR_BUSY, "a process that we may not look at holds the lock of local staging") : lock;
	moved = fcntl(lock, F_DUPFD_CLOEXEC, DESCRIPTOR_MIN);
	err = moved < 0 ? err_sys("taking the lock of local staging") : note_session(moved, 0);
	close(lock);
	if (err && moved >= 0)
		close(moved);
	return err ? err : moved;
}

int
staginglock_take(const char *profile_dir)
{
	int dir = open(profile_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), lock;

	if (dir < 0)
		return err_sys("opening %s", profile_dir);
	lock = take_beneath(dir);
	close(dir);
	if (lock == -ERR_BUSY)
		return err_prefix(lock, "no backup was made; end the process that is named and run the backup again");
	return lock;
}

void
staginglock_lead(int lock, pid_t session)
{
	(void)note_session(lock, session);
}

void
staginglock_end(int lock, bool copied)
{
	if (lock < 0)
		return;
	/* The lock is that of all who inherited it. */
	if (copied)
		(void)flock(lock, LOCK_UN);
	close(lock);
}
