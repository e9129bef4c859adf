/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * utf8 - which bytes may be shown to a person as they are.  Pure; the locale has no say.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>

/* Length of the character at the start of the NUL-terminated `text` when it is well-formed UTF-8 and safe to show: no
 * control, nothing invisible, nothing that turns the writing direction.  Else 0. */
size_t utf8_printable(const char *text);

#endif
