/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The faults of refcpu. Beside each stands how a hypervisor comes to it; host/ref/cpu/faults says which
 * clause it breaks and which tests have to see it.
 */
#include <pthread.h>
#include <string.h>
#include <x86intrin.h>

#include "host/common/page_state.h"
#include "host/ref/cpu/machine.h"
#include "host/ref/cpu/outside.h"

#define PAGE	  4096u
#define BIT(n)	  (1u << (n))
#define FOUR_GIB  (1ull << 32)
#define PTE_TABLE 0x000ffffffffff000ull
#define PTE_P	  1ull
#define PTE_W	  2ull
#define PTE_PS	  0x80ull
#define PTE_NX	  (1ull << 63)
#define CR0_WP	  (1ull << 16)

/* --- local APIC, by its MSRs (Intel SDM 3A, 11.12) ------------------------------------------------- */

enum {
	MSR_X2APIC_ICR = 0x830,
	MSR_X2APIC_LVT_TIMER = 0x832,
	MSR_X2APIC_TIMER_INITIAL = 0x838,
	ICR_FIXED = 0,
	ICR_NMI = 4,
	ICR_STARTUP = 6,
};

static void injected(void)
{
	fault_injected(plugin_fault());
}

/* True each n-th time. */
static bool each(unsigned int n)
{
	static unsigned int count;

	return __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED) % n == 0;
}

static bool is_icr(unsigned int cpu, uint64_t mode)
{
	return (uint32_t)plugin_reg(cpu, R_RCX) == MSR_X2APIC_ICR &&
	       (plugin_reg(cpu, R_RAX) >> 8 & 7) == mode;
}

static bool drop(bool yes)
{
	if (yes)
		injected();
	return yes;
}

/* Two IPIs arrive at a time, and the host takes the second for the first. */
static bool lose_ipi(unsigned int cpu, const struct plugin_site *s)
{
	(void)s;
	return drop(is_icr(cpu, ICR_FIXED) && each(3));
}

static bool lose_nmi(unsigned int cpu, const struct plugin_site *s)
{
	(void)s;
	return drop(is_icr(cpu, ICR_NMI));
}

static bool lose_startup(unsigned int cpu, const struct plugin_site *s)
{
	(void)s;
	return drop(is_icr(cpu, ICR_STARTUP));
}

#define ICR_ALL_BUT_SELF (3u << 18)

/* The processor with APIC id 1 is slow: it comes up when the next one is started, with the fields of that one. */
static bool delay_startup(unsigned int cpu, const struct plugin_site *s)
{
	const uint32_t to = (uint32_t)plugin_reg(cpu, R_RDX);

	(void)s;
	if (!is_icr(cpu, ICR_STARTUP) || to > 2)
		return false;
	injected();
	if (to == 2)
		plugin_set_reg(cpu, R_RAX, plugin_reg(cpu, R_RAX) | ICR_ALL_BUT_SELF);
	return to == 1;
}

/* The timer counts, but its interrupt is not armed. A start of the whole range, by which the guest calibrates, works. */
static bool lose_timer(unsigned int cpu, const struct plugin_site *s)
{
	const uint32_t count = (uint32_t)plugin_reg(cpu, R_RAX);

	(void)s;
	return drop((uint32_t)plugin_reg(cpu, R_RCX) == MSR_X2APIC_TIMER_INITIAL && count &&
		    count != UINT32_MAX);
}

#define MSI_ADDRESS(apic) (0xfee00000u | (apic) << 12)
#define SHORT_TICKS	  20000000u

/*
 * The counter is armed with what it held before. The guest sets the timer anew after an interrupt that was
 * not due: that time it works, so that there is no storm.
 */
static bool early_timer(unsigned int cpu, const struct plugin_site *s)
{
	static uint32_t vector[64];
	static bool struck[64];
	const uint32_t msr = (uint32_t)plugin_reg(cpu, R_RCX);
	const uint32_t value = (uint32_t)plugin_reg(cpu, R_RAX);

	(void)s;
	if (cpu >= 64)
		return false;
	if (msr == MSR_X2APIC_LVT_TIMER)
		vector[cpu] = value & 0xff;
	if (msr != MSR_X2APIC_TIMER_INITIAL || !value || value >= SHORT_TICKS)
		return false;
	struck[cpu] = !struck[cpu];
	if (struck[cpu])
		plugin_inject(MSI_ADDRESS(cpu), vector[cpu], 4);
	return false;
}

#define STRAY_ADDRESS MSI_ADDRESS(0)
#define STRAY_VECTOR  0xb7u /* handed out last, if ever */
#define STRAY_EACH    256

/* A message that no driver has set up: of a device that the guest does not know of. */
static bool stray(unsigned int cpu, const struct plugin_site *s)
{
	const uint32_t data = STRAY_VECTOR;

	(void)s;
	if (cpu == 0 && each(STRAY_EACH))
		plugin_inject(STRAY_ADDRESS, data, sizeof(data));
	return false;
}

