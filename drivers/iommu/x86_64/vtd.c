/* SPDX-License-Identifier: BSD-2-Clause */
/* vtd.h: the unit's registers, tables, caches and records. Its numbers are checked once, when it is found. */
#include "drivers/iommu/x86_64/vtd_internal.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "lib/irq.h"
#include "lib/mem.h"
#include "lib/mmio.h"
#include "lib/paging.h"

#define MOST_BYTES (1u << 20) /* of registers */
#define ENTRIES	   512u

#define MESSAGES_FIRST 0xfee00000ull

enum {
	ONCE = 1u << VTD_SET_ROOT | 1u << 29 | 1u << VTD_FLUSH_WRITES |
	       1u << VTD_SET_INTERRUPT_TABLE,

	ROOT_SCALABLE = 1u << 10,
	QUEUE_WIDE = 1u << 11,

	TABLE_X2APIC = 1u << 11,
	TABLE_256 = 7, /* entries: 2^(n + 1) */

	RECORD = 16, /* bytes */
	STATUS_ERRORS = VTD_FAULT_QUEUE | 1u << 5 | 1u << 6,
};
#define CONTEXT_GO   (1ull << 63)
#define CONTEXT_DONE (3ull << 59)
#define IOTLB_GO     (1ull << 63)
#define IOTLB_DONE   (3ull << 57)
#define IOTLB_DRAIN  (3ull << 48)
#define RECORD_FULL  (1ull << 63)
#define RECORD_READ  (1ull << 62)

_Static_assert(sizeof(struct vtd_entry) == 16, "VT-d 9.1, 9.3, 6.5.2");

/* --- registers -------------------------------------------------------------------------------------- */

uint32_t vtd_read32(const struct vtd *v, unsigned int off)
{
	return mmio_read32(v->regs + off);
}

uint64_t vtd_read64(const struct vtd *v, unsigned int off)
{
	return mmio_read64(v->regs + off);
}

void vtd_write32(struct vtd *v, unsigned int off, uint32_t value)
{
	mmio_write32(v->regs + off, value);
}

void vtd_write64(struct vtd *v, unsigned int off, uint64_t value)
{
	mmio_write64(v->regs + off, value);
}

bool vtd_is_on(const struct vtd *v, unsigned int bit)
{
	return vtd_read32(v, VTD_STATUS) >> bit & 1;
}

/*
 * VT-d 11.4.4.1: the command is written together with the status of what is on, so that it stays on, but without the status
 * bits of commands that act once, so that the unit does not carry them out again.
 */
int vtd_command(struct vtd *v, unsigned int bit, bool on)
{
	const uint32_t now = vtd_read32(v, VTD_STATUS) & ~(uint32_t)ONCE;
	/* A write-buffer flush is done when its status bit is 0; any other bit then reads as it was written. */
	const bool then = bit != VTD_FLUSH_WRITES && on;

	vtd_write32(v, VTD_COMMAND, on ? now | 1u << bit : now & ~(1u << bit));
	return wait_for(vtd_is_on(v, bit) == then, VTD_ANSWER_NS) ? 0 : -ETIMEDOUT;
}

int vtd_set_root(struct vtd *v)
{
	vtd_write64(v, VTD_ROOT,
		    virt_to_phys(v->root) | (v->mode == VTD_LEGACY ? 0u : ROOT_SCALABLE));
	return vtd_command(v, VTD_SET_ROOT, true);
}

/* --- the unit's capabilities --------------------------------------------------------------------------- */

static unsigned int bits(uint64_t value, unsigned int high, unsigned int low)
{
	return (unsigned int)(value >> low & ((1ull << (high - low + 1)) - 1));
}

