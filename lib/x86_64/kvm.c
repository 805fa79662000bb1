/* SPDX-License-Identifier: BSD-2-Clause */
/* kvm.h: CPUID, VMCALL and VMMCALL from three modes, the clock MSRs. */
#include "lib/x86_64/kvm.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "lib/mem.h"
#include "lib/paging.h"
#include "lib/test.h"
#include "lib/x86_64/cpu.h"
#include "lib/x86_64/kvm_stubs.h"
#include "lib/x86_64/traps.h"

#define FIRST_LEAF 0x40000000u
#define LAST_BASE  0x40010000u

enum {
	MSR_KVM_WALL_CLOCK_NEW = 0x4b564d00
};

void kvm_arch_leaf(uint32_t leaf, uint32_t out[4])
{
	const struct cpuid_regs r = cpuid(leaf, 0);

	out[0] = r.eax;
	out[1] = r.ebx;
	out[2] = r.ecx;
	out[3] = r.edx;
}

uint32_t kvm_arch_base(void)
{
	uint32_t base, r[4];

	if (!(cpuid(1, 0).ecx >> 31))
		return 0;
	for (base = FIRST_LEAF; base < LAST_BASE; base += 0x100) {
		kvm_arch_leaf(base, r);
		if (r[1] == 0x4b4d564b && r[2] == 0x564b4d56 && r[3] == 0x4d)
			return base;
	}
	return 0;
}

uint32_t kvm_arch_max_leaf(void)
{
	const uint32_t base = kvm_arch_base();
	uint32_t r[4];

	if (!base)
		return 0;
	kvm_arch_leaf(base, r);
	return r[0] ? r[0] : base + 1; /* cpuid.rst: an old host says 0 and means base + 1 */
}

static uint32_t feature_word(unsigned int reg)
{
	const uint32_t base = kvm_arch_base();
	uint32_t r[4];

	if (!base || kvm_arch_max_leaf() < base + 1)
		return 0;
	kvm_arch_leaf(base + 1, r);
	return r[reg];
}

uint32_t kvm_arch_features(void)
{
	return feature_word(0);
}

uint32_t kvm_arch_hints(void)
{
	return feature_word(3);
}

enum kvm_opcode kvm_arch_opcode(void)
{
	const struct cpuid_regs r = cpuid(0, 0);

	/* "AuthenticAMD", "HygonGenuine": VMMCALL; else VMCALL. */
	return r.ebx == 0x68747541 || r.ebx == 0x6f677948 ? KVM_VMMCALL : KVM_VMCALL;
}

/* --- calls -------------------------------------------------------------------------------- */

struct call_arg {
	enum kvm_opcode op;
	struct kvm_regs *regs;
};

static void do_call(void *arg)
{
	const struct call_arg *a = arg;

	if (a->op == KVM_VMCALL)
		kvm_stub_vmcall(a->regs);
	else
		kvm_stub_vmmcall(a->regs);
}

/* Each register gets a value of its own, or 0, so that a change shows. */
static void fill(struct kvm_regs *r, const struct kvm_call *c)
{
	unsigned int i;

	for (i = 0; i < KVM_REGS; i++)
		r->r[i] = c->zeros ? 0 : 0x5a5a000000000000ull + i * 0x0101010101ull;
	r->r[KVM_RAX] = c->nr;
	r->r[KVM_RBX] = c->arg[0];
	r->r[KVM_RCX] = c->arg[1];
	r->r[KVM_RDX] = c->arg[2];
	r->r[KVM_RSI] = c->arg[3];
}

static uint64_t compare(const struct kvm_regs *before, const struct kvm_regs *after)
{
	static const uint8_t bit[KVM_REGS] = {
		[KVM_RBX] = 0,	[KVM_RCX] = 1,	[KVM_RDX] = 2,	[KVM_RSI] = 3,	[KVM_RDI] = 4,
		[KVM_RBP] = 5,	[KVM_R8] = 8,	[KVM_R9] = 9,	[KVM_R10] = 10, [KVM_R11] = 11,
		[KVM_R12] = 12, [KVM_R13] = 13, [KVM_R14] = 14, [KVM_R15] = 15,
	};
	uint64_t mask = 0;
	unsigned int i;

	for (i = 0; i < KVM_REGS; i++)
		if (i != KVM_RAX && before->r[i] != after->r[i])
			mask |= 1ull << bit[i];
	return mask;
}

static void run(void (*fn)(void *), enum kvm_opcode op, struct kvm_call *c, bool regs32)
{
	struct kvm_regs before, after;
	struct call_arg a = { op, &after };
	struct trap_info trap;

	fill(&before, c);
	after = before;
	c->trapped = trap_call(fn, &a, &trap) != 0;
	c->vector = c->trapped ? trap.vector : 0;
	c->result = after.r[KVM_RAX];
	c->clobbered = c->trapped || regs32 ? 0 : compare(&before, &after);
}

void kvm_arch_call(enum kvm_opcode op, struct kvm_call *c)
{
	run(do_call, op, c, false);
}

/*
 * An outer ring has a page of code, and a page for its stack and registers. The stub ends with INT3, an exception, so
 * that trap_call() takes it back.
 */
static struct {
	uint8_t *code, *data;
	unsigned int cpl;
} outer; /* owner: kvm_arch_call_ring(); one CPU at a time */

