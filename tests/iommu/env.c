/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/iommu/env.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "drivers/virtio/iommu_ops.h"
#include "lib/errname.h"

#define LOW_FROM    (32ull << 20)
#define LOW_END	    (192ull << 20) /* within every agent's reach */
#define IOVA_FROM   (200ull << 20) /* so are these, and no page of LOW_* has such an address */
#define FOUR_GIB    (1ull << 32)
#define MAX_PAGES   32u
#define DOMAIN_BASE 0x40u
/* Behind the tests' own: who leaves each domain passes through the one, the pattern comes through the other. */
#define DOMAIN_LEFT    TEST_DOMAINS
#define DOMAIN_PATTERN (TEST_DOMAINS + 1)
#define PLACES	       64u /* that are looked at for one without a reserved region */

#define WANTED (NEED_ENDPOINT | NEED_ENDPOINTS | NEED_READER)

static struct {
	struct iommu *m;
	void *page[MAX_PAGES];
	unsigned int count[MAX_PAGES], n;
	uint8_t *pattern; /* what agents that read are loaded with */
} env;

/* Of the test that runs on each IOMMU. */
static struct {
	unsigned int tried, lacking;
	char first[128];
} each;

/* --- needs --------------------------------------------------------------------------------------- */

static bool has_iommu(char *why, size_t size)
{
	snprintf(why, size, "no virtio-iommu on PCI or MMIO, and no VT-d in ACPI's DMAR");
	return iommu_get(0) != NULL;
}
NEED(iommu, NEED_IOMMU, "IOMMU", has_iommu);

static bool has_viommu(char *why, size_t size)
{
	snprintf(why, size, "no virtio-iommu on PCI or MMIO");
	return viommu_get(0) != NULL;
}
NEED(viommu, NEED_VIOMMU, "virtio-iommu", has_viommu);

/* Whether the IOMMU sees another one in the k-th agent than in those before it: behind one bridge they may be one. */
static bool is_new(struct iommu *m, unsigned int k, uint32_t id)
{
	uint32_t other;
	unsigned int i;

	for (i = 0; i < k; i++)
		if (m->ops->endpoint(m, &agent_get(i)->dev, &other) && other == id)
			return false;
	return true;
}

/* The n-th endpoint behind the IOMMU, NULL past the last. */
static struct agent *agent_behind(struct iommu *m, unsigned int n, uint32_t *id)
{
	struct agent *a;
	unsigned int i;

	for (i = 0; (a = agent_get(i)); i++)
		if (m->ops->endpoint(m, &a->dev, id) && is_new(m, i, *id) && n-- == 0)
			return a;
	return NULL;
}

/* Endpoints of the IOMMU; how many of them read. */
static unsigned int count_endpoints(struct iommu *m, unsigned int *readers)
{
	const struct agent *a;
	unsigned int n;
	uint32_t id;

	*readers = 0;
	for (n = 0; (a = agent_behind(m, n, &id)); n++)
		*readers += a->reads;
	return n;
}

static bool has_enough(struct iommu *m, uint64_t needs)
{
	unsigned int readers;
	const unsigned int n = count_endpoints(m, &readers);

	return n >= (needs & NEED_ENDPOINTS ? 2u :
		     needs & WANTED	    ? 1u :
					      0u) &&
	       (readers || !(needs & NEED_READER));
}

static bool any_has_enough(uint64_t needs)
{
	struct iommu *m;
	unsigned int i;

	for (i = 0; (m = iommu_get(i)); i++)
		if (has_enough(m, needs))
			return true;
	return false;
}

static bool has_endpoint(char *why, size_t size)
{
	snprintf(why, size,
		 "no DMA agent (edu, iommu-testdev) behind an IOMMU by the VIOT or the DMAR");
	return any_has_enough(NEED_ENDPOINT);
}
NEED(endpoint, NEED_ENDPOINT, "endpoint", has_endpoint);

static bool has_endpoints(char *why, size_t size)
{
	snprintf(why, size,
		 "no two DMA agents (edu, iommu-testdev) behind one IOMMU by the VIOT or the DMAR");
	return any_has_enough(NEED_ENDPOINTS);
}
NEED(endpoints, NEED_ENDPOINTS, "two endpoints", has_endpoints);

static bool has_reader(char *why, size_t size)
{
	snprintf(why, size,
		 "no DMA agent that reads (edu) behind an IOMMU by the VIOT or the DMAR");
	return any_has_enough(NEED_READER);
}
NEED(reader, NEED_READER, "endpoint that reads", has_reader);

/* --- fixture --------------------------------------------------------------------------------------- */

