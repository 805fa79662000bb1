/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio.pci.*: configuration space, capabilities and BARs of every modern virtio function are as the PCI transport
 * (virtio 1.4, 4.1) has them, and their registers keep what is written, and nothing else.
 *
 * How hosts break it: libvmm kept a queue's largest size where a smaller one read back (libvmm #186); crosvm had
 * the pending bits of MSI-X at the table's place (crosvm 7458a3a19); libvfio-user's Function Mask read back, and masked
 * nothing (libvfio-user #807); QEMU shows no pending bit of a vhost device that was started under Function Mask
 * (docs/known-hosts.md).
 *
 * How it is seen here: registers are read here, not through drivers/virtio/pci.c: the driver would hide a mistake (it
 * skips unusable capabilities, for instance). What is in configuration space alone is read on functions that cannot be
 * driven as well.
 */
#include <string.h>

#include "drivers/virtio/pci.h"
#include "lib/mmio.h"
#include "tests/virtio/util.h"

#define OWNER_PCI "the VMM's virtio-pci front end"

enum {
	PCI_COMMAND = 4,
	PCI_COMMAND_MEMORY = 1 << 1,
	PCI_COMMAND_MASTER = 1 << 2,
	PCI_BAR = 0x10,
	PCI_STATUS = 6,
	PCI_STATUS_INTERRUPT = 1 << 3,
	MSIX_TABLE_SIZE = 0x7ff, /* of Message Control */
};

/* Selectors of queues that do not exist, whose lower 8 bits are those of queues that do. */
static const uint16_t far_queues[] = { 256, 512, 769 };
#define FAR (sizeof(far_queues) / sizeof(far_queues[0]))

#define EACH(p, i) for (i = 0; (p = vt_pci(i)); i++)
/* Those that cannot be driven as well: configuration space is all that these tests read. */
#define EACH_FUNCTION(p, i) for (i = 0; (p = vt_pci_function(i)); i++)
/* A SKIP where there is none: NEED_VIRTIO_FUNCTION is met by virtio-mmio as well. */
static void need_function(struct test_ctx *t)
{
	if (!vt_pci_function(0))
		test_skip(t, "no modern virtio function on PCI");
}

static bool power_of_two(uint32_t n)
{
	return n && !(n & (n - 1));
}

/* --- discovery ---------------------------------------------------------------------------- */

static bool transitional_id(const struct virtio_pci *p)
{
	static const struct {
		uint16_t device;
		uint32_t id;
	} table[] = { { 0x1000, 1 }, { 0x1001, 2 }, { 0x1002, 5 }, { 0x1003, 3 },
		      { 0x1004, 8 }, { 0x1005, 4 }, { 0x1009, 9 } };
	unsigned int i;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].device == p->pci->device)
			return table[i].id == p->vdev.id;
	return false;
}

TEST(pci_ids,
     .id = "virtio.pci.ids",
     .clause = "virtio 1.4, 4.1.2.1 MUST: vendor 0x1af4, device 0x1040 + virtio id or the transitional one",
     .owner = OWNER_PCI,
     .needs = NEED_VIRTIO_FUNCTION)
{
	struct virtio_pci *p;
	unsigned int i;

	need_function(t);
	EACH_FUNCTION(p, i)
	{
		const uint16_t vendor = (uint16_t)pci_read(p->pci, 0, 2);
		const uint16_t device = (uint16_t)pci_read(p->pci, 2, 2);

		expect_eq(t, vendor, VIRTIO_PCI_VENDOR, "%s: vendor id", p->vdev.name);
		if (device < VIRTIO_PCI_MODERN) {
			expect(t, transitional_id(p),
			       "%s: device id 0x%04x is no transitional id of virtio id %u",
			       p->vdev.name, device, (unsigned int)p->vdev.id);
			continue;
		}
		expect(t, device >= 0x1040 && device <= 0x107f, "%s: device id 0x%04x",
		       p->vdev.name, device);
		/* SHOULD: against legacy drivers taking it. */
		if (pci_read(p->pci, 8, 1) < 1)
			test_note(t, "%s: revision 0 (4.1.2.1 SHOULD be 1 or more)", p->vdev.name);
		if (p->pci->subdevice < 0x40)
			test_note(t,
				  "%s: subsystem device id 0x%04x (4.1.2.1 SHOULD be 0x40 or more)",
				  p->vdev.name, p->pci->subdevice);
	}
}

/* --- capabilities -------------------------------------------------------------------------- */

static unsigned int count_caps(const struct virtio_pci *p, uint8_t type)
{
	unsigned int i, n = 0;

	for (i = 0; i < p->num_caps; i++)
		n += p->cap[i].type == type;
	return n;
}

TEST(pci_caps_present,
     .id = "virtio.pci.caps_present",
     .clause = "virtio 1.4, 4.1.4.3.1, 4.1.4.4.1, 4.1.4.5.1, 4.1.4.9.1 MUST: at least one COMMON, NOTIFY, ISR and PCI_CFG capability",
     .owner = OWNER_PCI,
     .needs = NEED_VIRTIO_FUNCTION)
{
	static const struct {
		uint8_t type;
		const char *name;
	} must[] = { { VIRTIO_PCI_CAP_COMMON_CFG, "COMMON_CFG" },
		     { VIRTIO_PCI_CAP_NOTIFY_CFG, "NOTIFY_CFG" },
		     { VIRTIO_PCI_CAP_ISR_CFG, "ISR_CFG" },
		     { VIRTIO_PCI_CAP_PCI_CFG, "PCI_CFG" } };
	struct virtio_pci *p;
	unsigned int i, k;

	need_function(t);
	EACH_FUNCTION(p, i)
	for (k = 0; k < sizeof(must) / sizeof(must[0]); k++)
		expect(t, count_caps(p, must[k].type) > 0, "%s: no %s among %u vendor capabilities",
		       p->vdev.name, must[k].name, p->num_caps);
}

static unsigned int least_cap_len(uint8_t type)
{
	switch (type) {
	case VIRTIO_PCI_CAP_NOTIFY_CFG:
	case VIRTIO_PCI_CAP_PCI_CFG:
		return 20;
	case VIRTIO_PCI_CAP_SHARED_MEMORY_CFG:
		return 24;
	case VIRTIO_PCI_CAP_VENDOR_CFG:
		return 8;
	default:
		return 16;
	}
}

TEST(pci_caps_layout,
     .id = "virtio.pci.caps_layout",
     .clause = "virtio 1.4, 4.1.4.2, 4.1.4.3.1, 4.1.4.6.1 MUST: cap_len covers the structure; COMMON and DEVICE offsets are 4-byte aligned",
     .owner = OWNER_PCI,
     .needs = NEED_VIRTIO_FUNCTION)
{
	const struct virtio_pci_cap_info *c;
	struct virtio_pci *p;
	unsigned int i, k;

	need_function(t);
	EACH_FUNCTION(p, i)
	for (k = 0; k < p->num_caps; k++) {
		c = &p->cap[k];
		expect(t, c->cap_len >= least_cap_len(c->type),
		       "%s: capability at 0x%02x, type %u: cap_len %u, the structure has %u bytes",
		       p->vdev.name, c->at, c->type, c->cap_len, least_cap_len(c->type));
		expect(t, c->at + c->cap_len <= 256,
		       "%s: capability at 0x%02x with cap_len %u ends behind 0xff", p->vdev.name,
		       c->at, c->cap_len);
		if (c->type == VIRTIO_PCI_CAP_COMMON_CFG || c->type == VIRTIO_PCI_CAP_DEVICE_CFG)
			expect_eq(t, c->offset % 4, 0,
				  "%s: capability at 0x%02x, type %u: offset 0x%llx modulo 4",
				  p->vdev.name, c->at, c->type, (unsigned long long)c->offset);
	}
}

/* I/O BARs are fine with the specification (4.1.4): what is judged is that one memory BAR or I/O BAR has it. */
TEST(pci_caps_in_bar,
     .id = "virtio.pci.caps_in_bar",
     .clause = "virtio 1.4, 4.1.4 and 4.1.4.7.1 MUST: a structure lies inside of the BAR that its capability names",
     .owner = OWNER_PCI,
     .needs = NEED_VIRTIO_FUNCTION)
{
	const struct virtio_pci_cap_info *c;
	const struct pci_bar *bar;
	struct virtio_pci *p;
	unsigned int i, k;

	need_function(t);
	EACH_FUNCTION(p, i)
	for (k = 0; k < p->num_caps; k++) {
		c = &p->cap[k];
		/* 4.1.4.1: reserved types and BARs are to be ignored; the window has no place of its own. */
		if (c->type == VIRTIO_PCI_CAP_PCI_CFG || c->type == VIRTIO_PCI_CAP_VENDOR_CFG ||
		    c->bar > 5)
			continue;
		bar = &p->pci->bar[c->bar];
		expect(t, c->offset <= bar->size && c->length <= bar->size - c->offset,
		       "%s: type %u: 0x%llx bytes at 0x%llx, BAR %u has 0x%llx", p->vdev.name,
		       c->type, (unsigned long long)c->length, (unsigned long long)c->offset,
		       c->bar, (unsigned long long)bar->size);
	}
}

