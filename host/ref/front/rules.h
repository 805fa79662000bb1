/* SPDX-License-Identifier: BSD-2-Clause */
/* How faults of the front end are written: rules in one line each, and where things are. */
#ifndef HOST_REF_FRONT_RULES_H
#define HOST_REF_FRONT_RULES_H

#include "drivers/virtio/mmio.h"
#include "drivers/virtio/pci.h"
#include "host/ref/front/front.h"

#define COMMON_AT(field) offsetof(struct virtio_pci_common_cfg, field)
#define LOAD(r, offset, n, operation, v, ...)                                                      \
	{                                                                                          \
		.region = (r), .at = (offset), .size = (n), .op = (operation), .value = (v),       \
		__VA_ARGS__                                                                        \
	}
#define STORE(r, offset, n, operation, v, ...)                                                     \
	LOAD(r, offset, n, operation, v, .store = true, __VA_ARGS__)

#define STATUS(operation, v, ...)                                                                  \
	LOAD(COMMON, COMMON_AT(device_status), 1, operation, v, __VA_ARGS__)
#define FEATURES(operation, v, ...)                                                                \
	LOAD(COMMON, COMMON_AT(device_feature), 4, operation, v, __VA_ARGS__)
#define CAPABILITY(c, offset, n, operation, v) LOAD(CONFIG, offset, n, operation, v, .cap = (c))

enum {
	CAP_LEN = 2, /* struct virtio_pci_cap (4.1.4) */
	CAP_CFG_TYPE = 3,
	CAP_VENDOR_ID = 4, /* of vendor data (4.1.4.8) */
	CAP_BAR = 4,
	CAP_OFFSET = 8,
	CAP_LENGTH = 12,
	CAP_MULTIPLIER = 16, /* notify_off_multiplier */
	CAP_CFG_DATA = 16,   /* pci_cfg_data */
	MSIX_CONTROL = 2,
	MSIX_TABLE = 4,
	MSIX_PBA = 8,
	ENTRY_ADDRESS = 0,
	ENTRY_UPPER_ADDRESS = 4,
	ENTRY_CONTROL = 12,
	ENTRY_MASKED = 1,
	QUEUE_FAR = 64,		/* no reference device has so many queues */
	NOTIFY_OFFSET = 0x3000, /* of QEMU's notification area behind the common configuration */
};

#endif
