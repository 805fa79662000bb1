/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Transports over the host kernel's sockets: one epoll loop, AF_VSOCK
 * (af_vsock.c) or hybrid Unix sockets (uds.c) as the flavour.
 */
#ifndef HOST_PEER_SOCK_H
#define HOST_PEER_SOCK_H

#include "host/peer/peer.h"

struct sock_be;

struct sock_flavour {
	struct peer_transport_ops ops; /* name and caps set, functions filled in by sock.c */
	void *arg;
	/* Each a file descriptor (non-blocking, close-on-exec) or -errno. */
	int (*listen)(void *arg, uint64_t cid, uint32_t port, uint16_t type);
	/* -EINPROGRESS is not an error here: *progress. */
	int (*connect)(void *arg, const struct ctl_addr *local, const struct ctl_addr *remote,
		       uint16_t type, uint32_t buf, bool *progress);
	/* The listening socket was closed. May be NULL. */
	void (*unlisten)(void *arg, uint64_t cid, uint32_t port, uint16_t type);
	/* Addresses of an accepted or connected socket; fields that are not known stay as they are. */
	void (*addresses)(void *arg, int fd, struct ctl_addr *local, struct ctl_addr *remote);
	/* Said before data flows on a connection that we made: request to send. May be NULL. */
	int (*hello)(void *arg, const struct ctl_addr *remote, char *buf, size_t size);
	/* Judges the line that answered. 0 (*local filled in) or -errno. */
	int (*hello_reply)(void *arg, const char *line, struct ctl_addr *local);
};

/* NULL and errno. The flavour is copied. */
struct sock_be *sock_new(const struct sock_flavour *f);
const struct peer_transport_ops *sock_ops(struct sock_be *be);
void sock_set_peer(struct sock_be *be, struct peer *p);
/* One round of events and timers; waits at most timeout_ms (-1: no limit). 0, -EINTR, other -errno. */
int sock_run(struct sock_be *be, int timeout_ms);
/* After peer_free(). */
void sock_free(struct sock_be *be);

/* The flavours. Each returns 0 or -errno, with the way out in *hint. */
int uds_flavour(const char *path, struct sock_flavour *out, const char **hint);
void uds_flavour_free(struct sock_flavour *f);
int vsock_flavour(struct sock_flavour *out, const char **hint);

#endif
