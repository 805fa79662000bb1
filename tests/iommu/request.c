/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iommu.request.*, iommu.attach.*, iommu.detach.*, iommu.map.*, iommu.unmap.*, iommu.probe.*: each request and what has to
 * be answered (virtio 1.4, 5.13.6).
 *
 * How hosts break it: reserved bytes are not looked at, so that a later driver's request is carried out as something else;
 * a range is compared by its first address only; an UNMAP removes half of a mapping and says that it failed; an end of
 * 2^64 - 1 becomes a length of 0.
 *
 * A refusal has to change nothing: each test looks for that by requests that must succeed afterwards.
 */
#include <string.h>

#include "tests/iommu/env.h"

#define OWNER OWNER_VIOMMU
_Static_assert(RW == (VIOMMU_MAP_READ | VIOMMU_MAP_WRITE), "the requests' flags");

static struct endpoint first(struct test_ctx *t)
{
	struct endpoint e;

	if (!endpoint_get(NULL, 0, &e))
		test_error(t, "no endpoint");
	return e;
}

/* Whether there is such a domain; a device that says nothing FAILs the test and ends it. */
static bool exists(struct test_ctx *t, struct viommu *v, uint32_t domain)
{
	const int s = viommu_unmap(v, domain, 0, granule() - 1);

	require(t, s >= VIOMMU_S_OK, "UNMAP: %s", viommu_status_name(s));
	return s == VIOMMU_S_OK;
}

/* --- any request ------------------------------------------------------------------------------- */

TEST(iommu_unknown,
     .id = "iommu.request.unknown_type",
     .clause = "virtio 1.4, 5.13.6.2 SHOULD: a request of an unknown type is not written to, and its used length is 0",
     .owner = OWNER,
     .needs = NEED_VIOMMU,
     .liveness = 1)
{
	static const uint8_t types[] = { 0, 6, 0x40, 0x80, 0xff };
	struct viommu *v = viommu_up(t);
	unsigned int i, k;

	for (i = 0; i < sizeof(types); i++) {
		uint8_t req[64] = { types[i] }, in[16];
		uint32_t used = 0;
		const int ret = viommu_request(v, req, sizeof(req), in, sizeof(in), &used);

		require(t, ret == 0, "a request of type %u does not come back", types[i]);
		if (used)
			test_note(t, "a request of type %u: used length %u, status %u", types[i],
				  (unsigned int)used, in[0]);
		expect(t, used <= sizeof(in), "a request of type %u: used length %u of %u bytes",
		       types[i], (unsigned int)used, (unsigned int)sizeof(in));
		for (k = used ? sizeof(in) : 0; k < sizeof(in); k++)
			expect(t, in[k] == 0xa5, "a request of type %u: byte %u is written",
			       types[i], k);
	}
	answers(t, viommu_unmap(v, domain_of(0), 0, 0xfff), VIOMMU_S_NOENT, SHOULD,
		"an UNMAP afterwards");
}

TEST(iommu_reserved,
     .id = "iommu.request.reserved",
     .clause = "virtio 1.4, 5.13.6.2 MUST: reserved bytes of a request's head are ignored; SHOULD: those of its tail are zero",
     .owner = OWNER,
     .needs = NEED_VIOMMU | NEED_ENDPOINT)
{
	struct viommu *v = viommu_up(t);
	const struct endpoint e = first(t);
	const struct viommu_attach req = { .head = { VIOMMU_T_ATTACH, { 0xff, 0x5a, 0x01 } },
					   .domain = cpu_to_le32(domain_of(0)),
					   .endpoint = cpu_to_le32(e.id) };
	struct viommu_tail tail;
	uint32_t used;

	require(t, viommu_request(v, &req, sizeof(req), &tail, sizeof(tail), &used) == 0,
		"ATTACH does not come back");
	expect_eq(t, used, sizeof(tail), "used length of ATTACH");
	answers(t, tail.status, VIOMMU_S_OK, MUST, "ATTACH with reserved bytes in its head");
	if (tail.reserved[0] | tail.reserved[1] | tail.reserved[2])
		test_note(t, "reserved bytes of the tail: %02x %02x %02x", tail.reserved[0],
			  tail.reserved[1], tail.reserved[2]);
	detach(t, &e, domain_of(0));
}

/* A request without a whole head, or without room for a tail: it comes back, or the device wants a reset. */
static void is_survived(struct test_ctx *t, const struct viommu_attach *req, uint32_t len,
			uint32_t in_len)
{
	struct viommu *v = viommu_get(0);
	struct virtio_device *d = viommu_device(v);
	uint8_t in[sizeof(struct viommu_tail)];
	uint32_t used;
	const int ret = viommu_request(v, req, len, in, in_len, &used);

	expect(t, ret == 0 || d->ops->get_status(d) & VIRTIO_S_NEEDS_RESET,
	       "ATTACH of %u bytes, %u for its tail: it does not come back, and no reset is wanted",
	       (unsigned int)len, (unsigned int)in_len);
	if (ret)
		(void)viommu_up(t);
}

