/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_conf - arbitrary bytes as a configuration of either side: it is taken or every error is told; what was taken can be
 * shown, and what is shown is taken again.
 */
#include "base/conf.h"
#include "collector/config.h"
#include "server/config.h"
#include "tests/fuzz/fuzz.h"

static char *
show(const struct conf *conf, size_t *ret_len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_len);

	MUST(out);
	conf_show(conf, out);
	MUST(fclose(out) == 0);
	return text;
}

static void
try(const char *text, size_t len, const struct conf_table *table, const struct conf_shape *shapes)
{
	struct conf *conf, *again;
	size_t shown_len;
	char *shown;

	if (conf_parse("fuzz.conf", text, len, table, shapes, &conf) != 0) {
		MUST(*err_text());
		return;
	}
	shown = show(conf, &shown_len);
	if (conf_parse("shown.conf", shown, shown_len, table, shapes, &again) != 0) {
		fprintf(stderr, "%s\n%s\n", err_text(), shown);
		abort();
	}
	conf_free(again);
	free(shown);
	conf_free(conf);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len == 0)
		return 0;
	if (data[0] & 1)
		try((const char *)data + 1, len - 1, &server_conf_table, server_conf_shapes);
	else
		try((const char *)data + 1, len - 1, &collector_conf_table, collector_conf_shapes);
	return 0;
}
