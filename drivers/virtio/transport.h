/* SPDX-License-Identifier: BSD-2-Clause */
/* Between virtio.c and the transports; drivers and tests include virtio.h. */
#ifndef DRIVERS_VIRTIO_TRANSPORT_H
#define DRIVERS_VIRTIO_TRANSPORT_H

#include "drivers/virtio/virtio.h"

/* Registers a probed device: resets it, reads its features and queue sizes. 0, -ENOSPC, -ETIMEDOUT. */
int virtio_add(struct virtio_device *d);
/* Registers a device that is there and cannot be driven: name, kind, dev or NULL, the reason in words. */
void virtio_refuse(const char *name, enum virtio_refusal_kind kind, struct virtio_device *dev,
		   const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* The kind that an error of virtio_add() belongs to. */
enum virtio_refusal_kind virtio_refusal_of(int err);
/* Sets d->error and returns err. */
int virtio_error(struct virtio_device *d, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Cuts an access to config space into natural widths: 4, 2 or 1 bytes, each aligned (4.1.3.1). */
uint32_t virtio_access_width(uint32_t off, uint32_t len);
/* Config space of `size` bytes at cfg, read or written in such accesses. 0, -ERANGE past its end. */
int virtio_config_in(const volatile uint8_t *cfg, uint32_t size, uint32_t off, void *buf,
		     uint32_t len);
int virtio_config_out(volatile uint8_t *cfg, uint32_t size, uint32_t off, const void *buf,
		      uint32_t len);

/* What interrupt handlers do, by cause. */
void virtio_irq_queue(struct virtio_device *d, uint16_t queue); /* a queue's own vector */
void virtio_irq_shared(struct virtio_device *d);		/* some queue, unknown which */
void virtio_irq_config(struct virtio_device *d);

/*
 * Interrupt lines (INTx, MMIO), possibly shared by several devices. The handler says whether its
 * device was the cause. 0, -ENODEV (no I/O APIC has that GSI), -ENOSPC.
 */
typedef bool (*virtio_line_fn)(struct virtio_device *d);
int virtio_line_attach(struct virtio_device *d, uint32_t gsi, bool level, bool active_low,
		       virtio_line_fn handler);
void virtio_line_detach(struct virtio_device *d);
/* virtio_irq_ctl() of a line: VIRTIO_IRQ_STEER and, on a level-triggered one, VIRTIO_IRQ_MASK. */
int virtio_line_ctl(struct virtio_device *d, enum virtio_irq_ctl what, unsigned int arg);

#endif
