/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/ref/dev/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "host/ref/dev/faults.h"

static bool ranges_meet(uint64_t a, uint64_t alen, uint64_t b, uint64_t blen)
{
	return a < b + blen && b < a + alen;
}

/* No VMM that works has a region that is empty, wraps, or lies over another. */
static int region_refused(const struct guest_mem *m, const struct mem_region *r)
{
	if (r->size == 0 || r->gpa + r->size < r->gpa || r->uva + r->size < r->uva)
		return -EINVAL;
	if (m->n == MEM_MAX_REGIONS)
		return -ENOSPC;
	for (unsigned int i = 0; i < m->n; i++) {
		if (ranges_meet(r->gpa, r->size, m->r[i].gpa, m->r[i].size))
			return -EINVAL;
	}
	return 0;
}

static int add(struct guest_mem *m, const struct mem_region *r)
{
	const int refused = region_refused(m, r);

	if (refused)
		return refused;
	m->r[m->n++] = *r;
	return 0;
}

/* Nor one that its file does not hold: a page behind the end of a file is no memory, and to touch it is SIGBUS. */
static int file_refused(uint64_t size, int fd, uint64_t offset)
{
	struct stat st;

	if (size == 0 || offset + size < offset || offset + size > PTRDIFF_MAX)
		return -EINVAL;
	if (fstat(fd, &st))
		return -errno;
	return S_ISREG(st.st_mode) && (uint64_t)st.st_size < offset + size ? -EINVAL : 0;
}

static bool map_failed(const void *p)
{
	return p == MAP_FAILED;
}

int mem_add(struct guest_mem *m, uint64_t gpa, uint64_t size, uint64_t uva, int fd, uint64_t offset)
{
	struct mem_region r = { .gpa = gpa, .size = size, .uva = uva };
	const int refused = file_refused(size, fd, offset);
	int ret;

	if (refused)
		return refused;
	/* From 0 on: an offset into huge pages need not be aligned as mmap() wants it. */
	r.map_len = offset + size;
	r.map = mmap(NULL, r.map_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (map_failed(r.map))
		return -errno;
	r.host = (uint8_t *)r.map + offset;
	ret = add(m, &r);
	if (ret)
		munmap(r.map, r.map_len);
	return ret;
}

int mem_add_host(struct guest_mem *m, uint64_t gpa, uint64_t size, uint64_t uva, void *host)
{
	const struct mem_region r = { .gpa = gpa, .size = size, .uva = uva, .host = host };

	return add(m, &r);
}

static void drop(struct guest_mem *m, unsigned int i)
{
	if (m->r[i].map)
		munmap(m->r[i].map, m->r[i].map_len);
	m->r[i] = m->r[--m->n];
}

int mem_remove(struct guest_mem *m, uint64_t gpa, uint64_t size, uint64_t uva)
{
	for (unsigned int i = 0; i < m->n; i++) {
		if (m->r[i].gpa == gpa && m->r[i].size == size && m->r[i].uva == uva) {
			drop(m, i);
			return 0;
		}
	}
	return -ENOENT;
}

void mem_clear(struct guest_mem *m)
{
	while (m->n)
		drop(m, m->n - 1);
}

uint8_t *mem_at(const struct guest_mem *m, uint64_t gpa, uint64_t *len)
{
	for (unsigned int i = 0; i < m->n; i++) {
		const struct mem_region *r = &m->r[i];
		/* Below the region the difference, which is unsigned, is larger than any region. */
		const uint64_t off = gpa - r->gpa;

		if (off >= r->size)
			continue;
		if (*len > r->size - off)
			*len = r->size - off;
		return r->host + off;
	}
	return NULL;
}

uint8_t *mem_at_uva(const struct guest_mem *m, uint64_t uva, uint64_t len, uint64_t *gpa)
{
	for (unsigned int i = 0; i < m->n; i++) {
		const struct mem_region *r = &m->r[i];
		const uint64_t off = uva - r->uva;

		if (off >= r->size || len > r->size - off)
			continue;
		*gpa = r->gpa + off;
		return r->host + off;
	}
	return NULL;
}

int dma_at(const struct guest_mem *m, uint64_t addr, bool write, uint8_t **p, uint64_t *gpa,
	   uint64_t *len)
{
	const struct iotlb_entry *e;
	uint64_t off, all;

	*gpa = addr;
	if (!m->tlb) {
		*p = mem_at(m, addr, len);
		return *p ? 0 : -EFAULT;
	}
	e = iotlb_find(m->tlb, addr, write);
	if (!e && fault_on(F_IOTLB_MISS_IS_PHYSICAL) && (*p = mem_at(m, addr, len)) &&
	    fault(F_IOTLB_MISS_IS_PHYSICAL))
		return 0;
	if (!e)
		return -EAGAIN;
	off = addr - e->iova;
	if (*len > e->size - off && !fault(F_IOTLB_LENGTH_UNCUT))
		*len = e->size - off;
	*p = mem_at_uva(m, e->uva + off, 1, gpa);
	if (!*p)
		return -EFAULT;
	all = *len;
	mem_at(m, *gpa, &all);
	*len = all;
	return 0;
}

int dma_range(const struct guest_mem *m, uint64_t addr, uint64_t len, bool write, uint8_t **p,
	      uint64_t *gpa)
{
	uint64_t done, part, at;
	uint8_t *q;
	int ret;

	for (done = 0; done < len; done += part) {
		part = len - done;
		ret = dma_at(m, addr + done, write, &q, &at, &part);
		if (ret)
			return ret;
		if (!done) {
			*p = q;
			*gpa = at;
		} else if ((q != *p + done || at != *gpa + done) &&
			   !fault(F_IOTLB_RING_IN_ONE_PIECE)) {
			return -EFAULT;
		}
	}
	return 0;
}
