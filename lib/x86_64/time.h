/* SPDX-License-Identifier: BSD-2-Clause */
/* How the start sets up the clock of lib/time.h. */
#ifndef LIB_X86_64_TIME_H
#define LIB_X86_64_TIME_H

#include <stdbool.h>
#include <stdint.h>

/* From here on time_now() counts, by a guess of the frequency. */
void time_start(void);
/* Finds the TSC's frequency by the best source there is. It is called again when ACPI has made more sources known. */
void time_init(void);
/* False: the source that was found is a bad substitute. */
bool time_is_exact(void);

#endif
