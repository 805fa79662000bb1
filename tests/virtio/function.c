/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio.pci.*: a virtio device as a PCI function (4.1.1: it meets the PCI specifications): what power states,
 * a function-level reset and new addresses of its BARs do to it, and the parts of 4.1 that few
 * devices offer.
 *
 * How hosts break it: devices outside of the VMM (vhost-user, vfio) do not hear of the command register, of D3 or of
 * a function-level reset, and go on with memory that is no longer theirs; notifications with more in them than a
 * queue's number are compared as a whole.
 *
 * How it is seen here: a buffer is made available while the device may not take it; registers are read before and
 * after. A device that may lose its state in such a step is reset and must work again.
 */
#include <string.h>

#include "drivers/virtio/pci.h"
#include "lib/mem.h"
#include "lib/mmio.h"
#include "tests/virtio/util.h"

#define OWNER_FUNCTION "the VMM's PCI emulation of the device"
#define OWNER_ADMIN    "the VMM's PCI transport (administration queues)"

enum {
	CAP_POWER = 0x01,
	CAP_EXPRESS = 0x10,
	POWER_CONTROL = 4,
	POWER_STATE = 3,
	NO_SOFT_RESET = 1 << 3,
	EXPRESS_CAPS = 4,
	EXPRESS_FLR_CAPABLE = 1 << 28,
	EXPRESS_CONTROL = 8,
	EXPRESS_FLR = 1 << 15,
	COMMAND = 4,
	COMMAND_MEMORY = 1 << 1,
	COMMAND_MASTER = 1 << 2,
	BAR_0 = 0x10,
};

static uint64_t interrupts(const struct actor *a)
{
	return __atomic_load_n(&a->d->irqs.shared, __ATOMIC_RELAXED);
}

/* A buffer is there, and the device is told of it. */
static void post(struct actor *a)
{
	actor_prepare(a, true);
	actor_desc(a, 0, 0, a->len, actor_flags(a), 0);
	actor_post(a, 0);
}

/* Whatever happened to it: reset and brought up again it works. */
static void works_again(struct test_ctx *t, struct actor *a)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_POLL };

	actor_up(t, a, &how);
	actor_one(t, a);
}

/* Through the window in configuration space, which a function in D3hot answers to. */
static void notify_by_window(struct virtio_pci *p, const struct actor *a)
{
	const uint32_t off = (uint32_t)(p->notify_cap->offset +
					(p->notify_at[a->queue] - p->notify));

	if (p->window_cap)
		virtio_pci_window_write(p, p->notify_cap->bar, off, 2, p->notify_data[a->queue]);
}

static void judge_d3(struct test_ctx *t, struct virtio_pci *p, struct actor *a, unsigned int cap)
{
	const unsigned int at = cap + POWER_CONTROL;
	const uint32_t was = pci_read(p->pci, at, 2);
	const uint8_t status = a->d->ops->get_status(a->d);
	unsigned int used;

	pci_write(p->pci, at, 2, was | POWER_STATE);
	expect_eq(t, pci_read(p->pci, at, 2) & POWER_STATE, POWER_STATE,
		  "%s: the power state after D3hot was written", vt_who(a->d));
	used = vq_raw_used_count(a->vq);
	post(a);
	notify_by_window(p, a);
	expect(t, !wait_for(vq_raw_used_count(a->vq) != used, QUIET_NS),
	       "%s: a buffer is used in D3hot", vt_who(a->d));
	pci_write(p->pci, at, 2, was & ~(uint32_t)POWER_STATE);
	/* 10 ms are the specification's. */
	expect(t, wait_for(!(pci_read(p->pci, at, 2) & POWER_STATE), ANSWER_NS),
	       "%s: the power state is not D0 again", vt_who(a->d));
	if (was & NO_SOFT_RESET)
		expect(t, wait_for(a->d->ops->get_status(a->d) == status, ANSWER_NS),
		       "%s: device_status 0x%02x before D3hot, 0x%02x in D0, with No_Soft_Reset",
		       vt_who(a->d), status, a->d->ops->get_status(a->d));
}

TEST(function_power,
     .id = "virtio.pci.power",
     .clause = "virtio 1.4, 4.1.1 MUST meet PCI; PCI PM 1.2, 3.2.4, 5.4.1: D3hot starts no transaction; with No_Soft_Reset D0 finds the state",
     .owner = OWNER_FUNCTION,
     .needs = NEED_VIRTIO_PCI)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	unsigned int i, cap, tried = 0;
	struct virtio_pci *p;
	uint32_t command;
	struct actor a;

	actor_need(t);
	for (i = 0; (p = actor_on_pci(i, &a)); i++) {
		cap = pci_find_cap(p->pci, CAP_POWER, 0);
		if (!cap)
			continue;
		tried++;
		command = pci_read(p->pci, COMMAND, 2);
		actor_up(t, &a, &how);
		actor_one(t, &a);
		judge_d3(t, p, &a, cap);
		pci_write(p->pci, COMMAND, 2, command);
		works_again(t, &a);
	}
	actor_tried(t, tried, "on PCI with power states");
}

