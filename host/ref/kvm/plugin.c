/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reference KVM as a TCG plugin: supplies CPUID's hypervisor leaves, KVM's
 * MSRs and hypercalls to the guest of an unmodified QEMU, by a callback in
 * front of the instruction that writes the results and skips it.
 *
 * Arguments: state=FILE (required), mode=none|rfc|map_gpa, ram=SIZE (required),
 * low=SIZE (most RAM below 4 GiB, default as on q35: 2G where there are 2816M or more), fault=ID, injected=FILE, log=FILE, and the behaviours eintr-once,
 * enomem-once, lose-contents, no-unshare, max-shared=N.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#include "host/ref/kvm/kvm.h"
#include "host/ref/plugin/qemu_plugin.h"

#define RESET_VECTOR 0xfffffff0ull
#define FOUR_GIB     (1ull << 32)
#define Q35_LOW_MAX                                                                                \
	0xb0000000ull /* hw/i386/pc_q35.c: as much RAM as this and there are two ranges */
#define Q35_LOW 0x80000000ull

enum reg {
	R_RAX,
	R_RBX,
	R_RCX,
	R_RDX,
	R_RSI,
	R_R15,
	R_CS,
	R_CR0,
	R_EFER,
	R_COUNT,
};

static const char *const reg_names[R_COUNT] = { "rax", "rbx", "rcx", "rdx", "rsi",
						"r15", "cs",  "cr0", "efer" };

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

struct site { /* an instruction of the guest that we may stand in for */
	uint64_t vaddr;
	uint32_t kind;
	uint32_t size;
};

static struct {
	struct refkvm kvm;
	struct qemu_plugin_register *reg[REFKVM_MAX_CPUS][R_COUNT];
	GHashTable *sites; /* struct site, by its own content */
	GMutex sites_lock;
	uint64_t tsc_base;  /* host counter at which the guest's is 0 */
	uint64_t mono_base; /* CLOCK_MONOTONIC then, ns */
} plugin;

/* One buffer a vCPU thread: qemu_plugin_set_pc() does not return, so nothing may be left to free. */
static _Thread_local GByteArray *scratch;

static GByteArray *scratch_get(void)
{
	if (!scratch)
		scratch = g_byte_array_new();
	g_byte_array_set_size(scratch, 0);
	return scratch;
}

static uint64_t mono_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static uint64_t guest_tsc(void)
{
	return __rdtsc() - plugin.tsc_base;
}

/* The longer ago the start, the better the estimate: taken anew for each clock registration. */
static void update_tsc_hz(void)
{
	const uint64_t ticks = guest_tsc();
	const uint64_t ns = mono_ns() - plugin.mono_base;

	if (ns > 1000000)
		plugin.kvm.tsc_hz = (uint64_t)((unsigned __int128)ticks * 1000000000ull / ns);
}

static uint64_t reg_read(unsigned int cpu, enum reg r)
{
	GByteArray *b = scratch_get();
	uint64_t v = 0;

	if (!plugin.reg[cpu][r] || !qemu_plugin_read_register(plugin.reg[cpu][r], b))
		return 0;
	memcpy(&v, b->data, b->len < sizeof(v) ? b->len : sizeof(v));
	return v;
}

static void reg_write(unsigned int cpu, enum reg r, uint64_t v)
{
	GByteArray *b = scratch_get();

	g_byte_array_append(b, (const guint8 *)&v, sizeof(v));
	if (plugin.reg[cpu][r])
		qemu_plugin_write_register(plugin.reg[cpu][r], b);
}

/*
 * Is the code segment 64-bit? CS.L is not shown, but r15 is only there with it: what is written to it
 * elsewhere is dropped.
 */
static bool in_long_mode(unsigned int cpu)
{
	const uint64_t r15 = reg_read(cpu, R_R15);
	bool is64;

	if (!(reg_read(cpu, R_EFER) & (1u << 10))) /* LMA */
		return false;
	if (r15)
		return true;
	reg_write(cpu, R_R15, 1);
	is64 = reg_read(cpu, R_R15) == 1;
	if (is64)
		reg_write(cpu, R_R15, 0);
	return is64;
}

