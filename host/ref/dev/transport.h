/* SPDX-License-Identifier: BSD-2-Clause */
/* The device as a transport of host/peer: its sockets, and the orders that only a device can carry out. */
#ifndef HOST_REF_DEV_TRANSPORT_H
#define HOST_REF_DEV_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "host/peer/peer.h"

struct device;

/* `be` is a struct device. caps has all that any device can do: device_new() takes away what this one lacks. */
extern const struct peer_transport_ops transport_ops;

#endif
