/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's end of the control protocol (host/peer/proto.h). Every call has a deadline and
 * returns 0, the peer's negative errno, or, when the connection itself failed (ctl_lost() tells),
 * -EBADMSG for a damaged reply, -ECONNRESET or -ETIMEDOUT. Numbers in replies are in the CPU's
 * order. A connection that fails in the middle of a test makes the test an ERROR, never a verdict
 * on what it tests: CTL_OK().
 */
#ifndef TESTS_SUPPORT_CTL_H
#define TESTS_SUPPORT_CTL_H

#include "drivers/virtio/vsock.h"
#include "host/peer/proto.h"
#include "lib/test.h"

struct ctl;

/*
 * Whoever starts the guest and a peer names the peer's port (vsock.peer=). Then the peer must
 * answer.
 */
bool ctl_promised(void);
uint32_t ctl_port(void);

/* How far ctl_open() came. */
enum ctl_stage {
	CTL_CONNECTING, /* the connection does not come up */
	CTL_GREETING,	/* it is up, and the greeting is not answered */
	CTL_VERSION,	/* answered by a peer of another version */
	CTL_UP
};
/* ns: how long to wait for the connection, and as long for the greeting. */
int ctl_open(struct vsock *vs, uint64_t ns, enum ctl_stage *stage, struct ctl **out);
void ctl_close(struct ctl *c);
/* The same once its device was closed, and its connection with it. */
void ctl_gone(struct ctl *c);
bool ctl_lost(const struct ctl *c);
bool ctl_can(const struct ctl *c, uint32_t cap); /* CTL_CAP_* */
const struct ctl_hello_reply *ctl_hello(const struct ctl *c);

/*
 * With port 0 the peer chooses one and writes it back. buf is the receive buffer; 0 leaves the
 * peer's default.
 */
int ctl_listen(struct ctl *c, uint64_t cid, uint32_t *port, enum vsock_type type,
	       enum ctl_service service, uint32_t buf);
int ctl_unlisten(struct ctl *c, uint64_t cid, uint32_t port, enum vsock_type type);
/*
 * Reports the oldest connection of that listener which no call has reported. -ETIMEDOUT after ms.
 */
int ctl_accept(struct ctl *c, uint64_t cid, uint32_t port, enum vsock_type type, uint32_t ms,
	       struct ctl_report *r);
int ctl_connect(struct ctl *c, uint64_t host_cid, struct vsock_addr to, enum vsock_type type,
		enum ctl_service service, uint32_t ms, struct ctl_report *r);
/* The same from this port of the host's default CID, with a receive buffer of `buf` bytes; 0 leaves the default. */
int ctl_connect_from(struct ctl *c, uint32_t port, struct vsock_addr to, enum vsock_type type,
		     uint32_t buf, uint32_t ms, struct ctl_report *r);
int ctl_find(struct ctl *c, const struct vsock_conn *conn, enum vsock_type type,
	     struct ctl_report *r);
/* The same by its addresses, for one that the guest has not accepted. */
int ctl_find_at(struct ctl *c, struct vsock_addr host, struct vsock_addr guest,
		enum vsock_type type, struct ctl_report *r);
int ctl_send(struct ctl *c, uint32_t conn, uint32_t seed, uint64_t bytes, uint32_t msg, bool async,
	     struct ctl_report *r);
int ctl_wait(struct ctl *c, uint32_t conn, enum ctl_wait_for what, uint64_t value, uint32_t ms,
	     struct ctl_report *r);
/* op: CTL_PAUSE, SHUTDOWN, RESET, REPORT, SET_BUF, FORGET. Here and above r may be NULL. */
int ctl_conn(struct ctl *c, enum ctl_op op, uint32_t conn, uint32_t arg, struct ctl_report *r);
int ctl_barrier(struct ctl *c);
int ctl_forget_all(struct ctl *c);
int ctl_time(struct ctl *c, uint64_t *seconds);
int ctl_dev_info(struct ctl *c, struct ctl_dev_info *out);
/* A notification of the configuration in `ms`, with the CIDs as they are. */
int ctl_config_notice(struct ctl *c, const uint64_t *guest, uint32_t n, const uint64_t *host,
		      uint32_t m, uint32_t ms);
int ctl_set_cids(struct ctl *c, const uint64_t *guest, uint32_t n, const uint64_t *host, uint32_t m,
		 bool event);
/*
 * n - 1 changes to other orders of these CIDs, and the n-th to this one, without an event. The reply comes before the
 * first; until the last is made the host answers other orders of CIDs by -EBUSY.
 */
int ctl_set_cids_often(struct ctl *c, const uint64_t *guest, uint32_t num_guest,
		       const uint64_t *host, uint32_t num_host, uint32_t n);
int ctl_headers(struct ctl *c, uint32_t src_port, uint32_t dst_port, bool clear,
		struct ctl_headers_reply *out);
int ctl_mem_state(struct ctl *c, struct ctl_mem_state *out);
int ctl_mem_scan(struct ctl *c, const void *secret, uint32_t len, struct ctl_mem_scan_reply *out);

/* Any operation with any bytes, for what the peer refuses; what it answers beside its status is not looked at. */
int ctl_any(struct ctl *c, uint16_t op, const void *arg, size_t len);

/*
 * Whoever watches is told when a request goes out through vs; when its reply has come: what went
 * the same way before it has been read by then; and before an order that brings an event, or that gives the host a buffer of another size. NULL ends
 * it.
 */
enum ctl_step {
	CTL_STEP_BEGINS,
	CTL_STEP_OVER,
	CTL_STEP_EVENT,
	CTL_STEP_BUFFER,
};
void ctl_watch(void (*fn)(struct vsock *vs, enum ctl_step step));

/*
 * While it is on, calls send their request and return 0 at once. The first call after it waits, and passes over
 * the replies of those before it. For steps of the host that the guest must not come between.
 */
void ctl_ahead(struct ctl *c, bool on);

/* In two steps, for a request that the guest must act on before the peer can answer it. */
int ctl_connect_begin(struct ctl *c, uint64_t host_cid, struct vsock_addr to, enum vsock_type type,
		      enum ctl_service service, uint32_t ms);
int ctl_connect_end(struct ctl *c, struct ctl_report *r);

/* Ends the test as an ERROR if the control call failed. */
#define CTL_OK(t, call) ctl_check(t, call, __FILE__, __LINE__)
void ctl_check(struct test_ctx *t, int ret, const char *file, unsigned int line);

#endif
