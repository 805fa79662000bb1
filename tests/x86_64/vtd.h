/* SPDX-License-Identifier: BSD-2-Clause */
/* What the iommu.vtd.* tests share, beside what all of iommu.* do. */
#ifndef TESTS_X86_64_VTD_H
#define TESTS_X86_64_VTD_H

#include "drivers/iommu/x86_64/vtd.h"
#include "tests/iommu/env.h"

#define OWNER_VTD "the VMM's VT-d"

/* The first unit that has what the test needs, up. */
struct vtd *vtd_up(struct test_ctx *t);
/* The endpoint that answers soonest. */
struct endpoint vtd_quick(struct test_ctx *t);
/* The same as endpoint_get(), but one endpoint of each kind: that which answers soonest, and the first that reads. */
bool vtd_each_kind(struct test_ctx *t, unsigned int n, struct endpoint *e);

/* Later invalidations go by the registers (0) or by the queue (1). false: the unit has no queue. */
bool vtd_way(struct test_ctx *t, struct vtd *v, unsigned int way);
/* An entry of the first domain's page tables becomes this; nothing is invalidated. */
void vtd_sets(struct test_ctx *t, struct vtd *v, uint64_t iova, unsigned int level, uint64_t entry);
/* Whether the unit invalidates 2^n pages at a time. */
bool vtd_by_page(const struct vtd *v, unsigned int n);
/* Invalidations that have to succeed. */
void vtd_forgets(struct test_ctx *t, struct vtd *v, enum vtd_scope scope, uint32_t domain,
		 uint64_t iova, unsigned int pages);
void vtd_forgets_context(struct test_ctx *t, struct vtd *v, enum vtd_scope scope, uint32_t domain,
			 const struct endpoint *e);

/* 2^n pages from iova on of the first domain, or all of it where the unit has no invalidation of so many. */
void vtd_forgets_pages(struct test_ctx *t, struct vtd *v, uint64_t iova, unsigned int n);

/* The endpoint writes at iova: FAILs unless it comes to the k-th of n pages, and to no other. */
void vtd_lands(struct test_ctx *t, const struct endpoint *e, uint64_t iova, uint8_t *page,
	       unsigned int k, unsigned int n, const char *when);

/* The records so far are of no interest. */
void vtd_drain(struct vtd *v);
/*
 * The oldest record is of the endpoint's access to the page of iova: FAILs unless it says so. One that does not come ends the
 * test, since each that is waited for takes its whole time.
 */
void vtd_recorded(struct test_ctx *t, struct vtd *v, const struct endpoint *e,
		  enum vtd_reason reason, uint64_t iova, bool read, const char *what);
/* The endpoint writes at iova: FAILs unless nothing of the n pages changes and the record has that reason. */
void vtd_faults(struct test_ctx *t, struct vtd *v, const struct endpoint *e, uint64_t iova,
		uint8_t *page, unsigned int n, enum vtd_reason reason, const char *what);
/* The same, and records of before count: the oldest of all is this one's. */
void vtd_faults_first(struct test_ctx *t, struct vtd *v, const struct endpoint *e, uint64_t iova,
		      uint8_t *page, unsigned int n, enum vtd_reason reason, const char *what);

/*
 * A vector of the first CPU's for the handler, freed behind the test however it ends; the units send nothing to it by then.
 * An ERROR where there is none. One at a time.
 */
int vtd_vector(struct test_ctx *t, void (*handler)(void *arg));

#endif
