/* SPDX-License-Identifier: GPL-2.0-or-later */
/* progress - one line of a terminal, redrawn at most ten times a second. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "control/progress.h"
#include "base/clock.h"

#define PLAIN_EVERY_MS 30000
#define DRAW_EVERY_MS 100

static struct {
	bool terminal, none;
	int64_t began_ms, drawn_ms;
	char phase[64];
	uint64_t done, total;
	bool drawn;
} p;

static int
columns(void)
{
	struct winsize w;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 20 ? w.ws_col : 80;
}

static void
draw_bar(int64_t elapsed_s)
{
	char head[160];
	int width, filled;

	snprintf(head, sizeof head, "%-10s %3lld:%02lld ", p.phase, (long long)(elapsed_s / 60), (long long)(elapsed_s % 60));
	width = columns() - (int)strlen(head) - 10;
	fprintf(stderr, "\r%s", head);
	if (p.total && width > 10) {
		filled = (int)((double)p.done / (double)p.total * width);
		filled = filled > width ? width : filled;
		fprintf(stderr, "[%.*s%*s] %3d%%", filled, "################################################################################"
		    "################################################################################", width - filled, "",
		    (int)(100 * (double)p.done / (double)p.total));
	} else if (p.done) {
		fprintf(stderr, "%llu", (unsigned long long)p.done);
	}
	fputs("\033[K", stderr);
	fflush(stderr);
	p.drawn = true;
}

static void
draw(bool now)
{
	int64_t ms = clock_steady_ms();

	if (p.none || (!now && ms - p.drawn_ms < (p.terminal ? DRAW_EVERY_MS : PLAIN_EVERY_MS)))
		return;
	p.drawn_ms = ms;
	if (p.terminal)
		draw_bar((ms - p.began_ms) / 1000);
	else if (p.total)
		fprintf(stderr, "%s: %llu of %llu after %lld s\n", p.phase, (unsigned long long)p.done, (unsigned long long)p.total,
		    (long long)((ms - p.began_ms) / 1000));
	else
		fprintf(stderr, "%s: %llu after %lld s\n", p.phase, (unsigned long long)p.done, (long long)((ms - p.began_ms) / 1000));
}

void
progress_begin(enum progress_mode mode)
{
	memset(&p, 0, sizeof p);
	p.none = mode == PROGRESS_NONE;
	p.terminal = isatty(STDERR_FILENO);
	p.began_ms = p.drawn_ms = clock_steady_ms();
	snprintf(p.phase, sizeof p.phase, "waiting");
}

void
progress_show(const char *phase, uint64_t done, uint64_t total)
{
	bool other = strcmp(phase, p.phase) != 0;

	snprintf(p.phase, sizeof p.phase, "%s", phase);
	p.done = done;
	p.total = total;
	draw(other && p.terminal);
}

void
progress_tick(void)
{
	draw(false);
}

void
progress_end(void)
{
	if (p.drawn && p.terminal)
		fputs("\r\033[K", stderr);
	p.drawn = false;
}
