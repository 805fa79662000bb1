/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * drivers/iommu/dma.c over IOMMUs that keep their own record of what is mapped: which devices get a space, what the IOMMU
 * is asked for, and what becomes of addresses that it refuses, or has forgotten.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Its state is private. */
#include "drivers/iommu/dma.c" /* NOLINT(bugprone-suspicious-include) */
#include "tests/unit/held_lock.h"

#define WINDOW	 ((uint64_t)SPACE_PAGES << PAGE_SHIFT)
#define RAM	 0x40000000ull
#define MAPPINGS 64u

/* --- the IOMMUs -------------------------------------------------------------------------------------- */

struct machine {
	struct iommu m; /* first: it is what the back end has of it */
	struct device own;
	uint8_t bus; /* whose functions are behind it; its own is there as well */
	bool up, lasting;
	unsigned int epoch;
	struct iommu_limits limits; /* as a start finds them */
};

static struct machine machine[2];
#define FIRST (&machine[0].m)
#define OTHER (&machine[1].m)

static struct {
	unsigned int starts, stops, attaches, maps, unmaps;
	const struct iommu *m; /* of the last attach() */
	uint32_t domain, endpoint;
	int start, attach, map, unmap; /* what it answers */
	uint64_t used;		       /* bytes of RAM that a start takes */
	struct mapping {
		const struct iommu *m; /* NULL: none */
		uint32_t domain;
		unsigned int how;
		uint64_t first, last, phys;
	} mapping[MAPPINGS];
	uint64_t free_bytes;
	size_t kept;
} host;

struct iommu *iommu_get(unsigned int n)
{
	return n < sizeof(machine) / sizeof(machine[0]) ? &machine[n].m : NULL;
}

static struct machine *machine_of(const struct iommu *m)
{
	assert_true(m == FIRST || m == OTHER);
	return m == FIRST ? &machine[0] : &machine[1];
}

static int host_start(struct iommu *m)
{
	struct machine *k = machine_of(m);
	unsigned int i;

	host.starts++;
	assert_true(k->lasting);
	if (host.start)
		return host.start;
	k->up = true;
	k->epoch++;
	m->limits = k->limits;
	host.free_bytes -= host.used;
	for (i = 0; i < MAPPINGS; i++)
		if (host.mapping[i].m == m)
			host.mapping[i].m = NULL;
	return 0;
}

static void host_stop(struct iommu *m)
{
	host.stops++;
	machine_of(m)->up = false;
}

static unsigned int host_epoch(const struct iommu *m)
{
	return machine_of(m)->up ? machine_of(m)->epoch : 0;
}

static void host_lasting(struct iommu *m)
{
	assert_false(machine_of(m)->up);
	machine_of(m)->lasting = true;
}

/* The same names at each of them. */
static bool host_endpoint(struct iommu *m, const struct device *d, uint32_t *id)
{
	const struct machine *k = machine_of(m);

	if (d->bus != DEVICE_PCI || d->requester >> 8 != k->bus || d == &k->own)
		return false;
	*id = (d->requester & 0xffu) + 0x5100u;
	return true;
}

static int host_attach(struct iommu *m, uint32_t domain, uint32_t endpoint)
{
	assert_true(machine_of(m)->up);
	host.attaches++;
	host.m = m;
	host.domain = domain;
	host.endpoint = endpoint;
	return host.attach;
}

static int host_map(struct iommu *m, uint32_t domain, uint64_t first, uint64_t last, uint64_t phys,
		    unsigned int how)
{
	struct mapping *e, *room = NULL;

	assert_true(machine_of(m)->up);
	host.maps++;
	assert_int_equal(first % PAGE_SIZE, 0);
	assert_int_equal((last + 1) % PAGE_SIZE, 0);
	assert_int_equal(phys % PAGE_SIZE, 0);
	assert_true(first < last && how && !(how & ~3u));
	assert_true(first >= SPACE_BASE && last < SPACE_BASE + WINDOW);
	if (host.map)
		return host.map;
	for (e = host.mapping; e < host.mapping + MAPPINGS; e++) {
		assert_false(e->m == m && e->domain == domain && e->first <= last &&
			     first <= e->last);
		if (!e->m)
			room = e;
	}
	assert_non_null(room);
	*room = (struct mapping){ m, domain, how, first, last, phys };
	return 0;
}

