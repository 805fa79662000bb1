/* SPDX-License-Identifier: BSD-2-Clause */
/* acpi.h: finds and checks the tables, reads the MADT and the MCFG, and ends the machine by the FADT. */
#include "lib/acpi.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "lib/arch.h"
#include "lib/mmio.h"
#include "lib/paging.h"

#define MAX_TABLES  64
#define MAX_REFUSED 8
#define MAX_LENGTH  (16u << 20) /* a table longer than this is a mistake */

struct rsdp {
	char signature[8];
	uint8_t checksum;
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	/* revision 2 */
	uint32_t length;
	uint64_t xsdt;
	uint8_t ext_checksum;
	uint8_t reserved[3];
} __attribute__((packed));
_Static_assert(sizeof(struct rsdp) == 36, "ACPI 5.2.5.3");

struct gas {	       /* generic address structure */
	uint8_t space; /* 0 memory, 1 port */
	uint8_t width, offset, access;
	uint64_t address;
} __attribute__((packed));

static struct {
	const struct acpi_header *table[MAX_TABLES];
	unsigned int count;
	char text[MAX_REFUSED][64];
	const char *refused[MAX_REFUSED];
	unsigned int refusals;
} acpi;

static void refuse(const char *sig, uint64_t at, const char *why)
{
	char *t;

	if (acpi.refusals == MAX_REFUSED)
		return;
	t = acpi.text[acpi.refusals];
	snprintf(t, sizeof(acpi.text[0]), "%.4s at 0x%llx: %s", sig, (unsigned long long)at, why);
	acpi.refused[acpi.refusals++] = t;
}

static uint8_t sum(const void *p, size_t n)
{
	const uint8_t *b = p;
	uint8_t s = 0;

	while (n--)
		s = (uint8_t)(s + *b++);
	return s;
}

/* The table at pa, if its length and checksum hold. */
static const struct acpi_header *check_table(uint64_t pa)
{
	const struct acpi_header *h = firmware_map(pa, sizeof(*h));

	if (!pa || !h) {
		refuse("????", pa, "address cannot be mapped");
		return NULL;
	}
	if (h->length < sizeof(*h) || h->length > MAX_LENGTH || !firmware_map(pa, h->length)) {
		refuse(h->signature, pa, "length");
		return NULL;
	}
	if (memcmp(h->signature, "FACS", 4) != 0 && sum(h, h->length) != 0) {
		refuse(h->signature, pa, "checksum");
		return NULL;
	}
	return h;
}

static void add_table(uint64_t pa)
{
	const struct acpi_header *h = check_table(pa);

	if (h && acpi.count == MAX_TABLES)
		refuse(h->signature, pa, "more tables than Assay keeps");
	else if (h)
		acpi.table[acpi.count++] = h;
}

/* The FADT names the DSDT, which is in no list. */
static void add_dsdt(void)
{
	const struct acpi_header *f = acpi_table("FACP", 0);
	const uint8_t *b = (const uint8_t *)f;
	uint64_t at = 0;
	uint32_t at32 = 0;

	if (!f)
		return;
	if (f->length >= 148)
		memcpy(&at, b + 140, 8);
	if (!at && f->length >= 44) {
		memcpy(&at32, b + 40, 4);
		at = at32;
	}
	if (at)
		add_table(at);
}

#define RSDP_V1 20u /* bytes of revision 0, which the first checksum covers */

static bool rsdp_valid(const void *p)
{
	return memcmp(p, "RSD PTR ", 8) == 0 && sum(p, RSDP_V1) == 0;
}

static const struct rsdp *scan(uint64_t from, uint64_t to)
{
	const char *p = from < to ? firmware_map(from, to - from) : NULL;

	for (; p && from + RSDP_V1 <= to; from += 16, p += 16)
		if (rsdp_valid(p))
			return (const struct rsdp *)p;
	return NULL;
}

static const struct rsdp *find_rsdp(uint64_t pa)
{
	const struct rsdp *r;

	if (!pa)
		return scan(arch_rsdp_area.from, arch_rsdp_area.to);
	r = firmware_map(pa, sizeof(*r));
	if (!r || !rsdp_valid(r) || (r->revision >= 2 && sum(r, sizeof(*r)) != 0)) {
		refuse("RSDP", pa, "signature or checksum");
		return NULL;
	}
	return r;
}

int acpi_init(uint64_t rsdp)
{
	const struct rsdp *r = find_rsdp(rsdp);
	const struct acpi_header *root;
	uint64_t at;
	uint32_t off;
	size_t width;

	if (!r)
		return rsdp ? -EBADMSG : -ENOENT;
	width = r->revision >= 2 && r->xsdt ? 8 : 4;
	root = check_table(width == 8 ? r->xsdt : r->rsdt);
	if (!root)
		return -EBADMSG;
	for (off = sizeof(*root); off + width <= root->length; off += (uint32_t)width) {
		at = 0;
		memcpy(&at, (const uint8_t *)root + off, width);
		add_table(at);
	}
	add_dsdt();
	return 0;
}

