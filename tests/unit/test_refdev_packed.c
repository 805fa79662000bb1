/* SPDX-License-Identifier: BSD-2-Clause */
/* host/ref/dev/ring_packed.c over a fake guest: what a driver may do, and what a hostile one does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/unit/fake_guest.h"

#define NEXT	 VRING_DESC_F_NEXT
#define WRITE	 VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT
#define AVAIL	 (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED	 (1u << VRING_PACKED_DESC_F_USED)
#define BUF	 (FG_LOW_GPA + 0x100000)
#define TABLE	 (FG_LOW_GPA + 0x80000)
#define NOWHERE	 (1ull << 52)
#define SIZE	 7

struct fixture {
	struct guest_mem mem;
	struct fake_guest g;
	struct ring r;
	struct ring_chain c;
	struct vring_packed_desc *desc;
	struct vring_packed_desc_event *driver, *device;
	struct ring_pos avail; /* where the driver stands */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	fg_memory(&f->g, &f->mem);
	ring_init(&f->r, 1, "tx", &f->mem);
	f->r.indirect_ok = f->r.packed = true;
	fg_ring_setup(&f->g, &f->r, 1, SIZE);
	f->desc = fg_at(&f->g, f->g.ring[1].desc);
	f->driver = fg_at(&f->g, f->g.ring[1].avail);
	f->device = fg_at(&f->g, f->g.ring[1].used);
	f->avail.wrap = true;
	f->r.call_fd = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(ring_start(&f->r, RING_BASE_PACKED), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->r.call_fd);
	fg_free(&f->g);
	free(f);
	return 0;
}

