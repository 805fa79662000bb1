/* SPDX-License-Identifier: BSD-2-Clause */
#include "drivers/iommu/dma.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/iommu/iommu.h"
#include "lib/cmdline.h"
#include "lib/init.h"
#include "lib/mem.h"
#include "lib/spinlock.h"

OPTION("iommu",
       "on: virtio devices behind an IOMMU get an address space each, and need VIRTIO_F_ACCESS_PLATFORM");

#define MAX_SPACES   8u
#define SPACE_PAGES  16384u	  /* that can be mapped at a time */
#define SPACE_BASE   (1ull << 36) /* no RAM of a machine that this runs on */
#define DOMAIN_FIRST 0x700u	  /* where there are so many; iommu.* uses others */
#define READ_WRITE   (IOMMU_READ | IOMMU_WRITE)

struct space {
	struct iommu *m;
	uint32_t endpoint, domain;
	uint64_t base;
	unsigned int joined; /* in which epoch of the IOMMU */
	uint8_t taken[SPACE_PAGES];
	uint64_t mapped;
	spinlock_t lock;
};
static struct space *spaces[MAX_SPACES];
static unsigned int refused; /* atomic */

/* --- addresses ------------------------------------------------------------------------------------ */

static uint64_t pages_of(uint64_t offset, uint64_t len)
{
	return (offset + (len ? len : 1) + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

/* The lowest free pages; UINT64_MAX: there are none. */
static uint64_t take(struct space *s, uint64_t n)
{
	uint64_t i, run = 0, at = UINT64_MAX;

	spin_lock(&s->lock);
	for (i = 0; i < SPACE_PAGES && run < n; i++)
		run = s->taken[i] ? 0 : run + 1;
	if (run == n) {
		memset(s->taken + i - n, 1, n);
		s->mapped += n;
		at = s->base + ((i - n) << PAGE_SHIFT);
	}
	spin_unlock(&s->lock);
	return at;
}

static void give(struct space *s, uint64_t at, uint64_t n)
{
	spin_lock(&s->lock);
	memset(s->taken + ((at - s->base) >> PAGE_SHIFT), 0, n);
	s->mapped -= n;
	spin_unlock(&s->lock);
}

/* --- the back end --------------------------------------------------------------------------------- */

static uint32_t flags_of(enum dma_dir dir)
{
	return (dir & DMA_TO_DEVICE ? IOMMU_READ : 0u) | (dir & DMA_FROM_DEVICE ? IOMMU_WRITE : 0u);
}

/* Whole pages around len bytes at physical address phys. */
static int map_pages(struct space *s, uint64_t phys, size_t len, uint32_t flags, dma_addr_t *addr)
{
	const uint64_t offset = phys % PAGE_SIZE, n = pages_of(offset, len), at = take(s, n);

	if (at == UINT64_MAX)
		return -ENOMEM;
	if (s->m->ops->map(s->m, s->domain, at, at + (n << PAGE_SHIFT) - 1, phys - offset, flags)) {
		give(s, at, n);
		return -EIO;
	}
	*addr = at + offset;
	return 0;
}

/* A page that cannot be unmapped stays in reach of the device, so that its address is never given away again. */
static void unmap_pages(struct space *s, dma_addr_t addr, size_t len)
{
	const uint64_t offset = addr % PAGE_SIZE, at = addr - offset, n = pages_of(offset, len);

	/* The IOMMU has forgotten it, and so will join(). */
	if (s->joined != s->m->ops->epoch(s->m))
		return;
	if (at < s->base || at - s->base + (n << PAGE_SHIFT) > (uint64_t)SPACE_PAGES << PAGE_SHIFT)
		return;
	if (s->m->ops->unmap(s->m, s->domain, at, at + (n << PAGE_SHIFT) - 1) == 0)
		give(s, at, n);
	else
		__atomic_add_fetch(&refused, 1, __ATOMIC_RELAXED);
}

static int space_map(struct dma_layer *l, void *buf, size_t len, enum dma_dir dir, dma_addr_t *addr)
{
	dma_addr_t phys;
	int ret = l->lower->ops->map(l->lower, buf, len, dir, &phys);

	if (ret)
		return ret;
	ret = map_pages(l->priv, phys, len, flags_of(dir), addr);
	if (ret)
		l->lower->ops->unmap(l->lower, phys, buf, len, dir);
	return ret;
}

/* The back ends below address physical memory, where the buffer is itself. */
static void space_unmap(struct dma_layer *l, dma_addr_t addr, void *buf, size_t len,
			enum dma_dir dir)
{
	unmap_pages(l->priv, addr, len);
	l->lower->ops->unmap(l->lower, virt_to_phys(buf), buf, len, dir);
}

static void *space_alloc(struct dma_layer *l, size_t size, size_t align, dma_addr_t *addr)
{
	void *p = l->lower->ops->alloc(l->lower, size, align, addr);
	dma_addr_t phys;

	if (!p)
		return NULL;
	phys = *addr;
	if (map_pages(l->priv, phys, size, READ_WRITE, addr) == 0)
		return p;
	l->lower->ops->free(l->lower, p, size, phys);
	return NULL;
}

static void space_free(struct dma_layer *l, void *p, size_t size, dma_addr_t addr)
{
	unmap_pages(l->priv, addr, size);
	l->lower->ops->free(l->lower, p, size, virt_to_phys(p));
}

static void space_sync_for_cpu(struct dma_layer *l, dma_addr_t addr, void *buf, size_t len,
			       enum dma_dir dir)
{
	(void)addr;
	l->lower->ops->sync_for_cpu(l->lower, virt_to_phys(buf), buf, len, dir);
}

static void space_sync_for_device(struct dma_layer *l, dma_addr_t addr, void *buf, size_t len,
				  enum dma_dir dir)
{
	(void)addr;
	l->lower->ops->sync_for_device(l->lower, virt_to_phys(buf), buf, len, dir);
}

static const struct dma_ops space_ops = {
	.name = "iommu",
	.restricted = true,
	.alloc = space_alloc,
	.free = space_free,
	.map = space_map,
	.unmap = space_unmap,
	.sync_for_cpu = space_sync_for_cpu,
	.sync_for_device = space_sync_for_device,
};

/* --- which devices --------------------------------------------------------------------------------- */

/* An IOMMU with few domains has the last ones for this. */
static uint32_t domain_of(const struct iommu_limits *l, unsigned int i)
{
	return l->domain_first <= DOMAIN_FIRST && l->domain_last >= DOMAIN_FIRST + MAX_SPACES ?
		       DOMAIN_FIRST + i :
		       l->domain_last - i;
}

static struct space *space_of(struct iommu *m, uint32_t endpoint)
{
	struct space *s;
	unsigned int i;

	for (i = 0; i < MAX_SPACES && spaces[i]; i++)
		if (spaces[i]->m == m && spaces[i]->endpoint == endpoint)
			return spaces[i];
	s = i < MAX_SPACES ? calloc(1, sizeof(*s)) : NULL;
	if (!s)
		return NULL;
	*s = (struct space){
		.m = m,
		.endpoint = endpoint,
		.domain = domain_of(&m->limits, i),
		.base = SPACE_BASE,
	};
	spaces[i] = s;
	return s;
}

/* The IOMMU comes up with the first device behind it; nothing goes past it from then on. */
static int come_up(struct iommu *m)
{
	const uint64_t before = mem_free_bytes() + mem_kept_bytes();
	int ret;

	if (m->ops->epoch(m))
		return 0;
	m->ops->lasting(m);
	ret = m->ops->start(m);
	if (ret)
		return ret;
	/* What it works with stays; what it has marked itself counts once. */
	mem_keep((before - mem_free_bytes() - mem_kept_bytes()) >> PAGE_SHIFT);
	return 0;
}

/* Once for each start of the IOMMU: what is mapped stays while a device behind it starts anew. */
static int join(struct space *s)
{
	const unsigned int epoch = s->m->ops->epoch(s->m);
	int ret;

	if (s->joined == epoch)
		return 0;
	ret = s->m->ops->attach(s->m, s->domain, s->endpoint);
	if (ret)
		return ret;
	memset(s->taken, 0, sizeof(s->taken));
	s->mapped = 0;
	s->joined = epoch;
	return 0;
}

/* Pages of 4 KiB, the addresses of a space, and a domain for each. */
static bool fits(const struct iommu_limits *l)
{
	return l->page_sizes & PAGE_SIZE && l->first <= SPACE_BASE &&
	       l->last >= 2 * SPACE_BASE - 1 && l->domain_last >= l->domain_first &&
	       l->domain_last - l->domain_first >= MAX_SPACES - 1;
}

/* The IOMMU that the device is behind; it is none itself. */
static struct iommu *iommu_of(const struct device *d, uint32_t *endpoint)
{
	struct iommu *m;
	unsigned int i;

	for (i = 0; (m = iommu_get(i)); i++)
		if (m->ops->endpoint(m, d, endpoint))
			return m;
	return NULL;
}

static int attach(struct device *d)
{
	struct iommu *m;
	struct space *s;
	uint32_t endpoint;
	int ret;

	m = iommu_of(d, &endpoint);
	if (!m)
		return 0;
	ret = come_up(m);
	if (ret)
		return ret;
	if (!fits(&m->limits))
		return -ERANGE;
	s = space_of(m, endpoint);
	if (!s)
		return -ENOMEM;
	ret = join(s);
	return ret ? ret : dma_push(d, &space_ops, s);
}

bool iommu_space(const struct device *d, struct iommu_space_info *out)
{
	const struct space *s;
	unsigned int i;

	for (i = 0; i < d->dma_layers; i++) {
		if (d->dma[i].ops != &space_ops)
			continue;
		s = d->dma[i].priv;
		*out = (struct iommu_space_info){ s->m, s->endpoint, s->domain, s->mapped,
						  s->base + ((uint64_t)SPACE_PAGES << PAGE_SHIFT) };
		return true;
	}
	return false;
}

unsigned int iommu_unmaps_refused(void)
{
	return __atomic_load_n(&refused, __ATOMIC_RELAXED);
}

static void init(void)
{
	static struct device_policy policy = { .level = DEVICE_LEVEL_TRANSLATE, .attach = attach };

	if (cmdline_get_bool("iommu", false))
		device_policy_add(&policy);
}
INIT(iommu_dma, init);
