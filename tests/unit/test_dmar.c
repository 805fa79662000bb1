/* SPDX-License-Identifier: BSD-2-Clause */
/* drivers/iommu/x86_64/dmar.h: which function goes through which unit; a table that makes no sense gives nobody one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/iommu/x86_64/dmar.h"
#include "lib/acpi.h"
#include "lib/pci.h"

/* --- what the rest of the payload gives ---------------------------------------------------------- */

static uint8_t made[1024]; /* the table, which the parser sees in memory of its very length */
static uint32_t made_len;
static void *seen;

const struct acpi_header *acpi_table(const char signature[4], unsigned int n)
{
	assert_memory_equal(signature, "DMAR", 4);
	if (!made_len || n)
		return NULL;
	free(seen);
	seen = malloc(made_len);
	assert_non_null(seen);
	memcpy(seen, made, made_len);
	return seen;
}

const struct dma_ops dma_direct_ops;

int dma_push(struct device *d, const struct dma_ops *ops, void *priv)
{
	(void)d;
	(void)ops;
	(void)priv;
	return 0;
}

/* Bridges: 00:1c.0 has buses 3 to 5, 03:00.0 has bus 4, 00:1d.0 was never numbered. */
uint32_t pci_read(const struct pci_dev *d, unsigned int off, unsigned int size)
{
	static const struct {
		uint16_t at;
		uint8_t secondary, subordinate;
	} bridge[] = { { 0x00e0, 3, 5 }, { 0x0300, 4, 4 }, { 0x00e8, 0, 0 } };
	unsigned int i;

	assert_int_equal(size, 1);
	assert_true(off == 0x19 || off == 0x1a);
	for (i = 0; i < 3; i++)
		if (d->segment == 0 && bridge[i].at == pci_requester(d))
			return off == 0x19 ? bridge[i].secondary : bridge[i].subordinate;
	return 0xff;
}

/* --- tables ----------------------------------------------------------------------------------------- */

static void put8(uint32_t v)
{
	made[made_len++] = (uint8_t)v;
}

static void put16(uint32_t v)
{
	put8(v);
	put8(v >> 8);
}

static void put64(uint64_t v)
{
	put16((uint16_t)v);
	put16((uint16_t)(v >> 16));
	put16((uint16_t)(v >> 32));
	put16((uint16_t)(v >> 48));
}

static void fix(void)
{
	memcpy(made + 4, &made_len, 4);
}

static uint32_t part; /* where the last one begins */

static void lengthen(uint32_t by)
{
	made[part + 2] = (uint8_t)(made[part + 2] + by);
	fix();
}

static void put_unit(uint8_t flags, uint8_t size, uint16_t segment, uint64_t base)
{
	part = made_len;
	put16(0);
	put16(16);
	put8(flags);
	put8(size);
	put16(segment);
	put64(base);
	fix();
}

/* A scope of one or two steps; the second one -1: of one. */
static void put_scope(uint8_t type, uint8_t id, uint8_t bus, int first, int second)
{
	const uint8_t len = second < 0 ? 8 : 10;

	put8(type);
	put8(len);
	put16(0);
	put8(id);
	put8(bus);
	put8((uint8_t)first >> 3);
	put8(first & 7);
	if (second >= 0) {
		put8((uint8_t)second >> 3);
		put8(second & 7);
	}
	lengthen(len);
}

static void put_region(uint16_t segment, uint64_t first, uint64_t last)
{
	part = made_len;
	put16(1);
	put16(24);
	put16(0);
	put16(segment);
	put64(first);
	put64(last);
	fix();
}

static int setup(void **state)
{
	(void)state;
	memset(made, 0, sizeof(made));
	strcpy((char *)made, "DMAR");
	made[36] = 47;
	made[37] = 1;
	made_len = 48;
	fix();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(seen);
	seen = NULL;
	return 0;
}

/* The number of a function's unit, or -1. */
static int unit_of(uint16_t segment, uint16_t requester)
{
	struct device d;
	unsigned int n = 77;

	device_init_pci(&d, segment, requester);
	return dmar_unit_of(&d, &n) ? (int)n : -1;
}

/* --- tests -------------------------------------------------------------------------------------------- */

