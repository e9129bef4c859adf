/* SPDX-License-Identifier: GPL-2.0-or-later */
/* strike - what is done to a stopped call: its program is killed, or it does less, or it ends with an error without being carried out. */
#ifndef CRASHPOINT_STRIKE_H
#define CRASHPOINT_STRIKE_H

#include <sys/types.h>

/* At a call of the filter's list, before it is carried out.  Gives how the process goes on. */
int strike_call(pid_t tid);
/* Where a call ends that was let go on. */
void strike_end_of_call(pid_t tid);

/* A traced process has begun to run another program; it is dead, with the status of wait(2). */
void strike_exec(pid_t tid);
void strike_dead(pid_t tid, int status);

#endif