/*
 * A device may keep what was attached over its reset (iommu.dma.device_reset says so). ATTACH to another domain ends that,
 * and DETACH ends the new one.
 */
static void detach_all(void)
{
	const struct iommu_ops *ops = env.m->ops;
	const uint32_t domain = domain_of(DOMAIN_LEFT);
	struct endpoint e;
	unsigned int i;

	for (i = 0; endpoint_get(NULL, i, &e); i++) {
		if (ops->attach(env.m, domain, e.id) == 0)
			(void)ops->detach(env.m, domain, e.id);
	}
}

static void give_back(void)
{
	unsigned int i;

	if (env.m) {
		if (env.m->ops->start(env.m) == 0)
			detach_all();
		env.m->ops->stop(env.m);
	}
	env.m = NULL;
	for (i = 0; i < env.n; i++)
		mem_pages_free(env.page[i], env.count[i]);
	env.n = 0;
	env.pattern = NULL;
}
FIXTURE(iommu, .suite = "iommu.", .teardown = give_back);

void iommu_up(struct test_ctx *t, struct iommu *m)
{
	int ret;

	m->error = "";
	env.m = m;
	ret = m->ops->start(m);
	if (ret)
		test_error(t, "%s: %s (%s)", m->name, m->error, err_text(ret));
}

struct iommu *iommu_now(void)
{
	return env.m;
}

struct viommu *viommu_up(struct test_ctx *t)
{
	struct viommu *v = viommu_get(0);
	struct iommu *m = v ? viommu_iommu(v) : NULL;

	if (!m)
		test_error(t, "no memory for the driver");
	iommu_up(t, m);
	return v;
}

/* What no test of DMA can do without, or NULL. */
static const char *unfit(void)
{
	const struct iommu_limits *l = &env.m->limits;

	if (granule() != PAGE_SIZE)
		return "the page granularity is not 4 KiB";
	if (l->domain_last < l->domain_first || l->domain_last - l->domain_first < DOMAIN_PATTERN)
		return "there are too few domains";
	return NULL;
}

