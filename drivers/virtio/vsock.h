/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-vsock (5.10): streams and seqpackets, credit on both sides, several
 * local CIDs, several devices. It is single-threaded: one CPU at a time calls it.
 * Only functions with a deadline wait; meanwhile they run vsock_poll().
 */
#ifndef DRIVERS_VIRTIO_VSOCK_H
#define DRIVERS_VIRTIO_VSOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "drivers/virtio/virtio.h"
#include "drivers/virtio/vsock_config.h"
#include "lib/time.h"

#define VSOCK_CID_HOST 2ull
#define VSOCK_CID_ANY  0xffffffffffffffffull
#define VSOCK_PORT_ANY 0xffffffffu

enum vsock_type {
	VSOCK_STREAM = 1,
	VSOCK_SEQPACKET = 2
};
enum vsock_op {
	VSOCK_OP_INVALID,
	VSOCK_OP_REQUEST,
	VSOCK_OP_RESPONSE,
	VSOCK_OP_RST,
	VSOCK_OP_SHUTDOWN,
	VSOCK_OP_RW,
	VSOCK_OP_CREDIT_UPDATE,
	VSOCK_OP_CREDIT_REQUEST,
};
enum vsock_shutdown {
	VSOCK_SHUTDOWN_RCV = 1,
	VSOCK_SHUTDOWN_SEND = 2
};
enum vsock_rw_flags {
	VSOCK_SEQ_EOM = 1,
	VSOCK_SEQ_EOR = 2
};
enum vsock_feature {
	VSOCK_F_STREAM = 0,
	VSOCK_F_SEQPACKET = 1,
	VSOCK_F_NO_IMPLIED_STREAM = 2
};

struct vsock_hdr { /* 5.10.6 */
	le64 src_cid, dst_cid;
	le32 src_port, dst_port, len;
	le16 type, op;
	le32 flags, buf_alloc, fwd_cnt;
} __attribute__((packed));
_Static_assert(sizeof(struct vsock_hdr) == 44, "5.10.6");

/*
 * Payload that one of our receive buffers holds behind the header, and that one packet of ours
 * carries.
 */
#define VSOCK_RX_PAYLOAD (4 * 4096u - sizeof(struct vsock_hdr))
#define VSOCK_TX_PAYLOAD 8192u /* the host works on one packet while we prepare the next */

/*
 * How the driver lays out what it gives the device, for tests of devices that count on one way.
 * What is 0 is as usual.
 */
struct vsock_manner {
	uint64_t without;    /* features of the ring that are not taken */
	uint16_t queue_size; /* entries of each queue, at most */
	uint32_t rx_bytes;   /* of a receive buffer, header included */
	uint32_t rx_off;     /* where it begins behind a page's start */
	uint16_t rx_pieces;  /* descriptors of one, all but the last of rx_piece bytes */
	uint32_t rx_piece;
	uint16_t rx_count; /* receive buffers */
	uint16_t ev_count; /* buffers for events */
	uint32_t ev_bytes; /* of one, at most 64; in two descriptors if there is ev_first */
	uint32_t ev_first;
};
/* For devices that are opened from now on, until NULL. */
void vsock_set_manner(const struct vsock_manner *m);

struct vsock;	   /* one device */
struct vsock_conn; /* one connection */
struct vsock_listener;

struct vsock_addr {
	uint64_t cid;
	uint32_t port;
};

/*
 * Brings the n-th vsock device up: negotiate, config (layout by vsock.layout=, default auto),
 * queues, rx filled, DRIVER_OK. 0 (*out set), -ENODEV (no such device), -EPROTO (config contradicts
 * itself; see vsock_config_error()), others as virtio.h. features: wanted device-specific bits, 0:
 * all known.
 */
int vsock_open(unsigned int n, uint64_t features, struct vsock **out);
/*
 * Resets the device, frees everything. Connections and listeners become invalid. -ETIMEDOUT: the
 * reset does not end; then the memory that the device knows of stays allocated for good.
 */
int vsock_close(struct vsock *vs);
unsigned int vsock_count(void); /* vsock devices present */

struct virtio_device *vsock_device(struct vsock *vs);
/* The guest's CIDs and the additional CIDs of the host, as the driver read them last. */
const struct vsock_config *vsock_config(const struct vsock *vs);
const char *vsock_config_error(const struct vsock *vs);
/* Whether cid is one of the guest's. Connections come from config->guest[0] by default. */
bool vsock_is_local(const struct vsock *vs, uint64_t cid);

/*
 * Takes what the device used on rx, tx and event, then sends packets that wait. Returns how many it
 * handled, or -EPROTO.
 */
