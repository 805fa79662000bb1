/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iommu.vtd.*: what a VT-d unit says: its records of faults, the interrupts that tell of them, and its registers (Intel VT-d 4.1,
 * 7.2, 7.3, 11.4).
 *
 * How hosts break it: an overflow stops records for good; the source is that of another function; each fault sends an
 * interrupt, or none behind the first; a feature's bit stands in the wrong register.
 */
#include "lib/errname.h"
#include "lib/irq.h"
#include "tests/x86_64/vtd.h"

#define OWNER OWNER_VTD
#define NEEDS (NEED_VTD | NEED_ENDPOINT)

/* --- interrupts ---------------------------------------------------------------------------------------- */

static unsigned int events; /* atomic */

static void on_event(void *arg)
{
	(void)arg;
	__atomic_add_fetch(&events, 1, __ATOMIC_RELEASE);
}

static unsigned int came(void)
{
	return __atomic_load_n(&events, __ATOMIC_ACQUIRE);
}

/* The message of three registers in a row: data, address, upper address. */
static void listen(struct test_ctx *t, struct vtd *v, unsigned int data_at)
{
	uint64_t addr;
	uint32_t data;

	if (irq_message_direct(vtd_vector(t, on_event), 0, &addr, &data))
		test_error(t, "no message gives the first CPU an interrupt");
	events = 0;
	vtd_write32(v, data_at, data);
	vtd_write32(v, data_at + 4, (uint32_t)addr);
	vtd_write32(v, data_at + 8, (uint32_t)(addr >> 32));
}

/* Both kinds of events: masked they wait, unmasked they come, once. */
static void comes_unmasked(struct test_ctx *t, struct vtd *v, unsigned int control,
			   const char *what)
{
	(void)wait_for(vtd_read32(v, control) & VTD_EVENT_PENDING, 2 * test_sec());
	expect_eq(t, vtd_read32(v, control), VTD_EVENT_MASKED | VTD_EVENT_PENDING,
		  "control register, %s is masked", what);
	expect_eq(t, came(), 0, "interrupts, %s is masked", what);
	vtd_write32(v, control, 0);
	require(t, wait_for(came() == 1, 2 * test_sec()), "%s is unmasked: %u interrupts", what,
		came());
	expect_eq(t, vtd_read32(v, control), 0, "control register, %s was sent", what);
}

static void is_done(struct test_ctx *t, int ret, const char *what)
{
	require(t, ret == 0, "%s: %s", what, err_text(ret));
}

TEST(vtd_queue_event,
     .id = "iommu.vtd.queue_event",
     .clause = "VT-d 6.5.2, 11.4: a wait descriptor that asks for it sends an interrupt, at once or when it is unmasked",
     .owner = OWNER,
     .needs = NEED_VTD,
     .liveness = 1,
     .timeout = 30 * SEC)
{
	struct vtd *v = vtd_up(t);

	if (!vtd_way(t, v, 1))
		test_skip(t, "no invalidation queue is offered");
	listen(t, v, VTD_DONE_DATA);
	vtd_queue_put(v, VTD_DESC_WAIT | VTD_WAIT_INTERRUPT, 0);
	is_done(t, vtd_queue_wait(v), "a wait descriptor");
	expect_eq(t, vtd_read32(v, VTD_DONE_STATUS) & 1, 1, "completion status");
	comes_unmasked(t, v, VTD_DONE_CONTROL, "a completion event");
	vtd_write32(v, VTD_DONE_STATUS, 1);
	expect_eq(t, vtd_read32(v, VTD_DONE_STATUS) & 1, 0, "completion status, cleared");
	vtd_queue_put(v, VTD_DESC_WAIT | VTD_WAIT_INTERRUPT, 0);
	is_done(t, vtd_queue_wait(v), "a wait descriptor");
	expect(t, wait_for(came() == 2, 2 * test_sec()),
	       "an event that is not masked does not come");
	vtd_write32(v, VTD_DONE_CONTROL, VTD_EVENT_MASKED);
	vtd_write32(v, VTD_DONE_STATUS, 1);
	expect_eq(t, came(), 2, "interrupts of two events");
}

/* --- faults ------------------------------------------------------------------------------------------------------- */