static void read_features(struct vtd *v, uint64_t cap, uint64_t ecap)
{
	struct dmar_platform p = { 0 };

	(void)dmar_platform(&p);
	v->f = (struct vtd_features){
		.address_bits = bits(cap, 21, 16) + 1,
		.physical_bits = p.address_bits,
		.domain_bits = 4 + 2 * bits(cap, 2, 0),
		.levels = bits(cap, 12, 8) << 2 & (VTD_BIT(3) | VTD_BIT(4) | VTD_BIT(5)),
		.large = bits(cap, 35, 34) << 1,
		.records = bits(cap, 47, 40) + 1,
		.most_pages = bits(cap, 53, 48),
		.by_page = cap >> 39 & 1,
		.pass_through = ecap >> 6 & 1,
		.caching_mode = cap >> 7 & 1,
		.write_buffer = cap >> 4 & 1,
		.coherent = ecap & 1,
		.snoop = ecap >> 7 & 1,
		.device_tlb = ecap >> 2 & 1,
		.protected_low = cap >> 5 & 1,
		.protected_high = cap >> 6 & 1,
		.root_invalidates = cap >> 63 & 1,
		.queue = ecap >> 1 & 1,
		.interrupts = ecap >> 3 & 1,
		.x2apic = ecap >> 4 & 1,
		.scalable = ecap >> 43 & 1,
		.second_stage = ecap >> 46 & 1,
		.first_stage = ecap >> 47 & 1,
	};
	v->iotlb_at = bits(ecap, 17, 8) * 16;
	v->records_at = bits(cap, 33, 24) * 16;
}

/* Says which of the unit's numbers cannot be right; NULL: all can. */
static const char *complaint(const struct vtd *v)
{
	if (v->f.physical_bits < 32 || v->f.physical_bits > 52)
		return "the DMAR's host address width";
	if (v->f.domain_bits > 16)
		return "the number of domains";
	if (!v->f.levels)
		return "no page tables of 3, 4 or 5 levels";
	if (v->f.address_bits < 30)
		return "the maximum guest address width";
	if (v->f.most_pages > 40)
		return "the largest invalidation by page";
	if (v->iotlb_at < VTD_INTERRUPT_TABLE || v->records_at < VTD_INTERRUPT_TABLE)
		return "IOTLB registers or fault records over other registers";
	return NULL;
}

/*
 * How many bytes of registers have to be mapped. The capabilities say where the fault records and the IOTLB's registers are;
 * these may be behind the end of the region that the DMAR table gives.
 */
static uint32_t bytes_of(const struct vtd *v)
{
	const uint32_t records = v->records_at + v->f.records * RECORD,
		       iotlb = v->iotlb_at + RECORD, most = records > iotlb ? records : iotlb;

	return most > v->unit.size ? most : v->unit.size;
}

bool vtd_find_out(struct vtd *v)
{
	v->regs = mmio_map(v->unit.base, v->unit.size);
	if (!v->regs) {
		v->face[VTD_LEGACY].m.error = "its registers cannot be mapped";
		return false;
	}
	if (vtd_read32(v, VTD_VERSION) == 0 || vtd_read32(v, VTD_VERSION) == UINT32_MAX) {
		v->face[VTD_LEGACY].m.error = "its version register";
		return false;
	}
	read_features(v, vtd_read64(v, VTD_CAPABILITY), vtd_read64(v, VTD_EXTENDED));
	v->face[VTD_LEGACY].m.error = complaint(v);
	if (!v->face[VTD_LEGACY].m.error && bytes_of(v) > v->unit.size)
		v->regs = bytes_of(v) > MOST_BYTES ? NULL : mmio_map(v->unit.base, bytes_of(v));
	if (!v->regs)
		v->face[VTD_LEGACY].m.error = "its registers cannot be mapped";
	return !v->face[VTD_LEGACY].m.error;
}

const struct vtd_features *vtd_features(const struct vtd *v)
{
	return &v->f;
}

/* --- tables ------------------------------------------------------------------------------------------- */

