/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio.pci.*: what a function's configuration space says of itself stays what it says, and its parts do not lie over
 * each other; and the MSI-X pending bits, of which each stands for one vector. (virtio 1.4, 4.1.1: a device on PCI meets
 * PCI's specifications; 4.1.4: all fields of a virtio capability are read-only for the driver unless stated otherwise.)
 *
 * How hosts break it: device models outside of the VMM keep configuration space as an array of bytes that takes any
 * write; capabilities are put at places that were counted by hand; the pending bits are shown for vector 0 alone, which is
 * the one that drivers of one vector use.
 *
 * How it is seen here: each byte is written with all of its bits inverted and read back; lengths of capabilities come from
 * their own specifications; one vector after the other becomes pending while the function is masked.
 */
#include <string.h>

#include "drivers/virtio/pci.h"
#include "lib/mmio.h"
#include "tests/virtio/util.h"

#define OWNER_FUNCTION "the VMM's PCI emulation of the device"

enum {
	CAP_POWER = 0x01,
	CAP_MSI = 0x05,
	CAP_VENDOR = 0x09,
	CAP_EXPRESS = 0x10,
	CAP_MSIX = 0x11,
	CAP_ANY = 0xff,
	FIRST_CAP = 0x40, /* behind the header */
	CONFIG_SIZE = 256,
};

/* --- what is read-only ------------------------------------------------------------------------- */

/* PCI 3.0, 6.2: of the header of an endpoint, the bytes that no software changes. */
static const struct {
	const char *name;
	uint8_t at, bytes;
} fixed[] = {
	{ "vendor and device id", 0x00, 4 }, { "revision and class", 0x08, 4 },
	{ "header type", 0x0e, 1 },	     { "subsystem ids", 0x2c, 4 },
	{ "capabilities pointer", 0x34, 1 }, { "interrupt pin", 0x3d, 1 },
};

/* What other bits there are belongs to PCI's older buses, or is reserved: 0. */
enum {
	COMMAND = 4,
	COMMAND_MASTER = 1 << 2,
	COMMAND_INTX_OFF = 1 << 10,
	COMMAND_EXPRESS = 0x0547, /* PCIe 6.0, 7.5.1.1.3: the bits that a function may have */
	STATUS = 6,
	COMMAND_PARITY_RESPONSE = 1 << 6,
	STATUS_MASTER_PARITY = 1 << 8,
	STATUS_PARITY = 1 << 15,
	INTERRUPT_LINE = 0x3c,
	INTERRUPT_PIN = 0x3d,
	HEADER_TYPE = 0x0e,
	MANY_FUNCTIONS = 1 << 7,
};

static void judge_bit(struct test_ctx *t, const struct virtio_pci *p, unsigned int at, uint32_t bit,
		      const char *name)
{
	const uint32_t was = pci_read(p->pci, at, 2);

	pci_write(p->pci, at, 2, was ^ bit);
	expect_eq(t, pci_read(p->pci, at, 2), was ^ bit, "%s: register 0x%02x once %s was turned",
		  p->vdev.name, at, name);
	pci_write(p->pci, at, 2, was);
	expect_eq(t, pci_read(p->pci, at, 2), was, "%s: register 0x%02x once %s was turned back",
		  p->vdev.name, at, name);
}

/*
 * PCIe 6.0, 7.5.1.1.4: without Parity Error Response the first one is never set. The other one is set where poisoned data
 * came, which a machine of software has no reason for, and which nobody promises.
 */
static void judge_parity(struct test_ctx *t, const struct virtio_pci *p)
{
	const uint32_t command = pci_read(p->pci, COMMAND, 2), status = pci_read(p->pci, STATUS, 2);

	expect(t, command & COMMAND_PARITY_RESPONSE || !(status & STATUS_MASTER_PARITY),
	       "%s: Master Data Parity Error in Status 0x%04x, Parity Error Response is 0",
	       p->vdev.name, (unsigned int)status);
	if (status & STATUS_PARITY)
		test_note(t, "%s: Detected Parity Error in Status 0x%04x", p->vdev.name,
			  (unsigned int)status);
}

TEST(config_header,
     .id = "virtio.pci.header",
     .clause = "virtio 1.4, 4.1.1 MUST meet PCI; PCI 3.0, 6.2.2, 6.2.4: bits of Command are written one by one, Interrupt Line takes any byte, the pin of a single function is INTA#; PCIe 6.0, 7.5.1.1.4: Master Data Parity Error wants Parity Error Response",
     .owner = OWNER_FUNCTION,
     .needs = NEED_VIRTIO_PCI)
{
	static const uint8_t lines[] = { 0x00, 0x55, 0xaa, 0xff };
	struct virtio_pci *p;
	unsigned int i, k;
	uint32_t was, pin;

	for (i = 0; (p = vt_pci(i)); i++) {
		judge_bit(t, p, COMMAND, COMMAND_MASTER, "Bus Master");
		judge_bit(t, p, COMMAND, COMMAND_INTX_OFF, "Interrupt Disable");
		expect_eq(t, pci_read(p->pci, COMMAND, 2) & ~(uint32_t)COMMAND_EXPRESS, 0,
			  "%s: reserved bits of Command", p->vdev.name);
		judge_parity(t, p);
		was = pci_read(p->pci, INTERRUPT_LINE, 1);
		for (k = 0; k < sizeof(lines); k++) {
			pci_write(p->pci, INTERRUPT_LINE, 1, lines[k]);
			expect_eq(t, pci_read(p->pci, INTERRUPT_LINE, 1), lines[k],
				  "%s: Interrupt Line", p->vdev.name);
		}
		pci_write(p->pci, INTERRUPT_LINE, 1, was);
		pin = pci_read(p->pci, INTERRUPT_PIN, 1);
		if (!p->pci->fn && !(pci_read(p->pci, HEADER_TYPE, 1) & MANY_FUNCTIONS))
			expect(t, pin <= 1, "%s: Interrupt Pin %u of a single function",
			       p->vdev.name, (unsigned int)pin);
	}
}

static void judge_byte(struct test_ctx *t, const struct virtio_pci *p, unsigned int at,
		       const char *of)
{
	const uint32_t was = pci_read(p->pci, at, 1);

	pci_write(p->pci, at, 1, ~was & 0xff);
	expect_eq(t, pci_read(p->pci, at, 1), was,
		  "%s: byte 0x%02x (%s), which is read-only, once written", p->vdev.name, at, of);
	pci_write(p->pci, at, 1, was);
}

/* 4.1.4.9: of the window's capability the driver writes bar, offset, length and data. */
static bool is_written(const struct virtio_pci_cap_info *c, unsigned int k)
{
	return c->type == VIRTIO_PCI_CAP_PCI_CFG && (k == 4 || k >= 8);
}

TEST(config_read_only,
     .id = "virtio.pci.read_only",
     .clause = "virtio 1.4, 4.1.1 MUST meet PCI, 4.1.4: PCI 3.0, 6.2: ids and pointers, and fields of virtio capabilities, are read-only",
     .owner = OWNER_FUNCTION,
     .needs = NEED_VIRTIO_PCI)
{
	const struct virtio_pci_cap_info *c;
	struct virtio_pci *p;
	unsigned int i, k, m;

	for (i = 0; (p = vt_pci(i)); i++) {
		for (k = 0; k < sizeof(fixed) / sizeof(fixed[0]); k++)
			for (m = 0; m < fixed[k].bytes; m++)
				judge_byte(t, p, fixed[k].at + m, fixed[k].name);
		for (k = 0; k < p->num_caps; k++) {
			c = &p->cap[k];
			for (m = 0; m < c->cap_len && c->at + m < CONFIG_SIZE; m++)
				if (!is_written(c, m))
					judge_byte(t, p, c->at + m, "of a virtio capability");
		}
	}
}

/* --- where capabilities lie -------------------------------------------------------------------- */

/* Bytes that the capability at this place takes at least; 0: it is one of those that are not judged. */
static unsigned int cap_bytes(const struct pci_dev *d, unsigned int at)
{
	switch (pci_read(d, at, 1)) {
	case CAP_POWER:
		return 8; /* PCI PM 1.2, 3.2 */
	case CAP_MSI:
		return 10; /* PCI 3.0, 6.8.1: of four formats the shortest */
	case CAP_VENDOR:
		return pci_read(d, at + 2, 1);
	case CAP_EXPRESS:
		/* PCIe 6.0, 7.5.3: version 2 has all registers, version 1 of an endpoint those of the device and its link. */
		return (pci_read(d, at + 2, 2) & 15) >= 2 ? 60 : 20;
	case CAP_MSIX:
		return 12; /* PCIe 6.0, 7.7.2 */
	default:
		return 0;
	}
}

TEST(config_caps_apart,
     .id = "virtio.pci.caps_apart",
     .clause = "virtio 1.4, 4.1.1 MUST meet PCI; PCI 3.0, 6.7: a capability lies behind the header, inside of configuration space, and has its bytes for itself",
     .owner = OWNER_FUNCTION,
     .needs = NEED_VIRTIO_FUNCTION)
{
	unsigned int i, at, other, n;
	struct virtio_pci *p;

	if (!vt_pci_function(0))
		test_skip(t, "no modern virtio function on PCI");
	for (i = 0; (p = vt_pci_function(i)); i++)
		for (at = pci_find_cap(p->pci, CAP_ANY, 0); at;
		     at = pci_find_cap(p->pci, CAP_ANY, at)) {
			n = cap_bytes(p->pci, at);
			expect(t, at >= FIRST_CAP && at + n <= CONFIG_SIZE,
			       "%s: a capability of %u bytes at 0x%02x", p->vdev.name, n, at);
			for (other = pci_find_cap(p->pci, CAP_ANY, 0); other;
			     other = pci_find_cap(p->pci, CAP_ANY, other))
				expect(t, other <= at || other >= at + n,
				       "%s: the capability at 0x%02x has %u bytes, another one begins at 0x%02x",
				       p->vdev.name, at, n, other);
		}
}

TEST(config_express,
     .id = "virtio.pci.express",
     .clause = "virtio 1.4, 4.1.1 MUST meet PCI; PCIe 6.0, 7.5.3.2 to 7.5.3.4: an endpoint says so, Role-Based Error Reporting is set, errors can be reported or not",
     .owner = OWNER_FUNCTION,
     .needs = NEED_VIRTIO_FUNCTION)
{
	enum {
		ENDPOINT = 0,
		LEGACY_ENDPOINT = 1,
		INTEGRATED_ENDPOINT = 9,
		ROLE_BASED = 1 << 15,
		LAST_ENABLE = 1
			      << 3, /* of Device Control: Correctable, Non-Fatal, Fatal, Unsupported Request */
		START_RESET = 1 << 15,
	};
	unsigned int i, at, type, bit, tried = 0;
	struct virtio_pci *p;

	for (i = 0; (p = vt_pci_function(i)); i++) {
		at = pci_find_cap(p->pci, CAP_EXPRESS, 0);
		if (!at)
			continue;
		tried++;
		expect(t, pci_read(p->pci, at + 2, 2) & 15, "%s: version 0 of the capability",
		       p->vdev.name);
		type = pci_read(p->pci, at + 2, 2) >> 4 & 15;
		expect(t,
		       type == ENDPOINT || type == LEGACY_ENDPOINT || type == INTEGRATED_ENDPOINT,
		       "%s: device type %u is no endpoint's", p->vdev.name, type);
		expect(t, pci_read(p->pci, at + 4, 4) & ROLE_BASED,
		       "%s: device capabilities 0x%08x without Role-Based Error Reporting",
		       p->vdev.name, (unsigned int)pci_read(p->pci, at + 4, 4));
		for (bit = 1; bit <= LAST_ENABLE; bit <<= 1)
			judge_bit(t, p, at + 8, bit, "an error reporting enable");
		expect(t, !(pci_read(p->pci, at + 8, 2) & START_RESET),
		       "%s: Initiate Function Level Reset reads 1", p->vdev.name);
	}
	if (!tried)
		test_skip(t, "no virtio function has a PCI Express capability");
}

TEST(config_power,
     .id = "virtio.pci.power_registers",
     .clause = "virtio 1.4, 4.1.1 MUST meet PCI; PCI PM 1.2, 3.2.3, 3.2.4: a version that exists, and reserved bits are 0",
     .owner = OWNER_FUNCTION,
     .needs = NEED_VIRTIO_FUNCTION)
{
	enum {
		VERSION = 7,
		CAPS_RESERVED = 1 << 4,
		CONTROL_RESERVED = 0xf4,
	};
	unsigned int i, at, tried = 0;
	struct virtio_pci *p;
	uint32_t caps, control;

	for (i = 0; (p = vt_pci_function(i)); i++) {
		at = pci_find_cap(p->pci, CAP_POWER, 0);
		if (!at)
			continue;
		tried++;
		caps = pci_read(p->pci, at + 2, 2);
		control = pci_read(p->pci, at + 4, 2);
		expect(t, (caps & VERSION) >= 1 && (caps & VERSION) <= 3 && !(caps & CAPS_RESERVED),
		       "%s: power management capabilities 0x%04x", p->vdev.name,
		       (unsigned int)caps);
		expect_eq(t, control & CONTROL_RESERVED, 0,
			  "%s: reserved bits of the power management control", p->vdev.name);
	}
	if (!tried)
		test_skip(t, "no virtio function has power management");
}

/* --- queues that are not enabled ------------------------------------------------------------- */

/* The queue has all that it needs in its registers, but queue_enable. */
static void describe_queue(struct test_ctx *t, struct virtio_pci *p, uint16_t queue)
{
	volatile struct virtio_pci_common_cfg *c = p->common;
	dma_addr_t at[3];

	p->vdev.vq[queue] = vq_create(&p->vdev, queue, 8);
	if (!p->vdev.vq[queue])
		test_error(t, "no memory for a queue");
	vq_addresses(p->vdev.vq[queue], &at[0], &at[1], &at[2]);
	mmio_write16(&c->queue_select, queue);
	mmio_write16(&c->queue_size, 8);
	mmio_write32(&c->queue_desc_lo, (uint32_t)at[0]);
	mmio_write32(&c->queue_desc_hi, (uint32_t)(at[0] >> 32));
	mmio_write32(&c->queue_driver_lo, (uint32_t)at[1]);
	mmio_write32(&c->queue_driver_hi, (uint32_t)(at[1] >> 32));
	mmio_write32(&c->queue_device_lo, (uint32_t)at[2]);
	mmio_write32(&c->queue_device_hi, (uint32_t)(at[2] >> 32));
}

static void up_without(struct test_ctx *t, struct actor *a)
{
	struct virtio_device *d = a->d;
	struct virtio_pci *p = virtio_pci(d);
	uint16_t q;

	if (virtio_accept(d, VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_F_ACCESS_PLATFORM) |
				     (a->packed ? VIRTIO_BIT(VIRTIO_F_RING_PACKED) : 0)))
		test_error(t, "%s: %s", d->name, d->error);
	d->num_queues = d->max_queues;
	for (q = 0; q < d->max_queues; q++)
		if (q != a->queue && d->max_size[q] && virtio_queue_setup(d, q, 0))
			test_error(t, "%s: %s", d->name, d->error);
	describe_queue(t, p, a->queue);
	require(t, virtio_driver_ok(d) == 0, "%s: %s", d->name, d->error);
	a->vq = d->vq[a->queue];
	if (vq_raw_stage(a->vq, 0, &(const struct vq_raw_desc){ 0 }))
		test_error(t, "no memory for a descriptor");
}

