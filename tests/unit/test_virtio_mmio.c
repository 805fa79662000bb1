/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mmio.c: where it looks for devices (command line, AML), which it drives, and registers that make no sense. Each
 * number comes from the host, so that each check has a case here that it alone catches.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Its list of devices is private; each test starts anew. */
#include "drivers/virtio/virtio.c" /* NOLINT(bugprone-suspicious-include) */

#include "drivers/virtio/mmio.h"
#include "lib/acpi.h"
#include "tests/unit/probed.h"

#define BASE	   0xfeb00000ull
#define SIZE	   0x200u
#define V1	   VIRTIO_BIT(VIRTIO_F_VERSION_1)
#define DESC	   0x1122334455667788ull
#define DRIVER	   0x99aabbccddeeff00ull
#define DEVICE	   0x0123456789abcdefull
#define MAX_QUEUE  9
#define LATE_RESET 5 /* loads of QueueReset until it reads 0 */

/* --- a device behind the window of BASE --------------------------------------------------------- */

static struct {
	uint32_t sel, device_sel, driver_sel;
	uint64_t offered, accepted;
	uint32_t status, interrupt;
	bool line_stuck;
	uint32_t max[MAX_QUEUE], ready[MAX_QUEUE];
	unsigned int resetting;
} regs;
static struct fake_window *window;

static uint64_t load(uint32_t off, unsigned int size)
{
	const uint32_t q = regs.sel < MAX_QUEUE ? regs.sel : MAX_QUEUE - 1;

	if (off >= VIRTIO_MMIO_CONFIG)
		return fake_window_get(window, off, size);
	assert_int_equal(size, 4); /* 4.2.2.2 */
	switch (off) {
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return regs.device_sel > 1 ? 0 : (uint32_t)(regs.offered >> 32 * regs.device_sel);
	case VIRTIO_MMIO_QUEUE_SIZE_MAX:
		return regs.max[q];
	case VIRTIO_MMIO_QUEUE_READY:
		return regs.ready[q];
	case VIRTIO_MMIO_QUEUE_RESET:
		return regs.resetting ? regs.resetting-- > 0 : 0;
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		return regs.interrupt;
	case VIRTIO_MMIO_STATUS:
		return regs.status;
	default:
		return fake_window_get(window, off, size);
	}
}

static void store(uint32_t off, unsigned int size, uint64_t v)
{
	const uint32_t q = regs.sel < MAX_QUEUE ? regs.sel : MAX_QUEUE - 1;

	switch (off) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		regs.device_sel = (uint32_t)v;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		regs.driver_sel = (uint32_t)v;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		assert_in_range(regs.driver_sel, 0, 1);
		regs.accepted &= regs.driver_sel ? UINT32_MAX : ~(uint64_t)UINT32_MAX;
		regs.accepted |= v << 32 * regs.driver_sel;
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		regs.sel = (uint32_t)v;
		break;
	case VIRTIO_MMIO_QUEUE_READY:
		regs.ready[q] = (uint32_t)v;
		break;
	case VIRTIO_MMIO_QUEUE_RESET:
		regs.ready[q] = 0;
		regs.resetting = LATE_RESET;
		break;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		if (!regs.line_stuck)
			regs.interrupt &= ~(uint32_t)v;
		break;
	case VIRTIO_MMIO_STATUS:
		regs.status = (uint32_t)v;
		if (v == 0)
			memset(regs.ready, 0, sizeof(regs.ready));
		break;
	default:
		fake_window_set(window, off, size, v);
	}
}

/* --- lib/ without a machine ------------------------------------------------------------------------ */

static const char *option[4];

const char *cmdline_get_nth(const char *key, unsigned int n)
{
	assert_string_equal(key, "virtio_mmio.device");
	return n < 4 ? option[n] : NULL;
}

static struct {
	const char *signature;
	uint8_t *bytes; /* as many as it has, so that ASan sees each that is read behind them */
} table[3];

const struct acpi_header *acpi_table(const char signature[4], unsigned int n)
{
	unsigned int i;

	for (i = 0; i < 3; i++)
		if (table[i].signature && memcmp(table[i].signature, signature, 4) == 0 && n-- == 0)
			return (const struct acpi_header *)table[i].bytes;
	return NULL;
}

/* --- words ------------------------------------------------------------------------------------------ */

static int end(void **state)
{
	unsigned int i;

	(void)state;
	remove_devices();
	for (i = 0; i < 3; i++)
		free(table[i].bytes);
	memset(table, 0, sizeof(table));
	return 0;
}

static int fresh(void **state)
{
	unsigned int i;

	end(state);
	fake_windows_clear();
	fake_irq_clear();
	memset(&regs, 0, sizeof(regs));
	memset(option, 0, sizeof(option));
	window = fake_window_add(BASE, SIZE);
	window->load = load;
	window->store = store;
	fake_window_set(window, VIRTIO_MMIO_MAGIC_VALUE, 4, VIRTIO_MMIO_MAGIC);
	fake_window_set(window, VIRTIO_MMIO_VERSION, 4, 2);
	fake_window_set(window, VIRTIO_MMIO_DEVICE_ID, 4, VIRTIO_ID_RNG);
	regs.offered = V1;
	regs.max[0] = regs.max[1] = 64;
	for (i = VIRTIO_MMIO_CONFIG; i < SIZE; i++)
		fake_window_set(window, i, 1, i);
	return 0;
}

