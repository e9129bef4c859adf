/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench_staging - how many small files a second staging makes durable, and how long one file takes on an idle server.
 *
 *   bench_staging [FILES [FOLDER]]
 */
#include <time.h>

#include "staging_rig.h"

static double
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
one_file(struct rig *r, unsigned i)
{
	uint8_t data[4096];
	char path[64];

	for (size_t k = 0; k < sizeof data; k += 4)
		memcpy(data + k, &(uint32_t){i * 2654435761u + (uint32_t)k}, 4);
	snprintf(path, sizeof path, "offiles/fd%02x/%08x.%03x", i & 255, i, i & 0xfff);
	rig_put(r, path, data, sizeof data);
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int
main(int argc, char **argv)
{
	unsigned n = argc > 1 ? (unsigned)atoi(argv[1]) : 50000;
	struct staging_figures figures;
	double idle[200];
	struct rig r;

	rig_open(&r, argc > 2 ? argv[2] : NULL);
	double began = now_s();
	for (unsigned i = 0; i < n; i++) {
		one_file(&r, i);
		while (staging_queued(r.staging) > (40u << 20))
			event_base_loop(r.base, EVLOOP_ONCE);
	}
	rig_settle(&r);
	double took = now_s() - began;
	staging_figures(r.staging, &figures);
	printf("%u files of 4 KiB durable in %.2f s: %.0f files/s, %llu batches\n", n, took, n / took, (unsigned long long)figures.batches);
	for (unsigned i = 0; i < 200; i++) {
		began = now_s();
		one_file(&r, n + i);
		rig_settle(&r);
		idle[i] = now_s() - began;
	}
	qsort(idle, 200, sizeof idle[0], by_value);
	printf("one file on an idle server: p50 %.2f ms, p99 %.2f ms\n", idle[100] * 1e3, idle[198] * 1e3);
	rig_close(&r);
	if (argc <= 2)
		rig_remove(&r);
	return r.failed != 0;
}
