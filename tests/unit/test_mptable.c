/* SPDX-License-Identifier: BSD-2-Clause */
/* lib/x86_64/mptable.c: CPUs and the lines of PCI pins, of a table as crosvm and kvmtool write it, and of broken ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/paging.h"
#include "lib/x86_64/madt.h"
#include "lib/x86_64/mptable.h"

#define POINTER 0x9fc00ull

static uint8_t low[0x400]; /* the last KiB of the conventional memory */
static size_t used;
static unsigned int ioapics;

const void *firmware_map(uint64_t pa, uint64_t size)
{
	static const uint8_t rom[0x10000];

	if (pa >= POINTER && pa + size <= POINTER + sizeof(low))
		return low + (pa - POINTER);
	return pa == 0xf0000 && size <= sizeof(rom) ? rom : NULL;
}

unsigned int madt_ioapics(struct madt_ioapic *io, unsigned int max)
{
	unsigned int i;

	for (i = 0; i < ioapics && i < max; i++)
		io[i] = (struct madt_ioapic){ .id = (uint8_t)(8 + i), .gsi_base = 24 * i };
	return i;
}

static void seal(uint8_t *p, size_t n, size_t checksum)
{
	uint8_t sum = 0;
	size_t i;

	p[checksum] = 0;
	for (i = 0; i < n; i++)
		sum = (uint8_t)(sum + p[i]);
	p[checksum] = (uint8_t)-sum;
}

/* The pointer, and behind it the table's header; entries follow. */
static void begin(void)
{
	/* Signatures of four bytes, without an end. */
	static const char pointer[4] = { '_', 'M', 'P', '_' }, header[4] = { 'P', 'C', 'M', 'P' };
	const uint32_t table = POINTER + 16;

	memset(low, 0, sizeof(low));
	memcpy(low, pointer, sizeof(pointer));
	memcpy(low + 4, &table, 4);
	low[8] = 1;
	low[9] = 4;
	seal(low, 16, 10);
	memcpy(low + 16, header, sizeof(header));
	used = 44;
}

static void entry(const uint8_t *e, size_t n)
{
	memcpy(low + 16 + used, e, n);
	used += n;
}

static void finish(void)
{
	low[20] = (uint8_t)used;
	low[21] = (uint8_t)(used >> 8);
	seal(low + 16, used, 7);
}

static void table(void)
{
	static const uint8_t entries[][20] = {
		{ 0, 0, 0x14, 3 },	 /* a CPU, the first */
		{ 0, 1, 0x14, 0 },	 /* off */
		{ 0, 2, 0x14, 1 },	 /* usable */
		{ 1, 0, 'P', 'C', 'I' }, /* bus 0 */
		{ 1, 1, 'I', 'S', 'A' },
		{ 2, 8, 0x11, 1 },		  /* an I/O APIC */
		{ 3, 0, 15, 0, 0, 1 << 2, 8, 5 }, /* slot 1, pin A: input 5 */
		{ 3, 0, 15, 0, 0, 2 << 2 | 3, 9, 6 },
		{ 3, 3, 0, 0, 0, 3 << 2, 8, 7 }, /* ExtINT is no line of a device */
		{ 3, 0, 0, 0, 1, 4 << 2, 8, 7 }, /* of the ISA bus */
	};
	size_t i;

	begin();
	for (i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
		entry(entries[i], entries[i][0] == 0 ? 20 : 8);
	finish();
}

static void cpus(void **state)
{
	uint32_t ids[4];

	(void)state;
	table();
	assert_int_equal(mptable_cpus(ids, 4), 2);
	assert_int_equal(ids[1], 2);
	assert_int_equal(mptable_cpus(ids, 1), 1);
}

static void lines(void **state)
{
	(void)state;
	table();
	ioapics = 0;
	assert_int_equal(mptable_pci_gsi(0, 1, 1), 5);
	ioapics = 2;
	assert_int_equal(mptable_pci_gsi(0, 1, 1), 5);
	assert_int_equal(mptable_pci_gsi(0, 2, 4), 24 + 6);
	assert_int_equal(mptable_pci_gsi(0, 1, 2), UINT32_MAX);
	assert_int_equal(mptable_pci_gsi(0, 3, 1), UINT32_MAX);
	assert_int_equal(mptable_pci_gsi(1, 4, 1), UINT32_MAX);
}

static void broken(void **state)
{
	uint32_t ids[4];

	(void)state;
	table();
	low[16 + 50] ^= 1; /* the checksum fails */
	assert_int_equal(mptable_cpus(ids, 4), 0);
	assert_int_equal(mptable_pci_gsi(0, 1, 1), UINT32_MAX);
	table();
	used = 44 + 12; /* ends within an entry */
	finish();
	assert_int_equal(mptable_cpus(ids, 4), 0);
	memset(low, 0, sizeof(low));
	assert_int_equal(mptable_cpus(ids, 4), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cpus),
		cmocka_unit_test(lines),
		cmocka_unit_test(broken),
	};

	return cmocka_run_group_tests_name("mptable", tests, NULL, NULL);
}
