/* SPDX-License-Identifier: BSD-2-Clause */
/* Intel MultiProcessor Specification 1.4: what a machine without ACPI says of its CPUs. */
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "lib/paging.h"
#include "lib/x86_64/smp.h"

struct mp_pointer {	   /* 4.1 */
	char signature[4]; /* "_MP_" */
	uint32_t table;
	uint8_t length; /* in 16 bytes */
	uint8_t revision;
	uint8_t checksum;
	uint8_t features[5];
};
_Static_assert(sizeof(struct mp_pointer) == 16, "MP 1.4, 4.1");

struct mp_table {	   /* 4.2 */
	char signature[4]; /* "PCMP" */
	uint16_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem[8], product[12];
	uint32_t oem_table;
	uint16_t oem_size;
	uint16_t entries;
	uint32_t lapic;
	uint32_t extended;
};
_Static_assert(sizeof(struct mp_table) == 44, "MP 1.4, 4.2");

enum {
	MP_PROCESSOR = 0,
	MP_PROCESSOR_SIZE = 20,
	MP_OTHER_SIZE = 8,
	MP_USABLE = 1
};

static bool sums_to_zero(const uint8_t *p, size_t n)
{
	uint8_t s = 0;

	while (n--)
		s = (uint8_t)(s + *p++);
	return s == 0;
}

static const struct mp_pointer *scan(uint64_t from, uint64_t to)
{
	const uint8_t *p = firmware_map(from, to - from);

	for (; p && from < to; from += 16, p += 16)
		if (memcmp(p, "_MP_", 4) == 0 && p[8] == 1 && sums_to_zero(p, 16))
			return (const struct mp_pointer *)(const void *)p;
	return NULL;
}

static const struct mp_table *find_table(void)
{
	const struct mp_pointer *p = scan(0x9fc00, 0xa0000);
	const struct mp_table *t;

	if (!p)
		p = scan(0xf0000, 0x100000);
	if (!p || !p->table)
		return NULL;
	t = firmware_map(p->table, sizeof(*t));
	if (!t || memcmp(t->signature, "PCMP", 4) != 0 || t->length < sizeof(*t) ||
	    !firmware_map(p->table, t->length) || !sums_to_zero((const uint8_t *)t, t->length))
		return NULL;
	return t;
}

unsigned int mptable_cpus(uint32_t *ids, unsigned int max)
{
	const struct mp_table *t = find_table();
	const uint8_t *b = (const uint8_t *)t;
	uint32_t off = sizeof(*t);
	unsigned int n = 0;

	/* Up to the length: the entry count is 0 in qboot's table. */
	while (t && off + MP_OTHER_SIZE <= t->length) {
		if (b[off] != MP_PROCESSOR) {
			off += MP_OTHER_SIZE;
			continue;
		}
		if (off + MP_PROCESSOR_SIZE > t->length)
			break;
		if ((b[off + 3] & MP_USABLE) && n < max)
			ids[n++] = b[off + 1];
		off += MP_PROCESSOR_SIZE;
	}
	return n;
}
