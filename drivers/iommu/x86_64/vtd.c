/* SPDX-License-Identifier: BSD-2-Clause */
/* vtd.h: the unit, its tables and its records. The unit's numbers are checked once, when it is found. */
#include "drivers/iommu/x86_64/vtd.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "lib/env.h"
#include "lib/init.h"
#include "lib/irq.h"
#include "lib/mem.h"
#include "lib/mmio.h"
#include "lib/paging.h"
#include "lib/spinlock.h"
#include "lib/time.h"

#define MAX_UNITS   4u
#define MAX_DOMAINS 32u
#define MAX_SEATS   32u
#define MAX_TABLES  512u
#define MOST_BYTES  (1u << 20) /* of registers */
#define ENTRIES	    512u
#define ANSWER_NS   (2 * time_sec())
#define LOCK_NS	    (4 * time_sec())
#define BIT(n)	    (1u << (n))

#define MESSAGES_FIRST 0xfee00000ull
#define MESSAGES_LAST  0xfeefffffull

enum {
	DEFAULT_LEVELS = 4,
	ONCE = 1u << VTD_SET_ROOT | 1u << 29 | 1u << VTD_FLUSH_WRITES |
	       1u << VTD_SET_INTERRUPT_TABLE,

	ROOT_SCALABLE = 1u << 10,
	QUEUE_WIDE = 1u << 11,
	PROTECTED_ON = 1u << 31,
	PROTECTED_IS = 1u << 0,

	TABLE_X2APIC = 1u << 11,
	TABLE_256 = 7, /* entries: 2^(n + 1) */

	RECORD = 16, /* bytes */
	STATUS_ERRORS = VTD_FAULT_QUEUE | 1u << 5 | 1u << 6,
};
enum { /* scalable mode: 6.5.2, 9.6 */
	DESC_PASID_IOTLB = 6,
	DESC_PASID_CACHE = 7,
	PASID_OF_DOMAIN = 0u << 4,
	PASID_ALL = 3u << 4,
	PASID_PAGES = 3u << 4,

	STAGE_FIRST = 1u << 6,
	STAGE_SECOND = 2u << 6,
	STAGE_NONE = 4u << 6,

	USER = 1u << 2, /* of entries of the first stage */
	ACCESSED = 1u << 5,
	DIRTY = 1u << 6,
};
#define CONTEXT_GO   (1ull << 63)
#define CONTEXT_DONE (3ull << 59)
#define IOTLB_GO     (1ull << 63)
#define IOTLB_DONE   (3ull << 57)
#define IOTLB_DRAIN  (3ull << 48)
#define RECORD_FULL  (1ull << 63)
#define RECORD_READ  (1ull << 62)

_Static_assert(sizeof(struct vtd_entry) == 16, "VT-d 9.1, 9.3, 6.5.2");

struct domain {
	bool used, identity;
	uint32_t id;
	unsigned int levels, seats;
	le64 *table;
};

/* An endpoint that is attached. */
struct seat {
	struct domain *d; /* NULL: nobody sits here */
	uint16_t requester;
	le64 *directory, *pasids; /* in scalable mode */
};

/* Each is an IOMMU to others, one of them at a time is up. */
enum mode {
	LEGACY,
	SECOND_STAGE, /* scalable mode */
	FIRST_STAGE,  /* likewise */
	MODES,
};

struct face {
	struct iommu m;
	struct vtd *v;
	enum mode mode;
};

struct vtd {
	struct face face[MODES];
	enum mode mode;
	struct dmar_unit unit;
	unsigned int number;
	volatile uint8_t *regs;
	struct vtd_features f;
	unsigned int iotlb_at, records_at; /* offsets of registers */
	bool up, queued, lasting;
	unsigned int epoch; /* starts so far */
	spinlock_t lock;
	unsigned int levels;			   /* of new domains */
	struct vtd_entry *root, *context[2 * 256]; /* legacy mode has one of two for each bus */
	struct domain domain[MAX_DOMAINS];
	struct seat seat[MAX_SEATS];
	struct {
		void *page; /* NULL: free */
		const struct domain *owner;
	} table[MAX_TABLES];
	struct vtd_entry *queue, *messages;
	unsigned int tail;
	volatile uint32_t waited;
	uint32_t waits;
	bool lost;
};

static struct vtd units[MAX_UNITS];
static unsigned int count;

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

static bool is_on(const struct vtd *v, unsigned int bit)
{
	return vtd_read32(v, VTD_STATUS) >> bit & 1;
}

