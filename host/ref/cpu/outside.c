/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/ref/cpu/outside.h"

#include <string.h>

enum {
	MSR_APIC_BASE = 0x1b,
	MSR_X2APIC_ID = 0x802,
	MSR_X2APIC_TPR = 0x808,
	MSR_X2APIC_PPR = 0x80a,
	MSR_X2APIC_LDR = 0x80d,
	MSR_X2APIC_SVR = 0x80f,
	MSR_X2APIC_ISR = 0x810,
	MSR_X2APIC_IRR = 0x820,
	MSR_X2APIC_ICR = 0x830,
	MSR_X2APIC_LVT_TIMER = 0x832,
	MSR_X2APIC_TIMER_INITIAL = 0x838,
	MSR_X2APIC_TIMER_CURRENT = 0x839,
	MSR_X2APIC_TIMER_DIVIDE = 0x83e,
	MSR_X2APIC_SELF_IPI = 0x83f,
	MSR_LSTAR = 0xc0000082,
};

enum {
	ICR_FIXED = 0,
	ICR_NMI = 4,
	ICR_INIT = 5,
	ICR_STARTUP = 6,
	ICR_LOGICAL = 1u << 11,
	ICR_ALL = 2u << 18,
	ICR_ALL_BUT_SELF = 3u << 18,
	APIC_BASE_X2APIC = 1u << 10,
	LVT_MASKED = 1u << 16,
	LVT_PERIODIC = 1u << 17,
	FIRST_OF_PAYLOAD = 0xf0, /* vectors by which it wakes CPUs and flushes their TLBs */
};

enum {
	VECTOR_UD = 6,
	VECTOR_GP = 13,
	PM_TIMER_PORT = 0x608, /* of q35 */
	UD2_SIZE = 2,
	LINE = 64,
	PAGE = 4096,
};

#define XAPIC_ICR_HIGH 0xfee00310u
#define IOAPIC_SELECT  0xfec00000u
#define IOAPIC_WINDOW  0xfec00010u
#define IOAPIC_ENTRIES 24u
#define ENTRY_LEVEL    (1u << 15)
#define ENTRY_MASK     (1u << 16)
#define CR0_WP	       (1ull << 16)
#define DR7_LE	       (1ull << 8)

static bool drop(bool yes)
{
	if (yes)
		fault_injected(plugin_fault());
	return yes;
}

static bool each(unsigned int n)
{
	static unsigned int count;

	return __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED) % n == 0;
}

static void set_edx_eax(unsigned int cpu, uint64_t v)
{
	plugin_set_reg(cpu, R_RAX, (uint32_t)v);
	plugin_set_reg(cpu, R_RDX, v >> 32);
	drop(true);
}

/* --- local APIC ------------------------------------------------------------------------------------- */

static bool writes(unsigned int cpu, uint32_t msr)
{
	return (uint32_t)plugin_reg(cpu, R_RCX) == msr;
}

static bool sends(unsigned int cpu, unsigned int mode)
{
	return writes(cpu, MSR_X2APIC_ICR) && (plugin_reg(cpu, R_RAX) >> 8 & 7) == mode;
}

/* APIC ids are CPUs' numbers on these machines. */
static uint32_t destination(unsigned int cpu)
{
	return (uint32_t)plugin_reg(cpu, R_RDX);
}

static void to_all(unsigned int cpu)
{
	plugin_set_reg(cpu, R_RAX, plugin_reg(cpu, R_RAX) | ICR_ALL_BUT_SELF);
	drop(true);
}

/* The second NMI is taken for the first, which was over long ago. */
bool outside_nmi_second_lost(unsigned int cpu, const struct plugin_site *s)
{
	static unsigned int sent[PLUGIN_CPUS];
	const uint32_t to = destination(cpu);

	(void)s;
	return drop(sends(cpu, ICR_NMI) && to < PLUGIN_CPUS && ++sent[to] % 2 == 0);
}