TEST(vtd_fault_event,
     .id = "iommu.vtd.fault_event",
     .clause = "VT-d 7.2.1, 7.3: the first fault that is recorded sends an interrupt, at once or when it is unmasked; those behind it do not",
     .owner = OWNER,
     .needs = NEEDS,
     .liveness = 1,
     .timeout = 30 * SEC)
{
	struct vtd *v = vtd_up(t);
	const struct endpoint e = vtd_quick(t);
	uint8_t *page = iommu_pages(t, 1);

	attach(t, &e, domain_of(0));
	map(t, domain_of(0), iova_of(3), page, 1, RW);
	vtd_drain(v);
	listen(t, v, VTD_FAULT_DATA);
	dma_store(t, &e, iova_of(0), 4);
	comes_unmasked(t, v, VTD_FAULT_CONTROL, "a fault event");
	dma_store(t, &e, iova_of(1), 4);
	/* Behind a later request of the same endpoint that has come through, the earlier one is recorded. */
	dma_reaches(t, &e, iova_of(3), page, 0, 64, "mapped");
	expect_eq(t, came(), 1, "interrupts, and the first fault was not taken");
	vtd_drain(v);
	dma_store(t, &e, iova_of(2), 4);
	expect(t, wait_for(came() == 2, 2 * test_sec()),
	       "a fault behind those that were taken sends no interrupt");
	dma_store(t, &e, iova_of(1), 4);
	dma_reaches(t, &e, iova_of(3), page, 0, 64, "mapped");
	vtd_drain(v);
	vtd_write32(v, VTD_FAULT_CONTROL, VTD_EVENT_MASKED);
	expect_eq(t, came(), 2,
		  "interrupts of two faults that were the first, and two that were not");
}

TEST(vtd_record,
     .id = "iommu.vtd.record",
     .clause = "VT-d 7.2.1, 11.4: a record has the source, the page, the kind of access and the reason; cleared, nothing is pending",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 60 * SEC)
{
	struct vtd *v = vtd_up(t);
	uint8_t *page = iommu_pages(t, 1);
	const uint64_t last = iommu_now()->limits.last - PAGE_SIZE + 1;
	struct endpoint e;
	unsigned int i;

	for (i = 0; endpoint_get(t, i, &e); i++) {
		attach(t, &e, domain_of(0));
		map(t, domain_of(0), iova_of(0), page, 1, IOMMU_READ);
		vtd_faults(t, v, &e, iova_of(0) + 0xabc, page, 1, VTD_NO_WRITE,
			   "a write to a read-only page");
		vtd_faults(t, v, &e, iova_of(7) + 0x10, page, 1, VTD_NO_WRITE,
			   "a write to what is not mapped");
		if (last <= e.a->reach)
			vtd_faults(t, v, &e, last, page, 1, VTD_NO_WRITE,
				   "a write to the last page, which is not mapped");
		map(t, domain_of(0), iova_of(1), page, 1, RW);
		dma_reaches(t, &e, iova_of(1), page, 0, 64, "mapped");
		/* The oldest record is that of the access that is due one. */
		vtd_faults_first(t, v, &e, iova_of(9), page, 1, VTD_NO_WRITE,
				 "a write to what is not mapped, behind one to what is");
		/* The last: what it reads there is what it would write from now on. */
		if (e.a->reads) {
			dma_load(t, &e, iova_of(8), 16);
			vtd_recorded(t, v, &e, VTD_NO_READ, iova_of(8), true,
				     "a read of what is not mapped");
		}
		vtd_drain(v);
		expect_eq(t, vtd_read32(v, VTD_FAULT_STATUS) & 0xff, 0,
			  "fault status, all records are cleared");
		detach(t, &e, domain_of(0));
	}
}

TEST(vtd_overflow,
     .id = "iommu.vtd.overflow",
     .clause = "VT-d 7.2.1: faults for which there is no record are lost, which is reported; requests are blocked all the same, and later faults recorded",
     .owner = OWNER,
     .needs = NEEDS | NEED_ENDPOINTS,
     .timeout = 60 * SEC)
{
	struct vtd *v = vtd_up(t);
	const unsigned int records = vtd_features(v)->records;
	uint8_t *page = iommu_pages(t, 1);
	struct endpoint e[2];
	struct vtd_fault f;
	unsigned int i, n;

	endpoint_two(t, e);
	attach(t, &e[0], domain_of(0));
	attach(t, &e[1], domain_of(1));
	vtd_drain(v);
	/* Two sources in turns, since faults of one may share a record. */
	for (i = 0; i < 2 * records + 2; i++)
		dma_is_stopped(t, &e[i & 1], iova_of(i), page, 1, "while records fill up");
	(void)wait_for(vtd_read32(v, VTD_FAULT_STATUS) & VTD_FAULT_PENDING, 2 * test_sec());
	for (n = 0; n <= records && vtd_fault_get(v, &f) > 0; n++)
		expect(t, f.requester == e[0].id || f.requester == e[1].id,
		       "a record of 0x%x, which did nothing", f.requester);
	expect(t, n <= records, "%u records, and there are %u", n, records);
	/* Of two sources one has no record where there is one alone; else all of them may share those of their sources. */
	expect(t, records > 1 || wait_for(vtd_fault_lost(v), 2 * test_sec()),
	       "%u faults of two sources, one record, and no overflow", 2 * records + 2);
	vtd_drain(v);
	expect_eq(t, vtd_read32(v, VTD_FAULT_STATUS) & (VTD_FAULT_OVERFLOW | VTD_FAULT_PENDING), 0,
		  "fault status behind the overflow");
	vtd_faults(t, v, &e[0], iova_of(3), page, 1, VTD_NO_WRITE, "a write behind an overflow");
}