/* --- clocks ------------------------------------------------------------------------------------- */

#define PM_TIMER_PORT 0x608 /* of q35 */
#define PM_TIMER_HZ   3579545ull

/* The offset is worked out anew now and then, from a coarser clock. */
static bool step_back(unsigned int cpu, const struct plugin_site *s)
{
	uint64_t v = __rdtsc();

	(void)s;
	if (each(500)) {
		v -= 10000000;
		injected();
	}
	plugin_set_reg(cpu, R_RAX, (uint32_t)v);
	plugin_set_reg(cpu, R_RDX, v >> 32);
	return true;
}

/* A timer of 14.31818 MHz / 4 that counts at half of that crystal's rate. */
static bool fast_pm_timer(unsigned int cpu, const struct plugin_site *s)
{
	(void)s;
	if ((plugin_reg(cpu, R_RDX) & 0xffff) != PM_TIMER_PORT)
		return false;
	plugin_set_reg(
		cpu, R_RAX,
		(uint64_t)((unsigned __int128)plugin_now_ns() * 2 * PM_TIMER_HZ / 1000000000) &
			0xffffff);
	return drop(true);
}

/* --- execution ----------------------------------------------------------------------------------- */

static bool skip(unsigned int cpu, const struct plugin_site *s)
{
	(void)cpu;
	(void)s;
	return drop(true);
}

/* The host emulates the instruction as a load and a store, and another CPU comes between. */
static bool lose_add(unsigned int cpu, const struct plugin_site *s)
{
	(void)cpu;
	(void)s;
	return drop(each(1000));
}

/* The host keeps the guest's CR0 and runs with another one. */
static bool without_wp(unsigned int cpu, const struct plugin_site *s)
{
	const unsigned int r = s->code[2] & 7; /* r8 and up: not in what is built here */
	const uint64_t v = plugin_reg(cpu, r);

	if (v & CR0_WP) {
		plugin_set_reg(cpu, r, v & ~CR0_WP);
		injected();
	}
	return false;
}

/* --- paging: what shadow page tables would be made of -------------------------------------------- */

/* NX is left out when a table is copied. */
static void without_nx(uint64_t table, unsigned int level)
{
	uint64_t e[PAGE / 8];
	bool changed = false;
	unsigned int i;

	if (!plugin_read(table, e, sizeof(e)))
		return;
	for (i = 0; i < PAGE / 8; i++) {
		if (!(e[i] & PTE_P))
			continue;
		changed |= e[i] >> 63;
		e[i] &= ~PTE_NX;
		if (level > 1 && !(e[i] & PTE_PS))
			without_nx(e[i] & PTE_TABLE, level - 1);
	}
	if (changed) {
		plugin_write(table, e, sizeof(e));
		injected();
	}
}

static bool ignore_nx(unsigned int cpu, const struct plugin_site *s)
{
	without_nx(plugin_reg(cpu, s->code[2] & 7) & PTE_TABLE, 4);
	return false;
}

/* The first page is always there: the hypervisor keeps something in it. */
static bool map_null(unsigned int cpu, const struct plugin_site *s)
{
	uint64_t at = plugin_reg(cpu, s->code[2] & 7) & PTE_TABLE, e = 0;
	unsigned int level;

	for (level = 4; level > 1; level--) {
		if (!plugin_read(at, &e, sizeof(e)) || !(e & PTE_P) || e & PTE_PS)
			return false;
		at = e & PTE_TABLE;
	}
	e = PTE_P | PTE_W;
	plugin_write(at, &e, sizeof(e));
	injected();
	return false;
}

/* LIDT has loaded the table's base: the gates of #DF and #PF lose their own stack. */
static void without_ist(uint64_t phys, uint64_t base)
{
	static const unsigned int vectors[] = { 8, 14 };
	const uint8_t none = 0;
	unsigned int i;

	(void)phys;
	for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		plugin_write(base + 16ull * vectors[i] + 4, &none, 1);
	injected();
}

/* The host does not look again at a table that is in use already. */
static bool keep_translations(unsigned int cpu, const struct plugin_site *s)
{
	static uint64_t last[PLUGIN_CPUS];
	const uint64_t v = plugin_reg(cpu, s->code[2] & 7);

	if (v == last[cpu])
		return drop(true);
	last[cpu] = v;
	return false;
}

/* --- memory ------------------------------------------------------------------------------------- */

/*
 * What programs keep in memory for themselves (page tables, pointers, counters) has an empty upper end. It is spared: the
 * guest would end long before a test.
 */
static bool is_data(uint64_t value)
{
	const unsigned int top = value >> 56;

	return top != 0 && top != 0x80 && top != 0xff;
}

/* A page in 61 loses a bit of its first word. */
static void lose_bit(uint64_t phys, uint64_t value)
{
	if (phys % PAGE || phys / PAGE % 61 || !is_data(value))
		return;
	value ^= 1;
	plugin_write(phys, &value, sizeof(value));
	injected();
}

