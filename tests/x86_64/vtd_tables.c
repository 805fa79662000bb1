/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iommu.vtd.*: what a VT-d unit reads in its tables, entry by entry, and what it does with what makes no sense: nothing goes
 * through, and the record says why (Intel VT-d 4.1, 3.4.2, 3.7, 7.1.3, 9.1, 9.3, 9.8).
 *
 * How hosts break it: reserved bits are not looked at, so that a later driver's entry is taken for something else; the
 * permission of upper levels is forgotten; a large page is a page of 4 KiB; an address beyond the width wraps.
 *
 * How it is seen: the test writes the entry by hand and has an endpoint write through it.
 */
#include <stdio.h>

#include "lib/mmio.h"
#include "tests/x86_64/vtd.h"

#define OWNER OWNER_VTD
#define NEEDS (NEED_VTD | NEED_ENDPOINT)

/* Invalidates all that the unit may have kept of the first domain and its endpoint. */
static void forget_all(struct test_ctx *t, struct vtd *v, const struct endpoint *e)
{
	vtd_forgets_context(t, v, VTD_ALL, 0, e);
	vtd_forgets(t, v, VTD_ALL, 0, 0, 0);
}

/* Writes an entry by hand, and has the unit forget what it kept of it before. */
static void rewrite(struct test_ctx *t, struct vtd *v, const struct endpoint *e,
		    struct vtd_entry *entry, uint64_t low, uint64_t high)
{
	vtd_entry_set(v, entry, low, high);
	forget_all(t, v, e);
}

/* --- root and context entries -------------------------------------------------------------------------- */

TEST(vtd_absent,
     .id = "iommu.vtd.absent",
     .clause = "VT-d 3.4.2, 7.1.3: without a present root entry, or context entry, a request is blocked: reasons 1h, 2h",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 30 * SEC)
{
	struct vtd *v = vtd_up(t);
	uint8_t *page = iommu_pages(t, 1);
	const uint64_t at = virt_to_phys(page);
	struct vtd_entry *root, old;
	struct endpoint e;
	unsigned int i;

	for (i = 0; endpoint_get(t, i, &e); i++) {
		attach(t, &e, domain_of(0));
		detach(t, &e, domain_of(0));
		vtd_faults(t, v, &e, at, page, 1, VTD_NO_CONTEXT,
			   "a write without a context entry");
		root = vtd_root_entry(v, (uint8_t)(e.id >> 8));
		old = *root;
		rewrite(t, v, &e, root, 0, 0);
		vtd_faults(t, v, &e, at, page, 1, VTD_NO_ROOT, "a write without a root entry");
		rewrite(t, v, &e, root, le64_to_cpu(old.low), le64_to_cpu(old.high));
		attach(t, &e, domain_of(0));
		map(t, domain_of(0), iova_of(0), page, 1, RW);
		dma_reaches(t, &e, iova_of(0), page, 0, 64, "with both entries");
		detach(t, &e, domain_of(0));
	}
}

struct bits {
	uint64_t low, high; /* that are reserved */
};

/* Each of them alone blocks; without them it goes through. */
static void each_bit(struct test_ctx *t, struct vtd *v, const struct endpoint *e,
		     struct vtd_entry *entry, const struct bits *b, enum vtd_reason reason,
		     uint8_t *page)
{
	const uint64_t low = le64_to_cpu(entry->low), high = le64_to_cpu(entry->high);
	unsigned int i;
	char what[48];

	for (i = 0; i < 128; i++) {
		const uint64_t bit = 1ull << i % 64;

		if (!((i < 64 ? b->low : b->high) & bit))
			continue;
		snprintf(what, sizeof(what), "a write, reserved bit %u is set", i);
		rewrite(t, v, e, entry, i < 64 ? low | bit : low, i < 64 ? high : high | bit);
		vtd_faults(t, v, e, iova_of(0), page, 1, reason, what);
	}
	rewrite(t, v, e, entry, low, high);
	dma_reaches(t, e, iova_of(0), page, 0, 64, "without reserved bits");
}

