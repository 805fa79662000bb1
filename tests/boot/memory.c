/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * boot.memory.*: the memory map lists each range once, what it calls RAM is RAM, and each byte of it is a byte of
 * its own.
 *
 * Hosts build the map by hand, around the holes of their machine: ACRN's allocator took memory that its map called
 * free and that the hypervisor used (acrn-hypervisor pull request 8739). RAM above 4 GiB is a second slot at an
 * offset of its own: a wrong offset, or an address that is cut to 32 bits, makes it the RAM below once more.
 *
 * The tests read the map that the guest was given, and write a different word to each page of what is free. For the
 * RAM above 4 GiB they take pages in pairs whose addresses have the same lower 32 bits, at both ends of each range.
 */
#include "lib/boot_info.h"
#include "lib/mem.h"
#include "lib/mmio.h"
#include "lib/paging.h"
#include "lib/test.h"

TEST(map_sane,
     .id = "boot.memory.map_sane",
     .clause = "UEFI 2.10, 7.2.3 and Xen PVH: the memory map lists each range once, in whole",
     .owner = "memory map of the firmware or the VMM")
{
	const struct boot_info *b = boot_info_get();
	const uint64_t limit = 1ull << paging_phys_bits();
	uint32_t i;

	require(t, b->mem_count > 0, "the memory map is empty");
	expect_eq(t, b->map_wrapping, 0, "ranges that wrap around the address space");
	expect_eq(t, b->map_overlaps, 0, "ranges that overlap another one");
	if (b->map_surplus)
		test_note(t, "%u of %u ranges did not fit our table", (unsigned int)b->map_surplus,
			  (unsigned int)b->map_given);
	for (i = 0; i < b->mem_count; i++)
		expect(t,
		       b->mem[i].type != BOOT_MEM_RAM || b->mem[i].base + b->mem[i].size <= limit,
		       "RAM at 0x%llx is past the %u physical address bits of the CPU",
		       (unsigned long long)b->mem[i].base, paging_phys_bits());
}

TEST(image_in_ram,
     .id = "boot.memory.image_in_ram",
     .clause = "UEFI 2.10, 7.2.3 and Xen PVH: the memory that the image was loaded to is RAM",
     .owner = "memory map of the firmware or the VMM")
{
	const struct boot_info *b = boot_info_get();
	uint64_t at = b->image_base;
	uint32_t i;

	for (i = 0; i < b->mem_count; i++)
		if (b->mem[i].type == BOOT_MEM_RAM && b->mem[i].base <= at &&
		    at < b->mem[i].base + b->mem[i].size)
			at = b->mem[i].base + b->mem[i].size;
	expect(t, at >= b->image_base + b->image_size,
	       "the image lies at 0x%llx to 0x%llx, RAM there ends at 0x%llx",
	       (unsigned long long)b->image_base,
	       (unsigned long long)(b->image_base + b->image_size), (unsigned long long)at);
}

static uint64_t pattern(const volatile uint64_t *p, uint64_t seed)
{
	return ((uint64_t)(uintptr_t)p ^ seed) * 0x9e3779b97f4a7c15ull;
}

/* One word a page: cheap, and two addresses of the same memory show. */
static void fill(volatile uint64_t *p, uint64_t pages, uint64_t seed)
{
	uint64_t i;

	for (i = 0; i < pages; i++)
		p[i * PAGE_SIZE / 8] = pattern(&p[i * PAGE_SIZE / 8], seed);
}

static uint64_t count_wrong(const volatile uint64_t *p, uint64_t pages, uint64_t seed)
{
	uint64_t i, wrong = 0;

	for (i = 0; i < pages; i++)
		wrong += p[i * PAGE_SIZE / 8] != pattern(&p[i * PAGE_SIZE / 8], seed);
	return wrong;
}

TEST(ram_holds,
     .id = "boot.memory.ram_holds",
     .clause = "UEFI 2.10, 7.2.3 and Xen PVH: what the map calls RAM keeps what is written to it",
     .owner = "memory of the VMM")
{
	enum {
		BLOCKS = 64,
		BLOCK = 64
	};
	const uint64_t seed = test_random(t);
	uint64_t *block[BLOCKS], wrong = 0;
	unsigned int n, i;

	for (n = 0; n < BLOCKS; n++) {
		block[n] = mem_pages(BLOCK, PAGE_SIZE);
		if (!block[n])
			break;
		fill(block[n], BLOCK, seed);
	}
	for (i = 0; i < n; i++) {
		wrong += count_wrong(block[i], BLOCK, seed);
		mem_pages_free(block[i], BLOCK);
	}
	if (!n)
		test_error(t, "not even %u pages are free", BLOCK);
	expect_eq(t, wrong, 0, "pages of %u that lost what was written", n * BLOCK);
}

