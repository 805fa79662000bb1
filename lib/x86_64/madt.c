/* SPDX-License-Identifier: BSD-2-Clause */
/* The MADT's entries of a PC (ACPI 6.5, 5.2.12): local APICs, I/O APICs, ISA interrupts. */
#include "lib/x86_64/madt.h"

#include <string.h>

#include "lib/acpi.h"

enum {
	MADT_LAPIC = 0,
	MADT_IOAPIC = 1,
	MADT_OVERRIDE = 2,
	MADT_X2APIC = 9
};

static uint32_t u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

struct cpu_list {
	struct acpi_cpu *cpu;
	unsigned int max, count;
};

static void add_cpu(struct cpu_list *l, uint32_t id, uint32_t uid, uint32_t flags)
{
	unsigned int i;

	if (!(flags & 1))
		return;
	for (i = 0; i < l->count && i < l->max; i++)
		if (l->cpu[i].hw_id == id)
			return; /* listed in both forms */
	if (l->count < l->max)
		l->cpu[l->count] = (struct acpi_cpu){ id, uid };
	l->count++;
}

static void on_lapic(const uint8_t *e, void *arg)
{
	if (e[3] != 0xff)
		add_cpu(arg, e[3], e[2], u32(e + 4));
}

static void on_x2apic(const uint8_t *e, void *arg)
{
	add_cpu(arg, u32(e + 4), u32(e + 12), u32(e + 8));
}

unsigned int acpi_cpus(struct acpi_cpu *cpus, unsigned int max)
{
	struct cpu_list l = { cpus, max, 0 };

	acpi_madt_each(MADT_LAPIC, 8, on_lapic, &l);
	acpi_madt_each(MADT_X2APIC, 16, on_x2apic, &l);
	return l.count;
}

/* The ids that the enabled entries of one form have. */
struct id_list {
	uint32_t id[1024];
	unsigned int count, repeated;
};

static void add_id(struct id_list *l, uint32_t id)
{
	unsigned int i;

	for (i = 0; i < l->count; i++)
		if (l->id[i] == id) {
			l->repeated++;
			return;
		}
	if (l->count < sizeof(l->id) / sizeof(l->id[0]))
		l->id[l->count++] = id;
}

static void lapic_id(const uint8_t *e, void *arg)
{
	if (e[3] != 0xff && u32(e + 4) & 1)
		add_id(arg, e[3]);
}

static void x2apic_id(const uint8_t *e, void *arg)
{
	if (u32(e + 8) & 1)
		add_id(arg, u32(e + 4));
}

unsigned int acpi_cpus_repeated(void)
{
	static struct id_list lapic, x2apic;

	lapic.count = lapic.repeated = x2apic.count = x2apic.repeated = 0;
	acpi_madt_each(MADT_LAPIC, 8, lapic_id, &lapic);
	acpi_madt_each(MADT_X2APIC, 16, x2apic_id, &x2apic);
	return lapic.repeated + x2apic.repeated;
}

struct ioapic_list {
	struct madt_ioapic *io;
	unsigned int max, count;
};

static void on_ioapic(const uint8_t *e, void *arg)
{
	struct ioapic_list *l = arg;

	if (l->count < l->max)
		l->io[l->count++] = (struct madt_ioapic){ e[2], u32(e + 4), u32(e + 8) };
}

unsigned int madt_ioapics(struct madt_ioapic *io, unsigned int max)
{
	struct ioapic_list l = { io, max, 0 };

	acpi_madt_each(MADT_IOAPIC, 12, on_ioapic, &l);
	return l.count;
}

struct isa {
	unsigned int irq;
	uint32_t gsi;
};

static void on_override(const uint8_t *e, void *arg)
{
	struct isa *i = arg;

	if (e[2] == 0 && e[3] == i->irq)
		i->gsi = u32(e + 4);
}

void madt_isa_irq(unsigned int irq, uint32_t *gsi)
{
	struct isa i = { irq, irq };

	acpi_madt_each(MADT_OVERRIDE, 10, on_override, &i);
	*gsi = i.gsi;
}
