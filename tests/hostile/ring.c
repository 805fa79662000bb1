/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hostile.ring.*: what a malicious driver puts on a virtqueue. The specification leaves open what a device does with it:
 * it may use the buffer, leave it, or ask for a reset. It promises that a reset makes it work again (2.4.1), and its
 * host promises the rest: no component crashes or hangs, no byte of memory changes that was not offered, and no other
 * device notices. Hosts broke it by following loops for ever, by lengths that wrapped, by tables inside of tables, by
 * a worker thread that ended at the first bad chain. Seen by a plain buffer on the same device after a reset, and on
 * another device at once; the harness sees who crashed.
 */
#include <stdio.h>
#include <string.h>

#include "drivers/virtio/pci.h"
#include "drivers/virtio/vsock.h"
#include "lib/boot_info.h"
#include "lib/cmdline.h"
#include "lib/mem.h"
#include "lib/mmio.h"
#include "tests/virtio/util.h"

OPTION("hostile.seed", "seed of hostile.ring.random; without it the run's own");
OPTION("hostile.count", "how many of its chains hostile.ring.random tries");
OPTION("hostile.from", "the first of them: a chain that is tried alone");

#define CLAUSE	      "virtio 1.4, 2.4.1 MUST: a reset brings a device back, whatever a driver gave it"
#define TABLE_SIZE    4096u
#define RANDOM_CHAINS 200

enum {
	NEXT = VRING_DESC_F_NEXT,
	WRITE = VRING_DESC_F_WRITE,
	INDIRECT = VRING_DESC_F_INDIRECT,
};

/* Addresses that are no memory of ours, nor of anybody. */
static const uint64_t nowhere[] = {
	0xfffffffffffff000ull, 0x8000000000000000ull, 1ull << 52,
	(1ull << 45) + 1,      0x7ffffffffffff0ull,
};

/* A chain of the worst kind; what is not said of a descriptor is that of a plain buffer. */
struct ill {
	const char *name;
	uint16_t head; /* HEAD_SIZE stands for the queue's size */
	bool harmless; /* who acts on it does no more than a driver of a later version may expect */
	bool both; /* malformed in a packed ring, too, where it is as long as the driver knows it to be */
	bool read;     /* only for a device that reads: one that writes would fill all memory */
	bool indirect; /* desc is a table, and descriptor 0 refers to it with these: */
	uint32_t table_len; /* bytes; 0: what the entries take */
	uint16_t more_flags;
	uint8_t n;
	struct ill_desc {
		uint64_t addr; /* 0: the actor's memory; 1: its table */
		uint32_t len; /* PLAIN: the actor's; PAST_END: to some way behind the end of memory */
		uint16_t flags, next;
		bool other; /* WRITE where the actor reads, and the other way round */
	} desc[4];
};
#define HEAD_SIZE 0xfffe
#define NO_BYTES  0xffffffffu
#define PLAIN	  0xfffffff0u
#define PAST_END  0xfffffff1u
#define MEM	  0
#define TAB	  1