/* Each length that a request may be cut to, with room for a tail and without. */
TEST(iommu_short,
     .id = "iommu.request.too_short",
     .clause = "virtio 1.4, 5.13.6: a request that is too small is returned, and not carried out",
     .owner = OWNER,
     .needs = NEED_VIOMMU | NEED_ENDPOINT,
     .liveness = 1,
     .timeout = 20 * SEC)
{
	struct viommu *v = viommu_up(t);
	const struct endpoint e = first(t);
	const struct viommu_attach req = { .head.type = VIOMMU_T_ATTACH,
					   .domain = cpu_to_le32(domain_of(0)),
					   .endpoint = cpu_to_le32(e.id) };
	uint8_t in[sizeof(struct viommu_tail)];
	uint32_t used, len;

	for (len = sizeof(req.head); len < sizeof(req); len++) {
		require(t, viommu_request(v, &req, len, in, sizeof(in), &used) == 0,
			"ATTACH of %u bytes does not come back", (unsigned int)len);
		expect(t, used == 0 || in[0] != VIOMMU_S_OK, "ATTACH of %u bytes succeeds",
		       (unsigned int)len);
	}
	expect(t, !exists(t, v, domain_of(0)), "an ATTACH that was cut off attaches");
	for (len = 1; len < sizeof(req.head); len++)
		is_survived(t, &req, len, sizeof(in));
	for (len = 0; len < sizeof(in); len++)
		is_survived(t, &req, sizeof(req), len);
	/* Whether the last ones attached cannot be told. */
	(void)viommu_detach(v, domain_of(0), e.id);
	attach(t, &e, domain_of(1));
	detach(t, &e, domain_of(1));
}

/* --- ATTACH and DETACH --------------------------------------------------------------------------- */

TEST(iommu_attach_refused,
     .id = "iommu.attach.refused",
     .clause = "virtio 1.4, 5.13.6.3.2 MUST: ATTACH with an unknown flag is INVAL, of an endpoint that is not there NOENT",
     .owner = OWNER,
     .needs = NEED_VIOMMU | NEED_ENDPOINT)
{
	struct viommu *v = viommu_up(t);
	const struct endpoint e = first(t);
	const uint32_t domain = domain_of(0);
	unsigned int bit;

	for (bit = 1; bit < 32; bit++)
		answers(t, viommu_attach(v, domain, e.id, 1u << bit), VIOMMU_S_INVAL, MUST,
			"ATTACH with flag bit %u", bit);
	if (!virtio_has(viommu_device(v), VIOMMU_F_BYPASS_CONFIG))
		answers(t, viommu_attach(v, domain, e.id, VIOMMU_ATTACH_BYPASS), VIOMMU_S_INVAL,
			MUST, "ATTACH with BYPASS, which is not negotiated");
	answers(t, viommu_attach(v, domain, endpoint_nobody(), 0), VIOMMU_S_NOENT, MUST,
		"ATTACH of an endpoint that is not there");
	expect(t, !exists(t, v, domain), "the domain of an ATTACH that was refused is there");
	attach(t, &e, domain);
	expect(t, exists(t, v, domain), "the domain of an ATTACH is not there");
	detach(t, &e, domain);
}

TEST(iommu_attach_reserved,
     .id = "iommu.attach.reserved",
     .clause = "virtio 1.4, 5.13.6.3.2 MUST: ATTACH whose reserved field is not zero is INVAL",
     .owner = OWNER,
     .needs = NEED_VIOMMU | NEED_ENDPOINT)
{
	struct viommu *v = viommu_up(t);
	const struct endpoint e = first(t);
	unsigned int i;

	for (i = 0; i < 4; i++) {
		struct viommu_attach req = { .head.type = VIOMMU_T_ATTACH,
					     .domain = cpu_to_le32(domain_of(0)),
					     .endpoint = cpu_to_le32(e.id) };

		req.reserved[i] = 0x80;
		answers(t, viommu_status(v, &req, sizeof(req)), VIOMMU_S_INVAL, MUST,
			"ATTACH with byte %u of reserved set", i);
	}
	expect(t, !exists(t, v, domain_of(0)), "the domain of an ATTACH that was refused is there");
}

