/* SPDX-License-Identifier: BSD-2-Clause */
/* Pairs of CPUs, for tests that have one send to another. */
#ifndef TESTS_SUPPORT_PAIRS_H
#define TESTS_SUPPORT_PAIRS_H

#include <stdbool.h>

/* Of n CPUs: all pairs up to 8 of them, which are quadratic in number. Of more each has itself, the first, the next. */
static inline bool cpus_paired(unsigned int from, unsigned int to, unsigned int n)
{
	return n <= 8 || to == from || to == 0 || to == (from + 1) % n;
}

#endif
