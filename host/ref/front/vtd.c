/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults of a VT-d unit. What its registers say wrong is a rule, as elsewhere. What it keeps in spite of an invalidation is
 * one that it does not get: the store is left out, or the descriptor in the queue is another one. What it does not look at in
 * its tables is taken out of them in front of the invalidation that makes it look.
 */
#include <endian.h>

#include "drivers/iommu/x86_64/vtd.h"
#include "host/ref/front/rules.h"

#define ADDRESS	      0x000ffffffffff000ull
#define IOTLB_ADDRESS 0xf0u
#define IOTLB	      0xf8u
#define RECORD_AT     0x220u /* QEMU's fault record */
#define SCOPE_IOTLB   60     /* bit numbers in commands */
#define SCOPE_CONTEXT 61
#define SCOPE_QUEUE   4
#define LEVELS	      4u
#define WIDTH	      48u
#define ON	      (1u << VTD_ON_TRANSLATION)

/* What the guest has written, up to the store before this one. */
static struct {
	uint64_t root, queue, tail, table, address;
	uint32_t command, status;     /* the status, which is read-only: what was written there */
	uint64_t was[VTD_INTERRUPTS]; /* the low halves of interrupt entries that were present */
} unit;

void front_vtd_note(const struct access *a)
{
	switch (a->at) {
	case VTD_ROOT:
		unit.root = a->value & ADDRESS;
		break;
	case IOTLB_ADDRESS:
		unit.address = a->value;
		break;
	case VTD_QUEUE:
		unit.queue = a->value & ADDRESS;
		break;
	case VTD_QUEUE_TAIL:
		unit.tail = a->value;
		break;
	case VTD_INTERRUPT_TABLE:
		unit.table = a->value & ADDRESS;
		break;
	case VTD_COMMAND:
		unit.command = (uint32_t)a->value;
		break;
	case VTD_STATUS:
		unit.status = (uint32_t)a->value;
		break;
	default:
		break;
	}
}

/* --- stores that do not happen ---------------------------------------------------------------------- */

/* Once translation is on: what comes before makes the unit ready, and nothing is kept yet. */
static bool is_command(const struct access *a, uint32_t at, unsigned int shift,
		       enum vtd_scope scope)
{
	return unit.command & ON && a->at == at && a->size == 8 && (a->value >> shift & 3) == scope;
}

static bool page_kept(const struct access *a)
{
	return is_command(a, IOTLB, SCOPE_IOTLB, VTD_OF_ONE);
}

static bool large_kept(const struct access *a)
{
	return page_kept(a) && (unit.address & 0x3f) >= 9;
}

static bool domain_kept(const struct access *a)
{
	return is_command(a, IOTLB, SCOPE_IOTLB, VTD_OF_DOMAIN);
}

static bool all_kept(const struct access *a)
{
	return is_command(a, IOTLB, SCOPE_IOTLB, VTD_ALL);
}

static bool context_kept(const struct access *a)
{
	return is_command(a, VTD_CONTEXT_COMMAND, SCOPE_CONTEXT, VTD_OF_ONE);
}

static bool context_domain_kept(const struct access *a)
{
	return is_command(a, VTD_CONTEXT_COMMAND, SCOPE_CONTEXT, VTD_OF_DOMAIN);
}

static bool context_all_kept(const struct access *a)
{
	return is_command(a, VTD_CONTEXT_COMMAND, SCOPE_CONTEXT, VTD_ALL);
}

static bool root_kept(const struct access *a)
{
	return unit.command & ON && a->at == VTD_ROOT;
}

static bool event_lost(const struct access *a)
{
	return a->at == VTD_FAULT_CONTROL && !(a->value & VTD_EVENT_MASKED);
}

static bool completion_lost(const struct access *a)
{
	return a->at == VTD_DONE_CONTROL && !(a->value & VTD_EVENT_MASKED);
}

/* --- descriptors that are others ------------------------------------------------------------------------ */

struct descriptor {
	uint64_t low, high; /* in memory's order */
};

