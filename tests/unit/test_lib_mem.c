/* SPDX-License-Identifier: BSD-2-Clause */
/* lib/mem.c over odd memory maps. Its memory is real: identity mapped, as in the payload. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "lib/boot_info.h"

/* Its state is private; each test starts anew. */
#include "lib/mem.c" /* NOLINT(bugprone-suspicious-include) */

#define RAM	 0x10000000ull /* mapped by us */
#define RAM_SIZE 0x1000000ull
#define PAGES(n) ((uint64_t)(n) << PAGE_SHIFT)

static struct boot_info info;
static unsigned int irqs_off;

bool irq_save(void)
{
	irqs_off++;
	return true;
}

void irq_restore(bool enabled)
{
	(void)enabled;
	irqs_off--;
}

static int fresh(void **state)
{
	(void)state;
	memset(&mem, 0, sizeof(mem));
	memset(&info, 0, sizeof(info));
	memset((void *)RAM, 0xa5, RAM_SIZE);
	return 0;
}

static int map_ram(void **state)
{
	(void)state;
	return mmap((void *)RAM, RAM_SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == (void *)RAM ?
		       0 :
		       -1;
}

static void range(uint64_t base, uint64_t size, enum boot_mem_type type)
{
	info.mem[info.mem_count++] = (struct boot_mem){ base, size, type };
}

static void all_zero(const void *p, size_t n)
{
	const uint8_t *b = p;
	size_t i;

	for (i = 0; i < n; i++)
		if (b[i])
			fail_msg("byte %zu is 0x%02x", i, b[i]);
}

/* Every page once: pages are written, and none of them is given out twice. */
static unsigned int take_all(uint64_t from, uint64_t to)
{
	unsigned int n = 0;
	uint64_t *p;

	while ((p = mem_pages(1, PAGE_SIZE))) {
		assert_true((uint64_t)(uintptr_t)p >= from &&
			    (uint64_t)(uintptr_t)p + PAGE_SIZE <= to);
		assert_int_equal(*p, 0);
		*p = 0x1111;
		n++;
	}
	assert_int_equal(mem_free_bytes(), 0);
	assert_int_equal(irqs_off, 0);
	return n;
}

static void one_range(void **state)
{
	void *p, *q;

	(void)state;
	range(RAM, PAGES(64), BOOT_MEM_RAM);
	mem_init(&info);
	assert_int_equal(mem_total(), PAGES(64));
	assert_int_equal(mem_free_bytes(), PAGES(63)); /* one page is the bitmap */
	p = mem_pages(3, PAGE_SIZE);
	q = mem_pages(1, PAGE_SIZE);
	assert_non_null(p);
	assert_non_null(q);
	assert_true(q < p || q >= (void *)((char *)p + PAGES(3)));
	all_zero(p, PAGES(3));
	assert_int_equal(mem_free_bytes(), PAGES(59));
	memset(p, 1, PAGES(3));
	mem_pages_free(p, 3);
	assert_int_equal(mem_free_bytes(), PAGES(62));
	mem_pages_free(q, 1);
	mem_pages_free(NULL, 5);
	assert_int_equal(take_all(RAM, RAM + PAGES(64)), 63);
	assert_null(mem_pages(1, PAGE_SIZE));
}

static void bad_requests(void **state)
{
	(void)state;
	range(RAM, PAGES(64), BOOT_MEM_RAM);
	mem_init(&info);
	assert_null(mem_pages(0, PAGE_SIZE));
	assert_null(mem_pages(1, 0));
	assert_null(mem_pages(1, 2048));
	assert_null(mem_pages(1, PAGE_SIZE * 3));
	assert_null(mem_pages(64, PAGE_SIZE));
	assert_null(mem_pages(SIZE_MAX, PAGE_SIZE));
	assert_null(mem_pages(SIZE_MAX >> PAGE_SHIFT, PAGE_SIZE));
	assert_int_equal(mem_free_bytes(), PAGES(63));
	assert_non_null(mem_pages(63, PAGE_SIZE));
}

static void aligned(void **state)
{
	uint64_t align;
	void *p;

	(void)state;
	range(RAM + PAGES(3), PAGES(1000), BOOT_MEM_RAM);
	mem_init(&info);
	for (align = PAGE_SIZE; align <= PAGES(256); align *= 2) {
		p = mem_pages(2, align);
		assert_non_null(p);
		assert_int_equal((uintptr_t)p % align, 0);
	}
	assert_null(mem_pages(1, PAGES(65536)));
}

/* First fit goes round: what is freed before the place of the last search is found again. */
static void fragments(void **state)
{
	void *p[63];
	int i;

	(void)state;
	range(RAM, PAGES(64), BOOT_MEM_RAM);
	mem_init(&info);
	for (i = 0; i < 63; i++)
		p[i] = mem_pages(1, PAGE_SIZE);
	for (i = 0; i < 63; i += 2)
		mem_pages_free(p[i], 1);
	assert_null(mem_pages(2, PAGE_SIZE)); /* every other page is free */
	mem_pages_free(p[31], 1);
	assert_ptr_equal(mem_pages(3, PAGE_SIZE), p[30]);
	assert_int_equal(mem_free_bytes(), PAGES(30));
}

static void placed(void **state)
{
	void *p;

	(void)state;
	range(RAM, PAGES(64), BOOT_MEM_RAM);
	mem_init(&info);
	mem_search_from(RAM + PAGES(40));
	assert_int_equal(virt_to_phys(mem_pages(2, PAGE_SIZE)), RAM + PAGES(40));
	assert_int_equal(virt_to_phys(mem_pages(1, PAGE_SIZE)), RAM + PAGES(42));
	mem_search_from(RAM + PAGES(64)); /* none of ours */
	assert_int_equal(virt_to_phys(mem_pages(1, PAGE_SIZE)), RAM + PAGES(43));
	mem_search_from(0);
	assert_int_equal(virt_to_phys(mem_pages(1, PAGE_SIZE)), RAM + PAGES(1));
	/* What is taken at an address does not move the search. */
	p = mem_pages_at(RAM + PAGES(60), 1);
	assert_int_equal(virt_to_phys(p), RAM + PAGES(60));
	assert_int_equal(virt_to_phys(mem_pages(1, PAGE_SIZE)), RAM + PAGES(2));
}

static void skips(void **state)
{
	(void)state;
	range(0x1000, 0x9e000, BOOT_MEM_RAM); /* low memory is not touched */
	range(RAM, PAGES(64), BOOT_MEM_RAM);
	range(RAM + PAGES(64), PAGES(64), BOOT_MEM_RESERVED);
	range(RAM + PAGES(128), PAGES(64), BOOT_MEM_RECLAIM);
	range(RAM + PAGES(192), PAGES(64), BOOT_MEM_NVS);
	range(RAM + PAGES(256), PAGES(64), BOOT_MEM_UNUSABLE);
	range(RAM + PAGES(320), PAGES(15), BOOT_MEM_RAM); /* too small to be worth a bitmap */
	range(1ull << 32, 1ull << 30, BOOT_MEM_RAM);	  /* out of reach */
	mem_init(&info);
	assert_int_equal(mem_total(), 0x9e000 + PAGES(79) + (1ull << 30));
	assert_int_equal(take_all(RAM, RAM + PAGES(64)), 63);
}

static void odd_edges(void **state)
{
	(void)state;
	range(RAM + 1, PAGES(64), BOOT_MEM_RAM);		  /* 63 whole pages */
	range(RAM + PAGES(100) - 1, PAGES(20) + 2, BOOT_MEM_RAM); /* 20 whole pages */
	mem_init(&info);
	assert_int_equal(mem_free_bytes(), PAGES(62 + 19));
	assert_int_equal(take_all(RAM + PAGES(1), RAM + PAGES(120)), 81);
	/* Nothing outside of whole pages was written. */
	assert_int_equal(*(uint8_t *)(RAM + 1), 0xa5);
	assert_int_equal(*(uint8_t *)(RAM + PAGES(64)), 0xa5);
	assert_int_equal(*(uint8_t *)(RAM + PAGES(100) - 1), 0xa5);
	assert_int_equal(*(uint8_t *)(RAM + PAGES(120)), 0xa5);
}

static void around_the_image(void **state)
{
	static const struct {
		uint64_t image, size; /* pages from the range's start */
		int64_t pages;
	} cases[] = {
		{ 20, 30, 19 + 49 }, /* in the middle of 100 */
		{ 0, 50, 49 },	     /* at the start */
		{ 50, 50, 49 },	     /* at the end */
		{ 0, 100, 0 },	     /* all of it */
		{ 10, 60, 29 },	     /* what is left before it is too small */
		{ 100, 20, 99 },     /* behind */
		{ 90, 50, 89 },	     /* across the end */
	};
	unsigned int i;
	uint8_t *p;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fresh(state);
		info.image_base = RAM + PAGES(cases[i].image);
		info.image_size = PAGES(cases[i].size);
		range(RAM, PAGES(100), BOOT_MEM_RAM);
		mem_init(&info);
		if (mem_free_bytes() != PAGES(cases[i].pages))
			fail_msg("case %u: %llu pages", i,
				 (unsigned long long)(mem_free_bytes() >> PAGE_SHIFT));
		take_all(RAM, RAM + PAGES(100));
		for (p = (uint8_t *)info.image_base;
		     p < (uint8_t *)(info.image_base + info.image_size); p += PAGE_SIZE)
			assert_int_equal(*p, 0xa5);
	}
}

