/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stillborn - stands for the program of a release that is well signed and does not come up: it tells its version, which it reads
 * from the file "version" beside it, and does nothing else; without --version it ends with a configuration error.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	char path[PATH_MAX], version[64] = "0.0.0";
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 16);
	FILE *f;

	if (argc != 2 || strcmp(argv[1], "--version") != 0 || n < 0)
		return 2;
	path[n] = '\0';
	strcpy(strrchr(path, '/') + 1, "version");
	if ((f = fopen(path, "r"))) {
		if (fscanf(f, "%63s", version) != 1)
			return 1;
		fclose(f);
	}
	printf("stillborn %s\n", version);
	return 0;
}