static int host_unmap(struct iommu *m, uint32_t domain, uint64_t first, uint64_t last)
{
	struct mapping *e;

	assert_true(machine_of(m)->up);
	host.unmaps++;
	if (host.unmap)
		return host.unmap;
	for (e = host.mapping; e < host.mapping + MAPPINGS; e++)
		if (e->m == m && e->domain == domain && e->first == first && e->last == last)
			break;
	assert_true(e < host.mapping + MAPPINGS); /* exactly what was mapped */
	e->m = NULL;
	return 0;
}

/* The back end calls no other: those would be calls of NULL. */
static const struct iommu_ops host_ops = {
	.kind = "record",
	.start = host_start,
	.stop = host_stop,
	.epoch = host_epoch,
	.lasting = host_lasting,
	.endpoint = host_endpoint,
	.attach = host_attach,
	.map = host_map,
	.unmap = host_unmap,
};

/* The mapping that holds an address, NULL: none. */
static const struct mapping *at(uint32_t domain, uint64_t addr)
{
	const struct mapping *m;

	for (m = host.mapping; m < host.mapping + MAPPINGS; m++)
		if (m->m && m->domain == domain && addr >= m->first && addr <= m->last)
			return m;
	return NULL;
}

static unsigned int mapped(void)
{
	const struct mapping *m;
	unsigned int n = 0;

	for (m = host.mapping; m < host.mapping + MAPPINGS; m++)
		n += m->m != NULL;
	return n;
}

/* --- the rest of the payload ---------------------------------------------------------------------------- */

static const char *iommu_option;

bool cmdline_get_bool(const char *key, bool dflt)
{
	return strcmp(key, iommu_option ? iommu_option : "") == 0 ? true : dflt;
}

void mem_keep(size_t n)
{
	host.kept += n;
}

uint64_t mem_kept_bytes(void)
{
	return host.kept * PAGE_SIZE;
}

uint64_t mem_free_bytes(void)
{
	return host.free_bytes;
}

/* The back end below: addresses are those of memory, and nothing is touched there. */
static struct {
	char calls[256];
	int answer;
	bool no_memory;
} below;

static void note(const char *what, const void *p, size_t len, unsigned int dir)
{
	const size_t n = strlen(below.calls);

	snprintf(below.calls + n, sizeof(below.calls) - n, "%s %llx %zu %u;", what,
		 (unsigned long long)virt_to_phys(p), len, dir);
}

static void *below_alloc(struct dma_layer *l, size_t size, size_t align, dma_addr_t *addr)
{
	(void)l;
	if (below.no_memory)
		return NULL;
	*addr = RAM + 0x10000 * align;
	note("alloc", phys_to_virt(*addr), size, (unsigned int)align);
	return phys_to_virt(*addr);
}

static void below_free(struct dma_layer *l, void *p, size_t size, dma_addr_t addr)
{
	(void)l;
	assert_true(addr == virt_to_phys(p));
	note("free", p, size, 0);
}

static int below_map(struct dma_layer *l, void *buf, size_t len, enum dma_dir dir, dma_addr_t *addr)
{
	(void)l;
	note("map", buf, len, dir);
	*addr = virt_to_phys(buf);
	return below.answer;
}

static void below_unmap(struct dma_layer *l, dma_addr_t addr, void *buf, size_t len,
			enum dma_dir dir)
{
	(void)l;
	assert_true(addr == virt_to_phys(buf));
	note("unmap", buf, len, dir);
}