/* 11.4.4.1: what is on stays on, what is done once is not done again. */
int vtd_command(struct vtd *v, unsigned int bit, bool on)
{
	const uint32_t now = vtd_read32(v, VTD_STATUS) & ~(uint32_t)ONCE;
	/* The flush of writes says that it is done by 0. */
	const bool then = bit != VTD_FLUSH_WRITES && on;

	vtd_write32(v, VTD_COMMAND, on ? now | 1u << bit : now & ~(1u << bit));
	return wait_for(is_on(v, bit) == then, ANSWER_NS) ? 0 : -ETIMEDOUT;
}

int vtd_set_root(struct vtd *v)
{
	vtd_write64(v, VTD_ROOT, virt_to_phys(v->root) | (v->mode == LEGACY ? 0u : ROOT_SCALABLE));
	return vtd_command(v, VTD_SET_ROOT, true);
}

/* --- what the unit can -------------------------------------------------------------------------------- */

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
		.levels = bits(cap, 12, 8) << 2 & (BIT(3) | BIT(4) | BIT(5)),
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

/* What is wrong with the numbers, or NULL. */
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

/* Registers that the capabilities place may lie behind those that the table counts. */
static uint32_t bytes_of(const struct vtd *v)
{
	const uint32_t records = v->records_at + v->f.records * RECORD,
		       iotlb = v->iotlb_at + RECORD, most = records > iotlb ? records : iotlb;

	return most > v->unit.size ? most : v->unit.size;
}

static bool find_out(struct vtd *v)
{
	v->regs = mmio_map(v->unit.base, v->unit.size);
	if (!v->regs) {
		v->face[LEGACY].m.error = "its registers cannot be mapped";
		return false;
	}
	if (vtd_read32(v, VTD_VERSION) == 0 || vtd_read32(v, VTD_VERSION) == UINT32_MAX) {
		v->face[LEGACY].m.error = "its version register";
		return false;
	}
	read_features(v, vtd_read64(v, VTD_CAPABILITY), vtd_read64(v, VTD_EXTENDED));
	v->face[LEGACY].m.error = complaint(v);
	if (!v->face[LEGACY].m.error && bytes_of(v) > v->unit.size)
		v->regs = bytes_of(v) > MOST_BYTES ? NULL : mmio_map(v->unit.base, bytes_of(v));
	if (!v->regs)
		v->face[LEGACY].m.error = "its registers cannot be mapped";
	return !v->face[LEGACY].m.error;
}

struct vtd *vtd_get(unsigned int n)
{
	return n < count ? &units[n] : NULL;
}

struct iommu *vtd_iommu(struct vtd *v)
{
	return &v->face[LEGACY].m;
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
static void *new_table(struct vtd *v)
{
	void *p = mem_pages(1, PAGE_SIZE);

	if (p && virt_to_phys(p) >> v->f.physical_bits) {
		mem_pages_free(p, 1);
		return NULL;
	}
	if (!p)
		return NULL;
	/* It stays as long as the domain or bus that it is of, whatever test comes first to need it. */
	if (v->lasting && v->up)
		mem_keep(1);
	vtd_written(v, p, PAGE_SIZE);
	return p;
}

/* A table of the domain's. They are listed, since tests write entries that lead elsewhere. */
static void *domain_table(struct vtd *v, const struct domain *d)
{
	unsigned int i;

	for (i = 0; i < MAX_TABLES; i++) {
		if (v->table[i].page)
			continue;
		v->table[i].page = new_table(v);
		v->table[i].owner = d;
		return v->table[i].page;
	}
	return NULL;
}

static void free_tables(struct vtd *v, const struct domain *d)
{
	unsigned int i;

	for (i = 0; i < MAX_TABLES; i++) {
		if (!v->table[i].page || v->table[i].owner != d)
			continue;
		mem_pages_free(v->table[i].page, 1);
		v->table[i].page = NULL;
	}
}

static unsigned int shift_of(unsigned int level)
{
	return PAGE_SHIFT + 9 * (level - 1);
}

static struct domain *domain_find(struct vtd *v, uint32_t id)
{
	unsigned int i;