TEST(iommu_attach_again,
     .id = "iommu.attach.again",
     .clause = "virtio 1.4, 5.13.6.3.2 SHOULD: ATTACH of an attached endpoint is DETACH and ATTACH, or UNSUPP; an empty domain ceases to exist",
     .owner = OWNER,
     .needs = NEED_VIOMMU | NEED_ENDPOINT)
{
	struct viommu *v = viommu_up(t);
	const struct endpoint e = first(t);
	const uint32_t a = domain_of(0), b = domain_of(1);
	uint8_t *page = iommu_pages(t, 1);
	int s;

	attach(t, &e, a);
	map(t, a, iova_of(0), page, 1, RW);
	s = viommu_attach(v, b, e.id, 0);
	if (s == VIOMMU_S_UNSUPP)
		test_skip(t, "an attached endpoint cannot change its domain (UNSUPP)");
	answers(t, s, VIOMMU_S_OK, SHOULD, "ATTACH to a second domain");
	expect(t, !exists(t, v, a), "the first domain is there, and no endpoint is attached to it");
	expect(t, exists(t, v, b), "the second domain is not there");
	/* The first one's ID names a new domain, which has no mapping. */
	attach(t, &e, a);
	map(t, a, iova_of(0), page, 1, RW);
	detach(t, &e, a);
}

TEST(iommu_attach_same,
     .id = "iommu.attach.same",
     .clause = "virtio 1.4, 5.13.6.3.2: an endpoint is attached to one domain at a time",
     .owner = OWNER,
     .needs = NEED_VIOMMU | NEED_ENDPOINT)
{
	struct viommu *v = viommu_up(t);
	const struct endpoint e = first(t);
	const uint32_t a = domain_of(0);
	const int s = (attach(t, &e, a), viommu_attach(v, a, e.id, 0));

	expect(t, s == VIOMMU_S_OK || s == VIOMMU_S_UNSUPP,
	       "ATTACH to the domain that it is attached to: %s", viommu_status_name(s));
	expect(t, exists(t, v, a), "the domain is not there");
	detach(t, &e, a);
	expect(t, !exists(t, v, a), "one DETACH does not undo two ATTACHes");
}

TEST(iommu_attach_shared,
     .id = "iommu.attach.shared",
     .clause = "virtio 1.4, 5.13.6.3.2 MUST: a second endpoint is attached, or UNSUPP; the domain is there until the last is detached",
     .owner = OWNER,
     .needs = NEED_VIOMMU | NEED_ENDPOINTS)
{
	struct viommu *v = viommu_up(t);
	const uint32_t a = domain_of(0);
	struct endpoint e[2];
	int s;

	endpoint_two(t, e);
	attach(t, &e[0], a);
	s = viommu_attach(v, a, e[1].id, 0);
	if (s == VIOMMU_S_UNSUPP)
		test_skip(t, "two endpoints cannot share a domain (UNSUPP)");
	answers(t, s, VIOMMU_S_OK, MUST, "ATTACH of a second endpoint");
	detach(t, &e[0], a);
	expect(t, exists(t, v, a), "the domain is gone with its first endpoint");
	detach(t, &e[1], a);
	expect(t, !exists(t, v, a), "the domain is there, and no endpoint is attached to it");
}

TEST(iommu_attach_bypass,
     .id = "iommu.attach.bypass_flag",
     .clause = "virtio 1.4, 5.13.6.3.2 SHOULD: BYPASS agrees with the domain; 5.13.6.5.2, 5.13.6.6.2 SHOULD: MAP and UNMAP on a bypass domain are INVAL",
     .owner = OWNER,
     .needs = NEED_VIOMMU | NEED_ENDPOINTS)
{
	struct viommu *v = viommu_up(t);
	const uint32_t plain = domain_of(0), open = domain_of(1);
	struct endpoint e[2];

	if (!virtio_has(viommu_device(v), VIOMMU_F_BYPASS_CONFIG))
		test_skip(t, "BYPASS_CONFIG is not offered");
	endpoint_two(t, e);
	attach(t, &e[0], plain);
	answers(t, viommu_attach(v, plain, e[1].id, VIOMMU_ATTACH_BYPASS), VIOMMU_S_INVAL, SHOULD,
		"ATTACH with BYPASS to a domain that is none");
	answers(t, viommu_attach(v, open, e[1].id, VIOMMU_ATTACH_BYPASS), VIOMMU_S_OK, SHOULD,
		"ATTACH with BYPASS to a new domain");
	answers(t, viommu_attach(v, open, e[0].id, 0), VIOMMU_S_INVAL, SHOULD,
		"ATTACH without BYPASS to a bypass domain");
	answers(t, viommu_map(v, open, iova_of(0), iova_of(1) - 1, 0x100000, RW), VIOMMU_S_INVAL,
		SHOULD, "MAP on a bypass domain");
	answers(t, viommu_unmap(v, open, iova_of(0), iova_of(1) - 1), VIOMMU_S_INVAL, SHOULD,
		"UNMAP on a bypass domain");
	detach(t, &e[1], open);
}