void vtd_written(struct vtd *v, const volatile void *entry, uint32_t bytes)
{
	const volatile uint8_t *p = entry;
	uint32_t i;

	/* A unit that does not snoop the caches reads memory (6.8). */
	if (!v->f.coherent)
		for (i = 0; i < bytes; i += 64)
			__asm__ volatile("clflush %0" : : "m"(p[i]) : "memory");
	mb();
	if (v->f.write_buffer)
		(void)vtd_command(v, VTD_FLUSH_WRITES, true);
}

/* A page that the unit can address. */
void *vtd_new_table(struct vtd *v)
{
	void *p = mem_pages(1, PAGE_SIZE);

	if (p && virt_to_phys(p) >> v->f.physical_bits) {
		mem_pages_free(p, 1);
		return NULL;
	}
	if (!p)
		return NULL;
	/* It stays as long as the domain or bus that it is of, whatever test comes first to need it. */
	if (v->lasting) {
		mem_keep(1);
		v->kept++;
	}
	vtd_written(v, p, PAGE_SIZE);
	return p;
}

void vtd_free_table(struct vtd *v, void *p)
{
	if (!p)
		return;
	mem_pages_free(p, 1);
	if (v->kept) {
		mem_unkeep(1);
		v->kept--;
	}
}

/* They are listed, since tests write entries that lead elsewhere. */
void *vtd_table_of(struct vtd *v, const void *owner)
{
	unsigned int i;

	for (i = 0; i < VTD_MAX_TABLES; i++) {
		if (v->table[i].page)
			continue;
		v->table[i].page = vtd_new_table(v);
		v->table[i].owner = owner;
		return v->table[i].page;
	}
	return NULL;
}

void vtd_free_tables(struct vtd *v, const void *owner)
{
	unsigned int i;

	for (i = 0; i < VTD_MAX_TABLES; i++) {
		if (v->table[i].owner != owner)
			continue;
		vtd_free_table(v, v->table[i].page);
		v->table[i].page = NULL;
	}
}

void vtd_disown_tables(struct vtd *v, const void *owner)
{
	unsigned int i;

	for (i = 0; i < VTD_MAX_TABLES; i++)
		if (v->table[i].owner == owner)
			v->table[i].owner = NULL;
}

unsigned int vtd_shift_of(unsigned int level)
{
	return PAGE_SHIFT + 9 * (level - 1);
}

struct vtd_domain *vtd_domain_find(struct vtd *v, uint32_t id)
{
	unsigned int i;

	for (i = 0; i < VTD_MAX_DOMAINS; i++)
		if (v->domain[i].used && v->domain[i].id == id)
			return &v->domain[i];
	return NULL;
}

le64 *vtd_walk(struct vtd *v, const struct vtd_domain *d, uint64_t address, unsigned int level,
	       bool make)
{
	le64 *table = d->table;
	unsigned int at;

	if (d->identity || level < 1 || level > d->levels || address >> vtd_shift_of(d->levels + 1))
		return NULL;
	for (at = d->levels;; at--) {
		le64 *e = &table[address >> vtd_shift_of(at) & (ENTRIES - 1)];

		if (at == level)
			return e;
		if (le64_to_cpu(*e) & VTD_LARGE)
			return NULL;
		if (!(le64_to_cpu(*e) & (VTD_READ | VTD_WRITE))) {
			void *p = make ? vtd_table_of(v, d) : NULL;

			if (!p)
				return NULL;
			WRITE_ONCE(*e, cpu_to_le64(virt_to_phys(p) | VTD_READ | VTD_WRITE |
						   (v->mode == VTD_FIRST_STAGE ?
							    VTD_USER | VTD_ACCESSED :
							    0u)));
			vtd_written(v, e, sizeof(*e));
		}
		table = phys_to_virt(VTD_ADDRESS_OF(le64_to_cpu(*e)));
	}
}

le64 *vtd_paging_entry(struct vtd *v, uint32_t domain, uint64_t address, unsigned int level,
		       bool make)
{
	const struct vtd_domain *d = vtd_domain_find(v, domain);

	return d ? vtd_walk(v, d, address, level, make) : NULL;
}

