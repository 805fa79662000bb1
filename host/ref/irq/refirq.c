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
#include <string.h>

#include "host/ref/irq/fault_ids.h"
#include "host/ref/plugin/plugin.h"

#define MAX_ENTRIES   64
#define MSI_ADDRESS   0xfeeu /* bits 20 and up (Intel SDM 3A, 11.11.1) */
#define STATUS_FAILED 128
#define DRIVER_OK     4
#define STATUS_OFFSET 20	  /* device_status of struct virtio_pci_common_cfg (4.1.4.3) */
#define ENABLE_OFFSET 28	  /* queue_enable */
#define RESET_OFFSET  58	  /* queue_reset */
#define LATE_EACH     64	  /* waits (PAUSE, RDTSC) between messages after a reset */
#define NOBODY	      0xfeefe000u /* an MSI address: APIC 254, which no machine here has */
#define MAX_FUNCTIONS 64
#define ENABLES	      20 /* that MSI-X lives through */
#define ROUTES	      8	 /* that a VMM has for the addresses of an entry, and does not give back */
#define MASKINGS      64 /* of an entry, that a VMM lives through */
#define DESTINATION   0xff000u /* of a message: bits of its address (Intel SDM 3A, 11.11.1) */

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
	unsigned int rewrites, maskings;
	bool lost; /* what is pending goes to nobody */
};

struct function { /* of PCI, by its configuration space */
	uint64_t config;
	uint64_t table, end; /* of its MSI-X entries */
	uint64_t pending;    /* its pending bits */
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
	uint32_t level_pins;	       /* those that the guest made level-triggered */
	bool unread;		       /* a device was notified, and no ISR was read since */
	bool held;		       /* a line is still asserted, by a device that was reset */
	/* Atomic. */
	uint64_t notifications;
	uint64_t waits; /* since a device was reset, and not yet started again */
	bool was_reset;
} irq;

/* As the device would: a write of the data to the address. */
static void send_message(const struct entry *e, uint32_t change)
{
	const uint64_t addr = (uint64_t)e->word[ADDR_HI] << 32 | e->word[ADDR_LO];

	if (addr >> 20 == MSI_ADDRESS) /* set up, and a table at all */
		plugin_inject(addr, e->word[DATA] + change, 4);
}

/* QEMU gives the page that table and pending bits share no name. */
static bool is_table(const char *name)
{
	return strcmp(name, "msix-table") == 0 || strncmp(name, "anon", 4) == 0;
}

/* Sends the message of each entry that is masked (or of each that is not). */
static void send_all(bool masked, uint32_t change)
{
	struct entry copy[MAX_ENTRIES];
	unsigned int i, n;

	g_mutex_lock(&irq.lock);
	n = irq.entries;
	memcpy(copy, irq.entry, n * sizeof(copy[0]));
	g_mutex_unlock(&irq.lock);
	for (i = 0; i < n; i++)
		if ((copy[i].word[CONTROL] & 1) == masked)
			send_message(&copy[i], change);
}

/* --- what a function's messages go by ------------------------------------------------------------ */

/* Where BAR n is in memory (PCI 3.0, 6.2.5.1). */
static uint64_t bar(const struct function *f, unsigned int n)
{
	const uint32_t low = (uint32_t)plugin_load(f->config + 0x10 + 4ull * n, 4);
	const uint64_t high = (low & 6) == 4 ? plugin_load(f->config + 0x14 + 4ull * n, 4) : 0;

	return high << 32 | (low & ~15u);
}

static struct function *function_at(uint64_t config)
{
	struct function *f;
	unsigned int i;
	uint32_t at;

	for (i = 0; i < irq.functions; i++)
		if (irq.function[i].config == config)
			return &irq.function[i];
	if (irq.functions == MAX_FUNCTIONS)
		return NULL;
	f = &irq.function[irq.functions++];
	f->config = config;
	at = (uint32_t)plugin_load(config + 0x34, 1);
	for (i = 0; at && i < 48 && plugin_load(config + at, 1) != 0x11; i++)
		at = (uint32_t)plugin_load(config + at + 1, 1);
	f->cap = i < 48 ? at : 0;
	return f;
}