static void below_for_cpu(struct dma_layer *l, dma_addr_t addr, void *buf, size_t len,
			  enum dma_dir dir)
{
	(void)l;
	assert_true(addr == virt_to_phys(buf));
	note("cpu", buf, len, dir);
}

static void below_for_device(struct dma_layer *l, dma_addr_t addr, void *buf, size_t len,
			     enum dma_dir dir)
{
	(void)l;
	assert_true(addr == virt_to_phys(buf));
	note("device", buf, len, dir);
}

const struct dma_ops dma_direct_ops = {
	.name = "below",
	.alloc = below_alloc,
	.free = below_free,
	.map = below_map,
	.unmap = below_unmap,
	.sync_for_cpu = below_for_cpu,
	.sync_for_device = below_for_device,
};

static bool full;

int dma_push(struct device *d, const struct dma_ops *ops, void *priv)
{
	struct dma_layer *l = &d->dma[d->dma_layers];

	if (full && d->dma_layers)
		return -ENOSPC;
	*l = (struct dma_layer){ ops, priv, d, d->dma_layers ? l - 1 : NULL };
	d->dma_layers++;
	return 0;
}

static unsigned int fail;
void *__real_calloc(size_t n, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
	return fail && --fail == 0 ? NULL : __real_calloc(n, size);
}

/* --- a device behind it -------------------------------------------------------------------------------- */

static struct device dev;

/* The calls as lib/dma.h makes them. */
static struct dma_layer *top(struct device *d)
{
	return &d->dma[d->dma_layers - 1];
}

static int map(struct device *d, uint64_t phys, size_t len, enum dma_dir dir, dma_addr_t *addr)
{
	return top(d)->ops->map(top(d), phys_to_virt(phys), len, dir, addr);
}

static void unmap(struct device *d, dma_addr_t addr, uint64_t phys, size_t len, enum dma_dir dir)
{
	top(d)->ops->unmap(top(d), addr, phys_to_virt(phys), len, dir);
}

/* The policy's answer for a function, as it finds the machine. */
static int attach_to(struct device *d, uint16_t requester)
{
	device_init_pci(d, 0, requester);
	return device_attach(d);
}

/* Each test starts with a machine whose IOMMU was never started. */
static int setup(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < MAX_SPACES; i++) {
		free(spaces[i]);
		spaces[i] = NULL;
	}
	refused = 0;
	memset(machine, 0, sizeof(machine));
	memset(&host, 0, sizeof(host));
	memset(&below, 0, sizeof(below));
	for (i = 0; i < sizeof(machine) / sizeof(machine[0]); i++) {
		machine[i].m.ops = &host_ops;
		machine[i].bus = (uint8_t)(i + 1);
		machine[i].limits = (struct iommu_limits){ PAGE_SIZE, 0, UINT64_MAX, 0,
							   UINT32_MAX };
		device_init_pci(&machine[i].own, 0, (uint16_t)((i + 1) << 8 | 0x08));
	}
	host.free_bytes = 100 * PAGE_SIZE;
	host.used = 7 * PAGE_SIZE;
	return 0;
}

static int setup_device(void **state)
{
	setup(state);
	assert_int_equal(attach_to(&dev, 0x0118), 0);
	assert_int_equal(dev.dma_layers, 2);
	return 0;
}

static uint64_t pages_mapped(void)
{
	struct iommu_space_info s = { 0 };

	assert_true(iommu_space(&dev, &s));
	return s.mapped;
}

/* --- which devices ----------------------------------------------------------------------------------------- */

static unsigned int layers_below; /* what a bounce pool finds */

static int bounce(struct device *d)
{
	layers_below = d->dma_layers;
	return 0;
}

static void asked_for(void **state)
{
	struct device_policy pool = { .level = DEVICE_LEVEL_BOUNCE, .attach = bounce };

	(void)state;
	device_policy_add(&pool);
	init();
	assert_int_equal(attach_to(&dev, 0x0118), 0);
	assert_int_equal(dev.dma_layers, 1);
	iommu_option = "iommu";
	init();
	assert_int_equal(attach_to(&dev, 0x0118), 0);
	assert_int_equal(dev.dma_layers, 2);
	/* A pool of copies comes on top, though it was there first. */
	assert_int_equal(layers_below, 2);
	device_policy_remove(&pool);
}

