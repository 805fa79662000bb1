/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/console.h"

#include <errno.h>
#include <stdio.h>

#include "lib/smp.h"
#include "lib/spinlock.h"

#define MAX_CONSOLES 4
#define LINE_SIZE    1024

static struct {
	const struct console *out[MAX_CONSOLES];
	unsigned int count;
	spinlock_t lock;
	struct {
		char buf[LINE_SIZE];
		size_t used;
	} line; /* of the CPU that prints; whole lines go out under the lock */
} con;

int console_add(const struct console *c)
{
	if (con.count == MAX_CONSOLES)
		return -ENOSPC;
	con.out[con.count++] = c;
	return 0;
}

/* A CPU that died inside must not silence the others for good. */
#define LOCK_TRIES 50000000u

void console_write(const char *s, size_t n)
{
	unsigned int i, tries = 0;

	while (!spin_trylock(&con.lock) && tries++ < LOCK_TRIES)
		;
	for (i = 0; i < con.count; i++)
		con.out[i]->write(s, n);
	spin_unlock(&con.lock);
}

/* --- picolibc's stdout: bytes gather to lines --------------------------------------------- */

static void flush_line(void)
{
	console_write(con.line.buf, con.line.used);
	con.line.used = 0;
}

static int put(char c, FILE *f)
{
	(void)f;
	con.line.buf[con.line.used++] = c;
	if (c == '\n' || con.line.used == LINE_SIZE)
		flush_line();
	return (unsigned char)c;
}

static int flush(FILE *f)
{
	(void)f;
	if (con.line.used)
		flush_line();
	return 0;
}

static FILE out = FDEV_SETUP_STREAM(put, NULL, flush, _FDEV_SETUP_WRITE);
FILE *const stdout = &out;
FILE *const stderr = &out;
FILE *const stdin = &out;
