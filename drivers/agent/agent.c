/* SPDX-License-Identifier: BSD-2-Clause */
/* Registers: QEMU's docs/specs/edu.rst and docs/specs/iommu-testdev.rst. */
#include "drivers/agent/agent.h"

#include <errno.h>
#include <stddef.h>

#include "lib/cmdline.h"
#include "lib/mmio.h"
#include "lib/pci.h"
#include "lib/time.h"

#define MAX_AGENTS 8u
#define ANSWER_NS  (4 * time_sec())

enum {
	EDU_ID = 0x00,
	EDU_SOURCE = 0x80,
	EDU_TARGET = 0x88,
	EDU_COUNT = 0x90,
	EDU_COMMAND = 0x98,
	EDU_RUN = 1u << 0,
	EDU_TO_MEMORY = 1u << 1,
	EDU_BUFFER = 0x40000,
};
#define EDU_BITS 28 /* of addresses */
OPTION("edu.bits",
       "how many bits an address of QEMU's edu has (its dma_mask, which nobody can read): 28 if absent");

enum {
	ITD_RUN = 0x00, /* by a read */
	ITD_ADDRESS = 0x04,
	ITD_LEN = 0x0c,
	ITD_RESULT = 0x10,
	ITD_ARM = 0x14,
	ITD_BUSY = 0xfffffffeu,
	ITD_PATTERN = 0x12345678u,
};

static struct agent agents[MAX_AGENTS];
static unsigned int count;

static uint32_t reg32(const struct agent *a, uint32_t off)
{
	return mmio_read32(a->regs + off);
}

static void set32(const struct agent *a, uint32_t off, uint32_t v)
{
	mmio_write32(a->regs + off, v);
}

static void set64(const struct agent *a, uint32_t off, uint64_t v)
{
	mmio_write64(a->regs + off, v);
}

/* --- edu ------------------------------------------------------------------------------------- */

static bool edu_done(const struct agent *a)
{
	return !(reg32(a, EDU_COMMAND) & EDU_RUN);
}

static int edu_transfer(struct agent *a, uint64_t from, uint64_t to, uint32_t len, uint32_t command)
{
	if (!wait_for(edu_done(a), ANSWER_NS))
		return -ETIMEDOUT;
	set64(a, EDU_SOURCE, from);
	set64(a, EDU_TARGET, to);
	set64(a, EDU_COUNT, len);
	set32(a, EDU_COMMAND, command | EDU_RUN);
	return wait_for(edu_done(a), ANSWER_NS) ? 0 : -ETIMEDOUT;
}

static bool edu_probe(struct agent *a, const struct pci_dev *p)
{
	uint64_t bits;

	if (p->vendor != 0x1234 || p->device != 0x11e8)
		return false;
	a->regs = pci_map_bar(p, 0);
	if (!a->regs || p->bar[0].size < EDU_BUFFER || (reg32(a, EDU_ID) & 0xff) != 0xed)
		return false;
	a->kind = "edu";
	a->most = 4000; /* QEMU 7.2 ends when its buffer of 4096 is used to the end */
	a->reads = true;
	bits = cmdline_get_u64("edu.bits", EDU_BITS);
	a->reach = bits < 64 ? (1ull << bits) - 1 : UINT64_MAX;
	return true;
}

/* --- iommu-testdev ----------------------------------------------------------------------------- */

static bool testdev_probe(struct agent *a, const struct pci_dev *p)
{
	/* QEMU's pci-testdev has the same ids, and more BARs. */
	if (p->vendor != 0x1b36 || p->device != 0x0005 || p->bar[1].size || p->bar[2].size)
		return false;
	a->regs = pci_map_bar(p, 0);
	if (!a->regs || p->bar[0].size < 0x28)
		return false;
	set32(a, ITD_LEN, 0x55aa);
	if (reg32(a, ITD_LEN) != 0x55aa)
		return false;
	a->kind = "iommu-testdev";
	a->most = 65536;
	a->reach = UINT64_MAX;
	return true;
}

static int testdev_store(struct agent *a, uint64_t to, uint32_t len)
{
	set32(a, ITD_ADDRESS, (uint32_t)to);
	set32(a, ITD_ADDRESS + 4, (uint32_t)(to >> 32));
	set32(a, ITD_LEN, len);
	set32(a, ITD_ARM, 1);
	(void)reg32(a, ITD_RUN);
	/* The result compares what was written with memory that we did not name: it says nothing of use. */
	return wait_for(reg32(a, ITD_RESULT) != ITD_BUSY, ANSWER_NS) ? 0 : -ETIMEDOUT;
}

/* --- both --------------------------------------------------------------------------------------- */

static void find_all(void)
{
	struct pci_dev *p;
	unsigned int i;

	for (i = 0; (p = pci_get(i)) && count < MAX_AGENTS; i++) {
		struct agent *a = &agents[count];

		if (!edu_probe(a, p) && !testdev_probe(a, p))
			continue;
		device_init_pci(&a->dev, p->segment, pci_requester(p));
		a->dev.alias = pci_alias(p);
		pci_enable(p, true, true);
		count++;
	}
}

struct agent *agent_get(unsigned int n)
{
	static bool found;

	if (!found)
		find_all();
	found = true;
	return n < count ? &agents[n] : NULL;
}

static bool can(const struct agent *a, dma_addr_t at, uint32_t len)
{
	return len && len <= a->most && at <= a->reach && len - 1 <= a->reach - at;
}

int agent_store(struct agent *a, dma_addr_t to, uint32_t len)
{
	if (!can(a, to, len))
		return -EINVAL;
	if (a->reads)
		return edu_transfer(a, EDU_BUFFER, to, len, EDU_TO_MEMORY);
	return testdev_store(a, to, len);
}

int agent_load(struct agent *a, dma_addr_t from, uint32_t len)
{
	if (!a->reads)
		return -EOPNOTSUPP;
	if (!can(a, from, len))
		return -EINVAL;
	return edu_transfer(a, from, EDU_BUFFER, len, 0);
}

uint8_t agent_pattern(uint32_t i)
{
	return (uint8_t)(ITD_PATTERN >> i % 4 * 8);
}