static uint64_t calls(struct fixture *f)
{
	uint64_t n = 0;

	return read(f->r.call_fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void put(struct fixture *f, uint64_t addr, uint32_t len, uint16_t id, uint16_t flags)
{
	f->desc[f->avail.slot] = (struct vring_packed_desc){
		.addr = htole64(addr),
		.len = htole32(len),
		.id = htole16(id),
		.flags = htole16((uint16_t)(flags | (f->avail.wrap ? AVAIL : USED))),
	};
	f->avail.slot = (uint16_t)((f->avail.slot + 1) % SIZE);
	if (f->avail.slot == 0)
		f->avail.wrap = !f->avail.wrap;
}

static void entry(struct fixture *f, unsigned int i, uint64_t addr, uint32_t len, uint16_t flags)
{
	struct vring_packed_desc *d = (struct vring_packed_desc *)fg_at(&f->g, TABLE) + i;

	*d = (struct vring_packed_desc){ htole64(addr), htole32(len), htole16(0x5555),
					 htole16(flags) };
}

/* The descriptor in that slot is used: id, len, flags. */
static void is_used(struct fixture *f, unsigned int slot, uint16_t id, uint32_t len, uint16_t flags)
{
	assert_int_equal(le16toh(f->desc[slot].id), id);
	assert_int_equal(le32toh(f->desc[slot].len), len);
	assert_int_equal(le16toh(f->desc[slot].flags), flags);
}

static void one_after_the_other(void **state)
{
	struct fixture *f = *state;

	for (unsigned int i = 0; i < 3 * SIZE; i++) {
		const uint16_t flags = i / SIZE % 2 ? 0 : AVAIL | USED;

		assert_false(ring_pending(&f->r));
		assert_int_equal(ring_pop(&f->r, &f->c), 0);
		put(f, BUF, 10, (uint16_t)(1000 + i), i % 2 ? WRITE : 0);
		assert_true(ring_pending(&f->r));
		assert_int_equal(ring_pop(&f->r, &f->c), 1);
		assert_int_equal(f->c.head, 1000 + i);
		assert_int_equal(i % 2 ? f->c.in_len : f->c.out_len, 10);
		ring_push(&f->r, &f->c, i % 2 ? 4 : 0, true);
		ring_publish(&f->r);
		is_used(f, i % SIZE, (uint16_t)(1000 + i), i % 2 ? 4 : 0,
			flags | (i % 2 ? WRITE : 0));
		assert_int_equal(calls(f), 1);
	}
	assert_int_equal(f->r.bad_chains, 0);
}

/* The id is the last one's; the rest of the list stays; the next one is used behind it. */
static void lists(void **state)
{
	struct fixture *f = *state;

	for (unsigned int i = 0; i < 20; i++) {
		const unsigned int slot = i * 3 % SIZE;

		put(f, BUF, 10, 1, NEXT);
		put(f, BUF + 20, 20, 2, NEXT);
		put(f, BUF + 40, 30, 3, WRITE);
		assert_int_equal(ring_pop(&f->r, &f->c), 1);
		assert_int_equal(f->c.head, 3);
		assert_int_equal(f->c.out_len, 30);
		assert_int_equal(f->c.in_len, 30);
		ring_unpop(&f->r);
		assert_int_equal(ring_pop(&f->r, &f->c), 1);
		ring_push(&f->r, &f->c, 30, true);
		ring_publish(&f->r);
		assert_int_equal(le16toh(f->desc[slot].id), 3);
		assert_int_equal(le16toh(f->desc[(slot + 1) % SIZE].id), 2);
		assert_int_equal(ring_pop(&f->r, &f->c), 0);
	}
}

static void whole_ring(void **state)
{
	struct fixture *f = *state;

	for (unsigned int i = 0; i < 4; i++) {
		for (unsigned int k = 0; k < SIZE; k++)
			put(f, BUF, 1, 9, k + 1 < SIZE ? NEXT : 0);
		assert_int_equal(ring_pop(&f->r, &f->c), 1);
		assert_int_equal(f->c.descs, SIZE);
		ring_push(&f->r, &f->c, 0, true);
		ring_publish(&f->r);
		is_used(f, 0, 9, 0, i % 2 ? 0 : AVAIL | USED);
	}
}

/* Anywhere in memory: at an odd address, too. */
static void tables(void **state)
{
	struct fixture *f = *state;
	uint8_t *table = fg_at(&f->g, TABLE);

	for (unsigned int odd = 0; odd < 2; odd++) {
		entry(f, 0, BUF, 10, NEXT | INDIRECT | AVAIL); /* all of these are ignored */
		entry(f, 1, BUF + 10, 20, WRITE);
		memmove(table + odd, table, 32);
		put(f, TABLE + odd, 32, 4, INDIRECT | WRITE);
		assert_int_equal(ring_pop(&f->r, &f->c), 1);
		assert_true(f->c.indirect);
		assert_int_equal(f->c.head, 4);
		assert_int_equal(f->c.out_len, 10);
		assert_int_equal(f->c.in_len, 20);
		assert_int_equal(f->c.descs, 1);
	}
}

/* Each is given back with length 0, and what comes behind it is taken. */
static void malformed(void **state)
{
	static const struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags;
	} bad[] = {
		{ NOWHERE, 16, 0 },	{ UINT64_MAX - 4, 16, 0 },     { TABLE, 17, INDIRECT },
		{ TABLE, 0, INDIRECT }, { TABLE, 1u << 20, INDIRECT }, { NOWHERE, 16, INDIRECT },
	};
	struct fixture *f = *state;

	entry(f, 0, BUF, 10, 0);
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const uint16_t slot = f->avail.slot;
		const uint16_t used = f->avail.wrap ? AVAIL | USED : 0;

		put(f, bad[i].addr, bad[i].len, 77, bad[i].flags);
		put(f, BUF, 1, 78, 0);
		assert_int_equal(ring_pop(&f->r, &f->c), 1);
		assert_int_equal(f->c.head, 78);
		ring_push(&f->r, &f->c, 0, true);
		ring_publish(&f->r);
		is_used(f, slot, 77, 0, used);
		assert_int_equal(f->r.bad_chains, i + 1);
	}
	assert_false(f->r.broken);
}

/* 2.8.19: in a list no descriptor has INDIRECT. 2.8.17: readable ones come first. */
static void malformed_lists(void **state)
{
	struct fixture *f = *state;

	entry(f, 0, BUF, 10, 0);
	put(f, TABLE, 16, 1, INDIRECT | NEXT);
	put(f, BUF, 1, 1, 0);
	put(f, BUF, 1, 2, NEXT);
	put(f, TABLE, 16, 2, INDIRECT);
	put(f, BUF, 1, 3, NEXT | WRITE);
	put(f, BUF, 1, 3, 0);
	assert_int_equal(ring_pop(&f->r, &f->c), 0);
	assert_int_equal(f->r.bad_chains, 3);
	ring_publish(&f->r);
	is_used(f, 0, 1, 0, AVAIL | USED);
	is_used(f, 2, 2, 0, AVAIL | USED);
	is_used(f, 4, 3, 0, AVAIL | USED);
	f->r.indirect_ok = false;
	put(f, TABLE, 16, 4, INDIRECT);
	assert_int_equal(ring_pop(&f->r, &f->c), 0);
	assert_int_equal(f->r.bad_chains, 4);
}

