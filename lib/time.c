/* SPDX-License-Identifier: BSD-2-Clause */
/* How much more time a slow host has: what the command line says. */
#include "lib/time.h"

#include "lib/cmdline.h"

OPTION("slow", "factor of the tests' own limits, for a slow host; answers have half of it");

#define SLOWEST 1000000u /* so many times any limit is less than 2^64 ns */

/* With slow=0 nothing would have any time, so 1 is the least. */
uint64_t time_slow(void)
{
	const uint64_t n = cmdline_get_u64("slow", 1);

	return n == 0 ? 1 : n < SLOWEST ? n : SLOWEST;
}

uint64_t time_sec(void)
{
	static uint64_t sec; /* the command line does not change; 0: not read yet */

	if (!sec)
		sec = (time_slow() + 1) / 2 * SEC;
	return sec;
}