static const struct ill chains[] = {
	{ "a descriptor that is its own next", 0, .n = 1, .desc = { { MEM, 4, NEXT, 0 } } },
	{ "a request that is its own next", 0, .n = 1, .desc = { { MEM, PLAIN, NEXT, 0 } } },
	{ "a loop of two", 0, .n = 2, .desc = { { MEM, 4, NEXT, 1 }, { MEM, 4, NEXT, 0 } } },
	{ "a loop behind the head", 0, .n = 3,
	  .desc = { { MEM, 4, NEXT, 1 }, { MEM, 4, NEXT, 2 }, { MEM, 4, NEXT, 1 } } },
	{ "next is the queue's size", 0, .n = 1, .desc = { { MEM, PLAIN, NEXT, HEAD_SIZE } } },
	{ "next is 65535", 0, .n = 1, .desc = { { MEM, PLAIN, NEXT, 0xffff } } },
	{ "the head is the queue's size", HEAD_SIZE, .n = 1, .desc = { { MEM, PLAIN, 0, 0 } } },
	{ "the head is 65535", 0xffff, .n = 1, .desc = { { MEM, PLAIN, 0, 0 } } },
	{ "no bytes", 0, .n = 1, .desc = { { MEM, 0, 0, 0 } } },
	{ "no bytes, twice", 0, .n = 2, .desc = { { MEM, 0, NEXT, 1 }, { MEM, 0, 0, 0 } } },
	{ "an address outside of memory", 0, .both = true, .n = 1,
	  .desc = { { 0xfffffffffffff000ull, 64, 0, 0 } } },
	{ "an address with bit 63", 0, .both = true, .n = 1,
	  .desc = { { 0x8000000000000000ull, 64, 0, 0 } } },
	{ "an address above any machine's", 0, .both = true, .n = 1,
	  .desc = { { 1ull << 52, 64, 0, 0 } } },
	{ "address and length wrap", 0, .both = true, .n = 1,
	  .desc = { { 0xfffffffffffffff0ull, 64, 0, 0 } } },
	{ "the second address is nowhere", 0, .both = true, .n = 2,
	  .desc = { { MEM, 16, NEXT, 1 }, { 1ull << 45, 4096, 0, 0 } } },
	{ "the other direction", 0, .n = 1, .desc = { { MEM, PLAIN, 0, 0, true } } },
	{ "the other direction first", 0, .both = true, .n = 2,
	  .desc = { { MEM, 16, NEXT, 1, true }, { MEM, PLAIN, 0, 0 } } },
	{ "a request, and an address nowhere behind it", 0, .both = true, .n = 2,
	  .desc = { { MEM, PLAIN, NEXT, 1 }, { 1ull << 45, 4096, 0, 0 } } },
	{ "a request, and bytes that wrap behind it", 0, .both = true, .n = 2,
	  .desc = { { MEM, PLAIN, NEXT, 1 }, { 0xfffffffffffffff0ull, 64, 0, 0 } } },
	{ "a request, and a table nowhere behind it", 0, .both = true, .n = 2,
	  .desc = { { MEM, PLAIN, NEXT, 1 }, { 1ull << 52, 16, INDIRECT, 0 } } },
	{ "a request that may be written, and one behind it", 0, .both = true, .n = 2,
	  .desc = { { MEM, PLAIN, NEXT, 1, true }, { MEM, PLAIN, 0, 0 } } },
	{ "a request, and both directions behind it", 0, .both = true, .n = 3,
	  .desc = { { MEM, PLAIN, NEXT, 1 }, { MEM, 16, NEXT, 2, true }, { MEM, 16, 0, 0 } } },
	{ "a request that ends behind all memory", 0, .both = true, .read = true, .n = 1,
	  .desc = { { MEM, PAST_END, 0, 0 } } },
	/* Of less than that some machine has so much memory. */
	{ "a request of more than 4 GiB in all", 0, .both = true, .read = true, .n = 3,
	  .desc = { { MEM, 0x7fffffff, NEXT, 1 },
		    { MEM, 0x7fffffff, NEXT, 2 },
		    { MEM, 0x7fffffff, 0, 0 } } },
	{ "unknown flags", 0, true, .n = 1, .desc = { { MEM, PLAIN, 0xfff8, 0 } } },
	{ "a table of no bytes", 0, .both = true, .indirect = true, .table_len = NO_BYTES, .n = 0 },
	{ "a table of 17 bytes", 0, .both = true, .indirect = true, .table_len = 17, .n = 1,
	  .desc = { { MEM, PLAIN, 0, 0 } } },
	{ "a table of 8 bytes", 0, .both = true, .indirect = true, .table_len = 8, .n = 1,
	  .desc = { { MEM, PLAIN, 0, 0 } } },
	{ "a request in a table, and next leaves it", 0, .indirect = true, .n = 2,
	  .desc = { { MEM, PLAIN, NEXT, 2 }, { MEM, 4, 0, 0 } } },
	{ "a request in a table that is its own next", 0, .indirect = true, .n = 2,
	  .desc = { { MEM, PLAIN, NEXT, 0 }, { MEM, 4, 0, 0 } } },
	{ "a table inside a table", 0, .indirect = true, .n = 1,
	  .desc = { { TAB, 16, INDIRECT, 0 } } },
	{ "a request in a table, and a table behind it", 0, .indirect = true, .n = 2,
	  .desc = { { MEM, PLAIN, NEXT, 1 }, { TAB, 16, INDIRECT, 0 } } },
	{ "a table that is followed", 0, .indirect = true, .more_flags = NEXT, .n = 1,
	  .desc = { { MEM, PLAIN, 0, 0 } } },
	{ "a loop in a table", 0, .indirect = true, .n = 2,
	  .desc = { { MEM, 4, NEXT, 1 }, { MEM, 4, NEXT, 0 } } },
	{ "next leaves the table", 0, .indirect = true, .n = 1, .desc = { { MEM, 4, NEXT, 1 } } },
	{ "next leaves the table by far", 0, .indirect = true, .n = 1,
	  .desc = { { MEM, 4, NEXT, 0xffff } } },
	{ "a request in a table, and an address nowhere behind it", 0, .both = true,
	  .indirect = true, .n = 2, .desc = { { MEM, PLAIN, NEXT, 1 }, { 1ull << 52, 64, 0, 0 } } },
	/* A device that cannot read a table, and goes on with the table that it read before, acts on that one. */
	{ "a table nowhere", 0, .both = true, .n = 1, .desc = { { 1ull << 52, 16, INDIRECT, 0 } } },
	{ "a table with an address nowhere", 0, .both = true, .indirect = true, .n = 1,
	  .desc = { { 1ull << 52, 64, 0, 0 } } },
};

/* Apart from an actor's memory, whose bytes are looked at. */
static struct {
	uint8_t *mem;
	dma_addr_t addr;
} table_page;

static void get_table(struct test_ctx *t, struct virtio_device *d)
{
	table_page.mem = vt_dma(t, d, TABLE_SIZE, &table_page.addr);
}

static uint16_t flags_of(const struct actor *a, const struct ill_desc *d)
{
	return (uint16_t)(d->flags | (d->other ? actor_flags(a) ^ WRITE : actor_flags(a)));
}

/*
 * Bytes from the actor's memory to some way behind the end of all RAM, or of all below 4 GiB where the actor's is there.
 * Firmware keeps less of the last RAM for itself than what comes on top. 0: more than a descriptor can have.
 */
static uint32_t past_end(const struct actor *a)
{
	const struct boot_info *b = boot_info_get();
	uint64_t end = a->addr;
	uint32_t i;

	for (i = 0; i < b->mem_count; i++)
		if (b->mem[i].type == BOOT_MEM_RAM && !(b->mem[i].base >> 32) == !(a->addr >> 32) &&
		    b->mem[i].base + b->mem[i].size > end)
			end = b->mem[i].base + b->mem[i].size;
	end += (1u << 20) - a->addr;
	return end < PLAIN ? (uint32_t)end : 0;
}

/* Whether this chain can be made for a. */
static bool can_have(const struct actor *a, const struct ill *c)
{
	unsigned int i;

	for (i = 0; i < c->n; i++)
		if (c->desc[i].len == PAST_END && !past_end(a))
			return false;
	return !(c->read && a->writes) &&
	       (!c->indirect || virtio_has(a->d, VIRTIO_F_INDIRECT_DESC));
}

static struct vq_raw_desc real(const struct actor *a, const struct ill_desc *d)
{
	const uint16_t next = d->next == HEAD_SIZE ? vq_size(a->vq) : d->next;

	return (struct vq_raw_desc){
		.addr = d->addr == MEM ? a->addr :
			d->addr == TAB ? table_page.addr :
					 d->addr,
		.len = d->len == PLAIN	  ? a->len :
		       d->len == PAST_END ? past_end(a) :
					    d->len,
		.flags = flags_of(a, d),
		.next = next,
	};
}

/* Stages it; the head to post. */
static uint16_t stage(struct actor *a, const struct ill *c)
{
	unsigned int i;

	for (i = 0; i < c->n; i++) {
		const struct vq_raw_desc d = real(a, &c->desc[i]);

		if (!c->indirect)
			(void)vq_raw_stage(a->vq, (uint16_t)i, &d);
		else
			vq_raw_entry(a->vq, table_page.mem, (uint16_t)i, &d);
	}
	if (c->indirect) {
		const struct vq_raw_desc d = {
			.addr = table_page.addr,
			.len = c->table_len == NO_BYTES ? 0 :
			       c->table_len		? c->table_len :
					      (uint32_t)(c->n * sizeof(struct vring_desc)),
			.flags = (uint16_t)(INDIRECT | c->more_flags),
			.next = 1,
		};

		(void)vq_raw_stage(a->vq, 0, &d);
	}
	return c->head == HEAD_SIZE ? vq_size(a->vq) : c->head;
}

