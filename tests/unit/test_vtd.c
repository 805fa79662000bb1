/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * drivers/iommu/x86_64/vtd.h on a unit that this file plays: what the driver writes to registers and tables is read as a
 * unit reads it, in each mode; a unit whose numbers make no sense is refused, and one that does not answer is no hang.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/iommu/x86_64/vtd.h"
#include "lib/acpi.h"
#include "lib/env.h"
#include "lib/init.h"
#include "lib/irq.h"
#include "lib/mem.h"
#include "lib/paging.h"
#include "lib/pci.h"
#include "lib/time.h"
#include "tests/unit/fake_window.h"

#define BASE	0xfed90000ull
#define SECOND	0x1fed90000ull /* above 4 GiB */
#define IOTLB	0x100u
#define RECORDS 0x200u
#define NUM	2u    /* records */
#define SOURCE	0x18u /* 00:03.0 */
#define OTHER	0x20u
#define NAMED	0x30u /* 00:06.0, by the second unit */
#define ADDRESS 0x000ffffffffff000ull
#define REGION	0x123400000ull /* that firmware reserves */

/* --- what the rest of the payload gives ---------------------------------------------------------- */

static struct {
	struct acpi_header header;
	uint8_t width, flags, reserved[10];
	struct {
		uint16_t type, length;
		uint8_t flags, size;
		uint16_t segment;
		uint64_t base;
	} __attribute__((packed)) first[6];
	struct {
		uint16_t type, length, reserved, segment;
		uint64_t first, last;
	} __attribute__((packed)) region[2];
	/* A unit that names one function; the first one has the rest. */
	struct {
		uint16_t type, length;
		uint8_t flags, size;
		uint16_t segment;
		uint64_t base;
		uint8_t scope[8];
	} __attribute__((packed)) second;
} __attribute__((packed)) table;

const struct acpi_header *acpi_table(const char signature[4], unsigned int n)
{
	return memcmp(signature, "DMAR", 4) == 0 && n == 0 ? &table.header : NULL;
}

uint32_t pci_read(const struct pci_dev *d, unsigned int off, unsigned int size)
{
	(void)d;
	(void)off;
	(void)size;
	return 0xff;
}

const struct dma_ops dma_direct_ops;

int dma_push(struct device *d, const struct dma_ops *ops, void *priv)
{
	(void)d;
	(void)ops;
	(void)priv;
	return 0;
}

int irq_message_direct(int vector, unsigned int cpu, uint64_t *addr, uint32_t *data)
{
	*addr = 0xfee00000 | cpu << 12;
	*data = (uint32_t)vector;
	return 0;
}

static char refused[1024];

void env_line(const char *key, const char *fmt, ...)
{
	va_list ap;

	if (strcmp(key, "iommu ignored") != 0)
		return;
	va_start(ap, fmt);
	vsnprintf(refused + strlen(refused), sizeof(refused) - strlen(refused), fmt, ap);
	va_end(ap);
	strcat(refused, "\n");
}

static int pages;  /* that are taken */
static int budget; /* pages that there are */

void *mem_pages(size_t n, size_t align)
{
	void *p;

	if (budget == 0)
		return NULL;
	budget--;
	p = aligned_alloc(align, n * PAGE_SIZE);
	assert_non_null(p);
	memset(p, 0, n * PAGE_SIZE);
	pages += (int)n;
	return p;
}

void mem_pages_free(void *p, size_t n)
{
	assert_non_null(p);
	pages -= (int)n;
	free(p);
}

static size_t kept;

void mem_keep(size_t n)
{
	kept += n;
}

void mem_unkeep(size_t n)
{
	assert_true(kept >= n);
	kept -= n;
}

uint64_t time_now(void)
{
	return 0;
}

uint64_t time_sec(void)
{
	return SEC;
}

/* A wait is two looks. */
bool wait_more(struct wait *w)
{
	return w->lost++ == 0;
}

/* --- the unit ----------------------------------------------------------------------------------------- */

static struct {
	struct fake_window *bad;
	uint64_t cap, ecap;
	uint32_t status;
	uint64_t root, context, iotlb, address, queue, head, tail;
	uint32_t fault_status;
	uint64_t record[NUM][2];
	bool deaf, undone; /* commands are not carried out; invalidations say that they were not */
	unsigned int flushes;				    /* of the write buffer */
	unsigned int contexts, pages, domains, all, pasids; /* invalidations so far */
	uint64_t last_page;
	uint16_t last_domain, last_source;
} units[2];
static unsigned int which; /* unit a test, or an access, is about */
#define unit units[which]

static const struct vtd_entry *at(uint64_t pa)
{
	return (const void *)(uintptr_t)pa;
}

static void on_iotlb(unsigned int scope, uint64_t address)
{
	unit.all += scope == VTD_ALL;
	unit.domains += scope == VTD_OF_DOMAIN;
	unit.pages += scope == VTD_OF_ONE;
	if (scope == VTD_OF_ONE)
		unit.last_page = address & (ADDRESS | 0x3f);
}

