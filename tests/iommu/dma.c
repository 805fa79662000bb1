/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iommu.dma.*: what an endpoint reaches is what is mapped in its domain, to the byte, and nothing else (virtio 1.4,
 * 5.13.6; the question of the IOASID thread of 2021: what separates one device's DMA from another's).
 *
 * How hosts break it: a translation stays in a cache after UNMAP, DETACH or a reset; the permission is checked on the first
 * page of an access only; a mapping is a page too long; the address space is that of the domain which was attached last;
 * an endpoint without a domain is in bypass mode.
 *
 * How it is seen: agents write and read where they are told; memory tells what came through.
 */
#include <string.h>

#include "lib/smp.h"
#include "tests/iommu/env.h"
#include "tests/support/cpus.h"

#define OWNER OWNER_IOMMU

/* --- without a domain ----------------------------------------------------------------------------- */

TEST(dma_unattached,
     .id = "iommu.dma.unattached",
     .clause = "virtio 1.4, 5.13.6.2 SHOULD NOT: an endpoint that is not attached and not in bypass mode accesses memory",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_ENDPOINT,
     .timeout = 20 * SEC)
{
	struct viommu *v = iommu_up(t);
	struct endpoint e;
	uint8_t *page = iommu_pages(t, 2);
	unsigned int i;

	for (i = 0; endpoint_get(t, v, i, &e); i++) {
		dma_is_stopped(t, &e, virt_to_phys(page), page, 2, "without a domain");
		attach(t, &e, domain_of(v, 0));
		dma_is_stopped(t, &e, virt_to_phys(page), page, 2, "in an empty domain");
		detach(t, &e, domain_of(v, 0));
		dma_is_stopped(t, &e, virt_to_phys(page), page, 2, "behind DETACH");
	}
}

TEST(dma_bypass,
     .id = "iommu.dma.bypass",
     .clause = "virtio 1.4, 5.13.6: accesses in bypass mode are allowed, and translated by the identity",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_ENDPOINT,
     .timeout = 30 * SEC)
{
	struct viommu *v = iommu_up(t);
	struct endpoint e;
	uint8_t *page = iommu_pages(t, 1);
	const uint64_t at = virt_to_phys(page);
	unsigned int i;

	if (!virtio_has(viommu_device(v), VIOMMU_F_BYPASS_CONFIG))
		test_skip(t, "BYPASS_CONFIG is not offered");
	for (i = 0; endpoint_get(t, v, i, &e); i++) {
		require(t,
			viommu_attach(v, domain_of(v, 1), e.id, VIOMMU_ATTACH_BYPASS) ==
				VIOMMU_S_OK,
			"ATTACH with BYPASS fails");
		dma_reaches(t, &e, at + 8, page, 8, 100, "in a bypass domain");
		attach(t, &e, domain_of(v, 0));
		dma_is_stopped(t, &e, at, page, 1, "in an empty domain");
		(void)viommu_bypass(v, true);
		dma_is_stopped(t, &e, at, page, 1, "though bypass is 1");
		detach(t, &e, domain_of(v, 0));
		dma_reaches(t, &e, at + 8, page, 8, 100, "without a domain, bypass is 1");
		(void)viommu_bypass(v, false);
		dma_is_stopped(t, &e, at, page, 1, "without a domain again");
	}
}

/* --- inside of a mapping ---------------------------------------------------------------------------- */

TEST(dma_mapped,
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
	struct viommu *v = iommu_up(t);
	const uint32_t domain = domain_of(v, 0);
	uint8_t *page = iommu_pages(t, 3);
	struct endpoint e;
	unsigned int i, k;

	for (i = 0; endpoint_get(t, v, i, &e); i++) {
		attach(t, &e, domain);
		map(t, v, domain, iova_of(v, 8), page, 2, RW);
		map(t, v, domain, iova_of(v, 10), page + 2 * PAGE_SIZE, 1, RW);
		for (k = 0; k < sizeof(part) / sizeof(part[0]); k++)
			if (part[k].len <= e.a->most)
				dma_reaches(t, &e, iova_of(v, 8) + part[k].off, page, part[k].off,
					    part[k].len, "in a mapping");
		/* The pages beside it are not mapped, whatever lies there. */
		dma_is_stopped(t, &e, iova_of(v, 7), page, 3, "right below a mapping");
		dma_is_stopped(t, &e, iova_of(v, 11), page, 3, "right behind a mapping");
		dma_is_stopped(t, &e, virt_to_phys(page), page, 3, "by its own address");
		detach(t, &e, domain);
	}
}

