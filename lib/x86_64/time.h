/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LIB_X86_64_TIME_H
#define LIB_X86_64_TIME_H

#include <stdint.h>

/* Finds the TSC's frequency (CPUID, hypervisor, PIT, HPET, PM timer); ACPI may be parsed or not. */
void time_init(void);
/* The TSC's frequency by one source: "pit", "hpet", "pm timer". 0: not there. */
uint64_t time_measure(const char *source);

#endif
