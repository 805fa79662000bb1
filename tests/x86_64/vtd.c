/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/x86_64/vtd.h"

#include <stdio.h>
#include <string.h>

#include "lib/errname.h"
#include "lib/irq.h"
#include "lib/mmio.h"

static bool has_vtd(char *why, size_t size)
{
	snprintf(why, size, "no VT-d unit in ACPI's DMAR");
	return vtd_get(0) != NULL;
}
NEED(vtd, NEED_VTD, "VT-d", has_vtd);

struct vtd *vtd_up(struct test_ctx *t)
{
	struct endpoint e;
	struct vtd *v;
	unsigned int i;

	for (i = 0; (v = vtd_get(i)); i++) {
		iommu_up(t, vtd_iommu(v));
		if (endpoint_get(NULL, 0, &e) || !vtd_get(i + 1))
			return v;
		/* What is behind this one is no agent, and goes on as it did. */
		vtd_iommu(v)->ops->stop(vtd_iommu(v));
	}
	test_error(t, "no VT-d");
}

struct endpoint vtd_quick(struct test_ctx *t)
{
	struct endpoint e;
	unsigned int i;

	for (i = 0; endpoint_get(NULL, i, &e); i++)
		if (!e.a->reads)
			return e;
	if (!endpoint_get(t, 0, &e))
		test_error(t, "no endpoint");
	return e;
}

bool vtd_each_kind(struct test_ctx *t, unsigned int n, struct endpoint *e)
{
	unsigned int i;

	if (n == 0) {
		*e = vtd_quick(t);
		return true;
	}
	for (i = 0; n == 1 && !vtd_quick(t).a->reads && endpoint_get(NULL, i, e); i++)
		if (e->a->reads)
			return endpoint_get(t, i, e);
	return false;
}

bool vtd_way(struct test_ctx *t, struct vtd *v, unsigned int way)
{
	int ret;

	if (way && !vtd_features(v)->queue)
		return false;
	ret = vtd_by_queue(v, way);
	require(t, ret == 0, "the invalidation queue goes %s: %s", way ? "on" : "off",
		err_text(ret));
	return true;
}

void vtd_sets(struct test_ctx *t, struct vtd *v, uint64_t iova, unsigned int level, uint64_t entry)
{
	le64 *e = vtd_paging_entry(v, domain_of(0), iova, level, true);

	bool absent;

	if (!e)
		test_error(t, "no memory for page tables");
	absent = !*e;
	WRITE_ONCE(*e, cpu_to_le64(entry));
	vtd_written(v, e, sizeof(*e));
	/* 6.1: a unit in caching mode may keep what was not present. */
	if (absent && vtd_features(v)->caching_mode)
		vtd_forgets(t, v, VTD_OF_DOMAIN, domain_of(0), 0, 0);
}

bool vtd_by_page(const struct vtd *v, unsigned int n)
{
	return vtd_features(v)->by_page && n <= vtd_features(v)->most_pages;
}

void vtd_forgets_pages(struct test_ctx *t, struct vtd *v, uint64_t iova, unsigned int n)
{
	if (vtd_by_page(v, n))
		vtd_forgets(t, v, VTD_OF_ONE, domain_of(0), iova, n);
	else
		vtd_forgets(t, v, VTD_OF_DOMAIN, domain_of(0), 0, 0);
}

static const char *way_of(enum vtd_scope scope)
{
	return scope == VTD_ALL ? "of all" : scope == VTD_OF_DOMAIN ? "by domain" : "by one";
}

void vtd_forgets(struct test_ctx *t, struct vtd *v, enum vtd_scope scope, uint32_t domain,
		 uint64_t iova, unsigned int pages)
{
	const int ret = vtd_forget(v, scope, (uint16_t)domain, iova, pages);

	require(t, ret == 0, "the IOTLB's invalidation %s: %s", way_of(scope), err_text(ret));
}

void vtd_forgets_context(struct test_ctx *t, struct vtd *v, enum vtd_scope scope, uint32_t domain,
			 const struct endpoint *e)
{
	const int ret = vtd_forget_context(v, scope, (uint16_t)domain, (uint16_t)e->id);

	require(t, ret == 0, "the context cache's invalidation %s: %s", way_of(scope),
		err_text(ret));
}

