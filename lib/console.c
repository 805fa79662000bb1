/* SPDX-License-Identifier: BSD-2-Clause */
/* console.h: gathers what each CPU prints to lines, and writes whole lines to every output. */
#include "lib/console.h"

#include <errno.h>
#include <stdio.h>

#include "lib/guard.h"
#include "lib/smp.h"
#include "lib/time.h"

#define MAX_CONSOLES 4
#define LINE_SIZE    1024

static struct {
	const struct console *out[MAX_CONSOLES];
	unsigned int count;
	bool mute;
	unsigned int owner; /* atomic: 1 + the CPU that writes, 0: nobody */
	struct {
		char buf[LINE_SIZE];
		size_t used;
	} line[SMP_MAX_CPUS]; /* of the CPU that prints; whole lines go out under the lock */
} con;

int console_add(const struct console *c)
{
	if (con.count == MAX_CONSOLES)
		return -ENOSPC;
	con.out[con.count++] = c;
	return 0;
}

void console_clear(void)
{
	con.count = 0;
}

void console_mute(bool on)
{
	con.mute = on;
}

/* A CPU that died inside must not silence the others for good. */
#define LOCK_TRIES 50000000u

/* False: this CPU holds the lock already. An exception handler then prints over the line that it interrupted. */
static bool lock(unsigned int me)
{
	unsigned int tries = 0;
	unsigned int seen;

	do {
		seen = 0;
		if (__atomic_compare_exchange_n(&con.owner, &seen, me, false, __ATOMIC_ACQUIRE,
						__ATOMIC_RELAXED))
			return true;
		cpu_relax();
	} while (seen != me && tries++ < LOCK_TRIES);
	return false;
}

void console_write(const char *s, size_t n)
{
	unsigned int i;
	bool locked;

	if (con.mute)
		return;
	guard_hold();
	locked = lock(smp_this_cpu() + 1);
	for (i = 0; i < con.count; i++)
		con.out[i]->write(s, n);
	if (locked)
		__atomic_store_n(&con.owner, 0, __ATOMIC_RELEASE);
	guard_drop();
}

/* --- picolibc's stdout: bytes are gathered to lines --------------------------------------------- */

static void flush_line(unsigned int cpu)
{
	const size_t n = con.line[cpu].used;

	con.line[cpu].used = 0;
	console_write(con.line[cpu].buf, n);
}

static int put(char c, FILE *f)
{
	const unsigned int cpu = smp_this_cpu();

	(void)f;
	con.line[cpu].buf[con.line[cpu].used++] = c;
	if (c == '\n' || con.line[cpu].used == LINE_SIZE)
		flush_line(cpu);
	return (unsigned char)c;
}

static int flush(FILE *f)
{
	const unsigned int cpu = smp_this_cpu();

	(void)f;
	if (con.line[cpu].used)
		flush_line(cpu);
	return 0;
}

void console_fresh_line(void)
{
	unsigned int me = smp_this_cpu() + 1;

	__atomic_compare_exchange_n(&con.owner, &me, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	if (con.line[smp_this_cpu()].used)
		put('\n', stdout);
}

static FILE out = FDEV_SETUP_STREAM(put, NULL, flush, _FDEV_SETUP_WRITE);
FILE *const stdout = &out;
FILE *const stderr = &out;
FILE *const stdin = &out;
