/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reference KVM as a TCG plugin: supplies CPUID's hypervisor leaves, KVM's
 * MSRs and hypercalls to the guest of an unmodified QEMU, by a callback in
 * front of the instruction that writes the results and skips it.
 *
 * Arguments: state=FILE (required), mode=none|rfc|map_gpa, ram=SIZE (required), low=SIZE (most RAM below 4 GiB; default
 * as on q35: 2G where there are 2816M or more), fault=ID, injected=FILE, log=FILE, and the behaviours eintr-once,
 * enomem-once, lose-contents, unstable-clock, no-unshare, max-shared=N.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#include "host/ref/kvm/kvm.h"
#include "host/ref/plugin/plugin.h"

#define RESET_VECTOR   0xfffffff0ull
#define MSR_IA32_TSC   0x10
#define MSR_X2APIC_ICR 0x830
#define ICR_INIT       5 /* its delivery mode */
#define FOUR_GIB       (1ull << 32)
#define Q35_LOW_MAX                                                                                \
	0xb0000000ull /* hw/i386/pc_q35.c: as much RAM as this and there are two ranges */
#define Q35_LOW 0x80000000ull

enum kind {
	KIND_CPUID,
	KIND_VMCALL,
	KIND_VMMCALL,
	KIND_WRMSR,
	KIND_RDMSR,
	KIND_RDTSC,
	KIND_RDTSCP,
	KIND_COUNT,
};

static const struct {
	uint8_t bytes[3];
	uint8_t len;
} opcodes[KIND_COUNT] = {
	[KIND_CPUID] = { { 0x0f, 0xa2 }, 2 },	      [KIND_VMCALL] = { { 0x0f, 0x01, 0xc1 }, 3 },
	[KIND_VMMCALL] = { { 0x0f, 0x01, 0xd9 }, 3 }, [KIND_WRMSR] = { { 0x0f, 0x30 }, 2 },
	[KIND_RDMSR] = { { 0x0f, 0x32 }, 2 },	      [KIND_RDTSC] = { { 0x0f, 0x31 }, 2 },
	[KIND_RDTSCP] = { { 0x0f, 0x01, 0xf9 }, 3 },
};

static struct {
	struct refkvm kvm;
	const char *state;  /* file of page states */
	uint64_t ram, low;  /* bytes; low: at most below 4 GiB, 0: as on q35 */
	uint64_t tsc_base;  /* host counter at which the guest's is 0 */
	uint64_t mono_base; /* CLOCK_MONOTONIC_RAW then, ns */
} ref;

static uint64_t mono_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static uint64_t guest_tsc(void)
{
	return __rdtsc() - ref.tsc_base;
}

/* The counter and the clock at one moment: of some tries the one between whose reads the least time went by. */
static uint64_t tsc_and_ns(uint64_t *ns)
{
	uint64_t tsc = 0, best = UINT64_MAX;
	unsigned int i;

	for (i = 0; i < 8; i++) {
		const uint64_t before = guest_tsc(), now = mono_ns() - ref.mono_base,
			       took = guest_tsc() - before;

		if (took >= best)
			continue;
		best = took;
		tsc = before + took / 2;
		*ns = now;
	}
	return tsc;
}

/* The longer ago the start, the better the estimate, as long as no clock goes by one. */
static void update_tsc_hz(void)
{
	static bool fixed; /* atomic */
	uint64_t ns = 0, ticks;

	if (__atomic_load_n(&fixed, __ATOMIC_RELAXED))
		return;
	ticks = tsc_and_ns(&ns);
	if (ns > 1000000 &&
	    !refkvm_tsc_hz(&ref.kvm, (uint64_t)((unsigned __int128)ticks * 1000000000ull / ns)))
		__atomic_store_n(&fixed, true, __ATOMIC_RELAXED);
}

/*
 * Is the code segment 64-bit? CS.L is not shown, but r15 is only there with it: what is written to it
 * elsewhere is dropped.
 */
static bool in_long_mode(unsigned int cpu)
{
	const uint64_t r15 = plugin_reg(cpu, R_R15);
	bool is64;

	if (!plugin_long_mode(cpu))
		return false;
	if (r15)
		return true;
	if (fault(F_KVM_HYPERCALL_ZEROS_ARE_32))
		return false;
	plugin_set_reg(cpu, R_R15, 1);
	is64 = plugin_reg(cpu, R_R15) == 1;
	if (is64)
		plugin_set_reg(cpu, R_R15, 0);
	return is64;
}

