/* SPDX-License-Identifier: BSD-2-Clause */
/* mem_map.h: sorts the ranges that the host gave, cuts overlaps, and notes what was wrong. */
#include "boot/mem_map.h"

#include <stdbool.h>

#include "lib/image.h"

void boot_map_add(struct boot_info *info, uint64_t base, uint64_t size, enum boot_mem_type type)
{
	info->map_given++;
	if (size == 0)
		return;
	if (base + size < base) {
		info->map_wrapping++;
		return;
	}
	if (info->mem_count >= BOOT_MEM_MAX) {
		info->map_surplus++;
		return;
	}
	info->mem[info->mem_count++] = (struct boot_mem){ base, size, type };
}

static void sort_map(struct boot_info *info)
{
	uint32_t i, j;

	for (i = 1; i < info->mem_count; i++) {
		const struct boot_mem m = info->mem[i];

		for (j = i; j > 0 && info->mem[j - 1].base > m.base; j--)
			info->mem[j] = info->mem[j - 1];
		info->mem[j] = m;
	}
}

/* Cuts RAM that something else claims as well, since it is not ours. */
static void cut_overlaps(struct boot_info *info)
{
	uint32_t i;

	for (i = 0; i + 1 < info->mem_count; i++) {
		struct boot_mem *a = &info->mem[i], *b = &info->mem[i + 1];
		const uint64_t a_end = a->base + a->size;

		if (a_end <= b->base)
			continue;
		info->map_overlaps++;
		if (a->type == BOOT_MEM_RAM || b->type != BOOT_MEM_RAM) {
			/* The part of a behind b is given up. That is rare, and never wrong. */
			a->size = b->base - a->base;
		} else {
			const uint64_t b_end = b->base + b->size;

			b->size = b_end > a_end ? b_end - a_end : 0;
			b->base = a_end;
		}
	}
}

static void merge(struct boot_info *info)
{
	uint32_t i, n = 0;

	for (i = 0; i < info->mem_count; i++) {
		const struct boot_mem *m = &info->mem[i];

		if (m->size == 0)
			continue;
		if (n > 0 && info->mem[n - 1].type == m->type &&
		    info->mem[n - 1].base + info->mem[n - 1].size == m->base)
			info->mem[n - 1].size += m->size;
		else
			info->mem[n++] = *m;
	}
	info->mem_count = n;
}

void boot_map_finish(struct boot_info *info)
{
	sort_map(info);
	cut_overlaps(info);
	sort_map(info);
	merge(info);
	info->image_base = (uint64_t)(uintptr_t)image_start;
	info->image_size = (uint64_t)(image_end - image_start);
}
