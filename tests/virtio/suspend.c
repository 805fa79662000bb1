/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Promise (virtio 1.4, 3.4.2): a device that was suspended touches no queue and notifies of none until it is resumed,
 * and goes on then where it was.
 *
 * How hosts break it: only the status bit is kept, and the device's thread goes on; or the resumed device waits for
 * a notification that came too early.
 *
 * How it is seen here: a buffer is made available, and the device told, while it is suspended, against the rules for
 * drivers: it must be left alone. The same buffer is used after resuming.
 */
#include "drivers/virtio/pci.h"
#include "lib/mmio.h"
#include "tests/virtio/util.h"

#define OWNER	"the device back end (suspend)"
#define BUFFERS 8u
#define ROUNDS	5u

static uint64_t interrupts(const struct actor *a)
{
	return __atomic_load_n(&a->d->irqs.shared, __ATOMIC_RELAXED) +
	       __atomic_load_n(&a->d->irqs.queue[a->queue], __ATOMIC_RELAXED);
}

/* False: the device wants a reset, which it may. */
static bool reaches(struct test_ctx *t, struct virtio_device *d, uint8_t ask, uint8_t on,
		    uint8_t off)
{
	uint8_t s = vt_add_status(d, ask);

	require(t,
		wait_for((s & VIRTIO_S_NEEDS_RESET) || ((s & on) && !(s & off)) ||
				 (s = d->ops->get_status(d), false),
			 ANSWER_NS),
		"%s: status 0x%02x long after 0x%02x was set", vt_who(d), s, ask);
	return !(s & VIRTIO_S_NEEDS_RESET);
}

/* The status was written once more. A device may show late what it makes of that, so that one look is not enough. */
static void stays(struct test_ctx *t, const struct actor *a, uint8_t status, const char *when)
{
	uint8_t s = status;

	(void)wait_for((s = a->d->ops->get_status(a->d)) != status, QUIET_NS);
	expect_eq(t, s, status, "%s: status after it was written once more %s", actor_who(a), when);
}

/* 3.4.2 SHOULD: a write is ignored, but that of the status. The vector of configuration changes is put back. */
static void note_write(struct test_ctx *t, struct virtio_device *d)
{
	struct virtio_pci *p = virtio_pci(d);
	uint16_t was;

	if (!p)
		return;
	was = mmio_read16(&p->common->config_msix_vector);
	if (virtio_pci_set_config_vector(p, was ? 0 : VIRTIO_NO_VECTOR) == was)
		return;
	test_note(t, "%s: takes a write of config_msix_vector while suspended (3.4.2 SHOULD NOT)",
		  vt_who(d));
	virtio_pci_set_config_vector(p, was);
}

TEST(suspend_quiet,
     .id = "virtio.suspend.quiet",
     .clause = "virtio 1.4, 3.4.2 MUST NOT: access of virtqueues and notifications while suspended; MUST: resumed, it goes on",
     .owner = OWNER,
     .needs = NEED_VIRTIO)
{
	const struct bring_up how = { .features = VIRTIO_BIT(VIRTIO_F_SUSPEND) };
	unsigned int i, used, tried = 0, offered = 0;
	uint64_t before;
	struct actor a;
	uint8_t status, now;

	actor_need(t);
	for (i = 0; actor_mode_up(t, i, &how, &a); i++) {
		if (!virtio_has(a.d, VIRTIO_F_SUSPEND))
			continue;
		offered++;
		before = interrupts(&a);
		actor_one(t, &a);
		/* Its interrupt is not to be taken for one that comes later. */
		require(t,
			a.d->irq_mode == VIRTIO_IRQ_POLL ||
				wait_for(interrupts(&a) > before, ANSWER_NS),
			"%s: no interrupt for a used buffer", actor_who(&a));
		/* Whoever writes what is there asks for nothing. */
		status = a.d->ops->get_status(a.d);
		a.d->ops->set_status(a.d, status);
		stays(t, &a, status, "while it runs");
		if (!reaches(t, a.d, VIRTIO_S_SUSPEND, VIRTIO_S_SUSPEND, VIRTIO_S_DRIVER_OK))
			continue;
		tried++;
		expect_eq(t, a.d->ops->get_status(a.d),
			  (status | VIRTIO_S_SUSPEND) & ~VIRTIO_S_DRIVER_OK,
			  "%s: status while suspended", actor_who(&a));
		used = vq_raw_used_count(a.vq);
		before = interrupts(&a);
		actor_prepare(&a, true);
		actor_desc(&a, 0, 0, a.len, actor_flags(&a), 0);
		actor_post(&a, 0);
		vq_notify(a.vq);
		expect(t, !wait_for(vq_raw_used_count(a.vq) != used, QUIET_NS),
		       "%s: a buffer is used while suspended", actor_who(&a));
		expect_eq(t, interrupts(&a), before, "%s: interrupts while suspended",
			  actor_who(&a));
		/* DRIVER_OK resumes it, and no other write of the status. */
		now = a.d->ops->get_status(a.d);
		a.d->ops->set_status(a.d, now);
		stays(t, &a, now, "while it is suspended");
		note_write(t, a.d);
		if (!reaches(t, a.d, VIRTIO_S_DRIVER_OK, VIRTIO_S_DRIVER_OK, VIRTIO_S_SUSPEND))
			continue;
		expect_eq(t, a.d->ops->get_status(a.d), status, "%s: status after it was resumed",
			  actor_who(&a));
		vq_notify(a.vq);
		expect_eq(t, actor_wait(&a, 1, ANSWER_NS), 1,
			  "%s: buffers used after it was resumed", actor_who(&a));
		actor_done(&a, 1);
	}
	actor_tried(t, offered, "that offers VIRTIO_F_SUSPEND (bit 43)");
	if (!tried)
		test_skip(t, "each device that was suspended wants a reset");
}

