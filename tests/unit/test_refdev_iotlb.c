/* SPDX-License-Identifier: BSD-2-Clause */
/* host/ref/dev/iotlb.c, and the addresses that mem.c makes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "host/ref/dev/iotlb.h"
#include "tests/unit/fake_guest.h"

#define PAGE 4096ull
#define IOVA (1ull << 36)

struct fixture {
	struct iotlb t;
	struct guest_mem mem;
	struct fake_guest g;
	unsigned int misses;
	uint64_t iova;
	bool write;
};

static void on_miss(void *arg, uint64_t iova, bool write)
{
	struct fixture *f = arg;

	f->misses++;
	f->iova = iova;
	f->write = write;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	fg_memory(&f->g, &f->mem);
	f->t.miss = on_miss;
	f->t.arg = f;
	f->mem.tlb = &f->t;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	mem_clear(&f->mem);
	fg_free(&f->g);
	free(f);
	return 0;
}

/* Page k of the space is page `gpa` of the guest; the VMM says that all may be done with it. */
static void update(struct fixture *f, unsigned int k, uint64_t gpa)
{
	const struct iotlb_entry e = { IOVA + k * PAGE, PAGE, FG_UVA + gpa, true, true };

	iotlb_update(&f->t, &e);
}

static int at(struct fixture *f, uint64_t addr, bool write, uint64_t want_gpa, uint64_t want_len)
{
	uint64_t gpa, len = 3 * PAGE;
	uint8_t *p = NULL;
	const int ret = dma_at(&f->mem, addr, write, &p, &gpa, &len);

	if (ret)
		return ret;
	assert_int_equal(gpa, want_gpa);
	assert_int_equal(len, want_len);
	assert_ptr_equal(p, fg_at(&f->g, want_gpa));
	return 0;
}

static void asks_once_and_is_answered(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(at(f, IOVA + 100, false, 0, 0), -EAGAIN);
	assert_int_equal(at(f, IOVA + 200, false, 0, 0), -EAGAIN);
	assert_int_equal(f->misses, 1);
	assert_int_equal(f->iova, IOVA);
	assert_false(f->write);
	iotlb_ask_again(&f->t); /* a notification came, and no answer */
	assert_int_equal(at(f, IOVA + 100, false, 0, 0), -EAGAIN);
	assert_int_equal(f->misses, 2);
	update(f, 0, FG_LOW_GPA + 5 * PAGE);
	assert_int_equal(at(f, IOVA + 100, false, FG_LOW_GPA + 5 * PAGE + 100, PAGE - 100), 0);
	assert_int_equal(f->misses, 2);
}

/* The VMM grants both accesses whatever was asked for: only what was asked for counts. */
static void permissions(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(at(f, IOVA, false, 0, 0), -EAGAIN);
	update(f, 0, FG_LOW_GPA);
	assert_int_equal(at(f, IOVA, false, FG_LOW_GPA, PAGE), 0);
	assert_int_equal(at(f, IOVA, true, 0, 0), -EAGAIN);
	assert_true(f->write);
	update(f, 0, FG_LOW_GPA);
	assert_int_equal(at(f, IOVA, true, FG_LOW_GPA, PAGE), 0);
	assert_int_equal(at(f, IOVA, false, FG_LOW_GPA, PAGE), 0);
	assert_int_equal(f->t.n, 1);
	/* It was asked twice, so that there may be a second answer, when nothing is asked for any more. */
	iotlb_invalidate(&f->t, IOVA, PAGE);
	assert_int_equal(at(f, IOVA, true, 0, 0), -EAGAIN);
	iotlb_ask_again(&f->t);
	update(f, 0, FG_LOW_GPA);
	update(f, 0, FG_LOW_GPA);
	assert_int_equal(at(f, IOVA, true, FG_LOW_GPA, PAGE), 0);
	assert_int_equal(at(f, IOVA, false, 0, 0), -EAGAIN);
	iotlb_invalidate(&f->t, IOVA, PAGE);
	/* What nobody asked for, and nothing is known of, is taken as it is. */
	iotlb_update(&f->t,
		     &(struct iotlb_entry){ IOVA + PAGE, PAGE, FG_UVA + FG_LOW_GPA, true, false });
	assert_int_equal(at(f, IOVA + PAGE, false, FG_LOW_GPA, PAGE), 0);
	assert_int_equal(at(f, IOVA + PAGE, true, 0, 0), -EAGAIN);
}