static uint64_t above(unsigned int bit)
{
	return bit < 64 ? ~((1ull << bit) - 1) : 0;
}

TEST(vtd_reserved_entries,
     .id = "iommu.vtd.reserved_entries",
     .clause = "VT-d 9.1, 9.3, 7.1.3: a root or context entry with a reserved bit set blocks requests: reasons Ah, Bh",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 60 * SEC)
{
	struct vtd *v = vtd_up(t);
	const unsigned int width = vtd_features(v)->physical_bits;
	const struct bits root = { 0xffe | above(width), UINT64_MAX },
			  context = { 0xff0 | above(width), above(24) | 0x80 };
	uint8_t *page = iommu_pages(t, 1);
	const struct endpoint e = vtd_quick(t);

	if (e.a->reads)
		test_skip(t, "no agent that writes at once (iommu-testdev)");
	attach(t, &e, domain_of(0));
	map(t, domain_of(0), iova_of(0), page, 1, RW);
	each_bit(t, v, &e, vtd_root_entry(v, (uint8_t)(e.id >> 8)), &root, VTD_ROOT_RESERVED, page);
	each_bit(t, v, &e, vtd_context_entry(v, (uint16_t)e.id), &context, VTD_CONTEXT_RESERVED,
		 page);
}

/* A context entry whose low and high parts have other bits in the place of these. */
static void blocks(struct test_ctx *t, struct vtd *v, const struct endpoint *e, uint64_t low_mask,
		   uint64_t low, uint64_t high_mask, uint64_t high, uint8_t *page, const char *what)
{
	struct vtd_entry *c = vtd_context_entry(v, (uint16_t)e->id);
	const uint64_t low_old = le64_to_cpu(c->low), high_old = le64_to_cpu(c->high);

	rewrite(t, v, e, c, (low_old & ~low_mask) | low, (high_old & ~high_mask) | high);
	vtd_faults(t, v, e, iova_of(0), page, 1, VTD_BAD_CONTEXT, what);
	rewrite(t, v, e, c, low_old, high_old);
	dma_reaches(t, e, iova_of(0), page, 0, 64, "with its own context entry again");
}

TEST(vtd_bad_context,
     .id = "iommu.vtd.bad_context",
     .clause = "VT-d 9.3, 7.1.3: a context entry whose type or address width the unit does not have blocks requests: reason 3h",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 60 * SEC)
{
	struct vtd *v = vtd_up(t);
	const struct vtd_features *f = vtd_features(v);
	uint8_t *page = iommu_pages(t, 1);
	const struct endpoint e = vtd_quick(t);
	unsigned int levels;

	attach(t, &e, domain_of(0));
	map(t, domain_of(0), iova_of(0), page, 1, RW);
	blocks(t, v, &e, VTD_TYPE_MASK, VTD_TYPE(3), 0, 0, page, "a write, the type is 3");
	if (!f->device_tlb)
		blocks(t, v, &e, VTD_TYPE_MASK, VTD_TYPE(1), 0, 0, page,
		       "a write, the type is that of device TLBs, which are not offered");
	for (levels = 3; levels <= 9; levels++)
		if (!(f->levels & 1u << levels))
			blocks(t, v, &e, 0, 0, VTD_WIDTH_MASK, VTD_WIDTH(levels), page,
			       "a write, the width is not offered");
}