/* --- who must not notice ------------------------------------------------------------------------ */

/* Another device than a's, up and working; false: there is none. */
static bool bystander(struct test_ctx *t, const struct actor *a, struct actor *other)
{
	const struct bring_up poll = { .irq = VIRTIO_IRQ_POLL };
	unsigned int i;

	for (i = 0; actor_get(i, other); i++)
		if (other->d != a->d) {
			actor_up(t, other, &poll);
			return true;
		}
	return false;
}

/* What is between the buffers that anybody may write and the end of the actor's memory. */
static void check_memory(struct test_ctx *t, const struct actor *a, const char *what)
{
	expect(t, actor_in_bounds(a), "%s: %s: memory was written that no buffer covers",
	       vt_who(a->d), what);
}

/* The specification does not forbid it, but a device that takes the wrong part of a chain may take others' as well. */
static void look_whether_it_acted(struct test_ctx *t, struct actor *a, const char *what)
{
	if (wait_for(actor_acted(a), QUIET_NS / 8))
		test_note(t, "%s: acts on %s", vt_who(a->d), what);
}

/* One buffer was available, or none where the head is none. */
static void look_what_was_used(struct test_ctx *t, struct actor *a, uint16_t head, const char *what)
{
	const unsigned int n = vq_raw_used_count(a->vq);
	uint32_t id, len;

	if (!n)
		return;
	actor_used(a, 0, &id, &len);
	if (n > 1 || id != head || head >= vq_size(a->vq))
		test_note(t, "%s: behind %s %u buffers are used, the first of them %u",
			  vt_who(a->d), what, n, (unsigned int)id);
}

static void posts(struct test_ctx *t, struct actor *a, const struct actor *other, uint16_t head,
		  const char *what)
{
	struct actor by = other ? *other : (struct actor){ 0 };

	actor_post(a, head);
	vq_notify(a->vq);
	if (other) {
		actor_prepare(&by, true);
		require(t, actor_round(&by), "%s: after %s on %s it uses no buffer", vt_who(by.d),
			what, a->d->name);
	}
	/* It may answer or not; what it does wrong it does now. */
	(void)actor_wait(a, 1, QUIET_NS);
	look_what_was_used(t, a, head, what);
}

/* A reset, and one buffer. */
static void comes_back(struct test_ctx *t, struct actor *a, const struct bring_up *how,
		       const char *what)
{
	vt_must_reset(t, a->d);
	actor_up(t, a, how);
	actor_prepare(a, true);
	require(t, actor_round(a), "%s: %s, then a reset: a plain buffer is not used", vt_who(a->d),
		what);
}

TEST(hostile_chains,
     .id = "hostile.ring.chains",
     .clause = CLAUSE,
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .liveness = 1,
     .timeout = 60 * SEC)
{
	struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	struct actor a, by;
	unsigned int i, k;
	bool has;

	actor_need(t);
	for (i = 0; actor_get(i, &a); i++) {
		how.features = a.d->offered & VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC);
		actor_up(t, &a, &how);
		get_table(t, a.d);
		has = bystander(t, &a, &by);
		for (k = 0; k < sizeof(chains) / sizeof(chains[0]); k++) {
			if (!can_have(&a, &chains[k]))
				continue;
			actor_prepare(&a, false);
			posts(t, &a, has ? &by : NULL, stage(&a, &chains[k]), chains[k].name);
			check_memory(t, &a, chains[k].name);
			if (!chains[k].harmless)
				look_whether_it_acted(t, &a, chains[k].name);
			comes_back(t, &a, &how, chains[k].name);
		}
	}
}

/* --- rings that lie nowhere ------------------------------------------------------------------------ */

/*
 * The last bytes of the highest RAM, which hold the begin of a part and not its end; 0: there are none that are free. Below
 * 4 GiB the firmware has what is behind.
 */
static uint64_t last_bytes(void)
{
	enum {
		BYTES = 16
	};
	const struct boot_info *b = boot_info_get();
	uint64_t end = 0;
	uint32_t i;
	void *page;

	for (i = 0; i < b->mem_count; i++)
		if (b->mem[i].type == BOOT_MEM_RAM && b->mem[i].base >> 32 &&
		    b->mem[i].base + b->mem[i].size > end)
			end = b->mem[i].base + b->mem[i].size;
	page = end && end % PAGE_SIZE == 0 ? mem_pages_at(end - PAGE_SIZE, 1) : NULL;
	if (!page)
		return 0;
	memset((uint8_t *)page + PAGE_SIZE - BYTES, 0, BYTES);
	mem_pages_free(page, 1);
	return end - BYTES;
}

/* One part of a queue lies there. The device comes back, and no other one notices. */
static void misplaces(struct test_ctx *t, struct actor *a, unsigned int part, uint64_t place)
{
	static const char *const parts[] = { "the descriptors", "the driver area",
					     "the device area" };
	const struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	struct actor by;
	char what[48];
	bool has;

	snprintf(what, sizeof(what), "%s at 0x%llx", parts[part], (unsigned long long)place);
	has = bystander(t, a, &by);
	/* It may refuse them at once. */
	(void)vt_up_misplaced(t, a->d, a->packed ? VIRTIO_BIT(VIRTIO_F_RING_PACKED) : 0, a->queue,
			      part, place);
	a->d->ops->notify(a->d, a->queue, a->queue);
	if (has) {
		actor_prepare(&by, true);
		require(t, actor_round(&by), "%s: after %s on %s it uses no buffer", vt_who(by.d),
			what, a->d->name);
	}
	(void)wait_for(false, QUIET_NS / 8);
	comes_back(t, a, &how, what);
}

