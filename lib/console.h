/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the report goes. stdout of picolibc ends here. */
#ifndef LIB_CONSOLE_H
#define LIB_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

/* One output; all that are present get everything. */
struct console {
	const char *name;
	void (*write)(const char *s, size_t n);
};
/* At most 4; -ENOSPC. lib/<arch>/ adds COM1 (16550) and QEMU's debugcon when they answer. */
int console_add(const struct console *c);
/* Whole lines from several CPUs never mix; usable from exception handlers. A stuck UART gives up after
 * a deadline and is dropped. */
void console_write(const char *s, size_t n);
/* Ends a line of this CPU that was left half printed, and lets go what its writer held. */
void console_fresh_line(void);
/* on: what is printed goes nowhere, until off. */
void console_mute(bool on);
/* Forgets all outputs: others were asked for. */
void console_clear(void);

#endif
