/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Promise (virtio 1.4, 5.10.6.7): when the guest's CID changes while the device runs, as after a
 * migration, the host says so by an event, and by a notification of the configuration.
 *
 * How hosts break it: no event, or only the first one; an event without a notification, or with the
 * old CIDs in the configuration; connections that live on. A guest that does not hear of it goes on
 * with addresses of another.
 *
 * How it is seen here: the peer, which lives in the device, gives it other CIDs and back; the guest
 * looks at each trace of that, and connects under the new names.
 */
#include <errno.h>

#include "drivers/virtio/virtqueue.h"
#include "lib/cmdline.h"
#include "lib/errname.h"
#include "tests/vsock/packet.h"
#include "tests/vsock/pair.h"

#define OWNER	    "vsock device back end (events)"
#define NEEDS	    (NEED_VSOCK | NEED_PEER | NEED_DEVICE_CTL)
#define ANSWER_NS   (2 * test_sec())
#define BY	    100u /* how far CIDs are moved */
#define MANY	    10u	 /* more events than the queue has buffers at a time */
#define SERVER_PORT 7002u
#define AT_ONCE	    8u /* resets */

OPTION("event.resets", "how often vsock.event.reset_at_once resets the device, 8 without it");

uint64_t vsock_order_cids(struct test_ctx *t, const struct vsock_config *was, uint64_t by)
{
	struct vsock_env *e = vsock_env();
	uint64_t cids[VSOCK_MAX_CIDS] = { 0 };
	uint32_t i;
	int ret;

	for (i = 0; i < was->num_guest; i++)
		cids[i] = was->guest[i] + by;
	ret = ctl_set_cids(e->ctl, cids, was->num_guest, was->host, was->num_host, true);
	if (ret == -EOPNOTSUPP)
		test_skip(t, "the device has no event queue (the VMM keeps it), so its CIDs stay");
	CTL_OK(t, ret);
	return cids[0];
}

void vsock_change_cids(struct test_ctx *t, const struct vsock_config *was, uint64_t by)
{
	struct vsock_env *e = vsock_env_ctl(t);
	struct vsock_stats before, now;
	uint64_t cid;
	int ret;

	vsock_stats(e->vs, &before);
	cid = vsock_order_cids(t, was, by);
	wait_for((vsock_poll(e->vs), vsock_stats(e->vs, &now),
		  now.transport_resets + now.rx_malformed >
			  before.transport_resets + before.rx_malformed),
		 ANSWER_NS);
	expect_eq(t, now.rx_malformed, before.rx_malformed,
		  "events that are not TRANSPORT_RESET, and other malformed packets");
	require(t, now.transport_resets > before.transport_resets,
		"new CIDs: expected a TRANSPORT_RESET event, nothing came");
	expect(t, vsock_config_error(e->vs)[0] == '\0', "config space: %s",
	       vsock_config_error(e->vs));
	require_eq(t, vsock_config(e->vs)->guest[0], cid,
		   "guest CID in the config space afterwards");
	ret = vsock_env_reconnect();
	require(t, ret == 0, "a connection from the new CID: %s", vsock_env_peer_error());
}

TEST(event_reset,
     .id = "vsock.event.transport_reset",
     .clause = "virtio 1.4, 5.10.6.7: TRANSPORT_RESET tells of new CIDs; the host uses them from then on",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 10 * SEC)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const struct vsock_config was = *vsock_config(e->vs);
	const struct vsock_addr to = { was.guest[was.num_guest - 1] + BY, SERVER_PORT };
	struct vsock_listener *l = guest_listens(t, e, VSOCK_CID_ANY, SERVER_PORT);
	struct pair *p;
	int ret;

	vsock_change_cids(t, &was, BY);
	/* Listeners stay (5.10.6.7.1), and the host finds them under the new names only. */
	ret = host_connects(t, e, to, &p);
	expect(t, ret == 0, "the host's connect to the new CID %llu: %s",
	       (unsigned long long)to.cid, err_text(ret));
	if (!ret) {
		guest_accepts(p, l);
		pair_close(p);
	}
	vsock_change_cids(t, &was, 0);
}

