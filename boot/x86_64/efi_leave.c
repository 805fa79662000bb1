/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The firmware's page tables are read-only, and lie in memory that is ours now and would be given away. The
 * tables here map the first 4 GiB and the image, wherever it lies, until lib/ builds the real ones.
 */
#include "boot/efi_leave.h"

#include <stdbool.h>

#include "lib/image.h"
#include "lib/x86_64/cpu.h"

static uint64_t *first_table(void)
{
	static uint64_t tables[12][512] __attribute__((aligned(4096)));
	static unsigned int used; /* root, PML4, at most 2 + 2 below, 6 directories: never more */

	return tables[used++];
}

static uint64_t *table_below(uint64_t *e)
{
	const uint64_t present_write = 3;

	if (!*e)
		*e = (uint64_t)(uintptr_t)first_table() | present_write;
	return (uint64_t *)(uintptr_t)(*e & ~0xfffull);
}

static void map_gib(uint64_t *root, bool five_levels, uint64_t gib)
{
	const uint64_t large = 0x83;
	uint64_t *t = root, i;

	if (five_levels)
		t = table_below(&t[gib >> 18 & 511]);
	t = table_below(&t[gib >> 9 & 511]);
	t = table_below(&t[gib & 511]);
	for (i = 0; i < 512; i++)
		t[i] = gib << 30 | i << 21 | large;
}

static void load_first_tables(void)
{
	const bool five = read_cr4() & CR4_LA57;
	uint64_t *root = first_table(), gib;

	for (gib = 0; gib < 4; gib++)
		map_gib(root, five, gib);
	map_gib(root, five, (uint64_t)(uintptr_t)image_start >> 30);
	map_gib(root, five, (uint64_t)(uintptr_t)image_end >> 30);
	write_cr3((uint64_t)(uintptr_t)root);
}

static const struct boot_info *boot;

static _Noreturn void on_own_stack(void)
{
	load_first_tables();
	assay_main(boot);
}

_Noreturn void efi_leave(const struct boot_info *info)
{
	boot = info;
	__asm__ volatile("cli; xor %%ebp, %%ebp; mov %0, %%rsp; call *%1"
			 :
			 : "r"(boot_stack_top), "r"(on_own_stack)
			 : "memory");
	__builtin_unreachable();
}
