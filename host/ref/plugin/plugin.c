/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/ref/plugin/plugin.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#define EFER_LMA (1u << 10)

static const char *const reg_names[PLUGIN_REGS] = { "rax", "rcx",  "rdx", "rbx", "rsp",
						    "rbp", "rsi",  "rdi", "r8",	 "r9",
						    "r10", "r11",  "r12", "r13", "r14",
						    "r15", "efer", "cs",  "cr0", "cr2" };

static struct {
	const struct plugin *p;
	unsigned int fault;
	struct qemu_plugin_register *reg[PLUGIN_CPUS][PLUGIN_REGS];
	GMutex lock;
	GHashTable *sites; /* struct plugin_site by its own bytes; under lock */
} base;

void plugin_say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "%s: ", fault_component);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}

unsigned int plugin_fault(void)
{
	return base.fault;
}

int64_t plugin_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* --- registers and memory -------------------------------------------------------------------------- */

/* One buffer for each thread, since qemu_plugin_set_pc() may leave a callback at any time. */
static _Thread_local GByteArray *scratch;

static GByteArray *scratch_get(void)
{
	if (!scratch)
		scratch = g_byte_array_new();
	g_byte_array_set_size(scratch, 0);
	return scratch;
}

uint64_t plugin_reg(unsigned int cpu, enum plugin_reg r)
{
	GByteArray *b = scratch_get();
	uint64_t v = 0;

	if (cpu < PLUGIN_CPUS && base.reg[cpu][r] && qemu_plugin_read_register(base.reg[cpu][r], b))
		memcpy(&v, b->data, b->len < sizeof(v) ? b->len : sizeof(v));
	return v;
}

void plugin_set_reg(unsigned int cpu, enum plugin_reg r, uint64_t v)
{
	GByteArray *b = scratch_get();

	g_byte_array_append(b, (const guint8 *)&v, sizeof(v));
	if (cpu < PLUGIN_CPUS && base.reg[cpu][r])
		qemu_plugin_write_register(base.reg[cpu][r], b);
}

bool plugin_long_mode(unsigned int cpu)
{
	return plugin_reg(cpu, R_EFER) & EFER_LMA;
}

bool plugin_read(uint64_t phys, void *buf, size_t len)
{
	GByteArray *b = scratch_get();

	if (qemu_plugin_read_memory_hwaddr(phys, b, len) || b->len < len)
		return false;
	memcpy(buf, b->data, len);
	return true;
}

bool plugin_write(uint64_t phys, const void *buf, size_t len)
{
	GByteArray *b = scratch_get();

	g_byte_array_append(b, buf, (guint)len);
	return qemu_plugin_write_memory_hwaddr(phys, b) == 0;
}

uint64_t plugin_load(uint64_t phys, unsigned int size)
{
	uint64_t v = 0;

	return plugin_read(phys, &v, size) ? v : 0;
}

void plugin_inject(uint64_t phys, uint64_t value, unsigned int size)
{
	if (plugin_write(phys, &value, size))
		fault_injected(base.fault);
	else
		plugin_say("%s is not injected: a store to 0x%" PRIx64 " failed",
			   fault_rows[base.fault].id, phys);
}

/* --- instructions ------------------------------------------------------------------------------------ */

static guint site_hash(gconstpointer p)
{
	const struct plugin_site *s = p;

	return (guint)(s->vaddr ^ s->vaddr >> 32) * 31 + s->kind;
}

static gboolean site_equal(gconstpointer a, gconstpointer b)
{
	return memcmp(a, b, sizeof(struct plugin_site)) == 0;
}

struct plugin_site *plugin_site(struct qemu_plugin_insn *insn, uint32_t kind)
{
	struct plugin_site key, *s;

	memset(&key, 0, sizeof(key)); /* compared as bytes */
	key.vaddr = qemu_plugin_insn_vaddr(insn);
	key.kind = kind;
	key.size = (uint32_t)qemu_plugin_insn_size(insn);
	qemu_plugin_insn_data(insn, key.code, sizeof(key.code));
	g_mutex_lock(&base.lock);
	s = g_hash_table_lookup(base.sites, &key);
	if (!s) {
		s = g_memdup2(&key, sizeof(key));
		g_hash_table_add(base.sites, s);
	}
	g_mutex_unlock(&base.lock);
	return s;
}