/* One descriptor. false: it makes no sense. */
static bool run(const struct vtd_entry *d)
{
	const uint64_t low = d->low;

	switch (low & 15) {
	case VTD_DESC_CONTEXT:
		unit.contexts++;
		unit.last_domain = (uint16_t)(low >> 16);
		unit.last_source = (uint16_t)(low >> 32);
		return low >> 4 & 3;
	case VTD_DESC_IOTLB:
		unit.last_domain = (uint16_t)(low >> 16);
		on_iotlb(low >> 4 & 3, d->high);
		return low >> 4 & 3;
	case 6:
		on_iotlb(VTD_OF_ONE, d->high);
		return true;
	case 7:
		unit.pasids++;
		return true;
	case VTD_DESC_WAIT:
		if (low & VTD_WAIT_WRITE)
			*(uint32_t *)(uintptr_t)d->high = (uint32_t)(low >> 32);
		return true;
	default:
		return false;
	}
}

static void run_queue(void)
{
	const uint64_t step = unit.queue & 1u << 11 ? 32 : 16;

	while (unit.status >> VTD_ON_QUEUE & 1 && !(unit.fault_status & VTD_FAULT_QUEUE) &&
	       unit.head != unit.tail) {
		if (run(at((unit.queue & ADDRESS) + unit.head)))
			unit.head = (unit.head + step) % 4096;
		else
			unit.fault_status |= VTD_FAULT_QUEUE;
	}
}

static void on_command(uint32_t v)
{
	const uint32_t lasting = 0x96800000;

	unit.flushes += v >> VTD_FLUSH_WRITES & 1;
	if (unit.deaf)
		return;
	unit.status = (unit.status & ~lasting) | (v & lasting);
	unit.status |= v & (1u << VTD_SET_ROOT | 1u << VTD_SET_INTERRUPT_TABLE);
	if (!(unit.status >> VTD_ON_QUEUE & 1))
		unit.head = 0;
}

static uint64_t load(uint32_t off, unsigned int size)
{
	switch (off) {
	case VTD_VERSION:
		return 0x10;
	case VTD_CAPABILITY:
		return unit.cap;
	case VTD_EXTENDED:
		return unit.ecap;
	case VTD_STATUS:
		return unit.status;
	case VTD_CONTEXT_COMMAND:
		return unit.context;
	case IOTLB + 8:
		return unit.iotlb;
	case VTD_FAULT_STATUS:
		return unit.fault_status;
	case VTD_QUEUE_HEAD:
		return unit.head;
	case VTD_PROTECTED:
		return 0;
	default:
		assert_true(off >= RECORDS && off < RECORDS + 16 * NUM && size == 8);
		return unit.record[(off - RECORDS) / 16][off / 8 % 2];
	}
}

static void store(uint32_t off, unsigned int size, uint64_t v)
{
	unsigned int i;

	assert_int_equal(size, off == VTD_COMMAND || off == VTD_FAULT_STATUS ||
					       off == VTD_FAULT_CONTROL ||
					       off == VTD_DONE_CONTROL || off == VTD_PROTECTED ||
					       off % 16 == 12 ?
				       4 :
				       8);
	switch (off) {
	case VTD_COMMAND:
		on_command((uint32_t)v);
		break;
	case VTD_ROOT:
		unit.root = v;
		break;
	case VTD_CONTEXT_COMMAND:
		unit.contexts++;
		unit.last_domain = (uint16_t)v;
		unit.last_source = (uint16_t)(v >> 16);
		unit.context = unit.deaf ? v : unit.undone ? 0 : 1ull << 59;
		break;
	case IOTLB:
		unit.address = v;
		break;
	case IOTLB + 8:
		unit.last_domain = (uint16_t)(v >> 32);
		on_iotlb(v >> 60 & 3, unit.address);
		unit.iotlb = unit.deaf ? v : unit.undone ? 0 : 1ull << 57;
		break;
	case VTD_QUEUE:
		unit.queue = v;
		break;
	case VTD_QUEUE_TAIL:
		unit.tail = v;
		if (!unit.deaf)
			run_queue();
		break;
	case VTD_FAULT_STATUS:
		unit.fault_status &= ~((uint32_t)v & 0x71);
		break;
	case VTD_FAULT_CONTROL:
	case VTD_DONE_CONTROL:
		break;
	default:
		assert_true(off >= RECORDS && off < RECORDS + 16 * NUM && off % 16 == 12);
		unit.record[(off - RECORDS) / 16][1] &= ~(v << 32);
		unit.fault_status &= ~(uint32_t)VTD_FAULT_PENDING;
		for (i = 0; i < NUM; i++)
			if (unit.record[i][1] >> 63)
				unit.fault_status |= VTD_FAULT_PENDING;
		break;
	}
}

#define NOWHERE UINT64_MAX

