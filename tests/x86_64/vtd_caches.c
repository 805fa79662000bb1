/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iommu.vtd.*: what a VT-d unit keeps of its tables, and what ends that (Intel VT-d 4.1, chapter 6).
 *
 * How hosts break it: an invalidation by page compares the wrong bits, and leaves a page of its range or a large one; one by
 * domain looks at the endpoint; a wait descriptor is done before what stands in front of it; the queue's end is one too far;
 * a context entry is kept for good.
 *
 * How it is seen: an endpoint writes, so that the translation is kept; the entry is changed by hand; behind the invalidation
 * what is written comes to the new page. Both ways are taken, the registers and the queue.
 */
#include <errno.h>

#include "lib/errname.h"
#include "lib/mmio.h"
#include "tests/x86_64/vtd.h"

#define OWNER OWNER_VTD
#define NEEDS (NEED_VTD | NEED_ENDPOINT)

static uint64_t entry_of(const void *page)
{
	return virt_to_phys(page) | VTD_READ | VTD_WRITE;
}

/* --- translations ---------------------------------------------------------------------------------------- */

static const struct {
	enum vtd_scope scope;
	uint8_t pages, below; /* the range begins so many pages below the one that is changed */
	const char *when;
} forgets[] = {
	{ VTD_OF_ONE, 0, 0, "behind an invalidation of the page" },
	{ VTD_OF_ONE, 2, 0, "behind an invalidation of 4 pages, of which it is the first" },
	{ VTD_OF_ONE, 2, 3, "behind an invalidation of 4 pages, of which it is the last" },
	{ VTD_OF_DOMAIN, 0, 0, "behind an invalidation by domain" },
	{ VTD_ALL, 0, 0, "behind an invalidation of all" },
};

/* By page only what the unit says that it can. */
static bool can_forget(const struct vtd *v, unsigned int i)
{
	return forgets[i].scope != VTD_OF_ONE || vtd_by_page(v, forgets[i].pages);
}

static void note_left_out(struct test_ctx *t, const struct vtd *v)
{
	unsigned int i;

	for (i = 0; i < sizeof(forgets) / sizeof(forgets[0]); i++)
		if (!can_forget(v, i))
			test_note(t, "not offered, not tried: %s", forgets[i].when);
}

static void page_changes(struct test_ctx *t, struct vtd *v, const struct endpoint *e, uint8_t *page)
{
	unsigned int i;

	for (i = 0; i < sizeof(forgets) / sizeof(forgets[0]); i++) {
		const unsigned int k = forgets[i].below;
		const uint64_t first = iova_of(16), at = iova_of(16 + k);

		if (!can_forget(v, i))
			continue;
		map(t, domain_of(0), at, page, 1, RW);
		vtd_lands(t, e, at, page, 0, 2, "mapped anew");
		vtd_sets(t, v, at, 1, entry_of(page + PAGE_SIZE));
		vtd_forgets(t, v, forgets[i].scope, domain_of(0), first, forgets[i].pages);
		vtd_lands(t, e, at, page, 1, 2, forgets[i].when);
		vtd_sets(t, v, at, 1, 0);
		vtd_forgets(t, v, forgets[i].scope, domain_of(0), first, forgets[i].pages);
		vtd_faults(t, v, e, at, page, 2, VTD_NO_WRITE, forgets[i].when);
	}
}

TEST(vtd_forget,
     .id = "iommu.vtd.invalidation",
     .clause = "VT-d 6.5.1.2, 6.5.2.3: an invalidation by page, by domain or of all ends what is kept of changed entries",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 60 * SEC)
{
	struct vtd *v = vtd_up(t);
	uint8_t *page = iommu_pages(t, 2);
	struct endpoint e;
	unsigned int i, way;

	note_left_out(t, v);
	for (i = 0; vtd_each_kind(t, i, &e); i++) {
		attach(t, &e, domain_of(0));
		for (way = 0; way < 2 && vtd_way(t, v, way); way++)
			page_changes(t, v, &e, page);
		(void)vtd_way(t, v, 0);
		detach(t, &e, domain_of(0));
	}
}

