/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cli_show - answers as a person reads them; data on standard output, talk on standard error. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/utf8.h"
#include "control/cli.h"
#include "control/progress.h"

static const char *
text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static long long
number(const json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

/* 1234567 -> "1.2 MiB". */
static const char *
size(long long bytes, char out[32])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double v = (double)bytes;
	size_t u = 0;

	while (v >= 1024 && u < 4) {
		v /= 1024;
		u++;
	}
	snprintf(out, 32, u ? "%.1f %s" : "%.0f %s", v, units[u]);
	return out;
}

/* A moment in local time, short. */
static const char *
moment(const char *rfc3339, char out[48])
{
	struct tm tm = {0}, local;
	time_t t;

	if (sscanf(rfc3339, "%d-%d-%dT%d:%d:%d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 6)
		return "never";
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	t = timegm(&tm);
	strftime(out, 48, "%a %d %b %H:%M", localtime_r(&t, &local));
	return out;
}

static const char *
age(long long seconds, char out[32])
{
	if (seconds < 120)
		snprintf(out, 32, "%lld s", seconds);
	else if (seconds < 7200)
		snprintf(out, 32, "%lld min", seconds / 60);
	else
		snprintf(out, 32, "%lld h", seconds / 3600);
	return out;
}

void
show_nothing(const json_t *object)
{
	(void)object;
}

/* ---- plain words ---- */

char *
cli_plain(const char *words)
{
	char *plain = malloc(strlen(words) + 1), *to = plain;

	while (plain && *words) {
		size_t n = utf8_printable(words);

		if (n)
			memcpy(to, words, n);
		else
			*to = *words == '\n' || *words == '\t' ? *words : '?';
		n = n ? n : 1;
		to += n;
		words += n;
	}
	if (plain)
		*to = '\0';
	return plain;
}

static void
make_plain(json_t *value)
{
	const char *key;
	json_t *child;
	size_t i;

	if (json_is_string(value)) {
		char *plain = cli_plain(json_string_value(value));

		json_string_set(value, plain ? plain : "");
		free(plain);
	}
	json_object_foreach(value, key, child)
		make_plain(child);
	json_array_foreach(value, i, child)
		make_plain(child);
}

json_t *
cli_plain_object(const json_t *object)
{
	json_t *copy = json_deep_copy(object);

	make_plain(copy);
	return copy;
}

/* ---- status ---- */

static void
show_flow(const json_t *p)
{
	char lag[32], bytes[32];

	if (json_is_null(json_object_get(p, "pending_changes")))
		printf("%s  staged %lld files, %s", json_is_true(json_object_get(p, "connected")) ? "connected" : "not connected",
		    number(p, "staged_files"), size(number(p, "staged_bytes"), bytes));
	else
		printf("lag %s  pending %lld (%s)  %s", age(number(p, "oldest_pending_seconds"), lag), number(p, "pending_changes"),
		    json_is_null(json_object_get(p, "pending_bytes")) ? "size not known" : size(number(p, "pending_bytes"), bytes),
		    json_is_true(json_object_get(p, "connected")) ? "connected" : "not connected");
}

/* When DBCOPY last ended well, and what space there is: of local staging, or of the store. */
static void
show_resources(const json_t *p)
{
	const char *space = json_object_get(p, "staging_free_bytes") ? "staging_free_bytes" : "free_bytes";
	char when[48], bytes[32];

	if (json_object_get(p, "last_dbcopy"))
		printf("  dbcopy %s", moment(text(p, "last_dbcopy"), when));
	printf("  free %s", size(number(p, space), bytes));
}

static void
show_profile(const json_t *p)
{
	const json_t *set = json_object_get(p, "last_set"), *job = json_object_get(p, "job");
	char when[48];

	printf("%-10s %-9s ", text(p, "profile"), text(p, "state"));
	show_flow(p);
	if (json_is_object(set))
		printf("  last set %s (%s%s)", text(set, "name"), moment(text(set, "sealed_at"), when),
		    json_is_true(json_object_get(set, "verified")) ? ", verified" : "");
	else
		printf("  no set yet");
	show_resources(p);
	if (json_is_object(job))
		printf("  job %lld: %s (%s)", number(job, "id"), text(job, "phase"), text(job, "origin"));
	else if (*text(p, "next_run"))
		printf("  next %s", moment(text(p, "next_run"), when));
	putchar('\n');
	if (*text(p, "reason"))
		printf("%-10s -> %s\n", "", text(p, "reason"));
}

void
show_status(const json_t *object)
{
	json_t *profile;
	size_t i;

	json_array_foreach(json_object_get(object, "profiles"), i, profile)
		show_profile(profile);
	if (json_array_size(json_object_get(object, "profiles")) == 0)
		puts("no profile yet");
	if (*text(json_object_get(object, "upgrade"), "reason"))
		printf("%-10s -> %s\n", "upgrade", text(json_object_get(object, "upgrade"), "reason"));
	fflush(stdout);
}

void
show_upgrade(const json_t *object)
{
	char when[48];

	printf("%s runs", text(object, "running"));
	if (strcmp(text(object, "phase"), "off") == 0)
		printf("; upgrades are off");
	else if (*text(object, "offered"))
		printf("; the server has %s (seen %s)", text(object, "offered"), moment(text(object, "fresh"), when));
	else
		printf("; the server has not been asked yet");
	if (strcmp(text(object, "phase"), "fetching") == 0 || strcmp(text(object, "phase"), "ready") == 0 || strcmp(text(object, "phase"), "trial") == 0)
		printf("; %s", text(object, "phase"));
	putchar('\n');
	if (*text(object, "reason"))
		printf("-> %s\n", text(object, "reason"));
}

void
show_troubles(const json_t *object)
{
	json_t *t;
	size_t i;

	json_array_foreach(json_object_get(object, "troubles"), i, t)
	{
		char when[48];

		printf("  not sent: %s: %s (%lld attempts, next %s)\n", text(t, "path"), text(t, "text"), number(t, "attempts"),
		    moment(text(t, "next_try"), when));
	}
}

/* ---- jobs ---- */

/* "1.2 GiB of 3.4 GiB"; nothing when nothing is known. */
static void
tell_share(const json_t *o, char *out, size_t room)
{
	char a[32], b[32];

	if (number(o, "total"))
		snprintf(out, room, "%s of %s", size(number(o, "done"), a), size(number(o, "total"), b));
	else
		snprintf(out, room, "%s", number(o, "done") ? size(number(o, "done"), a) : "");
}

/* "1.2 GiB sent, 345 changes (2.3 MiB) wait" */
static void
tell_flow(const json_t *o, char *out, size_t room)
{
	char sent[32], waits[32];

	snprintf(out, room, "%s sent, %lld changes (%s) wait%s", size(number(o, "wire_bytes"), sent), number(o, "pending_changes"),
	    size(number(o, "pending_bytes"), waits), number(o, "rescans_open") ? ", tree compared" : "");
}

static void
show_job_progress(const json_t *o)
{
	const char *phase = text(o, "phase");
	char figures[96], what[64];

	snprintf(what, sizeof what, "%s%s%s", phase, *text(o, "step") ? " " : "", text(o, "step"));
	if (strcmp(phase, "stream") == 0 || strcmp(phase, "barrier") == 0)
		tell_flow(o, figures, sizeof figures);
	else
		tell_share(o, figures, sizeof figures);
	progress_show(what, (uint64_t)number(o, "done"), (uint64_t)number(o, "total"), figures);
}

void
show_job(const json_t *object)
{
	const char *result = text(object, "result");

	if (strcmp(text(object, "type"), "started") == 0) {
		printf("%lld\n", number(object, "id"));
	} else if (strcmp(result, "running") == 0) {
		show_job_progress(object);
	} else {
		progress_end();
		if (*text(object, "set"))
			puts(text(object, "set"));
		if (*text(object, "text"))
			fprintf(stderr, "tidemark: backup %s: %s\n", result, text(object, "text"));
	}
}

void
show_job_detail(const json_t *object)
{
	const char *key;
	json_t *ms;
	char a[48], b[48], c[32], d[32];

	printf("job      %lld of %s, %s\n", number(object, "id"), text(object, "profile"), text(object, "result"));
	printf("origin   %s\n", text(object, "origin"));
	printf("started  %s, ended %s\n", moment(text(object, "started_at"), a), moment(text(object, "ended_at"), b));
	printf("set      %s\n", *text(object, "set") ? text(object, "set") : "none");
	if (*text(object, "text"))
		printf("says     %s\n", text(object, "text"));
	printf("phases  ");
	json_object_foreach((json_t *)(uintptr_t)json_object_get(object, "phase_ms"), key, ms)
		printf(" %s %.1f s", key, (double)json_integer_value(ms) / 1000);
	printf("\ncopied   %lld files, %s\n", number(object, "files_copied"), size(number(object, "bytes_copied"), c));
	printf("sent     %lld files, %s, %s on the wire\n", number(object, "files_sent"), size(number(object, "bytes_sent"), c),
	    size(number(object, "wire_bytes"), d));
	if (*text(object, "log"))
		printf("log\n%s\n", text(object, "log"));
}

void
show_jobs(const json_t *object)
{
	json_t *job;
	size_t i;

	json_array_foreach(json_object_get(object, "jobs"), i, job)
	{
		char when[48];

		printf("%-14lld %-10s %-9s %-8s %-16s %-14s %s\n", number(job, "id"), text(job, "profile"), text(job, "result"),
		    text(job, "phase"), moment(text(job, "started_at"), when), text(job, "set"), text(job, "origin"));
	}
}

/* ---- sets ---- */

void
show_sets(const json_t *object)
{
	json_t *set;
	size_t i;

	json_array_foreach(json_object_get(object, "sets"), i, set)
	{
		char a[48], b[32];

		printf("%-14s %-16s %9lld files %12s  %-8s %s\n", text(set, "name"), moment(text(set, "started_at"), a), number(set, "files"),
		    size(number(set, "bytes"), b), text(set, "state"), json_is_true(json_object_get(set, "verified")) ? "verified" : "not verified");
		if (*text(set, "note"))
			printf("%-14s -> %s\n", "", text(set, "note"));
	}
}

void
show_lines(const json_t *object)
{
	const char *type = text(object, "type");

	if (strcmp(type, "entry") == 0) {
		const char *when = text(object, "mtime");

		/* Whole seconds: the same width in every line. */
		progress_end();
		printf("%s %lld %.19s%s %s\n", text(object, "kind"), number(object, "size"), *when ? when : "-", *when ? "Z" : "", text(object, "path"));
	} else if (strcmp(type, "difference") == 0) {
		progress_end();
		printf("%s: %s\n", text(object, "path"), text(object, "what"));
	} else if (strcmp(type, "progress") == 0) {
		char figures[96];

		(strcmp(text(object, "unit"), "changes") == 0 ? tell_flow : tell_share)(object, figures, sizeof figures);
		progress_show(text(object, "phase"), (uint64_t)number(object, "done"), (uint64_t)number(object, "total"), figures);
	} else if (strcmp(type, "sets") == 0) {
		show_sets(object);
	} else if (*text(object, "text")) {
		progress_end();
		fprintf(stderr, "%s\n", text(object, "text"));
	}
}

/* What was done, after the findings; the set's facts are the answer's last object. */
static void
show_done(const json_t *object, const char *what)
{
	const json_t *set = json_object_get(object, "set");
	char bytes[32];

	show_lines(object);
	if (strcmp(text(object, "type"), "done") == 0 && json_is_object(set)) {
		progress_end();
		fprintf(stderr, "%s: %s (%lld files, %s in the set)\n", text(set, "name"), what, number(set, "files"), size(number(set, "bytes"), bytes));
	}
}

void
show_verified(const json_t *object)
{
	show_done(object, "every file is what was sealed");
}

void
show_restored(const json_t *object)
{
	show_done(object, "restored, and compared with what was sealed");
}

/* ---- the rest ---- */

void
show_token(const json_t *object)
{
	puts(text(object, "token"));
}

void
show_doctor(const json_t *object)
{
	json_t *check;
	size_t i;

	json_array_foreach(json_object_get(object, "checks"), i, check)
		printf("%-4s  %-12s %s\n", text(check, "verdict"), text(check, "what"), text(check, "text"));
}
