/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtio-iommu behind the interface that all IOMMUs have. */
#ifndef DRIVERS_VIRTIO_IOMMU_OPS_H
#define DRIVERS_VIRTIO_IOMMU_OPS_H

struct iommu;
struct viommu;

/* The IOMMU that iommu_get() gives for this virtio-iommu; NULL if it gives none. */
struct iommu *viommu_iommu(struct viommu *v);

#endif