static void spaces_of_devices(void **state)
{
	struct iommu_space_info s = { 0 };
	struct device d[MAX_SPACES + 1];
	unsigned int i;

	(void)state;
	/* What is behind no IOMMU has nothing to do with it. */
	assert_int_equal(attach_to(&dev, 0x0018), 0);
	assert_int_equal(dev.dma_layers, 1);
	assert_false(iommu_space(&dev, &s));
	assert_int_equal(host.starts, 0);
	for (i = 0; i < MAX_SPACES; i++) {
		assert_int_equal(attach_to(&d[i], (uint16_t)(0x0110 + i)), 0);
		assert_int_equal(d[i].dma_layers, 2);
		assert_true(iommu_space(&d[i], &s));
		assert_ptr_equal(s.m, FIRST);
		assert_int_equal(s.endpoint, 0x5110 + i);
		assert_int_equal(s.domain, 0x700 + i);
		assert_int_equal(s.mapped, 0);
		assert_true(s.beyond == (1ull << 36) + 16384 * 4096);
		assert_int_equal(host.attaches, i + 1);
		assert_ptr_equal(host.m, FIRST);
		assert_int_equal(host.domain, s.domain);
		assert_int_equal(host.endpoint, s.endpoint);
		assert_true(top(&d[i])->ops->restricted);
	}
	/* What is left of back ends that a device had before is none. */
	dev = d[0];
	dev.dma_layers = 1;
	assert_false(iommu_space(&dev, &s));
	/* The IOMMU came up with the first, what it took stays its own; there are no more spaces. */
	assert_int_equal(host.starts, 1);
	assert_int_equal(host.kept, 7);
	assert_int_equal(attach_to(&d[MAX_SPACES], 0x0150), -ENOMEM);
	assert_int_equal(d[MAX_SPACES].dma_layers, 1);
	/* A device that starts anew has the same space, and is asked for no more. */
	assert_int_equal(attach_to(&dev, 0x0112), 0);
	assert_true(iommu_space(&dev, &s));
	assert_int_equal(s.domain, 0x702);
	assert_int_equal(host.attaches, MAX_SPACES);
	assert_int_equal(host.starts, 1);
	assert_int_equal(host.kept, 7);
	/* The IOMMU's own requests go past it, whatever the table says. */
	assert_int_equal(device_attach(&machine[0].own), 0);
	assert_int_equal(machine[0].own.dma_layers, 1);
}

/* Endpoints of two IOMMUs may have the same name: they are two, and so are their domains. */
static void two_iommus(void **state)
{
	struct iommu_space_info s = { 0 }, t = { 0 };
	struct device other;
	dma_addr_t a;

	(void)state;
	assert_int_equal(attach_to(&dev, 0x0118), 0);
	assert_false(machine[1].up);
	assert_int_equal(attach_to(&other, 0x0218), 0);
	assert_ptr_equal(host.m, OTHER);
	assert_int_equal(host.starts, 2);
	assert_int_equal(host.kept, 14);
	assert_true(iommu_space(&dev, &s));
	assert_true(iommu_space(&other, &t));
	assert_ptr_equal(t.m, OTHER);
	assert_int_equal(s.endpoint, t.endpoint);
	assert_int_equal(host.domain, t.domain);
	assert_int_not_equal(s.domain, t.domain);
	assert_int_equal(map(&other, RAM, 1, DMA_BOTH, &a), 0);
	assert_ptr_equal(at(t.domain, a)->m, OTHER);
	assert_int_equal(pages_mapped(), 0);
}

