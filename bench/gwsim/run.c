/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows how agent processes are started, paced, told to stop and counted. */
#include "bench/gwsim/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/gwsim/agent.h"
#include "bench/gwsim/die.h"

enum { TICK_MS = 50 };

struct run {
	struct office *office;
	const struct run_plan *plan;
	struct figures *figures;	/* shared by all processes */
	pid_t *pids;			/* 0: ended */
	unsigned living, failed;
	double start;
};

static volatile sig_atomic_t stop_requested;

static void
on_stop_signal(int signal_number)
{
	(void)signal_number;
	stop_requested = 1;
}

/* Without SA_RESTART: a process that waits for a lock shall notice. */
static void
catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_stop_signal };

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
nap(double seconds)
{
	struct timespec t = { .tv_sec = (time_t)seconds };

	t.tv_nsec = (long)((seconds - (double)t.tv_sec) * 1e9);
	nanosleep(&t, NULL);
}

static double
end_of(const struct run *run)
{
	if (run->plan->seconds > 0)
		return run->start + run->plan->seconds;
	return run->plan->expire ? run->start : 1e300;
}

/* The life of one agent process. */
static void
live(struct run *run, unsigned process)
{
	const struct run_plan *plan = run->plan;
	double end = end_of(run), step = plan->rate > 0 ? (double)plan->processes / plan->rate : 0, due, night;
	struct agent agent;

	agent_init(&agent, run->office, run->figures, &stop_requested, plan->seed, process, plan->graveyard);
	agent_expire(&agent);
	due = now();
	night = due + plan->day;
	while (!stop_requested && now() < end) {
		while (due > now() && !stop_requested && now() < end)
			nap(due - now() < 1 ? due - now() : 1);
		if (!stop_requested && now() < end)
			agent_event(&agent);
		if (now() >= night) {
			agent_night(&agent);
			night += plan->day;
		}
		due += step;
	}
	agent_fini(&agent);
}

static void
start_processes(struct run *run)
{
	pid_t parent = getpid();

	fflush(NULL);
	for (unsigned i = 0; i < run->plan->processes; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die_errno("cannot start a process");
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGTERM);
			if (getppid() == parent)
				live(run, i);
			office_close(run->office);
			free(run->pids);
			exit(0);
		}
		run->pids[i] = pid;
		run->living++;
	}
}

/* Notice ended processes; one that failed makes the others stop. */
static void
reap(struct run *run)
{
	for (unsigned i = 0; i < run->plan->processes; i++) {
		int status;

		if (!run->pids[i] || waitpid(run->pids[i], &status, WNOHANG) != run->pids[i])
			continue;
		run->pids[i] = 0;
		run->living--;
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
			run->failed++;
			stop_requested = 1;
		}
	}
}

static void
tell_to_stop(const struct run *run)
{
	for (unsigned i = 0; i < run->plan->processes; i++)
		if (run->pids[i])
			kill(run->pids[i], SIGTERM);
}

static unsigned long long
figure(const struct run *run, enum figure which)
{
	return run->figures->of[which];
}

static void
print_progress(const struct run *run, double elapsed, unsigned long long events_before, double interval)
{
	fprintf(stderr, "run: %.0f s, %.0f events/s | delivered %llu read %llu purged %llu upkeep %llu indexed %llu | "
		"transactions %llu | blobs +%llu (%.1f MB) -%llu\n", elapsed,
		(double)(figure(run, FIGURE_EVENTS) - events_before) / interval, figure(run, FIGURE_DELIVERED),
		figure(run, FIGURE_READ), figure(run, FIGURE_PURGED), figure(run, FIGURE_UPKEEP),
		figure(run, FIGURE_INDEXED), figure(run, FIGURE_TRANSACTIONS), figure(run, FIGURE_BLOBS),
		(double)figure(run, FIGURE_BLOB_BYTES) / 1e6, figure(run, FIGURE_DELETED));
}

static void
print_totals(const struct run *run, double elapsed)
{
	static const char *const names[FIGURES] = {
		"events", "delivered", "read", "purged", "upkeep", "indexed", "queued", "admin", "transactions",
		"pages_written", "new_blobs", "new_blob_bytes", "deleted_blobs", "nights",
	};

	printf("totals: seconds=%.2f processes=%llu seed=%llu", elapsed, (unsigned long long)run->plan->processes,
		(unsigned long long)run->plan->seed);
	for (int i = 0; i < FIGURES; i++)
		printf(" %s=%llu", names[i], figure(run, (enum figure)i));
	printf(" failed_processes=%u\n", run->failed);
}

static void
watch(struct run *run)
{
	double last = run->start, end = end_of(run);
	unsigned long long events_before = 0;

	while (run->living) {
		double t = now();

		if (stop_requested || (run->plan->seconds > 0 && t >= end))
			tell_to_stop(run);
		if (run->plan->every > 0 && t - last >= run->plan->every) {
			print_progress(run, t - run->start, events_before, t - last);
			events_before = figure(run, FIGURE_EVENTS);
			last = t;
		}
		nap(TICK_MS / 1e3);
		reap(run);
	}
}

int
run_office(struct office *office, const struct run_plan *plan)
{
	struct run run = { .office = office, .plan = plan };

	run.figures = mmap(NULL, sizeof *run.figures, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (run.figures == MAP_FAILED)
		die_errno("no shared memory");
	run.pids = must_calloc(plan->processes, sizeof *run.pids);
	run.figures->expire_left = (int64_t)plan->expire;
	catch_signals();
	run.start = now();
	start_processes(&run);
	watch(&run);
	print_totals(&run, now() - run.start);
	free(run.pids);
	munmap(run.figures, sizeof *run.figures);
	return run.failed ? 1 : 0;
}