TEST(pci_shm,
     .id = "virtio.pci.shared_memory",
     .clause = "virtio 1.4, 4.1.4.7.1 MUST: a shared memory capability's id is unique, its region inside of the BAR",
     .owner = OWNER_PCI,
     .needs = NEED_VIRTIO_FUNCTION)
{
	const struct virtio_pci_cap_info *c;
	struct virtio_pci *p;
	unsigned int i, k, m, found = 0;

	need_function(t);
	EACH_FUNCTION(p, i)
	for (k = 0; k < p->num_caps; k++) {
		c = &p->cap[k];
		if (c->type != VIRTIO_PCI_CAP_SHARED_MEMORY_CFG)
			continue;
		found++;
		expect(t, c->in_bar, "%s: region %u is not inside of BAR %u", p->vdev.name, c->id,
		       c->bar);
		for (m = 0; m < k; m++)
			expect(t, p->cap[m].type != c->type || p->cap[m].id != c->id,
			       "%s: two regions with id %u", p->vdev.name, c->id);
	}
	if (!found)
		test_skip(t, "no device has shared memory regions");
}

TEST(pci_vendor_cap,
     .id = "virtio.pci.vendor_data",
     .clause = "virtio 1.4, 4.1.4.8.1 MUST: vendor_id is not 0x1af4, the size a multiple of 4; MUST NOT: reads of vendor data have side effects",
     .owner = OWNER_PCI,
     .needs = NEED_VIRTIO_FUNCTION)
{
	const struct virtio_pci_cap_info *c;
	struct virtio_pci *p;
	unsigned int i, k, at, found = 0;
	uint8_t seen[256];

	need_function(t);
	EACH_FUNCTION(p, i)
	for (k = 0; k < p->num_caps; k++) {
		c = &p->cap[k];
		if (c->type != VIRTIO_PCI_CAP_VENDOR_CFG)
			continue;
		found++;
		/* All of configuration space: a read may have done something elsewhere. */
		for (at = 0; at < sizeof(seen); at++)
			seen[at] = (uint8_t)pci_read(p->pci, at, 1);
		for (at = c->at; at < c->at + c->cap_len && at < sizeof(seen); at++)
			(void)pci_read(p->pci, at, 1);
		for (at = 0; at < sizeof(seen); at++)
			expect_eq(t, pci_read(p->pci, at, 1), seen[at],
				  "%s: byte 0x%02x after vendor data was read", p->vdev.name, at);
		expect(t, pci_read(p->pci, c->at + 4, 2) != VIRTIO_PCI_VENDOR,
		       "%s: vendor data capability at 0x%02x with vendor_id 0x1af4", p->vdev.name,
		       c->at);
		expect_eq(t, c->cap_len % 4, 0, "%s: size %u modulo 4", p->vdev.name, c->cap_len);
	}
	if (!found)
		test_skip(t, "no device has a vendor data capability");
}

/* queue_notify_off * multiplier of each queue stays inside of the capability. */
TEST(pci_notify,
     .id = "virtio.pci.notify_capability",
     .clause = "virtio 1.4, 4.1.4.4.1 MUST: notify offset, multiplier and length fit each other for every queue",
     .owner = OWNER_PCI,
     .needs = NEED_VIRTIO_PCI)
{
	const struct virtio_pci_cap_info *c;
	uint32_t width, off;
	struct virtio_pci *p;
	unsigned int i;
	uint16_t q, n;

	EACH(p, i) {
		c = p->notify_cap;
		width = p->vdev.offered & VIRTIO_BIT(VIRTIO_F_NOTIFICATION_DATA) ? 4 : 2;
		expect_eq(t, c->offset % width, 0, "%s: notify offset 0x%llx modulo %u",
			  p->vdev.name, (unsigned long long)c->offset, width);
		expect(t,
		       c->multiplier == 0 ||
			       (power_of_two(c->multiplier) && c->multiplier % width == 0),
		       "%s: notify_off_multiplier %u is neither 0 nor a power of two and multiple of %u",
		       p->vdev.name, c->multiplier, width);
		expect(t, c->length >= width, "%s: notify length %llu", p->vdev.name,
		       (unsigned long long)c->length);
		n = mmio_read16(&p->common->num_queues);
		for (q = 0; q < n; q++) {
			mmio_write16(&p->common->queue_select, q);
			if (mmio_read16(&p->common->queue_size) == 0)
				continue;
			off = mmio_read16(&p->common->queue_notify_off);
			expect(t, c->length >= (uint64_t)off * c->multiplier + width,
			       "%s: queue %u: notify length %llu < queue_notify_off %u * %u + %u",
			       p->vdev.name, q, (unsigned long long)c->length, off, c->multiplier,
			       width);
		}
	}
}

/* --- common configuration ------------------------------------------------------------------- */

static bool is_admin_queue(const struct virtio_pci *p, uint16_t queue)
{
	uint16_t first;

	if (!(p->vdev.offered & VIRTIO_BIT(VIRTIO_F_ADMIN_VQ)) ||
	    p->common_cap->length < sizeof(struct virtio_pci_common_cfg))
		return false;
	first = mmio_read16(&p->common->admin_queue_index);
	return queue >= first && queue - first < mmio_read16(&p->common->admin_queue_num);
}

TEST(pci_queue_sizes,
     .id = "virtio.pci.queue_size",
     .clause = "virtio 1.4, 4.1.4.3.1 MUST: queue_size is a power of two or 0, and 0 for queues that do not exist",
     .owner = OWNER_PCI,
     .needs = NEED_VIRTIO_PCI)
{
	static const uint16_t beyond[] = { 0, 1, 100, 1000 };
	struct virtio_pci *p;
	unsigned int i, k;
	uint16_t q, n, size;

	EACH(p, i) {
		n = mmio_read16(&p->common->num_queues);
		expect(t, n > 0, "%s: num_queues 0", p->vdev.name);
		for (q = 0; q < n; q++) {
			mmio_write16(&p->common->queue_select, q);
			size = mmio_read16(&p->common->queue_size);
			/* With RING_PACKED other sizes are allowed; we did not negotiate it. */
			expect(t, size == 0 || (power_of_two(size) && size <= 32768),
			       "%s: queue %u has size %u", p->vdev.name, q, size);
		}
		for (k = 0; k < sizeof(beyond) / sizeof(beyond[0]); k++) {
			q = (uint16_t)(n + beyond[k]);
			/* 4.1.4.3: admin queues have indexes of their own, from admin_queue_index on. */
			if (is_admin_queue(p, q))
				continue;
			mmio_write16(&p->common->queue_select, q);
			expect_eq(t, mmio_read16(&p->common->queue_size), 0,
				  "%s: queue_size of queue %u of %u", p->vdev.name, q, n);
		}
		for (k = 0; k < FAR; k++) {
			if (far_queues[k] < n || is_admin_queue(p, far_queues[k]))
				continue;
			mmio_write16(&p->common->queue_select, far_queues[k]);
			expect_eq(t, mmio_read16(&p->common->queue_size), 0,
				  "%s: queue_size of queue %u of %u", p->vdev.name, far_queues[k],
				  n);
		}
		mmio_write16(&p->common->queue_select, 0);
	}
}

/* What is selected by queue_select, without what QEMU's front ends and others count up. */
struct queue_registers {
	uint32_t size, vector, enable;
	uint32_t address[6];
};

static struct queue_registers queue_registers(const struct virtio_pci *p, uint16_t queue)
{
	volatile struct virtio_pci_common_cfg *c = p->common;
	struct queue_registers r;

	mmio_write16(&c->queue_select, queue);
	r = (struct queue_registers){
		.size = mmio_read16(&c->queue_size),
		.vector = mmio_read16(&c->queue_msix_vector),
		.enable = mmio_read16(&c->queue_enable),
		.address = { mmio_read32(&c->queue_desc_lo), mmio_read32(&c->queue_desc_hi),
			     mmio_read32(&c->queue_driver_lo), mmio_read32(&c->queue_driver_hi),
			     mmio_read32(&c->queue_device_lo), mmio_read32(&c->queue_device_hi) },
	};
	return r;
}

