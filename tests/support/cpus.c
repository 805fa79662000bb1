/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/support/cpus.h"

#include "lib/errname.h"

void cpu_check(struct test_ctx *t, unsigned int cpu, int ret, const char *file, unsigned int line)
{
	test_check(t, ret == 0, file, line | TEST_FATAL, "CPU %u does not do its work: %s", cpu,
		   err_text(ret));
}
