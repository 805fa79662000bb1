/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio over PCI (4.1), for tests of the transport itself. */
#ifndef DRIVERS_VIRTIO_PCI_H
#define DRIVERS_VIRTIO_PCI_H

#include "drivers/virtio/virtio.h"
#include "lib/pci.h"

#define VIRTIO_PCI_VENDOR   0x1af4
#define VIRTIO_PCI_MODERN   0x1040 /* + device id (4.1.2) */
#define VIRTIO_PCI_MAX_CAPS 32

enum virtio_pci_cap_type { /* 4.1.4 */
	VIRTIO_PCI_CAP_COMMON_CFG = 1,
	VIRTIO_PCI_CAP_NOTIFY_CFG = 2,
	VIRTIO_PCI_CAP_ISR_CFG = 3,
	VIRTIO_PCI_CAP_DEVICE_CFG = 4,
	VIRTIO_PCI_CAP_PCI_CFG = 5,
	VIRTIO_PCI_CAP_SHARED_MEMORY_CFG = 8,
	VIRTIO_PCI_CAP_VENDOR_CFG = 9,
};

struct virtio_pci_common_cfg { /* 4.1.4.3 */
	le32 device_feature_select;
	le32 device_feature;
	le32 driver_feature_select;
	le32 driver_feature;
	le16 config_msix_vector;
	le16 num_queues;
	uint8_t device_status;
	uint8_t config_generation;
	le16 queue_select;
	le16 queue_size;
	le16 queue_msix_vector;
	le16 queue_enable;
	le16 queue_notify_off;
	le32 queue_desc_lo, queue_desc_hi;
	le32 queue_driver_lo, queue_driver_hi;
	le32 queue_device_lo, queue_device_hi;
	le16 queue_notif_config_data;
	le16 queue_reset;
	le16 admin_queue_index;
	le16 admin_queue_num;
};
_Static_assert(offsetof(struct virtio_pci_common_cfg, device_status) == 20, "4.1.4.3");
_Static_assert(offsetof(struct virtio_pci_common_cfg, queue_desc_lo) == 32, "4.1.4.3");
_Static_assert(offsetof(struct virtio_pci_common_cfg, queue_reset) == 58, "4.1.4.3");
_Static_assert(sizeof(struct virtio_pci_common_cfg) == 64, "4.1.4.3");

/* Up to and without queue_notif_config_data: what virtio 1.0 has. */
#define VIRTIO_PCI_COMMON_MIN offsetof(struct virtio_pci_common_cfg, queue_notif_config_data)

/* One vendor-specific capability (id 9) as found, usable or not. */
struct virtio_pci_cap_info {
	unsigned int at; /* in configuration space */
	uint8_t cap_len, type, bar, id;
	uint64_t offset, length;
	uint32_t multiplier; /* NOTIFY_CFG */
	bool in_bar;	     /* offset and length lie inside of a memory BAR */
};

struct virtio_pci {
	struct virtio_device vdev;
	const struct pci_dev *pci;
	struct virtio_pci_cap_info cap[VIRTIO_PCI_MAX_CAPS]; /* in the list's order */
	unsigned int num_caps;
	/* The first usable one of each type; NULL: none. */
	const struct virtio_pci_cap_info *common_cap, *notify_cap, *isr_cap, *device_cap,
		*window_cap;
	volatile struct virtio_pci_common_cfg *common;
	volatile uint8_t *notify, *isr, *device;
	struct pci_msix msix;
	bool has_msix;
	int msix_error; /* of pci_msix_init(): -ENOENT: no such capability, -EIO: it makes no sense */
	/* Per queue, known after queue_enable(). */
	volatile uint8_t *notify_at[VIRTIO_MAX_QUEUES];
	uint16_t notify_data[VIRTIO_MAX_QUEUES];
	/* Interrupts in use. */
	struct virtio_pci_vector {
		struct virtio_pci *dev;
		int vector; /* 0: none */
		int other;  /* the one before it was steered anew; still ours. 0: none */
		int queue;  /* -1: config, -2: all */
	} irq[VIRTIO_MAX_QUEUES + 1];
	uint8_t generation; /* last seen by the shared vector's handler */
};

/* NULL if d is not on PCI. */
struct virtio_pci *virtio_pci(struct virtio_device *d);

/*
 * Access through the PCI_CFG window (4.1.4.9), size 1, 2 or 4. 0, -ENOENT (no such capability),
 * -EINVAL (not aligned).
 */
int virtio_pci_window_read(struct virtio_pci *p, uint8_t bar, uint32_t off, unsigned int size,
			   uint32_t *v);
int virtio_pci_window_write(struct virtio_pci *p, uint8_t bar, uint32_t off, unsigned int size,
			    uint32_t v);

/* Vector fields, for tests; the value read back. */
uint16_t virtio_pci_set_config_vector(struct virtio_pci *p, uint16_t entry);
uint16_t virtio_pci_set_queue_vector(struct virtio_pci *p, uint16_t queue, uint16_t entry);

#endif
