/* SPDX-License-Identifier: BSD-2-Clause */
/* lib/pci.c over configuration spaces that this file keeps: through ports 0xcf8/0xcfc and through ECAM. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* In place of lib/x86_64/io.h: the ports. */
#define LIB_X86_64_IO_H
static uint32_t io_in(uint16_t port, unsigned int size);
static void io_out(uint16_t port, unsigned int size, uint32_t v);
#define io_in8(p)      (uint8_t) io_in(p, 1)
#define io_in16(p)     (uint16_t) io_in(p, 2)
#define io_in32(p)     io_in(p, 4)
#define io_out8(p, v)  io_out(p, 1, v)
#define io_out16(p, v) io_out(p, 2, v)
#define io_out32(p, v) io_out(p, 4, v)

/* Its list of functions is private; each test starts anew. */
#include "lib/pci.c"	    /* NOLINT(bugprone-suspicious-include) */
#include "lib/x86_64/pci.c" /* NOLINT(bugprone-suspicious-include) */

#define MAX_FN 80

/* One function: its registers, and which bits of them can be written. */
static struct fn {
	uint8_t bus, dev, fn;
	uint8_t cfg[256], mask[256];
} fns[MAX_FN];
static unsigned int num_fns;
static uint32_t address;  /* port 0xcf8 */
static bool bridge_there; /* port 0xcf8 answers */
static struct acpi_mcfg mcfg_given[2];
static unsigned int mcfgs_given;
static uint8_t *ecam_space; /* of 2 buses */
static uint64_t last_map, last_map_size;
static uint8_t bar_space[8192];

unsigned int acpi_mcfg(struct acpi_mcfg *m, unsigned int max)
{
	unsigned int i;

	for (i = 0; i < mcfgs_given && i < max; i++)
		m[i] = mcfg_given[i];
	return mcfgs_given;
}

static char said[256]; /* by env_line() */

void env_line(const char *key, const char *fmt, ...)
{
	const int n = snprintf(said, sizeof(said), "%s: ", key);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(said + n, sizeof(said) - (size_t)n, fmt, ap);
	va_end(ap);
}

void madt_isa_irq(unsigned int irq, uint32_t *gsi)
{
	*gsi = irq == 9 ? 29 : irq;
}

/* A table that gives each pin of bus 0 a line, in sequence. */
static bool mptable_there;

uint32_t mptable_pci_gsi(uint8_t bus, uint8_t dev, uint8_t pin)
{
	return mptable_there && bus == 0 ? 5u + 4 * dev + pin - 1 : UINT32_MAX;
}

volatile void *mmio_map(uint64_t pa, uint64_t size)
{
	const uint64_t base = mcfg_given[0].base;

	last_map = pa;
	last_map_size = size;
	if (ecam_space && pa >= base && pa + size <= base + (2 << 20))
		return ecam_space + (pa - base);
	return size <= sizeof(bar_space) ? bar_space : NULL;
}

static struct fn *selected(void)
{
	unsigned int i;

	for (i = 0; i < num_fns; i++)
		if (address >> 31 && fns[i].bus == (address >> 16 & 0xff) &&
		    fns[i].dev == (address >> 11 & 31) && fns[i].fn == (address >> 8 & 7))
			return &fns[i];
	return NULL;
}

static uint32_t io_in(uint16_t port, unsigned int size)
{
	const struct fn *f = selected();
	const unsigned int off = (address & 0xfc) + (port & 3u);
	uint32_t v = 0;

	if (port == 0xcf8)
		return bridge_there ? address : UINT32_MAX;
	assert_true(port >= 0xcfc && port + size <= 0xd00);
	if (!f)
		return UINT32_MAX;
	memcpy(&v, f->cfg + off, size);
	return v;
}

