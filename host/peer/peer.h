/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vsock peer: services (echo, sink, source) and the control protocol over
 * an abstract transport. Single-threaded, event-driven: a transport calls the
 * peer_on_*() functions, the peer calls the transport's ops; neither blocks.
 *
 * Transports: in-process with refdev (host/ref/dev/), AF_VSOCK (host/peer/af_vsock.c),
 * hybrid Unix sockets (host/peer/uds.c: "CONNECT port", uds_port).
 */
#ifndef HOST_PEER_PEER_H
#define HOST_PEER_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "host/peer/proto.h"

struct peer;
struct peer_conn; /* the peer's record of a connection; the transport keeps the pointer */
struct tconn;	  /* the transport's; the peer keeps the pointer */

struct peer_transport_ops {
	const char *name;
	uint32_t caps; /* enum ctl_cap */
	/* 0, -EADDRINUSE, -EOPNOTSUPP. cid may be ASSAY_CID_ANY. port 0 is never passed. */
	int (*listen)(void *be, uint64_t cid, uint32_t port, uint16_t type);
	void (*unlisten)(void *be, uint64_t cid, uint32_t port, uint16_t type);
	/* local: a host CID and a port. Starts; peer_on_connected() or peer_on_closed() follows (never from within). 0 or -errno.
	 * buf: receive buffer, 0 default. *out is valid on 0. */
	int (*connect)(void *be, struct ctl_addr local, struct ctl_addr remote, uint16_t type,
		       uint32_t buf, struct peer_conn *pc, struct tconn **out);
	/* Bytes taken (may be less), -EAGAIN (peer_on_writable() follows), -EPIPE. eom: the message ends with
	 * the last byte (only if all was taken). */
	ssize_t (*send)(struct tconn *c, const void *buf, size_t len, bool eom);
	/* Bytes given, 0: end of data, -EAGAIN, -ECONNRESET. *eom: a message ended with the last byte.
	 * Reading is what returns credit to the guest. */
	ssize_t (*recv)(struct tconn *c, void *buf, size_t len, bool *eom);
	void (*shutdown)(struct tconn *c, unsigned int how); /* 1 RCV, 2 SEND, as CTL_SHUTDOWN */
	void (*reset)(struct tconn *c);			     /* RST to the guest */
	/* Orderly close and release: the transport frees c; no callback for it after this. */
	void (*close)(struct tconn *c);
	/* Addresses and credit fields of r. */
	void (*report)(struct tconn *c, struct ctl_report *r);
	int (*set_buf)(struct tconn *c, uint32_t bytes); /* NULL: -EOPNOTSUPP */
	int (*advance)(struct tconn *c, uint32_t bytes); /* CTL_ADVANCE, likewise */
	/* Operations from CTL_DEV_INFO on; NULL: -EOPNOTSUPP. reply: ASSAY_CTL_MAX bytes. */
	int (*device_op)(void *be, uint16_t op, const void *req, size_t len, void *reply,
			 size_t *reply_len);
};

#define PEER_GUESTS_MAX	   16
#define PEER_LISTENERS_MAX 1024 /* made by orders */

struct peer_config {
	const struct peer_transport_ops *ops;
	void *be;
	FILE *log; /* or NULL */
	bool verbose;
	uint32_t control_port; /* 0: ASSAY_CTL_PORT; services follow on +1, +2, +3 */
	/* CIDs of the only guest that is served, and connected to; none: every guest of this host is. */
	uint64_t guests[PEER_GUESTS_MAX];
	unsigned int nguests;
};

/* Listens on the control and service ports. NULL and errno on failure. */
struct peer *peer_new(const struct peer_config *cfg);
void peer_free(struct peer *p);

/* Whether there is a listener for connections to this CID, which is on it or on any. */
bool peer_listens(struct peer *p, uint64_t cid, uint32_t port, uint16_t type);
/* A connection came in on a listener. Returns the record, NULL: refuse (the transport sends RST and
 * frees t). remote: guest address, local: the host CID and port that were addressed. */
struct peer_conn *peer_on_accept(struct peer *p, struct tconn *t, struct ctl_addr local,
				 struct ctl_addr remote, uint16_t type);
void peer_on_connected(struct peer_conn *pc);
void peer_on_readable(struct peer_conn *pc);
void peer_on_writable(struct peer_conn *pc);
/* The guest shut down directions (flags of OP_SHUTDOWN). */
void peer_on_shutdown(struct peer_conn *pc, unsigned int how);
/* It is over: err 0 orderly, -ECONNRESET by RST, -ECONNREFUSED, -ETIMEDOUT. The peer calls close() in time. */
void peer_on_closed(struct peer_conn *pc, int err);
/* The device was reset or went away: every connection is over. */
void peer_on_device_reset(struct peer *p);

/* Timers: ns until the next one (-1: none), and the call once it is due. Call after each round of events. */
int64_t peer_next_timeout_ns(struct peer *p);
void peer_run_timers(struct peer *p);

/* The command `assay peer`. Its exit status. */
int peer_main(int argc, char **argv);

#endif