/* All that a driver configures of a queue, but for queue_enable. */
static void configure_queue(const struct virtio_pci *p, uint16_t queue)
{
	volatile struct virtio_pci_common_cfg *c = p->common;

	mmio_write16(&c->queue_select, queue);
	mmio_write16(&c->queue_size, 8);
	mmio_write16(&c->queue_msix_vector, 0);
	mmio_write32(&c->queue_desc_lo, 0x11000);
	mmio_write32(&c->queue_desc_hi, 0x12);
	mmio_write32(&c->queue_driver_lo, 0x13000);
	mmio_write32(&c->queue_driver_hi, 0x14);
	mmio_write32(&c->queue_device_lo, 0x15000);
	mmio_write32(&c->queue_device_hi, 0x16);
}

/* A device that takes what is selected for an index of its own writes over a neighbour, or behind its queues. */
TEST(pci_queue_beyond,
     .id = "virtio.pci.queue_beyond",
     .clause = "virtio 1.4, 4.1.4.3.1 MUST: queue_size is 0 for a queue that is not there, whatever was written; 4.1.4.3: registers are the selected queue's",
     .owner = OWNER_PCI,
     .needs = NEED_VIRTIO_PCI)
{
	static const uint16_t beyond[] = { 0, 1, 100 };
	struct queue_registers before[VIRTIO_MAX_QUEUES], after;
	struct virtio_pci *p;
	unsigned int i, k;
	uint16_t q, n, there;

	EACH(p, i) {
		vt_must_reset(t, &p->vdev);
		vt_add_status(&p->vdev, VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER);
		n = mmio_read16(&p->common->num_queues);
		there = n < VIRTIO_MAX_QUEUES ? n : VIRTIO_MAX_QUEUES;
		for (q = 0; q < there; q++)
			before[q] = queue_registers(p, q);
		for (k = 0; k < sizeof(beyond) / sizeof(beyond[0]); k++) {
			q = (uint16_t)(n + beyond[k]);
			if (is_admin_queue(p, q))
				continue;
			configure_queue(p, q);
			expect_eq(t, queue_registers(p, q).size, 0,
				  "%s: queue_size of queue %u of %u, once 8 was written",
				  p->vdev.name, q, n);
		}
		for (q = 0; q < there; q++) {
			after = queue_registers(p, q);
			expect(t, memcmp(&after, &before[q], sizeof(after)) == 0,
			       "%s: registers of queue %u are others, once those of queues from %u on were written: size %u, vector 0x%x, enable %u, descriptors 0x%x",
			       p->vdev.name, q, n, after.size, after.vector, after.enable,
			       after.address[0]);
		}
		mmio_write16(&p->common->queue_select, 0);
		vt_must_reset(t, &p->vdev);
	}
}

TEST(pci_feature_words,
     .id = "virtio.pci.feature_words",
     .clause = "virtio 1.4, 4.1.4.3.1 MUST: device_feature shows the bits from device_feature_select * 32 on, 0 where there are none",
     .owner = OWNER_PCI,
     .needs = NEED_VIRTIO_PCI)
{
	static const uint32_t high[] = { 4, 5, 31, 32, 255, 0x7fffffff, 0x80000000, 0xffffffff };
	struct virtio_pci *p;
	unsigned int i, k;

	EACH(p, i) {
		/* 2.2: bits to 127 are allotted; 128 and above are reserved. */
		for (k = 0; k < sizeof(high) / sizeof(high[0]); k++)
			expect_eq(t, p->vdev.ops->device_features_sel(&p->vdev, high[k]), 0,
				  "%s: device_feature at select 0x%x", p->vdev.name, high[k]);
		for (k = 2; k < 4; k++) {
			const uint32_t v = p->vdev.ops->device_features_sel(&p->vdev, k);

			if (v)
				test_note(t, "%s: features %u to %u: 0x%08x", p->vdev.name, 32 * k,
					  32 * k + 31, (unsigned int)v);
			expect(t,
			       !v || (v != p->vdev.ops->device_features_sel(&p->vdev, 0) &&
				      v != p->vdev.ops->device_features_sel(&p->vdev, 1)),
			       "%s: features %u to %u are those of another word: 0x%08x",
			       p->vdev.name, 32 * k, 32 * k + 31, (unsigned int)v);
		}
		expect_eq(t, p->vdev.ops->device_features_sel(&p->vdev, 0),
			  (uint32_t)p->vdev.ops->device_features(&p->vdev), "%s: word 0 again",
			  p->vdev.name);
	}
}

TEST(pci_driver_feature,
     .id = "virtio.pci.driver_feature",
     .clause = "virtio 1.4, 4.1.4.3.1 MUST: driver_feature shows the valid bits that the driver wrote, by driver_feature_select",
     .owner = OWNER_PCI,
     .needs = NEED_VIRTIO_PCI)
{
	struct virtio_pci *p;
	unsigned int i, k;
	uint32_t v;
	uint64_t offered, seen;

	EACH(p, i) {
		vt_add_status(&p->vdev, VIRTIO_S_ACKNOWLEDGE);
		vt_add_status(&p->vdev, VIRTIO_S_DRIVER);
		offered = p->vdev.ops->device_features(&p->vdev);
		p->vdev.ops->driver_features(&p->vdev, offered);
		mmio_write32(&p->common->driver_feature_select, 1);
		seen = (uint64_t)mmio_read32(&p->common->driver_feature) << 32;
		mmio_write32(&p->common->driver_feature_select, 0);
		seen |= mmio_read32(&p->common->driver_feature);
		expect_eq(t, seen & offered, offered, "%s: features written and read back",
			  p->vdev.name);
		/* Each bit alone: a word that stands for the other one shows. */
		for (k = 0; k < 64; k++) {
			if (!(offered & VIRTIO_BIT(k)))
				continue;
			p->vdev.ops->driver_features(&p->vdev, VIRTIO_BIT(k));
			mmio_write32(&p->common->driver_feature_select, 1);
			seen = (uint64_t)mmio_read32(&p->common->driver_feature) << 32;
			mmio_write32(&p->common->driver_feature_select, 0);
			seen |= mmio_read32(&p->common->driver_feature);
			expect(t, (seen & offered) == VIRTIO_BIT(k),
			       "%s: feature %u alone reads 0x%llx", p->vdev.name, k,
			       (unsigned long long)seen);
		}
		/* A write to a feature word that does not exist must change neither of the two that do. */
		p->vdev.ops->driver_features(&p->vdev, 0);
		for (k = 2; k < 6; k++) {
			mmio_write32(&p->common->driver_feature_select, k);
			mmio_write32(&p->common->driver_feature, (uint32_t)offered);
		}
		mmio_write32(&p->common->driver_feature_select, 0);
		expect_eq(t, mmio_read32(&p->common->driver_feature), 0,
			  "%s: lower word after 0 was written, and other words behind it",
			  p->vdev.name);
		mmio_write32(&p->common->driver_feature_select, 1);
		expect_eq(t, mmio_read32(&p->common->driver_feature), 0,
			  "%s: upper word after 0 was written", p->vdev.name);
		p->vdev.ops->driver_features(&p->vdev, offered);
		vt_must_reset(t, &p->vdev);
		for (k = 0; k < 2; k++) {
			mmio_write32(&p->common->driver_feature_select, k);
			v = mmio_read32(&p->common->driver_feature);
			/* No MUST says what it is before the driver writes it. */
			if (v)
				test_note(t, "%s: driver_feature %u reads 0x%x after a reset",
					  p->vdev.name, k, (unsigned int)v);
		}
	}
}

/* With the size and in the memory that it had. */
static void enable_again(struct test_ctx *t, struct virtio_pci *p, uint16_t q)
{
	struct virtqueue *const vq = p->vdev.vq[q];
	dma_addr_t desc, driver, device;

	vq_addresses(vq, &desc, &driver, &device);
	require(t, p->vdev.ops->queue_enable(&p->vdev, q, vq_size(vq), desc, driver, device) == 0,
		"%s: re-enabling queue %u: %s", p->vdev.name, q, p->vdev.error);
	expect_eq(t, mmio_read16(&p->common->queue_reset), 0,
		  "%s: queue %u: queue_reset after it was enabled again", p->vdev.name, q);
	expect_eq(t, mmio_read16(&p->common->queue_enable), 1,
		  "%s: queue %u: queue_enable after it was enabled again", p->vdev.name, q);
}

