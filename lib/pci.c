/* SPDX-License-Identifier: BSD-2-Clause */
/* pci.h: scans the buses, gives addresses to BARs that have none, and drives MSI-X. */
#include "lib/pci.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "lib/acpi.h"
#include "lib/env.h"
#include "lib/mmio.h"
#include "lib/paging.h"

#define MAX_MCFG 64

enum {
	CFG_COMMAND = 0x04,
	CFG_STATUS = 0x06,
	CFG_BAR0 = 0x10,
	CAP_EXPRESS = 0x10,
	EXPRESS_TO_PCI = 7, /* PCI Express 6.0, 7.5.3.2: Device/Port Type */
	NO_EXPRESS = 16,
	CFG_BUSES = 0x18,
	CFG_MEM_WINDOW = 0x20,
	CFG_CAPS = 0x34,
	CFG_IRQ_LINE = 0x3c,
	CMD_IO = 1,
	CMD_MEM = 2,
	CMD_MASTER = 4,
	CMD_INTX_OFF = 1 << 10,
	STATUS_CAPS = 1 << 4,
	CAP_MSIX = 0x11,
	MSIX_ENABLE = 1 << 15,
	MSIX_FUNCTION_MASK = 1 << 14,
	MSIX_ENTRY = 16,
};

static struct {
	struct acpi_mcfg mcfg[MAX_MCFG];
	unsigned int mcfgs;
	struct pci_dev **dev; /* none of them moves, since drivers keep pointers */
	unsigned int count;
	bool no_memory;
	uint8_t next_bus;
	/* Room for BARs that firmware left without an address. */
	uint64_t hole, hole_end;
} pci;

const char *pci_access(void)
{
	return pci.mcfgs ? "ecam" : "port";
}

static volatile uint8_t *ecam(const struct pci_dev *d, unsigned int off)
{
	unsigned int i;
	uint64_t at;

	for (i = 0; i < pci.mcfgs; i++) {
		const struct acpi_mcfg *m = &pci.mcfg[i];

		if (m->segment != d->segment || d->bus < m->bus_start || d->bus > m->bus_end)
			continue;
		at = m->base + ((uint64_t)(d->bus - m->bus_start) << 20 | (uint64_t)d->dev << 15 |
				(uint64_t)d->fn << 12);
		return mmio_map(at + off, 4);
	}
	return NULL;
}

uint32_t pci_read(const struct pci_dev *d, unsigned int off, unsigned int size)
{
	volatile uint8_t *p = pci.mcfgs ? ecam(d, off) : NULL;

	if (!p)
		return arch_pci_read(d, off, size);
	return size == 1 ? mmio_read8(p) : size == 2 ? mmio_read16(p) : mmio_read32(p);
}

void pci_write(const struct pci_dev *d, unsigned int off, unsigned int size, uint32_t v)
{
	volatile uint8_t *p = pci.mcfgs ? ecam(d, off) : NULL;

	if (!p)
		arch_pci_write(d, off, size, v);
	else if (size == 1)
		mmio_write8(p, (uint8_t)v);
	else if (size == 2)
		mmio_write16(p, (uint16_t)v);
	else
		mmio_write32(p, v);
}

/* Writes ones into a BAR and reads back which bits stick: that tells its size. Decoding is off meanwhile. */
static unsigned int size_bar(struct pci_dev *d, unsigned int i)
{
	const unsigned int off = CFG_BAR0 + 4 * i;
	const uint32_t old = pci_read(d, off, 4);
	struct pci_bar *b = &d->bar[i];
	uint32_t high = 0;
	uint64_t mask;

	b->io = old & 1;
	b->is64 = !b->io && (old >> 1 & 3) == 2 && i < 5;
	b->prefetch = !b->io && old >> 3 & 1;
	pci_write(d, off, 4, UINT32_MAX);
	mask = pci_read(d, off, 4) & (b->io ? ~3u : ~15u);
	pci_write(d, off, 4, old);
	b->base = old & (b->io ? ~3u : ~15u);
	if (b->is64) {
		high = pci_read(d, off + 4, 4);
		pci_write(d, off + 4, 4, UINT32_MAX);
		mask |= (uint64_t)pci_read(d, off + 4, 4) << 32;
		pci_write(d, off + 4, 4, high);
		b->base |= (uint64_t)high << 32;
	} else if (mask) {
		mask |= b->io && !(mask >> 16) ? 0xffffffffffff0000ull : 0xffffffff00000000ull;
	}
	b->size = mask ? ~mask + 1 : 0;
	return b->is64 ? 2 : 1;
}