/* The device that one option leads to. */
static struct virtio_device *found(const char *text)
{
	option[0] = text;
	probe_devices();
	assert_int_equal(virtio.count, 1);
	assert_int_equal(virtio.refusals, 0);
	(void)fake_window_stores();
	return virtio_get(0);
}

static struct virtio_device *device(void)
{
	return found("0x200@0xfeb00000:5");
}

static struct virtio_device *negotiated(uint64_t features)
{
	struct virtio_device *d = device();

	regs.offered |= features;
	assert_int_equal(virtio_negotiate(d, features), 0);
	(void)fake_window_stores();
	return d;
}

/* Nothing is driven, and this is why. */
static void refused(enum virtio_refusal_kind kind, const char *why)
{
	probe_devices();
	assert_int_equal(virtio.count, 0);
	assert_int_equal(virtio.refusals, 1);
	assert_int_equal(virtio_refused(0)->kind, kind);
	assert_non_null(strstr(virtio_refused(0)->reason, why));
}

/* --- the command line --------------------------------------------------------------------------------- */

static void from_cmdline(void **state)
{
	struct virtio_device *d = device();
	const struct virtio_mmio *m = virtio_mmio(d);

	(void)state;
	assert_string_equal(d->name, "mmio 0xfeb00000");
	assert_string_equal(d->irq_info, "GSI 5");
	assert_string_equal(d->ops->name, "mmio");
	assert_int_equal(d->id, VIRTIO_ID_RNG);
	assert_int_equal(d->dev.bus, DEVICE_MMIO);
	assert_int_equal(m->base, BASE);
	assert_int_equal(m->gsi, 5);
	assert_false(m->level || m->active_low);
	assert_int_equal(fake_window_mapped, BASE);
	assert_int_equal(fake_window_mapped_size, SIZE);
	assert_int_equal(d->ops->config_len(d), 0x100);
	assert_int_equal(d->max_queues, 2);
	assert_false(d->more_queues);
}

/* The same slot twice is one device; one that does not reset is judged once, and stays known. */
static void slots_twice(void **state)
{
	(void)state;
	option[0] = option[1] = "0x200@0xfeb00000:5";
	probe_devices();
	assert_int_equal(virtio.count, 1);
	probe_devices();
	assert_int_equal(virtio.count, 1);
	assert_int_equal(virtio.refusals, 0);
	virtio.dev[0]->ops->remove(virtio.dev[0]);
	memset(&virtio, 0, sizeof(virtio));
	fake_window_lie(window, VIRTIO_MMIO_STATUS, 0, 1);
	refused(VIRTIO_REFUSED_RESET, "device status still reads 0x01");
	assert_string_equal(virtio_refused(0)->name, "mmio 0xfeb00000");
	assert_ptr_equal(virtio_mmio(virtio_refused(0)->dev)->regs, window->mem);
	option[2] = "zero";
	probe_devices();
	assert_int_equal(virtio.refusals, 2); /* of the text, not of the slot */
}

/* A device of another transport at the same place is another device. */
static void other_transports(void **state)
{
	static struct fake_device other;

	(void)state;
	fake_init(&other, VIRTIO_ID_RNG, V1, 1, true);
	assert_null(virtio_mmio(&other.vdev));
	virtio_refuse("fake", VIRTIO_REFUSED_LAYOUT, &other.vdev, "not on MMIO");
	virtio_refuse("fake", VIRTIO_REFUSED_LAYOUT, NULL, "nothing");
	option[0] = "0x200@0xfeb00000:5";
	probe_devices();
	assert_int_equal(virtio.count, 2);
	assert_int_equal(virtio_mmio(virtio_get(1))->base, BASE);
}