static bool mem_write(void *arg, uint64_t gpa, const void *buf, size_t len)
{
	(void)arg;
	return plugin_write(gpa, buf, len);
}

static bool mem_read(void *arg, uint64_t gpa, void *buf, size_t len)
{
	(void)arg;
	return plugin_read(gpa, buf, len);
}

static void write_edx_eax(unsigned int cpu, uint64_t v)
{
	plugin_set_reg(cpu, R_RAX, (uint32_t)v);
	plugin_set_reg(cpu, R_RDX, v >> 32);
}

static bool real_mode(unsigned int cpu)
{
	return !(plugin_reg(cpu, R_CR0) & 1);
}

static bool do_cpuid(unsigned int cpu)
{
	uint32_t out[4];

	const uint32_t leaf = (uint32_t)plugin_reg(cpu, R_RAX);

	if (!refkvm_cpuid(&ref.kvm, leaf, out))
		return false;
	if (cpu != 0 && out[0] && leaf & 1 && fault(F_OUTSIDE_KV_CPUID_AP_FEATURES))
		out[0] = 0;
	if ((uint32_t)plugin_reg(cpu, R_RCX) && fault(F_OUTSIDE_KV_CPUID_SUBLEAF))
		memset(out, 0, sizeof(out));
	plugin_set_reg(cpu, R_RAX, out[0]);
	plugin_set_reg(cpu, R_RBX, out[1]);
	plugin_set_reg(cpu, R_RCX, out[2]);
	plugin_set_reg(cpu, R_RDX, out[3]);
	return true;
}

static bool do_hypercall(unsigned int cpu, enum kind kind)
{
	struct refkvm_call c = { .cpu = cpu };

	if (kind == KIND_VMMCALL && fault(F_KVM_HYPERCALL_ONE_OPCODE))
		return true;
	if (kind == KIND_VMCALL && fault(F_KVM_HYPERCALL_OTHER_UNDEFINED))
		return false;
	c.rax = plugin_reg(cpu, R_RAX);
	c.rbx = plugin_reg(cpu, R_RBX);
	c.rcx = plugin_reg(cpu, R_RCX);
	c.rdx = plugin_reg(cpu, R_RDX);
	c.rsi = plugin_reg(cpu, R_RSI);
	c.long_mode = in_long_mode(cpu);
	if (!real_mode(cpu) || fault(F_KVM_HYPERCALL_REAL_MODE_CPL))
		c.cpl = plugin_reg(cpu, R_CS) & 3;
	c.legacy = !real_mode(cpu) && !plugin_long_mode(cpu);
	refkvm_hypercall(&ref.kvm, &c);
	plugin_set_reg(cpu, R_RAX, c.rax);
	if ((int64_t)c.rax < 0 && fault(F_OUTSIDE_KV_ERROR_IN_RDX))
		plugin_set_reg(cpu, R_RDX, UINT32_MAX);
	if (c.long_mode && (int64_t)c.rax < 0 && fault(F_OUTSIDE2_KV_ERROR_CLEARS_RSI))
		plugin_set_reg(cpu, R_RSI, 0);
	if (c.long_mode && fault(F_OUTSIDE_KV_CLEARS_R11))
		plugin_set_reg(cpu, R_R8 + 3, 0);
	if (c.clobber_rbx)
		plugin_set_reg(cpu, R_RBX, c.rbx ^ 0x100);
	if (c.clobber_rcx)
		plugin_set_reg(cpu, R_RCX, c.rcx + 1);
	return true;
}

static bool privileged(unsigned int cpu)
{
	const unsigned int cpl = plugin_reg(cpu, R_CS) & 3;

	return cpl == 0 || (cpl < 3 && fault(F_KVM_MSR_AT_INNER_RINGS)) || fault(F_KVM_MSR_AT_CPL3);
}

