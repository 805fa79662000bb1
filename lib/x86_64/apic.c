/* SPDX-License-Identifier: BSD-2-Clause */
/* apic.h: the local APIC of each CPU in both of its modes, its timer, and IPIs. */
#include "lib/x86_64/apic.h"

#include <errno.h>
#include <stddef.h>

#include "lib/guard.h"
#include "lib/x86_64/io.h"
#include "lib/irq.h"
#include "lib/mmio.h"
#include "lib/paging.h"
#include "lib/smp.h"
#include "lib/test.h"
#include "lib/time.h"
#include "lib/x86_64/cpu.h"
#include "lib/x86_64/traps.h"

enum { /* register offsets of the xAPIC page; x2APIC MSR = 0x800 + offset / 16 */
	APIC_ID = 0x20,
	APIC_TPR = 0x80,
	APIC_EOI = 0xb0,
	APIC_SVR = 0xf0,
	APIC_ICR = 0x300,
	APIC_ICR_HIGH = 0x310,
	APIC_LVT_TIMER = 0x320,
	APIC_LVT_LINT0 = 0x350,
	APIC_LVT_LINT1 = 0x360,
	APIC_TIMER_INITIAL = 0x380,
	APIC_TIMER_CURRENT = 0x390,
	APIC_TIMER_DIVIDE = 0x3e0,
};

enum {
	APIC_BASE_X2 = 1u << 10,
	APIC_BASE_ENABLE = 1u << 11,
	SVR_ENABLE = 1u << 8,
	LVT_MASKED = 1u << 16,
	ICR_INIT = 5u << 8,
	ICR_STARTUP = 6u << 8,
	ICR_ASSERT = 1u << 14,
	ICR_NMI = 4u << 8,
	ICR_BUSY = 1u << 12,
	LVT_TSC_DEADLINE = 1u << 18,
	DIVIDE_BY_16 = 3,
};

static struct {
	bool x2, x2_offered;
	bool tsc_deadline;
	volatile uint8_t *page;
	uint64_t timer_hz; /* after the divider */
	uint64_t base_found;
} apic;

static uint32_t reg_read(unsigned int off)
{
	return apic.x2 ? (uint32_t)rdmsr(MSR_X2APIC + off / 16) : mmio_read32(apic.page + off);
}

static void reg_write(unsigned int off, uint32_t v)
{
	if (apic.x2)
		wrmsr(MSR_X2APIC + off / 16, v);
	else
		mmio_write32(apic.page + off, v);
}

static void mask_pic(void)
{
	io_out8(0x21, 0xff);
	io_out8(0xa1, 0xff);
}

static bool choose_mode(uint64_t base)
{
	const struct cpuid_regs f = cpuid(1, 0);

	mask_pic();
	if (!(f.edx >> 9 & 1))
		return false;
	apic.x2_offered = apic.x2 = (f.ecx >> 21 & 1) || (base & APIC_BASE_X2);
	apic.tsc_deadline = f.ecx >> 24 & 1;
	if (!apic.x2)
		apic.page = mmio_map(base & 0xffffff000ull, 4096);
	return apic.x2 || apic.page;
}

bool apic_init_cpu(bool first)
{
	const uint64_t base = rdmsr(MSR_APIC_BASE);

	apic.base_found = base;
	if (first && !choose_mode(base))
		return false;
	/* An APIC that is off reaches x2APIC mode only by way of xAPIC mode (Intel SDM 3A, 11.12.5). */
	if (!(base & APIC_BASE_ENABLE))
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_ENABLE);
	if (apic.x2)
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_ENABLE | APIC_BASE_X2);
	reg_write(APIC_SVR, SVR_ENABLE | VEC_SPURIOUS);
	reg_write(APIC_TPR, 0);
	reg_write(APIC_LVT_TIMER, LVT_MASKED);
	reg_write(APIC_LVT_LINT0, LVT_MASKED);
	reg_write(APIC_TIMER_DIVIDE, DIVIDE_BY_16);
	return true;
}

uint64_t apic_base_found(void)
{
	return apic.base_found;
}

uint32_t apic_id(void)
{
	return apic.x2 ? reg_read(APIC_ID) : reg_read(APIC_ID) >> 24;
}