TEST(hostile_addresses,
     .id = "hostile.ring.addresses",
     .clause = CLAUSE,
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .liveness = 1,
     .timeout = 60 * SEC)
{
	static const uint64_t places[] = { 0xfffffffffffff000ull, 0xfffffffffffffff0ull,
					   0x8000000000000000ull, 1ull << 52, 1ull << 45 };
	const uint64_t last = last_bytes();
	struct actor a;
	unsigned int i, k, part;

	actor_need(t);
	for (i = 0; actor_of(i, RINGS_EACH, &a); i++)
		for (part = 0; part < 3; part++) {
			for (k = 0; k < sizeof(places) / sizeof(places[0]); k++)
				misplaces(t, &a, part, places[k]);
			/* The events of a packed ring have their place there. */
			if (last && (part == 0 || !a.packed))
				misplaces(t, &a, part, last);
		}
}

/* As long as the queue, and one longer, in a loop through all descriptors. */
TEST(hostile_long,
     .id = "hostile.ring.long",
     .clause = CLAUSE,
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .liveness = 1,
     .timeout = 30 * SEC)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	struct actor a;
	unsigned int i, k;

	actor_need(t);
	for (i = 0; actor_get(i, &a); i++) {
		actor_up(t, &a, &how);
		for (k = 0; k < vq_size(a.vq); k++)
			actor_desc(&a, (uint16_t)k, 0, 1, (uint16_t)(actor_flags(&a) | NEXT),
				   (uint16_t)((k + 1) % vq_size(a.vq)));
		actor_prepare(&a, true);
		posts(t, &a, NULL, 0, "a loop through the whole queue");
		check_memory(t, &a, "a loop through the whole queue");
		comes_back(t, &a, &how, "a loop through the whole queue");
	}
}

/* avail.idx runs ahead of what is there by more than the queue holds, or goes back. */
TEST(hostile_index,
     .id = "hostile.ring.avail_jumps",
     .clause = CLAUSE,
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .liveness = 1,
     .timeout = 30 * SEC)
{
	static const uint16_t jumps[] = { 0x8000, 0xffff, 0x7fff, 1000, 257 };
	const struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	struct actor a;
	unsigned int i, k, used;
	char what[32];
	bool leaps;

	actor_need(t);
	for (i = 0; actor_of(i, RINGS_SPLIT, &a); i++) {
		actor_up(t, &a, &how);
		for (k = 0; k < sizeof(jumps) / sizeof(jumps[0]); k++) {
			struct vq_split *s = actor_split(&a);

			snprintf(what, sizeof(what), "avail.idx is %u", jumps[k]);
			actor_prepare(&a, true);
			actor_desc(&a, 0, 0, a.len, actor_flags(&a), 0);
			vq_split_set_avail_idx(s, jumps[k]);
			vq_notify(a.vq);
			leaps = (uint16_t)(jumps[k] - a.posted) > vq_size(a.vq);
			used = actor_wait(&a, 1, QUIET_NS);
			/* A queue that has stopped stays so. */
			vq_notify(a.vq);
			used += actor_wait(&a, 1, QUIET_NS / 4);
			if (used && leaps)
				test_note(t, "%s: %s: buffers are used, none was available",
					  vt_who(a.d), what);
			check_memory(t, &a, what);
			comes_back(t, &a, &how, what);
		}
	}
}

/* The same jump, and back: a device that goes on then needs no reset, and one that does not must say so. */
TEST(hostile_needs_reset,
     .id = "hostile.ring.needs_reset",
     .clause = "virtio 1.4, 2.1.2 SHOULD: a device that only a reset can cure sets DEVICE_NEEDS_RESET",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .liveness = 1,
     .timeout = 20 * SEC)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	struct actor a;
	unsigned int i;
	bool told;

	actor_need(t);
	for (i = 0; actor_of(i, RINGS_SPLIT, &a); i++) {
		actor_up(t, &a, &how);
		actor_prepare(&a, true);
		actor_desc(&a, 0, 0, a.len, actor_flags(&a), 0);
		vq_split_set_avail_idx(actor_split(&a), 0x8000);
		vq_notify(a.vq);
		(void)actor_wait(&a, 1, QUIET_NS);
		told = a.d->ops->get_status(a.d) & VIRTIO_S_NEEDS_RESET;
		vq_split_set_avail_idx(actor_split(&a), 0);
		actor_post(&a, 0);
		vq_notify(a.vq);
		if (!told && !actor_wait(&a, 1, 5 * QUIET_NS) &&
		    !(a.d->ops->get_status(a.d) & VIRTIO_S_NEEDS_RESET))
			test_note(
				t,
				"%s: avail.idx jumped and came back; it uses no buffer, and DEVICE_NEEDS_RESET is not set",
				vt_who(a.d));
		comes_back(t, &a, &how, "avail.idx jumped and came back");
		expect(t, !(a.d->ops->get_status(a.d) & VIRTIO_S_NEEDS_RESET),
		       "%s: DEVICE_NEEDS_RESET is set after the reset", vt_who(a.d));
	}
}

/*
 * Packed rings have no index that could jump, and no loops; what their flags say can be as wrong: descriptors that were
 * never written, lists that go on into nothing, or round the whole ring, tables in lists.
 */
static const struct ill_packed {
	const char *name;
	uint16_t n;	   /* descriptors; 0: as many as the ring has */
	uint16_t skip;	   /* that many are left out before them */
	uint16_t flags[3]; /* of the first ones; the rest are like the last */
	uint64_t addr;	   /* of the last; 0: the actor's memory */
	uint32_t len;	   /* of the last; PLAIN: the actor's */
} packed_lists[] = {
	{ "a list whose last descriptor has NEXT", 1, 0, { NEXT }, MEM, PLAIN },
	{ "a list of two whose last descriptor has NEXT", 2, 0, { NEXT, NEXT }, MEM, PLAIN },
	{ "a list round the whole ring", 0, 0, { NEXT, NEXT, NEXT }, MEM, 1 },
	{ "a whole ring available with nothing in it", 0, 0, { 0, 0, 0 }, 1ull << 52, 0 },
	{ "available descriptors behind a gap", 2, 3, { 0, 0 }, MEM, PLAIN },
	{ "a table with NEXT", 1, 0, { INDIRECT | NEXT }, TAB, 16 },
	{ "a table with NEXT, and a descriptor behind", 2, 0, { INDIRECT | NEXT, 0 }, MEM, PLAIN },
	{ "a table at the end of a list", 2, 0, { NEXT, INDIRECT }, TAB, 16 },
	{ "a table of 17 bytes in the ring", 1, 0, { INDIRECT }, TAB, 17 },
	{ "a table of no bytes in the ring", 1, 0, { INDIRECT }, TAB, 0 },
	{ "a table of 4 GiB", 1, 0, { INDIRECT }, TAB, 0xfffffff0u },
	{ "a table nowhere", 1, 0, { INDIRECT }, 1ull << 52, 16 },
	{ "a list whose address wraps", 2, 0, { NEXT, 0 }, 0xfffffffffffffff0ull, 64 },
	{ "reserved flags", 1, 0, { 0x7f78 }, MEM, PLAIN },
};

