/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults of a virtio front end as data: which register, what is done to a load or a store of it, and when. faults.c has
 * them, reffront.c carries them out on an unmodified QEMU.
 */
#ifndef HOST_REF_FRONT_FRONT_H
#define HOST_REF_FRONT_FRONT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "drivers/virtio/iommu.h"
#include "host/ref/front/fault_ids.h"
#include "host/ref/plugin/plugin.h"

#define FRONT_RULES  4
#define FRONT_CAPS   16
#define FRONT_QUEUES 8 /* those that faults follow; others are left alone */

enum region {
	NOWHERE,
	COMMON, /* struct virtio_pci_common_cfg (virtio 1.4, 4.1.4.3) */
	ISR,	/* 4.1.4.5 */
	DEVICE, /* 4.1.4.6 */
	NOTIFY, /* 4.1.4.4 */
	CONFIG, /* configuration space of a virtio function, by ECAM */
	TABLE,	/* an entry of an MSI-X table (PCIe 7.7.2) */
	PBA,	/* pending bits of MSI-X (7.7.2.7) */
	MMIO,	/* virtio-mmio (4.2.2) */
	VTD,	/* a VT-d unit (Intel VT-d, 11.4) */
};

enum op {
	SET,
	OR,
	AND,
	XOR,
};

/* Of one queue, as the driver wrote it last; `size` and `vector` since the last reset, `old_` before it. */
struct queue_seen {
	uint16_t max; /* queue_size before it was written */
	uint16_t size, old_size;
	uint16_t vector, old_vector, start_vector; /* start: at DRIVER_OK */
	uint32_t address[6], old_address[6];	   /* desc to device; old: when it was enabled */
	bool enabled, was_enabled, was_stopped;	   /* stopped: QueueReady or queue_reset */
};

/* What the guest has done to a device, function or table entry, as far as faults depend on it. */
struct place {
	uint64_t base;
	enum region region;
	uint8_t status, before_reset; /* device status; the one that the last reset ended */
	unsigned int resets, negotiations, kicks, config_reads;
	uint32_t device_select, driver_select;
	uint32_t offered[2];   /* as last read */
	uint32_t accepted[2];  /* as last written by the driver */
	bool unoffered;	       /* the driver wrote a feature that it had not read */
	bool queue_reset;      /* of some queue, which was not enabled since */
	bool used_isr;	       /* ISR was not 0 once */
	uint16_t queue_select; /* by the driver */
	uint16_t queue_vector; /* as the driver wrote it */
	uint32_t config_at;    /* the load of device configuration before this one */
	unsigned int due;      /* waits (PAUSE, RDTSC) until the fault goes on; 0: it does not */
	/* For faults from outside (outside.c). */
	struct queue_seen queue[FRONT_QUEUES];
	uint16_t config_vector;
	uint8_t shown;	      /* device status that the fault shows */
	uint8_t extra;	      /* bits that the fault adds to InterruptStatus, or once to ISR */
	bool unread;	      /* a notification came, and ISR was not read since */
	uint32_t narrowed[2]; /* features that no negotiation has left out, inverted */
	uint64_t pending;     /* pending bits that were shown */
	unsigned int interrupt_loads; /* of InterruptStatus, which was not 0 */
	uint16_t requests_seen;	      /* avail.idx of queue 0 up to which requests were looked at */
	/* CONFIG */
	uint16_t command, control; /* Command; MSI-X Message Control */
	uint32_t bar[6], window_offset;
	uint8_t window_bar;
	bool scanned, is_virtio;
	uint8_t cap[FRONT_CAPS]; /* offsets by cfg_type, and CAP_MSIX; 0: none */
	/* TABLE, as the driver wrote it */
	uint32_t word[4];
};

#define CAP_MSIX 15 /* in place.cap and rule.cap: no cfg_type has this value */

struct access {
	struct place *place;
	enum region region; /* the place's may be COMMON for ISR, DEVICE and NOTIFY */
	uint64_t phys;
	uint32_t at; /* in the region; TABLE: in the entry */
	unsigned int size;
	uint64_t value;
	bool store;
};

/*
 * A load: what the driver sees of the bytes at..at+size-1. A store: once it happened the device gets another
 * one, with the changed value. cap: `at` counts from that capability's start. Size 0: all of the region.
 */
struct rule {
	enum region region;
	uint8_t cap;
	bool store;
	uint16_t at;
	uint8_t size;
	enum op op;
	uint32_t value;
	bool (*when)(const struct place *p); /* NULL: always */
};

/* A request of a virtio-iommu, as far as faults look at it. */
union front_request {
	struct viommu_head head;
	struct viommu_attach attach;
	struct viommu_detach detach;
	struct viommu_map map;
	struct viommu_unmap unmap;
	struct viommu_probe probe;
};
/* Changes the request of len bytes. false: it stays as it is. */
typedef bool (*request_fn)(union front_request *r, uint32_t len);

struct fault {
	struct rule rule[FRONT_RULES];
	void (*hook)(const struct access *a); /* after each access to a known region */
	/* What the guest sees of `value`, which a load gave. */
	uint64_t (*load)(const struct access *a, uint64_t value);
	void (*later)(struct place *p); /* when place.due waits have passed */
	request_fn request;		/* of queue 0, before the device is told of it */
	/* In front of a store to a VT-d unit by an instruction that has stored there before. true: it does not happen. */
	bool (*before)(const struct access *a);
};

/* iommu.c: the requests that were made available since the last call. */
void front_requests(struct place *p, request_fn change);

/* vtd.c: behind each store to the unit. */
void front_vtd_note(const struct access *a);

/* A fault is in one of them: those with an id outside.* in the second, with iommu.* in the third, vtd.* in the fourth. */
extern const struct fault front_faults[F_COUNT], front_outside[F_COUNT], front_iommu[F_COUNT],
	front_vtd[F_COUNT];

#endif
