/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iommu.dma.*: what an endpoint reaches is what is mapped in its domain, to the byte, and nothing else (virtio 1.4,
 * 5.13.6; Intel VT-d, chapters 3 and 6; the question of the IOASID thread of 2021: what separates one device's DMA from
 * another's). Each test runs on each IOMMU that the machine has.
 *
 * How hosts break it: a translation stays in a cache after UNMAP, DETACH or a reset; the permission is checked on the first
 * page of an access only; a mapping is a page too long; the address space is that of the domain which was attached last;
 * an endpoint without a domain is in bypass mode.
 *
 * How it is seen: agents write and read where they are told; memory tells what came through.
 */
#include <errno.h>
#include <string.h>

#include "lib/errname.h"
#include "lib/smp.h"
#include "tests/iommu/env.h"
#include "tests/support/cpus.h"

#define OWNER OWNER_IOMMU

/* --- without a domain ----------------------------------------------------------------------------- */

IOMMU_TEST(dma_unattached,
     .id = "iommu.dma.unattached",
     .clause = "virtio 1.4, 5.13.6.2 SHOULD NOT: an endpoint that is not attached and not in bypass mode accesses memory",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_ENDPOINT,
     .timeout = 20 * SEC)
{
	struct endpoint e;
	uint8_t *page = iommu_pages(t, 2);
	unsigned int i;

	for (i = 0; endpoint_get(t, i, &e); i++) {
		dma_is_stopped(t, &e, virt_to_phys(page), page, 2, "without a domain");
		attach(t, &e, domain_of(0));
		dma_is_stopped(t, &e, virt_to_phys(page), page, 2, "in an empty domain");
		detach(t, &e, domain_of(0));
		dma_is_stopped(t, &e, virt_to_phys(page), page, 2, "behind a detach");
	}
}

IOMMU_TEST(dma_identity,
     .id = "iommu.dma.identity",
     .clause = "virtio 1.4, 5.13.6; VT-d 3.7, 9.3 (pass-through): an endpoint that is let through reaches memory by physical addresses, and the others do not",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_ENDPOINT,
     .timeout = 30 * SEC)
{
	struct iommu *m = iommu_now();
	uint8_t *page = iommu_pages(t, 1);
	const uint64_t at = virt_to_phys(page);
	struct endpoint e, other;
	unsigned int i;
	int ret;

	for (i = 0; endpoint_get(t, i, &e); i++) {
		ret = m->ops->identity(m, domain_of(1), e.id);
		if (ret == -EOPNOTSUPP) {
			iommu_lacks(t, "no pass-through is offered");
			return;
		}
		require(t, ret == 0, "%s: letting endpoint 0x%x through: %s", m->name,
			(unsigned int)e.id, err_text(ret));
		dma_reaches(t, &e, at + 8, page, 8, 100, "let through");
		if (endpoint_get(NULL, i ? 0 : 1, &other))
			dma_is_stopped(t, &other, at, page, 1, "where another one is let through");
		attach(t, &e, domain_of(0));
		dma_is_stopped(t, &e, at, page, 1, "in an empty domain");
		detach(t, &e, domain_of(0));
	}
}

/* --- inside of a mapping ---------------------------------------------------------------------------- */

IOMMU_TEST(dma_mapped,
     .id = "iommu.dma.mapped",
     .clause = "virtio 1.4, 5.13.6.5: PA = VA - virt_start + phys_start, for each address of a mapping",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_ENDPOINT,
     .timeout = 30 * SEC)
{
	/* Offset and length in a mapping of three pages that stands in two requests. */
	static const struct {
		uint16_t off, len;
	} part[] = { { 0, 1 },	    { 0, 4096 },    { 4095, 1 },  { 4095, 2 },
		     { 100, 4000 }, { 4000, 4096 }, { 12287, 1 }, { 8192, 4096 } };
	const uint32_t domain = domain_of(0);
	uint8_t *page = iommu_pages(t, 3);
	struct endpoint e;
	unsigned int i, k;

	for (i = 0; endpoint_get(t, i, &e); i++) {
		attach(t, &e, domain);
		map(t, domain, iova_of(8), page, 2, RW);
		map(t, domain, iova_of(10), page + 2 * PAGE_SIZE, 1, RW);
		for (k = 0; k < sizeof(part) / sizeof(part[0]); k++)
			if (part[k].len <= e.a->most)
				dma_reaches(t, &e, iova_of(8) + part[k].off, page, part[k].off,
					    part[k].len, "in a mapping");
		/* The pages beside it are not mapped, whatever lies there. */
		dma_is_stopped(t, &e, iova_of(7), page, 3, "right below a mapping");
		dma_is_stopped(t, &e, iova_of(11), page, 3, "right behind a mapping");
		dma_is_stopped(t, &e, virt_to_phys(page), page, 3, "by its own address");
		detach(t, &e, domain);
	}
}

/* Pages that follow each other for the endpoint lie anywhere: an access that crosses is cut. */
IOMMU_TEST(dma_scattered,
     .id = "iommu.dma.scattered",
     .clause = "virtio 1.4, 5.13.6.5: each page of an access is translated by itself",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_ENDPOINT,
     .timeout = 20 * SEC)
{
	const uint32_t domain = domain_of(0);
	uint8_t *page = iommu_pages(t, 5);
	struct endpoint e;
	unsigned int i, k;

	for (i = 0; endpoint_get(t, i, &e); i++) {
		attach(t, &e, domain);
		map(t, domain, iova_of(0), page + 3 * PAGE_SIZE, 1, RW);
		map(t, domain, iova_of(1), page + PAGE_SIZE, 1, RW);
		memset(page, 0, 5 * PAGE_SIZE);
		dma_store(t, &e, iova_of(0) + 4000, 200);
		for (k = 0; k < 200; k++) {
			const uint8_t *at = k < 96 ? page + 3 * PAGE_SIZE + 4000 + k :
						     page + PAGE_SIZE + k - 96;

			require(t, *at == agent_pattern(k), "%s %s: byte %u of 200 is not there",
				e.a->dev.name, e.a->kind, k);
		}
		for (k = 0; k < 5 * PAGE_SIZE; k++)
			require(t,
				!page[k] || (k >= PAGE_SIZE && k < PAGE_SIZE + 104) ||
					(k >= 3 * PAGE_SIZE + 4000 && k < 4 * PAGE_SIZE),
				"%s %s: byte %u is written, which is outside of the access",
				e.a->dev.name, e.a->kind, k);
		detach(t, &e, domain);
	}
}

IOMMU_TEST(dma_high,
     .id = "iommu.dma.high",
     .clause = "virtio 1.4, 5.13.6.5, 5.13.6.6: addresses have 64 bits, up to the end of input_range",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_ENDPOINT,
     .timeout = 20 * SEC)
{
	const uint32_t domain = domain_of(0);
	const uint64_t g = granule();
	const struct iommu_limits *l = &iommu_now()->limits;
	const uint64_t at[] = { 0xfffff000 & ~(g - 1), 1ull << 32, (l->last - g + 1) & ~(g - 1) };
	uint8_t *page = iommu_pages(t, 1);
	struct endpoint e;
	unsigned int i, k, tried = 0;

	for (i = 0; endpoint_get(NULL, i, &e); i++) {
		if (e.a->reach < UINT64_MAX)
			continue;
		(void)endpoint_get(t, i, &e);
		attach(t, &e, domain);
		for (k = 0; k < 3; k++) {
			if (at[k] < l->first || at[k] + g - 1 > l->last ||
			    iommu_now()->ops->reserved(iommu_now(), e.id, at[k], at[k] + g - 1))
				continue;
			tried++;
			map(t, domain, at[k], page, 1, RW);
			dma_reaches(t, &e, at[k], page, 0, 64, "mapped high");
			unmap(t, domain, at[k], 1);
			dma_is_stopped(t, &e, at[k], page, 1, "behind an unmap");
		}
		detach(t, &e, domain);
	}
	if (!tried)
		iommu_lacks(t, "no agent is known to reach above 256 MiB (iommu-testdev)");
}

/* An entry or request that keeps 32 bits of the page's address leads to another page of RAM. */
IOMMU_TEST(dma_high_memory,
     .id = "iommu.dma.high_memory",
     .clause = "virtio 1.4, 5.13.6.5; VT-d 9.8: a mapping leads to any page of memory, above 4 GiB too",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_ENDPOINT,
     .timeout = 20 * SEC)
{
	const uint32_t domain = domain_of(0);
	uint8_t *high, *below;
	struct endpoint e;
	unsigned int i, k, strange;

	if (!iommu_high_page(t, &high, &below)) {
		iommu_lacks(t, "no RAM above 4 GiB whose address, cut to 32 bits, is RAM");
		return;
	}
	for (i = 0; endpoint_get(t, i, &e); i++) {
		attach(t, &e, domain);
		map(t, domain, iova_of(0), high, 1, RW);
		/* What goes through the tables once more, behind an invalidation, is the same. */
		map(t, domain, iova_of(1), below, 1, RW);
		unmap(t, domain, iova_of(1), 1);
		memset(below, 0, PAGE_SIZE);
		dma_reaches(t, &e, iova_of(0), high, 0, 64, "in a page above 4 GiB");
		for (k = 0, strange = 0; k < PAGE_SIZE; k++)
			strange += below[k] != 0;
		expect(t, !strange, "%s %s: %u bytes come to 0x%llx instead of 0x%llx",
		       e.a->dev.name, e.a->kind, strange, (unsigned long long)virt_to_phys(below),
		       (unsigned long long)virt_to_phys(high));
		detach(t, &e, domain);
	}
}

/* --- permissions ------------------------------------------------------------------------------------ */

IOMMU_TEST(dma_read_only,
     .id = "iommu.dma.read_only",
     .clause = "virtio 1.4, 5.13.6.5.2 MUST NOT: a write to a range that is mapped without WRITE",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_ENDPOINT,
     .timeout = 20 * SEC)
{
	const uint32_t domain = domain_of(0);
	uint8_t *page = iommu_pages(t, 3);
	struct endpoint e;
	unsigned int i;

	for (i = 0; endpoint_get(t, i, &e); i++) {
		attach(t, &e, domain);
		map(t, domain, iova_of(0), page, 1, IOMMU_WRITE);
		map(t, domain, iova_of(1), page + granule(), 1, IOMMU_READ);
		dma_reaches(t, &e, iova_of(0), page, 0, 64, "mapped for writing");
		dma_is_stopped(t, &e, iova_of(1), page, 2, "mapped for reading");
		/* The first page of an access may be written, the second one may not. */
		memset(page + granule(), 0, PAGE_SIZE);
		dma_store(t, &e, iova_of(1) - 32, 64);
		expect(t, page[granule()] == 0 && page[granule() + 31] == 0,
		       "%s %s: a write goes on in a page for reading", e.a->dev.name, e.a->kind);
		detach(t, &e, domain);
	}
}

IOMMU_TEST(dma_reads,
     .id = "iommu.dma.reads",
     .clause = "virtio 1.4, 5.13.6.5: an endpoint reads what is mapped for reading, and nothing else",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_READER,
     .timeout = 30 * SEC)
{
	static const char secret[] = "may be seen once", hidden[] = "must not be seen";
	const uint32_t domain = domain_of(0);
	uint8_t *page = iommu_pages(t, 3);
	struct endpoint e = endpoint_reader(t);
	unsigned int i;

	attach(t, &e, domain);
	map(t, domain, iova_of(0), page, 1, IOMMU_READ);
	map(t, domain, iova_of(2), page + 2 * PAGE_SIZE, 1, IOMMU_WRITE);
	memcpy(page + 100, secret, sizeof(secret));
	dma_load(t, &e, iova_of(0) + 100, sizeof(secret));
	dma_store(t, &e, iova_of(2), sizeof(secret));
	expect(t, memcmp(page + 2 * PAGE_SIZE, secret, sizeof(secret)) == 0,
	       "%s %s: what it reads of a mapping is not what is there", e.a->dev.name, e.a->kind);
	/* Not mapped, and mapped for writing alone (which may be read on some architectures). */
	memset(page, 0, 3 * PAGE_SIZE);
	/* Another text: what the agent read before may still be in it. */
	memcpy(page + PAGE_SIZE, hidden, sizeof(hidden));
	for (i = 0; i < 2; i++) {
		const uint64_t from = i ? virt_to_phys(page + PAGE_SIZE) : iova_of(1);

		dma_load(t, &e, from, sizeof(hidden));
		dma_store(t, &e, iova_of(2), sizeof(hidden));
		expect(t, memcmp(page + 2 * PAGE_SIZE, hidden, 8) != 0,
		       "%s %s: it reads at 0x%llx, where nothing is mapped", e.a->dev.name,
		       e.a->kind, (unsigned long long)from);
	}
	map(t, domain, iova_of(1), page + PAGE_SIZE, 1, IOMMU_WRITE);
	dma_load(t, &e, iova_of(1), sizeof(hidden));
	dma_store(t, &e, iova_of(2), sizeof(hidden));
	if (memcmp(page + 2 * PAGE_SIZE, hidden, 8) == 0)
		test_note(t, "%s %s reads what is mapped for writing alone", e.a->dev.name,
			  e.a->kind);
}

/* --- over time -------------------------------------------------------------------------------------- */

IOMMU_TEST(dma_unmapped,
     .id = "iommu.dma.unmapped",
     .clause = "virtio 1.4, 5.13.6.6: what was unmapped is rejected; a new mapping at its address counts",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_ENDPOINT,
     .timeout = 60 * SEC)
{
	const uint32_t domain = domain_of(0);
	uint8_t *page = iommu_pages(t, 4);
	const uint64_t at = iova_of(5);
	struct endpoint e;
	unsigned int i, k;

	for (i = 0; endpoint_get(t, i, &e); i++) {
		attach(t, &e, domain);
		for (k = 0; k < (e.a->reads ? 3u : 20u); k++) {
			uint8_t *here = page + k % 4 * PAGE_SIZE;

			map(t, domain, at, here, 1, RW);
			dma_reaches(t, &e, at, here, 0, 64, "mapped anew");
			unmap(t, domain, at, 1);
			dma_is_stopped(t, &e, at, page, 4, "behind an unmap");
		}
		detach(t, &e, domain);
	}
}

/* The neighbours of what is unmapped stay. */
IOMMU_TEST(dma_neighbours,
     .id = "iommu.dma.neighbours",
     .clause = "virtio 1.4, 5.13.6.6: UNMAP removes the mappings of its range, and no other",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_ENDPOINT,
     .timeout = 30 * SEC)
{
	const uint32_t domain = domain_of(0);
	uint8_t *page = iommu_pages(t, 3);
	struct endpoint e;
	unsigned int i, k;

	for (i = 0; endpoint_get(t, i, &e); i++) {
		attach(t, &e, domain);
		for (k = 0; k < 3; k++)
			map(t, domain, iova_of(k), page + k * PAGE_SIZE, 1, RW);
		for (k = 0; k < 3; k++)
			dma_reaches(t, &e, iova_of(k), page + k * PAGE_SIZE, 0, 64,
				    "in one of three mappings");
		unmap(t, domain, iova_of(1), 1);
		dma_is_stopped(t, &e, iova_of(1), page, 3, "between two mappings");
		dma_reaches(t, &e, iova_of(0), page, 0, 64, "below what was unmapped");
		dma_reaches(t, &e, iova_of(2), page + 2 * PAGE_SIZE, 0, 64,
			    "behind what was unmapped");
		detach(t, &e, domain);
	}
}

IOMMU_TEST(dma_detached,
     .id = "iommu.dma.detached",
     .clause = "virtio 1.4, 5.13.6.4.2 MUST: behind DETACH, or ATTACH to another domain, no mapping of the old one can be accessed",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_ENDPOINTS,
     .timeout = 30 * SEC)
{
	const uint32_t a = domain_of(0), b = domain_of(1);
	uint8_t *page = iommu_pages(t, 2);
	const uint64_t at = iova_of(0);
	struct endpoint e[2];
	unsigned int i;

	endpoint_two(t, e);
	/* The second endpoint keeps the domains, so that they do not cease to exist. */
	for (i = 0; i < 4; i++) {
		attach(t, &e[0], a);
		map(t, a, at, page, 1, RW);
		dma_reaches(t, &e[0], at, page, 0, 64, "attached");
		attach(t, &e[1], a);
		if (i & 1) {
			detach(t, &e[0], a);
			dma_is_stopped(t, &e[0], at, page, 2, "behind a detach");
		} else {
			attach(t, &e[0], b);
			dma_is_stopped(t, &e[0], at, page, 2, "attached to another domain");
			map(t, b, at, page + PAGE_SIZE, 1, RW);
			dma_reaches(t, &e[0], at, page + PAGE_SIZE, 0, 64,
				    "attached to another domain");
			detach(t, &e[0], b);
		}
		dma_reaches(t, &e[1], at, page, 0, 64, "attached still");
		detach(t, &e[1], a);
		dma_is_stopped(t, &e[1], at, page, 2, "behind a detach");
	}
}

/* --- domains ------------------------------------------------------------------------------------------ */

/* Domains that differ in their upper bits alone, where there are so many. */
static uint32_t far_domain(unsigned int k)
{
	const struct iommu_limits *l = &iommu_now()->limits;
	const uint32_t room = l->domain_last - l->domain_first;

	return l->domain_first + (room >= k << 16 ? k << 16 : room >= k << 8 ? k << 8 : k);
}

IOMMU_TEST(dma_domains,
     .id = "iommu.dma.domains_apart",
     .clause = "virtio 1.4, 5.13.6.3: endpoints of different domains are isolated: the same address is another page in each",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_ENDPOINTS,
     .timeout = 60 * SEC)
{
	uint8_t *page = iommu_pages(t, 8);
	const uint64_t at = iova_of(3);
	struct endpoint e[8];
	unsigned int n, i, round;

	for (n = 0; n < 8 && endpoint_get(t, n, &e[n]); n++) {
		attach(t, &e[n], far_domain(n));
		map(t, far_domain(n), at, page + n * PAGE_SIZE, 1, RW);
	}
	for (round = 0; round < 2; round++) {
		for (i = 0; i < n; i++) {
			uint8_t *own = page + i * PAGE_SIZE;
			unsigned int k;

			memset(page, 0, 8 * PAGE_SIZE);
			dma_store(t, &e[i], at, 64);
			expect(t, own[1] == agent_pattern(1),
			       "%s %s: nothing comes to its own page", e[i].a->dev.name,
			       e[i].a->kind);
			for (k = 0; k < n; k++)
				expect(t, k == i || page[k * PAGE_SIZE + 1] == 0,
				       "%s %s: it writes to the page of %s", e[i].a->dev.name,
				       e[i].a->kind, e[k].a->dev.name);
		}
	}
	/* What one unmaps the others keep. */
	unmap(t, far_domain(0), at, 1);
	dma_is_stopped(t, &e[0], at, page, 8, "behind UNMAP in its domain");
	dma_reaches(t, &e[1], at, page + PAGE_SIZE, 0, 64, "though another domain unmapped it");
}

IOMMU_TEST(dma_shared,
     .id = "iommu.dma.domain_shared",
     .clause = "virtio 1.4, 5.13.6.5: all endpoints of a domain access its mappings, made before or after ATTACH",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_ENDPOINTS,
     .timeout = 30 * SEC)
{
	const uint32_t domain = domain_of(0);
	uint8_t *page = iommu_pages(t, 2);
	struct endpoint e[2];
	unsigned int i;

	endpoint_two(t, e);
	attach(t, &e[0], domain);
	map(t, domain, iova_of(0), page, 1, RW);
	if (iommu_now()->ops->attach(iommu_now(), domain, e[1].id) == -EOPNOTSUPP) {
		iommu_lacks(t, "two endpoints cannot share a domain");
		return;
	}
	map(t, domain, iova_of(1), page + PAGE_SIZE, 1, RW);
	for (i = 0; i < 2; i++) {
		dma_reaches(t, &e[i], iova_of(0), page, 0, 64, "in a shared domain");
		dma_reaches(t, &e[i], iova_of(1), page + PAGE_SIZE, 0, 64,
			    "in a shared domain, mapped later");
	}
	unmap(t, domain, iova_of(0), 1);
	for (i = 0; i < 2; i++)
		dma_is_stopped(t, &e[i], iova_of(0), page, 2, "unmapped in a shared domain");
}

/* Domains come and go; the last ones are as good as the first. */
IOMMU_TEST(dma_many_domains,
     .id = "iommu.dma.many_domains",
     .clause = "virtio 1.4, 5.13.6.3: a domain is created where it does not exist, and its ID can be used again",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_ENDPOINTS,
     .timeout = 60 * SEC)
{
	enum {
		ROUNDS = 300
	};
	const struct iommu_limits *l = &iommu_now()->limits;
	uint8_t *page = iommu_pages(t, 2);
	const uint64_t at = iova_of(0);
	struct endpoint e[2];
	unsigned int i;

	endpoint_two(t, e);
	for (i = 0; i < ROUNDS; i++) {
		const uint32_t room = l->domain_last - l->domain_first;
		/* The smallest, the largest, and others between. */
		const uint32_t domain = i == 0 ? l->domain_first :
					i == 1 ? l->domain_last :
						 l->domain_first + (i * 7919u) % (room ? room : 1);
		const bool look = i < 3 || i % 50 == 0;

		attach(t, &e[0], domain);
		map(t, domain, at, page + (i & 1) * PAGE_SIZE, 1, RW);
		if (look)
			dma_reaches(t, &e[0], at, page + (i & 1) * PAGE_SIZE, 0, 64,
				    "in one of many domains");
		detach(t, &e[0], domain);
		if (look)
			dma_is_stopped(t, &e[0], at, page, 2, "behind DETACH from one of many");
	}
}

/* --- reports ------------------------------------------------------------------------------------------ */

static void drain(void)
{
	struct iommu_fault f;
	unsigned int i;

	for (i = 0; i < 1000 && iommu_now()->ops->fault(iommu_now(), &f) > 0; i++)
		;
}

static const char *reason_name(enum iommu_fault_reason reason)
{
	return reason == IOMMU_FAULT_DOMAIN  ? "no domain" :
	       reason == IOMMU_FAULT_MAPPING ? "no mapping" :
					       "another one";
}

/* The next report is of this access, and of this reason, if it says one. */
static void is_reported(struct test_ctx *t, const struct endpoint *e, uint64_t at, bool write,
			enum iommu_fault_reason reason, const char *what)
{
	struct iommu *m = iommu_now();
	struct iommu_fault f;
	int ret = 0;

	(void)wait_for((ret = m->ops->fault(m, &f)) != 0, 2 * test_sec());
	require(t, ret > 0, "%s: %s of %s %s is not reported (%s)", m->name, what, e->a->dev.name,
		e->a->kind, err_text(ret));
	expect_eq(t, f.endpoint, e->id, "endpoint of the report of %s", what);
	if (f.reason != IOMMU_FAULT_UNKNOWN)
		expect(t, f.reason == reason, "reason of the report of %s: expected %s, seen %s",
		       what, reason_name(reason), reason_name(f.reason));
	if (f.read || f.write)
		expect(t, f.write == write && f.read == !write, "the report of %s calls it a %s",
		       what, f.write ? "write" : "read");
	expect_eq(t, f.address & f.known, at & f.known, "address of the report of %s", what);
	drain(); /* one access may be reported more than once */
}

IOMMU_TEST(dma_reported,
     .id = "iommu.dma.reported",
     .clause = "virtio 1.4, 5.13.6.9; VT-d 7.1.3, 7.2.1: what was stopped is reported: whose it was, where, reading or writing, and why",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_ENDPOINT,
     .timeout = 60 * SEC)
{
	const uint32_t domain = domain_of(0);
	uint8_t *page = iommu_pages(t, 1);
	struct endpoint e;
	unsigned int i;

	for (i = 0; endpoint_get(t, i, &e); i++) {
		drain();
		dma_store(t, &e, iova_of(2) + 0x10, 4);
		is_reported(t, &e, iova_of(2) + 0x10, true, IOMMU_FAULT_DOMAIN,
			    "a write without a domain");
		attach(t, &e, domain);
		dma_store(t, &e, iova_of(3) + 0x20, 4);
		is_reported(t, &e, iova_of(3) + 0x20, true, IOMMU_FAULT_MAPPING,
			    "a write to what is not mapped");
		map(t, domain, iova_of(4), page, 1, IOMMU_READ);
		dma_store(t, &e, iova_of(4) + 0x30, 4);
		is_reported(t, &e, iova_of(4) + 0x30, true, IOMMU_FAULT_MAPPING,
			    "a write to a read mapping");
		unmap(t, domain, iova_of(4), 1);
		dma_store(t, &e, iova_of(4) + 0x40, 4);
		is_reported(t, &e, iova_of(4) + 0x40, true, IOMMU_FAULT_MAPPING,
			    "a write to what was unmapped");
		if (e.a->reads) {
			dma_load(t, &e, iova_of(5) + 0x50, 4);
			is_reported(t, &e, iova_of(5) + 0x50, false, IOMMU_FAULT_MAPPING,
				    "a read of what is not mapped");
		}
		detach(t, &e, domain);
	}
}

/* --- several CPUs -------------------------------------------------------------------------------------- */

static struct {
	struct iommu *m;
	uint32_t domain;
	uint64_t at;
	uint8_t *page;
	unsigned int stop, turns; /* atomic */
} storm;

/* Another CPU maps and unmaps beside the address that is looked at. */
static void map_storm(void *arg)
{
	const uint64_t g = granule();
	unsigned int k = 0;

	(void)arg;
	while (!__atomic_load_n(&storm.stop, __ATOMIC_RELAXED)) {
		const uint64_t at = storm.at + (1 + k++ % 8) * g;

		(void)storm.m->ops->map(storm.m, storm.domain, at, at + g - 1,
					virt_to_phys(storm.page), RW);
		(void)storm.m->ops->unmap(storm.m, storm.domain, at, at + g - 1);
		__atomic_add_fetch(&storm.turns, 1, __ATOMIC_RELAXED);
	}
}

IOMMU_TEST(dma_storm,
     .id = "iommu.dma.storm",
     .clause = "virtio 1.4, 5.13.6.6: UNMAP takes effect while others map and unmap, and DMA runs",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_ENDPOINTS | NEED_SMP,
     .timeout = 60 * SEC)
{
	enum {
		ROUNDS = 60
	};
	const uint32_t domain = domain_of(0);
	uint8_t *page = iommu_pages(t, 3);
	const uint64_t at = iova_of(0);
	struct endpoint e[2];
	unsigned int i, n;

	endpoint_two(t, e);
	n = e[0].a->reads ? 4 : ROUNDS;
	attach(t, &e[0], domain);
	storm = (__typeof__(storm)){
		.m = iommu_now(), .domain = domain, .at = at, .page = page + 2 * PAGE_SIZE
	};
	CPU_OK(t, 1, smp_call_async(1, map_storm, NULL));
	require(t, wait_for(__atomic_load_n(&storm.turns, __ATOMIC_RELAXED), 8 * test_sec()),
		"requests of another CPU are not answered");
	for (i = 0; i < n; i++) {
		map(t, domain, at, page, 1, RW);
		dma_reaches(t, &e[0], at, page, 0, 64, "while another CPU maps and unmaps");
		unmap(t, domain, at, 1);
		dma_is_stopped(t, &e[0], at, page, 2, "behind UNMAP, while another CPU does so");
	}
	__atomic_store_n(&storm.stop, 1, __ATOMIC_RELAXED);
	CPU_OK(t, 1, smp_wait(1, 8 * test_sec()));
}
