/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio.irq.*: used buffer and configuration change notifications arrive as interrupts where they are due (virtio 1.4,
 * 2.7.7, 4.1.5, 4.2.3.4), in each way that a device offers: MSI-X with a vector each, one vector for all, the line.
 *
 * How hosts break it: used_event is compared with a count of another width (crosvm 1f4797875), only with the last buffer
 * of several (firecracker ffe77023c), or is read again too seldom (Linux 809ecb9bca); EVENT_IDX outlives a reset (crosvm
 * 07baa786f); an interrupt is lost where a vector is unmasked (QEMU with a vhost-user back end, docs/known-hosts.md).
 *
 * How it is seen here: counters of the interrupt handlers say what arrived. Where a notification is due, it is waited
 * for; where none must come, four times the device's slowest answer, between 20 and 500 ms, has to pass without one.
 * What only SHOULD NOT come is noted.
 */
#include "drivers/virtio/mmio.h"
#include "drivers/virtio/pci.h"
#include "lib/irq.h"
#include "lib/mmio.h"
#include "tests/virtio/util.h"

#define EVENT	VIRTIO_BIT(VIRTIO_F_EVENT_IDX)
#define BUFFERS 40u

static uint64_t get(const uint64_t *n)
{
	return __atomic_load_n(n, __ATOMIC_RELAXED);
}

/* Used-buffer interrupts for this actor's queue. */
static uint64_t count(const struct actor *a)
{
	return get(&a->d->irqs.shared) + get(&a->d->irqs.queue[a->queue]);
}

static bool quiet(struct actor *a, uint64_t before)
{
	return !wait_for(count(a) != before, QUIET_NS);
}

/* Drivers have to bear them (2.7.7.1); that they come is worth a word. */
static void note_extra(struct test_ctx *t, struct actor *a, uint64_t due, const char *what)
{
	(void)wait_for(count(a) > due, QUIET_NS / 4);
	if (count(a) > due)
		test_note(t, "%s: %u interrupts %s", actor_who(a), (unsigned int)(count(a) - due),
			  what);
}

/* --- a used buffer is told -------------------------------------------------------------------- */

TEST(irq_used,
     .id = "virtio.irq.used_buffer",
     .clause = "virtio 1.4, 2.7.7.2 MUST: without EVENT_IDX and with avail.flags 0, a used buffer is notified",
     .owner = OWNER_FRONT,
     .needs = NEED_VIRTIO,
     .timeout = 20 * SEC)
{
	const struct bring_up how = { 0 };
	unsigned int i, k;
	struct actor a;
	uint64_t before;

	actor_need(t);
	for (i = 0; actor_mode_up(t, i, &how, &a); i++) {
		for (k = 0; k < BUFFERS; k++) {
			before = count(&a);
			actor_one(t, &a);
			require(t, wait_for(count(&a) > before, ANSWER_NS),
				"%s: no interrupt in time of used buffer %u", actor_who(&a), k + 1);
		}
		/* One that came as the queue started counts as well: no buffer was used by then. */
		note_extra(t, &a, BUFFERS, "beyond those of used buffers");
	}
	actor_tried(t, i, "whose interrupts can be set up");
}

/* used_event is far away; it means nothing without the feature. */
TEST(irq_ignores_event,
     .id = "virtio.irq.used_event_ignored",
     .clause = "virtio 1.4, 2.7.7.2 MUST: without EVENT_IDX the device ignores used_event",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .timeout = 20 * SEC)
{
	const struct bring_up how = { 0 };
	unsigned int i, k;
	struct actor a;
	uint64_t before;

	actor_need(t);
	for (i = 0; actor_mode_up(t, i, &how, &a); i++) {
		if (a.packed)
			vq_packed_set_driver_event(actor_packed(&a), 0x4000, PVRING_EVENT_ENABLE);
		else
			vq_split_set_used_event(actor_split(&a), 0x4000);
		for (k = 0; k < 4; k++) {
			before = count(&a);
			actor_one(t, &a);
			require(t, wait_for(count(&a) > before, ANSWER_NS),
				"%s: no interrupt for used buffer %u with used_event 0x4000",
				actor_who(&a), k + 1);
		}
	}
	actor_tried(t, i, "whose interrupts can be set up");
}

