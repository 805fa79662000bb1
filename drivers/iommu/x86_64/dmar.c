/* SPDX-License-Identifier: BSD-2-Clause */
#include "drivers/iommu/x86_64/dmar.h"

#include <stddef.h>

#include "lib/acpi.h"
#include "lib/endian.h"
#include "lib/pci.h"

enum {
	UNIT = 0,
	RESERVED_MEMORY = 1,

	UNIT_REST = 1u << 0,
	FLAG_INTERRUPTS = 1u << 0,
	FLAG_X2APIC_OPT_OUT = 1u << 1,
	FLAG_ASKS_FOR_CONTROL = 1u << 2,

	PAGE = 4096,
	MOST_PAGES = 8, /* powers of two in a unit's size */
	DEPTH = 8,	/* bridges on the way to a function */
	SECONDARY_BUS = 0x19,
	SUBORDINATE_BUS = 0x1a,
};

struct dmar {
	struct acpi_header header;
	uint8_t width, flags, reserved[10];
} __attribute__((packed));
_Static_assert(sizeof(struct dmar) == 48, "VT-d 8.1");

struct part {
	le16 type, length;
	union {
		struct {
			uint8_t flags, size;
			le16 segment;
			le64 base;
			uint8_t scopes[];
		} __attribute__((packed)) unit;
		struct {
			uint8_t reserved[2];
			le16 segment;
			le64 first, last;
		} __attribute__((packed)) memory;
	};
} __attribute__((packed));
_Static_assert(offsetof(struct part, unit.scopes) == 16 && sizeof(struct part) == 24,
	       "VT-d 8.3, 8.4");

struct scope {
	uint8_t type, length, flags, reserved, id, bus;
	struct {
		uint8_t device, function;
	} path[];
};
_Static_assert(sizeof(struct scope) == 6, "VT-d 8.3.1");

/* --- the table's parts -------------------------------------------------------------------------- */

static const struct dmar *table(void)
{
	const struct acpi_header *h = acpi_table("DMAR", 0);

	return h && h->length >= sizeof(struct dmar) ? (const void *)h : NULL;
}

/* The part behind *at, of this type and at least this long; *at moves on. What does not fit ends the table. */
static const struct part *next_part(const struct dmar *t, uint32_t *at, uint16_t type, uint32_t min)
{
	while (t && t->header.length - *at >= 4) {
		const struct part *p = (const void *)((const uint8_t *)t + *at);
		const uint16_t len = le16_to_cpu(p->length);

		if (len < 4 || len > t->header.length - *at)
			return NULL;
		*at += len;
		if (le16_to_cpu(p->type) == type && len >= min)
			return p;
	}
	return NULL;
}

bool dmar_platform(struct dmar_platform *p)
{
	const struct dmar *t = table();

	if (!t)
		return false;
	*p = (struct dmar_platform){ t->width + 1u, t->flags & FLAG_INTERRUPTS,
				     t->flags & FLAG_X2APIC_OPT_OUT,
				     t->flags & FLAG_ASKS_FOR_CONTROL };
	return true;
}

static bool makes_sense(const struct part *p)
{
	const uint64_t base = le64_to_cpu(p->unit.base);

	return base && base % PAGE == 0 && (p->unit.size & 15) <= MOST_PAGES;
}

bool dmar_unit(unsigned int n, struct dmar_unit *u)
{
	const uint32_t head = offsetof(struct part, unit.scopes);
	const struct dmar *t = table();
	const struct part *p;
	uint32_t at = sizeof(*t);

	while ((p = next_part(t, &at, UNIT, head))) {
		if (!makes_sense(p) || n--)
			continue;
		*u = (struct dmar_unit){ .base = le64_to_cpu(p->unit.base),
					 .size = (uint32_t)PAGE << (p->unit.size & 15),
					 .segment = le16_to_cpu(p->unit.segment),
					 .rest = p->unit.flags & UNIT_REST,
					 .scopes = p->unit.scopes,
					 .scopes_len = le16_to_cpu(p->length) - head };
		return true;
	}
	return false;
}

