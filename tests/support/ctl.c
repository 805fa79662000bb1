/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/support/ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cmdline.h"
#include "lib/errname.h"
#include "tests/support/crc32.h"

OPTION("vsock.peer", "the peer's control port: it must answer there; without it 4000 is tried");

#define CALL_NS	 (3 * test_sec())
#define CLOSE_NS (test_sec() / 5)
#define SEND_NS	 (3 * test_sec())

struct ctl {
	struct vsock *vs;
	struct vsock_conn *conn;
	bool lost; /* the connection itself failed */
	bool ahead;
	uint64_t connect_ns; /* how long the answer to ctl_connect_begin() may take */
	uint32_t seq;
	struct ctl_hello_reply hello;
	uint8_t request[sizeof(struct ctl_header) + ASSAY_CTL_MAX];
	uint8_t reply[ASSAY_CTL_MAX];
};

static void (*watch)(struct vsock *vs, enum ctl_step step);

void ctl_watch(void (*fn)(struct vsock *vs, enum ctl_step step))
{
	watch = fn;
}

static void tell(const struct ctl *c, enum ctl_step step)
{
	if (watch)
		watch(c->vs, step);
}

static uint32_t message_crc(struct ctl_header h, const void *payload, size_t len)
{
	h.crc = 0;
	return crc32_update(crc32_update(0, &h, sizeof(h)), payload, len);
}

/* Numbers travel in little-endian; callers get them in the CPU's order. */
static void report_to_cpu(struct ctl_report *r)
{
	r->conn = le32_to_cpu(r->conn);
	r->flags = le32_to_cpu(r->flags);
	r->host.cid = le64_to_cpu(r->host.cid);
	r->host.port = le32_to_cpu(r->host.port);
	r->guest.cid = le64_to_cpu(r->guest.cid);
	r->guest.port = le32_to_cpu(r->guest.port);
	r->type = le16_to_cpu(r->type);
	r->service = le16_to_cpu(r->service);
	r->rx_crc = le32_to_cpu(r->rx_crc);
	r->rx_bytes = le64_to_cpu(r->rx_bytes);
	r->rx_msgs = le64_to_cpu(r->rx_msgs);
	r->last_msg = le64_to_cpu(r->last_msg);
	r->rx_msgs_crc = le32_to_cpu(r->rx_msgs_crc);
	r->tx_crc = le32_to_cpu(r->tx_crc);
	r->tx_bytes = le64_to_cpu(r->tx_bytes);
	r->guest_buf_alloc = le32_to_cpu(r->guest_buf_alloc);
	r->guest_fwd_cnt = le32_to_cpu(r->guest_fwd_cnt);
	r->host_buf_alloc = le32_to_cpu(r->host_buf_alloc);
	r->host_fwd_cnt = le32_to_cpu(r->host_fwd_cnt);
	r->rx_packets = le64_to_cpu(r->rx_packets);
	r->tx_packets = le64_to_cpu(r->tx_packets);
	r->credit_updates = le32_to_cpu(r->credit_updates);
	r->credit_requests = le32_to_cpu(r->credit_requests);
}

/*
 * Notes that the connection itself failed, so that no later error is taken for an answer about the
 * host.
 */
static int lose(struct ctl *c, int err)
{
	c->lost = true;
	return err;
}

/* A device may carry out a request before it gives the buffer back, so that sending takes as long as the call. */
static int begin(struct ctl *c, enum ctl_op op, const void *arg, size_t len, uint64_t ns)
{
	struct ctl_header h = {
		.magic = cpu_to_le32(ASSAY_CTL_MAGIC),
		.version = cpu_to_le16(ASSAY_CTL_VERSION),
		.op = cpu_to_le16(op),
		.seq = cpu_to_le32(++c->seq),
		.len = cpu_to_le32((uint32_t)len),
	};
	ssize_t n;

	if (len > sizeof(c->request) - sizeof(h))
		return -EINVAL;
	h.crc = cpu_to_le32(message_crc(h, arg, len));
	memcpy(c->request, &h, sizeof(h));
	if (len)
		memcpy(c->request + sizeof(h), arg, len);
	tell(c, CTL_STEP_BEGINS);
	n = vsock_send(c->conn, c->request, sizeof(h) + len, ns);
	if (n < 0)
		return lose(c, (int)n);
	return (size_t)n == sizeof(h) + len ? 0 : lose(c, -ETIMEDOUT);
}