/* An IOMMU that somebody else brought up is taken as it is. */
static void up_before(void **state)
{
	(void)state;
	machine[0].lasting = true;
	assert_int_equal(host_start(FIRST), 0);
	assert_int_equal(attach_to(&dev, 0x0118), 0);
	assert_int_equal(dev.dma_layers, 2);
	assert_int_equal(host.starts, 1);
	assert_int_equal(host.kept, 0);
}

static void no_space(void **state)
{
	static const struct iommu_limits fit[] = {
		{ PAGE_SIZE | 1, 1ull << 36, (2ull << 36) - 1, 0, UINT32_MAX },
		{ ~0ull, 0, 2ull << 36, 0, UINT32_MAX },
		{ ~0ull, 0, UINT64_MAX, 1, MAX_SPACES },
	};
	static const struct iommu_limits unfit[] = {
		{ ~PAGE_SIZE, 0, UINT64_MAX, 0, UINT32_MAX },
		{ PAGE_SIZE, (1ull << 36) + 1, UINT64_MAX, 0, UINT32_MAX },
		{ PAGE_SIZE, 0, (2ull << 36) - 2, 0, UINT32_MAX },
		{ PAGE_SIZE, 0, UINT64_MAX, 9, 8 },
		{ PAGE_SIZE, 0, UINT64_MAX, 1, MAX_SPACES - 1 },
	};
	unsigned int i;

	(void)state;
	host.start = -ENOTSUP;
	assert_int_equal(attach_to(&dev, 0x0118), -ENOTSUP);
	assert_int_equal(host.kept, 0);
	assert_int_equal(host.attaches, 0);
	host.start = 0; /* the next device tries again */
	assert_int_equal(attach_to(&dev, 0x0118), 0);
	assert_int_equal(host.starts, 2);
	assert_int_equal(host.kept, 7);
	for (i = 0; i < sizeof(unfit) / sizeof(unfit[0]); i++) {
		setup(NULL);
		machine[0].limits = unfit[i];
		assert_int_equal(attach_to(&dev, 0x0118), -ERANGE);
		assert_int_equal(host.attaches, 0);
		assert_int_equal(dev.dma_layers, 1);
	}
	for (i = 0; i < sizeof(fit) / sizeof(fit[0]); i++) {
		setup(NULL);
		machine[0].limits = fit[i];
		assert_int_equal(attach_to(&dev, 0x0118), 0);
		assert_true(host.domain >= fit[i].domain_first &&
			    host.domain <= fit[i].domain_last);
	}
	setup(NULL);
	fail = 1;
	assert_int_equal(attach_to(&dev, 0x0118), -ENOMEM);
	host.attach = -ENOENT;
	assert_int_equal(attach_to(&dev, 0x0118), -ENOENT);
	host.attach = -ETIMEDOUT;
	assert_int_equal(attach_to(&dev, 0x0118), -ETIMEDOUT);
	assert_int_equal(dev.dma_layers, 1);
	/* It was not attached: the next try asks again. */
	host.attach = 0;
	full = true;
	assert_int_equal(attach_to(&dev, 0x0118), -ENOSPC);
	full = false;
	assert_int_equal(attach_to(&dev, 0x0118), 0);
	assert_int_equal(host.attaches, 3);
}

/* --- mappings ------------------------------------------------------------------------------------------------ */

