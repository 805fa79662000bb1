/* SPDX-License-Identifier: BSD-2-Clause */
/* smp.h: INIT, STARTUP, and a mailbox for each CPU, which sleeps in HLT between calls. */
#include "lib/smp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/acpi.h"
#include "lib/arch.h"
#include "lib/mem.h"
#include "lib/mmio.h"
#include "lib/paging.h"
#include "lib/time.h"
#include "lib/irq.h"
#include "lib/x86_64/apic.h"
#include "lib/x86_64/cpu.h"
#include "lib/x86_64/paging.h"
#include "lib/x86_64/stack.h"
#include "lib/x86_64/traps.h"

extern const char ap_start[], ap_end[], ap_params[];

struct ap_params { /* boot/ap.S */
	uint32_t cr3;
	uint32_t nx;
	uint64_t rsp;
	uint64_t entry;
	uint64_t arg;
};

static struct {
	struct cpu *cpu[SMP_MAX_CPUS];
	unsigned int present, online;
} smp = { .cpu = { &boot_cpu }, .present = 1, .online = 1 };

unsigned int smp_cpus_present(void)
{
	return smp.present;
}

unsigned int smp_cpus_online(void)
{
	return __atomic_load_n(&smp.online, __ATOMIC_ACQUIRE);
}

unsigned int smp_this_cpu(void)
{
	return this_cpu()->index;
}

uint32_t smp_hw_id(unsigned int cpu)
{
	return cpu < SMP_MAX_CPUS && smp.cpu[cpu] ? smp.cpu[cpu]->apic_id : UINT32_MAX;
}

/* Sleeps until there is work; the wake-up IPI cannot slip in between the look and the HLT. */
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

static void ap_main(struct cpu *c)
{
	uint64_t ist[3];
	unsigned int i;

	for (i = 0; i < 3; i++)
		ist[i] = c->tss.ist[i];
	paging_enable_cpu();
	traps_init_cpu(c, ist);
	apic_init_cpu(false);
	__atomic_store_n(&c->online, 1, __ATOMIC_RELEASE);
	ap_loop(c);
}

static struct cpu *cpu_new(unsigned int index, uint32_t id, uint64_t *rsp)
{
	struct cpu *c = mem_pages(1, PAGE_SIZE);
	unsigned int i;

	*rsp = stack_new(4);
	if (!c || !*rsp)
		return NULL;
	c->index = index;
	c->apic_id = id;
	for (i = 0; i < 3; i++) {
		c->tss.ist[i] = stack_new(2);
		if (!c->tss.ist[i])
			return NULL;
	}
	return c;
}

/* Universal start-up algorithm, with short waits: virtual CPUs need no 10 ms. */
static bool start_one(struct cpu *c, uint8_t *page, uint64_t rsp)
{
	struct ap_params p = {
		.cr3 = (uint32_t)paging_root(),
		.nx = !!(rdmsr(MSR_EFER) & EFER_NXE),
		.rsp = rsp,
		.entry = (uint64_t)(uintptr_t)ap_main,
		.arg = (uint64_t)(uintptr_t)c,
	};
	int tries;

	memcpy(page, ap_start, (size_t)(ap_end - ap_start));
	memcpy(page + (ap_params - ap_start), &p, sizeof(p));
	wmb();
	apic_send_init(c->apic_id);
	wait_for(false, 200 * USEC);
	for (tries = 0; tries < 2; tries++) {
		apic_send_startup(c->apic_id, (uint8_t)(virt_to_phys(page) >> 12));
		if (wait_for(__atomic_load_n(&c->online, __ATOMIC_ACQUIRE),
			     tries == 0 ? 100 * MSEC : SEC))
			return true;
	}
	return false;
}

void smp_init(void)
{
	struct acpi_cpu list[SMP_MAX_CPUS];
	const unsigned int n = acpi_cpus(list, SMP_MAX_CPUS);
	uint8_t *page = mem_low_page();
	unsigned int i;
	uint64_t rsp;

	boot_cpu.apic_id = apic_id();
	smp.present = n ? n : 1;
	if (n < 2 || !page || paging_root() >> 32)
		return;
	paging_protect(virt_to_phys(page), PAGE_SIZE, PROT_R | PROT_W | PROT_X);
	for (i = 0; i < n && i < SMP_MAX_CPUS && smp.online < SMP_MAX_CPUS; i++) {
		struct cpu *c;

		if (list[i].apic_id == boot_cpu.apic_id)
			continue;
		c = cpu_new(smp.online, list[i].apic_id, &rsp);
		if (!c)
			break;
		smp.cpu[smp.online] = c;
		if (start_one(c, page, rsp))
			__atomic_store_n(&smp.online, smp.online + 1, __ATOMIC_RELEASE);
	}
	paging_protect(virt_to_phys(page), PAGE_SIZE, PROT_R | PROT_W);
}

int smp_call_async(unsigned int cpu, void (*fn)(void *arg), void *arg)
{
	struct cpu *c;

	if (cpu == 0 || cpu >= smp_cpus_online())
		return -EINVAL;
	c = smp.cpu[cpu];
	if (__atomic_load_n(&c->dead, __ATOMIC_ACQUIRE) || __atomic_load_n(&c->busy, __ATOMIC_ACQUIRE))
		return -EBUSY;
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
	return wait_for(!__atomic_load_n(&c->busy, __ATOMIC_ACQUIRE), ns) ? 0 : -ETIMEDOUT;
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