int vsock_poll(struct vsock *vs);
/* Why the device was found broken (-EPROTO), "" if it was not. */
const char *vsock_error(const struct vsock *vs);

/*
 * local.cid 0: the default; local.port VSOCK_PORT_ANY: chosen. Waits for the answer. 0,
 * -ECONNREFUSED (RST), -ETIMEDOUT, -EADDRINUSE, -EADDRNOTAVAIL (not ours), -ENOMEM, -EOPNOTSUPP
 * (type not negotiated).
 */
int vsock_connect(struct vsock *vs, enum vsock_type type, struct vsock_addr local,
		  struct vsock_addr remote, uint64_t ns, struct vsock_conn **out);
/* Sends the REQUEST and returns; vsock_conn_state() tells the outcome. */
int vsock_connect_start(struct vsock *vs, enum vsock_type type, struct vsock_addr local,
			struct vsock_addr remote, struct vsock_conn **out);

/* cid VSOCK_CID_ANY: every local CID. -EADDRINUSE, -EADDRNOTAVAIL, -ENOMEM. */
int vsock_listen(struct vsock *vs, enum vsock_type type, struct vsock_addr local,
		 unsigned int backlog, struct vsock_listener **out);
void vsock_unlisten(struct vsock_listener *l);
/* The oldest accepted connection. 0, -ETIMEDOUT. */
int vsock_accept(struct vsock_listener *l, uint64_t ns, struct vsock_conn **out);

enum vsock_state {
	VSOCK_CONNECTING,
	VSOCK_ESTABLISHED,
	VSOCK_CLOSING, /* we have sent SHUTDOWN of both directions and wait for RST */
	VSOCK_CLOSED_ORDERLY,
	VSOCK_RESET,
	VSOCK_REFUSED,
	VSOCK_TRANSPORT_RESET,
};
enum vsock_state vsock_conn_state(const struct vsock_conn *c);
struct vsock_addr vsock_conn_local(const struct vsock_conn *c);
struct vsock_addr vsock_conn_remote(const struct vsock_conn *c);

/*
 * Bytes sent, all of len unless an error came first: -EPIPE (we shut down, or the peer will not
 * receive), -ECONNRESET, -ETIMEDOUT (no credit in time: bytes sent so far if > 0), -EMSGSIZE
 * (seqpacket larger than the peer's buffer). A seqpacket send is one message.
 */
ssize_t vsock_send(struct vsock_conn *c, const void *buf, size_t len, uint64_t ns);
/*
 * Stream: 1..len bytes, or 0 at the end of data. Seqpacket: one message of at most len bytes (a
 * longer one is cut; *msg_len has the full length). -ETIMEDOUT, -ECONNRESET; -EPIPE at the end of
 * data.
 */
ssize_t vsock_recv(struct vsock_conn *c, void *buf, size_t len, uint64_t ns);
ssize_t vsock_recv_msg(struct vsock_conn *c, void *buf, size_t len, uint64_t ns, size_t *msg_len,
		       bool *eor);
/* Bytes waiting to be read. */
size_t vsock_readable(const struct vsock_conn *c);
/* how: VSOCK_SHUTDOWN_*. 0, -ENOTCONN. */
int vsock_shutdown(struct vsock_conn *c, unsigned int how);
/* What the peer shut down, VSOCK_SHUTDOWN_*. */
unsigned int vsock_peer_shutdown(const struct vsock_conn *c);
/* Sends RST; the connection is over. */
void vsock_reset(struct vsock_conn *c);
/*
 * Sends SHUTDOWN of both directions, waits for RST and frees the connection; ns 0 sends RST
 * instead. -ETIMEDOUT when no RST came; the connection is freed all the same.
 */
int vsock_conn_close(struct vsock_conn *c, uint64_t ns);

/*
 * Credit (5.10.6.3). Sets the receive buffer of new connections (0: the default) or of one
 * connection, which tells the peer with its next packet.
 */
