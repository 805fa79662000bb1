/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvmpv/x86_64/clock.h"

#include <errno.h>
#include <stddef.h>

#include "kvmpv/x86_64/kvm.h"
#include "lib/x86_64/kvm.h"
#include "lib/mem.h"
#include "lib/mmio.h"
#include "lib/smp.h"

#define VERSION_TRIES 1000

static struct {
	volatile struct pvclock_vcpu_time_info *page[SMP_MAX_CPUS];
} clocks;

static void *shared_page(void)
{
	void *p = mem_pages(1, PAGE_SIZE);

	if (p && protect_enabled() && protect_share(virt_to_phys(p) >> PAGE_SHIFT, 1)) {
		mem_pages_free(p, 1);
		return NULL;
	}
	return p;
}

int kvm_clock_register(unsigned int cpu)
{
	void *p;

	if (cpu >= SMP_MAX_CPUS)
		return -EINVAL;
	p = shared_page();
	if (!p)
		return -ENOMEM;
	if (!kvm_arch_set_system_time(virt_to_phys(p) | 1)) {
		protect_pages_free(p, 1);
		return -ENODEV;
	}
	clocks.page[cpu] = p;
	return 0;
}

void kvm_clock_unregister(unsigned int cpu)
{
	if (cpu >= SMP_MAX_CPUS || !clocks.page[cpu])
		return;
	kvm_arch_set_system_time(0);
	protect_pages_free((void *)(uintptr_t)clocks.page[cpu], 1);
	clocks.page[cpu] = NULL;
}

const volatile struct pvclock_vcpu_time_info *kvm_clock_page(unsigned int cpu)
{
	return cpu < SMP_MAX_CPUS ? clocks.page[cpu] : NULL;
}

int kvm_clock_read(unsigned int cpu, uint64_t *ns)
{
	const volatile struct pvclock_vcpu_time_info *p = kvm_clock_page(cpu);
	struct pvclock_vcpu_time_info t;
	uint64_t delta;
	int i;

	if (!p)
		return -ENODEV;
	for (i = 0; i < VERSION_TRIES; i++) {
		t.version = p->version;
		rmb(); /* msr.rst: the version before and after the rest */
		t.tsc_timestamp = p->tsc_timestamp;
		t.system_time = p->system_time;
		t.tsc_to_system_mul = p->tsc_to_system_mul;
		t.tsc_shift = p->tsc_shift;
		delta = kvm_arch_counter() - t.tsc_timestamp;
		rmb();
		if (!(t.version & 1) && t.version == p->version && t.version)
			break;
	}
	if (i == VERSION_TRIES)
		return -EAGAIN;
	if (t.tsc_shift < -31 || t.tsc_shift > 31)
		return -ERANGE;
	delta = t.tsc_shift < 0 ? delta >> -t.tsc_shift : delta << t.tsc_shift;
	*ns = t.system_time + (uint64_t)((unsigned __int128)delta * t.tsc_to_system_mul >> 32);
	return 0;
}

int kvm_wall_clock(struct pvclock_wall_clock *out)
{
	volatile struct pvclock_wall_clock *w = shared_page();
	int ret = 0;

	if (!w)
		return -ENOMEM;
	if (!kvm_arch_set_wall_clock(virt_to_phys(w)))
		ret = -ENODEV;
	rmb();
	out->version = w->version;
	out->sec = w->sec;
	out->nsec = w->nsec;
	protect_pages_free((void *)(uintptr_t)w, 1);
	return ret;
}