static void put_packed(struct actor *a, const struct ill_packed *l)
{
	struct vq_packed *p = actor_packed(a);
	uint16_t pos = vq_packed_behind(p, vq_packed_next_avail(p), l->skip);
	const uint16_t n = l->n ? l->n : vq_size(a->vq);
	uint16_t k, at;

	/* The first one last. */
	for (k = n; k-- > 0;) {
		const bool last = k + 1 == n;
		const struct ill_desc d = { last ? l->addr : MEM, last ? l->len : 4, 0, 0, false };
		const struct vq_raw_desc to = real(a, &d);

		at = vq_packed_behind(p, pos, k);
		vq_packed_set_desc(p, at & 0x7fff,
				   &(const struct vq_packed_desc){
					   to.addr, to.len, k,
					   (uint16_t)(to.flags | l->flags[k < 3 ? k : 2] |
						      vq_packed_avail_flags(at)) });
	}
}

static bool is_used(struct vq_packed *p, uint16_t pos)
{
	const uint16_t both = PVRING_DESC_F_AVAIL | PVRING_DESC_F_USED;
	struct vq_packed_desc d;

	vq_packed_desc(p, pos & (PVRING_WRAP - 1), &d);
	return (d.flags & both) == (pos & PVRING_WRAP ? both : 0);
}

/* What was not made available stays as it was, wherever the list seems to go on. */
static void rest_is_unused(struct test_ctx *t, struct actor *a, const struct ill_packed *l)
{
	struct vq_packed *p = actor_packed(a);
	const uint16_t pos = vq_packed_next_avail(p), size = vq_size(a->vq);
	uint16_t k;

	for (k = 0; k < size; k++)
		expect(t,
		       !l->n || (k >= l->skip && k < l->skip + l->n) ||
			       !is_used(p, vq_packed_behind(p, pos, k)),
		       "%s: %s: descriptor %u from there is used, and was not available",
		       vt_who(a->d), l->name, k);
}

/*
 * A device that has given the list back has taken all of it: it uses no slot in the middle of it, and should go on behind
 * it, where a plain buffer waits, or want a reset (2.1.2).
 */
static void goes_on_behind(struct test_ctx *t, struct actor *a, const struct ill_packed *l)
{
	struct vq_packed *p = actor_packed(a);
	const uint16_t pos = vq_packed_next_avail(p);
	const uint16_t behind = vq_packed_behind(p, pos, l->n);
	uint16_t k;
	bool goes_on;

	if (l->skip || l->n < 2 || !is_used(p, pos) ||
	    a->d->ops->get_status(a->d) & VIRTIO_S_NEEDS_RESET)
		return;
	actor_prepare(a, true);
	vq_packed_set_desc(p, behind & (PVRING_WRAP - 1),
			   &(const struct vq_packed_desc){
				   a->addr, a->len, 0,
				   (uint16_t)(actor_flags(a) | vq_packed_avail_flags(behind)) });
	vq_notify(a->vq);
	goes_on = wait_for(is_used(p, behind) || a->d->ops->get_status(a->d) & VIRTIO_S_NEEDS_RESET,
			   test_sec());
	for (k = 1; k < l->n; k++)
		expect(t, !is_used(p, vq_packed_behind(p, pos, k)),
		       "%s: %s: it is used as a whole, and again from its descriptor %u on",
		       vt_who(a->d), l->name, k);
	if (!goes_on)
		test_note(t, "%s: %s: it is used, and the buffer behind it is not, without a reset",
			  vt_who(a->d), l->name);
}

TEST(hostile_packed,
     .id = "hostile.ring.packed",
     .clause = CLAUSE,
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO | NEED_PACKED,
     .liveness = 1,
     .timeout = 30 * SEC)
{
	struct bring_up how = { .irq = VIRTIO_IRQ_POLL, .size = 8 };
	struct actor a;
	unsigned int i, k;

	for (i = 0; actor_of(i, RINGS_PACKED, &a); i++) {
		how.features = a.d->offered & VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC);
		actor_up(t, &a, &how);
		get_table(t, a.d);
		for (k = 0; k < sizeof(packed_lists) / sizeof(packed_lists[0]); k++) {
			actor_prepare(&a, true);
			put_packed(&a, &packed_lists[k]);
			vq_notify(a.vq);
			(void)wait_for(false, QUIET_NS / 4);
			check_memory(t, &a, packed_lists[k].name);
			rest_is_unused(t, &a, &packed_lists[k]);
			goes_on_behind(t, &a, &packed_lists[k]);
			comes_back(t, &a, &how, packed_lists[k].name);
		}
	}
}

/* Notifications without cause, of this queue, of others, of queues that do not exist. */
TEST(hostile_kicks,
     .id = "hostile.ring.kicks",
     .clause = "virtio 1.4, 2.9: a notification makes a device look, and no more",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .liveness = 1,
     .timeout = 30 * SEC)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	struct actor a;
	unsigned int i, k;

	actor_need(t);
	for (i = 0; actor_get(i, &a); i++) {
		actor_up(t, &a, &how);
		for (k = 0; k < 2000; k++)
			a.d->ops->notify(a.d, (uint16_t)(k % a.d->max_queues), 0);
		actor_one(t, &a);
		expect_eq(t, vq_raw_used_count(a.vq), 0, "%s: buffers used that nobody posted",
			  vt_who(a.d));
		comes_back(t, &a, &how, "2,000 notifications");
	}
}

/*
 * Numbers that are no queue's, at each queue's place; two bytes, and four, of which the upper ones mean nothing here. And
 * at the place that such a queue would have.
 */