void vtd_entry_set(struct vtd *v, struct vtd_entry *e, uint64_t low, uint64_t high)
{
	WRITE_ONCE(e->low, 0);
	wmb();
	WRITE_ONCE(e->high, cpu_to_le64(high));
	wmb();
	WRITE_ONCE(e->low, cpu_to_le64(low));
	vtd_written(v, e, sizeof(*e));
}

struct vtd_entry *vtd_root_entry(struct vtd *v, uint8_t bus)
{
	return &v->root[bus];
}

struct vtd_entry *vtd_context_entry(struct vtd *v, uint16_t requester)
{
	struct vtd_entry *c = v->context[requester >> 8 << 1];

	return c ? &c[requester & 0xff] : NULL;
}

/* In scalable mode entries are twice as large, and a bus has two tables of them. */
struct vtd_entry *vtd_scalable_entry(struct vtd *v, uint16_t requester)
{
	struct vtd_entry *c = v->context[requester >> 7];

	return c ? &c[2 * (requester & 0x7f)] : NULL;
}

void vtd_levels(struct vtd *v, unsigned int levels)
{
	v->levels = levels;
}

/* --- invalidation: 6.5.1 by registers, 6.5.2 by the queue ------------------------------------------------ */

/* Descriptors have the size of one or, in scalable mode, two entries. */
static unsigned int queue_step(const struct vtd *v)
{
	return v->mode == VTD_LEGACY ? 1 : 2;
}

void vtd_queue_put(struct vtd *v, uint64_t low, uint64_t high)
{
	struct vtd_entry *e = &v->queue[v->tail];

	memset(e, 0, queue_step(v) * sizeof(*e));
	e->low = cpu_to_le64(low);
	e->high = cpu_to_le64(high);
	vtd_written(v, e, queue_step(v) * sizeof(*e));
	v->tail = (v->tail + queue_step(v)) % VTD_QUEUE_ENTRIES;
	vtd_write64(v, VTD_QUEUE_TAIL, v->tail * sizeof(*e));
}

static bool has_stopped(const struct vtd *v)
{
	return vtd_read32(v, VTD_FAULT_STATUS) & STATUS_ERRORS;
}

/* Makes a wait descriptor: the unit writes its number to v->waited, where the driver looks for it. */
static uint64_t next_wait(struct vtd *v)
{
	v->waits++;
	return VTD_DESC_WAIT | VTD_WAIT_WRITE | (uint64_t)v->waits << 32;
}

static int wait_done(struct vtd *v)
{
	(void)wait_for(v->waited == v->waits || has_stopped(v), VTD_ANSWER_NS);
	return v->waited == v->waits ? 0 : has_stopped(v) ? -EPROTO : -ETIMEDOUT;
}

int vtd_queue_wait(struct vtd *v)
{
	const uint64_t low = next_wait(v);

	vtd_queue_put(v, low, virt_to_phys(&v->waited));
	return wait_done(v);
}

int vtd_queue_resume(struct vtd *v)
{
	struct vtd_entry
		*e = &v->queue[vtd_read64(v, VTD_QUEUE_HEAD) / sizeof(*e) % VTD_QUEUE_ENTRIES];

	e->low = cpu_to_le64(next_wait(v));
	e->high = cpu_to_le64(virt_to_phys(&v->waited));
	vtd_written(v, e, sizeof(*e));
	vtd_write32(v, VTD_FAULT_STATUS, STATUS_ERRORS);
	/* Those that stand behind it come with older numbers. */
	return vtd_queue_wait(v);
}

static int queue_on(struct vtd *v)
{
	if (!v->queue)
		v->queue = vtd_new_table(v);
	if (!v->queue)
		return -ENOMEM;
	v->tail = 0;
	vtd_write64(v, VTD_QUEUE_TAIL, 0);
	vtd_write64(v, VTD_QUEUE,
		    virt_to_phys(v->queue) | (v->mode == VTD_LEGACY ? 0u : QUEUE_WIDE));
	return vtd_command(v, VTD_ON_QUEUE, true);
}

