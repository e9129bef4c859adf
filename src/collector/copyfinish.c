/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * copyfinish - a queue, a thread, and one sync for whatever the queue holds when the last sync is over.
 *
 * Killed before the sync: the copies hold some of their pages and a time that is not their source's; the next run compares
 * and writes what is missing.  Killed after it: the same, with nothing left to write.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "collector/copyfinish.h"

#define COPYFINISH_MAX 256u /* descriptors held open */
#define SINGLY_MAX 4u       /* up to here a sync of each file is cheaper than one of the file system */

struct copy {
	const char *path;
	int to;
	struct copier_result result;
};

struct copyfinish {
	copyfinish_fn done;
	void *arg;
	pthread_t thread;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t changed;
	struct copy waiting[COPYFINISH_MAX];
	size_t n;
	bool ending;
};

static bool
on_one_file_system(const struct copy *group, size_t n)
{
	struct stat first, st;

	if (fstat(group[0].to, &first) != 0)
		return false;
	for (size_t i = 1; i < n; i++)
		if (fstat(group[i].to, &st) != 0 || st.st_dev != first.st_dev)
			return false;
	return true;
}

static int
sync_group(const struct copy *group, size_t n)
{
	int err = 0;

	if (n > SINGLY_MAX && on_one_file_system(group, n))
		return fsio_sync_fs(group[0].to, "copier.sync");
	for (size_t i = 0; i < n && !err; i++)
		err = fsio_sync_file(group[i].to, "copier.sync");
	return err;
}

static void
finish_group(struct copyfinish *f, struct copy *group, size_t n)
{
	int synced = sync_group(group, n);

	for (size_t i = 0; i < n; i++) {
		int err = synced ? synced : copier_stamp(group[i].to, &group[i].result);

		f->done(group[i].path, &group[i].result, err, f->arg);
		copier_result_fini(&group[i].result);
		close(group[i].to);
	}
}

/* Takes what waits into `group`; 0 when no more will come. */
static size_t
take_group(struct copyfinish *f, struct copy *group)
{
	size_t n;

	pthread_mutex_lock(&f->lock);
	while (!f->n && !f->ending)
		pthread_cond_wait(&f->changed, &f->lock);
	n = f->n;
	for (size_t i = 0; i < n; i++)
		group[i] = f->waiting[i];
	f->n = 0;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
	return n;
}

static void *
finisher(void *arg)
{
	struct copyfinish *f = arg;
	struct copy group[COPYFINISH_MAX];
	size_t n;

	while ((n = take_group(f, group)))
		finish_group(f, group, n);
	return NULL;
}

int
copyfinish_new(copyfinish_fn done, void *arg, struct copyfinish **ret_finish)
{
	struct copyfinish *f = calloc(1, sizeof *f);

	if (!f)
		return err_set(ERR_NOMEM, "no memory to finish copies");
	f->done = done;
	f->arg = arg;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->changed, NULL);
	if (pthread_create(&f->thread, NULL, finisher, f) != 0) {
		pthread_cond_destroy(&f->changed);
		pthread_mutex_destroy(&f->lock);
		free(f);
		return err_set(ERR_LIMIT, "no thread to finish copies");
	}
	*ret_finish = f;
	return 0;
}

void
copyfinish_add(struct copyfinish *f, const char *path, int to, const struct copier_result *result)
{
	pthread_mutex_lock(&f->lock);
	while (f->n == COPYFINISH_MAX)
		pthread_cond_wait(&f->changed, &f->lock);
	f->waiting[f->n++] = (struct copy){path, to, *result};
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

void
copyfinish_end(struct copyfinish *f)
{
	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	f->ending = true;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
	pthread_join(f->thread, NULL);
	pthread_cond_destroy(&f->changed);
	pthread_mutex_destroy(&f->lock);
	free(f);
}