static void texts(void **state)
{
	static const struct {
		const char *text;
		uint64_t size;
		uint32_t gsi;
	} good[] = {
		{ "512@0xfeb00000:5", 512, 5 },
		{ "1k@0xfeb00000:0x17:3", 1024, 23 },
		{ "4K@4272947200:7:", 4096, 7 },
		{ "1M@0xfeb00000:0", FAKE_WINDOW_MAX, 0 },
		{ "1g@0xfeb00000:9", FAKE_WINDOW_MAX, 9 },
		{ "0xffff@0xfeb00000:9", 0xffff, 9 },
		{ "0x10001@0xfeb00000:9", FAKE_WINDOW_MAX, 9 },
	};
	static const char *const bad[] = { "",
					   "512",
					   "@0xfeb00000:5",
					   "512:0xfeb00000:5",
					   "512@:5",
					   "512@0xfeb00000",
					   "512@0xfeb00000@5",
					   "512@0xfeb00000:",
					   "512@0xfeb00000:x",
					   "512@0xfeb00000:5@1",
					   "512kk@0xfeb00000:5",
					   "512t@0xfeb00000:5",
					   "512j@0xfeb00000:5" };
	char text[160];
	unsigned int i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		fresh(state);
		window->size = FAKE_WINDOW_MAX;
		found(good[i].text);
		assert_int_equal(virtio_mmio(virtio_get(0))->size, good[i].size);
		assert_int_equal(virtio_mmio(virtio_get(0))->gsi, good[i].gsi);
		assert_int_equal(fake_window_mapped_size, good[i].size);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fresh(state);
		option[0] = bad[i];
		snprintf(text, sizeof(text), "\"%.40s\" is not SIZE@BASE:IRQ[:ID]", bad[i]);
		refused(VIRTIO_REFUSED_LAYOUT, text);
		assert_string_equal(virtio_refused(0)->name, "virtio_mmio.device=");
	}
	fresh(state); /* what is wrong does not keep the others away */
	option[0] = "x";
	option[1] = "512@0xfeb00000:5";
	probe_devices();
	assert_int_equal(virtio.count, 1);
	assert_int_equal(virtio.refusals, 1);
}

/* A slot must have room for registers, be aligned, and not wrap around. */
static void windows_without_sense(void **state)
{
	static const char *const bad[] = { "256@0xfeb00000:5", "0@0xfeb00000:5", "512@0xfeb00002:5",
					   "512@0xffffffffffffff00:5" };
	unsigned int i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fresh(state);
		option[0] = bad[i];
		refused(VIRTIO_REFUSED_LAYOUT, i == 0 ? "a window of 256 bytes" : "a window of");
		assert_null(virtio_refused(0)->dev);
	}
	fresh(state);
	window->size = 0x104; /* the least that there is: one word of configuration */
	found("260@0xfeb00000:5");
	assert_int_equal(virtio_get(0)->ops->config_len(virtio_get(0)), 4);
	fresh(state);
	window->size = 0x104;
	found("257@0xfeb00000:5");
	assert_int_equal(virtio_get(0)->ops->config_len(virtio_get(0)), 1);
	fresh(state);
	option[0] = "512@0xfeb00000:5";
	window->unmappable = true;
	refused(VIRTIO_REFUSED_LAYOUT, "the window cannot be mapped");
	fresh(state); /* four bytes are alignment enough */
	option[0] = "512@0xfeb10008:5";
	refused(VIRTIO_REFUSED_LAYOUT, "the window cannot be mapped");
}

/* 4.2.3.1.1: magic value, version, DeviceID; an empty slot is no fault, and none is written to. */
static void identity(void **state)
{
	static const struct {
		uint32_t magic, version, id;
		enum virtio_refusal_kind kind;
		const char *why; /* NULL: not a word */
	} bad[] = {
		{ 0x74726977, 2, 4, VIRTIO_REFUSED_LAYOUT, "the magic value reads 0x74726977" },
		{ 0xffffffff, 0xffffffff, 0xffffffff, VIRTIO_REFUSED_LAYOUT,
		  "the magic value reads 0xffffffff" },
		{ VIRTIO_MMIO_MAGIC, 2, 0, 0, NULL },
		{ VIRTIO_MMIO_MAGIC, 1, 0, 0, NULL },
		{ VIRTIO_MMIO_MAGIC, 1, 19, VIRTIO_REFUSED_LEGACY,
		  "vsock, version 1: legacy only" },
		{ VIRTIO_MMIO_MAGIC, 3, 4, VIRTIO_REFUSED_LAYOUT, "rng, version 3: unknown" },
		{ VIRTIO_MMIO_MAGIC, 0, 4, VIRTIO_REFUSED_LAYOUT, "rng, version 0: unknown" },
	};
	unsigned int i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fresh(state);
		option[0] = "0x200@0xfeb00000:5";
		fake_window_set(window, VIRTIO_MMIO_MAGIC_VALUE, 4, bad[i].magic);
		fake_window_set(window, VIRTIO_MMIO_VERSION, 4, bad[i].version);
		fake_window_set(window, VIRTIO_MMIO_DEVICE_ID, 4, bad[i].id);
		if (bad[i].why)
			refused(bad[i].kind, bad[i].why);
		else
			probe_devices();
		assert_int_equal(virtio.count, 0);
		assert_int_equal(virtio.refusals, bad[i].why != NULL);
		assert_string_equal(fake_window_stores(), "");
		/* Behind a wrong magic value nothing is read. */
		if (bad[i].magic != VIRTIO_MMIO_MAGIC)
			assert_int_equal(fake_window_loads(window, VIRTIO_MMIO_VERSION), 0);
	}
}

static void no_memory(void **state)
{
	(void)state;
	option[0] = "0x200@0xfeb00000:5";
	fake_fail = 1;
	refused(VIRTIO_REFUSED_RESOURCE, "no memory");
	assert_string_equal(virtio_refused(0)->name, "mmio 0xfeb00000");
	assert_int_equal(fake_fail, 0);
}

