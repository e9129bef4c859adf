/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * courier - one question and its answer between two processes of ours, with a descriptor where one is needed: a pair of
 * local sockets that keep what is sent in pieces as it was sent.
 *
 * Both ends are from one installation, so a note travels as it lies in memory.
 *
 * Threads: any for courier_ask, whose questions wait for one another; courier_receive and courier_send on one.
 */
#ifndef BASE_COURIER_H
#define BASE_COURIER_H

#include <stdint.h>

#define COURIER_TEXT 256

struct courier;

struct courier_note {
	uint8_t kind;            /* of a question; the two who talk know what it means */
	int32_t number;          /* of an answer: 0, or -enum err with its sentence in `text` */
	char text[COURIER_TEXT];
	int fd;                  /* -1 = none; one that was received is the receiver's to close */
};

/* Both ends of a new pair, close-on-exec. */
int courier_pair(int ret_fds[2]);

/* *Takes* `fd` on success. */
int courier_new(int fd, struct courier **ret_courier);
void courier_free(struct courier *c); /* closes; NULL is fine */

/* Sends the question and waits for the answer.  `question.fd` is borrowed.  What the other end says went wrong is returned,
 * too. */
int courier_ask(struct courier *c, const struct courier_note *question, struct courier_note *ret_answer);

/* The other end: 0 a note, 1 whoever asked is gone. */
int courier_receive(int fd, struct courier_note *ret_note);
int courier_send(int fd, const struct courier_note *note);

#endif
