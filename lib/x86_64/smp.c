/* SPDX-License-Identifier: BSD-2-Clause */
/* lib/smp.h: CPUs start by INIT and STARTUP, sleep in HLT, and find their work in a mailbox when an IPI wakes them. */
#include "lib/smp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/acpi.h"
#include "lib/arch.h"
#include "lib/mem.h"
#include "lib/mmio.h"
#include "lib/paging.h"
#include "lib/test.h"
#include "lib/time.h"
#include "lib/irq.h"
#include "lib/x86_64/apic.h"
#include "lib/x86_64/cpu.h"
#include "lib/x86_64/mptable.h"
#include "lib/x86_64/paging.h"
#include "lib/x86_64/smp.h"
#include "lib/x86_64/stack.h"
#include "lib/x86_64/traps.h"

extern const char ap_start[], ap_end[], ap_params[];

struct ap_params { /* boot/x86_64/ap.S */
	uint32_t cr3;
	uint32_t nx;
	uint64_t cr4;
	uint64_t rsp; /* the first CPU that comes takes it and leaves 0 */
	uint64_t entry;
	uint64_t arg;
	uint64_t apic_id; /* whose fields these are */
};

static struct {
	struct cpu *cpu[SMP_MAX_CPUS];
	unsigned int listed, online;
	uint8_t *page; /* trampoline */
} smp = { .cpu = { &boot_cpu }, .listed = 1, .online = 1 };

unsigned int smp_cpus_listed(void)
{
	return smp.listed;
}

unsigned int smp_cpus_present(void)
{
	return smp.listed < SMP_MAX_CPUS ? smp.listed : SMP_MAX_CPUS;
}

unsigned int smp_cpus_online(void)
{
	return __atomic_load_n(&smp.online, __ATOMIC_ACQUIRE);
}

unsigned int smp_this_cpu(void)
{
	return this_cpu()->index;
}

uint32_t smp_flushed(unsigned int cpu)
{
	return __atomic_load_n(&smp.cpu[cpu]->flushed, __ATOMIC_ACQUIRE);
}

uint32_t smp_hw_id(unsigned int cpu)
{
	return cpu < SMP_MAX_CPUS && smp.cpu[cpu] ? smp.cpu[cpu]->apic_id : UINT32_MAX;
}

/* Interrupts are off between the look at busy and the HLT, so that no wake-up is lost. */
static _Noreturn void ap_loop(struct cpu *c)
{
	for (;;) {
		irq_save();
		while (!__atomic_load_n(&c->busy, __ATOMIC_ACQUIRE))
			irq_halt();
		irq_enable();
		c->fn(c->arg);
		__atomic_store_n(&c->busy, 0, __ATOMIC_RELEASE);
	}
}

/* smp_abandon() leads here when the CPU has left its work. Its stack is empty. */
static _Noreturn void ap_again(void)
{
	struct cpu *c = this_cpu();

	guard_clean_up();
	irq_timer_once(0, NULL, NULL);
	__atomic_store_n(&c->busy, 0, __ATOMIC_RELEASE);
	ap_loop(c);
}

void smp_abandon(struct trap_frame *f)
{
	trap_redirect(f, ap_again, this_cpu()->stack_top);
}

bool smp_nmi(struct trap_frame *f)
{
	struct cpu *c = this_cpu();

	__atomic_fetch_add(&c->nmis, 1, __ATOMIC_RELEASE);
	/* reclaim() may send several; only the first finds a CPU at work. */
	if (c->index == 0 || deadline_passed(__atomic_load_n(&c->nmi_until, __ATOMIC_ACQUIRE)))
		return false;
	/* A CPU that holds a lock goes on, and reclaim() sends another NMI. */
	if (!c->hold && __atomic_exchange_n(&c->reclaim, 0, __ATOMIC_ACQ_REL) &&
	    __atomic_load_n(&c->busy, __ATOMIC_ACQUIRE))
		smp_abandon(f);
	return true;
}

#define RECLAIM_TRIES 10
#define RECLAIM_NS    (time_sec() / 20)
#define NMI_NS	      time_sec() /* an NMI that comes later is none of reclaim()'s */

static bool reclaim(struct cpu *c)
{
	int i;

	for (i = 0; i < RECLAIM_TRIES; i++) {
		__atomic_store_n(&c->nmi_until, deadline_in(NMI_NS), __ATOMIC_RELEASE);
		__atomic_store_n(&c->reclaim, 1, __ATOMIC_RELEASE);
		apic_send_nmi(c->apic_id);
		if (wait_for(!__atomic_load_n(&c->busy, __ATOMIC_ACQUIRE), RECLAIM_NS))
			return true;
	}
	return false;
}

