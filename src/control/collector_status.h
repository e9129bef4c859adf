/* SPDX-License-Identifier: GPL-2.0-or-later */
/* collector_status - the state of the collector's profiles, as JSON. */
#ifndef CONTROL_COLLECTOR_STATUS_H
#define CONTROL_COLLECTOR_STATUS_H

#include <jansson.h>

struct collector;

/* What the collector upgrades itself to: an answer, and a part of the status.  *Gives*. */
json_t *collector_upgrade_tell(struct collector *c);
/* One profile: its facts beside "v" and "type", and in "profiles"; "" = all of them in "profiles".  *Gives*. */
json_t *collector_status_tell(struct collector *c, const char *profile);

#endif
