/* SPDX-License-Identifier: GPL-2.0-or-later */
/* order - the bytes of orders and reports; every count is held against the bytes that are really there before it is believed. */
#include "keeper/order.h"

#include "base/err.h"

#define NAME_MAX_BYTES 255u
#define TEXT_MAX_BYTES (64u * 1024u)
#define STRING_COST 4u  /* least bytes of a packed string: its length */
#define GONE_COST 8u
#define SET_COST 62u    /* three empty strings, six u64, two flags */

static void
pack_text(struct pack_out *o, const char *s)
{
	pack_str(o, s ? s : "");
}

/* A count of things that take at least `cost` bytes each; 0 (and failed) when they cannot all be there. */
static size_t
unpack_count(struct pack_in *i, size_t cost, size_t max)
{
	size_t n = unpack_u32(i);

	if (n > max || n > (i->len - i->pos) / cost)
		i->failed = true;
	return i->failed ? 0 : n;
}

static void *
unpack_room(struct pack_in *i, size_t n, size_t size)
{
	void *room = n ? calloc(n, size) : NULL;

	if (n && !room)
		i->failed = true;
	return room;
}

static void
pack_strings(struct pack_out *o, char *const *strings, size_t n)
{
	pack_u32(o, (uint32_t)n);
	for (size_t k = 0; k < n; k++)
		pack_text(o, strings[k]);
}

static char **
unpack_strings(struct pack_in *i, size_t max, size_t *ret_n)
{
	size_t n = unpack_count(i, STRING_COST, max);
	char **strings = unpack_room(i, n, sizeof *strings);

	*ret_n = strings ? n : 0;
	for (size_t k = 0; k < *ret_n; k++)
		strings[k] = unpack_str(i, RELPATH_MAX);
	return strings;
}

static void
free_strings(char **strings, size_t n)
{
	for (size_t k = 0; k < n; k++)
		free(strings[k]);
	free(strings);
}

/* ---- orders ---- */

void
order_pack(struct pack_out *o, const struct order *order)
{
	pack_u64(o, order->id);
	pack_u8(o, (uint8_t)order->kind);
	pack_text(o, order->profile);
	pack_u64(o, order->target);
	pack_u8(o, order->layout);
	pack_u64(o, order->job);
	pack_u32(o, order->date);
	pack_i64(o, order->t0_ns);
	pack_u64(o, order->fresh_t0);
	pack_u64(o, order->fresh_seal);
	pack_u64(o, order->total.count);
	pack_u64(o, order->total.bytes);
	pack_u64(o, order->total.hash.lo);
	pack_u64(o, order->total.hash.hi);
	pack_text(o, order->note);
	pack_u32(o, order->keep_days);
	pack_text(o, order->set);
	pack_text(o, order->to);
	pack_strings(o, order->paths, order->n_paths);
	pack_text(o, order->after);
	pack_u32(o, order->page);
}

int
order_unpack(const void *data, size_t len, struct order *ret_order)
{
	struct pack_in i = pack_in(data, len);
	struct order order = {0};

	order.id = unpack_u64(&i);
	order.kind = (enum order_kind)unpack_u8(&i);
	order.profile = unpack_str(&i, NAME_MAX_BYTES);
	order.target = unpack_u64(&i);
	order.layout = unpack_u8(&i);
	order.job = unpack_u64(&i);
	order.date = unpack_u32(&i);
	order.t0_ns = unpack_i64(&i);
	order.fresh_t0 = unpack_u64(&i);
	order.fresh_seal = unpack_u64(&i);
	order.total.count = unpack_u64(&i);
	order.total.bytes = unpack_u64(&i);
	order.total.hash.lo = unpack_u64(&i);
	order.total.hash.hi = unpack_u64(&i);
	order.note = unpack_str(&i, TEXT_MAX_BYTES);
	order.keep_days = unpack_u32(&i);
	order.set = unpack_str(&i, NAME_MAX_BYTES);
	order.to = unpack_str(&i, RELPATH_MAX);
	order.paths = unpack_strings(&i, ORDER_PATHS_MAX, &order.n_paths);
	order.after = unpack_str(&i, ORDER_PLACE_MAX);
	order.page = unpack_u32(&i);
	if (!unpack_done(&i) || order.kind < ORDER_SEAL || order.kind > ORDER_SHOW) {
		order_fini(&order);
		return err_set(ERR_PEER, "an order to the keeper is malformed");
	}
	*ret_order = order;
	return 0;
}

void
order_fini(struct order *order)
{
	free(order->profile);
	free(order->note);
	free(order->set);
	free(order->to);
	free(order->after);
	free_strings(order->paths, order->n_paths);
	*order = (struct order){0};
}

/* ---- reports ---- */

