/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lib/device.h: back ends stack for each device. A device behind a fake IOMMU gets addresses of its own, what
 * the bounce pool copies is mapped there, and a device beside it sees physical addresses. Messages go through
 * the back end that a policy gave the device.
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

#include "kvmpv/bounce.h"
#include "kvmpv/protect.h"
#include "lib/device.h"
#include "lib/irq.h"
#include "lib/mem.h"

#define BEHIND 0x0108 /* the requester that the fake IOMMU translates */
#define IOVA   0x700000000000ull

/* --- lib/ without a machine ------------------------------------------------------------ */

void *mem_pages(size_t n, size_t align)
{
	void *p = aligned_alloc(align, n * PAGE_SIZE);

	if (p)
		memset(p, 0, n * PAGE_SIZE);
	return p;
}

void mem_pages_free(void *p, size_t n)
{
	(void)n;
	free(p);
}

uint64_t mem_free_bytes(void)
{
	return 1u << 20;
}

void mem_keep(size_t n)
{
	(void)n;
}

int64_t protect_share(uint64_t gfn, uint64_t npages)
{
	(void)gfn;
	(void)npages;
	return 0;
}

int irq_message_direct(int vector, unsigned int cpu, uint64_t *addr, uint32_t *data)
{
	*addr = 0xfee00000 + (uint64_t)cpu * 4096;
	*data = (uint32_t)vector;
	return 0;
}

/* --- a fake IOMMU that records what it is asked ------------------------------------------- */

static struct {
	char calls[512];
	void *buf; /* of the last map */
	dma_addr_t lower;
	unsigned int live;
	int answer;
} unit;

static void note(const char *what, size_t len)
{
	const size_t at = strlen(unit.calls);

	snprintf(unit.calls + at, sizeof(unit.calls) - at, "%s %u;", what, (unsigned int)len);
}

static void *unit_alloc(struct dma_layer *l, size_t size, size_t align, dma_addr_t *addr)
{
	void *p = l->lower->ops->alloc(l->lower, size, align, addr);

	note("alloc", size);
	*addr += IOVA;
	return p;
}

static void unit_free(struct dma_layer *l, void *p, size_t size, dma_addr_t addr)
{
	note("free", size);
	l->lower->ops->free(l->lower, p, size, addr - IOVA);
}

static int unit_map(struct dma_layer *l, void *buf, size_t len, enum dma_dir dir, dma_addr_t *addr)
{
	const int ret = unit.answer ? unit.answer :
				      l->lower->ops->map(l->lower, buf, len, dir, addr);

	note("map", len);
	if (ret)
		return ret;
	unit.buf = buf;
	unit.lower = *addr;
	unit.live++;
	/* All devices' addresses start at the same place; bits of the offset within a page stay. */
	*addr = IOVA + unit.live * PAGE_SIZE + *addr % PAGE_SIZE;
	return 0;
}

static void unit_unmap(struct dma_layer *l, dma_addr_t addr, void *buf, size_t len,
		       enum dma_dir dir)
{
	(void)l;
	(void)buf;
	(void)dir;
	assert_true(addr >= IOVA);
	note("unmap", len);
	unit.live--;
}

static void unit_for_cpu(struct dma_layer *l, dma_addr_t addr, void *buf, size_t len,
			 enum dma_dir dir)
{
	(void)l;
	(void)buf;
	(void)dir;
	assert_true(addr >= IOVA);
	note("cpu", len);
}

static void unit_for_device(struct dma_layer *l, dma_addr_t addr, void *buf, size_t len,
			    enum dma_dir dir)
{
	(void)l;
	(void)buf;
	(void)dir;
	assert_true(addr >= IOVA);
	note("device", len);
}

static const struct dma_ops unit_ops = {
	.name = "unit",
	.restricted = true,
	.alloc = unit_alloc,
	.free = unit_free,
	.map = unit_map,
	.unmap = unit_unmap,
	.sync_for_cpu = unit_for_cpu,
	.sync_for_device = unit_for_device,
};

static int unit_message(struct device *d, int vector, unsigned int cpu, uint64_t *addr,
			uint32_t *data)
{
	*addr = 0xfee00010 | (uint64_t)d->requester << 5;
	*data = (uint32_t)vector << 16 | cpu;
	return 0;
}