static void taken_back(void **state)
{
	struct fixture *f = *state;
	unsigned int k;

	for (k = 0; k < 6; k++)
		update(f, k, FG_LOW_GPA + k * PAGE);
	iotlb_invalidate(&f->t, IOVA + 2 * PAGE - 1, 2); /* a byte of each of two pages */
	for (k = 0; k < 6; k++)
		assert_int_equal(at(f, IOVA + k * PAGE, false, FG_LOW_GPA + k * PAGE, PAGE),
				 k == 1 || k == 2 ? -EAGAIN : 0);
	iotlb_invalidate(&f->t, 0, UINT64_MAX);
	assert_int_equal(f->t.n, 0);
	/* What was asked for in the range is asked for again. */
	k = f->misses;
	assert_int_equal(at(f, IOVA + PAGE, false, 0, 0), -EAGAIN);
	assert_int_equal(f->misses, k + 1);
	update(f, 1, FG_LOW_GPA);
	iotlb_clear(&f->t);
	assert_int_equal(f->t.n, 0);
}

static void another_page_at_the_same_address(void **state)
{
	struct fixture *f = *state;

	update(f, 0, FG_LOW_GPA);
	update(f, 0, FG_LOW_GPA + 7 * PAGE);
	assert_int_equal(at(f, IOVA + 1, true, FG_LOW_GPA + 7 * PAGE + 1, PAGE - 1), 0);
	assert_int_equal(f->t.n, 1);
}

static void more_than_it_holds(void **state)
{
	struct fixture *f = *state;
	unsigned int k;

	for (k = 0; k < IOTLB_MAX + 10; k++)
		update(f, k, FG_LOW_GPA);
	assert_int_equal(f->t.n, IOTLB_MAX);
	assert_int_equal(at(f, IOVA, false, 0, 0), -EAGAIN);
	assert_int_equal(at(f, IOVA + (IOTLB_MAX + 9) * PAGE, false, FG_LOW_GPA, PAGE), 0);
	/* No more questions than that are on their way. */
	iotlb_clear(&f->t);
	f->misses = 0;
	for (k = 0; k < IOTLB_ASKED + 10; k++)
		assert_int_equal(at(f, IOVA + k * PAGE, false, 0, 0), -EAGAIN);
	assert_int_equal(f->misses, IOTLB_ASKED);
	/* Questions from before a notification give way to new ones. */
	iotlb_ask_again(&f->t);
	assert_int_equal(at(f, IOVA + (IOTLB_ASKED + 5) * PAGE, false, 0, 0), -EAGAIN);
	assert_int_equal(f->misses, IOTLB_ASKED + 1);
}

static void ranges(void **state)
{
	struct fixture *f = *state;
	uint64_t gpa = 0;
	uint8_t *p = NULL;

	update(f, 0, FG_LOW_GPA);
	update(f, 1, FG_LOW_GPA + PAGE);
	update(f, 2, FG_LOW_GPA + 9 * PAGE);
	assert_int_equal(dma_range(&f->mem, IOVA + 10, 2 * PAGE - 10, false, &p, &gpa), 0);
	assert_int_equal(gpa, FG_LOW_GPA + 10);
	assert_ptr_equal(p, fg_at(&f->g, FG_LOW_GPA + 10));
	assert_int_equal(dma_range(&f->mem, IOVA, 2 * PAGE + 1, false, &p, &gpa), -EFAULT);
	assert_int_equal(dma_range(&f->mem, IOVA + 2 * PAGE, PAGE + 1, false, &p, &gpa), -EAGAIN);
	/* A translation to nobody's memory, and no translation at all. */
	iotlb_update(&f->t, &(struct iotlb_entry){ IOVA + 8 * PAGE, PAGE, 1, true, true });
	assert_int_equal(at(f, IOVA + 8 * PAGE, false, 0, 0), -EFAULT);
	f->mem.tlb = NULL;
	assert_int_equal(at(f, FG_LOW_GPA + 3, true, FG_LOW_GPA + 3, 3 * PAGE), 0);
	assert_int_equal(at(f, IOVA, true, 0, 0), -EFAULT);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(asks_once_and_is_answered),	     T(permissions),	    T(taken_back),
		T(another_page_at_the_same_address), T(more_than_it_holds), T(ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