static void without_end(void **state)
{
	struct fixture *f = *state;

	put(f, BUF, 1, 1, NEXT);
	assert_int_equal(ring_pop(&f->r, &f->c), -EIO);
	assert_true(f->r.broken);
	assert_false(ring_pending(&f->r));
	assert_int_equal(ring_start(&f->r, RING_BASE_PACKED), 0);
	f->avail = (struct ring_pos){ 0, true };
	for (unsigned int k = 0; k < SIZE; k++)
		put(f, BUF, 1, 1, NEXT);
	assert_int_equal(ring_pop(&f->r, &f->c), -EIO);
}

/* With IN_ORDER one descriptor tells of all up to the first buffer that was not used completely. */
static void batches(void **state)
{
	static const uint32_t lens[] = { 0, 8, 3, 0 };
	struct fixture *f = *state;

	f->r.batches = true;
	put(f, BUF, 8, 10, 0);
	put(f, BUF, 4, 11, WRITE | NEXT);
	put(f, BUF, 4, 11, WRITE);
	put(f, BUF, 8, 12, WRITE);
	put(f, BUF, 8, 13, 0);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(ring_pop(&f->r, &f->c), 1);
		ring_push(&f->r, &f->c, lens[i], true);
	}
	assert_int_equal(le16toh(f->desc[0].flags), AVAIL);
	ring_publish(&f->r);
	is_used(f, 0, 12, 3, AVAIL | USED | WRITE);
	assert_int_equal(le16toh(f->desc[3].flags), AVAIL | WRITE);
	is_used(f, 4, 13, 0, AVAIL | USED);
}

/* The driver makes more available than the ring holds, before any of it is shown. */
static void overfull(void **state)
{
	struct fixture *f = *state;

	f->r.batches = true;
	for (unsigned int i = 0; i < 3 * SIZE; i++) {
		put(f, BUF, 1, (uint16_t)i, 0);
		assert_int_equal(ring_pop(&f->r, &f->c), 1);
		ring_push(&f->r, &f->c, 0, true);
	}
	ring_publish(&f->r);
	assert_int_equal(f->r.next_used.slot, 0);
	assert_false(f->r.next_used.wrap);
	is_used(f, 0, 3 * SIZE - 1, 0, AVAIL | USED);
}

/* --- notifications -------------------------------------------------------------------------- */

static void use(struct fixture *f, unsigned int n)
{
	while (n--) {
		put(f, BUF, 1, 0, 0);
		assert_int_equal(ring_pop(&f->r, &f->c), 1);
		ring_push(&f->r, &f->c, 0, true);
	}
	ring_publish(&f->r);
}

static void wish(struct fixture *f, uint16_t pos, uint16_t flags)
{
	f->driver->off_wrap = htole16(pos);
	f->driver->flags = htole16(flags);
}

static void driver_wish(void **state)
{
	struct fixture *f = *state;

	use(f, 1); /* 0 */
	assert_int_equal(calls(f), 1);
	wish(f, 0, VRING_PACKED_EVENT_FLAG_DISABLE);
	use(f, 1); /* 1 */
	assert_int_equal(calls(f), 0);
	wish(f, 0x8005, VRING_PACKED_EVENT_FLAG_DESC); /* not without EVENT_IDX: all are told */
	use(f, 1);				       /* 2 */
	assert_int_equal(calls(f), 1);
	f->r.event_idx = true;
	use(f, 2); /* 3, 4 */
	assert_int_equal(calls(f), 0);
	use(f, 3); /* 5, 6, 0: over the end, and passed */
	assert_int_equal(calls(f), 1);
	wish(f, 0x8001, VRING_PACKED_EVENT_FLAG_DESC); /* a round ahead */
	use(f, 1);				       /* 1, counter 0 */
	assert_int_equal(calls(f), 0);
	wish(f, 2, VRING_PACKED_EVENT_FLAG_DESC);
	use(f, 1); /* 2, counter 0 */
	assert_int_equal(calls(f), 1);
	use(f, 3); /* 3, 4, 5 */
	assert_int_equal(calls(f), 0);
	wish(f, 6, VRING_PACKED_EVENT_FLAG_DESC);
	use(f, 2); /* 6, and 0 of the next round */
	assert_int_equal(calls(f), 1);
	wish(f, 0, VRING_PACKED_EVENT_FLAG_ENABLE);
	use(f, 1);
	assert_int_equal(calls(f), 1);
}