bool outside_nmi_to_all(unsigned int cpu, const struct plugin_site *s)
{
	(void)s;
	if (sends(cpu, ICR_NMI))
		to_all(cpu);
	return false;
}

bool outside_ipi_to_all(unsigned int cpu, const struct plugin_site *s)
{
	(void)s;
	if (sends(cpu, ICR_FIXED) && (plugin_reg(cpu, R_RAX) & 0xff) < FIRST_OF_PAYLOAD &&
	    destination(cpu) != cpu)
		to_all(cpu);
	return false;
}

bool outside_ipi_to_self_lost(unsigned int cpu, const struct plugin_site *s)
{
	(void)s;
	return drop(sends(cpu, ICR_FIXED) && destination(cpu) == cpu);
}

/* The divider of a CPU that was started stays what INIT made it: 2. */
bool outside_timer_divide_ap(unsigned int cpu, const struct plugin_site *s)
{
	(void)s;
	return drop(cpu != 0 && writes(cpu, MSR_X2APIC_TIMER_DIVIDE));
}

bool outside_timer_ap_dead(unsigned int cpu, const struct plugin_site *s)
{
	(void)s;
	return drop(cpu != 0 && writes(cpu, MSR_X2APIC_TIMER_INITIAL) &&
		    (uint32_t)plugin_reg(cpu, R_RAX));
}

/* The divider is applied twice, but to the counts of a calibration. */
bool outside_timer_late(unsigned int cpu, const struct plugin_site *s)
{
	const uint32_t count = (uint32_t)plugin_reg(cpu, R_RAX);

	(void)s;
	if (writes(cpu, MSR_X2APIC_TIMER_INITIAL) && count && count < 1u << 28) {
		plugin_set_reg(cpu, R_RAX, count * 16);
		drop(true);
	}
	return false;
}

/* A time that is rounded to 0 disarms the host's timer. */
bool outside_timer_shortest_lost(unsigned int cpu, const struct plugin_site *s)
{
	(void)s;
	return drop(writes(cpu, MSR_X2APIC_TIMER_INITIAL) && (uint32_t)plugin_reg(cpu, R_RAX) == 1);
}

/* The timer of a CPU that INIT stopped goes on, and interrupts when its APIC is on again. */
bool outside_init_keeps_timer(unsigned int cpu, const struct plugin_site *s)
{
	static bool started[PLUGIN_CPUS], again[PLUGIN_CPUS];
	static uint32_t vector[PLUGIN_CPUS];
	const uint32_t to = destination(cpu);

	(void)s;
	if (sends(cpu, ICR_STARTUP) && to < PLUGIN_CPUS)
		started[to] = true;
	if (sends(cpu, ICR_INIT) && to < PLUGIN_CPUS)
		again[to] = started[to];
	if (writes(cpu, MSR_X2APIC_LVT_TIMER) && plugin_reg(cpu, R_RAX) & 0xff)
		vector[cpu] = plugin_reg(cpu, R_RAX) & 0xff;
	/* The divider is what the payload's code sets last: the APIC is on. */
	if (writes(cpu, MSR_X2APIC_TIMER_DIVIDE) && again[cpu] && vector[cpu]) {
		again[cpu] = false;
		plugin_inject(0xfee00000u | cpu << 12, vector[cpu], 4);
	}
	return false;
}

/* An x2APIC's id has all 32 bits; this is the register as an xAPIC has it. */
void outside_x2apic_id(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx)
{
	(void)rax;
	if (kind == K_RDMSR && cpu != 0 && (uint32_t)rcx == MSR_X2APIC_ID)
		set_edx_eax(cpu, plugin_reg(cpu, R_RAX) << 24);
}

void outside_apic_base_bsp(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx)
{
	(void)rax;
	if (kind == K_RDMSR && cpu != 0 && (uint32_t)rcx == MSR_APIC_BASE) {
		plugin_set_reg(cpu, R_RAX, plugin_reg(cpu, R_RAX) | 1u << 8);
		drop(true);
	}
}