TEST(vtd_no_pass_through,
     .id = "iommu.vtd.no_pass_through",
     .clause = "VT-d 9.3, 11.4.3: pass-through in a context entry, where the unit does not offer it, blocks requests: reason 3h",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 30 * SEC)
{
	struct vtd *v = vtd_up(t);
	uint8_t *page = iommu_pages(t, 1);
	const struct endpoint e = vtd_quick(t);
	struct vtd_entry *c, old;

	if (vtd_features(v)->pass_through)
		test_skip(t, "pass-through is offered: iommu.dma.identity");
	attach(t, &e, domain_of(0));
	c = vtd_context_entry(v, (uint16_t)e.id);
	old = *c;
	rewrite(t, v, &e, c, le64_to_cpu(old.low) | VTD_PASS_THROUGH, le64_to_cpu(old.high));
	vtd_faults(t, v, &e, virt_to_phys(page), page, 1, VTD_BAD_CONTEXT,
		   "a write, pass-through is asked for");
	rewrite(t, v, &e, c, le64_to_cpu(old.low), le64_to_cpu(old.high));
}

/* 7.1.3: faults that an entry qualifies are blocked all the same. */
TEST(vtd_faults_off,
     .id = "iommu.vtd.faults_off",
     .clause = "VT-d 9.3 (FPD), 7.1.3: with fault processing off in the context entry a request is blocked, and no record is made",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 30 * SEC)
{
	struct vtd *v = vtd_up(t);
	uint8_t *page = iommu_pages(t, 1);
	struct vtd_entry *c;
	struct endpoint e;
	unsigned int i;
	uint64_t low;

	for (i = 0; vtd_each_kind(t, i, &e); i++) {
		attach(t, &e, domain_of(0));
		map(t, domain_of(0), iova_of(0), page, 1, IOMMU_READ);
		c = vtd_context_entry(v, (uint16_t)e.id);
		low = le64_to_cpu(c->low);
		rewrite(t, v, &e, c, low | VTD_FAULTS_OFF, le64_to_cpu(c->high));
		vtd_drain(v);
		dma_is_stopped(t, &e, iova_of(0), page, 1, "read-only, with faults off");
		dma_is_stopped(t, &e, iova_of(1), page, 1, "not mapped, with faults off");
		rewrite(t, v, &e, c, low, le64_to_cpu(c->high));
		/* A record comes in its own time: behind one that is due there can be none of before. */
		vtd_faults_first(t, v, &e, iova_of(2), page, 1, VTD_NO_WRITE,
				 "a write with faults on again, the first that may be recorded");
		detach(t, &e, domain_of(0));
	}
}

/* --- page tables ------------------------------------------------------------------------------------------ */

TEST(vtd_reserved_paging,
     .id = "iommu.vtd.reserved_paging",
     .clause = "VT-d 9.8, 7.1.3: an entry of the second stage with a reserved bit set blocks requests, at each level: reason Ch",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 60 * SEC)
{
	struct vtd *v = vtd_up(t);
	const struct vtd_features *f = vtd_features(v);
	uint8_t *page = iommu_pages(t, 1);
	const struct endpoint e = vtd_quick(t);
	unsigned int level, bit;
	char what[64];
	le64 *entry;

	if (e.a->reads)
		test_skip(t, "no agent that writes at once (iommu-testdev)");
	attach(t, &e, domain_of(0));
	map(t, domain_of(0), iova_of(0), page, 1, RW);
	for (level = 1; (entry = vtd_paging_entry(v, domain_of(0), iova_of(0), level, false));
	     level++) {
		const uint64_t old = le64_to_cpu(*entry);

		for (bit = 7; bit < 52; bit++) {
			const bool is_large = bit == 7 && (level == 2 || level == 3) &&
					      !(f->large & 1u << (level - 1)),
				   is_snoop = bit == 11 && level == 1 && !f->snoop && !f->scalable;

			if (bit < f->physical_bits && !is_large && !is_snoop)
				continue;
			snprintf(what, sizeof(what), "a write, bit %u is set at level %u", bit,
				 level);
			vtd_sets(t, v, iova_of(0), level, old | 1ull << bit);
			vtd_forgets(t, v, VTD_ALL, 0, 0, 0);
			vtd_faults(t, v, &e, iova_of(0), page, 1, VTD_PAGING_RESERVED, what);
			vtd_sets(t, v, iova_of(0), level, old);
		}
		vtd_forgets(t, v, VTD_ALL, 0, 0, 0);
		dma_reaches(t, &e, iova_of(0), page, 0, 64, "without reserved bits");
	}
}

