/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio.init.*: a modern device, whatever its transport, goes through status, features, initialisation and reset as
 * the clauses have it (virtio 1.4, 2.1, 2.2, 2.4, 2.5, 3.1), any number of times.
 *
 * How hosts break it: a reset leaves something of the last driver behind. Cloud Hypervisor's last queue stayed enabled
 * (cloud-hypervisor #1120); vhost-device-vsock writes into the rings of a busy device after its reset, and at times
 * does nothing any more from a reset on (docs/known-hosts.md).
 *
 * How it is seen here: the tests go through the transport's operations, so that an access is what a driver does. A value
 * is judged where a clause says what it must be; behind a reset memory is watched, and the device must work again.
 */
#include <errno.h>
#include <string.h>

#include "lib/errname.h"
#include "lib/mmio.h"
#include "tests/virtio/util.h"

#define EACH(d, i) for (i = 0; (d = vt_device(i)); i++)

/* A device that forgot the bit would be taken for a legacy one by drivers. */
TEST(init_version_1,
     .id = "virtio.init.version_1",
     .clause = "virtio 1.4, 6.2 MUST: a device offers VIRTIO_F_VERSION_1",
     .owner = OWNER_FRONT,
     .needs = NEED_VIRTIO)
{
	struct virtio_device *d;
	unsigned int i;

	EACH(d, i)
		expect(t, d->ops->device_features(d) & VIRTIO_BIT(VIRTIO_F_VERSION_1),
		       "%s: features 0x%llx are without VERSION_1 (bit 32)", vt_who(d),
		       (unsigned long long)d->ops->device_features(d));
}

/* From each state of the initialisation. A host that misses one leaves the next driver with old rings. */
TEST(init_reset,
     .id = "virtio.init.reset",
     .clause = "virtio 1.4, 2.4.1 MUST: device status returns to 0 after a reset",
     .owner = OWNER_FRONT,
     .needs = NEED_VIRTIO)
{
	static const uint8_t bits[] = { VIRTIO_S_ACKNOWLEDGE, VIRTIO_S_DRIVER, VIRTIO_S_FAILED };
	const struct bring_up half = { .no_driver_ok = true }, full = { 0 };
	struct virtio_device *d;
	unsigned int i, k;

	EACH(d, i) {
		for (k = 0; k < sizeof(bits); k++) {
			vt_must_reset(t, d);
			vt_add_status(d, bits[k]);
			require(t, vt_clear_status(d),
				"%s: status 0x%02x long after a reset with 0x%02x set", vt_who(d),
				d->ops->get_status(d), bits[k]);
		}
		vt_up(t, d, &half);
		require(t, vt_clear_status(d),
			"%s: status 0x%02x long after a reset from FEATURES_OK", vt_who(d),
			d->ops->get_status(d));
		vt_up(t, d, &full);
		require(t, vt_clear_status(d),
			"%s: status 0x%02x long after a reset from DRIVER_OK", vt_who(d),
			d->ops->get_status(d));
	}
}

TEST(init_status_bits,
     .id = "virtio.init.status_bits",
     .clause = "virtio 1.4, 2.1 and 3.1.1: device status shows the bits that the driver has set",
     .owner = OWNER_FRONT,
     .needs = NEED_VIRTIO)
{
	const struct bring_up half = { .no_driver_ok = true };
	struct virtio_device *d;
	unsigned int i;

	EACH(d, i) {
		vt_must_reset(t, d);
		expect_eq(t, vt_add_status(d, VIRTIO_S_ACKNOWLEDGE), 1, "%s: after ACKNOWLEDGE",
			  vt_who(d));
		expect_eq(t, vt_add_status(d, VIRTIO_S_DRIVER), 3, "%s: after DRIVER", vt_who(d));
		vt_up(t, d, &half);
		expect_eq(t, d->ops->get_status(d), 11, "%s: after FEATURES_OK", vt_who(d));
		expect_eq(t, vt_add_status(d, VIRTIO_S_DRIVER_OK), 15, "%s: after DRIVER_OK",
			  vt_who(d));
		vt_must_reset(t, d);
		(void)vt_add_status(d, VIRTIO_S_ACKNOWLEDGE);
		expect_eq(t, vt_add_status(d, VIRTIO_S_FAILED) & VIRTIO_S_FAILED, VIRTIO_S_FAILED,
			  "%s: after FAILED", vt_who(d));
		vt_must_reset(t, d);
	}
}

/*
 * Each accepted subset must be accepted again. A first refusal is allowed (SHOULD) and noted. Features
 * that change what the driver has to do (packed rings, admin queues...) are fine here: no queue is used.
 */
TEST(init_renegotiate,
     .id = "virtio.init.renegotiate",
     .clause = "virtio 1.4, 2.2.2 SHOULD NOT: refuse after a reset a set of features accepted before",
     .owner = OWNER_FRONT,
     .needs = NEED_VIRTIO)
{
	struct virtio_device *d;
	unsigned int i, bit, round;

	EACH(d, i) {
		const uint64_t offered = d->offered;

		for (bit = 0; bit <= 64; bit++) {
			/* None beside the basic ones, each alone, at the end all. */
			const struct bring_up how = {
				.features = bit == 64 ? offered : VIRTIO_BIT(bit) & offered,
				.no_driver_ok = true,
			};
			bool accepted = false;

			if (bit && bit < 64 && !how.features)
				continue;
			for (round = 0; round < 3; round++) {
				const int ret = vt_try_up(d, &how);
				const bool now = ret == 0;

				/* -EINVAL: FEATURES_OK is refused, which the device should not. */
				expect(t, now || ret == -EINVAL, "%s: features 0x%llx: %s, %s",
				       vt_who(d), (unsigned long long)how.features, err_text(ret),
				       d->error);
				if (!now && accepted)
					test_note(
						t,
						"%s: features 0x%llx were accepted, then refused (round %u)",
						vt_who(d), (unsigned long long)d->accepted,
						round + 1);
				if (!now && round == 0)
					test_note(t, "%s refuses features 0x%llx", vt_who(d),
						  (unsigned long long)how.features);
				accepted |= now;
			}
		}
		vt_must_reset(t, d);
	}
}

static void note_change(struct test_ctx *t, struct virtio_device *d, uint64_t first,
			const char *when)
{
	const uint64_t now = d->ops->device_features(d);

	if (now != first)
		test_note(t, "%s: features 0x%llx were offered, and 0x%llx %s", vt_who(d),
			  (unsigned long long)first, (unsigned long long)now, when);
}

TEST(init_features_stable,
     .id = "virtio.init.features_stable",
     .clause = "virtio 1.4, 2.2.2 SHOULD NOT: a set of features that was acceptable is taken back by a reset",
     .owner = OWNER_FRONT,
     .needs = NEED_VIRTIO)
{
	const struct bring_up full = { .features = VIRTIO_RING_FEATURES };
	struct virtio_device *d;
	unsigned int i, k;

	EACH(d, i) {
		vt_must_reset(t, d);
		const uint64_t first = d->ops->device_features(d);

		for (k = 0; k < 10; k++) {
			vt_up(t, d, &full);
			note_change(t, d, first, "while in use");
			vt_must_reset(t, d);
			note_change(t, d, first, "after a reset");
		}
	}
}

/*
 * 2.2 reserves 44 to 49, and of 24 to 40 section 6 defines no 25, 26 and 31; 24, 27 and 30 belong to the
 * legacy interface. 37 and 41 are defined for PCI only. Later specifications may define more: 2.2.2
 * allows them to devices written to those, so the message names the bit.
 */
TEST(init_reserved_bits,
     .id = "virtio.init.reserved_bits",
     .clause = "virtio 1.4, 2.2.2 MUST NOT: reserved feature bits, or such of another transport, are offered",
     .owner = OWNER_FRONT,
     .needs = NEED_VIRTIO)
{
	static const uint8_t reserved[] = { 25, 26, 31, 44, 45, 46, 47, 48, 49 };
	static const uint8_t legacy[] = { 24, 27, 30 };
	static const uint8_t pci_only[] = { VIRTIO_F_SR_IOV, VIRTIO_F_NOTIF_CONFIG_DATA };
	struct virtio_device *d;
	unsigned int i, k;

	EACH(d, i) {
		const uint64_t f = d->ops->device_features(d);
		const bool mmio = strcmp(d->ops->name, "mmio") == 0;

		for (k = 0; k < sizeof(reserved); k++)
			expect(t, !(f & VIRTIO_BIT(reserved[k])), "%s: offers the reserved bit %u",
			       vt_who(d), reserved[k]);
		for (k = 0; k < sizeof(legacy); k++)
			expect(t, !(f & VIRTIO_BIT(legacy[k])),
			       "%s: offers bit %u of the legacy interface through the modern one",
			       vt_who(d), legacy[k]);
		for (k = 0; mmio && k < sizeof(pci_only); k++)
			expect(t, !(f & VIRTIO_BIT(pci_only[k])),
			       "%s: offers %s, which is for PCI only", vt_who(d),
			       virtio_feature_name(d->id, pci_only[k]));
	}
}

/* Requirements as the device types' sections state them: `bit` needs one of `any` and all of `all`. */
static const struct requirement {
	uint32_t id;
	uint8_t bit;
	uint64_t any, all;
} requirements[] = {
	{ VIRTIO_ID_NET, 7, 0, VIRTIO_BIT(1) },			   /* GUEST_TSO4: GUEST_CSUM */
	{ VIRTIO_ID_NET, 8, 0, VIRTIO_BIT(1) },			   /* GUEST_TSO6: GUEST_CSUM */
	{ VIRTIO_ID_NET, 9, VIRTIO_BIT(7) | VIRTIO_BIT(8), 0 },	   /* GUEST_ECN: GUEST_TSO4 or 6 */
	{ VIRTIO_ID_NET, 10, 0, VIRTIO_BIT(1) },		   /* GUEST_UFO: GUEST_CSUM */
	{ VIRTIO_ID_NET, 11, 0, VIRTIO_BIT(0) },		   /* HOST_TSO4: CSUM */
	{ VIRTIO_ID_NET, 12, 0, VIRTIO_BIT(0) },		   /* HOST_TSO6: CSUM */
	{ VIRTIO_ID_NET, 13, VIRTIO_BIT(11) | VIRTIO_BIT(12), 0 }, /* HOST_ECN: HOST_TSO4 or 6 */
	{ VIRTIO_ID_NET, 14, 0, VIRTIO_BIT(0) },		   /* HOST_UFO: CSUM */
	{ VIRTIO_ID_NET, 18, 0, VIRTIO_BIT(17) },		   /* CTRL_RX: CTRL_VQ */
	{ VIRTIO_ID_NET, 19, 0, VIRTIO_BIT(17) },		   /* CTRL_VLAN: CTRL_VQ */
	{ VIRTIO_ID_NET, 21, 0, VIRTIO_BIT(17) },		   /* GUEST_ANNOUNCE: CTRL_VQ */
	{ VIRTIO_ID_NET, 22, 0, VIRTIO_BIT(17) },		   /* MQ: CTRL_VQ */
	{ VIRTIO_ID_NET, 23, 0, VIRTIO_BIT(17) },		   /* CTRL_MAC_ADDR: CTRL_VQ */
	{ VIRTIO_ID_NET, 60, 0, VIRTIO_BIT(17) },		   /* RSS: CTRL_VQ */
	{ VIRTIO_ID_NET, 61, VIRTIO_BIT(11) | VIRTIO_BIT(12), 0 }, /* RSC_EXT: HOST_TSO4 or 6 */
};

TEST(init_prerequisites,
     .id = "virtio.init.prerequisites",
     .clause = "virtio 1.4, 2.2.2 MUST NOT: a feature is offered without the features that it requires",
     .owner = OWNER_FRONT,
     .needs = NEED_VIRTIO)
{
	const unsigned int n = sizeof(requirements) / sizeof(requirements[0]);
	struct virtio_device *d;
	unsigned int i, k, applied = 0;

	EACH(d, i) {
		const uint64_t f = d->ops->device_features(d);

		for (k = 0; k < n; k++) {
			const struct requirement *r = &requirements[k];

			if (r->id != d->id || !(f & VIRTIO_BIT(r->bit)))
				continue;
			applied++;
			expect(t, (f & r->all) == r->all && (!r->any || (f & r->any)),
			       "%s: offers bit %u but of what it requires only 0x%llx of 0x%llx",
			       vt_who(d), r->bit, (unsigned long long)(f & (r->all | r->any)),
			       (unsigned long long)(r->all | r->any));
		}
	}
	if (!applied)
		test_skip(t, "no device offers a feature that requires another one");
}

/*
 * A driver must not do this; a device that is told of an unoffered bit has to refuse FEATURES_OK or run
 * without the bit. Which of them is noted; that it still runs and resets is checked.
 */
TEST(init_unoffered,
     .id = "virtio.init.unoffered_feature",
     .clause = "virtio 1.4, 2.2.2 MUST: features that are not accepted fail to set FEATURES_OK; the device stays usable",
     .owner = OWNER_FRONT,
     .needs = NEED_VIRTIO)
{
	const struct bring_up full = { 0 };
	struct virtio_device *d;
	unsigned int i, bit;
	int ret;

	EACH(d, i) {
		for (bit = 0; bit < 24 && d->ops->device_features(d) & VIRTIO_BIT(bit); bit++)
			;
		vt_must_reset(t, d);
		vt_add_status(d, VIRTIO_S_ACKNOWLEDGE);
		vt_add_status(d, VIRTIO_S_DRIVER);
		d->ops->driver_features(d, VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(bit));
		test_note(t, "%s %s FEATURES_OK with the bit %u that it did not offer", vt_who(d),
			  vt_add_status(d, VIRTIO_S_FEATURES_OK) & VIRTIO_S_FEATURES_OK ? "sets" :
											  "refuses",
			  bit);
		vt_must_reset(t, d);
		ret = vt_try_up(d, &full);
		expect(t, ret == 0, "%s: proper initialisation afterwards: %s, %s", vt_who(d),
		       err_text(ret), d->error);
	}
}

/* All bytes 0, or all 0xff: what reads return where nothing is. */
static bool blank(const uint8_t *p, uint32_t len)
{
	uint32_t i;

	for (i = 1; i < len && p[i] == p[0]; i++)
		;
	return i >= len && (p[0] == 0 || p[0] == 0xff);
}

static void read_config(struct test_ctx *t, struct virtio_device *d, uint8_t *buf, uint32_t len,
			const char *when)
{
	require(t, virtio_config_read(d, 0, buf, len) == 0, "%s: reading %u bytes %s: %s",
		vt_who(d), (unsigned int)len, when, d->error);
}

TEST(init_config_early,
     .id = "virtio.init.config_before_features_ok",
     .clause = "virtio 1.4, 2.5.2 MUST: device-specific configuration is readable before FEATURES_OK",
     .owner = OWNER_FRONT,
     .needs = NEED_VIRTIO)
{
	const struct bring_up full = { .features = VIRTIO_RING_FEATURES };
	uint8_t first[64], early[64], again[64], late[64];
	struct virtio_device *d;
	uint32_t len, gen;
	unsigned int i, compared = 0;

	EACH(d, i) {
		len = d->ops->config_len(d);
		len = len < sizeof(early) ? len : sizeof(early);
		if (!len)
			continue;
		vt_must_reset(t, d);
		read_config(t, d, first, len, "in reset");
		vt_add_status(d, VIRTIO_S_ACKNOWLEDGE);
		vt_add_status(d, VIRTIO_S_DRIVER);
		gen = d->ops->config_generation(d);
		read_config(t, d, early, len, "early");
		expect(t, !blank(first, len) || blank(early, len),
		       "%s: the configuration is not there before ACKNOWLEDGE", vt_who(d));
		read_config(t, d, again, len, "early again");
		expect(t, memcmp(early, again, len) == 0 || d->ops->config_generation(d) != gen,
		       "%s: two reads before FEATURES_OK differ, with the generation unchanged at %u",
		       vt_who(d), (unsigned int)gen);
		vt_up(t, d, &full);
		read_config(t, d, late, len, "late");
		compared++;
		if (memcmp(early, late, len) == 0)
			continue;
		/* What features decide may change with them: QEMU's virtio-blk clears wce at DRIVER_OK. */
		expect(t,
		       !(d->id == VIRTIO_ID_VSOCK && d->ops->config_generation(d) == gen) &&
			       !(blank(early, len) && !blank(late, len)),
		       "%s: the configuration is not there before FEATURES_OK", vt_who(d));
		test_hexdump(t, "early", early, len);
		test_hexdump(t, "late", late, len);
	}
	if (!compared)
		test_skip(t, "no device shows a device-specific configuration");
}

TEST(init_queues_off,
     .id = "virtio.init.queues_disabled_after_reset",
     .clause = "virtio 1.4, 4.1.4.3.1 and 4.2.2.1 MUST: queue_enable (QueueReady) reads 0 after a reset",
     .owner = OWNER_FRONT,
     .needs = NEED_VIRTIO)
{
	const struct bring_up full = { 0 };
	struct virtio_device *d;
	unsigned int i;
	uint16_t q;

	EACH(d, i) {
		vt_up(t, d, &full);
		for (q = 0; q < d->max_queues; q++)
			expect(t, !d->max_size[q] || d->ops->queue_enabled(d, q),
			       "%s: queue %u was enabled and reads 0", vt_who(d), q);
		vt_must_reset(t, d);
		for (q = 0; q < d->max_queues; q++)
			expect(t, !d->ops->queue_enabled(d, q),
			       "%s: queue %u is enabled after a reset", vt_who(d), q);
	}
}

TEST(init_repeat,
     .id = "virtio.init.repeat",
     .clause = "virtio 1.4, 2.4.1 MUST, 2.2.2 SHOULD NOT: reset and initialisation work any number of times",
     .owner = OWNER_FRONT,
     .needs = NEED_VIRTIO,
     .timeout = 30 * SEC)
{
	const struct bring_up full = { .features = VIRTIO_RING_FEATURES };
	struct virtio_device *d;
	unsigned int i, k;
	deadline_t end;
	int ret;

	/* A nested host needs a tenth of a second for each: there a few less must do. */
	EACH(d, i) {
		end = deadline_in(SEC);
		for (k = 0; k < 60 && (k < 35 || !deadline_passed(end)); k++) {
			ret = vt_try_up(d, &full);
			require(t, ret == 0, "%s: initialisation %u: %s, %s", vt_who(d), k + 1,
				err_text(ret), d->error);
		}
	}
}

/*
 * The test that judges whether a device comes up. The others cannot be carried out on one that does not, and
 * end in an ERROR that says so. A device may refuse a subset of what it offers (2.2.2 SHOULD accept), so it is
 * told all that the driver knows, as drivers do.
 */
TEST(init_comes_up,
     .id = "virtio.init.comes_up",
     .clause = "virtio 1.4, 3.1.1: a device that is given features that it offers and its queues sets FEATURES_OK and DRIVER_OK",
     .owner = OWNER_FRONT,
     .needs = NEED_VIRTIO)
{
	const struct bring_up full = { .features = VIRTIO_RING_FEATURES };
	struct virtio_device *d;
	unsigned int i;
	int ret;

	EACH(d, i) {
		ret = vt_try_up(d, &full);
		expect(t, ret == 0, "%s: %s: %s", vt_who(d), err_text(ret), d->error);
	}
}

/* The buffer is there and the device runs, but for DRIVER_OK. No kick: that is for after it (3.1.1). */
TEST(init_before_driver_ok,
     .id = "virtio.init.no_use_before_driver_ok",
     .clause = "virtio 1.4, 2.1.2 MUST NOT: consume buffers or notify before DRIVER_OK",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO)
{
	const struct bring_up half = { .no_driver_ok = true };
	struct actor a;
	unsigned int i;

	actor_need(t);
	for (i = 0; actor_get(i, &a); i++) {
		actor_up(t, &a, &half);
		actor_prepare(&a, true);
		actor_desc(&a, 0, 0, a.len, actor_flags(&a), 0);
		actor_post(&a, 0);
		expect_eq(t, actor_wait(&a, 1, QUIET_NS), 0, "%s: buffers used before DRIVER_OK",
			  vt_who(a.d));
		require(t, virtio_driver_ok(a.d) == 0, "%s: %s", vt_who(a.d), a.d->error);
		vq_notify(a.vq);
		expect_eq(t, actor_wait(&a, 1, ANSWER_NS), 1, "%s: buffers used after DRIVER_OK",
			  vt_who(a.d));
	}
}

#define EARLY	    3u	  /* requests that are available before DRIVER_OK */
#define EARLY_STEP  64u	  /* from one to the next, and the first, in the actor's memory */
#define EARLY_RX    4096u /* where receive buffers begin there */
#define EARLY_BYTES 512u  /* of one */

/* One for each answer, and one that stays. */
static void early_receive_buffers(struct test_ctx *t, struct actor *a)
{
	struct vq_seg seg = { .len = EARLY_BYTES };
	unsigned int k;

	for (k = 0; k <= EARLY; k++) {
		seg.buf = a->mem + EARLY_RX + k * EARLY_BYTES;
		if (vq_add(a->d->vq[0], NULL, 0, &seg, 1, seg.buf))
			test_error(t, "%s: no room for %u receive buffers", vt_who(a->d),
				   EARLY + 1);
	}
}

static void early_requests(struct actor *a)
{
	uint16_t k;

	for (k = 0; k < EARLY; k++) {
		actor_prepare(a, false);
		memcpy(a->mem + (k + 1) * EARLY_STEP, a->mem, a->len);
		actor_desc(a, k, (k + 1) * EARLY_STEP, a->len, actor_flags(a), 0);
	}
	actor_post_batch(a, (uint16_t)EARLY);
}

static unsigned int received(struct virtqueue *rx)
{
	unsigned int n = 0;
	uint32_t len;
	void *buf;

	while (vq_get(rx, &buf, &len) == 1)
		n++;
	return n;
}

/* 3.1.1: no notification before DRIVER_OK. Behind it there is one where the device wants it (2.7.10, 2.8.14). */
static void starts_with_buffers(struct test_ctx *t, struct actor *a)
{
	struct virtqueue *const rx = a->queue ? a->d->vq[0] : NULL;
	unsigned int answers = 0;

	if (rx)
		early_receive_buffers(t, a);
	early_requests(a);
	require(t, virtio_driver_ok(a->d) == 0, "%s: %s", vt_who(a->d), a->d->error);
	if (rx)
		vq_kick(rx);
	if (vq_raw_kick_wanted(a->vq))
		vq_notify(a->vq);
	expect_eq(t, actor_wait(a, EARLY, ANSWER_NS), EARLY,
		  "%s: buffers used of those available before DRIVER_OK", vt_who(a->d));
	if (rx && !a->mute)
		expect(t, wait_for((answers += received(rx)) >= EARLY, ANSWER_NS),
		       "%s: %u answers to %u requests in receive buffers available before DRIVER_OK",
		       vt_who(a->d), answers, EARLY);
	(void)wait_for(vq_raw_used_count(a->vq) > EARLY || (rx && vq_pending(rx)), QUIET_NS / 4);
	expect(t, vq_raw_used_count(a->vq) <= EARLY, "%s: %u buffers were available, %u are used",
	       vt_who(a->d), EARLY, vq_raw_used_count(a->vq));
	expect(t, !rx || received(rx) + answers <= EARLY,
	       "%s: more than %u answers to as many requests", vt_who(a->d), EARLY);
}

TEST(init_available_early,
     .id = "virtio.init.available_early",
     .clause = "virtio 1.4, 3.1.1, 2.1.2: what is available when DRIVER_OK is set is used, each buffer once, of receive queues as well",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO)
{
	const struct bring_up half = { .irq = VIRTIO_IRQ_POLL, .no_driver_ok = true };
	struct actor a;
	unsigned int i;

	actor_need(t);
	for (i = 0; actor_of(i, RINGS_EACH, &a); i++) {
		actor_up(t, &a, &half);
		starts_with_buffers(t, &a);
	}
}

/* Buffers are under way when the reset comes: once the status reads 0, rings and buffers are ours. */
TEST(init_reset_busy,
     .id = "virtio.init.reset_while_busy",
     .clause = "virtio 1.4, 2.4.1 MUST NOT: notify or touch the queues once device status reads 0 after a reset",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO)
{
	const struct bring_up full = { 0 };
	static uint8_t before[4096];
	struct actor a;
	unsigned int i, round, idx, later;
	uint16_t k;

	actor_need(t);
	for (i = 0; actor_get(i, &a); i++) {
		for (round = 0; round < 8; round++) {
			actor_up(t, &a, &full);
			actor_prepare(&a, true);
			for (k = 0; k < vq_size(a.vq); k++) {
				actor_desc(&a, k, 0, a.len, actor_flags(&a), 0);
				actor_post(&a, k);
			}
			vq_notify(a.vq);
			require(t, vt_clear_status(a.d),
				"%s: status 0x%02x long after a reset with buffers under way",
				vt_who(a.d), a.d->ops->get_status(a.d));
			idx = vq_raw_used_count(a.vq);
			memcpy(before, a.mem, sizeof(before));
			/* Each round a while, the last one long enough for a slow one. */
			(void)wait_for(false, round < 7 ? QUIET_NS / 10 : QUIET_NS);
			later = vq_raw_used_count(a.vq);
			expect_eq(t, later, idx, "%s: buffers used some time after the reset",
				  vt_who(a.d));
			expect(t, memcmp(before, a.mem, sizeof(before)) == 0,
			       "%s: the buffer was written after the reset", vt_who(a.d));
		}
	}
}

TEST(init_healthy,
     .id = "virtio.init.healthy",
     .clause = "virtio 1.4, 2.1.2: DEVICE_NEEDS_RESET is for error states; a device in proper use does not set it",
     .owner = OWNER_FRONT,
     .needs = NEED_VIRTIO)
{
	const struct bring_up full = { .features = VIRTIO_RING_FEATURES };
	struct virtio_device *d;
	struct actor a;
	unsigned int i, k;

	EACH(d, i) {
		vt_up(t, d, &full);
		expect_eq(t, d->ops->get_status(d), 15, "%s: status in use", vt_who(d));
	}
	for (i = 0; actor_get(i, &a); i++) {
		actor_up(t, &a, &full);
		for (k = 0; k < 16; k++) {
			actor_prepare(&a, true);
			expect(t, actor_round(&a), "%s: buffer %u was not used", vt_who(a.d), k);
		}
		expect_eq(t, a.d->ops->get_status(a.d), 15, "%s: status after 16 buffers",
			  vt_who(a.d));
	}
}

/* A queue alone, then again with half its size: its positions start at 0. */
TEST(init_queue_reset,
     .id = "virtio.init.queue_reset",
     .clause = "virtio 1.4, 2.6.1 MUST: a queue reset puts the queue's state to its default; new parameters are observed",
     .owner = OWNER_FRONT,
     .needs = NEED_VIRTIO)
{
	const struct bring_up full = { .features = VIRTIO_BIT(VIRTIO_F_RING_RESET) };
	dma_addr_t desc, driver, device;
	unsigned int i, tried = 0;
	struct actor a;
	unsigned int idx, later;
	uint16_t size;

	actor_need(t);
	for (i = 0; actor_get(i, &a); i++) {
		if (!(a.d->offered & VIRTIO_BIT(VIRTIO_F_RING_RESET)))
			continue;
		tried++;
		actor_up(t, &a, &full);
		actor_prepare(&a, true);
		require(t, actor_round(&a), "%s: no use of a buffer before the queue reset",
			vt_who(a.d));
		require(t, a.d->ops->queue_reset(a.d, a.queue) == 0, "%s: queue %u: %s",
			vt_who(a.d), a.queue, a.d->error);
		/* 2.6.1.1.1: nothing more comes from this queue, even if it is told of a buffer. */
		idx = vq_raw_used_count(a.vq);
		actor_post(&a, 0);
		vq_notify(a.vq);
		(void)wait_for(false, QUIET_NS / 4);
		later = vq_raw_used_count(a.vq);
		expect_eq(t, later, idx, "%s: buffers used of the queue after its reset",
			  vt_who(a.d));
		size = vq_size(a.vq) > 2 ? vq_size(a.vq) / 2 : vq_size(a.vq);
		vq_destroy(a.d->vq[a.queue]);
		a.d->vq[a.queue] = a.vq = vq_create(a.d, a.queue, size);
		if (!a.vq)
			test_error(t, "no memory for a queue of %u", size);
		vq_addresses(a.vq, &desc, &driver, &device);
		require(t, a.d->ops->queue_enable(a.d, a.queue, size, desc, driver, device) == 0,
			"%s: re-enabling queue %u: %s", vt_who(a.d), a.queue, a.d->error);
		if (vq_raw_stage(a.vq, 0, &(const struct vq_raw_desc){ 0 }))
			test_error(t, "no memory for a queue of %u", size);
		actor_prepare(&a, true);
		expect(t, actor_round(&a), "%s: queue %u does nothing after it was enabled again",
		       vt_who(a.d), a.queue);
	}
	actor_tried(t, tried, "that offers RING_RESET");
}

#define BATCH 4u

static void post_requests(struct actor *a, uint16_t from)
{
	uint16_t heads[BATCH], k;

	for (k = 0; k < BATCH; k++) {
		heads[k] = (uint16_t)(from + k);
		actor_desc(a, heads[k], 0, a->len, actor_flags(a), 0);
	}
	vq_raw_post(a->vq, heads, BATCH);
	a->posted += BATCH;
}

/* With the size that it has, and nothing in it. */
static void renew_queue(struct test_ctx *t, struct virtio_device *d, uint16_t q)
{
	const uint16_t size = vq_size(d->vq[q]);

	require(t, d->ops->queue_reset(d, q) == 0, "%s: resetting queue %u: %s", vt_who(d), q,
		d->error);
	vq_destroy(d->vq[q]);
	d->vq[q] = NULL;
	require(t, virtio_queue_setup(d, q, size) == 0, "%s: enabling queue %u again: %s",
		vt_who(d), q, d->error);
}

/* Queue q is reset with buffers of the actor's queue under way, then with some of which it was not told yet. */
static void goes_on_beside(struct test_ctx *t, struct actor *a, uint16_t q)
{
	actor_prepare(a, true);
	post_requests(a, 0);
	vq_notify(a->vq);
	renew_queue(t, a->d, q);
	expect_eq(
		t, actor_wait(a, BATCH, ANSWER_NS), BATCH,
		"%s: of %u buffers that were under way on queue %u while queue %u was reset are used",
		vt_who(a->d), BATCH, a->queue, q);
	/* It looks by itself no more: what comes now waits for the notification. */
	(void)wait_for(vq_raw_kick_wanted(a->vq), ANSWER_NS);
	post_requests(a, BATCH);
	renew_queue(t, a->d, q);
	vq_notify(a->vq);
	expect_eq(t, actor_wait(a, 2 * BATCH, ANSWER_NS), 2 * BATCH,
		  "%s: of %u buffers of queue %u, while queue %u was reset twice, are used",
		  vt_who(a->d), 2 * BATCH, a->queue, q);
	expect(t, !wait_for(vq_raw_used_count(a->vq) > 2 * BATCH, QUIET_NS / 8),
	       "%s: a buffer of queue %u is used twice while queue %u is reset", vt_who(a->d),
	       a->queue, q);
	actor_done(a, vq_raw_used_count(a->vq));
}

TEST(init_queue_reset_alone,
     .id = "virtio.init.queue_reset_alone",
     .clause = "virtio 1.4, 2.6.1: a queue is reset individually: buffers of another one, under way or waiting, are used once each",
     .owner = OWNER_FRONT,
     .needs = NEED_VIRTIO)
{
	const struct bring_up how = { .features = VIRTIO_BIT(VIRTIO_F_RING_RESET),
				      .irq = VIRTIO_IRQ_POLL };
	unsigned int i, tried = 0;
	struct actor a;
	uint16_t q;

	actor_need(t);
	for (i = 0; actor_of(i, RINGS_EACH, &a); i++) {
		if (!(a.d->offered & VIRTIO_BIT(VIRTIO_F_RING_RESET)) || a.d->max_queues < 2)
			continue;
		actor_up(t, &a, &how);
		if (vq_size(a.vq) < 2 * BATCH)
			continue;
		tried++;
		for (q = 0; q < a.d->max_queues; q++)
			if (q != a.queue && a.d->vq[q])
				goes_on_beside(t, &a, q);
	}
	actor_tried(t, tried, "that offers RING_RESET, with two queues of 8 or more");
}

/* Only devices of 1.4 that offer it. To a driver that did not accept it the bit means nothing. */
TEST(init_suspend,
     .id = "virtio.init.suspend",
     .clause = "virtio 1.4, 3.4.2 MUST: SUSPEND is ignored before DRIVER_OK and without VIRTIO_F_SUSPEND, then leads to SUSPEND=1 or NEEDS_RESET, and back",
     .owner = OWNER_FRONT,
     .needs = NEED_VIRTIO)
{
	const struct bring_up half = { .features = VIRTIO_BIT(VIRTIO_F_SUSPEND),
				       .no_driver_ok = true },
			      without = { 0 };
	struct virtio_device *d;
	unsigned int i, tried = 0;
	uint8_t s;

	EACH(d, i) {
		if (!(d->offered & VIRTIO_BIT(VIRTIO_F_SUSPEND)))
			continue;
		tried++;
		vt_up(t, d, &without);
		(void)vt_add_status(d, VIRTIO_S_SUSPEND);
		expect(t, !wait_for(!((s = d->ops->get_status(d)) & VIRTIO_S_DRIVER_OK), QUIET_NS),
		       "%s: status 0x%02x: it is suspended, though the feature was not accepted",
		       vt_who(d), s);
		vt_up(t, d, &half);
		expect(t, !(vt_add_status(d, VIRTIO_S_SUSPEND) & VIRTIO_S_SUSPEND),
		       "%s: SUSPEND is set before DRIVER_OK", vt_who(d));
		require(t, virtio_driver_ok(d) == 0, "%s: %s", vt_who(d), d->error);
		vt_add_status(d, VIRTIO_S_SUSPEND);
		expect(t,
		       wait_for(((s = d->ops->get_status(d)) & VIRTIO_S_NEEDS_RESET) ||
					(s & (VIRTIO_S_SUSPEND | VIRTIO_S_DRIVER_OK)) ==
						VIRTIO_S_SUSPEND,
				ANSWER_NS),
		       "%s: status 0x%02x long after SUSPEND was set", vt_who(d),
		       d->ops->get_status(d));
		vt_add_status(d, VIRTIO_S_DRIVER_OK);
		expect(t,
		       wait_for(((s = d->ops->get_status(d)) & VIRTIO_S_NEEDS_RESET) ||
					(s & (VIRTIO_S_SUSPEND | VIRTIO_S_DRIVER_OK)) ==
						VIRTIO_S_DRIVER_OK,
				ANSWER_NS),
		       "%s: status 0x%02x long after it was resumed", vt_who(d),
		       d->ops->get_status(d));
	}
	if (!tried)
		test_skip(t, "no device offers VIRTIO_F_SUSPEND (bit 43)");
}
