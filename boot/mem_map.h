/* SPDX-License-Identifier: BSD-2-Clause */
/* Building boot_info's memory map; both entries use it. */
#ifndef BOOT_MEM_MAP_H
#define BOOT_MEM_MAP_H

#include "lib/boot_info.h"

/* Adds a range; empty, wrapping or surplus ones are dropped. */
void boot_map_add(struct boot_info *info, uint64_t base, uint64_t size, enum boot_mem_type type);
/* Sorts, resolves overlaps in favour of the more restrictive type, merges, notes the image. */
void boot_map_finish(struct boot_info *info);

#endif