/* Whole pages, as the transfer goes; an address keeps its place in the page. */
static void transfers(void **state)
{
	static const struct {
		uint64_t phys;
		size_t len, pages;
	} c[] = {
		{ RAM, 1, 1 },
		{ RAM, 4096, 1 },
		{ RAM, 4097, 2 },
		{ RAM + 4095, 1, 1 },
		{ RAM + 4095, 2, 2 },
		{ RAM + 0x123, 8192, 3 },
		{ RAM + 0xffe, 4098, 2 },
		{ RAM + 0xffe, 4099, 3 },
		{ RAM + 5, 0, 1 },
		{ RAM, 0, 1 },
		{ RAM + 0x1000, 65536, 16 },
	};
	static const enum dma_dir dirs[] = { DMA_TO_DEVICE, DMA_FROM_DEVICE, DMA_BOTH };
	const struct mapping *m;
	dma_addr_t addr;
	char want[128];
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		const enum dma_dir dir = dirs[i % 3];

		below.calls[0] = '\0';
		assert_int_equal(map(&dev, c[i].phys, c[i].len, dir, &addr), 0);
		assert_true(addr == SPACE_BASE + c[i].phys % PAGE_SIZE);
		m = at(0x700, addr);
		assert_non_null(m);
		assert_true(m->first == SPACE_BASE);
		assert_true(m->last == SPACE_BASE + c[i].pages * PAGE_SIZE - 1);
		assert_true(m->phys == c[i].phys - c[i].phys % PAGE_SIZE);
		assert_int_equal(m->how, dir); /* IOMMU_READ is 1 and IOMMU_WRITE 2, as there */
		assert_int_equal(pages_mapped(), c[i].pages);
		top(&dev)->ops->sync_for_cpu(top(&dev), addr, phys_to_virt(c[i].phys), 3, dir);
		top(&dev)->ops->sync_for_device(top(&dev), addr, phys_to_virt(c[i].phys), 4, dir);
		unmap(&dev, addr, c[i].phys, c[i].len, dir);
		assert_int_equal(mapped(), 0);
		assert_int_equal(pages_mapped(), 0);
		snprintf(want, sizeof(want),
			 "map %llx %zu %d;cpu %llx 3 %d;device %llx 4 %d;unmap %llx %zu %d;",
			 (unsigned long long)c[i].phys, c[i].len, (int)dir,
			 (unsigned long long)c[i].phys, (int)dir, (unsigned long long)c[i].phys,
			 (int)dir, (unsigned long long)c[i].phys, c[i].len, (int)dir);
		assert_string_equal(below.calls, want);
	}
}

static void rings(void **state)
{
	const struct mapping *m;
	dma_addr_t addr = 0;
	void *p;

	(void)state;
	p = top(&dev)->ops->alloc(top(&dev), 5000, 64, &addr);
	assert_ptr_equal(p, phys_to_virt(RAM + 0x400000));
	assert_true(addr == SPACE_BASE);
	m = at(0x700, addr);
	assert_true(m->phys == RAM + 0x400000);
	assert_true(m->last == SPACE_BASE + 8191);
	assert_int_equal(m->how, 3);
	top(&dev)->ops->free(top(&dev), p, 5000, addr);
	assert_int_equal(mapped(), 0);
	assert_int_equal(pages_mapped(), 0);
	assert_string_equal(below.calls, "alloc 40400000 5000 64;free 40400000 5000 0;");
	/* What the IOMMU refuses goes back. */
	below.calls[0] = '\0';
	host.map = -ENOMEM;
	assert_null(top(&dev)->ops->alloc(top(&dev), 5000, 64, &addr));
	assert_string_equal(below.calls, "alloc 40400000 5000 64;free 40400000 5000 0;");
	assert_int_equal(pages_mapped(), 0);
	below.no_memory = true;
	host.maps = 0;
	assert_null(top(&dev)->ops->alloc(top(&dev), 5000, 64, &addr));
	assert_int_equal(host.maps, 0);
}