TEST(event_ends,
     .id = "vsock.event.ends_connections",
     .clause = "virtio 1.4, 5.10.6.7: TRANSPORT_RESET ends all connections, also those of CIDs that stay",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 10 * SEC)
{
	struct pair *p = pair_open(t);
	const struct vsock_config was = *vsock_config(p->env->vs);
	uint32_t updates;

	vsock_change_cids(t, &was, 0);
	expect(t, vsock_conn_state(p->conn) == VSOCK_TRANSPORT_RESET,
	       "the guest's end goes on after the event");
	updates = credit_of(p).updates;
	vsock_credit_request(p->conn);
	CTL_OK(t, ctl_barrier(p->env->ctl));
	CTL_OK(t, ctl_barrier(p->env->ctl));
	expect_eq(t, credit_of(p).updates, updates,
		  "CREDIT_UPDATEs, with those that answer behind the event");
}

TEST(event_notified,
     .id = "vsock.event.config_notified",
     .clause = "virtio 1.4, 4.1.5.4 and 4.2.2: a device whose configuration changes sends a notification",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 10 * SEC)
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

TEST(event_repeated,
     .id = "vsock.event.repeated",
     .clause = "virtio 1.4, 5.10.6.7: each event comes, as long as the driver gives buffers back",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 20 * SEC)
{
	const struct vsock_config was = *vsock_config(vsock_env_ctl(t)->vs);
	unsigned int i;

	for (i = 0; i < MANY; i++)
		vsock_change_cids(t, &was, i & 1 ? 0 : BY);
}

#define RESETS 40u

TEST(event_after_resets,
     .id = "vsock.event.after_many_resets",
     .clause = "virtio 1.4, 5.10.6.7, 2.4: a reset device is as new, after each reset: its events come",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 20 * SEC)
{
	struct vsock_config was;
	unsigned int i;

	for (i = 0; i < RESETS; i++)
		require(t, vsock_env_reopen(t, 0) == 0, "reset %u: the device does not come up: %s",
			i + 1, vsock_env_device_error());
	CTL_OK(t, vsock_env_reconnect());
	was = *vsock_config(vsock_env()->vs);
	vsock_change_cids(t, &was, BY);
	vsock_change_cids(t, &was, 0);
}

static uint64_t interrupts_of(const struct virtio_device *d)
{
	return __atomic_load_n(&d->irqs.config, __ATOMIC_RELAXED) +
	       __atomic_load_n(&d->irqs.shared, __ATOMIC_RELAXED) +
	       __atomic_load_n(&d->irqs.queue[2], __ATOMIC_RELAXED);
}

/*
 * The event is in its queue, or was just taken. Until then the driver looks at its queues: the host waits for the answer to
 * the order to be read.
 */
static bool event_is_there(struct vsock_env *e, uint64_t before)
{
	struct vsock_stats now;

	if (vq_pending(vsock_device(e->vs)->vq[2]))
		return true;
	vsock_poll(e->vs);
	vsock_stats(e->vs, &now);
	return now.transport_resets > before;
}

/* An order of new CIDs and a reset, at once or as soon as the event is there. */
static void reset_at_once(struct test_ctx *t, const struct vsock_config *was, uint64_t by,
			  bool has_come)
{
	struct vsock_env *e = vsock_env_ctl(t);
	struct virtio_device *d = vsock_device(e->vs);
	struct vsock_stats before;
	uint64_t cid, told;

	(void)vq_interrupts(d->vq[2], true);
	vsock_stats(e->vs, &before);
	cid = vsock_order_cids(t, was, by);
	require(t, !has_come || wait_for(event_is_there(e, before.transport_resets), ANSWER_NS),
		"no event comes");
	d->ops->set_status(d, 0);
	require(t, wait_for(d->ops->get_status(d) == 0, ANSWER_NS), "the reset does not end");
	told = interrupts_of(d);
	expect(t, !wait_for(interrupts_of(d) != told, test_sec() / 2000),
	       "%u interrupts of the device behind its reset",
	       (unsigned int)(interrupts_of(d) - told));
	require(t, vsock_env_renew(t) == 0, "the device does not come up: %s",
		vsock_env_device_error());
	require(t, vsock_env_reconnect() == 0, "the control connection: %s",
		vsock_env_peer_error());
	expect_eq(t, vsock_config(vsock_env()->vs)->guest[0], cid,
		  "a CID that was ordered just before the reset");
}