/* A driver that comes after another one wants to be told of the first buffer, as that one did. */
static void first_is_told(struct test_ctx *t, struct actor *a)
{
	const struct bring_up how = { .features = EVENT, .irq = a->d->irq_mode };
	unsigned int k;
	uint64_t before;

	for (k = 0; k < 2; k++) {
		actor_up(t, a, &how);
		vq_raw_want_nth(a->vq, 1);
		before = count(a);
		actor_one(t, a);
		require(t, wait_for(count(a) > before, ANSWER_NS),
			"%s: no interrupt in time of the first element, after a reset behind one",
			actor_who(a));
	}
}

TEST(irq_event_idx,
     .id = "virtio.irq.event_idx",
     .clause = "virtio 1.4, 2.7.7.2 MUST: with EVENT_IDX, notify when the index of a used element equals used_event",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .timeout = 20 * SEC)
{
	const struct bring_up how = { .features = EVENT };
	uint64_t before, first;
	unsigned int i, k;
	struct actor a;

	actor_need(t);
	for (i = 0; actor_mode_up(t, i, &how, &a); i++) {
		for (k = 0, first = count(&a); k < 5; k++) {
			/* The third one from here on. */
			vq_raw_want_nth(a.vq, 3);
			actor_one(t, &a);
			actor_one(t, &a);
			/* An unasked one may reach the driver together with that of the third. */
			if (k == 0)
				note_extra(t, &a, first, "in front of used_event (SHOULD NOT)");
			before = count(&a);
			actor_one(t, &a);
			require(t, wait_for(count(&a) > before, ANSWER_NS),
				"%s: no interrupt in time of the element with index used_event (%u)",
				actor_who(&a), (uint16_t)(a.taken - 1));
		}
		note_extra(t, &a, first + 5, "while used_event was not reached (SHOULD NOT)");
		first_is_told(t, &a);
	}
	actor_tried(t, i, "whose interrupts can be set up");
}

/* The flag is set as by a driver that wants no interrupt; used_event says that it wants one. */
TEST(irq_event_idx_flag,
     .id = "virtio.irq.event_idx_ignores_flag",
     .clause = "virtio 1.4, 2.7.7.2 MUST: with EVENT_IDX, the device ignores avail.flags' lower bit",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .timeout = 20 * SEC)
{
	const struct bring_up how = { .rings = RINGS_SPLIT, .features = EVENT };
	unsigned int i, k;
	struct actor a;
	uint64_t before;

	actor_need(t);
	for (i = 0; actor_mode_up(t, i, &how, &a); i++) {
		vq_split_set_avail_flags(actor_split(&a), VRING_AVAIL_F_NO_INTERRUPT);
		for (k = 0; k < 4; k++) {
			vq_raw_want_nth(a.vq, 1);
			before = count(&a);
			actor_one(t, &a);
			require(t, wait_for(count(&a) > before, ANSWER_NS),
				"%s: no interrupt at used_event %u with avail.flags 1",
				actor_who(&a), (uint16_t)(a.taken - 1));
		}
	}
	actor_tried(t, i, "whose interrupts can be set up");
}

/* The driver changes its mind while the buffer is on its way. Where that is used before, no interrupt is due. */
static bool wish_is_heard(struct actor *a, uint64_t after)
{
	uint64_t before;
	bool heard;

	(void)vq_interrupts(a->vq, false);
	actor_prepare(a, true);
	actor_desc(a, 0, 0, a->len, actor_flags(a), 0);
	actor_post(a, 0);
	before = count(a);
	vq_notify(a->vq);
	(void)wait_for(false, after);
	heard = vq_interrupts(a->vq, true) || wait_for(count(a) > before, ANSWER_NS);
	if (actor_wait(a, 1, ANSWER_NS))
		actor_done(a, 1);
	return heard;
}

