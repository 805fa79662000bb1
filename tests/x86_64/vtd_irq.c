/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iommu.vtd.irq_*: an interrupt is a write, and what a device writes to the interrupt range is looked up in a table of the
 * driver's (Intel VT-d 4.1, 5.1): a device raises what it was granted and nothing else.
 *
 * How hosts break it: a message of the old format goes through as it is; the requester is not compared, so that one device
 * raises another one's interrupts; the table's size is not looked at; the cache of its entries is never emptied.
 *
 * How it is seen: edu writes four bytes of the test's choice to the interrupt range; the vector's handler counts.
 */
#include <errno.h>
#include <string.h>

#include "lib/errname.h"
#include "lib/irq.h"
#include "lib/mmio.h"
#include "tests/x86_64/vtd.h"

#define OWNER OWNER_VTD
#define NEEDS (NEED_VTD | NEED_ENDPOINT | NEED_READER)
#define INDEX 3u

static unsigned int count; /* atomic */

static void on_irq(void *arg)
{
	(void)arg;
	__atomic_add_fetch(&count, 1, __ATOMIC_RELEASE);
}

static unsigned int came(void)
{
	return __atomic_load_n(&count, __ATOMIC_ACQUIRE);
}

/* edu, whose messages are remapped, and a vector of the first CPU's. */
struct scene {
	struct vtd *v;
	struct endpoint e;
	int vector;
	uint64_t entry; /* the low half of one that gives the vector */
	uint32_t *word; /* that edu is loaded with */
	uint64_t word_at;
};

static void set_up(struct test_ctx *t, struct scene *s)
{
	int ret;

	memset(s, 0, sizeof(*s));
	s->v = vtd_up(t);
	if (!vtd_features(s->v)->interrupts || !vtd_way(t, s->v, 1))
		test_skip(t, "the unit offers no interrupt remapping");
	s->e = endpoint_reader(t);
	if (s->e.a->reach < vtd_message_address(0xffff, true))
		test_skip(t, "no edu is known to reach the interrupt range (edu.bits=)");
	s->word = (uint32_t *)iommu_pages(t, 1);
	s->word_at = iova_of(0);
	attach(t, &s->e, domain_of(0));
	map(t, domain_of(0), s->word_at, s->word, 1, IOMMU_READ);
	s->vector = vtd_vector(t, on_irq);
	if (vtd_interrupt_to(s->v, s->vector, 0, &s->entry))
		test_error(t, "no message gives the first CPU an interrupt");
	ret = vtd_interrupts(s->v, true);
	require(t, ret == 0, "interrupt remapping does not go on: %s", err_text(ret));
	vtd_drain(s->v);
	count = 0;
}

static void tear_down(struct test_ctx *t, struct scene *s)
{
	require(t, vtd_interrupts(s->v, false) == 0, "interrupt remapping does not go off");
	detach(t, &s->e, domain_of(0));
}

/* An entry of the table becomes this, and the old one is not kept. */
static void grants(struct test_ctx *t, struct scene *s, uint16_t index, uint64_t low, uint64_t high)
{
	vtd_entry_set(s->v, vtd_interrupt_entry(s->v, index), low, high);
	require(t, vtd_forget_interrupts(s->v, false, index, 0) == 0,
		"interrupt entry %u is not invalidated", index);
}

static void raises(struct test_ctx *t, struct scene *s, uint64_t address, uint32_t data)
{
	*s->word = data;
	dma_load(t, &s->e, s->word_at, sizeof(data));
	dma_store(t, &s->e, address, sizeof(data));
}

static void arrives(struct test_ctx *t, struct scene *s, uint64_t address, uint32_t data,
		    const char *what)
{
	const unsigned int before = came();

	raises(t, s, address, data);
	require(t, wait_for(came() == before + 1, 2 * test_sec()), "%s: %u interrupts come", what,
		came() - before);
}

/* A barrier of the same kind follows: one that is granted comes, and it is the only one. */
static void is_blocked(struct test_ctx *t, struct scene *s, uint64_t address, uint32_t data,
		       enum vtd_reason reason, const char *what)
{
	const unsigned int before = came();
	struct vtd_fault f;
	unsigned int passed;
	int ret = 0;

	vtd_drain(s->v);
	raises(t, s, address, data);
	/* Of one that gives an interrupt there is no record to wait for. */
	(void)wait_for((ret = vtd_fault_get(s->v, &f)) != 0 || came() != before, 2 * test_sec());
	expect(t, ret == 1, "%s is not recorded", what);
	if (ret == 1)
		expect_eq(t, f.reason, reason, "reason of the record of %s", what);
	grants(t, s, VTD_INTERRUPTS - 1, s->entry, 0);
	passed = came();
	expect_eq(t, passed - before, 0, "interrupts: %s", what);
	raises(t, s, vtd_message_address(VTD_INTERRUPTS - 1, false), 0);
	(void)wait_for(came() > passed, 2 * test_sec());
	expect_eq(t, came() - before, 1, "interrupts: %s, and one that is granted", what);
}