/* The watcher of all tests fails the test of an event that nobody ordered since the device came up. */
TEST(event_at_once,
     .id = "vsock.event.reset_at_once",
     .clause = "virtio 1.4, 2.4.1 MUST NOT notify, 5.10.6.7: behind a reset no event or interrupt of before it comes, however often, and the device works",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 60 * SEC)
{
	const struct vsock_config was = *vsock_config(vsock_env_ctl(t)->vs);
	const unsigned int times = (unsigned int)cmdline_get_u64("event.resets", AT_ONCE);
	unsigned int i;

	for (i = 0; i < times; i++)
		reset_at_once(t, &was, i & 1 ? 0 : BY, i & 2);
	vsock_change_cids(t, &was, BY);
	vsock_change_cids(t, &was, 0);
}

/* What comes from a CID that is gone is dropped, and the host cannot connect to it. */
static void is_gone(struct test_ctx *t, uint64_t cid)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const struct packet request = { .from = { cid, 50556 },
					.to = host_port(ASSAY_ECHO_PORT),
					.type = VSOCK_STREAM,
					.op = VSOCK_OP_REQUEST };
	struct ctl_report r;
	int ret;

	packet_send(t, e, &request);
	CTL_OK(t, ctl_barrier(e->ctl));
	ret = packet_answer(e, &request);
	expect(t, ret == PACKET_NONE || ret == VSOCK_OP_RST,
	       "REQUEST from CID %llu, which is gone: expected nothing or RST, %s came",
	       (unsigned long long)cid, packet_op(ret));
	ret = ctl_connect(e->ctl, ASSAY_CID_ANY, (struct vsock_addr){ cid, SERVER_PORT },
			  VSOCK_STREAM, CTL_SVC_NONE, test_ms() / 4, &r);
	expect(t, ret == -ENETUNREACH,
	       "the host's connect to CID %llu, which is gone: expected %s, it says %s",
	       (unsigned long long)cid, err_text(-ENETUNREACH), err_text(ret));
}

static void works_from(struct test_ctx *t, uint64_t cid)
{
	struct pair *p = pair_open(t, .local = cid, .at = ASSAY_ECHO_PORT);

	echo(p, 100);
	pair_close(p);
}

TEST(event_other_number,
     .id = "vsock.event.other_number",
     .clause = "multi-cid P1; virtio 1.4, 5.10.6.7: the list that is read after TRANSPORT_RESET may be shorter, and longer again",
     .owner = OWNER,
     .needs = NEEDS | NEED_MULTI_CID,
     .timeout = 10 * SEC)
{
	static struct vsock_config was, fewer; /* two of them are much for a stack */
	uint64_t last;

	was = fewer = *vsock_config(vsock_env_ctl(t)->vs);
	last = was.guest[--fewer.num_guest];
	vsock_change_cids(t, &fewer, 0);
	expect_eq(t, vsock_config(vsock_env()->vs)->num_guest, fewer.num_guest,
		  "CIDs once there is one less");
	works_from(t, fewer.guest[fewer.num_guest - 1]);
	is_gone(t, last);
	vsock_change_cids(t, &was, 0);
	expect_eq(t, vsock_config(vsock_env()->vs)->num_guest, was.num_guest,
		  "CIDs once all are back");
	works_from(t, last);
}
