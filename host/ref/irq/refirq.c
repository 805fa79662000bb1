/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * refirq: an MSI-X front end that misbehaves, as a TCG plugin. A back end cannot break what QEMU does right
 * (its MSI-X table stands between), so faults of that part are made here: the plugin watches what the guest
 * writes to MSI-X tables and capabilities, the I/O APIC, notification registers and device status. It sends a
 * message of the guest's own table at a moment when a correct front end would not; or it sends those of
 * the device astray, by another address in the table.
 *
 * Arguments: fault=ID, injected=FILE.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "host/ref/irq/fault_ids.h"
#include "host/ref/plugin/plugin.h"

#define MAX_ENTRIES   64
#define MSI_ADDRESS   0xfeeu /* bits 20 and up (Intel SDM 3A, 11.11.1) */
#define STATUS_FAILED 128
#define STATUS_OFFSET 20	  /* device_status of struct virtio_pci_common_cfg (4.1.4.3) */
#define LATE_NS	      2000000ll	  /* after the reset */
#define NOBODY	      0xfeefe000u /* an MSI address: APIC 254, which no machine here has */
#define MAX_FUNCTIONS 64
#define ENABLES	      20 /* that MSI-X lives through */
#define ROUTES	      8	 /* that a VMM has for the addresses of an entry, and does not give back */

enum {
	ADDR_LO,
	ADDR_HI,
	DATA,
	CONTROL,
	WORDS
};

struct entry { /* of some MSI-X table, by its place in memory */
	uint64_t at;
	uint32_t word[WORDS]; /* as the guest wrote it */
	unsigned int rewrites;
};

struct function { /* of PCI, by its configuration space */
	uint64_t config;
	uint64_t table, end; /* of its MSI-X entries */
	uint32_t cap;	     /* where its MSI-X capability is; 0: it has none */
	uint16_t control;    /* as the guest wrote it */
	unsigned int enables;
};

enum { /* MSI-X Message Control (PCIe 7.7.2.2) */
	MSIX_ENABLE = 1u << 15,
	MSIX_FUNCTION_MASK = 1u << 14,
};

enum { /* I/O APIC (82093AA): registers, and bits of a redirection entry's lower half */
	IOAPIC = 0xfec00000,
	IOAPIC_WINDOW = 0x10,
	IOAPIC_ENTRIES = 0x10,
	IOAPIC_PINS = 24,
	PIN_LEVEL = 1u << 15,
	PIN_MASKED = 1u << 16,
};

FAULT_TABLE("refirq");

static struct {
	enum fault_id fault;
	GMutex lock;
	struct entry entry[MAX_ENTRIES]; /* under lock */
	unsigned int entries;
	struct function function[MAX_FUNCTIONS]; /* under lock, as the rest up to `latched` */
	unsigned int functions;
	uint8_t status; /* last written, to any device */
	bool unclean;
	uint32_t ioapic_select;
	uint32_t pin[2 * IOAPIC_PINS]; /* redirection entries, lower and upper halves */
	int masked_pin;		       /* the last one that was masked; -1: it no longer is */
	bool latched;		       /* a cause was taken back meanwhile */
	uint64_t notifications;
	int64_t due_ns; /* of a late message; 0: none. Atomic */
} plugin;

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* As the device would: a write of the data to the address. */
static void send_message(const struct entry *e, uint32_t change)
{
	const uint64_t addr = (uint64_t)e->word[ADDR_HI] << 32 | e->word[ADDR_LO];
	const uint32_t data = e->word[DATA] + change;
	GByteArray *b;

	if (addr >> 20 != MSI_ADDRESS)
		return; /* not set up, or no table at all */
	b = g_byte_array_new();
	g_byte_array_append(b, (const guint8 *)&data, sizeof(data));
	if (qemu_plugin_write_memory_hwaddr(addr, b))
		qemu_plugin_outs("refirq: a message could not be sent\n");
	else
		fault_injected(plugin.fault);
	g_byte_array_unref(b);
}

/* A page that table and pending bits share has no name of its own. */
static bool is_table(const char *name)
{
	return strcmp(name, "msix-table") == 0 || strncmp(name, "anon", 4) == 0;
}

/* All entries that are masked (or not), as they stand. */
static void send_all(bool masked, uint32_t change)
{
	struct entry copy[MAX_ENTRIES];
	unsigned int i, n;

	g_mutex_lock(&plugin.lock);
	n = plugin.entries;
	memcpy(copy, plugin.entry, n * sizeof(copy[0]));
	g_mutex_unlock(&plugin.lock);
	for (i = 0; i < n; i++)
		if ((copy[i].word[CONTROL] & 1) == masked)
			send_message(&copy[i], change);
}

/* What the device itself has in its registers: QEMU's, past the callbacks. */
static void store(uint64_t phys, uint32_t value)
{
	GByteArray *b = g_byte_array_new();

	g_byte_array_append(b, (const guint8 *)&value, sizeof(value));
	if (qemu_plugin_write_memory_hwaddr(phys, b))
		qemu_plugin_outs("refirq: an entry could not be written\n");
	else
		fault_injected(plugin.fault);
	g_byte_array_unref(b);
}

