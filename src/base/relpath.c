/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rules of a path that stays inside its tree, and the one escaped form that people and JSON see of it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/relpath.h"
#include "base/planted.h"
#include "base/utf8.h"

static bool
component_valid(const char *name, size_t len)
{
	if (len == 0 || len > RELNAME_MAX)
		return false;
	return !(name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'))) || PLANTED(climbing_path_allowed);
}

bool
relpath_valid(const char *path)
{
	/* An absolute, an empty and a trailing-slash path all have an empty component. */
	if (strnlen(path, RELPATH_MAX + 1) > RELPATH_MAX)
		return false;
	for (;;) {
		size_t len = (size_t)(strchrnul(path, '/') - path);

		if (!component_valid(path, len))
			return false;
		if (!path[len])
			return true;
		path += len + 1;
	}
}

size_t
relpath_dir_len(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (size_t)(slash - path) : 0;
}

const char *
relpath_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

bool
relpath_within(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	if (len == 0)
		return true;
	return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

char *
relpath_join(const char *dir, const char *name)
{
	size_t dir_len = strlen(dir), name_len = strlen(name);
	char *path = malloc(dir_len + 1 + name_len + 1);
	char *at = path;

	if (!path)
		return NULL;
	if (dir_len) {
		memcpy(at, dir, dir_len);
		at += dir_len;
		*at++ = '/';
	}
	memcpy(at, name, name_len + 1);
	return path;
}

char *
relpath_escape(const char *path)
{
	static const char digits[] = "0123456789abcdef";
	char *text = malloc(4 * strlen(path) + 1), *at = text;

	if (!text)
		return NULL;
	while (*path) {
		size_t len = *path == '\\' ? 0 : utf8_printable(path);
		uint8_t byte = (uint8_t)*path;

		if (len) {
			memcpy(at, path, len);
			at += len;
			path += len;
			continue;
		}
		*at++ = '\\';
		if (byte == '\\') {
			*at++ = '\\';
		} else {
			*at++ = 'x';
			*at++ = digits[byte >> 4];
			*at++ = digits[byte & 15];
		}
		path++;
	}
	*at = '\0';
	return text;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Reads what follows a backslash into one byte.  Returns the characters used, 0 when it is no escape; a NUL cannot be part
 * of a path and is none. */
static size_t
unescape_one(const char *after, char *ret_byte)
{
	int high, low;

	if (*after == '\\') {
		*ret_byte = '\\';
		return 1;
	}
	if (*after != 'x')
		return 0;
	high = hex_digit(after[1]);
	low = high < 0 ? -1 : hex_digit(after[2]);
	if (low < 0 || (high == 0 && low == 0))
		return 0;
	*ret_byte = (char)(high << 4 | low);
	return 3;
}

char *
relpath_unescape(const char *text)
{
	char *path = malloc(strlen(text) + 1), *at = path;

	if (!path)
		return NULL;
	while (*text) {
		bool escaped = *text == '\\';
		size_t len = escaped ? unescape_one(text + 1, at) : utf8_printable(text);

		if (len == 0) {
			free(path);
			return NULL;
		}
		if (!escaped)
			memcpy(at, text, len);
		at += escaped ? 1 : len;
		text += escaped ? 1 + len : len;
	}
	*at = '\0';
	return path;
}
