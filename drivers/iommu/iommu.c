/* SPDX-License-Identifier: BSD-2-Clause */
#include "drivers/iommu/iommu.h"

#include <stddef.h>

static struct iommu_driver *drivers;

void iommu_driver_add(struct iommu_driver *d)
{
	d->next = drivers;
	drivers = d;
}

struct iommu *iommu_get(unsigned int n)
{
	const struct iommu_driver *d;
	struct iommu *m;
	unsigned int i;

	for (d = drivers; d; d = d->next)
		for (i = 0; (m = d->get(i)); i++)
			if (n-- == 0)
				return m;
	return NULL;
}