TEST(iommu_detach_refused,
     .id = "iommu.detach.refused",
     .clause = "virtio 1.4, 5.13.6.4.2 MUST: DETACH of an endpoint that is not there is NOENT; MAY: from another domain INVAL",
     .owner = OWNER,
     .needs = NEED_VIOMMU | NEED_ENDPOINT)
{
	struct viommu *v = viommu_up(t);
	const struct endpoint e = first(t);
	const uint32_t a = domain_of(0), b = domain_of(1);

	answers(t, viommu_detach(v, a, endpoint_nobody()), VIOMMU_S_NOENT, MUST,
		"DETACH of an endpoint that is not there");
	answers(t, viommu_detach(v, a, e.id), VIOMMU_S_INVAL, MAY,
		"DETACH of an endpoint that is attached to nothing");
	attach(t, &e, a);
	answers(t, viommu_detach(v, b, e.id), VIOMMU_S_INVAL, MAY,
		"DETACH from a domain that it is not attached to");
	expect(t, exists(t, v, a), "DETACH from another domain detaches the endpoint");
	detach(t, &e, a);
}

TEST(iommu_detach_reserved,
     .id = "iommu.detach.reserved",
     .clause = "virtio 1.4, 5.13.6.4.2 MUST: reserved bytes of DETACH are ignored",
     .owner = OWNER,
     .needs = NEED_VIOMMU | NEED_ENDPOINT)
{
	struct viommu *v = viommu_up(t);
	const struct endpoint e = first(t);
	struct viommu_detach req = { .head.type = VIOMMU_T_DETACH,
				     .domain = cpu_to_le32(domain_of(0)),
				     .endpoint = cpu_to_le32(e.id) };

	memset(req.reserved, 0xee, sizeof(req.reserved));
	attach(t, &e, domain_of(0));
	answers(t, viommu_status(v, &req, sizeof(req)), VIOMMU_S_OK, MUST,
		"DETACH with reserved bytes");
	expect(t, !exists(t, v, domain_of(0)), "the domain is there after DETACH");
}

/* --- MAP ----------------------------------------------------------------------------------------- */

static int map_at(struct viommu *v, uint64_t from, uint64_t bytes, uint64_t phys, uint32_t flags)
{
	return viommu_map(v, domain_of(0), from, from + bytes - 1, phys, flags);
}

/* There is no mapping in k granules from the k-th address on: all of them can be mapped at once. */
static void is_free(struct test_ctx *t, struct viommu *v, unsigned int k, unsigned int n,
		    const char *when)
{
	const int s = map_at(v, iova_of(k), n * granule(), 0x100000, RW);

	expect(t, s == VIOMMU_S_OK, "MAP of %u pages %s: %s", n, when, viommu_status_name(s));
	if (s == VIOMMU_S_OK)
		unmap(t, domain_of(0), iova_of(k), n);
}

static void is_unaligned(struct test_ctx *t, struct viommu *v, uint64_t from, uint64_t bytes,
			 uint64_t phys, const char *what, uint64_t off)
{
	const int s = map_at(v, from, bytes, phys, RW);

	answers(t, s, VIOMMU_S_RANGE, SHOULD, "MAP with %s %llu off", what,
		(unsigned long long)off);
	if (s == VIOMMU_S_OK)
		(void)viommu_unmap(v, domain_of(0), from, from + bytes - 1);
}

TEST(iommu_map_unaligned,
     .id = "iommu.map.unaligned",
     .clause = "virtio 1.4, 5.13.6.5.2 SHOULD: virt_start, phys_start or virt_end + 1 off the page granularity is RANGE",
     .owner = OWNER,
     .needs = NEED_VIOMMU | NEED_ENDPOINT)
{
	struct viommu *v = viommu_up(t);
	const struct endpoint e = first(t);
	const uint64_t mask = viommu_config(v)->page_size_mask, g = mask & -mask, at = iova_of(0);
	uint64_t off;

	if (g == 1)
		test_skip(t, "the page granularity is one byte");
	attach(t, &e, domain_of(0));
	for (off = 1; off < g; off = off < g / 2 ? off * 4 : off + g / 2 - 1) {
		is_unaligned(t, v, at + off, 2 * g - off, 0x100000, "virt_start", off);
		is_unaligned(t, v, at, g - off, 0x100000, "virt_end", off);
		is_unaligned(t, v, at, g, 0x100000 + off, "phys_start", off);
	}
	is_free(t, v, 0, 4, "where all was refused");
}

