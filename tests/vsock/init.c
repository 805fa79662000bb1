/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Promise: a vsock device that is there can be used. It takes the features that it offers (virtio
 * 1.4, 3.1.1), uses what is put on tx, puts what comes for the guest on rx, and reaches the peer
 * that whoever started this guest has promised (vsock.peer=).
 *
 * How hosts break it: features are offered that the back end does not know; a back end that died,
 * or never started, leaves a front end that takes no buffer; the address of the peer is wired to
 * nothing, so that each REQUEST meets an RST or silence.
 *
 * How it is seen here: by the first step that is not answered. All other tests of vsock are ERRORs
 * then, at once: what they are about was not looked at.
 */
#include "drivers/virtio/virtqueue.h"
#include "lib/errname.h"
#include "tests/vsock/packet.h"
#include "tests/vsock/pair.h"

#define OWNER "vsock device (front end or back end)"

TEST(init_opens,
     .id = "vsock.init.opens",
     .clause = "virtio 1.4, 3.1.1: a device comes up with the features that it offers",
     .owner = OWNER,
     .needs = NEED_VSOCK)
{
	const int ret = vsock_env_reopen(t, 0);
	struct vsock *vs = vsock_env()->vs;
	struct virtio_device *d = vsock_device(vs);
	uint8_t status;

	require(t, ret == 0, "the device does not come up: %s", vsock_env_device_error());
	status = d->ops->get_status(d);
	expect(t, (status & VIRTIO_S_DRIVER_OK) && (status & VIRTIO_S_FEATURES_OK),
	       "status reads 0x%02x: FEATURES_OK (8) and DRIVER_OK (4) were set", status);
	expect(t, !(status & VIRTIO_S_NEEDS_RESET), "DEVICE_NEEDS_RESET: status reads 0x%02x",
	       status);
	test_note(t, "features offered 0x%llx, accepted 0x%llx", (unsigned long long)d->offered,
		  (unsigned long long)d->accepted);
}

TEST(init_tx_used,
     .id = "vsock.init.tx_used",
     .clause = "virtio 1.4, 5.10.6.4: packets go out by tx; the device uses them",
     .owner = OWNER,
     .needs = NEED_VSOCK)
{
	struct vsock_env *e = vsock_env_dev(t);
	struct virtqueue *tx = vsock_device(e->vs)->vq[1];
	/* Of no connection, and nothing that would be answered. */
	const struct packet rst = { .from = { vsock_config(e->vs)->guest[0], 50999 },
				    .to = host_port(ctl_port()),
				    .type = VSOCK_STREAM,
				    .op = VSOCK_OP_RST };

	packet_send(t, e, &rst);
	wait_for((vsock_poll(e->vs), vq_in_flight(tx) == 0), 2 * test_sec());
	expect(t, vsock_error(e->vs)[0] == '\0', "the device breaks a ring: %s",
	       vsock_error(e->vs));
	expect_eq(t, vq_in_flight(tx), 0, "packets on tx that the device does not use");
}

TEST(init_peer,
     .id = "vsock.init.peer",
     .clause = "virtio 1.4, 5.10.6.5: REQUEST to the peer's port is answered by RESPONSE, and data flows",
     .owner = "vsock device back end; the peer, if it is not there",
     .needs = NEED_VSOCK | NEED_PEER,
     .timeout = 15 * SEC)
{
	const int ret = (vsock_env_dev(t), vsock_env_ask_again());

	require(t, ret == 0, "%s", vsock_env_peer_error());
	test_note(t, "%s, capabilities 0x%x", ctl_hello(vsock_env()->ctl)->name,
		  (unsigned int)ctl_hello(vsock_env()->ctl)->caps);
}

#define RESET_FEATURES                                                                             \
	(VIRTIO_BIT(VSOCK_F_STREAM) | VIRTIO_BIT(VSOCK_F_SEQPACKET) |                              \
	 VIRTIO_BIT(VSOCK_F_NO_IMPLIED_STREAM) | VIRTIO_BIT(VSOCK_F_INDEXED_CID) |                 \
	 VIRTIO_BIT(VIRTIO_F_RING_RESET))

