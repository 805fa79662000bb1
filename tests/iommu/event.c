/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iommu.event.*: a DMA that was stopped is reported, with who did what where (virtio 1.4, 5.13.6.9).
 *
 * How hosts break it: the endpoint is that of the IOMMU, the address that of the page or of the end of the access, the
 * direction is always READ; a flood without buffers ends reports for good.
 */
#include "tests/iommu/env.h"

#define OWNER OWNER_VIOMMU

static void drain(struct viommu *v)
{
	struct viommu_fault f;
	uint32_t len;
	unsigned int i;

	for (i = 0; i < 1000 && viommu_fault_get(v, &f, &len) > 0; i++)
		;
}

/* Waits for a report; one that is not due FAILs by what it says. */
static bool next_fault(struct test_ctx *t, struct viommu *v, struct viommu_fault *f)
{
	uint32_t len = 0;
	int ret = 0;

	(void)wait_for((ret = viommu_fault_get(v, f, &len)) != 0, 2 * test_sec());
	require(t, ret >= 0, "the event queue is broken");
	if (ret > 0)
		expect(t, len >= sizeof(*f) - sizeof(f->address), "a report of %u bytes",
		       (unsigned int)len);
	return ret > 0;
}

struct expected {
	uint8_t reason;
	uint32_t flag;
	uint64_t address;
};

static void is_reported(struct test_ctx *t, struct viommu *v, const struct endpoint *e,
			const struct expected *x, const char *what)
{
	const uint32_t known = VIOMMU_FAULT_READ | VIOMMU_FAULT_WRITE | VIOMMU_FAULT_ADDRESS;
	struct viommu_fault f;
	uint32_t flags;

	require(t, next_fault(t, v, &f), "%s of %s %s is not reported", what, e->a->dev.name,
		e->a->kind);
	flags = le32_to_cpu(f.flags);
	expect_eq(t, le32_to_cpu(f.endpoint), e->id, "endpoint of the report of %s", what);
	expect(t, f.reason == x->reason || f.reason == VIOMMU_FAULT_UNKNOWN,
	       "reason of the report of %s: expected %u, seen %u", what, x->reason, f.reason);
	if (flags & (VIOMMU_FAULT_READ | VIOMMU_FAULT_WRITE))
		expect_eq(t, flags & (VIOMMU_FAULT_READ | VIOMMU_FAULT_WRITE), x->flag,
			  "READ and WRITE of the report of %s", what);
	if (flags & VIOMMU_FAULT_ADDRESS)
		expect_eq(t, le64_to_cpu(f.address), x->address, "address of the report of %s",
			  what);
	else
		test_note(t, "the report of %s has no address", what);
	if (flags & ~known)
		test_note(t, "the report of %s has flags 0x%x", what, (unsigned int)flags);
	if (f.reserved[0] | f.reserved[1] | f.reserved[2] | f.reserved1)
		test_note(t, "the report of %s has reserved bytes that are not zero", what);
}

TEST(event_write,
     .id = "iommu.event.write",
     .clause = "virtio 1.4, 5.13.6.9: a write that is stopped is reported: reason, address, WRITE; 5.13.6.9.2 SHOULD: a valid endpoint",
     .owner = OWNER,
     .needs = NEED_VIOMMU | NEED_ENDPOINT,
     .timeout = 30 * SEC)
{
	struct viommu *v = viommu_up(t);
	const uint32_t domain = domain_of(0);
	uint8_t *page = iommu_pages(t, 1);
	const uint64_t at = iova_of(2);
	struct endpoint e;
	unsigned int i;

	for (i = 0; endpoint_get(t, i, &e); i++) {
		drain(v);
		dma_store(t, &e, at + 0x10, 4);
		is_reported(t, v, &e,
			    &(struct expected){ VIOMMU_FAULT_DOMAIN, VIOMMU_FAULT_WRITE,
						at + 0x10 },
			    "a write without a domain");
		attach(t, &e, domain);
		drain(v);
		dma_store(t, &e, at + 0x20, 4);
		is_reported(t, v, &e,
			    &(struct expected){ VIOMMU_FAULT_MAPPING, VIOMMU_FAULT_WRITE,
						at + 0x20 },
			    "a write to what is not mapped");
		map(t, domain, at, page, 1, IOMMU_READ);
		drain(v);
		dma_store(t, &e, at + 0x30, 4);
		is_reported(t, v, &e,
			    &(struct expected){ VIOMMU_FAULT_MAPPING, VIOMMU_FAULT_WRITE,
						at + 0x30 },
			    "a write to a read mapping");
		detach(t, &e, domain);
	}
}