/* Where page tables lead an access: each entry must allow it. */
static uint64_t walk(uint64_t tables, unsigned int levels, uint64_t address, uint64_t need)
{
	uint64_t e = tables;

	if (address >> (12 + 9 * levels))
		return NOWHERE;
	for (; levels; levels--) {
		const uint64_t *t = (const void *)(uintptr_t)(e & ADDRESS);

		e = t[address >> (12 + 9 * (levels - 1)) & 511];
		if ((e & need) != need)
			return NOWHERE;
	}
	return (e & ADDRESS) | (address & 0xfff);
}

static uint64_t by_pasid(const uint64_t *p, uint64_t address, bool write)
{
	if (!(p[0] & 1))
		return NOWHERE;
	switch (p[0] >> 6 & 7) {
	case 1: /* P, RW, US */
		return walk(p[2] & ADDRESS, 4 + (p[2] >> 2 & 3), address, write ? 7 : 5);
	case 2:
		return walk(p[0] & ADDRESS, 2 + (p[0] >> 2 & 7), address, write ? 2 : 1);
	default:
		return (p[0] >> 6 & 7) == 4 ? address : NOWHERE;
	}
}

/* What the function reaches at this address, as the unit reads the tables. */
static uint64_t reach(uint16_t requester, uint64_t address, bool write)
{
	const bool scalable = unit.root & 1u << 10;
	const struct vtd_entry *e = at(unit.root & ADDRESS) + (requester >> 8);
	const uint64_t half = scalable && requester & 0x80 ? e->high : e->low;
	const uint64_t *d;

	if (!(unit.status >> VTD_ON_TRANSLATION & 1))
		return address;
	if (!(half & 1))
		return NOWHERE;
	if (scalable) {
		e = at(half & ADDRESS) + 2 * (requester & 0x7f);
		if (!(e->low & 1))
			return NOWHERE;
		d = (const void *)(uintptr_t)(e->low & ADDRESS);
		return *d & 1 ? by_pasid((const void *)(uintptr_t)(*d & ADDRESS), address, write) :
				NOWHERE;
	}
	e = at(half & ADDRESS) + (requester & 0xff);
	if (!(e->low & 1))
		return NOWHERE;
	if ((e->low >> 2 & 3) == 2)
		return address;
	return walk(e->low & ADDRESS, 2 + (e->high & 7), address, write ? 2 : 1);
}

/* --- fixture ------------------------------------------------------------------------------------------- */

extern const init_fn __start_assay_init[], __stop_assay_init[];

static uint64_t load_of(unsigned int n, uint32_t off, unsigned int size)
{
	const unsigned int old = which;
	uint64_t v;

	which = n;
	v = load(off, size);
	which = old;
	return v;
}

static void store_of(unsigned int n, uint32_t off, unsigned int size, uint64_t v)
{
	const unsigned int old = which;

	which = n;
	store(off, size, v);
	which = old;
}

static uint64_t first_load(uint32_t off, unsigned int size)
{
	return load_of(0, off, size);
}

static void first_store(uint32_t off, unsigned int size, uint64_t v)
{
	store_of(0, off, size, v);
}

static uint64_t second_load(uint32_t off, unsigned int size)
{
	return load_of(1, off, size);
}

static void second_store(uint32_t off, unsigned int size, uint64_t v)
{
	store_of(1, off, size, v);
}

/* The driver looks for units once: these are those that it finds. */
static void put_units(uint64_t cap, uint64_t ecap)
{
	struct fake_window *w;

	memset(units, 0, sizeof(units));
	which = 0;
	fake_windows_clear();
	w = fake_window_add(BASE, 4096);
	w->load = first_load;
	w->store = first_store;
	w = fake_window_add(SECOND, 4096);
	w->load = second_load;
	w->store = second_store;
	units[0].cap = units[1].cap = cap;
	units[0].ecap = units[1].ecap = ecap;
	units[1].cap |= 1u << 4; /* it buffers writes */
	budget = 1000;
}

/* 48 bits of addresses, 65,536 domains, page tables of 3 and 4 levels, invalidation by page of up to 2^18. */
static const uint64_t usual_cap = 6 | 6ull << 8 | 47ull << 16 | (uint64_t)RECORDS / 16 << 24 |
				  1ull << 39 | (uint64_t)(NUM - 1) << 40 | 18ull << 48;
/* The queue, pass-through, interrupts, scalable mode with both stages. */
static const uint64_t usual_ecap = 1u << 1 | 1u << 3 | 1u << 6 | IOTLB / 16 << 8 | 1ull << 43 |
				   1ull << 46 | 1ull << 47;

static int setup(void **state)
{
	(void)state;
	put_units(usual_cap, usual_ecap);
	return 0;
}

static struct iommu *mode(unsigned int n)
{
	struct iommu *m = iommu_get(n);

	assert_non_null(m);
	assert_int_equal(m->ops->start(m), 0);
	return m;
}