static void no_table(void **state)
{
	struct dmar_platform p;
	struct dmar_region r;
	struct dmar_unit u;

	(void)state;
	assert_false(dmar_unit(0, &u));
	assert_int_equal(unit_of(0, 8), -1);
	made_len = 47;
	fix();
	assert_false(dmar_platform(&p));
	assert_false(dmar_unit(0, &u));
	made_len = 0;
	assert_false(dmar_platform(&p));
	assert_false(dmar_region(0, &r));
}

static void platform(void **state)
{
	struct dmar_platform p;

	(void)state;
	assert_true(dmar_platform(&p));
	assert_int_equal(p.address_bits, 48);
	assert_true(p.remaps_interrupts);
	assert_false(p.x2apic_opt_out);
	assert_false(p.asks_for_dma_control);
	made[36] = 38;
	made[37] = 6;
	assert_true(dmar_platform(&p));
	assert_int_equal(p.address_bits, 39);
	assert_false(p.remaps_interrupts);
	assert_true(p.x2apic_opt_out);
	assert_true(p.asks_for_dma_control);
}

static void rest(void **state)
{
	struct dmar_unit u;
	struct device mmio;
	unsigned int n;

	(void)state;
	put_unit(1, 0, 0, 0xfed90000);
	assert_true(dmar_unit(0, &u));
	assert_int_equal(u.base, 0xfed90000);
	assert_int_equal(u.size, 4096);
	assert_true(u.rest);
	assert_false(dmar_unit(1, &u));
	assert_int_equal(unit_of(0, 0), 0);
	assert_int_equal(unit_of(0, 0xffff), 0);
	assert_int_equal(unit_of(1, 0), -1);
	device_init_mmio(&mmio, 0xfed90000);
	assert_false(dmar_unit_of(&mmio, &n));
}

static void units(void **state)
{
	struct dmar_unit u;

	(void)state;
	put_unit(1, 0, 0, 0xfed90000);
	put_scope(3, 2, 0xf0, 0xf8, -1);
	put_unit(0, 2, 0, 0xfed91000);
	put_scope(1, 0, 0, 0x10, -1);
	put_unit(1, 0, 1, 0xfed92000);
	assert_true(dmar_unit(1, &u));
	assert_int_equal(u.size, 16384);
	assert_false(u.rest);
	/* The unit that has the rest stands first, and leaves what another one names. */
	assert_int_equal(unit_of(0, 0x10), 1);
	assert_int_equal(unit_of(0, 0x11), 0);
	assert_int_equal(unit_of(1, 0x10), 2);
	assert_int_equal(unit_of(2, 0x10), -1);
}

static void bridges(void **state)
{
	(void)state;
	put_unit(0, 0, 0, 0xfed91000);
	put_scope(2, 0, 0, 0xe0, -1);
	assert_int_equal(unit_of(0, 0xe0), 0);
	assert_int_equal(unit_of(0, 0x0300), 0);
	assert_int_equal(unit_of(0, 0x05ff), 0);
	assert_int_equal(unit_of(0, 0x0600), -1);
	assert_int_equal(unit_of(0, 0x02ff), -1);
	assert_int_equal(unit_of(0, 0xe1), -1);
	/* A function's scope is that function alone, bridge or not. */
	setup(NULL);
	put_unit(0, 0, 0, 0xfed91000);
	put_scope(1, 0, 0, 0xe0, -1);
	assert_int_equal(unit_of(0, 0xe0), 0);
	assert_int_equal(unit_of(0, 0x0300), -1);
	/* One that has no buses has nothing behind it. */
	setup(NULL);
	put_unit(0, 0, 0, 0xfed91000);
	put_scope(2, 0, 0, 0xe8, -1);
	assert_int_equal(unit_of(0, 0xe8), 0);
	assert_int_equal(unit_of(0, 0x0000), -1);
	assert_int_equal(unit_of(0, 0x0100), -1);
}