TEST(config_disabled_queue,
     .id = "virtio.pci.queue_disabled",
     .clause = "virtio 1.4, 4.1.4.3: while queue_enable is 0, the device executes no request of the queue",
     .owner = OWNER_FRONT,
     .needs = NEED_VIRTIO_PCI)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	const struct virtio_pci *p;
	unsigned int i, tried = 0;
	struct actor a;
	uint32_t off;

	actor_need(t);
	for (i = 0; (p = actor_on_pci(i, &a)); i++) {
		tried++;
		actor_up(t, &a, &how); /* its memory */
		off = (uint32_t)(p->notify_at[a.queue] - p->notify);
		up_without(t, &a);
		actor_prepare(&a, true);
		actor_desc(&a, 0, 0, a.len, actor_flags(&a), 0);
		actor_post(&a, 0);
		mmio_write16(p->notify + off, a.queue);
		expect_eq(t, actor_wait(&a, 1, QUIET_NS), 0,
			  "%s: buffers used of a queue that is not enabled", vt_who(a.d));
		expect_eq(t, mmio_read16(&p->common->queue_enable), 0,
			  "%s: queue_enable, which nobody wrote", vt_who(a.d));
		actor_up(t, &a, &how);
		actor_one(t, &a);
	}
	actor_tried(t, tried, "on PCI");
}