/* Up with features of queues that can be reset; a SKIP where the device has none. */
static struct vsock_env *resettable(struct test_ctx *t)
{
	const struct virtio_device *d = vsock_device(vsock_env_ctl(t)->vs);

	if (!(d->offered & VIRTIO_BIT(VIRTIO_F_RING_RESET)))
		test_skip(t, "the device does not offer VIRTIO_F_RING_RESET (bit 40)");
	if (vsock_env_reopen(t, RESET_FEATURES))
		test_error(t, "the device does not come up: %s", vsock_env_device_error());
	CTL_OK(t, vsock_env_reconnect());
	return vsock_env_ctl(t);
}

/* No buffer is in it, so that none is lost. */
static void renew_rx(struct test_ctx *t, struct virtio_device *d)
{
	const uint16_t size = vq_size(d->vq[0]);

	require(t, d->ops->queue_reset(d, 0) == 0, "resetting the rx queue: %s", d->error);
	vq_destroy(d->vq[0]);
	d->vq[0] = NULL;
	require(t, virtio_queue_setup(d, 0, size) == 0, "enabling the rx queue again: %s",
		d->error);
}

TEST(init_rx_reset,
     .id = "vsock.init.rx_queue_reset",
     .clause = "virtio 1.4, 2.6.1: a queue is reset individually; 5.10.6, 5.10.6.5: what the device has for the guest by then comes once rx is enabled again",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_DEVICE_CTL,
     .timeout = 30 * SEC) /* each of its steps has seconds of its own, and says what did not come */
{
	enum {
		BYTES = 5000,
		PORT = 50997
	};
	struct vsock_env *e = resettable(t);
	struct virtio_device *d = vsock_device(e->vs);
	struct pair *p = pair_open(t), *other = pair_open(t);
	const struct packet request = { .from = { vsock_config(e->vs)->guest[0], PORT },
					.to = host_port(64999),
					.type = VSOCK_STREAM,
					.op = VSOCK_OP_REQUEST };

	rx_is_full(other);
	ctl_ahead(e->ctl, true);
	host_send(p, BYTES);
	ctl_ahead(e->ctl, false);
	packet_send(t, e, &request);
	(void)pair_waits(p, !vq_in_flight(d->vq[1]), 1);
	renew_rx(t, d);
	rx_has_room(other);
	guest_expects(p, BYTES);
	expect(t, pair_waits(p, packet_answer(e, &request) == VSOCK_OP_RST, 1),
	       "REQUEST to a closed port, and rx is reset and enabled: expected RST, %s came",
	       packet_op(packet_answer(e, &request)));
	CTL_OK(t, ctl_barrier(e->ctl));
	pair_close(p);
	pair_close(other);
}

/* No queue runs any more when the device is reset, and its connections still are there. */
TEST(init_after_queues,
     .id = "vsock.init.reset_after_queues",
     .clause = "virtio 1.4, 2.4.1, 2.6.1: a device reset starts the device anew, also one whose queues were all reset before",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_DEVICE_CTL,
     .timeout = 10 * SEC)
{
	enum {
		QUEUES = 3,
		PORT = 50998
	};
	struct virtio_device *d = vsock_device(resettable(t)->vs);
	struct ctl_dev_info info;
	unsigned int q;

	pair_open(t, .at = ASSAY_SINK_PORT, .local_port = PORT);
	for (q = 0; q < QUEUES; q++)
		require(t, d->ops->queue_reset(d, (uint16_t)q) == 0, "queue %u: %s", q, d->error);
	require(t, vsock_env_reopen(t, 0) == 0, "the device does not come up: %s",
		vsock_env_device_error());
	require(t, vsock_env_reconnect() == 0, "the control connection: %s",
		vsock_env_peer_error());
	CTL_OK(t, ctl_dev_info(vsock_env()->ctl, &info));
	expect_eq(t, info.conns, 1, "connections: the control connection alone");
	pair_close(pair_open(t, .at = ASSAY_SINK_PORT, .local_port = PORT));
}
