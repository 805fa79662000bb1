/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reffront: a virtio front end that misbehaves, as a TCG plugin. A back end cannot break what QEMU's own
 * registers do right, so here what the guest's loads from them return is changed, and stores to them are
 * followed by others. A load is overridden in two steps, since a plugin sees its value only once the device has
 * given it, and the register only behind the instruction: the memory callback notes the value, and a
 * callback in front of whatever instruction comes next writes the register.
 *
 * Arguments: fault=ID, injected=FILE.
 */
#include <inttypes.h>
#include <string.h>

#include "drivers/virtio/mmio.h"
#include "drivers/virtio/pci.h"
#include "host/ref/front/front.h"

#define MAX_PLACES 256
#define REG_NONE   16 /* a load whose destination was not understood */

enum {
	SITE_NOTIFIES = 1, /* plugin_site.kind: this store has notified a device */
	SITE_VTD = 2,	   /* it has written to a VT-d unit */
};

/* Of a vCPU: a load whose register is still to be changed. */
struct pending {
	uint64_t set; /* looked at by generated code */
	uint64_t seen, wanted;
	unsigned int reg, size;
	unsigned int keep; /* bytes of the load's destination beyond it stay (mov to al, ax) */
};

static struct {
	const struct fault *fault;
	struct qemu_plugin_scoreboard *board; /* of struct pending */
	GMutex lock;			      /* for what follows */
	struct place place[MAX_PLACES];
	unsigned int places;
} front;

static void not_injected(const char *why, uint64_t value)
{
	plugin_say("%s is not injected: %s (0x%" PRIx64 ")", fault_rows[plugin_fault()].id, why,
		   value);
}

/* --- places ----------------------------------------------------------------------------------- */

static const struct known {
	const char *name; /* of QEMU's memory region, as it begins */
	enum region region;
	uint32_t span, in; /* bytes that belong together; and of those, where the region is */
} regions[] = {
	/* The four parts of a device lie in one BAR. */
	{ "virtio-pci-common", COMMON, 0x4000, 0x1000 },
	{ "virtio-pci-isr", ISR, 0x4000, 0x1000 },
	{ "virtio-pci-device", DEVICE, 0x4000, 0x1000 },
	{ "virtio-pci-notify", NOTIFY, 0x4000, 0x1000 },
	{ "pcie-mmcfg-mmio", CONFIG, 0x1000, 0x1000 },
	{ "msix-table", TABLE, 16, 16 },
	{ "msix-pba", PBA, 0x800, 0x800 },
	{ "virtio-mmio", MMIO, 0x200, 0x200 },
	{ "intel_iommu", VTD, 0x1000, 0x1000 },
};

/* The registers of microvm's slots share pages, which have no names. */
#define MICROVM_MMIO 0xfeb00000u
#define MICROVM_SIZE 0x3000u
/* Nor has the page of which a VT-d unit has a part. */
#define VTD_MMIO 0xfed90000u
#define VTD_SIZE 0x1000u

static const struct known *find_known(const char *name, uint64_t phys)
{
	size_t i;

	/* QEMU gives the page that MSI-X table and pending bits share no name; the table is in the first half. */
	if (strncmp(name, "anon", 4) == 0)
		name = phys - MICROVM_MMIO < MICROVM_SIZE ? "virtio-mmio" :
		       phys - VTD_MMIO < VTD_SIZE	  ? "intel_iommu" :
		       (phys & 0xfff) < 0x800		  ? "msix-table" :
							    "msix-pba";
	for (i = 0; i < sizeof(regions) / sizeof(regions[0]); i++)
		if (strncmp(name, regions[i].name, strlen(regions[i].name)) == 0)
			return &regions[i];
	return NULL;
}

/* ISR, device configuration and notifications belong to the place of the common configuration. */
static struct place *find_place(const struct known *k, uint64_t phys)
{
	const enum region region = k->span == 0x4000 ? COMMON : k->region;
	const uint64_t base = phys & ~(uint64_t)(k->span - 1);
	struct place *p;
	unsigned int i;

	for (i = 0; i < front.places; i++)
		if (front.place[i].base == base && front.place[i].region == region)
			return &front.place[i];
	if (front.places == MAX_PLACES)
		return NULL;
	p = &front.place[front.places++];
	*p = (struct place){ .base = base, .region = region };
	p->word[3] = 1; /* masked */
	p->queue_vector = p->config_vector = VIRTIO_NO_VECTOR;
	for (i = 0; i < FRONT_QUEUES; i++)
		p->queue[i].vector = p->queue[i].old_vector = VIRTIO_NO_VECTOR;
	return p;
}