TEST(iommu_map_overlap,
     .id = "iommu.map.overlap",
     .clause = "virtio 1.4, 5.13.6.5.2 SHOULD: MAP where there is a mapping, be it in part, is INVAL, and leaves the old one",
     .owner = OWNER,
     .needs = NEED_VIOMMU | NEED_ENDPOINT)
{
	/* The mapping has pages 4 to 7; first page and number of others. */
	static const struct {
		uint8_t first, n;
	} over[] = {
		{ 4, 4 }, { 4, 1 }, { 7, 1 }, { 5, 2 }, { 3, 2 }, { 7, 2 }, { 3, 6 }, { 0, 5 }
	};
	struct viommu *v = viommu_up(t);
	const struct endpoint e = first(t);
	const uint64_t g = granule();
	unsigned int i;

	attach(t, &e, domain_of(0));
	map(t, domain_of(0), iova_of(4), (void *)0x100000, 4, RW);
	for (i = 0; i < sizeof(over) / sizeof(over[0]); i++)
		answers(t, map_at(v, iova_of(over[i].first), over[i].n * g, 0x200000, RW),
			VIOMMU_S_INVAL, SHOULD, "MAP of pages %u to %u over pages 4 to 7",
			over[i].first, over[i].first + over[i].n - 1);
	is_free(t, v, 0, 4, "right below a mapping");
	is_free(t, v, 8, 4, "right behind a mapping");
	/* All of it is one mapping still. */
	answers(t, viommu_unmap(v, domain_of(0), iova_of(4), iova_of(6) - 1), VIOMMU_S_RANGE,
		SHOULD, "UNMAP of a half of the mapping");
	unmap(t, domain_of(0), iova_of(4), 4);
	is_free(t, v, 0, 12, "where all was unmapped");
}

TEST(iommu_map_refused,
     .id = "iommu.map.refused",
     .clause = "virtio 1.4, 5.13.6.5.2 MUST: MAP with an unknown flag is INVAL; SHOULD: in a domain that is not there NOENT",
     .owner = OWNER,
     .needs = NEED_VIOMMU | NEED_ENDPOINT)
{
	struct viommu *v = viommu_up(t);
	const struct endpoint e = first(t);
	unsigned int bit;

	answers(t, map_at(v, iova_of(0), granule(), 0x100000, RW), VIOMMU_S_NOENT, SHOULD,
		"MAP in a domain that is not there");
	attach(t, &e, domain_of(0));
	for (bit = virtio_has(viommu_device(v), VIOMMU_F_MMIO) ? 3 : 2; bit < 32; bit++)
		answers(t, map_at(v, iova_of(0), granule(), 0x100000, RW | 1u << bit),
			VIOMMU_S_INVAL, MUST, "MAP with flag bit %u", bit);
	is_free(t, v, 0, 1, "where all was refused");
	detach(t, &e, domain_of(0));
	answers(t, map_at(v, iova_of(0), granule(), 0x100000, RW), VIOMMU_S_NOENT, SHOULD,
		"MAP in a domain that has ceased to exist");
}

TEST(iommu_map_edges,
     .id = "iommu.map.edges",
     .clause = "virtio 1.4, 5.13.6: a range may end where input_range does; MAP outside of it fails",
     .owner = OWNER,
     .needs = NEED_VIOMMU | NEED_ENDPOINT)
{
	struct viommu *v = viommu_up(t);
	const struct endpoint e = first(t);
	const struct viommu_config *c = viommu_config(v);
	const uint64_t g = granule();
	const uint64_t last = (c->input_end - g + 1) & ~(g - 1);
	int s;

	attach(t, &e, domain_of(0));
	s = map_at(v, last, g, 0x100000, RW);
	expect(t, s == VIOMMU_S_OK, "MAP of the last page, 0x%llx: %s", (unsigned long long)last,
	       viommu_status_name(s));
	s = viommu_unmap(v, domain_of(0), last, last + g - 1);
	answers(t, s, VIOMMU_S_OK, SHOULD, "UNMAP of the last page");
	if (c->input_end != UINT64_MAX)
		expect(t, map_at(v, last + g, g, 0x100000, RW) > VIOMMU_S_OK,
		       "MAP of 0x%llx, behind input_range, succeeds",
		       (unsigned long long)(last + g));
	if (c->input_start)
		expect(t, map_at(v, c->input_start - g, g, 0x100000, RW) > VIOMMU_S_OK,
		       "MAP below input_range succeeds");
	s = viommu_map(v, domain_of(0), iova_of(4), iova_of(2) - 1, 0x100000, RW);
	expect(t, s > VIOMMU_S_OK, "MAP whose end lies below its start succeeds");
	is_free(t, v, 0, 8, "where all was refused");
}