void vtd_lands(struct test_ctx *t, const struct endpoint *e, uint64_t iova, uint8_t *page,
	       unsigned int k, unsigned int n, const char *when)
{
	uint32_t i, wrong = 0, strange = 0;

	memset(page, 0, n * PAGE_SIZE);
	dma_store(t, e, iova, 64);
	for (i = 0; i < n * PAGE_SIZE; i++) {
		const bool due = i >= k * PAGE_SIZE && i < k * PAGE_SIZE + 64;

		wrong += due && page[i] != agent_pattern(i % (uint32_t)PAGE_SIZE);
		strange += !due && page[i];
	}
	expect(t, !wrong, "%s %s: %u of 64 bytes at 0x%llx do not come to page %u %s",
	       e->a->dev.name, e->a->kind, (unsigned int)wrong, (unsigned long long)iova, k, when);
	expect(t, !strange, "%s %s: %u bytes come to other places than page %u %s", e->a->dev.name,
	       e->a->kind, (unsigned int)strange, k, when);
}

void vtd_drain(struct vtd *v)
{
	struct vtd_fault f;
	unsigned int i;

	for (i = 0; i < 1000 && vtd_fault_get(v, &f) > 0; i++)
		;
	(void)vtd_fault_lost(v);
}

void vtd_recorded(struct test_ctx *t, struct vtd *v, const struct endpoint *e,
		  enum vtd_reason reason, uint64_t iova, bool read, const char *what)
{
	struct vtd_fault f;
	int ret = 0;

	(void)wait_for((ret = vtd_fault_get(v, &f)) != 0, 2 * test_sec());
	require(t, ret >= 0, "a fault is pending, and no record has one (%s)", what);
	require(t, ret != 0, "%s %s: %s is not recorded", e->a->dev.name, e->a->kind, what);
	expect_eq(t, f.requester, e->id, "source of the record of %s", what);
	expect_eq(t, f.reason, reason, "reason of the record of %s", what);
	expect_eq(t, f.page, iova & ~(PAGE_SIZE - 1), "page of the record of %s", what);
	expect(t, f.read == read, "the record of %s calls it a %s", what,
	       f.read ? "read" : "write");
}

void vtd_faults_first(struct test_ctx *t, struct vtd *v, const struct endpoint *e, uint64_t iova,
		      uint8_t *page, unsigned int n, enum vtd_reason reason, const char *what)
{
	/* Of what went through there is no record to wait for. */
	if (dma_is_stopped(t, e, iova, page, n, what))
		vtd_recorded(t, v, e, reason, iova, false, what);
	vtd_drain(v);
}

void vtd_faults(struct test_ctx *t, struct vtd *v, const struct endpoint *e, uint64_t iova,
		uint8_t *page, unsigned int n, enum vtd_reason reason, const char *what)
{
	vtd_drain(v);
	vtd_faults_first(t, v, e, iova, page, n, reason, what);
}

/* --- interrupts ---------------------------------------------------------------------------------------- */

static int vector; /* of the test that runs; 0: it has none */

int vtd_vector(struct test_ctx *t, void (*handler)(void *arg))
{
	const int n = irq_alloc(handler, NULL);

	if (n < 0)
		test_error(t, "no interrupt vector");
	vector = n;
	return n;
}

/* What is left on by a test that ended early would send to whoever has the vector next. */
static void silence(void)
{
	struct vtd *v;
	unsigned int i;

	if (!vector)
		return;
	for (i = 0; (v = vtd_get(i)); i++) {
		if (vtd_features(v)->interrupts)
			(void)vtd_interrupts(v, false);
		if (vtd_features(v)->queue)
			vtd_write32(v, VTD_DONE_CONTROL, VTD_EVENT_MASKED);
		vtd_write32(v, VTD_FAULT_CONTROL, VTD_EVENT_MASKED);
	}
	irq_free(vector);
	vector = 0;
}
FIXTURE(vtd_vector, .suite = "iommu.vtd.", .teardown = silence);
