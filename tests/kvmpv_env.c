/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/kvmpv_env.h"

#include <stdio.h>

static bool has_kvm(char *why, size_t size)
{
	return kvm_usable(why, size);
}
NEED(kvm, NEED_KVM, "KVM", has_kvm);

static bool has_protect(char *why, size_t size)
{
	return kvm_usable(why, size) && protect_query(why, size);
}
NEED(protect, NEED_PROTECT, "protected memory", has_protect);

const struct protect_ops *kvmpv_protected(struct test_ctx *t)
{
	const struct protect_ops *ops = protect_query(NULL, 0);
	const int64_t ret = protect_enable();

	if (!ops || ret)
		test_error(t, "protection cannot be enabled: %lld", (long long)ret);
	return ops;
}

struct vsock_env *kvmpv_device(struct test_ctx *t)
{
	const int ret = vsock_env_open();

	if (ret)
		test_error(t, "the vsock device does not come up: errno %d", -ret);
	return vsock_env_ctl(t);
}

uint64_t kvmpv_shared_pages(struct test_ctx *t, struct vsock_env *e)
{
	struct ctl_mem_state s;

	CTL_OK(t, ctl_mem_state(e->ctl, &s));
	return le64_to_cpu(s.shared_pages);
}

FIXTURE(kvmpv, .suite = "kvmpv.", .teardown = vsock_env_drop);
