/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio over MMIO (4.2), for tests of the transport itself. */
#ifndef DRIVERS_VIRTIO_MMIO_H
#define DRIVERS_VIRTIO_MMIO_H

#include "drivers/virtio/virtio.h"

#define VIRTIO_MMIO_MAGIC 0x74726976u /* "virt" */

enum virtio_mmio_reg { /* 4.2.2: offsets; the upper half of an address follows the lower */
	VIRTIO_MMIO_MAGIC_VALUE = 0x000,
	VIRTIO_MMIO_VERSION = 0x004,
	VIRTIO_MMIO_DEVICE_ID = 0x008,
	VIRTIO_MMIO_VENDOR_ID = 0x00c,
	VIRTIO_MMIO_DEVICE_FEATURES = 0x010,
	VIRTIO_MMIO_DEVICE_FEATURES_SEL = 0x014,
	VIRTIO_MMIO_DRIVER_FEATURES = 0x020,
	VIRTIO_MMIO_DRIVER_FEATURES_SEL = 0x024,
	VIRTIO_MMIO_QUEUE_SEL = 0x030,
	VIRTIO_MMIO_QUEUE_SIZE_MAX = 0x034,
	VIRTIO_MMIO_QUEUE_SIZE = 0x038,
	VIRTIO_MMIO_QUEUE_READY = 0x044,
	VIRTIO_MMIO_QUEUE_NOTIFY = 0x050,
	VIRTIO_MMIO_INTERRUPT_STATUS = 0x060,
	VIRTIO_MMIO_INTERRUPT_ACK = 0x064,
	VIRTIO_MMIO_STATUS = 0x070,
	VIRTIO_MMIO_QUEUE_DESC = 0x080,
	VIRTIO_MMIO_QUEUE_DRIVER = 0x090,
	VIRTIO_MMIO_QUEUE_DEVICE = 0x0a0,
	VIRTIO_MMIO_SHM_SEL = 0x0ac,
	VIRTIO_MMIO_SHM_LEN = 0x0b0,
	VIRTIO_MMIO_SHM_BASE = 0x0b8,
	VIRTIO_MMIO_QUEUE_RESET = 0x0c0,
	VIRTIO_MMIO_CONFIG_GENERATION = 0x0fc,
	VIRTIO_MMIO_CONFIG = 0x100,
};

enum virtio_mmio_interrupt { /* InterruptStatus */
	VIRTIO_MMIO_INT_USED = 1,
	VIRTIO_MMIO_INT_CONFIG = 2,
};

struct virtio_mmio {
	struct virtio_device vdev;
	volatile uint8_t *regs;
	uint64_t base;
	uint32_t size, gsi; /* size of the window in bytes */
	bool level, active_low;
};

/* NULL if d is not on MMIO. */
struct virtio_mmio *virtio_mmio(struct virtio_device *d);

#endif