static void end(struct iommu *m)
{
	m->ops->stop(m);
	assert_int_equal(unit.status & 1u << VTD_ON_TRANSLATION, 0);
	assert_int_equal(pages, 0);
}

/* --- tests ---------------------------------------------------------------------------------------------- */

static void finds(void **state)
{
	struct device d;
	uint32_t id;

	(void)state;
	assert_non_null(vtd_get(1));
	assert_null(vtd_get(2));
	assert_non_null(iommu_get(5));
	assert_null(iommu_get(6));
	assert_string_equal(iommu_get(2)->name, "VT-d 0xfed90000 first stage");
	assert_string_equal(iommu_get(3)->name, "VT-d 0x1fed90000");
	device_init_pci(&d, 0, SOURCE);
	assert_true(iommu_get(0)->ops->endpoint(iommu_get(0), &d, &id));
	assert_int_equal(id, SOURCE);
	device_init_pci(&d, 1, SOURCE);
	assert_false(iommu_get(0)->ops->endpoint(iommu_get(0), &d, &id));
}

/* Each function goes through one unit; domains of the same number at two of them have nothing in common. */
static void two_units(void **state)
{
	struct iommu *m[2] = { mode(0), mode(3) };
	struct device d;
	uint32_t id;

	(void)state;
	device_init_pci(&d, 0, SOURCE);
	assert_false(m[1]->ops->endpoint(m[1], &d, &id));
	device_init_pci(&d, 0, NAMED);
	assert_false(m[0]->ops->endpoint(m[0], &d, &id));
	assert_true(m[1]->ops->endpoint(m[1], &d, &id));
	assert_int_equal(id, NAMED);
	/* As the bridge's, where its requests come from one. */
	d.alias = 0x0500;
	assert_true(m[1]->ops->endpoint(m[1], &d, &id));
	assert_int_equal(id, 0x0500);
	assert_int_equal(m[0]->ops->attach(m[0], 5, SOURCE), 0);
	assert_int_equal(m[1]->ops->attach(m[1], 5, NAMED), 0);
	assert_int_equal(m[0]->ops->map(m[0], 5, 0x10000, 0x10fff, 0x7000, IOMMU_READ), 0);
	assert_int_equal(m[1]->ops->map(m[1], 5, 0x10000, 0x10fff, 0x8000, IOMMU_READ), 0);
	assert_int_equal(reach(SOURCE, 0x10000, false), 0x7000);
	assert_int_equal(reach(NAMED, 0x10000, false), NOWHERE);
	assert_int_equal(unit.flushes, 0);
	which = 1;
	assert_int_equal(reach(NAMED, 0x10000, false), 0x8000);
	assert_int_equal(reach(SOURCE, 0x10000, false), NOWHERE);
	/* 6.8: what was written to a table is flushed, each time. */
	assert_true(unit.flushes > 0);
	unit.flushes = 0;
	assert_int_equal(m[1]->ops->map(m[1], 5, 0x11000, 0x11fff, 0x9000, IOMMU_READ), 0);
	assert_true(unit.flushes > 0);
	/* One goes, the other stays. */
	m[0]->ops->stop(m[0]);
	assert_int_equal(m[0]->ops->epoch(m[0]), 0);
	assert_int_equal(reach(NAMED, 0x10000, false), 0x8000);
	assert_int_equal(m[1]->ops->unmap(m[1], 5, 0x10001, 0x10fff), -ERANGE);
	assert_int_equal(reach(NAMED, 0x10000, false), 0x8000);
	assert_int_equal(m[1]->ops->unmap(m[1], 5, 0x10000, 0x10fff), 0);
	assert_int_equal(reach(NAMED, 0x10000, false), NOWHERE);
	end(m[1]);
}