/* --- pending bits -------------------------------------------------------------------------------- */

/* All bits of the pending array, by loads of 32 bits and by those of 64. */
static void judge_pending(struct test_ctx *t, const struct virtio_pci *p, unsigned int vector)
{
	const volatile uint8_t *pba = p->msix.pba;
	unsigned int k;

	for (k = 0; k < p->msix.count; k++) {
		expect_eq(t, mmio_read32(pba + k / 32 * 4) >> k % 32 & 1, k == vector,
			  "%s: vector %u is pending: bit %u by 32 bits", p->vdev.name, vector, k);
		expect_eq(t, mmio_read64(pba + k / 64 * 8) >> k % 64 & 1, k == vector,
			  "%s: vector %u is pending: bit %u by 64 bits", p->vdev.name, vector, k);
	}
	/* 7.7.2.8: the array consists of 64 bits at a time; those that no vector has are reserved, and must be 0. */
	if (k % 64)
		expect_eq(t, mmio_read64(pba + k / 64 * 8) >> k % 64, 0,
			  "%s: vector %u is pending: bits from %u on, of no vector", p->vdev.name,
			  vector, k);
}

/* The actor's queue alone has a vector. */
static void one_pending(struct test_ctx *t, struct actor *a, unsigned int vector)
{
	const struct bring_up half = { .irq = VIRTIO_IRQ_MSIX1, .no_driver_ok = true };
	struct virtio_pci *p;
	uint16_t q;

	actor_up(t, a, &half);
	p = virtio_pci(a->d);
	for (q = 0; q < a->d->max_queues; q++)
		(void)virtio_pci_set_queue_vector(p, q, VIRTIO_NO_VECTOR);
	require_eq(t, virtio_pci_set_queue_vector(p, a->queue, (uint16_t)vector), vector,
		   "%s: queue_msix_vector", p->vdev.name);
	pci_msix_function_mask(p->pci, &p->msix, true);
	require(t, virtio_driver_ok(a->d) == 0, "%s: %s", p->vdev.name, a->d->error);
	actor_one(t, a);
	expect(t, wait_for(pci_msix_pending(&p->msix, vector), ANSWER_NS),
	       "%s: a buffer is used under Function Mask: the pending bit of vector %u is not set",
	       p->vdev.name, vector);
	judge_pending(t, p, vector);
	vt_must_reset(t, a->d);
	pci_msix_function_mask(p->pci, &p->msix, false);
}