static void low_page(void **state)
{
	static const struct {
		uint64_t base, size, page;
	} cases[] = {
		{ 0, 0x9fc00, 0x9e000 }, { 0, 0xa0000, 0x9f000 }, { 0, 0x100000, 0x9f000 },
		{ 0, 0x1000, 0 },	 { 0, 0x2000, 0 },	  { 0x1000, 0x1fff, 0x1000 },
		{ 0x9f800, 0x400, 0 },	 { 0x8000, 0x800, 0 },	  { 0x90000, 0x1000000, 0x9f000 },
	};
	unsigned int i;
	uint64_t page;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fresh(state);
		/* Not as RAM above 1 MiB: that is not mapped here. */
		range(cases[i].base,
		      cases[i].base + cases[i].size > 0x100000 ? 0x100000 - cases[i].base :
								 cases[i].size,
		      BOOT_MEM_RAM);
		mem_init(&info);
		page = virt_to_phys(mem_low_page());
		if (page != cases[i].page)
			fail_msg("case %u: page 0x%llx", i, (unsigned long long)page);
		assert_null(mem_low_page()); /* given once */
	}
}

static void many_ranges(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < BOOT_MEM_MAX; i++)
		range(RAM + PAGES(16 * i), PAGES(16), BOOT_MEM_RAM);
	mem_init(&info);
	/* More than the table holds are left alone. */
	assert_int_equal(mem_free_bytes(), PAGES(15) * MAX_ZONES);
	assert_int_equal(take_all(RAM, RAM + PAGES(16 * MAX_ZONES)), 15 * MAX_ZONES);
	fresh(state);
	mem_init(&info); /* no range at all */
	assert_int_equal(mem_free_bytes(), 0);
	assert_null(mem_pages(1, PAGE_SIZE));
	assert_null(mem_low_page());
}