static void io_out(uint16_t port, unsigned int size, uint32_t v)
{
	struct fn *f = selected();
	unsigned int i, off = (address & 0xfc) + (port & 3u);

	if (port == 0xcf8) {
		address = v;
		return;
	}
	assert_true(port >= 0xcfc && port + size <= 0xd00);
	for (i = 0; f && i < size; i++, off++)
		f->cfg[off] = (uint8_t)((f->cfg[off] & ~f->mask[off]) |
					((v >> (8 * i)) & f->mask[off]));
}

/* --- making functions ---------------------------------------------------------------------- */

static void set(struct fn *f, unsigned int off, unsigned int size, uint32_t v)
{
	memcpy(f->cfg + off, &v, size);
}

static uint32_t get32(const struct fn *f, unsigned int off)
{
	uint32_t v;

	memcpy(&v, f->cfg + off, 4);
	return v;
}

static struct fn *add_fn(uint8_t bus, uint8_t dev, uint8_t fn, uint8_t header)
{
	struct fn *f = &fns[num_fns++];

	assert_true(num_fns <= MAX_FN);
	*f = (struct fn){ .bus = bus, .dev = dev, .fn = fn };
	set(f, 0, 4, 0x10421af4);
	set(f, 8, 4, 0x01020304);
	set(f, 14, 1, header);
	memset(f->mask + CFG_COMMAND, 0xff, 2);
	return f;
}

/* flags: the read-only low bits. */
static void add_bar(struct fn *f, unsigned int i, uint64_t size, uint32_t flags, uint64_t at)
{
	const uint64_t mask = ~(size - 1);
	const unsigned int off = CFG_BAR0 + 4 * i;

	set(f, off, 4, (uint32_t)at | flags);
	memcpy(f->mask + off, &mask, 4);
	f->mask[off] &= (uint8_t)~15;
	if ((flags & 7) == 4) {
		set(f, off + 4, 4, (uint32_t)(at >> 32));
		memcpy(f->mask + off + 4, (const uint8_t *)&mask + 4, 4);
	}
}

static int fresh(void **state)
{
	(void)state;
	while (pci.count)
		free(pci.dev[--pci.count]);
	free(pci.dev);
	memset(&pci, 0, sizeof(pci));
	said[0] = '\0';
	mptable_there = false;
	num_fns = 0;
	bridge_there = true;
	mcfgs_given = 0;
	free(ecam_space);
	ecam_space = NULL;
	return 0;
}

static int end(void **state)
{
	return fresh(state);
}

/* --- tests ----------------------------------------------------------------------------------- */

static void scans_ports(void **state)
{
	struct fn *f;

	(void)state;
	add_fn(0, 0, 0, 0);
	add_fn(0, 3, 0, 0x80); /* several functions */
	f = add_fn(0, 3, 5, 0);
	set(f, 0x2c, 4, 0x00401af4);
	set(f, CFG_IRQ_LINE, 2, 0x020b);
	add_fn(0, 4, 0, 0);
	add_fn(0, 4, 1, 0); /* not to be seen: function 0 says that there is one only */
	add_fn(0, 5, 3, 0); /* nor this: there is no function 0 */
	assert_int_equal(pci_init(), 4);
	assert_string_equal(pci_access(), "port");
	assert_null(pci_get(4));
	assert_int_equal(pci_get(2)->fn, 5);
	assert_int_equal(pci_get(2)->vendor, 0x1af4);
	assert_int_equal(pci_get(2)->device, 0x1042);
	assert_int_equal(pci_get(2)->subvendor, 0x1af4);
	assert_int_equal(pci_get(2)->subdevice, 0x40);
	assert_int_equal(pci_get(2)->revision, 4);
	assert_int_equal(pci_get(2)->class_base, 1);
	assert_int_equal(pci_get(2)->irq_line, 11);
	assert_int_equal(pci_get(2)->irq_pin, 2);
	assert_int_equal(pci_read(pci_get(0), 0x100, 4), UINT32_MAX); /* ports reach 256 bytes */
	assert_int_equal(arch_pci_read(pci_get(0), 0, 4), 0x10421af4);
}

