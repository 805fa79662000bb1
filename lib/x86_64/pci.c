/* SPDX-License-Identifier: BSD-2-Clause */
/* lib/pci.h of a PC: configuration mechanism #1 (PCI 3.0, 3.2.2.3.2), and where INTx leads. */
#include "lib/pci.h"

#include "lib/x86_64/io.h"
#include "lib/x86_64/madt.h"
#include "lib/x86_64/mptable.h"

#define ADDRESS 0xcf8
#define DATA	0xcfc
#define ENABLE	(1u << 31)

#define Q35    0x29c08086u /* host bridges: vendor and device */
#define I440FX 0x12378086u

/* On every PC this is free of RAM, ECAM and APICs. A host that puts RAM there has firmware, which assigns BARs. */
const struct pci_range arch_pci_hole = { 0xd8000000, 0xe0000000 };

bool arch_pci_present(void)
{
	io_out32(ADDRESS, ENABLE);
	return io_in32(ADDRESS) == ENABLE;
}

static bool select_register(const struct pci_dev *d, unsigned int off)
{
	if (off > 0xff || d->segment)
		return false;
	io_out32(ADDRESS, ENABLE | (uint32_t)pci_requester(d) << 8 | (off & 0xfc));
	return true;
}

uint32_t arch_pci_read(const struct pci_dev *d, unsigned int off, unsigned int size)
{
	if (!select_register(d, off))
		return UINT32_MAX;
	return size == 1 ? io_in8(DATA + (off & 3)) :
	       size == 2 ? io_in16(DATA + (off & 2)) :
			   io_in32(DATA);
}

void arch_pci_write(const struct pci_dev *d, unsigned int off, unsigned int size, uint32_t v)
{
	if (!select_register(d, off))
		return;
	if (size == 1)
		io_out8(DATA + (off & 3), (uint8_t)v);
	else if (size == 2)
		io_out16(DATA + (off & 2), (uint16_t)v);
	else
		io_out32(DATA, v);
}

/*
 * ACPI has the routing in AML, which we do not interpret. Two chipsets are known. On QEMU's q35 in APIC mode,
 * the functions in slots 0 to 24 of the root bus swizzle over PIRQE to PIRQH, which are GSI 20 to 23. On an
 * i440fx the firmware writes the ISA interrupt into the line register. Any other host may say it in an MP
 * table, as crosvm and kvmtool do; else we do not know, since a wrong line looks like a lost interrupt.
 */
uint32_t arch_pci_intx(const struct pci_dev *d)
{
	const struct pci_dev bridge = { .segment = 0 };
	const uint32_t id = pci_read(&bridge, 0, 4);
	uint32_t gsi = UINT32_MAX;

	if (d->segment)
		return UINT32_MAX;
	if (id == Q35)
		return d->bus == 0 && d->dev < 25 ? 20 + ((d->dev + d->irq_pin - 1u) & 3) :
						    UINT32_MAX;
	if (id != I440FX)
		return mptable_pci_gsi(d->bus, d->dev, d->irq_pin);
	if (d->irq_line && d->irq_line < 16)
		madt_isa_irq(d->irq_line, &gsi);
	return gsi;
}
