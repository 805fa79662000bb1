/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Promise (PCIe 6.1.4.4, virtio 1.4, 2.7.7.2): in whatever order an interrupt is masked in its entry and in its function,
 * steered, and caused, what is open comes, to the CPU that it is steered to, and what is masked waits.
 *
 * How hosts break it: in the third change, not in the first: a route that is made new at one kind of write only, a
 * pending bit that is lost when both masks go one after the other, an entry that is written while its mask is set and
 * read back from a cache.
 *
 * How it is seen here: a walk at random with a record of masks, CPU and what waits. The numbers come from shuffle=.
 */
#include "lib/smp.h"
#include "tests/irq/irq.h"

#define STEPS 80u

static struct walk {
	struct test_ctx *t;
	struct actor *a;
	bool masked, all_masked, waits;
	unsigned int cpu;
} walk;

static bool is_open(void)
{
	return !walk.masked && !walk.all_masked;
}

static void it_comes(const char *when)
{
	irq_comes(walk.t, walk.a, when);
	expect_eq(walk.t, irq_seen.cpu[walk.cpu], irq_total(),
		  "%s: interrupts on CPU %u of all, %s", actor_who(walk.a), walk.cpu, when);
	walk.waits = false;
}

static void causes(void)
{
	/* Of two that wait the VMM may hear one by one: the second message would come behind the next change. */
	if (walk.waits)
		return;
	irq_watch(walk.a->d, walk.a->queue);
	actor_one(walk.t, walk.a);
	if (is_open()) {
		it_comes("with no mask set");
		return;
	}
	walk.waits = true;
	if (test_draw(walk.t, 4) == 0)
		irq_silent(walk.t, walk.a, "with a mask set");
}

static void set_mask(int event, bool *mask)
{
	irq_watch(walk.a->d, walk.a->queue);
	if (virtio_irq_ctl(walk.a->d, VIRTIO_IRQ_MASK, event, !*mask))
		return; /* this kind of interrupt has no such mask */
	*mask = !*mask;
	if (walk.waits && is_open())
		it_comes("when the last mask is cleared");
}

/* What steers clears the mask of the entry. */
static void steers(void)
{
	const unsigned int cpu = test_draw(walk.t, smp_cpus_online());

	irq_watch(walk.a->d, walk.a->queue);
	if (virtio_irq_ctl(walk.a->d, VIRTIO_IRQ_STEER, walk.a->queue, cpu))
		return;
	walk.cpu = cpu;
	walk.masked = false;
	if (walk.waits && is_open())
		it_comes("when it is steered elsewhere");
}

static void step(void)
{
	switch (test_draw(walk.t, 8)) {
	case 0:
	case 1:
		set_mask(walk.a->queue, &walk.masked);
		break;
	case 2:
	case 3:
		if (walk.a->d->irq_mode >= VIRTIO_IRQ_MSIX1)
			set_mask(VIRTIO_EVENT_ALL, &walk.all_masked);
		break;
	case 4:
		steers();
		break;
	default:
		causes();
		break;
	}
}

TEST(irq_walk,
     .id = "irq.deliver.walk",
     .clause = "PCIe 6.1.4.4; virtio 1.4, 2.7.7.2 MUST: what is not masked comes, where it is steered to, in any order of changes",
     .owner = OWNER_FRONT,
     .needs = NEED_VIRTIO,
     .timeout = 30 * SEC)
{
	unsigned int i, k, tried = 0;
	struct actor a;

	for (i = 0; irq_subject(t, i, &a); i++) {
		if (virtio_irq_ctl(a.d, VIRTIO_IRQ_STEER, a.queue, 0))
			continue;
		tried++;
		walk = (struct walk){ .t = t, .a = &a };
		for (k = 0; k < STEPS; k++)
			step();
		/* Both masks end cleared, and what waits has come. */
		if (walk.masked)
			set_mask(a.queue, &walk.masked);
		if (walk.all_masked)
			set_mask(VIRTIO_EVENT_ALL, &walk.all_masked);
		irq_round(t, &a, "after the walk");
	}
	actor_tried(t, tried, "whose interrupts can be steered");
}
