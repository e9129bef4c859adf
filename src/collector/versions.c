/* SPDX-License-Identifier: GPL-2.0-or-later */
/* versions - the text of the file. */
#include "collector/versions.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "collector/state.h"

#define FILE_NAME "versions"
#define FORM "tidemark-versions 1\ncurrent %23s\ntrial %23s starts %" SCNu32 "\nfailed %23s\nseen %23s\nfresh %" SCNd64 "\nend%n"
#define TEXT_MAX 512u

bool
version_is_none(const struct release_version *v)
{
	return !v->part[0] && !v->part[1] && !v->part[2];
}

int
versions_open_dir(const char *state)
{
	char *path;
	int fd = asprintf(&path, "%s/upgrade", state) < 0 ? err_set(ERR_NOMEM, "opening the folder of releases") : 0;

	if (fd < 0)
		return fd;
	fd = state_open_dir(path);
	free(path);
	return fd;
}

static bool
parse(const char *text, struct versions *v)
{
	char current[RELEASE_VERSION_TEXT], trial[RELEASE_VERSION_TEXT], failed[RELEASE_VERSION_TEXT], seen[RELEASE_VERSION_TEXT];
	int end = 0;

	return sscanf(text, FORM, current, trial, &v->starts, failed, seen, &v->fresh_s, &end) == 6 && end &&
	    release_version_parse(current, &v->current) == 0 && release_version_parse(trial, &v->trial) == 0 &&
	    release_version_parse(failed, &v->failed) == 0 && release_version_parse(seen, &v->seen) == 0;
}

int
versions_load(int dir, struct versions *ret_versions)
{
	struct versions v = {.starts = 0};
	char *text;
	size_t len;
	int err = fsio_read_file(dir, FILE_NAME, TEXT_MAX, &text, &len);

	*ret_versions = v;
	if (err)
		return err == -ERR_GONE ? 0 : err;
	if (parse(text, &v))
		*ret_versions = v;
	else
		err = err_set(ERR_CORRUPT, "upgrade/%s is damaged", FILE_NAME);
	free(text);
	return err;
}

int
versions_store(int dir, const struct versions *v)
{
	char text[TEXT_MAX], word[4][RELEASE_VERSION_TEXT];
	int len;

	release_version_text(&v->current, word[0]);
	release_version_text(&v->trial, word[1]);
	release_version_text(&v->failed, word[2]);
	release_version_text(&v->seen, word[3]);
	len = snprintf(text, sizeof text, "tidemark-versions 1\ncurrent %s\ntrial %s starts %" PRIu32 "\nfailed %s\nseen %s\nfresh %" PRId64 "\nend\n",
	    word[0], word[1], v->starts, word[2], word[3], v->fresh_s);
	return fsio_replace_file(dir, FILE_NAME, text, (size_t)len, 0600, "versions.store");
}