/* The two halves of an xAPIC's command: every third destination is not taken. */
void outside_xapic_icr_high(unsigned int cpu, const struct store *s)
{
	static uint32_t last[PLUGIN_CPUS];

	if (s->phys != XAPIC_ICR_HIGH)
		return;
	if ((uint32_t)s->value != last[cpu] && each(3))
		plugin_inject(XAPIC_ICR_HIGH, last[cpu], 4);
	else
		last[cpu] = (uint32_t)s->value;
}

/* The register that only an x2APIC has was forgotten. */
bool outside_self_ipi_lost(unsigned int cpu, const struct plugin_site *s)
{
	(void)s;
	return drop(writes(cpu, MSR_X2APIC_SELF_IPI));
}

static uint32_t initial_count[PLUGIN_CPUS], lvt_timer[PLUGIN_CPUS]; /* as the guest wrote them */

static void note_timer(unsigned int cpu)
{
	if (writes(cpu, MSR_X2APIC_TIMER_INITIAL))
		initial_count[cpu] = (uint32_t)plugin_reg(cpu, R_RAX);
	if (writes(cpu, MSR_X2APIC_LVT_TIMER))
		lvt_timer[cpu] = (uint32_t)plugin_reg(cpu, R_RAX);
}

/* A count of 0 is no time to start the host's timer for, so that the one that runs is left alone. */
bool outside_timer_zero_keeps(unsigned int cpu, const struct plugin_site *s)
{
	const uint32_t before = initial_count[cpu];

	(void)s;
	note_timer(cpu);
	return drop(before && writes(cpu, MSR_X2APIC_TIMER_INITIAL) && !initial_count[cpu]);
}

/* The mask is looked at when the timer is started, and not when it ends. */
bool outside_timer_mask_ignored(unsigned int cpu, const struct plugin_site *s)
{
	const uint32_t before = lvt_timer[cpu];

	(void)s;
	note_timer(cpu);
	return drop(writes(cpu, MSR_X2APIC_LVT_TIMER) && lvt_timer[cpu] & LVT_MASKED && before &&
		    !(before & LVT_MASKED) && initial_count[cpu]);
}

/* "All excluding self" is sent as "all including self". */
bool outside_ipi_others_and_self(unsigned int cpu, const struct plugin_site *s)
{
	const uint64_t v = plugin_reg(cpu, R_RAX);
	const bool fixed = sends(cpu, ICR_FIXED) && (v & 0xff) < FIRST_OF_PAYLOAD;

	(void)s;
	if ((fixed || sends(cpu, ICR_NMI)) && (v & ICR_ALL_BUT_SELF) == ICR_ALL_BUT_SELF) {
		plugin_set_reg(cpu, R_RAX, (v & ~(uint64_t)ICR_ALL_BUT_SELF) | ICR_ALL);
		drop(true);
	}
	return false;
}

static bool init_since
	[PLUGIN_CPUS]; /* it came to a CPU that had been started, which has not set its mode again */

bool outside_init_xapic_notes(unsigned int cpu, const struct plugin_site *s)
{
	static bool started[PLUGIN_CPUS];
	const uint32_t to = destination(cpu);

	if (s->kind != K_WRMSR)
		return false;
	if (sends(cpu, ICR_STARTUP) && to < PLUGIN_CPUS)
		started[to] = true;
	if (sends(cpu, ICR_INIT) && to < PLUGIN_CPUS)
		init_since[to] = started[to];
	if (writes(cpu, MSR_APIC_BASE))
		init_since[cpu] = false;
	return false;
}

/* INIT is taken for a reset of the local APIC, its mode included. */
void outside_init_xapic(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx)
{
	(void)rax;
	if (kind != K_RDMSR || (uint32_t)rcx != MSR_APIC_BASE || !init_since[cpu])
		return;
	plugin_set_reg(cpu, R_RAX, plugin_reg(cpu, R_RAX) & ~(uint64_t)APIC_BASE_X2APIC);
	drop(true);
}

static uint32_t ipi_vector(unsigned int cpu)
{
	return plugin_reg(cpu, R_RAX) & 0xff;
}