TEST(irq_late_wish,
     .id = "virtio.irq.wish_before_use",
     .clause = "virtio 1.4, 2.7.7.2, 2.8.10 MUST: notify of a used buffer by what the driver wants when the device shows it",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .timeout = 30 * SEC)
{
	enum {
		TIMES = 32
	};
	struct bring_up how = { 0 };
	unsigned int i, k, e, tried = 0;
	struct actor a;

	actor_need(t);
	for (e = 0; e < 2; e++) {
		how.features = e ? EVENT : 0;
		for (i = 0; actor_mode_up(t, i, &how, &a); i++) {
			tried++;
			for (k = 0; k < TIMES; k++)
				require(t, wish_is_heard(&a, k * 40 * USEC),
					"%s: interrupts are wanted %u us behind the notification, before the buffer is used: none comes",
					actor_who(&a), k * 40);
		}
	}
	actor_tried(t, tried, "whose interrupts can be set up");
}

/* SHOULD NOT, both: what comes all the same is counted and noted; that buffers are used is checked. */
TEST(irq_suppressed,
     .id = "virtio.irq.suppressed",
     .clause = "virtio 1.4, 2.7.7.2 SHOULD NOT: notify with avail.flags 1, or with EVENT_IDX before used_event",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .timeout = 20 * SEC)
{
	struct bring_up how = { 0 };
	unsigned int i, k, e, tried = 0;
	struct actor a;
	uint64_t before;

	actor_need(t);
	for (e = 0; e < 2; e++) {
		how.features = e ? EVENT : 0;
		for (i = 0; actor_mode_up(t, i, &how, &a); i++) {
			tried++;
			(void)vq_interrupts(a.vq, false);
			before = count(&a);
			for (k = 0; k < 10; k++)
				actor_one(t, &a);
			note_extra(t, &a, before,
				   e ? "for 10 buffers before used_event" :
				       "for 10 buffers with avail.flags 1");
		}
	}
	actor_tried(t, tried, "whose interrupts can be set up");
}

/* --- where none must come ------------------------------------------------------------------- */

TEST(irq_after_reset,
     .id = "virtio.irq.none_after_reset",
     .clause = "virtio 1.4, 2.4.1 MUST NOT: send notifications once device status reads 0 after a reset",
     .owner = OWNER_FRONT,
     .needs = NEED_VIRTIO,
     .timeout = 30 * SEC)
{
	const struct bring_up how = { 0 };
	uint64_t before, spurious;
	unsigned int i, round;
	struct actor a;
	uint16_t k;

	actor_need(t);
	for (i = 0; actor_mode_up(t, i, &how, &a); i++)
		for (round = 0; round < 4; round++) {
			struct bring_up again = { .irq = a.d->irq_mode };

			if (round)
				actor_up(t, &a, &again);
			actor_prepare(&a, true);
			for (k = 0; k < vq_size(a.vq); k++) {
				actor_desc(&a, k, 0, a.len, actor_flags(&a), 0);
				actor_post(&a, k);
			}
			vq_notify(a.vq);
			vt_must_reset(t, a.d);
			/* What was on its way to this CPU by then is taken now. */
			(void)wait_for(false, MSEC);
			before = count(&a);
			spurious = irq_spurious_count(NULL);
			/* Each round a while, the last one long enough for a slow one. */
			(void)wait_for(count(&a) != before, round < 3 ? QUIET_NS / 10 : QUIET_NS);
			expect(t, count(&a) == before, "%s: %u interrupts after the reset",
			       actor_who(&a), (unsigned int)(count(&a) - before));
			expect_eq(t, irq_spurious_count(NULL), spurious,
				  "%s: interrupts on unused vectors", actor_who(&a));
		}
	actor_tried(t, i, "whose interrupts can be set up");
}