/* The one that the guest tells the unit of: it stands where the tail was. */
static bool queued(const struct access *a, struct descriptor *d)
{
	return a->at == VTD_QUEUE_TAIL && unit.queue && a->value != unit.tail &&
	       plugin_read(unit.queue + unit.tail, d, sizeof(*d));
}

static void becomes(struct descriptor d)
{
	if (plugin_write(unit.queue + unit.tail, &d, sizeof(d)))
		fault_injected(plugin_fault());
}

static bool is_queued(const struct descriptor *d, enum vtd_descriptor type, enum vtd_scope scope)
{
	const uint64_t low = le64toh(d->low);

	return (low & 15) == type && (low >> SCOPE_QUEUE & 3) == scope;
}

static bool queue_page_kept(const struct access *a)
{
	struct descriptor d;

	if (queued(a, &d) && is_queued(&d, VTD_DESC_IOTLB, VTD_OF_ONE)) {
		d.high ^= htole64(1ull << 30);
		becomes(d);
	}
	return false;
}

static bool queue_domain_kept(const struct access *a)
{
	struct descriptor d;

	if (queued(a, &d) && is_queued(&d, VTD_DESC_IOTLB, VTD_OF_DOMAIN)) {
		d.low ^= htole64(0x8000ull << 16);
		becomes(d);
	}
	return false;
}

static bool queue_context_kept(const struct access *a)
{
	struct descriptor d;

	if (queued(a, &d) && is_queued(&d, VTD_DESC_CONTEXT, VTD_OF_ONE)) {
		d.low ^= htole64(0xff00ull << 32);
		becomes(d);
	}
	return false;
}

/* What makes no sense is done as something else. */
static bool queue_unchecked(const struct access *a)
{
	struct descriptor d;
	uint64_t low;

	if (!queued(a, &d))
		return false;
	low = le64toh(d.low);
	if ((low & 15) == 0 || (low & 15) > VTD_DESC_WAIT || !(low >> SCOPE_QUEUE & 3) ||
	    (is_queued(&d, VTD_DESC_CONTEXT, VTD_ALL) && d.high) ||
	    (is_queued(&d, VTD_DESC_IOTLB, VTD_OF_ONE) && le64toh(d.high) & 0xf80))
		becomes((struct descriptor){ htole64(VTD_DESC_IOTLB | VTD_ALL << SCOPE_QUEUE), 0 });
	return false;
}

/* --- interrupt entries ------------------------------------------------------------------------------------ */

static uint64_t entry_at(unsigned int index)
{
	return unit.table + 16ull * index;
}

/* What the unit has of an entry is what it was when it was present last. */
static bool interrupts_kept(const struct access *a)
{
	struct descriptor d;
	unsigned int i;

	if (!queued(a, &d) || (le64toh(d.low) & 15) != VTD_DESC_INTERRUPTS || !unit.table)
		return false;
	for (i = 0; i < VTD_INTERRUPTS; i++) {
		const uint64_t low = le64toh(plugin_load(entry_at(i), 8));

		if (low & VTD_PRESENT)
			unit.was[i] = low;
		else if (unit.was[i])
			plugin_inject(entry_at(i), unit.was[i], 8);
	}
	return false;
}

static bool interrupts_unchecked(const struct access *a)
{
	struct descriptor d;
	unsigned int i;

	if (!queued(a, &d) || (le64toh(d.low) & 15) != VTD_DESC_INTERRUPTS || !unit.table)
		return false;
	for (i = 0; i < VTD_INTERRUPTS; i++) {
		const uint64_t low = plugin_load(entry_at(i), 8),
			       high = plugin_load(entry_at(i) + 8, 8);

		if (low & 0xff000000)
			plugin_inject(entry_at(i), low & ~0xff000000ull, 8);
		if (high >> 20)
			plugin_inject(entry_at(i) + 8, high & 0xfffff, 8);
	}
	return false;
}

