/* SPDX-License-Identifier: BSD-2-Clause */
/* host/ref/dev/ring.c over a fake guest: what a driver may do, and what a hostile one does. */
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

#include "host/ref/dev/faults.h"
#include "tests/unit/fake_guest.h"

#define NEXT	 VRING_DESC_F_NEXT
#define WRITE	 VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT
#define BUF	 (FG_LOW_GPA + 0x100000)
#define TABLE	 (FG_LOW_GPA + 0x80000)
#define END	 (FG_HIGH_GPA + FG_HIGH_SIZE)

struct fixture {
	struct guest_mem mem;
	struct fake_guest g;
	struct ring r;
	struct ring_chain c;
	struct page_state_file *ps;
	uint64_t bad_gpa;
	enum ctl_mem_reason bad_reason;
};

static void on_violation(void *arg, struct ring *r, uint64_t gpa, enum ctl_mem_reason reason)
{
	struct fixture *f = arg;

	(void)r;
	f->bad_gpa = gpa;
	f->bad_reason = reason;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	fg_memory(&f->g, &f->mem);
	ring_init(&f->r, 1, "tx", &f->mem);
	f->r.violation = on_violation;
	f->r.arg = f;
	f->r.indirect_ok = true;
	fg_ring_setup(&f->g, &f->r, 1, FG_QSIZE);
	f->r.call_fd = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(ring_start(&f->r, 0), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->r.call_fd);
	fault_disable_all();
	free(f->ps);
	fg_free(&f->g);
	free(f);
	return 0;
}