/* 5.3.1.4.1 of PCIe: with No_Soft_Reset nothing of the function is lost on the way to D3hot and back. */
TEST(function_power_msix,
     .id = "virtio.pci.power_keeps_msix",
     .clause = "virtio 1.4, 4.1.1 MUST meet PCI; PCI PM 1.2, 5.4.1: with No_Soft_Reset D0 finds the state: interrupts come as before",
     .owner = OWNER_FUNCTION,
     .needs = NEED_MSIX)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_MSIX1 };
	unsigned int i, cap, at, tried = 0;
	struct virtio_pci *p;
	struct actor a;
	uint64_t before;
	uint32_t was;

	for (i = 0; (p = actor_on_pci(i, &a)); i++) {
		cap = !p->msix_error ? pci_find_cap(p->pci, CAP_POWER, 0) : 0;
		at = cap + POWER_CONTROL;
		if (!cap || !(pci_read(p->pci, at, 2) & NO_SOFT_RESET))
			continue;
		tried++;
		actor_up(t, &a, &how);
		actor_one(t, &a);
		was = pci_read(p->pci, at, 2);
		pci_write(p->pci, at, 2, was | POWER_STATE);
		(void)wait_for(false, 10 * MSEC);
		pci_write(p->pci, at, 2, was & ~(uint32_t)POWER_STATE);
		require(t, wait_for(!(pci_read(p->pci, at, 2) & POWER_STATE), ANSWER_NS),
			"%s: the power state is not D0 again", vt_who(a.d));
		(void)wait_for(false, 10 * MSEC);
		before = interrupts(&a);
		actor_one(t, &a);
		expect(t, wait_for(interrupts(&a) > before, ANSWER_NS),
		       "%s: no interrupt for a used buffer behind D3hot", vt_who(a.d));
		works_again(t, &a);
	}
	actor_tried(t, tried, "on PCI with MSI-X whose state D3hot leaves alone");
}

struct saved {
	uint32_t command, bar[6];
};

static void save(const struct virtio_pci *p, struct saved *s)
{
	unsigned int k;

	s->command = pci_read(p->pci, COMMAND, 2);
	for (k = 0; k < 6; k++)
		s->bar[k] = pci_read(p->pci, BAR_0 + 4 * k, 4);
}

static void restore(const struct virtio_pci *p, const struct saved *s)
{
	unsigned int k;

	for (k = 0; k < 6; k++)
		pci_write(p->pci, BAR_0 + 4 * k, 4, s->bar[k]);
	pci_write(p->pci, COMMAND, 2, s->command);
}

static void judge_flr(struct test_ctx *t, struct virtio_pci *p, unsigned int cap)
{
	const uint32_t both = COMMAND_MEMORY | COMMAND_MASTER;
	struct saved s;
	uint16_t q;

	save(p, &s);
	pci_write(p->pci, cap + EXPRESS_CONTROL, 2,
		  pci_read(p->pci, cap + EXPRESS_CONTROL, 2) | EXPRESS_FLR);
	/* 100 ms are the specification's. */
	expect(t, wait_for(!(pci_read(p->pci, COMMAND, 2) & both), ANSWER_NS),
	       "%s: command 0x%04x after a function-level reset", p->vdev.name,
	       (unsigned int)pci_read(p->pci, COMMAND, 2));
	restore(p, &s);
	expect_eq(t, mmio_read8(&p->common->device_status), 0,
		  "%s: device_status after a function-level reset", p->vdev.name);
	expect_eq(t, mmio_read16(&p->common->config_msix_vector), VIRTIO_NO_VECTOR,
		  "%s: config_msix_vector after a function-level reset", p->vdev.name);
	for (q = 0; q < p->vdev.max_queues; q++) {
		mmio_write16(&p->common->queue_select, q);
		expect_eq(t, mmio_read16(&p->common->queue_enable), 0,
			  "%s: queue %u: queue_enable after a function-level reset", p->vdev.name,
			  q);
	}
}

TEST(function_flr,
     .id = "virtio.pci.flr",
     .clause = "virtio 1.4, 4.1.1 MUST meet PCI; PCIe 6.0, 6.6.2: a function-level reset resets registers and state, and stops the device",
     .owner = OWNER_FUNCTION,
     .needs = NEED_VIRTIO_PCI)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	unsigned int i, cap, tried = 0, used;
	struct virtio_pci *p;
	struct actor a;

	actor_need(t);
	for (i = 0; (p = actor_on_pci(i, &a)); i++) {
		cap = pci_find_cap(p->pci, CAP_EXPRESS, 0);
		if (!cap || !(pci_read(p->pci, cap + EXPRESS_CAPS, 4) & EXPRESS_FLR_CAPABLE))
			continue;
		tried++;
		actor_up(t, &a, &how);
		actor_one(t, &a);
		post(&a);
		judge_flr(t, p, cap);
		/* Until then it may have taken the buffer of itself. */
		used = vq_raw_used_count(a.vq);
		vq_notify(a.vq);
		expect(t, !wait_for(vq_raw_used_count(a.vq) != used, QUIET_NS),
		       "%s: a buffer is used after a function-level reset", vt_who(a.d));
		works_again(t, &a);
	}
	actor_tried(t, tried, "on PCI that can be reset by function");
}