static void maps(void **state)
{
	static const uint64_t at_last[] = { 0xfffffffff000, 0xfffffffff000, 0x7ffffffff000 };
	unsigned int n;

	(void)state;
	for (n = 0; n < 3; n++) {
		struct iommu *m = mode(n);
		const struct iommu_ops *o = m->ops;

		assert_int_equal(m->limits.last, at_last[n] + 0xfff);
		assert_int_equal(reach(SOURCE, 0x10000, true), NOWHERE);
		assert_int_equal(o->map(m, 5, 0x10000, 0x10fff, 0x7000, IOMMU_READ), -ENOENT);
		assert_int_equal(o->attach(m, 5, SOURCE), 0);
		assert_int_equal(reach(SOURCE, 0x10000, false), NOWHERE);
		assert_int_equal(o->map(m, 5, 0x10000, 0x11fff, 0x7000, IOMMU_READ | IOMMU_WRITE),
				 0);
		assert_int_equal(o->map(m, 5, at_last[n], at_last[n] + 0xfff, 0x9000, IOMMU_READ),
				 0);
		assert_int_equal(reach(SOURCE, 0x10123, true), 0x7123);
		assert_int_equal(reach(SOURCE, 0x11fff, false), 0x8fff);
		assert_int_equal(reach(SOURCE, 0x12000, false), NOWHERE);
		assert_int_equal(reach(SOURCE, at_last[n], false), 0x9000);
		assert_int_equal(reach(SOURCE, at_last[n], true), NOWHERE);
		assert_int_equal(reach(OTHER, 0x10000, false), NOWHERE);
		/* What cannot be changes nothing. */
		assert_int_equal(o->map(m, 5, 0x11000, 0x12fff, 0x7000, IOMMU_READ), -EEXIST);
		assert_int_equal(o->map(m, 5, 0x20800, 0x217ff, 0x7000, IOMMU_READ), -ERANGE);
		assert_int_equal(o->map(m, 5, 0x20000, 0x20fff, 0x7001, IOMMU_READ), -ERANGE);
		assert_int_equal(o->map(m, 5, 0x20000, 0x20fff, 1ull << 48, IOMMU_READ), -ERANGE);
		assert_int_equal(o->map(m, 5, 0x21000, 0x20fff, 0x7000, IOMMU_READ), -ERANGE);
		assert_int_equal(o->map(m, 5, at_last[n] + 0x1000, at_last[n] + 0x1fff, 0x7000,
					IOMMU_READ),
				 -ERANGE);
		assert_int_equal(o->map(m, 5, 0xfee00000, 0xfee00fff, 0x7000, IOMMU_READ), -ERANGE);
		assert_int_equal(o->map(m, 5, 0x20000, 0x20fff, 0x7000, 0), -EINVAL);
		assert_int_equal(o->unmap(m, 6, 0x10000, 0x10fff), -ENOENT);
		assert_int_equal(reach(SOURCE, 0x12000, false), NOWHERE);
		/* Each page of what is unmapped may be cached: 2 of them, and 4 from 0x3c000 on for the last of the next. */
		unit.pages = 0;
		assert_int_equal(o->unmap(m, 5, 0x10000, 0x11fff), 0);
		assert_int_equal(unit.pages, 1);
		assert_int_equal(unit.last_page, 0x10001);
		assert_int_equal(reach(SOURCE, 0x10123, true), NOWHERE);
		assert_int_equal(o->unmap(m, 5, 0x10000, 0x11fff), 0);
		assert_int_equal(unit.pages, 1);
		assert_int_equal(o->map(m, 5, 0x3d000, 0x3efff, 0x7000, IOMMU_READ), 0);
		assert_int_equal(o->unmap(m, 5, 0x3d000, 0x3efff), 0);
		assert_int_equal(unit.last_page, 0x3c002);
		assert_int_equal(o->map(m, 5, 0x7fff000, 0x8000fff, 0x7000, IOMMU_READ), 0);
		assert_int_equal(o->unmap(m, 5, 0x7fff000, 0x8000fff), 0);
		assert_int_equal(unit.last_page, 0x10); /* 2^16 from 0 on */
		end(m);
	}
}

static void domains(void **state)
{
	unsigned int n;

	(void)state;
	for (n = 0; n < 3; n++) {
		struct iommu *m = mode(n);
		const struct iommu_ops *o = m->ops;
		unsigned int taken;

		assert_int_equal(o->attach(m, 0, SOURCE), -ERANGE);
		assert_int_equal(o->attach(m, 0x10000, SOURCE), -ERANGE);
		assert_int_equal(o->attach(m, 7, 0x10000), -ENOENT);
		assert_int_equal(o->attach(m, 7, SOURCE), 0);
		assert_int_equal(o->attach(m, 0xffff, 0x1ff), 0);
		assert_int_equal(o->map(m, 7, 0x10000, 0x10fff, 0x7000, IOMMU_WRITE), 0);
		assert_int_equal(o->map(m, 0xffff, 0x10000, 0x10fff, 0x8000, IOMMU_WRITE), 0);
		assert_int_equal(reach(SOURCE, 0x10000, true), 0x7000);
		assert_int_equal(reach(0x1ff, 0x10000, true), 0x8000);
		/* To another domain, with the old one there for somebody else, and to the same once more. */
		assert_int_equal(o->attach(m, 7, OTHER), 0);
		unit.contexts = unit.domains = 0;
		assert_int_equal(o->attach(m, 0xffff, SOURCE), 0);
		assert_true(unit.contexts && unit.domains);
		assert_int_equal(o->attach(m, 0xffff, SOURCE), 0);
		assert_int_equal(reach(SOURCE, 0x10000, true), 0x8000);
		assert_int_equal(reach(OTHER, 0x10000, true), 0x7000);
		assert_int_equal(o->detach(m, 7, SOURCE), -ENOENT);
		/* A domain goes with its last endpoint, and so does its memory. */
		assert_int_equal(o->detach(m, 7, OTHER), 0);
		assert_int_equal(reach(OTHER, 0x10000, true), NOWHERE);
		assert_int_equal(o->map(m, 7, 0x10000, 0x10fff, 0x7000, IOMMU_WRITE), -ENOENT);
		taken = (unsigned int)pages;
		assert_int_equal(o->attach(m, 7, OTHER), 0);
		assert_int_equal(reach(OTHER, 0x10000, true), NOWHERE);
		assert_int_equal(o->detach(m, 7, OTHER), 0);
		assert_int_equal(pages, taken);
		/* Passed through. */
		assert_int_equal(o->identity(m, 9, OTHER), 0);
		assert_int_equal(reach(OTHER, 0x12345, true), 0x12345);
		assert_int_equal(o->map(m, 9, 0x10000, 0x10fff, 0x7000, IOMMU_WRITE), -EINVAL);
		assert_int_equal(o->attach(m, 7, OTHER), 0);
		assert_int_equal(reach(OTHER, 0x12345, true), NOWHERE);
		end(m);
	}
}