/* --- AML -------------------------------------------------------------------------------------------------- */

#define MEMORY32 0x86, 9, 0, 1, 0, 0, 0xb0, 0xfe, 0, 2, 0, 0
#define IRQ(how) 0x89, 6, 0, how, 1, 11, 0, 0, 0
#define HID	 'L', 'N', 'R', 'O', '0', '0', '0', '5', 0

/* A table of these bytes. */
static void aml(unsigned int i, const char *signature, const uint8_t *bytes, size_t n)
{
	struct acpi_header h = { .length = (uint32_t)(sizeof(h) + n) };

	table[i].signature = signature;
	table[i].bytes = malloc(sizeof(h) + n);
	assert_non_null(table[i].bytes);
	memcpy(table[i].bytes, &h, sizeof(h));
	memcpy(table[i].bytes + sizeof(h), bytes, n);
}
#define AML(i, signature, ...)                                                                     \
	do {                                                                                       \
		static const uint8_t bytes_[] = { __VA_ARGS__ };                                   \
		aml(i, signature, bytes_, sizeof(bytes_));                                         \
	} while (0)

static void from_aml(void **state)
{
	const struct virtio_mmio *m;

	(void)state;
	AML(0, "DSDT", 0x10, 0x5b, 0x82, 32, HID, MEMORY32, IRQ(4), 0xaa, 0);
	probe_devices();
	assert_int_equal(virtio.count, 1);
	m = virtio_mmio(virtio_get(0));
	assert_int_equal(m->base, BASE);
	assert_int_equal(m->size, SIZE);
	assert_int_equal(m->gsi, 11);
	assert_true(m->level);
	assert_true(m->active_low);
	fresh(state);
	AML(0, "DSDT", 0); /* edge and active high, in the second SSDT; the length has two bytes */
	AML(1, "SSDT", 0x5b, 0x82, 1, 0x5b, 0x82, 0);
	AML(2, "SSDT", 0x5b, 0x82, 0x42, 2, HID, 0x88, MEMORY32, 0x77, IRQ(2));
	probe_devices();
	assert_int_equal(virtio.count, 1);
	m = virtio_mmio(virtio_get(0));
	assert_int_equal(m->gsi, 11);
	assert_false(m->level || m->active_low);
	fresh(state); /* another descriptor of the same length is no memory */
	AML(0, "DSDT", 0x5b, 0x82, 43, HID, 0x85, 9, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9, MEMORY32,
	    IRQ(4));
	probe_devices();
	assert_int_equal(virtio.count, 1);
	fresh(state); /* nor is one like an interrupt */
	AML(0, "DSDT", 0x5b, 0x82, 40, HID, MEMORY32, 0x8a, 6, 0, 4, 1, 99, 0, 0, 0, IRQ(4));
	probe_devices();
	assert_int_equal(virtio_mmio(virtio_get(0))->gsi, 11);
	fresh(state); /* each table is looked at */
	AML(0, "DSDT", 0);
	AML(1, "DSDT", 0x5b, 0x82, 31, HID, MEMORY32, IRQ(4));
	probe_devices();
	assert_int_equal(virtio.count, 1);
}

/* Two devices in a table, the second behind the first; what is no virtio device between them is passed over. */
static void several_in_aml(void **state)
{
	(void)state;
	fake_window_add(0xfeb10000, SIZE);
	AML(0, "DSDT", 0x5b, 0x82, 31, HID, MEMORY32, IRQ(4), 0x5b, 0x82, 22, MEMORY32, IRQ(4),
	    0x5b, 0x82, 31, HID, 0x86, 9, 0, 1, 0, 0, 0xb1, 0xfe, 0, 2, 0, 0, IRQ(4));
	probe_devices();
	assert_int_equal(virtio.count, 1);
	assert_int_equal(virtio.refusals, 1);
	assert_string_equal(virtio_refused(0)->name, "mmio 0xfeb10000");
	assert_int_equal(virtio_mmio(virtio_get(0))->gsi, 11);
}

/* A device without an interrupt, or with one that is for nobody, is polled. */
static void aml_without_interrupt(void **state)
{
	unsigned int i;

	for (i = 0; i < 5; i++) {
		fresh(state);
		if (i == 0)
			AML(0, "DSDT", 0x5b, 0x82, 22, HID, MEMORY32);
		else if (i == 1) /* no interrupt in the list */
			AML(0, "DSDT", 0x5b, 0x82, 31, HID, MEMORY32, 0x89, 6, 0, 4, 0, 11, 0, 0,
			    0);
		else if (i == 2) /* too short */
			AML(0, "DSDT", 0x5b, 0x82, 31, HID, MEMORY32, 0x89, 5, 0, 4, 1, 11, 0, 0,
			    0);
		else if (i == 3) /* a length that no such descriptor has */
			AML(0, "DSDT", 0x5b, 0x82, 31, HID, MEMORY32, 0x89, 6, 1, 4, 1, 11, 0, 0,
			    0);
		else /* cut off by the package's end */
			AML(0, "DSDT", 0x5b, 0x82, 30, HID, MEMORY32, IRQ(4));
		probe_devices();
		assert_int_equal(virtio.count, 1);
		assert_int_equal(virtio_mmio(virtio_get(0))->gsi, 0);
		assert_int_equal(virtio_get(0)->ops->irq_setup(virtio_get(0), VIRTIO_IRQ_INTX),
				 -EOPNOTSUPP);
		assert_int_equal(virtio_get(0)->ops->irq_setup(virtio_get(0), VIRTIO_IRQ_POLL), 0);
	}
}