static uint32_t load(uint64_t phys, unsigned int size)
{
	GByteArray *b = g_byte_array_new();
	uint32_t v = 0;

	if (qemu_plugin_read_memory_hwaddr(phys, b, size) == 0 && b->len >= size)
		memcpy(&v, b->data, size);
	g_byte_array_unref(b);
	return v;
}

/* --- what a function's messages go by ------------------------------------------------------------ */

/* Where BAR n is in memory (PCI 3.0, 6.2.5.1). */
static uint64_t bar(const struct function *f, unsigned int n)
{
	const uint32_t low = load(f->config + 0x10 + 4ull * n, 4);
	const uint64_t high = (low & 6) == 4 ? load(f->config + 0x14 + 4ull * n, 4) : 0;

	return high << 32 | (low & ~15u);
}

static struct function *function_at(uint64_t config)
{
	struct function *f;
	unsigned int i;
	uint32_t at;

	for (i = 0; i < plugin.functions; i++)
		if (plugin.function[i].config == config)
			return &plugin.function[i];
	if (plugin.functions == MAX_FUNCTIONS)
		return NULL;
	f = &plugin.function[plugin.functions++];
	f->config = config;
	at = load(config + 0x34, 1);
	for (i = 0; at && i < 48 && load(config + at, 1) != 0x11; i++)
		at = load(config + at + 1, 1);
	f->cap = i < 48 ? at : 0;
	return f;
}

/* To where the guest said, or to nobody. */
static void direct(const struct function *f, bool astray)
{
	unsigned int i;

	for (i = 0; i < plugin.entries; i++) {
		const struct entry *e = &plugin.entry[i];

		if (e->at >= f->table && e->at < f->end && e->word[ADDR_LO])
			store(e->at, astray ? NOBODY : e->word[ADDR_LO]);
	}
}

static void on_control(struct function *f, uint16_t value)
{
	const uint32_t where = load(f->config + f->cap + 4, 4);

	f->table = bar(f, where & 7) + (where & ~7u);
	f->end = f->table + 16ull * ((value & 0x7ff) + 1);
	if (value & ~f->control & MSIX_ENABLE)
		f->enables++;
	f->control = value;
	/* What is pending was sent by now, with the mask's end: to nobody. */
	if (plugin.fault == F_IRQ_FUNCTION_MASK_LOSES)
		direct(f, value & MSIX_FUNCTION_MASK);
	if (plugin.fault == F_IRQ_ENABLE_WEARS_OUT && f->enables > ENABLES)
		direct(f, true);
}

static void on_config(uint64_t at, uint32_t value, unsigned int size)
{
	struct function *f;

	if (plugin.fault != F_IRQ_FUNCTION_MASK_LOSES && plugin.fault != F_IRQ_ENABLE_WEARS_OUT)
		return;
	g_mutex_lock(&plugin.lock);
	f = function_at(at & ~0xfffull);
	if (f && f->cap && (at & 0xfff) == f->cap + 2 && size == 2)
		on_control(f, (uint16_t)value);
	g_mutex_unlock(&plugin.lock);
}

/* The guest wrote the lower half of an entry's address, which was `old`. */
static void on_address(struct entry *e, uint32_t old)
{
	e->rewrites++;
	if (plugin.fault == F_IRQ_OLD_CPU && old)
		store(e->at, old);
	if ((plugin.fault == F_IRQ_ROUTES_RUN_OUT && e->rewrites > ROUTES) ||
	    (plugin.fault == F_IRQ_UNCLEAN_STOP && plugin.unclean))
		store(e->at, NOBODY);
}

/* --- what the guest does -------------------------------------------------------------------------- */

static void on_table(uint64_t at, uint32_t value)
{
	const uint64_t start = at & ~15ull;
	unsigned int i;
	uint32_t old;

	g_mutex_lock(&plugin.lock);
	for (i = 0; i < plugin.entries && plugin.entry[i].at != start; i++)
		;
	if (i == plugin.entries && i < MAX_ENTRIES)
		plugin.entry[plugin.entries++] = (struct entry){ .at = start,
								 .word = { [CONTROL] = 1 } };
	if (i < MAX_ENTRIES) {
		old = plugin.entry[i].word[(at & 15) / 4];
		plugin.entry[i].word[(at & 15) / 4] = value;
		if ((at & 15) / 4 == ADDR_LO)
			on_address(&plugin.entry[i], old);
	}
	g_mutex_unlock(&plugin.lock);
}

/*
 * A level-triggered pin that is unmasked, after a cause was taken back while it was masked: an edge that was
 * kept. The true return: it interrupts, with what is in *e.
 */
static bool on_pin(unsigned int n, uint32_t value, struct entry *e)
{
	const uint32_t was = plugin.pin[n];
	bool sends;

	plugin.pin[n] = value;
	if (n % 2) /* the upper half */
		return false;
	if (value & ~was & PIN_MASKED) {
		plugin.masked_pin = (int)n;
		plugin.latched = false;
	}
	if (value & PIN_MASKED || plugin.masked_pin != (int)n)
		return false;
	sends = plugin.latched && value & PIN_LEVEL;
	plugin.masked_pin = -1;
	plugin.latched = false;
	e->word[ADDR_LO] = MSI_ADDRESS << 20 | plugin.pin[n + 1] >> 24 << 12;
	e->word[DATA] = value & 0xff;
	return sends;
}