/* No memory at any point: what was done is undone, and nothing is lost. */
static void no_memory(void **state)
{
	unsigned int n;
	int i;

	(void)state;
	for (n = 0; n < 3; n++) {
		for (i = 0; i < 16; i++) {
			struct iommu *m = iommu_get(n);

			setup(NULL);
			budget = i;
			if (m->ops->start(m) == 0 && m->ops->attach(m, 5, SOURCE) == 0 &&
			    m->ops->map(m, 5, 0x10000, 0x10fff, 0x7000, IOMMU_READ) == 0)
				assert_int_equal(reach(SOURCE, 0x10000, false), 0x7000);
			m->ops->stop(m);
			assert_int_equal(pages, 0);
		}
	}
}

static void deaf_unit(void **state)
{
	struct iommu *m = mode(0);

	(void)state;
	assert_int_equal(m->ops->attach(m, 5, SOURCE), 0);
	assert_int_equal(m->ops->map(m, 5, 0x10000, 0x10fff, 0x7000, IOMMU_READ), 0);
	unit.undone = true;
	assert_int_equal(m->ops->unmap(m, 5, 0x10000, 0x10fff), -EPROTO);
	assert_int_equal(vtd_forget_context(vtd_get(0), VTD_ALL, 0, 0), -EPROTO);
	unit.undone = false;
	unit.deaf = true;
	assert_int_equal(vtd_forget(vtd_get(0), VTD_ALL, 0, 0, 0), -ETIMEDOUT);
	assert_int_equal(vtd_forget_context(vtd_get(0), VTD_ALL, 0, 0), -ETIMEDOUT);
	assert_int_equal(vtd_by_queue(vtd_get(0), true), -ETIMEDOUT);
	assert_int_equal(m->ops->start(m), -ETIMEDOUT);
	assert_int_equal(m->ops->map(m, 5, 0x10000, 0x10fff, 0x7000, IOMMU_READ), -EBUSY);
	/* The unit may still read the tables: they stay. */
	m->ops->stop(m);
	assert_true(pages > 0);
	unit.deaf = false;
	end(m);
}

/* What a unit may still read because it did not invalidate stays taken, and nobody else's, until it is off. */
static void not_forgotten(void **state)
{
	unsigned int n;
	int taken;

	(void)state;
	for (n = 0; n < 3; n++) {
		struct iommu *m = mode(n);
		struct vtd *v = vtd_get(0);

		assert_int_equal(m->ops->attach(m, 5, SOURCE), 0);
		assert_int_equal(m->ops->map(m, 5, 0x10000, 0x10fff, 0x7000, IOMMU_READ), 0);
		taken = pages;
		unit.undone = true;
		if (n)
			vtd_queue_put(v, 0xf, 0);
		assert_int_equal(m->ops->detach(m, 5, SOURCE), -EPROTO);
		unit.undone = false;
		if (n)
			assert_int_equal(vtd_queue_resume(v), 0);
		assert_int_equal(reach(SOURCE, 0x10000, false), NOWHERE);
		assert_int_equal(pages, taken);
		assert_int_equal(m->ops->map(m, 5, 0x10000, 0x10fff, 0x7000, IOMMU_READ), -ENOENT);
		/* Others in the same places come and go. */
		assert_int_equal(m->ops->attach(m, 6, SOURCE), 0);
		assert_int_equal(reach(SOURCE, 0x10000, false), NOWHERE);
		assert_int_equal(m->ops->map(m, 6, 0x10000, 0x10fff, 0x8000, IOMMU_READ), 0);
		assert_int_equal(reach(SOURCE, 0x10000, false), 0x8000);
		assert_int_equal(m->ops->detach(m, 6, SOURCE), 0);
		assert_int_equal(pages, taken);
		end(m);
	}
}

