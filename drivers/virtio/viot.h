/* SPDX-License-Identifier: BSD-2-Clause */
/* ACPI's Virtual I/O Translation table: which virtio-iommu translates which device, and by what name (ACPI 6.5, 5.2.30). */
#ifndef DRIVERS_VIRTIO_VIOT_H
#define DRIVERS_VIRTIO_VIOT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/device.h"

struct viommu;

/* The IOMMU that translates the device and its endpoint ID there. false: none does, or there is no table that says so. */
bool viot_endpoint(const struct device *d, struct viommu **v, uint32_t *endpoint);

#endif