static bool do_wrmsr(unsigned int cpu)
{
	const uint64_t value = plugin_reg(cpu, R_RDX) << 32 | (uint32_t)plugin_reg(cpu, R_RAX);

	if (!privileged(cpu))
		return false;
	if ((uint32_t)plugin_reg(cpu, R_RCX) == MSR_X2APIC_ICR && (value >> 8 & 7) == ICR_INIT)
		refkvm_init_sent(&ref.kvm);
	update_tsc_hz();
	return refkvm_wrmsr(&ref.kvm, cpu, (uint32_t)plugin_reg(cpu, R_RCX), value, guest_tsc());
}

static bool do_rdmsr(unsigned int cpu)
{
	const uint32_t msr = (uint32_t)plugin_reg(cpu, R_RCX);
	uint64_t v;

	if (!privileged(cpu))
		return false;
	if (msr == MSR_IA32_TSC)
		v = guest_tsc() >> fault(F_KVM_CLOCK_COUNTER_REGISTER);
	else if (!refkvm_rdmsr(&ref.kvm, cpu, msr, &v))
		return false;
	write_edx_eax(cpu, v);
	return true;
}

/* The clock pages are made from this counter, so the guest must read the same one. */
static bool do_rdtsc(unsigned int cpu, enum kind kind)
{
	if (!in_long_mode(cpu))
		return false; /* real-mode firmware: its code segment's base is not known here */
	write_edx_eax(cpu, guest_tsc() >> (kind == KIND_RDTSCP && fault(F_KVM_RDTSCP_LAGS)));
	if (kind == KIND_RDTSCP)
		plugin_set_reg(cpu, R_RCX, 0); /* TSC_AUX as after reset */
	return true;
}

/* In real mode CPUID and hypercalls are ours, in protected mode KVM's registers and the counter as well. */
static bool do_insn(unsigned int cpu, enum kind kind)
{
	switch (kind) {
	case KIND_CPUID:
		return !(real_mode(cpu) && fault(F_KVM_CPUID_REAL_MODE)) && do_cpuid(cpu);
	case KIND_VMCALL:
	case KIND_VMMCALL:
		return do_hypercall(cpu, kind);
	case KIND_WRMSR:
		return !real_mode(cpu) && do_wrmsr(cpu);
	case KIND_RDMSR:
		return !real_mode(cpu) && do_rdmsr(cpu);
	case KIND_RDTSC:
	case KIND_RDTSCP:
		return do_rdtsc(cpu, kind);
	case KIND_COUNT:
		break;
	}
	return false;
}

#define REAL_SEGMENT 0x10000

/* The base of the code segment. false: it is not known, as that of a CPU that comes from its reset. */
static bool code_base(unsigned int cpu, uint64_t vaddr, uint64_t *base)
{
	*base = real_mode(cpu) ? plugin_reg(cpu, R_CS) << 4 : 0;
	return !real_mode(cpu) || vaddr - *base < REAL_SEGMENT;
}

static void on_insn(unsigned int cpu, void *userdata)
{
	const struct plugin_site *s = userdata;
	uint64_t base;

	if (cpu >= REFKVM_MAX_CPUS || !code_base(cpu, s->vaddr, &base))
		return;
	if (do_insn(cpu, (enum kind)s->kind))
		qemu_plugin_set_pc(s->vaddr + s->size - base);
}

static void on_reset_vector(unsigned int cpu, void *userdata)
{
	(void)userdata;
	if (cpu == 0)
		refkvm_reset(&ref.kvm);
}

static void instrument(struct qemu_plugin_insn *insn, size_t index)
{
	const size_t size = qemu_plugin_insn_size(insn);
	const uint64_t vaddr = qemu_plugin_insn_vaddr(insn);
	uint8_t b[3];
	unsigned int k;

	(void)index;
	if (vaddr == RESET_VECTOR)
		qemu_plugin_register_vcpu_insn_exec_cb(insn, on_reset_vector,
						       QEMU_PLUGIN_CB_NO_REGS, NULL);
	if (size != 2 && size != 3)
		return;
	if (qemu_plugin_insn_data(insn, b, size) != size || b[0] != 0x0f)
		return;
	for (k = 0; k < KIND_COUNT; k++) {
		if (opcodes[k].len != size || memcmp(opcodes[k].bytes, b, size) != 0)
			continue;
		qemu_plugin_register_vcpu_insn_exec_cb(insn, on_insn, QEMU_PLUGIN_CB_RW_REGS_PC,
						       plugin_site(insn, k));
	}
}

