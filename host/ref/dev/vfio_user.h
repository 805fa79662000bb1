/* SPDX-License-Identifier: BSD-2-Clause */
/* The vfio-user server: a Unix socket, one VMM at a time, one virtio PCI function behind it. */
#ifndef HOST_REF_DEV_VFIO_USER_H
#define HOST_REF_DEV_VFIO_USER_H

#include <poll.h>
#include <stdbool.h>

#include "host/ref/dev/device.h"

#define VFU_POLL_FDS 1 /* what vfu_poll_fill() may add */

struct vfu;

/* Listens. A stale socket file is replaced. NULL and errno (EADDRINUSE: somebody listens there). */
struct vfu *vfu_new(const char *path, struct device *d, unsigned int vectors);
/* Serves a connected socket, no listening (tests). */
struct vfu *vfu_new_connected(int fd, struct device *d, unsigned int vectors);
/* Removes the socket file. The device stays the caller's. */
void vfu_free(struct vfu *v);

/* Adds what to wait for; returns how many. */
unsigned int vfu_poll_fill(const struct vfu *v, struct pollfd *fds);
/* Handles what poll() said of these very entries. */
void vfu_poll_done(struct vfu *v, const struct pollfd *fds, unsigned int n);
/* The device has worked. */
void vfu_after_run(struct vfu *v);
/* The connection to the VMM ends as if the server had died; the next one is waited for. */
void vfu_drop(struct vfu *v);
/* A VMM was connected, and is gone. */
bool vfu_served(const struct vfu *v);

#endif
