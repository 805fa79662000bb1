/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * boot.cpus.state_after_init, kvmpv.cpuid.each_mode, kvmpv.hypercall.each_mode: what a CPU is where INIT and STARTUP leave
 * it (Intel SDM 3A, 9.1.1), and that KVM answers it in each mode on its way to 64-bit code (Linux,
 * Documentation/virt/kvm/x86/{cpuid,hypercalls}.rst).
 *
 * KVM forgot parts of the state, or took INIT for a reset: CR0's cache bits (Linux 4c72ab5aa6e0), the debug registers. A
 * privilege that is read from the code segment's selector is none in real mode, where any number is a segment's; a host that
 * looks at EFER for the width of arguments fails 32-bit code one way or the other.
 *
 * Another CPU is given values in all of that, and started anew. Its first instructions store what they find; then it asks
 * in real mode, in 32-bit protected mode without paging and in real mode again, and comes up as ever.
 */
#include "kvmpv/x86_64/kvm.h"
#include "lib/errname.h"
#include "lib/smp.h"
#include "lib/x86_64/ap_probe.h"
#include "lib/x86_64/cpu.h"
#include "lib/x86_64/kvm.h"
#include "tests/kvmpv/env.h"

#define OWNER "CPU virtualisation of the VMM"

static const char *const mode_names[AP_MODES] = { "real mode", "32-bit protected mode",
						  "real mode again" };

/* The CPU that is started anew: the last one. */
static unsigned int the_cpu(void)
{
	return smp_cpus_online() - 1;
}

static void can_probe(struct test_ctx *t)
{
	if (!smp_trampoline())
		test_skip(t, "no page below 1 MiB to start CPUs from");
	/* One that comes late would run the probe's code in the other's place. boot.cpus.all_online judges it. */
	if (smp_cpus_online() < smp_cpus_present())
		test_skip(t, "a CPU that did not start may do so at any STARTUP");
}

static void probe(struct test_ctx *t, struct ap_probe *p)
{
	const int ret = ap_probe(the_cpu(), p);

	require(t, ret == 0, "CPU %u does not start again: %s", the_cpu(), err_text(ret));
}

/* --- what INIT makes of a CPU ------------------------------------------------------------------------ */

enum {
	CR0_ET = 1u << 4,
	CR0_NW = 1u << 29,
	CR0_CD = 1u << 30,
	CR4_MCE = 1u << 6,
	EFER_LMA = 1u << 10,
	DR6_INIT = 0xffff0ff0u,
	DR7_INIT = 0x400,
	FLAGS_INIT = 2,
	FAMILY = 0xf00, /* of the signature */
	LIMIT_INIT = 0xffff,
};

/* Registers that INIT leaves as they are, and that nothing of this program uses. */
static const struct kept {
	uint32_t msr;
	const char *name;
	uint64_t value;
} kept[] = {
	{ 0x175, "IA32_SYSENTER_ESP", 0x55667700 },
	{ 0x176, "IA32_SYSENTER_EIP", 0x55667708 },
	{ 0xc0000082, "IA32_LSTAR", 0x334455667710 },
	{ 0xc0000084, "IA32_FMASK", 0x55667718 },
	{ 0xc0000102, "IA32_KERNEL_GS_BASE", 0x334455667720 },
};
#define KEPT (sizeof(kept) / sizeof(kept[0]))

/* What the last ones mean is of no use here: no breakpoint is on, and nobody reads CR2. */
static void spoil(void *arg)
{
	unsigned int i;

	(void)arg;
	for (i = 0; i < KEPT; i++)
		wrmsr(kept[i].msr, kept[i].value);
	__asm__ volatile("mov %0, %%dr0" : : "r"(0x12345678ul));
	__asm__ volatile("mov %0, %%dr6" : : "r"(0xffff0ff1ul));
	__asm__ volatile("mov %0, %%dr7" : : "r"(0x700ul));
	write_cr2(0x12345678);
}

/* They are 0 again, as at the start. */
static void collect(void *arg)
{
	uint64_t *seen = arg;
	unsigned int i;

	for (i = 0; i < KEPT; i++) {
		seen[i] = rdmsr(kept[i].msr);
		wrmsr(kept[i].msr, 0);
	}
}

static void expect_control(struct test_ctx *t, const struct ap_probe *p)
{
	const uint32_t left = CR0_CD | CR0_NW; /* INIT changes neither */

	expect_eq(t, p->cr0 & ~left, CR0_ET, "CR0 without CD and NW");
	if (p->cr0 & left)
		test_note(t, "INIT sets CD or NW of CR0, which were clear: 0x%x",
			  (unsigned int)p->cr0);
	expect_eq(t, p->cr2, 0, "CR2");
	expect_eq(t, p->cr3, 0, "CR3");
	expect_eq(t, p->cr4 & ~(uint32_t)CR4_MCE, 0, "CR4 without MCE");
	if (p->cr4 & CR4_MCE)
		test_note(t, "CR4.MCE is set behind INIT: KVM on AMD runs a guest with its own");
	expect_eq(t, p->efer & EFER_LMA, 0, "IA32_EFER.LMA");
	expect_eq(t, p->dr6, DR6_INIT, "DR6");
	expect_eq(t, p->dr7, DR7_INIT, "DR7");
}