TEST(pci_queue_registers,
     .id = "virtio.pci.queue_reset_register",
     .clause = "virtio 1.4, 4.1.4.3.1 MUST: queue_reset reads 0 after a device reset and after queue_enable; 1 in a queue reset, until both are 0",
     .owner = OWNER_PCI,
     .needs = NEED_VIRTIO_PCI)
{
	const struct bring_up how = { .features = VIRTIO_BIT(VIRTIO_F_RING_RESET) };
	struct virtio_pci *p;
	unsigned int i, tried = 0;
	uint16_t q, v;

	EACH(p, i) {
		if (!(p->vdev.offered & VIRTIO_BIT(VIRTIO_F_RING_RESET)) ||
		    p->common_cap->length < 60)
			continue;
		tried++;
		vt_up(t, &p->vdev, &how);
		for (q = 0; q < p->vdev.max_queues; q++) {
			mmio_write16(&p->common->queue_select, q);
			if (!p->vdev.max_size[q])
				continue;
			expect_eq(t, mmio_read16(&p->common->queue_reset), 0,
				  "%s: queue %u: queue_reset after queue_enable", p->vdev.name, q);
			mmio_write16(&p->common->queue_reset, 1);
			expect(t,
			       wait_for((v = mmio_read16(&p->common->queue_reset)) != 1, ANSWER_NS),
			       "%s: queue %u: queue_reset reads 1 still", p->vdev.name, q);
			expect_eq(t, v, 0, "%s: queue %u: queue_reset behind 1", p->vdev.name, q);
			expect_eq(t, mmio_read16(&p->common->queue_enable), 0,
				  "%s: queue %u: queue_enable after its reset", p->vdev.name, q);
			enable_again(t, p, q);
			if (q + 1u >= p->vdev.max_queues || !p->vdev.max_size[q + 1])
				continue;
			mmio_write16(&p->common->queue_select, q + 1u);
			expect_eq(t, mmio_read16(&p->common->queue_enable), 1,
				  "%s: queue %u: queue_enable after the reset of queue %u",
				  p->vdev.name, q + 1u, q);
		}
		vt_must_reset(t, &p->vdev);
		for (q = 0; q < p->vdev.max_queues; q++) {
			mmio_write16(&p->common->queue_select, q);
			expect_eq(t, mmio_read16(&p->common->queue_reset), 0,
				  "%s: queue %u: queue_reset after the device's reset",
				  p->vdev.name, q);
		}
	}
	if (!tried)
		test_skip(t, "no device on PCI offers RING_RESET");
}

/* vsock's CIDs are 64 bits wide; a driver reads halves, in any order. */
TEST(pci_config_halves,
     .id = "virtio.pci.config_halves",
     .clause = "virtio 1.4, 4.1.3.2 MUST: the 32-bit halves of 64-bit configuration fields are accessible each for itself",
     .owner = OWNER_PCI,
     .needs = NEED_VIRTIO_PCI)
{
	uint32_t low, high, low2;
	struct virtio_pci *p;
	unsigned int i, tried = 0;

	EACH(p, i) {
		if (p->vdev.id != VIRTIO_ID_VSOCK && p->vdev.id != VIRTIO_ID_BLOCK)
			continue;
		if (!p->device || p->device_cap->length < 8)
			continue;
		tried++;
		low = mmio_read32(p->device);
		high = mmio_read32(p->device + 4);
		low2 = mmio_read32(p->device);
		expect_eq(t, low2, low, "%s: lower half before and after the upper one was read",
			  p->vdev.name);
		expect_eq(t, mmio_read32(p->device + 4), high, "%s: upper half again",
			  p->vdev.name);
		expect(t, low != UINT32_MAX, "%s: lower half reads all ones", p->vdev.name);
	}
	if (!tried)
		test_skip(t, "no device with a 64-bit field at offset 0 (vsock, block)");
}

/* The register has a value that is neither what nobody answers with nor what the store would leave. */
TEST(pci_memory_space,
     .id = "virtio.pci.memory_space",
     .clause = "virtio 1.4, 4.1.1 MUST meet PCI; PCI 3.0, 6.2.2: Memory Space 0 disables the response to memory accesses",
     .owner = OWNER_PCI,
     .needs = NEED_VIRTIO_PCI)
{
	struct virtio_pci *p;
	uint32_t command;
	unsigned int i;
	uint8_t off;

	EACH(p, i) {
		vt_add_status(&p->vdev, VIRTIO_S_ACKNOWLEDGE);
		command = pci_read(p->pci, PCI_COMMAND, 2) | PCI_COMMAND_MASTER;
		pci_write(p->pci, PCI_COMMAND, 2, command & ~(uint32_t)PCI_COMMAND_MEMORY);
		off = mmio_read8(&p->common->device_status);
		mmio_write8(&p->common->device_status, VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER);
		pci_write(p->pci, PCI_COMMAND, 2, command);
		expect(t, off != VIRTIO_S_ACKNOWLEDGE,
		       "%s: a load without Memory Space is answered", p->vdev.name);
		expect_eq(t, mmio_read8(&p->common->device_status), VIRTIO_S_ACKNOWLEDGE,
			  "%s: device_status after a store without Memory Space", p->vdev.name);
	}
}

/* What a device would do without Bus Master is a store of its own to our memory: the used ring. */
TEST(pci_bus_master,
     .id = "virtio.pci.bus_master",
     .clause = "virtio 1.4, 4.1.1 MUST meet PCI; PCI 3.0, 6.2.2: Bus Master 0 disables the function from generating accesses",
     .owner = OWNER_PCI,
     .needs = NEED_VIRTIO_PCI)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	unsigned int i, tried = 0;
	struct virtio_pci *p;
	struct actor a;

	actor_need(t);
	for (i = 0; (p = actor_on_pci(i, &a)); i++) {
		tried++;
		actor_up(t, &a, &how);
		actor_one(t, &a);
		vt_bus_master(p, false);
		expect_eq(t, pci_read(p->pci, PCI_COMMAND, 2) & PCI_COMMAND_MASTER, 0,
			  "%s: Bus Master after 0 was written", p->vdev.name);
		actor_prepare(&a, true);
		actor_desc(&a, 0, 0, a.len, actor_flags(&a), 0);
		actor_post(&a, 0);
		vq_notify(a.vq);
		expect_eq(t, actor_wait(&a, 1, QUIET_NS), 0, "%s: buffers used with Bus Master 0",
			  p->vdev.name);
		vt_bus_master(p, true);
		/* QEMU's devices stop for good. */
		actor_up(t, &a, &how);
		actor_one(t, &a);
	}
	actor_tried(t, tried, "on PCI");
}

/* A device that was told of a buffer and could not look for it may want a reset (2.1.2), and works behind it. */
static bool asks_for_reset(struct test_ctx *t, struct actor *a, uint8_t status)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_POLL };

	if (!(status & VIRTIO_S_NEEDS_RESET))
		return false;
	test_note(t, "%s: notified without Bus Master it wants a reset: device_status 0x%02x",
		  vt_who(a->d), status);
	actor_up(t, a, &how);
	actor_one(t, a);
	return true;
}

/* A buffer that is made available without Bus Master, and the device with it again. DRIVER_OK stands, or stands again. */
static void used_with_master(struct test_ctx *t, struct virtio_pci *p, struct actor *a,
			     bool written)
{
	unsigned int used;
	uint8_t status;

	actor_one(t, a);
	vt_bus_master(p, false);
	actor_prepare(a, true);
	actor_desc(a, 0, 0, a->len, actor_flags(a), 0);
	actor_post(a, 0);
	vq_notify(a->vq);
	expect_eq(t, actor_wait(a, 1, QUIET_NS / 4), 0, "%s: buffers used with Bus Master 0",
		  vt_who(a->d));
	vt_bus_master(p, true);
	status = a->d->ops->get_status(a->d);
	if (asks_for_reset(t, a, status))
		return;
	if (!(status & VIRTIO_S_DRIVER_OK))
		test_note(t, "%s: without Bus Master DRIVER_OK is cleared: device_status 0x%02x",
			  vt_who(a->d), status);
	if (written || !(status & VIRTIO_S_DRIVER_OK))
		status = vt_add_status(a->d, VIRTIO_S_DRIVER_OK);
	expect(t, status & VIRTIO_S_DRIVER_OK,
	       "%s: device_status 0x%02x: DRIVER_OK, which was written, is not set", vt_who(a->d),
	       status);
	vq_notify(a->vq);
	used = actor_wait(a, 1, ANSWER_NS);
	/* It may have looked while Bus Master was 0, and say so late. */
	if (!used && asks_for_reset(t, a, a->d->ops->get_status(a->d)))
		return;
	require(t, used == 1, "%s: with Bus Master and DRIVER_OK%s set a buffer is not used",
		vt_who(a->d), written ? ", written again," : "");
	actor_done(a, 1);
	actor_one(t, a);
	expect(t, !wait_for(vq_raw_used_count(a->vq), QUIET_NS / 4),
	       "%s: behind Bus Master 0 and 1 a buffer is used once more", vt_who(a->d));
}