/* Function Mask and what waits behind it are of before the reset. */
TEST(function_flr_pending,
     .id = "virtio.pci.flr_pending",
     .clause = "virtio 1.4, 4.1.1 MUST meet PCI; PCIe 6.0, 6.6.2: behind a function-level reset no message waits that came before it",
     .owner = OWNER_FUNCTION,
     .needs = NEED_MSIX)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_MSIX1 };
	unsigned int i, cap, tried = 0;
	struct virtio_pci *p;
	struct actor a;

	actor_need(t);
	for (i = 0; (p = actor_on_pci(i, &a)); i++) {
		cap = !p->msix_error ? pci_find_cap(p->pci, CAP_EXPRESS, 0) : 0;
		if (!cap || !(pci_read(p->pci, cap + EXPRESS_CAPS, 4) & EXPRESS_FLR_CAPABLE))
			continue;
		actor_up(t, &a, &how);
		pci_msix_function_mask(p->pci, &p->msix, true);
		actor_one(t, &a);
		/* Some hosts do not show it; then there is nothing to see here. */
		if (!wait_for(pci_msix_pending(&p->msix, 0), QUIET_NS)) {
			test_note(t, "%s: no pending bit under Function Mask", vt_who(a.d));
			works_again(t, &a);
			continue;
		}
		tried++;
		judge_flr(t, p, cap);
		expect(t, !pci_msix_pending(&p->msix, 0),
		       "%s: the pending bit is set after a function-level reset", vt_who(a.d));
		works_again(t, &a);
	}
	actor_tried(t, tried, "on PCI with pending bits that can be reset by function");
}

/* --- BARs at other addresses ----------------------------------------------------------------- */

static bool taken(uint64_t from, uint64_t size)
{
	const struct pci_dev *d;
	unsigned int i, k;

	for (i = 0; (d = pci_get(i)); i++)
		for (k = 0; k < 6; k++)
			if (d->bar[k].size && !d->bar[k].io &&
			    from < d->bar[k].base + d->bar[k].size && d->bar[k].base < from + size)
				return true;
	return false;
}

/* Where devices without an address would be put; 0: there is no room. */
static uint64_t free_place(uint64_t size)
{
	uint64_t at;

	for (at = arch_pci_hole.to - size; at >= arch_pci_hole.from; at -= size)
		if (!(at % size) && !taken(at, size))
			return at;
	return 0;
}

static void place(const struct pci_dev *d, unsigned int bar, uint64_t base)
{
	const uint32_t command = pci_read(d, COMMAND, 2);

	/* PCI 3.0, 6.2.5.1: the function does not decode while its address changes. */
	pci_write(d, COMMAND, 2, command & ~(uint32_t)COMMAND_MEMORY);
	pci_write(d, BAR_0 + 4 * bar, 4, (uint32_t)base);
	if (d->bar[bar].is64)
		pci_write(d, BAR_0 + 4 * bar + 4, 4, (uint32_t)(base >> 32));
	pci_write(d, COMMAND, 2, command);
}

TEST(function_bar_moved,
     .id = "virtio.pci.bar_moved",
     .clause = "virtio 1.4, 4.1.1 MUST meet PCI; PCI 3.0, 6.2.5.1: the function answers where its BAR says, and nowhere else",
     .owner = OWNER_FUNCTION,
     .needs = NEED_VIRTIO_PCI)
{
	const volatile uint8_t *old, *new;
	struct virtio_pci *p;
	struct pci_dev there;
	unsigned int i, tried = 0;
	uint64_t base, at;
	uint8_t bar;

	for (i = 0; (p = vt_pci(i)); i++) {
		bar = p->common_cap->bar;
		base = p->pci->bar[bar].base;
		at = free_place(p->pci->bar[bar].size);
		/* Behind a bridge only its window is decoded. */
		if (p->pci->bus || !at)
			continue;
		tried++;
		there = *p->pci;
		there.bar[bar].base = at;
		vt_add_status(&p->vdev, VIRTIO_S_ACKNOWLEDGE);
		place(p->pci, bar, at);
		old = &p->common->device_status;
		new = pci_map_bar(&there, bar);
		require(t, new != NULL, "%s: BAR %u cannot be mapped", p->vdev.name, bar);
		new += p->common_cap->offset +
		       offsetof(struct virtio_pci_common_cfg, device_status);
		expect_eq(t, mmio_read8(new), VIRTIO_S_ACKNOWLEDGE,
			  "%s: device_status at the BAR's new address", p->vdev.name);
		expect(t, mmio_read8(old) != VIRTIO_S_ACKNOWLEDGE,
		       "%s: device_status is read at the BAR's old address as well", p->vdev.name);
		place(p->pci, bar, base);
		expect_eq(t, mmio_read8(old), VIRTIO_S_ACKNOWLEDGE,
			  "%s: device_status after the BAR was moved back", p->vdev.name);
	}
	if (!tried)
		test_skip(t, "no virtio function on the first bus, or no room beside it");
}

/* --- what few devices offer -------------------------------------------------------------------- */