static void notify_wrongly(const struct virtio_pci *p)
{
	static const uint16_t numbers[] = { 3, 4, 5, 8, 64, 255, 0x7fff, 0x8000, 0xffff };
	const struct virtio_pci_cap_info *c = p->notify_cap;
	unsigned int k;
	uint16_t q;

	for (k = 0; c->multiplier && k < sizeof(numbers) / sizeof(numbers[0]); k++)
		if (numbers[k] >= p->vdev.max_queues &&
		    (uint64_t)numbers[k] * c->multiplier + sizeof(uint16_t) <= c->length)
			mmio_write16(p->notify + (size_t)numbers[k] * c->multiplier, numbers[k]);

	for (q = 0; q < p->vdev.max_queues; q++)
		for (k = 0; p->notify_at[q] && k < sizeof(numbers) / sizeof(numbers[0]); k++) {
			if (numbers[k] < p->vdev.max_queues)
				continue;
			mmio_write16(p->notify_at[q], numbers[k]);
			if (p->notify_cap->length >=
			    (uint64_t)(p->notify_at[q] - p->notify) + sizeof(uint32_t))
				mmio_write32(p->notify_at[q], 0xffff0000u | numbers[k]);
		}
}

TEST(hostile_numbers,
     .id = "hostile.ring.notified_numbers",
     .clause = "virtio 1.4, 2.9, 4.1.5.2: a notification makes a device look at the queue that it names, if there is one, and no more",
     .owner = OWNER_FRONT,
     .needs = NEED_VIRTIO_PCI,
     .liveness = 1,
     .timeout = 20 * SEC)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	unsigned int i, tried = 0;
	struct virtio_pci *p;
	struct actor a;

	actor_need(t);
	for (i = 0; (p = actor_on_pci(i, &a)); i++) {
		tried++;
		actor_up(t, &a, &how);
		notify_wrongly(p);
		actor_one(t, &a);
		expect_eq(t, vq_raw_used_count(a.vq), 0, "%s: buffers used that nobody posted",
			  vt_who(a.d));
		comes_back(t, &a, &how, "notifications of queues that do not exist");
	}
	actor_tried(t, tried, "on PCI");
}

/* All of a queue's registers, each with what a driver writes there. */
static void configure_nothing(const struct virtio_pci *p, uint16_t q)
{
	volatile uint8_t *const first = (volatile uint8_t *)&p->common->queue_desc_lo;
	unsigned int k;

	mmio_write16(&p->common->queue_select, q);
	mmio_write16(&p->common->queue_size, 8);
	mmio_write16(&p->common->queue_msix_vector, 0);
	for (k = 0; k < 6; k++)
		mmio_write32(first + 4 * k, k % 2 ? 0 : 0x1000 * (k + 1));
	mmio_write16(&p->common->queue_enable, 1);
	if (virtio_has(&p->vdev, VIRTIO_F_RING_RESET))
		mmio_write16(&p->common->queue_reset, 1);
}

/* A device that has an administration queue has one behind the others. */
TEST(hostile_no_queue,
     .id = "hostile.ring.no_queue",
     .clause = CLAUSE,
     .owner = OWNER_FRONT,
     .needs = NEED_VIRTIO_PCI,
     .liveness = 1,
     .timeout = 20 * SEC)
{
	static const uint16_t beyond[] = { 1, 2, 3, 60, 1000, 32000, 65000 };
	const struct bring_up how = { .irq = VIRTIO_IRQ_POLL,
				      .features = VIRTIO_BIT(VIRTIO_F_RING_RESET) };
	unsigned int i, k, tried = 0;
	struct virtio_pci *p;
	struct actor a;

	actor_need(t);
	for (i = 0; actor_get(i, &a); i++) {
		p = virtio_pci(a.d);
		if (!p)
			continue;
		tried++;
		actor_up(t, &a, &how);
		for (k = 0; k < sizeof(beyond) / sizeof(beyond[0]); k++)
			configure_nothing(p, (uint16_t)(a.d->max_queues + beyond[k]));
		comes_back(t, &a, &how, "registers of queues that do not exist were written");
	}
	actor_tried(t, tried, "on PCI");
}

/* --- at random ------------------------------------------------------------------------------------ */

static uint64_t state;

static uint32_t draw(uint32_t n)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(state >> 33) % n;
}

/* The i-th chain of a seed, whatever came before it. */
static void make_ill(uint64_t seed, unsigned int i, struct ill *c)
{
	static const uint32_t lens[] = { 0,  1,	    15,	  16,	      43,	 44,
					 45, PLAIN, 4096, 0x7fffffff, 0xffffffff };
	static const uint16_t nexts[] = { 0, 1, 2, 3, 4, HEAD_SIZE, 0xffff };
	unsigned int k;

	state = (seed ^ (i * 0x9e3779b97f4a7c15ull)) + 1;
	(void)draw(2);
	*c = (struct ill){ .name = "random", .head = nexts[draw(20) < 17 ? 0 : draw(7)] };
	c->indirect = draw(3) == 0;
	c->n = (uint8_t)(1 + draw(4));
	c->more_flags = draw(8) ? 0 : NEXT;
	c->table_len = draw(4) ? 0 : draw(80);
	for (k = 0; k < c->n; k++) {
		struct ill_desc *d = &c->desc[k];

		/* What lies in our memory stays inside of it: the device may really write there. */
		d->addr = draw(4) ? MEM : draw(3) ? nowhere[draw(5)] : TAB;
		d->len = lens[d->addr <= TAB ? draw(8) : draw(11)];
		d->flags = (uint16_t)((draw(3) ? NEXT : 0) | (draw(10) ? 0 : INDIRECT) |
				      (draw(12) ? 0 : 0xff00));
		d->next = draw(5) ? (uint16_t)(k + 1) : nexts[draw(7)];
		d->other = draw(5) == 0;
		/* A table that the device writes to would become another one. */
		if (d->addr == TAB)
			d->len = 16;
	}
}