/* PCI has no word for a device that forgets what it did when Bus Master is cleared: what DRIVER_OK promises holds. */
TEST(pci_bus_master_again,
     .id = "virtio.pci.bus_master_again",
     .clause = "virtio 1.4, 4.1.1 MUST meet PCI; PCI 3.0, 6.2.2: Bus Master 0 disables accesses, 1 allows them; 2.1: with DRIVER_OK a device uses what is available, once",
     .owner = OWNER_PCI,
     .needs = NEED_VIRTIO_PCI)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	unsigned int i, k, tried = 0;
	struct virtio_pci *p;
	struct actor a;

	actor_need(t);
	for (i = 0; actor_of(i, RINGS_EACH, &a); i++) {
		p = virtio_pci(a.d);
		if (!p)
			continue;
		tried++;
		for (k = 0; k < 2; k++) {
			actor_up(t, &a, &how);
			used_with_master(t, p, &a, k);
		}
	}
	actor_tried(t, tried, "on PCI");
}

/* As a driver asks for a BAR's size, with decoding off. The other bits of the lower ones are the BAR's type. */
TEST(pci_bar_type,
     .id = "virtio.pci.bar_type",
     .clause = "virtio 1.4, 4.1.1 MUST meet PCI; PCI 3.0, 6.2.5.1: the type bits of a BAR are read-only, one of 64 bits has two registers, and size is a power of two",
     .owner = OWNER_PCI,
     .needs = NEED_VIRTIO_FUNCTION)
{
	struct virtio_pci *p;
	uint32_t command, was, all, type;
	unsigned int i, bar;

	need_function(t);
	EACH_FUNCTION(p, i)
	{
		command = pci_read(p->pci, PCI_COMMAND, 2);
		pci_write(p->pci, PCI_COMMAND, 2, command & ~3u);
		for (bar = 0; bar < 6; bar++) {
			was = pci_read(p->pci, PCI_BAR + 4 * bar, 4);
			/* The upper half of a BAR of 64 bits has no type. */
			if (bar && p->pci->bar[bar - 1].is64)
				continue;
			expect(t, bar < 5 || was & 1 || !(was & 4),
			       "%s: BAR 5 has 64 bits, and there is no register behind it",
			       p->vdev.name);
			pci_write(p->pci, PCI_BAR + 4 * bar, 4, UINT32_MAX);
			all = pci_read(p->pci, PCI_BAR + 4 * bar, 4);
			pci_write(p->pci, PCI_BAR + 4 * bar, 4, was);
			type = was & 1 ? 3 : 15;
			expect_eq(t, all & type, was & type,
				  "%s: type bits of BAR %u after all ones were written",
				  p->vdev.name, bar);
			all = ~(all & ~type) + 1; /* the size, if it has less than 4 GiB */
			expect(t, !(all & (all - 1)) || was & 1, "%s: BAR %u has 0x%x bytes",
			       p->vdev.name, bar, (unsigned int)all);
		}
		pci_write(p->pci, PCI_COMMAND, 2, command);
	}
}

/* What is not the index of a queue need not read back. */
static uint16_t select_of(const struct virtio_pci *p, unsigned int n)
{
	return n % 2 && p->vdev.max_queues ? p->vdev.max_queues - 1u : 0;
}

/* All functions at a time: a selector that they share would show the one that was written last. */
static void select_on_all(struct test_ctx *t, unsigned int first)
{
	struct virtio_pci *p;
	unsigned int i;

	EACH(p, i) {
		mmio_write16(&p->common->queue_select, select_of(p, first + i));
		mmio_write32(&p->common->device_feature_select, (first + i) % 2);
		mmio_write32(&p->common->driver_feature_select, (first + i + 1) % 2);
	}
	EACH(p, i) {
		expect_eq(t, mmio_read16(&p->common->queue_select), select_of(p, first + i),
			  "%s: queue_select", p->vdev.name);
		expect_eq(t, mmio_read32(&p->common->device_feature_select), (first + i) % 2,
			  "%s: device_feature_select", p->vdev.name);
		expect_eq(t, mmio_read32(&p->common->driver_feature_select), (first + i + 1) % 2,
			  "%s: driver_feature_select", p->vdev.name);
	}
}

/* Of two functions one may have a single queue, whose index is 0. */
TEST(pci_selectors,
     .id = "virtio.pci.selectors",
     .clause = "virtio 1.4, 4.1.4.3: queue_select and the feature selectors are read-write, and a device's own",
     .owner = OWNER_PCI,
     .needs = NEED_VIRTIO_PCI)
{
	select_on_all(t, 0);
	select_on_all(t, 1);
}

/* Before queue_enable. The addresses are none that a device would look at. */
TEST(pci_queue_addresses,
     .id = "virtio.pci.queue_addresses",
     .clause = "virtio 1.4, 4.1.4.3: queue_desc, queue_driver and queue_device are read-write, each queue's in both halves",
     .owner = OWNER_PCI,
     .needs = NEED_VIRTIO_PCI)
{
	struct virtio_pci *p;
	unsigned int i, k;
	uint16_t q;

	EACH(p, i) {
		volatile uint8_t *const first = (volatile uint8_t *)&p->common->queue_desc_lo;

		vt_add_status(&p->vdev, VIRTIO_S_ACKNOWLEDGE);
		for (q = 0; q < p->vdev.max_queues; q++) {
			if (!p->vdev.max_size[q])
				continue;
			mmio_write16(&p->common->queue_select, q);
			for (k = 0; k < 6; k++)
				mmio_write32(first + 4 * k, (q << 16 | k << 12) + 0x1000u);
		}
		for (q = 0; q < p->vdev.max_queues; q++) {
			if (!p->vdev.max_size[q])
				continue;
			mmio_write16(&p->common->queue_select, q);
			for (k = 0; k < 6; k++)
				expect_eq(t, mmio_read32(first + 4 * k),
					  (q << 16 | k << 12) + 0x1000u,
					  "%s: queue %u: word %u of its addresses", p->vdev.name, q,
					  k);
		}
		vt_must_reset(t, &p->vdev);
	}
}

/* --- the configuration access window -------------------------------------------------------- */

/* 4.1.4.9.2: the window may point into the BAR of each structure, so into shared memory as well. */
static const uint32_t region_places[] = { 0, 0x1ff8 };
#define EACH_PLACE(k, c)                                                                           \
	for (k = 0; k < 2; k++)                                                                    \
		if (region_places[k] + 8 <= (c)->length)

/* Its words, unless a device has none. */
static volatile uint8_t *region(const struct virtio_pci *p, const struct virtio_pci_cap_info **c)
{
	volatile uint8_t *bar;

	*c = vt_shared_region(p);
	bar = *c ? pci_map_bar(p->pci, (*c)->bar) : NULL;
	return bar ? bar + (*c)->offset : NULL;
}

static void window_reads_region(struct test_ctx *t, struct virtio_pci *p)
{
	const struct virtio_pci_cap_info *c;
	volatile uint8_t *const at = region(p, &c);
	unsigned int k;
	uint32_t v = 0;

	if (!at)
		return;
	EACH_PLACE(k, c)
	{
		mmio_write32(at + region_places[k], 0x5a0102a5);
		mmio_write32(at + region_places[k] + 4, 0xa51020f0);
		virtio_pci_window_read(p, c->bar, (uint32_t)c->offset + region_places[k] + 4, 4,
				       &v);
		expect_eq(t, v, 0xa51020f0, "%s: 4 bytes: shared memory at 0x%x", p->vdev.name,
			  (unsigned int)region_places[k] + 4);
		virtio_pci_window_read(p, c->bar, (uint32_t)c->offset + region_places[k] + 2, 2,
				       &v);
		expect_eq(t, v, 0x5a01, "%s: 2 bytes: shared memory at 0x%x", p->vdev.name,
			  (unsigned int)region_places[k] + 2);
	}
}