/* 4.1.5.2: how the queue is named, and whether the next index is told as well. Both change from one to the next. */
TEST(function_notifications,
     .id = "virtio.pci.notifications",
     .clause = "virtio 1.4, 4.1.5.2 and 6: NOTIFICATION_DATA and NOTIF_CONFIG_DATA: the queue is told of by what was negotiated",
     .owner = "the VMM's PCI transport (notifications)",
     .needs = NEED_VIRTIO_PCI)
{
	static const uint64_t sets[] = { VIRTIO_BIT(VIRTIO_F_NOTIFICATION_DATA),
					 VIRTIO_BIT(VIRTIO_F_NOTIF_CONFIG_DATA),
					 VIRTIO_BIT(VIRTIO_F_NOTIFICATION_DATA) |
						 VIRTIO_BIT(VIRTIO_F_NOTIF_CONFIG_DATA) };
	unsigned int i, k, n, tried = 0;
	struct actor a;

	actor_need(t);
	for (i = 0; actor_get(i, &a); i++)
		for (k = 0; k < sizeof(sets) / sizeof(sets[0]); k++) {
			const struct bring_up how = { .irq = VIRTIO_IRQ_POLL, .features = sets[k] };

			if (!virtio_pci(a.d) || (a.d->offered & sets[k]) != sets[k])
				continue;
			tried++;
			actor_up(t, &a, &how);
			for (n = 0; n < 4; n++)
				actor_one(t, &a);
		}
	actor_tried(t, tried, "on PCI that offers NOTIFICATION_DATA or NOTIF_CONFIG_DATA");
}

TEST(function_msix_last,
     .id = "virtio.pci.msix_last",
     .clause = "virtio 1.4, 4.1.5.1.2.1 MUST: any event maps to any vector, the last one of the table as well, and interrupts by it",
     .owner = OWNER_FRONT,
     .needs = NEED_MSIX)
{
	const struct bring_up half = { .irq = VIRTIO_IRQ_MSIX1, .no_driver_ok = true };
	unsigned int i, w, last, tried = 0;
	volatile uint8_t *table;
	struct virtio_pci *p;
	struct actor a;
	uint64_t before;
	uint16_t q;

	actor_need(t);
	for (i = 0; (p = actor_on_pci(i, &a)); i++) {
		if (!p->has_msix || p->msix.count < 2)
			continue;
		tried++;
		actor_up(t, &a, &half);
		last = p->msix.count - 1;
		table = p->msix.table;
		for (w = 0; w < 3; w++)
			mmio_write32(table + 16 * last + 4 * w, mmio_read32(table + 4 * w));
		pci_msix_mask(&p->msix, 0, true);
		pci_msix_mask(&p->msix, last, false);
		for (q = 0; q < a.d->max_queues; q++)
			expect_eq(t, virtio_pci_set_queue_vector(p, q, (uint16_t)last), last,
				  "%s: queue_msix_vector of queue %u", vt_who(a.d), q);
		require(t, virtio_driver_ok(a.d) == 0, "%s: %s", vt_who(a.d), a.d->error);
		before = interrupts(&a);
		actor_one(t, &a);
		expect(t, wait_for(interrupts(&a) > before, ANSWER_NS),
		       "%s: no interrupt by vector %u of %u", vt_who(a.d), last, p->msix.count);
		pci_msix_mask(&p->msix, last, true);
	}
	actor_tried(t, tried, "with two MSI-X vectors");
}

TEST(function_queue_defaults,
     .id = "virtio.pci.queue_defaults",
     .clause = "virtio 1.4, 4.1.4.3: on reset queue_size is the largest size that the device supports",
     .owner = OWNER_FRONT,
     .needs = NEED_VIRTIO_PCI)
{
	struct virtio_pci *p;
	unsigned int i;
	uint16_t q;

	for (i = 0; (p = vt_pci(i)); i++) {
		for (q = 0; q < p->vdev.max_queues; q++) {
			mmio_write16(&p->common->queue_select, q);
			if (p->vdev.max_size[q] > 2)
				mmio_write16(&p->common->queue_size, 2);
		}
		vt_must_reset(t, &p->vdev);
		for (q = 0; q < p->vdev.max_queues; q++) {
			mmio_write16(&p->common->queue_select, q);
			expect_eq(t, mmio_read16(&p->common->queue_size), p->vdev.max_size[q],
				  "%s: queue %u: queue_size after a reset", p->vdev.name, q);
		}
	}
}

/* --- administration queues ---------------------------------------------------------------------- */

struct admin_query { /* 2.12.1 */
	le16 opcode, group_type;
	uint8_t reserved[12];
	le64 member;
	le64 lists; /* of LIST_USE alone */
};
#define ADMIN_HEADER offsetof(struct admin_query, lists)

struct admin_answer {
	le16 status, qualifier;
	uint8_t reserved[4];
	le64 commands;
};

enum {
	ADMIN_EINVAL = 22,
	ADMIN_INVALID_OPCODE = 2,
	ADMIN_INVALID_FIELD = 3,
	ADMIN_INVALID_GROUP = 4,
	ADMIN_LIST_QUERY = 0,
	ADMIN_LIST_USE = 1,
	ADMIN_LISTS = 3, /* the two commands that are always there */
	ADMIN_NOBODYS = 0x7fff,
};

/* What a command and its answer lie in. */
struct admin_slot {
	struct admin_query query;
	struct admin_answer answer;
};
_Static_assert(VIRTIO_MAX_QUEUES * sizeof(struct admin_slot) <= PAGE_SIZE, "one page has them all");

/* They, and the queue that they go by. */
struct admin {
	struct virtio_device *d;
	struct virtqueue *vq;
	uint16_t index, max_size;
	struct admin_query *query;
	struct admin_answer *answer;
};

/* The n-th function that offers administration queues; NULL past the last. */
static struct virtio_pci *admin_device(unsigned int n)
{
	struct virtio_pci *p;
	unsigned int i;

