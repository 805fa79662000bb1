/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every vsock test starts with: the device, brought up anew, and a control connection to the
 * peer on the host. The fixture makes both before a test and gives both up after it, however it
 * ends.
 */
#ifndef TESTS_VSOCK_ENV_H
#define TESTS_VSOCK_ENV_H

#include "tests/support/ctl.h"
#include "tests/support/needs.h"

struct vsock_env {
	struct vsock *vs;
	struct ctl *ctl; /* NULL without a peer */
};

/* Of the running test; the fixture made it. */
struct vsock_env *vsock_env(void);
/* The same with the device up, else the test ends as an ERROR; the peer may be silent. */
struct vsock_env *vsock_env_dev(struct test_ctx *t);
/* The same with the device up and the control connection there; else the test ends as an ERROR. */
struct vsock_env *vsock_env_ctl(struct test_ctx *t);
/* Brings both up, for tests outside of the vsock suite. 0 or errno of the device. */
int vsock_env_open(void);
/* Gives both up, for a test that uses the device its own way. */
void vsock_env_drop(void);
/*
 * Drops both and brings up the device alone, with these features (0: all that are known). 0 or
 * errno; what did not come up is there all the same, for its texts and its configuration.
 */
int vsock_env_reopen(struct test_ctx *t, uint64_t features);
/* The same, of all features, where the test has reset the device: nobody answers the end of the control connection. */
int vsock_env_renew(struct test_ctx *t);
/* The control connection anew, after a test (or a TRANSPORT_RESET) lost it. 0 or errno. */
int vsock_env_reconnect(void);

/* Why the device did not come up, why there is no control connection: plain sentences. */
const char *vsock_env_device_error(void);
const char *vsock_env_peer_error(void);
/*
 * Gives the peer as long to answer as when it was never asked, even after it stayed silent. 0 or
 * errno.
 */
int vsock_env_ask_again(void);

/* What came in so far, counted in packets; looks at the device first. */
uint64_t vsock_received(const struct vsock_env *e);

/* Orders CIDs that are `by` above those of `was`, and an event that says so; waits for neither. The first of them. */
uint64_t vsock_order_cids(struct test_ctx *t, const struct vsock_config *was, uint64_t by);
/*
 * Moves the guest's CIDs to those of was, plus by, and follows: event, config space, control
 * connection. Any of it missing ends the test as a FAIL. Needs NEED_DEVICE_CTL.
 */
void vsock_change_cids(struct test_ctx *t, const struct vsock_config *was, uint64_t by);

#define CONNECT_NS test_sec()
#define IO_NS	   (3 * test_sec())

static inline uint32_t test_ms(void) /* test_sec(), for orders to the peer */
{
	return (uint32_t)(test_sec() / MSEC);
}

/* The host's echo, sink and source ports. */
static inline struct vsock_addr host_port(uint32_t port)
{
	return (struct vsock_addr){ VSOCK_CID_HOST, port };
}

static inline struct vsock_addr any_port(uint64_t cid)
{
	return (struct vsock_addr){ cid, VSOCK_PORT_ANY };
}

/* Fills buf with assay_pattern(seed) from position pos. */
void pattern_fill(uint8_t *buf, size_t n, uint32_t seed, uint64_t pos);
/* Position of the first byte that is not the pattern, -1: none. */
int64_t pattern_check(const uint8_t *buf, size_t n, uint32_t seed, uint64_t pos);

/* Receives exactly n bytes of a stream within ns. 0, -errno, -EPIPE (end of data first). */
int recv_exact(struct vsock_conn *c, void *buf, size_t n, uint64_t ns);

#endif
