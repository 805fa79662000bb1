/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Protected memory, one interface: all memory private but what is shared page by
 * page. Implementations, in kvmpv/x86_64/: the 2020 RFC's hypercalls (rfc.c), KVM_HC_MAP_GPA_RANGE
 * (map_gpa.c); pKVM's and the s390 ultravisor's calls have the same shape.
 */
#ifndef KVMPV_PROTECT_H
#define KVMPV_PROTECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Linux's numbers, as the hypercalls return them (negated); not this C library's. */
enum kvm_errno {
	KVM_EPERM = 1,
	KVM_EINTR = 4,
	KVM_E2BIG = 7,
	KVM_ENOMEM = 12,
	KVM_EFAULT = 14,
	KVM_EINVAL = 22,
	KVM_ENOSPC = 28,
	KVM_EOPNOTSUPP = 95,
	KVM_ENOSYS = 1000,
};

/* Hypercalls may be tried here: KVM says that it is there, and not kvmpv=off. why: what is missing. */
bool kvm_usable(char *why, size_t size);

struct protect_ops {
	const char *name; /* "rfc", "map_gpa" */
	/* Each one attempt, 0 or -KVM_E*. Units: guest frame numbers, pages of 4 KiB. */
	int64_t (*enable)(void);
	int64_t (*share)(uint64_t gfn, uint64_t npages);
	int64_t (*unshare)(uint64_t gfn, uint64_t npages);
};

/* What this host has by its own word, asked once; NULL: none, and why. Of kvmpv/<arch>/. */
const struct protect_ops *protect_find(char *why, size_t size);

/* The same, remembered. */
const struct protect_ops *protect_query(char *why, size_t size);

/* Turns protection on, once, shares a pool for DMA and makes new devices bounce. 0 or -KVM_E*. */
int64_t protect_enable(void);
bool protect_enabled(void);
/* protect=on was given. */
bool protect_wanted(void);
/* Not protect.contents=lost. */
bool protect_keeps_contents(void);
/* Everything is private again, by a call that went past this interface: so says the record. */
void protect_forget(void);
/* With retries on -EINTR and -ENOMEM (8), keeping the record for protect_is_shared(). */
int64_t protect_share(uint64_t gfn, uint64_t npages);
int64_t protect_unshare(uint64_t gfn, uint64_t npages);
/* A call as often as it answers -EINTR or -ENOMEM, at most 8 times; no record is kept. */
int64_t protect_retry(int64_t (*call)(void));
int64_t protect_try(int64_t (*call)(uint64_t gfn, uint64_t npages), uint64_t gfn, uint64_t npages);
/* By our own record: what we asked for and were granted. */
bool protect_is_shared(uint64_t gfn);
/* Frees pages of mem_pages(): unshares them first; what the host does not take back is never used again. */
void protect_pages_free(void *p, size_t n);
/* Ranges and pages shared now, by the record. */
unsigned int protect_shared_ranges(void);
uint64_t protect_shared_pages(void);

#endif