static void place_bar(struct pci_dev *d, unsigned int i)
{
	struct pci_bar *b = &d->bar[i];
	const uint64_t at = (pci.hole + b->size - 1) & ~(b->size - 1);

	/* A register that keeps odd bits has a size that is no power of two, and gets no address. */
	if (b->io || b->size == 0 || (b->size & (b->size - 1)) || b->base ||
	    at + b->size > pci.hole_end)
		return;
	pci.hole = at + b->size;
	b->base = at;
	pci_write(d, CFG_BAR0 + 4 * i, 4, (uint32_t)at);
	if (b->is64)
		pci_write(d, CFG_BAR0 + 4 * i + 4, 4, (uint32_t)(at >> 32));
}

static void read_bars(struct pci_dev *d)
{
	const unsigned int n = (d->header_type & 0x7f) == 0 ? 6 :
			       (d->header_type & 0x7f) == 1 ? 2 :
							      0;
	const uint32_t cmd = pci_read(d, CFG_COMMAND, 2);
	unsigned int i;

	pci_write(d, CFG_COMMAND, 2, cmd & ~(uint32_t)(CMD_IO | CMD_MEM));
	for (i = 0; i < n;) {
		const unsigned int step = size_bar(d, i);

		place_bar(d, i);
		i += step;
	}
	pci_write(d, CFG_COMMAND, 2, cmd);
}

static void scan_bus(uint16_t segment, uint8_t bus, unsigned int depth);

/* A bridge whose bus numbers nobody set gets the next ones, and the rest of the hole as window. */
static void scan_bridge(struct pci_dev *d, unsigned int depth)
{
	uint32_t buses = pci_read(d, CFG_BUSES, 4);
	const uint64_t first = (pci.hole + 0xfffff) & ~0xfffffull;

	if ((buses >> 8 & 0xff) > d->bus) {
		scan_bus(d->segment, buses >> 8 & 0xff, depth + 1);
		return;
	}
	pci.next_bus++;
	buses = (buses & 0xff000000) | 0xffu << 16 | (uint32_t)pci.next_bus << 8 | d->bus;
	pci_write(d, CFG_BUSES, 4, buses);
	pci.hole = first;
	scan_bus(d->segment, pci.next_bus, depth + 1);
	buses = (buses & 0xff00ffff) | (uint32_t)pci.next_bus << 16;
	pci_write(d, CFG_BUSES, 4, buses);
	pci.hole = (pci.hole + 0xfffff) & ~0xfffffull;
	if (pci.hole > first)
		pci_write(d, CFG_MEM_WINDOW, 4,
			  (uint32_t)(first >> 16 & 0xfff0) |
				  (uint32_t)((pci.hole - 1) & 0xfff00000));
	pci_write(d, CFG_COMMAND, 2, pci_read(d, CFG_COMMAND, 2) | CMD_MEM | CMD_MASTER);
}

static bool probe(struct pci_dev *d)
{
	const uint32_t id = pci_read(d, 0, 4);
	uint32_t class;

	if ((id & 0xffff) == 0xffff || id == 0)
		return false;
	d->vendor = (uint16_t)id;
	d->device = (uint16_t)(id >> 16);
	class = pci_read(d, 8, 4);
	d->revision = (uint8_t) class;
	d->prog_if = (uint8_t)(class >> 8);
	d->class_sub = (uint8_t)(class >> 16);
	d->class_base = (uint8_t)(class >> 24);
	d->header_type = (uint8_t)pci_read(d, 0x0e, 1);
	if ((d->header_type & 0x7f) == 0) {
		d->subvendor = (uint16_t)pci_read(d, 0x2c, 2);
		d->subdevice = (uint16_t)pci_read(d, 0x2e, 2);
	}
	d->irq_line = (uint8_t)pci_read(d, CFG_IRQ_LINE, 1);
	d->irq_pin = (uint8_t)pci_read(d, CFG_IRQ_LINE + 1, 1);
	read_bars(d);
	return true;
}

