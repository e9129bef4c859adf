/* SPDX-License-Identifier: GPL-2.0-or-later */
/* names - finds files whatever the case of their names, as trees that came from another system have it. */
#ifndef GWSIM_NAMES_H
#define GWSIM_NAMES_H

#include <stdbool.h>
#include <stddef.h>

/* The path below `root` that spells `relative` in any case; NULL when there is none. Gives. */
char *names_find(const char *root, const char *relative);

/* The names in a directory, sorted, without those that begin with a dot. */
struct name_list {
	char **names;
	size_t count;
};

/* List a directory; an absent one is empty. Free with name_list_fini(). */
void name_list_init(struct name_list *list, const char *path);
void name_list_fini(struct name_list *list);

/* Change `text` to lower case in place. */
void lower_case(char *text);

/* True when `text` ends with `tail`, in any case. */
bool has_tail(const char *text, const char *tail);

#endif
