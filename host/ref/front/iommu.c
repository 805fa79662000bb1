/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults of a virtio-iommu. What an IOMMU does wrong is done here to what it is asked: a request is changed in the guest's
 * memory in front of its notification, so that a device that is right does, and answers, what one that is wrong would. What
 * its configuration shows wrong is a rule, as elsewhere.
 */
#include <endian.h>
#include <string.h>

#include "drivers/virtio/iommu.h"
#include "host/ref/front/rules.h"

#define PAGE	       4096u
#define NOWHERE_MAPPED 0x7000000000ull /* no test maps there */
#define BYPASS_AT      36
#define VRING_INDIRECT 4u

/* --- requests -------------------------------------------------------------------------------- */

struct ring_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

static uint64_t queue_part(const struct queue_seen *q, unsigned int part)
{
	return q->address[2 * part] | (uint64_t)q->address[2 * part + 1] << 32;
}

/* The request that descriptor `head` begins, the first piece of it, is changed where the fault wants it. */
static void one(const struct queue_seen *q, uint16_t head, request_fn change)
{
	union front_request r;
	struct ring_desc d;

	if (!plugin_read(queue_part(q, 0) + 16ull * head, &d, sizeof(d)))
		return;
	if (d.flags & VRING_INDIRECT && !plugin_read(d.addr, &d, sizeof(d)))
		return;
	memset(&r, 0, sizeof(r));
	if (d.len > sizeof(r) || !plugin_read(d.addr, &r, d.len) || !change(&r, d.len))
		return;
	if (plugin_write(d.addr, &r, d.len))
		fault_injected(plugin_fault());
}

void front_requests(struct place *p, request_fn change)
{
	const struct queue_seen *q = &p->queue[0];
	const uint16_t size = q->size ? q->size : q->max;
	const uint64_t avail = queue_part(q, 1);
	uint16_t idx, head;

	if (!(p->status & VIRTIO_S_DRIVER_OK) || !avail || !size)
		return;
	idx = (uint16_t)plugin_load(avail + 2, 2);
	for (; p->requests_seen != idx; p->requests_seen++) {
		head = (uint16_t)plugin_load(avail + 4 + 2u * (p->requests_seen % size), 2);
		if (head < size)
			one(q, head, change);
	}
}

/* --- what is asked instead ----------------------------------------------------------------------- */

static bool is(const union front_request *r, uint32_t len, enum viommu_type type)
{
	static const uint8_t size[] = { 0, 20, 20, 36, 28, 72 };

	return r->head.type == type && len >= size[type];
}

static bool unmap_ignored(union front_request *r, uint32_t len)
{
	if (!is(r, len, VIOMMU_T_UNMAP))
		return false;
	r->unmap.virt_start = htole64(NOWHERE_MAPPED);
	r->unmap.virt_end = htole64(NOWHERE_MAPPED + PAGE - 1);
	return true;
}

static bool unmap_short(union front_request *r, uint32_t len)
{
	const uint64_t start = le64toh(r->unmap.virt_start), end = le64toh(r->unmap.virt_end);

	if (!is(r, len, VIOMMU_T_UNMAP) || end - start < 2 * PAGE)
		return false;
	r->unmap.virt_end = htole64(end - PAGE);
	return true;
}

static bool unmap_all(union front_request *r, uint32_t len)
{
	if (!is(r, len, VIOMMU_T_UNMAP))
		return false;
	r->unmap.virt_start = 0;
	r->unmap.virt_end = UINT64_MAX;
	return true;
}

/* The last page of a range in a table of many levels is not looked at. */
static bool unmap_high_lost(union front_request *r, uint32_t len)
{
	return le64toh(r->unmap.virt_start) >> 32 && unmap_ignored(r, len);
}

static bool map_long(union front_request *r, uint32_t len)
{
	if (!is(r, len, VIOMMU_T_MAP))
		return false;
	r->map.virt_end = htole64(le64toh(r->map.virt_end) + PAGE);
	return true;
}

static bool map_from_below(union front_request *r, uint32_t len)
{
	if (!is(r, len, VIOMMU_T_MAP) || le64toh(r->map.phys_start) < PAGE)
		return false;
	r->map.virt_start = htole64(le64toh(r->map.virt_start) - PAGE);
	r->map.phys_start = htole64(le64toh(r->map.phys_start) - PAGE);
	return true;
}

static bool map_short(union front_request *r, uint32_t len)
{
	const uint64_t start = le64toh(r->map.virt_start), end = le64toh(r->map.virt_end);

	if (!is(r, len, VIOMMU_T_MAP) || end - start < PAGE)
		return false;
	r->map.virt_end = htole64(end - PAGE);
	return true;
}