/* The messages of a function go to nobody, or where the guest said. */
static void direct(const struct function *f, bool astray)
{
	unsigned int i;

	for (i = 0; i < irq.entries; i++) {
		const struct entry *e = &irq.entry[i];

		if (e->at < f->table || e->at >= f->end || !e->word[ADDR_LO])
			continue;
		if (astray)
			plugin_inject(e->at, NOBODY, 4);
		else
			plugin_write(e->at, &e->word[ADDR_LO], 4);
	}
}

/* The function that has the entry, as far as its Message Control was written. */
static struct function *function_of(const struct entry *e)
{
	unsigned int i;

	for (i = 0; i < irq.functions; i++)
		if (e->at >= irq.function[i].table && e->at < irq.function[i].end)
			return &irq.function[i];
	return NULL;
}

static bool is_pending(const struct function *f, const struct entry *e)
{
	const uint64_t n = (e->at - f->table) / 16;

	return plugin_load(f->pending + n / 64 * 8, 8) >> n % 64 & 1;
}

/* Sends the message of each entry that is set up: those that are pending and masked, or those that are not masked. */
static void send_of(const struct function *f, bool pending)
{
	unsigned int i;

	for (i = 0; i < irq.entries; i++) {
		const struct entry *e = &irq.entry[i];

		if (e->at >= f->table && e->at < f->end && (e->word[CONTROL] & 1) == pending &&
		    (!pending || is_pending(f, e)))
			send_message(e, 0);
	}
}

/* A word of each entry that was set up becomes 0. */
static void change_table(const struct function *f, unsigned int word)
{
	unsigned int i;

	for (i = 0; i < irq.entries; i++) {
		struct entry *e = &irq.entry[i];

		if (e->at < f->table || e->at >= f->end || !e->word[word])
			continue;
		plugin_inject(e->at + 4ull * word, 0, 4);
		e->word[word] = 0;
	}
}

static void lose(struct entry *e)
{
	e->lost = true;
	plugin_inject(e->at, NOBODY, 4);
}

/* What is pending of entries that are masked each for itself is forgotten. */
static void lose_pending(const struct function *f)
{
	unsigned int i;

	for (i = 0; i < irq.entries; i++) {
		struct entry *e = &irq.entry[i];

		if (e->at >= f->table && e->at < f->end && e->word[ADDR_LO] &&
		    e->word[CONTROL] & 1 && is_pending(f, e))
			lose(e);
	}
}

/* The entry behind e in its table, if it is masked and pending, sends its message. */
static void send_neighbour(const struct function *f, const struct entry *e)
{
	unsigned int i;

	for (i = 0; i < irq.entries; i++) {
		const struct entry *n = &irq.entry[i];

		if (n->at == e->at + 16 && n->at < f->end && n->word[CONTROL] & 1 &&
		    is_pending(f, n))
			send_message(n, 0);
	}
}

/* Message Control gets `value`: faults from outside. */
static void on_control_outside(const struct function *f, uint16_t value)
{
	if (irq.fault == F_OUTSIDE_IR_FUNCTION_UNMASK_SENDS_MASKED &&
	    f->control & ~value & MSIX_FUNCTION_MASK)
		send_of(f, true);
	if (irq.fault == F_OUTSIDE2_IR_FUNCTION_UNMASK_UNMASKS &&
	    f->control & ~value & MSIX_FUNCTION_MASK)
		change_table(f, CONTROL);
	if (irq.fault == F_OUTSIDE2_IR_DISABLE_CLEARS && f->control & ~value & MSIX_ENABLE) {
		change_table(f, ADDR_LO);
		change_table(f, DATA);
	}
	if (irq.fault == F_OUTSIDE3_FR_FUNCTION_MASK_DROPS_PENDING &&
	    value & ~f->control & MSIX_FUNCTION_MASK)
		lose_pending(f);
	if (irq.fault == F_OUTSIDE_IR_ENABLE_SENDS && value & ~f->control & MSIX_ENABLE)
		send_of(f, false);
}

