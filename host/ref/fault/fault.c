/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/ref/fault/fault.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "host/common/injected.h"

/* NULL where the fault is off or there is no file. */
static struct injected *counts[FAULT_MAX];

int fault_enable(const char *id)
{
	unsigned int i;

	for (i = 0; i < fault_count; i++) {
		if (strcmp(fault_rows[i].id, id) != 0)
			continue;
		fault_enabled[i] = true;
		return 0;
	}
	return -ENOENT;
}

void fault_disable_all(void)
{
	memset(fault_enabled, 0, fault_count * sizeof(fault_enabled[0]));
}

int fault_begin(const char *path)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; path && !ret && i < fault_count; i++)
		if (fault_enabled[i] && !counts[i])
			ret = injected_start(path, fault_rows[i].id, fault_component, &counts[i]);
	return ret;
}

void fault_end(void)
{
	unsigned int i;

	for (i = 0; i < fault_count; i++) {
		injected_end(counts[i]);
		counts[i] = NULL;
	}
}

bool fault_injected(unsigned int id)
{
	if (counts[id])
		injected_count(counts[id]);
	return true;
}