	for (i = 0; (p = vt_pci(i)); i++)
		if (p->vdev.offered & VIRTIO_BIT(VIRTIO_F_ADMIN_VQ) &&
		    p->common_cap->length >= sizeof(struct virtio_pci_common_cfg) && n-- == 0)
			return p;
	return NULL;
}

/* Ends the test as a SKIP if no queue was tried. */
static void admin_tried(struct test_ctx *t, unsigned int tried)
{
	if (!tried)
		test_skip(
			t,
			"no device on PCI has an administration queue (VIRTIO_F_ADMIN_VQ, bit 41) of two descriptors");
}

static struct admin_slot *admin_page(struct test_ctx *t, struct virtio_pci *p)
{
	dma_addr_t addr;

	return (struct admin_slot *)vt_dma(t, &p->vdev, PAGE_SIZE, &addr);
}

/* Before DRIVER_OK, or behind a reset of the queue. With `size` entries, if it can have so many. */
static void admin_enable(struct test_ctx *t, struct admin *a, uint16_t size)
{
	dma_addr_t desc, driver, device;

	size = size < a->max_size ? size : a->max_size;
	vq_destroy(a->d->vq[a->index]);
	a->vq = a->d->vq[a->index] = vq_create(a->d, a->index, size);
	if (!a->vq)
		test_error(t, "no memory for a queue");
	vq_addresses(a->vq, &desc, &driver, &device);
	require(t, a->d->ops->queue_enable(a->d, a->index, size, desc, driver, device) == 0,
		"%s: enabling administration queue %u: %s", vt_who(a->d), a->index, a->d->error);
	(void)vq_interrupts(a->vq, true);
}

/*
 * The k-th administration queue of a device that is up but for DRIVER_OK. False: there is none, or the driver cannot have
 * it: it looks at so many queues only, and a command takes two descriptors.
 */
static bool admin_get(struct test_ctx *t, struct virtio_pci *p, unsigned int k, struct admin *a,
		      struct admin_slot *slot)
{
	const uint16_t index = mmio_read16(&p->common->admin_queue_index);

	if (k >= mmio_read16(&p->common->admin_queue_num) || index + k >= VIRTIO_MAX_QUEUES)
		return false;
	a->d = &p->vdev;
	a->index = (uint16_t)(index + k);
	mmio_write16(&p->common->queue_select, a->index);
	a->max_size = mmio_read16(&p->common->queue_size);
	a->query = &slot->query;
	a->answer = &slot->answer;
	if (a->max_size < 2)
		return false;
	admin_enable(t, a, 4);
	return true;
}

/* Up with these features, if it has them, but for DRIVER_OK. */
static bool admin_half(struct test_ctx *t, struct virtio_pci *p, enum virtio_irq_mode irq,
		       uint64_t features)
{
	const struct bring_up half = { .irq = irq,
				       .features = VIRTIO_BIT(VIRTIO_F_ADMIN_VQ) | features,
				       .no_driver_ok = true };

	if (features & ~p->vdev.offered)
		return false;
	vt_up(t, &p->vdev, &half);
	return true;
}

/* Its first administration queues, n at most, and DRIVER_OK. How many. */
static unsigned int admin_start(struct test_ctx *t, struct virtio_pci *p, struct admin_slot *page,
				struct admin *a, unsigned int n)
{
	unsigned int k;

	for (k = 0; k < n && admin_get(t, p, k, &a[k], &page[k]); k++)
		;
	require(t, virtio_driver_ok(&p->vdev) == 0, "%s: %s", p->vdev.name, p->vdev.error);
	return k;
}

/* Up with the first of them. False: it has none, or not these features. */
static bool admin_up(struct test_ctx *t, struct virtio_pci *p, enum virtio_irq_mode irq,
		     uint64_t features, struct admin_slot *page, struct admin *a)
{
	return admin_half(t, p, irq, features) && admin_start(t, p, page, a, 1) == 1;
}

/* LIST_QUERY for the device itself (group type 0), which it need not know. */
static void admin_ask(struct test_ctx *t, struct admin *a)
{
	const struct vq_seg out = { a->query, ADMIN_HEADER },
			    in = { a->answer, sizeof(*a->answer) };

	memset(a->query, 0, sizeof(*a->query));
	memset(a->answer, 0xff, sizeof(*a->answer));
	if (vq_add(a->vq, &out, 1, &in, 1, a))
		test_error(t, "no room in a queue of %u", vq_size(a->vq));
}

static void admin_is_answered(struct test_ctx *t, struct admin *a, const char *when)
{
	uint16_t status, qualifier;
	uint32_t len = 0;
	void *token;

	require(t, wait_for(vq_get(a->vq, &token, &len) != 0, ANSWER_NS),
		"%s: LIST_QUERY on administration queue %u is not answered, %s", vt_who(a->d),
		a->index, when);
	require(t, len >= offsetof(struct admin_answer, commands), "%s: an answer of %u bytes, %s",
		vt_who(a->d), (unsigned int)len, when);
	status = le16_to_cpu(a->answer->status);
	qualifier = le16_to_cpu(a->answer->qualifier);
	if (status == 0)
		require(t, len >= sizeof(*a->answer),
			"%s: LIST_QUERY succeeds with an answer of %u bytes, %s", vt_who(a->d),
			(unsigned int)len, when);
	if (status == 0)
		expect_eq(t, le64_to_cpu(a->answer->commands) & ADMIN_LISTS, ADMIN_LISTS,
			  "%s: LIST_QUERY and LIST_USE among the commands 0x%llx, %s", vt_who(a->d),
			  (unsigned long long)le64_to_cpu(a->answer->commands), when);
	else
		expect(t, status == ADMIN_EINVAL && qualifier == ADMIN_INVALID_GROUP,
		       "%s: LIST_QUERY for the device itself: status %u, qualifier %u, %s",
		       vt_who(a->d), status, qualifier, when);
}