TEST(irq_after_queue_reset,
     .id = "virtio.irq.none_after_queue_reset",
     .clause = "virtio 1.4, 2.6.1.1.1 MUST NOT: notify the driver of a virtqueue that was reset, until it is enabled again",
     .owner = OWNER_FRONT,
     .needs = NEED_VIRTIO,
     .timeout = 20 * SEC)
{
	const struct bring_up how = { .features = VIRTIO_BIT(VIRTIO_F_RING_RESET) };
	unsigned int i, tried = 0;
	struct actor a;
	uint64_t before;
	uint16_t k;

	actor_need(t);
	for (i = 0; actor_mode_up(t, i, &how, &a); i++) {
		if (!(a.d->offered & VIRTIO_BIT(VIRTIO_F_RING_RESET)))
			continue;
		tried++;
		actor_prepare(&a, true);
		for (k = 0; k < vq_size(a.vq); k++) {
			actor_desc(&a, k, 0, a.len, actor_flags(&a), 0);
			actor_post(&a, k);
		}
		vq_notify(a.vq);
		require(t, a.d->ops->queue_reset(a.d, a.queue) == 0, "%s: queue_reset stays",
			actor_who(&a));
		/* What was on its way to this CPU by then is taken now. */
		(void)wait_for(false, MSEC);
		before = count(&a);
		expect(t, quiet(&a, before), "%s: %u interrupts after the queue's reset",
		       actor_who(&a), (unsigned int)(count(&a) - before));
		vt_must_reset(t, a.d);
	}
	actor_tried(t, tried, "that offers RING_RESET");
}

/* A change of the configuration may be told before, on the same vector: its generation tells. */
TEST(irq_before_ok,
     .id = "virtio.irq.none_before_driver_ok",
     .clause = "virtio 1.4, 2.1.2 MUST NOT: send used buffer notifications before DRIVER_OK",
     .owner = OWNER_FRONT,
     .needs = NEED_VIRTIO,
     .timeout = 20 * SEC)
{
	const struct bring_up how = { .no_driver_ok = true };
	uint32_t generation;
	unsigned int i;
	struct actor a;

	actor_need(t);
	for (i = 0; actor_mode_up(t, i, &how, &a); i++) {
		generation = a.d->ops->config_generation(a.d);
		(void)wait_for(count(&a), QUIET_NS / 2);
		expect(t, !count(&a) || a.d->ops->config_generation(a.d) != generation,
		       "%s: %u interrupts before DRIVER_OK", actor_who(&a),
		       (unsigned int)count(&a));
		vt_must_reset(t, a.d);
	}
	actor_tried(t, i, "whose interrupts can be set up");
}

/* The n-th actor on PCI with MSI-X, up with one vector for all. */
static bool msix_actor(struct test_ctx *t, unsigned int n, struct actor *a)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_MSIX1 };
	unsigned int i;

	for (i = 0; actor_get(i, a); i++) {
		if (!virtio_pci(a->d) || !virtio_pci(a->d)->has_msix || n--)
			continue;
		actor_up(t, a, &how);
		return true;
	}
	return false;
}

TEST(irq_no_vector,
     .id = "virtio.irq.no_vector",
     .clause = "virtio 1.4, 4.1.5.3.1 MUST NOT: interrupt for a queue whose vector is NO_VECTOR",
     .owner = OWNER_FRONT,
     .needs = NEED_MSIX)
{
	struct virtio_pci *p;
	struct actor a;
	unsigned int i;
	uint64_t before;
	uint16_t q;

	for (i = 0; msix_actor(t, i, &a); i++) {
		p = virtio_pci(a.d);
		before = count(&a);
		actor_one(t, &a);
		require(t, wait_for(count(&a) > before, ANSWER_NS),
			"%s: no interrupt with the vector mapped", actor_who(&a));
		/* Anew, with the queue left unmapped before it is enabled. */
		const struct bring_up half = { .irq = VIRTIO_IRQ_MSIX1, .no_driver_ok = true };

		actor_up(t, &a, &half);
		for (q = 0; q < a.d->max_queues; q++)
			expect_eq(t, virtio_pci_set_queue_vector(p, q, VIRTIO_NO_VECTOR),
				  VIRTIO_NO_VECTOR, "%s: queue_msix_vector of queue %u",
				  actor_who(&a), q);
		require(t, virtio_driver_ok(a.d) == 0, "%s: %s", actor_who(&a), a.d->error);
		before = get(&a.d->irqs.shared);
		actor_one(t, &a);
		expect(t, quiet(&a, before), "%s: an interrupt for a queue without a vector",
		       actor_who(&a));
	}
	actor_tried(t, i, "with MSI-X");
}