/*
 * Each page at both ends of a range, where maps are rounded, and one page of each 2 MiB in between. All are written
 * before the first is read, so that two addresses of one page show.
 */
#define EDGE	 (2ull << 20)
#define STEP	 (2ull << 20)
#define MAX_HELD 8192

struct held {
	uint64_t *page[MAX_HELD];
	unsigned int n;
};

static void hold(struct held *h, uint64_t pa, uint64_t seed)
{
	uint64_t *p = h->n < MAX_HELD ? mem_pages_at(pa, 1) : NULL;

	if (!p)
		return; /* it is in use, which tells as much */
	fill(p, 1, seed);
	h->page[h->n++] = p;
}

static void hold_range(struct held *h, uint64_t first, uint64_t end, uint64_t seed)
{
	const uint64_t tail = end > first + EDGE ? end - EDGE : first;
	uint64_t pa;

	for (pa = first; pa < end;) {
		hold(h, pa, seed);
		if (pa < first + EDGE || pa >= tail)
			pa += PAGE_SIZE;
		else
			pa = pa + STEP < tail ? pa + STEP : tail;
	}
}

TEST(ram_ends,
     .id = "boot.memory.ram_ends",
     .clause = "UEFI 2.10, 7.2.3 and Xen PVH: a range of RAM in the map is RAM from its first page to its last",
     .owner = "memory map of the firmware or the VMM")
{
	const struct boot_info *b = boot_info_get();
	const uint64_t seed = test_random(t);
	static struct held h;
	unsigned int k;
	uint32_t i;

	h.n = 0;
	for (i = 0; i < b->mem_count; i++)
		if (b->mem[i].type == BOOT_MEM_RAM)
			hold_range(&h, (b->mem[i].base + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1),
				   (b->mem[i].base + b->mem[i].size) & ~(PAGE_SIZE - 1), seed);
	for (k = 0; k < h.n; k++)
		expect(t, count_wrong(h.page[k], 1, seed) == 0,
		       "the page at 0x%llx lost what was written",
		       (unsigned long long)virt_to_phys(h.page[k]));
	for (k = 0; k < h.n; k++)
		mem_pages_free(h.page[k], 1);
	if (!h.n)
		test_error(t, "no page is free");
}

#define FOUR_GIB (1ull << 32)

/* Both pages, if they are free RAM: the one at pa and the one at the lower 32 bits of pa. */
static bool take_pair(uint64_t pa, uint64_t *pair[2])
{
	pair[0] = mem_pages_at(pa % FOUR_GIB, 1);
	pair[1] = pair[0] ? mem_pages_at(pa, 1) : NULL;
	if (!pair[1])
		mem_pages_free(pair[0], 1);
	return pair[1];
}

/* A store to a page above 4 GiB stays there, and reaches no page below. */
static void high_page(struct test_ctx *t, uint64_t *pair[2])
{
	const uint64_t seed = test_random(t), at = virt_to_phys(pair[1]);

	fill(pair[0], 1, seed);
	fill(pair[1], 1, ~seed);
	expect_eq(t, count_wrong(pair[1], 1, ~seed), 0, "wrong words at 0x%llx",
		  (unsigned long long)at);
	expect_eq(t, count_wrong(pair[0], 1, seed), 0,
		  "words at 0x%llx that stores to 0x%llx changed",
		  (unsigned long long)virt_to_phys(pair[0]), (unsigned long long)at);
	mem_pages_free(pair[0], 1);
	mem_pages_free(pair[1], 1);
}

TEST(ram_above_4g,
     .id = "boot.memory.ram_above_4g",
     .clause = "UEFI 2.10, 7.2.3 and Xen PVH: RAM above 4 GiB is RAM, and not that below once more",
     .owner = "memory of the VMM")
{
	const struct boot_info *b = boot_info_get();
	uint64_t *pair[2];
	bool any = false;
	uint32_t i;

	for (i = 0; i < b->mem_count; i++) {
		const uint64_t end = (b->mem[i].base + b->mem[i].size) & ~(PAGE_SIZE - 1);
		uint64_t first = (b->mem[i].base + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1), last = end;

		if (b->mem[i].type != BOOT_MEM_RAM || end <= FOUR_GIB)
			continue;
		first = first > FOUR_GIB ? first : FOUR_GIB;
		while (first < end && !take_pair(first, pair))
			first += PAGE_SIZE;
		if (first >= end)
			continue;
		any = true;
		high_page(t, pair);
		while (!take_pair(last - PAGE_SIZE, pair))
			last -= PAGE_SIZE;
		high_page(t, pair);
	}
	if (!any)
		test_skip(
			t,
			"the memory map has no RAM above 4 GiB whose address, cut to 32 bits, is RAM");
}