static void admin_round(struct test_ctx *t, struct admin *a, const char *when)
{
	admin_ask(t, a);
	vq_kick(a->vq);
	admin_is_answered(t, a, when);
}

TEST(function_admin_queue,
     .id = "virtio.pci.admin_queue",
     .clause = "virtio 1.4, 4.1.4.3.1 MUST: admin_queue_index is num_queues or more, all indexes fit 16 bits; 2.12: LIST_QUERY is answered by each",
     .owner = OWNER_ADMIN,
     .needs = NEED_VIRTIO_PCI,
     .timeout = 20 * SEC)
{
	struct admin a[VIRTIO_MAX_QUEUES];
	struct admin_slot *page;
	unsigned int i, k, n;
	struct virtio_pci *p;
	uint32_t index, num;

	for (i = 0; (p = admin_device(i)); i++) {
		page = admin_page(t, p);
		(void)admin_half(t, p, VIRTIO_IRQ_POLL, 0);
		index = mmio_read16(&p->common->admin_queue_index);
		num = mmio_read16(&p->common->admin_queue_num);
		expect(t, index >= mmio_read16(&p->common->num_queues),
		       "%s: admin_queue_index %u, num_queues %u", p->vdev.name, (unsigned int)index,
		       mmio_read16(&p->common->num_queues));
		expect(t, num <= 0x10000 - index, "%s: %u admin queues from index %u on",
		       p->vdev.name, (unsigned int)num, (unsigned int)index);
		n = admin_start(t, p, page, a, VIRTIO_MAX_QUEUES);
		if (n < num)
			test_note(t, "%s: %u of %u administration queues are asked", p->vdev.name,
				  n, (unsigned int)num);
		for (k = 0; k < n; k++)
			admin_round(t, &a[k], "of all that there are");
	}
	admin_tried(t, i);
}

/* As many commands as the ring has buffers, and more. A device without MSI-X is polled. */
TEST(function_admin_ring,
     .id = "virtio.pci.admin_ring",
     .clause = "virtio 1.4, 4.1.4.3, 2.7, 2.8: an administration queue is a virtqueue: of the layout and with the features that were negotiated, and a vector",
     .owner = OWNER_ADMIN,
     .needs = NEED_VIRTIO_PCI,
     .timeout = 20 * SEC)
{
	static const struct {
		const char *name;
		uint64_t features;
	} sets[] = { { "without features of rings", 0 },
		     { "with EVENT_IDX", VIRTIO_BIT(VIRTIO_F_EVENT_IDX) },
		     { "with INDIRECT_DESC", VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) },
		     { "with RING_PACKED", VIRTIO_BIT(VIRTIO_F_RING_PACKED) },
		     { "with RING_PACKED, EVENT_IDX and INDIRECT_DESC",
		       VIRTIO_BIT(VIRTIO_F_RING_PACKED) | VIRTIO_BIT(VIRTIO_F_EVENT_IDX) |
			       VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) } };
	unsigned int i, s, k, tried = 0;
	struct admin_slot *page;
	struct virtio_pci *p;
	struct admin a;
	uint64_t before;

	for (i = 0; (p = admin_device(i)); i++) {
		page = admin_page(t, p);
		for (s = 0; s < sizeof(sets) / sizeof(sets[0]); s++) {
			if (!admin_up(t, p, p->has_msix ? VIRTIO_IRQ_MSIX1 : VIRTIO_IRQ_POLL,
				      sets[s].features, page, &a))
				continue;
			tried++;
			for (k = 0; k < 6; k++) {
				before = __atomic_load_n(&p->vdev.irqs.shared, __ATOMIC_RELAXED);
				admin_ask(t, &a);
				vq_kick(a.vq);
				/* Before the answer is taken: from then on no interrupt is due. */
				expect(t,
				       !p->has_msix ||
					       wait_for(__atomic_load_n(&p->vdev.irqs.shared,
									__ATOMIC_RELAXED) != before,
							ANSWER_NS),
				       "%s: no interrupt for command %u of administration queue %u, %s",
				       p->vdev.name, k + 1, a.index, sets[s].name);
				admin_is_answered(t, &a, sets[s].name);
			}
		}
	}
	admin_tried(t, tried);
}

/* Whether the device leaves the command alone that it is told of. */
static bool admin_waits(struct admin *a)
{
	vq_notify(a->vq);
	return !wait_for(vq_pending(a->vq), QUIET_NS);
}

/* Nothing in between ends the test: Bus Master comes back. */
static bool admin_waits_for_master(const struct virtio_pci *p, struct admin *a)
{
	bool waits;

	vt_bus_master(p, false);
	waits = admin_waits(a);
	vt_bus_master(p, true);
	return waits;
}

