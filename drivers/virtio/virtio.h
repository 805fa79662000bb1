/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio device (modern, VERSION_1) whatever its transport. Initialisation
 * order: virtio 1.4, 3.1.1.
 */
#ifndef DRIVERS_VIRTIO_VIRTIO_H
#define DRIVERS_VIRTIO_VIRTIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/device.h"
#include "lib/endian.h"

enum virtio_id {
	VIRTIO_ID_NET = 1,
	VIRTIO_ID_BLOCK = 2,
	VIRTIO_ID_RNG = 4,
	VIRTIO_ID_VSOCK = 19,
	VIRTIO_ID_IOMMU = 23,
};

enum virtio_status { /* 2.1 */
	VIRTIO_S_ACKNOWLEDGE = 1,
	VIRTIO_S_DRIVER = 2,
	VIRTIO_S_DRIVER_OK = 4,
	VIRTIO_S_FEATURES_OK = 8,
	VIRTIO_S_SUSPEND = 16,
	VIRTIO_S_NEEDS_RESET = 64,
	VIRTIO_S_FAILED = 128,
};

enum virtio_feature { /* 6: bit numbers */
	VIRTIO_F_INDIRECT_DESC = 28,
	VIRTIO_F_EVENT_IDX = 29,
	VIRTIO_F_VERSION_1 = 32,
	VIRTIO_F_ACCESS_PLATFORM = 33,
	VIRTIO_F_RING_PACKED = 34,
	VIRTIO_F_IN_ORDER = 35,
	VIRTIO_F_ORDER_PLATFORM = 36,
	VIRTIO_F_SR_IOV = 37,
	VIRTIO_F_NOTIFICATION_DATA = 38,
	VIRTIO_F_NOTIF_CONFIG_DATA = 39,
	VIRTIO_F_RING_RESET = 40,
	VIRTIO_F_ADMIN_VQ = 41,
	VIRTIO_F_SUSPEND = 43,
};
#define VIRTIO_BIT(n) (1ull << (n))

/* What a driver passes to virtio_negotiate() beside its device's own bits: all that the rings can do. */
#define VIRTIO_RING_FEATURES                                                                       \
	(VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) | VIRTIO_BIT(VIRTIO_F_EVENT_IDX) |                     \
	 VIRTIO_BIT(VIRTIO_F_RING_PACKED) | VIRTIO_BIT(VIRTIO_F_IN_ORDER) |                        \
	 VIRTIO_BIT(VIRTIO_F_NOTIFICATION_DATA))

#define VIRTIO_MAX_QUEUES 8
#define VIRTIO_NO_VECTOR  0xffff

struct virtqueue;
struct virtio_device;

/* How interrupts arrive; chosen by irq= or the best that the device offers. */
enum virtio_irq_mode {
	VIRTIO_IRQ_POLL,  /* no interrupts: notifications suppressed, rings polled */
	VIRTIO_IRQ_INTX,  /* or the MMIO interrupt line */
	VIRTIO_IRQ_MSIX1, /* one vector for all */
	VIRTIO_IRQ_MSIX,  /* one each: config, then the queues */
};

/* Events that interrupts tell of: a queue's number, or these. */
enum {
	VIRTIO_EVENT_CONFIG = -1,
	VIRTIO_EVENT_ALL = -2,
};

enum virtio_irq_ctl {
	VIRTIO_IRQ_STEER, /* to CPU arg, on another vector; an MSI-X entry is masked meanwhile */
	VIRTIO_IRQ_MASK, /* arg 1 or 0. VIRTIO_EVENT_ALL: the function's mask. Lines: level-triggered only */
	VIRTIO_IRQ_PENDING, /* 1 or 0: MSI-X's pending bit */
	VIRTIO_IRQ_ENABLE,  /* arg 1 or 0: MSI-X as a whole */
	VIRTIO_IRQ_ACK,	    /* lines: reads the causes, which lowers the line; the causes */
};