static bool mem_write(void *arg, uint64_t gpa, const void *buf, size_t len)
{
	GByteArray *b = scratch_get();

	(void)arg;
	g_byte_array_append(b, buf, (guint)len);
	return qemu_plugin_write_memory_hwaddr(gpa, b) == 0;
}

static bool mem_read(void *arg, uint64_t gpa, void *buf, size_t len)
{
	GByteArray *b = scratch_get();

	(void)arg;
	if (qemu_plugin_read_memory_hwaddr(gpa, b, len) != 0 || b->len < len)
		return false;
	memcpy(buf, b->data, len);
	return true;
}

static void write_edx_eax(unsigned int cpu, uint64_t v)
{
	reg_write(cpu, R_RAX, (uint32_t)v);
	reg_write(cpu, R_RDX, v >> 32);
}

static bool do_cpuid(unsigned int cpu)
{
	uint32_t out[4];

	if (!refkvm_cpuid(&plugin.kvm, (uint32_t)reg_read(cpu, R_RAX), out))
		return false;
	reg_write(cpu, R_RAX, out[0]);
	reg_write(cpu, R_RBX, out[1]);
	reg_write(cpu, R_RCX, out[2]);
	reg_write(cpu, R_RDX, out[3]);
	return true;
}

static bool do_hypercall(unsigned int cpu, enum kind kind)
{
	struct refkvm_call c = { .cpu = cpu };

	if (kind == KIND_VMMCALL && fault(F_KVM_HYPERCALL_ONE_OPCODE))
		return true;
	c.rax = reg_read(cpu, R_RAX);
	c.rbx = reg_read(cpu, R_RBX);
	c.rcx = reg_read(cpu, R_RCX);
	c.rdx = reg_read(cpu, R_RDX);
	c.rsi = reg_read(cpu, R_RSI);
	c.long_mode = in_long_mode(cpu);
	c.cpl = reg_read(cpu, R_CR0) & 1 ? reg_read(cpu, R_CS) & 3 : 0;
	refkvm_hypercall(&plugin.kvm, &c);
	reg_write(cpu, R_RAX, c.rax);
	if (c.clobber_rbx)
		reg_write(cpu, R_RBX, c.rbx ^ 0x100);
	if (c.clobber_rcx)
		reg_write(cpu, R_RCX, c.rcx + 1);
	return true;
}

static bool privileged(unsigned int cpu)
{
	return (reg_read(cpu, R_CS) & 3) == 0;
}

static bool do_wrmsr(unsigned int cpu)
{
	const uint64_t value = reg_read(cpu, R_RDX) << 32 | (uint32_t)reg_read(cpu, R_RAX);

	if (!privileged(cpu))
		return false;
	update_tsc_hz();
	return refkvm_wrmsr(&plugin.kvm, cpu, (uint32_t)reg_read(cpu, R_RCX), value, guest_tsc());
}

#define MSR_IA32_TSC 0x10

static bool do_rdmsr(unsigned int cpu)
{
	const uint32_t msr = (uint32_t)reg_read(cpu, R_RCX);
	uint64_t v;

	if (!privileged(cpu))
		return false;
	if (msr == MSR_IA32_TSC)
		v = guest_tsc();
	else if (!refkvm_rdmsr(&plugin.kvm, cpu, msr, &v))
		return false;
	write_edx_eax(cpu, v);
	return true;
}

/* The clock pages are made from this counter, so the guest must read the same one. */
static bool do_rdtsc(unsigned int cpu, enum kind kind)
{
	if (!in_long_mode(cpu))
		return false; /* real-mode firmware: its code segment's base is not known here */
	write_edx_eax(cpu, guest_tsc());
	if (kind == KIND_RDTSCP)
		reg_write(cpu, R_RCX, 0); /* TSC_AUX as after reset */
	return true;
}