static void window_writes_region(struct test_ctx *t, struct virtio_pci *p)
{
	const struct virtio_pci_cap_info *c;
	volatile uint8_t *const at = region(p, &c);
	unsigned int k;

	if (!at)
		return;
	EACH_PLACE(k, c)
	{
		mmio_write32(at + region_places[k], 0);
		mmio_write32(at + region_places[k] + 4, 0);
		virtio_pci_window_write(p, c->bar, (uint32_t)c->offset + region_places[k] + 4, 4,
					0x5a0102a5);
		virtio_pci_window_write(p, c->bar, (uint32_t)c->offset + region_places[k] + 2, 2,
					0x20f0);
		expect_eq(t, mmio_read32(at + region_places[k] + 4), 0x5a0102a5,
			  "%s: 4 bytes: shared memory at 0x%x", p->vdev.name,
			  (unsigned int)region_places[k] + 4);
		expect_eq(t, mmio_read32(at + region_places[k]), 0x20f00000,
			  "%s: 2 bytes: shared memory at 0x%x", p->vdev.name,
			  (unsigned int)region_places[k] + 2);
	}
}

TEST(pci_window_read,
     .id = "virtio.pci.window_read",
     .clause = "virtio 1.4, 4.1.4.9.1 MUST: reading pci_cfg_data performs the BAR read of cap.length bytes and shows them",
     .owner = OWNER_PCI,
     .needs = NEED_VIRTIO_PCI)
{
	const volatile uint8_t *bar;
	uint32_t v = 0, off;
	struct virtio_pci *p;
	unsigned int i;

	EACH(p, i) {
		require(t, p->window_cap, "%s: no PCI_CFG capability", p->vdev.name);
		off = (uint32_t)p->common_cap->offset;
		bar = (const volatile uint8_t *)p->common;
		vt_add_status(&p->vdev, VIRTIO_S_ACKNOWLEDGE);
		mmio_write32(&p->common->device_feature_select, 1);
		expect(t, virtio_pci_window_read(p, p->common_cap->bar, off + 4, 4, &v) == 0,
		       "%s: the window cannot be read", p->vdev.name);
		expect_eq(t, v, mmio_read32(bar + 4), "%s: 4 bytes: device_feature", p->vdev.name);
		virtio_pci_window_read(p, p->common_cap->bar, off + 18, 2, &v);
		expect_eq(t, v, mmio_read16(bar + 18), "%s: 2 bytes: num_queues", p->vdev.name);
		virtio_pci_window_read(p, p->common_cap->bar, off + 20, 1, &v);
		expect_eq(t, v, VIRTIO_S_ACKNOWLEDGE, "%s: 1 byte: device_status", p->vdev.name);
		window_reads_region(t, p);
	}
}

#define AT_FIELD(p, field)                                                                         \
	((uint32_t)(p)->common_cap->offset + offsetof(struct virtio_pci_common_cfg, field))

/* From all ones to 0: one that keeps a byte of what was there is no vector that the device has. */
static void window_has_two_bytes(struct test_ctx *t, struct virtio_pci *p)
{
	const uint8_t bar = p->common_cap->bar;

	if (!p->has_msix || p->vdev.ops->irq_setup(&p->vdev, VIRTIO_IRQ_MSIX1))
		return;
	virtio_pci_window_write(p, bar, AT_FIELD(p, config_msix_vector), 2, VIRTIO_NO_VECTOR);
	expect_eq(t, mmio_read16(&p->common->config_msix_vector), VIRTIO_NO_VECTOR,
		  "%s: 2 bytes: config_msix_vector, all ones", p->vdev.name);
	virtio_pci_window_write(p, bar, AT_FIELD(p, config_msix_vector), 2, 0);
	expect_eq(t, mmio_read16(&p->common->config_msix_vector), 0,
		  "%s: 2 bytes: config_msix_vector, 0 where all ones were", p->vdev.name);
}

/* Each byte counts, and what was written at one place comes to no other that the window is moved to. */
static void window_is_wide(struct test_ctx *t, struct virtio_pci *p)
{
	const uint8_t bar = p->common_cap->bar;
	uint32_t v = 0;

	window_has_two_bytes(t, p);
	if (!p->vdev.max_queues || !p->vdev.max_size[0])
		return;
	virtio_pci_window_write(p, bar, AT_FIELD(p, queue_select), 2, 0);
	mmio_write32(&p->common->queue_driver_lo, 0x12345000);
	virtio_pci_window_write(p, bar, AT_FIELD(p, queue_desc_lo), 4, 0xa5c35000);
	expect_eq(t, mmio_read32(&p->common->queue_desc_lo), 0xa5c35000,
		  "%s: 4 bytes: the lower half of queue_desc", p->vdev.name);
	virtio_pci_window_read(p, bar, AT_FIELD(p, queue_driver_lo), 4, &v);
	expect_eq(
		t, v, 0x12345000,
		"%s: the lower half of queue_driver by the window, which queue_desc was written by",
		p->vdev.name);
	expect_eq(t, mmio_read32(&p->common->queue_driver_lo), 0x12345000,
		  "%s: the lower half of queue_driver behind that", p->vdev.name);
}

TEST(pci_window_write,
     .id = "virtio.pci.window_write",
     .clause = "virtio 1.4, 4.1.4.9.1 MUST: writing pci_cfg_data performs the BAR write of cap.length bytes",
     .owner = OWNER_PCI,
     .needs = NEED_VIRTIO_PCI)
{
	struct virtio_pci *p;
	unsigned int i;
	uint32_t off;
	uint8_t bar;

	EACH(p, i) {
		require(t, p->window_cap, "%s: no PCI_CFG capability", p->vdev.name);
		off = (uint32_t)p->common_cap->offset;
		bar = p->common_cap->bar;
		virtio_pci_window_write(p, bar, off + 20, 1, VIRTIO_S_ACKNOWLEDGE);
		expect_eq(t, mmio_read8(&p->common->device_status), VIRTIO_S_ACKNOWLEDGE,
			  "%s: 1 byte: device_status", p->vdev.name);
		virtio_pci_window_write(p, bar, off, 4, 1);
		expect_eq(t, mmio_read32(&p->common->device_feature),
			  (uint32_t)(p->vdev.offered >> 32),
			  "%s: 4 bytes: device_feature_select 1 shows the upper word",
			  p->vdev.name);
		virtio_pci_window_write(p, bar, off + 22, 2,
					p->vdev.max_queues ? p->vdev.max_queues - 1u : 0);
		expect_eq(t, mmio_read16(&p->common->queue_select),
			  p->vdev.max_queues ? p->vdev.max_queues - 1u : 0,
			  "%s: 2 bytes: queue_select", p->vdev.name);
		window_is_wide(t, p);
		window_writes_region(t, p);
		virtio_pci_window_write(p, bar, off + 20, 1, 0);
		expect(t, wait_for(mmio_read8(&p->common->device_status) == 0, ANSWER_NS),
		       "%s: a reset through the window", p->vdev.name);
		(void)virtio_reset(&p->vdev);
	}
}

TEST(pci_window_notify,
     .id = "virtio.pci.window_notify",
     .clause = "virtio 1.4, 4.1.4.9.1 MUST: a write of pci_cfg_data is executed at cap.offset, a notification as well",
     .owner = OWNER_PCI,
     .needs = NEED_VIRTIO_PCI)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	unsigned int i, tried = 0;
	struct virtio_pci *p;
	struct actor a;
	uint32_t off;

	actor_need(t);
	for (i = 0; (p = actor_on_pci(i, &a)); i++) {
		if (!p->window_cap)
			continue;
		tried++;
		actor_up(t, &a, &how);
		actor_prepare(&a, true);
		actor_desc(&a, 0, 0, a.len, actor_flags(&a), 0);
		actor_post(&a, 0);
		off = (uint32_t)(p->notify_cap->offset + (p->notify_at[a.queue] - p->notify));
		virtio_pci_window_write(p, p->notify_cap->bar, off, 2, p->notify_data[a.queue]);
		expect_eq(t, actor_wait(&a, 1, ANSWER_NS), 1,
			  "%s: buffers used after a notification through the window", p->vdev.name);
		actor_done(&a, 1);
	}
	actor_tried(t, tried, "on PCI with a window in configuration space");
}

static void window_registers(struct test_ctx *t, const struct virtio_pci *p)
{
	static const struct {
		const char *name;
		uint8_t at, bytes;
		uint32_t v[3];
	} regs[] = { { "bar", 4, 1, { 1, 2, 4 } },
		     { "offset", 8, 4, { 0x55555554, 0xaaaaaaa8, 0 } },
		     { "length", 12, 4, { 2, 4, 1 } } };
	uint32_t want[3] = { 0 };
	unsigned int i, k, n;

	for (i = 0; i < 3; i++)
		want[i] = pci_read(p->pci, p->window_cap->at + regs[i].at, regs[i].bytes);
	for (i = 0; i < 3; i++)
		for (k = 0; k < 3; k++) {
			want[i] = regs[i].v[k];
			pci_write(p->pci, p->window_cap->at + regs[i].at, regs[i].bytes, want[i]);
			for (n = 0; n < 3; n++)
				expect_eq(t,
					  pci_read(p->pci, p->window_cap->at + regs[n].at,
						   regs[n].bytes),
					  want[n],
					  "%s: cap.%s of the window once cap.%s was written",
					  p->vdev.name, regs[n].name, regs[i].name);
		}
}

