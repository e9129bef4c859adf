/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * relpath - relative paths as opaque bytes that cannot climb out, and their printable form.  Pure.
 */
#ifndef BASE_RELPATH_H
#define BASE_RELPATH_H

#include <stdbool.h>
#include <stddef.h>

#define RELPATH_MAX 16384 /* bytes, without the NUL; deeper than PATH_MAX is possible through openat */
#define RELNAME_MAX 255

/* Not empty, not absolute, no empty, "." or ".." component, no component above RELNAME_MAX, not above RELPATH_MAX. */
bool relpath_valid(const char *path);

/* Length of the directory part of a valid path: "a/b/c" -> 3, "c" -> 0. */
size_t relpath_dir_len(const char *path);

/* The last component; points into `path`. */
const char *relpath_name(const char *path);

/* True if `path` is `dir` itself or lies below it; "" is above everything. */
bool relpath_within(const char *path, const char *dir);

/* dir + "/" + name, or name if dir is "": *gives* the string, NULL when out of memory. */
char *relpath_join(const char *dir, const char *name);

/* Printable, reversible: valid UTF-8 that is printable stays, a backslash becomes \\, any other byte \xHH.
 * *Gives* the string, NULL when out of memory. */
char *relpath_escape(const char *path);

/* The reverse; *gives* the bytes, NULL when `text` is not an escaped form or out of memory. */
char *relpath_unescape(const char *text);

#endif
