/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows which file names are databases and what their role is. */
#include "bench/gwsim/office.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/gwsim/die.h"
#include "bench/gwsim/names.h"

static enum role
role_of(const char *folder, const char *name)
{
	if (strcmp(folder, "ofuser") == 0)
		return ROLE_USER;
	if (strcmp(folder, "ofmsg") == 0)
		return strncasecmp(name, "msg", 3) == 0 ? ROLE_MESSAGES : ROLE_DEFERRED;
	return strcasecmp(name, "ngwguard.db") == 0 ? ROLE_GUARDIAN : ROLE_HOST;
}

static void
add_database(struct office *office, const char *folder, const char *folder_path, const char *file)
{
	char *name = must_printf("%s%s%s", folder, *folder ? "/" : "", file);

	lower_case(name);
	office->databases = realloc(office->databases, (office->count + 1) * sizeof *office->databases);
	if (!office->databases)
		die("out of memory");
	database_init(&office->databases[office->count++], must_printf("%s/%s", folder_path, file), name);
	free(name);
}

/* Add the databases of one role; the root has others that are none of ours. */
static void
add_folder(struct office *office, const char *folder, enum role role)
{
	char *path = names_find(office->dir, folder);
	struct name_list list;

	if (!path)
		return;
	name_list_init(&list, path);
	for (size_t i = 0; i < list.count; i++) {
		const char *file = list.names[i];
		bool root = role == ROLE_HOST || role == ROLE_GUARDIAN;

		if (!has_tail(file, ".db") || role_of(folder, file) != role)
			continue;
		if (role == ROLE_HOST && strcasecmp(file, "wpdomain.db") == 0)
			office->domain = true;
		else if (root && strcasecmp(file, "wphost.db") != 0 && strcasecmp(file, "ngwguard.db") != 0)
			continue;
		add_database(office, folder, path, file);
	}
	name_list_fini(&list);
	free(path);
}

/* Page heads are compared, not judged: that is the checker's work. */
static uint64_t
run_of(const struct database *db)
{
	struct page_head head = { 0 };
	int fd = open(db->path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	if (pread(fd, &head, sizeof head, 0) != sizeof head || head.magic != PAGE_MAGIC)
		head.run_id = 0;
	close(fd);
	return head.run_id;
}

static uint64_t
common_run(const struct office *office)
{
	uint64_t *runs = must_calloc(office->count, sizeof *runs), best = 0;
	size_t best_votes = 0;

	for (size_t i = 0; i < office->count; i++)
		runs[i] = run_of(&office->databases[i]);
	for (size_t i = 0; i < office->count; i++) {
		size_t votes = 0;

		if (!runs[i] || runs[i] == best)
			continue;
		for (size_t j = 0; j < office->count; j++)
			votes += runs[j] == runs[i];
		if (votes > best_votes) {
			best_votes = votes;
			best = runs[i];
		}
	}
	free(runs);
	return best;
}

void
office_open(struct office *office, const char *dir)
{
	static const char *const folders[ROLES] = { "", "", "ofmsg", "ofmsg", "ofuser" };
	struct stat st;

	if (stat(dir, &st) < 0)
		die_errno("cannot open %s", dir);
	if (!S_ISDIR(st.st_mode))
		die("%s is not a directory", dir);
	*office = (struct office){ .dir = must_printf("%s", dir) };
	office->offiles = names_find(dir, "offiles");
	for (int role = 0; role < ROLES; role++) {
		office->first[role] = office->count;
		add_folder(office, folders[role], (enum role)role);
	}
	office->first[ROLES] = office->count;
	if (!office->domain) {
		char *marker = names_find(dir, "gwdom.dc");	/* a domain that has lost its database */

		office->domain = marker != NULL;
		free(marker);
	}
	office->run_id = common_run(office);
}

void
office_close(struct office *office)
{
	for (size_t i = 0; i < office->count; i++)
		database_fini(&office->databases[i]);
	free(office->databases);
	free(office->offiles);
	free(office->dir);
}

size_t
office_count(const struct office *office, enum role role)
{
	return office->first[role + 1] - office->first[role];
}

struct database *
office_database(const struct office *office, enum role role, size_t i)
{
	return &office->databases[office->first[role] + i];
}

char *
office_find(const struct office *office, const char *relative)
{
	return names_find(office->dir, relative);
}