static struct pci_dev *add(const struct pci_dev *found)
{
	struct pci_dev **more = realloc(pci.dev, (pci.count + 1) * sizeof(struct pci_dev *));
	struct pci_dev *d = more ? malloc(sizeof(*d)) : NULL;

	if (more)
		pci.dev = more;
	if (!d) {
		pci.no_memory = true;
		return NULL;
	}
	*d = *found;
	return pci.dev[pci.count++] = d;
}

static void scan_bus(uint16_t segment, uint8_t bus, unsigned int depth)
{
	unsigned int dev, fn;

	if (depth > 8)
		return; /* bridges in a circle */
	for (dev = 0; dev < 32; dev++) {
		for (fn = 0; fn < 8; fn++) {
			struct pci_dev found = { .segment = segment,
						 .bus = bus,
						 .dev = (uint8_t)dev,
						 .fn = (uint8_t)fn };
			struct pci_dev *d;

			if (!probe(&found)) {
				if (fn == 0)
					break;
				continue;
			}
			d = add(&found);
			if (!d)
				return;
			if ((d->header_type & 0x7f) == 1)
				scan_bridge(d, depth);
			if (fn == 0 && !(d->header_type & 0x80))
				break;
		}
	}
}

unsigned int pci_init(void)
{
	unsigned int i;

	pci.hole = arch_pci_hole.from;
	pci.hole_end = arch_pci_hole.to;
	pci.mcfgs = acpi_mcfg(pci.mcfg, MAX_MCFG);
	if (pci.mcfgs > MAX_MCFG) {
		env_line("pci ignored", "%u of %u configuration spaces (MCFG)",
			 pci.mcfgs - MAX_MCFG, pci.mcfgs);
		pci.mcfgs = MAX_MCFG;
	}
	if (pci.mcfgs == 0 && arch_pci_present())
		scan_bus(0, 0, 0);
	for (i = 0; i < pci.mcfgs; i++)
		scan_bus(pci.mcfg[i].segment, pci.mcfg[i].bus_start, 0);
	if (pci.no_memory)
		env_line("pci ignored", "functions behind the first %u: no memory", pci.count);
	return pci.count;
}

struct pci_dev *pci_get(unsigned int n)
{
	return n < pci.count ? pci.dev[n] : NULL;
}

unsigned int pci_find_cap(const struct pci_dev *d, uint8_t id, unsigned int after)
{
	unsigned int off, left = 48; /* no more fit into 256 bytes */

	if (!(pci_read(d, CFG_STATUS, 2) & STATUS_CAPS))
		return 0;
	off = pci_read(d, after ? after + 1 : CFG_CAPS, 1) & 0xfc;
	while (off >= 0x40 && left--) {
		if (id == 0xff || pci_read(d, off, 1) == id)
			return off;
		off = pci_read(d, off + 1, 1) & 0xfc;
	}
	return 0;
}

/* The bridge that leads to the bus, NULL: none does. */
static const struct pci_dev *bridge_to(uint16_t segment, uint8_t bus)
{
	unsigned int i;

	for (i = 0; i < pci.count; i++) {
		const struct pci_dev *d = pci.dev[i];

		if ((d->header_type & 0x7f) == 1 && d->segment == segment && d->bus < bus &&
		    pci_read(d, CFG_BUSES + 1, 1) == bus)
			return d;
	}
	return NULL;
}

static unsigned int express_type(const struct pci_dev *d)
{
	const unsigned int cap = pci_find_cap(d, CAP_EXPRESS, 0);

	return cap ? pci_read(d, cap + 2, 1) >> 4 : NO_EXPRESS;
}