const char *apic_mode(void)
{
	return apic.x2 ? "x2apic" : "xapic";
}

void apic_eoi(void)
{
	reg_write(APIC_EOI, 0);
}

static void icr(uint32_t dest, uint32_t low)
{
	if (apic.x2) {
		mb(); /* x2APIC writes are not serialising: what the IPI is about must be visible first */
		wrmsr(MSR_X2APIC + APIC_ICR / 16, (uint64_t)dest << 32 | low);
		return;
	}
	reg_write(APIC_ICR_HIGH, dest << 24);
	reg_write(APIC_ICR, low);
	wait_for(!(reg_read(APIC_ICR) & ICR_BUSY), time_sec() / 100);
}

static void send(uint32_t dest, uint32_t low)
{
	const bool enabled = irq_save(); /* the two halves of the xAPIC's register belong together */

	icr(dest, low);
	irq_restore(enabled);
}

void apic_send_ipi(uint32_t dest, unsigned int vector)
{
	send(dest, ICR_ASSERT | vector);
}

void apic_send_init(uint32_t dest)
{
	send(dest, ICR_ASSERT | ICR_INIT);
}

void apic_send_nmi(uint32_t dest)
{
	send(dest, ICR_ASSERT | ICR_NMI);
}

void apic_send_startup(uint32_t dest, uint8_t page)
{
	send(dest, ICR_ASSERT | ICR_STARTUP | page);
}

uint64_t apic_timer_ticks(uint64_t tsc_ticks)
{
	const uint32_t lvt = reg_read(APIC_LVT_TIMER);
	uint64_t start;
	uint32_t left;

	/* In TSC-deadline mode it does not count at all. */
	reg_write(APIC_LVT_TIMER, LVT_MASKED);
	reg_write(APIC_TIMER_INITIAL, UINT32_MAX);
	/* From here on a host that stops this CPU makes the count larger, never smaller. */
	start = rdtsc();
	while (rdtsc() - start < tsc_ticks)
		cpu_relax();
	left = reg_read(APIC_TIMER_CURRENT);
	reg_write(APIC_TIMER_INITIAL, 0);
	reg_write(APIC_LVT_TIMER, lvt);
	return (uint64_t)(UINT32_MAX - left) * 16;
}

#define CALIBRATE_NS	 (2 * MSEC)
#define CALIBRATE_ROUNDS 8

/* The shortest of some rounds counts, since a host that stops this CPU between two readings makes a round longer. */
void apic_timer_calibrate(void)
{
	uint64_t shortest = UINT64_MAX, start, ns, ticks;
	unsigned int i;

	if (apic.tsc_deadline)
		return;
	for (i = 0; i < CALIBRATE_ROUNDS && shortest > CALIBRATE_NS + CALIBRATE_NS / 64; i++) {
		start = time_now();
		ticks = apic_timer_ticks(time_hz() * CALIBRATE_NS / SEC) / 16;
		ns = time_now() - start;
		if (ns >= shortest)
			continue;
		shortest = ns;
		apic.timer_hz = (uint64_t)((unsigned __int128)ticks * SEC / ns);
	}
	if (apic.timer_hz == 0)
		apic.timer_hz = 1;
}

const char *apic_timer_mode(void)
{
	return apic.tsc_deadline ? "tsc-deadline" : "one-shot";
}

uint64_t apic_timer_max(void)
{
	if (apic.tsc_deadline)
		return 3600 * SEC;
	return (uint64_t)((unsigned __int128)UINT32_MAX * SEC / apic.timer_hz);
}

void apic_timer_set(uint64_t ns)
{
	const unsigned __int128 ticks = (unsigned __int128)ns * apic.timer_hz / SEC;

	if (ns == 0) {
		reg_write(APIC_LVT_TIMER, LVT_MASKED);
		if (!apic.tsc_deadline)
			reg_write(APIC_TIMER_INITIAL, 0);
		return;
	}
	if (apic.tsc_deadline) {
		reg_write(APIC_LVT_TIMER, LVT_TSC_DEADLINE | VEC_TIMER);
		mb(); /* xAPIC: the mode by a memory write, before the deadline by an MSR */
		wrmsr(MSR_TSC_DEADLINE,
		      rdtsc() + (uint64_t)((unsigned __int128)ns * time_hz() / SEC));
		return;
	}
	reg_write(APIC_LVT_TIMER, VEC_TIMER);
	reg_write(APIC_TIMER_INITIAL, ticks == 0	 ? 1 :
				      ticks > UINT32_MAX ? UINT32_MAX :
							   (uint32_t)ticks);
}

