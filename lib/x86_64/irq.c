/* SPDX-License-Identifier: BSD-2-Clause */
/* irq.h: vectors with handlers, MSI messages, the I/O APICs. */
#include "lib/irq.h"

#include <errno.h>
#include <stddef.h>

#include "lib/mmio.h"
#include "lib/paging.h"
#include "lib/smp.h"
#include "lib/x86_64/cpu.h"
#include "lib/x86_64/madt.h"
#include "lib/x86_64/traps.h"

#define MAX_IOAPICS 4

struct slot {
	irq_handler_t handler; /* atomic; NULL: free */
	void *arg;
};

static struct {
	struct slot slot[256];
	uint64_t spurious;
	int last_spurious;
} irqs;

static struct {
	unsigned int count;
	bool probed;
	struct {
		volatile uint8_t *regs;
		uint32_t gsi_base, entries;
	} io[MAX_IOAPICS];
} ioapics;

int irq_alloc(irq_handler_t handler, void *arg)
{
	int v;

	for (v = VEC_FIRST_FREE; v <= VEC_LAST_FREE; v++) {
		if (irqs.slot[v].handler)
			continue;
		irqs.slot[v].arg = arg;
		__atomic_store_n(&irqs.slot[v].handler, handler, __ATOMIC_RELEASE);
		return v;
	}
	return -ENOSPC;
}

void irq_free(int vector)
{
	if (vector >= VEC_FIRST_FREE && vector <= VEC_LAST_FREE)
		__atomic_store_n(&irqs.slot[vector].handler, NULL, __ATOMIC_RELEASE);
}

uint64_t irq_spurious_count(int *last_vector)
{
	if (last_vector)
		*last_vector = __atomic_load_n(&irqs.last_spurious, __ATOMIC_RELAXED);
	return __atomic_load_n(&irqs.spurious, __ATOMIC_RELAXED);
}

void irq_dispatch(unsigned int vector)
{
	const irq_handler_t h = __atomic_load_n(&irqs.slot[vector].handler, __ATOMIC_ACQUIRE);

	if (h) {
		h(irqs.slot[vector].arg);
		return;
	}
	__atomic_store_n(&irqs.last_spurious, (int)vector, __ATOMIC_RELAXED);
	__atomic_fetch_add(&irqs.spurious, 1, __ATOMIC_RELAXED);
}

int irq_message_direct(int vector, unsigned int cpu, uint64_t *addr, uint32_t *data)
{
	const uint32_t id = smp_hw_id(cpu);

	if (cpu >= smp_cpus_online() || id > 0xff)
		return -EINVAL; /* beyond 255 a remapping unit or the extended destination is needed */
	*addr = 0xfee00000ull | (uint64_t)id << 12;
	*data = (uint32_t)vector;
	return 0;
}

static uint32_t io_read(unsigned int n, uint32_t reg)
{
	mmio_write32(ioapics.io[n].regs, reg);
	return mmio_read32(ioapics.io[n].regs + 0x10);
}

static void io_write(unsigned int n, uint32_t reg, uint32_t v)
{
	mmio_write32(ioapics.io[n].regs, reg);
	mmio_write32(ioapics.io[n].regs + 0x10, v);
}

static void probe(void)
{
	struct madt_ioapic found[MAX_IOAPICS];
	unsigned int n = madt_ioapics(found, MAX_IOAPICS), i, e;

	ioapics.probed = true;
	if (n == 0) { /* without a MADT, PCs have the first one here */
		found[0] = (struct madt_ioapic){ 0, 0xfec00000, 0 };
		n = 1;
	}
	for (i = 0; i < n && i < MAX_IOAPICS; i++) {
		ioapics.io[i].regs = mmio_map(found[i].address, 4096);
		if (!ioapics.io[i].regs)
			continue;
		ioapics.count = i + 1;
		ioapics.io[i].gsi_base = found[i].gsi_base;
		ioapics.io[i].entries = (io_read(i, 1) >> 16 & 0xff) + 1;
		if (ioapics.io[i].entries > 240)
			ioapics.io[i].entries = 0; /* it reads all ones: there is none */
		for (e = 0; e < ioapics.io[i].entries; e++)
			io_write(i, 0x10 + 2 * e, 1u << 16);
	}
}

/* Firmware may have left lines unmasked, so all are masked before the first interrupt is wanted. */
void ioapics_init(void)
{
	if (!ioapics.probed)
		probe();
}

static int find(uint32_t gsi, unsigned int *n, uint32_t *entry)
{
	unsigned int i;

	ioapics_init();
	for (i = 0; i < ioapics.count; i++) {
		if (gsi < ioapics.io[i].gsi_base ||
		    gsi - ioapics.io[i].gsi_base >= ioapics.io[i].entries)
			continue;
		*n = i;
		*entry = gsi - ioapics.io[i].gsi_base;
		return 0;
	}
	return -ENODEV;
}

int irq_gsi_route(uint32_t gsi, int vector, unsigned int cpu, bool level, bool active_low)
{
	const uint32_t id = smp_hw_id(cpu);
	uint32_t entry;
	unsigned int n;

	if (find(gsi, &n, &entry))
		return -ENODEV;
	if (cpu >= smp_cpus_online() || id > 0xff)
		return -EINVAL;
	io_write(n, 0x11 + 2 * entry, id << 24);
	io_write(n, 0x10 + 2 * entry,
		 (uint32_t)vector | (active_low ? 1u << 13 : 0) | (level ? 1u << 15 : 0) |
			 1u << 16);
	return 0;
}

int irq_gsi_mask(uint32_t gsi, bool masked)
{
	uint32_t entry, low;
	unsigned int n;

	if (find(gsi, &n, &entry))
		return -ENODEV;
	low = io_read(n, 0x10 + 2 * entry);
	io_write(n, 0x10 + 2 * entry, masked ? low | 1u << 16 : low & ~(1u << 16));
	return 0;
}

bool irq_enabled(void)
{
	return read_flags() & RFLAGS_IF;
}

void irq_enable(void)
{
	__asm__ volatile("sti" : : : "memory");
}

bool irq_save(void)
{
	const bool on = irq_enabled();

	__asm__ volatile("cli" : : : "memory");
	return on;
}

void irq_restore(bool enabled)
{
	if (enabled)
		irq_enable();
}

void irq_halt(void)
{
	/* STI takes effect after the next instruction: no interrupt between it and HLT. */
	__asm__ volatile("sti; hlt; cli" : : : "memory");
}