/* Whatever is cut off, by the package or by the table, is no device. ASan watches the table's end. */
static void aml_without_sense(void **state)
{
	unsigned int i;

	for (i = 0; i < 12; i++) {
		fresh(state);
		if (i == 0) /* another name */
			AML(0, "DSDT", 0x5b, 0x82, 31, 'L', 'N', 'R', 'O', '0', '0', '0', '6', 0,
			    MEMORY32, IRQ(4));
		else if (i == 1) /* a longer name */
			AML(0, "DSDT", 0x5b, 0x82, 32, 'L', 'N', 'R', 'O', '0', '0', '0', '5', '0',
			    0, MEMORY32, IRQ(4));
		else if (i == 2) /* no device, but a package */
			AML(0, "DSDT", 0x5b, 0x83, 31, HID, MEMORY32, IRQ(4));
		else if (i == 3)
			AML(0, "DSDT", 0x5c, 0x82, 31, HID, MEMORY32, IRQ(4));
		else if (i == 4) /* longer than the table */
			AML(0, "DSDT", 0x5b, 0x82, 32, HID, MEMORY32, IRQ(4));
		else if (i == 5) /* shorter than its own length */
			AML(0, "DSDT", 0x5b, 0x82, 0, HID, MEMORY32, IRQ(4));
		else if (i == 6) /* memory cut off by the package */
			AML(0, "DSDT", 0x5b, 0x82, 21, HID, MEMORY32, IRQ(4));
		else if (i == 7) /* the name as well */
			AML(0, "DSDT", 0x5b, 0x82, 9, HID, MEMORY32, IRQ(4));
		else if (i == 8)
			AML(0, "DSDT", 0x5b, 0x82, 31, HID, 0x86, 8, 0, 1, 0, 0, 0xb0, 0xfe, 0, 2,
			    0, 0, IRQ(4));
		else if (i == 9)
			AML(0, "DSDT", 0x5b, 0x82, 31, HID, 0x86, 9, 1, 1, 0, 0, 0xb0, 0xfe, 0, 2,
			    0, 0, IRQ(4));
		else if (i == 10) /* the length itself is cut off */
			AML(0, "DSDT", HID, MEMORY32, 0x5b, 0x82, 0xc1, 2, 0);
		else /* an empty table */
			aml(0, "DSDT", (const uint8_t *)"", 0);
		probe_devices();
		assert_int_equal(virtio.count + virtio.refusals, 0);
	}
}

/* PkgLength of two, three and four bytes: the lowest four bits come first. */
static void package_lengths(void **state)
{
	static const uint8_t body[] = { HID, MEMORY32, IRQ(4) };
	static const uint32_t total[] = { 0x3f, 0x40, 0x41, 0x123, 0x1a5, 0x1234 };
	uint8_t bytes[0x1300];
	unsigned int extra, i, n;

	for (extra = 1; extra < 4; extra++) {
		for (i = 0; i < (extra == 1 ? 5 : 6); i++) {
			fresh(state);
			memset(bytes, 0, sizeof(bytes));
			bytes[0] = 0x5b;
			bytes[1] = 0x82;
			bytes[2] = (uint8_t)(extra << 6 | (total[i] & 15));
			for (n = 0; n < extra; n++)
				bytes[3 + n] = (uint8_t)(total[i] >> (4 + 8 * n));
			memcpy(bytes + 2 + total[i] - sizeof(body), body, sizeof(body));
			aml(0, "DSDT", bytes, 2 + total[i]);
			probe_devices();
			assert_int_equal(virtio.count, 1);
			assert_int_equal(virtio_mmio(virtio_get(0))->gsi, 11);
			/* A byte less of the table, and the package is longer than what there is. */
			fresh(state);
			aml(0, "DSDT", bytes, 1 + total[i]);
			probe_devices();
			assert_int_equal(virtio.count + virtio.refusals, 0);
		}
	}
	/* One whose upper bits alone are beyond the table. */
	for (extra = 1; extra < 4; extra++) {
		fresh(state);
		memset(bytes, 0, sizeof(bytes));
		bytes[0] = 0x5b;
		bytes[1] = 0x82;
		bytes[2] = (uint8_t)(extra << 6 | (sizeof(body) + 1 + extra));
		memset(bytes + 3, 0xff, extra);
		memcpy(bytes + 3 + extra, body, sizeof(body));
		aml(0, "DSDT", bytes, 480);
		probe_devices();
		assert_int_equal(virtio.count + virtio.refusals, 0);
	}
}

