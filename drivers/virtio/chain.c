/* SPDX-License-Identifier: BSD-2-Clause */
#include "drivers/virtio/chain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/virtio/split.h"

/* Segments that a chain's own room in the pools takes; longer chains get memory of their own. */
#define POOL_SEGS 4

int chains_init(struct chains *c, struct device *dev, uint16_t size, bool tables)
{
	c->dev = dev;
	c->size = size;
	c->chain = calloc(size, sizeof(*c->chain));
	c->seg_pool = calloc((size_t)size * POOL_SEGS, sizeof(*c->seg_pool));
	if (!c->chain || !c->seg_pool)
		return -ENOMEM;
	if (!tables)
		return 0;
	c->table_pool_size = size * POOL_SEGS * (size_t)CHAIN_ENTRY;
	c->table_pool = dma_alloc(dev, c->table_pool_size, 64, &c->table_pool_addr);
	return c->table_pool ? 0 : -ENOMEM;
}

void chains_free(struct chains *c)
{
	unsigned int i;

	for (i = 0; c->chain && i < c->size; i++)
		if (c->chain[i].token)
			chain_release(c, (uint16_t)i, 0);
	if (c->table_pool)
		dma_free(c->dev, c->table_pool, c->table_pool_size, c->table_pool_addr);
	free(c->chain);
	free(c->seg_pool);
}

static int map_segs(struct chains *c, struct chain *ch, const struct vq_seg *seg, unsigned int n,
		    enum dma_dir dir)
{
	unsigned int i;
	int ret;

	for (i = 0; i < n; i++) {
		struct chain_seg *s = &ch->seg[ch->segs];

		*s = (struct chain_seg){ .buf = seg[i].buf, .len = seg[i].len, .dir = dir };
		ret = dma_map(c->dev, s->buf, s->len, dir, &s->addr);
		if (ret)
			return ret;
		ch->segs++;
		if (dir == DMA_FROM_DEVICE)
			ch->writable = ch->writable + s->len < ch->writable ? UINT32_MAX :
									      ch->writable + s->len;
	}
	return 0;
}

int chain_map(struct chains *c, uint16_t id, const struct vq_seg *out, unsigned int n_out,
	      const struct vq_seg *in, unsigned int n_in)
{
	const unsigned int n = n_out + n_in;
	struct chain *ch = &c->chain[id];
	int ret;

	ch->seg = n <= POOL_SEGS ? &c->seg_pool[id * POOL_SEGS] : calloc(n, sizeof(*ch->seg));
	if (!ch->seg)
		return -ENOMEM;
	/* 2.7.4.2, 2.8.17: writable ones after all readable ones. */
	ret = map_segs(c, ch, out, n_out, DMA_TO_DEVICE);
	return ret ? ret : map_segs(c, ch, in, n_in, DMA_FROM_DEVICE);
}

void *chain_table(struct chains *c, uint16_t id, dma_addr_t *addr)
{
	struct chain *ch = &c->chain[id];

	if (ch->segs <= POOL_SEGS) {
		*addr = c->table_pool_addr + id * POOL_SEGS * CHAIN_ENTRY;
		return c->table_pool + id * POOL_SEGS * CHAIN_ENTRY;
	}
	ch->table = dma_alloc(c->dev, ch->segs * CHAIN_ENTRY, 16, &ch->table_addr);
	*addr = ch->table_addr;
	return ch->table;
}

/* The bytes written count from the first writable segment on. */
static void unmap_segs(struct chains *c, struct chain *ch, uint32_t written)
{
	unsigned int i;

	for (i = 0; i < ch->segs; i++) {
		struct chain_seg *s = &ch->seg[i];

		if (s->dir == DMA_FROM_DEVICE) {
			const uint32_t n = written < s->len ? written : s->len;

			dma_sync_for_cpu(c->dev, s->addr, s->buf, n, s->dir);
			written -= n;
		}
		dma_unmap(c->dev, s->addr, s->buf, s->len, s->dir);
	}
}

void chain_release(struct chains *c, uint16_t id, uint32_t written)
{
	struct chain *ch = &c->chain[id];

	unmap_segs(c, ch, written);
	if (ch->seg != &c->seg_pool[id * POOL_SEGS])
		free(ch->seg);
	if (ch->table)
		dma_free(c->dev, ch->table, ch->segs * CHAIN_ENTRY, ch->table_addr);
	memset(ch, 0, sizeof(*ch));
}

uint16_t chain_flags(const struct chain *c, unsigned int i)
{
	return (uint16_t)((c->seg[i].dir == DMA_FROM_DEVICE ? VRING_DESC_F_WRITE : 0) |
			  (i + 1 < c->segs ? VRING_DESC_F_NEXT : 0));
}
