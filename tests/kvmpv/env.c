/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/kvmpv/env.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kvmpv/bounce.h"
#include "lib/errname.h"

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
		test_error(t, "protection cannot be enabled: %s", kvm_text(ret));
	return ops;
}

bool kvmpv_is(const char *name)
{
	return strcmp(protect_query(NULL, 0)->name, name) == 0;
}

uint8_t *kvmpv_pages(struct test_ctx *t, size_t n)
{
	uint8_t *p = mem_pages(n, PAGE_SIZE);

	if (!p)
		test_error(t, "no memory for %u pages", (unsigned int)n);
	return p;
}

/* This C library has Linux's numbers for all of them but ENOSYS. */
_Static_assert(KVM_EPERM == EPERM && KVM_EINTR == EINTR && KVM_E2BIG == E2BIG &&
		       KVM_ENOMEM == ENOMEM && KVM_EFAULT == EFAULT && KVM_EINVAL == EINVAL &&
		       KVM_ENOSPC == ENOSPC && KVM_EOPNOTSUPP == EOPNOTSUPP,
	       "kvm_text() maps them one by one");

const char *kvm_text(int64_t answer)
{
	static char number[24];

	if (answer == -KVM_ENOSYS)
		return err_text(ENOSYS);
	if (answer != -ENOSYS && answer <= 0 && answer >= -4095)
		return err_text((int)answer);
	snprintf(number, sizeof(number), "%lld", (long long)answer);
	return number;
}

void kvmpv_check(struct test_ctx *t, int64_t got, int64_t want, const char *file, unsigned int line,
		 const char *fmt, ...)
{
	char what[96];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	test_check(t, got == want, file, line, "%s: expected %s, seen %s", what, kvm_text(want),
		   kvm_text(got));
}

struct vsock_env *kvmpv_device(struct test_ctx *t)
{
	const int ret = vsock_env_open();

	if (ret)
		test_error(t, "the vsock device does not come up: %s", err_text(ret));
	return vsock_env_ctl(t);
}

uint64_t kvmpv_shared_pages(struct test_ctx *t, struct vsock_env *e)
{
	struct ctl_mem_state s;

	CTL_OK(t, ctl_mem_state(e->ctl, &s));
	return s.shared_pages;
}

static uint32_t provoked;

void kvmpv_provoked(uint32_t violations)
{
	provoked = violations;
}

uint32_t kvmpv_provoked_so_far(void)
{
	return provoked;
}

void kvmpv_share_pool(struct test_ctx *t)
{
	protect_forget();
	if (bounce_init(protect_share))
		test_error(t, "the pool cannot be shared again");
}

void kvmpv_echo(struct test_ctx *t, struct vsock_env *e, uint32_t n)
{
	struct pair *p = pair_open(t, .at = ASSAY_ECHO_PORT, .on = e);
	uint32_t part;

	for (; n; n -= part) {
		part = n < 4096 ? n : 4096;
		echo(p, part);
	}
	pair_close(p);
}

/* Between tests no slot of the pool is in use, and no free one has data. */
static const char *pool_left(void)
{
	struct bounce_stats b;

	if (!protect_enabled())
		return NULL;
	bounce_stats(&b);
	if (b.used)
		return "slots of the bounce buffer in use";
	return bounce_scrubbed() ? NULL : "data in free slots of the bounce buffer";
}

FIXTURE(kvmpv_pool, .suite = "", .check = pool_left);
/*
 * Protection cannot be taken back. This suite runs last, so that virtio.*, vsock.* and irq.* have direct DMA before;
 * with protect=on they have bounce buffers.
 */
FIXTURE(kvmpv, .suite = "kvmpv.", .teardown = vsock_env_drop, .last = true);
