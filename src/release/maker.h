/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * maker - makes releases and signs them: the work of whoever builds the programs, never of a daemon.
 *
 * Paths are those of whoever calls, relative ones too.  Threads: one.
 */
#ifndef RELEASE_MAKER_H
#define RELEASE_MAKER_H

#include <stdint.h>

#include "release/release.h"

/* Makes a key that signs, in a new file, and tells its public half. */
int maker_key(const char *file, uint8_t ret_key[SIGNING_KEY_BYTES]);
/* Packs the programs that lie in a folder, for this platform, with the version that they say they have, unsigned, into a file. */
int maker_pack(const char *programs, int64_t days, const char *file);
/* Adds the signature of a key, or puts it in the place of an older one of the same key; the file is replaced whole. */
int maker_sign(const char *file, const char *key);
/* Reads a release whole: -ERR_CORRUPT when its programs are not what its statement says.  *Gives* the bytes. */
int maker_read(const char *file, struct release *ret_release, uint8_t **ret_data, size_t *ret_len);
/* The same programs with another end of their time; all signatures are gone. */
int maker_renew(const char *file, int64_t days);

#endif
