/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DMA agents: PCI functions that read and write where they are told to, so that a test can see what an IOMMU lets through.
 * QEMU has two: edu (1234:11e8), which reads into a buffer of its own and writes from it, a tenth of a second each, and
 * iommu-testdev (1b36:0005), which writes a fixed pattern at once.
 */
#ifndef DRIVERS_AGENT_AGENT_H
#define DRIVERS_AGENT_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/device.h"

struct agent {
	struct device dev;
	const char *kind; /* "edu", "iommu-testdev" */
	bool reads;	  /* has agent_load() */
	uint32_t most;	  /* bytes of one transfer */
	/* Of the driver. */
	volatile uint8_t *regs;
	uint64_t reach; /* the highest address that it can be told */
};

/* The n-th of this machine, NULL past the last. Bus mastering is on. */
struct agent *agent_get(unsigned int n);

/*
 * It writes len bytes to the address: those that it read last, or its pattern. 0: it says that it is done, and whether
 * anything came through is to be seen in memory; -ETIMEDOUT; -EINVAL (length 0 or above `most`, address out of reach).
 */
int agent_store(struct agent *a, dma_addr_t to, uint32_t len);
/* It reads len bytes from the address, to be written by the next agent_store(). As that; -EOPNOTSUPP. */
int agent_load(struct agent *a, dma_addr_t from, uint32_t len);
/* The byte that agent_store() writes i bytes behind its start, where it has a pattern. */
uint8_t agent_pattern(uint32_t i);

#endif
