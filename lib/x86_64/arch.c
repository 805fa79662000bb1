/* SPDX-License-Identifier: BSD-2-Clause */
/* arch.h: starts the parts of the machine in their order, and ends the machine. */
#include "lib/arch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/boot_info.h"
#include "lib/acpi.h"
#include "lib/x86_64/io.h"
#include "lib/irq.h"
#include "lib/mem.h"
#include "lib/paging.h"
#include "lib/smp.h"
#include "lib/env.h"
#include "lib/time.h"
#include "lib/x86_64/apic.h"
#include "lib/x86_64/console.h"
#include "lib/x86_64/cpu.h"
#include "lib/x86_64/paging.h"
#include "lib/x86_64/stack.h"
#include "lib/x86_64/time.h"
#include "lib/x86_64/traps.h"

#define DEBUG_EXIT_PORT 0xf4
#define STACK_GUARD	1 /* pages */

uint64_t stack_new(unsigned int pages)
{
	uint8_t *p = mem_pages(pages + STACK_GUARD, PAGE_SIZE);

	if (!p || paging_protect(virt_to_phys(p), STACK_GUARD * PAGE_SIZE, PROT_NONE))
		return 0;
	return virt_to_phys(p) + (pages + STACK_GUARD) * PAGE_SIZE;
}

void arch_early_init(void)
{
	static const uint64_t no_ist[IST_COUNT];

	time_start();
	traps_init_cpu(&boot_cpu, no_ist);
	x86_consoles_init();
}

static void reload_traps(void)
{
	uint64_t ist[IST_COUNT];
	unsigned int i;

	for (i = 0; i < IST_COUNT; i++) {
		ist[i] = stack_new(4); /* the dump prints: some KiB */
		if (!ist[i])
			return;
	}
	/* The busy bit of the old task state is in the table that is written anew. */
	traps_init_cpu(&boot_cpu, ist);
}

void arch_init(const struct boot_info *info)
{
	if (paging_init(info)) {
		printf("Bail out! no memory for page tables\n");
		arch_end(END_ERROR, NULL);
	}
	reload_traps();
	if (!apic_init_cpu(true)) {
		printf("Bail out! this CPU has no local APIC\n");
		arch_end(END_ERROR, NULL);
	}
	time_init();
	apic_timer_calibrate();
	boot_cpu.apic_id = apic_id();
	irq_enable();
}

void arch_late_init(void)
{
	ioapics_init();
	if (time_is_exact())
		return;
	time_init();
	apic_timer_calibrate();
}

static bool hypervisor(void)
{
	return cpuid(1, 0).ecx >> 31;
}

static void env_hypervisor(void)
{
	uint32_t base;
	char sig[13];

	if (!hypervisor()) {
		env_line("hypervisor", "none seen (CPUID 1 ECX bit 31 clear)");
		return;
	}
	for (base = 0x40000000; base <= 0x40000400; base += 0x100) {
		const struct cpuid_regs r = cpuid(base, 0);
		unsigned int i;

		memcpy(sig, &r.ebx, 4);
		memcpy(sig + 4, &r.ecx, 4);
		memcpy(sig + 8, &r.edx, 4);
		sig[12] = '\0';
		if (!r.ebx || (base > 0x40000000 && (r.eax < base || r.eax > base + 0xff)))
			continue;
		for (i = 0; i < 12; i++)
			if (sig[i] && (sig[i] < 32 || sig[i] > 126))
				sig[i] = '?';
		env_line("hypervisor", "%s at 0x%x, leaves to 0x%x, features 0x%x", sig,
			 (unsigned int)base, (unsigned int)r.eax,
			 (unsigned int)cpuid(base + 1, 0).eax);
	}
}

static void env_features(void)
{
	const uint32_t max = cpuid(0, 0).eax, ext_max = cpuid(0x80000000, 0).eax;
	const struct cpuid_regs none = { 0 }, f1 = cpuid(1, 0);
	const struct cpuid_regs f7 = max >= 7 ? cpuid(7, 0) : none;
	const struct cpuid_regs e1 = ext_max >= 0x80000001 ? cpuid(0x80000001, 0) : none;
	const struct cpuid_regs e7 = ext_max >= 0x80000007 ? cpuid(0x80000007, 0) : none;
	const struct {
		const char *name;
		uint32_t present;
	} f[] = {
		{ "x2apic", f1.ecx >> 21 & 1 }, { "tsc_deadline", f1.ecx >> 24 & 1 },
		{ "nx", e1.edx >> 20 & 1 },	{ "1gib_pages", e1.edx >> 26 & 1 },
		{ "smep", f7.ebx >> 7 & 1 },	{ "smap", f7.ebx >> 20 & 1 },
		{ "la57", f7.ecx >> 16 & 1 },	{ "invariant_tsc", e7.edx >> 8 & 1 },
		{ "vmx", f1.ecx >> 5 & 1 },	{ "svm", e1.ecx >> 2 & 1 },
	};
	char text[128] = "";
	size_t n = 0;
	unsigned int i;

	for (i = 0; i < sizeof(f) / sizeof(f[0]); i++)
		if (f[i].present)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n ? " " : "",
					      f[i].name);
	env_line("features", "%s", text);
}

