/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ownership - who owns what in a store that receiver and keeper share as two users, and how root gives it to them.
 *
 *   <store>                       root         the receiver's group reads; nobody else makes or renames a profile
 *   <store>/.identity             receiver
 *   <store>/<profile>             root
 *   <store>/<profile>/gre_data    receiver     the keeper reads
 *   <store>/<profile>/backups     keeper
 *   <store>/<profile>/blobs       keeper       sticky: both make names, each removes its own, the keeper any
 *   <store>/<profile>/state       keeper       sticky: index, partial, jobs are the receiver's, all else the keeper's
 *   <store>/<profile>/.owners     root         for which two users all this is done
 *
 * Everything here runs as root.  Threads: one.
 */
#ifndef SERVER_OWNERSHIP_H
#define SERVER_OWNERSHIP_H

#include "base/users.h"

struct owners {
	struct user receiver, keeper; /* the receiver's group is the common one */
};

/* The store, its identity, and every profile in it.  What lies there already changes its owner, which takes some seconds for a million
 * files and happens once: .owners is written last, and a start that was cut short is begun again. */
int ownership_of_store(const char *store, const struct owners *owners);

/* One profile, made when it is not there. */
int ownership_of_profile(int store_fd, const char *profile, const struct owners *owners);

/* The store is one user's again: whatever he makes is looked at before it is shared the next time.  A mark that cannot be removed is an
 * error: believed later, it would leave what he makes to the wrong one of the two. */
int ownership_forget(const char *store);

/* The receiver's file or directory that `fd` is open on becomes the keeper's: a file that nobody writes to, a directory in which the
 * receiver makes names and removes none but its own.  -ERR_DENIED: neither, or another user's. */
int ownership_take(int fd, const struct owners *owners);

#endif
