/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The DMA back end of devices behind an IOMMU (`iommu=on`): each has a domain of its own, where only what is mapped at the
 * time can be reached, readable or writable as the transfer goes. The domains begin at the same address, so that a
 * translation that is mixed up reaches somebody else's memory, and an address is used again as soon as it is free, so that a
 * stale one does. No address there is one of RAM.
 */
#ifndef DRIVERS_IOMMU_DMA_H
#define DRIVERS_IOMMU_DMA_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/device.h"

struct iommu;

/* The IOMMU, endpoint and domain of a device that has this back end. false: it has none. */
struct iommu_space_info {
	struct iommu *m;
	uint32_t endpoint, domain;
	uint64_t mapped; /* pages now */
	uint64_t beyond; /* the first address that the back end never gives away */
};
bool iommu_space(const struct device *d, struct iommu_space_info *out);
/* How many times since the boot the IOMMU has refused to unmap what was mapped: the device still reaches that memory. */
unsigned int iommu_unmaps_refused(void);

#endif
