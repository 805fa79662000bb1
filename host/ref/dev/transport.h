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

/* Whether the peer listens there, on this CID or on any. */
bool transport_listens(const struct device *d, uint64_t cid, uint32_t port, uint16_t type);
/* The peer is gone: frees what is left of its listeners. */
void transport_drop_listeners(struct device *d);

#endif
