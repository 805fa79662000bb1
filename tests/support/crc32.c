/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/support/crc32.h"

static struct {
	uint32_t entry[256];
	int filled;
} table;

static void fill(void)
{
	uint32_t i, k, c;

	for (i = 0; i < 256; i++) {
		for (c = i, k = 0; k < 8; k++)
			c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
		table.entry[i] = c;
	}
	table.filled = 1;
}

uint32_t crc32_update(uint32_t crc, const void *p, size_t n)
{
	const uint8_t *b = p;

	if (!table.filled)
		fill();
	crc = ~crc;
	while (n--)
		crc = crc >> 8 ^ table.entry[(crc ^ *b++) & 0xff];
	return ~crc;
}