/* --- registers ------------------------------------------------------------------------------------------------------ */

TEST(vtd_read_only,
     .id = "iommu.vtd.read_only_registers",
     .clause = "VT-d 11.4: registers that are read-only keep their value whatever is written",
     .owner = OWNER,
     .needs = NEED_VTD)
{
	static const struct {
		uint8_t at, bytes;
		const char *name;
	} reg[] = {
		{ VTD_VERSION, 4, "version" },	     { VTD_CAPABILITY, 8, "capability" },
		{ VTD_EXTENDED, 8, "extended" },     { VTD_STATUS, 4, "global status" },
		{ VTD_QUEUE_HEAD, 8, "queue head" },
	};
	static const uint64_t values[] = { 0, UINT64_MAX, 0x5a5a5a5a5a5a5a5a };
	struct vtd *v = vtd_up(t);
	unsigned int i, k;

	for (i = 0; i < sizeof(reg) / sizeof(reg[0]); i++) {
		for (k = 0; k < 3; k++) {
			const bool wide = reg[i].bytes == 8;
			const uint64_t old = wide ? vtd_read64(v, reg[i].at) :
						    vtd_read32(v, reg[i].at);

			if (wide)
				vtd_write64(v, reg[i].at, values[k]);
			else
				vtd_write32(v, reg[i].at, (uint32_t)values[k]);
			expect_eq(t, wide ? vtd_read64(v, reg[i].at) : vtd_read32(v, reg[i].at),
				  old, "%s, 0x%llx was written", reg[i].name,
				  (unsigned long long)values[k]);
		}
	}
	/* What the command register reads as is undefined (11.4.4.1). */
}

TEST(vtd_halves,
     .id = "iommu.vtd.register_halves",
     .clause = "VT-d 11.2: a register of 64 bits can be read in two halves",
     .owner = OWNER,
     .needs = NEED_VTD)
{
	static const uint8_t at[] = { VTD_CAPABILITY, VTD_EXTENDED,   VTD_ROOT,
				      VTD_QUEUE_HEAD, VTD_QUEUE_TAIL, VTD_QUEUE };
	struct vtd *v = vtd_up(t);
	unsigned int i;

	(void)vtd_way(t, v, 1);
	for (i = 0; i < sizeof(at); i++)
		expect_eq(t, vtd_read32(v, at[i]) | (uint64_t)vtd_read32(v, at[i] + 4u) << 32,
			  vtd_read64(v, at[i]), "two halves of the register at 0x%x", at[i]);
}

TEST(vtd_capabilities,
     .id = "iommu.vtd.capabilities",
     .clause = "VT-d 11.4.2, 11.4.3: the capabilities name what there is: widths, domains, registers that they place; protected regions where they say so",
     .owner = OWNER,
     .needs = NEED_VTD)
{
	struct vtd *v = vtd_up(t);
	const struct vtd_features *f = vtd_features(v);
	struct dmar_platform p;
	unsigned int i;

	require(t, dmar_platform(&p), "no DMAR");
	expect(t, !f->interrupts || f->queue, "interrupt remapping without an invalidation queue");
	expect(t, !f->x2apic || f->interrupts, "x2APIC without interrupt remapping");
	expect(t, !p.remaps_interrupts || f->interrupts,
	       "the DMAR says that interrupts are remapped, the unit says that it cannot");
	for (i = 0; i < 2; i++) {
		if (!(f->protected_low || f->protected_high))
			break;
		vtd_write32(v, VTD_PROTECTED, i ? 0 : 1u << 31);
		expect(t, wait_for((vtd_read32(v, VTD_PROTECTED) & 1) == !i, test_sec()),
		       "protected regions are offered, and do not go %s", i ? "off" : "on");
	}
}
