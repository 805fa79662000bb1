/* SPDX-License-Identifier: BSD-2-Clause */
/* vfio-user messages, named as in QEMU's docs/interop/vfio-user.rst. All of it is in the host's byte order. */
#ifndef HOST_REF_DEV_VFIO_PROTO_H
#define HOST_REF_DEV_VFIO_PROTO_H

#include <stddef.h>
#include <stdint.h>

enum vfu_command {
	VFU_VERSION = 1,
	VFU_DMA_MAP = 2,
	VFU_DMA_UNMAP = 3,
	VFU_DEVICE_GET_INFO = 4,
	VFU_DEVICE_GET_REGION_INFO = 5,
	VFU_DEVICE_GET_IRQ_INFO = 7,
	VFU_DEVICE_SET_IRQS = 8,
	VFU_REGION_READ = 9,
	VFU_REGION_WRITE = 10,
	VFU_DEVICE_RESET = 13,
};

enum vfu_flags {
	VFU_TYPE_MASK = 0xf,
	VFU_COMMAND = 0,
	VFU_REPLY = 1,
	VFU_NO_REPLY = 1 << 4,
	VFU_ERROR = 1 << 5,
};

enum vfu_dma_flags {
	VFU_DMA_READ = 1,
	VFU_DMA_WRITE = 2,
	VFU_DMA_UNMAP_ALL = 2, /* of DMA_UNMAP: QEMU's, as in linux/vfio.h */
};

enum vfu_device_flags {
	VFU_DEVICE_RESETS = 1,
	VFU_DEVICE_PCI = 2,
};

enum vfu_region_flags {
	VFU_REGION_F_READ = 1,
	VFU_REGION_F_WRITE = 2,
	VFU_REGION_F_MMAP = 4,
};

enum vfu_irq_flags {
	VFU_IRQ_EVENTFD = 1,
	VFU_IRQ_MASKABLE = 2,
	VFU_IRQ_AUTOMASKED = 4,
};

enum vfu_set_irqs_flags {
	VFU_IRQ_DATA_NONE = 1,
	VFU_IRQ_DATA_BOOL = 2,
	VFU_IRQ_DATA_EVENTFD = 4,
	VFU_IRQ_DATA = 7,
	VFU_IRQ_MASK = 8,
	VFU_IRQ_UNMASK = 16,
	VFU_IRQ_TRIGGER = 32,
	VFU_IRQ_ACTION = 56,
};

/* The regions and interrupts of a PCI device, as in linux/vfio.h. */
enum {
	VFU_REGION_ROM = 6,
	VFU_REGION_CONFIG = 7,
	VFU_REGIONS = 9,
	VFU_IRQ_INTX = 0,
	VFU_IRQ_MSI = 1,
	VFU_IRQ_MSIX = 2,
	VFU_IRQS = 3, /* no error and no request interrupt */
};

#define VFU_MAJOR    0
#define VFU_MINOR    1
#define VFU_MAX_FDS  16	  /* of a message that we take */
#define VFU_MAX_XFER 4096 /* bytes of a region access */

struct vfu_header {
	uint16_t id, command;
	uint32_t size, flags, error;
};

struct vfu_access { /* REGION_READ, REGION_WRITE */
	uint64_t offset;
	uint32_t region, count;
	uint8_t data[VFU_MAX_XFER];
};

struct vfu_msg {
	struct vfu_header h;
	union {
		struct {
			uint16_t major, minor;
			char data[VFU_MAX_XFER];
		} version;
		struct {
			uint32_t argsz, flags;
			uint64_t offset, address, size;
		} map;
		struct {
			uint32_t argsz, flags;
			uint64_t address, size;
		} unmap;
		struct {
			uint32_t argsz, flags, num_regions, num_irqs;
		} info;
		struct {
			uint32_t argsz, flags, index, cap_offset;
			uint64_t size, offset;
		} region;
		struct {
			uint32_t argsz, flags, index, count;
		} irq;
		struct {
			uint32_t argsz, flags, index, start, count;
			uint8_t data[VFU_MAX_XFER];
		} set_irqs;
		struct vfu_access access;
		uint8_t raw[sizeof(struct vfu_access)];
	};
};
_Static_assert(sizeof(struct vfu_header) == 16, "wire format");
_Static_assert(offsetof(struct vfu_msg, raw) == 16, "wire format");
_Static_assert(offsetof(struct vfu_access, data) == 16, "wire format");
_Static_assert(offsetof(struct vfu_msg, set_irqs.data) == 36, "wire format");
_Static_assert(offsetof(struct vfu_msg, region.size) == 32, "wire format");

#endif