/* Where a pin leads is only said where the chipset or an MP table is known: crosvm has them in sequence. */
static void interrupt_lines(void **state)
{
	struct fn *bridge = add_fn(0, 0, 0, 0), *f = add_fn(0, 2, 0, 0);

	(void)state;
	set(f, CFG_IRQ_LINE, 2, 0x020b); /* pin B, line 11 */
	set(bridge, 0, 4, 0x00081b36);	 /* a general bridge */
	assert_int_equal(pci_init(), 2);
	assert_int_equal(pci_intx_gsi(pci_get(1)), UINT32_MAX);
	mptable_there = true;
	assert_int_equal(pci_intx_gsi(pci_get(1)), 5 + 8 + 1);
	set(bridge, 0, 4, 0x12378086); /* i440fx: the ISA interrupt, by the MADT */
	assert_int_equal(pci_intx_gsi(pci_get(1)), 11);
	pci_get(1)->irq_line = 9;
	assert_int_equal(pci_intx_gsi(pci_get(1)), 29);
	pci_get(1)->irq_line = 0;
	assert_int_equal(pci_intx_gsi(pci_get(1)), UINT32_MAX);
	pci_get(1)->irq_line = 0xff;
	assert_int_equal(pci_intx_gsi(pci_get(1)), UINT32_MAX);
	set(bridge, 0, 4, 0x29c08086); /* q35 */
	assert_int_equal(pci_intx_gsi(pci_get(1)), 20 + 3);
	pci_get(1)->irq_pin = 0;
	assert_int_equal(pci_intx_gsi(pci_get(1)), UINT32_MAX);
}

static void no_bridge(void **state)
{
	(void)state;
	add_fn(0, 0, 0, 0);
	bridge_there = false;
	assert_int_equal(pci_init(), 0);
}

static void sizes_bars(void **state)
{
	struct fn *f = add_fn(0, 0, 0, 0);
	const struct pci_dev *d;

	(void)state;
	set(f, CFG_COMMAND, 2, CMD_IO | CMD_MEM);
	add_bar(f, 0, 0x1000, 0, 0xfebf0000);
	add_bar(f, 1, 0x20, 1, 0xc000);
	add_bar(f, 2, 0x4000, 12, 0x8000004000); /* 64 bits, prefetchable */
	add_bar(f, 5, 0x100, 4, 0);		 /* 64 bits in the last: there is no other half */
	f->mask[CFG_BAR0 + 4] = 0xe0;
	assert_int_equal(pci_init(), 1);
	d = pci_get(0);
	assert_int_equal(d->bar[0].base, 0xfebf0000);
	assert_int_equal(d->bar[0].size, 0x1000);
	assert_false(d->bar[0].is64 || d->bar[0].io || d->bar[0].prefetch);
	assert_true(d->bar[1].io);
	assert_int_equal(d->bar[1].base, 0xc000);
	assert_int_equal(d->bar[1].size, 0x20);
	assert_int_equal(d->bar[2].base, 0x8000004000);
	assert_int_equal(d->bar[2].size, 0x4000);
	assert_true(d->bar[2].is64 && d->bar[2].prefetch);
	assert_int_equal(d->bar[3].size, 0); /* the upper half */
	assert_int_equal(d->bar[4].size, 0);
	assert_false(d->bar[5].is64);
	assert_int_equal(d->bar[5].size, 0x100);
	/* All is as it was, decoding too. */
	assert_int_equal(get32(f, CFG_BAR0), 0xfebf0000);
	assert_int_equal(get32(f, CFG_BAR0 + 8), 0x400c);
	assert_int_equal(get32(f, CFG_BAR0 + 12), 0x80);
	assert_int_equal(get32(f, CFG_COMMAND), CMD_IO | CMD_MEM);
	assert_non_null(pci_map_bar(d, 0));
	assert_int_equal(last_map, 0xfebf0000);
	assert_int_equal(last_map_size, 0x1000);
	assert_null(pci_map_bar(d, 1)); /* ports */
	assert_null(pci_map_bar(d, 3));
	assert_null(pci_map_bar(d, 6));
	assert_null(pci_map_bar(d, UINT32_MAX));
}