/* An IOMMU that stays up: what it has at the time is marked as taken for good, no more and no less. */
static void lasting(void **state)
{
	unsigned int n;

	(void)state;
	for (n = 0; n < 3; n++) {
		struct iommu *m = iommu_get(n);

		m->ops->lasting(m);
		assert_int_equal(m->ops->start(m), 0);
		assert_int_equal(kept, pages);
		assert_int_equal(m->ops->attach(m, 5, SOURCE), 0);
		assert_int_equal(m->ops->map(m, 5, 0x10000, 0x10fff, 0x7000, IOMMU_READ), 0);
		assert_int_equal(kept, pages);
		assert_int_equal(m->ops->detach(m, 5, SOURCE), 0);
		assert_int_equal(kept, pages);
		assert_int_equal(m->ops->start(m), 0);
		assert_int_equal(kept, pages);
		end(m);
		assert_int_equal(kept, 0);
	}
}

/* What is to be forgotten, in the words of the queue and in those of the registers. */
static void what_is_forgotten(void **state)
{
	struct iommu *m = mode(0);
	struct vtd *v = vtd_get(0);
	unsigned int on;

	(void)state;
	for (on = 0; on < 2; on++) {
		assert_int_equal(vtd_by_queue(v, on), 0);
		assert_int_equal(vtd_forget_context(v, VTD_OF_ONE, 0x1235, SOURCE + 1), 0);
		assert_int_equal(unit.last_domain, 0x1235);
		assert_int_equal(unit.last_source, SOURCE + 1);
		assert_int_equal(vtd_forget(v, VTD_OF_DOMAIN, 0x4321, 0, 0), 0);
		assert_int_equal(unit.last_domain, 0x4321);
	}
	assert_int_equal(vtd_by_queue(v, false), 0);
	end(m);
}

static void queue(void **state)
{
	struct iommu *m = mode(0);
	struct vtd *v = vtd_get(0);
	unsigned int i;

	(void)state;
	assert_int_equal(vtd_by_queue(v, true), 0);
	for (i = 0; i < 3 * VTD_QUEUE_ENTRIES; i++)
		assert_int_equal(vtd_forget(v, VTD_OF_ONE, 5, 0x3000, 0), 0);
	assert_int_equal(unit.pages, 3 * VTD_QUEUE_ENTRIES);
	assert_int_equal(unit.last_page, 0x3000);
	vtd_queue_put(v, 0xf, 0);
	assert_int_equal(vtd_queue_wait(v), -EPROTO);
	assert_int_equal(vtd_queue_resume(v), 0);
	assert_int_equal(vtd_queue_wait(v), 0);
	/* It stops, and is put right when it goes off. */
	vtd_queue_put(v, 0xf, 0);
	assert_int_equal(vtd_by_queue(v, false), 0);
	assert_int_equal(unit.fault_status, 0);
	end(m);
}

static void faults(void **state)
{
	struct iommu *m = mode(0);
	struct vtd *v = vtd_get(0);
	struct iommu_fault g;
	struct vtd_fault f;

	(void)state;
	assert_int_equal(vtd_fault_get(v, &f), 0);
	/* The older one is in the last record. */
	unit.record[1][0] = 0x12345000;
	unit.record[1][1] = 1ull << 63 | 1ull << 62 | (uint64_t)VTD_NO_READ << 32 | SOURCE;
	unit.record[0][0] = 0xabc000;
	unit.record[0][1] = 1ull << 63 | (uint64_t)VTD_NO_CONTEXT << 32 | OTHER;
	unit.fault_status = VTD_FAULT_PENDING | VTD_FAULT_OVERFLOW | 1u << 8;
	assert_int_equal(vtd_fault_get(v, &f), 1);
	assert_int_equal(f.requester, SOURCE);
	assert_int_equal(f.reason, VTD_NO_READ);
	assert_int_equal(f.page, 0x12345000);
	assert_true(f.read);
	assert_int_equal(m->ops->fault(m, &g), 1);
	assert_int_equal(g.endpoint, OTHER);
	assert_int_equal(g.reason, IOMMU_FAULT_DOMAIN);
	assert_true(g.write && !g.read);
	assert_int_equal(g.address, 0xabc000);
	assert_int_equal(vtd_fault_get(v, &f), 0);
	assert_true(vtd_fault_lost(v));
	assert_false(vtd_fault_lost(v));
	/* Pending, and no record has one; the first one is beyond the last. */
	unit.fault_status = VTD_FAULT_PENDING | 0xff00;
	assert_int_equal(vtd_fault_get(v, &f), -EPROTO);
	end(m);
}