static void describe(struct test_ctx *t, const struct actor *a, const struct ill *c, unsigned int i,
		     uint64_t seed)
{
	unsigned int k;

	test_note(
		t,
		"chain %u of seed %llu (hostile.seed=%llu hostile.from=%u hostile.count=1): head %u%s",
		i, (unsigned long long)seed, (unsigned long long)seed, i, c->head,
		c->indirect ? ", in a table" : "");
	for (k = 0; k < c->n; k++) {
		const struct vq_raw_desc d = real(a, &c->desc[k]);

		test_note(t, "  %u: addr 0x%llx len 0x%x flags 0x%x next %u", k,
			  (unsigned long long)d.addr, d.len, d.flags, d.next);
	}
}

static bool survives(struct test_ctx *t, struct actor *a, const struct bring_up *how,
		     const struct ill *c)
{
	actor_prepare(a, true);
	actor_post(a, stage(a, c));
	vq_notify(a->vq);
	/* One that uses it is done with it. */
	(void)actor_wait(a, 1, QUIET_NS / 4);
	if (!actor_in_bounds(a) || !vt_clear_status(a->d))
		return false;
	actor_up(t, a, how);
	actor_prepare(a, true);
	return actor_round(a);
}

/* The same with fewer descriptors, as long as it still goes wrong: what is left is the cause. */
static void cut_down(struct test_ctx *t, struct actor *a, const struct bring_up *how, struct ill *c)
{
	while (c->n > 1) {
		struct ill less = *c;

		less.n--;
		if (!vt_clear_status(a->d) || vt_try_up(a->d, how))
			return; /* it is beyond help, and so is the search */
		actor_up(t, a, how);
		if (survives(t, a, how, &less))
			return;
		*c = less;
	}
}

TEST(hostile_random,
     .id = "hostile.ring.random",
     .clause = CLAUSE,
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .liveness = 1,
     .timeout = 60 * SEC)
{
	const uint64_t seed = cmdline_get_u64("hostile.seed", test_random(t) & 0xffffff);
	const unsigned int from = (unsigned int)cmdline_get_u64("hostile.from", 0),
			   count = (unsigned int)cmdline_get_u64("hostile.count", RANDOM_CHAINS);
	struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	struct actor a;
	struct ill c;
	unsigned int i, k;
	bool ok;

	actor_need(t);
	for (i = 0; actor_get(i, &a); i++) {
		how.features = a.d->offered & VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC);
		actor_up(t, &a, &how);
		get_table(t, a.d);
		for (k = from; k < from + count; k++) {
			make_ill(seed, k, &c);
			ok = survives(t, &a, &how, &c);
			if (!ok) {
				describe(t, &a, &c, k, seed);
				cut_down(t, &a, &how, &c);
				describe(t, &a, &c, k, seed);
			}
			require(t, ok,
				"%s: chain %u of seed %llu: memory was written that no buffer covers, or no "
				"buffer is used after a reset",
				vt_who(a.d), k, (unsigned long long)seed);
		}
	}
}

static int set_up(void)
{
	vt_reset_all();
	return 0;
}
FIXTURE(hostile_suites, .suite = "hostile.ring.", .setup = set_up, .teardown = vt_settle);

/* --- what is available behind it -------------------------------------------------------------------- */

#define PLAINS	    3u /* buffers behind the malformed chain */
#define FIRST_PLAIN 4u /* descriptor of the first one: none of the chain's */
#define ALL_OF_THEM (PLAINS + 1)

/* In a packed ring the descriptor behind NEXT is the next one, whatever comes with it: there the end must be known. */
static bool has_place(const struct actor *a, const struct ill *c)
{
	return c->head == 0 && !c->harmless && (c->both || !a->packed) && can_have(a, c) &&
	       vq_size(a->vq) >= FIRST_PLAIN + PLAINS;
}

static bool may_write(const struct actor *a, const struct ill *c)
{
	unsigned int i;

	for (i = 0; i < c->n; i++)
		if (flags_of(a, &c->desc[i]) & WRITE)
			return true;
	return false;
}

/* The chain with a request, and packets that nobody answers behind it, all available at once. */
static void posts_all(struct actor *a, const struct ill *c)
{
	const uint32_t off = a->writes ? 0 : 1024; /* of those packets */
	uint16_t heads[ALL_OF_THEM] = { 0 }, k;

	actor_prepare(a, true);
	memmove(a->mem + off, a->mem, a->len);
	actor_prepare(a, false);
	(void)stage(a, c);
	for (k = 1; k <= PLAINS; k++) {
		heads[k] = (uint16_t)(FIRST_PLAIN + k - 1);
		actor_desc(a, heads[k], off, a->len, actor_flags(a), 0);
	}
	vq_raw_post(a->vq, heads, ALL_OF_THEM);
	a->posted += ALL_OF_THEM;
	vq_notify(a->vq);
}

/* Whether the malformed chain is among the n used ones. Each is one of those that were posted, once. */
static bool came_back(struct test_ctx *t, struct actor *a, const struct ill *c, unsigned int n)
{
	unsigned int k, seen = 0;
	uint32_t id, len;

	for (k = 0; k < n; k++) {
		actor_used(a, k, &id, &len);
		require(t,
			(id == 0 || (id >= FIRST_PLAIN && id < FIRST_PLAIN + PLAINS)) &&
				!(seen & 1u << id),
			"%s: behind %s: used id %u, which is not in flight", vt_who(a->d), c->name,
			(unsigned int)id);
		seen |= 1u << id;
		expect(t, len == 0 || a->writes || (id == 0 && may_write(a, c)),
		       "%s: behind %s: used len %u of id %u, where nothing may be written",
		       vt_who(a->d), c->name, (unsigned int)len, (unsigned int)id);
	}
	return seen & 1;
}

/* A device that stopped at one of them is not waited for as long at the next one. false: that FAILs it. */
static bool goes_on(struct test_ctx *t, struct actor *a, const struct ill *c, bool *stopped)
{
	bool whole = true;
	unsigned int n;

	posts_all(a, c);
	n = actor_wait(a, ALL_OF_THEM, *stopped ? 5 * QUIET_NS : ANSWER_NS);
	if (n && came_back(t, a, c, n))
		n = actor_wait(a, ALL_OF_THEM, ANSWER_NS);
	*stopped |= n != ALL_OF_THEM;
	if (a->d->ops->get_status(a->d) & VIRTIO_S_NEEDS_RESET || n == 0)
		test_note(t, "%s: uses nothing behind %s", vt_who(a->d), c->name);
	else if (!came_back(t, a, c, n))
		test_note(t, "%s: does not give back %s", vt_who(a->d), c->name);
	else
		whole = n == ALL_OF_THEM;
	expect(t, whole, "%s: %s first: %u of %u buffers used", vt_who(a->d), c->name, n,
	       ALL_OF_THEM);
	/* A device that writes has the plain buffers in the same memory. */
	if (!a->writes)
		look_whether_it_acted(t, a, c->name);
	check_memory(t, a, c->name);
	vt_must_reset(t, a->d);
	return whole;
}