static bool sends_of_test(unsigned int cpu)
{
	return sends(cpu, ICR_FIXED) && ipi_vector(cpu) < FIRST_OF_PAYLOAD;
}

/* A logical destination is looked up, and the first CPU that is found is the one. */
bool apic_logical_one(unsigned int cpu, const struct plugin_site *s)
{
	const uint32_t to = destination(cpu), bits = to & 0xffff;

	(void)s;
	if (sends_of_test(cpu) && plugin_reg(cpu, R_RAX) & ICR_LOGICAL && bits & (bits - 1)) {
		plugin_set_reg(cpu, R_RDX, (to & ~0xffffu) | (bits & -bits));
		drop(true);
	}
	return false;
}

/* No CPU has this id. */
bool apic_broadcast_lost(unsigned int cpu, const struct plugin_site *s)
{
	(void)s;
	return drop(sends_of_test(cpu) && destination(cpu) == UINT32_MAX);
}

/* What is pending already is of a lower priority, and the host does not look for more. */
bool apic_higher_lost(unsigned int cpu, const struct plugin_site *s)
{
	static uint32_t last[PLUGIN_CPUS];
	const uint32_t v = ipi_vector(cpu), before = last[cpu];

	(void)s;
	if (!writes(cpu, MSR_X2APIC_SELF_IPI))
		return false;
	last[cpu] = v;
	return drop(before && v > before);
}

bool apic_tpr_ignored(unsigned int cpu, const struct plugin_site *s)
{
	(void)s;
	return drop(writes(cpu, MSR_X2APIC_TPR) && (uint32_t)plugin_reg(cpu, R_RAX));
}

bool apic_periodic_once(unsigned int cpu, const struct plugin_site *s)
{
	(void)s;
	if (writes(cpu, MSR_X2APIC_LVT_TIMER) && plugin_reg(cpu, R_RAX) & LVT_PERIODIC) {
		plugin_set_reg(cpu, R_RAX, plugin_reg(cpu, R_RAX) & ~(uint64_t)LVT_PERIODIC);
		drop(true);
	}
	return false;
}

static void reads_as(unsigned int cpu, uint32_t msr, uint32_t first, uint32_t n, uint64_t v)
{
	const uint64_t is = plugin_reg(cpu, R_RDX) << 32 | (uint32_t)plugin_reg(cpu, R_RAX);

	if (msr - first < n && is != v)
		set_edx_eax(cpu, v);
}

void apic_ldr_xapic(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx)
{
	(void)kind;
	(void)rax;
	reads_as(cpu, (uint32_t)rcx, MSR_X2APIC_LDR, 1, 1u << 24);
}

void apic_irr_hidden(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx)
{
	(void)kind;
	(void)rax;
	reads_as(cpu, (uint32_t)rcx, MSR_X2APIC_IRR, 8, 0);
}

void apic_isr_hidden(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx)
{
	(void)kind;
	(void)rax;
	reads_as(cpu, (uint32_t)rcx, MSR_X2APIC_ISR, 8, 0);
}

void apic_ppr_is_0(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx)
{
	(void)kind;
	(void)rax;
	reads_as(cpu, (uint32_t)rcx, MSR_X2APIC_PPR, 1, 0);
}

/* The count is that of the timer's start, but for the calibration's. */
void apic_count_stands(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx)
{
	(void)rax;
	if (kind == K_RDMSR && initial_count[cpu] && initial_count[cpu] != UINT32_MAX)
		reads_as(cpu, (uint32_t)rcx, MSR_X2APIC_TIMER_CURRENT, 1, initial_count[cpu]);
}

bool apic_notes_timer(unsigned int cpu, const struct plugin_site *s)
{
	if (s->kind == K_WRMSR)
		note_timer(cpu);
	return false;
}

void apic_initial_hidden(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx)
{
	(void)kind;
	(void)rax;
	reads_as(cpu, (uint32_t)rcx, MSR_X2APIC_TIMER_INITIAL, 1, 0);
}

