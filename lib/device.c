/* SPDX-License-Identifier: BSD-2-Clause */
/* device.h: keeps the policies in the order of their levels, and asks each of them for a device. */
#include "lib/device.h"

#include <stdio.h>

static struct device_policy *policies; /* by level */

void device_policy_add(struct device_policy *p)
{
	struct device_policy **at = &policies;

	device_policy_remove(p);
	while (*at && (*at)->level <= p->level)
		at = &(*at)->next;
	p->next = *at;
	*at = p;
}

void device_policy_remove(struct device_policy *p)
{
	struct device_policy **at = &policies;

	while (*at && *at != p)
		at = &(*at)->next;
	if (*at)
		*at = p->next;
}

static void direct(struct device *d)
{
	d->dma_layers = 0;
	dma_push(d, &dma_direct_ops, NULL);
	d->irq = NULL;
	d->irq_priv = NULL;
}

int device_attach(struct device *d)
{
	const struct device_policy *p;
	int ret = 0;

	direct(d);
	for (p = policies; p && !ret; p = p->next)
		ret = p->attach(d);
	return ret;
}

void device_init_none(struct device *d, const char *name)
{
	*d = (struct device){ .bus = DEVICE_NONE };
	snprintf(d->name, sizeof(d->name), "%s", name);
	direct(d);
}

void device_init_pci(struct device *d, uint16_t segment, uint16_t requester)
{
	char domain[8] = "";

	*d = (struct device){
		.bus = DEVICE_PCI, .segment = segment, .requester = requester, .alias = requester
	};
	if (segment)
		snprintf(domain, sizeof(domain), "%04x:", segment);
	snprintf(d->name, sizeof(d->name), "pci %s%02x:%02x.%x", domain,
		 (unsigned int)requester >> 8, requester >> 3 & 31u, requester & 7u);
	direct(d);
}

void device_init_mmio(struct device *d, uint64_t base)
{
	*d = (struct device){ .bus = DEVICE_MMIO, .base = base };
	snprintf(d->name, sizeof(d->name), "mmio 0x%llx", (unsigned long long)base);
	direct(d);
}
