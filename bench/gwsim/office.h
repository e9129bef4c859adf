/* SPDX-License-Identifier: GPL-2.0-or-later */
/* office - a post office or domain directory: which databases are there and what each is for. */
#ifndef GWSIM_OFFICE_H
#define GWSIM_OFFICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/gwsim/database.h"

enum role {
	ROLE_HOST,		/* wphost.db or, in a domain, wpdomain.db */
	ROLE_GUARDIAN,		/* ngwguard.db */
	ROLE_DEFERRED,		/* ofmsg/ngwdfr.db */
	ROLE_MESSAGES,		/* ofmsg/msgN.db: the only ones that refer to blobs */
	ROLE_USER,		/* ofuser/userXXX.db, ofuser/puXXXXXX.db */
	ROLES,
};

struct office {
	char *dir;
	char *offiles;			/* NULL: absent */
	bool domain;
	struct database *databases;	/* sorted by role, then as listed */
	size_t count;
	size_t first[ROLES + 1];	/* databases[first[r] .. first[r + 1]) have role r */
	uint64_t run_id;		/* the one that most databases carry; 0 without a database */
};

/* Look at the tree `dir`, which may lack anything. Opens no database for good. */
void office_open(struct office *office, const char *dir);
void office_close(struct office *office);

/* How many databases have this role, and one of them. */
size_t office_count(const struct office *office, enum role role);
struct database *office_database(const struct office *office, enum role role, size_t i);

/* A path below the office in whatever case it has; NULL when absent. Gives. */
char *office_find(const struct office *office, const char *relative);

#endif