/* 6.5.2: all that is in the queue is done before it goes off, a wait descriptor as the last. */
int vtd_queue_off(struct vtd *v)
{
	if (has_stopped(v))
		(void)vtd_queue_resume(v);
	(void)vtd_queue_wait(v);
	return vtd_command(v, VTD_ON_QUEUE, false);
}

int vtd_by_queue(struct vtd *v, bool on)
{
	int ret;

	if (v->queued == on)
		return 0;
	if (!v->f.queue)
		return -EOPNOTSUPP;
	ret = on ? queue_on(v) : vtd_queue_off(v);
	if (!ret)
		v->queued = on;
	return ret;
}

int vtd_queued(struct vtd *v, uint64_t low, uint64_t high)
{
	vtd_queue_put(v, low, high);
	return vtd_queue_wait(v);
}

int vtd_forget_context(struct vtd *v, enum vtd_scope scope, uint16_t domain, uint16_t requester)
{
	uint64_t done;

	if (v->queued)
		return vtd_queued(v,
				  VTD_DESC_CONTEXT | (uint64_t)scope << 4 | (uint64_t)domain << 16 |
					  (uint64_t)requester << 32,
				  0);
	vtd_write64(v, VTD_CONTEXT_COMMAND,
		    CONTEXT_GO | (uint64_t)scope << 61 | (uint64_t)requester << 16 | domain);
	if (!wait_for(!((done = vtd_read64(v, VTD_CONTEXT_COMMAND)) & CONTEXT_GO), VTD_ANSWER_NS))
		return -ETIMEDOUT;
	return done & CONTEXT_DONE ? 0 : -EPROTO;
}

int vtd_forget(struct vtd *v, enum vtd_scope scope, uint16_t domain, uint64_t address,
	       unsigned int pages)
{
	const uint64_t where = (address & ~(PAGE_SIZE - 1)) | pages;
	uint64_t done;

	if (v->queued)
		return vtd_queued(
			v, VTD_DESC_IOTLB | (uint64_t)scope << 4 | 3u << 6 | (uint64_t)domain << 16,
			scope == VTD_OF_ONE ? where : 0);
	if (scope == VTD_OF_ONE)
		vtd_write64(v, v->iotlb_at, where);
	vtd_write64(v, v->iotlb_at + 8,
		    IOTLB_GO | IOTLB_DRAIN | (uint64_t)scope << 60 | (uint64_t)domain << 32);
	if (!wait_for(!((done = vtd_read64(v, v->iotlb_at + 8)) & IOTLB_GO), VTD_ANSWER_NS))
		return -ETIMEDOUT;
	return done & IOTLB_DONE ? 0 : -EPROTO;
}

int vtd_forget_interrupts(struct vtd *v, bool all, uint16_t index, unsigned int n)
{
	if (!v->queued)
		return -EOPNOTSUPP;
	return vtd_queued(v,
			  VTD_DESC_INTERRUPTS | (all ? 0u : 1u << 4) | (uint64_t)n << 27 |
				  (uint64_t)index << 32,
			  0);
}

int vtd_forget_all(struct vtd *v)
{
	int ret = vtd_forget_context(v, VTD_ALL, 0, 0);

	if (!ret && v->mode != VTD_LEGACY)
		ret = vtd_queued(v, VTD_DESC_PASID_CACHE | VTD_PASID_ALL, 0);
	return ret ? ret : vtd_forget(v, VTD_ALL, 0, 0, 0);
}

/* --- interrupts ----------------------------------------------------------------------------------------- */