/* What firmware left without an address gets one, aligned, in the hole, once. */
static void places_bars(void **state)
{
	static const uint64_t sizes[] = { 0x1000, 0x100000, 0x4000, 0x20 };
	uint64_t from[4], to[4];
	unsigned int i, k;
	struct fn *f[6];

	(void)state;
	for (i = 0; i < 4; i++) {
		f[i] = add_fn(0, (uint8_t)i, 0, 0);
		add_bar(f[i], i == 2 ? 2 : 0, sizes[i], i == 2 ? 4 : 0, 0);
	}
	f[4] = add_fn(0, 4, 0, 0);
	add_bar(f[4], 0, 0x40000000, 0, 0); /* larger than the hole */
	f[5] = add_fn(0, 5, 0, 0);
	add_bar(f[5], 0, 0x1000, 0, 0);
	f[5]->mask[CFG_BAR0 + 2] = 0x5a; /* bits that do not stick, in the middle */
	assert_int_equal(pci_init(), 6);
	for (i = 0; i < 4; i++) {
		const struct pci_bar *b = &pci_get(i)->bar[i == 2 ? 2 : 0];

		from[i] = b->base;
		to[i] = b->base + b->size;
		assert_int_equal(b->size, sizes[i]);
		assert_int_equal(b->base % b->size, 0);
		assert_true(b->base >= 0xd8000000 && to[i] <= 0xe0000000);
		assert_int_equal(get32(f[i], i == 2 ? CFG_BAR0 + 8 : CFG_BAR0) & ~15u, b->base);
		for (k = 0; k < i; k++)
			assert_true(from[i] >= to[k] || to[i] <= from[k]);
	}
	assert_int_equal(pci_get(4)->bar[0].base, 0);
	assert_int_equal(pci_get(5)->bar[0].base, 0);
	assert_null(pci_map_bar(pci_get(4), 0));
}

/* A bridge to a bus; type -1: a conventional one, else that of its PCI Express capability. */
static void add_bridge(uint8_t bus, uint8_t dev, uint8_t to, int type)
{
	struct fn *f = add_fn(bus, dev, 0, 1);

	set(f, CFG_BUSES, 4, (uint32_t)bus | (uint32_t)to << 8 | 0xfeu << 16);
	if (type < 0)
		return;
	set(f, CFG_STATUS, 2, STATUS_CAPS);
	set(f, CFG_CAPS, 1, 0x40);
	set(f, 0x40, 4, CAP_EXPRESS | ((uint32_t)type << 4 | 2) << 16);
}

static const struct pci_dev *at(uint8_t bus, uint8_t dev)
{
	unsigned int i;

	for (i = 0; i < pci.count; i++)
		if (pci.dev[i]->bus == bus && pci.dev[i]->dev == dev)
			return pci.dev[i];
	fail();
	return NULL;
}

static void aliases(void **state)
{
	(void)state;
	add_fn(0, 1, 0, 0);
	add_bridge(0, 2, 1, 4); /* a root port, and a PCI Express to PCI bridge behind it */
	add_bridge(1, 0, 2, 7);
	add_fn(2, 3, 0, 0);
	add_bridge(2, 4, 3,
		   -1); /* a conventional one behind that, whose own requests are aliased too */
	add_fn(3, 5, 0, 0);
	add_bridge(0, 6, 4, -1);
	add_fn(4, 1, 0, 0);
	add_bridge(4, 7, 5, 8); /* from PCI to PCI Express */
	add_fn(5, 0, 0, 0);
	add_bridge(0, 8, 6, 5); /* a switch */
	add_bridge(6, 0, 7, 6);
	add_fn(7, 0, 0, 0);
	assert_int_equal(pci_init(), 13);
	assert_int_equal(pci_alias(at(0, 1)), 0x0008);
	assert_int_equal(pci_alias(at(1, 0)), 0x0100);
	assert_int_equal(pci_alias(at(2, 3)), 0x0200);
	assert_int_equal(pci_alias(at(2, 4)), 0x0200);
	assert_int_equal(pci_alias(at(3, 5)), 0x0200);
	assert_int_equal(pci_alias(at(4, 1)), 0x0030);
	assert_int_equal(pci_alias(at(5, 0)), 0x0030);
	assert_int_equal(pci_alias(at(7, 0)), 0x0700);
}