static void paths(void **state)
{
	(void)state;
	put_unit(0, 0, 0, 0xfed91000);
	put_scope(1, 0, 0, 0xe0, 0x08);
	assert_int_equal(unit_of(0, 0x0308), 0);
	assert_int_equal(unit_of(0, 0x0008), -1);
	assert_int_equal(unit_of(0, 0x0408), -1);
	/* From bus 3 on, over 03:00.0, to bus 4. */
	setup(NULL);
	put_unit(0, 0, 0, 0xfed91000);
	put_scope(1, 0, 3, 0x00, 0x10);
	assert_int_equal(unit_of(0, 0x0410), 0);
	/* Over what is no bridge, or was never numbered. */
	setup(NULL);
	put_unit(0, 0, 0, 0xfed91000);
	put_scope(1, 0, 0, 0x30, 0x10);
	put_scope(1, 0, 0, 0xe8, 0x10);
	assert_int_equal(unit_of(0, 0xff10), -1);
	assert_int_equal(unit_of(0, 0x0010), -1);
}

static void interrupts(void **state)
{
	struct dmar_unit u;
	uint16_t requester = 0;

	(void)state;
	put_unit(1, 0, 0, 0xfed90000);
	put_scope(3, 2, 0xf0, 0xf8, -1);
	put_scope(4, 2, 0xf0, 0x78, -1);
	assert_true(dmar_unit(0, &u));
	assert_true(dmar_requester_of(&u, DMAR_SCOPE_IOAPIC, 2, &requester));
	assert_int_equal(requester, 0xf0f8);
	assert_true(dmar_requester_of(&u, DMAR_SCOPE_HPET, 2, &requester));
	assert_int_equal(requester, 0xf078);
	assert_false(dmar_requester_of(&u, DMAR_SCOPE_IOAPIC, 1, &requester));
	/* They are no functions. */
	setup(NULL);
	put_unit(0, 0, 0, 0xfed90000);
	put_scope(3, 2, 0xf0, 0xf8, -1);
	assert_int_equal(unit_of(0, 0xf0f8), -1);
}

static void regions(void **state)
{
	struct dmar_region r;

	(void)state;
	put_region(0, 0x7000, 0x7fff);
	put_unit(1, 0, 0, 0xfed90000);
	put_region(0, 0x9000, 0x8fff); /* empty */
	put_region(2, 0xa000, 0xafff);
	assert_true(dmar_region(0, &r));
	assert_int_equal(r.first, 0x7000);
	assert_int_equal(r.last, 0x7fff);
	assert_true(dmar_region(1, &r));
	assert_int_equal(r.segment, 2);
	assert_int_equal(r.first, 0xa000);
	assert_false(dmar_region(2, &r));
	assert_int_equal(unit_of(0, 8), 0);
	/* One that is too short for its addresses is none. */
	setup(NULL);
	put_region(0, 0x7000, 0x7fff);
	made[part + 2] = 20;
	made_len -= 4;
	fix();
	assert_false(dmar_region(0, &r));
}

/* All addresses have 64 bits; a region's own scopes, whom it is for, stand behind it and end with it. */
static void high(void **state)
{
	struct dmar_region r;
	struct dmar_unit u;

	(void)state;
	put_region(0, 0x123450000, 0x7fffffffffff);
	put_scope(1, 0, 0, 0x10, -1);
	put_scope(2, 0, 0, 0xe0, 0x08);
	put_unit(0, 0, 0, 0x7ffed91000);
	put_scope(2, 0, 0, 0xe0, -1);
	put_unit(1, 1, 0, 0x1fed90000);
	assert_true(dmar_region(0, &r));
	assert_int_equal(r.first, 0x123450000);
	assert_int_equal(r.last, 0x7fffffffffff);
	assert_false(dmar_region(1, &r));
	assert_true(dmar_unit(0, &u));
	assert_int_equal(u.base, 0x7ffed91000);
	assert_true(dmar_unit(1, &u));
	assert_int_equal(u.base, 0x1fed90000);
	assert_int_equal(u.size, 8192);
	assert_false(dmar_unit(2, &u));
	/* A region's scope gives nobody a unit. */
	assert_int_equal(unit_of(0, 0x10), 1);
	assert_int_equal(unit_of(0, 0x0308), 0);
}