static const struct {
	uint16_t code, data;
} selectors[] = { { SEL_CODE64, SEL_DATA },
		  { SEL_RING1_CODE, SEL_RING1_DATA },
		  { SEL_RING2_CODE, SEL_RING2_DATA },
		  { SEL_USER_CODE, SEL_USER_DATA } };

static void enter_ring(void *arg)
{
	const struct call_arg *a = arg;
	struct kvm_regs *shared = (struct kvm_regs *)outer.data;
	const char *const code[] = { [KVM_VMCALL] = kvm_user_vmcall,
				     [KVM_VMMCALL] = kvm_user_vmmcall,
				     [KVM_RDMSR] = kvm_user_rdmsr,
				     [KVM_WRMSR] = kvm_user_wrmsr };
	const size_t off = (size_t)(code[a->op] - kvm_user_vmcall);

	/* The exception that ends the ring's code comes on this stack, below what is in use. */
	traps_set_rsp0(this_cpu(),
		       ((uint64_t)(uintptr_t)__builtin_frame_address(0) - 2048) & ~15ull);
	kvm_stub_iret(outer.code + off, outer.data + PAGE_SIZE, shared, selectors[outer.cpl].code,
		      selectors[outer.cpl].data);
}

/* Only CPL 3 is user mode to the page tables. */
static void open_pages(unsigned int cpl)
{
	const unsigned int user = cpl == 3 ? PROT_USER : 0;

	paging_protect(virt_to_phys(outer.code), PAGE_SIZE, PROT_R | PROT_X | user);
	paging_protect(virt_to_phys(outer.data), PAGE_SIZE, PROT_R | PROT_W | user);
}

static void close_pages(void)
{
	paging_protect(virt_to_phys(outer.code), PAGE_SIZE, PROT_R | PROT_W);
	paging_protect(virt_to_phys(outer.data), PAGE_SIZE, PROT_R | PROT_W);
}

int kvm_arch_call_ring(unsigned int cpl, enum kvm_opcode op, struct kvm_call *c)
{
	struct call_arg a = { op, NULL };
	struct kvm_regs before;
	struct trap_info trap;
	int ret = -ENOMEM;

	outer.cpl = cpl;
	outer.code = mem_pages(1, PAGE_SIZE);
	outer.data = mem_pages(1, PAGE_SIZE);
	if (!outer.code || !outer.data)
		goto out;
	memcpy(outer.code, kvm_user_vmcall, (size_t)(kvm_user_end - kvm_user_vmcall));
	fill(&before, c);
	memcpy(outer.data, &before, sizeof(before));
	open_pages(cpl);
	trap_call(enter_ring, &a, &trap);
	/* The stub ends with INT3. CPL > 0 may not use that gate, so that a #GP that names the gate is the regular end. */
	c->trapped = !(trap.vector == 13 && trap.error_code == (3u << 3 | 2)) && trap.vector != 3;
	c->vector = trap.vector;
	c->result = ((struct kvm_regs *)outer.data)->r[KVM_RAX];
	c->clobbered = c->trapped ? 0 : compare(&before, (struct kvm_regs *)outer.data);
	close_pages();
	/* What trapped elsewhere is our own way there. */
	ret = trap.ip - (uint64_t)(uintptr_t)outer.code < PAGE_SIZE ? 0 : -ENOTSUP;
out:
	mem_pages_free(outer.code, 1);
	mem_pages_free(outer.data, 1);
	return ret;
}

static void do_call_32(void *arg)
{
	const struct call_arg *a = arg;

	kvm_stub_compat(a->regs, a->op == KVM_VMCALL ? 0 : 1);
}

int kvm_arch_call_32(enum kvm_opcode op, struct kvm_call *c)
{
	/* The 32-bit segment reaches the first 4 GiB, where our code and stack must lie. */
	if ((uintptr_t)kvm_stub_compat >> 32 || (uintptr_t)__builtin_frame_address(0) >> 32)
		return -ENOTSUP;
	run(do_call_32, op, c, true);
	return 0;
}

/* --- clock ---------------------------------------------------------------------------------- */

struct msr_arg {
	uint32_t msr;
	uint64_t value;
};

static void do_wrmsr(void *arg)
{
	const struct msr_arg *m = arg;

	wrmsr(m->msr, m->value);
}

static void do_rdmsr(void *arg)
{
	struct msr_arg *m = arg;

	m->value = rdmsr(m->msr);
}

bool kvm_arch_msr_write(enum kvm_msr msr, uint64_t v)
{
	struct msr_arg m = { msr, v };
	struct trap_info trap;

	return trap_call(do_wrmsr, &m, &trap) == 0;
}

bool kvm_arch_msr_read(enum kvm_msr msr, uint64_t *v)
{
	struct msr_arg m = { msr, 0 };
	struct trap_info trap;
	const bool ok = trap_call(do_rdmsr, &m, &trap) == 0;

	*v = m.value;
	return ok;
}

bool kvm_arch_set_system_time(uint64_t v)
{
	return kvm_arch_msr_write(KVM_MSR_SYSTEM_TIME_NEW, v);
}

bool kvm_arch_set_wall_clock(uint64_t pa)
{
	struct msr_arg m = { MSR_KVM_WALL_CLOCK_NEW, pa };
	struct trap_info trap;

	return trap_call(do_wrmsr, &m, &trap) == 0;
}

uint64_t kvm_arch_counter(void)
{
	return rdtsc();
}