static void device_wish(void **state)
{
	struct fixture *f = *state;

	assert_false(ring_want_kicks(&f->r, false));
	assert_int_equal(le16toh(f->device->flags), VRING_PACKED_EVENT_FLAG_DISABLE);
	assert_false(ring_want_kicks(&f->r, true));
	assert_int_equal(le16toh(f->device->flags), VRING_PACKED_EVENT_FLAG_ENABLE);
	f->r.event_idx = true;
	use(f, SIZE + 2);
	put(f, BUF, 1, 0, 0);
	assert_true(ring_want_kicks(&f->r, true)); /* came in meanwhile */
	assert_int_equal(le16toh(f->device->flags), VRING_PACKED_EVENT_FLAG_DESC);
	assert_int_equal(le16toh(f->device->off_wrap), 2);
}

/* --- start and stop ---------------------------------------------------------------------------- */

static void goes_on(void **state)
{
	struct fixture *f = *state;
	uint32_t base;

	assert_int_equal(ring_base(&f->r), RING_BASE_PACKED);
	use(f, SIZE + 3);
	put(f, BUF, 1, 5, 0);
	assert_int_equal(ring_pop(&f->r, &f->c), 1); /* taken, and not used */
	base = ring_base(&f->r);
	assert_int_equal(base, 3u << 16 | 4u);
	ring_stop(&f->r);
	assert_int_equal(ring_start(&f->r, base), 0);
	put(f, BUF, 1, 6, 0);
	assert_int_equal(ring_pop(&f->r, &f->c), 1);
	assert_int_equal(f->c.head, 6);
	ring_push(&f->r, &f->c, 0, true);
	ring_publish(&f->r);
	is_used(f, 3, 6, 0, 0);
}

static void bad_start(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ring_start(&f->r, SIZE), -EINVAL);
	assert_int_equal(ring_start(&f->r, SIZE << 16), -EINVAL);
	f->r.num = 0;
	assert_int_equal(ring_start(&f->r, RING_BASE_PACKED), -EINVAL);
	f->r.num = RING_MAX_SIZE + 1;
	assert_int_equal(ring_start(&f->r, RING_BASE_PACKED), -EINVAL);
	f->r.num = SIZE;
	f->r.avail_uva += 2;
	assert_int_equal(ring_start(&f->r, RING_BASE_PACKED), -EINVAL);
	f->r.avail_uva = 0;
	assert_int_equal(ring_start(&f->r, RING_BASE_PACKED), -EFAULT);
	assert_int_equal(ring_pop(&f->r, &f->c), -EIO);
}

static void larger_one_behind(void **state)
{
	struct fixture *f = *state;

	f->r.event_idx = true;
	put(f, BUF, 44, 0, WRITE);
	put(f, BUF + 100, 40, 1, WRITE | NEXT);
	put(f, BUF + 200, 4, 1, WRITE);
	assert_int_equal(ring_pop(&f->r, &f->c), 1);
	assert_false(ring_has_larger(&f->r, 44));
	assert_int_equal(le16toh(f->device->off_wrap), 0x8003);
	put(f, BUF, 45, 2, WRITE);
	assert_true(ring_has_larger(&f->r, 44));
	ring_unpop(&f->r);
	for (uint16_t i = 0; i < 3; i++) {
		assert_int_equal(ring_pop(&f->r, &f->c), 1);
		assert_int_equal(f->c.head, i);
	}
	/* A list without end is for ring_pop(). */
	put(f, BUF, 4, 3, WRITE | NEXT);
	assert_true(ring_has_larger(&f->r, 44));
	assert_false(f->r.broken);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(one_after_the_other),
		CASE(lists),
		CASE(whole_ring),
		CASE(tables),
		CASE(malformed),
		CASE(malformed_lists),
		CASE(without_end),
		CASE(batches),
		CASE(overfull),
		CASE(driver_wish),
		CASE(device_wish),
		CASE(goes_on),
		CASE(bad_start),
		CASE(larger_one_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
