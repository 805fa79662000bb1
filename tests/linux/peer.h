/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The peer on the host's side, ordered over AF_VSOCK by the control protocol (host/peer/proto.h). An order that does not
 * come back as it should ends the test as an ERROR: without it nothing is told of the host.
 */
#ifndef TESTS_LINUX_PEER_H
#define TESTS_LINUX_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/peer/proto.h"
#include "lib/test.h"

/* Milliseconds that the peer may take for what it waits for. */
#define PEER_MS 20000

/* Sends an order and waits for the reply; the reply's status, 0 or a negative errno. reply may be NULL. */
int peer_order(struct test_ctx *t, uint16_t op, const void *request, size_t len, void *reply,
	       size_t size);
/* What the peer said at hello; opens the control connection at first use. */
const struct ctl_hello_reply *peer_hello(struct test_ctx *t);
/* Forgets every connection and listener of the test; after it the next test starts clean. False: no answer. */
bool peer_forget_all(void);
/* Ends the control connection; the next order opens it anew. */
void peer_leave(struct test_ctx *t);

/* Listens on a port of the peer's choice; returns it. */
uint32_t peer_listen(struct test_ctx *t, uint16_t type, uint16_t service);
/* The connection that came to that port. */
struct ctl_report peer_accept(struct test_ctx *t, uint32_t port, uint16_t type);
/* Connects to a port of this guest; *status has what came of it, where it is not NULL; else it must work. */
struct ctl_report peer_connect(struct test_ctx *t, uint64_t cid, uint32_t port, uint16_t type,
			       uint16_t service, int *status);
struct ctl_report peer_send(struct test_ctx *t, uint32_t conn, uint64_t bytes, uint32_t msg,
			    uint32_t seed, bool async);
struct ctl_report peer_report(struct test_ctx *t, uint32_t conn);
/* Waits until the condition holds; that it never does is a FAIL of the test, which what names. */
struct ctl_report peer_wait(struct test_ctx *t, uint32_t conn, enum ctl_wait_for what,
			    uint64_t value, const char *name);
/* PAUSE, SHUTDOWN, RESET with their argument. */
void peer_do(struct test_ctx *t, enum ctl_op op, uint32_t conn, uint32_t arg);

#endif