/* Capabilities of a function: the list starts at 0x34 (PCI 3.0, 6.7). */
static void scan(struct place *p)
{
	uint32_t at, id, tries, type;

	p->scanned = true;
	p->is_virtio = (uint32_t)plugin_load(p->base, 2) == VIRTIO_PCI_VENDOR;
	if (!p->is_virtio)
		return;
	at = (uint32_t)plugin_load(p->base + 0x34, 1);
	for (tries = 0; at && tries < 48;
	     tries++, at = (uint32_t)plugin_load(p->base + at + 1, 1)) {
		id = (uint32_t)plugin_load(p->base + at, 1);
		type = id == 0x09 ? (uint32_t)plugin_load(p->base + at + 3, 1) :
		       id == 0x11 ? CAP_MSIX :
				    0;
		if (type && type < FRONT_CAPS)
			p->cap[type] = (uint8_t)at;
	}
}

/* --- what the guest does ------------------------------------------------------------------------ */

static void on_queue_reset(struct queue_seen *q)
{
	q->old_size = q->size;
	q->old_vector = q->vector;
	q->was_enabled = q->enabled;
	q->size = 0;
	q->vector = VIRTIO_NO_VECTOR;
	q->enabled = q->was_stopped = false;
}

/* What faults from outside follow of the queues and features, besides what on_status() does. */
static void follow_status(struct place *p, uint8_t v)
{
	unsigned int i;

	if (v == 0 && p->status) {
		for (i = 0; i < FRONT_QUEUES; i++)
			on_queue_reset(&p->queue[i]);
		p->config_vector = VIRTIO_NO_VECTOR;
		p->requests_seen = 0;
		p->extra = p->unread;
		if (p->status & VIRTIO_S_FEATURES_OK)
			for (i = 0; i < 2; i++)
				p->narrowed[i] |= ~p->accepted[i];
	}
	if (v & ~p->status & VIRTIO_S_DRIVER_OK)
		for (i = 0; i < FRONT_QUEUES; i++)
			p->queue[i].start_vector = p->queue[i].vector;
}

static void on_status(struct place *p, uint8_t v)
{
	follow_status(p, v);
	if (v == 0) {
		p->before_reset = p->status;
		p->resets++;
		p->kicks = 0;
		p->queue_reset = false;
		p->queue_vector = VIRTIO_NO_VECTOR;
	} else if (v & ~p->status & VIRTIO_S_FEATURES_OK) {
		p->negotiations++;
	}
	p->status = v;
}

static void on_driver_features(struct place *p, uint32_t v)
{
	if (p->driver_select >= 2)
		return;
	p->accepted[p->driver_select] = v;
	if (v & ~p->offered[p->driver_select])
		p->unoffered = true;
}

/* The selected queue; NULL: one that is not followed. */
static struct queue_seen *selected(struct place *p)
{
	return p->queue_select < FRONT_QUEUES ? &p->queue[p->queue_select] : NULL;
}

static void on_queue_store(struct queue_seen *q, uint32_t at, uint32_t v)
{
	const uint32_t first = offsetof(struct virtio_pci_common_cfg, queue_desc_lo);

	switch (at) {
	case offsetof(struct virtio_pci_common_cfg, queue_size):
		q->size = (uint16_t)v;
		break;
	case offsetof(struct virtio_pci_common_cfg, queue_msix_vector):
		q->vector = (uint16_t)v;
		break;
	case offsetof(struct virtio_pci_common_cfg, queue_enable):
		q->enabled = true;
		if (!q->was_stopped)
			memcpy(q->old_address, q->address, sizeof(q->address));
		break;
	case offsetof(struct virtio_pci_common_cfg, queue_reset):
		q->was_stopped = true;
		break;
	default:
		if (at >= first && at < first + sizeof(q->address) && at % 4 == 0)
			q->address[(at - first) / 4] = v;
		break;
	}
}