static const struct irq_backend unit_irq = { "unit", unit_message };

static int attach_unit(struct device *d)
{
	if (d->bus != DEVICE_PCI || d->requester != BEHIND)
		return 0;
	d->irq = &unit_irq;
	return dma_push(d, &unit_ops, NULL);
}

static struct device_policy policy = { .level = DEVICE_LEVEL_TRANSLATE, .attach = attach_unit };

static int set_up(void **state)
{
	(void)state;
	memset(&unit, 0, sizeof(unit));
	return 0;
}

static void attached(struct device *d, uint16_t requester)
{
	device_init_pci(d, 0, requester);
	assert_int_equal(device_attach(d), 0);
}

/* --- tests ------------------------------------------------------------------------------ */

static void names(void **state)
{
	struct device d;

	(void)state;
	device_init_pci(&d, 0, 0x0119);
	assert_string_equal(d.name, "pci 01:03.1");
	device_init_pci(&d, 2, 0xffff);
	assert_string_equal(d.name, "pci 0002:ff:1f.7");
	device_init_mmio(&d, 0xfeb00e00);
	assert_string_equal(d.name, "mmio 0xfeb00e00");
	assert_int_equal(d.bus, DEVICE_MMIO);
	device_init_none(&d, "mine");
	assert_string_equal(d.name, "mine");
	assert_false(dma_restricted(&d));
}

static void direct(void **state)
{
	struct device d;
	uint64_t addr;
	uint32_t data;
	char buf[16];

	(void)state;
	attached(&d, BEHIND);
	assert_int_equal(dma_map(&d, buf, sizeof(buf), DMA_TO_DEVICE, &addr), 0);
	assert_int_equal(addr, virt_to_phys(buf));
	assert_int_equal(dma_map(&d, NULL, 1, DMA_TO_DEVICE, &addr), -EINVAL);
	assert_int_equal(irq_message(&d, 0x41, 2, &addr, &data), 0);
	assert_int_equal(addr, 0xfee02000);
	assert_int_equal(data, 0x41);
}

/* Only the device behind the IOMMU is translated, for DMA and messages. */
static void translated(void **state)
{
	struct device in, out;
	uint64_t addr;
	uint32_t data;
	char buf[16];
	void *p;

	(void)state;
	device_policy_add(&policy);
	attached(&in, BEHIND);
	attached(&out, BEHIND + 1);
	assert_true(dma_restricted(&in));
	assert_false(dma_restricted(&out));
	assert_int_equal(dma_map(&out, buf, sizeof(buf), DMA_BOTH, &addr), 0);
	assert_int_equal(addr, virt_to_phys(buf));
	assert_int_equal(dma_map(&in, buf, sizeof(buf), DMA_BOTH, &addr), 0);
	assert_true(addr >= IOVA);
	dma_sync_for_cpu(&in, addr, buf, 3, DMA_BOTH);
	dma_sync_for_device(&in, addr, buf, 5, DMA_BOTH);
	dma_unmap(&in, addr, buf, sizeof(buf), DMA_BOTH);
	p = dma_alloc(&in, 100, 64, &addr);
	assert_int_equal(addr, virt_to_phys(p) + IOVA);
	dma_free(&in, p, 100, addr);
	assert_string_equal(unit.calls, "map 16;cpu 3;device 5;unmap 16;alloc 100;free 100;");
	assert_int_equal(irq_message(&in, 0x41, 2, &addr, &data), 0);
	assert_int_equal(addr, 0xfee00010 | BEHIND << 5);
	assert_int_equal(irq_message(&out, 0x41, 2, &addr, &data), 0);
	assert_int_equal(addr, 0xfee02000);
	device_policy_remove(&policy);
	assert_int_equal(device_attach(&in), 0);
	assert_false(dma_restricted(&in));
}

