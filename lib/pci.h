/* SPDX-License-Identifier: BSD-2-Clause */
/* PCI functions, through ECAM (MCFG) or what the architecture has instead. */
#ifndef LIB_PCI_H
#define LIB_PCI_H

#include <stdbool.h>
#include <stdint.h>

struct pci_bar {
	uint64_t base; /* 0: not assigned */
	uint64_t size; /* 0: absent */
	bool io, is64, prefetch;
};

struct pci_dev {
	uint16_t segment;
	uint8_t bus, dev, fn;
	uint16_t vendor, device, subvendor, subdevice;
	uint8_t revision, class_base, class_sub, prog_if, header_type, irq_pin, irq_line;
	struct pci_bar bar[6]; /* with sizes; addresses are ours where firmware gave none */
};

/* --- lib/<arch>/pci.c ---------------------------------------------------------------------- */

/* Whether there is configuration access without ECAM, and something answers. */
bool arch_pci_present(void);
/* Uses that access, whatever pci_access() says. What it does not reach reads all ones. */
uint32_t arch_pci_read(const struct pci_dev *d, unsigned int off, unsigned int size);
void arch_pci_write(const struct pci_dev *d, unsigned int off, unsigned int size, uint32_t v);
/* Addresses for BARs that firmware left without one. */
extern const struct pci_range {
	uint64_t from, to;
} arch_pci_hole;
/* The GSI of the function's interrupt pin. UINT32_MAX: only AML says it. */
uint32_t arch_pci_intx(const struct pci_dev *d);

/* --- lib/pci.c ------------------------------------------------------------------------------- */

/* The requester ID of the function's requests as it sends them. */
static inline uint16_t pci_requester(const struct pci_dev *d)
{
	return (uint16_t)(d->bus << 8 | d->dev << 3 | d->fn);
}

/* Scans all buses, those behind bridges too, and assigns missing BARs. Returns how many functions there are. */
unsigned int pci_init(void);
/* "ecam" or "port". */
const char *pci_access(void);
/* The n-th function, NULL past the last. */
struct pci_dev *pci_get(unsigned int n);

uint32_t pci_read(const struct pci_dev *d, unsigned int off, unsigned int size); /* size 1, 2, 4 */
void pci_write(const struct pci_dev *d, unsigned int off, unsigned int size, uint32_t v);

/* Offset of the next capability `id` after `after` (0: the first; id 0xff: any), 0: none. Loops are detected. */
unsigned int pci_find_cap(const struct pci_dev *d, uint8_t id, unsigned int after);
/*
 * The requester ID that its requests have at the root complex: of a conventional bus they are those of the bridge, either of
 * the bridge itself or, where it leads from PCI Express, of device 0 of the bus behind it. Once pci_init() is over.
 */
uint16_t pci_alias(const struct pci_dev *d);
/* Memory decoding and bus mastering on or off. */
void pci_enable(const struct pci_dev *d, bool mem, bool master);
/* Maps a memory BAR; NULL if absent, I/O, or not assigned. */
volatile void *pci_map_bar(const struct pci_dev *d, unsigned int bar);
/* INTx on or off (command register), and the GSI of its pin (0xffffffff: unknown). */
void pci_intx(const struct pci_dev *d, bool on);
static inline uint32_t pci_intx_gsi(const struct pci_dev *d)
{
	return d->irq_pin >= 1 && d->irq_pin <= 4 ? arch_pci_intx(d) : UINT32_MAX;
}

/* MSI-X. The table stays mapped; entries are masked at enable. */
struct pci_msix {
	unsigned int cap;
	unsigned int count; /* entries */
	volatile uint8_t *table;
	volatile uint8_t *pba;
};
/* 0, -ENOENT (no capability), -EIO (table outside of its BAR). */
int pci_msix_init(const struct pci_dev *d, struct pci_msix *m);
void pci_msix_enable(const struct pci_dev *d, const struct pci_msix *m, bool on);
void pci_msix_function_mask(const struct pci_dev *d, const struct pci_msix *m, bool masked);
void pci_msix_set(const struct pci_msix *m, unsigned int entry, uint64_t addr, uint32_t data);
void pci_msix_mask(const struct pci_msix *m, unsigned int entry, bool masked);
bool pci_msix_pending(const struct pci_msix *m, unsigned int entry);

#endif