/* Whether the guest shared that page with its devices. */
static bool is_shared(uint64_t phys)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct page_states states;
	bool is;

	/* The file is refkvm's, which starts at the same time. */
	pthread_mutex_lock(&lock);
	is = machine_page_states &&
	     (states.file || !page_states_open(machine_page_states, &states));
	pthread_mutex_unlock(&lock);
	return is && page_states_protected(&states) && page_states_allowed(&states, phys, 1, NULL);
}

#define LINE 512

/* The first byte of each LINE bytes that are shared loses a bit, wherever the pool of bounce buffers lies. */
static void lose_shared_bit(uint64_t phys, uint64_t value)
{
	const unsigned int at = (unsigned int)(-phys % LINE); /* of that byte, in the value */

	if (at >= sizeof(value) || !is_data(value) || !is_shared(phys))
		return;
	value ^= 1ull << 8 * at;
	plugin_write(phys, &value, sizeof(value));
	injected();
}

/* --- what the guest is told at its start (Xen, start_info.h) ---------------------------------------- */

#define START_MAGIC 0x336ec578u
#define RAM	    1u
#define IMAGE	    0x200000u /* in the hole that is made */
#define HOLE	    0x300000u

struct start_info {
	uint32_t magic, version, flags, modules;
	uint64_t modlist, cmdline, rsdp, memmap;
	uint32_t entries, reserved;
};

struct range {
	uint64_t addr, size;
	uint32_t type, reserved;
};

/* PVH's entry: EBX is the start information's address. */
static bool at_start(unsigned int cpu, struct start_info *s)
{
	return plugin_read((uint32_t)plugin_reg(cpu, R_RBX), s, sizeof(*s)) &&
	       s->magic == START_MAGIC;
}

static bool change_map(unsigned int cpu, void (*change)(struct range *r))
{
	struct start_info s;
	struct range r;
	uint32_t i;

	if (!at_start(cpu, &s))
		return false;
	for (i = 0; i < s.entries; i++) {
		const uint64_t at = s.memmap + i * sizeof(r);

		if (!plugin_read(at, &r, sizeof(r)) || r.type != RAM || r.addr > IMAGE ||
		    r.addr + r.size <= HOLE)
			continue;
		change(&r);
		plugin_write(at, &r, sizeof(r));
		injected();
	}
	return false;
}

/* Where RAM above 4 GiB ends; pages at its end are free but for the test of such memory. */
static uint64_t high_end;

static bool find_high_end(unsigned int cpu, const struct plugin_site *site)
{
	struct start_info s;
	struct range r;
	uint32_t i;

	(void)site;
	for (i = 0; at_start(cpu, &s) && i < s.entries; i++)
		if (plugin_read(s.memmap + i * sizeof(r), &r, sizeof(r)) && r.type == RAM &&
		    r.addr + r.size > FOUR_GIB && r.addr + r.size > high_end)
			high_end = r.addr + r.size;
	return false;
}

static bool at_high_end(uint64_t phys)
{
	return phys >= FOUR_GIB && phys < high_end && high_end - phys <= 256ull * PAGE;
}

/* The last slot of memory is shorter than the map says. */
static void lose_high(uint64_t phys, uint64_t value)
{
	const uint64_t zero = 0;

	if (!at_high_end(phys) || !value)
		return;
	plugin_write(phys, &zero, sizeof(zero));
	injected();
}

/* The last slot of memory overlaps one below. */
static void alias_high(uint64_t phys, uint64_t value)
{
	if (!at_high_end(phys))
		return;
	plugin_write((uint32_t)phys, &value, sizeof(value));
	injected();
}

static void into_next(struct range *r)
{
	r->size += 16ull * PAGE;
}

static void from_hole(struct range *r)
{
	r->size -= HOLE - r->addr;
	r->addr = HOLE;
}

/* The end of RAM is rounded up, into the firmware's own memory. */
static bool overlap(unsigned int cpu, const struct plugin_site *s)
{
	(void)s;
	return change_map(cpu, into_next);
}

/* The map leaves out where the image was loaded, since that is taken. */
static bool no_image(unsigned int cpu, const struct plugin_site *s)
{
	(void)s;
	return change_map(cpu, from_hole);
}

/* The physical address of a table, by the RSDT (ACPI 6.5, 5.2.7); 0: there is none. */
static uint64_t find_table(const struct start_info *s, const char *signature, uint32_t *length)
{
	uint32_t rsdt, size, at, i;
	char name[4];

	if (!plugin_read(s->rsdp + 16, &rsdt, 4) || !plugin_read(rsdt + 4ull, &size, 4))
		return 0;
	for (i = 36; i + 4 <= size && i < PAGE; i += 4)
		if (plugin_read(rsdt + (uint64_t)i, &at, 4) && plugin_read(at, name, 4) &&
		    memcmp(name, signature, 4) == 0 && plugin_read(at + 4ull, length, 4))
			return at;
	return 0;
}