static uint64_t calls(struct fixture *f)
{
	uint64_t n = 0;

	return read(f->r.call_fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void table_entry(struct fixture *f, unsigned int i, uint64_t addr, uint32_t len,
			uint16_t flags, uint16_t next)
{
	struct vring_desc *d = (struct vring_desc *)fg_at(&f->g, TABLE) + i;

	*d = (struct vring_desc){ .addr = htole64(addr),
				  .len = htole32(len),
				  .flags = htole16(flags),
				  .next = htole16(next) };
}

static void chain_of_three(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[64], *at = fg_at(&f->g, BUF);

	for (unsigned int i = 0; i < 64; i++)
		at[i] = (uint8_t)i;
	fg_desc(&f->g, 1, 5, BUF, 10, NEXT, 9);
	fg_desc(&f->g, 1, 9, BUF + 10, 20, NEXT, 1);
	fg_desc(&f->g, 1, 1, BUF + 100, 30, WRITE, 0);
	fg_avail(&f->g, 1, 5);
	assert_int_equal(ring_pop(&f->r, &f->c), 1);
	assert_int_equal(f->c.head, 5);
	assert_int_equal(f->c.out_len, 30);
	assert_int_equal(f->c.in_len, 30);
	assert_int_equal(chain_read(&f->c, 0, buf, 64), 30);
	assert_memory_equal(buf, at, 30);
	assert_int_equal(chain_read(&f->c, 7, buf, 6), 6);
	assert_memory_equal(buf, at + 7, 6);
	assert_int_equal(chain_write(&f->c, 0, "abcdef", 6), 6);
	assert_memory_equal(at + 100, "abcdef", 6);
	assert_int_equal(chain_write(&f->c, 28, "xyz", 3), 2);
	assert_int_equal(at[130], 0);
	assert_int_equal(ring_pop(&f->r, &f->c), 0);
}

static void across_regions(void **state)
{
	struct fixture *f = *state;

	fg_desc(&f->g, 1, 0, FG_HIGH_GPA - 8, 16, WRITE, 0);
	fg_avail(&f->g, 1, 0);
	assert_int_equal(ring_pop(&f->r, &f->c), 1);
	assert_int_equal(f->c.n_in, 2);
	assert_int_equal(chain_write(&f->c, 0, "0123456789abcdef", 16), 16);
	assert_memory_equal(fg_at(&f->g, FG_HIGH_GPA), "89abcdef", 8);
	assert_memory_equal(fg_at(&f->g, FG_HIGH_GPA - 8), "01234567", 8);
}

static void indirect(void **state)
{
	struct fixture *f = *state;

	/* WRITE of the descriptor that refers to the table is ignored (2.7.5.3.2). */
	fg_desc(&f->g, 1, 3, TABLE, 3 * 16, INDIRECT | WRITE, 0);
	table_entry(f, 0, BUF, 44, NEXT, 2);
	table_entry(f, 2, BUF + 44, 4, NEXT, 1);
	table_entry(f, 1, BUF + 50, 8, WRITE, 0);
	fg_avail(&f->g, 1, 3);
	assert_int_equal(ring_pop(&f->r, &f->c), 1);
	assert_true(f->c.indirect);
	assert_int_equal(f->c.out_len, 48);
	assert_int_equal(f->c.in_len, 8);
	fault_enabled[F_RING_INDIRECT_WRITE_FLAG_HONOURED] = true;
	fg_avail(&f->g, 1, 3);
	assert_int_equal(ring_pop(&f->r, &f->c), 1);
	assert_int_equal(f->c.out_len, 0);
}

struct bad_chain {
	const char *what;
	struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next;
	} d[3], t[3];
};

static const struct bad_chain bad_chains[] = {
	{ "a loop of one", { { BUF, 8, NEXT, 0 } }, { { 0 } } },
	{ "a loop of two", { { BUF, 8, NEXT, 1 }, { BUF, 8, NEXT, 0 } }, { { 0 } } },
	{ "next past the table", { { BUF, 8, NEXT, FG_QSIZE } }, { { 0 } } },
	{ "next 0xffff", { { BUF, 8, NEXT, 0xffff } }, { { 0 } } },
	{ "nobody's address", { { 0x1000, 8, 0, 0 } }, { { 0 } } },
	{ "past the end", { { END - 4, 8, 0, 0 } }, { { 0 } } },
	{ "far past the end", { { BUF, 0xffffffff, 0, 0 } }, { { 0 } } },
	{ "address and length wrap", { { UINT64_MAX - 3, 8, 0, 0 } }, { { 0 } } },
	{ "readable after writable", { { BUF, 8, WRITE | NEXT, 1 }, { BUF, 8, 0, 0 } }, { { 0 } } },
	{ "an empty table", { { TABLE, 0, INDIRECT, 0 } }, { { BUF, 8, 0, 0 } } },
	{ "a table of half a descriptor", { { TABLE, 24, INDIRECT, 0 } }, { { BUF, 8, 0, 0 } } },
	{ "INDIRECT and NEXT", { { TABLE, 16, INDIRECT | NEXT, 1 } }, { { BUF, 8, 0, 0 } } },
	{ "a table in a table", { { TABLE, 16, INDIRECT, 0 } }, { { TABLE, 16, INDIRECT, 0 } } },
	{ "a table's next past it", { { TABLE, 32, INDIRECT, 0 } }, { { BUF, 8, NEXT, 2 } } },
	{ "a loop in a table",
	  { { TABLE, 32, INDIRECT, 0 } },
	  { { BUF, 8, NEXT, 1 }, { BUF, 8, NEXT, 0 } } },
	{ "a table past the end", { { END - 16, 32, INDIRECT, 0 } }, { { 0 } } },
	{ "a table of 4 GiB", { { TABLE, 0xfffffff0, INDIRECT, 0 } }, { { BUF, 8, 0, 0 } } },
	{ "a table's address wraps", { { UINT64_MAX - 15, 32, INDIRECT, 0 } }, { { 0 } } },
	{ "a table at nobody's address", { { 0, 16, INDIRECT, 0 } }, { { 0 } } },
	{ "bad address in a table", { { TABLE, 16, INDIRECT, 0 } }, { { END, 8, 0, 0 } } },
};

/* Given back with length 0 and counted; the next chain is served. */
static void malformed_chains(void **state)
{
	struct fixture *f = *state;
	uint16_t used = 0;

	for (size_t i = 0; i < sizeof(bad_chains) / sizeof(bad_chains[0]); i++) {
		const struct bad_chain *b = &bad_chains[i];
		uint32_t id, len;

		for (unsigned int k = 0; k < 3; k++) {
			fg_desc(&f->g, 1, (uint16_t)k, b->d[k].addr, b->d[k].len, b->d[k].flags,
				b->d[k].next);
			table_entry(f, k, b->t[k].addr, b->t[k].len, b->t[k].flags, b->t[k].next);
		}
		fg_desc(&f->g, 1, 40, BUF, 44, 0, 0);
		fg_avail(&f->g, 1, 0);
		fg_avail(&f->g, 1, 40);
		if (ring_pop(&f->r, &f->c) != 1 || f->c.head != 40)
			fail_msg("%s was not passed over", b->what);
		assert_int_equal(f->r.bad_chains, i + 1);
		ring_push(&f->r, &f->c, 0, false);
		ring_publish(&f->r);
		fg_used(&f->g, 1, used, &id, &len);
		assert_int_equal(id, 0);
		assert_int_equal(len, 0);
		used += 2;
		assert_int_equal(fg_used_idx(&f->g, 1), used);
	}
	assert_false(f->r.broken);
}

static void zero_length_segments(void **state)
{
	struct fixture *f = *state;

	fg_desc(&f->g, 1, 0, 0, 0, NEXT, 1);
	fg_desc(&f->g, 1, 1, BUF, 5, NEXT, 2);
	fg_desc(&f->g, 1, 2, BUF, 0, WRITE, 0);
	fg_avail(&f->g, 1, 0);
	assert_int_equal(ring_pop(&f->r, &f->c), 1);
	assert_int_equal(f->c.out_len, 5);
	assert_int_equal(f->c.n_in, 0);
}

static void longest_chain(void **state)
{
	struct fixture *f = *state;

	for (uint16_t i = 0; i < FG_QSIZE; i++)
		fg_desc(&f->g, 1, i, BUF + i, 1, i + 1 < FG_QSIZE ? NEXT : 0, (uint16_t)(i + 1));
	fg_avail(&f->g, 1, 0);
	assert_int_equal(ring_pop(&f->r, &f->c), 1);
	assert_int_equal(f->c.n_out, FG_QSIZE);
}

static void index_leaps(void **state)
{
	struct fixture *f = *state;
	struct vring_avail *a = fg_at(&f->g, f->g.ring[1].avail);

	a->idx = htole16(FG_QSIZE + 1);
	assert_int_equal(ring_pop(&f->r, &f->c), -EIO);
	assert_true(f->r.broken);
	assert_int_equal(ring_pop(&f->r, &f->c), -EIO);
	/* A new start mends it. */
	fg_ring_setup(&f->g, &f->r, 1, FG_QSIZE);
	assert_int_equal(ring_start(&f->r, 0), 0);
	assert_int_equal(ring_pop(&f->r, &f->c), 0);
}

static void head_past_the_table(void **state)
{
	struct fixture *f = *state;

	fg_avail(&f->g, 1, FG_QSIZE);
	assert_int_equal(ring_pop(&f->r, &f->c), -EIO);
	assert_true(f->r.broken);
}

static void index_wraps(void **state)
{
	struct fixture *f = *state;

	fg_desc(&f->g, 1, 7, BUF, 44, 0, 0);
	for (unsigned int i = 0; i < 70000; i++) {
		fg_avail(&f->g, 1, 7);
		assert_int_equal(ring_pop(&f->r, &f->c), 1);
		ring_push(&f->r, &f->c, 0, false);
		ring_publish(&f->r);
	}
	assert_int_equal(fg_used_idx(&f->g, 1), (uint16_t)70000);
}

static void bad_addresses(void **state)
{
	struct fixture *f = *state;
	const struct ring good = f->r;

	f->r.num = 48;
	assert_int_equal(ring_start(&f->r, 0), -EINVAL);
	f->r.num = 0;
	assert_int_equal(ring_start(&f->r, 0), -EINVAL);
	f->r = good;
	f->r.desc_uva += 8;
	assert_int_equal(ring_start(&f->r, 0), -EINVAL);
	f->r = good;
	f->r.used_uva = FG_UVA + END - 4;
	assert_int_equal(ring_start(&f->r, 0), -EFAULT);
	f->r = good;
	f->r.avail_uva = UINT64_MAX - 1;
	assert_int_equal(ring_start(&f->r, 0), -EFAULT);
	assert_false(f->r.running);
	assert_int_equal(ring_pop(&f->r, &f->c), -EIO);
}

static void one_buffer(struct fixture *f)
{
	fg_desc(&f->g, 1, 0, BUF, 44, 0, 0);
	fg_avail(&f->g, 1, 0);
	assert_int_equal(ring_pop(&f->r, &f->c), 1);
	ring_push(&f->r, &f->c, 0, false);
	ring_publish(&f->r);
}

static void notification_flags(void **state)
{
	struct fixture *f = *state;
	struct vring_avail *a = fg_at(&f->g, f->g.ring[1].avail);
	struct vring_used *u = fg_at(&f->g, f->g.ring[1].used);

	one_buffer(f);
	assert_int_equal(calls(f), 1);
	a->flags = htole16(VRING_AVAIL_F_NO_INTERRUPT);
	one_buffer(f);
	assert_int_equal(calls(f), 0);
	fault_enabled[F_IRQ_DESPITE_SUPPRESSION] = true;
	one_buffer(f);
	assert_int_equal(calls(f), 1);
	assert_false(ring_want_kicks(&f->r, false));
	assert_int_equal(u->flags, htole16(VRING_USED_F_NO_NOTIFY));
	assert_false(ring_want_kicks(&f->r, true));
	assert_int_equal(u->flags, 0);
	fg_avail(&f->g, 1, 0);
	assert_true(ring_want_kicks(&f->r, true));
}

static void notification_events(void **state)
{
	struct fixture *f = *state;
	struct vring_avail *a = fg_at(&f->g, f->g.ring[1].avail);
	struct vring_used *u = fg_at(&f->g, f->g.ring[1].used);
	const uint16_t *avail_event = (uint16_t *)(void *)&u->ring[FG_QSIZE];

	f->r.event_idx = true;
	assert_int_equal(ring_start(&f->r, 0), 0);
	/* flags are ignored; used_event 0: the first one is told, the next ones are not. */
	a->flags = htole16(VRING_AVAIL_F_NO_INTERRUPT);
	one_buffer(f);
	assert_int_equal(calls(f), 1);
	one_buffer(f);
	assert_int_equal(calls(f), 0);
	a->ring[FG_QSIZE] = htole16(3);
	one_buffer(f);
	assert_int_equal(calls(f), 0);
	one_buffer(f);
	assert_int_equal(calls(f), 1);
	assert_false(ring_want_kicks(&f->r, true));
	assert_int_equal(*avail_event, htole16(4));
	fault_enabled[F_IRQ_LOST] = true;
	a->ring[FG_QSIZE] = htole16(4);
	one_buffer(f);
	assert_int_equal(calls(f), 0);
}

static void protect(struct fixture *f)
{
	const uint64_t frames = END >> PAGE_STATE_SHIFT;

	f->ps = calloc(1, sizeof(*f->ps) + frames);
	f->ps->frames = frames;
	f->ps->is_protected = 1;
	memset(f->ps->state, PAGE_SHARED, frames);
	f->mem.ps.file = f->ps;
}

static void set_private(struct fixture *f, uint64_t gpa)
{
	f->ps->state[gpa >> PAGE_STATE_SHIFT] = PAGE_PRIVATE;
}

static void private_pages(void **state)
{
	static const struct {
		uint64_t page;
		enum ctl_mem_reason reason;
	} cases[] = {
		{ FG_LOW_GPA + 0x10000, CTL_MEM_RING },		 /* descriptors */
		{ FG_LOW_GPA + 0x10000 + 0x8000, CTL_MEM_RING }, /* avail */
		{ FG_LOW_GPA + 0x10000 + 0xa000, CTL_MEM_RING }, /* used */
		{ TABLE, CTL_MEM_INDIRECT },
		{ BUF, CTL_MEM_HEADER },
		{ BUF + 4096, CTL_MEM_PAYLOAD },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fg_ring_setup(&f->g, &f->r, 1, FG_QSIZE);
		assert_int_equal(ring_start(&f->r, 0), 0);
		free(f->ps);
		protect(f);
		fg_desc(&f->g, 1, 0, TABLE, 32, INDIRECT, 0);
		table_entry(f, 0, BUF, 44, NEXT, 1);
		table_entry(f, 1, BUF + 4000, 200, 0, 0);
		fg_avail(&f->g, 1, 0);
		set_private(f, cases[i].page);
		f->bad_gpa = 0;
		assert_int_equal(ring_pop(&f->r, &f->c), -EIO);
		assert_true(f->r.broken);
		assert_int_equal(f->bad_gpa, cases[i].page);
		assert_int_equal(f->bad_reason, cases[i].reason);
		/* Nothing more is touched. */
		assert_int_equal(ring_pop(&f->r, &f->c), -EIO);
		assert_false(ring_want_kicks(&f->r, true));
	}
}

static void shared_pages_serve(void **state)
{
	struct fixture *f = *state;

	protect(f);
	one_buffer(f);
	assert_int_equal(fg_used_idx(&f->g, 1), 1);
	set_private(f, BUF);
	fault_enabled[F_MEM_PRIVATE_ALLOWED] = true;
	one_buffer(f);
	assert_int_equal(fg_used_idx(&f->g, 1), 2);
}

static void faults_of_used_elements(void **state)
{
	static const struct {
		enum fault_id fault;
		uint32_t id, len;
		uint16_t idx;
	} cases[] = {
		{ F_RING_USED_ID_WRONG, FG_QSIZE / 2, 0, 4 },
		{ F_RING_USED_ID_RANGE, FG_QSIZE + 1, 0, 4 },
		{ F_RING_USED_LEN_TOO_LONG, 0, 4096, 4 },
		{ F_RING_USED_TWICE, 0, 0, 5 },
		{ F_RING_USED_IDX_JUMP, 0, 0, 4 + FG_QSIZE },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t id, len;

		fg_ring_setup(&f->g, &f->r, 1, FG_QSIZE);
		assert_int_equal(ring_start(&f->r, 0), 0);
		fault_enabled[cases[i].fault] = true;
		for (unsigned int k = 0; k < 4; k++) {
			fg_desc(&f->g, 1, 0, BUF, 44, 0, 0);
			fg_avail(&f->g, 1, 0);
			assert_int_equal(ring_pop(&f->r, &f->c), 1);
			ring_push(&f->r, &f->c, 0, true);
			ring_publish(&f->r);
		}
		fg_used(&f->g, 1, 3, &id, &len);
		assert_int_equal(id, cases[i].id);
		assert_int_equal(len, cases[i].len);
		assert_int_equal(fg_used_idx(&f->g, 1), cases[i].idx);
		fault_enabled[cases[i].fault] = false;
	}
}

static void regions(void **state)
{
	struct guest_mem m = { 0 };
	static uint8_t bytes[4096];
	uint64_t len = 100, gpa;

	(void)state;
	assert_int_equal(mem_add_host(&m, 0x1000, 0, 0, bytes), -EINVAL);
	assert_int_equal(mem_add_host(&m, UINT64_MAX - 10, 100, 0, bytes), -EINVAL);
	assert_int_equal(mem_add_host(&m, 0x1000, 0x1000, 0x5000, bytes), 0);
	assert_int_equal(mem_add_host(&m, 0x1800, 0x1000, 0x9000, bytes), -EINVAL);
	assert_ptr_equal(mem_at(&m, 0x1ff0, &len), bytes + 0xff0);
	assert_int_equal(len, 16);
	assert_null(mem_at(&m, 0x2000, &len));
	assert_null(mem_at(&m, 0xfff, &len));
	assert_ptr_equal(mem_at_uva(&m, 0x5010, 0xff0, &gpa), bytes + 0x10);
	assert_int_equal(gpa, 0x1010);
	assert_null(mem_at_uva(&m, 0x5010, 0xff1, &gpa));
	assert_int_equal(mem_remove(&m, 0x1000, 0x800, 0x5000), -ENOENT);
	assert_int_equal(mem_remove(&m, 0x1000, 0x1000, 0x5000), 0);
	assert_int_equal(m.n, 0);
}

/* What is looked at stays available, and the driver is asked to notify of what comes behind it. */
static void larger_one_behind(void **state)
{
	struct fixture *f = *state;
	const uint16_t *const event = (const uint16_t *)(const void *)&f->r.used->ring[f->r.num];

	f->r.event_idx = true;
	fg_desc(&f->g, 1, 0, BUF, 44, WRITE, 0);
	fg_desc(&f->g, 1, 1, BUF + 100, 44, WRITE, 0);
	fg_desc(&f->g, 1, 2, BUF + 200, 45, WRITE, 0);
	fg_avail(&f->g, 1, 0);
	assert_int_equal(ring_pop(&f->r, &f->c), 1);
	assert_false(ring_has_larger(&f->r, 44));
	assert_int_equal(le16toh(*event), 1);
	fg_avail(&f->g, 1, 1);
	assert_false(ring_has_larger(&f->r, 44));
	assert_int_equal(le16toh(*event), 2);
	fg_avail(&f->g, 1, 2);
	assert_true(ring_has_larger(&f->r, 44));
	assert_false(ring_has_larger(&f->r, 45));
	ring_unpop(&f->r);
	for (uint16_t i = 0; i < 3; i++) {
		assert_int_equal(ring_pop(&f->r, &f->c), 1);
		assert_int_equal(f->c.head, i);
	}
	assert_int_equal(ring_pop(&f->r, &f->c), 0);
	/* What cannot be walked is for ring_pop(), once it is there. */
	fg_desc(&f->g, 1, 3, BUF, 4, NEXT | WRITE, 3);
	fg_avail(&f->g, 1, 3);
	assert_true(ring_has_larger(&f->r, 44));
	assert_int_equal(f->r.bad_chains, 0);
	fg_avail(&f->g, 1, FG_QSIZE);
	assert_true(ring_has_larger(&f->r, 44));
	assert_false(f->r.broken);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(chain_of_three),    T(across_regions),	 T(indirect),
		T(malformed_chains),  T(zero_length_segments),	 T(longest_chain),
		T(index_leaps),	      T(head_past_the_table),	 T(index_wraps),
		T(bad_addresses),     T(notification_flags),	 T(notification_events),
		T(private_pages),     T(shared_pages_serve),	 T(faults_of_used_elements),
		T(larger_one_behind), cmocka_unit_test(regions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
