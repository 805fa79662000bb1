/* SPDX-License-Identifier: BSD-2-Clause */
/* What the page tables need of the CPUs, beside lib/smp.h. */
#ifndef LIB_X86_64_SMP_H
#define LIB_X86_64_SMP_H

#include <stdint.h>

/* The generation of the page tables that a CPU has seen. */
uint32_t smp_flushed(unsigned int cpu);

#endif