static void on_insn(unsigned int cpu, void *userdata)
{
	const struct site *s = userdata;
	bool done = false;

	if (cpu >= REFKVM_MAX_CPUS || !(reg_read(cpu, R_CR0) & 1))
		return;
	switch ((enum kind)s->kind) {
	case KIND_CPUID:
		done = do_cpuid(cpu);
		break;
	case KIND_VMCALL:
	case KIND_VMMCALL:
		done = do_hypercall(cpu, s->kind);
		break;
	case KIND_WRMSR:
		done = do_wrmsr(cpu);
		break;
	case KIND_RDMSR:
		done = do_rdmsr(cpu);
		break;
	case KIND_RDTSC:
	case KIND_RDTSCP:
		done = do_rdtsc(cpu, s->kind);
		break;
	case KIND_COUNT:
		break;
	}
	if (done)
		qemu_plugin_set_pc(s->vaddr + s->size);
}

static void on_reset_vector(unsigned int cpu, void *userdata)
{
	(void)userdata;
	if (cpu == 0)
		refkvm_reset(&plugin.kvm);
}

static guint site_hash(gconstpointer p)
{
	const struct site *s = p;

	return (guint)(s->vaddr ^ s->vaddr >> 32) * 31 + s->kind;
}

static gboolean site_equal(gconstpointer a, gconstpointer b)
{
	return memcmp(a, b, sizeof(struct site)) == 0;
}

/* One record an instruction, however often it is translated. */
static struct site *site_get(uint64_t vaddr, enum kind kind, size_t size)
{
	const struct site key = { vaddr, kind, (uint32_t)size };
	struct site *s;

	g_mutex_lock(&plugin.sites_lock);
	s = g_hash_table_lookup(plugin.sites, &key);
	if (!s) {
		s = g_memdup2(&key, sizeof(key));
		g_hash_table_add(plugin.sites, s);
	}
	g_mutex_unlock(&plugin.sites_lock);
	return s;
}

static void instrument(struct qemu_plugin_insn *insn)
{
	const size_t size = qemu_plugin_insn_size(insn);
	const uint64_t vaddr = qemu_plugin_insn_vaddr(insn);
	uint8_t b[3];
	unsigned int k;

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
						       site_get(vaddr, k, size));
	}
}

static void on_translate(struct qemu_plugin_tb *tb, void *userdata)
{
	const size_t n = qemu_plugin_tb_n_insns(tb);
	size_t i;

	(void)userdata;
	for (i = 0; i < n; i++)
		instrument(qemu_plugin_tb_get_insn(tb, i));
}

static void on_vcpu_init(unsigned int cpu, void *userdata)
{
	(void)userdata;
	if (cpu < REFKVM_MAX_CPUS)
		plugin_registers(reg_names, R_COUNT, plugin.reg[cpu]);
}

static void on_exit_cb(void *userdata)
{
	(void)userdata;
	fault_end();
	if (plugin.kvm.log)
		fclose(plugin.kvm.log);
}

static void complain(const char *fmt, const char *what)
{
	fprintf(stderr, "refkvm: ");
	fprintf(stderr, fmt, what); /* NOLINT: literal at every call */
	fputc('\n', stderr);
}

struct options {
	const char *state, *injected;
	uint64_t ram, low;
};

static int set_mode(const char *v)
{
	static const char *const names[] = { "none", "rfc", "map_gpa" };
	unsigned int i;

	for (i = 0; i < 3; i++) {
		if (strcmp(v, names[i]) != 0)
			continue;
		plugin.kvm.mode = (enum refkvm_mode)i;
		return 0;
	}
	fprintf(stderr, "refkvm: mode=%s: there are none, rfc and map_gpa\n", v);
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
	fprintf(stderr, "refkvm: %s=%s is not a number\n", key, v);
	return -1;
}

