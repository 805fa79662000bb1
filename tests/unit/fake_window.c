/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/fake_window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/mmio.h"
#include "lib/paging.h"

#define MAX_WINDOWS 8
#define MAX_LIES    32

uint64_t fake_window_mapped, fake_window_mapped_size;

static struct fake_window windows[MAX_WINDOWS];
static unsigned int num_windows;
static unsigned int loads[MAX_WINDOWS][FAKE_WINDOW_MAX];
static char stores[8192];
static struct lie {
	const struct fake_window *w;
	uint32_t off;
	unsigned int after;
	uint64_t v;
} lies[MAX_LIES];
static unsigned int num_lies;

void fake_windows_clear(void)
{
	memset(windows, 0, sizeof(windows));
	memset(loads, 0, sizeof(loads));
	num_windows = num_lies = 0;
	stores[0] = '\0';
}

struct fake_window *fake_window_add(uint64_t pa, uint64_t size)
{
	struct fake_window *w = &windows[num_windows++];

	assert_true(num_windows <= MAX_WINDOWS && size <= FAKE_WINDOW_MAX);
	w->pa = pa;
	w->size = size;
	return w;
}

uint64_t fake_window_get(const struct fake_window *w, uint32_t off, unsigned int size)
{
	uint64_t v = 0;

	memcpy(&v, w->mem + off, size);
	return v;
}

void fake_window_set(struct fake_window *w, uint32_t off, unsigned int size, uint64_t v)
{
	memcpy(w->mem + off, &v, size);
}

void fake_window_lie(struct fake_window *w, uint32_t off, unsigned int after, uint64_t v)
{
	assert_true(num_lies < MAX_LIES);
	lies[num_lies++] = (struct lie){ w, off, after, v };
}

void fake_window_truth(void)
{
	num_lies = 0;
}

unsigned int fake_window_loads(const struct fake_window *w, uint32_t off)
{
	const unsigned int n = loads[w - windows][off];

	loads[w - windows][off] = 0;
	return n;
}

const char *fake_window_stores(void)
{
	static char text[sizeof(stores)];

	memcpy(text, stores, sizeof(text));
	stores[0] = '\0';
	return text;
}

volatile void *mmio_map(uint64_t pa, uint64_t size)
{
	unsigned int i;

	fake_window_mapped = pa;
	fake_window_mapped_size = size;
	for (i = 0; i < num_windows; i++)
		if (pa >= windows[i].pa && pa - windows[i].pa < windows[i].size)
			return windows[i].unmappable ? NULL : windows[i].mem + (pa - windows[i].pa);
	return NULL;
}

static struct fake_window *find(const volatile void *p, unsigned int size, uint32_t *off)
{
	const volatile uint8_t *at = p;
	unsigned int i;

	for (i = 0; i < num_windows; i++) {
		struct fake_window *w = &windows[i];

		if (at < w->mem || at >= w->mem + sizeof(w->mem))
			continue;
		*off = (uint32_t)(at - w->mem);
		if (*off % size || *off + size > w->size)
			fail_msg("%u bytes at 0x%x of a window of 0x%llx bytes", size, *off,
				 (unsigned long long)w->size);
		return w;
	}
	fail_msg("an access to no window");
	return NULL;
}

uint64_t fake_window_load(const volatile void *p, unsigned int size)
{
	uint32_t off = 0;
	const struct fake_window *w = find(p, size, &off);
	uint64_t v = w->load ? w->load(off, size) : fake_window_get(w, off, size);
	unsigned int i;

	for (i = 0; i < num_lies; i++) {
		if (lies[i].w != w || lies[i].off != off)
			continue;
		if (lies[i].after)
			lies[i].after--;
		else
			v = lies[i].v;
	}
	loads[w - windows][off]++;
	return v;
}

void fake_window_store(volatile void *p, unsigned int size, uint64_t v)
{
	uint32_t off = 0;
	struct fake_window *w = find(p, size, &off);
	const size_t n = strlen(stores);

	if (n + 40 < sizeof(stores)) /* a test that looks at it makes few */
		snprintf(stores + n, sizeof(stores) - n, "%s%.1s%x:%u=%llx", n ? " " : "", &w->name,
			 off, size, (unsigned long long)v);
	if (w->store)
		w->store(off, size, v);
	else
		fake_window_set(w, off, size, v);
}
