/* SPDX-License-Identifier: GPL-2.0-or-later */
/* confine - the only file that knows libseccomp and Landlock.  Debian 12's headers know Landlock 2; what came later is named here. */
#include "base/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"

/* ---- Landlock ---- */

#define ACCESS_FS_TRUNCATE (1ull << 14) /* Landlock 3 */
#define ACCESS_NET_BIND (1ull << 0)     /* Landlock 4 */
#define ACCESS_NET_CONNECT (1ull << 1)

#define WRITING_1                                                                                                              \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |                      \
	    LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |                         \
	    LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)

/* As the kernel takes it: what is handled is forbidden where no rule allows it.  A longer struct than it knows is an error only if
 * the rest is not zero. */
struct ruleset {
	uint64_t fs, net;
};

/* Paths are all or nothing: whoever handles any access to files loses renames between directories where no rule allows REFER. */
static struct ruleset
handled(int abi, unsigned flags, bool writing)
{
	struct ruleset r = {0};

	if (writing)
		r.fs = WRITING_1 | LANDLOCK_ACCESS_FS_REFER | (abi >= 3 ? ACCESS_FS_TRUNCATE : 0) |
		    (flags & CONFINE_NO_PROGRAM ? LANDLOCK_ACCESS_FS_EXECUTE : 0);
	if (flags & (CONFINE_NO_NETWORK | CONFINE_NO_SOCKET) && abi >= 4)
		r.net = ACCESS_NET_BIND | ACCESS_NET_CONNECT;
	return r;
}

static int
allow(int ruleset, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr beneath = {.allowed_access = access, .parent_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC)};
	long rc;

	if (beneath.parent_fd < 0)
		return err_sys("opening %s", path);
	rc = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0);
	close(beneath.parent_fd);
	return rc == 0 ? 0 : err_sys("allowing writing below %s", path);
}

/* The version that is in force, 0 when the kernel has none. */
static int
landlock(unsigned flags, const char *const *writable, size_t n)
{
	int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION), err = 0, fd;
	struct ruleset rules;

	if (abi < 0)
		return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : err_sys("asking for Landlock");
	if (abi < 2)
		return 0; /* knows no rename between directories: the journal's quarantine needs one */
	rules = handled(abi, flags, n > 0);
	if (!rules.fs && !rules.net)
		return abi;
	fd = (int)syscall(SYS_landlock_create_ruleset, &rules, abi >= 4 ? sizeof rules : sizeof rules.fs, 0);
	if (fd < 0)
		return err_sys("making Landlock's rules");
	for (size_t i = 0; !err && i < n; i++)
		err = allow(fd, writable[i], rules.fs & ~(uint64_t)LANDLOCK_ACCESS_FS_EXECUTE);
	if (!err && syscall(SYS_landlock_restrict_self, fd, 0) != 0)
		err = err_sys("restricting ourselves");
	close(fd);
	return err ? err : abi;
}

/* ---- seccomp ---- */

/* What no daemon of ours does, and what a program that broke into one would like to do. */
static const int never[] = {
	SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot), SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(fsopen),
	SCMP_SYS(fsmount), SCMP_SYS(open_tree), SCMP_SYS(move_mount), SCMP_SYS(mount_setattr), SCMP_SYS(swapon), SCMP_SYS(swapoff),
	SCMP_SYS(reboot), SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load), SCMP_SYS(init_module), SCMP_SYS(finit_module),
	SCMP_SYS(delete_module), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(pidfd_getfd), SCMP_SYS(kcmp),
	SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd), SCMP_SYS(io_uring_setup), SCMP_SYS(open_by_handle_at),
	SCMP_SYS(keyctl), SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(settimeofday), SCMP_SYS(clock_settime), SCMP_SYS(acct),
	SCMP_SYS(quotactl), SCMP_SYS(sethostname), SCMP_SYS(setdomainname), SCMP_SYS(iopl), SCMP_SYS(ioperm), SCMP_SYS(modify_ldt),
#ifndef __SANITIZE_ADDRESS__ /* looks for leaks with it */
	SCMP_SYS(ptrace),
#endif
};

static int
forbid(scmp_filter_ctx filter, int call)
{
	int rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 0);

	return rc == -EFAULT ? 0 : rc; /* the machine has no such call */
}

static int
add_rules(scmp_filter_ctx filter, unsigned flags)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < sizeof never / sizeof *never; i++)
		rc = forbid(filter, never[i]);
	if (rc == 0 && flags & CONFINE_NO_PROGRAM && (rc = forbid(filter, SCMP_SYS(execve))) == 0)
		rc = forbid(filter, SCMP_SYS(execveat));
	if (rc == 0 && flags & CONFINE_NO_SOCKET)
		rc = forbid(filter, SCMP_SYS(socket));
	else if (rc == 0 && flags & CONFINE_NO_NETWORK)
		rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_NE, AF_UNIX, 0));
	return rc;
}

/* 1 when it is in force, 0 when the kernel has none. */
static int
filter_calls(unsigned flags)
{
	scmp_filter_ctx filter;
	int rc;

	if (prctl(PR_GET_SECCOMP) < 0)
		return 0;
	filter = seccomp_init(SCMP_ACT_ALLOW);
	if (!filter)
		return err_set(ERR_NOMEM, "making a filter of system calls");
	rc = add_rules(filter, flags);
	if (rc == 0)
		rc = seccomp_load(filter);
	seccomp_release(filter);
	if (rc == 0)
		return 1;
	errno = -rc;
	return err_sys("filtering system calls");
}

static int landlock_in_force;
static bool filter_in_force;

void
confine_means(int *ret_landlock, bool *ret_seccomp)
{
	*ret_landlock = landlock_in_force;
	*ret_seccomp = filter_in_force;
}

int
confine(unsigned flags, const char *const *writable, size_t n_writable)
{
	int abi, filtered;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return err_sys("giving up new privileges");
	abi = landlock(flags, writable, n_writable);
	filtered = abi < 0 ? abi : filter_calls(flags);
	if (filtered < 0)
		return err_prefix(filtered, "confining this process");
	landlock_in_force = abi;
	filter_in_force = filtered == 1;
	log_debug("confine", "landlock=%d seccomp=%s network=%s programs=%s writes=%s", abi, filtered ? "yes" : "no",
	    flags & (CONFINE_NO_NETWORK | CONFINE_NO_SOCKET) ? "no" : "yes", flags & CONFINE_NO_PROGRAM ? "no" : "yes",
	    n_writable ? "beneath own directories" : "anywhere");
	return 0;
}