static void refusals(void **state)
{
	dma_addr_t addr = 77, again;

	(void)state;
	host.map = -EEXIST;
	assert_int_equal(map(&dev, RAM, 5000, DMA_TO_DEVICE, &addr), -EIO);
	assert_string_equal(below.calls, "map 40000000 5000 1;unmap 40000000 5000 1;");
	assert_int_equal(pages_mapped(), 0);
	host.map = 0;
	below.answer = -ENOSPC;
	host.maps = 0;
	assert_int_equal(map(&dev, RAM, 5000, DMA_TO_DEVICE, &addr), -ENOSPC);
	assert_int_equal(host.maps, 0);
	assert_int_equal(addr, 77);
	below.answer = 0;
	/* The addresses were given back. */
	assert_int_equal(map(&dev, RAM, 5000, DMA_TO_DEVICE, &addr), 0);
	assert_true(addr == SPACE_BASE);
	/* What cannot be unmapped is in reach for good: its addresses are nobody else's. */
	assert_int_equal(iommu_unmaps_refused(), 0);
	host.unmap = -EPROTO;
	below.calls[0] = '\0';
	unmap(&dev, addr, RAM, 5000, DMA_TO_DEVICE);
	assert_string_equal(below.calls, "unmap 40000000 5000 1;");
	assert_int_equal(iommu_unmaps_refused(), 1);
	assert_int_equal(pages_mapped(), 2);
	host.unmap = 0;
	assert_int_equal(map(&dev, RAM, 1, DMA_TO_DEVICE, &again), 0);
	assert_true(again == SPACE_BASE + 2 * PAGE_SIZE);
	host.unmap = -ETIMEDOUT;
	unmap(&dev, again, RAM, 1, DMA_TO_DEVICE);
	assert_int_equal(iommu_unmaps_refused(), 2);
}

/* An address that is none of the space's is unmapped by nobody. */
static void foreign(void **state)
{
	const struct {
		uint64_t addr;
		size_t len;
		bool ours;
	} c[] = {
		{ SPACE_BASE - 1, 1, false },
		{ SPACE_BASE - PAGE_SIZE, 2 * PAGE_SIZE, false },
		{ SPACE_BASE + WINDOW, 1, false },
		{ SPACE_BASE + WINDOW - PAGE_SIZE, PAGE_SIZE + 1, false },
		{ SPACE_BASE + WINDOW - 1, 2, false },
		{ RAM, 1, false },
		{ SPACE_BASE + WINDOW - PAGE_SIZE, PAGE_SIZE, true },
		{ SPACE_BASE, 1, true },
	};
	unsigned int i;

	(void)state;
	host.unmap = -ERANGE;
	for (i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		host.unmaps = 0;
		unmap(&dev, c[i].addr, RAM, c[i].len, DMA_BOTH);
		assert_int_equal(host.unmaps, c[i].ours);
	}
}

/* The lowest addresses that are free and enough, up to the last of the space. */
static void addresses(void **state)
{
	const uint64_t half = WINDOW / 2;
	dma_addr_t a, b, c, d;

	(void)state;
	assert_int_equal(map(&dev, RAM, WINDOW + 1, DMA_BOTH, &a), -ENOMEM);
	assert_int_equal(map(&dev, RAM, WINDOW, DMA_BOTH, &a), 0);
	assert_true(a == SPACE_BASE);
	assert_int_equal(pages_mapped(), SPACE_PAGES);
	assert_int_equal(map(&dev, RAM, 1, DMA_BOTH, &b), -ENOMEM);
	unmap(&dev, a, RAM, WINDOW, DMA_BOTH);
	assert_int_equal(map(&dev, RAM, 1, DMA_BOTH, &a), 0);
	assert_int_equal(map(&dev, RAM, half, DMA_BOTH, &b), 0);
	assert_int_equal(map(&dev, RAM, PAGE_SIZE, DMA_BOTH, &c), 0);
	assert_true(b == SPACE_BASE + PAGE_SIZE);
	assert_true(c == SPACE_BASE + PAGE_SIZE + half);
	assert_int_equal(map(&dev, RAM, half - 2 * PAGE_SIZE, DMA_BOTH, &d), 0);
	assert_true(d == c + PAGE_SIZE);
	assert_int_equal(map(&dev, RAM, 1, DMA_BOTH, &d), -ENOMEM);
	/* A hole that is too small is passed; the one that fits exactly is taken. */
	unmap(&dev, a, RAM, 1, DMA_BOTH);
	unmap(&dev, c, RAM, PAGE_SIZE, DMA_BOTH);
	assert_int_equal(map(&dev, RAM, PAGE_SIZE + 1, DMA_BOTH, &d), -ENOMEM);
	unmap(&dev, b, RAM, half, DMA_BOTH);
	assert_int_equal(map(&dev, RAM, half + 2 * PAGE_SIZE, DMA_BOTH, &d), 0);
	assert_true(d == SPACE_BASE);
	assert_int_equal(pages_mapped(), SPACE_PAGES);
}

