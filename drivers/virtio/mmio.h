/* SPDX-License-Identifier: BSD-2-Clause */
/* The MMIO transport's own view, for tests of this transport's clauses. */
#ifndef DRIVERS_VIRTIO_MMIO_H
#define DRIVERS_VIRTIO_MMIO_H

#include "drivers/virtio/virtio.h"

#define MMIO_MAGIC_VALUE 0x74726976u

enum virtio_mmio_reg { /* 4.2.2 */
	MMIO_MAGIC = 0x000,
	MMIO_VERSION = 0x004,
	MMIO_DEVICE_ID = 0x008,
	MMIO_VENDOR_ID = 0x00c,
	MMIO_DEVICE_FEATURES = 0x010,
	MMIO_DEVICE_FEATURES_SEL = 0x014,
	MMIO_DRIVER_FEATURES = 0x020,
	MMIO_DRIVER_FEATURES_SEL = 0x024,
	MMIO_QUEUE_SEL = 0x030,
	MMIO_QUEUE_SIZE_MAX = 0x034,
	MMIO_QUEUE_SIZE = 0x038,
	MMIO_QUEUE_READY = 0x044,
	MMIO_QUEUE_NOTIFY = 0x050,
	MMIO_INTERRUPT_STATUS = 0x060,
	MMIO_INTERRUPT_ACK = 0x064,
	MMIO_STATUS = 0x070,
	MMIO_QUEUE_DESC = 0x080,
	MMIO_QUEUE_DRIVER = 0x090,
	MMIO_QUEUE_DEVICE = 0x0a0,
	MMIO_QUEUE_RESET = 0x0c0,
	MMIO_CONFIG_GENERATION = 0x0fc,
	MMIO_CONFIG = 0x100,
};

struct virtio_mmio {
	volatile uint8_t *regs;
	uint64_t base;
	uint32_t size, gsi;
	int irq; /* CPU vector, 0: not taken */
};

/* NULL: d is on another transport. */
struct virtio_mmio *virtio_mmio_get(const struct virtio_device *d);

#endif
