/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvmpv/bounce.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/device.h"
#include "lib/mem.h"
#include "lib/spinlock.h"

#define POOL_MAX  (8u << 20)
#define POOL_PART 8 /* of the free memory */

static struct {
	uint8_t *base;
	size_t slots;
	size_t next; /* where the next search begins */
	uint16_t *run; /* slots of the mapping that begins here; 0: the slot is free, or inside of a mapping */
	struct extent {
		uint32_t first, n;
	} * data; /* of the mapping: the bytes, from its first slot on, that may hold data */
	/* Of the mapping: the device that has it, and the address that the back end below gave for its first byte. */
	struct owner {
		const struct dma_layer *layer;
		dma_addr_t addr;
	} * owner;
	uint8_t *taken;
	spinlock_t lock;
	struct bounce_stats stats;
} pool;

static size_t slots_of(size_t offset, size_t len)
{
	return (offset + len + BOUNCE_SLOT - 1) / BOUNCE_SLOT;
}

/* First slot of n free ones in [from, to) whose address is a multiple of align; SIZE_MAX: none. */
static size_t search(size_t from, size_t to, size_t n, size_t align)
{
	size_t i = from, k;

	while (i + n <= to) {
		if (((uintptr_t)pool.base + i * BOUNCE_SLOT) & (align - 1)) {
			i++;
			continue;
		}
		for (k = 0; k < n && !pool.taken[i + k]; k++)
			;
		if (k == n)
			return i;
		i += k + (pool.run[i + k] ? pool.run[i + k] :
					    1); /* go on behind the mapping that is in the way */
	}
	return SIZE_MAX;
}

static uint8_t *take(size_t n, size_t align)
{
	size_t i;

	spin_lock(&pool.lock);
	i = search(pool.next, pool.slots, n, align);
	if (i == SIZE_MAX)
		i = search(0, pool.slots, n, align);
	if (i == SIZE_MAX || n == 0 || n > UINT16_MAX) {
		pool.stats.full++;
		spin_unlock(&pool.lock);
		return NULL;
	}
	memset(pool.taken + i, 1, n);
	pool.run[i] = (uint16_t)n;
	pool.data[i] = (struct extent){ 0, (uint32_t)(n * BOUNCE_SLOT) };
	pool.next = i + n;
	pool.stats.used += n;
	spin_unlock(&pool.lock);
	return pool.base + i * BOUNCE_SLOT;
}

static size_t index_of(const uint8_t *p)
{
	return (size_t)(p - pool.base) / BOUNCE_SLOT;
}

static void give(const uint8_t *p)
{
	const size_t i = index_of(p);
	const size_t n = pool.run[i];

	/* The host can read the slot for ever: what was in it goes now. */
	memset(pool.base + i * BOUNCE_SLOT + pool.data[i].first, 0, pool.data[i].n);
	spin_lock(&pool.lock);
	memset(pool.taken + i, 0, n);
	pool.run[i] = 0;
	if (i < pool.next)
		pool.next = i; /* slots that were just used are in the caches and in the TLB */
	pool.stats.used -= n;
	spin_unlock(&pool.lock);
}

/* Only the n bytes from `first` on, in the mapping that begins with p's slot, may hold data. */
static void holds(const uint8_t *p, size_t first, size_t n)
{
	pool.data[index_of(p)] = (struct extent){ (uint32_t)first, (uint32_t)n };
}

static bool is_owner(size_t i, const struct dma_layer *l, dma_addr_t addr)
{
	return pool.owner[i].layer == l && pool.owner[i].addr == addr;
}

/*
 * The first byte of the mapping that device address `addr` stands for. Below a translating back end the
 * address says nothing about the slot, and two devices may have the same one. NULL: there is none.
 */
static uint8_t *find(const struct dma_layer *l, dma_addr_t addr)
{
	const uint64_t base = virt_to_phys(pool.base), size = pool.slots * (uint64_t)BOUNCE_SLOT;
	size_t i;

	if (addr >= base && addr - base < size && is_owner((addr - base) / BOUNCE_SLOT, l, addr))
		return pool.base + (addr - base);
	for (i = 0; i < pool.slots; i++)
		if (is_owner(i, l, addr))
			return pool.base + i * BOUNCE_SLOT + pool.data[i].first;
	return NULL;
}

static bool in_mapping(const uint8_t *p, size_t len)
{
	return p && len <= pool.run[index_of(p)] * (size_t)BOUNCE_SLOT - (uintptr_t)p % BOUNCE_SLOT;
}

/* Hands n bytes at p, in a mapping that was just taken, down to the back end below. */
static int own(struct dma_layer *l, uint8_t *p, size_t n, enum dma_dir dir, dma_addr_t *addr)
{
	const int ret = l->lower->ops->map(l->lower, p, n, dir, addr);

	if (ret)
		give(p);
	else
		pool.owner[index_of(p)] = (struct owner){ l, *addr };
	return ret;
}

static void disown(struct dma_layer *l, uint8_t *p, size_t n, enum dma_dir dir, dma_addr_t addr)
{
	l->lower->ops->unmap(l->lower, addr, p, n, dir);
	pool.owner[index_of(p)].layer = NULL;
	give(p);
}

static void *bounce_alloc(struct dma_layer *l, size_t size, size_t align, dma_addr_t *addr)
{
	const size_t n = slots_of(0, size) * BOUNCE_SLOT;
	uint8_t *p = take(slots_of(0, size), align < BOUNCE_SLOT ? BOUNCE_SLOT : align);

	if (!p)
		return NULL;
	memset(p, 0, n); /* a device that wrote to a free slot must not be seen in a ring */
	return own(l, p, n, DMA_BOTH, addr) ? NULL : p;
}