static void on_ioapic(uint32_t at, uint32_t value)
{
	struct entry e = { 0 };
	bool sends = false;

	g_mutex_lock(&plugin.lock);
	if (at == 0)
		plugin.ioapic_select = value;
	else if (at == IOAPIC_WINDOW && plugin.ioapic_select >= IOAPIC_ENTRIES &&
		 plugin.ioapic_select < IOAPIC_ENTRIES + 2 * IOAPIC_PINS)
		sends = on_pin(plugin.ioapic_select - IOAPIC_ENTRIES, value, &e);
	g_mutex_unlock(&plugin.lock);
	if (sends)
		send_message(&e, 0);
}

/* ISR status: reading it takes the cause back (virtio 1.4, 4.1.4.5.1). */
static void on_load(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *userdata)
{
	struct qemu_plugin_hwaddr *h = qemu_plugin_get_hwaddr(info, vaddr);

	(void)cpu;
	(void)userdata;
	if (!h || !qemu_plugin_hwaddr_is_io(h) ||
	    strncmp(qemu_plugin_hwaddr_device_name(h), "virtio-pci-isr", 14) != 0 ||
	    !qemu_plugin_mem_get_value(info).data.u8)
		return;
	g_mutex_lock(&plugin.lock);
	plugin.latched = plugin.masked_pin >= 0;
	g_mutex_unlock(&plugin.lock);
}

static void on_notify(void)
{
	if (plugin.fault == F_IRQ_WHILE_MASKED)
		send_all(true, 0);
	if (plugin.fault == F_IRQ_WRONG_VECTOR &&
	    __atomic_add_fetch(&plugin.notifications, 1, __ATOMIC_RELAXED) % 8 == 0)
		send_all(false, 1);
}

static void on_status(uint8_t value)
{
	g_mutex_lock(&plugin.lock);
	/* A driver that stops without a reset: what virtio 1.4, 2.1.1 forbids, and FAILED. */
	plugin.unclean |= value && (plugin.status & ~value || value & STATUS_FAILED);
	plugin.status = value;
	g_mutex_unlock(&plugin.lock);
	if (plugin.fault == F_IRQ_AFTER_RESET)
		__atomic_store_n(&plugin.due_ns, value ? 0 : now_ns() + LATE_NS, __ATOMIC_RELAXED);
}

static void on_late(void)
{
	int64_t due = __atomic_load_n(&plugin.due_ns, __ATOMIC_RELAXED);

	if (due && now_ns() >= due &&
	    __atomic_compare_exchange_n(&plugin.due_ns, &due, 0, false, __ATOMIC_RELAXED,
					__ATOMIC_RELAXED))
		send_all(false, 0);
}

static void on_store(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *userdata)
{
	struct qemu_plugin_hwaddr *h = qemu_plugin_get_hwaddr(info, vaddr);
	const qemu_plugin_mem_value v = qemu_plugin_mem_get_value(info);
	const char *name;
	uint64_t at;

	(void)cpu;
	(void)userdata;
	on_late();
	if (!h || !qemu_plugin_hwaddr_is_io(h))
		return;
	name = qemu_plugin_hwaddr_device_name(h);
	at = qemu_plugin_hwaddr_phys_addr(h);
	if (v.type == QEMU_PLUGIN_MEM_VALUE_U32 && is_table(name))
		on_table(at, v.data.u32);
	else if (strncmp(name, "pcie-mmcfg-mmio", 15) == 0 && v.type <= QEMU_PLUGIN_MEM_VALUE_U32)
		on_config(at, v.data.u32, 1u << v.type);
	else if (at >> 12 == IOAPIC >> 12 && v.type == QEMU_PLUGIN_MEM_VALUE_U32)
		on_ioapic(at & 0xfff, v.data.u32);
	else if (strncmp(name, "virtio-pci-notify", 17) == 0)
		on_notify();
	else if (strncmp(name, "virtio-pci-common", 17) == 0 && (at & 0xff) == STATUS_OFFSET)
		on_status(v.data.u8);
}

static void on_block(struct qemu_plugin_tb *tb, void *userdata)
{
	const size_t n = qemu_plugin_tb_n_insns(tb);
	size_t i;

	(void)userdata;
	for (i = 0; i < n; i++) {
		qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(tb, i), on_store,
						 QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_W, NULL);
		if (plugin.fault == F_IRQ_LINE_LATCHED)
			qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(tb, i), on_load,
							 QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_R,
							 NULL);
	}
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

	if (!plugin_fits("refirq", info))
		return -1;
	one = plugin_one_fault(argc, argv);
	if (one < 0)
		return -1;
	plugin.fault = (enum fault_id)one;
	plugin.masked_pin = -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_block, NULL);
	qemu_plugin_register_atexit_cb(id, on_end, NULL);
	return 0;
}