TEST(vtd_forget_shared,
     .id = "iommu.vtd.invalidation_shared",
     .clause = "VT-d 6.2, 6.5: an invalidation holds for all endpoints of the domain that it names",
     .owner = OWNER,
     .needs = NEEDS | NEED_ENDPOINTS,
     .timeout = 60 * SEC)
{
	struct vtd *v = vtd_up(t);
	uint8_t *page = iommu_pages(t, 2);
	const uint64_t at = iova_of(16);
	struct endpoint e[2];
	unsigned int i, k, way;

	endpoint_two(t, e);
	note_left_out(t, v);
	for (way = 0; way < 2 && vtd_way(t, v, way); way++) {
		for (i = 0; i < sizeof(forgets) / sizeof(forgets[0]); i++) {
			if (forgets[i].below || !can_forget(v, i))
				continue;
			for (k = 0; k < 2; k++)
				attach(t, &e[k], domain_of(0));
			map(t, domain_of(0), at, page, 1, RW);
			for (k = 0; k < 2; k++)
				vtd_lands(t, &e[k], at, page, 0, 2, "mapped anew");
			vtd_sets(t, v, at, 1, entry_of(page + PAGE_SIZE));
			vtd_forgets(t, v, forgets[i].scope, domain_of(0), at, forgets[i].pages);
			for (k = 0; k < 2; k++)
				vtd_lands(t, &e[k], at, page, 1, 2, forgets[i].when);
			for (k = 0; k < 2; k++)
				detach(t, &e[k], domain_of(0));
		}
	}
}

/* A large page is one translation, however many pages of 4 KiB the invalidation names. */
TEST(vtd_forget_large,
     .id = "iommu.vtd.invalidation_large",
     .clause = "VT-d 6.5.1.2: an invalidation of the pages of a large one ends what is kept of it, at each of its addresses",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 60 * SEC)
{
	struct vtd *v = vtd_up(t);
	uint8_t *page = iommu_pages(t, 2);
	const uint64_t phys = virt_to_phys(page), size = PAGE_SIZE << 9, base = phys & ~(size - 1);
	const uint64_t iova = 192ull << 20, at = iova + phys - base;
	const struct endpoint e = vtd_quick(t);
	unsigned int way;

	if (!(vtd_features(v)->large & 2))
		test_skip(t, "no pages of 2 MiB are offered");
	if (!vtd_by_page(v, 9))
		test_skip(t, "no invalidation of so many pages is offered");
	if ((phys & (size - 1)) + 2 * PAGE_SIZE > size)
		test_error(t, "the test's memory lies over a border of 2 MiB");
	for (way = 0; way < 2 && vtd_way(t, v, way); way++) {
		attach(t, &e, domain_of(0));
		vtd_sets(t, v, iova, 2, base | VTD_LARGE | VTD_READ | VTD_WRITE);
		vtd_lands(t, &e, at, page, 0, 2, "in a large page");
		vtd_lands(t, &e, at + PAGE_SIZE, page, 1, 2, "in a large page");
		vtd_sets(t, v, iova, 2, 0);
		vtd_forgets(t, v, VTD_OF_ONE, domain_of(0), iova, 9);
		vtd_faults(t, v, &e, at, page, 2, VTD_NO_WRITE, "a write to a large page that was");
		vtd_faults(t, v, &e, at + PAGE_SIZE, page, 2, VTD_NO_WRITE,
			   "a write to a large page that was");
		detach(t, &e, domain_of(0));
	}
}