/* PCI: a masked entry holds the message back as pending and sends it when unmasked. */
TEST(irq_masked,
     .id = "virtio.irq.masked_entry",
     .clause = "virtio 1.4, 4.1.1 MUST meet PCI: a masked MSI-X entry sends nothing; what became pending is sent when unmasked",
     .owner = OWNER_FRONT,
     .needs = NEED_MSIX)
{
	struct virtio_pci *p;
	struct actor a;
	unsigned int i;
	uint64_t before;

	for (i = 0; msix_actor(t, i, &a); i++) {
		p = virtio_pci(a.d);
		pci_msix_mask(&p->msix, 0, true);
		before = count(&a);
		actor_one(t, &a);
		expect(t, wait_for(pci_msix_pending(&p->msix, 0), ANSWER_NS),
		       "%s: the pending bit is not set", actor_who(&a));
		expect(t, quiet(&a, before), "%s: an interrupt through a masked entry",
		       actor_who(&a));
		pci_msix_mask(&p->msix, 0, false);
		expect(t, wait_for(count(&a) > before, ANSWER_NS),
		       "%s: the pending interrupt does not come when unmasked", actor_who(&a));
		expect(t, wait_for(!pci_msix_pending(&p->msix, 0), ANSWER_NS),
		       "%s: the pending bit stays after the interrupt", actor_who(&a));
		before = count(&a);
		expect(t, quiet(&a, before), "%s: the pending interrupt came twice", actor_who(&a));
		/* The function mask does the same. */
		pci_msix_function_mask(p->pci, &p->msix, true);
		before = count(&a);
		actor_one(t, &a);
		expect(t, quiet(&a, before), "%s: an interrupt with the function masked",
		       actor_who(&a));
		pci_msix_function_mask(p->pci, &p->msix, false);
		expect(t, wait_for(count(&a) > before, ANSWER_NS),
		       "%s: the pending interrupt does not come when the function is unmasked",
		       actor_who(&a));
	}
	actor_tried(t, i, "with MSI-X");
}

static void on_other(void *arg)
{
	__atomic_add_fetch((uint64_t *)arg, 1, __ATOMIC_RELEASE);
}

/* As drivers do that move an interrupt: the entry is masked, gets another message, and is unmasked. */
TEST(irq_message_changed,
     .id = "virtio.irq.message_changed",
     .clause = "virtio 1.4, 4.1.1 MUST meet PCI; PCIe 6.0, 6.1.4.2: a masked MSI-X entry may be changed; it sends what stands there then",
     .owner = OWNER_FRONT,
     .needs = NEED_MSIX)
{
	static uint64_t came;
	uint64_t addr, before;
	struct virtio_pci *p;
	unsigned int i, k;
	uint32_t data;
	struct actor a;
	int vector;

	for (i = 0; msix_actor(t, i, &a); i++) {
		p = virtio_pci(a.d);
		actor_one(t, &a);
		for (k = 0; k < 2; k++) {
			vector = irq_alloc(on_other, &came);
			if (vector < 0 || irq_message(&a.d->dev, vector, 0, &addr, &data))
				test_error(t, "%s: no vector", actor_who(&a));
			pci_msix_mask(&p->msix, 0, true);
			pci_msix_set(&p->msix, 0, addr, data);
			pci_msix_mask(&p->msix, 0, false);
			before = get(&came);
			actor_one(t, &a);
			expect(t, wait_for(get(&came) > before, ANSWER_NS),
			       "%s: no interrupt by the message that was written while the entry was masked",
			       actor_who(&a));
			pci_msix_mask(&p->msix, 0, true);
			irq_free(vector);
		}
		vt_must_reset(t, a.d);
	}
	actor_tried(t, i, "with MSI-X");
}

static void still_waits(struct test_ctx *t, struct actor *a, uint64_t before, const char *when)
{
	const struct pci_msix *m = &virtio_pci(a->d)->msix;
	unsigned int k;

	expect(t, quiet(a, before), "%s: an interrupt %s", actor_who(a), when);
	/* By each width, again and again: a load changes nothing. */
	for (k = 0; k < 2; k++) {
		expect(t, pci_msix_pending(m, 0), "%s: the pending bit is lost %s", actor_who(a),
		       when);
		expect_eq(t, mmio_read64(m->pba) & 1, 1, "%s: pending bit by 64 bits %s",
			  actor_who(a), when);
	}
}