/* Two devices have the same addresses for memory of their own. */
static void apart(void **state)
{
	struct device other;
	dma_addr_t a, b;

	(void)state;
	assert_int_equal(attach_to(&other, 0x0120), 0);
	assert_int_equal(map(&dev, RAM, 1, DMA_BOTH, &a), 0);
	assert_int_equal(map(&other, RAM + PAGE_SIZE, 1, DMA_BOTH, &b), 0);
	assert_true(a == b);
	assert_true(at(0x700, a)->phys == RAM);
	assert_true(at(0x701, a)->phys == RAM + PAGE_SIZE);
	unmap(&other, b, RAM + PAGE_SIZE, 1, DMA_BOTH);
	assert_non_null(at(0x700, a));
	assert_null(at(0x701, a));
	assert_int_equal(pages_mapped(), 1);
}

/* A start of the IOMMU forgets each mapping: nothing of before is unmapped, and the space begins anew. */
static void another_epoch(void **state)
{
	dma_addr_t old, a;

	(void)state;
	assert_int_equal(map(&dev, RAM, 5000, DMA_BOTH, &old), 0);
	assert_int_equal(host_start(FIRST), 0);
	below.calls[0] = '\0';
	unmap(&dev, old, RAM, 5000, DMA_BOTH);
	assert_int_equal(host.unmaps, 0);
	assert_string_equal(below.calls, "unmap 40000000 5000 3;");
	assert_int_equal(pages_mapped(), 2);
	assert_int_equal(device_attach(&dev), 0);
	assert_int_equal(host.attaches, 2);
	assert_int_equal(pages_mapped(), 0);
	assert_int_equal(map(&dev, RAM, 1, DMA_BOTH, &a), 0);
	assert_true(a == SPACE_BASE);
	/* The same device once more, without such a start: what is mapped stays. */
	assert_int_equal(device_attach(&dev), 0);
	assert_int_equal(host.attaches, 2);
	assert_int_equal(pages_mapped(), 1);
	/* An IOMMU that went down is started by the next device. */
	host_stop(FIRST);
	machine[0].lasting = false;
	host.starts = 0;
	assert_int_equal(device_attach(&dev), 0);
	assert_int_equal(host.starts, 1);
	assert_int_equal(host.attaches, 3);
	assert_int_equal(pages_mapped(), 0);
}

static void other_cpus(void **state)
{
	dma_addr_t addr;

	(void)state;
	hold(&spaces[0]->lock);
	assert_int_equal(map(&dev, RAM, 1, DMA_BOTH, &addr), 0);
	expect_waited();
	hold(&spaces[0]->lock);
	unmap(&dev, addr, RAM, 1, DMA_BOTH);
	expect_waited();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(asked_for, setup),
		cmocka_unit_test_setup(spaces_of_devices, setup),
		cmocka_unit_test_setup(two_iommus, setup),
		cmocka_unit_test_setup(up_before, setup),
		cmocka_unit_test_setup(no_space, setup),
		cmocka_unit_test_setup(transfers, setup_device),
		cmocka_unit_test_setup(rings, setup_device),
		cmocka_unit_test_setup(refusals, setup_device),
		cmocka_unit_test_setup(foreign, setup_device),
		cmocka_unit_test_setup(addresses, setup_device),
		cmocka_unit_test_setup(apart, setup_device),
		cmocka_unit_test_setup(another_epoch, setup_device),
		cmocka_unit_test_setup(other_cpus, setup_device),
	};

	return cmocka_run_group_tests_name("iommu_space", tests, NULL, setup);
}