const struct acpi_header *acpi_table(const char signature[4], unsigned int n)
{
	unsigned int i;

	for (i = 0; i < acpi.count; i++)
		if (memcmp(acpi.table[i]->signature, signature, 4) == 0 && n-- == 0)
			return acpi.table[i];
	return NULL;
}

unsigned int acpi_refused(const char *const **reasons)
{
	*reasons = acpi.refused;
	return acpi.refusals;
}

/* --- MADT, MCFG -------------------------------------------------------------------------- */

void acpi_madt_each(uint8_t type, uint8_t min, void (*fn)(const uint8_t *e, void *arg), void *arg)
{
	const struct acpi_header *m = acpi_table("APIC", 0);
	const uint8_t *b = (const uint8_t *)m;
	uint32_t off = 44;

	while (m && off + 2 <= m->length) {
		const uint8_t len = b[off + 1];

		if (len < 2 || off + len > m->length)
			return;
		if (b[off] == type && len >= min)
			fn(b + off, arg);
		off += len;
	}
}

unsigned int acpi_mcfg(struct acpi_mcfg *m, unsigned int max)
{
	const struct acpi_header *t = acpi_table("MCFG", 0);
	const uint8_t *b = (const uint8_t *)t;
	unsigned int n = 0;
	uint32_t off;

	for (off = 44; t && off + 16 <= t->length; off += 16, n++) {
		if (n >= max)
			continue;
		memcpy(&m[n].base, b + off, 8);
		memcpy(&m[n].segment, b + off + 8, 2);
		m[n].bus_start = b[off + 10];
		m[n].bus_end = b[off + 11];
	}
	return n;
}

/* --- power ----------------------------------------------------------------------------- */

static bool fadt(uint32_t off, void *out, size_t n)
{
	const struct acpi_header *f = acpi_table("FACP", 0);

	if (!f || off + n > f->length)
		return false;
	memcpy(out, (const uint8_t *)f + off, n);
	return true;
}

uint16_t acpi_pm_timer_port(void)
{
	uint32_t port = 0;

	return fadt(76, &port, 4) && port < 0x10000 ? (uint16_t)port : 0;
}

bool acpi_pm_timer_32(void)
{
	uint32_t flags = 0;

	return fadt(112, &flags, 4) && flags & 1u << 8;
}

static void gas_write8(const struct gas *g, uint8_t v)
{
	volatile void *p;

	if (g->space == 1) {
		arch_port_write(g->address, 1, v);
	} else if (g->space == 0) {
		p = mmio_map(g->address, 1);
		if (p)
			mmio_write8(p, v);
	}
}

/* SLP_TYP of \_S5_. A bounded look through the DSDT's bytes finds Name(_S5_, Package(n){a, ...}). */
static int s5_type(uint8_t *type)
{
	const struct acpi_header *d = acpi_table("DSDT", 0);
	const uint8_t *b = (const uint8_t *)d;
	uint32_t i, k;

	for (i = sizeof(*d); d && i + 16 < d->length; i++) {
		if (memcmp(b + i, "_S5_", 4) != 0 || b[i + 4] != 0x12)
			continue;
		k = i + 5 + (b[i + 5] >> 6) + 1 + 1; /* package length, element count */
		if (k + 1 >= d->length)
			return -ENOENT;
		if (b[k] == 0x0a)
			k++; /* byte prefix; else ZeroOp/OneOp */
		*type = b[k];
		return 0;
	}
	return -ENOENT;
}

int acpi_power_off(void)
{
	struct gas sleep = { 0 };
	uint32_t pm1a = 0, flags = 0;
	uint8_t type;

	if (s5_type(&type))
		return -ENODEV;
	fadt(112, &flags, 4);
	if (flags & 1u << 20) { /* hardware-reduced ACPI has the sleep control register */
		if (!fadt(244, &sleep, sizeof(sleep)) || !sleep.address)
			return -ENODEV;
		gas_write8(&sleep, (uint8_t)(type << 2 | 1u << 5));
	} else {
		if (!fadt(64, &pm1a, 4) || !pm1a || pm1a > 0xffff)
			return -ENODEV;
		arch_port_write(pm1a, 2, (uint32_t)type << 10 | 1u << 13);
	}
	return -EIO; /* the machine is still on */
}

#define FADT_RESET_REG_SUP (1u << 10)

static bool reset_register(struct gas *reset, uint8_t *value)
{
	uint32_t flags = 0;

	return fadt(112, &flags, 4) && flags & FADT_RESET_REG_SUP &&
	       fadt(116, reset, sizeof(*reset)) && fadt(128, value, 1);
}

bool acpi_can_reset(void)
{
	struct gas reset;
	uint8_t value;

	return reset_register(&reset, &value);
}

int acpi_reset(void)
{
	struct gas reset = { 0 };
	uint8_t value = 0;

	if (!reset_register(&reset, &value))
		return -ENODEV;
	gas_write8(&reset, value);
	return -EIO;
}
