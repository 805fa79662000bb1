/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvmpv.cpuid.*, kvmpv.hypercall.*: KVM's CPUID leaves say what it offers, and a hypercall returns, in rax, and changes
 * nothing else (Linux, Documentation/virt/kvm/x86/{cpuid,hypercalls}.rst).
 *
 * A guest that trusts a wrong signature, or a result in the wrong register, goes wrong silently and much later. KVM
 * patched the vendor's instruction over the other one in guest memory, which a read-only page turned into an endless
 * loop of exits; under PVM (unmerged) neither instruction returns in an unmodified guest: hence kvmpv=off.
 *
 * The tests look for the signature in every leaf that may have it, fill all registers with values of their own before
 * each call, and compare them afterwards.
 */
#include "tests/kvmpv/env.h"

#include "kvmpv/x86_64/kvm.h"
#include "lib/errname.h"
#include "lib/smp.h"
#include "lib/x86_64/cpu.h"
#include "lib/x86_64/kvm.h"

#define OWNER	   "KVM (CPUID)"
#define OWNER_CALL "KVM (hypercall ABI)"
/* Assigned in cpuid.rst of Linux 7.2, and 15 which the RFC and upstream both use. */
#define KNOWN_FEATURES 0x0103feffu

static bool signature_anywhere(void)
{
	uint32_t r[4], base;

	/* A leaf with two of the three words means to be KVM's. */
	for (base = 0x40000000; base < 0x40010000; base += 0x100) {
		kvm_arch_leaf(base, r);
		if ((r[1] == 0x4b4d564b) + (r[2] == 0x564b4d56) + (r[3] == 0x4d) >= 2)
			return true;
	}
	return false;
}

TEST(cpuid_signature,
     .id = "kvmpv.cpuid.signature",
     .clause = "kvm cpuid.rst: 0x40000000 is KVMKVMKVM, ebx 0x4b4d564b ecx 0x564b4d56 edx 0x4d",
     .owner = OWNER)
{
	uint32_t base, r[4];

	if (!signature_anywhere())
		test_skip(t, "no KVM signature in CPUID 0x40000000 to 0x4000ff00");
	for (base = 0x40000000; base < 0x40010000; base += 0x100) {
		kvm_arch_leaf(base, r);
		if ((r[1] == 0x4b4d564b) + (r[2] == 0x564b4d56) + (r[3] == 0x4d) < 2)
			continue;
		expect_eq(t, r[1], 0x4b4d564b, "ebx of leaf 0x%x", (unsigned int)base);
		expect_eq(t, r[2], 0x564b4d56, "ecx of leaf 0x%x", (unsigned int)base);
		expect_eq(t, r[3], 0x4d, "edx of leaf 0x%x", (unsigned int)base);
		expect(t, r[0] == 0 || (r[0] > base && r[0] <= base + 0xff),
		       "maximum leaf 0x%x of base 0x%x", (unsigned int)r[0], (unsigned int)base);
	}
}

TEST(cpuid_features,
     .id = "kvmpv.cpuid.features",
     .clause = "kvm cpuid.rst: 0x40000001 eax: a feature that builds on another one comes with it",
     .owner = OWNER,
     .needs = NEED_KVM)
{
	const uint32_t f = kvm_arch_features();

	/* A newer KVM, or a vendor's, assigns more bits. */
	if (f & ~KNOWN_FEATURES)
		test_note(t, "feature bits 0x%x are not known here",
			  (unsigned int)(f & ~KNOWN_FEATURES));
	/* Deprecated long since; a guest that sees it sends its page tables by it. */
	expect(t,
	       !(f >> KVM_FEATURE_MMU_OP & 1) ||
		       kvm_hypercall(KVM_HC_MMU_OP, 0, 0, 0, 0) != -KVM_ENOSYS,
	       "bit 2 (MMU_OP) is set, the hypercall answers that it is not implemented");
	expect(t, !(f >> KVM_FEATURE_CLOCKSOURCE_STABLE & 1) || (f & 9),
	       "CLOCKSOURCE_STABLE without a clock source: 0x%x", (unsigned int)f);
	test_note(t, "features 0x%x, hints 0x%x", (unsigned int)f, (unsigned int)kvm_arch_hints());
}

