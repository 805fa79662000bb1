/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LIB_X86_64_SMP_H
#define LIB_X86_64_SMP_H

#include <stdint.h>

/* Generation of the page tables that a CPU has seen. */
uint32_t smp_flushed(unsigned int cpu);

#endif