/* The page, and what the endpoint writes from now on, is the pattern of all of them. */
static void load_from(struct test_ctx *t, const struct endpoint *e, uint64_t iova, uint8_t *page)
{
	uint32_t i;

	for (i = 0; i < PAGE_SIZE; i++)
		page[i] = agent_pattern(i);
	dma_load(t, e, iova, e->a->most);
}

TEST(vtd_permissions,
     .id = "iommu.vtd.permissions",
     .clause = "VT-d 3.7.1: an access needs its permission at each level; without it, or without an entry, reasons 5h, 6h",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 60 * SEC)
{
	struct vtd *v = vtd_up(t);
	uint8_t *page = iommu_pages(t, 1);
	struct endpoint e;
	unsigned int i, level;
	le64 *entry;

	for (i = 0; vtd_each_kind(t, i, &e); i++) {
		attach(t, &e, domain_of(0));
		map(t, domain_of(0), iova_of(0), page, 1, RW);
		for (level = 1;
		     (entry = vtd_paging_entry(v, domain_of(0), iova_of(0), level, false));
		     level++) {
			const uint64_t old = le64_to_cpu(*entry);

			vtd_sets(t, v, iova_of(0), level, old & ~VTD_WRITE);
			vtd_forgets(t, v, VTD_OF_DOMAIN, domain_of(0), 0, 0);
			vtd_faults(t, v, &e, iova_of(0), page, 1, VTD_NO_WRITE,
				   "a write without WRITE at one level");
			if (e.a->reads) {
				vtd_sets(t, v, iova_of(0), level, old & ~VTD_READ);
				vtd_forgets(t, v, VTD_OF_DOMAIN, domain_of(0), 0, 0);
				vtd_drain(v);
				dma_load(t, &e, iova_of(0), 64);
				vtd_recorded(t, v, &e, VTD_NO_READ, iova_of(0), true,
					     "a read without READ at one level");
			}
			vtd_sets(t, v, iova_of(0), level, old);
			vtd_forgets(t, v, VTD_OF_DOMAIN, domain_of(0), 0, 0);
		}
		/* It may have lost its pattern over a read that was stopped. */
		if (e.a->reads)
			load_from(t, &e, iova_of(0), page);
		dma_reaches(t, &e, iova_of(0), page, 0, 64, "with its own entries again");
		detach(t, &e, domain_of(0));
	}
}

/* A translation that is kept, for reading, must not keep the record of a write away. */
TEST(vtd_write_behind_read,
     .id = "iommu.vtd.write_behind_read",
     .clause = "VT-d 3.7.1, 7.2.1: a write to a page that was read, and is read-only, is blocked and recorded: reason 5h",
     .owner = OWNER,
     .needs = NEEDS | NEED_READER,
     .timeout = 30 * SEC)
{
	struct vtd *v = vtd_up(t);
	uint8_t *page = iommu_pages(t, 1);
	struct endpoint e = endpoint_reader(t);

	attach(t, &e, domain_of(0));
	map(t, domain_of(0), iova_of(0), page, 1, IOMMU_READ);
	vtd_drain(v);
	dma_load(t, &e, iova_of(0), 64);
	vtd_faults(t, v, &e, iova_of(0), page, 1, VTD_NO_WRITE, "a write to a page that was read");
}

static uint64_t size_of(unsigned int level)
{
	return PAGE_SIZE << 9 * (level - 1);
}

