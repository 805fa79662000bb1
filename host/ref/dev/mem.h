/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's memory as the VMM shares it: regions by guest-physical address,
 * every access bounded. With protected memory, every address is checked
 * against the page states before it is touched.
 */
#ifndef HOST_REF_DEV_MEM_H
#define HOST_REF_DEV_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/common/page_state.h"
#include "host/ref/dev/iotlb.h"

#define MEM_MAX_REGIONS 64

struct mem_region {
	uint64_t gpa, size;
	uint64_t uva;  /* where the VMM has it: ring addresses are given so */
	uint8_t *host; /* first byte of the region */
	void *map;     /* NULL: not ours to unmap (tests) */
	size_t map_len;
};

struct guest_mem {
	unsigned int n;
	struct mem_region r[MEM_MAX_REGIONS];
	struct page_states ps; /* ps.file NULL: memory is not protected */
	struct iotlb *
		tlb; /* what drivers give are I/O virtual addresses; NULL: they are physical ones */
};

/* Maps offset..offset+size of fd (not kept). 0, -EINVAL (empty, wraps, overlaps), -ENOSPC, -errno. */
int mem_add(struct guest_mem *m, uint64_t gpa, uint64_t size, uint64_t uva, int fd,
	    uint64_t offset);
/* A region of the caller's own memory, for tests. */
int mem_add_host(struct guest_mem *m, uint64_t gpa, uint64_t size, uint64_t uva, void *host);
/* -ENOENT when no region is exactly so. */
int mem_remove(struct guest_mem *m, uint64_t gpa, uint64_t size, uint64_t uva);
void mem_clear(struct guest_mem *m);

/* Memory at gpa; *len is cut to what follows contiguously in that region. NULL: nobody's. */
uint8_t *mem_at(const struct guest_mem *m, uint64_t gpa, uint64_t *len);
/* All of [uva, uva+len) in one region, or NULL; *gpa set. */
uint8_t *mem_at_uva(const struct guest_mem *m, uint64_t uva, uint64_t len, uint64_t *gpa);

/*
 * The same for addresses as drivers give them. 0; -EAGAIN: the translation is on its way, or will never come; -EFAULT: nobody's
 * memory. *gpa is the physical address.
 */
int dma_at(const struct guest_mem *m, uint64_t addr, bool write, uint8_t **p, uint64_t *gpa,
	   uint64_t *len);
/* All of [addr, addr+len), at one place. As dma_at(). */
int dma_range(const struct guest_mem *m, uint64_t addr, uint64_t len, bool write, uint8_t **p,
	      uint64_t *gpa);

/* Whether a device may touch it; *bad is the first address that it may not. */
static inline bool mem_allowed(const struct guest_mem *m, uint64_t gpa, uint64_t len, uint64_t *bad)
{
	return !m->ps.file || page_states_allowed(&m->ps, gpa, len, bad);
}

#endif