/* The vector of an entry that is invalidated is another one. */
static bool vector_wrong(const struct access *a)
{
	struct descriptor d;
	unsigned int index;
	uint64_t low;

	if (!queued(a, &d) || (le64toh(d.low) & 15) != VTD_DESC_INTERRUPTS || !unit.table)
		return false;
	index = le64toh(d.low) >> 32 & (VTD_INTERRUPTS - 1);
	low = plugin_load(entry_at(index), 8);
	if (low & VTD_PRESENT)
		plugin_inject(entry_at(index), low ^ VTD_VECTOR(1), 8);
	return false;
}

static bool source_unchecked(const struct access *a)
{
	struct descriptor d;
	unsigned int i;

	if (!queued(a, &d) || (le64toh(d.low) & 15) != VTD_DESC_INTERRUPTS || !unit.table)
		return false;
	for (i = 0; i < VTD_INTERRUPTS; i++) {
		const uint64_t high = plugin_load(entry_at(i) + 8, 8);

		if (high >> 18 & 3)
			plugin_inject(entry_at(i) + 8, high & ~(3ull << 18), 8);
	}
	return false;
}

/* --- tables ------------------------------------------------------------------------------------------------- */

typedef uint64_t (*entry_fn)(uint64_t low, unsigned int level);

static void change(uint64_t at, uint64_t is, uint64_t want)
{
	if (is != want)
		plugin_inject(at, want, 8);
}

/* Entries of all levels, the changed ones lead on. */
static void walk(uint64_t table, unsigned int level, entry_fn fn)
{
	unsigned int i;
	uint64_t e[512];

	if (!plugin_read(table, e, sizeof(e)))
		return;
	for (i = 0; i < 512; i++) {
		const uint64_t is = le64toh(e[i]), want = is ? fn(is, level) : 0;

		change(table + 8ull * i, is, want);
		if (level > 1 && want & (VTD_READ | VTD_WRITE) && !(want & VTD_LARGE))
			walk(want & ADDRESS & ((1ull << WIDTH) - 1), level - 1, fn);
	}
}

/* In front of an invalidation, those of the first bus's functions. */
static bool looks(const struct access *a)
{
	return unit.command & ON && unit.root && a->size == 8 &&
	       (a->at == IOTLB || a->at == VTD_CONTEXT_COMMAND);
}

static uint64_t contexts(void)
{
	const uint64_t low = plugin_load(unit.root, 8);

	return low & VTD_PRESENT ? low & ADDRESS & ((1ull << WIDTH) - 1) : 0;
}

static void each_table(entry_fn fn)
{
	const uint64_t at = contexts();
	unsigned int i;

	for (i = 0; at && i < 256; i++) {
		const uint64_t low = plugin_load(at + 16ull * i, 8),
			       high = plugin_load(at + 16ull * i + 8, 8);

		if (low & VTD_PRESENT && !(low & VTD_TYPE_MASK))
			walk(low & ADDRESS, (unsigned int)(high & VTD_WIDTH_MASK) + 2, fn);
	}
}

static void each_context(uint64_t low_keep, uint64_t high_keep, uint64_t high_set)
{
	const uint64_t at = contexts();
	unsigned int i;

	for (i = 0; at && i < 256; i++) {
		const uint64_t low = plugin_load(at + 16ull * i, 8),
			       high = plugin_load(at + 16ull * i + 8, 8);

		if (!(low & VTD_PRESENT))
			continue;
		change(at + 16ull * i, low, low & low_keep);
		change(at + 16ull * i + 8, high, (high & high_keep) | high_set);
	}
}

static bool root_unchecked(const struct access *a)
{
	uint64_t low, high;

	if (!looks(a))
		return false;
	low = plugin_load(unit.root, 8);
	high = plugin_load(unit.root + 8, 8);
	change(unit.root, low, low & (VTD_PRESENT | (ADDRESS & ((1ull << WIDTH) - 1))));
	change(unit.root + 8, high, 0);
	return false;
}

