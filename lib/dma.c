/* SPDX-License-Identifier: BSD-2-Clause */
/* dma.h: the direct back end, and the dispatch to the others. */
#include "lib/dma.h"

#include <errno.h>

#include "lib/mem.h"

static struct {
	const struct dma_ops *ops;
	void *priv;
} dflt = { &dma_direct_ops, NULL };

static size_t pages_of(size_t size)
{
	return (size + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

static void *direct_alloc(struct dma_dev *d, size_t size, size_t align, dma_addr_t *addr)
{
	void *p = mem_pages(pages_of(size), align < PAGE_SIZE ? PAGE_SIZE : align);

	(void)d;
	*addr = virt_to_phys(p);
	return p;
}

static void direct_free(struct dma_dev *d, void *p, size_t size, dma_addr_t addr)
{
	(void)d;
	(void)addr;
	mem_pages_free(p, pages_of(size));
}

static int direct_map(struct dma_dev *d, void *buf, size_t len, enum dma_dir dir, dma_addr_t *addr)
{
	(void)d;
	(void)len;
	(void)dir;
	*addr = virt_to_phys(buf);
	return 0;
}

/* Coherent machine, identity mapping: nothing to do but the call. */
static void direct_nop(struct dma_dev *d, dma_addr_t addr, void *buf, size_t len, enum dma_dir dir)
{
	(void)d;
	(void)addr;
	(void)buf;
	(void)len;
	(void)dir;
}

const struct dma_ops dma_direct_ops = {
	.name = "direct",
	.alloc = direct_alloc,
	.free = direct_free,
	.map = direct_map,
	.unmap = direct_nop,
	.sync_for_cpu = direct_nop,
	.sync_for_device = direct_nop,
};

void dma_set_default(const struct dma_ops *ops, void *priv)
{
	dflt.ops = ops;
	dflt.priv = priv;
}

bool dma_restricted(void)
{
	return dflt.ops->restricted;
}

void dma_dev_init(struct dma_dev *d)
{
	d->ops = dflt.ops;
	d->priv = dflt.priv;
	d->lower = NULL;
}

void *dma_alloc(struct dma_dev *d, size_t size, size_t align, dma_addr_t *addr)
{
	return d->ops->alloc(d, size, align, addr);
}

void dma_free(struct dma_dev *d, void *p, size_t size, dma_addr_t addr)
{
	if (p)
		d->ops->free(d, p, size, addr);
}

int dma_map(struct dma_dev *d, void *buf, size_t len, enum dma_dir dir, dma_addr_t *addr)
{
	if (!buf && len)
		return -EINVAL;
	return d->ops->map(d, buf, len, dir, addr);
}

void dma_unmap(struct dma_dev *d, dma_addr_t addr, void *buf, size_t len, enum dma_dir dir)
{
	d->ops->unmap(d, addr, buf, len, dir);
}

void dma_sync_for_cpu(struct dma_dev *d, dma_addr_t addr, void *buf, size_t len, enum dma_dir dir)
{
	d->ops->sync_for_cpu(d, addr, buf, len, dir);
}

void dma_sync_for_device(struct dma_dev *d, dma_addr_t addr, void *buf, size_t len,
			 enum dma_dir dir)
{
	d->ops->sync_for_device(d, addr, buf, len, dir);
}