/* The pool's slots are what the IOMMU maps, never the buffer, whichever policy came first. */
static void bounced_and_translated(void **state)
{
	static uint8_t buf[5000] __attribute__((aligned(BOUNCE_SLOT)));
	struct device in, out;
	dma_addr_t addr, other;
	struct bounce_stats b;
	uint8_t *p;

	(void)state;
	assert_int_equal(bounce_init(protect_share), 0);
	device_policy_add(&policy);
	device_policy_add(&policy); /* twice is once */
	attached(&in, BEHIND);
	attached(&out, BEHIND + 1);
	assert_int_equal(in.dma_layers, 3);
	assert_int_equal(out.dma_layers, 2);
	bounce_stats(&b);

	memset(buf, 0x5a, sizeof(buf));
	assert_int_equal(dma_map(&in, buf, sizeof(buf), DMA_BOTH, &addr), 0);
	assert_true(addr >= IOVA);
	assert_true(unit.lower >= b.base && unit.lower + sizeof(buf) <= b.base + b.size);
	assert_memory_equal(unit.buf, buf, sizeof(buf));
	assert_int_equal(dma_map(&out, buf, sizeof(buf), DMA_BOTH, &other), 0);
	assert_true(other >= b.base && other + sizeof(buf) <= b.base + b.size);

	/* Each gets what its own device wrote. */
	memset(unit.buf, 0x11, sizeof(buf));
	memset(phys_to_virt(other), 0x22, sizeof(buf));
	dma_sync_for_cpu(&in, addr, buf, sizeof(buf), DMA_BOTH);
	assert_int_equal(buf[4999], 0x11);
	dma_sync_for_cpu(&out, other, buf, sizeof(buf), DMA_BOTH);
	assert_int_equal(buf[4999], 0x22);
	dma_sync_for_device(&in, addr, buf, 7, DMA_BOTH);
	assert_int_equal(((uint8_t *)unit.buf)[6], 0x22);
	assert_int_equal(((uint8_t *)unit.buf)[7], 0x11);
	/* An address of the other one is nobody's here. */
	dma_unmap(&out, addr, buf, sizeof(buf), DMA_BOTH);
	dma_unmap(&in, other, buf, sizeof(buf), DMA_BOTH);
	bounce_stats(&b);
	assert_int_equal(b.used, 6);
	dma_unmap(&in, addr, buf, sizeof(buf), DMA_BOTH);
	dma_unmap(&out, other, buf, sizeof(buf), DMA_BOTH);
	assert_string_equal(unit.calls, "map 5000;cpu 5000;device 7;unmap 5000;");

	p = dma_alloc(&in, 3000, 4096, &addr);
	assert_true(addr >= IOVA && (uintptr_t)p >= b.base);
	dma_free(&in, p, 3000, addr);
	bounce_stats(&b);
	assert_int_equal(b.used, 0);
	assert_int_equal(unit.live, 0);
	assert_true(bounce_scrubbed());

	/* What the IOMMU refuses goes back to the pool. */
	unit.answer = -ENOMEM;
	assert_int_equal(dma_map(&in, buf, sizeof(buf), DMA_BOTH, &addr), -ENOMEM);
	assert_null(dma_alloc(&in, 3000, 4096, &addr));
	bounce_stats(&b);
	assert_int_equal(b.used, 0);
	assert_true(bounce_scrubbed());
	device_policy_remove(&policy);
}

/* A device that a policy cannot serve is not used: the caller hears of it. */
static int refuse(struct device *d)
{
	(void)d;
	return -EIO;
}

static void refused(void **state)
{
	static struct device_policy none = { .level = DEVICE_LEVEL_TRANSLATE, .attach = refuse };
	struct device d;

	(void)state;
	device_policy_add(&none);
	device_init_pci(&d, 0, BEHIND);
	assert_int_equal(device_attach(&d), -EIO);
	device_policy_remove(&none);
	assert_int_equal(device_attach(&d), 0);
	while (dma_push(&d, &dma_direct_ops, NULL) == 0)
		assert_true(d.dma_layers <= DMA_MAX_LAYERS);
	assert_int_equal(dma_push(&d, &dma_direct_ops, NULL), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(names, set_up),
		cmocka_unit_test_setup(direct, set_up),
		cmocka_unit_test_setup(translated, set_up),
		cmocka_unit_test_setup(bounced_and_translated, set_up),
		cmocka_unit_test_setup(refused, set_up),
	};

	return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
