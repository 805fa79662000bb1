/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a driver keeps of the buffers that a device has, by their ids; the same for each ring layout. All of it is
 * private memory but the indirect tables, whose entries have 16 bytes in each layout.
 */
#ifndef DRIVERS_VIRTIO_CHAIN_H
#define DRIVERS_VIRTIO_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "drivers/virtio/virtqueue.h"

#define CHAIN_ENTRY 16u /* bytes of a table's entry */

struct chain_seg { /* one segment while the device has it */
	dma_addr_t addr;
	void *buf;
	uint32_t len;
	enum dma_dir dir;
};

struct chain {		       /* of one id */
	void *token;	       /* NULL: not posted */
	struct chain_seg *seg; /* the pool's, or allocated */
	uint32_t segs;
	uint32_t writable; /* bytes, saturating */
	uint16_t descs;	   /* taken from the ring: 1 with an indirect table */
	bool audited;	   /* the layout's audit saw it used */
	/* An indirect table too long for the pool. */
	void *table;
	dma_addr_t table_addr;
};

struct chains {
	struct device *dev;
	uint16_t size; /* ids */
	struct chain *chain;
	struct chain_seg *seg_pool;
	uint8_t *table_pool; /* with INDIRECT_DESC, else NULL */
	size_t table_pool_size;
	dma_addr_t table_pool_addr;
};

/* 0, -ENOMEM; chains_free() is due in any case. */
int chains_init(struct chains *c, struct device *dev, uint16_t size, bool tables);
/* Unmaps what is still posted. */
void chains_free(struct chains *c);
/* Maps the segments of a buffer, readable ones first. 0, -ENOMEM, what dma_map() says; then chain_release() is due. */
int chain_map(struct chains *c, uint16_t id, const struct vq_seg *out, unsigned int n_out,
	      const struct vq_seg *in, unsigned int n_in);
/* Where the chain's segments may be described; NULL: no memory. */
void *chain_table(struct chains *c, uint16_t id, dma_addr_t *addr);
/* Gives back what it holds but its descriptors. written: bytes that the device says it wrote. */
void chain_release(struct chains *c, uint16_t id, uint32_t written);
/* NEXT and WRITE as the i-th segment's descriptor has them; the bits are the same in each layout. */
uint16_t chain_flags(const struct chain *c, unsigned int i);

/* A buffer that the device has. */
static inline bool chain_posted(const struct chains *c, uint32_t id)
{
	return id < c->size && c->chain[id].token;
}

#endif