TEST(function_admin_stops,
     .id = "virtio.pci.admin_stops",
     .clause = "virtio 1.4, 2.6.1 MUST NOT: requests of a queue that was reset; 4.1.1 MUST meet PCI: without Bus Master the function accesses no memory",
     .owner = OWNER_ADMIN,
     .needs = NEED_VIRTIO_PCI)
{
	unsigned int i, tried = 0;
	struct virtio_pci *p;
	struct admin a;

	for (i = 0; (p = admin_device(i)); i++) {
		if (!admin_up(t, p, VIRTIO_IRQ_POLL,
			      VIRTIO_BIT(VIRTIO_F_RING_RESET) & p->vdev.offered, admin_page(t, p),
			      &a))
			continue;
		tried++;
		admin_round(t, &a, "at first");
		if (virtio_has(&p->vdev, VIRTIO_F_RING_RESET)) {
			require(t, p->vdev.ops->queue_reset(&p->vdev, a.index) == 0, "%s: %s",
				p->vdev.name, p->vdev.error);
			admin_ask(t, &a);
			expect(t, admin_waits(&a),
			       "%s: a command of administration queue %u is used once it was reset",
			       p->vdev.name, a.index);
			admin_enable(t, &a, 2);
			admin_round(t, &a, "enabled again with 2 buffers");
		}
		admin_ask(t, &a);
		expect(t, admin_waits_for_master(p, &a),
		       "%s: a command of administration queue %u is used with Bus Master 0",
		       p->vdev.name, a.index);
		vt_must_reset(t, &p->vdev);
	}
	admin_tried(t, tried);
}

static const struct admin_case {
	const char *name;
	uint16_t opcode, group;
	uint16_t status, qualifier; /* by a device that knows commands for itself */
} admin_cases[] = {
	{ "an opcode of nobody", ADMIN_NOBODYS, 0, ADMIN_EINVAL, ADMIN_INVALID_OPCODE },
	{ "a group type of nobody", ADMIN_LIST_QUERY, ADMIN_NOBODYS, ADMIN_EINVAL,
	  ADMIN_INVALID_GROUP },
	{ "an opcode and a group type of nobody", ADMIN_NOBODYS, ADMIN_NOBODYS, ADMIN_EINVAL,
	  ADMIN_INVALID_GROUP },
	{ "LIST_USE of the two lists", ADMIN_LIST_USE, 0, 0, 0 },
};

static void judge_admin_case(struct test_ctx *t, struct admin *a, const struct admin_case *c,
			     bool for_itself)
{
	const struct vq_seg out = { a->query, sizeof(*a->query) },
			    in = { a->answer, sizeof(*a->answer) };
	const bool refused = !c->group && !for_itself;
	uint32_t len = 0;
	void *token;

	memset(a->answer, 0xff, sizeof(*a->answer));
	*a->query = (struct admin_query){ .opcode = cpu_to_le16(c->opcode),
					  .group_type = cpu_to_le16(c->group),
					  .lists = cpu_to_le64(ADMIN_LISTS) };
	if (vq_add(a->vq, &out, 1, &in, 1, a))
		test_error(t, "no room in a queue of %u", vq_size(a->vq));
	vq_kick(a->vq);
	require(t, wait_for(vq_get(a->vq, &token, &len) != 0, ANSWER_NS), "%s: %s is not answered",
		vt_who(a->d), c->name);
	require(t, len >= offsetof(struct admin_answer, commands),
		"%s: an answer of %u bytes to %s", vt_who(a->d), (unsigned int)len, c->name);
	expect_eq(t, le16_to_cpu(a->answer->status), refused ? ADMIN_EINVAL : c->status,
		  "%s: status of %s", vt_who(a->d), c->name);
	expect_eq(t, le16_to_cpu(a->answer->qualifier),
		  refused ? ADMIN_INVALID_GROUP : c->qualifier, "%s: status qualifier of %s",
		  vt_who(a->d), c->name);
}

/* Bit 63 stands for a command that nobody has: a device may refuse the list, and then says why. */
static void admin_use_of_nobodys(struct test_ctx *t, struct admin *a, bool for_itself)
{
	const struct vq_seg out = { a->query, sizeof(*a->query) },
			    in = { a->answer, sizeof(*a->answer) };
	uint16_t status, qualifier;
	uint32_t len;
	void *token;

	memset(a->answer, 0xff, sizeof(*a->answer));
	*a->query = (struct admin_query){ .opcode = cpu_to_le16(ADMIN_LIST_USE),
					  .lists = cpu_to_le64(ADMIN_LISTS | 1ull << 63) };
	if (vq_add(a->vq, &out, 1, &in, 1, a))
		test_error(t, "no room in a queue of %u", vq_size(a->vq));
	vq_kick(a->vq);
	require(t, wait_for(vq_get(a->vq, &token, &len) != 0, ANSWER_NS),
		"%s: LIST_USE of a command of nobody is not answered", vt_who(a->d));
	status = le16_to_cpu(a->answer->status);
	qualifier = le16_to_cpu(a->answer->qualifier);
	expect(t,
	       (status == 0 && for_itself) ||
		       (status == ADMIN_EINVAL &&
			qualifier == (for_itself ? ADMIN_INVALID_FIELD : ADMIN_INVALID_GROUP)),
	       "%s: LIST_USE of a command of nobody: status %u, qualifier %u", vt_who(a->d), status,
	       qualifier);
}

