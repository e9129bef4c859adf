/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * places - the places of a program at which something was tried already: a set of call stacks, in a file that processes share.
 *
 * A program makes the same call from the same place many times; what it does when that call fails is written once for each place.
 */
#ifndef TESTS_PLACES_H
#define TESTS_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct places;

/* Maps the file, which is made when it is not there.  Gives NULL, with errno.  Stays until the process ends. */
struct places *places_open(const char *path);

/* A place: the stack's addresses (each within its object, for objects lie elsewhere in each process), and whatever else tells two apart. */
uint64_t places_key(const uint64_t *words, size_t n);

/* Any thread, and any process that has the file: of many that add a key one is told that it was new.  A full set knows every key. */
bool places_has(const struct places *places, uint64_t key);
bool places_add(struct places *places, uint64_t key);

#endif