/* --- features, status, configuration ------------------------------------------------------------------------ */

static void features(void **state)
{
	struct virtio_device *d = device();

	(void)state;
	regs.offered = V1 | VIRTIO_BIT(VIRTIO_F_EVENT_IDX) | VIRTIO_BIT(VIRTIO_F_RING_PACKED) | 2;
	assert_int_equal(d->ops->device_features(d), regs.offered);
	assert_int_equal(d->ops->device_features_sel(d, 1), 5);
	assert_int_equal(d->ops->device_features_sel(d, 7), 0);
	assert_int_equal(regs.device_sel, 7);
	(void)fake_window_stores();
	d->ops->driver_features(d, 0x1122334455667788);
	assert_string_equal(fake_window_stores(), "24:4=0 20:4=55667788 24:4=1 20:4=11223344");
	assert_int_equal(virtio_negotiate(d, VIRTIO_RING_FEATURES | 2), 0);
	assert_int_equal(regs.accepted, regs.offered);
	assert_int_equal(regs.status,
			 VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER | VIRTIO_S_FEATURES_OK);
	/* Status has 8 bits: what is above is nothing that a driver knows of (2.1). */
	fake_window_lie(window, VIRTIO_MMIO_STATUS, 0, 0x1200);
	assert_int_equal(d->ops->get_status(d), 0);
}

static void config(void **state)
{
	struct virtio_device *d = device();
	uint8_t b[8] = { 0 };

	(void)state;
	assert_int_equal(d->ops->config_read(d, 2, b, 7), 0);
	assert_memory_equal(b, "\x02\x03\x04\x05\x06\x07\x08", 7);
	assert_int_equal(fake_window_loads(window, 0x102), 1);
	assert_int_equal(fake_window_loads(window, 0x103), 0);
	assert_int_equal(d->ops->config_read(d, 0xfc, b, 4), 0);
	assert_int_equal(d->ops->config_read(d, 0xfc, b, 5), -ERANGE);
	assert_int_equal(d->ops->config_read(d, 0x101, b, 0), -ERANGE);
	assert_int_equal(d->ops->config_read(d, 4, b, UINT32_MAX), -ERANGE);
	(void)fake_window_stores();
	assert_int_equal(d->ops->config_write(d, 1, "\x11\x22\x33\x44\x55\x66\x77", 7), 0);
	assert_string_equal(fake_window_stores(), "101:1=11 102:2=3322 104:4=77665544");
	assert_int_equal(d->ops->config_write(d, 0xfd, b, 4), -ERANGE);
	assert_string_equal(fake_window_stores(), "");
}

/* The generation is read before and after; one that never rests ends in -EAGAIN. */
static void generation(void **state)
{
	struct virtio_device *d = device();
	unsigned int i;
	uint8_t b[4];

	(void)state;
	fake_window_set(window, VIRTIO_MMIO_CONFIG_GENERATION, 4, 0x100);
	assert_int_equal(virtio_config_read(d, 0, b, 4), 0);
	assert_int_equal(fake_window_loads(window, VIRTIO_MMIO_CONFIG_GENERATION), 2);
	fake_window_lie(window, VIRTIO_MMIO_CONFIG_GENERATION, 1, 0x200);
	assert_int_equal(virtio_config_read(d, 0, b, 4), 0);
	assert_int_equal(fake_window_loads(window, VIRTIO_MMIO_CONFIG_GENERATION), 4);
	for (i = 0; i < 20; i++)
		fake_window_lie(window, VIRTIO_MMIO_CONFIG_GENERATION, i, i);
	assert_int_equal(virtio_config_read(d, 0, b, 4), 0);
	assert_int_equal(fake_window_loads(window, VIRTIO_MMIO_CONFIG_GENERATION), 22);
}

/* --- queues ------------------------------------------------------------------------------------------------------ */

static void queue_sizes(void **state)
{
	static const struct {
		uint32_t reads;
		uint16_t max;
	} max[] = { { 0, 0 },	  { 1, 1 },	    { 100, 100 },      { 32768, 32768 },
		    { 32769, 0 }, { 65536 + 8, 0 }, { 0x80000000, 0 }, { UINT32_MAX, 0 } };
	struct virtio_device *d = device();
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(max) / sizeof(max[0]); i++) {
		regs.max[1] = max[i].reads;
		assert_int_equal(d->ops->queue_max(d, 1), max[i].max);
		assert_int_equal(regs.sel, 1);
	}
	assert_int_equal(virtio_negotiate(d, 0), 0);
	regs.max[0] = 100;
	assert_int_equal(virtio_queues_setup(d, 1, 0), 0);
	assert_int_equal(fake_window_get(window, VIRTIO_MMIO_QUEUE_SIZE, 4), 64);
	assert_int_equal(virtio_negotiate(d, 0), 0);
	regs.max[0] = 65536 + 8;
	assert_int_equal(virtio_queues_setup(d, 1, 0), -ENODEV);
	assert_non_null(strstr(d->error, "queue 0 does not exist"));
}

