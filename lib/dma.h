/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All memory that a device sees goes through here. Each device has a stack of back ends (lib/device.h): at the
 * bottom lies the direct one (an address is a physical address), on it one that translates (an IOMMU), on that one
 * that copies (the bounce pool of a protected guest). A call reaches the top; a back end asks the one below it
 * (`lower`) for the address of the memory that it hands down.
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

struct device;
struct dma_layer;

struct dma_ops {
	const char *name;
	/* A device must come through here: VIRTIO_F_ACCESS_PLATFORM is required. */
	bool restricted;
	/* Zeroed memory that both sides use at the same time (rings). NULL: none. */
	void *(*alloc)(struct dma_layer *l, size_t size, size_t align, dma_addr_t *addr);
	void (*free)(struct dma_layer *l, void *p, size_t size, dma_addr_t addr);
	/* A buffer for the time of one transfer; what the CPU wrote is visible. 0, -ENOMEM, -EINVAL. */
	int (*map)(struct dma_layer *l, void *buf, size_t len, enum dma_dir dir, dma_addr_t *addr);
	void (*unmap)(struct dma_layer *l, dma_addr_t addr, void *buf, size_t len,
		      enum dma_dir dir);
	/* Makes what the other side wrote visible, while mapped. */
	void (*sync_for_cpu)(struct dma_layer *l, dma_addr_t addr, void *buf, size_t len,
			     enum dma_dir dir);
	void (*sync_for_device)(struct dma_layer *l, dma_addr_t addr, void *buf, size_t len,
				enum dma_dir dir);
};

/* One back end of one device. */
struct dma_layer {
	const struct dma_ops *ops;
	void *priv; /* of the back end */
	struct device *dev;
	struct dma_layer *lower; /* NULL: this is the lowest */
};

#define DMA_MAX_LAYERS 3

extern const struct dma_ops dma_direct_ops;

/* Puts a back end on top of the device's stack; policies call it from device_attach(). -ENOSPC: too many. */
int dma_push(struct device *d, const struct dma_ops *ops, void *priv);

/* Whether the device cannot reach all memory, and has to go through a back end. */
bool dma_restricted(const struct device *d);

void *dma_alloc(struct device *d, size_t size, size_t align, dma_addr_t *addr);
void dma_free(struct device *d, void *p, size_t size, dma_addr_t addr);
int dma_map(struct device *d, void *buf, size_t len, enum dma_dir dir, dma_addr_t *addr);
void dma_unmap(struct device *d, dma_addr_t addr, void *buf, size_t len, enum dma_dir dir);
void dma_sync_for_cpu(struct device *d, dma_addr_t addr, void *buf, size_t len, enum dma_dir dir);
void dma_sync_for_device(struct device *d, dma_addr_t addr, void *buf, size_t len,
			 enum dma_dir dir);

#endif
