/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio.mmio.*: each register of the MMIO transport (virtio 1.4, 4.2) reads and takes what the clause says in each state
 * of the device: its identity, queues, interrupt status, shared memory, the generation of the configuration.
 *
 * How hosts break it: QEMU only notes that QueueReady was written 0, so that the queue goes on, and offers RING_RESET
 * without the register for it; libkrun showed QueueSizeMax 0 in a device at work (libkrun 4a078f83); OpenVMM's
 * InterruptStatus told of a configuration change that there was not (openvmm #4049).
 *
 * How it is seen here: the tests load and store the registers themselves, on every device of version 2. Where a register
 * starts or stops something, a buffer is made available and must be used, or must not.
 */
#include "drivers/virtio/mmio.h"
#include "lib/mmio.h"
#include "tests/virtio/util.h"

#define OWNER_MMIO "the VMM's virtio-mmio front end"

#define EACH(m, i) for (i = 0; (m = vt_mmio(i)); i++)

static uint32_t rd(const struct virtio_mmio *m, unsigned int reg)
{
	return mmio_read32(m->regs + reg);
}

static void wr(const struct virtio_mmio *m, unsigned int reg, uint32_t v)
{
	mmio_write32(m->regs + reg, v);
}

static void select_queue(const struct virtio_mmio *m, uint16_t q)
{
	wr(m, VIRTIO_MMIO_QUEUE_SEL, q);
}

static void reset(struct test_ctx *t, const struct virtio_mmio *m)
{
	wr(m, VIRTIO_MMIO_STATUS, 0);
	require(t, wait_for(rd(m, VIRTIO_MMIO_STATUS) == 0, ANSWER_NS),
		"%s: status 0x%x after a reset", m->vdev.name,
		(unsigned int)rd(m, VIRTIO_MMIO_STATUS));
}

/* The driver's probing believed them once; they stay so in each state. */
TEST(mmio_identity,
     .id = "virtio.mmio.identity",
     .clause = "virtio 1.4, 4.2.2.1 MUST: MagicValue reads 0x74726976, Version 2",
     .owner = OWNER_MMIO,
     .needs = NEED_VIRTIO_MMIO)
{
	const struct bring_up full = { 0 };
	struct virtio_mmio *m;
	unsigned int i, k;

	EACH(m, i)
		for (k = 0; k < 2; k++) {
			expect_eq(t, rd(m, VIRTIO_MMIO_MAGIC_VALUE), VIRTIO_MMIO_MAGIC,
				  "%s: MagicValue", m->vdev.name);
			expect_eq(t, rd(m, VIRTIO_MMIO_VERSION), 2, "%s: Version", m->vdev.name);
			expect_eq(t, rd(m, VIRTIO_MMIO_DEVICE_ID), m->vdev.id, "%s: DeviceID",
				  m->vdev.name);
			vt_up(t, &m->vdev, &full);
		}
}

/* No register says how many queues there are. 0: the type leaves it to the device. */
static uint16_t queues_of_type(uint32_t id)
{
	switch (id) {
	case VIRTIO_ID_RNG: /* 5.4.2 */
		return 1;
	case VIRTIO_ID_IOMMU: /* 5.13.2 */
		return 2;
	case VIRTIO_ID_VSOCK: /* 5.10.2 */
		return 3;
	default:
		return 0;
	}
}

TEST(mmio_queues,
     .id = "virtio.mmio.queue_registers",
     .clause = "virtio 1.4, 4.2.2: QueueSizeMax is 0 for a queue that does not exist; 4.2.2.1 MUST: a reset clears QueueReady",
     .owner = OWNER_MMIO,
     .needs = NEED_VIRTIO_MMIO)
{
	static const uint16_t beyond[] = { 0, 1, 100, 1000 };
	/* Their lower 8 bits are those of queues that exist. */
	static const uint16_t far[] = { 256, 512, 769 };
	const struct bring_up full = { 0 };
	struct virtio_mmio *m;
	unsigned int i, k;
	uint16_t q, n;

	EACH(m, i) {
		vt_up(t, &m->vdev, &full);
		for (q = 0; q < m->vdev.max_queues; q++) {
			select_queue(m, q);
			expect(t, rd(m, VIRTIO_MMIO_QUEUE_SIZE_MAX) <= 32768,
			       "%s: queue %u: QueueSizeMax %u (2.7: at most 32768)", m->vdev.name,
			       q, (unsigned int)rd(m, VIRTIO_MMIO_QUEUE_SIZE_MAX));
			expect_eq(t, rd(m, VIRTIO_MMIO_QUEUE_SIZE_MAX), m->vdev.max_size[q],
				  "%s: queue %u: QueueSizeMax in use", m->vdev.name, q);
			expect(t, !m->vdev.max_size[q] || rd(m, VIRTIO_MMIO_QUEUE_READY) == 1,
			       "%s: queue %u: QueueReady reads 0x%x in use", m->vdev.name, q,
			       (unsigned int)rd(m, VIRTIO_MMIO_QUEUE_READY));
		}
		n = queues_of_type(m->vdev.id);
		for (k = 0; n && k < sizeof(beyond) / sizeof(beyond[0]); k++) {
			q = (uint16_t)(n + beyond[k]);
			select_queue(m, q);
			expect_eq(t, rd(m, VIRTIO_MMIO_QUEUE_SIZE_MAX), 0,
				  "%s: QueueSizeMax of queue %u of %u", m->vdev.name, q, n);
		}
		for (k = 0; n && k < sizeof(far) / sizeof(far[0]); k++) {
			select_queue(m, far[k]);
			expect_eq(t, rd(m, VIRTIO_MMIO_QUEUE_SIZE_MAX), 0,
				  "%s: QueueSizeMax of queue %u of %u", m->vdev.name, far[k], n);
		}
		reset(t, m);
		for (q = 0; q < m->vdev.max_queues; q++) {
			select_queue(m, q);
			expect_eq(t, rd(m, VIRTIO_MMIO_QUEUE_READY), 0,
				  "%s: queue %u: QueueReady after a reset", m->vdev.name, q);
		}
	}
}

TEST(mmio_interrupt_status,
     .id = "virtio.mmio.interrupt_status",
     .clause = "virtio 1.4, 4.2.2.1 MUST: an event's InterruptStatus bit is set until InterruptACK, others are 0; a reset clears it",
     .owner = OWNER_MMIO,
     .needs = NEED_VIRTIO_MMIO)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	unsigned int i, tried = 0;
	struct virtio_mmio *m;
	struct actor a;

	actor_need(t);
	for (i = 0; actor_get(i, &a); i++) {
		m = virtio_mmio(a.d);
		if (!m)
			continue;
		tried++;
		actor_up(t, &a, &how);
		expect_eq(t, rd(m, VIRTIO_MMIO_INTERRUPT_STATUS) & 3, 0,
			  "%s: InterruptStatus before anything happened", m->vdev.name);
		(void)vq_interrupts(a.vq, true);
		actor_one(t, &a);
		expect(t,
		       wait_for(rd(m, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_USED,
				ANSWER_NS),
		       "%s: InterruptStatus 0x%x after a used buffer", m->vdev.name,
		       (unsigned int)rd(m, VIRTIO_MMIO_INTERRUPT_STATUS));
		/* Reading does not acknowledge, nor does a write for another bit. */
		wr(m, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_CONFIG);
		expect_eq(t, rd(m, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_USED,
			  "%s: InterruptStatus before it is acknowledged", m->vdev.name);
		wr(m, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_USED);
		expect_eq(t, rd(m, VIRTIO_MMIO_INTERRUPT_STATUS), 0,
			  "%s: InterruptStatus once acknowledged", m->vdev.name);
		actor_one(t, &a);
		(void)wait_for(rd(m, VIRTIO_MMIO_INTERRUPT_STATUS), ANSWER_NS);
		reset(t, m);
		expect_eq(t, rd(m, VIRTIO_MMIO_INTERRUPT_STATUS), 0,
			  "%s: InterruptStatus after a reset", m->vdev.name);
	}
	actor_tried(t, tried, "on MMIO");
}

/* All bits, in each half: a driver that sees less maps memory that is not there. */
TEST(mmio_shm,
     .id = "virtio.mmio.shared_memory",
     .clause = "virtio 1.4, 4.2.2: SHMLen reads 0xffffffffffffffff for an id that is unused",
     .owner = OWNER_MMIO,
     .needs = NEED_VIRTIO_MMIO)
{
	static const uint32_t ids[] = { 0, 1, 2, 255 };
	struct virtio_mmio *m;
	unsigned int i, k, base, tried = 0;

	EACH(m, i) {
		if (m->vdev.id != VIRTIO_ID_RNG && m->vdev.id != VIRTIO_ID_VSOCK)
			continue; /* another type may have regions */
		tried++;
		base = 0;
		for (k = 0; k < 2 * sizeof(ids) / sizeof(ids[0]); k++) {
			const unsigned int high = k % 2 * 4;

			wr(m, VIRTIO_MMIO_SHM_SEL, ids[k / 2]);
			expect_eq(t, rd(m, VIRTIO_MMIO_SHM_LEN + high), UINT32_MAX,
				  "%s: %s half of SHMLen with SHMSel %u", m->vdev.name,
				  high ? "upper" : "lower", (unsigned int)ids[k / 2]);
			base |= rd(m, VIRTIO_MMIO_SHM_BASE + high) != UINT32_MAX;
		}
		/* The length says it already, and drivers look at that; QEMU shows 0. */
		if (base)
			test_note(t, "%s: SHMBase is not all ones", m->vdev.name);
	}
	if (!tried)
		test_skip(t, "no rng or vsock device on MMIO");
}

/* A driver stops a queue so (4.2.2.2); a host that goes on reads memory that the driver has reused. */
TEST(mmio_queue_stopped,
     .id = "virtio.mmio.queue_not_ready",
     .clause = "virtio 1.4, 4.2.2.1 MUST NOT: virtqueue contents are accessed while QueueReady is 0",
     .owner = OWNER_MMIO,
     .needs = NEED_VIRTIO_MMIO)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	unsigned int i, tried = 0;
	struct virtio_mmio *m;
	struct actor a;

	actor_need(t);
	for (i = 0; actor_get(i, &a); i++) {
		m = virtio_mmio(a.d);
		if (!m)
			continue;
		tried++;
		actor_up(t, &a, &how);
		actor_one(t, &a);
		select_queue(m, a.queue);
		wr(m, VIRTIO_MMIO_QUEUE_READY, 0);
		require(t, wait_for(rd(m, VIRTIO_MMIO_QUEUE_READY) == 0, ANSWER_NS),
			"%s: QueueReady reads 0x%x after 0 was written", m->vdev.name,
			(unsigned int)rd(m, VIRTIO_MMIO_QUEUE_READY));
		actor_desc(&a, 0, 0, a.len, actor_flags(&a), 0);
		actor_post(&a, 0);
		/* A late or stray notification is the device's to ignore. */
		vq_notify(a.vq);
		expect_eq(t, actor_wait(&a, 1, QUIET_NS), 0, "%s: buffers used with QueueReady 0",
			  m->vdev.name);
	}
	actor_tried(t, tried, "on MMIO");
}

/* The register alone; that the queue is left alone is virtio.mmio.queue_not_ready. */
TEST(mmio_ready,
     .id = "virtio.mmio.queue_ready",
     .clause = "virtio 1.4, 4.2.2: QueueReady reads the last value that was written to it",
     .owner = OWNER_MMIO,
     .needs = NEED_VIRTIO_MMIO)
{
	const struct bring_up full = { 0 };
	struct virtio_mmio *m;
	unsigned int i;
	uint16_t q;

	EACH(m, i) {
		vt_up(t, &m->vdev, &full);
		for (q = 0; q < m->vdev.max_queues; q++) {
			if (!m->vdev.max_size[q])
				continue;
			select_queue(m, q);
			wr(m, VIRTIO_MMIO_QUEUE_READY, 0);
			expect(t, wait_for(rd(m, VIRTIO_MMIO_QUEUE_READY) == 0, ANSWER_NS),
			       "%s: queue %u: QueueReady reads 0x%x after 0 was written",
			       m->vdev.name, q, (unsigned int)rd(m, VIRTIO_MMIO_QUEUE_READY));
		}
	}
}

TEST(mmio_generation,
     .id = "virtio.mmio.config_generation",
     .clause = "virtio 1.4, 4.2.2: ConfigGeneration stays the same while the configuration does",
     .owner = OWNER_MMIO,
     .needs = NEED_VIRTIO_MMIO)
{
	struct virtio_mmio *m;
	uint32_t first, a, b;
	unsigned int i, k, tried = 0;

	EACH(m, i) {
		if (m->size < VIRTIO_MMIO_CONFIG + 8)
			continue;
		tried++;
		first = rd(m, VIRTIO_MMIO_CONFIG_GENERATION);
		a = rd(m, VIRTIO_MMIO_CONFIG);
		b = rd(m, VIRTIO_MMIO_CONFIG + 4);
		for (k = 0; k < 100; k++)
			expect(t,
			       (rd(m, VIRTIO_MMIO_CONFIG) == a &&
				rd(m, VIRTIO_MMIO_CONFIG + 4) == b) ||
				       rd(m, VIRTIO_MMIO_CONFIG_GENERATION) != first,
			       "%s: the configuration changed, ConfigGeneration stays 0x%x",
			       m->vdev.name, (unsigned int)first);
	}
	if (!tried)
		test_skip(t, "no device shows 8 bytes of configuration");
}

TEST(mmio_queue_reset,
     .id = "virtio.mmio.queue_reset",
     .clause = "virtio 1.4, 4.2.2.1 MUST: QueueReset reads 0 after a device reset and after enabling; written 1, it reads 1 until it and QueueReady are 0",
     .owner = OWNER_MMIO,
     .needs = NEED_VIRTIO_MMIO)
{
	const struct bring_up how = { .features = VIRTIO_BIT(VIRTIO_F_RING_RESET) };
	struct virtio_mmio *m;
	unsigned int i, tried = 0;
	uint32_t v;
	uint16_t q;

	EACH(m, i) {
		if (!(m->vdev.offered & VIRTIO_BIT(VIRTIO_F_RING_RESET)))
			continue;
		tried++;
		vt_up(t, &m->vdev, &how);
		for (q = 0; q < m->vdev.max_queues; q++) {
			if (!m->vdev.max_size[q])
				continue;
			select_queue(m, q);
			expect_eq(t, rd(m, VIRTIO_MMIO_QUEUE_RESET), 0,
				  "%s: queue %u: QueueReset in use", m->vdev.name, q);
			wr(m, VIRTIO_MMIO_QUEUE_RESET, 1);
			expect(t, wait_for((v = rd(m, VIRTIO_MMIO_QUEUE_RESET)) != 1, ANSWER_NS),
			       "%s: queue %u: QueueReset reads 1 still", m->vdev.name, q);
			expect_eq(t, v, 0, "%s: queue %u: QueueReset behind 1", m->vdev.name, q);
			expect_eq(t, rd(m, VIRTIO_MMIO_QUEUE_READY), 0,
				  "%s: queue %u: QueueReady after its reset", m->vdev.name, q);
		}
		vt_must_reset(t, &m->vdev);
		for (q = 0; q < m->vdev.max_queues; q++) {
			select_queue(m, q);
			expect_eq(t, rd(m, VIRTIO_MMIO_QUEUE_RESET), 0,
				  "%s: queue %u: QueueReset after the device's reset", m->vdev.name,
				  q);
		}
	}
	if (!tried)
		test_skip(t, "no device on MMIO offers RING_RESET");
}
