/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/x86_64/apic.h"

#include "lib/io.h"
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
	ICR_BUSY = 1u << 12,
	DIVIDE_BY_16 = 3,
};

static struct {
	bool x2;
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

void apic_init_cpu(bool first)
{
	uint64_t base = rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE;

	if (first) {
		mask_pic();
		apic.x2 = cpuid(1, 0).ecx >> 21 & 1;
		if (!apic.x2)
			apic.page = mmio_map(base & 0xffffff000ull, 4096);
	}
	wrmsr(MSR_APIC_BASE, base);
	if (apic.x2)
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2);
	reg_write(APIC_SVR, SVR_ENABLE | VEC_SPURIOUS);
	reg_write(APIC_TPR, 0);
	reg_write(APIC_LVT_TIMER, LVT_MASKED);
	reg_write(APIC_LVT_LINT0, LVT_MASKED);
	reg_write(APIC_TIMER_DIVIDE, DIVIDE_BY_16);
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

void apic_send_ipi(uint32_t dest, unsigned int vector)
{
	icr(dest, ICR_ASSERT | vector);
}

void apic_send_init(uint32_t dest)
{
	icr(dest, ICR_ASSERT | ICR_INIT);
}

void apic_send_startup(uint32_t dest, uint8_t page)
{
	icr(dest, ICR_ASSERT | ICR_STARTUP | page);
}

#define CALIBRATE_NS (2 * MSEC)

void apic_timer_calibrate(void)
{
	const uint64_t start = time_now();
	uint32_t left;
	uint64_t ns;

	reg_write(APIC_TIMER_INITIAL, UINT32_MAX);
	wait_for(false, CALIBRATE_NS);
	left = reg_read(APIC_TIMER_CURRENT);
	ns = time_now() - start;
	reg_write(APIC_TIMER_INITIAL, 0);
	apic.timer_hz = (uint64_t)((unsigned __int128)(UINT32_MAX - left) * SEC / ns);
	if (apic.timer_hz == 0)
		apic.timer_hz = 1;
}

void apic_timer_set(uint64_t ns)
{
	unsigned __int128 ticks = (unsigned __int128)ns * apic.timer_hz / SEC;

	if (ns == 0) {
		reg_write(APIC_TIMER_INITIAL, 0);
		reg_write(APIC_LVT_TIMER, LVT_MASKED);
		return;
	}
	reg_write(APIC_LVT_TIMER, VEC_TIMER);
	reg_write(APIC_TIMER_INITIAL, ticks == 0 ? 1 : ticks > UINT32_MAX ? UINT32_MAX : (uint32_t)ticks);
}