TEST(irq_masks_nested,
     .id = "virtio.irq.masks_nested",
     .clause = "virtio 1.4, 4.1.1 MUST meet PCI; PCIe 6.0, 6.1.4.4: a vector waits while its entry or the function is masked",
     .owner = OWNER_FRONT,
     .needs = NEED_MSIX)
{
	struct virtio_pci *p;
	struct actor a;
	unsigned int i;
	uint64_t before;

	for (i = 0; msix_actor(t, i, &a); i++) {
		p = virtio_pci(a.d);
		pci_msix_function_mask(p->pci, &p->msix, true);
		pci_msix_mask(&p->msix, 0, true);
		before = count(&a);
		actor_one(t, &a);
		require(t, wait_for(pci_msix_pending(&p->msix, 0), ANSWER_NS),
			"%s: the pending bit is not set", actor_who(&a));
		still_waits(t, &a, before, "with both masks");
		pci_msix_mask(&p->msix, 0, false);
		still_waits(t, &a, before, "with the function masked");
		pci_msix_mask(&p->msix, 0, true);
		pci_msix_function_mask(p->pci, &p->msix, false);
		still_waits(t, &a, before, "with the entry masked");
		pci_msix_mask(&p->msix, 0, true);
		still_waits(t, &a, before, "with the entry masked again");
		pci_msix_mask(&p->msix, 0, false);
		expect(t, wait_for(count(&a) > before, ANSWER_NS),
		       "%s: the pending interrupt does not come without masks", actor_who(&a));
		expect(t, wait_for(!pci_msix_pending(&p->msix, 0), ANSWER_NS),
		       "%s: the pending bit stays after the interrupt", actor_who(&a));
		/* The function's mask comes and goes while the entry's own stays. */
		pci_msix_mask(&p->msix, 0, true);
		before = count(&a);
		actor_one(t, &a);
		require(t, wait_for(pci_msix_pending(&p->msix, 0), ANSWER_NS),
			"%s: the pending bit is not set a second time", actor_who(&a));
		pci_msix_function_mask(p->pci, &p->msix, true);
		still_waits(t, &a, before, "with the function masked behind the entry");
		pci_msix_function_mask(p->pci, &p->msix, false);
		still_waits(t, &a, before, "with the function's mask gone again");
		pci_msix_mask(&p->msix, 0, false);
		expect(t, wait_for(count(&a) > before, ANSWER_NS),
		       "%s: the pending interrupt does not come once the function was masked for a time",
		       actor_who(&a));
	}
	actor_tried(t, i, "with MSI-X");
}

/* Many times, masked and unmasked in between: none is lost. */
TEST(irq_mask_race,
     .id = "virtio.irq.mask_unmask",
     .clause = "virtio 1.4, 2.7.7.2 MUST: a used buffer is notified, however often the vector was masked and unmasked before",
     .owner = OWNER_FRONT,
     .needs = NEED_MSIX,
     .timeout = 20 * SEC)
{
	struct virtio_pci *p;
	unsigned int i, k, spin;
	struct actor a;
	deadline_t end;
	uint64_t before;

	for (i = 0; msix_actor(t, i, &a); i++) {
		p = virtio_pci(a.d);
		end = deadline_in(SEC / 2);
		/* A nested host needs milliseconds for each: there some must do. */
		for (k = 0; k < 200 && (k < 80 || !deadline_passed(end)); k++) {
			actor_prepare(&a, true);
			actor_desc(&a, 0, 0, a.len, actor_flags(&a), 0);
			before = count(&a);
			actor_post(&a, 0);
			pci_msix_mask(&p->msix, 0, true);
			vq_notify(a.vq);
			for (spin = (unsigned int)test_random(t) % 200; spin; spin--)
				cpu_relax();
			/* A device may be slower than that each time: once the message meets the mask. */
			if (!k)
				(void)wait_for(pci_msix_pending(&p->msix, 0), ANSWER_NS);
			pci_msix_mask(&p->msix, 0, false);
			require(t, actor_wait(&a, 1, ANSWER_NS) == 1, "%s: buffer %u is not used",
				actor_who(&a), k);
			actor_done(&a, 1);
			require(t, wait_for(count(&a) > before, ANSWER_NS),
				"%s: buffer %u: the interrupt is lost (%s)", actor_who(&a), k,
				pci_msix_pending(&p->msix, 0) ? "pending, entry unmasked" :
								"not pending");
		}
	}
	actor_tried(t, i, "with MSI-X");
}

