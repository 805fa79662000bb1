/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/iommu/env.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "drivers/virtio/viot.h"
#include "lib/errname.h"

#define LOW_FROM    (32ull << 20)
#define LOW_END	    (192ull << 20) /* within every agent's reach */
#define IOVA_FROM   (200ull << 20) /* so are these, and no page of LOW_* has such an address */
#define MAX_PAGES   32u
#define DOMAIN_BASE 0x40u
#define PLACES	    64u /* that are looked at for one without a reserved region */

static struct {
	struct viommu *v;
	bool bypass; /* as it was found */
	void *page[MAX_PAGES];
	unsigned int count[MAX_PAGES], n;
	uint8_t *pattern; /* what agents that read are loaded with */
	uint8_t resv[VIOMMU_REQ_MAX];
} env;

/* --- needs --------------------------------------------------------------------------------------- */

static bool has_iommu(char *why, size_t size)
{
	snprintf(why, size, "no virtio-iommu on PCI or MMIO");
	return viommu_get(0) != NULL;
}
NEED(iommu, NEED_IOMMU, "virtio-iommu", has_iommu);

/* Endpoints of the first IOMMU; how many of them read. */
static unsigned int count_endpoints(unsigned int *readers)
{
	struct viommu *v;
	struct agent *a;
	unsigned int i, n = 0;
	uint32_t id;

	*readers = 0;
	for (i = 0; (a = agent_get(i)); i++) {
		if (!viot_endpoint(&a->dev, &v, &id) || v != viommu_get(0))
			continue;
		n++;
		*readers += a->reads;
	}
	return n;
}

static bool enough(unsigned int n, unsigned int wanted, char *why, size_t size)
{
	snprintf(why, size,
		 "%u DMA agents (edu, iommu-testdev) behind it by the VIOT, %u are wanted", n,
		 wanted);
	return n >= wanted;
}

static bool has_endpoint(char *why, size_t size)
{
	unsigned int readers;

	return enough(count_endpoints(&readers), 1, why, size);
}
NEED(endpoint, NEED_ENDPOINT, "endpoint", has_endpoint);

static bool has_endpoints(char *why, size_t size)
{
	unsigned int readers;

	return enough(count_endpoints(&readers), 2, why, size);
}
NEED(endpoints, NEED_ENDPOINTS, "two endpoints", has_endpoints);

static bool has_reader(char *why, size_t size)
{
	unsigned int readers;

	count_endpoints(&readers);
	snprintf(why, size, "no DMA agent that reads (edu) behind it by the VIOT");
	return readers > 0;
}
NEED(reader, NEED_READER, "endpoint that reads", has_reader);

/* --- fixture --------------------------------------------------------------------------------------- */

/*
 * A device may keep what was attached over its reset (iommu.dma.device_reset says so). ATTACH to another domain ends that,
 * and DETACH ends the new one.
 */
static void detach_all(struct viommu *v)
{
	const uint32_t domain = domain_of(v, 62);
	struct endpoint e;
	unsigned int i;

	for (i = 0; endpoint_get(NULL, v, i, &e); i++) {
		if (viommu_attach(v, domain, e.id, 0) == VIOMMU_S_OK)
			(void)viommu_detach(v, domain, e.id);
	}
}

static void give_back(void)
{
	unsigned int i;

	if (env.v) {
		if (viommu_start(env.v) == 0) {
			detach_all(env.v);
			(void)viommu_bypass(env.v, env.bypass);
		}
		viommu_stop(env.v);
	}
	env.v = NULL;
	for (i = 0; i < env.n; i++)
		mem_pages_free(env.page[i], env.count[i]);
	env.n = 0;
	env.pattern = NULL;
}
FIXTURE(iommu, .suite = "iommu.", .teardown = give_back);

struct viommu *iommu_up(struct test_ctx *t)
{
	struct viommu *v = viommu_get(0);
	int ret;

	if (!v)
		test_error(t, "no memory for the driver");
	ret = viommu_start(v);
	if (ret)
		test_error(t, "%s: %s (%s)", viommu_device(v)->name, viommu_device(v)->error,
			   err_text(ret));
	if (!env.v)
		env.bypass = viommu_config(v)->bypass & 1;
	env.v = v;
	(void)viommu_bypass(v, false);
	return v;
}