/* All of configuration space but pci_cfg_data, by each width. */
static void read_around_window(const struct virtio_pci *p)
{
	const unsigned int data = p->window_cap->at + 16;
	unsigned int at, size;

	for (size = 1; size <= 4; size *= 2)
		for (at = 0; at < 256; at += size)
			if (at + size <= data || at >= data + 4)
				(void)pci_read(p->pci, at, size);
}

/* The ISR is the register that a load changes. MSI-X is off, so that its bit and Status.Interrupt tell. */
TEST(pci_window_quiet,
     .id = "virtio.pci.window_quiet",
     .clause = "virtio 1.4, 4.1.4.9, 4.1.4.9.1 MUST: cap.bar, cap.offset and cap.length are read-write; an access of pci_cfg_data, and no other, accesses the BAR",
     .owner = OWNER_PCI,
     .needs = NEED_VIRTIO_PCI)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	unsigned int i, tried = 0;
	struct virtio_pci *p;
	struct actor a;

	actor_need(t);
	for (i = 0; (p = actor_on_pci(i, &a)); i++) {
		if (!p->isr || !p->window_cap)
			continue;
		tried++;
		actor_up(t, &a, &how);
		(void)vq_interrupts(a.vq, true);
		(void)mmio_read8(p->isr);
		window_registers(t, p);
		pci_write(p->pci, p->window_cap->at + 4, 1, p->isr_cap->bar);
		pci_write(p->pci, p->window_cap->at + 8, 4, (uint32_t)p->isr_cap->offset);
		pci_write(p->pci, p->window_cap->at + 12, 4, 1);
		actor_one(t, &a);
		expect(t,
		       wait_for(pci_read(p->pci, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, ANSWER_NS),
		       "%s: Status.Interrupt is 0 though a buffer was used", p->vdev.name);
		read_around_window(p);
		expect_eq(
			t, pci_read(p->pci, p->window_cap->at + 16, 1) & 1, 1,
			"%s: ISR bit 0 by the window, once the rest of configuration space was read",
			p->vdev.name);
		expect_eq(t, mmio_read8(p->isr), 0, "%s: ISR once the window has read it",
			  p->vdev.name);
	}
	actor_tried(t, tried, "on PCI with an ISR status and a window in configuration space");
}

/* --- MSI-X vectors ---------------------------------------------------------------------------- */

#define EACH_MSIX(p, i) for (i = 0; (p = vt_msix(i)); i++)

TEST(pci_msix_table,
     .id = "virtio.pci.msix_table",
     .clause = "virtio 1.4, 4.1.5.1.2.1 MUST: the MSI-X Table Size reports the vectors; SHOULD: 2 to 0x800",
     .owner = OWNER_PCI,
     .needs = NEED_MSIX)
{
	struct virtio_pci *p;
	unsigned int i, k;

	EACH_MSIX(p, i)
	{
		expect(t, p->msix.count >= 1 && p->msix.count <= 0x800, "%s: %u vectors",
		       p->vdev.name, p->msix.count);
		if (p->msix.count < 2)
			test_note(t, "%s: %u vector (SHOULD be 2 at least)", p->vdev.name,
				  p->msix.count);
		/* Each entry exists: its mask bit can be set and cleared. */
		for (k = 0; k < p->msix.count && k < 64; k++) {
			pci_msix_mask(&p->msix, k, false);
			expect_eq(t, mmio_read32(p->msix.table + 16 * k + 12) & 1, 0,
				  "%s: entry %u unmasked", p->vdev.name, k);
			pci_msix_mask(&p->msix, k, true);
			expect_eq(t, mmio_read32(p->msix.table + 16 * k + 12) & 1, 1,
				  "%s: entry %u masked", p->vdev.name, k);
		}
	}
}

/* Before queues are enabled, as drivers do; MSI-X is enabled, each entry masked. */
TEST(pci_msix_map,
     .id = "virtio.pci.msix_map",
     .clause = "virtio 1.4, 4.1.5.1.2.1 MUST: any event maps to any vector and reads back, NO_VECTOR unmaps, a reset unmaps all",
     .owner = OWNER_PCI,
     .needs = NEED_MSIX)
{
	struct virtio_pci *p;
	unsigned int i, k, n;
	uint16_t q;

	EACH_MSIX(p, i)
	{
		n = p->msix.count < 16 ? p->msix.count : 16;
		if (!n) /* the capability cannot say that */
			continue;
		for (k = 0; k < n; k++)
			pci_msix_mask(&p->msix, k, true);
		pci_msix_enable(p->pci, &p->msix, true);
		vt_add_status(&p->vdev, VIRTIO_S_ACKNOWLEDGE);
		for (k = 0; k < n; k++) {
			expect_eq(t, virtio_pci_set_config_vector(p, (uint16_t)k), k,
				  "%s: config_msix_vector", p->vdev.name);
			for (q = 0; q < p->vdev.max_queues; q++)
				expect_eq(t, virtio_pci_set_queue_vector(p, q, (uint16_t)k), k,
					  "%s: queue_msix_vector of queue %u", p->vdev.name, q);
		}
		/* A register for each event: they differ, and are read when all are written. */
		virtio_pci_set_config_vector(p, (uint16_t)(n - 1));
		for (q = 0; q < p->vdev.max_queues; q++)
			virtio_pci_set_queue_vector(p, q, (uint16_t)(q % n));
		expect_eq(t, mmio_read16(&p->common->config_msix_vector), n - 1,
			  "%s: config_msix_vector behind the queues'", p->vdev.name);
		for (q = 0; q < p->vdev.max_queues; q++) {
			mmio_write16(&p->common->queue_select, q);
			expect_eq(t, mmio_read16(&p->common->queue_msix_vector), q % n,
				  "%s: queue_msix_vector of queue %u, behind the others",
				  p->vdev.name, q);
		}
		expect_eq(t, virtio_pci_set_config_vector(p, VIRTIO_NO_VECTOR), VIRTIO_NO_VECTOR,
			  "%s: config_msix_vector unmapped", p->vdev.name);
		for (q = 0; q < p->vdev.max_queues; q++)
			expect_eq(t, virtio_pci_set_queue_vector(p, q, VIRTIO_NO_VECTOR),
				  VIRTIO_NO_VECTOR, "%s: queue_msix_vector of queue %u unmapped",
				  p->vdev.name, q);
		virtio_pci_set_config_vector(p, 0);
		for (q = 0; q < p->vdev.max_queues; q++)
			virtio_pci_set_queue_vector(p, q, 0);
		vt_must_reset(t, &p->vdev);
		expect_eq(t, mmio_read16(&p->common->config_msix_vector), VIRTIO_NO_VECTOR,
			  "%s: config_msix_vector after a reset", p->vdev.name);
		for (q = 0; q < p->vdev.max_queues; q++) {
			mmio_write16(&p->common->queue_select, q);
			expect_eq(t, mmio_read16(&p->common->queue_msix_vector), VIRTIO_NO_VECTOR,
				  "%s: queue_msix_vector of queue %u after a reset", p->vdev.name,
				  q);
		}
	}
}

/* What a reset of the device undoes is the device's; its function is configured as it was. */
TEST(pci_msix_reset,
     .id = "virtio.pci.msix_over_reset",
     .clause = "PCIe 6.0, 7.7.2.2: MSI-X Enable and Function Mask are what software wrote; virtio 1.4, 2.4 resets the device alone",
     .owner = OWNER_PCI,
     .needs = NEED_MSIX)
{
	enum {
		ENABLE = 1 << 15,
		CONTROL = 2
	};
	const uint32_t message = 0x5a;
	struct virtio_pci *p;
	unsigned int i;

	EACH_MSIX(p, i)
	{
		pci_msix_mask(&p->msix, 0, true);
		mmio_write32(p->msix.table + 8, message);
		pci_msix_enable(p->pci, &p->msix, true);
		vt_add_status(&p->vdev, VIRTIO_S_ACKNOWLEDGE);
		vt_must_reset(t, &p->vdev);
		expect(t, pci_read(p->pci, p->msix.cap + CONTROL, 2) & ENABLE,
		       "%s: MSI-X Enable is 0 after a device reset", p->vdev.name);
		expect_eq(t, mmio_read32(p->msix.table + 8), message,
			  "%s: data of MSI-X entry 0 after a device reset", p->vdev.name);
		expect_eq(t, mmio_read32(p->msix.table + 12) & 1, 1,
			  "%s: mask of MSI-X entry 0 after a device reset", p->vdev.name);
		mmio_write32(p->msix.table + 8, 0);
		pci_msix_enable(p->pci, &p->msix, false);
	}
}