uint32_t smp_nmis(unsigned int cpu)
{
	return cpu < smp_cpus_online() ? __atomic_load_n(&smp.cpu[cpu]->nmis, __ATOMIC_ACQUIRE) : 0;
}

int smp_nmi_one(unsigned int cpu, uint64_t ns)
{
	const uint32_t before = smp_nmis(cpu);
	struct cpu *c;

	if (cpu == 0 || cpu >= smp_cpus_online())
		return -EINVAL;
	c = smp.cpu[cpu];
	__atomic_store_n(&c->reclaim, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&c->nmi_until, deadline_in(ns + NMI_NS), __ATOMIC_RELEASE);
	apic_send_nmi(c->apic_id);
	return wait_for(smp_nmis(cpu) != before, ns) ? 0 : -ETIMEDOUT;
}

unsigned int smp_reclaim(void)
{
	unsigned int i, n = 0;

	for (i = 1; i < smp_cpus_online(); i++) {
		struct cpu *c = smp.cpu[i];

		if (!__atomic_load_n(&c->busy, __ATOMIC_ACQUIRE) || c->lost)
			continue;
		n++;
		c->lost = !reclaim(c);
	}
	return n;
}

static void ap_main(struct cpu *c)
{
	uint64_t ist[IST_COUNT];
	unsigned int i;

	for (i = 0; i < IST_COUNT; i++)
		ist[i] = c->tss.ist[i];
	paging_enable_cpu();
	traps_init_cpu(c, ist);
	apic_init_cpu(false);
	__atomic_store_n(&c->online, 1, __ATOMIC_RELEASE);
	ap_loop(c);
}

#define AP_STACK_PAGES 8

static struct cpu *cpu_new(unsigned int index, uint32_t id)
{
	struct cpu *c = mem_pages(1, PAGE_SIZE);
	unsigned int i;

	if (!c)
		return NULL;
	c->stack_top = stack_new(AP_STACK_PAGES);
	if (!c->stack_top)
		return NULL;
	c->index = index;
	c->apic_id = id;
	for (i = 0; i < IST_COUNT; i++) {
		c->tss.ist[i] = stack_new(2);
		if (!c->tss.ist[i])
			return NULL;
	}
	return c;
}

struct start { /* how a CPU starts */
	uint8_t *page;
	const void *code; /* what it runs in front of our code; or NULL */
	size_t size;
	void (*meanwhile)(void *arg);
	void *arg;
};

/* Intel SDM 3A, 9.4.4.1, with short waits, since virtual CPUs need no 10 ms; a slow host has more time. */
static bool start_one(struct cpu *c, const struct start *s)
{
	uint8_t *const ours = s->page + (s->code ? SMP_CODE_SIZE : 0);
	struct ap_params p = {
		.cr3 = (uint32_t)paging_root(),
		.nx = !!(rdmsr(MSR_EFER) & EFER_NXE),
		.cr4 = read_cr4() & (CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_LA57),
		.rsp = c->stack_top,
		.entry = (uint64_t)(uintptr_t)ap_main,
		.arg = (uint64_t)(uintptr_t)c,
		.apic_id = c->apic_id,
	};
	int tries;

	if (s->code)
		memcpy(s->page, s->code, s->size);
	memcpy(ours, ap_start, (size_t)(ap_end - ap_start));
	memcpy(ours + (ap_params - ap_start), &p, sizeof(p));
	wmb();
	apic_send_init(c->apic_id);
	wait_for(false, 200 * USEC);
	for (tries = 0; tries < 2; tries++) {
		apic_send_startup(c->apic_id, (uint8_t)(virt_to_phys(s->page) >> 12));
		if (s->meanwhile && tries == 0)
			s->meanwhile(s->arg);
		if (wait_for(__atomic_load_n(&c->online, __ATOMIC_ACQUIRE),
			     tries == 0 ? time_sec() / 10 : test_sec()))
			return true;
	}
	return false;
}

static unsigned int list_cpus(uint32_t *ids, unsigned int max)
{
	struct acpi_cpu madt[SMP_MAX_CPUS];
	const unsigned int n = acpi_cpus(madt, SMP_MAX_CPUS);
	unsigned int i;

	for (i = 0; i < n && i < max; i++)
		ids[i] = madt[i].hw_id;
	return n ? n : mptable_cpus(ids, max);
}