uint8_t *iommu_pages(struct test_ctx *t, unsigned int n)
{
	uint64_t at;
	void *p = NULL;

	if (granule(env.v) != PAGE_SIZE)
		test_skip(t, "the page granularity is not 4 KiB");
	if (env.n == MAX_PAGES)
		test_error(t, "more memory than the fixture keeps");
	for (at = LOW_FROM; !p && at < LOW_END; at += PAGE_SIZE)
		p = mem_pages_at(at, n);
	if (!p)
		test_error(t, "no %u pages between %llu and %llu MiB", n, LOW_FROM >> 20,
			   LOW_END >> 20);
	env.page[env.n] = p;
	env.count[env.n++] = n;
	return p;
}

uint32_t domain_of(const struct viommu *v, unsigned int k)
{
	const struct viommu_config *c = viommu_config(v);
	const uint32_t room = c->domain_end - c->domain_start;

	return c->domain_start + (room > DOMAIN_BASE + k ? DOMAIN_BASE + k : k);
}

uint64_t granule(const struct viommu *v)
{
	const uint64_t mask = viommu_config(v)->page_size_mask, low = mask & -mask;

	return low < PAGE_SIZE ? PAGE_SIZE : low;
}

static bool is_reserved(struct viommu *v, uint64_t from, uint64_t to)
{
	const size_t n = viommu_config(v)->probe_size;
	const struct viommu_resv_mem *r;
	struct endpoint e;
	size_t at = 0;

	if (!endpoint_get(NULL, v, 0, &e) || viommu_probe(v, e.id, env.resv) != VIOMMU_S_OK)
		return false;
	while ((r = viommu_resv_next(env.resv, n, &at)))
		if (le64_to_cpu(r->start) <= to && le64_to_cpu(r->end) >= from)
			return true;
	return false;
}

uint64_t iova_of(struct viommu *v, unsigned int k)
{
	const uint64_t g = granule(v), room = 64 * g;
	uint64_t from = (IOVA_FROM + g - 1) / g * g;
	unsigned int i;

	if (from < viommu_config(v)->input_start)
		from = (viommu_config(v)->input_start + g - 1) / g * g;
	for (i = 0; i < PLACES && is_reserved(v, from, from + room - 1); i++)
		from += room;
	return from + k * g;
}

/* --- endpoints --------------------------------------------------------------------------------------- */

/* An agent that writes what it has read gets the others' pattern, by a mapping of its own. */
static void load_pattern(struct test_ctx *t, struct endpoint *e)
{
	const uint32_t domain = domain_of(e->v, 31);
	const uint64_t iova = iova_of(e->v, 40);
	uint32_t i;

	if (!env.pattern) {
		env.pattern = iommu_pages(t, 1);
		for (i = 0; i < PAGE_SIZE; i++)
			env.pattern[i] = agent_pattern(i);
	}
	attach(t, e, domain);
	map(t, e->v, domain, iova, env.pattern, 1, RW);
	dma_load(t, e, iova, e->a->most);
	unmap(t, e->v, domain, iova, 1);
	detach(t, e, domain);
}

bool endpoint_get(struct test_ctx *t, struct viommu *v, unsigned int n, struct endpoint *e)
{
	struct viommu *by;
	struct agent *a;
	unsigned int i;
	uint32_t id;

	for (i = 0; (a = agent_get(i)); i++) {
		if (!viot_endpoint(&a->dev, &by, &id) || by != v || n--)
			continue;
		*e = (struct endpoint){ a, id, v };
		if (t && a->reads)
			load_pattern(t, e);
		return true;
	}
	return false;
}

struct endpoint endpoint_reader(struct test_ctx *t, struct viommu *v)
{
	struct endpoint e;
	unsigned int i;

	for (i = 0; endpoint_get(NULL, v, i, &e); i++)
		if (e.a->reads)
			return e;
	test_error(t, "no agent that reads");
}

void endpoint_two(struct test_ctx *t, struct viommu *v, struct endpoint e[2])
{
	unsigned int i, n = 0;

	/* Those that need no pattern are faster: they come first. */
	for (i = 0; n < 2 && endpoint_get(NULL, v, i, &e[n]); i++)
		n += !e[n].a->reads;
	for (i = 0; n < 2 && endpoint_get(NULL, v, i, &e[n]); i++) {
		if (e[n].a->reads)
			load_pattern(t, &e[n++]);
	}
	if (n < 2)
		test_error(t, "no two agents");
}

uint32_t endpoint_nobody(void)
{
	return 0xfffffff0; /* beyond each segment's ranges */
}

/* --- steps ------------------------------------------------------------------------------------------- */

void answers(struct test_ctx *t, int got, enum viommu_status want, enum strictness how,
	     const char *fmt, ...)
{
	char what[96];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (how != MUST && got != (int)want && (how == MAY || got > VIOMMU_S_OK)) {
		test_note(t, "%s: %s is recommended, the answer is %s", what,
			  viommu_status_name(want), viommu_status_name(got));
		return;
	}
	expect(t, got == (int)want, "%s: expected %s, the answer is %s", what,
	       viommu_status_name(want), viommu_status_name(got));
}

