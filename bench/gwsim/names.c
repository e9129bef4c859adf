/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows that a name is tried as it is first and searched for only when that fails. */
#include "bench/gwsim/names.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/gwsim/die.h"

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void
name_list_init(struct name_list *list, const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	size_t room = 0;

	*list = (struct name_list){ 0 };
	if (!dir) {
		if (errno != ENOENT && errno != ENOTDIR)
			die_errno("cannot list %s", path);
		return;
	}
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		if (list->count == room) {
			room = room ? 2 * room : 64;
			list->names = realloc(list->names, room * sizeof *list->names);
			if (!list->names)
				die("out of memory");
		}
		list->names[list->count++] = must_printf("%s", entry->d_name);
	}
	closedir(dir);
	if (list->count)
		qsort(list->names, list->count, sizeof *list->names, compare_names);
}

void
name_list_fini(struct name_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->names[i]);
	free(list->names);
}

/* Append one component, in whatever case the directory has it. Takes `path`, gives the longer one or NULL. */
static char *
append_component(char *path, const char *name, size_t length)
{
	char *longer = must_printf("%s/%.*s", path, (int)length, name);
	struct name_list list;

	if (access(longer, F_OK) == 0) {
		free(path);
		return longer;
	}
	free(longer);
	longer = NULL;
	name_list_init(&list, path);
	for (size_t i = 0; i < list.count && !longer; i++)
		if (strlen(list.names[i]) == length && strncasecmp(list.names[i], name, length) == 0)
			longer = must_printf("%s/%s", path, list.names[i]);
	name_list_fini(&list);
	free(path);
	return longer;
}

char *
names_find(const char *root, const char *relative)
{
	char *path = must_printf("%s", root);

	while (path && *relative) {
		size_t length = strcspn(relative, "/");

		path = append_component(path, relative, length);
		relative += length;
		relative += *relative == '/';
	}
	return path;
}

void
lower_case(char *text)
{
	for (; *text; text++)
		*text = (char)tolower((unsigned char)*text);
}

bool
has_tail(const char *text, const char *tail)
{
	size_t n = strlen(text), m = strlen(tail);

	return n >= m && strcasecmp(text + n - m, tail) == 0;
}