/* Bits 15 and 16 promise calls that answer. Upstream uses bit 15 for something else, so it proves nothing alone. */
struct leaf {
	uint32_t leaf, r[4];
};

static void on_leaf(void *arg)
{
	struct leaf *l = arg;

	kvm_arch_leaf(l->leaf, l->r);
}

TEST(cpuid_all_cpus,
     .id = "kvmpv.cpuid.all_cpus",
     .clause = "kvm cpuid.rst: what KVM announces is the VM's: each CPU has the same leaves",
     .owner = OWNER,
     .needs = NEED_KVM | NEED_SMP)
{
	const uint32_t base = kvm_arch_base();
	struct leaf first, l;
	unsigned int cpu, i;

	for (first.leaf = base; first.leaf <= base + 1; first.leaf++) {
		on_leaf(&first);
		for (cpu = 1; cpu < smp_cpus_online(); cpu++) {
			l.leaf = first.leaf;
			if (smp_call(cpu, on_leaf, &l, test_sec()))
				test_error(t, "CPU %u does not answer", cpu);
			for (i = 0; i < 4; i++)
				expect_eq(t, l.r[i], first.r[i], "leaf 0x%x, e%cx, on CPU %u",
					  (unsigned int)l.leaf, 'a' + i, cpu);
		}
	}
}

/* A leaf without subleaves does not look at ecx (Intel SDM 2A, CPUID). */
TEST(cpuid_subleaves,
     .id = "kvmpv.cpuid.subleaves",
     .clause = "kvm cpuid.rst: KVM's leaves have no subleaves: they are the same, whatever ecx holds",
     .owner = OWNER,
     .needs = NEED_KVM)
{
	static const uint32_t ecx[] = { 1, 2, 0x80000000, UINT32_MAX };
	const uint32_t base = kvm_arch_base();
	uint32_t leaf, first[4];
	unsigned int i;

	for (leaf = base; leaf <= base + 1; leaf++) {
		kvm_arch_leaf(leaf, first);
		for (i = 0; i < sizeof(ecx) / sizeof(ecx[0]); i++) {
			const struct cpuid_regs r = cpuid(leaf, ecx[i]);

			expect(t,
			       r.eax == first[0] && r.ebx == first[1] && r.ecx == first[2] &&
				       r.edx == first[3],
			       "leaf 0x%x with ecx 0x%x: 0x%x 0x%x 0x%x 0x%x", (unsigned int)leaf,
			       (unsigned int)ecx[i], (unsigned int)r.eax, (unsigned int)r.ebx,
			       (unsigned int)r.ecx, (unsigned int)r.edx);
		}
	}
}

TEST(cpuid_backed,
     .id = "kvmpv.cpuid.backed",
     .clause = "kvm cpuid.rst, RFCv2: a feature that is announced works",
     .owner = OWNER,
     .needs = NEED_KVM)
{
	const uint32_t f = kvm_arch_features();
	int64_t ret;

	if (!(f >> KVM_FEATURE_MEM_PROTECTED & 1) && !(f >> KVM_FEATURE_HC_MAP_GPA_RANGE & 1))
		test_skip(t, "neither bit 15 nor bit 16 in 0x%x", (unsigned int)f);
	if (f >> KVM_FEATURE_HC_MAP_GPA_RANGE & 1) {
		ret = kvm_hypercall(KVM_HC_MAP_GPA_RANGE, 0, 0, 0, 0);
		expect(t, ret != -KVM_ENOSYS,
		       "bit 16 is set, MAP_GPA_RANGE answers that it is not implemented");
		return;
	}
	ret = kvm_hypercall(KVM_HC_MEM_SHARE, 0, 0, 0, 0);
	if (ret == -KVM_ENOSYS && !protect_query(NULL, 0)) {
		/* Only the RFC's call 12 would tell for sure, and it would turn protection on. */
		test_skip(
			t,
			"bit 15 without MEM_SHARE: upstream's MSI_EXT_DEST_ID, no promise of memory "
			"protection");
	}
	expect_answer(t, ret, 0, "MEM_SHARE of no pages");
	expect_answer(t, kvm_hypercall(KVM_HC_MEM_UNSHARE, 0, 0, 0, 0), 0,
		      "MEM_UNSHARE of no pages");
}

