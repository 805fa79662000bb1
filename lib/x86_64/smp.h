/* SPDX-License-Identifier: BSD-2-Clause */
/* What the page tables need of the CPUs, beside lib/smp.h. */
#ifndef LIB_X86_64_SMP_H
#define LIB_X86_64_SMP_H

#include <stddef.h>
#include <stdint.h>

/* The generation of the page tables that a CPU has seen. */
uint32_t smp_flushed(unsigned int cpu);

#define SMP_CODE_SIZE 2048 /* half of the page where CPUs start */
/*
 * As smp_restart(), but the CPU enters `code`, of at most SMP_CODE_SIZE bytes, in real mode. It stands at smp_trampoline(),
 * and ends with a jump to our own, SMP_CODE_SIZE bytes behind that, in a segment that begins there. What the code has
 * become is copied back.
 */
int smp_restart_by(unsigned int cpu, void *code, size_t size);

#endif