TEST(vtd_large,
     .id = "iommu.vtd.large_pages",
     .clause = "VT-d 3.7, 9.8: a page of 2 MiB or 1 GiB is translated to its last byte, by its permission; low address bits are reserved",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 60 * SEC)
{
	struct vtd *v = vtd_up(t);
	const struct vtd_features *f = vtd_features(v);
	uint8_t *page = iommu_pages(t, 2);
	const uint64_t phys = virt_to_phys(page);
	struct endpoint e = vtd_quick(t);
	unsigned int level, tried = 0;

	for (level = 2; level <= 3; level++) {
		const uint64_t size = size_of(level), base = phys & ~(size - 1);
		/* The same low bits, in the range that follows: its neighbour below is not mapped. */
		const uint64_t iova = level == 2 ? 192ull << 20 : 1ull << 32;

		if (!(f->large & 1u << (level - 1)) || iova + size - 1 > e.a->reach)
			continue;
		tried++;
		attach(t, &e, domain_of(0));
		vtd_sets(t, v, iova, level, base | VTD_LARGE | VTD_READ | VTD_WRITE);
		dma_reaches(t, &e, iova + phys - base, page, 0, 64, "in a large page");
		dma_reaches(t, &e, iova + phys - base + 4090, page, 4090, 12,
			    "over pages of a large page");
		vtd_faults(t, v, &e, iova + size, page, 2, VTD_NO_WRITE, "a write right behind it");
		vtd_sets(t, v, iova, level, base | VTD_LARGE | VTD_READ);
		vtd_forgets_pages(t, v, iova, 9 * (level - 1));
		vtd_faults(t, v, &e, iova + phys - base, page, 2, VTD_NO_WRITE,
			   "a write to a large page without WRITE");
		vtd_sets(t, v, iova, level, (base + PAGE_SIZE) | VTD_LARGE | VTD_READ | VTD_WRITE);
		vtd_forgets(t, v, VTD_OF_DOMAIN, domain_of(0), 0, 0);
		vtd_faults(t, v, &e, iova + phys - base, page, 2, VTD_PAGING_RESERVED,
			   "a write to a large page off its size");
		detach(t, &e, domain_of(0));
	}
	if (!tried)
		test_skip(t, "no large pages, or no agent that reaches them");
}

TEST(vtd_widths,
     .id = "iommu.vtd.widths",
     .clause = "VT-d 3.5, 7.1.3: page tables of each number of levels that is offered; an address beyond their width is blocked: reason 4h",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 60 * SEC)
{
	struct vtd *v = vtd_up(t);
	const struct vtd_features *f = vtd_features(v);
	uint8_t *page = iommu_pages(t, 1);
	const struct endpoint e = vtd_quick(t);
	unsigned int levels;

	for (levels = 3; levels <= 5; levels++) {
		const unsigned int table = 12 + 9 * levels,
				   width = table < f->address_bits ? table : f->address_bits;
		const uint64_t last = (1ull << width) - PAGE_SIZE;

		if (!(f->levels & 1u << levels))
			continue;
		vtd_levels(v, levels);
		attach(t, &e, domain_of(0));
		map(t, domain_of(0), iova_of(0), page, 1, RW);
		dma_reaches(t, &e, iova_of(0), page, 0, 64, "with so many levels");
		if (e.a->reach == UINT64_MAX) {
			map(t, domain_of(0), last, page, 1, RW);
			dma_reaches(t, &e, last, page, 0, 64, "in the last page");
			vtd_faults(t, v, &e, last + PAGE_SIZE, page, 1, VTD_BEYOND_WIDTH,
				   "a write right beyond the width");
			vtd_faults(t, v, &e, iova_of(0) | 1ull << (width + 1), page, 1,
				   VTD_BEYOND_WIDTH,
				   "a write to a page with a bit beyond the width");
		}
		detach(t, &e, domain_of(0));
	}
}

