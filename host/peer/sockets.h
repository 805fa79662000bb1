/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef HOST_PEER_SOCKETS_H
#define HOST_PEER_SOCKETS_H

#include <stdint.h>

struct sockets;
struct peer;
struct peer_transport_ops;

/* uds: path of the hybrid socket, kept; NULL: AF_VSOCK. NULL: no memory. */
struct sockets *sockets_new(const char *uds);
void sockets_set_peer(struct sockets *s, struct peer *p);
const struct peer_transport_ops *sockets_ops(const struct sockets *s);
/* Waits at most timeout_ns (-1: for ever) and handles what came. 1: stop_fd is readable; negative errno. */
int sockets_round(struct sockets *s, int stop_fd, int64_t timeout_ns);
/* Closes everything; Unix sockets are removed. */
void sockets_free(struct sockets *s);

#endif
