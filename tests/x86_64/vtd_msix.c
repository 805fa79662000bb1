/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iommu.vtd.msix_*: a virtio device's MSI-X messages, remapped (Intel VT-d 4.1, 5.1): they come as the entries say, and an
 * entry of another requester's gives it nothing.
 *
 * How hosts break it: messages of emulated devices do not go through the remapping, or have no requester there.
 *
 * How it is seen: the device's MSI-X table gets messages in remappable format; the entries name a requester. DMA is not
 * translated meanwhile.
 */
#include <string.h>

#include "lib/errname.h"
#include "lib/irq.h"
#include "lib/mmio.h"
#include "tests/irq/irq.h"
#include "tests/x86_64/vtd.h"

#define OWNER OWNER_VTD

static struct {
	struct vtd *v;
	struct device *d; /* whose messages are remapped */
	uint16_t source;  /* whom its entries name */
	bool given[VTD_INTERRUPTS];
} now;

static int grant(uint16_t index, uint64_t low)
{
	vtd_entry_set(now.v, vtd_interrupt_entry(now.v, index), low, VTD_SOURCE(now.source));
	return vtd_forget_interrupts(now.v, false, index, 0);
}

/* A vector's entry has its number. */
static int remapped(struct device *d, int vector, unsigned int cpu, uint64_t *addr, uint32_t *data)
{
	uint64_t low;
	int ret;

	(void)d;
	ret = vtd_interrupt_to(now.v, vector, cpu, &low);
	if (!ret)
		ret = grant((uint16_t)vector, low);
	now.given[vector % VTD_INTERRUPTS] = true;
	*addr = vtd_message_address((uint16_t)vector, false);
	*data = 0;
	return ret;
}

static int choose(struct device *d)
{
	static const struct irq_backend backend = { "VT-d", remapped };

	if (d == now.d)
		d->irq = &backend;
	return 0;
}

static struct device_policy policy = { .level = DEVICE_LEVEL_TRANSLATE, .attach = choose };

static int set_up(void)
{
	vt_reset_all();
	return 0;
}

static void tear_down(void)
{
	vt_settle();
	device_policy_remove(&policy);
	/* Its messages are direct ones again, also for who asks before it comes up. */
	if (now.d)
		now.d->irq = NULL;
	memset(&now, 0, sizeof(now));
}
FIXTURE(vtd_msix, .suite = "iommu.vtd.msix_", .setup = set_up, .teardown = tear_down);

/* The n-th device that acts and that this unit remaps. */
static bool behind(struct vtd *v, unsigned int n, struct actor *a)
{
	struct iommu *const m = vtd_iommu(v);
	unsigned int i;
	uint32_t id;

	for (i = 0; actor_get(i, a); i++)
		if (m->ops->endpoint(m, &a->d->dev, &id) && n-- == 0)
			return true;
	return false;
}

/* The n-th device behind the unit, up with remapped messages. */
static bool subject(struct test_ctx *t, unsigned int n, struct actor *a)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_MSIX };

	if (!behind(now.v, n, a))
		return false;
	now.d = &a->d->dev;
	now.source = now.d->alias;
	actor_up(t, a, &how);
	if (a->d->dev.dma_layers > 1)
		test_skip(t, "the device's DMA needs translation (iommu=on), which is off here");
	irq_watch(a->d, a->queue);
	return true;
}

/* The first unit that has such a device, up. */
static struct vtd *unit_up(struct test_ctx *t)
{
	struct actor a;
	struct vtd *v;
	unsigned int i;

	for (i = 0; (v = vtd_get(i)); i++) {
		if (!behind(v, 0, &a))
			continue;
		iommu_up(t, vtd_iommu(v));
		return v;
	}
	test_skip(t, "no rng or vsock device is behind a unit");
}

static void remap(struct test_ctx *t)
{
	int ret;

	now.v = unit_up(t);
	if (!vtd_features(now.v)->interrupts || !vtd_way(t, now.v, 1))
		test_skip(t, "the unit offers no interrupt remapping");
	require(t, vtd_command(now.v, VTD_ON_TRANSLATION, false) == 0,
		"translation does not go off");
	ret = vtd_interrupts(now.v, true);
	require(t, ret == 0, "interrupt remapping does not go on: %s", err_text(ret));
	device_policy_add(&policy);
}

/* All entries of the device's name this requester now. */
static void name(struct test_ctx *t, uint16_t source)
{
	unsigned int i;

	now.source = source;
	for (i = 0; i < VTD_INTERRUPTS; i++)
		if (now.given[i])
			require(t,
				grant((uint16_t)i,
				      le64_to_cpu(vtd_interrupt_entry(now.v, (uint16_t)i)->low)) ==
					0,
				"interrupt entry %u is not invalidated", i);
}

TEST(vtd_msix,
     .id = "iommu.vtd.msix_source",
     .clause = "VT-d 5.1.3, 5.1.4.1: a device's MSI-X messages give the interrupts of its entries; of an entry of another requester's they give none, which is recorded: reason 26h",
     .owner = OWNER,
     .needs = NEED_VTD | NEED_VIRTIO | NEED_MSIX,
     .timeout = 30 * SEC)
{
	struct vtd_fault f = { 0 };
	struct actor a;
	unsigned int n;
	int ret = 0;

	remap(t);
	for (n = 0; subject(t, n, &a); n++) {
		irq_round(t, &a, "messages are remapped");
		name(t, now.d->alias ^ 0x10);
		vtd_drain(now.v);
		irq_watch(a.d, a.queue);
		actor_one(t, &a);
		/* Of one that gives an interrupt there is no record to wait for. */
		(void)wait_for((ret = vtd_fault_get(now.v, &f)) != 0 || irq_total(),
			       2 * test_sec());
		require(t, ret == 1 && !irq_total(),
			"%s: a message for another requester's entry: %u interrupts, %s record",
			actor_who(&a), (unsigned int)irq_total(), ret == 1 ? "a" : "no");
		expect_eq(t, f.reason, VTD_MESSAGE_SOURCE, "%s: reason of the record",
			  actor_who(&a));
		expect_eq(t, f.requester, now.d->alias, "%s: source of the record", actor_who(&a));
		expect_eq(t, irq_total(), 0, "%s: interrupts by another requester's entry",
			  actor_who(&a));
		name(t, now.d->alias);
		irq_round(t, &a, "the entries are its own again");
		vt_must_reset(t, a.d);
	}
}