TEST(vtd_bad_table,
     .id = "iommu.vtd.bad_table",
     .clause = "VT-d 7.1.3: a table that cannot be read blocks requests: reason 7h",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 30 * SEC)
{
	struct vtd *v = vtd_up(t);
	const uint64_t nowhere = (1ull << vtd_features(v)->physical_bits) - PAGE_SIZE;
	uint8_t *page = iommu_pages(t, 1);
	const struct endpoint e = vtd_quick(t);
	le64 *entry;
	uint64_t old;

	attach(t, &e, domain_of(0));
	map(t, domain_of(0), iova_of(0), page, 1, RW);
	entry = vtd_paging_entry(v, domain_of(0), iova_of(0), 2, false);
	old = le64_to_cpu(*entry);
	vtd_sets(t, v, iova_of(0), 2, nowhere | VTD_READ | VTD_WRITE);
	vtd_forgets(t, v, VTD_ALL, 0, 0, 0);
	vtd_faults(t, v, &e, iova_of(0), page, 1, VTD_BAD_TABLE,
		   "a write, the table is where no memory is");
	vtd_sets(t, v, iova_of(0), 2, old);
	vtd_forgets(t, v, VTD_ALL, 0, 0, 0);
	dma_reaches(t, &e, iova_of(0), page, 0, 64, "with its own table again");
}

/* --- the root table, translation on and off ----------------------------------------------------------------- */

TEST(vtd_root,
     .id = "iommu.vtd.root_changed",
     .clause = "VT-d 6.6, 11.4: behind the set of another root table its entries count, and those of the old one do not",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 30 * SEC)
{
	struct vtd *v = vtd_up(t);
	uint8_t *page = iommu_pages(t, 1), *root = iommu_pages(t, 1);
	struct endpoint e;
	unsigned int i;

	for (i = 0; vtd_each_kind(t, i, &e); i++) {
		attach(t, &e, domain_of(0));
		map(t, domain_of(0), iova_of(0), page, 1, RW);
		dma_reaches(t, &e, iova_of(0), page, 0, 64, "by the first root table");
		vtd_write64(v, VTD_ROOT, virt_to_phys(root));
		require(t, vtd_command(v, VTD_SET_ROOT, true) == 0, "a root table is not taken");
		if (!vtd_features(v)->root_invalidates)
			forget_all(t, v, &e);
		vtd_faults(t, v, &e, iova_of(0), page, 1, VTD_NO_ROOT,
			   "a write by an empty root table");
		require(t, vtd_set_root(v) == 0, "a root table is not taken");
		if (!vtd_features(v)->root_invalidates)
			forget_all(t, v, &e);
		dma_reaches(t, &e, iova_of(0), page, 0, 64, "by the first root table again");
		detach(t, &e, domain_of(0));
	}
}

TEST(vtd_off,
     .id = "iommu.vtd.off",
     .clause = "VT-d 11.4.4.1: with translation off addresses are physical ones; on again, only what is mapped is reached",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 30 * SEC)
{
	struct vtd *v = vtd_up(t);
	uint8_t *page = iommu_pages(t, 1);
	struct endpoint e;
	unsigned int i, round;

	for (i = 0; vtd_each_kind(t, i, &e); i++) {
		attach(t, &e, domain_of(0));
		map(t, domain_of(0), iova_of(0), page, 1, RW);
		for (round = 0; round < 2; round++) {
			dma_reaches(t, &e, iova_of(0), page, 0, 64, "mapped");
			vtd_drain(v);
			dma_is_stopped(t, &e, virt_to_phys(page), page, 1, "by its own address");
			require(t, vtd_command(v, VTD_ON_TRANSLATION, false) == 0,
				"translation does not go off");
			dma_reaches(t, &e, virt_to_phys(page), page, 0, 64, "with translation off");
			forget_all(t, v, &e);
			require(t, vtd_command(v, VTD_ON_TRANSLATION, true) == 0,
				"translation does not go on");
		}
		vtd_faults(t, v, &e, virt_to_phys(page), page, 1, VTD_NO_WRITE,
			   "a write by its own address, translation is on again");
		detach(t, &e, domain_of(0));
	}
}