/* A byte is patched, and the checksum is not. */
static bool bad_checksum(unsigned int cpu, const struct plugin_site *s)
{
	struct start_info info;
	uint32_t length;
	uint64_t at;
	uint8_t b;

	(void)s;
	if (!at_start(cpu, &info))
		return false;
	at = find_table(&info, "HPET", &length);
	if (at && plugin_read(at + 10, &b, 1)) {
		b ^= 1;
		plugin_write(at + 10, &b, 1);
		injected();
	}
	return false;
}

#define MADT_ADDRESS 36
#define MADT_ENTRIES 44
#define MADT_ID	     3 /* of a local APIC, in its entry */
#define CHECKSUM     9

/* APIC ids are counted from another start than the CPUs' own (5.2.12.2). */
static bool other_ids(unsigned int cpu, const struct plugin_site *s)
{
	struct start_info info;
	uint32_t length, at;
	uint8_t t[512];
	uint64_t table;

	(void)s;
	if (!at_start(cpu, &info))
		return false;
	table = find_table(&info, "APIC", &length);
	if (!table || length > sizeof(t) || !plugin_read(table, t, length))
		return false;
	for (at = MADT_ENTRIES; at + 8 <= length && t[at + 1]; at += t[at + 1]) {
		if (t[at])
			continue; /* not a local APIC */
		t[at + MADT_ID] += 16;
		t[CHECKSUM] -= 16;
	}
	plugin_write(table, t, length);
	injected();
	return false;
}

/* Changes a table of at most 512 bytes and makes its checksum right again. */
static void change_table(unsigned int cpu, const char *signature,
			 bool (*change)(uint8_t *t, uint32_t *length))
{
	struct start_info info;
	uint8_t t[512], sum = 0;
	uint32_t length, i;
	uint64_t at;

	if (!at_start(cpu, &info))
		return;
	at = find_table(&info, signature, &length);
	if (!at || length > sizeof(t) || !plugin_read(at, t, sizeof(t)) || !change(t, &length))
		return;
	for (i = 0; i < length; i++)
		sum += t[i];
	t[CHECKSUM] -= sum;
	plugin_write(at, t, length);
	injected();
}

#define MADT_FLAGS 4 /* of a local APIC, in its entry */

/* The second local APIC's entry of a MADT; 0: there is none. */
static uint32_t second_apic(const uint8_t *t, uint32_t length)
{
	uint32_t at, n = 0;

	for (at = MADT_ENTRIES; at + 8 <= length && t[at + 1]; at += t[at + 1])
		if (!t[at] && n++ == 1)
			return at;
	return 0;
}

static bool same_id(uint8_t *t, uint32_t *length)
{
	const uint32_t at = second_apic(t, *length);

	if (at)
		t[at + MADT_ID] = 0;
	return at;
}

static bool not_enabled(uint8_t *t, uint32_t *length)
{
	const uint32_t at = second_apic(t, *length);

	if (at)
		t[at + MADT_FLAGS] = 0;
	return at;
}

/* The I/O APIC's first interrupt is counted behind those of the old controllers. */
static bool other_gsi_base(uint8_t *t, uint32_t *length)
{
	uint32_t at;

	for (at = MADT_ENTRIES; at + 12 <= *length && t[at + 1]; at += t[at + 1]) {
		if (t[at] != 1)
			continue;
		t[at + 8] = 16;
		return true;
	}
	return false;
}

/* The address is left out where each CPU tells its own. */
static bool no_apic_address(uint8_t *t, uint32_t *length)
{
	(void)length;
	memset(t + MADT_ADDRESS, 0, 4);
	return true;
}

#define FADT_DSDT	 40
#define FADT_RESET_VALUE 128
#define FADT_X_DSDT	 140
#define MCFG_FIRST_BUS	 54
#define MCFG_ENTRY	 16

static bool no_dsdt(uint8_t *t, uint32_t *length)
{
	memset(t + FADT_DSDT, 0, 4);
	if (*length >= FADT_X_DSDT + 8)
		memset(t + FADT_X_DSDT, 0, 8);
	return true;
}

/* The value stands where another field does. */
static bool no_reset_value(uint8_t *t, uint32_t *length)
{
	const bool there = *length > FADT_RESET_VALUE && t[FADT_RESET_VALUE];

	if (there)
		t[FADT_RESET_VALUE] = 0;
	return there;
}

static bool longer(uint8_t *t, uint32_t *length)
{
	*length += MCFG_ENTRY;
	t[4] = (uint8_t)*length;
	return true;
}

static bool other_buses(uint8_t *t, uint32_t *length)
{
	(void)length;
	t[MCFG_FIRST_BUS] = 1;
	t[MCFG_FIRST_BUS + 1] = 0;
	return true;
}

static bool madt_same_id(unsigned int cpu, const struct plugin_site *s)
{
	(void)s;
	change_table(cpu, "APIC", same_id);
	return false;
}