static void on_control(struct function *f, uint16_t value)
{
	const uint32_t where = (uint32_t)plugin_load(f->config + f->cap + 4, 4);
	const uint32_t pending = (uint32_t)plugin_load(f->config + f->cap + 8, 4);

	f->table = bar(f, where & 7) + (where & ~7u);
	f->end = f->table + 16ull * ((value & 0x7ff) + 1);
	f->pending = bar(f, pending & 7) + (pending & ~7u);
	on_control_outside(f, value);
	if (value & ~f->control & MSIX_ENABLE)
		f->enables++;
	f->control = value;
	/* QEMU sends what is pending when the mask is lifted, before the entries have their addresses again. */
	if (irq.fault == F_IRQ_FUNCTION_MASK_LOSES)
		direct(f, value & MSIX_FUNCTION_MASK);
	if (irq.fault == F_IRQ_ENABLE_WEARS_OUT && f->enables > ENABLES)
		direct(f, true);
}

static void on_config(uint64_t at, uint32_t value, unsigned int size)
{
	struct function *f;

	g_mutex_lock(&irq.lock);
	f = function_at(at & ~0xfffull);
	if (f && f->cap && (at & 0xfff) == f->cap + 2 && size == 2)
		on_control(f, (uint16_t)value);
	g_mutex_unlock(&irq.lock);
}

/* The guest wrote the lower half of an entry's address, which was `old`. */
static void on_address(struct entry *e, uint32_t old)
{
	e->rewrites++;
	if (irq.fault == F_IRQ_OLD_CPU && old && old != e->word[ADDR_LO])
		plugin_inject(e->at, old, 4);
	if ((irq.fault == F_IRQ_ROUTES_RUN_OUT && e->rewrites > ROUTES) ||
	    (irq.fault == F_IRQ_UNCLEAN_STOP && irq.unclean))
		plugin_inject(e->at, NOBODY, 4);
}

/* The guest wrote an entry's mask, which was `old`: faults from outside. */
static void on_mask(struct entry *e, uint32_t old)
{
	const struct function *f = function_of(e);
	const bool masked = e->word[CONTROL] & 1, was = old & 1;

	if (!f || !e->word[ADDR_LO])
		return;
	e->maskings += masked && !was;
	if (irq.fault == F_OUTSIDE_IR_MASKS_RUN_OUT && e->maskings > MASKINGS)
		plugin_inject(e->at, NOBODY, 4);
	if (irq.fault == F_OUTSIDE_IR_MASK_AGAIN_LOSES && masked && was && is_pending(f, e))
		lose(e);
	if (!masked && e->lost) { /* QEMU has sent what was pending */
		e->lost = false;
		plugin_write(e->at, &e->word[ADDR_LO], 4);
	}
	if (masked || !was)
		return;
	if (irq.fault == F_OUTSIDE3_FR_UNMASK_NEIGHBOUR && f->control & MSIX_ENABLE)
		send_neighbour(f, e);
	if (irq.fault == F_OUTSIDE_IR_UNMASK_SENDS && f->control & MSIX_ENABLE)
		send_message(e, 0);
	if (irq.fault == F_OUTSIDE_IR_ENTRY_UNMASK_SENDS && f->control & MSIX_FUNCTION_MASK &&
	    is_pending(f, e))
		send_message(e, 0);
}

/* The guest wrote another word of an entry, which was `old`: faults from outside. */
static void on_message(struct entry *e, unsigned int word, uint32_t old)
{
	const struct function *f = function_of(e);
	const uint32_t value = e->word[word];

	if (irq.fault == F_OUTSIDE_IR_FUNCTION_MASK_OLD_ROUTE && f &&
	    f->control & MSIX_FUNCTION_MASK && old && old != value)
		plugin_inject(e->at + 4ull * word, old, 4);
	if (irq.fault == F_OUTSIDE2_IR_MASKED_DATA_OLD && word == DATA && e->word[CONTROL] & 1 &&
	    old && old != value) {
		plugin_inject(e->at + 4ull * word, old, 4);
		e->word[word] = old;
	}
	if (irq.fault == F_OUTSIDE_IR_ALL_TO_CPU0 && word == ADDR_LO && value & DESTINATION &&
	    value >> 20 == MSI_ADDRESS)
		plugin_inject(e->at, value & ~DESTINATION, 4);
}

