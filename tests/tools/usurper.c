/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * usurper - the receiver, taken over: a process of its user, with every descriptor that it has, tries to change what sealed sets are made of.
 *
 *   usurper [-r SEED] UID GID RECEIVER KEEPER STORE PROFILE
 *
 * Started by root, it takes the descriptors out of the process RECEIVER and becomes UID:GID.  Of the blobs that lie in the profile and are
 * still its own it keeps a descriptor for writing, a writable mapping and a second name; with -r it also writes to them, exchanges and
 * replaces them and their directories, in the background.  It prints "ready" and waits for a line; meanwhile a set is sealed.
 * Then come, on its standard input, the names of what is sealed, one a line up to an empty one, and it tries everything, through the
 * descriptors it kept and by name; against the keeper's process; and with orders that lie.
 *
 * Each attempt by name that the kernel let through is printed as "done: what name"; what the descriptors did only the files tell.
 * The last line: "tried N, done N".  Exit status 0 unless it could not even try.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/tools/usurper/usurper.h"

#define NAMES_MAX 4096

static struct held held[HELD_MAX];
static size_t n_held;
static unsigned long tried, done;

void
attempt(bool through, const char *what, const char *name)
{
	tried++;
	done += through;
	if (through)
		printf("done: %s %s\n", what, name);
}

void
give_up(const char *what)
{
	perror(what);
	exit(1);
}

/* ---- as the receiver ---- */

static void
take_descriptors(struct usurper *u)
{
	int process = pidfd_open(u->receiver, 0);

	if (process < 0)
		give_up("the receiver");
	for (int fd = 3; fd < 1024 && u->n_fds < FDS_MAX; fd++) {
		int taken = pidfd_getfd(process, fd, 0);

		if (taken >= 0)
			u->fds[u->n_fds++] = taken;
	}
	close(process);
	if (u->n_fds == 0)
		give_up("the receiver's descriptors");
}

static void
become(uid_t uid, gid_t gid)
{
	if (setgroups(1, &gid) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
		give_up("becoming the receiver's user");
}

/* ---- what is kept from before ---- */

static void
hold(const struct usurper *u, const char *path, size_t size)
{
	struct held *h = &held[n_held];
	char second[PATH_BYTES + 64];

	h->fd = open(path, O_RDWR | O_CLOEXEC);
	if (h->fd < 0)
		return;
	h->map = size ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, h->fd, 0) : MAP_FAILED;
	snprintf(h->path, sizeof h->path, "%s", path);
	snprintf(second, sizeof second, "%s/gre_data/second-%zu", u->folder, n_held);
	(void)!link(path, second);
	n_held++;
}

static void
hold_below(const struct usurper *u, const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *d;

	while (dir && (d = readdir(dir)) && n_held < HELD_MAX) {
		char path[PATH_BYTES];
		struct stat st;

		if (*d->d_name == '.' || (size_t)snprintf(path, sizeof path, "%s/%s", folder, d->d_name) >= sizeof path || lstat(path, &st) != 0)
			continue;
		if (S_ISDIR(st.st_mode))
			hold_below(u, path);
		else if (S_ISREG(st.st_mode) && st.st_uid == geteuid() && st.st_mode & S_IWUSR)
			hold(u, path, (size_t)st.st_size);
	}
	if (dir)
		closedir(dir);
}

static void
use_what_was_kept(const struct usurper *u)
{
	const struct timespec past[2] = {{.tv_sec = 1}, {.tv_sec = 1}};

	for (size_t i = 0; i < n_held; i++) {
		char second[PATH_BYTES + 64], again[64];
		int fd = held[i].fd, other;

		tried += 8;
		(void)!pwrite(fd, "taken over", 10, 0);
		if (held[i].map != MAP_FAILED) {
			held[i].map[0] ^= 0x55;
			(void)msync(held[i].map, 1, MS_SYNC);
		}
		(void)fchmod(fd, 0666);
		(void)futimens(fd, past);
		(void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1);
		snprintf(again, sizeof again, "/proc/self/fd/%d", fd);
		if ((other = open(again, O_RDWR | O_TRUNC)) >= 0)
			close(other);
		(void)!ftruncate(fd, 3);
		snprintf(second, sizeof second, "%s/gre_data/second-%zu", u->folder, i);
		if ((other = open(second, O_WRONLY | O_TRUNC)) >= 0)
			close(other);
	}
}

/* ---- other processes ---- */

static void
attack_process(pid_t pid, const char *name)
{
	const struct rlimit none = {0};

	attempt(kill(pid, 0) == 0, "kill", name);
	attempt(attack_memory(pid), "write into the memory of", name);
	attempt(prlimit(pid, RLIMIT_CORE, &none, NULL) == 0, "prlimit", name);
}

/* ---- all of it ---- */

static void
read_targets(struct usurper *u)
{
	static char line[PATH_BYTES];

	if (!fgets(line, sizeof line, stdin)) /* "go" */
		give_up("waiting for the word");
	while (fgets(line, sizeof line, stdin) && *line != '\n' && u->n_targets < NAMES_MAX) {
		line[strcspn(line, "\n")] = '\0';
		u->targets[u->n_targets++] = strdup(line);
	}
}

static pid_t
race(const struct usurper *u, const char *seed)
{
	pid_t pid = fork();

	if (pid == 0)
		race_for_ever(u, held, n_held, strtoull(seed, NULL, 10));
	return pid;
}

static void
attack(struct usurper *u)
{
	use_what_was_kept(u);
	for (size_t i = 0; i < u->n_targets; i++)
		attack_name(u, u->targets[i]);
	attack_process(u->keeper, "the keeper");
	if (u->warden > 1 && u->warden != u->receiver)
		attack_process(u->warden, "the warden");
	lie_to_warden(u);
	lie_to_keeper(u);
}

int
main(int argc, char **argv)
{
	static struct usurper u;
	static char *targets[NAMES_MAX];
	const char *seed = NULL;
	pid_t racer = 0;
	uid_t uid;
	gid_t gid;

	if (argc > 2 && strcmp(argv[1], "-r") == 0) {
		seed = argv[2];
		argv += 2;
		argc -= 2;
	}
	if (argc != 7) {
		fputs("usage: usurper [-r SEED] UID GID RECEIVER KEEPER STORE PROFILE\n", stderr);
		return 2;
	}
	uid = (uid_t)atoi(argv[1]);
	gid = (gid_t)atoi(argv[2]);
	u = (struct usurper){.receiver = atoi(argv[3]), .keeper = atoi(argv[4]), .store = argv[5], .profile = argv[6], .targets = targets};
	u.warden = parent_of(u.keeper);
	snprintf(u.folder, sizeof u.folder, "%s/%s", u.store, u.profile);
	umask(0);
	take_descriptors(&u);
	become(uid, gid);
	char blobs[PATH_BYTES + 8];
	snprintf(blobs, sizeof blobs, "%s/blobs", u.folder);
	hold_below(&u, blobs);
	if (seed)
		racer = race(&u, seed);
	printf("ready with %zu files of its own\n", n_held);
	fflush(stdout);
	read_targets(&u);
	if (racer > 0) {
		kill(racer, SIGKILL);
		waitpid(racer, NULL, 0);
	}
	attack(&u);
	printf("tried %lu, done %lu\n", tried, done);
	return 0;
}