static int enable(struct virtio_device *d)
{
	return d->ops->queue_enable(d, 1, 16, DESC, DRIVER, DEVICE);
}

static void queue_enable(void **state)
{
	struct virtio_device *d = negotiated(0);

	(void)state;
	assert_int_equal(enable(d), 0);
	assert_string_equal(
		fake_window_stores(),
		"30:4=1 38:4=10 80:4=55667788 84:4=11223344 90:4=ddeeff00 94:4=99aabbcc "
		"a0:4=89abcdef a4:4=1234567 44:4=1");
	assert_true(d->ops->queue_enabled(d, 1));
	assert_false(d->ops->queue_enabled(d, 0));
	/* 4.2.2.2: nothing of a queue that is in use is touched. */
	(void)fake_window_stores();
	assert_int_equal(enable(d), -EIO);
	assert_string_equal(d->error, "queue 1: QueueReady is set before its set-up");
	assert_string_equal(fake_window_stores(), "30:4=1");
}

/* QueueReady reads what was written, and nothing like it. */
static void queue_refused(void **state)
{
	static const uint32_t reads[] = { 0, 2, 0x101, UINT32_MAX };
	struct virtio_device *d;
	char text[80];
	unsigned int i;

	for (i = 0; i < 4; i++) {
		fresh(state);
		d = negotiated(0);
		fake_window_lie(window, VIRTIO_MMIO_QUEUE_READY, 1, reads[i]);
		assert_int_equal(enable(d), -EIO);
		snprintf(text, sizeof(text), "queue 1: QueueReady reads 0x%x after 1 was written",
			 reads[i]);
		assert_string_equal(d->error, text);
		/* Whatever is not 0 is set. */
		assert_int_equal(d->ops->queue_enabled(d, 1), reads[i] != 0);
		fresh(state);
		d = device();
		assert_int_equal(virtio_negotiate(d, 0), 0);
		fake_window_lie(window, VIRTIO_MMIO_QUEUE_READY, 0, reads[i]);
		assert_int_equal(virtio_queues_setup(d, 1, 0), -EIO);
		assert_null(d->vq[0]);
	}
	assert_int_equal(fake_pages_out(), 0);
}

static void queue_reset(void **state)
{
	struct virtio_device *d = negotiated(0);

	(void)state;
	assert_int_equal(d->ops->queue_reset(d, 1), -EOPNOTSUPP);
	assert_string_equal(fake_window_stores(), "");
	fresh(state);
	regs.offered |= VIRTIO_BIT(VIRTIO_F_RING_RESET);
	d = negotiated(VIRTIO_BIT(VIRTIO_F_RING_RESET));
	assert_int_equal(enable(d), 0);
	(void)fake_window_stores();
	assert_int_equal(d->ops->queue_reset(d, 1), 0);
	assert_string_equal(fake_window_stores(), "30:4=1 c0:4=1");
	assert_int_equal(fake_window_loads(window, VIRTIO_MMIO_QUEUE_RESET), LATE_RESET + 1);
	fake_window_lie(window, VIRTIO_MMIO_QUEUE_READY, 0, 1);
	assert_int_equal(d->ops->queue_reset(d, 1), -EIO);
	assert_string_equal(d->error, "queue 1: QueueReady is set after a queue reset");
	fake_window_lie(window, VIRTIO_MMIO_QUEUE_RESET, 0, 0x10);
	assert_int_equal(d->ops->queue_reset(d, 1), -ETIMEDOUT);
	assert_string_equal(d->error, "queue 1: QueueReset still reads 0x10");
	assert_true(fake_window_loads(window, VIRTIO_MMIO_QUEUE_RESET) > 1000);
}

static void notify(void **state)
{
	struct virtio_device *d = negotiated(0);

	(void)state;
	d->ops->notify(d, 3, 0x00050003);
	assert_string_equal(fake_window_stores(), "50:4=3");
	fresh(state);
	regs.offered |= VIRTIO_BIT(VIRTIO_F_NOTIFICATION_DATA);
	d = negotiated(VIRTIO_BIT(VIRTIO_F_NOTIFICATION_DATA));
	d->ops->notify(d, 3, 0x00050003);
	assert_string_equal(fake_window_stores(), "50:4=50003");
}

/* --- interrupts ------------------------------------------------------------------------------------------------------ */

/* The device of the option, with two queues and its line. */
static struct virtio_device *with_line(void)
{
	struct virtio_device *d = negotiated(0);

	assert_int_equal(virtio_queues_setup(d, 2, 0), 0);
	assert_int_equal(d->irq_mode, VIRTIO_IRQ_INTX);
	listen_to(d);
	(void)fake_window_stores();
	return d;
}