static int read_all(struct ctl *c, void *buf, size_t len, deadline_t end)
{
	uint8_t *p = buf;
	ssize_t n;

	while (len) {
		const uint64_t now = time_now();

		n = vsock_recv(c->conn, p, len, now < end ? end - now : 0);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return -ECONNRESET;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The protocol has Linux's error numbers; picolibc's differ. */
static int local_errno(int32_t status)
{
	static const struct {
		int theirs, ours;
	} map[] = {
		{ 90, EMSGSIZE },     { 98, EADDRINUSE }, { 99, EADDRNOTAVAIL },
		{ 101, ENETUNREACH }, { 107, ENOTCONN },  { 110, ETIMEDOUT },
	};

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (status == -map[i].theirs)
			return -map[i].ours;
	return status;
}

/* Reads the reply to the last request, and its payload into out: size bytes, padded with 0. */
static int finish(struct ctl *c, uint64_t ns, void *out, size_t size)
{
	const deadline_t end = deadline_in(ns);
	struct ctl_header h;
	uint32_t len;
	int ret;

	do { /* pass over late replies to requests that were given up */
		ret = read_all(c, &h, sizeof(h), end);
		if (ret)
			return lose(c, ret);
		len = le32_to_cpu(h.len);
		if (le32_to_cpu(h.magic) != ASSAY_CTL_MAGIC || len > sizeof(c->reply))
			return lose(c, -EBADMSG);
		ret = read_all(c, c->reply, len, end);
		if (ret)
			return lose(c, ret);
		if (message_crc(h, c->reply, len) != le32_to_cpu(h.crc))
			return lose(c, -EBADMSG);
	} while (le32_to_cpu(h.seq) != c->seq);
	tell(c, CTL_STEP_OVER);
	if (out) {
		memset(out, 0, size);
		memcpy(out, c->reply, len < size ? len : size);
	}
	return local_errno((int32_t)le32_to_cpu((uint32_t)h.status));
}

static int call(struct ctl *c, enum ctl_op op, const void *arg, size_t len, uint64_t ns, void *out,
		size_t size)
{
	const int ret = begin(c, op, arg, len, ns);

	return ret || c->ahead ? ret : finish(c, ns, out, size);
}

void ctl_ahead(struct ctl *c, bool on)
{
	c->ahead = on;
}

/* A call whose reply is a report. */
static int call_report(struct ctl *c, enum ctl_op op, const void *arg, size_t len, uint64_t ns,
		       struct ctl_report *r)
{
	struct ctl_report own = { 0 };
	int ret;

	r = r ? r : &own;
	memset(r, 0, sizeof(*r));
	ret = call(c, op, arg, len, ns, r, sizeof(*r));
	report_to_cpu(r);
	return ret;
}

bool ctl_promised(void)
{
	return cmdline_get("vsock.peer") != NULL;
}

uint32_t ctl_port(void)
{
	return (uint32_t)cmdline_get_u64("vsock.peer", ASSAY_CTL_PORT);
}

int ctl_open(struct vsock *vs, uint64_t ns, enum ctl_stage *stage, struct ctl **out)
{
	const struct ctl_hello hello = { cpu_to_le32(ASSAY_CTL_VERSION) };
	const struct vsock_addr to = { VSOCK_CID_HOST, ctl_port() };
	struct ctl *c = calloc(1, sizeof(*c));
	int ret;

	*out = NULL;
	*stage = CTL_CONNECTING;
	if (!c)
		return -ENOMEM;
	c->vs = vs;
	ret = vsock_connect(vs, VSOCK_STREAM, (struct vsock_addr){ 0, VSOCK_PORT_ANY }, to, ns,
			    &c->conn);
	if (!ret) {
		*stage = CTL_GREETING;
		ret = call(c, CTL_HELLO, &hello, sizeof(hello), ns, &c->hello, sizeof(c->hello));
	}
	if (!ret) {
		*stage = CTL_VERSION;
		if (le32_to_cpu(c->hello.version) != ASSAY_CTL_VERSION)
			ret = -EPROTONOSUPPORT;
	}
	if (ret) {
		ctl_close(c);
		return ret;
	}
	c->hello.name[sizeof(c->hello.name) - 1] = '\0';
	c->hello.caps = le32_to_cpu(c->hello.caps);
	*stage = CTL_UP;
	*out = c;
	return 0;
}

bool ctl_lost(const struct ctl *c)
{
	return c->lost;
}

bool ctl_can(const struct ctl *c, uint32_t cap)
{
	return c->hello.caps & cap;
}

void ctl_close(struct ctl *c)
{
	if (!c)
		return;
	if (c->conn)
		vsock_conn_close(c->conn, c->lost ? 0 : CLOSE_NS);
	free(c);
}

void ctl_gone(struct ctl *c)
{
	free(c);
}

const struct ctl_hello_reply *ctl_hello(const struct ctl *c)
{
	return &c->hello;
}

int ctl_listen(struct ctl *c, uint64_t cid, uint32_t *port, enum vsock_type type,
	       enum ctl_service service, uint32_t buf)
{
	struct ctl_listen a = {
		.cid = cpu_to_le64(cid),
		.port = cpu_to_le32(*port),
		.type = cpu_to_le16(type),
		.service = cpu_to_le16(service),
		.buf = cpu_to_le32(buf),
	};
	int ret;

	if (buf)
		tell(c, CTL_STEP_BUFFER);
	ret = call(c, CTL_LISTEN, &a, sizeof(a), CALL_NS, &a, sizeof(a));
	*port = le32_to_cpu(a.port);
	return ret;
}

int ctl_unlisten(struct ctl *c, uint64_t cid, uint32_t port, enum vsock_type type)
{
	const struct ctl_listen a = {
		.cid = cpu_to_le64(cid),
		.port = cpu_to_le32(port),
		.type = cpu_to_le16(type),
	};

	return call(c, CTL_UNLISTEN, &a, sizeof(a), CALL_NS, NULL, 0);
}

int ctl_accept(struct ctl *c, uint64_t cid, uint32_t port, enum vsock_type type, uint32_t ms,
	       struct ctl_report *r)
{
	const struct ctl_listen a = {
		.cid = cpu_to_le64(cid),
		.port = cpu_to_le32(port),
		.type = cpu_to_le16(type),
		.timeout_ms = cpu_to_le32(ms),
	};

	return call_report(c, CTL_ACCEPT, &a, sizeof(a), ms * MSEC + CALL_NS, r);
}

static struct ctl_connect connect_order(uint64_t host_cid, struct vsock_addr to,
					enum vsock_type type, uint32_t ms)
{
	return (struct ctl_connect){
		.local = { .cid = cpu_to_le64(host_cid) },
		.remote = { .cid = cpu_to_le64(to.cid), .port = cpu_to_le32(to.port) },
		.type = cpu_to_le16(type),
		.timeout_ms = cpu_to_le32(ms),
	};
}

int ctl_connect_begin(struct ctl *c, uint64_t host_cid, struct vsock_addr to, enum vsock_type type,
		      enum ctl_service service, uint32_t ms)
{
	struct ctl_connect a = connect_order(host_cid, to, type, ms);

	a.service = cpu_to_le16(service);
	c->connect_ns = ms * MSEC + CALL_NS;
	return begin(c, CTL_CONNECT, &a, sizeof(a), CALL_NS);
}

int ctl_connect_end(struct ctl *c, struct ctl_report *r)
{
	const int ret = finish(c, c->connect_ns, r, sizeof(*r));

	report_to_cpu(r);
	return ret;
}

int ctl_connect(struct ctl *c, uint64_t host_cid, struct vsock_addr to, enum vsock_type type,
		enum ctl_service service, uint32_t ms, struct ctl_report *r)
{
	const int ret = ctl_connect_begin(c, host_cid, to, type, service, ms);

	return ret ? ret : ctl_connect_end(c, r);
}

int ctl_connect_from(struct ctl *c, uint32_t port, struct vsock_addr to, enum vsock_type type,
		     uint32_t buf, uint32_t ms, struct ctl_report *r)
{
	struct ctl_connect a = connect_order(ASSAY_CID_ANY, to, type, ms);

	a.local.port = cpu_to_le32(port);
	a.buf = cpu_to_le32(buf);
	return call_report(c, CTL_CONNECT, &a, sizeof(a), ms * MSEC + CALL_NS, r);
}

int ctl_find_at(struct ctl *c, struct vsock_addr host, struct vsock_addr guest,
		enum vsock_type type, struct ctl_report *r)
{
	const struct ctl_find a = {
		.host = { .cid = cpu_to_le64(host.cid), .port = cpu_to_le32(host.port) },
		.guest = { .cid = cpu_to_le64(guest.cid), .port = cpu_to_le32(guest.port) },
		.type = cpu_to_le16(type),
	};

	return call_report(c, CTL_FIND, &a, sizeof(a), CALL_NS, r);
}

int ctl_find(struct ctl *c, const struct vsock_conn *conn, enum vsock_type type,
	     struct ctl_report *r)
{
	return ctl_find_at(c, vsock_conn_remote(conn), vsock_conn_local(conn), type, r);
}

int ctl_send(struct ctl *c, uint32_t conn, uint32_t seed, uint64_t bytes, uint32_t msg, bool async,
	     struct ctl_report *r)
{
	const struct ctl_send a = {
		.conn = cpu_to_le32(conn),
		.seed = cpu_to_le32(seed),
		.bytes = cpu_to_le64(bytes),
		.msg = cpu_to_le32(msg),
		.async = cpu_to_le32(async),
		.timeout_ms = cpu_to_le32((uint32_t)(SEND_NS / MSEC)),
	};

	return call_report(c, CTL_SEND, &a, sizeof(a), SEND_NS + CALL_NS, r);
}

int ctl_wait(struct ctl *c, uint32_t conn, enum ctl_wait_for what, uint64_t value, uint32_t ms,
	     struct ctl_report *r)
{
	const struct ctl_wait a = {
		.conn = cpu_to_le32(conn),
		.what = cpu_to_le32(what),
		.value = cpu_to_le64(value),
		.timeout_ms = cpu_to_le32(ms),
	};

	return call_report(c, CTL_WAIT, &a, sizeof(a), ms * MSEC + CALL_NS, r);
}

int ctl_conn(struct ctl *c, enum ctl_op op, uint32_t conn, uint32_t arg, struct ctl_report *r)
{
	const struct ctl_conn_arg a = { cpu_to_le32(conn), cpu_to_le32(arg) };

	if (op == CTL_SET_BUF)
		tell(c, CTL_STEP_BUFFER);
	return call_report(c, op, &a, sizeof(a), CALL_NS, r);
}

int ctl_barrier(struct ctl *c)
{
	return call(c, CTL_BARRIER, NULL, 0, CALL_NS, NULL, 0);
}

int ctl_forget_all(struct ctl *c)
{
	return call(c, CTL_FORGET_ALL, NULL, 0, CALL_NS, NULL, 0);
}

int ctl_dev_info(struct ctl *c, struct ctl_dev_info *out)
{
	const int ret = call(c, CTL_DEV_INFO, NULL, 0, CALL_NS, out, sizeof(*out));
	unsigned int i;

	out->layout = le32_to_cpu(out->layout);
	out->num_guest = le32_to_cpu(out->num_guest);
	out->num_host = le32_to_cpu(out->num_host);
	out->features_offered = le64_to_cpu(out->features_offered);
	out->features_acked = le64_to_cpu(out->features_acked);
	for (i = 0; i < CTL_MAX_CIDS; i++)
		out->cids[i] = le64_to_cpu(out->cids[i]);
	out->rx_packets = le64_to_cpu(out->rx_packets);
	out->tx_packets = le64_to_cpu(out->tx_packets);
	out->dropped_src = le64_to_cpu(out->dropped_src);
	out->dropped_dst = le64_to_cpu(out->dropped_dst);
	out->dropped_malformed = le64_to_cpu(out->dropped_malformed);
	out->rst_sent = le64_to_cpu(out->rst_sent);
	out->kicks = le64_to_cpu(out->kicks);
	out->calls = le64_to_cpu(out->calls);
	out->chains_bad = le64_to_cpu(out->chains_bad);
	out->resets = le32_to_cpu(out->resets);
	out->conns = le32_to_cpu(out->conns);
	return ret;
}

static int set_cids(struct ctl *c, struct ctl_set_cids a, const uint64_t *guest, uint32_t n,
		    const uint64_t *host, uint32_t m)
{
	uint32_t i;

	if (n + m > CTL_MAX_CIDS)
		return -EINVAL;
	a.num_guest = cpu_to_le32(n);
	a.num_host = cpu_to_le32(m);
	for (i = 0; i < n + m; i++)
		a.cids[i] = cpu_to_le64(i < n ? guest[i] : host[i - n]);
	if (a.event)
		tell(c, CTL_STEP_EVENT);
	return call(c, CTL_SET_CIDS, &a, sizeof(a), CALL_NS, NULL, 0);
}

int ctl_set_cids(struct ctl *c, const uint64_t *guest, uint32_t n, const uint64_t *host, uint32_t m,
		 bool event)
{
	return set_cids(c, (struct ctl_set_cids){ .event = cpu_to_le32(event) }, guest, n, host, m);
}

int ctl_set_cids_often(struct ctl *c, const uint64_t *guest, uint32_t num_guest,
		       const uint64_t *host, uint32_t num_host, uint32_t n)
{
	return set_cids(c, (struct ctl_set_cids){ .times = cpu_to_le32(n) }, guest, num_guest, host,
			num_host);
}

int ctl_config_notice(struct ctl *c, const uint64_t *guest, uint32_t n, const uint64_t *host,
		      uint32_t m, uint32_t ms)
{
	return set_cids(c, (struct ctl_set_cids){ .delay_ms = cpu_to_le32(ms) }, guest, n, host, m);
}

int ctl_headers(struct ctl *c, uint32_t src_port, uint32_t dst_port, bool clear,
		struct ctl_headers_reply *out)
{
	const struct ctl_headers a = { cpu_to_le32(dst_port), cpu_to_le32(src_port),
				       cpu_to_le32(clear) };

	const int ret = call(c, CTL_HEADERS, &a, sizeof(a), CALL_NS, out, sizeof(*out));

	out->total = le64_to_cpu(out->total);
	out->count = le32_to_cpu(out->count);
	return ret || out->count <= CTL_HEADERS_MAX ? ret : lose(c, -EBADMSG);
}

int ctl_mem_state(struct ctl *c, struct ctl_mem_state *out)
{
	const int ret = call(c, CTL_MEM_STATE, NULL, 0, CALL_NS, out, sizeof(*out));

	out->protected_mode = le32_to_cpu(out->protected_mode);
	out->violations = le32_to_cpu(out->violations);
	out->last_addr = le64_to_cpu(out->last_addr);
	out->last_reason = le32_to_cpu(out->last_reason);
	out->last_queue = le32_to_cpu(out->last_queue);
	out->shared_pages = le64_to_cpu(out->shared_pages);
	out->private_pages = le64_to_cpu(out->private_pages);
	out->queues_stopped = le32_to_cpu(out->queues_stopped);
	return ret;
}

int ctl_mem_scan(struct ctl *c, const void *secret, uint32_t len, struct ctl_mem_scan_reply *out)
{
	struct ctl_mem_scan a = { .len = cpu_to_le32(len) };
	uint32_t i;
	int ret;

	if (len > sizeof(a.secret_xor))
		return -EINVAL;
	for (i = 0; i < len; i++)
		a.secret_xor[i] = ((const uint8_t *)secret)[i] ^ 0x5a;
	ret = call(c, CTL_MEM_SCAN, &a, sizeof(a), 4 * CALL_NS, out, sizeof(*out));
	out->scanned_pages = le64_to_cpu(out->scanned_pages);
	out->matches = le64_to_cpu(out->matches);
	out->first_addr = le64_to_cpu(out->first_addr);
	return ret;
}

int ctl_any(struct ctl *c, uint16_t op, const void *arg, size_t len)
{
	return call(c, op, arg, len, CALL_NS, NULL, 0);
}

int ctl_time(struct ctl *c, uint64_t *seconds)
{
	struct ctl_time now = { 0 };
	const int ret = call(c, CTL_TIME, NULL, 0, CALL_NS, &now, sizeof(now));

	*seconds = le64_to_cpu(now.seconds);
	return ret;
}

void ctl_check(struct test_ctx *t, int ret, const char *file, unsigned int line)
{
	if (ret)
		test_error(t, "control connection: %s (%s:%u)", err_text(ret), file, line);
}
