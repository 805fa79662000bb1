/* SPDX-License-Identifier: BSD-2-Clause */
/* Makes boot_info of hvm_start_info. The host wrote every field of it, so each is checked before it is used. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "lib/boot_info.h"
#include "boot/mem_map.h"

#define HVM_START_MAGIC 0x336ec578u

struct hvm_start_info { /* Xen, public/arch-x86/hvm/start_info.h */
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t nr_modules;
	uint64_t modlist_paddr;
	uint64_t cmdline_paddr;
	uint64_t rsdp_paddr;
	/* version 1 */
	uint64_t memmap_paddr;
	uint32_t memmap_entries;
	uint32_t reserved;
};
_Static_assert(sizeof(struct hvm_start_info) == 56, "start_info.h");

struct hvm_memmap_entry {
	uint64_t addr;
	uint64_t size;
	uint32_t type; /* E820: 1 RAM, 2 reserved, 3 ACPI, 4 NVS, 5 unusable */
	uint32_t reserved;
};

#define FOUR_GIB (1ull << 32)

void pvh_main(const struct hvm_start_info *start);

static enum boot_mem_type mem_type(uint32_t e820)
{
	switch (e820) {
	case 1:
		return BOOT_MEM_RAM;
	case 3:
		return BOOT_MEM_RECLAIM;
	case 4:
		return BOOT_MEM_NVS;
	case 5:
		return BOOT_MEM_UNUSABLE;
	default:
		return BOOT_MEM_RESERVED;
	}
}

/* Whether we can read it: the entry has mapped 4 GiB. */
static bool reachable(uint64_t pa, uint64_t size)
{
	return pa != 0 && pa < FOUR_GIB && size <= FOUR_GIB - pa;
}

static void copy_string(char *dst, size_t size, uint64_t pa)
{
	size_t i;

	if (!reachable(pa, size))
		return;
	for (i = 0; i + 1 < size && ((const char *)pa)[i]; i++)
		dst[i] = ((const char *)pa)[i];
	dst[i] = '\0';
}

static void copy_map(struct boot_info *info, const struct hvm_start_info *s)
{
	const uint64_t n = s->memmap_entries < BOOT_MEM_MAX ? s->memmap_entries : BOOT_MEM_MAX;
	const struct hvm_memmap_entry *e = (const struct hvm_memmap_entry *)s->memmap_paddr;
	uint64_t i;

	if (s->version < 1 || !reachable(s->memmap_paddr, n * sizeof(*e)))
		return;
	for (i = 0; i < n; i++)
		boot_map_add(info, e[i].addr, e[i].size, mem_type(e[i].type));
}

void pvh_main(const struct hvm_start_info *start)
{
	static struct boot_info info;

	info.method = BOOT_PVH;
	if (start->magic == HVM_START_MAGIC) {
		snprintf(info.firmware, sizeof(info.firmware), "PVH (start info version %u)",
			 (unsigned int)start->version);
		info.rsdp = start->rsdp_paddr;
		copy_string(info.cmdline, sizeof(info.cmdline), start->cmdline_paddr);
		copy_map(&info, start);
	} else {
		snprintf(info.firmware, sizeof(info.firmware),
			 "PVH (start info magic 0x%x is wrong)", (unsigned int)start->magic);
	}
	boot_map_finish(&info);
	assay_main(&info);
}
