/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All memory that a device sees goes through here. A back end is chosen per
 * device: direct (address = physical), bounce (shared pool of a protected
 * guest), IOMMU; they stack by forwarding to a lower dma_dev.
 */
#ifndef LIB_DMA_H
#define LIB_DMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t dma_addr_t;

enum dma_dir {
	DMA_TO_DEVICE = 1,   /* the device reads */
	DMA_FROM_DEVICE = 2, /* the device writes */
	DMA_BOTH = 3,
};

struct dma_dev;

struct dma_ops {
	const char *name;
	/* A device must come through here: VIRTIO_F_ACCESS_PLATFORM is required. */
	bool restricted;
	/* Zeroed memory that both sides use at the same time (rings). NULL: none. */
	void *(*alloc)(struct dma_dev *d, size_t size, size_t align, dma_addr_t *addr);
	void (*free)(struct dma_dev *d, void *p, size_t size, dma_addr_t addr);
	/* A buffer for the time of one transfer; what the CPU wrote is visible. 0, -ENOMEM, -EINVAL. */
	int (*map)(struct dma_dev *d, void *buf, size_t len, enum dma_dir dir, dma_addr_t *addr);
	void (*unmap)(struct dma_dev *d, dma_addr_t addr, void *buf, size_t len, enum dma_dir dir);
	/* Makes what the other side wrote visible, while mapped. */
	void (*sync_for_cpu)(struct dma_dev *d, dma_addr_t addr, void *buf, size_t len,
			     enum dma_dir dir);
	void (*sync_for_device)(struct dma_dev *d, dma_addr_t addr, void *buf, size_t len,
				enum dma_dir dir);
};

struct dma_dev {
	const struct dma_ops *ops;
	void *priv;
	struct dma_dev *lower; /* next back end of a stack, or NULL */
};

extern const struct dma_ops dma_direct_ops;

/* Sets d to the back end that new devices get now (direct at first). */
void dma_dev_init(struct dma_dev *d);
/* What dma_dev_init() gives from now on; kvmpv/bounce.c and the IOMMU driver call it. */
void dma_set_default(const struct dma_ops *ops, void *priv);

/* New devices cannot reach all memory: they have to go through a back end that says so. */
bool dma_restricted(void);

void *dma_alloc(struct dma_dev *d, size_t size, size_t align, dma_addr_t *addr);
void dma_free(struct dma_dev *d, void *p, size_t size, dma_addr_t addr);
int dma_map(struct dma_dev *d, void *buf, size_t len, enum dma_dir dir, dma_addr_t *addr);
void dma_unmap(struct dma_dev *d, dma_addr_t addr, void *buf, size_t len, enum dma_dir dir);
void dma_sync_for_cpu(struct dma_dev *d, dma_addr_t addr, void *buf, size_t len, enum dma_dir dir);
void dma_sync_for_device(struct dma_dev *d, dma_addr_t addr, void *buf, size_t len,
			 enum dma_dir dir);

#endif