static void causes(void **state)
{
	struct virtio_device *d = with_line();

	(void)state;
	assert_false(fake_line[5].masked || fake_line[5].level);
	regs.interrupt = VIRTIO_MMIO_INT_USED;
	fake_irq_raise(fake_line[5].vector);
	assert_int_equal(on_queue, 2); /* both, since the line does not say which */
	assert_int_equal(last_queue, 1);
	assert_int_equal(on_config, 0);
	assert_int_equal(d->irqs.shared, 1);
	assert_string_equal(fake_window_stores(), "64:4=1");
	regs.interrupt = VIRTIO_MMIO_INT_CONFIG;
	fake_irq_raise(fake_line[5].vector);
	assert_int_equal(on_config, 1);
	assert_int_equal(on_queue, 2);
	assert_string_equal(fake_window_stores(), "64:4=2");
	regs.interrupt = VIRTIO_MMIO_INT_USED | VIRTIO_MMIO_INT_CONFIG;
	fake_irq_raise(fake_line[5].vector);
	assert_int_equal(on_config, 2);
	assert_int_equal(on_queue, 4);
	assert_string_equal(fake_window_stores(), "64:4=3");
	assert_int_equal(d->irqs.unexpected, 0);
	/* 4.2.2.2: bits that mean nothing are not acknowledged, and no cause. */
	regs.interrupt = 0xfffffffc;
	fake_irq_raise(fake_line[5].vector);
	assert_string_equal(fake_window_stores(), "");
	assert_int_equal(d->irqs.unexpected, 1);
}

/* A status that never gets 0 is left after a hundred rounds. */
static void stuck_line(void **state)
{
	struct virtio_device *d = with_line();

	(void)state;
	regs.interrupt = VIRTIO_MMIO_INT_CONFIG;
	regs.line_stuck = true;
	fake_irq_raise(fake_line[5].vector);
	assert_int_equal(on_config, 100);
	assert_int_equal(d->irqs.unexpected, 0);
}

static void modes(void **state)
{
	struct virtio_device *d = with_line();

	(void)state;
	assert_int_equal(d->ops->irq_setup(d, VIRTIO_IRQ_MSIX), -EOPNOTSUPP);
	assert_int_equal(d->ops->irq_setup(d, VIRTIO_IRQ_MSIX1), -EOPNOTSUPP);
	assert_int_equal(d->irq_mode, VIRTIO_IRQ_INTX);
	assert_int_equal(virtio_reset(d), 0);
	assert_int_equal(fake_irq_vectors(), 0);
	assert_true(fake_line[5].masked);
	assert_int_equal(d->ops->irq_setup(d, VIRTIO_IRQ_POLL), 0);
	assert_int_equal(d->irq_mode, VIRTIO_IRQ_POLL);
	assert_int_equal(fake_irq_vectors(), 0);
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_ACK, 0, 0), -EOPNOTSUPP);
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_STEER, 0, 1), -EOPNOTSUPP);
	fresh(state); /* no I/O APIC has this line */
	d = found("0x200@0xfeb00000:24");
	assert_int_equal(d->ops->irq_setup(d, VIRTIO_IRQ_INTX), -ENODEV);
	assert_int_equal(d->irq_mode, VIRTIO_IRQ_POLL);
}

/* The I/O APIC gets the line as the table describes it. */
static void kinds_of_line(void **state)
{
	struct virtio_device *d;

	AML(0, "DSDT", 0x5b, 0x82, 31, HID, MEMORY32, IRQ(0));
	probe_devices();
	d = virtio_get(0);
	assert_int_equal(d->ops->irq_setup(d, VIRTIO_IRQ_INTX), 0);
	assert_true(fake_line[11].level);
	assert_false(fake_line[11].active_low);
	fresh(state);
	AML(0, "DSDT", 0x5b, 0x82, 31, HID, MEMORY32, IRQ(6));
	probe_devices();
	d = virtio_get(0);
	assert_int_equal(d->ops->irq_setup(d, VIRTIO_IRQ_INTX), 0);
	assert_false(fake_line[11].level);
	assert_true(fake_line[11].active_low);
}

static void controls(void **state)
{
	struct virtio_device *d = with_line();

	(void)state;
	regs.interrupt = 0x107;
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_ACK, 0, 0), 0x107);
	assert_string_equal(fake_window_stores(), "64:4=3");
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_STEER, 1, 2), 0);
	assert_int_equal(fake_line[5].cpu, 2);
	assert_int_equal(virtio_irq_ctl(d, VIRTIO_IRQ_MASK, 0, 1), -EOPNOTSUPP); /* an edge */
	assert_string_equal(fake_window_stores(), "");
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, fresh, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(from_cmdline),
		CASE(slots_twice),
		CASE(other_transports),
		CASE(texts),
		CASE(windows_without_sense),
		CASE(identity),
		CASE(no_memory),
		CASE(from_aml),
		CASE(several_in_aml),
		CASE(aml_without_interrupt),
		CASE(aml_without_sense),
		CASE(package_lengths),
		CASE(features),
		CASE(config),
		CASE(generation),
		CASE(queue_sizes),
		CASE(queue_enable),
		CASE(queue_refused),
		CASE(queue_reset),
		CASE(notify),
		CASE(causes),
		CASE(stuck_line),
		CASE(modes),
		CASE(kinds_of_line),
		CASE(controls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