/* Whatever the event: a vector that the table lacks cannot be mapped, a queue that does not exist has none. */
TEST(pci_msix_refused,
     .id = "virtio.pci.msix_refused",
     .clause = "virtio 1.4, 4.1.5.1.2.1 MUST: a vector register reads NO_VECTOR if unmapped: with no such vector, with no such queue",
     .owner = OWNER_PCI,
     .needs = NEED_MSIX)
{
	static const uint16_t beyond[] = { 0, 1, 100, 1000 };
	struct virtio_pci *p;
	unsigned int i, k;
	uint16_t q, n;

	EACH_MSIX(p, i)
	{
		const uint16_t vectors[] = { (uint16_t)p->msix.count, (uint16_t)(p->msix.count + 1),
					     0x800, 0x8000, VIRTIO_NO_VECTOR - 1 };

		vt_add_status(&p->vdev, VIRTIO_S_ACKNOWLEDGE);
		for (k = 0; k < sizeof(vectors) / sizeof(vectors[0]); k++) {
			expect_eq(t, virtio_pci_set_config_vector(p, vectors[k]), VIRTIO_NO_VECTOR,
				  "%s: config_msix_vector with vector %u of %u", p->vdev.name,
				  vectors[k], p->msix.count);
			for (q = 0; q < p->vdev.max_queues; q++)
				expect_eq(t, virtio_pci_set_queue_vector(p, q, vectors[k]),
					  VIRTIO_NO_VECTOR,
					  "%s: queue_msix_vector of queue %u with vector %u of %u",
					  p->vdev.name, q, vectors[k], p->msix.count);
		}
		n = mmio_read16(&p->common->num_queues);
		for (k = 0; k < sizeof(beyond) / sizeof(beyond[0]); k++) {
			q = (uint16_t)(n + beyond[k]);
			if (is_admin_queue(p, q))
				continue;
			mmio_write16(&p->common->queue_select, q);
			expect_eq(t, mmio_read16(&p->common->queue_msix_vector), VIRTIO_NO_VECTOR,
				  "%s: queue_msix_vector of queue %u of %u", p->vdev.name, q, n);
		}
	}
}

/* Entries are masked and MSI-X is off: what stands in them is never sent. */
TEST(pci_msix_access,
     .id = "virtio.pci.msix_access",
     .clause = "virtio 1.4, 4.1.1 MUST meet PCI; PCIe 6.0, 7.7.2: MSI-X entries are accessed by 32 and by 64 bits",
     .owner = OWNER_PCI,
     .needs = NEED_MSIX)
{
	static const uint64_t message[] = { 0x12345678fee01000, 0x1000000a5, 0xedcba987fee02000,
					    0x10000005a };
	volatile uint8_t *e;
	struct virtio_pci *p;
	unsigned int i, k, w;

	EACH_MSIX(p, i)
	for (k = 0; k < p->msix.count && k < 64; k++) {
		e = p->msix.table + 16 * k;
		mmio_write64(e, message[0]);
		mmio_write64(e + 8, message[1]);
		for (w = 0; w < 4; w++)
			expect_eq(t, mmio_read32(e + 4 * w),
				  (uint32_t)(message[w / 2] >> w % 2 * 32),
				  "%s: entry %u, word %u after a store of 64 bits", p->vdev.name, k,
				  w);
		for (w = 0; w < 4; w++)
			mmio_write32(e + 4 * w, (uint32_t)(message[2 + w / 2] >> w % 2 * 32));
		for (w = 0; w < 2; w++)
			expect_eq(t, mmio_read64(e + 8 * w), message[2 + w],
				  "%s: entry %u, half %u after stores of 32 bits", p->vdev.name, k,
				  w);
		mmio_write64(e, 0);
		mmio_write64(e + 8, 1ull << 32);
	}
}

TEST(pci_msix_control,
     .id = "virtio.pci.msix_control",
     .clause = "virtio 1.4, 4.1.1 MUST meet PCI; PCI 3.0, 6.1, PCIe 6.0, 7.7.2.2: Message Control is accessed by any byte enables; Table Size is read-only",
     .owner = OWNER_PCI,
     .needs = NEED_MSIX)
{
	enum {
		FUNCTION_MASK = 1 << 14
	};
	static const struct {
		unsigned int size, off, shift;
	} width[] = { { 1, 3, 8 }, { 2, 2, 0 }, { 4, 0, 0 } };
	struct virtio_pci *p;
	unsigned int i, k, on;
	uint32_t v, bit;

	EACH_MSIX(p, i)
	{
		v = pci_read(p->pci, p->msix.cap + 2, 2);
		pci_write(p->pci, p->msix.cap + 2, 2, v ^ MSIX_TABLE_SIZE);
		expect_eq(t, pci_read(p->pci, p->msix.cap + 2, 2) & MSIX_TABLE_SIZE,
			  v & MSIX_TABLE_SIZE, "%s: Table Size, which is read-only, once written",
			  p->vdev.name);
		pci_write(p->pci, p->msix.cap + 2, 2, v);
	}
	EACH_MSIX(p, i)
	for (k = 0; k < 6; k++) {
		const unsigned int at = p->msix.cap + width[k / 2].off, size = width[k / 2].size;

		on = k % 2 ^ 1;
		bit = size == 4 ? (uint32_t)FUNCTION_MASK << 16 :
				  (uint32_t)FUNCTION_MASK >> width[k / 2].shift;
		v = pci_read(p->pci, at, size);
		pci_write(p->pci, at, size, on ? v | bit : v & ~bit);
		expect_eq(t, !!(pci_read(p->pci, p->msix.cap + 2, 2) & FUNCTION_MASK), on,
			  "%s: Function Mask written with %u bytes", p->vdev.name, size);
		expect_eq(t, !!(pci_read(p->pci, at, size) & bit), on,
			  "%s: Function Mask written and read with %u bytes", p->vdev.name, size);
	}
}

/* --- ISR status ------------------------------------------------------------------------------- */

/* The line and MSI-X exclude each other (PCIe 6.0, 6.1.4), be it raised before. Entries are masked. */
static void not_with_msix(struct test_ctx *t, const struct virtio_pci *p)
{
	if (!p->has_msix || p->msix_error)
		return;
	pci_msix_enable(p->pci, &p->msix, true);
	if (pci_read(p->pci, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT)
		test_note(t, "%s: Status.Interrupt is set once MSI-X is on", p->vdev.name);
	pci_msix_enable(p->pci, &p->msix, false);
}

/* MSI-X off, INTx disabled in the command register, so that only the registers speak. */
TEST(pci_isr,
     .id = "virtio.pci.isr",
     .clause = "virtio 1.4, 4.1.4.5.1 MUST: MSI-X off: ISR bit 0 and PCI Status.Interrupt are set with a used buffer, a read clears both",
     .owner = OWNER_PCI,
     .needs = NEED_VIRTIO_PCI)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	struct virtio_pci *p;
	unsigned int i, tried = 0;
	struct actor a;

	actor_need(t);
	for (i = 0; (p = actor_on_pci(i, &a)); i++) {
		if (!p->isr)
			continue;
		tried++;
		actor_up(t, &a, &how);
		(void)vq_interrupts(a.vq, true);
		(void)mmio_read8(p->isr);
		expect_eq(t, mmio_read8(p->isr), 0, "%s: ISR after a read", p->vdev.name);
		expect_eq(t, pci_read(p->pci, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, 0,
			  "%s: Status.Interrupt with ISR 0", p->vdev.name);
		actor_one(t, &a);
		/* The bit comes before the notification, and that after the used index: give it time. */
		expect(t,
		       wait_for(pci_read(p->pci, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, ANSWER_NS),
		       "%s: Status.Interrupt is 0 though a buffer was used", p->vdev.name);
		not_with_msix(t, p);
		expect_eq(t, mmio_read8(p->isr) & 1, 1, "%s: ISR bit 0 after a used buffer",
			  p->vdev.name);
		expect_eq(t, mmio_read8(p->isr), 0, "%s: ISR after it was read", p->vdev.name);
		expect_eq(t, pci_read(p->pci, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, 0,
			  "%s: Status.Interrupt after ISR was read", p->vdev.name);
	}
	actor_tried(t, tried, "on PCI with an ISR status");
}
