/* SPDX-License-Identifier: BSD-2-Clause */
#include "drivers/virtio/viot.h"

#include <stddef.h>

#include "drivers/virtio/iommu.h"
#include "lib/acpi.h"
#include "lib/endian.h"

enum {
	NODE_PCI_RANGE = 1,
	NODE_MMIO_ENDPOINT = 2,
	NODE_IOMMU_PCI = 3,
	NODE_IOMMU_MMIO = 4,
};

struct viot {
	struct acpi_header header;
	le16 nodes, first;
	uint8_t reserved[8];
} __attribute__((packed));

struct node {
	uint8_t type, reserved;
	le16 length;
	union {
		struct {
			le32 endpoint;
			le16 segment_first, segment_last, bdf_first, bdf_last, iommu;
		} __attribute__((packed)) pci;
		struct {
			le32 endpoint;
			le64 base;
			le16 iommu;
		} __attribute__((packed)) mmio;
		struct {
			le16 segment, bdf;
		} __attribute__((packed)) iommu_pci;
		struct {
			uint8_t reserved[4];
			le64 base;
		} __attribute__((packed)) iommu_mmio;
	};
} __attribute__((packed));
_Static_assert(sizeof(struct node) == 18, "ACPI 6.5, 5.2.30");

static const struct viot *table(void)
{
	const struct acpi_header *h = acpi_table("VIOT", 0);

	return h && h->length >= sizeof(struct viot) ? (const void *)h : NULL;
}

/* The node at this offset, as far as the table has all of it. */
static const struct node *node_at(const struct viot *t, uint32_t at)
{
	const struct node *n = (const void *)((const uint8_t *)t + at);

	if (at < sizeof(*t) || at > t->header.length - 4)
		return NULL;
	/* All kinds have 16 bytes at least, and end where the table does at the latest. */
	if (le16_to_cpu(n->length) < 16 || le16_to_cpu(n->length) > t->header.length - at)
		return NULL;
	return n;
}

static struct viommu *iommu_at(const struct viot *t, uint16_t at)
{
	const struct node *n = node_at(t, at);
	struct viommu *v;
	unsigned int i;

	for (i = 0; n && (v = viommu_get(i)); i++) {
		const struct device *d = &viommu_device(v)->dev;

		if (n->type == NODE_IOMMU_PCI && d->bus == DEVICE_PCI &&
		    d->segment == le16_to_cpu(n->iommu_pci.segment) &&
		    d->requester == le16_to_cpu(n->iommu_pci.bdf))
			return v;
		if (n->type == NODE_IOMMU_MMIO && d->bus == DEVICE_MMIO &&
		    d->base == le64_to_cpu(n->iommu_mmio.base))
			return v;
	}
	return NULL;
}

static bool in_range(const struct node *n, const struct device *d, uint32_t *endpoint)
{
	const uint16_t first = le16_to_cpu(n->pci.bdf_first);
	const uint16_t segment = le16_to_cpu(n->pci.segment_first);

	if (d->bus != DEVICE_PCI || d->segment < segment ||
	    d->segment > le16_to_cpu(n->pci.segment_last) || d->alias < first ||
	    d->alias > le16_to_cpu(n->pci.bdf_last))
		return false;
	*endpoint = le32_to_cpu(n->pci.endpoint) + ((uint32_t)(d->segment - segment) << 16) +
		    d->alias - first;
	return true;
}

bool viot_endpoint(const struct device *d, struct viommu **v, uint32_t *endpoint)
{
	const struct viot *t = table();
	uint32_t at = t ? le16_to_cpu(t->first) : 0;
	uint16_t i;

	for (i = 0; t && i < le16_to_cpu(t->nodes); i++) {
		const struct node *n = node_at(t, at);
		uint16_t iommu;

		if (!n)
			return false;
		at += le16_to_cpu(n->length);
		if (le16_to_cpu(n->length) < sizeof(*n))
			continue; /* no endpoint's */
		if (n->type == NODE_PCI_RANGE && in_range(n, d, endpoint)) {
			iommu = le16_to_cpu(n->pci.iommu);
		} else if (n->type == NODE_MMIO_ENDPOINT && d->bus == DEVICE_MMIO &&
			   d->base == le64_to_cpu(n->mmio.base)) {
			*endpoint = le32_to_cpu(n->mmio.endpoint);
			iommu = le16_to_cpu(n->mmio.iommu);
		} else {
			continue;
		}
		*v = iommu_at(t, iommu);
		/* The IOMMU's own requests are not translated, whatever a range says. */
		return *v && &viommu_device(*v)->dev != d;
	}
	return false;
}