static void
pack_set(struct pack_out *o, const struct report_set *set)
{
	pack_text(o, set->name);
	pack_text(o, set->profile);
	pack_i64(o, set->started_ns);
	pack_i64(o, set->sealed_ns);
	pack_i64(o, set->scrubbed_ns);
	pack_u64(o, set->files);
	pack_u64(o, set->bytes);
	pack_u64(o, set->new_bytes);
	pack_u8(o, set->verified);
	pack_u8(o, set->warnings);
	pack_text(o, set->note);
}

static void
unpack_set(struct pack_in *i, struct report_set *set)
{
	set->name = unpack_str(i, NAME_MAX_BYTES);
	set->profile = unpack_str(i, NAME_MAX_BYTES);
	set->started_ns = unpack_i64(i);
	set->sealed_ns = unpack_i64(i);
	set->scrubbed_ns = unpack_i64(i);
	set->files = unpack_u64(i);
	set->bytes = unpack_u64(i);
	set->new_bytes = unpack_u64(i);
	set->verified = unpack_u8(i);
	set->warnings = unpack_u8(i) != 0;
	set->note = unpack_str(i, TEXT_MAX_BYTES);
}

static void
unpack_sets(struct pack_in *i, struct report *report)
{
	size_t n = unpack_count(i, SET_COST, ORDER_BYTES_MAX);

	report->sets = unpack_room(i, n, sizeof *report->sets);
	report->n_sets = report->sets ? n : 0;
	for (size_t k = 0; k < report->n_sets; k++)
		unpack_set(i, &report->sets[k]);
}

static void
pack_gone(struct pack_out *o, const struct report *report)
{
	pack_u32(o, (uint32_t)report->n_gone);
	for (size_t k = 0; k < report->n_gone; k++) {
		pack_text(o, report->gone[k].path);
		pack_u32(o, report->gone[k].version);
	}
}

static void
unpack_gone(struct pack_in *i, struct report *report)
{
	size_t n = unpack_count(i, GONE_COST, ORDER_BYTES_MAX);

	report->gone = unpack_room(i, n, sizeof *report->gone);
	report->n_gone = report->gone ? n : 0;
	for (size_t k = 0; k < report->n_gone; k++) {
		report->gone[k].path = unpack_str(i, RELPATH_MAX);
		report->gone[k].version = unpack_u32(i);
	}
}

void
report_pack(struct pack_out *o, const struct report *report)
{
	pack_u64(o, report->id);
	pack_u8(o, (uint8_t)report->kind);
	pack_text(o, report->phase);
	pack_u64(o, report->done);
	pack_u64(o, report->total);
	pack_u32(o, (uint32_t)report->code);
	pack_text(o, report->text);
	pack_text(o, report->path);
	pack_u8(o, report->entry.kind);
	pack_u32(o, report->entry.mode);
	pack_u64(o, report->entry.size);
	pack_i64(o, report->entry.mtime_ns);
	pack_u32(o, (uint32_t)report->n_sets);
	for (size_t k = 0; k < report->n_sets; k++)
		pack_set(o, &report->sets[k]);
	pack_text(o, report->next);
	pack_u64(o, report->fresh_done);
	pack_gone(o, report);
	pack_strings(o, report->doubtful, report->n_doubtful);
}

int
report_unpack(const void *data, size_t len, struct report *ret_report)
{
	struct pack_in i = pack_in(data, len);
	struct report report = {0};

	report.id = unpack_u64(&i);
	report.kind = (enum report_kind)unpack_u8(&i);
	report.phase = unpack_str(&i, NAME_MAX_BYTES);
	report.done = unpack_u64(&i);
	report.total = unpack_u64(&i);
	report.code = (int32_t)unpack_u32(&i);
	report.text = unpack_str(&i, ORDER_BYTES_MAX);
	report.path = unpack_str(&i, RELPATH_MAX);
	report.entry.kind = unpack_u8(&i);
	report.entry.mode = unpack_u32(&i);
	report.entry.size = unpack_u64(&i);
	report.entry.mtime_ns = unpack_i64(&i);
	unpack_sets(&i, &report);
	report.next = unpack_str(&i, ORDER_PLACE_MAX);
	report.fresh_done = unpack_u64(&i);
	unpack_gone(&i, &report);
	report.doubtful = unpack_strings(&i, ORDER_DOUBTFUL_MAX, &report.n_doubtful);
	if (!unpack_done(&i) || report.kind < REPORT_PROGRESS || report.kind > REPORT_ENTRY) {
		report_fini(&report);
		return err_set(ERR_PEER, "a report of the keeper is malformed");
	}
	*ret_report = report;
	return 0;
}

void
report_fini(struct report *report)
{
	free(report->phase);
	free(report->text);
	free(report->path);
	free(report->next);
	for (size_t k = 0; k < report->n_sets; k++) {
		free(report->sets[k].name);
		free(report->sets[k].profile);
		free(report->sets[k].note);
	}
	free(report->sets);
	for (size_t k = 0; k < report->n_gone; k++)
		free(report->gone[k].path);
	free(report->gone);
	free_strings(report->doubtful, report->n_doubtful);
	*report = (struct report){0};
}
