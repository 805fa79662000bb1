/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device on a bus: who it is, and through which back ends its DMA and its interrupts go. lib/dma.h and
 * lib/irq.h take it.
 *
 * Back ends are chosen for each device. device_attach() starts with the architecture's own (an address is a
 * physical address, a message goes to a CPU's interrupt controller) and asks each policy, lowest level first.
 * A policy that knows the device (an IOMMU that translates its requester ID, a bounce pool that all devices
 * need) pushes a DMA back end with dma_push(), or sets `irq`.
 */
#ifndef LIB_DEVICE_H
#define LIB_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/dma.h"

enum device_bus {
	DEVICE_NONE, /* no hardware: a test's own */
	DEVICE_PCI,
	DEVICE_MMIO,
};

struct irq_backend;

struct device {
	enum device_bus bus;
	uint16_t segment, requester; /* PCI: requester is bus << 8 | device << 3 | function */
	uint16_t alias; /* the requester that an IOMMU sees; another's behind a conventional bridge */
	uint64_t base; /* MMIO: the first register's physical address */
	char name[32]; /* "pci 00:03.0", "pci 0001:00:03.0", "mmio 0xfeb00e00" */
	/* The DMA back ends, the lowest first; dma_push() adds one. */
	struct dma_layer dma[DMA_MAX_LAYERS];
	unsigned int dma_layers;
	const struct irq_backend *irq; /* NULL: the architecture's own messages */
	void *irq_priv;		       /* of that back end */
	bool lasting; /* it stays up for good: what is allocated for it is no leak */
};

/* Each sets up a device with its name, and with the architecture's own back ends until device_attach(). */
void device_init_none(struct device *d, const char *name);
void device_init_pci(struct device *d, uint16_t segment, uint16_t requester);
void device_init_mmio(struct device *d, uint64_t base);

/*
 * Chooses the back ends anew, by the policies that there are now. Nothing may be mapped or allocated for the device.
 * 0, or what a policy answered: then the device must not be used, since it lacks a back end that it needs.
 */
int device_attach(struct device *d) __attribute__((warn_unused_result));

enum device_level {
	DEVICE_LEVEL_TRANSLATE, /* IOMMUs: what a device addresses is not physical memory */
	DEVICE_LEVEL_BOUNCE,	/* on top, so that the copies are translated */
};

struct device_policy {
	enum device_level level;
	int (*attach)(struct device *d); /* 0, also where the device is none of its own; -errno */
	struct device_policy *next;	 /* of lib/device.c */
};
/* Each later device_attach() asks the policy. Adding one twice changes nothing. */
void device_policy_add(struct device_policy *p);
void device_policy_remove(struct device_policy *p);

#endif
