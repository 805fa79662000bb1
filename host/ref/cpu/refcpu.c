/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * refcpu: a machine that misbehaves below the devices, as a TCG plugin: CPUs, local APICs, clocks, memory and the
 * tables that the guest is given. A fault has a kind of instruction, and a hook in front of it that may change
 * registers and memory, or have the instruction skipped; or it looks at what the guest stores.
 *
 * Arguments: fault=ID, injected=FILE.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "host/ref/cpu/machine.h"
#include "host/ref/plugin/plugin.h"

#define EFER_LMA (1u << 10)

static const char *const reg_names[MACHINE_REGS] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp",
						     "rsi", "rdi", "r8",  "r9",	 "r10", "r11",
						     "r12", "r13", "r14", "r15", "efer" };

static struct {
	const struct fault *fault;
	enum fault_id id;
	struct qemu_plugin_register *reg[MACHINE_CPUS][MACHINE_REGS];
	GMutex lock;
	GHashTable *sites; /* struct site, by its own content; under lock */
} plugin;

/* --- for the faults ------------------------------------------------------------------------------- */

/* One buffer a vCPU thread: qemu_plugin_set_pc() does not return, so nothing may be left to free. */
static _Thread_local GByteArray *scratch;

static GByteArray *scratch_get(void)
{
	if (!scratch)
		scratch = g_byte_array_new();
	g_byte_array_set_size(scratch, 0);
	return scratch;
}

uint64_t machine_reg(unsigned int cpu, unsigned int r)
{
	GByteArray *b = scratch_get();
	uint64_t v = 0;

	if (plugin.reg[cpu][r] && qemu_plugin_read_register(plugin.reg[cpu][r], b))
		memcpy(&v, b->data, b->len < sizeof(v) ? b->len : sizeof(v));
	return v;
}

void machine_set_reg(unsigned int cpu, unsigned int r, uint64_t v)
{
	GByteArray *b = scratch_get();

	g_byte_array_append(b, (const guint8 *)&v, sizeof(v));
	if (plugin.reg[cpu][r])
		qemu_plugin_write_register(plugin.reg[cpu][r], b);
}

bool machine_read(uint64_t phys, void *buf, size_t len)
{
	GByteArray *b = scratch_get();

	if (qemu_plugin_read_memory_hwaddr(phys, b, len) || b->len < len)
		return false;
	memcpy(buf, b->data, len);
	return true;
}

void machine_write(uint64_t phys, const void *buf, size_t len)
{
	GByteArray *b = scratch_get();

	g_byte_array_append(b, buf, (guint)len);
	qemu_plugin_write_memory_hwaddr(phys, b);
}

void machine_injected(void)
{
	fault_injected(plugin.id);
}

bool machine_each(unsigned int n)
{
	static unsigned int count;

	return __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED) % n == 0;
}

uint64_t machine_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* --- callbacks ---------------------------------------------------------------------------------- */

static void on_insn(unsigned int cpu, void *userdata)
{
	const struct site *s = userdata;

	if (cpu >= MACHINE_CPUS || (!plugin.fault->early && !(machine_reg(cpu, R_EFER) & EFER_LMA)))
		return; /* firmware, which has its own view of the machine */
	if (plugin.fault->hook(cpu, s))
		qemu_plugin_set_pc(s->vaddr + s->size);
}

static void on_memory(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *userdata)
{
	struct qemu_plugin_hwaddr *h = qemu_plugin_get_hwaddr(info, vaddr);
	const qemu_plugin_mem_value v = qemu_plugin_mem_get_value(info);

	(void)cpu;
	(void)userdata;
	if (h && !qemu_plugin_hwaddr_is_io(h) && v.type == QEMU_PLUGIN_MEM_VALUE_U64)
		plugin.fault->memory(qemu_plugin_hwaddr_phys_addr(h), v.data.u64);
}

/* --- instructions ------------------------------------------------------------------------------- */

static guint site_hash(gconstpointer p)
{
	const struct site *s = p;

	return (guint)(s->vaddr ^ s->vaddr >> 32);
}

