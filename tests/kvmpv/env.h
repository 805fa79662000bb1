/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_KVMPV_ENV_H
#define TESTS_KVMPV_ENV_H

#include "kvmpv/protect.h"
#include "lib/test.h"
#include "tests/support/needs.h"
#include "tests/vsock/pair.h"

/* Turns protection on if it is off. A host that refuses ends the test as an ERROR: kvmpv.enable.* judges that. */
const struct protect_ops *kvmpv_protected(struct test_ctx *t);
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
