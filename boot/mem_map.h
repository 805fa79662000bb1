/* SPDX-License-Identifier: BSD-2-Clause */
/* Builds boot_info's memory map, for both entries. */
#ifndef BOOT_MEM_MAP_H
#define BOOT_MEM_MAP_H

#include "lib/boot_info.h"

/* Adds a range. An empty one, one that wraps, and one too many are dropped. */
void boot_map_add(struct boot_info *info, uint64_t base, uint64_t size, enum boot_mem_type type);
/* Sorts, resolves overlaps in favour of the more restrictive type, merges, notes the image. */
void boot_map_finish(struct boot_info *info);

#endif
