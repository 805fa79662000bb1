/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/linux/peer.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <zlib.h>

#include "tests/linux/sock.h"

static int control = -1;
static struct ctl_hello_reply hello;
static uint32_t seq;

static uint32_t crc_of(struct ctl_header h, const void *payload)
{
	uLong crc;

	h.crc = 0;
	crc = crc32(0, (const Bytef *)&h, sizeof(h));
	return (uint32_t)(h.len ? crc32(crc, payload, h.len) : crc);
}

/* 0, or why there is no reply; the connection is of no use then. */
static int exchange(uint16_t op, const void *request, size_t len, void *reply, size_t size,
		    int *status)
{
	struct ctl_header h = { .magic = ASSAY_CTL_MAGIC,
				.version = ASSAY_CTL_VERSION,
				.op = op,
				.seq = seq + 1,
				.len = (uint32_t)len };
	uint8_t buf[ASSAY_CTL_MAX];

	seq++;
	h.crc = crc_of(h, request);
	if (sock_write(control, &h, sizeof(h)) || (len && sock_write(control, request, len)) ||
	    sock_read(control, &h, sizeof(h)))
		return errno ? -errno : -EPIPE;
	if (h.magic != ASSAY_CTL_MAGIC || h.op != op || h.seq != seq || h.len > sizeof(buf))
		return -EBADMSG;
	if (sock_read(control, buf, h.len))
		return errno ? -errno : -EPIPE;
	if (h.crc != crc_of(h, buf))
		return -EBADMSG;
	*status = h.status;
	if (!h.status && reply && h.len != size)
		return -EBADMSG;
	if (!h.status && reply)
		memcpy(reply, buf, size);
	return 0;
}

static int open_control(void)
{
	const struct ctl_hello request = { .version = ASSAY_CTL_VERSION };
	int ret, status = 0;

	control = sock_connect(SOCK_STREAM, ASSAY_CTL_PORT);
	if (control < 0)
		return control;
	ret = exchange(CTL_HELLO, &request, sizeof(request), &hello, sizeof(hello), &status);
	return ret ? ret : status;
}

static void close_control(void)
{
	if (control >= 0)
		close(control);
	control = -1;
}

const struct ctl_hello_reply *peer_hello(struct test_ctx *t)
{
	const int ret = control < 0 ? open_control() : 0;

	if (ret) {
		close_control();
		test_error(t, "no control connection to the peer: %s", strerror(-ret));
	}
	return &hello;
}

int peer_order(struct test_ctx *t, uint16_t op, const void *request, size_t len, void *reply,
	       size_t size)
{
	int ret, status = 0;

	peer_hello(t);
	ret = exchange(op, request, len, reply, size, &status);
	if (ret) {
		close_control();
		test_error(t, "order %u of the peer has no reply: %s", op, strerror(-ret));
	}
	return status;
}

static void must(struct test_ctx *t, int status, const char *what)
{
	if (status)
		test_error(t, "%s: the peer answers %s", what, strerror(-status));
}

bool peer_forget_all(void)
{
	int status = 0;

	if (control < 0)
		return true;
	if (!exchange(CTL_FORGET_ALL, NULL, 0, NULL, 0, &status) && !status)
		return true;
	close_control();
	return false;
}

void peer_leave(struct test_ctx *t)
{
	if (!peer_forget_all())
		test_error(t, "the peer forgets nothing");
	close_control();
}

uint32_t peer_listen(struct test_ctx *t, uint16_t type, uint16_t service)
{
	struct ctl_listen l = { .cid = ASSAY_CID_ANY, .type = type, .service = service };

	must(t, peer_order(t, CTL_LISTEN, &l, sizeof(l), &l, sizeof(l)), "listen");
	return l.port;
}

struct ctl_report peer_accept(struct test_ctx *t, uint32_t port, uint16_t type)
{
	const struct ctl_listen l = {
		.cid = ASSAY_CID_ANY, .port = port, .type = type, .timeout_ms = PEER_MS
	};
	struct ctl_report r;

	must(t, peer_order(t, CTL_ACCEPT, &l, sizeof(l), &r, sizeof(r)), "accept");
	return r;
}

struct ctl_report peer_connect(struct test_ctx *t, uint64_t cid, uint32_t port, uint16_t type,
			       uint16_t service, int *status)
{
	const struct ctl_connect c = { .local = { .cid = ASSAY_CID_ANY },
				       .remote = { .cid = cid, .port = port },
				       .type = type,
				       .service = service,
				       .timeout_ms = PEER_MS };
	struct ctl_report r = { 0 };
	const int ret = peer_order(t, CTL_CONNECT, &c, sizeof(c), &r, sizeof(r));

	if (status)
		*status = ret;
	else
		require(t, !ret, "the host's connect to port %u: %s", port, strerror(-ret));
	return r;
}

struct ctl_report peer_send(struct test_ctx *t, uint32_t conn, uint64_t bytes, uint32_t msg,
			    uint32_t seed, bool async)
{
	const struct ctl_send s = { .conn = conn,
				    .seed = seed,
				    .bytes = bytes,
				    .msg = msg,
				    .async = async,
				    .timeout_ms = PEER_MS };
	struct ctl_report r;

	must(t, peer_order(t, CTL_SEND, &s, sizeof(s), &r, sizeof(r)), "send");
	return r;
}

struct ctl_report peer_report(struct test_ctx *t, uint32_t conn)
{
	const struct ctl_conn_arg a = { .conn = conn };
	struct ctl_report r;

	must(t, peer_order(t, CTL_REPORT, &a, sizeof(a), &r, sizeof(r)), "report");
	return r;
}

struct ctl_report peer_wait(struct test_ctx *t, uint32_t conn, enum ctl_wait_for what,
			    uint64_t value, const char *name)
{
	const struct ctl_wait w = {
		.conn = conn, .what = what, .value = value, .timeout_ms = PEER_MS
	};
	struct ctl_report r = { 0 };
	const int status = peer_order(t, CTL_WAIT, &w, sizeof(w), &r, sizeof(r));

	if (status != -ETIMEDOUT)
		must(t, status, name);
	require(t, !status, "%s: not so within %u s", name, PEER_MS / 1000);
	return r;
}

void peer_do(struct test_ctx *t, enum ctl_op op, uint32_t conn, uint32_t arg)
{
	const struct ctl_conn_arg a = { .conn = conn, .arg = arg };
	struct ctl_report r;

	must(t, peer_order(t, op, &a, sizeof(a), &r, sizeof(r)), "order");
}
