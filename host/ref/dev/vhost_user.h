/* SPDX-License-Identifier: BSD-2-Clause */
/* The vhost-user back end: a server on a Unix socket, one VMM at a time, one device behind it. */
#ifndef HOST_REF_DEV_VHOST_USER_H
#define HOST_REF_DEV_VHOST_USER_H

#include <poll.h>
#include <stdbool.h>

#include "host/ref/dev/device.h"

#define VHU_MAX_FDS (3 + DEV_QUEUES) /* what vhu_poll_fill() may add */

struct vhu;

/* Listens. A stale socket file is replaced. NULL and errno (EADDRINUSE: somebody listens there). */
struct vhu *vhu_new(const char *path, struct device *d);
/* Connects there, again and again: the VMM listens. */
struct vhu *vhu_new_client(const char *path, struct device *d);
/* When it wants to try again, ns; -1: it does not. */
int64_t vhu_timeout_ns(const struct vhu *v);
/* Serves a connected socket, no listening (tests). */
struct vhu *vhu_new_connected(int fd, struct device *d);
/* Removes the socket file. The device stays the caller's. */
void vhu_free(struct vhu *v);

/* Adds what to wait for; returns how many. */
unsigned int vhu_poll_fill(struct vhu *v, struct pollfd *fds);
/* Handles what poll() said of these very entries. */
void vhu_poll_done(struct vhu *v, const struct pollfd *fds, unsigned int n);
/* The connection to the VMM ends as if the back end had died; the next one is waited for. */
void vhu_drop(struct vhu *v);
/* A VMM was connected, and is gone. */
bool vhu_served(const struct vhu *v);

#endif
