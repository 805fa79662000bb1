/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/ref/dev/iotlb.h"

#include <stddef.h>

#include "host/ref/dev/faults.h"

#define PAGE 4096ull

void iotlb_clear(struct iotlb *t)
{
	if (t->n && fault(F_IOTLB_KEPT_OVER_RESET))
		return;
	t->n = t->oldest = t->num_asked = 0;
}

static bool meet(const struct iotlb_entry *e, uint64_t iova, uint64_t size)
{
	return e->iova - iova < size || iova - e->iova < e->size;
}

/* Faults: translations that the VMM takes back and that stay. */
static bool stays(const struct iotlb_entry *e, uint64_t iova, uint64_t size)
{
	return fault(F_IOTLB_STALE) || (e->iova != iova && fault(F_IOTLB_FIRST_PAGE_ONLY)) ||
	       (size > PAGE && e->iova - iova >= size - PAGE && fault(F_IOTLB_LAST_PAGE_KEPT)) ||
	       (e->write && !e->read && fault(F_IOTLB_WRITABLE_KEPT));
}

static void drop(struct iotlb *t, uint64_t iova, uint64_t size, bool taken_back)
{
	for (unsigned int i = 0; i < t->n;) {
		if (meet(&t->e[i], iova, size) && !(taken_back && stays(&t->e[i], iova, size)))
			t->e[i] = t->e[--t->n];
		else
			i++;
	}
}

static void forget_asked(struct iotlb *t, uint64_t iova, uint64_t size)
{
	for (unsigned int i = 0; i < t->num_asked;) {
		if (t->asked[i].iova - iova < size)
			t->asked[i] = t->asked[--t->num_asked];
		else
			i++;
	}
}

/* What the device knew of the same page at the same address. Fault: at any address. */
static bool knows(const struct iotlb_entry *e, const struct iotlb_entry *now)
{
	return e->uva == now->uva && e->size == now->size &&
	       (e->iova == now->iova || fault(F_IOTLB_RIGHT_OF_PAGE));
}

/* What was asked for in the range of a translation is what it allows, and what the device knew of the same before. */
static struct iotlb_entry granted(const struct iotlb *t, const struct iotlb_entry *e)
{
	bool read = false, write = false;
	struct iotlb_entry g = *e;

	for (unsigned int i = 0; i < t->num_asked; i++) {
		if (t->asked[i].iova - e->iova >= e->size && !fault(F_IOTLB_ASKED_ELSEWHERE))
			continue;
		read |= !t->asked[i].write;
		write |= t->asked[i].write;
	}
	for (unsigned int i = 0; i < t->n; i++) {
		if (!knows(&t->e[i], e) || fault(F_IOTLB_ACCESS_REPLACED))
			continue;
		read |= t->e[i].read;
		write |= t->e[i].write;
	}
	if (!read && !write)
		return g;
	g.read &= read;
	g.write &= write;
	return g;
}

void iotlb_update(struct iotlb *t, const struct iotlb_entry *e)
{
	const struct iotlb_entry g = granted(t, e);

	if (!fault(F_IOTLB_ASKED_FOR_GOOD))
		forget_asked(t, e->iova, e->size);
	drop(t, e->iova, e->size, false);
	if (t->n == IOTLB_MAX && fault(F_IOTLB_FULL))
		return;
	if (t->n < IOTLB_MAX && !(t->n >= IOTLB_MAX / 2 && fault(F_IOTLB_HALF))) {
		t->e[t->n++] = g;
		return;
	}
	t->e[t->oldest] = g;
	t->oldest = (t->oldest + 1) % t->n;
}

void iotlb_invalidate(struct iotlb *t, uint64_t iova, uint64_t size)
{
	/* Fault: what was acknowledged is done with the next one. */
	if (fault_on(F_IOTLB_LATE)) {
		const uint64_t later = t->late_iova, later_size = t->late_size;

		t->late_iova = iova;
		t->late_size = size;
		iova = later;
		size = later_size;
		fault(F_IOTLB_LATE);
	}
	forget_asked(t, iova, size);
	drop(t, iova, size, true);
}

void iotlb_ask_again(struct iotlb *t)
{
	for (unsigned int i = 0; i < t->num_asked; i++)
		t->asked[i].again = true;
}

static bool is_asked(const struct iotlb *t, uint64_t page, bool write)
{
	for (unsigned int i = 0; i < t->num_asked; i++) {
		const bool same = t->asked[i].write == write, here = t->asked[i].iova == page;

		if (t->asked[i].again)
			continue;
		if ((same && here) || (same && fault(F_IOTLB_ONE_AT_A_TIME)) ||
		    (here && fault(F_IOTLB_ONE_A_PAGE)))
			return true;
	}
	return false;
}

/* Where a question is kept: where it was before, in a new place, or in that of an older one; IOTLB_ASKED: nowhere. */
static unsigned int place_of(const struct iotlb *t, uint64_t page, bool write)
{
	unsigned int i;

	for (i = 0; i < t->num_asked; i++)
		if (t->asked[i].iova == page && t->asked[i].write == write)
			return i;
	if (t->num_asked < IOTLB_ASKED)
		return t->num_asked;
	for (i = 0; i < IOTLB_ASKED && !t->asked[i].again; i++)
		;
	return i < IOTLB_ASKED && fault(F_IOTLB_ASKED_FOR_GOOD) ? IOTLB_ASKED : i;
}

static void ask(struct iotlb *t, uint64_t iova, bool write)
{
	const uint64_t page = iova / PAGE * PAGE;
	unsigned int i;

	if (is_asked(t, page, write))
		return;
	i = place_of(t, page, write);
	if (i == IOTLB_ASKED || (t->ever_asked == page && fault(F_IOTLB_ASKED_ONCE)))
		return;
	t->ever_asked = page;
	t->num_asked += i == t->num_asked;
	t->asked[i].iova = page;
	t->asked[i].write = write;
	t->asked[i].again = false;
	t->miss(t->arg, page, write);
}

const struct iotlb_entry *iotlb_find(struct iotlb *t, uint64_t iova, bool write)
{
	for (unsigned int i = 0; i < t->n; i++) {
		const struct iotlb_entry *e = &t->e[i];

		if (iova - e->iova >= e->size)
			continue;
		if ((write ? e->write : e->read) || fault(F_IOTLB_PERMISSION_IGNORED))
			return e;
	}
	ask(t, iova, write);
	return NULL;
}
