/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The words of a vsock test: connections of two ends, ours in the guest and the peer's on the host,
 * and steps that one of them takes.
 *
 *	struct pair *p = pair_open(t, .type = VSOCK_SEQPACKET, .local = cid);
 *
 *	guest_send(p, 100);
 *	host_expects(p);
 *	host_shuts(p, VSOCK_SHUTDOWN_SEND);
 *	guest_expects_end(p);
 *	pair_close(p);
 *
 * A step carries its own checks. One that fails ends the test as a FAIL, which names both ends, the
 * step, what was due and what came, and the line of the test; a control connection that fails makes
 * it an ERROR. What is sent is a pattern of its connection's own, so that a byte in the wrong place
 * or connection is seen. The fixture releases everything, however the test ends.
 */
#ifndef TESTS_VSOCK_PAIR_H
#define TESTS_VSOCK_PAIR_H

#include "tests/support/edges.h"
#include "tests/vsock/env.h"

struct pair {
	struct test_ctx *t;
	const char *file; /* of the step under way */
	unsigned int line;
	struct vsock_env *env;
	struct vsock_conn *conn; /* the guest's end */
	uint32_t host; /* the peer's number of its end; 0: one of its own services has it */
	enum vsock_type type;
	struct vsock_addr local, remote;
	struct {
		uint32_t seed, crc, lens_crc;
		uint64_t pos, messages;
		uint32_t part; /* of a message that guest_packet() has begun */
	} out;		       /* from the guest: what was sent so far */
	struct {
		uint32_t seed;
		uint64_t pos, total;
	} in; /* to the guest: what came of the pattern under way, and of all */
	struct pair *next;
};

struct pair_options {
	enum vsock_type type; /* VSOCK_STREAM if not given */
	uint64_t local;	      /* the guest's CID; 0: the device's first */
	uint32_t local_port;  /* 0: chosen */
	uint64_t remote;      /* the host's CID; 0: 2 */
	uint32_t at;	      /* ASSAY_ECHO_PORT ...: the peer listens there by itself */
	enum ctl_service
		service; /* else it listens for us, and its end does this; none: only what it is told */
	uint32_t guest_buf; /* receive buffers; 0: the default */
	uint32_t host_buf;
	bool host_connects;	    /* the guest listens, and the host connects to it */
	const struct pair *beside;  /* with this one's addresses and ports; only the type differs */
	const struct pair *port_of; /* to this one's host port, where the same application listens */
	struct vsock_env *on;	    /* another device than the fixture's */
};

/* Opens both ends. pair_try(): NULL when that failed, and the test goes on. */
#define pair_open(t, ...)                                                                          \
	pair_open_(t, __FILE__, __LINE__ | TEST_FATAL, &(struct pair_options){ __VA_ARGS__ })
#define pair_try(t, ...) pair_open_(t, __FILE__, __LINE__, &(struct pair_options){ __VA_ARGS__ })
/*
 * Asks only; pair_up() waits for the answer. Of the options, those about a port that is listened on
 * anyway.
 */
#define pair_start(t, ...)                                                                         \
	pair_start_(t, __FILE__, __LINE__ | TEST_FATAL, &(struct pair_options){ __VA_ARGS__ })
#define pair_up(p) pair_up_(PAIR_STEP(p))
/*
 * Closes it in the orderly way, SHUTDOWN of both directions by us, RST by the host; or at once, by
 * our RST.
 */
#define pair_close(p) pair_close_(PAIR_STEP(p))
void pair_drop(struct pair *p);
/* RST has come or was sent, after whatever else. */
static inline bool has_ended(const struct pair *p)
{
	return vsock_conn_state(p->conn) > VSOCK_CLOSING;
}
/* Whether device, driver and peer have connections of this type. */
bool has_type(const struct vsock_env *e, enum vsock_type type);
/* The one that was made last; ->next was made before it. */
struct pair *pair_newest(void);
/* All that were started at the echo port, each step by all before the next: answered, 16 bytes there and back, dropped. */
#define pairs_echo() pairs_echo_(__FILE__, __LINE__)
void pairs_echo_(const char *file, unsigned int line);

/* The guest's end. */
#define guest_send(p, n) guest_send_(PAIR_STEP(p), n)
#define guest_expects(p, n)                                                                        \
	guest_expects_(PAIR_STEP(p), n) /* the next n bytes, or one message of n */
/* n bytes come though no packet of the guest's goes out meanwhile. They may be slow, as long as they come. */
#define guest_waits_silently(p, n) guest_waits_silently_(PAIR_STEP(p), n)
#define guest_expects_end(p)                                                                       \
	guest_expects_end_(PAIR_STEP(p)) /* of data; the other direction stays */
#define guest_expects_reset(p) guest_expects_reset_(PAIR_STEP(p))
#define guest_shuts(p, how)    guest_shuts_(PAIR_STEP(p), how)
#define guest_resets(p)	       vsock_reset((p)->conn)
/* One packet as it is, of any kind; the n bytes of a RW are part of what the host shall get. */
#define guest_packet(p, op, flags, n) guest_packet_(PAIR_STEP(p), op, flags, n)
/* The host has given credit back for all that the guest sent: asked again and again, in answers' time. */
bool all_returned(struct pair *p);
/* What the host's end does until our barrier comes back brings nothing to the guest. */
#define nothing_comes(p) nothing_comes_(PAIR_STEP(p))
/* n bytes to an end that echoes, and the same back; at the same time where they are many. */
#define echo(p, n) echo_(PAIR_STEP(p), n)

