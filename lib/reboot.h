/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A test may reset the machine in the middle of a run; the report goes on where it stood. What must be remembered is
 * in the platform's NVRAM, which a reset leaves alone and which is empty in a new machine. This needs reboot=on,
 * since the host has to start the payload again by itself.
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
	uint32_t value;		   /* that the test wants back */
	uint16_t sum[4], suite[4]; /* pass, fail, skip, error: of all, of the suite so far */
	uint32_t acpi_failed; /* the reset register of the FADT did nothing: another way did it */
};

/* At the very start, finds out whether this boot goes on with a run: then nothing is printed until
 * reboot_resumed(). After a reset that no test asked for the machine ends here, as it would without reboot=on. */
void reboot_init(void);
/* The record of the boot before; NULL: this is the first boot. */
const struct reboot_record *reboot_record(void);
void reboot_resumed(void);
/* Whether the last reset of this run's, if any, was not that of the FADT, though it has one. */
bool reboot_without_acpi(void);

/* Whether a test may reset the machine; if not, why says what is missing. */
bool reboot_usable(char *why, size_t size);
/* A reset between these two that no test asked for is an accident, and ends the machine. */
void reboot_begin(void);
void reboot_end(void);
/* Resets the machine in the way that the platform has. */
_Noreturn void reboot_now(const struct reboot_record *r);

#endif