static int interrupts_on(struct vtd *v)
{
	int ret;

	if (!v->f.interrupts)
		return -EOPNOTSUPP;
	if (!v->messages)
		v->messages = vtd_new_table(v);
	if (!v->messages)
		return -ENOMEM;
	memset(v->messages, 0, PAGE_SIZE);
	vtd_written(v, v->messages, PAGE_SIZE);
	vtd_write64(v, VTD_INTERRUPT_TABLE,
		    virt_to_phys(v->messages) | (v->f.x2apic ? TABLE_X2APIC : 0u) | TABLE_256);
	ret = vtd_command(v, VTD_SET_INTERRUPT_TABLE, true);
	if (!ret)
		ret = vtd_forget_interrupts(v, true, 0, 0);
	if (!ret && vtd_is_on(v, VTD_ON_COMPATIBILITY))
		ret = vtd_command(v, VTD_ON_COMPATIBILITY, false);
	return ret ? ret : vtd_command(v, VTD_ON_INTERRUPTS, true);
}

int vtd_interrupts(struct vtd *v, bool on)
{
	return on ? interrupts_on(v) : vtd_command(v, VTD_ON_INTERRUPTS, false);
}

struct vtd_entry *vtd_interrupt_entry(struct vtd *v, uint16_t index)
{
	return &v->messages[index % VTD_INTERRUPTS];
}

/* The message without remapping says which CPU, by the ID of its local APIC. */
int vtd_interrupt_to(const struct vtd *v, int vector, unsigned int cpu, uint64_t *low)
{
	uint64_t addr, apic;
	uint32_t data;
	const int ret = irq_message_direct(vector, cpu, &addr, &data);

	if (ret)
		return ret;
	apic = addr >> 12 & 0xff;
	*low = VTD_PRESENT | VTD_VECTOR(data & 0xff) | apic << (v->f.x2apic ? 32 : 40);
	return 0;
}

uint64_t vtd_message_address(uint16_t index, bool sub)
{
	return MESSAGES_FIRST | (uint64_t)(index & 0x7fff) << 5 | 1u << 4 | (sub ? 1u << 3 : 0u) |
	       (index & 0x8000 ? 1u << 2 : 0u);
}

/* --- faults --------------------------------------------------------------------------------------------- */

int vtd_fault_get(struct vtd *v, struct vtd_fault *f)
{
	const uint32_t status = vtd_read32(v, VTD_FAULT_STATUS);
	const unsigned int first = status >> 8 & 0xff;
	unsigned int i, at;
	uint64_t low, high;

	if (status & VTD_FAULT_OVERFLOW)
		v->lost = true;
	if (!(status & VTD_FAULT_PENDING)) {
		if (status & VTD_FAULT_OVERFLOW)
			vtd_write32(v, VTD_FAULT_STATUS, VTD_FAULT_OVERFLOW);
		return 0;
	}
	for (i = 0; i < v->f.records; i++) {
		at = v->records_at + (first + i) % v->f.records * RECORD;
		high = vtd_read64(v, at + 8);
		if (!(high & RECORD_FULL))
			continue;
		low = vtd_read64(v, at);
		*f = (struct vtd_fault){ .requester = (uint16_t)high,
					 .reason = (uint8_t)(high >> 32),
					 .read = high & RECORD_READ,
					 .page = low & ~(PAGE_SIZE - 1),
					 .index = (uint16_t)(low >> 48) };
		vtd_write32(v, at + 12, (uint32_t)(RECORD_FULL >> 32));
		return 1;
	}
	return -EPROTO;
}

bool vtd_fault_lost(struct vtd *v)
{
	const bool lost = v->lost || vtd_read32(v, VTD_FAULT_STATUS) & VTD_FAULT_OVERFLOW;

	vtd_write32(v, VTD_FAULT_STATUS, VTD_FAULT_OVERFLOW);
	v->lost = false;
	return lost;
}

void vtd_clear_faults(struct vtd *v)
{
	struct vtd_fault f;
	unsigned int i;

	for (i = 0; i <= v->f.records && vtd_fault_get(v, &f) > 0; i++)
		;
	vtd_write32(v, VTD_FAULT_STATUS, VTD_FAULT_OVERFLOW | STATUS_ERRORS);
	v->lost = false;
}