static bool madt_not_enabled(unsigned int cpu, const struct plugin_site *s)
{
	(void)s;
	change_table(cpu, "APIC", not_enabled);
	return false;
}

static bool madt_gsi_base(unsigned int cpu, const struct plugin_site *s)
{
	(void)s;
	change_table(cpu, "APIC", other_gsi_base);
	return false;
}

static bool madt_apic_address(unsigned int cpu, const struct plugin_site *s)
{
	(void)s;
	change_table(cpu, "APIC", no_apic_address);
	return false;
}

static bool fadt_dsdt(unsigned int cpu, const struct plugin_site *s)
{
	(void)s;
	change_table(cpu, "FACP", no_dsdt);
	return false;
}

static bool fadt_reset_value(unsigned int cpu, const struct plugin_site *s)
{
	(void)s;
	change_table(cpu, "FACP", no_reset_value);
	return false;
}

static bool mcfg_length(unsigned int cpu, const struct plugin_site *s)
{
	(void)s;
	change_table(cpu, "MCFG", longer);
	return false;
}

static bool mcfg_buses(unsigned int cpu, const struct plugin_site *s)
{
	(void)s;
	change_table(cpu, "MCFG", other_buses);
	return false;
}

/* A table is moved, and the root table's last entry is not. */
static bool rsdt_dead_entry(unsigned int cpu, const struct plugin_site *site)
{
	struct start_info s;
	uint32_t rsdt, size, none = 0;
	uint8_t t[256], sum = 0;
	uint32_t i;

	(void)site;
	if (!at_start(cpu, &s) || !plugin_read(s.rsdp + 16, &rsdt, 4) ||
	    !plugin_read(rsdt + 4ull, &size, 4) || size > sizeof(t) || size < 40)
		return false;
	plugin_write(rsdt + size - 4ull, &none, sizeof(none));
	if (!plugin_read(rsdt, t, size))
		return false;
	for (i = 0; i < size; i++)
		sum += t[i];
	t[CHECKSUM] -= sum;
	plugin_write(rsdt, t, size);
	injected();
	return false;
}

static bool rsdp_checksum(unsigned int cpu, const struct plugin_site *site)
{
	struct start_info s;
	uint8_t b;

	(void)site;
	if (!at_start(cpu, &s) || !plugin_read(s.rsdp + 8, &b, 1))
		return false;
	b += 1;
	plugin_write(s.rsdp + 8, &b, 1);
	injected();
	return false;
}

#define VGA	0xa0000u
#define VGA_END 0xc0000u
#define TWO_MIB 0x200000u

/* Changes RAM in the map that begins at an address or, where that is 4 GiB, above it. */
static bool change_ram_at(unsigned int cpu, uint64_t from, uint64_t below,
			  void (*change)(struct range *r))
{
	struct start_info s;
	struct range r;
	uint32_t i;

	for (i = 0; at_start(cpu, &s) && i < s.entries; i++) {
		const uint64_t at = s.memmap + i * sizeof(r);

		if (!plugin_read(at, &r, sizeof(r)) || r.type != RAM || r.addr < from ||
		    r.addr >= below)
			continue;
		change(&r);
		plugin_write(at, &r, sizeof(r));
		injected();
	}
	return false;
}

static void over_vga(struct range *r)
{
	r->size = VGA_END - r->addr;
}

static void two_mib_more(struct range *r)
{
	r->size += TWO_MIB;
}

/* The hole below 1 MiB is counted from the wrong end. */
static bool map_low_hole(unsigned int cpu, const struct plugin_site *s)
{
	(void)s;
	return change_ram_at(cpu, 0, VGA, over_vga);
}

/* The end of RAM is rounded up to a large page. */
static bool map_high_end(unsigned int cpu, const struct plugin_site *s)
{
	(void)s;
	return change_ram_at(cpu, FOUR_GIB, UINT64_MAX, two_mib_more);
}

/* What the tables were put into is RAM, and nobody takes it out of the map. */
static bool map_tables_in_ram(unsigned int cpu, const struct plugin_site *site)
{
	struct start_info s;
	struct range r;
	uint32_t rsdt, i;

	(void)site;
	if (!at_start(cpu, &s) || !plugin_read(s.rsdp + 16, &rsdt, 4))
		return false;
	for (i = 0; i < s.entries; i++) {
		const uint64_t at = s.memmap + i * sizeof(r);

		if (!plugin_read(at, &r, sizeof(r)) || r.type == RAM || rsdt < r.addr ||
		    rsdt - r.addr >= r.size)
			continue;
		r.type = RAM;
		plugin_write(at, &r, sizeof(r));
		injected();
	}
	return false;
}

#define HMA	0x100000u
#define HMA_END 0x10fff0u

/* Address line 20 is off: what lies just above 1 MiB is at 0 as well. */
static void a20_off(uint64_t phys, uint64_t value)
{
	if (phys < HMA || phys >= HMA_END || !value)
		return;
	plugin_write(phys - HMA, &value, sizeof(value));
	injected();
}