void vsock_set_buf(struct vsock *vs, uint32_t bytes);
void vsock_conn_set_buf(struct vsock_conn *c, uint32_t bytes);
/* The counters as if n bytes more had passed both ways. The host must do the same, while nothing is under way. */
void vsock_conn_advance(struct vsock_conn *c, uint32_t n);
/* For credit tests: while it is on, reading gives no credit back. */
void vsock_conn_hold_credit(struct vsock_conn *c, bool on);
struct vsock_credit {
	uint32_t buf_alloc, fwd_cnt, rx_cnt;	       /* what we told the peer, what came in */
	uint32_t peer_buf_alloc, peer_fwd_cnt, tx_cnt; /* what the peer told us, what we sent */
	uint32_t peer_free;			       /* by 5.10.6.3 */
	uint32_t overruns;	    /* packets beyond the credit that we gave (5.10.6.3.2) */
	uint32_t bad_credit;	    /* packets with a fwd_cnt beyond what we sent (5.10.6.3.2) */
	uint32_t late_credit;	    /* packets that a newer fwd_cnt overtook, which a host may do */
	uint32_t updates, requests; /* CREDIT_UPDATE and CREDIT_REQUEST received */
};
void vsock_conn_credit(const struct vsock_conn *c, struct vsock_credit *out);
int vsock_credit_request(struct vsock_conn *c);
/* What the next packets of the connection tell of its receive buffer; none is sent for it. */
void vsock_conn_set_told(struct vsock_conn *c, uint32_t buf_alloc);
/*
 * Sends a packet of this connection, of any operation and flags, in any state; the state stays. The
 * payload, of a RW only, is copied and counted; credit is not looked at. 0, -ENOSPC, -ENOMEM, -EPROTO.
 */
int vsock_conn_packet(struct vsock_conn *c, enum vsock_op op, uint32_t flags, const void *payload,
		      uint32_t len);

/*
 * Sends any header and payload, for hostile tests. The header is little-endian. 0, -ENOSPC,
 * -EPROTO.
 */
int vsock_send_raw(struct vsock *vs, const struct vsock_hdr *hdr, const void *payload,
		   uint32_t len);

/* While it is on, the host's REQUESTs are not answered: they are strays. */
void vsock_hold_requests(struct vsock *vs, bool on);

/* While it is on, receive buffers that the device has used stay with the driver. */
void vsock_hold_rx(struct vsock *vs, bool on);
/* Gives the device one of those, as if it had `bytes` only. 0, -ENOENT (there is none), -ENOSPC, -EPROTO. */
int vsock_give_rx(struct vsock *vs, uint32_t bytes);
/* The same for buffers of events. */
void vsock_hold_events(struct vsock *vs, bool on);
/* While it is on, packets of ours wait in the driver; then they are made available together. */
void vsock_hold_tx(struct vsock *vs, bool on);

/*
 * For a test that posts a buffer on tx itself, with a token of its own: it calls begin() before
 * that, with the header of the packet that the buffer holds, and end() waits until the device has
 * used the buffer. 0, -ETIMEDOUT, -EPROTO.
 */
void vsock_raw_begin(struct vsock *vs, const struct vsock_hdr *hdr);
int vsock_raw_end(struct vsock *vs, const void *token, uint64_t ns);

/* Packets that no connection and no listener took: the newest 16, oldest first. */
struct vsock_stray {
	struct vsock_hdr hdr;
	uint32_t used_len; /* bytes that the device wrote, header included */
};
unsigned int vsock_strays(struct vsock *vs, struct vsock_stray *out, unsigned int max);
void vsock_strays_clear(struct vsock *vs);

/*
 * An observer of every device: it is told of each packet as it goes into the tx ring, also of those
 * that tests forge, of each packet as it comes out of the rx ring, before anybody handles it, and
 * of what ends connections.
 */
enum vsock_saw {
	VSOCK_SAW_UP,		   /* features and CIDs are settled; DRIVER_OK follows */
	VSOCK_SAW_DOWN,		   /* the device was reset, or its driver gave up on it */
	VSOCK_SAW_CIDS,		   /* the configuration was read again */
	VSOCK_SAW_TRANSPORT_RESET, /* the event came (5.10.6.7); VSOCK_SAW_CIDS came before it */
	VSOCK_SAW_BAD_EVENT,	   /* a buffer of the event queue came back with something else */
	VSOCK_SAW_SENT,
	VSOCK_SAW_RECEIVED,
	VSOCK_SAW_ADVANCED, /* vsock_conn_advance(): hdr is of the connection, used_len is n */
};
struct vsock_seen {
	enum vsock_saw what;
	struct vsock *vs;
	const struct vsock_hdr *hdr; /* of packets; NULL: too few bytes came for a header */
	uint32_t used_len;	     /* received, events: bytes that the device says it wrote */
	const void *payload;	     /* received: what follows the header; events: the buffer */
};
/* NULL ends it. There is one at a time. */
void vsock_observe(void (*fn)(void *arg, const struct vsock_seen *seen), void *arg);

struct vsock_stats {
	uint64_t rx_packets, tx_packets, rx_bytes, tx_bytes, rst_sent, rx_malformed;
	uint64_t transport_resets, config_changes;
	unsigned int conns, listeners;
};
void vsock_stats(const struct vsock *vs, struct vsock_stats *out);

#endif