/* --- what the guest does -------------------------------------------------------------------------- */

static void on_table(uint64_t at, uint32_t value)
{
	const uint64_t start = at & ~15ull;
	unsigned int i;
	uint32_t old;

	g_mutex_lock(&irq.lock);
	for (i = 0; i < irq.entries && irq.entry[i].at != start; i++)
		;
	if (i == irq.entries && i < MAX_ENTRIES)
		irq.entry[irq.entries++] = (struct entry){ .at = start, .word = { [CONTROL] = 1 } };
	if (i < MAX_ENTRIES) {
		old = irq.entry[i].word[(at & 15) / 4];
		irq.entry[i].word[(at & 15) / 4] = value;
		if ((at & 15) / 4 == ADDR_LO)
			on_address(&irq.entry[i], old);
		if ((at & 15) / 4 == CONTROL)
			on_mask(&irq.entry[i], old);
		else
			on_message(&irq.entry[i], (at & 15) / 4, old);
	}
	g_mutex_unlock(&irq.lock);
}

/* The guest writes half of a redirection entry: faults from outside. */
static void on_pin_outside(unsigned int n, uint32_t value)
{
	const uint32_t bit = 1u << n / 2;

	if (irq.fault == F_OUTSIDE_IR_LINE_CPU0 && n % 2 && value >> 24)
		plugin_inject(IOAPIC + (uint64_t)IOAPIC_WINDOW, value & 0xffffff, 4);
	if (n % 2)
		return;
	if (value & PIN_LEVEL)
		irq.level_pins |= bit;
	if (irq.fault == F_OUTSIDE_IR_LINE_EDGE && value & PIN_LEVEL)
		plugin_inject(IOAPIC + (uint64_t)IOAPIC_WINDOW, value & ~(uint32_t)PIN_LEVEL, 4);
	/* QEMU forgets the edges of a masked pin: one that is edge-triggered while it is masked loses them. */
	if (irq.fault == F_OUTSIDE_IR_LINE_MASKED_LOST && irq.level_pins & bit)
		plugin_inject(IOAPIC + (uint64_t)IOAPIC_WINDOW,
			      value & PIN_MASKED ? value & ~(uint32_t)PIN_LEVEL : value | PIN_LEVEL,
			      4);
}

/*
 * The guest writes half of a redirection entry. True where the fault interrupts, with the message in *e: a level-triggered
 * pin is unmasked, and its cause was taken back while it was masked.
 */
static bool on_pin(unsigned int n, uint32_t value, struct entry *e)
{
	const uint32_t was = irq.pin[n];
	bool sends;

	irq.pin[n] = value;
	on_pin_outside(n, value);
	if (n % 2) /* the upper half */
		return false;
	if (value & ~was & PIN_MASKED) {
		irq.masked_pin = (int)n;
		irq.latched = false;
	}
	if (value & PIN_MASKED || irq.masked_pin != (int)n)
		return false;
	sends = (irq.latched || irq.held) && value & PIN_LEVEL;
	irq.masked_pin = -1;
	irq.latched = false;
	e->word[ADDR_LO] = MSI_ADDRESS << 20 | irq.pin[n + 1] >> 24 << 12;
	e->word[DATA] = value & 0xff;
	return sends;
}

static void on_ioapic(uint32_t at, uint32_t value)
{
	struct entry e = { 0 };
	bool sends = false;

	g_mutex_lock(&irq.lock);
	if (at == 0)
		irq.ioapic_select = value;
	else if (at == IOAPIC_WINDOW && irq.ioapic_select >= IOAPIC_ENTRIES &&
		 irq.ioapic_select < IOAPIC_ENTRIES + 2 * IOAPIC_PINS)
		sends = on_pin(irq.ioapic_select - IOAPIC_ENTRIES, value, &e);
	g_mutex_unlock(&irq.lock);
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
	    strncmp(qemu_plugin_hwaddr_device_name(h), "virtio-pci-isr", 14) != 0)
		return;
	g_mutex_lock(&irq.lock);
	irq.unread = irq.held = false;
	if (irq.fault == F_IRQ_LINE_LATCHED && qemu_plugin_mem_get_value(info).data.u8)
		irq.latched = irq.masked_pin >= 0;
	g_mutex_unlock(&irq.lock);
}