/* --- what INIT leaves of other registers ------------------------------------------------------------------ */

/* Other CPUs than the first come to code of 16 bits by INIT only. */
static void or_of_init(unsigned int cpu, uint64_t bits)
{
	if (cpu == 0 || plugin_long_mode(cpu) || plugin_reg(cpu, R_CR0) & 1)
		return;
	plugin_set_reg(cpu, R_RAX, plugin_reg(cpu, R_RAX) | bits);
	drop(true);
}

void init_keeps_cr0(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx)
{
	(void)kind;
	(void)rax;
	(void)rcx;
	or_of_init(cpu, CR0_WP);
}

void init_keeps_dr7(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx)
{
	(void)kind;
	(void)rax;
	(void)rcx;
	or_of_init(cpu, DR7_LE);
}

static bool cleared[PLUGIN_CPUS]; /* by an INIT, since which the register was not written */

bool init_clears_lstar_notes(unsigned int cpu, const struct plugin_site *s)
{
	const uint32_t to = destination(cpu);

	if (s->kind != K_WRMSR)
		return false;
	if (sends(cpu, ICR_INIT) && to < PLUGIN_CPUS)
		cleared[to] = true;
	if (writes(cpu, MSR_LSTAR))
		cleared[cpu] = false;
	return false;
}

void init_clears_lstar(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx)
{
	(void)rax;
	if (kind == K_RDMSR && (uint32_t)rcx == MSR_LSTAR && cleared[cpu])
		set_edx_eax(cpu, 0);
}

/* --- I/O APIC --------------------------------------------------------------------------------------- */

static struct {
	uint32_t select;
	uint32_t low[IOAPIC_ENTRIES]; /* as it was written last */
} ioapic;

/* A store to half of a redirection entry. half: 0 low, 1 high. */
static bool to_entry(const struct store *s, unsigned int *entry, unsigned int half)
{
	if (s->phys == IOAPIC_SELECT)
		ioapic.select = s->value & 0xff;
	*entry = (ioapic.select - 0x10) / 2;
	return s->phys == IOAPIC_WINDOW && ioapic.select >= 0x10 && *entry < IOAPIC_ENTRIES &&
	       (ioapic.select & 1) == half;
}

void outside_ioapic_dest(unsigned int cpu, const struct store *s)
{
	unsigned int e;

	(void)cpu;
	if (to_entry(s, &e, 1) && s->value >> 24)
		plugin_inject(IOAPIC_WINDOW, 0, 4);
}

void outside_ioapic_edge(unsigned int cpu, const struct store *s)
{
	unsigned int e;

	(void)cpu;
	if (to_entry(s, &e, 0) && s->value & ENTRY_LEVEL)
		plugin_inject(IOAPIC_WINDOW, (uint32_t)s->value & ~ENTRY_LEVEL, 4);
}

/* A line that has been open stays so. */
void outside_ioapic_mask(unsigned int cpu, const struct store *s)
{
	unsigned int e;

	(void)cpu;
	if (!to_entry(s, &e, 0))
		return;
	if (s->value & ENTRY_MASK && ioapic.low[e] && !(ioapic.low[e] & ENTRY_MASK) &&
	    (s->value & 0xff) == (ioapic.low[e] & 0xff))
		plugin_inject(IOAPIC_WINDOW, (uint32_t)s->value & ~ENTRY_MASK, 4);
	ioapic.low[e] = (uint32_t)s->value;
}

/* The host remembers a line by its first vector. */
void outside_ioapic_old_vector(unsigned int cpu, const struct store *s)
{
	static uint8_t first[IOAPIC_ENTRIES];
	unsigned int e;

	(void)cpu;
	if (!to_entry(s, &e, 0) || !(s->value & 0xff))
		return;
	if (!first[e])
		first[e] = s->value & 0xff;
	if (first[e] != (s->value & 0xff))
		plugin_inject(IOAPIC_WINDOW, ((uint32_t)s->value & ~0xffu) | first[e], 4);
}

/* --- CPUID ------------------------------------------------------------------------------------------ */