TEST(vtd_not_kept,
     .id = "iommu.vtd.absent_not_kept",
     .clause = "VT-d 6.1: without caching mode entries that are not present, or faulted, are not kept",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 30 * SEC)
{
	struct vtd *v = vtd_up(t);
	uint8_t *page = iommu_pages(t, 1);
	struct endpoint e;
	unsigned int i;

	if (vtd_features(v)->caching_mode)
		test_skip(t, "caching mode: entries that are not present may be kept");
	for (i = 0; vtd_each_kind(t, i, &e); i++) {
		dma_is_stopped(t, &e, iova_of(0), page, 1, "without a context entry");
		attach(t, &e, domain_of(0));
		dma_is_stopped(t, &e, iova_of(0), page, 1, "without a mapping");
		vtd_sets(t, v, iova_of(0), 1, entry_of(page));
		dma_reaches(t, &e, iova_of(0), page, 0, 64, "with an entry that was not present");
		detach(t, &e, domain_of(0));
	}
}

TEST(vtd_many_kept,
     .id = "iommu.vtd.many_pages",
     .clause = "VT-d 6.2: however many translations are kept, each is that of its page",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 60 * SEC)
{
	enum {
		PAGES = 1500
	};
	struct vtd *v = vtd_up(t);
	uint8_t *page = iommu_pages(t, 4);
	const struct endpoint e = vtd_quick(t);
	const uint64_t first = iova_of(0);
	unsigned int i, round;

	if (e.a->reads)
		test_skip(t, "no agent that writes at once (iommu-testdev)");
	attach(t, &e, domain_of(0));
	for (i = 0; i < PAGES; i++)
		vtd_sets(t, v, first + i * PAGE_SIZE, 1, entry_of(page + i % 4 * PAGE_SIZE));
	for (round = 0; round < 2; round++)
		for (i = 0; i < PAGES; i += 7)
			vtd_lands(t, &e, first + i * PAGE_SIZE, page, i % 4, 4, "as one of many");
	for (i = 0; i < PAGES; i++)
		vtd_sets(t, v, first + i * PAGE_SIZE, 1, 0);
	vtd_forgets(t, v, VTD_OF_DOMAIN, domain_of(0), 0, 0);
	for (i = 0; i < PAGES; i += 7)
		dma_is_stopped(t, &e, first + i * PAGE_SIZE, page, 4, "unmapped as one of many");
}

/* --- context entries ------------------------------------------------------------------------------------------ */

static void move(struct vtd *v, const struct endpoint *e, const struct endpoint *to)
{
	const struct vtd_entry *other = vtd_context_entry(v, (uint16_t)to->id);

	vtd_entry_set(v, vtd_context_entry(v, (uint16_t)e->id), le64_to_cpu(other->low),
		      le64_to_cpu(other->high));
}

TEST(vtd_forget_context,
     .id = "iommu.vtd.context_invalidation",
     .clause = "VT-d 6.5.1.1, 6.5.2.1: an invalidation of the context cache by function, by domain or of all ends what is kept of a changed context entry",
     .owner = OWNER,
     .needs = NEEDS | NEED_ENDPOINTS,
     .timeout = 60 * SEC)
{
	static const enum vtd_scope scopes[] = { VTD_OF_ONE, VTD_OF_DOMAIN, VTD_ALL };
	struct vtd *v = vtd_up(t);
	const uint32_t a = domain_of(0), b = domain_of(1);
	uint8_t *page = iommu_pages(t, 2);
	const uint64_t at = iova_of(0);
	struct endpoint e[2];
	unsigned int i, way;

	endpoint_two(t, e);
	for (way = 0; way < 2 && vtd_way(t, v, way); way++) {
		for (i = 0; i < 3; i++) {
			struct vtd_entry *c, own;

			attach(t, &e[0], a);
			attach(t, &e[1], b);
			map(t, a, at, page, 1, RW);
			map(t, b, at, page + PAGE_SIZE, 1, RW);
			vtd_lands(t, &e[0], at, page, 0, 2, "in the first domain");
			c = vtd_context_entry(v, (uint16_t)e[0].id);
			own = *c;
			move(v, &e[0], &e[1]);
			vtd_forgets_context(t, v, scopes[i], a, &e[0]);
			vtd_forgets(t, v, VTD_OF_DOMAIN, a, 0, 0);
			vtd_lands(t, &e[0], at, page, 1, 2, "its context entry is another one's");
			vtd_lands(t, &e[1], at, page, 1, 2, "in the second domain");
			vtd_entry_set(v, c, le64_to_cpu(own.low), le64_to_cpu(own.high));
			vtd_forgets_context(t, v, scopes[i], b, &e[0]);
			vtd_forgets(t, v, VTD_OF_DOMAIN, b, 0, 0);
			vtd_lands(t, &e[0], at, page, 0, 2, "in the first domain again");
			detach(t, &e[0], a);
			detach(t, &e[1], b);
		}
	}
}