void arch_env(void)
{
	const struct cpuid_regs r = cpuid(0, 0), f = cpuid(1, 0);
	char vendor[13] = { 0 };

	memcpy(vendor, &r.ebx, 4);
	memcpy(vendor + 4, &r.edx, 4);
	memcpy(vendor + 8, &r.ecx, 4);
	env_line("cpu", "%s, signature 0x%x, %u physical address bits, %s-level paging", vendor,
		 (unsigned int)f.eax, paging_phys_bits(), read_cr4() & CR4_LA57 ? "5" : "4");
	env_features();
	env_hypervisor();
	env_line("interrupts", "%s, timer %s", apic_mode(), apic_timer_mode());
	env_line("time", "tsc %llu MHz by %s", (unsigned long long)(time_hz() / 1000000),
		 time_source());
	env_line("cpus", "%u listed, %u online", smp_cpus_listed(), smp_cpus_online());
	if (smp_cpus_listed() > smp_cpus_present())
		env_line("cpus not used", "%u: tests start %u at most",
			 smp_cpus_listed() - smp_cpus_present(), SMP_MAX_CPUS);
}

/* --- the end -------------------------------------------------------------------------- */

static void end_debug(enum end_status status)
{
	if (hypervisor()) /* on real hardware the port may be anything */
		io_out32(DEBUG_EXIT_PORT, (uint32_t)status);
}

static void end_reset(void)
{
	static const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) no_idt = { 0, 0 };

	acpi_reset();
	io_out8(0xcf9, 0x02);
	io_out8(0xcf9, 0x06);
	io_out8(0x64, 0xfe); /* keyboard controller */
	wait_for(false, 100 * MSEC);
	__asm__ volatile("lidt %0; int3" : : "m"(no_idt)); /* triple fault */
}

_Noreturn void arch_reset(void)
{
	irq_save();
	end_reset();
	cpu_halt_forever();
	__builtin_unreachable();
}

/* CMOS: what lies between the fields of firmware and of QEMU (hw/i386/pc.c uses up to 0x3f and 0x5b to 0x5f). */
static uint8_t cmos_index(size_t i)
{
	return (uint8_t)(i < 24 ? 0x40 + i : 0x60 - 24 + i);
}

void arch_nvram_read(void *buf, size_t n)
{
	uint8_t *p = buf;
	size_t i;

	for (i = 0; i < n; i++) {
		io_out8(0x70, cmos_index(i));
		p[i] = io_in8(0x71);
	}
}

void arch_nvram_write(const void *buf, size_t n)
{
	const uint8_t *p = buf;
	size_t i;

	for (i = 0; i < n; i++) {
		io_out8(0x70, cmos_index(i));
		io_out8(0x71, p[i]);
	}
}

/* ACPI 6.5, 5.2.5.1: firmware's read-only memory. */
const struct arch_range arch_rsdp_area = { 0xe0000, 0x100000 };

void arch_port_write(uint64_t port, unsigned int size, uint32_t v)
{
	if (size == 1)
		io_out8((uint16_t)port, (uint8_t)v);
	else if (size == 2)
		io_out16((uint16_t)port, (uint16_t)v);
	else
		io_out32((uint16_t)port, v);
}

static const char *known_end(const char *how)
{
	static const char *const known[] = { "debug", "acpi", "reset", "halt" };
	unsigned int i;

	for (i = 0; how && i < 4; i++)
		if (strcmp(how, known[i]) == 0)
			return how;
	return NULL;
}

_Noreturn void arch_end(enum end_status status, const char *how)
{
	irq_save();
	how = known_end(how);
	if (!how || strcmp(how, "debug") == 0)
		end_debug(status);
	if (!how || strcmp(how, "acpi") == 0)
		acpi_power_off();
	if (!how || strcmp(how, "reset") == 0)
		end_reset();
	cpu_halt_forever();
	__builtin_unreachable();
}

/* --- fw_cfg (QEMU, docs/specs/fw_cfg) ---------------------------------------------------- */

enum {
	FW_CFG_SELECTOR = 0x510,
	FW_CFG_DATA = 0x511,
	FW_CFG_SIGNATURE = 0,
	FW_CFG_FILE_DIR = 0x19,
	FW_CFG_MAX_FILES = 1024,
};

static void fw_cfg_bytes(void *buf, uint32_t n)
{
	uint8_t *p = buf;

	while (n--)
		*p++ = io_in8(FW_CFG_DATA);
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

int arch_fw_cfg_read(const char *file, char *buf, size_t size)
{
	uint8_t entry[64]; /* be32 size, be16 select, u16 reserved, name[56] */
	uint32_t count, n;
	char sig[4];

	if (!hypervisor())
		return -ENODEV;
	io_out16(FW_CFG_SELECTOR, FW_CFG_SIGNATURE);
	fw_cfg_bytes(sig, 4);
	if (memcmp(sig, "QEMU", 4) != 0)
		return -ENODEV;
	io_out16(FW_CFG_SELECTOR, FW_CFG_FILE_DIR);
	fw_cfg_bytes(entry, 4);
	count = be32(entry);
	if (count > FW_CFG_MAX_FILES)
		return -ENOENT;
	while (count--) {
		fw_cfg_bytes(entry, sizeof(entry));
		entry[63] = 0;
		if (strcmp((const char *)entry + 8, file) != 0)
			continue;
		n = be32(entry) < size - 1 ? be32(entry) : (uint32_t)size - 1;
		io_out16(FW_CFG_SELECTOR, (uint16_t)(entry[4] << 8 | entry[5]));
		fw_cfg_bytes(buf, n);
		buf[n] = '\0';
		return (int)n;
	}
	return -ENOENT;
}