/* Where messages go, and what firmware reserves in this segment, nothing is mapped; beside it all is. */
static void reserved(void **state)
{
	static const struct {
		uint64_t at;
		int answer;
	} c[] = {
		{ REGION - 0x1000, 0 },	 { REGION, -ERANGE },	   { REGION + 0xf000, -ERANGE },
		{ REGION + 0x10000, 0 }, { REGION + 0x100000, 0 }, { 0xfedff000, 0 },
		{ 0xfee00000, -ERANGE }, { 0xfeeff000, -ERANGE },  { 0xfef00000, 0 },
	};
	unsigned int n, i;

	(void)state;
	for (n = 0; n < 3; n++) {
		struct iommu *m = mode(n);

		assert_int_equal(m->ops->attach(m, 5, SOURCE), 0);
		for (i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
			const uint64_t last = c[i].at + 0xfff;

			assert_int_equal(m->ops->reserved(m, SOURCE, c[i].at, last),
					 c[i].answer != 0);
			assert_int_equal(m->ops->map(m, 5, c[i].at, last, 0x7000, IOMMU_READ),
					 c[i].answer);
		}
		/* A range that holds one. */
		assert_int_equal(m->ops->map(m, 5, REGION - 0x2000, REGION + 0x11fff, 0x7000,
					     IOMMU_READ),
				 -ERANGE);
		end(m);
	}
}

/* What a reason is to others. */
static void reasons(void **state)
{
	static const struct {
		uint8_t first, last;
		enum iommu_fault_reason is;
	} c[] = {
		{ 0x01, 0x03, IOMMU_FAULT_DOMAIN }, { 0x04, 0x07, IOMMU_FAULT_MAPPING },
		{ 0x0a, 0x0b, IOMMU_FAULT_DOMAIN }, { 0x0c, 0x0c, IOMMU_FAULT_MAPPING },
		{ 0x20, 0x26, IOMMU_FAULT_OTHER },  { 0x30, 0x5f, IOMMU_FAULT_DOMAIN },
		{ 0x60, 0x6f, IOMMU_FAULT_OTHER },  { 0x70, 0x91, IOMMU_FAULT_MAPPING },
		{ 0x92, 0xff, IOMMU_FAULT_OTHER },
	};
	struct iommu *m = mode(0);
	struct iommu_fault f;
	unsigned int i, r;

	(void)state;
	for (i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		for (r = c[i].first; r <= c[i].last; r++) {
			unit.record[0][1] = 1ull << 63 | (uint64_t)r << 32 | SOURCE;
			unit.fault_status = VTD_FAULT_PENDING;
			assert_int_equal(m->ops->fault(m, &f), 1);
			assert_int_equal(f.reason, c[i].is);
		}
	}
	end(m);
}

/* Units whose numbers make no sense are refused, each with a word. */
static void refuses(void **state)
{
	(void)state;
	assert_string_equal(
		refused, "VT-d 0xfeda0000: its version register\n"
			 "VT-d 0xfedb0000: no page tables of 3, 4 or 5 levels\n"
			 "VT-d 0xfedc0000: IOTLB registers or fault records over other registers\n"
			 "VT-d 0xfedd0000: the number of domains\n"
			 "VT-d 0xfede0000: its registers cannot be mapped\n");
}

static void put_table(void)
{
	unsigned int i;

	table.header.length = sizeof(table);
	table.width = 47;
	for (i = 0; i < 6; i++) {
		table.first[i].length = 16;
		table.first[i].flags = i == 0;
		table.first[i].base = BASE + i * 0x10000;
	}
	for (i = 0; i < 2; i++) {
		table.region[i].type = 1;
		table.region[i].length = 24;
		table.region[i].segment = (uint16_t)i;
		table.region[i].first = REGION + i * 0x100000;
		table.region[i].last = REGION + i * 0x100000 + 0xffff;
	}
	table.second.length = sizeof(table.second);
	table.second.base = SECOND;
	memcpy(table.second.scope, (const uint8_t[]){ 1, 8, 0, 0, 0, 0, NAMED >> 3, 0 }, 8);
}

static void put_bad(uint64_t base, uint32_t version, uint64_t cap, uint64_t ecap)
{
	unit.bad = fake_window_add(base, 4096);
	fake_window_set(unit.bad, VTD_VERSION, 4, version);
	fake_window_set(unit.bad, VTD_CAPABILITY, 8, cap);
	fake_window_set(unit.bad, VTD_EXTENDED, 8, ecap);
}

#define CASE(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(finds),	 CASE(two_units),	  CASE(maps),	       CASE(domains),
		CASE(no_memory), CASE(deaf_unit),	  CASE(not_forgotten), CASE(queue),
		CASE(faults),	 CASE(reserved),	  CASE(reasons),       CASE(refuses),
		CASE(lasting),	 CASE(what_is_forgotten),
	};
	const init_fn *f;

	put_table();
	setup(NULL);
	put_bad(BASE + 0x10000, 0, usual_cap, usual_ecap);
	put_bad(BASE + 0x20000, 0x10, usual_cap & ~(0x1full << 8), usual_ecap);
	put_bad(BASE + 0x30000, 0x10, usual_cap, usual_ecap & ~(0x3ffull << 8));
	put_bad(BASE + 0x40000, 0x10, usual_cap | 7, usual_ecap);
	put_bad(BASE + 0x50000, 0x10, usual_cap, usual_ecap);
	unit.bad->unmappable = true;
	for (f = __start_assay_init; f < __stop_assay_init; f++)
		(*f)();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
