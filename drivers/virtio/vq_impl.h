/* SPDX-License-Identifier: BSD-2-Clause */
/* What split.c and packed.c give to vq.c. */
#ifndef DRIVERS_VIRTIO_VQ_IMPL_H
#define DRIVERS_VIRTIO_VQ_IMPL_H

#include "drivers/virtio/virtqueue.h"

/* The raw door (virtqueue.h). The staged descriptors are in struct virtqueue. */
struct vq_raw_ops {
	void (*post)(struct virtqueue *vq, const uint16_t *heads, unsigned int n);
	unsigned int (*used_count)(struct virtqueue *vq);
	void (*used)(struct virtqueue *vq, unsigned int k, uint32_t *id, uint32_t *len);
	void (*take)(struct virtqueue *vq, unsigned int n);
	int (*want_nth)(struct virtqueue *vq, uint16_t n);
	void (*entry)(void *table, uint16_t i, const struct vq_raw_desc *d);
};

struct vq_ops {
	const char *name;
	void (*destroy)(struct virtqueue *vq);
	int (*add)(struct virtqueue *vq, const struct vq_seg *out, unsigned int n_out,
		   const struct vq_seg *in, unsigned int n_in, void *token);
	/* Full barrier, then whether the device wants to be told about what was added since the last call. */
	bool (*kick_needed)(struct virtqueue *vq);
	/* The high half of a notification with NOTIFICATION_DATA. */
	uint16_t (*next_off)(const struct virtqueue *vq);
	int (*get)(struct virtqueue *vq, void **token, uint32_t *len);
	bool (*pending)(struct virtqueue *vq);
	bool (*interrupts)(struct virtqueue *vq, bool on);
	uint16_t (*free_count)(const struct virtqueue *vq);
	uint16_t (*in_flight)(const struct virtqueue *vq);
	const struct vq_raw_ops *raw;
	/*
	 * What the device used and nobody took, without taking it: whether each is a buffer of the
	 * driver's, once, with no more bytes than it has. 0, or vq_break()'s. NULL: not looked at.
	 */
	int (*audit)(struct virtqueue *vq);
};

/* The parts of a virtqueue (2.6). */
enum {
	VQ_DESC,
	VQ_DRIVER,
	VQ_DEVICE,
	VQ_AREAS
};

struct vq_area {
	uint8_t *at;
	dma_addr_t addr;
	/* The memory that it lies in. mem is NULL where that is an earlier area's. */
	void *mem;
	size_t size;
	dma_addr_t mem_addr;
};

struct virtqueue {
	const struct vq_ops *ops;
	struct virtio_device *dev;
	uint16_t index, size;
	bool broken;
	bool raw;      /* a test went through the raw door: what comes of it is its own matter */
	bool unwanted; /* the driver asked for no notifications */
	struct vq_raw_desc *staged; /* size of them; NULL: none yet */
	struct vq_area area[VQ_AREAS];
	char error[128];
};

/* NULL: no memory. */
struct virtqueue *split_create(struct virtio_device *d, uint16_t index, uint16_t size);
struct virtqueue *packed_create(struct virtio_device *d, uint16_t index, uint16_t size);

/*
 * Memory for all areas, of these sizes and alignments (powers of two), in bytes, placed as virtio_device.place says. false:
 * there is none; what was taken so far is vq_areas_free()'s.
 */
bool vq_areas_alloc(struct virtqueue *vq, const size_t size[VQ_AREAS],
		    const size_t align[VQ_AREAS]);
void vq_areas_free(struct virtqueue *vq);

/* Marks the queue broken, once, with the reason; returns -EPROTO. */
int vq_break(struct virtqueue *vq, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* After the device's reset: looks at what it used and nobody took. */
void vq_audit(struct virtqueue *vq);
/* Tells virtio_watch()'s function. */
void virtio_tell(struct virtio_device *d, const char *what);

#endif
