/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tell - facts that both daemons tell alike, as JSON: jobs, sets, checks.
 */
#ifndef CONTROL_TELL_H
#define CONTROL_TELL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct api_request;
struct job_record;
struct jobs;

/* One job, with its phases and figures; null for NULL. */
json_t *tell_job(const struct job_record *job);

/* One set: name, started_at, sealed_at, files, bytes, verified, state. */
json_t *tell_set(const char *name, int64_t started_ns, int64_t sealed_ns, uint64_t files, uint64_t bytes, uint8_t verified, bool warnings);

/* last_set of a status: null when there is none. */
json_t *tell_last_set(const char *name, int64_t started_ns, int64_t sealed_ns, bool verified);

/* Adds one line of `doctor` to the array. */
enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_FAIL };
void tell_check(json_t *checks, enum verdict verdict, const char *what, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* {"type":"doctor","verdict":worst,"checks":[...]}; *takes* the array. */
json_t *tell_doctor(json_t *checks);

/* The jobs of all profiles, newest first, at most `max`: `nth` gives a profile's history, NULL past the end. */
json_t *tell_jobs(const struct jobs *(*nth)(void *arg, size_t i), void *arg, size_t max);
/* The job of an id, "" = the newest; answers the request.  Two profiles' jobs may have one id: the request's "profile" tells which is
 * meant, and without it such an id is refused. */
void tell_job_reply(struct api_request *req, const struct jobs *(*nth)(void *arg, size_t i), void *arg, const char *id);

/* Whether we may do `mode` (R_OK, W_OK, X_OK) at `path`; `meaning` says what cannot be done without. */
void tell_rights_check(json_t *checks, const char *path, int mode, const char *meaning);
/* Checks of the host that both sides make: clock, descriptors, space of the file system that holds `path`. */
void tell_host_checks(json_t *checks, const char *path);

#endif
