/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the report goes: picolibc's stdout writes to these outputs. */
#ifndef LIB_CONSOLE_H
#define LIB_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

/* One output; all that are present get everything. */
struct console {
	const char *name;
	void (*write)(const char *s, size_t n);
};
/* Adds an output; the fifth is too many: -ENOSPC. lib/<arch> adds COM1 (16550) and QEMU's debugcon when they answer. */
int console_add(const struct console *c);
/* Whole lines from several CPUs never mix; usable from exception handlers. A stuck UART gives up after
 * a deadline and is dropped. */
void console_write(const char *s, size_t n);
/* Ends a line that this CPU left half printed, and frees the lock if its writer held it. */
void console_fresh_line(void);
/* on: nothing is printed until it is called with off. */
void console_mute(bool on);
/* Forgets all outputs, before the ones that the command line asks for are added. */
void console_clear(void);

#endif
