/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows the names of the directories and static files of a post office and of a domain. */
#include "bench/gwsim/skeleton.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/gwsim/blobs.h"
#include "bench/gwsim/die.h"
#include "bench/gwsim/dictionary.h"

/* "/#" stands for the eight priority queues 0 to 7. */
static const char *const post_office_dirs[] = {
	"ofuser", "ofuser/index", "ofmsg", "ofmsg/guardbak", "offiles", "ofwork", "ofwork/ofdirect", "oftemp",
	"wpcsin", "wpcsin/#", "wpcsout", "wpcsout/ofs", "wpcsout/ofs/#", "wpcsout/ads", "wpcsout/ads/#",
	"wpcsout/chk", "wpcsout/problem", "ofviews", "ofviews/win", NULL,
};
static const char *const domain_dirs[] = {
	"wpgate", "wpgate/gwia", "wpgate/gwia/wpcsin", "wpgate/gwia/wpcsin/#", "wpgate/gwia/wpcsout",
	"wpgate/gwia/000.prc", "wpgate/webac80a", "wpcsin", "wpcsin/#", "wpcsout", "wpcsout/ads", "wpcsout/ads/#",
	"wpcsout/css", "wpcsout/css/#", "wpcsout/problem", "mslocal", "mslocal/mshold", "mslocal/msglog", "mtaalm",
	"wptools", NULL,
};

struct static_file {
	const char *name;
	unsigned bytes;
};

static const struct static_file post_office_files[] = {
	{ "gwpo.dc", 96 << 10 }, { "ngwguard.dc", 24 << 10 }, { "ofviews/win/ofviews.ini", 900 }, { NULL, 0 },
};
static const struct static_file domain_files[] = {
	{ "wpdomain.dc", 80 << 10 }, { "wphost.dc", 48 << 10 }, { "gwdom.dc", 120 << 10 }, { "gwpo.dc", 96 << 10 },
	{ "mtaname", 64 }, { "wpgate/gwia/gwia.cfg", 6 << 10 }, { "wpgate/gwia/exepath.cfg", 80 },
	{ "wpgate/gwia/pulse.tmp", 60 }, { NULL, 0 },
};

static const char *const post_office_needs[] = {
	"wphost.db", "ngwguard.db", "ngwguard.dc", "ngwguard.rfl", "gwpo.dc", "ofmsg/guardbak/ngwguard.fbk",
	"ofviews/win/mail01.vew", NULL,
};
static const char *const domain_needs[] = {
	"wpdomain.db", "wpdomain.dc", "wphost.dc", "gwdom.dc", "gwpo.dc", "mtaname", NULL,
};

const char *const *
skeleton_needed_files(bool domain)
{
	return domain ? domain_needs : post_office_needs;
}

static void
make_dir(const char *root, const char *name)
{
	char *path = must_printf("%s/%s", root, name);

	if (mkdir(path, 0755) < 0)
		die_errno("cannot create %s", path);
	free(path);
}

static void
make_dirs(const char *root, const char *const *names)
{
	for (; *names; names++) {
		size_t length = strlen(*names);

		if ((*names)[length - 1] != '#') {
			make_dir(root, *names);
			continue;
		}
		for (int i = 0; i < 8; i++) {
			char *name = must_printf("%.*s%d", (int)length - 1, *names, i);

			make_dir(root, name);
			free(name);
		}
	}
}

static void
write_static(const char *root, const char *name, uint64_t run_id, size_t bytes)
{
	char *path = must_printf("%s/%s", root, name);

	dictionary_write(path, name, run_id, bytes);
	free(path);
}

static uint64_t
make_post_office(const char *dir, uint64_t run_id)
{
	static const char *const kinds[] = { "mail", "appt", "task", "note", "phone" };
	uint64_t total = 0;
	char *name;

	for (unsigned i = 0; i < BLOB_DIRS; i++) {
		name = must_printf("offiles/fd%X", i);
		make_dir(dir, name);
		free(name);
	}
	for (unsigned i = 0; i < 20; i++) {
		size_t bytes = 3000 + mix2(run_id, i) % 20000;

		name = must_printf("ofviews/win/%s%02u.vew", kinds[i % 5], i / 5 + 1);
		write_static(dir, name, run_id, bytes);
		total += bytes;
		free(name);
	}
	name = must_printf("%s/ngwguard.rfl", dir);
	dictionary_write(name, "ngwguard.rfl", run_id, 4096);
	free(name);
	return total + 4096;
}

uint64_t
skeleton_make(const char *dir, uint64_t run_id, bool domain)
{
	const struct static_file *file = domain ? domain_files : post_office_files;
	uint64_t total = 0;

	make_dirs(dir, domain ? domain_dirs : post_office_dirs);
	for (; file->name; file++) {
		write_static(dir, file->name, run_id, file->bytes);
		total += file->bytes;
	}
	return total + (domain ? 0 : make_post_office(dir, run_id));
}

void
skeleton_user_id(uint64_t run_id, uint64_t i, char ret_id[4])
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	uint64_t n = (i * 30011 + run_id % 46656) % 46656;	/* 30011 has no factor in common with 36 */

	ret_id[0] = digits[n / 1296];
	ret_id[1] = digits[n / 36 % 36];
	ret_id[2] = digits[n % 36];
	ret_id[3] = 0;
}

void
skeleton_random_file(const char *path, struct rng *rng, uint64_t bytes)
{
	char chunk[16384];
	FILE *file = fopen(path, "wxe");

	if (!file)
		die_errno("cannot create %s", path);
	while (bytes) {
		size_t size = bytes < sizeof chunk ? (size_t)bytes : sizeof chunk;

		rng_fill(rng, chunk, size);
		if (fwrite(chunk, 1, size, file) != size)
			die_errno("cannot write %s", path);
		bytes -= size;
	}
	if (fclose(file) != 0)
		die_errno("cannot write %s", path);
}

void
skeleton_copy_file(const char *from, const char *to)
{
	char chunk[16384];
	FILE *in = fopen(from, "re"), *out;
	size_t n;

	if (!in)
		die_errno("cannot open %s", from);
	out = fopen(to, "we");
	if (!out)
		die_errno("cannot create %s", to);
	while ((n = fread(chunk, 1, sizeof chunk, in)))
		if (fwrite(chunk, 1, n, out) != n)
			die_errno("cannot write %s", to);
	if (ferror(in) || fclose(out) != 0)
		die_errno("cannot copy %s to %s", from, to);
	fclose(in);
}