	for (i = 0; i < MAX_DOMAINS; i++)
		if (v->domain[i].used && v->domain[i].id == id)
			return &v->domain[i];
	return NULL;
}

static le64 *walk(struct vtd *v, const struct domain *d, uint64_t address, unsigned int level,
		  bool make)
{
	le64 *table = d->table;
	unsigned int at;

	if (d->identity || level < 1 || level > d->levels || address >> shift_of(d->levels + 1))
		return NULL;
	for (at = d->levels;; at--) {
		le64 *e = &table[address >> shift_of(at) & (ENTRIES - 1)];

		if (at == level)
			return e;
		if (le64_to_cpu(*e) & VTD_LARGE)
			return NULL;
		if (!(le64_to_cpu(*e) & (VTD_READ | VTD_WRITE))) {
			void *p = make ? domain_table(v, d) : NULL;

			if (!p)
				return NULL;
			WRITE_ONCE(*e,
				   cpu_to_le64(virt_to_phys(p) | VTD_READ | VTD_WRITE |
					       (v->mode == FIRST_STAGE ? USER | ACCESSED : 0u)));
			vtd_written(v, e, sizeof(*e));
		}
		table = phys_to_virt(VTD_ADDRESS_OF(le64_to_cpu(*e)));
	}
}

le64 *vtd_paging_entry(struct vtd *v, uint32_t domain, uint64_t address, unsigned int level,
		       bool make)
{
	const struct domain *d = domain_find(v, domain);

	return d ? walk(v, d, address, level, make) : NULL;
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
static struct vtd_entry *scalable_entry(struct vtd *v, uint16_t requester)
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
	return v->mode == LEGACY ? 1 : 2;
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

/* Its number is written where the driver waits for it. */
static uint64_t next_wait(struct vtd *v)
{
	v->waits++;
	return VTD_DESC_WAIT | VTD_WAIT_WRITE | (uint64_t)v->waits << 32;
}

static int wait_done(struct vtd *v)
{
	(void)wait_for(v->waited == v->waits || has_stopped(v), ANSWER_NS);
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
	vtd_write64(v, VTD_QUEUE_TAIL, v->tail * sizeof(*e));
	return wait_done(v);
}

static int queue_on(struct vtd *v)
{
	if (!v->queue)
		v->queue = new_table(v);
	if (!v->queue)
		return -ENOMEM;
	v->tail = 0;
	vtd_write64(v, VTD_QUEUE_TAIL, 0);
	vtd_write64(v, VTD_QUEUE, virt_to_phys(v->queue) | (v->mode == LEGACY ? 0u : QUEUE_WIDE));
	return vtd_command(v, VTD_ON_QUEUE, true);
}

/* 6.5.2: all that is in the queue is done before it goes off, a wait descriptor as the last. */
static int queue_off(struct vtd *v)
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
	ret = on ? queue_on(v) : queue_off(v);
	if (!ret)
		v->queued = on;
	return ret;
}

static int by_queue(struct vtd *v, uint64_t low, uint64_t high)
{
	vtd_queue_put(v, low, high);
	return vtd_queue_wait(v);
}

int vtd_forget_context(struct vtd *v, enum vtd_scope scope, uint16_t domain, uint16_t requester)
{
	uint64_t done;

	if (v->queued)
		return by_queue(v,
				VTD_DESC_CONTEXT | (uint64_t)scope << 4 | (uint64_t)domain << 16 |
					(uint64_t)requester << 32,
				0);
	vtd_write64(v, VTD_CONTEXT_COMMAND,
		    CONTEXT_GO | (uint64_t)scope << 61 | (uint64_t)requester << 16 | domain);
	if (!wait_for(!((done = vtd_read64(v, VTD_CONTEXT_COMMAND)) & CONTEXT_GO), ANSWER_NS))
		return -ETIMEDOUT;
	return done & CONTEXT_DONE ? 0 : -EPROTO;
}

int vtd_forget(struct vtd *v, enum vtd_scope scope, uint16_t domain, uint64_t address,
	       unsigned int pages)
{
	const uint64_t where = (address & ~(PAGE_SIZE - 1)) | pages;
	uint64_t done;

	if (v->queued)
		return by_queue(
			v, VTD_DESC_IOTLB | (uint64_t)scope << 4 | 3u << 6 | (uint64_t)domain << 16,
			scope == VTD_OF_ONE ? where : 0);
	if (scope == VTD_OF_ONE)
		vtd_write64(v, v->iotlb_at, where);
	vtd_write64(v, v->iotlb_at + 8,
		    IOTLB_GO | IOTLB_DRAIN | (uint64_t)scope << 60 | (uint64_t)domain << 32);
	if (!wait_for(!((done = vtd_read64(v, v->iotlb_at + 8)) & IOTLB_GO), ANSWER_NS))
		return -ETIMEDOUT;
	return done & IOTLB_DONE ? 0 : -EPROTO;
}

int vtd_forget_interrupts(struct vtd *v, bool all, uint16_t index, unsigned int n)
{
	if (!v->queued)
		return -EOPNOTSUPP;
	return by_queue(v,
			VTD_DESC_INTERRUPTS | (all ? 0u : 1u << 4) | (uint64_t)n << 27 |
				(uint64_t)index << 32,
			0);
}

static int forget_all(struct vtd *v)
{
	int ret = vtd_forget_context(v, VTD_ALL, 0, 0);

	if (!ret && v->mode != LEGACY)
		ret = by_queue(v, DESC_PASID_CACHE | PASID_ALL, 0);
	return ret ? ret : vtd_forget(v, VTD_ALL, 0, 0, 0);
}

/* --- interrupts ----------------------------------------------------------------------------------------- */

static int interrupts_on(struct vtd *v)
{
	int ret;

	if (!v->f.interrupts)
		return -EOPNOTSUPP;
	if (!v->messages)
		v->messages = new_table(v);
	if (!v->messages)
		return -ENOMEM;
	memset(v->messages, 0, PAGE_SIZE);
	vtd_written(v, v->messages, PAGE_SIZE);
	vtd_write64(v, VTD_INTERRUPT_TABLE,
		    virt_to_phys(v->messages) | (v->f.x2apic ? TABLE_X2APIC : 0u) | TABLE_256);
	ret = vtd_command(v, VTD_SET_INTERRUPT_TABLE, true);
	if (!ret)
		ret = vtd_forget_interrupts(v, true, 0, 0);
	if (!ret && is_on(v, VTD_ON_COMPATIBILITY))
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

static void clear_faults(struct vtd *v)
{
	struct vtd_fault f;
	unsigned int i;

	for (i = 0; i <= v->f.records && vtd_fault_get(v, &f) > 0; i++)
		;
	vtd_write32(v, VTD_FAULT_STATUS, VTD_FAULT_OVERFLOW | STATUS_ERRORS);
	v->lost = false;
}

/* --- life ------------------------------------------------------------------------------------------------ */

static void free_pasids(struct seat *s)
{
	if (s->directory)
		mem_pages_free(s->directory, 1);
	if (s->pasids)
		mem_pages_free(s->pasids, 1);
	s->directory = s->pasids = NULL;
}

static void give_back(struct vtd *v)
{
	unsigned int i;

	for (i = 0; i < MAX_DOMAINS; i++)
		free_tables(v, &v->domain[i]);
	memset(v->domain, 0, sizeof(v->domain));
	for (i = 0; i < MAX_SEATS; i++)
		free_pasids(&v->seat[i]);
	memset(v->seat, 0, sizeof(v->seat));
	for (i = 0; i < 2 * 256; i++) {
		if (v->context[i])
			mem_pages_free(v->context[i], 1);
		v->context[i] = NULL;
	}
	if (v->root)
		mem_pages_free(v->root, 1);
	if (v->queue)
		mem_pages_free(v->queue, 1);
	if (v->messages)
		mem_pages_free(v->messages, 1);
	v->root = NULL;
	v->queue = NULL;
	v->messages = NULL;
}

/* Everything off. What the unit may still read stays taken where it does not obey. */
static int turn_off(struct vtd *v)
{
	int ret = is_on(v, VTD_ON_INTERRUPTS) ? vtd_command(v, VTD_ON_INTERRUPTS, false) : 0;

	if (!ret && is_on(v, VTD_ON_TRANSLATION))
		ret = vtd_command(v, VTD_ON_TRANSLATION, false);
	if (!ret && is_on(v, VTD_ON_QUEUE))
		ret = v->queue ? queue_off(v) : vtd_command(v, VTD_ON_QUEUE, false);
	v->queued = false;
	v->up = false;
	return ret;
}

static struct vtd *unit_of(struct iommu *m)
{
	return ((struct face *)m)->v;
}

static int protection_off(struct vtd *v)
{
	if (!v->f.protected_low && !v->f.protected_high)
		return 0;
	vtd_write32(v, VTD_PROTECTED, vtd_read32(v, VTD_PROTECTED) & ~(uint32_t)PROTECTED_ON);
	return wait_for(!(vtd_read32(v, VTD_PROTECTED) & PROTECTED_IS), ANSWER_NS) ? 0 : -ETIMEDOUT;
}

static unsigned int epoch(const struct iommu *m)
{
	const struct face *f = (const struct face *)m;

	return f->v->up && f->v->mode == f->mode ? f->v->epoch : 0;
}

static void lasting(struct iommu *m)
{
	unit_of(m)->lasting = true;
}

/* An address of the first stage has its highest bit in all those above it: half of them are like others. */
static uint64_t beyond(const struct vtd *v, unsigned int levels)
{
	const unsigned int by_table = shift_of(levels + 1) - (v->mode == FIRST_STAGE);

	return 1ull << (by_table < v->f.address_bits ? by_table : v->f.address_bits);
}

static int failed(struct iommu *m, const char *why, int ret)
{
	m->error = why;
	return ret;
}

static int turn_on(struct vtd *v, struct iommu *m)
{
	if (vtd_set_root(v))
		return failed(m, "its root table is not taken", -ETIMEDOUT);
	if (v->mode != LEGACY && vtd_by_queue(v, true))
		return failed(m, "its invalidation queue does not go on", -ETIMEDOUT);
	if (forget_all(v))
		return failed(m, "it does not invalidate", -EPROTO);
	if (protection_off(v))
		return failed(m, "its protected regions stay on", -ETIMEDOUT);
	if (vtd_command(v, VTD_ON_TRANSLATION, true))
		return failed(m, "translation does not go on", -ETIMEDOUT);
	clear_faults(v);
	return 0;
}

/* The usual number where it is offered, else one that is. */
static unsigned int choose_levels(const struct vtd *v)
{
	unsigned int levels = DEFAULT_LEVELS;

	if (v->mode == FIRST_STAGE)
		return levels;
	while (levels > 3 && !(v->f.levels & BIT(levels)))
		levels--;
	return v->f.levels & BIT(levels) ? levels : 5;
}

static int start(struct iommu *m)
{
	struct vtd *v = unit_of(m);
	int ret;

	v->lock = (spinlock_t){ 0 };
	if (turn_off(v))
		return failed(m, "it does not go off", -ETIMEDOUT);
	give_back(v);
	v->mode = ((struct face *)m)->mode;
	v->levels = choose_levels(v);
	if (v->f.queue)
		vtd_write32(v, VTD_DONE_CONTROL, VTD_EVENT_MASKED);
	vtd_write32(v, VTD_FAULT_CONTROL, VTD_EVENT_MASKED);
	m->limits = (struct iommu_limits){ .page_sizes = PAGE_SIZE,
					   .last = beyond(v, v->levels) - 1,
					   .domain_first = 1, /* 6.1: 0 is the unit's own */
					   .domain_last = (1u << v->f.domain_bits) - 1 };
	v->root = new_table(v);
	if (!v->root)
		return failed(m, "no memory for its root table", -ENOMEM);
	ret = turn_on(v, m);
	if (ret)
		(void)turn_off(v);
	v->up = !ret;
	v->epoch += !ret;
	return ret;
}

static void stop(struct iommu *m)
{
	struct vtd *v = unit_of(m);

	if (turn_off(v) == 0)
		give_back(v);
}

/* --- domains ------------------------------------------------------------------------------------------------ */

/* A test that was ended by force may have left it taken: start() ends that. */
static bool enter(struct vtd *v)
{
	return v->up && wait_for(spin_trylock(&v->lock), LOCK_NS);
}

static int leave(struct vtd *v, int ret)
{
	spin_unlock(&v->lock);
	return ret;
}

static bool endpoint(struct iommu *m, const struct device *d, uint32_t *id)
{
	unsigned int n;

	if (!dmar_unit_of(d, &n) || n != unit_of(m)->number)
		return false;
	*id = d->requester;
	return true;
}

static bool reserved(struct iommu *m, uint32_t id, uint64_t first, uint64_t last)
{
	struct dmar_region r;
	unsigned int i;

	(void)id;
	for (i = 0; dmar_region(i, &r); i++)
		if (r.segment == unit_of(m)->unit.segment && r.first <= last && r.last >= first)
			return true;
	return first <= MESSAGES_LAST && last >= MESSAGES_FIRST;
}

static struct seat *seat_of(struct vtd *v, uint32_t requester)
{
	unsigned int i;

	for (i = 0; i < MAX_SEATS; i++)
		if (v->seat[i].d && v->seat[i].requester == requester)
			return &v->seat[i];
	return NULL;
}

static struct domain *domain_get(struct vtd *v, uint32_t id, bool identity)
{
	struct domain *d = domain_find(v, id);
	unsigned int i;

	if (d)
		return d->identity == identity ? d : NULL;
	for (i = 0; i < MAX_DOMAINS && v->domain[i].used; i++)
		;
	if (i == MAX_DOMAINS)
		return NULL;
	d = &v->domain[i];
	*d = (struct domain){ .id = id, .identity = identity, .levels = v->levels };
	d->table = identity ? NULL : domain_table(v, d);
	d->used = identity || d->table;
	return d->used ? d : NULL;
}

/* Its last endpoint has gone: nothing of it stays in the unit's caches. */
static int domain_put(struct vtd *v, struct domain *d)
{
	const int ret = vtd_forget(v, VTD_OF_DOMAIN, (uint16_t)d->id, 0, 0);

	if (--d->seats)
		return ret;
	/* Where the unit may still read them the tables stay as they are, and taken. */
	if (ret == 0)
		free_tables(v, d);
	*d = (struct domain){ 0 };
	return ret;
}

/* 6.2.2, 6.5: an entry that was present may be cached. */
static int leave_seat(struct vtd *v, struct seat *s)
{
	struct vtd_entry *c = v->mode == LEGACY ? vtd_context_entry(v, s->requester) :
						  scalable_entry(v, s->requester);
	struct domain *d = s->d;
	int ret;

	WRITE_ONCE(c->low, 0);
	WRITE_ONCE(c->high, 0);
	vtd_written(v, c, sizeof(*c));
	s->d = NULL;
	ret = vtd_forget_context(v, VTD_OF_ONE, (uint16_t)d->id, s->requester);
	if (!ret && v->mode != LEGACY)
		ret = by_queue(v, DESC_PASID_CACHE | PASID_OF_DOMAIN | (uint64_t)d->id << 16, 0);
	if (ret) {
		d->seats--;
		return ret;
	}
	ret = domain_put(v, d);
	free_pasids(s);
	return ret;
}

static bool context_make(struct vtd *v, uint16_t requester)
{
	const bool upper = v->mode != LEGACY && requester & 0x80;
	struct vtd_entry **page = &v->context[(requester >> 8 << 1) + upper];
	struct vtd_entry *root = &v->root[requester >> 8];

	if (*page)
		return true;
	*page = new_table(v);
	if (!*page)
		return false;
	WRITE_ONCE(*(upper ? &root->high : &root->low),
		   cpu_to_le64(virt_to_phys(*page) | VTD_PRESENT));
	vtd_written(v, root, sizeof(*root));
	return true;
}

static uint64_t width_of(const struct vtd *v, const struct domain *d)
{
	unsigned int n = 5;

	/* 9.3: without translation the widest that there is. */
	while (d->identity && n > 3 && !(v->f.levels & BIT(n)))
		n--;
	return VTD_WIDTH(d->identity ? n : d->levels);
}

static void sit_legacy(struct vtd *v, const struct seat *s)
{
	struct vtd_entry *c = vtd_context_entry(v, s->requester);
	const struct domain *d = s->d;

	WRITE_ONCE(c->high, cpu_to_le64(VTD_DOMAIN_ID(d->id) | width_of(v, d)));
	wmb();
	WRITE_ONCE(c->low, cpu_to_le64(VTD_PRESENT |
				       (d->identity ? VTD_PASS_THROUGH : virt_to_phys(d->table))));
	vtd_written(v, c, sizeof(*c));
}

/* 9.4 to 9.6: requests without a PASID are those of PASID 0, the first entry of the first table. */
static int sit_scalable(struct vtd *v, struct seat *s)
{
	struct vtd_entry *c = scalable_entry(v, s->requester);
	const struct domain *d = s->d;
	const uint64_t width = width_of(v, d) << 2;

	s->directory = new_table(v);
	s->pasids = new_table(v);
	if (!s->directory || !s->pasids)
		return -ENOMEM;
	s->pasids[1] = cpu_to_le64(d->id);
	if (d->identity)
		s->pasids[0] = cpu_to_le64(VTD_PRESENT | width | STAGE_NONE);
	else if (v->mode == SECOND_STAGE)
		s->pasids[0] = cpu_to_le64(VTD_PRESENT | width | STAGE_SECOND |
					   virt_to_phys(d->table));
	else
		s->pasids[0] = cpu_to_le64(VTD_PRESENT | STAGE_FIRST);
	if (!d->identity && v->mode == FIRST_STAGE)
		s->pasids[2] = cpu_to_le64(virt_to_phys(d->table) | (uint64_t)(d->levels - 4) << 2);
	s->directory[0] = cpu_to_le64(virt_to_phys(s->pasids) | VTD_PRESENT);
	vtd_written(v, s->pasids, 64);
	vtd_written(v, s->directory, sizeof(le64));
	WRITE_ONCE(c->low, cpu_to_le64(virt_to_phys(s->directory) | VTD_PRESENT));
	vtd_written(v, c, 2 * sizeof(*c));
	return 0;
}

static int take_seat(struct vtd *v, struct domain *d, uint16_t requester)
{
	struct seat *s;
	unsigned int i;
	int ret = 0;

	for (i = 0; i < MAX_SEATS && v->seat[i].d; i++)
		;
	if (i == MAX_SEATS || !context_make(v, requester))
		return -ENOMEM;
	s = &v->seat[i];
	*s = (struct seat){ .d = d, .requester = requester };
	if (v->mode == LEGACY)
		sit_legacy(v, s);
	else
		ret = sit_scalable(v, s);
	if (ret) {
		free_pasids(s);
		s->d = NULL;
		return ret;
	}
	d->seats++;
	/* 6.1: what was not present is cached in caching mode alone. */
	return v->f.caching_mode ? forget_all(v) : 0;
}

static int seat(struct vtd *v, uint32_t domain, uint32_t id, bool is_identity)
{
	struct seat *s = seat_of(v, id);
	struct domain *d;
	int ret = 0;

	if (id > UINT16_MAX)
		return -ENOENT;
	if (!domain || domain >> v->f.domain_bits)
		return -ERANGE;
	if (s && s->d->id == domain && s->d->identity == is_identity)
		return 0;
	if (s)
		ret = leave_seat(v, s);
	d = ret ? NULL : domain_get(v, domain, is_identity);
	if (!d)
		return ret ? ret : -ENOSPC;
	ret = take_seat(v, d, (uint16_t)id);
	if (ret && !d->seats) {
		d->seats = 1;
		(void)domain_put(v, d);
	}
	return ret;
}

static int attach(struct iommu *m, uint32_t domain, uint32_t id)
{
	struct vtd *v = unit_of(m);

	return enter(v) ? leave(v, seat(v, domain, id, false)) : -EBUSY;
}

static int identity(struct iommu *m, uint32_t domain, uint32_t id)
{
	struct vtd *v = unit_of(m);

	if (!v->f.pass_through)
		return -EOPNOTSUPP;
	return enter(v) ? leave(v, seat(v, domain, id, true)) : -EBUSY;
}

static int unseat(struct vtd *v, uint32_t domain, uint32_t id)
{
	struct seat *s = seat_of(v, id);

	return s && s->d->id == domain ? leave_seat(v, s) : -ENOENT;
}

static int detach(struct iommu *m, uint32_t domain, uint32_t id)
{
	struct vtd *v = unit_of(m);

	return enter(v) ? leave(v, unseat(v, domain, id)) : -EBUSY;
}

/* --- mappings -------------------------------------------------------------------------------------------------- */

static bool fits(const struct vtd *v, const struct domain *d, uint64_t first, uint64_t last)
{
	return first % PAGE_SIZE == 0 && (last + 1) % PAGE_SIZE == 0 && first < last &&
	       last < beyond(v, d->levels);
}

/* Pages of 4 KiB that are mapped from `first` on; each of them may be cached. */
static int forget_pages(struct vtd *v, const struct domain *d, uint64_t first, uint64_t last)
{
	int ret = 0;

	if (!v->f.by_page || last - first >= 8 * PAGE_SIZE)
		return vtd_forget(v, VTD_OF_DOMAIN, (uint16_t)d->id, 0, 0);
	for (; !ret && first < last; first += PAGE_SIZE)
		ret = v->mode == FIRST_STAGE ?
			      by_queue(v, DESC_PASID_IOTLB | PASID_PAGES | (uint64_t)d->id << 16,
				       first) :
			      vtd_forget(v, VTD_OF_ONE, (uint16_t)d->id, first, 0);
	return ret;
}

static int clear(struct vtd *v, const struct domain *d, uint64_t first, uint64_t last)
{
	uint64_t at;
	bool any = false;

	for (at = first; at < last; at += PAGE_SIZE) {
		le64 *e = walk(v, d, at, 1, false);

		if (!e || !*e)
			continue;
		any = true;
		WRITE_ONCE(*e, 0);
		vtd_written(v, e, sizeof(*e));
	}
	return any ? forget_pages(v, d, first, last) : 0;
}

/* What is present in the first stage can be read. */
static uint64_t access_of(const struct vtd *v, unsigned int how)
{
	const uint64_t write = how & IOMMU_WRITE ? VTD_WRITE : 0u;

	if (v->mode == FIRST_STAGE)
		return VTD_PRESENT | write | USER | ACCESSED | (write ? DIRTY : 0u);
	return write | (how & IOMMU_READ ? VTD_READ : 0u);
}

static int fill(struct vtd *v, const struct domain *d, uint64_t first, uint64_t last, uint64_t phys,
		unsigned int how)
{
	const uint64_t access = access_of(v, how);
	uint64_t at;

	for (at = first; at < last; at += PAGE_SIZE) {
		const le64 *e = walk(v, d, at, 1, true);

		if (!e)
			return -ENOMEM;
		if (*e)
			return -EEXIST;
	}
	for (at = first; at < last; at += PAGE_SIZE) {
		le64 *e = walk(v, d, at, 1, false);

		WRITE_ONCE(*e, cpu_to_le64((phys + at - first) | access));
		vtd_written(v, e, sizeof(*e));
	}
	return v->f.caching_mode ? forget_pages(v, d, first, last) : 0;
}

static int map_locked(struct vtd *v, uint32_t domain, uint64_t first, uint64_t last, uint64_t phys,
		      unsigned int how)
{
	const struct domain *d = domain_find(v, domain);

	if (!d)
		return -ENOENT;
	if (d->identity || !(how & (IOMMU_READ | IOMMU_WRITE)))
		return -EINVAL;
	if (!fits(v, d, first, last) || phys % PAGE_SIZE ||
	    (phys + (last - first)) >> v->f.physical_bits ||
	    reserved(&v->face[LEGACY].m, 0, first, last))
		return -ERANGE;
	return fill(v, d, first, last, phys, how);
}

static int map(struct iommu *m, uint32_t domain, uint64_t first, uint64_t last, uint64_t phys,
	       unsigned int how)
{
	struct vtd *v = unit_of(m);

	return enter(v) ? leave(v, map_locked(v, domain, first, last, phys, how)) : -EBUSY;
}

static int unmap_locked(struct vtd *v, uint32_t domain, uint64_t first, uint64_t last)
{
	const struct domain *d = domain_find(v, domain);

	if (!d)
		return -ENOENT;
	if (d->identity || !fits(v, d, first, last))
		return -ERANGE;
	return clear(v, d, first, last);
}

static int unmap(struct iommu *m, uint32_t domain, uint64_t first, uint64_t last)
{
	struct vtd *v = unit_of(m);

	return enter(v) ? leave(v, unmap_locked(v, domain, first, last)) : -EBUSY;
}

static enum iommu_fault_reason kind_of(uint8_t reason)
{
	switch (reason) {
	case VTD_NO_ROOT:
	case VTD_NO_CONTEXT:
	case VTD_BAD_CONTEXT:
	case VTD_ROOT_RESERVED:
	case VTD_CONTEXT_RESERVED:
	case VTD_TYPE_BLOCKED:
		return IOMMU_FAULT_DOMAIN;
	case VTD_BEYOND_WIDTH:
	case VTD_NO_WRITE:
	case VTD_NO_READ:
	case VTD_BAD_TABLE:
	case VTD_PAGING_RESERVED:
		return IOMMU_FAULT_MAPPING;
	default:
		return IOMMU_FAULT_OTHER;
	}
}

static int fault(struct iommu *m, struct iommu_fault *f)
{
	struct vtd_fault own;
	const int ret = vtd_fault_get(unit_of(m), &own);

	if (ret > 0)
		*f = (struct iommu_fault){ .endpoint = own.requester,
					   .reason = kind_of(own.reason),
					   .read = own.read,
					   .write = !own.read,
					   .address = own.page,
					   .known = ~(PAGE_SIZE - 1) };
	return ret;
}

static const struct iommu_ops ops = {
	.kind = "VT-d",
	.start = start,
	.stop = stop,
	.epoch = epoch,
	.lasting = lasting,
	.endpoint = endpoint,
	.reserved = reserved,
	.attach = attach,
	.identity = identity,
	.detach = detach,
	.map = map,
	.unmap = unmap,
	.fault = fault,
};

/* --- which units there are --------------------------------------------------------------------------------------- */

static bool offers(const struct vtd *v, enum mode mode)
{
	return mode == LEGACY	    ? true :
	       mode == SECOND_STAGE ? v->f.queue && v->f.scalable && v->f.second_stage :
				      v->f.queue && v->f.scalable && v->f.first_stage;
}

static void make_faces(struct vtd *v)
{
	static const char *const names[MODES] = { "", " second stage", " first stage" };
	unsigned int i;

	for (i = 0; i < MODES; i++) {
		struct face *f = &v->face[i];

		f->m.ops = &ops;
		f->v = v;
		f->mode = (enum mode)i;
		snprintf(f->m.name, sizeof(f->m.name), "VT-d 0x%llx%s",
			 (unsigned long long)v->unit.base, names[i]);
	}
}

static void find_all(void)
{
	struct dmar_unit u;
	unsigned int i;

	for (i = 0; count < MAX_UNITS && dmar_unit(i, &u); i++) {
		struct vtd *v = &units[count];

		v->unit = u;
		v->number = i;
		make_faces(v);
		if (find_out(v))
			count++;
		else
			env_line("iommu ignored", "%s: %s", vtd_iommu(v)->name,
				 vtd_iommu(v)->error);
	}
}

static void print_env(void)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		env_line("iommu", "%s capability 0x%llx extended 0x%llx",
			 vtd_iommu(&units[i])->name,
			 (unsigned long long)vtd_read64(&units[i], VTD_CAPABILITY),
			 (unsigned long long)vtd_read64(&units[i], VTD_EXTENDED));
}
ENV(vtd, print_env);

/* Each mode of each unit. */
static struct iommu *get(unsigned int n)
{
	unsigned int i, mode;

	for (i = 0; i < count; i++)
		for (mode = 0; mode < MODES; mode++)
			if (offers(&units[i], (enum mode)mode) && n-- == 0)
				return &units[i].face[mode].m;
	return NULL;
}

static void init(void)
{
	static struct iommu_driver driver = { .get = get };

	find_all();
	iommu_driver_add(&driver);
}
INIT(vtd, init);
