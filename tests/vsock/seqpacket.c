/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Promise (virtio 1.4, 5.10.6.6): a message comes out of a seqpacket connection as it went in,
 * whole and alone, whatever packets it travels in; the last of them carries EOM.
 *
 * How hosts break it: a message that does not fit a receive buffer is split, and EOM stays on each
 * part (vhost_vsock takes it off all but the last for that); what was read at once is sent as one
 * message; a connection is looked up without its type.
 *
 * How it is seen here: messages of each size around a packet, a buffer and a page go to the host
 * and come back; the host tells the lengths that it saw, the guest checks its own.
 */
#include "tests/vsock/pair.h"

#define OWNER "vsock device back end (seqpacket)"
#define NEEDS (NEED_VSOCK | NEED_PEER | NEED_SEQPACKET)

TEST(seq_echo,
     .id = "vsock.seqpacket.echo",
     .clause = "virtio 1.4, 5.10.6: a seqpacket message ends with EOM and comes back whole",
     .owner = OWNER,
     .needs = NEEDS)
{
	struct pair *p = pair_open(t, .type = VSOCK_SEQPACKET, .service = CTL_SVC_ECHO);

	for_each_edge(len, p) echo(p, len);
	pair_close(p);
}

TEST(seq_boundaries_to_host,
     .id = "vsock.seqpacket.boundaries_to_host",
     .clause = "virtio 1.4, 5.10.6: message boundaries are preserved towards the host",
     .owner = OWNER,
     .needs = NEEDS)
{
	struct pair *p = pair_open(t, .type = VSOCK_SEQPACKET);
	size_t len;

	for (len = 1; len < 1000; len += 47)
		guest_send(p, len);
	host_expects(p);
	pair_close(p);
}

TEST(seq_boundaries_from_host,
     .id = "vsock.seqpacket.boundaries_from_host",
     .clause = "virtio 1.4, 5.10.6: message boundaries are preserved towards the guest",
     .owner = OWNER,
     .needs = NEEDS)
{
	struct pair *p = pair_open(t, .type = VSOCK_SEQPACKET);
	unsigned int i;

	host_send_messages(p, 10, 1500);
	for (i = 0; i < 10; i++)
		guest_expects(p, 1500);
	nothing_comes(p);
	pair_close(p);
}

TEST(seq_beside_stream,
     .id = "vsock.seqpacket.beside_stream",
     .clause = "virtio 1.4, 5.10.6: streams and seqpackets with equal ports are different connections",
     .owner = OWNER,
     .needs = NEEDS)
{
	struct pair *s = pair_open(t, .service = CTL_SVC_ECHO);
	struct pair *q = pair_open(t, .type = VSOCK_SEQPACKET, .service = CTL_SVC_ECHO,
				   .beside = s);

	guest_send(s, 100);
	guest_send(q, 100);
	guest_expects(s, 100);
	guest_expects(q, 100);
	pair_close(s);
	pair_close(q);
}

TEST(seq_long_from_host,
     .id = "vsock.seqpacket.long_from_host",
     .clause = "virtio 1.4, 5.10.6.6: EOM is on the last packet of a message, and on no other, however many buffers it takes",
     .owner = OWNER,
     .needs = NEEDS)
{
	static const size_t sizes[] = { VSOCK_RX_PAYLOAD - 1,	  VSOCK_RX_PAYLOAD,
					VSOCK_RX_PAYLOAD + 1,	  2 * VSOCK_RX_PAYLOAD,
					2 * VSOCK_RX_PAYLOAD + 1, 40000 };
	struct pair *p = pair_open(t, .type = VSOCK_SEQPACKET);
	unsigned int i;

	for (i = 0; i < COUNT_OF(sizes); i++) {
		host_send(p, sizes[i]);
		guest_expects(p, sizes[i]);
		host_send_messages(p, 3, sizes[i]);
		guest_expects(p, sizes[i]);
		guest_expects(p, sizes[i]);
		guest_expects(p, sizes[i]);
	}
	nothing_comes(p);
	pair_close(p);
}

TEST(seq_flags_to_host,
     .id = "vsock.seqpacket.flags_to_host",
     .clause = "virtio 1.4, 5.10.6.6: EOM ends a message, and nothing else does",
     .owner = OWNER,
     .needs = NEEDS)
{
	/* Packets of messages: their sizes and flags. */
	static const struct {
		uint32_t n, flags;
	} parts[] = {
		{ 10, 0 },
		{ 20, VSOCK_SEQ_EOM },
		{ 30, VSOCK_SEQ_EOR },
		{ 40, VSOCK_SEQ_EOM },
		{ 50, VSOCK_SEQ_EOM | VSOCK_SEQ_EOR },
		{ 60, 0 },
		{ 70, VSOCK_SEQ_EOR },
		{ 80, 0 },
		{ 90, VSOCK_SEQ_EOM | VSOCK_SEQ_EOR },
	};
	struct pair *p = pair_open(t, .type = VSOCK_SEQPACKET);
	unsigned int i;

	for (i = 0; i < COUNT_OF(parts); i++)
		guest_packet(p, VSOCK_OP_RW, parts[i].flags, parts[i].n);
	host_expects(p);
	pair_close(p);
}

/* 150 KiB: each host's buffer has room for them, and none takes them in one packet. */
TEST(seq_long_to_host,
     .id = "vsock.seqpacket.long_to_host",
     .clause = "virtio 1.4, 5.10.6.6: EOM ends a message, and nothing else does, however many packets it takes",
     .owner = OWNER,
     .needs = NEEDS)
{
	enum {
		PART = 15360,
		PARTS = 10
	};
	struct pair *p = pair_open(t, .type = VSOCK_SEQPACKET);
	unsigned int i;

	for (i = 1; i <= PARTS; i++)
		guest_packet(p, VSOCK_OP_RW, i == PARTS ? VSOCK_SEQ_EOM : 0, PART);
	guest_send(p, 100);
	host_expects(p);
	pair_close(p);
}

/* Half of the second message fits while the first is unread. */
TEST(seq_waits_for_credit,
     .id = "vsock.seqpacket.waits_for_credit",
     .clause = "virtio 1.4, 5.10.6.3.2, 5.10.6.6: a message that waits for credit comes whole, and once, like any other",
     .owner = OWNER,
     .needs = NEEDS)
{
	struct pair *p = pair_open(t, .type = VSOCK_SEQPACKET, .guest_buf = 4500);
	unsigned int i;

	host_send_messages(p, 6, 3000);
	for (i = 0; i < 6; i++) {
		/* What is sent in vain is sent by then. */
		CTL_OK(t, ctl_barrier(p->env->ctl));
		guest_expects(p, 3000);
	}
	nothing_comes(p);
	pair_close(p);
}
