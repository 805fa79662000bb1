/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by vsock.c (device, queues) and vsock_conn.c (connections). */
#ifndef DRIVERS_VIRTIO_VSOCK_INTERNAL_H
#define DRIVERS_VIRTIO_VSOCK_INTERNAL_H

#include "drivers/virtio/vsock.h"

enum {
	VQ_RX = 0,
	VQ_TX = 1,
	VQ_EVENT = 2
};

#define VSOCK_DEFAULT_BUF (128u << 10)
#define VSOCK_BUCKETS	  512
#define VSOCK_STRAYS	  16
#define VSOCK_MAX_HELD	  64
#define VSOCK_EV_COUNT	  8

struct tx_slot {
	struct tx_slot *next;
	struct vsock_hdr hdr;
	struct queued *copy; /* freed with the slot */
	uint64_t send;	     /* number of the vsock_send() whose buffer it points to, 0: none */
};

struct queued {
	struct queued *next;
	struct vsock_hdr hdr;
	uint32_t len;
	uint8_t payload[];
};

struct chunk { /* received, not read yet */
	struct chunk *next;
	uint32_t off, len;
	uint32_t flags; /* of the packet: EOM, EOR */
	uint8_t data[];
};

struct vsock_conn {
	struct vsock *vs;
	struct vsock_conn *next; /* in its bucket */
	struct vsock_conn *backlog;
	enum vsock_type type;
	enum vsock_state state;
	struct vsock_addr local, remote;
	unsigned int we_shut, peer_shut;
	bool hold_credit;
	/* our side: see struct vsock_credit */
	uint32_t buf_alloc, fwd_cnt, rx_cnt, told_fwd, told_limit;
	/* the peer's */
	uint32_t peer_buf_alloc, peer_fwd_cnt, tx_cnt;
	uint64_t acked; /* peer_fwd_cnt without the wrap */
	uint32_t overruns, bad_credit, late_credit, updates, requests;
	struct chunk *head, **tail;
	size_t readable;
	unsigned int empty; /* chunks without data: they cost the peer no credit */
};

struct vsock_listener {
	struct vsock *vs;
	struct vsock_listener *next;
	enum vsock_type type;
	struct vsock_addr local;
	unsigned int backlog, waiting;
	struct vsock_conn *first, **last;
};

struct vsock {
	struct virtio_device *dev;
	struct vsock_config config;
	char config_error[128];
	char error[128];
	bool config_changed; /* atomic: set by the interrupt */

	struct vsock_manner manner; /* with nothing left to the driver */
	uint8_t *rx_mem, *ev_mem;
	unsigned int rx_count, tx_count, rx_pages; /* pages of one buffer */
	bool rx_held, tx_held, requests_held;
	void *held[VSOCK_MAX_HELD];
	unsigned int held_count;
	bool ev_held;
	void *held_ev[VSOCK_EV_COUNT];
	unsigned int held_ev_count;
	struct tx_slot *tx_slots, *tx_free;
	struct queued *queued, **queued_tail;
	unsigned int queued_count;
	/*
	 * The number of the vsock_send() under way, and how many of its packets the device still
	 * has. The count is not on the caller's stack, because a test's watchdog may leave
	 * vsock_send() by a jump: packets that come back later belong to an old number and are not
	 * counted.
	 */
	uint64_t send;
	unsigned int send_pending;
	const void *raw_done; /* token of a test's own buffer that came back */

	struct vsock_conn *bucket[VSOCK_BUCKETS];
	struct vsock_listener *listeners;
	uint32_t next_port;
	uint32_t default_buf;

	struct vsock_stray stray[VSOCK_STRAYS];
	unsigned int strays;
	struct vsock_stats stats;
};

void vsock_tell(struct vsock *vs, enum vsock_saw what, const struct vsock_hdr *h, uint32_t used_len,
		const void *payload);

int vsock_tx_reap(struct vsock *vs);
void vsock_send_begin(struct vsock *vs);
/* One packet of the send that began last. */
int vsock_tx_now(struct vsock *vs, const struct vsock_hdr *h, const void *payload, uint32_t len);
int vsock_tx_queue(struct vsock *vs, const struct vsock_hdr *h, const void *payload, uint32_t len);
int vsock_tx_flush(struct vsock *vs);

void vsock_conns_init(struct vsock *vs);
void vsock_conns_free(struct vsock *vs);
void vsock_drop_all(struct vsock *vs);
/* A packet as the device wrote it: used_len bytes at p. */
void vsock_receive(struct vsock *vs, const void *p, uint32_t used_len);

#endif