static gboolean site_equal(gconstpointer a, gconstpointer b)
{
	return memcmp(a, b, sizeof(struct site)) == 0;
}

/* One record an instruction, however often it is translated. */
static struct site *site_get(const struct site *key)
{
	struct site *s;

	g_mutex_lock(&plugin.lock);
	s = g_hash_table_lookup(plugin.sites, key);
	if (!s) {
		s = g_memdup2(key, sizeof(*key));
		g_hash_table_add(plugin.sites, s);
	}
	g_mutex_unlock(&plugin.lock);
	return s;
}

/* Operand forms that compilers and the payload's assembly use. */
static enum kind kind_of(const uint8_t *b, size_t n)
{
	static const struct {
		enum kind kind;
		uint8_t len, bytes[2];
	} fixed[] = {
		{ K_CLI, 1, { 0xfa } },		{ K_IN32, 1, { 0xed } },
		{ K_OUT32, 1, { 0xef } },	{ K_WRMSR, 2, { 0x0f, 0x30 } },
		{ K_RDTSC, 2, { 0x0f, 0x31 } }, { K_UD2, 2, { 0x0f, 0x0b } },
		{ K_PAUSE, 2, { 0xf3, 0x90 } },
	};
	size_t i;

	for (i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (n == fixed[i].len && memcmp(b, fixed[i].bytes, n) == 0)
			return fixed[i].kind;
	if (n >= 3 && b[0] == 0x0f && b[1] == 0x22 && (b[2] & 0x38) <= 0x18)
		return b[2] >> 3 & 7 ? (b[2] & 0x38) == 0x18 ? K_MOV_CR3 : K_NONE : K_MOV_CR0;
	if (n >= 3 && b[0] == 0x0f && b[1] == 0x01 && b[2] < 0xc0 && (b[2] & 0x38) == 0x18)
		return K_LIDT;
	if (n >= 3 && b[0] == 0xf0 && (b[1] == 0x83 || b[1] == 0xff) && !(b[2] & 0x38))
		return K_LOCK_ADD;
	return K_NONE;
}

static void instrument(struct qemu_plugin_insn *insn)
{
	uint8_t b[15];
	const size_t n = qemu_plugin_insn_data(insn, b, sizeof(b));
	const enum kind kind = kind_of(b, n);
	struct site key;

	memset(&key, 0, sizeof(key)); /* compared as bytes */
	key.vaddr = qemu_plugin_insn_vaddr(insn);
	key.kind = kind;
	key.size = (uint32_t)n;
	key.modrm = n >= 3 ? b[2] : 0;
	if (plugin.fault->hook && kind && plugin.fault->kinds & 1u << kind)
		qemu_plugin_register_vcpu_insn_exec_cb(insn, on_insn, QEMU_PLUGIN_CB_RW_REGS_PC,
						       site_get(&key));
	if (plugin.fault->memory && (!plugin.fault->kinds || plugin.fault->kinds & 1u << kind))
		qemu_plugin_register_vcpu_mem_cb(
			insn, on_memory, QEMU_PLUGIN_CB_NO_REGS,
			plugin.fault->kinds ? QEMU_PLUGIN_MEM_R : QEMU_PLUGIN_MEM_W, NULL);
}

static void on_block(struct qemu_plugin_tb *tb, void *userdata)
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
	if (cpu < MACHINE_CPUS)
		plugin_registers(reg_names, MACHINE_REGS, plugin.reg[cpu]);
}

static void on_end(void *userdata)
{
	(void)userdata;
	fault_end();
}

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_API_LEVEL;

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
					   char **argv)
{
	int one;

	if (!plugin_fits("refcpu", info))
		return -1;
	one = plugin_one_fault(argc, argv);
	if (one < 0)
		return -1;
	plugin.id = (enum fault_id)one;
	plugin.fault = &machine_faults[one];
	plugin.sites = g_hash_table_new(site_hash, site_equal);
	qemu_plugin_register_vcpu_init_cb(id, on_vcpu_init, NULL);
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_block, NULL);
	qemu_plugin_register_atexit_cb(id, on_end, NULL);
	return 0;
}