TEST(event_read,
     .id = "iommu.event.read",
     .clause = "virtio 1.4, 5.13.6.9: a read that is stopped is reported: reason, address, READ",
     .owner = OWNER,
     .needs = NEED_VIOMMU | NEED_READER,
     .timeout = 30 * SEC)
{
	struct viommu *v = viommu_up(t);
	const uint64_t at = iova_of(2);
	const struct endpoint e = endpoint_reader(t);

	attach(t, &e, domain_of(0));
	drain(v);
	dma_load(t, &e, at + 0x40, 4);
	is_reported(t, v, &e,
		    &(struct expected){ VIOMMU_FAULT_MAPPING, VIOMMU_FAULT_READ, at + 0x40 },
		    "a read of what is not mapped");
}

TEST(event_none,
     .id = "iommu.event.none",
     .clause = "virtio 1.4, 5.13.6.9: what is reported is a fault, which allowed DMA and refused requests are not",
     .owner = OWNER,
     .needs = NEED_VIOMMU | NEED_ENDPOINT,
     .timeout = 30 * SEC)
{
	struct viommu *v = viommu_up(t);
	const uint32_t domain = domain_of(0);
	uint8_t *page = iommu_pages(t, 1);
	const uint64_t at = iova_of(2);
	struct viommu_fault f;
	struct endpoint e;
	uint32_t len;
	unsigned int i;

	for (i = 0; endpoint_get(t, i, &e); i++) {
		attach(t, &e, domain);
		map(t, domain, at, page, 1, RW);
		drain(v);
		dma_reaches(t, &e, at, page, 0, 4000, "in a mapping");
		(void)viommu_map(v, domain, at, at + granule() - 1, 0x100000, RW);
		(void)viommu_unmap(v, domain_of(2), at, at + granule() - 1);
		/* One that is due comes behind all that are not. */
		dma_store(t, &e, iova_of(3) + 0x10, 4);
		is_reported(t, v, &e,
			    &(struct expected){ VIOMMU_FAULT_MAPPING, VIOMMU_FAULT_WRITE,
						iova_of(3) + 0x10 },
			    "the only access that was stopped");
		expect(t, !wait_for(viommu_fault_get(v, &f, &len) != 0, test_sec() / 50),
		       "%s %s: a fault is reported, and there was none", e.a->dev.name, e.a->kind);
		detach(t, &e, domain);
	}
}

TEST(event_flood,
     .id = "iommu.event.no_buffer",
     .clause = "virtio 1.4, 5.13.6.9: without a buffer a report waits or is dropped; all else goes on",
     .owner = OWNER,
     .needs = NEED_VIOMMU | NEED_ENDPOINTS,
     .liveness = 1,
     .timeout = 60 * SEC)
{
	struct viommu *v = viommu_up(t);
	const uint32_t domain = domain_of(0);
	uint8_t *page = iommu_pages(t, 1);
	const uint64_t at = iova_of(2);
	struct viommu_fault f;
	struct endpoint e[2];
	unsigned int i, n;
	uint32_t len;

	endpoint_two(t, e);
	n = e[0].a->reads ? 4 : 200;
	viommu_fault_room(v, 0);
	attach(t, &e[0], domain);
	for (i = 0; i < n; i++) /* what the device has is used up on the way */
		dma_store(t, &e[0], at + 8 * i, 4);
	map(t, domain, at, page, 1, RW);
	dma_reaches(t, &e[0], at, page, 0, 64, "behind a flood of faults");
	unmap(t, domain, at, 1);
	viommu_fault_room(v, 64);
	for (i = 0; i < 2 * n && viommu_fault_get(v, &f, &len) > 0; i++)
		;
	expect(t, i <= n, "%u faults are reported, there were %u", i, n);
	drain(v);
	dma_store(t, &e[0], at + 0x50, 4);
	is_reported(t, v, &e[0],
		    &(struct expected){ VIOMMU_FAULT_MAPPING, VIOMMU_FAULT_WRITE, at + 0x50 },
		    "a write behind a flood of faults");
}