void attach(struct test_ctx *t, const struct endpoint *e, uint32_t domain)
{
	const int s = viommu_attach(e->v, domain, e->id, 0);

	require(t, s == VIOMMU_S_OK, "ATTACH of endpoint 0x%x to domain 0x%x: %s",
		(unsigned int)e->id, (unsigned int)domain, viommu_status_name(s));
}

void detach(struct test_ctx *t, const struct endpoint *e, uint32_t domain)
{
	const int s = viommu_detach(e->v, domain, e->id);

	require(t, s == VIOMMU_S_OK, "DETACH of endpoint 0x%x from domain 0x%x: %s",
		(unsigned int)e->id, (unsigned int)domain, viommu_status_name(s));
}

void map(struct test_ctx *t, struct viommu *v, uint32_t domain, uint64_t iova, const void *page,
	 unsigned int granules, uint32_t flags)
{
	const int s = viommu_map(v, domain, iova, iova + granules * granule(v) - 1,
				 virt_to_phys(page), flags);

	require(t, s == VIOMMU_S_OK, "MAP of 0x%llx in domain 0x%x: %s", (unsigned long long)iova,
		(unsigned int)domain, viommu_status_name(s));
}

void unmap(struct test_ctx *t, struct viommu *v, uint32_t domain, uint64_t iova,
	   unsigned int granules)
{
	const int s = viommu_unmap(v, domain, iova, iova + granules * granule(v) - 1);

	require(t, s == VIOMMU_S_OK, "UNMAP of 0x%llx in domain 0x%x: %s", (unsigned long long)iova,
		(unsigned int)domain, viommu_status_name(s));
}

static void transfer(struct test_ctx *t, const struct endpoint *e, uint64_t iova, uint32_t len,
		     int ret)
{
	if (ret)
		test_error(t, "%s %s: a transfer of %u bytes at 0x%llx: %s", e->a->dev.name,
			   e->a->kind, (unsigned int)len, (unsigned long long)iova, err_text(ret));
}

void dma_store(struct test_ctx *t, const struct endpoint *e, uint64_t iova, uint32_t len)
{
	transfer(t, e, iova, len, agent_store(e->a, iova, len));
}

void dma_load(struct test_ctx *t, const struct endpoint *e, uint64_t iova, uint32_t len)
{
	transfer(t, e, iova, len, agent_load(e->a, iova, len));
}

/* How many bytes of [from, to) are not `byte`. */
static uint32_t changed(const uint8_t *p, uint64_t from, uint64_t to, uint8_t byte)
{
	uint32_t n = 0;

	for (; from < to; from++)
		n += p[from] != byte;
	return n;
}

#define BACKGROUND 0xa5 /* no byte of the pattern */

/* The endpoint writes `len` bytes at iova; whether all of them, and no other of the pages, came to page + off. */
static bool dma_writes(struct test_ctx *t, const struct endpoint *e, uint64_t iova, uint8_t *page,
		       uint32_t off, uint32_t len)
{
	const uint32_t size = (uint32_t)((off + len + PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE);
	uint32_t i, wrong = 0;

	memset(page, BACKGROUND, size);
	dma_store(t, e, iova, len);
	for (i = 0; i < len; i++)
		wrong += page[off + i] != agent_pattern(i);
	return !wrong && !changed(page, 0, off, BACKGROUND) &&
	       !changed(page, off + len, size, BACKGROUND);
}

void dma_reaches(struct test_ctx *t, const struct endpoint *e, uint64_t iova, uint8_t *page,
		 uint32_t off, uint32_t len, const char *when)
{
	const bool ok = dma_writes(t, e, iova, page, off, len);

	expect(t, ok, "%s %s: %u bytes that it writes at 0x%llx are not where they belong %s",
	       e->a->dev.name, e->a->kind, (unsigned int)len, (unsigned long long)iova, when);
}

void dma_is_stopped(struct test_ctx *t, const struct endpoint *e, uint64_t iova, uint8_t *page,
		    unsigned int pages, const char *when)
{
	uint32_t n;

	memset(page, BACKGROUND, pages * PAGE_SIZE);
	dma_store(t, e, iova, 64);
	n = changed(page, 0, pages * PAGE_SIZE, BACKGROUND);
	expect(t, n == 0, "%s %s: a write at 0x%llx changes %u bytes of memory %s", e->a->dev.name,
	       e->a->kind, (unsigned long long)iova, (unsigned int)n, when);
}
