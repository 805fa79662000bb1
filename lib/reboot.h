/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Resets of the machine in the middle of a run, asked for by a test: the report goes on where it stood.
 * What must be remembered lies in the platform's NVRAM, which a reset leaves alone and a new machine has
 * empty. Only with reboot=on: the host must start the payload again by itself.
 */
#ifndef LIB_REBOOT_H
#define LIB_REBOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reboot_record {
	uint16_t tests;		   /* results that stand in the report */
	uint16_t checks, failures; /* of the test that asked */
	uint16_t step;		   /* from 1 */
	uint32_t value;		   /* the test's own */
	uint16_t sum[4], suite[4]; /* pass, fail, skip, error: of all, of the suite so far */
};

/* At the very start: does this boot go on with a run? Then nothing is printed until reboot_resumed(). After a
 * reset that nobody asked for the machine ends here, as it would have without reboot=on. */
void reboot_init(void);
/* The record of the boot before, NULL: this is the first. */
const struct reboot_record *reboot_record(void);
void reboot_resumed(void);

/* false: why says what is missing. */
bool reboot_usable(char *why, size_t size);
/* A run begins or ends: from here on a reset is an accident, from there on it is nobody's concern. */
void reboot_begin(void);
void reboot_end(void);
/* Resets the machine by the platform's way. */
_Noreturn void reboot_now(const struct reboot_record *r);

#endif