TEST(iommu_map_many,
     .id = "iommu.map.many",
     .clause = "virtio 1.4, 5.13.6.5: each MAP makes a mapping, however many there are, or says NOMEM",
     .owner = OWNER,
     .needs = NEED_VIOMMU | NEED_ENDPOINT,
     .timeout = 60 * SEC)
{
	enum {
		MANY = 2000
	};
	struct viommu *v = viommu_up(t);
	const struct endpoint e = first(t);
	const uint64_t g = granule(), from = iova_of(0);
	unsigned int i, n;
	int s = VIOMMU_S_OK;

	attach(t, &e, domain_of(0));
	for (n = 0; n < MANY && s == VIOMMU_S_OK; n++)
		s = map_at(v, from + n * g, g, 0x100000 + n * g, RW);
	expect(t, s == VIOMMU_S_OK || s == VIOMMU_S_NOMEM, "MAP number %u: %s", n,
	       viommu_status_name(s));
	n -= s != VIOMMU_S_OK;
	for (i = 0; i < n; i += 97)
		answers(t, map_at(v, from + i * g, g, 0x100000, RW), VIOMMU_S_INVAL, SHOULD,
			"MAP over mapping %u of %u", i, n);
	/* One request removes all. */
	answers(t, viommu_unmap(v, domain_of(0), from, from + MANY * g - 1), VIOMMU_S_OK, SHOULD,
		"UNMAP of %u mappings at once", n);
	is_free(t, v, 0, 64, "where all was unmapped");
}

/* --- UNMAP --------------------------------------------------------------------------------------- */

/* The examples of 5.13.6.6 in pages: mappings, what is unmapped, the answer, and which mappings stay. */
static const struct unmap_case {
	struct {
		uint8_t first, last;
	} has[2], off;
	uint8_t n;
	bool split;
	uint8_t stay; /* a bit of each mapping */
} unmap_cases[] = {
	{ { { 0, 0 } }, { 0, 4 }, 0, false, 0 },
	{ { { 0, 9 } }, { 0, 9 }, 1, false, 0 },
	{ { { 0, 4 }, { 5, 9 } }, { 0, 9 }, 2, false, 0 },
	{ { { 0, 9 } }, { 0, 4 }, 1, true, 1 },
	{ { { 0, 4 }, { 5, 9 } }, { 0, 4 }, 2, false, 2 },
	{ { { 0, 4 } }, { 0, 9 }, 1, false, 0 },
	{ { { 0, 4 }, { 10, 14 } }, { 0, 14 }, 2, false, 0 },
	/* And where a part of the second one is hit, neither may go. */
	{ { { 0, 4 }, { 5, 9 } }, { 0, 7 }, 2, true, 3 },
	{ { { 0, 4 }, { 5, 9 } }, { 2, 9 }, 2, true, 3 },
	{ { { 0, 9 } }, { 3, 5 }, 1, true, 1 },
	{ { { 0, 4 }, { 10, 14 } }, { 5, 9 }, 2, false, 3 },
	{ { { 3, 6 } }, { 0, 12 }, 1, false, 0 },
};

static void try_unmap(struct test_ctx *t, struct viommu *v, const struct unmap_case *c,
		      unsigned int number)
{
	const uint32_t domain = domain_of(0);
	unsigned int i;

	for (i = 0; i < c->n; i++)
		map(t, domain, iova_of(c->has[i].first), (void *)0x100000,
		    c->has[i].last - c->has[i].first + 1u, RW);
	answers(t, viommu_unmap(v, domain, iova_of(c->off.first), iova_of(c->off.last + 1u) - 1),
		c->split ? VIOMMU_S_RANGE : VIOMMU_S_OK, SHOULD, "UNMAP %u, of pages %u to %u",
		number, c->off.first, c->off.last);
	for (i = 0; i < c->n; i++) {
		const unsigned int pages = c->has[i].last - c->has[i].first + 1u;
		const int s = map_at(v, iova_of(c->has[i].first), pages * granule(), 0x100000, RW);
		const bool stays = c->stay >> i & 1;

		expect(t, (s != VIOMMU_S_OK) == stays, "UNMAP %u: the mapping of pages %u to %u %s",
		       number, c->has[i].first, c->has[i].last,
		       stays ? "is gone, at least in part" : "is there still");
	}
	(void)viommu_unmap(v, domain, iova_of(0), iova_of(16) - 1);
}

TEST(iommu_unmap,
     .id = "iommu.unmap.ranges",
     .clause = "virtio 1.4, 5.13.6.6.2 SHOULD: UNMAP removes the mappings that its range covers; where it would split one it is RANGE, and removes none",
     .owner = OWNER,
     .needs = NEED_VIOMMU | NEED_ENDPOINT)
{
	struct viommu *v = viommu_up(t);
	const struct endpoint e = first(t);
	unsigned int i;

	attach(t, &e, domain_of(0));
	for (i = 0; i < sizeof(unmap_cases) / sizeof(unmap_cases[0]); i++)
		try_unmap(t, v, &unmap_cases[i], i + 1);
}