/*
 * The device is suspended while buffers are on their way. What it took it finishes and notifies of before SUSPEND
 * shows, the rest it takes when it is resumed: each buffer once. False: it wants a reset, which it may.
 */
static bool suspend_in_traffic(struct test_ctx *t, struct actor *a, unsigned int round)
{
	unsigned int used;
	uint64_t before = interrupts(a);
	uint16_t k;

	actor_prepare(a, true);
	for (k = 0; k < BUFFERS; k++)
		actor_desc(a, k, 0, a->len, actor_flags(a), 0);
	actor_post_batch(a, BUFFERS);
	vq_notify(a->vq);
	/* From at once to after the last one: each round gives it another share of the buffers. */
	(void)actor_wait(a, round * BUFFERS / (ROUNDS - 1), ANSWER_NS);
	if (!reaches(t, a->d, VIRTIO_S_SUSPEND, VIRTIO_S_SUSPEND, VIRTIO_S_DRIVER_OK))
		return false;
	used = vq_raw_used_count(a->vq);
	if (used && a->d->irq_mode != VIRTIO_IRQ_POLL &&
	    !wait_for(interrupts(a) != before, QUIET_NS))
		test_note(
			t,
			"%s: %u buffers were used before it was suspended, and no notification came (3.4.2 SHOULD)",
			actor_who(a), used);
	before = interrupts(a);
	expect(t, !wait_for(vq_raw_used_count(a->vq) != used, QUIET_NS / 4),
	       "%s: %u buffers were used when SUSPEND was set, and %u a moment later", actor_who(a),
	       used, vq_raw_used_count(a->vq));
	expect_eq(t, interrupts(a), before, "%s: interrupts while suspended", actor_who(a));
	if (!reaches(t, a->d, VIRTIO_S_DRIVER_OK, VIRTIO_S_DRIVER_OK, VIRTIO_S_SUSPEND))
		return false;
	vq_notify(a->vq);
	require(t, actor_wait(a, BUFFERS, ANSWER_NS) == BUFFERS,
		"%s: %u of %u buffers were used after it was resumed", actor_who(a),
		vq_raw_used_count(a->vq), BUFFERS);
	actor_done(a, BUFFERS);
	expect(t, !wait_for(vq_raw_used_count(a->vq), QUIET_NS / 4), "%s: a buffer was used twice",
	       actor_who(a));
	return true;
}

TEST(suspend_in_flight,
     .id = "virtio.suspend.in_flight",
     .clause = "virtio 1.4, 3.4.2 SHOULD: buffers in flight are finished and notified of before SUSPEND shows; MUST: the rest is used after it is resumed",
     .owner = OWNER,
     .needs = NEED_VIRTIO,
     .timeout = 20 * SEC)
{
	const struct bring_up how = { .features = VIRTIO_BIT(VIRTIO_F_SUSPEND) };
	unsigned int i, k, tried = 0, offered = 0;
	struct actor a;

	actor_need(t);
	for (i = 0; actor_mode_up(t, i, &how, &a); i++) {
		if (!virtio_has(a.d, VIRTIO_F_SUSPEND) || vq_size(a.vq) < BUFFERS)
			continue;
		offered++;
		for (k = 0; k < ROUNDS && suspend_in_traffic(t, &a, k); k++)
			tried++;
	}
	actor_tried(t, offered, "that offers VIRTIO_F_SUSPEND (bit 43)");
	if (!tried)
		test_skip(t, "each device that was suspended wants a reset");
}

/* The line is masked meanwhile: the cause is shown by the device alone, and waits there. */
TEST(suspend_cause,
     .id = "virtio.suspend.cause_kept",
     .clause = "virtio 1.4, 2.7.7.2 MUST, 3.4.2: a used buffer is notified, also where the driver takes the notification behind a suspend and a resume",
     .owner = OWNER,
     .needs = NEED_VIRTIO)
{
	const struct bring_up how = { .features = VIRTIO_BIT(VIRTIO_F_SUSPEND) };
	unsigned int i, tried = 0;
	uint64_t before;
	struct actor a;

	actor_need(t);
	for (i = 0; actor_mode_up(t, i, &how, &a); i++) {
		if (!virtio_has(a.d, VIRTIO_F_SUSPEND) || a.d->irq_mode != VIRTIO_IRQ_INTX ||
		    virtio_irq_ctl(a.d, VIRTIO_IRQ_MASK, a.queue, 1))
			continue;
		tried++;
		before = interrupts(&a);
		actor_one(t, &a);
		(void)wait_for(false, QUIET_NS / 4); /* the line may rise after the used index */
		if (reaches(t, a.d, VIRTIO_S_SUSPEND, VIRTIO_S_SUSPEND, VIRTIO_S_DRIVER_OK) &&
		    reaches(t, a.d, VIRTIO_S_DRIVER_OK, VIRTIO_S_DRIVER_OK, VIRTIO_S_SUSPEND)) {
			virtio_irq_ctl(a.d, VIRTIO_IRQ_MASK, a.queue, 0);
			expect(t, wait_for(interrupts(&a) > before, ANSWER_NS),
			       "%s: used before it was suspended, and no interrupt once it was resumed",
			       actor_who(&a));
		}
		virtio_irq_ctl(a.d, VIRTIO_IRQ_MASK, a.queue, 0);
	}
	actor_tried(t, tried, "that offers VIRTIO_F_SUSPEND (bit 43) and interrupts by a line");
}