struct virtio_transport_ops {
	const char *name; /* "pci", "mmio" */
	uint8_t (*get_status)(struct virtio_device *d);
	void (*set_status)(struct virtio_device *d, uint8_t status);
	/* 64-bit feature words: sel 0 and 1 combined. */
	uint64_t (*device_features)(struct virtio_device *d);
	void (*driver_features)(struct virtio_device *d, uint64_t features);
	/* One 32-bit word at any selector, for tests. */
	uint32_t (*device_features_sel)(struct virtio_device *d, uint32_t sel);
	uint32_t (*config_generation)(struct virtio_device *d);
	/* Device-specific config, natural width where off and len allow, else bytes. 0, -ERANGE past the end. */
	int (*config_read)(struct virtio_device *d, uint32_t off, void *buf, uint32_t len);
	int (*config_write)(struct virtio_device *d, uint32_t off, const void *buf, uint32_t len);
	/* Bytes of device config that the transport shows (PCI: cap length; MMIO: until the window's end). */
	uint32_t (*config_len)(struct virtio_device *d);
	/* Largest size of a queue, 0: the queue does not exist. */
	uint16_t (*queue_max)(struct virtio_device *d, uint16_t queue);
	/* Addresses and size, then enable. 0, -EIO (a value did not stick, vector refused). */
	int (*queue_enable)(struct virtio_device *d, uint16_t queue, uint16_t size, dma_addr_t desc,
			    dma_addr_t driver, dma_addr_t device);
	bool (*queue_enabled)(struct virtio_device *d, uint16_t queue);
	/* RING_RESET: 0, -EOPNOTSUPP, -ETIMEDOUT. */
	int (*queue_reset)(struct virtio_device *d, uint16_t queue);
	/* data: the 32-bit value with NOTIFICATION_DATA, else ignored. */
	void (*notify)(struct virtio_device *d, uint16_t queue, uint32_t data);
	/* Interrupts for num_queues queues in mode, called before queue_enable(); 0 or -errno. */
	int (*irq_setup)(struct virtio_device *d, enum virtio_irq_mode mode);
	void (*irq_teardown)(struct virtio_device *d);
	/* See virtio_irq_ctl(). */
	int (*irq_ctl)(struct virtio_device *d, enum virtio_irq_ctl what, int event,
		       unsigned int arg);
	/* Releases what probing took; status is 0 by then. */
	void (*remove)(struct virtio_device *d);
};

/* Counters that interrupt handlers write and tests read (atomics). */
struct virtio_irq_counts {
	uint64_t config;		   /* config changes */
	uint64_t queue[VIRTIO_MAX_QUEUES]; /* used-buffer notifications by queue (own vector) */
	uint64_t shared;		   /* on a vector or line for all */
	uint64_t unexpected;		   /* line raised with no cause shown */
	uint64_t unwanted; /* used-buffer notifications that the driver had asked not to get */
};

/* Where the three parts of a virtqueue lie. */
enum virtio_place {
	VIRTIO_PLACE_TOGETHER, /* behind each other */
	VIRTIO_PLACE_APART,    /* in memory of their own, at the least alignment that is allowed */
	VIRTIO_PLACE_PAGE_END, /* each at the end of a page of its own */
	VIRTIO_PLACE_ACROSS,   /* each across the border of two pages of its own */
};

struct virtio_device {
	struct device dev;
	const struct virtio_transport_ops *ops;
	void *transport;	    /* pci.c or mmio.c */
	const char *name;	    /* of dev */
	uint32_t id;		    /* enum virtio_id */
	uint64_t offered, accepted; /* features */
	enum virtio_irq_mode irq_mode;
	struct virtio_irq_counts irqs;
	uint16_t num_queues; /* set up by the driver */
	uint16_t max_queues; /* of the device (at most VIRTIO_MAX_QUEUES are looked at), as probed */
	uint16_t max_size[VIRTIO_MAX_QUEUES];
	bool more_queues;	 /* than these */
	enum virtio_place place; /* of queues that are made from now on; a reset makes it the first */
	struct virtqueue *vq[VIRTIO_MAX_QUEUES];
	/* Called from the interrupt handlers (interrupts off), may be NULL. */
	void (*on_queue)(struct virtio_device *d, uint16_t queue);
	void (*on_config)(struct virtio_device *d);
	void *driver;	   /* of the driver that owns it */
	char irq_info[48]; /* what the transport has: "3 MSI-X vectors", "GSI 5" */
	char error[128];   /* text of the last failure, for verdicts */
};

/* Every modern device found by PCI and MMIO at boot that can be driven; NULL past the last. */
struct virtio_device *virtio_get(unsigned int n);
/* The n-th of an id. */
struct virtio_device *virtio_find(uint32_t id, unsigned int n);