uint16_t pci_alias(const struct pci_dev *d)
{
	uint16_t id = pci_requester(d);
	const struct pci_dev *b;
	uint8_t bus = d->bus;

	while ((b = bridge_to(d->segment, bus))) {
		const unsigned int type = express_type(b);

		/* PCI Express to PCI/PCI-X Bridge 1.0, 2.3 */
		if (type == EXPRESS_TO_PCI)
			id = (uint16_t)(bus << 8);
		else if (type == NO_EXPRESS)
			id = pci_requester(b);
		bus = b->bus;
	}
	return id;
}

void pci_enable(const struct pci_dev *d, bool mem, bool master)
{
	uint32_t cmd = pci_read(d, CFG_COMMAND, 2);

	cmd = mem ? cmd | CMD_MEM : cmd & ~(uint32_t)CMD_MEM;
	cmd = master ? cmd | CMD_MASTER : cmd & ~(uint32_t)CMD_MASTER;
	pci_write(d, CFG_COMMAND, 2, cmd);
}

volatile void *pci_map_bar(const struct pci_dev *d, unsigned int bar)
{
	if (bar >= 6 || d->bar[bar].io || !d->bar[bar].base || !d->bar[bar].size)
		return NULL;
	return mmio_map(d->bar[bar].base, d->bar[bar].size);
}

void pci_intx(const struct pci_dev *d, bool on)
{
	const uint32_t cmd = pci_read(d, CFG_COMMAND, 2);

	pci_write(d, CFG_COMMAND, 2, on ? cmd & ~(uint32_t)CMD_INTX_OFF : cmd | CMD_INTX_OFF);
}

int pci_msix_init(const struct pci_dev *d, struct pci_msix *m)
{
	uint32_t control, table, pba;
	volatile uint8_t *bar;

	memset(m, 0, sizeof(*m));
	m->cap = pci_find_cap(d, CAP_MSIX, 0);
	if (!m->cap)
		return -ENOENT;
	control = pci_read(d, m->cap + 2, 2);
	table = pci_read(d, m->cap + 4, 4);
	pba = pci_read(d, m->cap + 8, 4);
	m->count = (control & 0x7ff) + 1;
	if ((table & 7) > 5 || (pba & 7) > 5 ||
	    (uint64_t)(table & ~7u) + m->count * MSIX_ENTRY > d->bar[table & 7].size ||
	    (uint64_t)(pba & ~7u) + (m->count + 63) / 64 * 8 > d->bar[pba & 7].size)
		return -EIO;
	bar = pci_map_bar(d, table & 7);
	m->table = bar ? bar + (table & ~7u) : NULL;
	bar = pci_map_bar(d, pba & 7);
	m->pba = bar ? bar + (pba & ~7u) : NULL;
	return m->table && m->pba ? 0 : -EIO;
}

void pci_msix_enable(const struct pci_dev *d, const struct pci_msix *m, bool on)
{
	const uint32_t c = pci_read(d, m->cap + 2, 2);

	pci_write(d, m->cap + 2, 2, on ? c | MSIX_ENABLE : c & ~(uint32_t)MSIX_ENABLE);
}

void pci_msix_function_mask(const struct pci_dev *d, const struct pci_msix *m, bool masked)
{
	const uint32_t c = pci_read(d, m->cap + 2, 2);

	pci_write(d, m->cap + 2, 2,
		  masked ? c | MSIX_FUNCTION_MASK : c & ~(uint32_t)MSIX_FUNCTION_MASK);
}

void pci_msix_set(const struct pci_msix *m, unsigned int entry, uint64_t addr, uint32_t data)
{
	volatile uint8_t *e = m->table + entry * MSIX_ENTRY;

	mmio_write32(e, (uint32_t)addr);
	mmio_write32(e + 4, (uint32_t)(addr >> 32));
	mmio_write32(e + 8, data);
}

void pci_msix_mask(const struct pci_msix *m, unsigned int entry, bool masked)
{
	volatile uint8_t *e = m->table + entry * MSIX_ENTRY;
	const uint32_t c = mmio_read32(e + 12);

	mmio_write32(e + 12, masked ? c | 1 : c & ~1u);
}

bool pci_msix_pending(const struct pci_msix *m, unsigned int entry)
{
	return mmio_read32(m->pba + entry / 32 * 4) >> (entry % 32) & 1;
}