static void set(unsigned int cpu, enum plugin_reg r, uint64_t v)
{
	if (plugin_reg(cpu, r) == v)
		return;
	plugin_set_reg(cpu, r, v);
	drop(true);
}

/* One table of leaves for all CPUs, made for the first. */
void outside_cpuid_id(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx)
{
	(void)rcx;
	if (kind == K_CPUID && (uint32_t)rax == 1)
		set(cpu, R_RBX, plugin_reg(cpu, R_RBX) & 0xffffff);
}

void outside_cpuid_topology(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx)
{
	(void)rcx;
	if (kind == K_CPUID && (uint32_t)rax == 0xb)
		set(cpu, R_RDX, 0);
}

void outside_cpuid_count(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx)
{
	(void)rcx;
	if (kind == K_CPUID && (uint32_t)rax == 1)
		set(cpu, R_RBX, plugin_reg(cpu, R_RBX) & ~0xff0000ull);
}

void outside_cpuid_nx(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx)
{
	(void)rcx;
	if (kind == K_CPUID && cpu != 0 && (uint32_t)rax == 0x80000001)
		set(cpu, R_RDX, plugin_reg(cpu, R_RDX) & ~(1ull << 20));
}

/* The first CPU's leaves are patched for what the machine has, and those of the others are not. */
void outside_cpuid_x2apic(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx)
{
	(void)rcx;
	if (kind == K_CPUID && cpu != 0 && (uint32_t)rax == 1)
		set(cpu, R_RCX, plugin_reg(cpu, R_RCX) & ~(1ull << 21));
}

/* --- clocks ------------------------------------------------------------------------------------------ */

static uint64_t tsc_now;		/* as some CPU read it last */
static uint64_t tsc_start[PLUGIN_CPUS]; /* then this one was started */

bool outside_startup_notes_tsc(unsigned int cpu, const struct plugin_site *s)
{
	const uint32_t to = destination(cpu);

	(void)s;
	if (sends(cpu, ICR_STARTUP) && to < PLUGIN_CPUS)
		tsc_start[to] = __atomic_load_n(&tsc_now, __ATOMIC_RELAXED);
	return false;
}

void outside_tsc_from_startup(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx)
{
	const uint64_t v = plugin_reg(cpu, R_RDX) << 32 | (uint32_t)plugin_reg(cpu, R_RAX);

	(void)rax;
	(void)rcx;
	if (kind != K_RDTSC)
		return;
	if (cpu == 0)
		__atomic_store_n(&tsc_now, v, __ATOMIC_RELAXED);
	if (tsc_start[cpu] && v > tsc_start[cpu])
		set_edx_eax(cpu, v - tsc_start[cpu]);
}

/* The multiplier of the host's counter is set for the first CPU only. */
void outside_tsc_rate_ap(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx)
{
	static uint64_t first[PLUGIN_CPUS];
	const uint64_t v = plugin_reg(cpu, R_RDX) << 32 | (uint32_t)plugin_reg(cpu, R_RAX);

	(void)rax;
	(void)rcx;
	if (kind != K_RDTSC || cpu == 0)
		return;
	if (!first[cpu])
		first[cpu] = v;
	set_edx_eax(cpu, first[cpu] + (v - first[cpu]) / 2);
}

static bool is_pm_timer(unsigned int cpu, enum kind kind)
{
	return kind == K_IN32 && (plugin_reg(cpu, R_RDX) & 0xffff) == PM_TIMER_PORT;
}

void outside_pm_timer_back(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx)
{
	(void)rax;
	(void)rcx;
	if (is_pm_timer(cpu, kind) && each(50))
		set(cpu, R_RAX, (plugin_reg(cpu, R_RAX) - 1000) & 0xffffff);
}

void outside_pm_timer_wide(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx)
{
	(void)rax;
	(void)rcx;
	if (is_pm_timer(cpu, kind))
		set(cpu, R_RAX, plugin_reg(cpu, R_RAX) | 0xa5000000);
}

/* --- execution --------------------------------------------------------------------------------------- */