static bool map_phys_cut(union front_request *r, uint32_t len)
{
	if (!is(r, len, VIOMMU_T_MAP) || !(le64toh(r->map.phys_start) >> 32))
		return false;
	r->map.phys_start = htole64(le64toh(r->map.phys_start) & UINT32_MAX);
	return true;
}

static bool map_next_page(union front_request *r, uint32_t len)
{
	if (!is(r, len, VIOMMU_T_MAP))
		return false;
	r->map.phys_start = htole64(le64toh(r->map.phys_start) + PAGE);
	return true;
}

static bool map_flags(union front_request *r, uint32_t len, uint32_t from, uint32_t to)
{
	const uint32_t flags = le32toh(r->map.flags);

	if (!is(r, len, VIOMMU_T_MAP) || (flags & 3) != from)
		return false;
	r->map.flags = htole32((flags & ~3u) | to);
	return true;
}

static bool read_only_writable(union front_request *r, uint32_t len)
{
	return map_flags(r, len, VIOMMU_MAP_READ, VIOMMU_MAP_READ | VIOMMU_MAP_WRITE);
}

static bool write_only_dead(union front_request *r, uint32_t len)
{
	return map_flags(r, len, VIOMMU_MAP_WRITE, VIOMMU_MAP_READ);
}

static bool writable_unreadable(union front_request *r, uint32_t len)
{
	return map_flags(r, len, VIOMMU_MAP_READ, 0);
}

static bool map_high_cut(union front_request *r, uint32_t len)
{
	const uint64_t start = le64toh(r->map.virt_start), end = le64toh(r->map.virt_end);

	if (!is(r, len, VIOMMU_T_MAP) || !(end >> 32))
		return false;
	r->map.virt_start = htole64(start & UINT32_MAX);
	r->map.virt_end = htole64(end & UINT32_MAX);
	return true;
}

static bool map_flags_unchecked(union front_request *r, uint32_t len)
{
	if (!is(r, len, VIOMMU_T_MAP) || !(le32toh(r->map.flags) & ~7u))
		return false;
	r->map.flags &= htole32(7);
	return true;
}

/* ATTACH has the length of DETACH: the endpoint stays where it is. */
static bool detach_ignored(union front_request *r, uint32_t len)
{
	if (!is(r, len, VIOMMU_T_DETACH))
		return false;
	r->attach.head.type = VIOMMU_T_ATTACH;
	r->attach.flags = 0;
	memset(r->attach.reserved, 0, sizeof(r->attach.reserved));
	return true;
}

static bool detach_reserved(union front_request *r, uint32_t len)
{
	if (!is(r, len, VIOMMU_T_DETACH) || !r->detach.reserved[0])
		return false;
	r->detach.domain = ~r->detach.domain;
	return true;
}

static bool attach_open(union front_request *r, uint32_t len)
{
	if (!is(r, len, VIOMMU_T_ATTACH) || r->attach.flags)
		return false;
	r->attach.flags = htole32(VIOMMU_ATTACH_BYPASS);
	return true;
}

static bool attach_closed(union front_request *r, uint32_t len)
{
	if (!is(r, len, VIOMMU_T_ATTACH) || le32toh(r->attach.flags) != VIOMMU_ATTACH_BYPASS)
		return false;
	r->attach.flags = 0;
	return true;
}

static bool attach_flags_unchecked(union front_request *r, uint32_t len)
{
	if (!is(r, len, VIOMMU_T_ATTACH) || !(le32toh(r->attach.flags) & ~1u))
		return false;
	r->attach.flags &= htole32(1);
	return true;
}

/* All requests but PROBE have the domain in the same place. */
static bool domain_bits(union front_request *r, uint32_t len, uint32_t bits)
{
	const uint32_t domain = le32toh(r->attach.domain);

	if (len < 20 || r->head.type == VIOMMU_T_PROBE || (domain & bits) == domain)
		return false;
	r->attach.domain = htole32(domain & bits);
	return true;
}

static bool one_domain(union front_request *r, uint32_t len)
{
	return domain_bits(r, len, 0);
}

static bool domain_low_bits(union front_request *r, uint32_t len)
{
	return domain_bits(r, len, 0xffff);
}

/* Someone who is there takes the place of who is not. */
static bool attach_anybody(union front_request *r, uint32_t len)
{
	static uint32_t somebody;

	if (!is(r, len, VIOMMU_T_ATTACH))
		return false;
	if (le32toh(r->attach.endpoint) < 0x10000) {
		somebody = r->attach.endpoint;
		return false;
	}
	r->attach.endpoint = somebody ? somebody : htole32(0x10);
	return true;
}

static bool probe_anybody(union front_request *r, uint32_t len)
{
	static uint32_t somebody;

	if (!is(r, len, VIOMMU_T_PROBE))
		return false;
	if (le32toh(r->probe.endpoint) < 0x10000) {
		somebody = r->probe.endpoint;
		return false;
	}
	r->probe.endpoint = somebody ? somebody : htole32(0x10);
	return true;
}