/* Why a function that says it is virtio is not driven. */
enum virtio_refusal_kind {
	VIRTIO_REFUSED_LEGACY, /* it has the legacy interface only, which is an older promise */
	VIRTIO_REFUSED_LAYOUT, /* capabilities, BARs, magic value, version or window make no sense */
	VIRTIO_REFUSED_RESET,  /* device status does not read 0 after a reset (2.4.1) */
	VIRTIO_REFUSED_RESOURCE, /* memory or room of the driver's own ran out */
};
struct virtio_refusal {
	char name[32]; /* "pci 00:03.0", "mmio 0xfeb00e00" */
	enum virtio_refusal_kind kind;
	char reason[112];
	struct virtio_device *dev; /* as far as it was found out, bus mastering off; NULL: nothing */
};
/* The n-th of them, NULL past the last. */
const struct virtio_refusal *virtio_refused(unsigned int n);
/* Refusals for which the registry had no room. */
unsigned int virtio_refusals_lost(void);

/* The environment block's name of a feature bit of a device of this id, NULL: unknown. */
const char *virtio_feature_name(uint32_t id, unsigned int bit);
/* The features of a device type that this run leaves out (virtio.without=): nobody sees them in `offered`. */
uint64_t virtio_left_out(uint32_t id);
/* "rng", "vsock", ...; "id N" for others. */
const char *virtio_id_name(uint32_t id);
/*
 * Works on what carries the event's interrupt: an MSI-X entry or a line, which other events may share
 * (irq_mode tells). 0 or a value, -EOPNOTSUPP: what is in use has no such thing.
 */
static inline int virtio_irq_ctl(struct virtio_device *d, enum virtio_irq_ctl what, int event,
				 unsigned int arg)
{
	return d->ops->irq_ctl(d, what, event, arg);
}
/* "msix", "msix1", "intx", "poll". */
const char *virtio_irq_name(enum virtio_irq_mode mode);

/* Status 0, and waits until it reads 0 (2.4.2). 0, -ETIMEDOUT. Queues are freed. */
int virtio_reset(struct virtio_device *d);
/*
 * 3.1.1 steps 1 to 6: reset, ACKNOWLEDGE, DRIVER, features (offered & wanted, VERSION_1 and, where
 * offered, ACCESS_PLATFORM always), FEATURES_OK, read back. 0, -ENODEV (no VERSION_1), -EINVAL
 * (FEATURES_OK refused; FAILED is set), -ETIMEDOUT. ring=split leaves RING_PACKED out; IN_ORDER comes with it only.
 */
int virtio_negotiate(struct virtio_device *d, uint64_t wanted);
/*
 * The same with exactly the features that are given, as far as they are offered: for a caller that chooses them
 * bit by bit and has code for each.
 */
int virtio_accept(struct virtio_device *d, uint64_t features);
/*
 * Step 7: interrupts (the best mode that the device and irq= allow), then n queues with at most `size`
 * entries each (0: the device's maximum; a split ring's is cut to a power of two). 0, -ENODEV (no such queue), -ENOMEM,
 * -EIO, -ENOSPC.
 */
/* The i-th of them, for a caller that set the interrupts up itself. */
int virtio_queue_setup(struct virtio_device *d, uint16_t i, uint16_t size);
int virtio_queues_setup(struct virtio_device *d, uint16_t n, uint16_t size);
/* Step 8. Kicks are allowed after it. 0, -EIO (NEEDS_RESET is set, status does not stick). */
int virtio_driver_ok(struct virtio_device *d);

/* Whether drivers use packed rings where they are offered. */
bool virtio_packed_wanted(void);

static inline bool virtio_has(const struct virtio_device *d, unsigned int feature)
{
	return d->accepted & VIRTIO_BIT(feature);
}

/*
 * Whoever watches all devices is told, in plain words, when one breaks a rule that no driver can
 * work with (a ring that makes no sense), or that no driver asks about (a notification before
 * DRIVER_OK). It may be told in an interrupt. NULL ends it.
 */
void virtio_watch(void (*fn)(struct virtio_device *d, const char *what));

/* A config read that is not torn: the generation is read before and after, at most 100 times. -EAGAIN then. */
int virtio_config_read(struct virtio_device *d, uint32_t off, void *buf, uint32_t len);

#endif