static void on_common_store(struct place *p, const struct access *a)
{
	const uint32_t v = (uint32_t)a->value;

	if (selected(p))
		on_queue_store(selected(p), a->at, v);
	switch (a->at) {
	case offsetof(struct virtio_pci_common_cfg, config_msix_vector):
		p->config_vector = (uint16_t)v;
		break;
	case offsetof(struct virtio_pci_common_cfg, device_feature_select):
		p->device_select = v;
		break;
	case offsetof(struct virtio_pci_common_cfg, driver_feature_select):
		p->driver_select = v;
		break;
	case offsetof(struct virtio_pci_common_cfg, driver_feature):
		on_driver_features(p, v);
		break;
	case offsetof(struct virtio_pci_common_cfg, device_status):
		on_status(p, (uint8_t)v);
		break;
	case offsetof(struct virtio_pci_common_cfg, queue_select):
		p->queue_select = (uint16_t)v;
		break;
	case offsetof(struct virtio_pci_common_cfg, queue_msix_vector):
		p->queue_vector = (uint16_t)v;
		break;
	case offsetof(struct virtio_pci_common_cfg, queue_enable):
		p->queue_reset = false;
		break;
	case offsetof(struct virtio_pci_common_cfg, queue_reset):
		p->queue_reset = v;
		break;
	default:
		break;
	}
}

static void on_mmio_store(struct place *p, const struct access *a)
{
	const uint32_t v = (uint32_t)a->value;

	switch (a->at) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		p->device_select = v;
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		p->queue_select = (uint16_t)v;
		break;
	case VIRTIO_MMIO_QUEUE_READY:
		if (selected(p)) {
			selected(p)->was_stopped = selected(p)->enabled && !v;
			selected(p)->enabled = v;
		}
		break;
	case VIRTIO_MMIO_STATUS:
		on_status(p, (uint8_t)v);
		break;
	default:
		break;
	}
}

/* Of configuration space: what faults from outside give back to the guest as it was written. */
static void on_config_store(struct place *p, const struct access *a)
{
	const uint8_t msix = p->cap[CAP_MSIX], window = p->cap[VIRTIO_PCI_CAP_PCI_CFG];

	if (a->at == 4 && a->size >= 2)
		p->command = (uint16_t)a->value;
	else if (msix && a->at == msix + 2u && a->size == 2)
		p->control = (uint16_t)a->value;
	else if (a->at >= 0x10 && a->at < 0x28 && a->size == 4)
		p->bar[(a->at - 0x10) / 4] = (uint32_t)a->value;
	else if (window && a->at == window + 4u)
		p->window_bar = (uint8_t)a->value;
	else if (window && a->at == window + 8u)
		p->window_offset = (uint32_t)a->value;
}

static void follow_load(struct place *p, const struct access *a)
{
	if (a->region == COMMON && a->at == offsetof(struct virtio_pci_common_cfg, queue_size) &&
	    selected(p) && !selected(p)->size)
		selected(p)->max = (uint16_t)a->value;
	if (a->region == MMIO && a->at == VIRTIO_MMIO_INTERRUPT_STATUS && a->value)
		p->interrupt_loads++;
}

/* What faults depend on; before they are applied. */
static void take_note(enum region region, const struct access *a)
{
	struct place *p = a->place;

	if (!a->store)
		follow_load(p, a);
	if (region == NOTIFY && a->store)
		p->unread = true;
	if (region == VTD && a->store)
		front_vtd_note(a);
	if (region == CONFIG && a->store)
		on_config_store(p, a);
	if (region == COMMON && a->store)
		on_common_store(p, a);
	else if (region == MMIO && a->store)
		on_mmio_store(p, a);
	else if (region == TABLE && a->store && a->size == 4)
		p->word[a->at / 4] = (uint32_t)a->value;
	else if (region == NOTIFY && a->store)
		p->kicks++;
	else if (region == ISR && !a->store)
		p->used_isr |= a->value != 0;
	else if (region == MMIO && a->at >= VIRTIO_MMIO_CONFIG)
		p->config_reads++;
	else if (region == COMMON &&
		 a->at == offsetof(struct virtio_pci_common_cfg, device_feature) &&
		 p->device_select < 2)
		p->offered[p->device_select] = (uint32_t)a->value;
}

/* --- rules ------------------------------------------------------------------------------------- */

static uint8_t byte_of(enum op op, uint8_t old, uint8_t v)
{
	return op == SET ? v : op == OR ? old | v : op == AND ? old & v : old ^ v;
}