static bool head_reserved(union front_request *r, uint32_t len)
{
	if (len < 20 || !(r->head.reserved[0] | r->head.reserved[1] | r->head.reserved[2]))
		return false;
	r->head.type = 0xff;
	return true;
}

static bool probe_reserved(union front_request *r, uint32_t len)
{
	if (!is(r, len, VIOMMU_T_PROBE) || !r->probe.reserved[0])
		return false;
	r->probe.endpoint = ~r->probe.endpoint;
	return true;
}

/* The endpoint of the ATTACH before this one is attached once more. */
static bool attach_previous(union front_request *r, uint32_t len)
{
	static uint32_t previous;
	const uint32_t own = r->attach.endpoint;

	if (!is(r, len, VIOMMU_T_ATTACH))
		return false;
	if (previous && previous != own)
		r->attach.endpoint = previous;
	previous = own;
	return r->attach.endpoint != own;
}

/* Where the driver looks at it first. */
static bool comes_up(const struct place *p)
{
	return !(p->status & VIRTIO_S_DRIVER_OK);
}

const struct fault front_iommu[F_COUNT] = {
	/* Configuration. */
	[F_IOMMU_NO_PAGE] = { { LOAD(DEVICE, 0, 8, SET, 0) } },
	[F_IOMMU_NO_MAP_UNMAP] = { { FEATURES(AND, ~4u) } },
	[F_IOMMU_BYPASS_2] = { { LOAD(DEVICE, BYPASS_AT, 1, OR, 2) } },
	[F_IOMMU_BYPASS_STUCK] = { { LOAD(DEVICE, BYPASS_AT, 1, SET, 1) } },
	[F_IOMMU_BYPASS_OVER_RESET] = { { LOAD(DEVICE, BYPASS_AT, 1, SET, 1, .when = comes_up) } },
	[F_IOMMU_BYPASS_ALWAYS] = { { STORE(DEVICE, BYPASS_AT, 1, SET, 1) } },
	[F_IOMMU_DOMAINS_NONE] = { { LOAD(DEVICE, 24, 4, SET, 0xffffffff),
				     LOAD(DEVICE, 28, 4, SET, 0xfffffffe) } },
	[F_IOMMU_PROBE_SIZE_0] = { { LOAD(DEVICE, 32, 4, SET, 0) } },
	/* What is done with a request. */
	[F_IOMMU_UNMAP_IGNORED] = { .request = unmap_ignored },
	[F_IOMMU_UNMAP_SHORT] = { .request = unmap_short },
	[F_IOMMU_UNMAP_ALL] = { .request = unmap_all },
	[F_IOMMU_UNMAP_HIGH_LOST] = { .request = unmap_high_lost },
	[F_IOMMU_MAP_LONG] = { .request = map_long },
	[F_IOMMU_MAP_FROM_BELOW] = { .request = map_from_below },
	[F_IOMMU_MAP_SHORT] = { .request = map_short },
	[F_IOMMU_MAP_PHYS_CUT] = { .request = map_phys_cut },
	[F_IOMMU_MAP_NEXT_PAGE] = { .request = map_next_page },
	[F_IOMMU_READ_ONLY_WRITABLE] = { .request = read_only_writable },
	[F_IOMMU_WRITE_ONLY_DEAD] = { .request = write_only_dead },
	[F_IOMMU_READ_ONLY_DEAD] = { .request = writable_unreadable },
	[F_IOMMU_MAP_HIGH_CUT] = { .request = map_high_cut },
	[F_IOMMU_MAP_FLAGS_UNCHECKED] = { .request = map_flags_unchecked },
	[F_IOMMU_DETACH_IGNORED] = { .request = detach_ignored },
	[F_IOMMU_DETACH_RESERVED] = { .request = detach_reserved },
	[F_IOMMU_ATTACH_OPEN] = { .request = attach_open },
	[F_IOMMU_ATTACH_CLOSED] = { .request = attach_closed },
	[F_IOMMU_ATTACH_FLAGS_UNCHECKED] = { .request = attach_flags_unchecked },
	[F_IOMMU_ONE_DOMAIN] = { .request = one_domain },
	[F_IOMMU_DOMAIN_LOW_BITS] = { .request = domain_low_bits },
	[F_IOMMU_ATTACH_ANYBODY] = { .request = attach_anybody },
	[F_IOMMU_ATTACH_PREVIOUS] = { .request = attach_previous },
	[F_IOMMU_PROBE_ANYBODY] = { .request = probe_anybody },
	[F_IOMMU_HEAD_RESERVED] = { .request = head_reserved },
	[F_IOMMU_PROBE_RESERVED] = { .request = probe_reserved },
};