/* --- the queue ---------------------------------------------------------------------------------------------------- */

static struct vtd *queue_up(struct test_ctx *t)
{
	struct vtd *v = vtd_up(t);

	if (!vtd_way(t, v, 1))
		test_skip(t, "no invalidation queue is offered");
	return v;
}

static void is_done(struct test_ctx *t, int ret, const char *what)
{
	require(t, ret == 0, "%s: %s", what, err_text(ret));
}

TEST(vtd_queue_round,
     .id = "iommu.vtd.queue_round",
     .clause = "VT-d 6.5.2: the queue goes round; descriptors are done in their order, and a wait descriptor behind all of them",
     .owner = OWNER,
     .needs = NEED_VTD,
     .timeout = 30 * SEC)
{
	struct vtd *v = queue_up(t);
	unsigned int i;

	for (i = 0; i < 3 * VTD_QUEUE_ENTRIES + 5; i++) {
		is_done(t, vtd_queue_wait(v), "a wait descriptor");
		expect_eq(t, vtd_read64(v, VTD_QUEUE_HEAD), vtd_read64(v, VTD_QUEUE_TAIL),
			  "the queue's head behind wait descriptor %u", i);
	}
	(void)vtd_way(t, v, 0);
	expect_eq(t, vtd_read64(v, VTD_QUEUE_HEAD), 0, "the queue's head, the queue is off");
	(void)vtd_way(t, v, 1);
	is_done(t, vtd_queue_wait(v), "a wait descriptor, the queue is on again");
}

TEST(vtd_queue_error,
     .id = "iommu.vtd.queue_error",
     .clause = "VT-d 6.5.2, 11.4: a descriptor that makes no sense stops the queue with its head there, and is reported; put right, it goes on",
     .owner = OWNER,
     .needs = NEED_VTD,
     .timeout = 30 * SEC)
{
	static const struct vtd_entry bad[] = {
		{ 0, 0 },				     /* of no type */
		{ 0xf, 0 },				     /* of one that there is not */
		{ VTD_DESC_CONTEXT, 0 },		     /* without a granularity */
		{ VTD_DESC_IOTLB, 0 },			     /* likewise */
		{ VTD_DESC_CONTEXT | VTD_ALL << 4, 1 },	     /* with a reserved bit */
		{ VTD_DESC_IOTLB | VTD_OF_ONE << 4, 0x780 }, /* likewise */
	};
	struct vtd *v = queue_up(t);
	unsigned int i;
	uint64_t at;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		is_done(t, vtd_queue_wait(v), "a wait descriptor");
		at = vtd_read64(v, VTD_QUEUE_TAIL);
		vtd_queue_put(v, bad[i].low, bad[i].high);
		/* A wait descriptor behind it is done where it is taken for a good one. */
		require(t, vtd_queue_wait(v) == -EPROTO, "descriptor %u, 0x%llx, is no error", i,
			(unsigned long long)bad[i].low);
		expect_eq(t, vtd_read32(v, VTD_FAULT_STATUS) & VTD_FAULT_QUEUE, VTD_FAULT_QUEUE,
			  "fault status behind descriptor %u", i);
		expect_eq(t, vtd_read64(v, VTD_QUEUE_HEAD), at, "head behind descriptor %u", i);
		is_done(t, vtd_queue_resume(v), "the queue with the descriptor put right");
		expect(t, !(vtd_read32(v, VTD_FAULT_STATUS) & VTD_FAULT_QUEUE),
		       "the error behind descriptor %u stays", i);
	}
}
