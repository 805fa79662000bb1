/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * refirq: an MSI-X front end that misbehaves, as a TCG plugin. A back end cannot break what QEMU does right
 * (its MSI-X table stands between), so faults of that part are made here: the plugin watches what the guest
 * writes to MSI-X tables, notification registers and device status, and sends a message of the guest's
 * own table at a moment when a correct front end would not.
 *
 * Arguments: fault=ID.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "host/refkvm/qemu_plugin.h"

#define MAX_ENTRIES   64
#define MSI_ADDRESS   0xfee	/* bits 20 and up (Intel SDM 3A, 11.11.1) */
#define STATUS_OFFSET 20	/* device_status of struct virtio_pci_common_cfg (4.1.4.3) */
#define LATE_NS	      2000000ll /* after the reset */

enum {
	ADDR_LO,
	ADDR_HI,
	DATA,
	CONTROL,
	WORDS
};

struct entry { /* of some MSI-X table, by its place in memory */
	uint64_t at;
	uint32_t word[WORDS];
};

enum fault {
	NONE,
	WHILE_MASKED,
	AFTER_RESET,
	WRONG_VECTOR,
	FAULTS
};

static const char *const fault_ids[FAULTS] = { "", "irq.while_masked", "irq.after_reset",
					       "irq.wrong_vector" };

static struct {
	enum fault fault;
	GMutex lock;
	struct entry entry[MAX_ENTRIES]; /* under lock */
	unsigned int entries;
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

static void on_table(uint64_t at, uint32_t value)
{
	const uint64_t start = at & ~15ull;
	unsigned int i;

	g_mutex_lock(&plugin.lock);
	for (i = 0; i < plugin.entries && plugin.entry[i].at != start; i++)
		;
	if (i == plugin.entries && i < MAX_ENTRIES)
		plugin.entry[plugin.entries++] = (struct entry){ .at = start,
								 .word = { [CONTROL] = 1 } };
	if (i < MAX_ENTRIES)
		plugin.entry[i].word[(at & 15) / 4] = value;
	g_mutex_unlock(&plugin.lock);
}

static void on_notify(void)
{
	if (plugin.fault == WHILE_MASKED)
		send_all(true, 0);
	if (plugin.fault == WRONG_VECTOR &&
	    __atomic_add_fetch(&plugin.notifications, 1, __ATOMIC_RELAXED) % 8 == 0)
		send_all(false, 1);
}

static void on_status(uint64_t value)
{
	if (plugin.fault == AFTER_RESET)
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
	for (i = 0; i < n; i++)
		qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(tb, i), on_store,
						 QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_W, NULL);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_API_LEVEL;

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
					   char **argv)
{
	int i, f;

	if (!info->system_emulation || info->version.cur < QEMU_PLUGIN_API_LEVEL) {
		fprintf(stderr, "refirq: a system emulator with plugin API %d is needed\n",
			QEMU_PLUGIN_API_LEVEL);
		return -1;
	}
	for (i = 0; i < argc; i++)
		for (f = 1; f < FAULTS; f++)
			if (strncmp(argv[i], "fault=", 6) == 0 &&
			    strcmp(argv[i] + 6, fault_ids[f]) == 0)
				plugin.fault = (enum fault)f;
	if (plugin.fault == NONE) {
		fprintf(stderr, "refirq: fault=%s, %s or %s\n", fault_ids[1], fault_ids[2],
			fault_ids[3]);
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_block, NULL);
	return 0;
}
