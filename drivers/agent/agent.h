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
	/* Only the driver uses these. */
	volatile uint8_t *regs;
	uint64_t reach; /* the highest address that it can be told */
};

/* The n-th agent of this machine, with bus mastering on. NULL past the last. */
struct agent *agent_get(unsigned int n);

/*
 * The agent writes len bytes to the address: those that its last agent_load() read, or its pattern if it does not read.
 * 0: the agent says that it is done. Only memory shows whether the write was let through. -ETIMEDOUT: it does not say so
 * in time. -EINVAL: the length is 0 or above `most`, or the address is out of its reach.
 */
int agent_store(struct agent *a, dma_addr_t to, uint32_t len);
/*
 * The agent reads len bytes from the address, and keeps them for the next agent_store(). It returns what agent_store()
 * does, and -EOPNOTSUPP where the agent does not read.
 */
int agent_load(struct agent *a, dma_addr_t from, uint32_t len);
/* An agent that has a pattern writes this byte at i bytes behind the address. */
uint8_t agent_pattern(uint32_t i);

#endif
