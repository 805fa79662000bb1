/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vsock device: queues, connections and host-side sockets of one guest.
 * It knows neither vhost-user (vhost_user.c calls it) nor what the host side
 * does with the sockets (host/peer, through struct peer_transport_ops).
 *
 * Single-threaded. Calls to the peer are made from device_run() only; the
 * peer's calls into the transport never call back.
 */
#ifndef HOST_REF_DEV_DEVICE_H
#define HOST_REF_DEV_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/virtio_vsock.h>

#include "host/peer/peer.h"
#include "host/ref/dev/config.h"
#include "host/ref/dev/fifo.h"
#include "host/ref/dev/mem.h"
#include "host/ref/dev/ring.h"

#define DEV_QUEUES	3
#define DEV_DEFAULT_BUF (256 * 1024)
#define DEV_MAX_CONNS	16384
#define DEV_MAX_PAYLOAD (64 * 1024)  /* of a packet to the guest */
#define DEV_TX_LIMIT	(256 * 1024) /* bytes queued for the guest, a connection */
#define DEV_MAX_REPLIES 2048	     /* packets without connection that wait for rx buffers */
#define DEV_HASH	4096
#define DEV_HEADERS	8192  /* kept for CTL_HEADERS */
#define DEV_TX_POLL_NS	50000 /* how long an empty tx queue is looked at before it asks for kicks */
#define DEV_CLOSE_NS	8000000000ll  /* how long a closed connection waits for the guest's RST */
#define DEV_CONNECT_NS	60000000000ll /* the peer's own timeout comes first */

enum dev_queue {
	DEV_RX,
	DEV_TX,
	DEV_EVENT
};

enum tconn_state {
	TC_CONNECTING,
	TC_ESTABLISHED,
	TC_CLOSED
};

enum tconn_pending {
	TP_REQUEST = 1,
	TP_RESPONSE = 2,
	TP_CREDIT_ANSWER = 4, /* the guest asked */
	TP_CREDIT_UPDATE = 8, /* any packet will do */
	TP_CREDIT_REQUEST = 16,
};

enum tconn_todo {
	TD_WRITABLE = 1, /* room for a sender that waits */
	TD_READABLE = 2,
	TD_FINISH = 4, /* the guest shut both directions and all was read */
	TD_FREE = 8,
};

struct tconn {
	struct device *d;
	struct peer_conn *pc; /* NULL: released by the peer */
	struct tconn *hash_next;
	struct tconn *prev, *next; /* all of the device */
	struct tconn *send_next;   /* has something for the guest */
	struct tconn *todo_next;   /* something to tell the peer */
	bool in_send, in_todo, hashed;
	unsigned int todo, pending;
	uint64_t seq;
	int64_t deadline_ns; /* 0: none */

	uint64_t host_cid, guest_cid;
	uint32_t host_port, guest_port;
	uint16_t type;
	enum tconn_state state;
	unsigned int guest_shut, host_shut, host_shut_sent;
	bool reset_by_guest, overrun, want_write, credit_asked, credit_known;

	struct fifo rx;
	struct fifo rx_ends;	       /* seqpacket: u64 offsets at which messages end */
	uint64_t rx_put, rx_got;       /* offsets */
	uint32_t buf_alloc, buf_grace; /* grace: what the guest may still believe */
	uint32_t fwd_cnt, fwd_told;

	struct fifo tx;
	struct fifo tx_ends;
	uint64_t tx_put, tx_got;
	uint32_t tx_cnt, guest_buf_alloc, guest_fwd_cnt;

	uint64_t rx_packets, tx_packets, rx_data_packets, tx_data_packets;
	uint32_t credit_updates, credit_requests;
};

/* A packet that belongs to no connection. */
struct dev_packet {
	struct dev_packet *next;
	struct virtio_vsock_hdr hdr;
	uint32_t payload_len, seed, repeat;
	bool control; /* of the control connection's port: spared by faults */
};

struct dev_listener {
	struct dev_listener *next;
	uint64_t cid;
	uint32_t port;
	uint16_t type;
};

struct device_params {
	const char *name; /* for the log */
	struct dev_cids cids;
	const uint8_t *config_bytes; /* forged config, or NULL */
	size_t config_bytes_len;
	bool access_platform, in_order;
	const char *page_state; /* file of protected memory's page states, or NULL */
};

struct device {
	struct device *sibling; /* ring of all devices of this process, for faults; or NULL */
	const char *name;
	struct dev_cids cids, cids_initial; /* in force; of the command line */
	uint8_t forged[CONFIG_MAX];
	size_t forged_len;
	size_t config_space; /* bytes that the VMM gives the guest */
	uint32_t config_index;
	uint64_t config_reads;
	bool (*config_changed)(void *arg); /* true: device_config_told() follows */
	void *config_arg;

