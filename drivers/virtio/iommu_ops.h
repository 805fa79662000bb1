/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtio-iommu behind the interface that all IOMMUs have. */
#ifndef DRIVERS_VIRTIO_IOMMU_OPS_H
#define DRIVERS_VIRTIO_IOMMU_OPS_H

struct iommu;
struct viommu;

/* NULL: it is none of those that iommu_get() has. */
struct iommu *viommu_iommu(struct viommu *v);

#endif