static void behind_bridges(void **state)
{
	struct fn *b, *late;

	(void)state;
	b = add_fn(0, 1, 0, 1);
	set(b, CFG_BUSES, 4, 0x00020200); /* set up: bus 2 */
	late = add_fn(0, 2, 0, 1);	  /* nobody set its bus numbers */
	memset(late->mask + CFG_BUSES, 0xff, 4);
	memset(late->mask + CFG_MEM_WINDOW, 0xff, 4);
	add_bar(add_fn(1, 0, 0, 0), 0, 0x1000, 0, 0);
	add_fn(2, 7, 0, 0);
	assert_int_equal(pci_init(), 4);
	assert_int_equal(pci_get(1)->bus, 2);
	assert_int_equal(pci_get(1)->dev, 7);
	assert_int_equal(pci_get(3)->bus, 1);
	assert_int_equal(get32(late, CFG_BUSES) & 0xffffff, 0x010100);
	/* Its window covers what was placed behind it. */
	assert_int_equal(pci_get(3)->bar[0].base >> 16 & 0xfff0,
			 get32(late, CFG_MEM_WINDOW) & 0xfff0);
	assert_true((get32(late, CFG_COMMAND) & (CMD_MEM | CMD_MASTER)) == (CMD_MEM | CMD_MASTER));
}

/* Bridges that lead to each other, and more functions than most machines have. */
static void circles_and_crowds(void **state)
{
	struct fn *b;
	uint8_t i, k;

	b = add_fn(0, 1, 0, 1);
	set(b, CFG_BUSES, 4, 0x00ff0100);
	b = add_fn(1, 1, 0, 1);
	set(b, CFG_BUSES, 4, 0x00ff0200);
	b = add_fn(2, 1, 0, 1);
	set(b, CFG_BUSES, 4, 0x00ff0300);
	for (i = 3; i < 30; i++) {
		b = add_fn(i, 1, 0, 1);
		set(b, CFG_BUSES, 4, 0x00ff0000 | (uint32_t)(i + 1) << 8);
	}
	assert_true(pci_init() < 20);
	fresh(state);
	for (i = 0; i < 9; i++)
		for (k = 0; k < 8; k++)
			add_fn(0, i, k, 0x80);
	assert_int_equal(pci_init(), 72);
	assert_int_equal(pci_get(71)->fn, 7);
	assert_null(pci_get(72));
	assert_string_equal(said, "");
}

static void capabilities(void **state)
{
	struct fn *f = add_fn(0, 0, 0, 0);
	const struct pci_dev *d;
	unsigned int i, n = 0, at = 0;

	(void)state;
	set(f, CFG_CAPS, 1, 0x43); /* the low bits do not count */
	set(f, 0x40, 2, 0x5009);
	set(f, 0x50, 2, 0x6011);
	set(f, 0x60, 2, 0x0009);
	pci_init();
	d = pci_get(0);
	assert_int_equal(pci_find_cap(d, 0x11, 0), 0); /* Status says that there is no list */
	set(f, CFG_STATUS, 2, STATUS_CAPS);
	assert_int_equal(pci_find_cap(d, 0x11, 0), 0x50);
	assert_int_equal(pci_find_cap(d, 9, 0), 0x40);
	assert_int_equal(pci_find_cap(d, 9, 0x40), 0x60);
	assert_int_equal(pci_find_cap(d, 9, 0x60), 0);
	assert_int_equal(pci_find_cap(d, 5, 0), 0);
	while ((at = pci_find_cap(d, 0xff, at)))
		n++;
	assert_int_equal(n, 3);
	set(f, 0x60, 2, 0x4009); /* a circle ends all the same */
	assert_int_equal(pci_find_cap(d, 5, 0), 0);
	for (i = 0; i < 0x40; i += 4) { /* into the header: no capability is there */
		set(f, 0x60, 2, i << 8 | 9);
		assert_int_equal(pci_find_cap(d, 5, 0), 0);
	}
}

