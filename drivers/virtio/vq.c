/* SPDX-License-Identifier: BSD-2-Clause */
/* virtqueue.h: the dispatch to the layouts. */
#include "drivers/virtio/virtqueue.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "drivers/virtio/vq_impl.h"

struct virtqueue *vq_create(struct virtio_device *d, uint16_t index, uint16_t size)
{
	return virtio_has(d, VIRTIO_F_RING_PACKED) ? packed_create(d, index, size) :
						     split_create(d, index, size);
}

void vq_destroy(struct virtqueue *vq)
{
	if (!vq)
		return;
	free(vq->staged);
	vq->ops->destroy(vq);
}

void vq_addresses(const struct virtqueue *vq, dma_addr_t *desc, dma_addr_t *driver,
		  dma_addr_t *device)
{
	vq->ops->addresses(vq, desc, driver, device);
}

int vq_break(struct virtqueue *vq, const char *fmt, ...)
{
	va_list ap;

	if (!vq->broken) {
		va_start(ap, fmt);
		vsnprintf(vq->error, sizeof(vq->error), fmt, ap);
		va_end(ap);
		if (!vq->raw)
			virtio_tell(vq->dev, vq->error);
	}
	vq->broken = true;
	return -EPROTO;
}

void vq_audit(struct virtqueue *vq)
{
	if (vq && !vq->raw && !vq->broken && vq->ops->audit)
		vq->ops->audit(vq);
}

int vq_add(struct virtqueue *vq, const struct vq_seg *out, unsigned int n_out,
	   const struct vq_seg *in, unsigned int n_in, void *token)
{
	unsigned int i;

	if (vq->broken)
		return -EPROTO;
	/* 2.7.5.3.1, 2.8.17: a chain is at most as long as the queue, indirect or not. */
	if (!token || n_out > vq->size || n_in > vq->size || n_out + n_in == 0 ||
	    n_out + n_in > vq->size)
		return -EINVAL;
	for (i = 0; i < n_out; i++)
		if (!out[i].buf || !out[i].len)
			return -EINVAL;
	for (i = 0; i < n_in; i++)
		if (!in[i].buf || !in[i].len)
			return -EINVAL;
	return vq->ops->add(vq, out, n_out, in, n_in, token);
}

void vq_notify(struct virtqueue *vq)
{
	const uint32_t data = (uint32_t)vq->ops->next_off(vq) << 16 | vq->index;

	vq->dev->ops->notify(vq->dev, vq->index, data);
}

void vq_kick(struct virtqueue *vq)
{
	if (!vq->broken && vq->ops->kick_needed(vq))
		vq_notify(vq);
}

int vq_get(struct virtqueue *vq, void **token, uint32_t *len)
{
	return vq->broken ? -EPROTO : vq->ops->get(vq, token, len);
}

bool vq_pending(struct virtqueue *vq)
{
	/* A broken queue has something to say: vq_get() returns -EPROTO. */
	return vq->broken || vq->ops->pending(vq);
}

const char *vq_error(const struct virtqueue *vq)
{
	return vq->error;
}

bool vq_interrupts(struct virtqueue *vq, bool on)
{
	vq->unwanted = !on;
	return vq->ops->interrupts(vq, on);
}

uint16_t vq_index(const struct virtqueue *vq)
{
	return vq->index;
}

uint16_t vq_size(const struct virtqueue *vq)
{
	return vq->size;
}

uint16_t vq_free_count(const struct virtqueue *vq)
{
	return vq->ops->free_count(vq);
}

uint16_t vq_in_flight(const struct virtqueue *vq)
{
	return vq->ops->in_flight(vq);
}

/* --- the raw door ---------------------------------------------------------------------- */

int vq_raw_stage(struct virtqueue *vq, uint16_t i, const struct vq_raw_desc *d)
{
	vq->raw = true;
	if (i >= vq->size)
		return -EINVAL;
	if (!vq->staged)
		vq->staged = calloc(vq->size, sizeof(*vq->staged));
	if (!vq->staged)
		return -ENOMEM;
	vq->staged[i] = *d;
	return 0;
}

void vq_raw_entry(const struct virtqueue *vq, void *table, uint16_t i, const struct vq_raw_desc *d)
{
	vq->ops->raw->entry(table, i, d);
}

void vq_raw_post(struct virtqueue *vq, const uint16_t *heads, unsigned int n)
{
	vq->raw = true;
	vq->ops->raw->post(vq, heads, n);
}

bool vq_raw_kick_wanted(struct virtqueue *vq)
{
	return vq->ops->kick_needed(vq);
}

unsigned int vq_raw_used_count(struct virtqueue *vq)
{
	return vq->ops->raw->used_count(vq);
}

void vq_raw_used(struct virtqueue *vq, unsigned int k, uint32_t *id, uint32_t *len)
{
	vq->ops->raw->used(vq, k, id, len);
}

void vq_raw_take(struct virtqueue *vq, unsigned int n)
{
	vq->raw = true;
	vq->ops->raw->take(vq, n);
}

int vq_raw_want_nth(struct virtqueue *vq, uint16_t n)
{
	vq->unwanted = false;
	return vq->ops->raw->want_nth(vq, n);
}
