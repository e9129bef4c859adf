/* SPDX-License-Identifier: GPL-2.0-or-later */
/* launch - counts the starts of a trial before it becomes it, so that a release that dies at once is counted too. */
#include "collector/launch.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "base/log.h"
#include "collector/config.h"
#include "collector/launched.h"
#include "collector/state.h"
#include "collector/versions.h"
#include "release/installed.h"

#define STARTS_MAX 3u

extern char **environ;

static char own_path[PATH_MAX]; /* at our start: a package that is renewed meanwhile makes /proc/self/exe say "(deleted)" */

/* Returns only when it could not: true when the release is to blame. */
static bool
become(int dir, const struct release_version *v, bool trial, const struct release_keys *keys, char **argv)
{
	char text[RELEASE_VERSION_TEXT];
	int fd = -1, err = installed_check(dir, v, keys, &fd);
	bool want;

	if (!err)
		err = launched_note(own_path, trial);
	if (!err) {
		fexecve(fd, argv, environ);
		err = err_sys("starting it (is the state on a file system that is mounted noexec?)");
	}
	want = err_is_want(err);
	launched_forget();
	if (fd >= 0)
		close(fd);
	release_version_text(v, text);
	log_error("upgrade.failed", "release %s does not run here: %s; the backup goes on with the program before it", text, err_text());
	return !want;
}

/* Each start is counted, durably, before it begins: a release that dies at once, or hangs until it is killed, comes to an end, too. */
static void
try_trial(int dir, struct versions *v, const struct release_keys *keys, char **argv)
{
	if (v->starts < STARTS_MAX) {
		v->starts++;
		if (versions_store(dir, v) != 0) {
			log_error("upgrade.state", "the trial of a release cannot be noted, and does not begin: %s", err_text());
			return;
		}
		if (!become(dir, &v->trial, true, keys, argv))
			return; /* the next start tries it again */
	} else {
		char text[RELEASE_VERSION_TEXT];

		release_version_text(&v->trial, text);
		log_error("upgrade.failed", "release %s began %u times and never came as far as the server's welcome; the program before it goes on", text, STARTS_MAX);
	}
	v->failed = v->trial;
	v->trial = (struct release_version){{0}};
	v->starts = 0;
	if (versions_store(dir, v) != 0)
		log_error("upgrade.state", "it cannot be noted that a release has failed: %s", err_text());
}

static void
choose(int dir, struct versions *v, const char *keys_file, char **argv)
{
	struct release_version here = release_version_here();
	bool trial = release_version_compare(&v->trial, &here) > 0, current = release_version_compare(&v->current, &here) > 0;
	struct release_keys keys;

	if (!trial && !current)
		return;
	/* That nobody can be believed now says nothing of a release. */
	if (release_keys_load(keys_file, &keys) != 0) {
		log_error("upgrade.keys", "%s: the installed program runs", err_text());
		return;
	}
	if (trial)
		try_trial(dir, v, &keys, argv);
	if (current)
		(void)become(dir, &v->current, false, &keys, argv);
}

void
launch(char **argv, const struct collector_config *config)
{
	ssize_t n = readlink("/proc/self/exe", own_path, sizeof own_path - 1);
	struct versions v;
	int state, lock, dir = -1;

	own_path[n < 0 ? 0 : n] = '\0';
	prctl(PR_SET_NAME, "tidemark-collector"); /* begun by a descriptor, a program is called by its number in `ps` */
	if (launched_by() || strcmp(config->upgrade_keys, "off") == 0)
		return;
	state = state_open_dir(config->state);
	lock = state < 0 ? state : fsio_lock(state, "collector.lock");
	if (lock >= 0) /* else another runs, or nothing can: the ordinary start says which */
		dir = versions_open_dir(config->state);
	if (dir >= 0 && versions_load(dir, &v) != 0)
		log_error("upgrade.state", "%s: the installed program runs", err_text());
	else if (dir >= 0)
		choose(dir, &v, config->upgrade_keys, argv);
	if (dir >= 0)
		close(dir);
	if (lock >= 0)
		close(lock);
	if (state >= 0)
		close(state);
}

int
launch_again(char **argv)
{
	const char *installed = launched_by();

	if (installed)
		snprintf(own_path, sizeof own_path, "%s", installed);
	launched_forget();
	execv(own_path, argv);
	return err_sys("starting %s again", own_path);
}
