/* SPDX-License-Identifier: BSD-2-Clause */
/* What the kvmpv.* tests share: protection turned on, pages, what the host believes of them, KVM's answers in words. */
#ifndef TESTS_KVMPV_ENV_H
#define TESTS_KVMPV_ENV_H

#include "kvmpv/protect.h"
#include "lib/mem.h"
#include "lib/mmio.h"
#include "lib/test.h"
#include "tests/support/needs.h"
#include "tests/vsock/pair.h"

/* Turns protection on if it is off. A host that refuses ends the test as an ERROR: kvmpv.enable.* judges that. */
const struct protect_ops *kvmpv_protected(struct test_ctx *t);
/* Whether protection is of this kind: "rfc", "map_gpa". */
bool kvmpv_is(const char *name);
/* n pages of the test's own, private where protection is on; no memory ends the test as an ERROR. */
uint8_t *kvmpv_pages(struct test_ctx *t, size_t n);
static inline uint64_t gfn_of(const void *p)
{
	return virt_to_phys(p) >> PAGE_SHIFT;
}

/* An answer of KVM, 0 or -KVM_E*, in words; a number that is neither stays one. One buffer for all callers. */
const char *kvm_text(int64_t answer);
/* A check, as expect_eq(), of an answer of KVM: "WHAT: expected no error, seen invalid argument". */
#define expect_answer(t, got, want, ...) kvmpv_check(t, got, want, __FILE__, __LINE__, __VA_ARGS__)
void kvmpv_check(struct test_ctx *t, int64_t got, int64_t want, const char *file, unsigned int line,
		 const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* The vsock device, with a control connection, or the test ends as an ERROR. */
struct vsock_env *kvmpv_device(struct test_ctx *t);
/* Pages that the host counts as shared now. */
uint64_t kvmpv_shared_pages(struct test_ctx *t, struct vsock_env *e);
/* Tests provoked this many violations so far: vsock_protected.violations expects as many. */
void kvmpv_provoked(uint32_t violations);
uint32_t kvmpv_provoked_so_far(void);
/* Shares the pool again after an enable that made it private. */
void kvmpv_share_pool(struct test_ctx *t);
/* n bytes to the host's echo service and back, over a connection of its own. */
void kvmpv_echo(struct test_ctx *t, struct vsock_env *e, uint32_t n);

#endif