TEST(function_admin_commands,
     .id = "virtio.pci.admin_commands",
     .clause = "virtio 1.4, 2.12.1.2 MUST: status and status_qualifier tell an invalid group type, then an invalid opcode; they lead into no error state; MAY fail LIST_USE, with Q_INVALID_FIELD",
     .owner = OWNER_ADMIN,
     .needs = NEED_VIRTIO_PCI)
{
	unsigned int i, k, tried = 0;
	struct virtio_pci *p;
	struct admin a;
	bool for_itself;

	for (i = 0; (p = admin_device(i)); i++) {
		if (!admin_up(t, p, VIRTIO_IRQ_POLL, 0, admin_page(t, p), &a))
			continue;
		tried++;
		admin_round(t, &a, "at first");
		for_itself = le16_to_cpu(a.answer->status) == 0;
		for (k = 0; k < sizeof(admin_cases) / sizeof(admin_cases[0]); k++)
			judge_admin_case(t, &a, &admin_cases[k], for_itself);
		admin_use_of_nobodys(t, &a, for_itself);
		admin_round(t, &a, "behind commands that it refused");
		expect(t, !(p->vdev.ops->get_status(&p->vdev) & VIRTIO_S_NEEDS_RESET),
		       "%s: DEVICE_NEEDS_RESET is set behind commands that it refused",
		       p->vdev.name);
	}
	admin_tried(t, tried);
}

/* --- SR-IOV ------------------------------------------------------------------------------------- */

enum {
	EXT_CAPS = 0x100,
	EXT_SR_IOV = 0x10,
	MAX_EXT_CAPS = 64,
};

/* Without ECAM the extended capabilities are out of reach, and read all ones. */
static bool has_ext_cap(const struct pci_dev *d, uint16_t id)
{
	unsigned int at = EXT_CAPS, i;
	uint32_t v;

	for (i = 0; i < MAX_EXT_CAPS && at >= EXT_CAPS; i++, at = v >> 20 & ~3u) {
		v = pci_read(d, at, 4);
		if (v == UINT32_MAX)
			return false;
		if ((v & 0xffff) == id)
			return true;
	}
	return false;
}

TEST(function_sr_iov,
     .id = "virtio.pci.sr_iov",
     .clause = "virtio 1.4, 6.2 MUST NOT: SR_IOV is offered by a device that is not on PCI or has no SR-IOV capability",
     .owner = OWNER_FRONT,
     .needs = NEED_VIRTIO)
{
	struct virtio_device *d;
	struct virtio_pci *p;
	unsigned int i, judged = 0;
	bool offered;

	for (i = 0; (d = vt_device(i)); i++) {
		p = virtio_pci(d);
		offered = d->ops->device_features(d) & VIRTIO_BIT(VIRTIO_F_SR_IOV);
		if (p && has_ext_cap(p->pci, EXT_SR_IOV)) {
			if (!offered)
				test_note(t, "%s: an SR-IOV capability without SR_IOV (6.2 SHOULD)",
					  vt_who(d));
			judged++;
			expect(t, true, "%s: free to offer it", vt_who(d));
			continue;
		}
		if (offered && p && strcmp(pci_access(), "ecam") != 0) {
			test_note(
				t,
				"%s: SR_IOV, and its extended capabilities are out of reach: no ECAM",
				vt_who(d));
			continue;
		}
		judged++;
		expect(t, !offered, "%s: SR_IOV (bit 37) without an SR-IOV capability", vt_who(d));
	}
	if (!judged)
		test_skip(t, "the extended capabilities are out of reach: no ECAM");
}

/* --- shared memory ------------------------------------------------------------------------------ */

#define LOOK_AT 65536u /* bytes of a region */

static bool region_has(const volatile uint8_t *at, uint32_t size, const uint8_t *what, uint32_t n)
{
	uint8_t piece[32];
	uint32_t off, k;

	for (off = 0; off + n <= size; off += 4) {
		for (k = 0; k < n; k += 4) {
			const uint32_t v = mmio_read32(at + off + k);

			memcpy(piece + k, &v, sizeof(v));
			if (memcmp(piece + k, what + k, 4) != 0)
				break;
		}
		if (k >= n)
			return true;
	}
	return false;
}

TEST(function_shared_apart,
     .id = "virtio.pci.shared_memory_apart",
     .clause = "virtio 1.4, 2.10.2 MUST NOT: a shared memory region is used to control the device or to stream data",
     .owner = "the device back end",
     .needs = NEED_VIRTIO_PCI)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	const struct virtio_pci_cap_info *c;
	volatile uint8_t *at;
	unsigned int i, tried = 0;
	uint32_t size, off;
	struct virtio_pci *p;
	struct actor a;

	actor_need(t);
	for (i = 0; (p = actor_on_pci(i, &a)); i++) {
		c = vt_shared_region(p);
		at = c ? pci_map_bar(p->pci, c->bar) : NULL;
		if (!at)
			continue;
		tried++;
		at += c->offset;
		size = c->length < LOOK_AT ? (uint32_t)c->length : LOOK_AT;
		actor_up(t, &a, &how);
		for (off = 0; off + 4 <= size; off += 4)
			mmio_write32(at + off, 0x5a000000u | off);
		/* What is written there does not disturb the device, and what the device carries does not come there. */
		actor_one(t, &a);
		expect(t, !region_has(at, size, a.mem, 16),
		       "%s: the buffer's contents lie in the shared memory region", vt_who(a.d));
	}
	actor_tried(t, tried, "with a shared memory region");
}