static const struct {
	enum kvm_opcode op;
	const char *name;
} opcodes[] = { { KVM_VMCALL, "VMCALL" }, { KVM_VMMCALL, "VMMCALL" } };

TEST(hypercall_unknown,
     .id = "kvmpv.hypercall.unknown",
     .clause = "kvm hypercalls.rst: an unknown number answers -KVM_ENOSYS (-1000)",
     .owner = OWNER_CALL,
     .needs = NEED_KVM,
     .liveness = true)
{
	static const uint64_t numbers[] = { 0,	       3,      4,   6,		7,
					    8,	       0x3fff, 100, 0xffffffff, 0x100000001ull,
					    UINT64_MAX };
	unsigned int i;

	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		expect_answer(t, kvm_hypercall(numbers[i], 1, 2, 3, 4), -KVM_ENOSYS,
			      "hypercall 0x%llx", (unsigned long long)numbers[i]);
}

TEST(hypercall_known,
     .id = "kvmpv.hypercall.vapic_poll_irq",
     .clause = "kvm hypercalls.rst, 1: KVM_HC_VAPIC_POLL_IRQ answers 0",
     .owner = OWNER_CALL,
     .needs = NEED_KVM,
     .liveness = true)
{
	expect_answer(t, kvm_hypercall(KVM_HC_VAPIC_POLL_IRQ, 0, 0, 0, 0), 0, "VAPIC_POLL_IRQ");
}

TEST(hypercall_opcodes,
     .id = "kvmpv.hypercall.opcodes",
     .clause = "kvm hypercalls.rst: the vendor's instruction works; KVM may patch the other one",
     .owner = OWNER_CALL,
     .needs = NEED_KVM,
     .liveness = true)
{
	struct kvm_call c = { .nr = KVM_HC_UNASSIGNED };
	unsigned int i;

	for (i = 0; i < 2; i++) {
		c.nr = KVM_HC_UNASSIGNED;
		kvm_arch_call(opcodes[i].op, &c);
		if (c.trapped && opcodes[i].op != kvm_arch_opcode()) {
			test_note(t, "%s raises exception %u: allowed, it is the other vendor's",
				  opcodes[i].name, (unsigned int)c.vector);
			continue;
		}
		expect(t, !c.trapped, "%s raises exception %u", opcodes[i].name,
		       (unsigned int)c.vector);
		expect_answer(t, (int64_t)c.result, -KVM_ENOSYS, "result by %s", opcodes[i].name);
	}
}

TEST(hypercall_preserves,
     .id = "kvmpv.hypercall.preserves_registers",
     .clause = "kvm hypercalls.rst: no other register than rax is clobbered",
     .owner = OWNER_CALL,
     .needs = NEED_KVM,
     .liveness = true)
{
	static const uint64_t numbers[] = { KVM_HC_VAPIC_POLL_IRQ, KVM_HC_UNASSIGNED };
	unsigned int i;

	for (i = 0; i < 4; i++) {
		struct kvm_call c = { .nr = numbers[i % 2], .arg = { 11, 22, 33, 44 } };

		if (i >= 2)
			c = (struct kvm_call){ .nr = numbers[i % 2], .zeros = true };
		kvm_arch_call(kvm_arch_opcode(), &c);
		if (c.trapped)
			test_error(t, "the vendor's instruction raises exception %u",
				   (unsigned int)c.vector);
		expect_eq(
			t, c.clobbered, 0,
			"registers changed by hypercall %u%s (bits: rbx rcx rdx rsi rdi rbp, r8 to r15 from 8)",
			(unsigned int)numbers[i % 2], c.zeros ? ", where all were 0" : "");
		expect_answer(t, (int64_t)c.result, i % 2 ? -KVM_ENOSYS : 0, "hypercall %u%s",
			      (unsigned int)numbers[i % 2], c.zeros ? " with registers of 0" : "");
	}
}