static void msix(void **state)
{
	static const struct {
		uint32_t control, table, pba;
		int ret;
	} cases[] = {
		{ 2, 0x000, 0x800, 0 },
		{ 2, 0x7d0, 0x000, 0 },	    /* ends with the BAR, which has 0x800 + 0x800 bytes */
		{ 2, 0xfe0, 0x000, -EIO },  /* the table's third entry is outside */
		{ 2, 0x000, 0x1000, -EIO }, /* the PBA is */
		{ 2, 0x000, 0xfffffff8, -EIO },
		{ 2, 0xfffffff8, 0, -EIO },
		{ 0x7ff, 0x000, 0x800, -EIO }, /* 2048 entries need 32 KiB */
		{ 2, 0x006, 0x800, -EIO },
		{ 2, 0, 0x807, -EIO },	   /* BARs 6 and 7 */
		{ 2, 0x001, 0x800, -EIO }, /* a BAR that is not there */
		{ 2, 0, 0x802, -EIO },	   /* one of ports */
	};
	struct fn *f = add_fn(0, 0, 0, 0);
	struct pci_msix m;
	unsigned int i;

	(void)state;
	add_bar(f, 0, 0x1000, 0, 0xfebf0000);
	add_bar(f, 2, 0x1000, 1, 0xc000);
	pci_init();
	assert_int_equal(pci_msix_init(pci_get(0), &m), -ENOENT);
	set(f, CFG_STATUS, 2, STATUS_CAPS);
	set(f, CFG_CAPS, 1, 0x50);
	memset(f->mask + 0x52, 0xff, 2);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		set(f, 0x50, 4, cases[i].control << 16 | 0x11);
		set(f, 0x54, 4, cases[i].table);
		set(f, 0x58, 4, cases[i].pba);
		if (pci_msix_init(pci_get(0), &m) != cases[i].ret)
			fail_msg("case %u", i);
	}
	set(f, 0x50, 4, 2u << 16 | 0x11);
	set(f, 0x54, 4, 0x100);
	set(f, 0x58, 4, 0x800);
	assert_int_equal(pci_msix_init(pci_get(0), &m), 0);
	assert_int_equal(m.count, 3);
	memset(bar_space, 0, sizeof(bar_space));
	pci_msix_set(&m, 2, 0x1fee00000ull, 0x4041);
	pci_msix_mask(&m, 2, true);
	assert_int_equal(*(uint32_t *)(bar_space + 0x120), 0xfee00000);
	assert_int_equal(*(uint32_t *)(bar_space + 0x124), 1);
	assert_int_equal(*(uint32_t *)(bar_space + 0x128), 0x4041);
	assert_int_equal(*(uint32_t *)(bar_space + 0x12c), 1);
	pci_msix_mask(&m, 2, false);
	assert_int_equal(*(uint32_t *)(bar_space + 0x12c), 0);
	bar_space[0x800] = 4;
	assert_true(pci_msix_pending(&m, 2));
	assert_false(pci_msix_pending(&m, 1));
	pci_msix_enable(pci_get(0), &m, true);
	pci_msix_function_mask(pci_get(0), &m, true);
	assert_int_equal(get32(f, 0x50) >> 16, MSIX_ENABLE | MSIX_FUNCTION_MASK | 2);
	pci_msix_enable(pci_get(0), &m, false);
	assert_int_equal(get32(f, 0x50) >> 16, MSIX_FUNCTION_MASK | 2);
}