void iommu_lacks(struct test_ctx *t, const char *fmt, ...)
{
	char why[sizeof(each.first)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	if (!each.lacking++)
		snprintf(each.first, sizeof(each.first), "%s: %s", env.m->name, why);
	test_note(t, "not on %s: %s", env.m->name, why);
}

static void on_one_iommu(struct test_ctx *t, struct iommu *m, void (*body)(struct test_ctx *t))
{
	give_back();
	iommu_up(t, m);
	each.tried++;
	if (unfit())
		iommu_lacks(t, "%s", unfit());
	else
		body(t);
}

void on_each_iommu(struct test_ctx *t, void (*body)(struct test_ctx *t))
{
	struct iommu *m;
	unsigned int i;

	memset(&each, 0, sizeof(each));
	for (i = 0; (m = iommu_get(i)); i++)
		if (has_enough(m, test_self(t)->needs))
			on_one_iommu(t, m, body);
	if (each.tried && each.lacking == each.tried)
		test_skip(t, "%s", each.first);
}

static void give_behind(struct test_ctx *t, void *p, unsigned int n)
{
	if (env.n == MAX_PAGES) {
		mem_pages_free(p, n);
		test_error(t, "more memory than the fixture keeps");
	}
	env.page[env.n] = p;
	env.count[env.n++] = n;
}

bool iommu_high_page(struct test_ctx *t, uint8_t **high, uint8_t **below)
{
	uint64_t at;

	for (at = LOW_FROM; at < LOW_END; at += PAGE_SIZE) {
		*high = mem_pages_at(FOUR_GIB + at, 1);
		*below = *high ? mem_pages_at(at, 1) : NULL;
		if (*below)
			break;
		if (*high)
			mem_pages_free(*high, 1);
	}
	if (at == LOW_END)
		return false;
	give_behind(t, *high, 1);
	give_behind(t, *below, 1);
	return true;
}

uint8_t *iommu_pages(struct test_ctx *t, unsigned int n)
{
	uint64_t at;
	void *p = NULL;

	if (unfit())
		test_skip(t, "%s", unfit());
	for (at = LOW_FROM; !p && at < LOW_END; at += PAGE_SIZE)
		p = mem_pages_at(at, n);
	if (!p)
		test_error(t, "no %u pages between %llu and %llu MiB", n, LOW_FROM >> 20,
			   LOW_END >> 20);
	give_behind(t, p, n);
	return p;
}

uint32_t domain_of(unsigned int k)
{
	const struct iommu_limits *l = &env.m->limits;
	const uint32_t room = l->domain_last - l->domain_first;

	return l->domain_first + (room > DOMAIN_BASE + k ? DOMAIN_BASE + k : k);
}

uint64_t granule(void)
{
	const uint64_t mask = env.m->limits.page_sizes, low = mask & -mask;

	return low < PAGE_SIZE ? PAGE_SIZE : low;
}

static bool is_reserved(uint64_t from, uint64_t to)
{
	struct endpoint e;

	return endpoint_get(NULL, 0, &e) && env.m->ops->reserved(env.m, e.id, from, to);
}

uint64_t iova_of(unsigned int k)
{
	const uint64_t g = granule(), room = 64 * g;
	uint64_t from = (IOVA_FROM + g - 1) / g * g;
	unsigned int i;

	if (from < env.m->limits.first)
		from = (env.m->limits.first + g - 1) / g * g;
	for (i = 0; i < PLACES && is_reserved(from, from + room - 1); i++)
		from += room;
	return from + k * g;
}

/* --- endpoints --------------------------------------------------------------------------------------- */

/* An agent that writes what it has read gets the others' pattern, by a mapping of its own. */
static void load_pattern(struct test_ctx *t, struct endpoint *e)
{
	const uint32_t domain = domain_of(DOMAIN_PATTERN);
	const uint64_t iova = iova_of(40);
	uint32_t i;

	if (!env.pattern) {
		env.pattern = iommu_pages(t, 1);
		for (i = 0; i < PAGE_SIZE; i++)
			env.pattern[i] = agent_pattern(i);
	}
	attach(t, e, domain);
	map(t, domain, iova, env.pattern, 1, RW);
	dma_load(t, e, iova, e->a->most);
	unmap(t, domain, iova, 1);
	detach(t, e, domain);
}

bool endpoint_get(struct test_ctx *t, unsigned int n, struct endpoint *e)
{
	uint32_t id;
	struct agent *a = agent_behind(env.m, n, &id);

	if (!a)
		return false;
	*e = (struct endpoint){ a, id };
	if (t && a->reads)
		load_pattern(t, e);
	return true;
}

struct endpoint endpoint_reader(struct test_ctx *t)
{
	struct endpoint e;
	unsigned int i;

	for (i = 0; endpoint_get(NULL, i, &e); i++)
		if (e.a->reads)
			return e;
	test_error(t, "no agent that reads");
}

void endpoint_two(struct test_ctx *t, struct endpoint e[2])
{
	unsigned int i, n = 0;

	/* Those that need no pattern are faster: they come first. */
	for (i = 0; n < 2 && endpoint_get(NULL, i, &e[n]); i++)
		n += !e[n].a->reads;
	for (i = 0; n < 2 && endpoint_get(NULL, i, &e[n]); i++) {
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

static void done(struct test_ctx *t, int ret, const char *what, uint64_t which, uint32_t domain)
{
	require(t, ret == 0, "%s: %s 0x%llx, domain 0x%x: %s", env.m->name, what,
		(unsigned long long)which, (unsigned int)domain, err_text(ret));
}

void attach(struct test_ctx *t, const struct endpoint *e, uint32_t domain)
{
	done(t, env.m->ops->attach(env.m, domain, e->id), "attaching endpoint", e->id, domain);
}

void detach(struct test_ctx *t, const struct endpoint *e, uint32_t domain)
{
	done(t, env.m->ops->detach(env.m, domain, e->id), "detaching endpoint", e->id, domain);
}

void map(struct test_ctx *t, uint32_t domain, uint64_t iova, const void *page,
	 unsigned int granules, uint32_t flags)
{
	done(t,
	     env.m->ops->map(env.m, domain, iova, iova + granules * granule() - 1,
			     virt_to_phys(page), flags),
	     "mapping", iova, domain);
}

void unmap(struct test_ctx *t, uint32_t domain, uint64_t iova, unsigned int granules)
{
	done(t, env.m->ops->unmap(env.m, domain, iova, iova + granules * granule() - 1),
	     "unmapping", iova, domain);
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

bool dma_is_stopped(struct test_ctx *t, const struct endpoint *e, uint64_t iova, uint8_t *page,
		    unsigned int pages, const char *when)
{
	uint32_t n;

	memset(page, BACKGROUND, pages * PAGE_SIZE);
	dma_store(t, e, iova, 64);
	n = changed(page, 0, pages * PAGE_SIZE, BACKGROUND);
	expect(t, n == 0, "%s %s: a write at 0x%llx changes %u bytes of memory %s", e->a->dev.name,
	       e->a->kind, (unsigned long long)iova, (unsigned int)n, when);
	return n == 0;
}