/* Another CPU told this one to forget its translations. */
bool outside_cr3_reload_ap(unsigned int cpu, const struct plugin_site *s)
{
	static uint64_t last[PLUGIN_CPUS];
	const uint64_t v = plugin_reg(cpu, s->code[2] & 7);

	if (cpu != 0 && v == last[cpu])
		return drop(true);
	last[cpu] = v;
	return false;
}

/* The host's own CR0 is set up for the first CPU only. */
bool outside_wp_ap(unsigned int cpu, const struct plugin_site *s)
{
	const unsigned int r = s->code[2] & 7;
	const uint64_t v = plugin_reg(cpu, r);

	if (cpu != 0 && v & CR0_WP) {
		plugin_set_reg(cpu, r, v & ~CR0_WP);
		drop(true);
	}
	return false;
}

bool outside_lock64_lost(unsigned int cpu, const struct plugin_site *s)
{
	(void)cpu;
	(void)s;
	return drop(each(500));
}

static void lose_behind(const struct store *s, unsigned int line)
{
	static const uint8_t zero[16];
	const unsigned int first = line - s->vaddr % line;

	if (s->io || s->size > sizeof(zero) || first >= s->size)
		return;
	/* Memory is mapped one to one. */
	if (plugin_write(s->phys + first, zero, s->size - first))
		drop(true);
}

void outside_split_lock(unsigned int cpu, const struct store *s)
{
	(void)cpu;
	if (s->locked)
		lose_behind(s, LINE);
}

void outside_cross_page(unsigned int cpu, const struct store *s)
{
	(void)cpu;
	if (!s->locked && s->vaddr % PAGE + s->size > PAGE && each(8))
		lose_behind(s, PAGE);
}

/* --- traps: in front of the handler's first instruction, with the frame on its stack ------------------ */

static uint64_t change_frame(unsigned int cpu, unsigned int word, uint64_t keep, uint64_t add)
{
	const uint64_t at = plugin_reg(cpu, R_RSP) + 8ull * word;
	uint64_t v, now;

	if (!plugin_read(at, &v, sizeof(v)))
		return 0;
	now = (v & keep) + add;
	if (now != v && plugin_write(at, &now, sizeof(now)))
		drop(true);
	return 0;
}

/* Shadow page tables know the page only. */
uint64_t outside_pf_cr2(unsigned int cpu, unsigned int vector)
{
	const uint64_t v = plugin_reg(cpu, R_CR2);

	(void)vector;
	if (v % PAGE) {
		plugin_set_reg(cpu, R_CR2, v - v % PAGE);
		drop(true);
	}
	return 0;
}

uint64_t outside_pf_write(unsigned int cpu, unsigned int vector)
{
	(void)vector;
	return change_frame(cpu, 0, ~2ull, 0);
}

uint64_t outside_pf_present(unsigned int cpu, unsigned int vector)
{
	(void)vector;
	return change_frame(cpu, 0, ~1ull, 0);
}

/* A fetch is a load. */
uint64_t outside_pf_fetch(unsigned int cpu, unsigned int vector)
{
	(void)vector;
	return change_frame(cpu, 0, ~16ull, 0);
}

uint64_t outside_gp_code(unsigned int cpu, unsigned int vector)
{
	(void)vector;
	return change_frame(cpu, 0, 0, 0);
}

/* The emulator has moved on before it gives up. */
uint64_t outside_ud_rip(unsigned int cpu, unsigned int vector)
{
	(void)vector;
	return change_frame(cpu, 0, ~0ull, UD2_SIZE);
}

uint64_t outside_ud_as_gp(unsigned int cpu, unsigned int vector)
{
	const uint64_t none = 0, sp = plugin_reg(cpu, R_RSP) - 8;

	if (vector != VECTOR_UD || !machine_gate(VECTOR_GP) || !plugin_write(sp, &none, 8))
		return 0;
	plugin_set_reg(cpu, R_RSP, sp);
	drop(true);
	return machine_gate(VECTOR_GP);
}