/* Units without sense are skipped; parts that do not fit end the table. */
static void broken_units(void **state)
{
	struct dmar_unit u;
	unsigned int len;

	(void)state;
	put_unit(1, 0, 0, 0);
	put_unit(1, 0, 0, 0xfed90001);
	put_unit(1, 9, 0, 0xfed91000);
	put_unit(1, 0, 0, 0xfed92000);
	assert_true(dmar_unit(0, &u));
	assert_int_equal(u.base, 0xfed92000);
	assert_false(dmar_unit(1, &u));
	for (len = 0; len < 256; len++) {
		setup(NULL);
		put_unit(1, 0, 0, 0xfed90000);
		made[part + 2] = (uint8_t)len;
		assert_int_equal(unit_of(0, 8), len == 16 ? 0 : -1);
	}
	/* A part of another kind, whatever it says, is stepped over, and one without a length ends it. */
	for (len = 0; len < 8; len++) {
		setup(NULL);
		put16(5);
		put16(len);
		put64(0);
		fix();
		put_unit(1, 0, 0, 0xfed90000);
		assert_false(len < 4 && dmar_unit(0, &u));
	}
	/* Cut off anywhere. */
	setup(NULL);
	put_unit(0, 0, 0, 0xfed90000);
	put_scope(1, 0, 0, 0x10, -1);
	for (len = made_len; len-- > 48;) {
		made_len = len;
		fix();
		assert_int_equal(unit_of(0, 0x10), -1);
	}
}

/* Scopes that do not fit, have no path, half a step or too many of them end the list. */
static void broken_scopes(void **state)
{
	unsigned int len;

	(void)state;
	for (len = 0; len < 256; len++) {
		setup(NULL);
		put_unit(0, 0, 0, 0xfed90000);
		put_scope(1, 0, 0, 0x10, -1);
		made[part + 17] = (uint8_t)len;
		assert_int_equal(unit_of(0, 0x10), len == 8 ? 0 : -1);
	}
	setup(NULL);
	put_unit(0, 0, 0, 0xfed90000);
	put_scope(1, 0, 0, 0x10, -1);
	made[part + 16 + 6] = 32; /* a device that there is not */
	assert_int_equal(unit_of(0, 0x10), -1);
	made[part + 16 + 6] = 2;
	made[part + 16 + 7] = 8; /* a function likewise */
	assert_int_equal(unit_of(0, 0x18), -1);
	/* A path of more bridges than there can be. */
	setup(NULL);
	put_unit(0, 0, 0, 0xfed90000);
	put8(1);
	put8(6 + 2 * 20);
	put64(0);
	made_len += 36;
	lengthen(6 + 2 * 20);
	assert_int_equal(unit_of(0, 0x0000), -1);
}

/* Any bytes at all: what matters is that nothing behind the table is read (the sanitizer looks). */
static void any_bytes(void **state)
{
	uint64_t random = 0x9e3779b97f4a7c15ull;
	struct dmar_region r;
	struct dmar_unit u;
	uint16_t requester;
	unsigned int round, i, n;

	(void)state;
	for (round = 0; round < 20000; round++) {
		setup(NULL);
		put_unit(1, 0, 0, 0xfed90000);
		put_scope(2, 0, 0, 0xe0, 8);
		put_region(0, 0x7000, 0x7fff);
		put_unit(0, 0, 0, 0xfed91000);
		put_scope(1, 0, 0, 0x10, -1);
		for (i = 0; i < 1 + round % 4; i++) {
			random = random * 6364136223846793005ull + 1442695040888963407ull;
			made[48 + (random >> 33) % (made_len - 48)] = (uint8_t)(random >> 24);
		}
		random = random * 6364136223846793005ull + 1442695040888963407ull;
		made_len -= (uint32_t)(random >> 33) % (made_len - 48);
		fix();
		for (n = 0; dmar_unit(n, &u); n++)
			(void)dmar_requester_of(&u, DMAR_SCOPE_IOAPIC, 0, &requester);
		for (n = 0; dmar_region(n, &r); n++)
			assert_true(r.first <= r.last);
		(void)unit_of(0, 0x10);
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(no_table), CASE(platform),	    CASE(rest),		 CASE(units),
		CASE(bridges),	CASE(paths),	    CASE(interrupts),	 CASE(regions),
		CASE(high),	CASE(broken_units), CASE(broken_scopes), CASE(any_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
