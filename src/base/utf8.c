/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The shape of UTF-8 and the code points that could fool the reader of a terminal or a log. */
#include <stdbool.h>
#include <stdint.h>

#include "base/utf8.h"

static const struct {
	uint32_t first, last;
} hidden[] = {
	{0x0000, 0x001f}, {0x007f, 0x009f},     /* controls */
	{0x00ad, 0x00ad}, {0x061c, 0x061c},     /* soft hyphen, Arabic letter mark */
	{0x200b, 0x200f}, {0x2028, 0x202e},     /* zero widths and marks; line separators, embeddings, overrides */
	{0x2060, 0x206f}, {0xd800, 0xdfff},     /* joiners and isolates; surrogates */
	{0xe000, 0xf8ff}, {0xfdd0, 0xfdef},     /* private use; noncharacters */
	{0xfeff, 0xfeff}, {0xfff0, 0xfffb},     /* byte order mark; specials and annotations */
	{0xfffe, 0xffff}, {0xe0000, 0x1fffff},  /* noncharacters; tags, private planes and past the end of Unicode */
};

static bool
is_hidden(uint32_t point)
{
	for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
		if (point >= hidden[i].first && point <= hidden[i].last)
			return true;
	return false;
}

/* Bytes of a sequence by its first byte, 0 when none begins so. */
static size_t
sequence_len(uint8_t first)
{
	if (first < 0x80)
		return 1;
	if (first >= 0xc2 && first < 0xe0)
		return 2;
	if (first >= 0xe0 && first < 0xf0)
		return 3;
	return first >= 0xf0 && first < 0xf5 ? 4 : 0;
}

size_t
utf8_printable(const char *text)
{
	static const uint32_t lowest[] = {0, 0, 0x80, 0x800, 0x10000};
	static const uint8_t payload[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	size_t len = sequence_len((uint8_t)*text);
	uint32_t point = (uint8_t)*text & payload[len];

	/* The NUL at the end is no continuation, so this never reads past it. */
	for (size_t i = 1; i < len; i++) {
		uint8_t byte = (uint8_t)text[i];

		if ((byte & 0xc0) != 0x80)
			return 0;
		point = point << 6 | (byte & 0x3f);
	}
	return len && point >= lowest[len] && !is_hidden(point) ? len : 0;
}
