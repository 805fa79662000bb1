/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio over PCI (virtio 1.4, 4.1) as registers: the capabilities of a PCI function and what its BARs hold, in front
 * of a vsock device. vfio_user.c brings the guest's accesses.
 *
 * A reset, a queue reset and a suspend take effect at once, and are shown as done when the VMM has taken note of all
 * interrupts that were signalled before: none arrives after that.
 */
#ifndef HOST_REF_DEV_VIRTIO_PCI_H
#define HOST_REF_DEV_VIRTIO_PCI_H

#include <stdbool.h>
#include <stdint.h>

#include "host/ref/dev/device.h"
#include "host/ref/dev/pci_function.h"

#define VPCI_QUEUE_SIZE 128
#define VPCI_ADMIN	DEV_QUEUES /* the administration virtqueue, behind the device's own */
#define VPCI_QUEUES	(DEV_QUEUES + 1)
#define VPCI_NO_VECTOR	0xffff
#define VPCI_SHARED_BAR 4 /* the VMM may map it */

/* Something that was done, and is not shown as done yet. */
struct vpci_wait {
	bool on;
	int64_t until_ns; /* then it is shown whatever the VMM does */
	int64_t taken_ns; /* when the VMM had taken note of all signals */
};

struct vpci_queue {
	uint16_t size, vector;
	bool enabled;
	struct vpci_wait resetting;
	bool odd;	  /* fault vfio.queue_reset_2 */
	bool was_reset;	  /* since the device's reset; fault vfio.queue_reset_stays */
	uint32_t addr[6]; /* descriptors, driver, device: low and high halves */
};

struct virtio_pci {
	struct pci_function pci;
	struct device *d;
	int shared_fd; /* a shared memory region, without a meaning */
	void *shared;
	uint32_t device_select, driver_select;
	uint64_t offered, driver_features;
	uint8_t status, status_shown; /* as it is; as it is read while status_waits */
	struct vpci_wait status_waits;
	uint64_t signals_settled;	     /* pci.signals when nothing was under way */
	uint8_t generation, generation_read; /* now; when the config was read last */
	uint8_t isr;
	uint16_t config_vector;
	uint16_t select;
	struct vpci_queue queue[VPCI_QUEUES];
	bool started[VPCI_QUEUES];
	struct ring admin;
	/* For faults. */
	bool was_suspended; /* since the last reset */
	bool master_lost;   /* Bus Master was off while the device ran, since the last reset */
	bool refused;	    /* FEATURES_OK, ever */
	bool broke;	    /* the device needed the last reset, and not the one before */
	uint32_t first_base;
};

/* 0, -errno. */
int virtio_pci_init(struct virtio_pci *v, struct device *d, unsigned int vectors);
void virtio_pci_free(struct virtio_pci *v);
/* Power-on: nothing of the last guest is left. */
void virtio_pci_reset(struct virtio_pci *v);
/* The memory map changed. */
void virtio_pci_memory_changed(struct virtio_pci *v);
/* After the device has worked: a queue that broke is shown. */
void virtio_pci_after_run(struct virtio_pci *v);

#endif
