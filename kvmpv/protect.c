/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvmpv/protect.h"

#include <stdio.h>
#include <string.h>

#include "kvmpv/bounce.h"
#include "lib/cmdline.h"
#include "lib/init.h"
#include "lib/mem.h"
#include "lib/reboot.h"
#include "lib/spinlock.h"
#include "lib/env.h"
#include "lib/time.h"

OPTION("protect.contents", "lost: a page that is converted loses its contents here; default: kept");
OPTION("protect", "on: protect all memory from the start, devices use bounce buffers");

#define MAX_RANGES 256
#define RETRIES	   8

static struct {
	const struct protect_ops *ops;
	bool queried, enabled;
	char why[96];
	spinlock_t lock; /* the record */
	unsigned int count;
	struct {
		uint64_t gfn, n;
	} range[MAX_RANGES]; /* shared, sorted, apart from each other */
} prot;

const struct protect_ops *protect_query(char *why, size_t size)
{
	if (!prot.queried && kvm_usable(prot.why, sizeof(prot.why))) {
		prot.queried = true;
		prot.ops = protect_find(prot.why, sizeof(prot.why));
	}
	if (!prot.ops && why)
		snprintf(why, size, "%s", prot.why);
	return prot.ops;
}

bool protect_enabled(void)
{
	return prot.enabled;
}

/* --- the record -------------------------------------------------------------------------- */

static void remove_at(unsigned int i)
{
	prot.count--;
	memmove(&prot.range[i], &prot.range[i + 1], (prot.count - i) * sizeof(prot.range[0]));
}

static bool insert_at(unsigned int i, uint64_t gfn, uint64_t n)
{
	if (prot.count == MAX_RANGES)
		return false;
	memmove(&prot.range[i + 1], &prot.range[i], (prot.count - i) * sizeof(prot.range[0]));
	prot.range[i].gfn = gfn;
	prot.range[i].n = n;
	prot.count++;
	return true;
}

static void record_unshared(uint64_t gfn, uint64_t n)
{
	const uint64_t end = gfn + n;
	unsigned int i;

	for (i = 0; i < prot.count;) {
		const uint64_t first = prot.range[i].gfn, last = first + prot.range[i].n;

		if (last <= gfn || first >= end) {
			i++;
			continue;
		}
		remove_at(i);
		if (last > end)
			insert_at(i, end, last - end);
		if (first < gfn)
			insert_at(i++, first, gfn - first);
	}
}

static void record_shared(uint64_t gfn, uint64_t n)
{
	unsigned int i;

	record_unshared(gfn, n);
	for (i = 0; i < prot.count && prot.range[i].gfn < gfn; i++)
		;
	if (i > 0 && prot.range[i - 1].gfn + prot.range[i - 1].n == gfn) {
		prot.range[--i].n += n;
	} else if (!insert_at(i, gfn, n)) {
		return;
	}
	if (i + 1 < prot.count && prot.range[i].gfn + prot.range[i].n == prot.range[i + 1].gfn) {
		prot.range[i].n += prot.range[i + 1].n;
		remove_at(i + 1);
	}
}

bool protect_is_shared(uint64_t gfn)
{
	bool found = false;
	unsigned int i;

	spin_lock(&prot.lock);
	for (i = 0; i < prot.count && !found; i++)
		found = gfn >= prot.range[i].gfn && gfn - prot.range[i].gfn < prot.range[i].n;
	spin_unlock(&prot.lock);
	return found || !prot.enabled;
}

uint64_t protect_shared_pages(void)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < prot.count; i++)
		sum += prot.range[i].n;
	return sum;
}

unsigned int protect_shared_ranges(void)
{
	return prot.count;
}

static bool again(int64_t ret)
{
	return ret == -KVM_EINTR || ret == -KVM_ENOMEM;
}

int64_t protect_retry(int64_t (*call)(void))
{
	int64_t ret = -KVM_EINTR;
	unsigned int i;

	for (i = 0; i < RETRIES && again(ret); i++)
		ret = call();
	return ret;
}

int64_t protect_try(int64_t (*call)(uint64_t gfn, uint64_t npages), uint64_t gfn, uint64_t npages)
{
	int64_t ret = -KVM_EINTR;
	unsigned int i;

	for (i = 0; i < RETRIES && again(ret); i++)
		ret = call(gfn, npages);
	return ret;
}

static int64_t convert(bool share, uint64_t gfn, uint64_t n)
{
	int64_t ret;

	if (!prot.ops)
		return -KVM_ENOSYS;
	ret = protect_try(share ? prot.ops->share : prot.ops->unshare, gfn, n);
	if (ret == 0 && n) {
		spin_lock(&prot.lock);
		if (share)
			record_shared(gfn, n);
		else
			record_unshared(gfn, n);
		spin_unlock(&prot.lock);
	}
	return ret;
}

int64_t protect_share(uint64_t gfn, uint64_t npages)
{
	return convert(true, gfn, npages);
}

int64_t protect_unshare(uint64_t gfn, uint64_t npages)
{
	return convert(false, gfn, npages);
}

void protect_forget(void)
{
	prot.count = 0;
}

void protect_pages_free(void *p, size_t n)
{
	const uint64_t gfn = virt_to_phys(p) >> PAGE_SHIFT;
	size_t i;

	for (i = 0; p && prot.enabled && i < n; i++) {
		if (!protect_is_shared(gfn + i))
			continue;
		if (protect_unshare(gfn, n)) {
			mem_keep(n);
			return;
		}
	}
	mem_pages_free(p, n);
}

/* --- on ---------------------------------------------------------------------------------------- */

int64_t protect_enable(void)
{
	int64_t ret;

	if (prot.enabled)
		return 0;
	if (!protect_query(NULL, 0))
		return -KVM_ENOSYS;
	ret = protect_retry(prot.ops->enable);
	if (ret)
		return ret;
	prot.enabled = true;
	prot.count = 0;
	return bounce_init(protect_share) ? -KVM_ENOMEM : 0;
}

bool protect_keeps_contents(void)
{
	const char *v = cmdline_get("protect.contents");

	return !v || strcmp(v, "lost") != 0;
}

bool protect_wanted(void)
{
	return cmdline_get_bool("protect", false);
}

static void env(void)
{
	if (prot.enabled)
		env_line("protection", "%s, %u shared ranges", prot.ops->name, prot.count);
}
ENV(protection, env);

static void init(void)
{
	char why[96];
	int64_t ret;

	/* After a reset that a test asked for it is this test that enables. */
	if (!protect_wanted() || reboot_record())
		return;
	if (!protect_query(why, sizeof(why))) {
		printf("# warning: protect=on: %s\n", why);
		return;
	}
	ret = protect_enable();
	if (ret)
		printf("# warning: protect=on: enabling failed: %lld\n", (long long)ret);
}
INIT(protection, init);