/* Each its own: an interrupt for this queue on another queue's vector is a mistake in the mapping. */
TEST(irq_own_vector,
     .id = "virtio.irq.own_vector",
     .clause = "virtio 1.4, 4.1.5.1.2.1 MUST: an event comes on the vector that it is mapped to; 4.1.4.5: a used buffer is no change in the ISR",
     .owner = OWNER_FRONT,
     .needs = NEED_MSIX)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_MSIX };
	unsigned int i, tried = 0;
	uint64_t others, before;
	const struct virtio_pci *p;
	uint32_t generation;
	struct actor a;
	uint8_t isr;
	uint16_t q;

	for (i = 0; (p = actor_on_pci(i, &a)); i++) {
		if (p->msix.count < a.d->max_queues + 1u)
			continue;
		tried++;
		actor_up(t, &a, &how);
		generation = a.d->ops->config_generation(a.d);
		if (p->isr)
			(void)mmio_read8(p->isr);
		before = get(&a.d->irqs.queue[a.queue]);
		for (q = 0, others = get(&a.d->irqs.config); q < a.d->max_queues; q++)
			others += q == a.queue ? 0 : get(&a.d->irqs.queue[q]);
		actor_one(t, &a);
		expect(t, wait_for(get(&a.d->irqs.queue[a.queue]) > before, ANSWER_NS),
		       "%s: no interrupt on the vector of queue %u", actor_who(&a), a.queue);
		(void)wait_for(false, QUIET_NS / 4);
		for (q = 0; q < a.d->max_queues; q++)
			others -= q == a.queue ? 0 : get(&a.d->irqs.queue[q]);
		others -= get(&a.d->irqs.config);
		expect_eq(t, -others, 0, "%s: interrupts on the vectors of other events",
			  actor_who(&a));
		isr = p->isr ? mmio_read8(p->isr) : 0;
		expect(t, !(isr & 2) || a.d->ops->config_generation(a.d) != generation,
		       "%s: ISR 0x%02x for a used buffer, and the generation is as it was",
		       actor_who(&a), isr);
	}
	actor_tried(t, tried, "with a vector for each event");
}

TEST(irq_vector_changed,
     .id = "virtio.irq.vector_changed",
     .clause = "virtio 1.4, 4.1.5.1.2.1 MUST: an event comes on the vector that it is mapped to, after DRIVER_OK as well",
     .owner = OWNER_FRONT,
     .needs = NEED_MSIX)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_MSIX };
	unsigned int i, tried = 0;
	uint64_t own, other;
	struct virtio_pci *p;
	struct actor a;
	uint16_t k, to;

	for (i = 0; (p = actor_on_pci(i, &a)); i++) {
		if (p->msix.count < a.d->max_queues + 1u || a.d->max_queues < 2)
			continue;
		tried++;
		actor_up(t, &a, &how);
		/* To the vector of another queue, and back. */
		for (k = 0; k < 2; k++) {
			to = k ? a.queue : (uint16_t)!a.queue;
			expect_eq(t, virtio_pci_set_queue_vector(p, a.queue, (uint16_t)(to + 1)),
				  to + 1, "%s: queue_msix_vector after DRIVER_OK", actor_who(&a));
			own = get(&a.d->irqs.queue[to]);
			other = get(&a.d->irqs.queue[k ? !a.queue : a.queue]);
			actor_one(t, &a);
			expect(t, wait_for(get(&a.d->irqs.queue[to]) > own, ANSWER_NS),
			       "%s: no interrupt on the new vector", actor_who(&a));
			expect_eq(t, get(&a.d->irqs.queue[k ? !a.queue : a.queue]), other,
				  "%s: interrupts on the old vector", actor_who(&a));
		}
	}
	actor_tried(t, tried, "of several queues with a vector for each event");
}

