/* SPDX-License-Identifier: BSD-2-Clause */
/* dma.h: the direct back end, and the way into a device's stack of back ends. */
#include "lib/dma.h"

#include <errno.h>

#include "lib/device.h"
#include "lib/mem.h"

static size_t pages_of(size_t size)
{
	return (size + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

static void *direct_alloc(struct dma_layer *l, size_t size, size_t align, dma_addr_t *addr)
{
	void *p = mem_pages(pages_of(size), align < PAGE_SIZE ? PAGE_SIZE : align);

	(void)l;
	*addr = virt_to_phys(p);
	return p;
}

static void direct_free(struct dma_layer *l, void *p, size_t size, dma_addr_t addr)
{
	(void)l;
	(void)addr;
	mem_pages_free(p, pages_of(size));
}

static int direct_map(struct dma_layer *l, void *buf, size_t len, enum dma_dir dir,
		      dma_addr_t *addr)
{
	(void)l;
	(void)len;
	(void)dir;
	*addr = virt_to_phys(buf);
	return 0;
}

/* The machine is coherent and memory is mapped at its physical address, so that there is nothing to do. */
static void direct_nop(struct dma_layer *l, dma_addr_t addr, void *buf, size_t len,
		       enum dma_dir dir)
{
	(void)l;
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

int dma_push(struct device *d, const struct dma_ops *ops, void *priv)
{
	struct dma_layer *l = &d->dma[d->dma_layers];

	if (d->dma_layers == DMA_MAX_LAYERS)
		return -ENOSPC;
	l->ops = ops;
	l->priv = priv;
	l->dev = d;
	l->lower = d->dma_layers ? l - 1 : NULL;
	d->dma_layers++;
	return 0;
}

static struct dma_layer *top(struct device *d)
{
	return &d->dma[d->dma_layers - 1];
}

bool dma_restricted(const struct device *d)
{
	unsigned int i;

	for (i = 0; i < d->dma_layers; i++)
		if (d->dma[i].ops->restricted)
			return true;
	return false;
}

void *dma_alloc(struct device *d, size_t size, size_t align, dma_addr_t *addr)
{
	return top(d)->ops->alloc(top(d), size, align, addr);
}

void dma_free(struct device *d, void *p, size_t size, dma_addr_t addr)
{
	if (p)
		top(d)->ops->free(top(d), p, size, addr);
}

int dma_map(struct device *d, void *buf, size_t len, enum dma_dir dir, dma_addr_t *addr)
{
	if (!buf && len)
		return -EINVAL;
	return top(d)->ops->map(top(d), buf, len, dir, addr);
}

void dma_unmap(struct device *d, dma_addr_t addr, void *buf, size_t len, enum dma_dir dir)
{
	top(d)->ops->unmap(top(d), addr, buf, len, dir);
}

void dma_sync_for_cpu(struct device *d, dma_addr_t addr, void *buf, size_t len, enum dma_dir dir)
{
	top(d)->ops->sync_for_cpu(top(d), addr, buf, len, dir);
}

void dma_sync_for_device(struct device *d, dma_addr_t addr, void *buf, size_t len, enum dma_dir dir)
{
	top(d)->ops->sync_for_device(top(d), addr, buf, len, dir);
}