TEST(hypercall_user,
     .id = "kvmpv.hypercall.user_mode",
     .clause = "kvm hypercalls.rst: from CPL > 0 every call answers -KVM_EPERM (-1)",
     .owner = OWNER_CALL,
     .needs = NEED_KVM,
     .timeout = 20 * SEC,
     .liveness = true)
{
	/* Each number: a host may look at the privilege call by call. */
	static const uint64_t numbers[] = { KVM_HC_VAPIC_POLL_IRQ, KVM_HC_MAP_GPA_RANGE,
					    KVM_HC_MEM_SHARE, KVM_HC_MEM_UNSHARE,
					    KVM_HC_UNASSIGNED };
	struct kvm_call c = { 0 };
	unsigned int i, cpl;
	int ret;

	for (cpl = 3; cpl > 0; cpl--)
		for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
			c.nr = numbers[i];
			ret = kvm_arch_call_ring(cpl, kvm_arch_opcode(), &c);
			if (ret)
				test_error(t, "CPL %u cannot be entered: %s", cpl, err_text(ret));
			if (c.trapped && c.vector == 6)
				test_skip(t, "the instruction is undefined at CPL %u here", cpl);
			require(t, !c.trapped, "exception %u at CPL %u", (unsigned int)c.vector,
				cpl);
			expect_answer(t, (int64_t)c.result, -KVM_EPERM, "hypercall %u from CPL %u",
				      (unsigned int)numbers[i], cpl);
		}
}

struct narrow_call {
	struct kvm_call c;
	int ret;
};

static void on_narrow_call(void *arg)
{
	struct narrow_call *n = arg;

	n->ret = kvm_arch_call_32(kvm_arch_opcode(), &n->c);
}

/* false: the CPU's stack, or this image, lies where 32-bit code does not reach. */
static bool calls_narrow(struct test_ctx *t, unsigned int cpu)
{
	static const struct {
		uint64_t nr;
		uint32_t want;
	} calls[] = { { KVM_HC_VAPIC_POLL_IRQ, 0 }, { KVM_HC_UNASSIGNED, (uint32_t)-KVM_ENOSYS } };
	unsigned int i, k;

	for (k = 0; k < 4; k++) {
		struct narrow_call a = { .ret = -1 };

		i = k % 2;
		/* What 64-bit code left in the registers is no part of the call. */
		a.c.nr = calls[i].nr | (uint64_t)(k / 2) << 32;
		a.c.arg[0] = a.c.arg[1] = (uint64_t)(k / 2) << 40;
		if (smp_call(cpu, on_narrow_call, &a, test_sec()))
			test_error(t, "CPU %u does not answer", cpu);
		if (a.ret)
			return false;
		require(t, !a.c.trapped, "exception %u from 32-bit code of CPU %u",
			(unsigned int)a.c.vector, cpu);
		expect_eq(t, a.c.result, calls[i].want, "hypercall %u from 32-bit code of CPU %u%s",
			  (unsigned int)calls[i].nr, cpu,
			  k / 2 ? ", upper halves left behind" : "");
	}
	return true;
}

TEST(hypercall_mode32,
     .id = "kvmpv.hypercall.mode32",
     .clause = "kvm hypercalls.rst: outside of 64-bit mode arguments and result are 32 bits, on each CPU",
     .owner = OWNER_CALL,
     .needs = NEED_KVM,
     .liveness = true)
{
	unsigned int cpu;

	if (!calls_narrow(t, 0))
		test_skip(t, "this image, or the first CPU's stack, lies above 4 GiB");
	for (cpu = 1; cpu < smp_cpus_online(); cpu++)
		if (!calls_narrow(t, cpu))
			test_note(t, "CPU %u is left out: its stack lies above 4 GiB", cpu);
}
