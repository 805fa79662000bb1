/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the iommu.* tests share: the IOMMU that a test is about, started anew for it and letting nothing through, the
 * endpoints behind it (DMA agents), memory for them, and steps that carry their own words.
 *
 * IOMMU_TEST() is a promise of every IOMMU: its body runs once for each of the machine's that has the endpoints that the
 * test needs. One that does not have all of what the body needs is passed over by iommu_lacks(), and the others go on. What
 * only one kind has is an ordinary TEST(), which brings its IOMMU up itself.
 */
#ifndef TESTS_IOMMU_ENV_H
#define TESTS_IOMMU_ENV_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/agent/agent.h"
#include "drivers/iommu/iommu.h"
#include "drivers/virtio/iommu.h"
#include "lib/mem.h"
#include "lib/test.h"
#include "tests/support/needs.h"

#define OWNER_IOMMU  "the VMM's IOMMU"
#define OWNER_VIOMMU "the VMM's virtio-iommu"
#define RW	     (IOMMU_READ | IOMMU_WRITE)

#define IOMMU_TEST(name, ...)                                                                      \
	static void each_##name(struct test_ctx *t);                                               \
	TEST(name, __VA_ARGS__)                                                                    \
	{                                                                                          \
		on_each_iommu(t, each_##name);                                                     \
	}                                                                                          \
	static void each_##name(struct test_ctx *t)
void on_each_iommu(struct test_ctx *t, void (*body)(struct test_ctx *t));
/*
 * In such a body, which returns behind it: this IOMMU does not offer what the rest is about. The report has a line of it;
 * where all of them lack something the test is a SKIP.
 */
void iommu_lacks(struct test_ctx *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* An agent and its ID at the IOMMU. */
struct endpoint {
	struct agent *a;
	uint32_t id;
};

/*
 * From now on the test is about this IOMMU: it is up, no endpoint is attached, and none is in bypass mode but those that a
 * test asks for. Failure ends the test.
 */
void iommu_up(struct test_ctx *t, struct iommu *m);
/* The IOMMU that the test is about. */
struct iommu *iommu_now(void);
/* The same with the first virtio-iommu. */
struct viommu *viommu_up(struct test_ctx *t);

/* The n-th endpoint behind it; which writes a pattern whatever it is: false past the last. t NULL: it need not. */
bool endpoint_get(struct test_ctx *t, unsigned int n, struct endpoint *e);
/* The first that reads as well, or two different ones; NEED_READER and NEED_ENDPOINTS say that there are. */
struct endpoint endpoint_reader(struct test_ctx *t);
void endpoint_two(struct test_ctx *t, struct endpoint e[2]);
/* An ID that no endpoint of a virtio-iommu has, as far as the tables say. */
uint32_t endpoint_nobody(void);
/* The k-th domain that a test may use, of few: a VT-d unit may have 15 in all. */
#define TEST_DOMAINS 3u
uint32_t domain_of(unsigned int k);
/*
 * n zeroed pages that every agent can be told of, freed after the test; a SKIP where no mapping is as small as a page, or
 * there are too few domains.
 */
uint8_t *iommu_pages(struct test_ctx *t, unsigned int n);
/*
 * A page above 4 GiB and the one at its lower 32 bits, likewise freed. false: no page there has one of RAM there that is
 * free, too.
 */
bool iommu_high_page(struct test_ctx *t, uint8_t **high, uint8_t **below);
/* The smallest mapping, and the k-th of them from an address on that is outside of all reserved regions. */
uint64_t granule(void);
uint64_t iova_of(unsigned int k);

/* --- steps ------------------------------------------------------------------------------------- */

enum strictness {
	MUST,	/* another answer FAILs */
	SHOULD, /* another refusal is noted; what is to be refused and is accepted FAILs */
	MAY,	/* noted */
};
/* What was asked, in words, and its answer. */
void answers(struct test_ctx *t, int got, enum viommu_status want, enum strictness how,
	     const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* Requests that have to succeed. */
void attach(struct test_ctx *t, const struct endpoint *e, uint32_t domain);
void detach(struct test_ctx *t, const struct endpoint *e, uint32_t domain);
void map(struct test_ctx *t, uint32_t domain, uint64_t iova, const void *page,
	 unsigned int granules, uint32_t flags);
void unmap(struct test_ctx *t, uint32_t domain, uint64_t iova, unsigned int granules);

/* It writes, or reads; one that says it cannot ends the test as an ERROR. */
void dma_store(struct test_ctx *t, const struct endpoint *e, uint64_t iova, uint32_t len);
void dma_load(struct test_ctx *t, const struct endpoint *e, uint64_t iova, uint32_t len);
/*
 * The endpoint writes at iova: FAILs unless all `len` bytes, and no other of the pages, come to page + off; or unless
 * nothing of the n pages at `page` changes, which is its value as well.
 */
void dma_reaches(struct test_ctx *t, const struct endpoint *e, uint64_t iova, uint8_t *page,
		 uint32_t off, uint32_t len, const char *when);
bool dma_is_stopped(struct test_ctx *t, const struct endpoint *e, uint64_t iova, uint8_t *page,
		    unsigned int pages, const char *when);

#endif
