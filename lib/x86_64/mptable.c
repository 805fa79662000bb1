/* SPDX-License-Identifier: BSD-2-Clause */
/* mptable.h: finds and checks the MP table, and walks its entries. */
#include "lib/x86_64/mptable.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "lib/paging.h"
#include "lib/x86_64/madt.h"

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
	MP_BUS = 1,
	MP_INTERRUPT = 3,
	MP_PROCESSOR_SIZE = 20,
	MP_OTHER_SIZE = 8,
	MP_USABLE = 1,
	MP_IOAPICS = 8 /* looked at */
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

/* Calls fn for each entry, up to the table's length. The entry count is not used: it is 0 in qboot's table. */
static void each(void (*fn)(const uint8_t *e, void *arg), void *arg)
{
	const struct mp_table *t = find_table();
	const uint8_t *b = (const uint8_t *)t;
	uint32_t off = sizeof(*t);

	while (t && off + MP_OTHER_SIZE <= t->length) {
		const uint32_t size = b[off] == MP_PROCESSOR ? MP_PROCESSOR_SIZE : MP_OTHER_SIZE;

		if (off + size > t->length)
			break;
		fn(b + off, arg);
		off += size;
	}
}

struct cpus {
	uint32_t *ids;
	unsigned int max, count;
};

static void on_processor(const uint8_t *e, void *arg)
{
	struct cpus *c = arg;

	if (e[0] == MP_PROCESSOR && (e[3] & MP_USABLE) && c->count < c->max)
		c->ids[c->count++] = e[1];
}

unsigned int mptable_cpus(uint32_t *ids, unsigned int max)
{
	struct cpus c = { ids, max, 0 };

	each(on_processor, &c);
	return c.count;
}

struct route {
	uint8_t bus, source; /* as the entry has it: device << 2 | pin - 1 (D.3) */
	uint8_t ioapic, input;
	bool is_pci, found;
};

/* The table's ids of PCI buses are the buses' numbers. */
static void on_bus(const uint8_t *e, void *arg)
{
	struct route *r = arg;

	r->is_pci |= e[0] == MP_BUS && e[1] == r->bus && memcmp(e + 2, "PCI", 3) == 0;
}

static void on_interrupt(const uint8_t *e, void *arg)
{
	struct route *r = arg;

	if (e[0] != MP_INTERRUPT || e[1] != 0 || e[4] != r->bus || e[5] != r->source)
		return;
	r->ioapic = e[6];
	r->input = e[7];
	r->found = true;
}

uint32_t mptable_pci_gsi(uint8_t bus, uint8_t dev, uint8_t pin)
{
	struct route r = { .bus = bus, .source = (uint8_t)(dev << 2 | (pin - 1)) };
	struct madt_ioapic io[MP_IOAPICS];
	unsigned int n, i;

	each(on_bus, &r);
	if (r.is_pci)
		each(on_interrupt, &r);
	if (!r.found)
		return UINT32_MAX;
	n = madt_ioapics(io, MP_IOAPICS);
	for (i = 0; i < n; i++)
		if (io[i].id == r.ioapic)
			return io[i].gsi_base + r.input;
	return n > 1 ? UINT32_MAX : r.input; /* without ACPI there is one I/O APIC, from GSI 0 on */
}