static void bounce_free(struct dma_layer *l, void *p, size_t size, dma_addr_t addr)
{
	disown(l, p, slots_of(0, size) * BOUNCE_SLOT, DMA_BOTH, addr);
}

static int bounce_map(struct dma_layer *l, void *buf, size_t len, enum dma_dir dir,
		      dma_addr_t *addr)
{
	const size_t offset = (uintptr_t)buf % BOUNCE_SLOT;
	uint8_t *p = take(slots_of(offset, len ? len : 1), BOUNCE_SLOT);

	if (!p)
		return -ENOMEM;
	if (dir & DMA_TO_DEVICE)
		memcpy(p + offset, buf, len);
	holds(p, offset, len);
	return own(l, p + offset, len, dir, addr);
}

static void bounce_sync_for_cpu(struct dma_layer *l, dma_addr_t addr, void *buf, size_t len,
				enum dma_dir dir)
{
	uint8_t *p = find(l, addr);

	if (!(dir & DMA_FROM_DEVICE) || !in_mapping(p, len))
		return;
	l->lower->ops->sync_for_cpu(l->lower, addr, p, len, dir);
	memcpy(buf, p, len);
	/* The device says how much it wrote: 0 bytes of a buffer that it did not use, which is scrubbed as a whole. */
	if (dir == DMA_FROM_DEVICE && len)
		holds(p, (uintptr_t)p % BOUNCE_SLOT, len);
}

static void bounce_sync_for_device(struct dma_layer *l, dma_addr_t addr, void *buf, size_t len,
				   enum dma_dir dir)
{
	uint8_t *p = find(l, addr);

	if (!(dir & DMA_TO_DEVICE) || !in_mapping(p, len))
		return;
	memcpy(p, buf, len);
	l->lower->ops->sync_for_device(l->lower, addr, p, len, dir);
}

/* Only releases the slots: sync_for_cpu() copies what the device wrote, as many bytes as it says. */
static void bounce_unmap(struct dma_layer *l, dma_addr_t addr, void *buf, size_t len,
			 enum dma_dir dir)
{
	uint8_t *p = find(l, addr);

	(void)buf;
	if (in_mapping(p, len))
		disown(l, p, len, dir, addr);
}

static const struct dma_ops bounce_ops = {
	.name = "bounce",
	.restricted = true,
	.alloc = bounce_alloc,
	.free = bounce_free,
	.map = bounce_map,
	.unmap = bounce_unmap,
	.sync_for_cpu = bounce_sync_for_cpu,
	.sync_for_device = bounce_sync_for_device,
};

static int attach(struct device *d)
{
	return dma_push(d, &bounce_ops, NULL);
}

static struct device_policy bounce_policy = { .level = DEVICE_LEVEL_BOUNCE, .attach = attach };

static void forget_pool(size_t pages)
{
	mem_pages_free(pool.base, pages);
	free(pool.run);
	free(pool.data);
	free(pool.owner);
	free(pool.taken);
	memset(&pool, 0, sizeof(pool));
}

int bounce_init(int64_t (*share)(uint64_t gfn, uint64_t npages))
{
	size_t bytes = mem_free_bytes() / POOL_PART;

	if (!pool.base) {
		if (bytes > POOL_MAX)
			bytes = POOL_MAX;
		bytes &= ~(PAGE_SIZE - 1);
		pool.base = mem_pages(bytes / PAGE_SIZE, PAGE_SIZE);
		pool.slots = bytes / BOUNCE_SLOT;
		pool.run = calloc(pool.slots, sizeof(*pool.run));
		pool.data = calloc(pool.slots, sizeof(*pool.data));
		pool.owner = calloc(pool.slots, sizeof(*pool.owner));
		pool.taken = calloc(pool.slots, 1);
		if (!pool.base || !pool.run || !pool.data || !pool.owner || !pool.taken) {
			forget_pool(bytes / PAGE_SIZE);
			return -ENOMEM;
		}
		mem_keep(bytes / PAGE_SIZE);
	}
	if (share(virt_to_phys(pool.base) >> PAGE_SHIFT, pool.slots * BOUNCE_SLOT >> PAGE_SHIFT))
		return -EIO;
	/* A page that is converted may lose its contents: free slots must read as zeros. */
	memset(pool.base, 0, pool.slots * BOUNCE_SLOT);
	device_policy_add(&bounce_policy);
	return 0;
}

void bounce_stats(struct bounce_stats *out)
{
	size_t i;

	*out = pool.stats;
	for (i = 0; i < pool.slots; i++)
		if (pool.run[i] && pool.owner[i].layer && pool.owner[i].layer->dev->lasting)
			out->used -= pool.run[i];
	out->slots = pool.slots;
	out->base = virt_to_phys(pool.base);
	out->size = pool.slots * (uint64_t)BOUNCE_SLOT;
}

bool bounce_scrubbed(void)
{
	size_t i, k;

	for (i = 0; i < pool.slots; i++) {
		const uint64_t *p = (const uint64_t *)(pool.base + i * BOUNCE_SLOT);

		if (pool.taken[i])
			continue;
		for (k = 0; k < BOUNCE_SLOT / sizeof(*p); k++)
			if (p[k])
				return false;
	}
	return true;
}
