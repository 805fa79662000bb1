/* SPDX-License-Identifier: BSD-2-Clause */
/* Pages of the boot memory map. They are mapped at their physical addresses. */
#ifndef LIB_MEM_H
#define LIB_MEM_H

#include <stddef.h>
#include <stdint.h>

#define PAGE_SIZE  4096ull
#define PAGE_SHIFT 12

struct boot_info;

/* Takes over the RAM below 4 GiB but the image and what is below 1 MiB (see mem_low_page()). */
void mem_init(const struct boot_info *info);
/*
 * Takes over the RAM from 4 GiB up to the end of what page tables can map, once they map it. mem_pages() gives this RAM
 * away first.
 */
void mem_add_high(const struct boot_info *info, uint64_t limit);

/* n contiguous zeroed pages, aligned to `align` bytes (a power of two, >= PAGE_SIZE). NULL: none left. */
void *mem_pages(size_t n, size_t align);
/* The n pages at this very address, zeroed. NULL: one of them is not free, or no RAM of ours. */
void *mem_pages_at(uint64_t pa, size_t n);
void mem_pages_free(void *p, size_t n);
/* Where mem_pages() goes on to search: at pa, and from below where the zones of RAM begin for 0. For tests that want a place. */
void mem_search_from(uint64_t pa);
/* One page below 1 MiB for the AP trampoline (never freed), or NULL. */
void *mem_low_page(void);

/* Bytes of RAM in the map, and bytes that are free now. A test that leaks shows here. */
uint64_t mem_total(void);
uint64_t mem_free_bytes(void);
/* mem_keep() marks n pages that are taken for good, so that the leak check skips them. */
void mem_keep(size_t n);
/* n of them are taken for good no more: who kept them frees them. */
void mem_unkeep(size_t n);
uint64_t mem_kept_bytes(void);

static inline uint64_t virt_to_phys(const volatile void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static inline void *phys_to_virt(uint64_t pa)
{
	return (void *)(uintptr_t)pa;
}

#endif
