/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_release - what a server shows for a release, and a file of keys.  A head that can be read says the same when it is packed
 * again; none is believed, for the keys are not known to whoever makes inputs.
 */
#include "release/release.h"
#include "tests/fuzz/fuzz.h"

static const char keys_text[] =
    "ed25519 d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a rfc8032-1\n"
    "ed25519 3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c rfc8032-2\n";

static void
head(const uint8_t *data, size_t len)
{
	struct pack_out again = {0}, was = {0};
	struct release_keys keys;
	struct release_version v;
	char text[RELEASE_VERSION_TEXT];
	struct release r;

	if (release_read(data, len, &r) != 0)
		return;
	MUST(r.signed_len < r.head_len && r.head_len <= len && r.head_len <= RELEASE_HEAD_MAX);
	MUST(release_bytes(&r) <= (uint64_t)RELEASE_PROGRAMS * RELEASE_PROGRAM_MAX);
	release_pack_signed(&again, &r);
	release_pack_signatures(&again, r.signatures, r.n_signatures);
	pack_raw(&was, data, r.head_len);
	fuzz_same(&again, &was);
	release_version_text(&r.version, text);
	MUST(release_version_parse(text, &v) == 0 && release_version_compare(&v, &r.version) == 0);
	MUST(release_keys_parse(keys_text, &keys) == 0);
	MUST(release_trust(data, &r, &keys, r.platform) != 0);
}

static void
keys_file(const uint8_t *data, size_t len)
{
	struct pack_in in = pack_in(data, len);
	struct release_keys keys;
	char *text = fuzz_text(&in);

	if (release_keys_parse(text, &keys) == 0)
		MUST(keys.n >= RELEASE_SIGNERS_NEEDED && keys.n <= RELEASE_KEYS_MAX);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len && data[0] % 2)
		keys_file(data + 1, len - 1);
	else if (len)
		head(data + 1, len - 1);
	return 0;
}
