/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * separation - whether receiver and keeper are two users, and how a receiver that was started as root becomes one of them.
 */
#ifndef SERVER_SEPARATION_H
#define SERVER_SEPARATION_H

#include <stdbool.h>

#include "base/conf.h"

struct warden;

struct separation {
	struct warden *warden; /* NULL: one user */
	char text[512];        /* for doctor: what is so, and what to do when it should be otherwise */
};

/* Started as root with two users to be had: gives store and run-dir their owners, leaves the warden behind, and is the receiver's user
 * from then on.  Else nothing changes but the text.  Before the first thread; `conf` and `file` are borrowed until the end.
 * -ERR_CONFIG: a user that the configuration names is not there. */
int separation_begin(const struct conf *conf, const char *file, const char *keeper_program, struct separation *ret_separation);
void separation_end(struct separation *s);

#endif
