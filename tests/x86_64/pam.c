/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio.ring.map_changes: a device goes on while the machine's memory map changes elsewhere (virtio 1.4, 3.1.1, 2.7.5; Intel
 * 82Q35, 5.1.22: the PAM registers).
 *
 * A VMM tells its back ends of each change of the guest's memory while their queues run: by a new table, or by a region that
 * goes and others that come in its place. A back end breaks where it unmaps what it works with, keeps addresses of the old
 * mapping, or stops its queues for good when their region goes, as assay-refdev did; the VMM, where it stops the queues for
 * that long and forgets a notification.
 *
 * Registers of the chipset make pages below 1 MiB memory or not, between the making of a buffer and its notification. No
 * page of this program is there.
 */
#include "lib/pci.h"
#include "tests/virtio/util.h"

#define ROUNDS 12

/* Memory from 0xc8000 to 0xdffff, two pieces of 16 KiB a register; what firmware keeps lies elsewhere. */
static const struct chipset {
	uint32_t id; /* of the host bridge */
	uint8_t pam[3];
} chipsets[] = { { 0x29c08086, { 0x92, 0x93, 0x94 } }, { 0x12378086, { 0x5b, 0x5c, 0x5d } } };

#define PAM_RAM 0x33 /* both pieces are read and written as memory */

static const struct pci_dev bridge = { .segment = 0 };
static const struct chipset *chipset;
static uint8_t before[3];

static void find_chipset(void)
{
	const uint32_t id = arch_pci_present() ? pci_read(&bridge, 0, 4) : UINT32_MAX;
	unsigned int i;

	chipset = NULL;
	for (i = 0; i < sizeof(chipsets) / sizeof(chipsets[0]); i++)
		if (chipsets[i].id == id)
			chipset = &chipsets[i];
	for (i = 0; chipset && i < 3; i++)
		before[i] = (uint8_t)pci_read(&bridge, chipset->pam[i], 1);
}

static void put_back(void)
{
	unsigned int i;

	for (i = 0; chipset && i < 3; i++)
		pci_write(&bridge, chipset->pam[i], 1, before[i]);
	chipset = NULL;
}
FIXTURE(map_changes, .suite = "virtio.ring.map_changes", .teardown = put_back);

/* Another map each time: of three registers one changes. */
static void change_map(unsigned int k)
{
	pci_write(&bridge, chipset->pam[k % 3], 1, k / 3 % 2 ? 0 : PAM_RAM);
}

TEST(map_changes,
     .id = "virtio.ring.map_changes",
     .clause = "virtio 1.4, 3.1.1, 2.7.5: the device is live from DRIVER_OK on, whatever becomes of memory that is not its buffers' (Intel 82Q35, 5.1.22)",
     .owner = "the VMM's memory map, or the device back end that is told of it",
     .needs = NEED_VIRTIO,
     .timeout = 40 * SEC)
{
	const struct bring_up how = { .rings = RINGS_USUAL };
	unsigned int i, k, tried = 0;
	struct actor a;

	actor_need(t);
	find_chipset();
	if (!chipset)
		test_skip(t, "no host bridge whose PAM registers are known (82Q35, 82441FX)");
	for (i = 0; actor_mode_up(t, i, &how, &a); i++, tried++)
		for (k = 0; k < ROUNDS; k++) {
			actor_prepare(&a, true);
			actor_desc(&a, 0, 0, a.len, actor_flags(&a), 0);
			actor_post(&a, 0);
			change_map(k);
			vq_notify(a.vq);
			require(t, actor_wait(&a, 1, ANSWER_NS) == 1,
				"%s: a buffer is not used, change %u of the memory map",
				actor_who(&a), k);
			actor_done(&a, 1);
		}
	actor_tried(t, tried, "that can be brought up");
}
