/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Promise (virtio 1.4, 3.4.2): while it is suspended, a device notifies of no change of its configuration; it does
 * so when it is resumed. Connections are where they were.
 *
 * How hosts break it: the notification is sent all the same, to a driver that must not look at the device, or it is
 * lost, and the driver goes on with an old address.
 *
 * How it is seen here: the peer, which lives in the device, orders the notification for a moment at which the device
 * is suspended.
 */
#include "tests/vsock/pair.h"

#define OWNER	  "the device back end (suspend)"
#define ANSWER_NS (2 * test_sec())
#define DELAY_MS  20u
#define TRIES	  6
#define FEATURES                                                                                   \
	(VIRTIO_BIT(VSOCK_F_STREAM) | VIRTIO_BIT(VSOCK_F_SEQPACKET) |                              \
	 VIRTIO_BIT(VSOCK_F_NO_IMPLIED_STREAM) | VIRTIO_BIT(VSOCK_F_INDEXED_CID) |                 \
	 VIRTIO_BIT(VIRTIO_F_SUSPEND))

static uint64_t notices(const struct virtio_device *d)
{
	return __atomic_load_n(&d->irqs.config, __ATOMIC_RELAXED);
}

/* SUSPEND, or DRIVER_OK to resume, until the one is there and the other gone. */
static void turn(struct test_ctx *t, struct virtio_device *d, uint8_t on, uint8_t off)
{
	uint8_t s = d->ops->get_status(d);

	d->ops->set_status(d, s | on);
	if (!wait_for((s = d->ops->get_status(d), (s & on) && !(s & off)) ||
			      s & VIRTIO_S_NEEDS_RESET,
		      ANSWER_NS))
		require(t, false, "status 0x%02x long after 0x%02x was set", s, on);
	if (s & VIRTIO_S_NEEDS_RESET)
		test_skip(t, "the device wants a reset when 0x%02x is set in its status", on);
}

/* Orders a notification, and suspends the device before it comes. In how many ms it is due; 0: it came first, always. */
static uint64_t suspended_in_time(struct test_ctx *t, struct vsock_env *e, struct virtio_device *d,
				  uint64_t *before)
{
	const struct vsock_config *c = vsock_config(e->vs);
	unsigned int i;
	uint32_t ms = DELAY_MS;

	for (i = 0; i < TRIES; i++, ms *= 2) {
		*before = notices(d);
		CTL_OK(t,
		       ctl_config_notice(e->ctl, c->guest, c->num_guest, c->host, c->num_host, ms));
		turn(t, d, VIRTIO_S_SUSPEND, VIRTIO_S_DRIVER_OK);
		if (notices(d) == *before)
			return ms;
		turn(t, d, VIRTIO_S_DRIVER_OK, VIRTIO_S_SUSPEND);
	}
	return 0;
}

TEST(suspend_config,
     .id = "vsock.suspend.config_change",
     .clause = "virtio 1.4, 3.4.2 MUST NOT: config notifications while suspended; MUST: they are sent when it resumes",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_DEVICE_CTL,
     .timeout = 10 * SEC)
{
	struct vsock_env *e = vsock_env_dev(t);
	struct virtio_device *d = vsock_device(e->vs);
	uint64_t before, ms;
	struct pair *p;

	if (!(d->offered & VIRTIO_BIT(VIRTIO_F_SUSPEND)))
		test_skip(t, "the device does not offer VIRTIO_F_SUSPEND (bit 43)");
	if (vsock_env_reopen(t, d->offered & FEATURES))
		test_error(t, "the device does not come up: %s", vsock_env_device_error());
	if (vsock_env_reconnect())
		test_error(t, "no control connection: %s", vsock_env_peer_error());
	e = vsock_env_ctl(t);
	d = vsock_device(e->vs);
	if (d->irq_mode == VIRTIO_IRQ_POLL)
		test_skip(t, "the device has no interrupt to notify by");
	p = pair_open(t, .at = ASSAY_ECHO_PORT);
	ms = suspended_in_time(t, e, d, &before);
	if (!ms)
		test_error(t, "each notification came before the device was suspended");
	expect(t, !wait_for(notices(d) != before, 2 * ms * MSEC + test_sec() / 50),
	       "a config notification while suspended");
	turn(t, d, VIRTIO_S_DRIVER_OK, VIRTIO_S_SUSPEND);
	expect(t, wait_for(notices(d) > before, ANSWER_NS),
	       "no config notification after it was resumed");
	echo(p, 1000);
	pair_close(p);
}