/* Each chain that no device can take, and plain ones behind it. */
TEST(hostile_behind,
     .id = "hostile.ring.behind_a_bad_chain",
     .clause = "virtio 1.4, 2.7.14: a device that returns a malformed chain and asks for no reset uses what is available behind it",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .timeout = 60 * SEC)
{
	struct bring_up how = { .irq = VIRTIO_IRQ_POLL };
	unsigned int i, k;
	struct actor a;
	bool stopped;

	actor_need(t);
	for (i = 0; actor_of(i, RINGS_EACH, &a); i++) {
		how.features = a.d->offered & VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC);
		actor_up(t, &a, &how);
		get_table(t, a.d);
		stopped = false;
		for (k = 0; k < sizeof(chains) / sizeof(chains[0]); k++) {
			if (!has_place(&a, &chains[k]))
				continue;
			/* Each further one would take as long. */
			if (!goes_on(t, &a, &chains[k], &stopped))
				break;
			actor_up(t, &a, &how);
		}
	}
}

/* --- receive buffers that hold no header ------------------------------------------------------------- */

#define SMALLS	    43u	  /* of 1 byte, 2, ...: a header has one more than the last of them */
#define SMALL_OFF   2048u /* in the actor's memory */
#define SMALL_STEP  64u
#define WHOLE_BYTES 512u /* of the buffer behind them, which holds an answer */
#define UNTOUCHED   0x5a

static uint32_t small_len(uint16_t i, uint16_t n)
{
	return i == n ? WHOLE_BYTES : 1 + i * SMALLS / n;
}

/* n of them, and one behind them that is large enough, at the device before it can want any. */
static void post_smalls(struct actor *a, struct virtqueue *rx, uint16_t n)
{
	uint16_t heads[SMALLS + 1], i;

	memset(a->mem + SMALL_OFF, UNTOUCHED, ACTOR_MEM - SMALL_OFF);
	for (i = 0; i <= n; i++) {
		heads[i] = i;
		(void)vq_raw_stage(
			rx, i,
			&(const struct vq_raw_desc){ .addr = a->addr + SMALL_OFF + i * SMALL_STEP,
						     .len = small_len(i, n),
						     .flags = WRITE });
	}
	vq_raw_post(rx, heads, n + 1u);
}

static bool all_untouched(const uint8_t *p, const uint8_t *end)
{
	while (p < end && *p == UNTOUCHED)
		p++;
	return p == end;
}

/* No byte behind any of them is written, nor is one said to be. Whether the answer came in the one that is large enough. */
static bool small_ones_held(struct test_ctx *t, const struct actor *a, struct virtqueue *rx,
			    uint16_t n)
{
	const unsigned int used = vq_raw_used_count(rx);
	const uint8_t *at = a->mem + SMALL_OFF;
	bool whole = false;
	unsigned int k;
	uint32_t id, len;
	uint16_t i;

	for (i = 0; i <= n; i++, at += SMALL_STEP)
		expect(t,
		       all_untouched(at + small_len(i, n),
				     i == n ? a->mem + ACTOR_MEM : at + SMALL_STEP),
		       "%s: a receive buffer of %u bytes: what lies behind it is written",
		       vt_who(a->d), (unsigned int)small_len(i, n));
	for (k = 0; k < used; k++) {
		vq_raw_used(rx, k, &id, &len);
		require(t, id <= n, "%s: used id %u, which is not in flight", vt_who(a->d),
			(unsigned int)id);
		expect(t, len <= small_len((uint16_t)id, n),
		       "%s: a receive buffer of %u bytes: used len %u", vt_who(a->d),
		       (unsigned int)small_len((uint16_t)id, n), (unsigned int)len);
		expect(t,
		       !len || !all_untouched(a->mem + SMALL_OFF + id * SMALL_STEP,
					      a->mem + SMALL_OFF + id * SMALL_STEP + len),
		       "%s: a receive buffer of %u bytes: used len %u, and none of them is written",
		       vt_who(a->d), (unsigned int)small_len((uint16_t)id, n), (unsigned int)len);
		whole |= id == n && len >= sizeof(struct vsock_hdr);
	}
	return whole;
}

TEST(hostile_small_rx,
     .id = "hostile.ring.small_receive_buffers",
     .clause = "virtio 1.4, 2.7.4, 2.7.8.2: a device writes no byte behind a buffer, and tells of no more than it has; 2.4.1: a reset brings it back",
     .owner = OWNER_RING,
     .needs = NEED_VIRTIO,
     .liveness = 1,
     .timeout = 20 * SEC)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_POLL },
			      down = { .irq = VIRTIO_IRQ_POLL, .no_driver_ok = true };
	unsigned int i, tried = 0;
	struct virtqueue *rx;
	struct actor a;
	uint16_t n;

	actor_need(t);
	for (i = 0; actor_of(i, RINGS_EACH, &a); i++) {
		if (a.writes)
			continue;
		tried++;
		actor_up(t, &a, &down);
		rx = a.d->vq[0];
		n = vq_size(rx) > SMALLS ? SMALLS : (uint16_t)(vq_size(rx) - 1);
		post_smalls(&a, rx, n);
		if (virtio_driver_ok(a.d))
			test_error(t, "%s: %s", a.d->name, a.d->error);
		vq_notify(rx);
		actor_prepare(&a, false);
		(void)actor_used_in_time(&a);
		(void)wait_for(vq_raw_used_count(rx) > n, 5 * QUIET_NS);
		if (!small_ones_held(t, &a, rx, n) && !a.mute)
			test_note(t,
				  "%s: no answer comes in the buffer behind those too small for it",
				  vt_who(a.d));
		comes_back(t, &a, &how, "receive buffers too small for a header");
	}
	actor_tried(t, tried, "with a receive queue");
}
