/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtqueues: one interface, split (2.7) and packed (2.8) behind it. Nothing
 * that the device can write is trusted: what was posted is kept in private
 * memory; used ids, lengths and index jumps are checked and reported, never
 * followed.
 */
#ifndef DRIVERS_VIRTIO_VIRTQUEUE_H
#define DRIVERS_VIRTIO_VIRTQUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/virtio/virtio.h"

struct vq_seg {
	void *buf;
	uint32_t len;
};

struct virtqueue; /* private to split.c / packed.c but for the accessors below */

/* Made by virtio_queues_setup() through these; layout by VIRTIO_F_RING_PACKED. */
struct virtqueue *vq_create(struct virtio_device *d, uint16_t index, uint16_t size);
void vq_destroy(struct virtqueue *vq);
void vq_addresses(const struct virtqueue *vq, dma_addr_t *desc, dma_addr_t *driver,
		  dma_addr_t *device);

/*
 * Posts one buffer: n_out readable segments, then n_in writable ones; each is mapped for DMA until it
 * comes back. token comes back from vq_get(); it must not be NULL. An indirect table is used when
 * negotiated and more than one segment is given. 0, -ENOSPC (ring full), -ENOMEM, -EINVAL,
 * -EPROTO (the queue is broken).
 */
int vq_add(struct virtqueue *vq, const struct vq_seg *out, unsigned int n_out,
	   const struct vq_seg *in, unsigned int n_in, void *token);
/* Tells the device about what was added, unless it asked not to be told (2.7.10, EVENT_IDX). */
void vq_kick(struct virtqueue *vq);
/* Always tells it. */
void vq_notify(struct virtqueue *vq);
/*
 * Takes one used buffer: 1 (token and bytes written set), 0 (none), -EPROTO: the device wrote nonsense;
 * vq_error() says what, and the queue takes and gives nothing more until it is made anew.
 */
int vq_get(struct virtqueue *vq, void **token, uint32_t *len);
/* Whether vq_get() has something, without taking it. */
bool vq_pending(struct virtqueue *vq);
const char *vq_error(const struct virtqueue *vq);

/* Used-buffer notifications wanted or not. on: returns true if buffers came in meanwhile (look again). */
bool vq_interrupts(struct virtqueue *vq, bool on);

uint16_t vq_index(const struct virtqueue *vq);
uint16_t vq_size(const struct virtqueue *vq);
/* Free descriptors, and buffers that the device has. */
uint16_t vq_free_count(const struct virtqueue *vq);
uint16_t vq_in_flight(const struct virtqueue *vq);

/*
 * The raw door, for tests that break rules on purpose; the same for each layout. Descriptors are staged by number
 * in private memory, and the layout writes them when a chain is posted. Nothing of it is checked. Posting and
 * taking go on where vq_add() and vq_get() stand, but what is posted here is no buffer of theirs: a test uses
 * one way or the other, and destroys the queue afterwards.
 */
struct vq_raw_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags; /* NEXT 1, WRITE 2, INDIRECT 4 */
	uint16_t next;
};
/* -EINVAL: the queue has no such number; -ENOMEM: no private memory, which only the first call takes. */
int vq_raw_stage(struct virtqueue *vq, uint16_t i, const struct vq_raw_desc *d);
/*
 * Writes the i-th entry of an indirect table, anywhere in memory. Where the layout has no `next` and NEXT, entries are
 * chained by their order.
 */
void vq_raw_entry(const struct virtqueue *vq, void *table, uint16_t i, const struct vq_raw_desc *d);
/* Makes the chains from these heads available, all at once. Their ids are the heads. Tells nobody. */
void vq_raw_post(struct virtqueue *vq, const uint16_t *heads, unsigned int n);
/* Whether the device wants to be told about what was posted since the last call. */
bool vq_raw_kick_wanted(struct virtqueue *vq);
/* Used elements since the last taken; the k-th of them; n of them are taken. */
unsigned int vq_raw_used_count(struct virtqueue *vq);
void vq_raw_used(struct virtqueue *vq, unsigned int k, uint32_t *id, uint32_t *len);
void vq_raw_take(struct virtqueue *vq, unsigned int n);
/* A used-buffer notification at the n-th used from now (1: the next); vq_interrupts() is for all or none.
 * -EOPNOTSUPP without EVENT_IDX. */
int vq_raw_want_nth(struct virtqueue *vq, uint16_t n);

#endif