bool plugin_is_wait(struct qemu_plugin_insn *insn)
{
	uint8_t b[2];

	return qemu_plugin_insn_size(insn) == 2 && qemu_plugin_insn_data(insn, b, 2) == 2 &&
	       ((b[0] == 0xf3 && b[1] == 0x90) || (b[0] == 0x0f && b[1] == 0x31));
}

static void on_block(struct qemu_plugin_tb *tb, void *userdata)
{
	const size_t n = qemu_plugin_tb_n_insns(tb);
	size_t i;

	(void)userdata;
	for (i = 0; i < n; i++)
		base.p->instrument(qemu_plugin_tb_get_insn(tb, i), i);
}

/* --- life ---------------------------------------------------------------------------------------------- */

static void on_vcpu_init(unsigned int cpu, void *userdata)
{
	GArray *regs;
	unsigned int i, r;

	(void)userdata;
	if (cpu >= PLUGIN_CPUS)
		return;
	regs = qemu_plugin_get_registers();
	for (i = 0; regs && i < regs->len; i++) {
		const qemu_plugin_reg_descriptor *d = &g_array_index(regs,
								     qemu_plugin_reg_descriptor, i);

		for (r = 0; r < PLUGIN_REGS; r++)
			if (strcmp(d->name, reg_names[r]) == 0)
				base.reg[cpu][r] = d->handle;
	}
	if (regs)
		g_array_free(regs, TRUE);
}

static void on_end(void *userdata)
{
	(void)userdata;
	if (base.p->end)
		base.p->end();
	fault_end();
}

static int take_argument(char *arg, const char **injected)
{
	char *value = strchr(arg, '=');
	size_t n = strlen(arg);

	while (n && arg[n - 1] == ' ') /* recipes join several with blanks */
		arg[--n] = '\0';
	if (value)
		*value++ = '\0';
	if (value && strcmp(arg, "injected") == 0) {
		*injected = value;
		return 0;
	}
	if (value && strcmp(arg, "fault") == 0) {
		if (fault_enable(value) == 0)
			return 0;
		plugin_say("there is no fault %s; `assay list --faults` has them all", value);
		return -1;
	}
	/* QEMU hands "name" over as "name=on". */
	if (base.p->option)
		return base.p->option(arg, value && strcmp(value, "on") != 0 ? value : NULL);
	plugin_say("there is no argument \"%s\"", arg);
	return -1;
}

static int find_one_fault(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < fault_count; i++) {
		if (!fault_on(i))
			continue;
		base.fault = i;
		n++;
	}
	if (n == 1)
		return 0;
	plugin_say("fault=ID is needed, once");
	return -1;
}

static bool fits(const qemu_info_t *info)
{
	if (info->system_emulation && strcmp(info->target_name, "x86_64") == 0 &&
	    info->version.cur >= QEMU_PLUGIN_API_LEVEL)
		return true;
	plugin_say("qemu-system-x86_64 with plugin API %d is needed", QEMU_PLUGIN_API_LEVEL);
	return false;
}

int plugin_install(const struct plugin *p, qemu_plugin_id_t id, const qemu_info_t *info, int argc,
		   char **argv)
{
	const char *injected = NULL;
	int i, ret;

	base.p = p;
	if (!fits(info))
		return -1;
	for (i = 0; i < argc; i++)
		if (take_argument(argv[i], &injected))
			return -1;
	if (p->one_fault && find_one_fault())
		return -1;
	ret = fault_begin(injected);
	if (ret) {
		plugin_say("%s: %s", injected, strerror(-ret));
		return -1;
	}
	base.sites = g_hash_table_new(site_hash, site_equal);
	if (p->start && p->start())
		return -1;
	qemu_plugin_register_vcpu_init_cb(id, on_vcpu_init, NULL);
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_block, NULL);
	qemu_plugin_register_atexit_cb(id, on_end, NULL);
	return 0;
}
