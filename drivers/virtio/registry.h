/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the transports and virtio.c. */
#ifndef DRIVERS_VIRTIO_REGISTRY_H
#define DRIVERS_VIRTIO_REGISTRY_H

struct virtio_device;

/* Adds a device whose ops work; it is in reset. 0, -ENOSPC. */
int virtio_register(struct virtio_device *d);
void virtio_pci_probe(void);
void virtio_mmio_probe(void);

#endif
