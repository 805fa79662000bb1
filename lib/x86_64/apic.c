/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/x86_64/apic.h"

#include "lib/io.h"
#include "lib/irq.h"
#include "lib/mmio.h"
#include "lib/paging.h"
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
	bool x2;
	bool tsc_deadline;
	volatile uint8_t *page;
	uint64_t timer_hz; /* after the divider */
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
	apic.x2 = (f.ecx >> 21 & 1) || (base & APIC_BASE_X2);
	apic.tsc_deadline = f.ecx >> 24 & 1;
	if (!apic.x2)
		apic.page = mmio_map(base & 0xffffff000ull, 4096);
	return apic.x2 || apic.page;
}

bool apic_init_cpu(bool first)
{
	const uint64_t base = rdmsr(MSR_APIC_BASE);

	if (first && !choose_mode(base))
		return false;
	/* From off to x2APIC only by way of xAPIC (Intel SDM 3A, 11.12.5). */
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
	wait_for(!(reg_read(APIC_ICR) & ICR_BUSY), 10 * MSEC);
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
	const uint64_t start = rdtsc();
	uint32_t left;

	reg_write(APIC_TIMER_INITIAL, UINT32_MAX);
	while (rdtsc() - start < tsc_ticks)
		cpu_relax();
	left = reg_read(APIC_TIMER_CURRENT);
	reg_write(APIC_TIMER_INITIAL, 0);
	return (uint64_t)(UINT32_MAX - left) * 16;
}

#define CALIBRATE_NS (2 * MSEC)

void apic_timer_calibrate(void)
{
	const uint64_t start = time_now();
	uint64_t ticks;

	if (apic.tsc_deadline)
		return;
	ticks = apic_timer_ticks(time_hz() * CALIBRATE_NS / SEC) / 16;
	apic.timer_hz = (uint64_t)((unsigned __int128)ticks * SEC / (time_now() - start));
	if (apic.timer_hz == 0)
		apic.timer_hz = 1;
}

const char *apic_timer_mode(void)
{
	return apic.tsc_deadline ? "tsc-deadline" : "one-shot";
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
