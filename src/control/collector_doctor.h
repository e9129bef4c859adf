/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * collector_doctor - the checks of `tidemark doctor` on a collector: the host's, then those of each profile.
 */
#ifndef CONTROL_COLLECTOR_DOCTOR_H
#define CONTROL_COLLECTOR_DOCTOR_H

#include <jansson.h>

struct collector;

/* The answer: {"type":"doctor","verdict":worst,"checks":[...]}. */
json_t *collector_doctor(struct collector *c);

#endif
