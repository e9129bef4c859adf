/* SPDX-License-Identifier: GPL-2.0-or-later */
/* signers - keys in a scratch directory. */
#include "tests/lib/signers.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const names[SIGNERS] = {"ann", "ben", "cem", "stranger"};

static void
must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "signers: %s\n", what);
	abort();
}

void
signers_make(struct signers *s, const struct scratch *scratch)
{
	FILE *f;

	s->scratch = scratch;
	f = fopen(scratch_path(scratch, "keys", s->file), "w");
	must(f, "no file of keys");
	for (int i = 0; i < SIGNERS; i++) {
		uint8_t key[SIGNING_KEY_BYTES];
		char hex[DIGEST_HEX];

		must(signing_make(scratch->fd, names[i], key) == 0, "no key");
		digest_hex(key, hex);
		if (i != STRANGER)
			fprintf(f, "ed25519 %s %s\n", hex, names[i]);
	}
	must(fclose(f) == 0, "keys not written");
	must(release_keys_load(s->file, &s->trusted) == 0, "keys not read");
}

struct release
signers_release(int64_t now_s, const uint8_t *data, size_t n)
{
	struct release r = {.version = {{999, 0, 0}}, .made_s = now_s - 3600, .expires_s = now_s + 90 * 86400};
	size_t at = 0;

	snprintf(r.platform, sizeof r.platform, "%s", release_platform_here());
	for (size_t i = 0; i < RELEASE_PROGRAMS; i++) {
		size_t len = i + 1 < RELEASE_PROGRAMS ? n / RELEASE_PROGRAMS : n - at;

		r.programs[i].size = len;
		digest_once(data + at, len, r.programs[i].digest);
		at += len;
	}
	return r;
}

struct pack_out
signers_head(const struct signers *s, const struct release *r, unsigned who)
{
	struct release_signature signatures[SIGNERS];
	struct pack_out o = {0};
	size_t n = 0;

	release_pack_signed(&o, r);
	for (int i = 0; i < SIGNERS; i++)
		if (who & 1u << i) {
			must(signing_sign(s->scratch->fd, names[i], o.data, o.len, signatures[n].key, signatures[n].bytes) == 0, "not signed");
			n++;
		}
	release_pack_signatures(&o, signatures, n);
	must(!o.failed, "no head");
	return o;
}
