/* SPDX-License-Identifier: BSD-2-Clause */
/* virtqueue.h: the dispatch to the layouts. */
#include "drivers/virtio/virtqueue.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "drivers/virtio/vq_impl.h"
#include "lib/mem.h"

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

/* --- memory ------------------------------------------------------------------------------- */

#define LINE 64u /* areas that two sides write share no cache line */

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) & ~(to - 1);
}

static bool take(struct virtqueue *vq, struct vq_area *a, size_t size, size_t align)
{
	a->size = size;
	a->mem = dma_alloc(&vq->dev->dev, size, align, &a->mem_addr);
	return a->mem;
}

static void lies_at(struct vq_area *a, const struct vq_area *in, size_t off)
{
	a->at = (uint8_t *)in->mem + off;
	a->addr = in->mem_addr + off;
}

static bool take_together(struct virtqueue *vq, const size_t size[VQ_AREAS])
{
	struct vq_area *const a = vq->area;
	size_t off[VQ_AREAS], all = 0;
	unsigned int i;

	for (i = 0; i < VQ_AREAS; i++) {
		off[i] = all;
		all = round_up(all + size[i], LINE);
	}
	if (!take(vq, &a[0], all, LINE))
		return false;
	for (i = 0; i < VQ_AREAS; i++)
		lies_at(&a[i], &a[0], off[i]);
	return true;
}

/* The address is a multiple of the alignment, and of no larger power of two. */
static bool take_apart(struct virtqueue *vq, struct vq_area *a, size_t size, size_t align)
{
	if (!take(vq, a, size + align, PAGE_SIZE))
		return false;
	lies_at(a, a, align);
	return true;
}

/* Behind the area is nothing of that page, but for what the alignment takes. */
static bool take_page_end(struct virtqueue *vq, struct vq_area *a, size_t size, size_t align)
{
	const size_t all = round_up(size, PAGE_SIZE);

	if (!take(vq, a, all, PAGE_SIZE))
		return false;
	lies_at(a, a, (all - size) & ~(align - 1));
	return true;
}

/* Half of it, as far as the alignment allows, lies in the first page; what is as small as that is in the second one. */
static bool take_across(struct virtqueue *vq, struct vq_area *a, size_t size, size_t align)
{
	const size_t before = (size / 2) & ~(align - 1);

	if (!take(vq, a, round_up(size + PAGE_SIZE - before, PAGE_SIZE), PAGE_SIZE))
		return false;
	lies_at(a, a, PAGE_SIZE - before);
	return true;
}

bool vq_areas_alloc(struct virtqueue *vq, const size_t size[VQ_AREAS], const size_t align[VQ_AREAS])
{
	static bool (*const takes[])(struct virtqueue *, struct vq_area *, size_t, size_t) = {
		[VIRTIO_PLACE_APART] = take_apart,
		[VIRTIO_PLACE_PAGE_END] = take_page_end,
		[VIRTIO_PLACE_ACROSS] = take_across,
	};
	unsigned int i;
	bool ok = true;

	if (vq->dev->place == VIRTIO_PLACE_TOGETHER)
		return take_together(vq, size);
	for (i = 0; i < VQ_AREAS && ok; i++)
		ok = takes[vq->dev->place](vq, &vq->area[i], size[i], align[i]);
	return ok;
}

void vq_areas_free(struct virtqueue *vq)
{
	unsigned int i;

	for (i = 0; i < VQ_AREAS; i++)
		if (vq->area[i].mem)
			dma_free(&vq->dev->dev, vq->area[i].mem, vq->area[i].size,
				 vq->area[i].mem_addr);
}

void vq_addresses(const struct virtqueue *vq, dma_addr_t *desc, dma_addr_t *driver,
		  dma_addr_t *device)
{
	*desc = vq->area[VQ_DESC].addr;
	*driver = vq->area[VQ_DRIVER].addr;
	*device = vq->area[VQ_DEVICE].addr;
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