	uint64_t features_offered, features_acked;
	struct guest_mem mem;
	struct ring ring[DEV_QUEUES];
	struct ring_chain chain; /* large: one for all */
	struct peer *peer;
	struct peer_transport_ops ops;

	struct tconn *hash[DEV_HASH];
	struct tconn *conns;
	struct tconn *send_first, *send_last;
	struct tconn *todo;
	struct dev_listener *listeners;
	struct dev_packet *reply_first, *reply_last;
	unsigned int replies, num_conns, events;
	int64_t events_at_ns; /* until then events wait for device_config_told(); 0: they do not */
	uint64_t next_seq;
	uint32_t next_port;
	int64_t next_scan_ns;
	bool scan_needed;

	struct ctl_dev_info info; /* counters */
	uint8_t (*headers)[sizeof(struct virtio_vsock_hdr)];
	uint64_t headers_total, headers_from;
	uint64_t packets_ever;
	uint64_t leak_frame;  /* fault mem.leak */
	bool dead;	      /* fault dead.after_rst */
	int64_t tx_worked_ns; /* when a packet was taken last */
	bool look_at_tx;      /* kicked, or not yet empty */

	bool cids_pending;
	bool cids_waits; /* for the control connection's reply to be read */
	struct ctl_set_cids cids_next;
	int64_t cids_at_ns, cids_ask_ns;
	struct ctl_interrupt irq;
	int64_t irq_at_ns;
	unsigned int stale; /* fault ring.written_after_reset: writes that are left */
	int64_t stale_at_ns;

	const char *page_state;
	struct ctl_mem_state mem_state;
};

/* NULL and errno. Makes the peer, too. */
struct device *device_new(const struct device_params *p);
void device_free(struct device *d);

/* vhost-user's side. */
uint64_t device_features(const struct device *d);
void device_set_features(struct device *d, uint64_t features);
/* Opens the page-state file if one is to be used. 0, -errno. */
int device_attach(struct device *d);
/* The VMM went away: memory unmapped, everything reset. */
void device_detach(struct device *d);
/* 0, -errno as ring_start(). */
int device_ring_start(struct device *d, unsigned int queue, uint16_t base);
/* Returns the avail index to go on from. When the last queue stops, the device is reset. */
uint16_t device_ring_stop(struct device *d, unsigned int queue);
/* A running queue's addresses changed. -errno: they are not in memory, and the queue stops. */
int device_ring_remap(struct device *d, unsigned int queue);
/* The memory map changed: running queues are looked up again. */
void device_memory_changed(struct device *d);
void device_config_read(struct device *d, uint32_t off, void *buf, uint32_t len);
void device_config_write(struct device *d, uint32_t off, const void *buf, uint32_t len);
void device_kick(struct device *d, unsigned int queue);
/* The VMM has told the guest of the last change of the config. */
void device_config_told(struct device *d);

/* Work and timers. True: there is more, call again soon. */
bool device_run(struct device *d);
/* ns until device_run() has something to do by itself, -1: nothing. */
int64_t device_timeout_ns(struct device *d);

/* --- between device.c, conn.c and transport.c --- */
bool device_reply(struct device *d, const struct dev_packet *p);
void device_apply_cids(struct device *d);
/* Every connection ends without a word to the guest. */
void device_drop_conns(struct device *d);

/* A packet from the guest: header and the chain that holds its payload from byte 44 on. */
void conn_receive(struct device *d, const struct virtio_vsock_hdr *h, const struct ring_chain *c);
/* The next packet of c; its *payload bytes are at the head of c->tx. False: nothing. */
bool conn_packet(struct tconn *c, struct virtio_vsock_hdr *h, size_t room, size_t *payload);
/* It was delivered. */
void conn_packet_sent(struct tconn *c, const struct virtio_vsock_hdr *h, size_t payload);
bool conn_has_packet(const struct tconn *c);
void conn_queue(struct tconn *c);
void conn_todo(struct tconn *c, unsigned int what);
struct tconn *conn_new(struct device *d, uint64_t host_cid, uint32_t host_port, uint64_t guest_cid,
		       uint32_t guest_port, uint16_t type);
struct tconn *conn_find(struct device *d, uint64_t host_cid, uint32_t host_port, uint64_t guest_cid,
			uint32_t guest_port, uint16_t type);
void conn_close(struct tconn *c);
/* RST to the guest, and out of the table. Says nothing to the peer. */
void conn_reset(struct tconn *c);
void conn_end(struct tconn *c, int err);
void conn_run_todo(struct device *d);
void conn_scan_deadlines(struct device *d, int64_t now);
size_t conn_send_room(const struct tconn *c);
bool conn_type_offered(const struct device *d, uint16_t type);

extern const struct peer_transport_ops transport_ops;

#endif