TEST(iommu_unmap_refused,
     .id = "iommu.unmap.refused",
     .clause = "virtio 1.4, 5.13.6.6.2 SHOULD: UNMAP in a domain that is not there is NOENT; MAY: reserved bytes that are not zero are INVAL",
     .owner = OWNER,
     .needs = NEED_VIOMMU | NEED_ENDPOINT)
{
	struct viommu *v = viommu_up(t);
	const struct endpoint e = first(t);
	const uint32_t domain = domain_of(0);
	const struct viommu_unmap req = { .head.type = VIOMMU_T_UNMAP,
					  .domain = cpu_to_le32(domain),
					  .virt_start = cpu_to_le64(iova_of(0)),
					  .virt_end = cpu_to_le64(iova_of(1) - 1),
					  .reserved = { 1, 0, 0, 0x80 } };
	int s;

	answers(t, viommu_unmap(v, domain, 0, granule() - 1), VIOMMU_S_NOENT, SHOULD,
		"UNMAP in a domain that is not there");
	attach(t, &e, domain);
	map(t, domain, iova_of(0), (void *)0x100000, 1, RW);
	s = viommu_status(v, &req, sizeof(req));
	expect(t, s == VIOMMU_S_OK || s == VIOMMU_S_INVAL, "UNMAP with reserved bytes: %s",
	       viommu_status_name(s));
	detach(t, &e, domain);
	answers(t, viommu_unmap(v, domain, 0, granule() - 1), VIOMMU_S_NOENT, SHOULD,
		"UNMAP in a domain that has ceased to exist");
}

/* All that there is, as drivers do it when they let go of a domain. */
TEST(iommu_unmap_all,
     .id = "iommu.unmap.whole_space",
     .clause = "virtio 1.4, 5.13.6.6.2 SHOULD: UNMAP of a range that is partly unmapped removes all mappings in it",
     .owner = OWNER,
     .needs = NEED_VIOMMU | NEED_ENDPOINT)
{
	struct viommu *v = viommu_up(t);
	const struct endpoint e = first(t);
	const struct viommu_config *c = viommu_config(v);
	unsigned int k;

	attach(t, &e, domain_of(0));
	for (k = 0; k < 16; k += 3)
		map(t, domain_of(0), iova_of(k), (void *)0x100000, 1, RW);
	answers(t, viommu_unmap(v, domain_of(0), c->input_start, c->input_end), VIOMMU_S_OK, SHOULD,
		"UNMAP of the whole input_range");
	is_free(t, v, 0, 17, "where all was unmapped");
}

/* --- PROBE --------------------------------------------------------------------------------------- */

static uint8_t props[VIOMMU_REQ_MAX + sizeof(struct viommu_tail)];

static void need_probe(struct test_ctx *t, struct viommu *v)
{
	if (!virtio_has(viommu_device(v), VIOMMU_F_PROBE))
		test_skip(t, "PROBE is not offered");
	if (viommu_config(v)->probe_size > VIOMMU_REQ_MAX)
		test_error(t, "probe_size is %u, this driver has room for %u",
			   (unsigned int)viommu_config(v)->probe_size, VIOMMU_REQ_MAX);
}

/* Properties follow each other, and zeroes follow them. */
static void is_list(struct test_ctx *t, const uint8_t *p, size_t n)
{
	size_t at = 0, i;

	while (at + sizeof(struct viommu_property) <= n) {
		const struct viommu_property *prop = (const void *)(p + at);
		const uint16_t type = le16_to_cpu(prop->type);

		if ((type & 0xfff) == 0)
			break;
		if (type & 0xf000)
			test_note(t, "the property at %u has reserved bits 0x%x", (unsigned int)at,
				  (unsigned int)type >> 12);
		at += sizeof(*prop) + le16_to_cpu(prop->length);
		require(t, at <= n, "a property of %u bytes does not fit into probe_size",
			le16_to_cpu(prop->length));
		if ((type & 0xfff) == VIOMMU_PROBE_T_RESV_MEM)
			expect_eq(t, le16_to_cpu(prop->length),
				  sizeof(struct viommu_resv_mem) - sizeof(*prop),
				  "length of a RESV_MEM property");
	}
	for (i = at; i < n && p[i] == 0; i++)
		;
	if (i < n)
		test_note(t, "byte %u, behind the properties, is 0x%02x", (unsigned int)i, p[i]);
	expect(t, i == n || p[i] != 0xa5, "byte %u behind the properties is not written",
	       (unsigned int)i);
}

TEST(iommu_probe,
     .id = "iommu.probe.properties",
     .clause = "virtio 1.4, 5.13.6.7.2 MUST: the next property follows length + 4 bytes behind; SHOULD: the rest is zero",
     .owner = OWNER,
     .needs = NEED_VIOMMU | NEED_ENDPOINT)
{
	struct viommu *v = viommu_up(t);
	struct endpoint e;
	unsigned int i;

	need_probe(t, v);
	for (i = 0; endpoint_get(NULL, i, &e); i++) {
		memset(props, 0xa5, sizeof(props));
		answers(t, viommu_probe(v, e.id, props), VIOMMU_S_OK, SHOULD,
			"PROBE of endpoint 0x%x", (unsigned int)e.id);
		is_list(t, props, viommu_config(v)->probe_size);
	}
}

