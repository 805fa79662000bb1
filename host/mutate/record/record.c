/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A part of the instrumented host of scripts/mutants: which test executes which code. The compiler calls
 * __sanitizer_cov_trace_pc() at the start of each block (-fsanitize-coverage=trace-pc).
 *
 * QEMU copies the console into $RECORD_CONSOLE before the guest goes on. A thread looks at it each millisecond. A block
 * that began between two looks may have been any test's that had started when the second look ended, back to that which
 * was the last when the first one began: it counts as executed by each of these, which may be one test too many. What a
 * block does behind a call that waits counts where the block began.
 *
 * When the program ends, $RECORD_OUT/PART.PID has a line "T NAME" for each test in their order, and "B ADDRESS TESTS" for each
 * block: a digit for what came before all tests and one for each of them, 1 if it executes the block.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TEXT_MAX  (1u << 20) /* bytes of code; scripts/mutants-host refuses a program with more */
#define TESTS_MAX 1024
#define NAME_MAX_ 96
#define START	  "    # start "
#define LOOK_NS	  1000000
#ifndef RECORD_PART
#define RECORD_PART "h" /* which program it is a part of */
#endif

extern const char __ehdr_start[] __attribute__((visibility("hidden")));
void __sanitizer_cov_trace_pc(void); /* the compiler knows it by this name */

static uint32_t hit[TEXT_MAX / 32];
static uint8_t *seen[TEXT_MAX]; /* of a block: by which tests */
static char names[TESTS_MAX][NAME_MAX_];
static unsigned int tests; /* 0: none has started */
static unsigned int since; /* the last one when the look before this one began */

static char line[256];
static size_t line_len;
static off_t console_at;

static pthread_t looker;
static bool looking;
static bool at_end;

__attribute__((noinline)) void __sanitizer_cov_trace_pc(void)
{
	const uintptr_t at = (uintptr_t)__builtin_return_address(0) - (uintptr_t)__ehdr_start;
	const uint32_t bit = 1u << at % 32;

	if (at < TEXT_MAX && !(__atomic_load_n(&hit[at / 32], __ATOMIC_RELAXED) & bit))
		__atomic_fetch_or(&hit[at / 32], bit, __ATOMIC_RELAXED);
}

static void end_line(void)
{
	line[line_len] = '\0';
	line_len = 0;
	if (strncmp(line, START, strlen(START)) != 0 || tests + 1 >= TESTS_MAX)
		return;
	tests++;
	snprintf(names[tests], sizeof(names[tests]), "%.*s",
		 (int)strcspn(line + strlen(START), " \r"), line + strlen(START));
}

static void read_console(void)
{
	const char *path = getenv("RECORD_CONSOLE");
	const int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	char part[4096];
	ssize_t n, i;

	if (fd < 0)
		return;
	while ((n = pread(fd, part, sizeof(part), console_at)) > 0) {
		console_at += n;
		for (i = 0; i < n; i++) {
			if (part[i] == '\n')
				end_line();
			else if (line_len + 1 < sizeof(line))
				line[line_len++] = part[i];
		}
	}
	close(fd);
}

static void put_down(size_t at, unsigned int from, unsigned int to)
{
	unsigned int t;

	if (!seen[at])
		seen[at] = calloc(1, TESTS_MAX);
	for (t = from; seen[at] && t <= to; t++)
		seen[at][t] = 1;
}

static void look(void)
{
	static uint32_t found[TEXT_MAX / 32];
	static size_t words[TEXT_MAX / 32];
	unsigned int last, from = since;
	size_t n = 0, i;

	read_console();
	last = tests;
	for (i = 0; i < TEXT_MAX / 32; i++) {
		if (!__atomic_load_n(&hit[i], __ATOMIC_RELAXED))
			continue;
		found[n] = __atomic_exchange_n(&hit[i], 0, __ATOMIC_RELAXED);
		words[n++] = i;
	}
	read_console();
	for (i = 0; i < n; i++)
		for (unsigned int b = 0; b < 32; b++)
			if (found[i] & 1u << b)
				put_down(words[i] * 32 + b, from, tests);
	since = last;
}

static void *look_on(void *arg)
{
	const struct timespec pause = { .tv_nsec = LOOK_NS };

	(void)arg;
	while (!__atomic_load_n(&at_end, __ATOMIC_ACQUIRE)) {
		look();
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static void print(FILE *f)
{
	unsigned int t;
	size_t i;

	for (t = 1; t <= tests; t++)
		fprintf(f, "T %s\n", names[t]);
	for (i = 0; i < TEXT_MAX; i++) {
		if (!seen[i])
			continue;
		fprintf(f, "B %zx ", i);
		for (t = 0; t <= tests; t++)
			fputc('0' + seen[i][t], f);
		fputc('\n', f);
	}
}

__attribute__((constructor)) static void begin(void)
{
	sigset_t all, before;

	/* A program that starts later, to tell its version, has nothing to do with tests before. */
	read_console();
	since = tests;
	/* Signals are for the program's own threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	looking = pthread_create(&looker, NULL, look_on, NULL) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

__attribute__((destructor)) static void end(void)
{
	const char *to = getenv("RECORD_OUT");
	char path[4096];
	FILE *f;

	__atomic_store_n(&at_end, true, __ATOMIC_RELEASE);
	if (looking)
		pthread_join(looker, NULL);
	look();
	if (!to)
		return;
	snprintf(path, sizeof(path), "%s/" RECORD_PART ".%d", to, (int)getpid());
	f = fopen(path, "w");
	if (!f)
		return;
	print(f);
	fclose(f);
}
