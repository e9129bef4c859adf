/* SPDX-License-Identifier: GPL-2.0-or-later */
/* json - the few shapes in which CONTRACT.md wants facts told (declared in api.h). */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/relpath.h"
#include "control/api.h"

json_t *
api_object(const char *type)
{
	return json_pack("{s:i, s:s}", "v", 1, "type", type);
}

json_t *
api_time_ns(int64_t ns)
{
	char text[96];
	time_t s = (time_t)(ns / 1000000000);
	struct tm tm;

	if (ns <= 0 || !gmtime_r(&s, &tm))
		return json_null();
	snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
	    tm.tm_sec, (int)(ns / 1000000 % 1000));
	return json_string(text);
}

json_t *
api_name(const char *bytes)
{
	char *escaped = relpath_escape(bytes);
	json_t *name = escaped ? json_string(escaped) : NULL;

	free(escaped);
	return name ? name : json_null();
}

json_t *
api_text(const char *text)
{
	json_t *plain = json_string(text);

	return plain ? plain : api_name(text);
}
