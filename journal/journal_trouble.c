/* SPDX-License-Identifier: GPL-2.0-or-later */
/* journal_trouble - why a row still waits.  A record that cannot be read counts as none: it is told, not obeyed. */
#include <stdlib.h>
#include <string.h>

#include "base/pack.h"
#include "base/relpath.h"
#include "journal/journal_internal.h"

#define TEXT_MAX 1023
#define CODE_MAX 32

static int
unpack_trouble(struct store_value value, struct journal_trouble *ret_trouble)
{
	struct pack_in in = pack_in(value.data, value.len);
	struct journal_trouble t = {.attempts = unpack_u32(&in), .first_ns = unpack_i64(&in), .next_ns = unpack_i64(&in)};
	char *code = unpack_str(&in, CODE_MAX);

	t.text = unpack_str(&in, TEXT_MAX);
	t.path = unpack_str(&in, RELPATH_MAX);
	if (!unpack_done(&in)) {
		free(code);
		free(t.text);
		free(t.path);
		return err_set(ERR_CORRUPT, "a trouble of the journal cannot be read");
	}
	t.code = err_from_name(code); /* names outlive renumbering */
	free(code);
	*ret_trouble = t;
	return 0;
}

static void
pack_trouble(struct pack_out *o, const struct journal_trouble *t)
{
	pack_u32(o, t->attempts);
	pack_i64(o, t->first_ns);
	pack_i64(o, t->next_ns);
	pack_str(o, err_name((int)t->code));
	pack_bytes(o, t->text, strnlen(t->text, TEXT_MAX));
	pack_str(o, t->path);
}

struct note {
	struct pathkey key;
	struct journal_trouble trouble; /* borrowed strings */
	uint32_t attempts;
	int64_t now_ns;
};

static int
note_trouble(struct store_txn *txn, void *arg)
{
	struct note *note = arg;
	struct journal_trouble *t = &note->trouble, old;
	struct store_value value;
	struct pack_out o = {0};
	int err = store_sealed_get(txn, TROUBLE, note->key.bytes, note->key.len, &value);

	t->attempts = note->attempts;
	t->first_ns = note->now_ns;
	if (err == 0 && unpack_trouble(value, &old) == 0) {
		if (t->attempts <= old.attempts)
			t->attempts = old.attempts + (old.attempts < UINT32_MAX);
		t->first_ns = old.first_ns;
		free(old.path);
		free(old.text);
	} else if (err < 0 && err != -ERR_CORRUPT) {
		return err;
	}
	pack_trouble(&o, t);
	err = o.failed ? err_set(ERR_NOMEM, "trouble") : store_sealed_put(txn, TROUBLE, note->key.bytes, note->key.len, o.data, o.len);
	pack_out_fini(&o);
	return err;
}

/* Borrowed strings behind a struct that elsewhere owns them; nothing here frees or writes them. */
static char *
borrowed(const char *s)
{
	return (char *)(uintptr_t)s;
}

int
journal_note_trouble(struct journal *j, const char *path, enum err code, const char *text, uint32_t attempts, int64_t now_ns,
    int64_t next_ns)
{
	struct note note = {.attempts = attempts, .now_ns = now_ns,
	    .trouble = {.path = borrowed(path), .code = code, .text = borrowed(text), .next_ns = next_ns}};

	pathkey_init(&note.key, 't', path, 0);
	return store_write(j->store, note_trouble, &note);
}

int
journal_trouble_clear(struct store_txn *txn, const char *path)
{
	struct pathkey key;
	int err;

	pathkey_init(&key, 't', path, 0);
	err = store_del(txn, TROUBLE, key.bytes, key.len);
	return err < 0 ? err : 0;
}

static int
read_troubles(struct store_cursor *cursor, size_t max, struct journal_trouble *troubles, size_t *n)
{
	struct store_value key, value;
	int err = 0;

	while (*n < max && (err = store_cursor_next(cursor, &key, &value)) == 0)
		if (store_unseal(key, &value) == 0 && unpack_trouble(value, &troubles[*n]) == 0)
			(*n)++;
	return err < 0 ? err : 0;
}

int
journal_troubles(struct journal *j, size_t max, struct journal_trouble **ret_troubles, size_t *ret_n)
{
	struct journal_trouble *troubles;
	struct store_cursor *cursor = NULL;
	struct store_txn *txn;
	uint64_t rows;
	size_t n = 0;
	int err = store_read_begin(j->store, &txn);

	if (err)
		return err;
	err = store_count(txn, TROUBLE, &rows);
	max = rows < max ? (size_t)rows : max;
	troubles = err ? NULL : calloc(max ? max : 1, sizeof *troubles);
	if (!err && !troubles)
		err = err_set(ERR_NOMEM, "troubles");
	if (!err)
		err = store_cursor_open(txn, TROUBLE, NULL, 0, &cursor);
	if (!err)
		err = read_troubles(cursor, max, troubles, &n);
	store_cursor_close(cursor);
	store_read_end(txn);
	if (err) {
		journal_troubles_free(troubles, n);
		return err;
	}
	*ret_troubles = troubles;
	*ret_n = n;
	return 0;
}

void
journal_troubles_free(struct journal_trouble *troubles, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(troubles[i].path);
		free(troubles[i].text);
	}
	free(troubles);
}
