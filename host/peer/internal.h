/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by peer.c (connections, services) and control.c (the protocol). */
#ifndef HOST_PEER_INTERNAL_H
#define HOST_PEER_INTERNAL_H

#include "host/peer/peer.h"

#define CONTROL_BUF (sizeof(struct ctl_header) + ASSAY_CTL_MAX)

enum role {
	ROLE_DATA,
	ROLE_CONTROL
};

struct listener {
	struct listener *next;
	uint64_t cid;
	uint32_t port;
	uint16_t type, service;
	uint32_t buf;
	bool dynamic; /* made through the control protocol */
};

struct wait { /* a request that is answered later */
	struct wait *next;
	struct peer_conn *control;
	struct ctl_header req;
	int64_t deadline;
	uint32_t conn; /* CONNECT, SEND, WAIT */
	uint32_t what;
	uint64_t value;
	uint32_t port; /* ACCEPT */
	uint64_t cid;
	uint16_t type;
};

struct peer_conn {
	struct peer *p;
	struct peer_conn *next, *prev;
	enum role role;
	uint32_t id;
	struct tconn *t; /* NULL: over */
	struct listener *listener;
	struct ctl_addr host, guest;
	uint16_t type, service;
	uint32_t flags;
	int err;
	unsigned int counted_ended;
	bool unreported; /* accepted, and no ACCEPT has told of it */
	bool eof_done, echo_eom;
	bool again;  /* used up its share of this round */
	bool broken; /* control: replies were lost */
	uint64_t rx_bytes, rx_msgs, last_msg, msg, tx_bytes;
	uint32_t rx_crc, rx_msgs_crc, tx_crc;
	uint64_t send_left, send_pos, msg_size, msg_sent;
	uint32_t seed;
	uint32_t read_left; /* of those after which it stops reading, 0: it goes on */
	uint8_t *buf;	    /* echo: on its way back; control: the request so far */
	uint32_t buf_off, buf_used;
	uint8_t *out; /* control: replies that did not fit yet */
	size_t out_used, out_off, out_size;
	struct ctl_report r; /* what the transport knows, as of the last look */
};

struct peer {
	struct peer_config cfg;
	struct peer_conn *conns, *conns_last;
	unsigned int count, ended,
		dynamic; /* records, those of them that are over, listeners made by orders */
	uint32_t last_id, next_port;
	struct listener *listeners;
	struct wait *waits;
	bool check_waits;
	bool again; /* some connection has more to do */
};

int64_t peer_now_ns(void);
/* It is a guest that this peer is for. */
bool peer_serves(const struct peer *p, uint64_t cid);
void peer_log(const struct peer *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void peer_conn_free(struct peer_conn *c);
struct peer_conn *peer_conn_by_id(struct peer *p, uint32_t id);
void peer_conn_snapshot(struct peer_conn *c);
void peer_conn_report(struct peer_conn *c, struct ctl_report *out);
void peer_conn_run(struct peer_conn *c);
struct peer_conn *peer_conn_new(struct peer *p);
int peer_service_start(struct peer_conn *c, uint16_t service);
void peer_conn_end(struct peer_conn *c, uint32_t flags);
/* As peer_conn_end(), from within peer_check_waits(). */
void peer_conn_abandon(struct peer_conn *c);
int peer_listen(struct peer *p, const struct listener *want, uint32_t *port);
int peer_unlisten(struct peer *p, uint64_t cid, uint32_t port, uint16_t type);
void peer_unlisten_dynamic(struct peer *p);

/* control.c */
/* false: the connection is over and c is freed. */
bool peer_control_run(struct peer_conn *c);
void peer_control_gone(struct peer *p, struct peer_conn *c);
void peer_check_waits(struct peer *p);

#endif