/* The bytes that rule and access share are changed; all operations are bytewise. */
static uint64_t apply(const struct rule *r, const struct access *a, uint64_t value)
{
	const uint32_t start = r->at + (r->cap ? a->place->cap[r->cap] : 0u);
	const uint32_t n = r->size ? r->size : UINT16_MAX;
	unsigned int i;

	for (i = 0; i < a->size; i++) {
		const uint32_t at = a->at + i;
		const unsigned int shift = 8 * i;
		uint8_t b;

		if (at < start || at - start >= n)
			continue;
		b = byte_of(r->op, (uint8_t)(value >> shift),
			    (uint8_t)(r->value >> 8 * ((at - start) % 4)));
		value = (value & ~(0xffull << shift)) | (uint64_t)b << shift;
	}
	return value;
}

static bool applies(const struct rule *r, enum region region, const struct access *a)
{
	const struct place *p = a->place;

	if (r->region != region || r->store != a->store || (r->when && !r->when(p)))
		return false;
	return region != CONFIG || (p->is_virtio && (!r->cap || p->cap[r->cap]));
}

static uint64_t changed(enum region region, const struct access *a)
{
	uint64_t v = a->value;
	unsigned int i;

	for (i = 0; i < FRONT_RULES; i++)
		if (applies(&front.fault->rule[i], region, a))
			v = apply(&front.fault->rule[i], a, v);
	return v;
}

/* The guest waits: what a fault puts off comes about, however long that takes. */
static void on_wait(unsigned int cpu, void *userdata)
{
	struct place *p;
	unsigned int i;

	(void)cpu;
	(void)userdata;
	g_mutex_lock(&front.lock);
	for (i = 0; i < front.places; i++) {
		p = &front.place[i];
		if (p->due && --p->due == 0)
			front.fault->later(p);
	}
	g_mutex_unlock(&front.lock);
}

/* The value that the access should have had. Under the lock. */
static uint64_t on_access(const struct known *k, uint64_t phys, struct access *a)
{
	uint64_t v;

	a->place = find_place(k, phys);
	a->region = k->region;
	if (!a->place)
		return a->value;
	if (k->region == CONFIG && !a->place->scanned)
		scan(a->place);
	take_note(k->region, a);
	v = changed(k->region, a);
	if (v != a->value && a->store)
		plugin_inject(phys, v, a->size);
	if (front.fault->load && !a->store)
		v = front.fault->load(a, v);
	if (front.fault->hook)
		front.fault->hook(a);
	if (k->region == ISR && !a->store)
		a->place->unread = false;
	if (k->region == DEVICE && !a->store)
		a->place->config_at = a->at;
	return v;
}

/* --- callbacks ---------------------------------------------------------------------------------- */

static const struct known *describe(qemu_plugin_meminfo_t info, uint64_t vaddr, struct access *a)
{
	struct qemu_plugin_hwaddr *h = qemu_plugin_get_hwaddr(info, vaddr);
	const qemu_plugin_mem_value v = qemu_plugin_mem_get_value(info);
	const struct known *k;

	if (!h || !qemu_plugin_hwaddr_is_io(h) || v.type > QEMU_PLUGIN_MEM_VALUE_U64)
		return NULL;
	a->phys = qemu_plugin_hwaddr_phys_addr(h);
	k = find_known(qemu_plugin_hwaddr_device_name(h), a->phys);
	if (!k)
		return NULL;
	a->at = (uint32_t)a->phys & (k->in - 1);
	a->size = 1u << v.type;
	memcpy(&a->value, &v.data, a->size);
	return k;
}

static void on_store(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *userdata)
{
	struct access a = { .store = true };
	const struct known *k = describe(info, vaddr, &a);
	struct plugin_site *site = userdata;

	(void)cpu;
	if (!k)
		return;
	if (site && (k->region == NOTIFY || k->region == VTD))
		__atomic_store_n(&site->kind, k->region == VTD ? SITE_VTD : SITE_NOTIFIES,
				 __ATOMIC_RELAXED);
	g_mutex_lock(&front.lock);
	on_access(k, a.phys, &a);
	g_mutex_unlock(&front.lock);
}

/* Where a load's destination is: in userdata, as pack() has it. */
static void on_load(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *userdata)
{
	const uintptr_t dest = (uintptr_t)userdata;
	struct access a = { .store = false };
	const struct known *k = describe(info, vaddr, &a);
	struct pending *p;
	uint64_t v;

	if (!k || cpu >= PLUGIN_CPUS)
		return;
	g_mutex_lock(&front.lock);
	v = on_access(k, a.phys, &a);
	g_mutex_unlock(&front.lock);
	if (v == a.value)
		return;
	p = qemu_plugin_scoreboard_find(front.board, cpu);
	*p = (struct pending){ 1, a.value, v, (unsigned int)dest & 0xff, a.size, dest >> 8 & 1 };
}

