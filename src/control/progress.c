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
	char phase[64], figures[128];
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
	static const char bar[] = "################################################################################"
	                          "################################################################################";
	char head[160];
	int width, filled, percent = p.total ? (int)(100 * (double)p.done / (double)p.total) : 0;

	snprintf(head, sizeof head, "%-10s %3lld:%02lld ", p.phase, (long long)(elapsed_s / 60), (long long)(elapsed_s % 60));
	width = columns() - (int)strlen(head) - (int)strlen(p.figures) - 12;
	width = width > (int)sizeof bar - 1 ? (int)sizeof bar - 1 : width;
	fprintf(stderr, "\r%s", head);
	if (p.done && p.total && width > 10) {
		filled = (int)((double)p.done / (double)p.total * width);
		filled = filled > width ? width : filled;
		fprintf(stderr, "[%.*s%*s] %3d%%  ", filled, bar, width - filled, "", percent > 100 ? 100 : percent);
	}
	/* Never into a second line, which \r would not take away. */
	fprintf(stderr, "%.*s\033[K", columns() - (int)strlen(head) - 1, p.figures);
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
	else
		fprintf(stderr, "%s: %s%safter %lld s\n", p.phase, p.figures, *p.figures ? " " : "", (long long)((ms - p.began_ms) / 1000));
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
progress_show(const char *phase, uint64_t done, uint64_t total, const char *figures)
{
	bool other = strcmp(phase, p.phase) != 0;

	snprintf(p.phase, sizeof p.phase, "%s", phase);
	snprintf(p.figures, sizeof p.figures, "%s", figures);
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