/* Pages that follow each other for the endpoint lie anywhere: an access that crosses is cut. */
TEST(dma_scattered,
     .id = "iommu.dma.scattered",
     .clause = "virtio 1.4, 5.13.6.5: each page of an access is translated by itself",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_ENDPOINT,
     .timeout = 20 * SEC)
{
	struct viommu *v = iommu_up(t);
	const uint32_t domain = domain_of(v, 0);
	uint8_t *page = iommu_pages(t, 5);
	struct endpoint e;
	unsigned int i, k;

	for (i = 0; endpoint_get(t, v, i, &e); i++) {
		attach(t, &e, domain);
		map(t, v, domain, iova_of(v, 0), page + 3 * PAGE_SIZE, 1, RW);
		map(t, v, domain, iova_of(v, 1), page + PAGE_SIZE, 1, RW);
		memset(page, 0, 5 * PAGE_SIZE);
		dma_store(t, &e, iova_of(v, 0) + 4000, 200);
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

TEST(dma_high,
     .id = "iommu.dma.high",
     .clause = "virtio 1.4, 5.13.6.5, 5.13.6.6: addresses have 64 bits, up to the end of input_range",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_ENDPOINT)
{
	struct viommu *v = iommu_up(t);
	const uint32_t domain = domain_of(v, 0);
	const uint64_t g = granule(v);
	const uint64_t at[] = { 0xfffff000 & ~(g - 1), 1ull << 32,
				(viommu_config(v)->input_end - g + 1) & ~(g - 1) };
	uint8_t *page = iommu_pages(t, 1);
	struct endpoint e;
	unsigned int i, k, tried = 0;

	for (i = 0; endpoint_get(NULL, v, i, &e); i++) {
		if (e.a->reach < UINT64_MAX)
			continue;
		attach(t, &e, domain);
		for (k = 0; k < 3; k++, tried++) {
			map(t, v, domain, at[k], page, 1, RW);
			dma_reaches(t, &e, at[k], page, 0, 64, "mapped high");
			unmap(t, v, domain, at[k], 1);
			dma_is_stopped(t, &e, at[k], page, 1, "behind UNMAP");
		}
		detach(t, &e, domain);
	}
	if (!tried)
		test_skip(t, "no agent that is known to reach above 256 MiB (iommu-testdev)");
}

/* --- permissions ------------------------------------------------------------------------------------ */

TEST(dma_read_only,
     .id = "iommu.dma.read_only",
     .clause = "virtio 1.4, 5.13.6.5.2 MUST NOT: a write to a range that is mapped without WRITE",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_ENDPOINT,
     .timeout = 20 * SEC)
{
	struct viommu *v = iommu_up(t);
	const uint32_t domain = domain_of(v, 0);
	uint8_t *page = iommu_pages(t, 3);
	struct endpoint e;
	unsigned int i;

	for (i = 0; endpoint_get(t, v, i, &e); i++) {
		attach(t, &e, domain);
		map(t, v, domain, iova_of(v, 0), page, 1, VIOMMU_MAP_WRITE);
		map(t, v, domain, iova_of(v, 1), page + granule(v), 1, VIOMMU_MAP_READ);
		dma_reaches(t, &e, iova_of(v, 0), page, 0, 64, "mapped for writing");
		dma_is_stopped(t, &e, iova_of(v, 1), page, 2, "mapped for reading");
		/* The first page of an access may be written, the second one may not. */
		memset(page + granule(v), 0, PAGE_SIZE);
		dma_store(t, &e, iova_of(v, 1) - 32, 64);
		expect(t, page[granule(v)] == 0 && page[granule(v) + 31] == 0,
		       "%s %s: a write goes on in a page for reading", e.a->dev.name, e.a->kind);
		detach(t, &e, domain);
	}
}

TEST(dma_reads,
     .id = "iommu.dma.reads",
     .clause = "virtio 1.4, 5.13.6.5: an endpoint reads what is mapped for reading, and nothing else",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_READER,
     .timeout = 30 * SEC)
{
	static const char secret[] = "must not be seen";
	struct viommu *v = iommu_up(t);
	const uint32_t domain = domain_of(v, 0);
	uint8_t *page = iommu_pages(t, 3);
	struct endpoint e = endpoint_reader(t, v);
	unsigned int i;

	attach(t, &e, domain);
	map(t, v, domain, iova_of(v, 0), page, 1, VIOMMU_MAP_READ);
	map(t, v, domain, iova_of(v, 2), page + 2 * PAGE_SIZE, 1, VIOMMU_MAP_WRITE);
	memcpy(page + 100, secret, sizeof(secret));
	dma_load(t, &e, iova_of(v, 0) + 100, sizeof(secret));
	dma_store(t, &e, iova_of(v, 2), sizeof(secret));
	expect(t, memcmp(page + 2 * PAGE_SIZE, secret, sizeof(secret)) == 0,
	       "%s %s: what it reads of a mapping is not what is there", e.a->dev.name, e.a->kind);
	/* Not mapped, and mapped for writing alone (which may be read on some architectures). */
	memset(page, 0, 3 * PAGE_SIZE);
	memcpy(page + PAGE_SIZE, secret, sizeof(secret));
	for (i = 0; i < 2; i++) {
		const uint64_t from = i ? virt_to_phys(page + PAGE_SIZE) : iova_of(v, 1);

		dma_load(t, &e, from, sizeof(secret));
		dma_store(t, &e, iova_of(v, 2), sizeof(secret));
		expect(t, memcmp(page + 2 * PAGE_SIZE, secret, 8) != 0,
		       "%s %s: it reads at 0x%llx, where nothing is mapped", e.a->dev.name,
		       e.a->kind, (unsigned long long)from);
	}
	map(t, v, domain, iova_of(v, 1), page + PAGE_SIZE, 1, VIOMMU_MAP_WRITE);
	dma_load(t, &e, iova_of(v, 1), sizeof(secret));
	dma_store(t, &e, iova_of(v, 2), sizeof(secret));
	if (memcmp(page + 2 * PAGE_SIZE, secret, 8) == 0)
		test_note(t, "%s %s reads what is mapped for writing alone", e.a->dev.name,
			  e.a->kind);
}

/* --- over time -------------------------------------------------------------------------------------- */

TEST(dma_unmapped,
     .id = "iommu.dma.unmapped",
     .clause = "virtio 1.4, 5.13.6.6: what was unmapped is rejected; a new mapping at its address counts",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_ENDPOINT,
     .timeout = 60 * SEC)
{
	struct viommu *v = iommu_up(t);
	const uint32_t domain = domain_of(v, 0);
	uint8_t *page = iommu_pages(t, 4);
	const uint64_t at = iova_of(v, 5);
	struct endpoint e;
	unsigned int i, k;

	for (i = 0; endpoint_get(t, v, i, &e); i++) {
		attach(t, &e, domain);
		for (k = 0; k < (e.a->reads ? 3u : 20u); k++) {
			uint8_t *here = page + k % 4 * PAGE_SIZE;

			map(t, v, domain, at, here, 1, RW);
			dma_reaches(t, &e, at, here, 0, 64, "mapped anew");
			unmap(t, v, domain, at, 1);
			dma_is_stopped(t, &e, at, page, 4, "behind UNMAP");
		}
		detach(t, &e, domain);
	}
}

/* The neighbours of what is unmapped stay. */
TEST(dma_neighbours,
     .id = "iommu.dma.neighbours",
     .clause = "virtio 1.4, 5.13.6.6: UNMAP removes the mappings of its range, and no other",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_ENDPOINT,
     .timeout = 30 * SEC)
{
	struct viommu *v = iommu_up(t);
	const uint32_t domain = domain_of(v, 0);
	uint8_t *page = iommu_pages(t, 3);
	struct endpoint e;
	unsigned int i, k;

	for (i = 0; endpoint_get(t, v, i, &e); i++) {
		attach(t, &e, domain);
		for (k = 0; k < 3; k++)
			map(t, v, domain, iova_of(v, k), page + k * PAGE_SIZE, 1, RW);
		for (k = 0; k < 3; k++)
			dma_reaches(t, &e, iova_of(v, k), page + k * PAGE_SIZE, 0, 64,
				    "in one of three mappings");
		unmap(t, v, domain, iova_of(v, 1), 1);
		dma_is_stopped(t, &e, iova_of(v, 1), page, 3, "between two mappings");
		dma_reaches(t, &e, iova_of(v, 0), page, 0, 64, "below what was unmapped");
		dma_reaches(t, &e, iova_of(v, 2), page + 2 * PAGE_SIZE, 0, 64,
			    "behind what was unmapped");
		detach(t, &e, domain);
	}
}

TEST(dma_detached,
     .id = "iommu.dma.detached",
     .clause = "virtio 1.4, 5.13.6.4.2 MUST: behind DETACH, or ATTACH to another domain, no mapping of the old one can be accessed",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_ENDPOINTS,
     .timeout = 30 * SEC)
{
	struct viommu *v = iommu_up(t);
	const uint32_t a = domain_of(v, 0), b = domain_of(v, 1);
	uint8_t *page = iommu_pages(t, 2);
	const uint64_t at = iova_of(v, 0);
	struct endpoint e[2];
	unsigned int i;

	endpoint_two(t, v, e);
	/* The second endpoint keeps the domains, so that they do not cease to exist. */
	for (i = 0; i < 4; i++) {
		attach(t, &e[0], a);
		map(t, v, a, at, page, 1, RW);
		dma_reaches(t, &e[0], at, page, 0, 64, "attached");
		attach(t, &e[1], a);
		if (i & 1) {
			detach(t, &e[0], a);
			dma_is_stopped(t, &e[0], at, page, 2, "behind DETACH");
		} else {
			attach(t, &e[0], b);
			dma_is_stopped(t, &e[0], at, page, 2, "attached to another domain");
			map(t, v, b, at, page + PAGE_SIZE, 1, RW);
			dma_reaches(t, &e[0], at, page + PAGE_SIZE, 0, 64,
				    "attached to another domain");
			detach(t, &e[0], b);
		}
		dma_reaches(t, &e[1], at, page, 0, 64, "attached still");
		detach(t, &e[1], a);
		dma_is_stopped(t, &e[1], at, page, 2, "behind DETACH");
	}
}

TEST(dma_reset,
     .id = "iommu.dma.device_reset",
     .clause = "virtio 1.4, 5.13.5: when the device is reset, endpoints are not attached to any domain",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_ENDPOINT,
     .timeout = 30 * SEC)
{
	struct viommu *v = iommu_up(t);
	const uint32_t domain = domain_of(v, 0);
	uint8_t *page = iommu_pages(t, 2);
	const uint64_t at = iova_of(v, 0);
	struct endpoint e;
	unsigned int i;

	for (i = 0; endpoint_get(t, v, i, &e); i++) {
		attach(t, &e, domain);
		map(t, v, domain, at, page, 1, RW);
		dma_reaches(t, &e, at, page, 0, 64, "attached");
		viommu_stop(v);
		dma_is_stopped(t, &e, at, page, 2, "while the IOMMU is in reset");
		v = iommu_up(t);
		dma_is_stopped(t, &e, at, page, 2, "behind the IOMMU's reset");
		answers(t, viommu_map(v, domain, at, at + granule(v) - 1, 0x100000, RW),
			VIOMMU_S_NOENT, SHOULD, "MAP in a domain of before the reset");
	}
}

/* --- domains ------------------------------------------------------------------------------------------ */

/* Domains that differ in their upper bits alone, where there are so many. */
static uint32_t far_domain(const struct viommu *v, unsigned int k)
{
	const struct viommu_config *c = viommu_config(v);

	return c->domain_end - c->domain_start < k << 16 ? domain_of(v, k) :
							   c->domain_start + (k << 16);
}

TEST(dma_domains,
     .id = "iommu.dma.domains_apart",
     .clause = "virtio 1.4, 5.13.6.3: endpoints of different domains are isolated: the same address is another page in each",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_ENDPOINTS,
     .timeout = 60 * SEC)
{
	struct viommu *v = iommu_up(t);
	uint8_t *page = iommu_pages(t, 8);
	const uint64_t at = iova_of(v, 3);
	struct endpoint e[8];
	unsigned int n, i, round;

	for (n = 0; n < 8 && endpoint_get(t, v, n, &e[n]); n++) {
		attach(t, &e[n], far_domain(v, n));
		map(t, v, far_domain(v, n), at, page + n * PAGE_SIZE, 1, RW);
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
	unmap(t, v, far_domain(v, 0), at, 1);
	dma_is_stopped(t, &e[0], at, page, 8, "behind UNMAP in its domain");
	dma_reaches(t, &e[1], at, page + PAGE_SIZE, 0, 64, "though another domain unmapped it");
}

TEST(dma_shared,
     .id = "iommu.dma.domain_shared",
     .clause = "virtio 1.4, 5.13.6.5: all endpoints of a domain access its mappings, made before or after ATTACH",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_ENDPOINTS,
     .timeout = 30 * SEC)
{
	struct viommu *v = iommu_up(t);
	const uint32_t domain = domain_of(v, 0);
	uint8_t *page = iommu_pages(t, 2);
	struct endpoint e[2];
	unsigned int i;

	endpoint_two(t, v, e);
	attach(t, &e[0], domain);
	map(t, v, domain, iova_of(v, 0), page, 1, RW);
	if (viommu_attach(v, domain, e[1].id, 0) == VIOMMU_S_UNSUPP)
		test_skip(t, "two endpoints cannot share a domain (UNSUPP)");
	map(t, v, domain, iova_of(v, 1), page + PAGE_SIZE, 1, RW);
	for (i = 0; i < 2; i++) {
		dma_reaches(t, &e[i], iova_of(v, 0), page, 0, 64, "in a shared domain");
		dma_reaches(t, &e[i], iova_of(v, 1), page + PAGE_SIZE, 0, 64,
			    "in a shared domain, mapped later");
	}
	unmap(t, v, domain, iova_of(v, 0), 1);
	for (i = 0; i < 2; i++)
		dma_is_stopped(t, &e[i], iova_of(v, 0), page, 2, "unmapped in a shared domain");
}

/* Domains come and go; the last ones are as good as the first. */
TEST(dma_many_domains,
     .id = "iommu.dma.many_domains",
     .clause = "virtio 1.4, 5.13.6.3: a domain is created where it does not exist, and its ID can be used again",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_ENDPOINTS,
     .timeout = 60 * SEC)
{
	enum {
		ROUNDS = 300
	};
	struct viommu *v = iommu_up(t);
	const struct viommu_config *c = viommu_config(v);
	uint8_t *page = iommu_pages(t, 2);
	const uint64_t at = iova_of(v, 0);
	struct endpoint e[2];
	unsigned int i;

	endpoint_two(t, v, e);
	for (i = 0; i < ROUNDS; i++) {
		const uint32_t room = c->domain_end - c->domain_start;
		/* The smallest, the largest, and others between. */
		const uint32_t domain = i == 0 ? c->domain_start :
					i == 1 ? c->domain_end :
						 c->domain_start + (i * 7919u) % (room ? room : 1);
		const bool look = i < 3 || i % 50 == 0;

		attach(t, &e[0], domain);
		map(t, v, domain, at, page + (i & 1) * PAGE_SIZE, 1, RW);
		if (look)
			dma_reaches(t, &e[0], at, page + (i & 1) * PAGE_SIZE, 0, 64,
				    "in one of many domains");
		detach(t, &e[0], domain);
		if (look)
			dma_is_stopped(t, &e[0], at, page, 2, "behind DETACH from one of many");
	}
}

/* --- several CPUs -------------------------------------------------------------------------------------- */

static struct {
	struct viommu *v;
	uint32_t domain;
	uint64_t at;
	uint8_t *page;
	unsigned int stop, turns; /* atomic */
} storm;

/* Another CPU maps and unmaps beside the address that is looked at. */
static void map_storm(void *arg)
{
	const uint64_t g = granule(storm.v);
	unsigned int k = 0;

	(void)arg;
	while (!__atomic_load_n(&storm.stop, __ATOMIC_RELAXED)) {
		const uint64_t at = storm.at + (1 + k++ % 8) * g;

		(void)viommu_map(storm.v, storm.domain, at, at + g - 1, virt_to_phys(storm.page),
				 RW);
		(void)viommu_unmap(storm.v, storm.domain, at, at + g - 1);
		__atomic_add_fetch(&storm.turns, 1, __ATOMIC_RELAXED);
	}
}

TEST(dma_storm,
     .id = "iommu.dma.storm",
     .clause = "virtio 1.4, 5.13.6.6: UNMAP takes effect while others map and unmap, and DMA runs",
     .owner = OWNER,
     .needs = NEED_IOMMU | NEED_ENDPOINTS | NEED_SMP,
     .timeout = 60 * SEC)
{
	enum {
		ROUNDS = 60
	};
	struct viommu *v = iommu_up(t);
	const uint32_t domain = domain_of(v, 0);
	uint8_t *page = iommu_pages(t, 3);
	const uint64_t at = iova_of(v, 0);
	struct endpoint e[2];
	unsigned int i, n;

	endpoint_two(t, v, e);
	n = e[0].a->reads ? 4 : ROUNDS;
	attach(t, &e[0], domain);
	storm = (__typeof__(storm)){
		.v = v, .domain = domain, .at = at, .page = page + 2 * PAGE_SIZE
	};
	CPU_OK(t, 1, smp_call_async(1, map_storm, NULL));
	require(t, wait_for(__atomic_load_n(&storm.turns, __ATOMIC_RELAXED), 8 * test_sec()),
		"requests of another CPU are not answered");
	for (i = 0; i < n; i++) {
		map(t, v, domain, at, page, 1, RW);
		dma_reaches(t, &e[0], at, page, 0, 64, "while another CPU maps and unmaps");
		unmap(t, v, domain, at, 1);
		dma_is_stopped(t, &e[0], at, page, 2, "behind UNMAP, while another CPU does so");
	}
	__atomic_store_n(&storm.stop, 1, __ATOMIC_RELAXED);
	CPU_OK(t, 1, smp_wait(1, 8 * test_sec()));
}
