/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The connections of a device. A connection has two ends: the guest's, which sends and receives packets over the rings
 * (device.c), and the host's socket, which the peer holds (transport.c). This is the state between them.
 *
 * A connection is in up to three lists of its device: the table, by its addresses; the send queue, while it has a
 * packet for the guest; and the to-do list, while it has something to tell the peer. A call of the peer into the
 * transport must not call the peer back: what it brings about waits in the to-do list for conn_run_todo().
 */
#ifndef HOST_REF_DEV_CONN_H
#define HOST_REF_DEV_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/virtio_vsock.h>

#include "host/peer/peer.h"
#include "host/ref/dev/fifo.h"
#include "host/ref/dev/ring.h"

struct device;
struct past_conn;

#define DEV_DEFAULT_BUF (256 * 1024) /* bytes of a receive buffer */
#define DEV_MAX_CONNS	16384

#define SHUT_RCV  VIRTIO_VSOCK_SHUTDOWN_RCV
#define SHUT_SEND VIRTIO_VSOCK_SHUTDOWN_SEND
#define SHUT_BOTH (SHUT_RCV | SHUT_SEND)

enum tconn_state {
	TC_CONNECTING,
	TC_ESTABLISHED,
	TC_CLOSED
};

/* Packets without data that the connection owes the guest. */
enum tconn_pending {
	TP_REQUEST = 1 << VIRTIO_VSOCK_OP_REQUEST,
	TP_RESPONSE = 1 << VIRTIO_VSOCK_OP_RESPONSE,
	/* The guest asked, or has not heard of much that is free again. */
	TP_CREDIT_UPDATE = 1 << VIRTIO_VSOCK_OP_CREDIT_UPDATE,
	TP_CREDIT_REQUEST = 1 << VIRTIO_VSOCK_OP_CREDIT_REQUEST,
};

/* What conn_run_todo() does for the connection. */
enum tconn_todo {
	TD_WRITABLE = 1, /* tells a sender that waits of the room that there is, as each of them does */
	TD_FINISH = 2, /* sends the RST: the guest shut both directions and the peer has read all */
	TD_FREE = 4,
};

struct tconn {
	struct device *d;
	struct peer_conn *pc; /* NULL: the peer has released it */

	/* The lists belong to conn.c. */
	struct tconn *hash_next;
	struct tconn *prev, *next; /* all of the device */
	struct tconn *send_next, *todo_next;
	bool in_send, in_todo, hashed;
	unsigned int todo; /* enum tconn_todo */

	uint64_t seq;	     /* the order in which connections were made, for faults */
	int64_t deadline_ns; /* when the connection is reset for want of the guest's RST; 0: never */
	unsigned int pending; /* enum tconn_pending */
	uint64_t host_cid, guest_cid;
	uint32_t host_port, guest_port;
	uint16_t type;
	enum tconn_state state;
	unsigned int guest_shut, host_shut, host_shut_sent; /* SHUT_* */
	bool overrun, want_write, credit_known;

	/* From the guest: conn.c puts, transport.c takes. */
	struct fifo rx;
	struct fifo rx_ends;	 /* seqpacket: u64 offsets at which messages end */
	uint64_t rx_put, rx_got; /* offsets */
	uint32_t buf_alloc;
	uint32_t told_limit; /* how far the guest may send by the most that it was told of */
	uint32_t slack;	     /* fault record.shrunk_unbound: what the buffer has lost */
	uint32_t fwd_cnt, fwd_told;

	/* To the guest: transport.c puts, conn_packet_sent() takes. */
	struct fifo tx;
	struct fifo tx_ends;
	uint64_t tx_put, tx_got;
	uint32_t tx_cnt, guest_buf_alloc, guest_fwd_cnt;

	uint64_t rx_packets, tx_packets, rx_data_packets, tx_data_packets;
	uint32_t credit_updates, credit_requests;

	/* Faults outside.vs_*. */
	uint32_t fwd_bias;  /* what fwd_cnt in packets is wrong by */
	uint32_t fwd_shown; /* fwd_cnt of the last packet without data */
	bool tx_split;	    /* the message under way began in an earlier packet */
	bool from_guest;    /* who connected */
	uint64_t rx_message; /* offset at which the message from the guest that is under way begins */
	bool tx_filled;	     /* the data packet that was made last left no room in its buffer */
	uint64_t answered_in; /* the device's round of tx in which the guest's RESPONSE came; 0: none */
};

/* --- the table --- */

/* A connection in the table, in state TC_CONNECTING, without a peer. NULL: there are too many, or no memory. */
struct tconn *conn_new(struct device *d, uint64_t host_cid, uint32_t host_port, uint64_t guest_cid,
		       uint32_t guest_port, uint16_t type);
/* The connection with exactly these addresses, or NULL. */
struct tconn *conn_find(struct device *d, uint64_t host_cid, uint32_t host_port, uint64_t guest_cid,
			uint32_t guest_port, uint16_t type);
/* Whether the features that the driver acknowledged have this type (virtio 1.4, 5.10.3). */
bool conn_type_offered(const struct device *d, uint16_t type);

/* --- packets --- */

/* Handles a packet from the guest: its header, and the chain that holds its payload from byte 44 on. */
void conn_receive(struct device *d, const struct virtio_vsock_hdr *h, const struct ring_chain *c);
/* Puts c into the send queue. Whoever changes what c has to send calls it; conn_packet() finds out what that is. */
void conn_queue(struct tconn *c);
/* Takes the first connection out of the send queue. NULL: the queue is empty. */
struct tconn *conn_next(struct device *d);
/*
 * Makes the next packet of c, which room bytes of payload fit into. Its *payload bytes are at the head of c->tx.
 * False: there is none.
 */
bool conn_packet(struct tconn *c, struct virtio_vsock_hdr *h, size_t room, size_t *payload);
/* Whether c has data for which the guest has credit: conn_packet() makes a packet of it where a buffer has room. */
bool conn_wants_room(const struct tconn *c);
/* A packet of no use, to have a buffer used that has no room for a payload. */
void conn_filler(const struct tconn *c, struct virtio_vsock_hdr *h);
/* The packet of conn_packet() or conn_filler() was delivered. */
void conn_packet_sent(struct tconn *c, const struct virtio_vsock_hdr *h, size_t payload);
/* Bytes that c->tx takes now: the guest's credit, up to a limit, less what is queued. */
size_t conn_send_room(const struct tconn *c);

/* Tells the guest of what the peer has read, before the guest must stop: after a quarter of the buffer. */
void conn_offer_credit(struct tconn *c);
/* Faults: remembers c, which is in the table still. */
void conn_to_past(const struct tconn *c, struct past_conn *past);

/* --- ends --- */

/* The peer releases c: it is shut down, or reset where that is too early or too late. c is freed in time. */
void conn_close(struct tconn *c);
/* Sends an RST to the guest and takes c out of the table. The peer is not told. */
void conn_reset(struct tconn *c);
/* Ends c without a packet to the guest. The peer is told: err as peer_on_closed(). */
void conn_end(struct tconn *c, int err);
/* Every connection ends without a packet to the guest, and is freed. */
void device_drop_conns(struct device *d);

/* --- later --- */

/* Adds enum tconn_todo bits to what the next conn_run_todo() does for c. */
void conn_todo(struct tconn *c, unsigned int what);
void conn_run_todo(struct device *d);
/* Resets the connections whose deadline_ns has passed. Sets d->scan_needed while others have one. */
void conn_scan_deadlines(struct device *d, int64_t now);

#endif