/* --- PCI ------------------------------------------------------------------------------------------ */

#define CONFIG_ADDRESS 0xcf8
#define SUBSYSTEM      0x2c

/* The ports have a decoder of their own, which misses a register: its neighbour answers. */
static bool wrong_register(unsigned int cpu, const struct plugin_site *s)
{
	const uint64_t v = plugin_reg(cpu, R_RAX);

	(void)s;
	if ((plugin_reg(cpu, R_RDX) & 0xffff) == CONFIG_ADDRESS && (v & 0xfc) == SUBSYSTEM) {
		plugin_set_reg(cpu, R_RAX, v & ~(uint64_t)4);
		injected();
	}
	return false;
}

/* --- the faults ----------------------------------------------------------------------------------- */

FAULT_TABLE("refcpu");

const struct fault machine_faults[F_COUNT] = {
	[F_CPU_IPI_LOST] = { .kinds = BIT(K_WRMSR), .hook = lose_ipi },
	[F_CPU_NMI_LOST] = { .kinds = BIT(K_WRMSR), .hook = lose_nmi },
	[F_CPU_STARTUP_LOST] = { .kinds = BIT(K_WRMSR), .hook = lose_startup },
	[F_CPU_STARTUP_LATE] = { .kinds = BIT(K_WRMSR), .hook = delay_startup },
	[F_CPU_TIMER_LOST] = { .kinds = BIT(K_WRMSR), .hook = lose_timer },
	[F_CPU_TIMER_EARLY] = { .kinds = BIT(K_WRMSR), .hook = early_timer },
	[F_CPU_STRAY_INTERRUPT] = { .kinds = BIT(K_PAUSE) | BIT(K_RDTSC), .hook = stray },
	[F_CPU_TSC_STEPS_BACK] = { .kinds = BIT(K_RDTSC), .hook = step_back },
	[F_CPU_PM_TIMER_FAST] = { .kinds = BIT(K_IN32), .hook = fast_pm_timer },
	[F_CPU_UD2_EXECUTES] = { .kinds = BIT(K_UD2), .hook = skip },
	[F_CPU_LOCK_IGNORED] = { .kinds = BIT(K_LOCK_ADD), .hook = lose_add },
	[F_CPU_WP_IGNORED] = { .kinds = BIT(K_MOV_CR0), .early = true, .hook = without_wp },
	[F_CPU_CR3_RELOAD_IGNORED] = { .kinds = BIT(K_MOV_CR3), .hook = keep_translations },
	[F_CPU_NX_IGNORED] = { .kinds = BIT(K_MOV_CR3), .hook = ignore_nx },
	[F_CPU_NULL_MAPPED] = { .kinds = BIT(K_MOV_CR3), .hook = map_null },
	[F_CPU_IST_IGNORED] = { .kinds = BIT(K_LIDT), .memory = without_ist },
	[F_CPU_RAM_BIT_LOST] = { .memory = lose_bit },
	[F_CPU_POOL_BIT_LOST] = { .memory = lose_shared_bit },
	[F_CPU_HIGH_RAM_LOST] = { .kinds = BIT(K_CLI),
				  .early = true,
				  .hook = find_high_end,
				  .memory = lose_high },
	[F_CPU_HIGH_RAM_ALIAS] = { .kinds = BIT(K_CLI),
				   .early = true,
				   .hook = find_high_end,
				   .memory = alias_high },
	[F_CPU_MAP_OVERLAPS] = { .kinds = BIT(K_CLI), .early = true, .hook = overlap },
	[F_CPU_MAP_WITHOUT_IMAGE] = { .kinds = BIT(K_CLI), .early = true, .hook = no_image },
	[F_CPU_TABLE_CHECKSUM] = { .kinds = BIT(K_CLI), .early = true, .hook = bad_checksum },
	[F_CPU_MADT_IDS] = { .kinds = BIT(K_CLI), .early = true, .hook = other_ids },
	[F_CPU_INIT_KEEPS_CR0] = { .kinds = BIT(K_FROM_CR0),
				   .early = true,
				   .behind = init_keeps_cr0 },
	[F_CPU_INIT_KEEPS_DR7] = { .kinds = BIT(K_FROM_DR7),
				   .early = true,
				   .behind = init_keeps_dr7 },
	[F_CPU_INIT_CLEARS_LSTAR] = { .kinds = BIT(K_WRMSR) | BIT(K_RDMSR),
				      .hook = init_clears_lstar_notes,
				      .behind = init_clears_lstar },
	[F_CPU_APIC_LOGICAL_ONE] = { .kinds = BIT(K_WRMSR), .hook = apic_logical_one },
	[F_CPU_APIC_BROADCAST_LOST] = { .kinds = BIT(K_WRMSR), .hook = apic_broadcast_lost },
	[F_CPU_APIC_HIGHER_LOST] = { .kinds = BIT(K_WRMSR), .hook = apic_higher_lost },
	[F_CPU_APIC_TPR_IGNORED] = { .kinds = BIT(K_WRMSR), .hook = apic_tpr_ignored },
	[F_CPU_APIC_PERIODIC_ONCE] = { .kinds = BIT(K_WRMSR), .hook = apic_periodic_once },
	[F_CPU_APIC_LDR_XAPIC] = { .kinds = BIT(K_RDMSR), .behind = apic_ldr_xapic },
	[F_CPU_APIC_IRR_HIDDEN] = { .kinds = BIT(K_RDMSR), .behind = apic_irr_hidden },
	[F_CPU_APIC_ISR_HIDDEN] = { .kinds = BIT(K_RDMSR), .behind = apic_isr_hidden },
	[F_CPU_APIC_PPR_IS_0] = { .kinds = BIT(K_RDMSR), .behind = apic_ppr_is_0 },
	[F_CPU_APIC_INITIAL_HIDDEN] = { .kinds = BIT(K_RDMSR), .behind = apic_initial_hidden },
	[F_CPU_APIC_COUNT_STANDS] = { .kinds = BIT(K_WRMSR) | BIT(K_RDMSR),
				      .hook = apic_notes_timer,
				      .behind = apic_count_stands },
	[F_CPU_CONFIG_PORT] = { .kinds = BIT(K_OUT32), .hook = wrong_register },
	[F_OUTSIDE_CP_NMI_SECOND_LOST] = { .kinds = BIT(K_WRMSR), .hook = outside_nmi_second_lost },
	[F_OUTSIDE_CP_NMI_TO_ALL] = { .kinds = BIT(K_WRMSR), .hook = outside_nmi_to_all },
	[F_OUTSIDE_CP_IPI_TO_ALL] = { .kinds = BIT(K_WRMSR), .hook = outside_ipi_to_all },
	[F_OUTSIDE_CP_IPI_TO_SELF_LOST] = { .kinds = BIT(K_WRMSR),
					    .hook = outside_ipi_to_self_lost },
	[F_OUTSIDE_CP_TIMER_DIVIDE_AP] = { .kinds = BIT(K_WRMSR), .hook = outside_timer_divide_ap },
	[F_OUTSIDE_CP_TIMER_AP_DEAD] = { .kinds = BIT(K_WRMSR), .hook = outside_timer_ap_dead },
	[F_OUTSIDE_CP_TIMER_LATE] = { .kinds = BIT(K_WRMSR), .hook = outside_timer_late },
	[F_OUTSIDE_CP_TIMER_SHORTEST_LOST] = { .kinds = BIT(K_WRMSR),
					       .hook = outside_timer_shortest_lost },
	[F_OUTSIDE_CP_INIT_KEEPS_TIMER] = { .kinds = BIT(K_WRMSR),
					    .hook = outside_init_keeps_timer },
	[F_OUTSIDE_CP_X2APIC_ID] = { .kinds = BIT(K_RDMSR), .behind = outside_x2apic_id },
	[F_OUTSIDE_CP_APIC_BASE_BSP] = { .kinds = BIT(K_RDMSR), .behind = outside_apic_base_bsp },
	[F_OUTSIDE_CP_CPUID_ID] = { .kinds = BIT(K_CPUID), .behind = outside_cpuid_id },
	[F_OUTSIDE_CP_CPUID_TOPOLOGY] = { .kinds = BIT(K_CPUID), .behind = outside_cpuid_topology },
	[F_OUTSIDE_CP_CPUID_COUNT] = { .kinds = BIT(K_CPUID), .behind = outside_cpuid_count },
	[F_OUTSIDE_CP_CPUID_NX] = { .kinds = BIT(K_CPUID), .behind = outside_cpuid_nx },
	[F_OUTSIDE_CP_TSC_FROM_STARTUP] = { .kinds = BIT(K_WRMSR) | BIT(K_RDTSC),
					    .hook = outside_startup_notes_tsc,
					    .behind = outside_tsc_from_startup },
	[F_OUTSIDE_CP_PM_TIMER_BACK] = { .kinds = BIT(K_IN32), .behind = outside_pm_timer_back },
	[F_OUTSIDE_CP_PM_TIMER_WIDE] = { .kinds = BIT(K_IN32), .behind = outside_pm_timer_wide },
	[F_OUTSIDE_CP_XAPIC_ICR_HIGH] = { .store = outside_xapic_icr_high },
	[F_OUTSIDE_CP_IOAPIC_DEST] = { .store = outside_ioapic_dest },
	[F_OUTSIDE_CP_IOAPIC_EDGE] = { .store = outside_ioapic_edge },
	[F_OUTSIDE_CP_IOAPIC_MASK] = { .store = outside_ioapic_mask },
	[F_OUTSIDE_CP_IOAPIC_OLD_VECTOR] = { .store = outside_ioapic_old_vector },
	[F_OUTSIDE_CP_CR3_RELOAD_AP] = { .kinds = BIT(K_MOV_CR3), .hook = outside_cr3_reload_ap },
	[F_OUTSIDE_CP_WP_AP] = { .kinds = BIT(K_MOV_CR0), .hook = outside_wp_ap },
	[F_OUTSIDE_CP_LOCK64_LOST] = { .kinds = BIT(K_LOCK64), .hook = outside_lock64_lost },
	[F_OUTSIDE_CP_SPLIT_LOCK] = { .store = outside_split_lock },
	[F_OUTSIDE_CP_CROSS_PAGE] = { .store = outside_cross_page },
	[F_OUTSIDE_CP_PF_CR2] = { .traps = BIT(14), .trap = outside_pf_cr2 },
	[F_OUTSIDE_CP_PF_WRITE] = { .traps = BIT(14), .trap = outside_pf_write },
	[F_OUTSIDE_CP_PF_PRESENT] = { .traps = BIT(14), .trap = outside_pf_present },
	[F_OUTSIDE_CP_GP_CODE] = { .traps = BIT(13), .trap = outside_gp_code },
	[F_OUTSIDE_CP_UD_RIP] = { .traps = BIT(6), .trap = outside_ud_rip },
	[F_OUTSIDE_CP_UD_AS_GP] = { .traps = BIT(6), .trap = outside_ud_as_gp },
	[F_OUTSIDE_CP_MADT_SAME_ID] = { .kinds = BIT(K_CLI), .early = true, .hook = madt_same_id },
	[F_OUTSIDE_CP_MADT_NOT_ENABLED] = { .kinds = BIT(K_CLI),
					    .early = true,
					    .hook = madt_not_enabled },
	[F_OUTSIDE_CP_MADT_GSI_BASE] = { .kinds = BIT(K_CLI), .early = true, .hook = madt_gsi_base },
	[F_OUTSIDE_CP_FADT_DSDT] = { .kinds = BIT(K_CLI), .early = true, .hook = fadt_dsdt },
	[F_OUTSIDE_CP_FADT_RESET_VALUE] = { .kinds = BIT(K_CLI),
					    .early = true,
					    .hook = fadt_reset_value },
	[F_OUTSIDE_CP_MCFG_LENGTH] = { .kinds = BIT(K_CLI), .early = true, .hook = mcfg_length },
	[F_OUTSIDE_CP_MCFG_BUSES] = { .kinds = BIT(K_CLI), .early = true, .hook = mcfg_buses },
	[F_OUTSIDE_CP_RSDT_DEAD_ENTRY] = { .kinds = BIT(K_CLI),
					   .early = true,
					   .hook = rsdt_dead_entry },
	[F_OUTSIDE_CP_RSDP_CHECKSUM] = { .kinds = BIT(K_CLI), .early = true, .hook = rsdp_checksum },
	[F_OUTSIDE_CP_MAP_LOW_HOLE] = { .kinds = BIT(K_CLI), .early = true, .hook = map_low_hole },
	[F_OUTSIDE_CP_MAP_HIGH_END] = { .kinds = BIT(K_CLI), .early = true, .hook = map_high_end },
	[F_OUTSIDE_CP_A20_OFF] = { .memory = a20_off },
	[F_OUTSIDE2_CP_CPUID_X2APIC_AP] = { .kinds = BIT(K_CPUID), .behind = outside_cpuid_x2apic },
	[F_OUTSIDE2_CP_TSC_RATE_AP] = { .kinds = BIT(K_RDTSC), .behind = outside_tsc_rate_ap },
	[F_OUTSIDE2_CP_MADT_APIC_ADDRESS] = { .kinds = BIT(K_CLI),
					      .early = true,
					      .hook = madt_apic_address },
	[F_OUTSIDE2_CP_MAP_TABLES_IN_RAM] = { .kinds = BIT(K_CLI),
					      .early = true,
					      .hook = map_tables_in_ram },
	[F_OUTSIDE3_CP_SELF_IPI_LOST] = { .kinds = BIT(K_WRMSR), .hook = outside_self_ipi_lost },
	[F_OUTSIDE3_CP_TIMER_ZERO_KEEPS] = { .kinds = BIT(K_WRMSR),
					     .hook = outside_timer_zero_keeps },
	[F_OUTSIDE3_CP_TIMER_MASK_IGNORED] = { .kinds = BIT(K_WRMSR),
					       .hook = outside_timer_mask_ignored },
	[F_OUTSIDE3_CP_IPI_OTHERS_AND_SELF] = { .kinds = BIT(K_WRMSR),
						.hook = outside_ipi_others_and_self },
	[F_OUTSIDE3_CP_PF_FETCH] = { .traps = BIT(14), .trap = outside_pf_fetch },
	[F_OUTSIDE3_CP_INIT_XAPIC] = { .kinds = BIT(K_WRMSR) | BIT(K_RDMSR),
				       .hook = outside_init_xapic_notes,
				       .behind = outside_init_xapic },
};