TEST(iommu_probe_refused,
     .id = "iommu.probe.refused",
     .clause = "virtio 1.4, 5.13.6.7.2 SHOULD: PROBE of an endpoint that is not there is NOENT, with a list shorter than probe_size INVAL, and writes no property",
     .owner = OWNER,
     .needs = NEED_VIOMMU | NEED_ENDPOINT)
{
	struct viommu *v = viommu_up(t);
	const struct endpoint e = first(t);
	struct viommu_probe req = { .head.type = VIOMMU_T_PROBE, .endpoint = cpu_to_le32(e.id) };
	const size_t size = viommu_config(v)->probe_size;
	uint32_t used = 0, i;

	if (!virtio_has(viommu_device(v), VIOMMU_F_PROBE)) {
		require(t, viommu_request(v, &req, sizeof(req), props, 516, &used) == 0,
			"PROBE does not come back");
		expect_eq(t, used, 0, "used length of PROBE, which is not offered");
		return;
	}
	need_probe(t, v);
	answers(t, viommu_probe(v, endpoint_nobody(), props), VIOMMU_S_NOENT, SHOULD,
		"PROBE of an endpoint that is not there");
	/* The device must ignore reserved bytes. */
	memset(req.reserved, 0x77, sizeof(req.reserved));
	require(t, viommu_request(v, &req, sizeof(req), props, size + 4, &used) == 0,
		"PROBE does not come back");
	expect(t, used && props[size] == VIOMMU_S_OK, "PROBE with reserved bytes: %s",
	       used ? viommu_status_name(props[size]) : "no status");
	memset(req.reserved, 0, sizeof(req.reserved));
	require(t, viommu_request(v, &req, sizeof(req), props, size / 2 + 4, &used) == 0,
		"PROBE with a list of half the size does not come back");
	expect(t, used <= size / 2 + 4, "PROBE with a list of half the size: used length %u",
	       (unsigned int)used);
	if (used && props[size / 2] == VIOMMU_S_OK)
		test_note(t, "PROBE with a list of half the size succeeds");
	for (i = 0; i < size / 2 && (props[i] == 0xa5 || props[i] == 0); i++)
		;
	if (i < size / 2)
		test_note(t, "PROBE with a list of half the size: byte %u is written",
			  (unsigned int)i);
}

static bool overlap(const struct viommu_resv_mem *a, const struct viommu_resv_mem *b)
{
	return le64_to_cpu(a->start) <= le64_to_cpu(b->end) &&
	       le64_to_cpu(b->start) <= le64_to_cpu(a->end);
}

TEST(iommu_resv,
     .id = "iommu.probe.reserved_regions",
     .clause = "virtio 1.4, 5.13.6.8.1.2 SHOULD NOT: RESV_MEM regions overlap, or more than one is for MSIs; SHOULD: MAP over one is refused",
     .owner = OWNER,
     .needs = NEED_VIOMMU | NEED_ENDPOINT)
{
	struct viommu *v = viommu_up(t);
	const struct endpoint e = first(t);
	const size_t size = viommu_config(v)->probe_size;
	const uint64_t g = granule();
	const struct viommu_resv_mem *r, *other;
	size_t at = 0, k;
	unsigned int n = 0, msi = 0;

	need_probe(t, v);
	require(t, viommu_probe(v, e.id, props) == VIOMMU_S_OK, "PROBE fails");
	attach(t, &e, domain_of(0));
	while ((r = viommu_resv_next(props, size, &at))) {
		const uint64_t start = le64_to_cpu(r->start), end = le64_to_cpu(r->end);

		n++;
		msi += r->subtype == VIOMMU_RESV_MSI;
		expect(t, start <= end, "region %u: 0x%llx to 0x%llx", n, (unsigned long long)start,
		       (unsigned long long)end);
		if (r->reserved[0] | r->reserved[1] | r->reserved[2])
			test_note(t, "region %u has reserved bytes that are not zero", n);
		for (k = at; (other = viommu_resv_next(props, size, &k));)
			if (overlap(r, other))
				test_note(t, "region %u overlaps another one", n);
		expect(t, map_at(v, start & ~(g - 1), g, 0x100000, RW) > VIOMMU_S_OK,
		       "MAP over the first page of region %u, 0x%llx, succeeds", n,
		       (unsigned long long)start);
		expect(t, map_at(v, end & ~(g - 1), g, 0x100000, RW) > VIOMMU_S_OK,
		       "MAP over the last page of region %u, 0x%llx, succeeds", n,
		       (unsigned long long)end);
	}
	if (msi > 1)
		test_note(t, "%u regions are for MSIs", msi);
	if (!n)
		test_skip(t, "no RESV_MEM property");
}