static int set_mode(const char *v)
{
	static const char *const names[] = { "none", "rfc", "map_gpa" };
	unsigned int i;

	for (i = 0; i < 3; i++) {
		if (strcmp(v, names[i]) != 0)
			continue;
		ref.kvm.mode = (enum refkvm_mode)i;
		return 0;
	}
	plugin_say("mode=%s: there are none, rfc and map_gpa", v);
	return -1;
}

static int set_number(const char *key, const char *v, uint64_t *out)
{
	char *end;

	*out = strtoull(v, &end, 0);
	switch (*end) {
	case 'G':
		*out <<= 10;
		/* fallthrough */
	case 'M':
		*out <<= 10;
		/* fallthrough */
	case 'K':
		*out <<= 10;
		end++;
		break;
	default:
		break;
	}
	if (end > v && !*end)
		return 0;
	plugin_say("%s=%s is not a number", key, v);
	return -1;
}

static int set_flag(const char *key)
{
	struct refkvm_behaviour *b = &ref.kvm.behave;

	if (strcmp(key, "eintr-once") == 0)
		b->eintr_once = true;
	else if (strcmp(key, "enomem-once") == 0)
		b->enomem_once = true;
	else if (strcmp(key, "lose-contents") == 0)
		b->lose_contents = true;
	else if (strcmp(key, "unstable-clock") == 0)
		b->unstable_clock = true;
	else if (strcmp(key, "no-unshare") == 0)
		b->no_unshare = true;
	else
		return -1;
	return 0;
}

static int set_log(const char *path)
{
	ref.kvm.log = fopen(path, "ae");
	if (ref.kvm.log)
		return 0;
	plugin_say("%s: %s", path, strerror(errno));
	return -1;
}

static int set_max_shared(const char *v)
{
	uint64_t n;

	if (set_number("max-shared", v, &n))
		return -1;
	ref.kvm.behave.max_shared = (unsigned int)n;
	return 0;
}

static int take_option(const char *name, const char *v)
{
	if (!v && set_flag(name) == 0)
		return 0;
	if (v && strcmp(name, "state") == 0) {
		ref.state = v;
		return 0;
	}
	if (v && strcmp(name, "mode") == 0)
		return set_mode(v);
	if (v && strcmp(name, "ram") == 0)
		return set_number(name, v, &ref.ram);
	if (v && strcmp(name, "low") == 0)
		return set_number(name, v, &ref.low);
	if (v && strcmp(name, "max-shared") == 0)
		return set_max_shared(v);
	if (v && strcmp(name, "log") == 0)
		return set_log(v);
	plugin_say("there is no argument \"%s\"%s", name, v ? " with a value" : " without a value");
	return -1;
}

static void set_slots(void)
{
	struct refkvm *k = &ref.kvm;
	const uint64_t most = ref.low ? ref.low : ref.ram < Q35_LOW_MAX ? ref.ram : Q35_LOW;
	const uint64_t low = most < ref.ram ? most : ref.ram;

	k->slot[k->slots++] = (struct refkvm_range){ 0, low >> PAGE_STATE_SHIFT };
	if (ref.ram > low)
		k->slot[k->slots++] = (struct refkvm_range){ FOUR_GIB >> PAGE_STATE_SHIFT,
							     (ref.ram - low) >> PAGE_STATE_SHIFT };
}

static int start(void)
{
	int ret;

	if (!ref.state || !ref.ram) {
		plugin_say("state=FILE and ram=BYTES are required");
		return -1;
	}
	set_slots();
	ref.tsc_base = __rdtsc();
	ref.mono_base = mono_ns();
	ref.kvm.tsc_hz = 1000000000ull; /* until update_tsc_hz() */
	ref.kvm.io = (struct refkvm_io){ mem_write, mem_read, NULL };
	ret = refkvm_init(&ref.kvm, ref.state);
	if (ret)
		plugin_say("%s: %s", ref.state, strerror(-ret));
	return ret ? -1 : 0;
}

static void end(void)
{
	if (ref.kvm.log)
		fclose(ref.kvm.log);
}

static const struct plugin refkvm = {
	.option = take_option,
	.start = start,
	.instrument = instrument,
	.end = end,
};
PLUGIN(refkvm)
