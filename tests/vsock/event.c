/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The event queue (5.10.6.7): CIDs that change while the device runs, as after a migration. The host says
 * so by an event, and by a notification of the configuration; a guest that hears of neither goes on with
 * addresses that are no longer its own.
 */
#include <errno.h>

#include "tests/vsock/env.h"

#define OWNER	    "vsock device back end (events)"
#define ANSWER_NS   (2 * test_sec())
#define BY	    100u /* how far CIDs are moved */
#define MANY	    10u	 /* more events than the queue has buffers at a time */
#define SERVER_PORT 7002

void vsock_change_cids(struct test_ctx *t, const struct vsock_config *was, uint64_t by)
{
	struct vsock_env *e = vsock_env_ctl(t);
	struct vsock_stats before, now;
	uint64_t cids[VSOCK_MAX_CIDS] = { 0 };
	uint32_t i;
	int ret;

	for (i = 0; i < was->num_guest; i++)
		cids[i] = was->guest[i] + by;
	vsock_stats(e->vs, &before);
	ret = ctl_set_cids(e->ctl, cids, was->num_guest, was->host, was->num_host, true);
	if (ret == -EOPNOTSUPP)
		test_skip(t, "the device has no event queue (the VMM keeps it), so its CIDs stay");
	CTL_OK(t, ret);
	wait_for((vsock_poll(e->vs), vsock_stats(e->vs, &now),
		  now.transport_resets + now.rx_malformed >
			  before.transport_resets + before.rx_malformed),
		 ANSWER_NS);
	expect_eq(t, now.rx_malformed, before.rx_malformed,
		  "events that are not TRANSPORT_RESET, and other malformed packets");
	require(t, now.transport_resets > before.transport_resets,
		"no TRANSPORT_RESET event in time");
	expect(t, vsock_config_error(e->vs)[0] == '\0', "config space: %s",
	       vsock_config_error(e->vs));
	require_eq(t, vsock_config(e->vs)->guest[0], cids[0],
		   "guest CID in the config space afterwards");
	ret = vsock_env_reconnect();
	require(t, ret == 0, "connect from the new CID: errno %d", -ret);
}

TEST(event_reset, .id = "vsock.event.transport_reset",
     .clause = "virtio 1.4, 5.10.6.7: TRANSPORT_RESET tells of new CIDs; the host uses them from then on",
     .owner = OWNER, .needs = NEED_VSOCK | NEED_PEER | NEED_DEVICE_CTL, .timeout = 10 * SEC)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const struct vsock_config was = *vsock_config(e->vs);
	const struct vsock_addr any = { VSOCK_CID_ANY, SERVER_PORT };
	const struct vsock_addr to = { was.guest[was.num_guest - 1] + BY, SERVER_PORT };
	struct vsock_listener *l;
	struct ctl_report r;
	struct vsock_conn *c;
	int ret;

	ret = vsock_listen(e->vs, VSOCK_STREAM, any, 4, &l);
	if (ret)
		test_error(t, "listen: errno %d", -ret);
	vsock_change_cids(t, &was, BY);
	/* Listeners stay (5.10.6.7.1), and the host finds them under the new names only. */
	ret = ctl_connect(e->ctl, ASSAY_CID_ANY, to, VSOCK_STREAM, CTL_SVC_NONE, 1000, &r);
	expect(t, ret == 0, "the host's connect to the new CID %llu: errno %d",
	       (unsigned long long)to.cid, -ret);
	if (!ret && vsock_accept(l, ANSWER_NS, &c) == 0) {
		expect_eq(t, vsock_conn_local(c).cid, to.cid, "CID that the connection came in on");
		vsock_conn_close(c, IO_NS);
	}
	vsock_change_cids(t, &was, 0);
}

TEST(event_notified, .id = "vsock.event.config_notified",
     .clause = "virtio 1.4, 4.1.5.4 and 4.2.2: a device whose configuration changes sends a notification",
     .owner = OWNER, .needs = NEED_VSOCK | NEED_PEER | NEED_DEVICE_CTL, .timeout = 10 * SEC)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const struct vsock_config was = *vsock_config(e->vs);
	struct virtio_device *d = vsock_device(e->vs);
	const uint64_t before = __atomic_load_n(&d->irqs.config, __ATOMIC_RELAXED);

	if (d->irq_mode == VIRTIO_IRQ_POLL)
		test_skip(t, "the device has no interrupt to notify by");
	vsock_change_cids(t, &was, BY);
	expect(t, wait_for(__atomic_load_n(&d->irqs.config, __ATOMIC_RELAXED) > before, ANSWER_NS),
	       "no configuration change notification (%s) in time of the event",
	       virtio_irq_name(d->irq_mode));
	vsock_change_cids(t, &was, 0);
}

TEST(event_repeated, .id = "vsock.event.repeated",
     .clause = "virtio 1.4, 5.10.6.7: each event comes, as long as the driver gives buffers back",
     .owner = OWNER, .needs = NEED_VSOCK | NEED_PEER | NEED_DEVICE_CTL, .timeout = 20 * SEC)
{
	const struct vsock_config was = *vsock_config(vsock_env_ctl(t)->vs);
	unsigned int i;

	for (i = 0; i < MANY; i++)
		vsock_change_cids(t, &was, i & 1 ? 0 : BY);
}
