/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/vsock/packet.h"

#include <errno.h>

#include "lib/errname.h"

#define BUFFER	   65536u /* the room that a REQUEST of ours announces */
#define MAX_STRAYS 16

struct vsock_hdr packet_header(const struct packet *p)
{
	return (struct vsock_hdr){
		.src_cid = cpu_to_le64(p->from.cid),
		.dst_cid = cpu_to_le64(p->to.cid),
		.src_port = cpu_to_le32(p->from.port),
		.dst_port = cpu_to_le32(p->to.port),
		.len = cpu_to_le32(p->len),
		.type = cpu_to_le16(p->type),
		.op = cpu_to_le16(p->op),
		.flags = cpu_to_le32(p->flags),
		.buf_alloc = cpu_to_le32(BUFFER),
	};
}

/* The queue has room again once the device has used what lies in it. */
void packet_raw(struct test_ctx *t, struct vsock_env *e, const struct vsock_hdr *h,
		const void *payload, uint32_t len)
{
	int ret, polled = 0;

	wait_for((ret = vsock_send_raw(e->vs, h, payload, len)) != -ENOSPC ||
			 (polled = vsock_poll(e->vs)) < 0,
		 2 * test_sec());
	require(t, ret != -ENOSPC && polled >= 0, "the device takes no packet: %s",
		err_text(polled < 0 ? polled : ret));
	if (ret)
		test_error(t, "a packet cannot be sent: %s", err_text(ret));
}

void packet_send(struct test_ctx *t, struct vsock_env *e, const struct packet *p)
{
	const struct vsock_hdr h = packet_header(p);

	vsock_strays_clear(e->vs);
	packet_raw(t, e, &h, NULL, 0);
}

/* Others may come first, such as RSTs that are still due to what was sent before. */
static bool find_request(struct vsock_env *e, struct vsock_addr to, struct vsock_addr *from)
{
	struct vsock_stray s[MAX_STRAYS];
	unsigned int n, i;

	vsock_poll(e->vs);
	n = vsock_strays(e->vs, s, MAX_STRAYS);
	for (i = 0; i < n; i++) {
		if (le16_to_cpu(s[i].hdr.op) != VSOCK_OP_REQUEST ||
		    le32_to_cpu(s[i].hdr.dst_port) != to.port)
			continue;
		*from = (struct vsock_addr){ le64_to_cpu(s[i].hdr.src_cid),
					     le32_to_cpu(s[i].hdr.src_port) };
		return true;
	}
	return false;
}

struct vsock_addr packet_request(struct test_ctx *t, struct vsock_env *e, struct vsock_addr to)
{
	struct vsock_addr from = { 0 };

	require(t, wait_for(find_request(e, to, &from), test_sec()),
		"the host connects to the guest: no REQUEST comes");
	return from;
}

bool packet_answered(struct vsock_env *e, const struct packet *p, struct vsock_hdr *h)
{
	struct vsock_stray s[MAX_STRAYS];
	const unsigned int n = vsock_strays(e->vs, s, MAX_STRAYS);
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (le32_to_cpu(s[i].hdr.dst_port) != p->from.port ||
		    le32_to_cpu(s[i].hdr.src_port) != p->to.port)
			continue;
		*h = s[i].hdr;
		return true;
	}
	return false;
}

int packet_answer(struct vsock_env *e, const struct packet *p)
{
	struct vsock_hdr h;

	return packet_answered(e, p, &h) ? le16_to_cpu(h.op) : PACKET_NONE;
}

int packet_ask(struct test_ctx *t, struct vsock_env *e, const struct packet *p)
{
	packet_send(t, e, p);
	wait_for((vsock_poll(e->vs), packet_answer(e, p) != PACKET_NONE), 3 * test_sec());
	return packet_answer(e, p);
}

const char *packet_op(int op)
{
	static const char *const names[] = { "INVALID",	      "REQUEST",       "RESPONSE",
					     "RST",	      "SHUTDOWN",      "RW",
					     "CREDIT_UPDATE", "CREDIT_REQUEST" };

	if (op == PACKET_NONE)
		return "nothing";
	return (unsigned int)op < sizeof(names) / sizeof(names[0]) ? names[op] :
								     "an unknown operation";
}
