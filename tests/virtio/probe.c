/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio.probe.*: what says that it is a virtio device can be found and driven.
 *
 * Promised: a modern function shows its structures in BARs that are there (virtio 1.4, 4.1.4), a window of
 * virtio-mmio its magic value and version (4.2.2), and a reset ends (2.4.1).
 * How hosts break it: a capability that names the wrong BAR or is longer than it, an MSI-X table outside of
 * its BAR, a reset that waits for a back end which is gone.
 * How it is seen: the driver refuses such a function and keeps it with the reason (virtio_refused()); the
 * other tests run on what can be driven, so these are the ones that turn a refusal into a FAIL.
 */
#include <errno.h>

#include "drivers/virtio/mmio.h"
#include "drivers/virtio/pci.h"
#include "tests/virtio/util.h"

#define OWNER_PCI "the VMM's virtio-pci front end"

/* Ours to say: the test cannot be carried out. */
static void need_room(struct test_ctx *t)
{
	const struct virtio_refusal *r;
	unsigned int i;

	for (i = 0; (r = virtio_refused(i)); i++)
		if (r->kind == VIRTIO_REFUSED_RESOURCE)
			test_error(t, "%s: %s", r->name, r->reason);
	if (virtio_refusals_lost())
		test_error(t, "%u functions were refused and not kept", virtio_refusals_lost());
}

TEST(probe_driven,
     .id = "virtio.probe.driven",
     .clause = "virtio 1.4, 3.1.1: a device that is there can be initialised",
     .owner = OWNER_FRONT,
     .needs = NEED_VIRTIO_FUNCTION)
{
	const struct virtio_refusal *r;
	struct virtio_device *d;
	unsigned int i, judged = 0;

	need_room(t);
	for (i = 0; (d = virtio_get(i)); i++, judged++)
		expect(t, d->max_queues > 0, "%s %s: no queue has a size", d->name,
		       virtio_id_name(d->id));
	for (i = 0; (r = virtio_refused(i)); i++) {
		if (r->kind == VIRTIO_REFUSED_LEGACY) {
			test_note(t, "%s: %s, not tested", r->name, r->reason);
			continue;
		}
		judged++;
		expect(t, false, "%s: %s", r->name, r->reason);
	}
	if (!judged)
		test_skip(
			t,
			"legacy devices only: start them with a modern interface (QEMU: disable-legacy=on)");
}

/* 4.1.4.6.1: a device type whose chapter in 5 has a configuration layout. */
static bool has_config(uint32_t id)
{
	static const uint8_t without[] = { VIRTIO_ID_RNG };
	unsigned int i;

	for (i = 0; i < sizeof(without); i++)
		if (without[i] == id)
			return false;
	return virtio_id_name(id)[0] != 'i' || id == VIRTIO_ID_IOMMU || id == 18; /* "id N" */
}

TEST(probe_structures,
     .id = "virtio.probe.structures",
     .clause = "virtio 1.4, 4.1.4: COMMON, NOTIFY, ISR and DEVICE structures can be reached through a BAR that is assigned",
     .owner = OWNER_PCI,
     .needs = NEED_VIRTIO_FUNCTION)
{
	struct virtio_pci *p;
	unsigned int i;

	for (i = 0; (p = vt_pci_function(i)); i++) {
		expect(t, p->common, "%s: no common configuration in a BAR that is assigned",
		       p->vdev.name);
		expect(t, p->notify, "%s: no notification area in a BAR that is assigned",
		       p->vdev.name);
		expect(t, p->isr, "%s: no ISR status in a BAR that is assigned", p->vdev.name);
		if (has_config(p->vdev.id))
			expect(t, p->device,
			       "%s %s: no device configuration in a BAR that is assigned",
			       p->vdev.name, virtio_id_name(p->vdev.id));
	}
	if (i == 0)
		test_skip(t, "no modern virtio function on PCI");
}

TEST(probe_msix,
     .id = "virtio.probe.msix",
     .clause = "PCIe 6.0, 7.7.2: MSI-X table and pending bits lie inside of the BARs that the capability names",
     .owner = OWNER_PCI,
     .needs = NEED_VIRTIO_FUNCTION)
{
	struct virtio_pci *p;
	unsigned int i, judged = 0;

	for (i = 0; (p = vt_pci_function(i)); i++) {
		if (p->msix_error == -ENOENT)
			continue;
		judged++;
		expect(t, p->msix_error == 0,
		       "%s: %u vectors: table or pending bits are outside of their BAR",
		       p->vdev.name, p->msix.count);
	}
	if (!judged)
		test_skip(t, "no virtio function with an MSI-X capability");
}

TEST(probe_window,
     .id = "virtio.probe.window",
     .clause = "virtio 1.4, 4.2.2.1 MUST: MagicValue is 0x74726976, Version is 2, in a window that holds the registers",
     .owner = "the VMM's virtio-mmio front end",
     .needs = NEED_VIRTIO_FUNCTION)
{
	const struct virtio_refusal *r;
	struct virtio_device *d;
	unsigned int i, judged = 0;

	for (i = 0; (d = virtio_get(i)); i++) {
		if (!virtio_mmio(d))
			continue;
		judged++;
		expect(t, virtio_mmio(d)->size > VIRTIO_MMIO_CONFIG, "%s: a window of %u bytes",
		       d->name, (unsigned int)virtio_mmio(d)->size);
	}
	/* A layout that was refused without a device behind it is a window's. */
	for (i = 0; (r = virtio_refused(i)); i++) {
		if (r->kind != VIRTIO_REFUSED_LAYOUT || r->dev)
			continue;
		judged++;
		expect(t, false, "%s: %s", r->name, r->reason);
	}
	if (!judged)
		test_skip(t, "no modern virtio-mmio device");
}

TEST(probe_reset,
     .id = "virtio.probe.reset",
     .clause = "virtio 1.4, 2.4.1 MUST: device status reads 0 once a reset is done",
     .owner = OWNER_FRONT,
     .needs = NEED_VIRTIO_FUNCTION)
{
	const struct virtio_refusal *r;
	struct virtio_device *d;
	unsigned int i, judged = 0;

	for (i = 0; (d = vt_device(i)); i++, judged++) {
		vt_add_status(d, VIRTIO_S_ACKNOWLEDGE);
		expect(t, virtio_reset(d) == 0, "%s, after ACKNOWLEDGE: %s", d->name, d->error);
	}
	for (i = 0; (r = virtio_refused(i)); i++) {
		if (r->kind != VIRTIO_REFUSED_RESET)
			continue;
		judged++;
		expect(t, false, "%s: %s", r->name, r->reason);
	}
	if (!judged)
		test_skip(t, "no modern virtio device");
}