TEST(config_pending,
     .id = "virtio.pci.msix_pending",
     .clause = "virtio 1.4, 4.1.1 MUST meet PCI; PCIe 6.0, 6.1.4.5, 7.7.2.8: under Function Mask the pending bit of a vector that is to be sent is set, and no other; bits of no vector must be 0",
     .owner = OWNER_FRONT,
     .needs = NEED_MSIX,
     .timeout = 20 * SEC)
{
	static const unsigned int vectors[] = { 0, 1, 7, 8, 15, 31, 32, 63, 64 };
	unsigned int i, k, tried = 0;
	const struct virtio_pci *p;
	struct actor a;

	actor_need(t);
	for (i = 0; (p = actor_on_pci(i, &a)); i++) {
		if (!p->has_msix)
			continue;
		tried++;
		for (k = 0; k < sizeof(vectors) / sizeof(vectors[0]); k++)
			if (vectors[k] < p->msix.count)
				one_pending(t, &a, vectors[k]);
	}
	actor_tried(t, tried, "with MSI-X");
}

/* A message that waits is a notification that was not sent yet. */
TEST(config_pending_reset,
     .id = "virtio.pci.msix_pending_reset",
     .clause = "virtio 1.4, 2.4.1 MUST NOT: send notifications once device status reads 0 after a reset: what waits under Function Mask is no more sent",
     .owner = OWNER_FRONT,
     .needs = NEED_MSIX)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_MSIX1 };
	unsigned int i, tried = 0;
	struct virtio_pci *p;
	struct actor a;
	uint64_t before;

	actor_need(t);
	for (i = 0; (p = actor_on_pci(i, &a)); i++) {
		if (!p->has_msix)
			continue;
		tried++;
		actor_up(t, &a, &how);
		pci_msix_function_mask(p->pci, &p->msix, true);
		before = actor_interrupts(&a);
		actor_one(t, &a);
		/* Some hosts do not show it; what waits is not sent all the same. */
		(void)wait_for(pci_msix_pending(&p->msix, 0), QUIET_NS);
		vt_must_reset(t, a.d);
		pci_msix_function_mask(p->pci, &p->msix, false);
		expect(t, !wait_for(actor_interrupts(&a) != before, QUIET_NS),
		       "%s: an interrupt after a reset, which waited under Function Mask before",
		       vt_who(a.d));
		actor_up(t, &a, &how);
		before = actor_interrupts(&a);
		actor_one(t, &a);
		expect(t, wait_for(actor_interrupts(&a) > before, ANSWER_NS),
		       "%s: no interrupt for a used buffer behind the reset", vt_who(a.d));
	}
	actor_tried(t, tried, "with MSI-X");
}