static bool context_unchecked(const struct access *a)
{
	if (looks(a))
		each_context(0xf | (ADDRESS & ((1ull << WIDTH) - 1)), 0xffff7f, 0);
	return false;
}

/* Whatever type and width it says, there are page tables of four levels. */
static bool context_type_unchecked(const struct access *a)
{
	if (looks(a))
		each_context(~VTD_TYPE_MASK, ~VTD_WIDTH_MASK, VTD_WIDTH(LEVELS));
	return false;
}

static bool faults_always(const struct access *a)
{
	if (looks(a))
		each_context(~VTD_FAULTS_OFF, UINT64_MAX, 0);
	return false;
}

static uint64_t without_reserved(uint64_t low, unsigned int level)
{
	low &= ~(0xfull << WIDTH) & ~VTD_SNOOP;
	return level == 2 || level == 3 ? low : low & ~VTD_LARGE;
}

static bool paging_unchecked(const struct access *a)
{
	if (looks(a))
		each_table(without_reserved);
	return false;
}

/* Entries have 32 bits of a page's address. */
static uint64_t page_cut(uint64_t low, unsigned int level)
{
	return level == 1 ? low & ~0x000fffff00000000ull : low;
}

static bool page_high_cut(const struct access *a)
{
	if (looks(a))
		each_table(page_cut);
	return false;
}

static uint64_t upper_open(uint64_t low, unsigned int level)
{
	return level > 1 && low & (VTD_READ | VTD_WRITE) ? low | VTD_READ | VTD_WRITE : low;
}

static bool upper_ignored(const struct access *a)
{
	if (looks(a))
		each_table(upper_open);
	return false;
}

static uint64_t writable(uint64_t low, unsigned int level)
{
	return level == 1 && low & VTD_READ ? low | VTD_WRITE : low;
}

static bool read_only_writable(const struct access *a)
{
	if (looks(a))
		each_table(writable);
	return false;
}

/* A table where no memory is is empty. */
static uint64_t without_nowhere(uint64_t low, unsigned int level)
{
	return level > 1 && (low & ADDRESS) >> 40 ? 0 : low;
}

static bool bad_table_empty(const struct access *a)
{
	if (looks(a))
		each_table(without_nowhere);
	return false;
}

/* A large page begins wherever its entry says. */
static uint64_t large_aligned(uint64_t low, unsigned int level)
{
	return level == 2 && low & VTD_LARGE ? low & ~0x1ff000ull :
	       level == 3 && low & VTD_LARGE ? low & ~0x3ffff000ull :
					       low;
}

static bool large_unchecked(const struct access *a)
{
	if (looks(a))
		each_table(large_aligned);
	return false;
}

/* --- registers ------------------------------------------------------------------------------------------------ */

/* The unit says that it is on, and is off. */
static void never_on(const struct access *a)
{
	if (a->store && a->at == VTD_COMMAND && a->value & ON)
		plugin_inject(a->phys, a->value & 0x16800000, 4);
}

static uint64_t says_on(const struct access *a, uint64_t value)
{
	return a->at == VTD_STATUS ? (value & ~(uint64_t)ON) | (unit.command & ON) : value;
}

static uint64_t status_written(const struct access *a, uint64_t value)
{
	return a->at == VTD_STATUS ? value | (unit.status & 0xff) : value;
}

static uint64_t half_wrong(const struct access *a, uint64_t value)
{
	return a->size == 4 && a->at == VTD_EXTENDED + 4 ? value ^ 1 : value;
}