static int set_flag(const char *key)
{
	struct refkvm_behaviour *b = &plugin.kvm.behave;

	if (strcmp(key, "eintr-once") == 0)
		b->eintr_once = true;
	else if (strcmp(key, "enomem-once") == 0)
		b->enomem_once = true;
	else if (strcmp(key, "lose-contents") == 0)
		b->lose_contents = true;
	else if (strcmp(key, "no-unshare") == 0)
		b->no_unshare = true;
	else
		return -1;
	return 0;
}

static int set_option(struct options *o, char *arg)
{
	char *v = strchr(arg, '=');
	uint64_t n;

	arg[strcspn(arg, " ")] = '\0'; /* recipes join several with blanks */
	if (v)
		*v++ = '\0';
	/* QEMU hands "name" over as "name=on". */
	if (!v || strcmp(v, "on") == 0) {
		if (set_flag(arg) == 0)
			return 0;
	} else if (strcmp(arg, "state") == 0) {
		o->state = v;
		return 0;
	} else if (strcmp(arg, "mode") == 0) {
		return set_mode(v);
	} else if (strcmp(arg, "ram") == 0) {
		return set_number(arg, v, &o->ram);
	} else if (strcmp(arg, "low") == 0) {
		return set_number(arg, v, &o->low);
	} else if (strcmp(arg, "max-shared") == 0) {
		if (set_number(arg, v, &n))
			return -1;
		plugin.kvm.behave.max_shared = (unsigned int)n;
		return 0;
	} else if (strcmp(arg, "log") == 0) {
		plugin.kvm.log = fopen(v, "a");
		if (!plugin.kvm.log)
			perror(v);
		return plugin.kvm.log ? 0 : -1;
	} else if (strcmp(arg, "injected") == 0) {
		o->injected = v;
		return 0;
	} else if (strcmp(arg, "fault") == 0) {
		if (fault_enable(v) == 0)
			return 0;
		complain("unknown fault %s; see assay list --faults", v);
		return -1;
	}
	complain("unknown argument %s", arg);
	return -1;
}

static void set_slots(const struct options *o)
{
	struct refkvm *k = &plugin.kvm;
	const uint64_t most = o->low ? o->low : o->ram < Q35_LOW_MAX ? o->ram : Q35_LOW;
	const uint64_t low = most < o->ram ? most : o->ram;

	k->slot[k->slots++] = (struct refkvm_range){ 0, low >> PAGE_STATE_SHIFT };
	if (o->ram > low)
		k->slot[k->slots++] = (struct refkvm_range){ FOUR_GIB >> PAGE_STATE_SHIFT,
							     (o->ram - low) >> PAGE_STATE_SHIFT };
}

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_API_LEVEL;

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
					   char **argv)
{
	struct options o = { 0 };
	int i, ret;

	if (!plugin_fits("refkvm", info))
		return -1;
	for (i = 0; i < argc; i++)
		if (set_option(&o, argv[i]))
			return -1;
	if (!o.state || !o.ram) {
		complain("state=FILE and ram=BYTES are %s", "required");
		return -1;
	}
	set_slots(&o);
	plugin.tsc_base = __rdtsc();
	plugin.mono_base = mono_ns();
	plugin.kvm.tsc_hz = 1000000000ull; /* until update_tsc_hz() */
	plugin.kvm.io = (struct refkvm_io){ mem_write, mem_read, NULL };
	ret = refkvm_init(&plugin.kvm, o.state);
	if (ret) {
		fprintf(stderr, "refkvm: %s: %s\n", o.state, strerror(-ret));
		return -1;
	}
	ret = fault_begin(o.injected);
	if (ret) {
		fprintf(stderr, "refkvm: %s: %s\n", o.injected, strerror(-ret));
		return -1;
	}
	g_mutex_init(&plugin.sites_lock);
	plugin.sites = g_hash_table_new(site_hash, site_equal);
	qemu_plugin_register_vcpu_init_cb(id, on_vcpu_init, NULL);
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate, NULL);
	qemu_plugin_register_atexit_cb(id, on_exit_cb, NULL);
	return 0;
}