/* Of mov r, m with 32 or 64 bits (REX, opcode, ModRM, SIB, displacement): where to, and what. The payload maps memory 1:1. */
static bool stores(unsigned int cpu, const struct plugin_site *site, struct access *a)
{
	const uint8_t *b = site->code, rex = (b[0] & 0xf0) == 0x40 ? b[0] : 0;
	const uint8_t *m = b + (rex ? 2 : 1); /* ModRM */
	const unsigned int mod = m[0] >> 6, rm = m[0] & 7;
	const bool sib = rm == 4;
	const unsigned int base = (sib ? m[1] & 7 : rm) | (rex & 1u) << 3,
			   index = sib ? (m[1] >> 3 & 7) | (rex & 2u) << 2 : 4;
	const uint8_t *d = m + 1 + sib;
	int32_t displacement = 0;

	if (mod == 3 || (mod == 0 && (base & 7) == 5))
		return false;
	if (mod == 1)
		displacement = (int32_t)(d[0] ^ 0x80u) - 0x80; /* of eight bits, with its sign */
	else if (mod == 2 && d + 4 <= b + sizeof(site->code))
		memcpy(&displacement, d, 4);
	a->phys = plugin_reg(cpu, base) + (uint64_t)(int64_t)displacement;
	if (index != 4)
		a->phys += plugin_reg(cpu, index) << (m[1] >> 6);
	a->size = rex & 8 ? 8 : 4;
	a->value = plugin_reg(cpu, (m[0] >> 3 & 7) | (rex & 4u) << 1);
	if (a->size == 4)
		a->value &= UINT32_MAX;
	return true;
}

/* In front of a store that has notified before: what is available by now the device has not seen. */
static void on_notify(unsigned int cpu, void *userdata)
{
	const struct plugin_site *site = userdata;
	unsigned int i;

	(void)cpu;
	if (__atomic_load_n(&site->kind, __ATOMIC_RELAXED) != SITE_NOTIFIES)
		return;
	g_mutex_lock(&front.lock);
	for (i = 0; i < front.places; i++)
		if (front.place[i].region == COMMON)
			front_requests(&front.place[i], front.fault->request);
	g_mutex_unlock(&front.lock);
}

/* In front of a store that has written to a VT-d unit before. */
static void on_vtd(unsigned int cpu, void *userdata)
{
	const struct plugin_site *site = userdata;
	struct access a = { .region = VTD, .store = true };
	bool skip;

	if (__atomic_load_n(&site->kind, __ATOMIC_RELAXED) != SITE_VTD || cpu >= PLUGIN_CPUS ||
	    !plugin_long_mode(cpu) || !stores(cpu, site, &a) || a.phys - VTD_MMIO >= VTD_SIZE)
		return;
	a.at = (uint32_t)a.phys & (VTD_SIZE - 1);
	g_mutex_lock(&front.lock);
	skip = front.fault->before(&a);
	g_mutex_unlock(&front.lock);
	if (!skip)
		return;
	fault_injected(plugin_fault());
	qemu_plugin_set_pc(site->vaddr + site->size);
}

/* In front of the instruction behind the load. */
static void on_next(unsigned int cpu, void *userdata)
{
	struct pending *p = qemu_plugin_scoreboard_find(front.board, cpu);
	const uint64_t mask = p->size < 8 ? (1ull << 8 * p->size) - 1 : UINT64_MAX;
	uint64_t v;

	(void)userdata;
	p->set = 0;
	if (!plugin_long_mode(cpu))
		return;
	g_mutex_lock(&front.lock);
	v = p->reg < REG_NONE ? plugin_reg(cpu, p->reg) : 0;
	if (p->reg >= REG_NONE) {
		not_injected("the instruction was not understood that loaded", p->seen);
	} else if ((p->keep ? v & mask : v) != p->seen) {
		not_injected("the register does not hold what was loaded", v);
	} else {
		plugin_set_reg(cpu, p->reg, (v & ~mask) | p->wanted);
		fault_injected(plugin_fault());
	}
	g_mutex_unlock(&front.lock);
}

/* --- instructions ------------------------------------------------------------------------------- */

/*
 * The destination of a load, as compilers write those from volatile memory: mov r, m; movzx r, m. Bits 7..0: the
 * register; bit 8: what is beyond the loaded bytes stays.
 */