TEST(vtd_irq_remapped,
     .id = "iommu.vtd.irq_remapped",
     .clause = "VT-d 5.1.2.2, 5.1.3: a message in remappable format gives the interrupt of the entry that it names, with its data added where it says so",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 30 * SEC)
{
	struct scene s;

	set_up(t, &s);
	grants(t, &s, INDEX, s.entry, 0);
	arrives(t, &s, vtd_message_address(INDEX, false), 0, "a message for an entry");
	grants(t, &s, INDEX, 0, 0);
	grants(t, &s, INDEX + 2, s.entry, 0);
	arrives(t, &s, vtd_message_address(INDEX, true), 2, "a message for the second one behind");
	grants(t, &s, VTD_INTERRUPTS - 1, s.entry, 0);
	arrives(t, &s, vtd_message_address(VTD_INTERRUPTS - 1, false), 0,
		"a message for the last entry");
	tear_down(t, &s);
}

TEST(vtd_irq_blocked,
     .id = "iommu.vtd.irq_blocked",
     .clause = "VT-d 5.1.4.1: a message for an entry that is absent, reserved or beyond the table gives no interrupt, and is recorded: reasons 21h, 22h, 24h",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 30 * SEC)
{
	struct scene s;

	set_up(t, &s);
	is_blocked(t, &s, vtd_message_address(INDEX, false), 0, VTD_MESSAGE_ABSENT,
		   "a message for an absent entry");
	is_blocked(t, &s, vtd_message_address(VTD_INTERRUPTS, false), 0, VTD_MESSAGE_INDEX,
		   "a message for an entry behind the table");
	is_blocked(t, &s, vtd_message_address(VTD_INTERRUPTS - 2, true), 2, VTD_MESSAGE_INDEX,
		   "a message whose data leads behind the table");
	grants(t, &s, INDEX, s.entry | 1ull << 24, 0);
	is_blocked(t, &s, vtd_message_address(INDEX, false), 0, VTD_MESSAGE_ENTRY,
		   "a message for an entry with a reserved bit");
	grants(t, &s, INDEX, s.entry, 1ull << 20);
	is_blocked(t, &s, vtd_message_address(INDEX, false), 0, VTD_MESSAGE_ENTRY,
		   "a message for an entry with a reserved bit in its upper half");
	tear_down(t, &s);
}

TEST(vtd_irq_taken_back,
     .id = "iommu.vtd.irq_taken_back",
     .clause = "VT-d 6.5.2: behind an invalidation of an interrupt entry, or of all, what the entry was gives no interrupt",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 30 * SEC)
{
	struct scene s;
	unsigned int all;

	set_up(t, &s);
	for (all = 0; all < 2; all++) {
		grants(t, &s, INDEX, s.entry, 0);
		arrives(t, &s, vtd_message_address(INDEX, false), 0, "a message for an entry");
		vtd_entry_set(s.v, vtd_interrupt_entry(s.v, INDEX), 0, 0);
		require(t, vtd_forget_interrupts(s.v, all, INDEX, 0) == 0,
			"interrupt entries are not invalidated");
		is_blocked(t, &s, vtd_message_address(INDEX, false), 0, VTD_MESSAGE_ABSENT,
			   "a message for an entry that was taken back");
	}
	tear_down(t, &s);
}

TEST(vtd_irq_forged,
     .id = "iommu.vtd.irq_forged",
     .clause = "VT-d 5.1.4: with interrupt remapping on, and the compatibility format not let through, a message of that format is blocked and recorded: reason 25h",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 30 * SEC)
{
	struct scene s;
	uint64_t addr;
	uint32_t data;

	set_up(t, &s);
	if (irq_message_direct(s.vector, 0, &addr, &data))
		test_error(t, "no message");
	is_blocked(t, &s, addr, data, VTD_MESSAGE_COMPATIBLE, "a message of the old format");
	tear_down(t, &s);
}

TEST(vtd_irq_source,
     .id = "iommu.vtd.irq_other_source",
     .clause = "VT-d 5.1.3, 5.1.4.1: an entry that names a requester gives no interrupt to another one's messages: reason 26h",
     .owner = OWNER,
     .needs = NEEDS,
     .timeout = 30 * SEC)
{
	struct scene s;

	set_up(t, &s);
	grants(t, &s, INDEX, s.entry, VTD_SOURCE(s.e.id));
	arrives(t, &s, vtd_message_address(INDEX, false), 0, "its own message");
	grants(t, &s, INDEX, s.entry, VTD_SOURCE(s.e.id ^ 0x10));
	is_blocked(t, &s, vtd_message_address(INDEX, false), 0, VTD_MESSAGE_SOURCE,
		   "a message for another requester's entry");
	tear_down(t, &s);
}