/* --- both modes, one after the other -------------------------------------------------------- */

static struct {
	bool x2;
	unsigned int arrived, failed; /* atomic */
	bool go, off;		      /* atomic */
} change;

/* An APIC leaves x2APIC mode only by being switched off (Intel SDM 3A, 11.12.5), which clears all its registers. */
static void change_this_cpu(void)
{
	const uint64_t want = change.x2 ? APIC_BASE_X2 : 0;

	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) & ~(uint64_t)(APIC_BASE_ENABLE | APIC_BASE_X2));
	apic_init_cpu(false);
	if ((rdmsr(MSR_APIC_BASE) & (APIC_BASE_ENABLE | APIC_BASE_X2)) != (APIC_BASE_ENABLE | want))
		__atomic_fetch_add(&change.failed, 1, __ATOMIC_RELAXED);
	irq_timer_once(0, NULL, NULL); /* sets the hardware anew for the watchdog */
}

/* All CPUs change while none sends to another. */
static void change_ap(void *arg)
{
	const bool on = irq_save();

	(void)arg;
	guard_hold();
	__atomic_fetch_add(&change.arrived, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&change.go, __ATOMIC_ACQUIRE) &&
	       !__atomic_load_n(&change.off, __ATOMIC_ACQUIRE))
		cpu_relax();
	if (__atomic_load_n(&change.go, __ATOMIC_ACQUIRE))
		change_this_cpu();
	guard_drop();
	irq_restore(on);
}

static unsigned int modes(uint8_t *x2)
{
	unsigned int n = 0, i, high = 0;

	for (i = 0; i < smp_cpus_online(); i++)
		high |= smp_hw_id(i) >= 0xff;
	if (!high) /* 8-bit ids */
		x2[n++] = 0;
	if (apic.x2_offered)
		x2[n++] = 1;
	return n;
}

const char *irq_mode_name(unsigned int n)
{
	uint8_t x2[2];

	return n >= modes(x2) ? NULL : x2[n] ? "x2apic" : "xapic";
}

unsigned int irq_mode(void)
{
	uint8_t x2[2];

	return modes(x2) == 2 && apic.x2;
}

static int rendezvous(unsigned int others)
{
	unsigned int i;
	int ret = 0;

	for (i = 1; i <= others && !ret; i++)
		ret = smp_call_async(i, change_ap, NULL);
	if (ret)
		others = i - 2;
	else if (!wait_for(__atomic_load_n(&change.arrived, __ATOMIC_ACQUIRE) == others,
			   time_sec()))
		ret = -ETIMEDOUT;
	if (!ret) {
		const bool on = irq_save();

		guard_hold();
		apic.x2 = change.x2;
		__atomic_store_n(&change.go, true, __ATOMIC_RELEASE);
		change_this_cpu();
		guard_drop();
		irq_restore(on);
	}
	__atomic_store_n(&change.off, true, __ATOMIC_RELEASE);
	for (i = 1; i <= others; i++)
		if (smp_wait(i, time_sec()))
			ret = -ETIMEDOUT;
	return ret ? ret : change.failed ? -EIO : 0;
}

int irq_mode_set(unsigned int n)
{
	const uint64_t base = rdmsr(MSR_APIC_BASE);
	uint8_t x2[2];

	if (n >= modes(x2))
		return -EINVAL;
	if (x2[n] == apic.x2)
		return 0;
	if (!x2[n] && !apic.page) {
		apic.page = mmio_map(base & 0xffffff000ull, 4096);
		if (!apic.page)
			return -ENOMEM;
	}
	change.x2 = x2[n];
	change.arrived = change.failed = 0;
	change.go = change.off = false;
	return rendezvous(smp_cpus_online() - 1);
}