static void command_bits(void **state)
{
	struct fn *f = add_fn(0, 0, 0, 0);

	(void)state;
	set(f, CFG_COMMAND, 2, CMD_IO);
	pci_init();
	pci_enable(pci_get(0), true, true);
	assert_int_equal(get32(f, CFG_COMMAND), CMD_IO | CMD_MEM | CMD_MASTER);
	pci_enable(pci_get(0), true, false);
	assert_int_equal(get32(f, CFG_COMMAND), CMD_IO | CMD_MEM);
	pci_intx(pci_get(0), false);
	assert_int_equal(get32(f, CFG_COMMAND), CMD_IO | CMD_MEM | CMD_INTX_OFF);
	pci_intx(pci_get(0), true);
	assert_int_equal(get32(f, CFG_COMMAND), CMD_IO | CMD_MEM);
}

static void ecam_function(unsigned int bus, unsigned int dev, unsigned int fn, uint32_t id)
{
	uint8_t *p = ecam_space + (bus << 20 | dev << 15 | fn << 12);

	memset(p, 0, 4096);
	memcpy(p, &id, 4);
	memcpy(p + 0x100, &id, 4);
}

static void scans_ecam(void **state)
{
	(void)state;
	ecam_space = malloc(2 << 20);
	assert_non_null(ecam_space);
	memset(ecam_space, 0xff, 2 << 20);
	mcfg_given[0] = (struct acpi_mcfg){ .base = 0xb0000000, .bus_start = 0, .bus_end = 1 };
	mcfgs_given = 1;
	ecam_function(0, 0, 0, 0x29c08086);
	ecam_function(0, 31, 0, 0x10501af4);
	ecam_function(1, 2, 0, 0x10531af4); /* no bridge leads there */
	assert_int_equal(pci_init(), 2);
	assert_string_equal(pci_access(), "ecam");
	assert_int_equal(pci_get(1)->dev, 31);
	assert_int_equal(pci_get(1)->device, 0x1050);
	assert_int_equal(pci_read(pci_get(1), 0x100, 4), 0x10501af4); /* extended space */
	assert_int_equal(pci_read(pci_get(1), 0x102, 2), 0x1050);
	assert_int_equal(pci_read(pci_get(1), 0x103, 1), 0x10);
	pci_write(pci_get(1), 0x200, 4, 0x11223344);
	pci_write(pci_get(1), 0x201, 1, 0xaa);
	pci_write(pci_get(1), 0x202, 2, 0xbbcc);
	assert_int_equal(pci_read(pci_get(1), 0x200, 4), 0xbbccaa44);
	/* Pins swizzle over GSI 20 to 23. */
	pci_get(1)->irq_pin = 1;
	assert_int_equal(pci_intx_gsi(pci_get(1)),
			 UINT32_MAX); /* slot 31 has a routing of its own */
	pci_get(1)->dev = 24;
	assert_int_equal(pci_intx_gsi(pci_get(1)), 20);
	pci_get(1)->irq_pin = 4;
	assert_int_equal(pci_intx_gsi(pci_get(1)), 23);
	pci_get(1)->irq_pin = 5;
	assert_int_equal(pci_intx_gsi(pci_get(1)), UINT32_MAX);
	/* A bus outside of the table's is not looked for in its memory. */
	pci_get(1)->bus = 2;
	pci_get(1)->dev = 2;
	assert_int_equal(pci_read(pci_get(1), 0x100, 4), UINT32_MAX);
}

#define T(f) cmocka_unit_test_setup(f, fresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(interrupt_lines), T(scans_ports),    T(no_bridge),	T(sizes_bars),
		T(places_bars),	    T(behind_bridges), T(aliases),	T(circles_and_crowds),
		T(capabilities),    T(msix),	       T(command_bits), T(scans_ecam),
	};

	return cmocka_run_group_tests(tests, NULL, end);
}