/* A foreign pointer frees nothing; pages that are kept are counted. */
static void odd_frees(void **state)
{
	const uint64_t before = mem_kept_bytes();

	(void)state;
	range(RAM, PAGES(64), BOOT_MEM_RAM);
	mem_init(&info);
	assert_non_null(mem_pages(63, PAGE_SIZE));
	mem_pages_free((void *)(RAM + PAGES(64)), 1);
	mem_pages_free((void *)(RAM - PAGES(1)), 1);
	mem_pages_free((void *)(RAM + PAGES(60)), 5);
	assert_int_equal(mem_free_bytes(), 0);
	mem_keep(3);
	assert_int_equal(mem_kept_bytes() - before, PAGES(3));
	mem_unkeep(2);
	assert_int_equal(mem_kept_bytes() - before, PAGES(1));
	mem_unkeep(1);
	assert_int_equal(mem_kept_bytes(), before);
}

#define T(f) cmocka_unit_test_setup(f, fresh)

/* RAM above 4 GiB joins later, and is given away first. */
static void high(void **state)
{
	const uint64_t above = 1ull << 45;
	uint64_t *p;

	(void)state;
	assert_ptr_equal(mmap((void *)above, PAGES(64), PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
			 (void *)above);
	range(RAM, PAGES(64), BOOT_MEM_RAM);
	range(above, PAGES(64), BOOT_MEM_RAM);
	mem_init(&info);
	assert_int_equal(mem_total(), PAGES(128));
	assert_int_equal(mem_free_bytes(), PAGES(63));
	mem_add_high(&info, above); /* more than page tables can map */
	assert_int_equal(mem_free_bytes(), PAGES(63));
	mem_add_high(&info, above + PAGES(64));
	assert_int_equal(mem_free_bytes(), PAGES(126));
	p = mem_pages(4, PAGE_SIZE);
	assert_true(virt_to_phys(p) >= above);
	assert_null(mem_pages_at(virt_to_phys(p) + PAGES(3), 1));
	assert_ptr_equal(mem_pages_at(virt_to_phys(p) + PAGES(4), 1), (char *)p + PAGES(4));
	assert_ptr_equal(mem_pages_at(RAM + PAGES(60), 4), (void *)(RAM + PAGES(60)));
	assert_null(mem_pages_at(RAM + PAGES(61), 4));
	assert_null(mem_pages_at(RAM, 1)); /* the bitmap */
	assert_null(mem_pages_at(RAM - PAGES(1), 1));
	assert_null(mem_pages_at(RAM + PAGES(64), 1));
	mem_pages_free(p, 5);
	mem_pages_free((void *)(RAM + PAGES(60)), 4);
	assert_int_equal(mem_free_bytes(), PAGES(126));
	munmap((void *)above, PAGES(64));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(high),      T(one_range),   T(bad_requests), T(aligned),
		T(fragments), T(skips),	      T(odd_edges),    T(around_the_image),
		T(low_page),  T(many_ranges), T(odd_frees),    T(placed),
	};

	return cmocka_run_group_tests(tests, map_ram, NULL);
}