/* Intel's table gives the family and the extended model alone (000n06xxH); older KVMs say 0x600 of each Intel CPU. */
static void expect_signature(struct test_ctx *t, uint32_t edx)
{
	const uint32_t leaf = cpuid(1, 0).eax;

	expect_eq(t, edx & FAMILY, leaf & FAMILY, "the family in EDX, against CPUID leaf 1");
	if (edx != leaf)
		test_note(t, "EDX is 0x%x behind INIT, where CPUID leaf 1 says 0x%x",
			  (unsigned int)edx, (unsigned int)leaf);
}

static void expect_general(struct test_ctx *t, const struct ap_probe *p)
{
	expect_eq(t, p->eax | p->ebx | p->ecx | p->esi | p->edi | p->ebp | p->esp, 0,
		  "general registers but EDX, in one");
	expect_signature(t, p->edx);
	expect_eq(t, p->eflags, FLAGS_INIT, "EFLAGS");
}

static void expect_segments(struct test_ctx *t, const struct ap_probe *p)
{
	expect_eq(t, p->cs, smp_trampoline() >> 4, "CS, against the vector of STARTUP");
	expect_eq(t, p->ds | p->es | p->fs | p->gs | p->ss, 0, "other segments, in one");
	expect_eq(t, p->gdt_base | p->idt_base, 0, "bases of GDTR and IDTR, in one");
	expect_eq(t, p->gdt_limit, LIMIT_INIT, "limit of GDTR");
	expect_eq(t, p->idt_limit, LIMIT_INIT, "limit of IDTR");
}

TEST(state_after_init,
     .id = "boot.cpus.state_after_init",
     .clause = "Intel SDM 3A, 9.1.1, table 9-1, 9.4.3: the registers of a processor behind INIT and STARTUP; other MSRs keep their values",
     .owner = OWNER,
     .needs = NEED_SMP)
{
	struct ap_probe p = { 0 };
	uint64_t seen[KEPT];
	unsigned int i;

	can_probe(t);
	if (smp_call(the_cpu(), spoil, NULL, test_sec()))
		test_error(t, "CPU %u does not answer", the_cpu());
	probe(t, &p);
	expect_control(t, &p);
	expect_general(t, &p);
	expect_segments(t, &p);
	if (smp_call(the_cpu(), collect, seen, test_sec()))
		test_error(t, "CPU %u does not answer", the_cpu());
	for (i = 0; i < KEPT; i++)
		expect_eq(t, seen[i], kept[i].value, "%s behind INIT", kept[i].name);
}

/* --- KVM in each mode ----------------------------------------------------------------------------------- */

TEST(cpuid_each_mode,
     .id = "kvmpv.cpuid.each_mode",
     .clause = "kvm cpuid.rst; Intel SDM 2A, CPUID: KVM's leaves are the same in real, protected and 64-bit mode",
     .owner = "KVM (CPUID)",
     .needs = NEED_KVM | NEED_SMP)
{
	struct ap_probe p = { .leaf = kvm_arch_base() };
	unsigned int mode, leaf, i;
	uint32_t want[4];

	can_probe(t);
	probe(t, &p);
	for (leaf = 0; leaf < 2; leaf++) {
		kvm_arch_leaf(p.leaf + leaf, want);
		for (mode = 0; mode < AP_MODES; mode++)
			for (i = 0; i < 4; i++)
				expect_eq(t, p.mode[mode].leaf[leaf][i], want[i],
					  "leaf 0x%x, e%cx, in %s", (unsigned int)(p.leaf + leaf),
					  'a' + i, mode_names[mode]);
	}
}

/* An AMD manual does not say which comes first in real mode: what the host asked for, or #UD. */
static bool may_trap(const struct ap_probe *p, unsigned int mode)
{
	return p->amd && mode != AP_PROTECTED_32;
}

TEST(hypercall_each_mode,
     .id = "kvmpv.hypercall.each_mode",
     .clause = "kvm hypercalls.rst: a call of CPL 0 is served outside of 64-bit mode, in 32 bits, and clobbers rax alone",
     .owner = "KVM (hypercall ABI)",
     .needs = NEED_KVM | NEED_SMP)
{
	static const uint32_t want[] = { 0, (uint32_t)-KVM_ENOSYS };
	struct ap_probe p = { .leaf = kvm_arch_base(),
			      .amd = kvm_arch_opcode() == KVM_VMMCALL,
			      .calls = 1 };
	unsigned int mode, i;

	can_probe(t);
	probe(t, &p);
	for (i = 0; i < 2; i++)
		for (mode = 0; mode < AP_MODES; mode++) {
			if (p.mode[mode].call[i].eax == AP_PROBE_TRAPPED && may_trap(&p, mode)) {
				test_note(t, "hypercalls trap in %s", mode_names[mode]);
				continue;
			}
			expect_eq(t, p.mode[mode].call[i].eax, want[i], "hypercall %u in %s",
				  i ? AP_PROBE_UNKNOWN : AP_PROBE_KNOWN, mode_names[mode]);
			expect(t,
			       p.mode[mode].call[i].ebx == AP_PROBE_EBX &&
				       p.mode[mode].call[i].ecx == AP_PROBE_ECX &&
				       p.mode[mode].call[i].edx == AP_PROBE_EDX &&
				       p.mode[mode].call[i].esi == AP_PROBE_ESI,
			       "hypercall %u in %s changes ebx, ecx, edx or esi",
			       i ? AP_PROBE_UNKNOWN : AP_PROBE_KNOWN, mode_names[mode]);
		}
}