/* Of functions whose MSI-X was enabled once, and is not now. */
static void send_disabled(void)
{
	unsigned int i;

	for (i = 0; i < irq.functions; i++)
		if (irq.function[i].enables && !(irq.function[i].control & MSIX_ENABLE))
			send_of(&irq.function[i], false);
}

static void on_notify(void)
{
	g_mutex_lock(&irq.lock);
	irq.unread = true;
	if (irq.fault == F_OUTSIDE_IR_DISABLED_SENDS)
		send_disabled();
	g_mutex_unlock(&irq.lock);
	if (irq.fault == F_IRQ_WHILE_MASKED)
		send_all(true, 0);
	if (irq.fault == F_IRQ_WRONG_VECTOR &&
	    __atomic_add_fetch(&irq.notifications, 1, __ATOMIC_RELAXED) % 8 == 0)
		send_all(false, 1);
}

static void on_status(uint8_t value)
{
	g_mutex_lock(&irq.lock);
	/* The driver clears a bit without a reset, which virtio 1.4, 2.1.1 forbids, or sets FAILED. */
	irq.unclean |= value && (irq.status & ~value || value & STATUS_FAILED);
	irq.status = value;
	if (!value && irq.fault == F_OUTSIDE_IR_LINE_AFTER_RESET)
		irq.held |= irq.unread;
	g_mutex_unlock(&irq.lock);
	__atomic_store_n(&irq.was_reset, !value && irq.fault == F_IRQ_AFTER_RESET,
			 __ATOMIC_RELAXED);
}

/* queue_enable and queue_reset: faults from outside. */
static void on_queue(uint64_t at, uint16_t value)
{
	if (irq.fault == F_OUTSIDE_IR_AFTER_QUEUE_RESET)
		__atomic_store_n(&irq.was_reset, at == RESET_OFFSET && value, __ATOMIC_RELAXED);
	if (irq.fault == F_OUTSIDE_IR_AT_QUEUE_ENABLE && at == ENABLE_OFFSET && value &&
	    !(irq.status & DRIVER_OK))
		send_all(false, 0);
}

/* The guest waits after a reset: messages come again and again, so that the moment does not matter. */
static void on_wait(unsigned int cpu, void *userdata)
{
	(void)cpu;
	(void)userdata;
	if (__atomic_load_n(&irq.was_reset, __ATOMIC_RELAXED) &&
	    __atomic_add_fetch(&irq.waits, 1, __ATOMIC_RELAXED) % LATE_EACH == 0)
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
	else if (strncmp(name, "virtio-pci-common", 17) == 0 &&
		 ((at & 0xff) == ENABLE_OFFSET || (at & 0xff) == RESET_OFFSET))
		on_queue(at & 0xff, v.data.u16);
}

static void instrument(struct qemu_plugin_insn *insn, size_t index)
{
	(void)index;
	qemu_plugin_register_vcpu_mem_cb(insn, on_store, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_W,
					 NULL);
	if (irq.fault == F_IRQ_LINE_LATCHED || irq.fault == F_OUTSIDE_IR_LINE_AFTER_RESET)
		qemu_plugin_register_vcpu_mem_cb(insn, on_load, QEMU_PLUGIN_CB_NO_REGS,
						 QEMU_PLUGIN_MEM_R, NULL);
	if ((irq.fault == F_IRQ_AFTER_RESET || irq.fault == F_OUTSIDE_IR_AFTER_QUEUE_RESET) &&
	    plugin_is_wait(insn))
		qemu_plugin_register_vcpu_insn_exec_cb(insn, on_wait, QEMU_PLUGIN_CB_NO_REGS, NULL);
}

static int start(void)
{
	irq.fault = (enum fault_id)plugin_fault();
	irq.masked_pin = -1;
	return 0;
}

static const struct plugin refirq = {
	.one_fault = true,
	.start = start,
	.instrument = instrument,
};
PLUGIN(refirq)
