/* SPDX-License-Identifier: BSD-2-Clause */
/* The administration virtqueue (virtio 1.4, 2.12.1 and 2.13): of the device itself, with no command but the lists. */
#ifndef HOST_REF_DEV_VIRTIO_ADMIN_H
#define HOST_REF_DEV_VIRTIO_ADMIN_H

#include "host/ref/dev/ring.h"

/* Answers what is available. c: to work with. */
void virtio_admin_run(struct ring *r, struct ring_chain *c);

#endif