bool dmar_region(unsigned int n, struct dmar_region *r)
{
	const struct dmar *t = table();
	const struct part *p;
	uint32_t at = sizeof(*t);

	while ((p = next_part(t, &at, RESERVED_MEMORY, sizeof(*p)))) {
		*r = (struct dmar_region){ le16_to_cpu(p->memory.segment),
					   le64_to_cpu(p->memory.first),
					   le64_to_cpu(p->memory.last) };
		if (r->first <= r->last && n-- == 0)
			return true;
	}
	return false;
}

/* --- device scopes -------------------------------------------------------------------------------- */

/* The scope behind *at; *at moves on. One that does not fit, or has no path, ends the list. */
static const struct scope *next_scope(const struct dmar_unit *u, uint32_t *at)
{
	const struct scope *s = (const void *)(u->scopes + *at);
	uint32_t path;

	if (u->scopes_len - *at < sizeof(*s))
		return NULL;
	if (s->length < sizeof(*s) + sizeof(s->path[0]) || s->length > u->scopes_len - *at)
		return NULL;
	path = (uint32_t)(s->length - sizeof(*s));
	if (path % sizeof(s->path[0]) || path / sizeof(s->path[0]) > DEPTH)
		return NULL;
	*at += s->length;
	return s;
}

static uint8_t config_byte(uint16_t segment, uint16_t requester, unsigned int off)
{
	const struct pci_dev d = { .segment = segment,
				   .bus = (uint8_t)(requester >> 8),
				   .dev = requester >> 3 & 31,
				   .fn = requester & 7 };

	return (uint8_t)pci_read(&d, off, 1);
}

/* The function at the path's end: all before it are bridges, whose buses firmware or lib/pci.c has numbered. */
static bool end_of_path(uint16_t segment, const struct scope *s, uint16_t *requester)
{
	const unsigned int n = (unsigned int)((s->length - sizeof(*s)) / sizeof(s->path[0]));
	uint8_t bus = s->bus;
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (s->path[i].device > 31 || s->path[i].function > 7)
			return false;
		*requester = (uint16_t)(bus << 8 | s->path[i].device << 3 | s->path[i].function);
		if (i + 1 < n)
			bus = config_byte(segment, *requester, SECONDARY_BUS);
		if (i + 1 < n && (bus == 0 || bus == 0xff))
			return false;
	}
	return true;
}

static bool is_behind(uint16_t segment, uint16_t bridge, uint16_t requester)
{
	const uint8_t first = config_byte(segment, bridge, SECONDARY_BUS),
		      last = config_byte(segment, bridge, SUBORDINATE_BUS);

	return first > bridge >> 8 && requester >> 8 >= first && requester >> 8 <= last;
}

static bool names(const struct dmar_unit *u, const struct device *d)
{
	const struct scope *s;
	uint32_t at = 0;
	uint16_t end;

	while ((s = next_scope(u, &at))) {
		if (s->type != DMAR_SCOPE_FUNCTION && s->type != DMAR_SCOPE_BRIDGE)
			continue;
		if (!end_of_path(u->segment, s, &end))
			continue;
		if (end == d->requester ||
		    (s->type == DMAR_SCOPE_BRIDGE && is_behind(u->segment, end, d->requester)))
			return true;
	}
	return false;
}

bool dmar_unit_of(const struct device *d, unsigned int *n)
{
	struct dmar_unit u;
	bool found = false;
	unsigned int i;

	for (i = 0; d->bus == DEVICE_PCI && dmar_unit(i, &u); i++) {
		if (u.segment != d->segment)
			continue;
		/* The one that has the rest comes last, wherever it stands. */
		if (!u.rest && names(&u, d)) {
			*n = i;
			return true;
		}
		if (u.rest && !found) {
			*n = i;
			found = true;
		}
	}
	return found;
}

bool dmar_requester_of(const struct dmar_unit *u, enum dmar_scope_type type, uint8_t id,
		       uint16_t *requester)
{
	const struct scope *s;
	uint32_t at = 0;

	while ((s = next_scope(u, &at)))
		if (s->type == type && s->id == id && end_of_path(u->segment, s, requester))
			return true;
	return false;
}