const struct fault front_vtd[F_COUNT] = {
	[F_VTD_NEVER_ON] = { .hook = never_on, .load = says_on },
	[F_VTD_HALF_WRONG] = { .load = half_wrong },
	[F_VTD_STATUS_WRITES] = { .load = status_written },
	[F_VTD_RECORD_SOURCE] = { { LOAD(VTD, RECORD_AT + 8, 1, XOR, 0x08) } },
	[F_VTD_RECORD_REASON] = { { LOAD(VTD, RECORD_AT + 12, 1, XOR, 0x03) } },
	[F_VTD_RECORD_NO_CONTEXT] = { { LOAD(VTD, RECORD_AT + 12, 1, SET, VTD_NO_CONTEXT) } },
	[F_VTD_RECORD_TYPE] = { { LOAD(VTD, RECORD_AT + 15, 1, XOR, 0x40) } },
	[F_VTD_RECORD_PAGE] = { { LOAD(VTD, RECORD_AT + 1, 1, XOR, 0x10) } },
	[F_VTD_RECORD_LOST] = { { LOAD(VTD, VTD_FAULT_STATUS, 1, AND, 0xfd) } },
	[F_VTD_OVERFLOW_LOST] = { { LOAD(VTD, VTD_FAULT_STATUS, 1, AND, 0xfe) } },
	[F_VTD_OVERFLOW_STAYS] = { { LOAD(VTD, VTD_FAULT_STATUS, 1, OR, 0x01) } },
	[F_VTD_QUEUE_HEAD] = { { LOAD(VTD, VTD_QUEUE_HEAD, 1, XOR, 0x10) } },
	[F_VTD_NO_QUEUE] = { { LOAD(VTD, VTD_EXTENDED, 1, AND, 0xfd) } },
	[F_VTD_WIDTH_WRONG] = { { LOAD(VTD, VTD_CAPABILITY + 2, 1, SET, 39) } },
	[F_VTD_MASK_IGNORED] = { { STORE(VTD, IOTLB_ADDRESS, 1, AND, 0xc0) } },
	[F_VTD_EVENT_LOST] = { .before = event_lost },
	[F_VTD_COMPLETION_LOST] = { .before = completion_lost },
	[F_VTD_PAGE_KEPT] = { .before = page_kept },
	[F_VTD_LARGE_KEPT] = { .before = large_kept },
	[F_VTD_DOMAIN_KEPT] = { .before = domain_kept },
	[F_VTD_ALL_KEPT] = { .before = all_kept },
	[F_VTD_CONTEXT_KEPT] = { .before = context_kept },
	[F_VTD_CONTEXT_DOMAIN_KEPT] = { .before = context_domain_kept },
	[F_VTD_CONTEXT_ALL_KEPT] = { .before = context_all_kept },
	[F_VTD_ROOT_KEPT] = { .before = root_kept },
	[F_VTD_QUEUE_PAGE_KEPT] = { .before = queue_page_kept },
	[F_VTD_QUEUE_DOMAIN_KEPT] = { .before = queue_domain_kept },
	[F_VTD_QUEUE_CONTEXT_KEPT] = { .before = queue_context_kept },
	[F_VTD_QUEUE_UNCHECKED] = { .before = queue_unchecked },
	[F_VTD_INTERRUPTS_KEPT] = { .before = interrupts_kept },
	[F_VTD_INTERRUPTS_UNCHECKED] = { .before = interrupts_unchecked },
	[F_VTD_VECTOR_WRONG] = { .before = vector_wrong },
	[F_VTD_SOURCE_UNCHECKED] = { .before = source_unchecked },
	[F_VTD_ROOT_UNCHECKED] = { .before = root_unchecked },
	[F_VTD_CONTEXT_UNCHECKED] = { .before = context_unchecked },
	[F_VTD_CONTEXT_TYPE_UNCHECKED] = { .before = context_type_unchecked },
	[F_VTD_FAULTS_ALWAYS] = { .before = faults_always },
	[F_VTD_PAGING_UNCHECKED] = { .before = paging_unchecked },
	[F_VTD_PAGE_HIGH_CUT] = { .before = page_high_cut },
	[F_VTD_UPPER_IGNORED] = { .before = upper_ignored },
	[F_VTD_READ_ONLY_WRITABLE] = { .before = read_only_writable },
	[F_VTD_BAD_TABLE_EMPTY] = { .before = bad_table_empty },
	[F_VTD_LARGE_UNCHECKED] = { .before = large_unchecked },
};