static uintptr_t destination(const uint8_t *b, size_t n)
{
	bool word = false;
	uint8_t rex = 0;
	size_t i = 0;
	uintptr_t reg;

	if (i < n && b[i] == 0x66) {
		word = true;
		i++;
	}
	if (i < n && (b[i] & 0xf0) == 0x40)
		rex = b[i++];
	if (i + 1 < n && (b[i] == 0x8a || b[i] == 0x8b)) {
		reg = (b[i + 1] >> 3 & 7) | (rex & 4) << 1;
		if (b[i] == 0x8a && !rex && reg > 3)
			return REG_NONE; /* ah to bh */
		return reg | (b[i] == 0x8a || word) << 8;
	}
	if (i + 2 < n && b[i] == 0x0f && (b[i + 1] == 0xb6 || b[i + 1] == 0xb7) && !word)
		return (b[i + 2] >> 3 & 7) | (rex & 4) << 1;
	return REG_NONE;
}

/* A store of 16 bits may be a notification. Its record; NULL: it is none, or nobody asks. */
static struct plugin_site *watch_notify(struct qemu_plugin_insn *insn, const uint8_t *b, size_t n)
{
	struct plugin_site *site;
	size_t i = 1;

	if (!front.fault->request || n < 3 || b[0] != 0x66)
		return NULL;
	i += (b[1] & 0xf0) == 0x40;
	if (b[i] != 0x89 && b[i] != 0xc7)
		return NULL;
	site = plugin_site(insn, 0);
	qemu_plugin_register_vcpu_insn_exec_cb(insn, on_notify, QEMU_PLUGIN_CB_NO_REGS, site);
	return site;
}

/* A store of 32 or 64 bits from a register may be one to a VT-d unit. As watch_notify(). */
static struct plugin_site *watch_vtd(struct qemu_plugin_insn *insn, const uint8_t *b, size_t n)
{
	const size_t i = n && (b[0] & 0xf0) == 0x40;
	struct plugin_site *site;

	if (!front.fault->before || n < i + 2 || b[i] != 0x89)
		return NULL;
	site = plugin_site(insn, 0);
	qemu_plugin_register_vcpu_insn_exec_cb(insn, on_vtd, QEMU_PLUGIN_CB_RW_REGS_PC, site);
	return site;
}

static void watch(struct qemu_plugin_insn *insn, bool behind_load)
{
	const qemu_plugin_u64 set = { front.board, offsetof(struct pending, set) };
	uint8_t b[15];
	const size_t n = qemu_plugin_insn_data(insn, b, sizeof(b));

	if (behind_load)
		qemu_plugin_register_vcpu_insn_exec_cond_cb(insn, on_next, QEMU_PLUGIN_CB_RW_REGS,
							    QEMU_PLUGIN_COND_NE, set, 0, NULL);
	qemu_plugin_register_vcpu_mem_cb(insn, on_load, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_R,
					 (void *)destination(b, n)); /* NOLINT: a number */
	qemu_plugin_register_vcpu_mem_cb(insn, on_store, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_W,
					 front.fault->before ? watch_vtd(insn, b, n) :
							       watch_notify(insn, b, n));
}

/* QEMU ends a block behind each access to a device; where it does not, the next instruction is in the block. */
static void instrument(struct qemu_plugin_insn *insn, size_t index)
{
	static _Thread_local bool behind_load;
	uint8_t b[15];
	const size_t n = qemu_plugin_insn_data(insn, b, sizeof(b));

	watch(insn, index == 0 || behind_load);
	behind_load = destination(b, n) != REG_NONE;
	if (front.fault->later && plugin_is_wait(insn))
		qemu_plugin_register_vcpu_insn_exec_cb(insn, on_wait, QEMU_PLUGIN_CB_NO_REGS, NULL);
}

static int start(void)
{
	const struct fault *outside = &front_outside[plugin_fault()];
	const struct fault *iommu = &front_iommu[plugin_fault()];
	const struct fault *vtd = &front_vtd[plugin_fault()];

	front.fault = outside->hook || outside->load || outside->rule[0].region ? outside :
		      iommu->request || iommu->rule[0].region			? iommu :
		      vtd->before || vtd->load || vtd->rule[0].region ?
								vtd :
								&front_faults[plugin_fault()];
	front.board = qemu_plugin_scoreboard_new(sizeof(struct pending));
	return 0;
}

static const struct plugin reffront = {
	.one_fault = true,
	.start = start,
	.instrument = instrument,
};
PLUGIN(reffront)
