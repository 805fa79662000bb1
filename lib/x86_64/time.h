/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LIB_X86_64_TIME_H
#define LIB_X86_64_TIME_H

#include <stdbool.h>
#include <stdint.h>

/* time_now() counts from here, by a guess of the frequency. */
void time_start(void);
/* Finds the TSC's frequency by the best source there is; again when ACPI has made more of them known. */
void time_init(void);
/* False: what was found is a bad substitute. */
bool time_is_exact(void);

#endif