void smp_init(void)
{
	uint32_t ids[SMP_MAX_CPUS];
	const unsigned int n = list_cpus(ids, SMP_MAX_CPUS);
	uint8_t *page = smp.page = mem_low_page();
	const struct start plain = { .page = page };
	unsigned int i;

	boot_cpu.apic_id = apic_id();
	smp.listed = n ? n : 1;
	if (n < 2 || !page || paging_root() >> 32)
		return;
	paging_protect(virt_to_phys(page), PAGE_SIZE, PROT_R | PROT_W | PROT_X);
	for (i = 0; i < n && i < SMP_MAX_CPUS && smp.online < SMP_MAX_CPUS; i++) {
		struct cpu *c;

		if (ids[i] == boot_cpu.apic_id)
			continue;
		c = cpu_new(smp.online, ids[i]);
		if (!c)
			break;
		smp.cpu[smp.online] = c;
		if (start_one(c, &plain))
			__atomic_store_n(&smp.online, smp.online + 1, __ATOMIC_RELEASE);
	}
	paging_protect(virt_to_phys(page), PAGE_SIZE, PROT_R | PROT_W);
}

uint64_t smp_trampoline(void)
{
	return virt_to_phys(smp.page);
}

static int restart(unsigned int cpu, const struct start *s)
{
	struct cpu *c;
	bool ok;

	if (cpu == 0 || cpu >= smp_cpus_online())
		return -EINVAL;
	c = smp.cpu[cpu];
	if (__atomic_load_n(&c->busy, __ATOMIC_ACQUIRE))
		return -EBUSY;
	if (!smp.page)
		return -ENODEV;
	/* A change of the page tables waits for every CPU, so it comes before this one is stopped. */
	paging_protect(virt_to_phys(smp.page), PAGE_SIZE, PROT_R | PROT_W | PROT_X);
	__atomic_store_n(&c->online, 0, __ATOMIC_RELEASE);
	ok = start_one(c, s);
	if (!ok) { /* it counts as busy for good, so that nobody gives it work */
		c->lost = true;
		__atomic_store_n(&c->busy, 1, __ATOMIC_RELEASE);
		return -ETIMEDOUT;
	}
	paging_protect(virt_to_phys(smp.page), PAGE_SIZE, PROT_R | PROT_W);
	return 0;
}

int smp_restart(unsigned int cpu, void (*meanwhile)(void *arg), void *arg)
{
	const struct start s = { .page = smp.page, .meanwhile = meanwhile, .arg = arg };

	return restart(cpu, &s);
}

int smp_restart_by(unsigned int cpu, void *code, size_t size)
{
	const struct start s = { .page = smp.page, .code = code, .size = size };
	int ret;

	if (size > SMP_CODE_SIZE)
		return -EINVAL;
	ret = restart(cpu, &s);
	if (ret == 0)
		memcpy(code, smp.page, size);
	return ret;
}

uint64_t irq_timer_strays(unsigned int cpu)
{
	return cpu < smp_cpus_online() ?
		       __atomic_load_n(&smp.cpu[cpu]->timer_strays, __ATOMIC_RELAXED) :
		       0;
}

int irq_send_ipi(unsigned int cpu, int vector)
{
	if (cpu >= smp_cpus_online() || vector < VEC_FIRST_FREE || vector > VEC_LAST_FREE)
		return -EINVAL;
	apic_send_ipi(smp_hw_id(cpu), (unsigned int)vector);
	return 0;
}

int smp_call_async(unsigned int cpu, void (*fn)(void *arg), void *arg)
{
	struct cpu *c;

	if (cpu == 0 || cpu >= smp_cpus_online())
		return -EINVAL;
	c = smp.cpu[cpu];
	if (__atomic_load_n(&c->busy, __ATOMIC_ACQUIRE))
		return -EBUSY;
	__atomic_store_n(&c->failed, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&c->reclaim, 0, __ATOMIC_RELAXED);
	c->fn = fn;
	c->arg = arg;
	__atomic_store_n(&c->busy, 1, __ATOMIC_RELEASE);
	apic_send_ipi(c->apic_id, VEC_WAKE);
	return 0;
}

int smp_wait(unsigned int cpu, uint64_t ns)
{
	struct cpu *c;

	if (cpu == 0 || cpu >= smp_cpus_online())
		return -EINVAL;
	c = smp.cpu[cpu];
	if (!wait_for(!__atomic_load_n(&c->busy, __ATOMIC_ACQUIRE), ns))
		return -ETIMEDOUT;
	return __atomic_load_n(&c->failed, __ATOMIC_ACQUIRE) ? -EFAULT : 0;
}

int smp_call(unsigned int cpu, void (*fn)(void *arg), void *arg, uint64_t ns)
{
	int ret;

	if (cpu == smp_this_cpu()) {
		fn(arg);
		return 0;
	}
	ret = smp_call_async(cpu, fn, arg);
	return ret ? ret : smp_wait(cpu, ns);
}
