/* SPDX-License-Identifier: BSD-2-Clause */
/* CPUs, for tests that have one work for another, or send to it. */
#ifndef TESTS_SUPPORT_CPUS_H
#define TESTS_SUPPORT_CPUS_H

#include <stdbool.h>

#include "lib/smp.h"
#include "lib/test.h"

/*
 * A check that a call of lib/smp.h for this CPU returned 0: the CPU did, or took, the work that it was given. Else the
 * test FAILs, and ends.
 */
#define CPU_OK(t, cpu, call) cpu_check(t, cpu, call, __FILE__, __LINE__)
void cpu_check(struct test_ctx *t, unsigned int cpu, int ret, const char *file, unsigned int line);

/* Of n CPUs: all pairs up to 8 of them, which are quadratic in number. Of more each has itself, the first, the next. */
static inline bool cpus_paired(unsigned int from, unsigned int to, unsigned int n)
{
	return n <= 8 || to == from || to == 0 || to == (from + 1) % n;
}

#endif
