/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Features that count as not offered, so that a suite runs on each subset of what a device has: bugs live where
 * nobody negotiates.
 */
#include "drivers/virtio/virtio.h"

#include <stdio.h>
#include <string.h>

#include "lib/cmdline.h"
#include "lib/env.h"

OPTION("virtio.without",
       "features that count as not offered, by name or bit: EVENT_IDX,INDIRECT_DESC");

#define NO_BIT 64u
#define IDS    64u /* device types that are looked through for a name */

static unsigned int bit_named(uint32_t id, const char *text, size_t n)
{
	unsigned int bit, i;

	for (bit = 0; bit < 64; bit++) {
		const char *name = virtio_feature_name(id, bit);

		if (name && strlen(name) == n && memcmp(name, text, n) == 0)
			return bit;
	}
	/* Behind the word stands a comma or the end, which are no digits. */
	for (bit = 0, i = 0; text[i] >= '0' && text[i] <= '9' && bit < NO_BIT; i++)
		bit = bit * 10 + (unsigned int)(text[i] - '0');
	return n && i == n && bit < NO_BIT ? bit : NO_BIT;
}

uint64_t virtio_left_out(uint32_t id)
{
	const char *list = cmdline_get("virtio.without");
	uint64_t bits = 0;
	unsigned int bit;
	size_t n;

	for (; list && *list; list += n + (list[n] == ',')) {
		n = strcspn(list, ",");
		bit = bit_named(id, list, n);
		bits |= bit < NO_BIT ? VIRTIO_BIT(bit) : 0;
	}
	return bits;
}

static bool is_known(const char *text, size_t n)
{
	uint32_t id;

	for (id = 0; id < IDS; id++)
		if (bit_named(id, text, n) != NO_BIT)
			return true;
	return false;
}

static void env_without(void)
{
	const char *list = cmdline_get("virtio.without");
	size_t n;

	if (list && *list)
		env_line("virtio without", "%s, which count as not offered", list);
	for (; list && *list; list += n + (list[n] == ',')) {
		n = strcspn(list, ",");
		if (n && !is_known(list, n))
			printf("# warning: virtio.without=%.*s: no feature has this name\n", (int)n,
			       list);
	}
}
ENV(virtio_without, env_without);
