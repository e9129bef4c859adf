/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dictionary - the files of an office that are written once and never change: *.dc, *.vew, mtaname. */
#ifndef GWSIM_DICTIONARY_H
#define GWSIM_DICTIONARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Write such a file; its content follows from `name` and `run_id`, so that it can be recognised without a record. */
void dictionary_write(const char *path, const char *name, uint64_t run_id, size_t bytes);

/* NULL when the file is as dictionary_write() made it, else a phrase that says what is wrong. */
const char *dictionary_fault(const char *path, const char *name, uint64_t run_id);

/* True for the names that dictionary_write() is used for. */
bool dictionary_name(const char *name);

#endif
