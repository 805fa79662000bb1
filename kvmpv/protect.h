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

/* Whether hypercalls may be tried: KVM shows its signature, and the command line has no kvmpv=off. why: what lacks. */
bool kvm_usable(char *why, size_t size);

struct protect_ops {
	const char *name; /* "rfc", "map_gpa" */
	/* Each one attempt, 0 or -KVM_E*. Units: guest frame numbers, pages of 4 KiB. */
	int64_t (*enable)(void);
	int64_t (*share)(uint64_t gfn, uint64_t npages);
	int64_t (*unshare)(uint64_t gfn, uint64_t npages);
};

/* What this host says that it has (kvmpv/<arch>/); NULL: nothing, and why. */
const struct protect_ops *protect_find(char *why, size_t size);

/* The answer of protect_find(), which is asked once. */
const struct protect_ops *protect_query(char *why, size_t size);

/* Turns protection on, once, and gives new devices a shared pool of bounce buffers. 0 or -KVM_E*. */
int64_t protect_enable(void);
bool protect_enabled(void);
/* The command line says protect=on. */
bool protect_wanted(void);
/* The command line does not say protect.contents=lost. */
bool protect_keeps_contents(void);
/* For a test that enabled by a call of its own: every page is private again, and the record has to say so. */
void protect_forget(void);
/* Convert pages, with retries on -EINTR and -ENOMEM (8), and record it for protect_is_shared(). */
int64_t protect_share(uint64_t gfn, uint64_t npages);
int64_t protect_unshare(uint64_t gfn, uint64_t npages);
/* Repeat a call that answers -EINTR or -ENOMEM, at most 8 times, and record nothing. */
int64_t protect_retry(int64_t (*call)(void));
int64_t protect_try(int64_t (*call)(uint64_t gfn, uint64_t npages), uint64_t gfn, uint64_t npages);
/* By our own record of what the host granted. */
bool protect_is_shared(uint64_t gfn);
/* Unshares pages of mem_pages() and frees them. Pages that the host does not make private are never used again. */
void protect_pages_free(void *p, size_t n);
/* How many ranges and pages are shared, by the record. */
unsigned int protect_shared_ranges(void);
uint64_t protect_shared_pages(void);

#endif