/* False: it does not, which it may (2.1.2 SHOULD). */
static bool needs_reset(struct test_ctx *t, const struct actor *a, const char *queue)
{
	if (wait_for(a->d->ops->get_status(a->d) & VIRTIO_S_NEEDS_RESET, QUIET_NS / 2))
		return true;
	test_note(t, "%s: stays silent at an available head of 0xffff of %s", actor_who(a), queue);
	return false;
}

/* The change is told once. At each of these the device looks at what it has to do. */
static void told_once(struct test_ctx *t, const struct actor *a)
{
	const uint64_t before = get(&a->d->irqs.config);
	unsigned int k;

	for (k = 0; k < 4; k++)
		vq_notify(a->vq);
	if (wait_for(get(&a->d->irqs.config) != before, QUIET_NS / 2))
		test_note(t, "%s: NEEDS_RESET is notified more than once", actor_who(a));
}

/* The same of the queue that replies go to: the device looks at it once it has one. */
static void rx_needs_reset(struct test_ctx *t, struct actor *a)
{
	const struct bring_up how = { .irq = a->d->irq_mode, .no_driver_ok = true };
	const uint16_t head = 0xffff;

	actor_up(t, a, &how);
	require(t, virtio_driver_ok(a->d) == 0, "%s: %s", vt_who(a->d), a->d->error);
	vq_raw_post(a->d->vq[0], &head, 1);
	actor_prepare(a, false);
	actor_desc(a, 0, 0, a->len, actor_flags(a), 0);
	actor_post(a, 0);
	vq_notify(a->vq);
	(void)needs_reset(t, a, "the receive queue");
}

/*
 * An available head beyond the queue is an error that only a reset cures. A device that says so
 * (NEEDS_RESET, a SHOULD) has to send a configuration change notification.
 */
TEST(irq_needs_reset,
     .id = "virtio.irq.needs_reset_notified",
     .clause = "virtio 1.4, 2.1.2 MUST: with DRIVER_OK, a configuration change notification follows DEVICE_NEEDS_RESET",
     .owner = OWNER_FRONT,
     .needs = NEED_VIRTIO,
     .timeout = 20 * SEC)
{
	/* Of a packed ring a head is no number that a device reads. */
	const struct bring_up how = { .rings = RINGS_SPLIT };
	unsigned int i, said = 0;
	uint64_t before, shared;
	struct actor a;

	actor_need(t);
	for (i = 0; actor_mode_up(t, i, &how, &a); i++) {
		shared = count(&a);
		actor_one(t, &a);
		require(t, wait_for(count(&a) > shared, ANSWER_NS),
			"%s: no interrupt for a used buffer", actor_who(&a));
		before = get(&a.d->irqs.config);
		shared = count(&a);
		actor_post(&a, 0xffff);
		vq_notify(a.vq);
		if (!needs_reset(t, &a, "its queue"))
			continue;
		said++;
		/* One vector for all: what came is either (4.1.5.4.2), so any interrupt counts. */
		if (a.d->irq_mode == VIRTIO_IRQ_MSIX1)
			expect(t,
			       wait_for(get(&a.d->irqs.config) > before || count(&a) > shared,
					ANSWER_NS),
			       "%s: NEEDS_RESET is set, no interrupt came", actor_who(&a));
		else
			expect(t, wait_for(get(&a.d->irqs.config) > before, ANSWER_NS),
			       "%s: NEEDS_RESET is set, no configuration change notification came",
			       actor_who(&a));
		told_once(t, &a);
		if (!a.writes && a.queue && !a.mute)
			rx_needs_reset(t, &a);
		/* And a reset cures it. */
		const struct bring_up again = { .irq = a.d->irq_mode };

		vt_must_reset(t, a.d);
		(void)vt_add_status(a.d, VIRTIO_S_ACKNOWLEDGE);
		expect_eq(t, vt_add_status(a.d, VIRTIO_S_DRIVER) & VIRTIO_S_NEEDS_RESET, 0,
			  "%s: NEEDS_RESET in the status behind a reset", actor_who(&a));
		actor_up(t, &a, &again);
		actor_one(t, &a);
	}
	actor_tried(t, i, "whose interrupts can be set up");
	if (!said)
		test_skip(t, "no device sets NEEDS_RESET (SHOULD)");
}