/*
 * The host's end. It sends n bytes, or count messages of n bytes, and goes on while they wait for
 * credit.
 */
#define host_send(p, n)			host_send_(PAIR_STEP(p), 1, n)
#define host_send_messages(p, count, n) host_send_(PAIR_STEP(p), count, n)
/*
 * All that the guest sent so far has arrived, unchanged, in order, messages with their boundaries;
 * and no more.
 */
#define host_expects(p) host_expects_(PAIR_STEP(p))
#define host_expects_end(p)                                                                        \
	host_expects_flag_(PAIR_STEP(p), CTL_CONN_GUEST_SHUT_SEND, "our end of data")
#define host_expects_reset(p) host_expects_flag_(PAIR_STEP(p), CTL_CONN_CLOSED, "our RST")
#define host_shuts(p, how)    host_does_(PAIR_STEP(p), CTL_SHUTDOWN, how)
#define host_resets(p)	      host_does_(PAIR_STEP(p), CTL_RESET, 0)
#define host_pauses(p)	      host_does_(PAIR_STEP(p), CTL_PAUSE, 1) /* it reads no more ... */
#define host_goes_on(p)	      host_does_(PAIR_STEP(p), CTL_PAUSE, 0)
#define host_reads(p, n)      host_does_(PAIR_STEP(p), CTL_PAUSE, n) /* n > 1 bytes, and then no more */
#define host_sets_buffer(p, n)                                                                     \
	host_does_(PAIR_STEP(p), CTL_SET_BUF, n) /* its receive buffer, in bytes */
#define host_closes(p) host_does_(PAIR_STEP(p), CTL_FORGET, 0)
/* May fail: what the peer's send() says, 0 or -errno. */
#define host_tries_to_send(p, n) host_tries_to_send_(PAIR_STEP(p), n)
struct ctl_report host_report(struct pair *p);

/*
 * Fills the receive queue with answers to credit requests of p, and leaves it without a buffer until
 * rx_has_room(). What the device has for the guest waits in the device meanwhile.
 */
void rx_is_full(struct pair *p);
void rx_has_room(struct pair *p);

struct vsock_credit credit_of(const struct pair *p);

/*
 * Waits for something about a connection: polls its device until cond holds, n answers' time at
 * most; and the check that it did.
 */
#define pair_waits(p, cond, n) wait_for((vsock_poll((p)->env->vs), (cond)), (n)*test_sec())

/*
 * The edges that this pair can take: what both ends' buffers hold, as one message or as one write.
 */
#define for_each_edge(len, p) for (size_t len, edge_ = 0; pair_edge(p, &edge_, &len);)
bool pair_edge(const struct pair *p, size_t *next, size_t *len);

/* A listener of the guest, for connections that the host makes. */
struct vsock_listener *guest_listens(struct test_ctx *t, struct vsock_env *e, uint64_t cid,
				     uint32_t port);
/*
 * The host connects to it: 0, -ECONNREFUSED, -ETIMEDOUT ... The pair has the host's end only; see
 * guest_accepts().
 */
#define host_connects(t, e, to, p) host_connects_(t, __FILE__, __LINE__, e, to, VSOCK_STREAM, p)
/* The guest's end of it: what the listener has. */
#define guest_accepts(p, l) guest_accepts_(PAIR_STEP(p), l)
/* A port of the host on which its application listens, and counts what it receives. */
uint32_t host_listens(struct test_ctx *t, struct vsock_env *e);
/* Whether a connection came to that application, ms given to one that is on its way. */
bool host_accepted(struct test_ctx *t, struct vsock_env *e, uint32_t port, uint32_t ms);

/* --- what the words above stand for ---------------------------------------------------------- */

#define PAIR_STEP(p) pair_step(p, __FILE__, __LINE__)
static inline struct pair *pair_step(struct pair *p, const char *file, unsigned int line)
{
	p->file = file;
	p->line = line;
	return p;
}
struct pair *pair_open_(struct test_ctx *t, const char *file, unsigned int where,
			const struct pair_options *o);
struct pair *pair_start_(struct test_ctx *t, const char *file, unsigned int where,
			 const struct pair_options *o);
void pair_up_(struct pair *p);
void pair_close_(struct pair *p);
void guest_send_(struct pair *p, size_t n);
void guest_expects_(struct pair *p, size_t n);
void guest_waits_silently_(struct pair *p, size_t n);
void guest_expects_end_(struct pair *p);
void guest_expects_reset_(struct pair *p);
void guest_shuts_(struct pair *p, unsigned int how);
void guest_packet_(struct pair *p, enum vsock_op op, uint32_t flags, uint32_t n);
void nothing_comes_(struct pair *p);
void echo_(struct pair *p, size_t n);
void host_send_(struct pair *p, unsigned int count, size_t n);
void host_expects_(struct pair *p);
void host_expects_flag_(struct pair *p, uint32_t flag, const char *what);
void host_does_(struct pair *p, enum ctl_op op, uint32_t arg);
int host_tries_to_send_(struct pair *p, size_t n);
int host_connects_(struct test_ctx *t, const char *file, unsigned int line, struct vsock_env *e,
		   struct vsock_addr to, enum vsock_type type, struct pair **out);
void guest_accepts_(struct pair *p, struct vsock_listener *l);

#endif
