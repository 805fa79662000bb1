/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/virtio/util.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "drivers/virtio/mmio.h"
#include "drivers/virtio/pci.h"
#include "drivers/virtio/vsock.h"
#include "lib/cmdline.h"
#include "lib/errname.h"

/* --- needs ------------------------------------------------------------------------------- */

static bool has_virtio(char *why, size_t size)
{
	if (vt_device(0))
		return true;
	snprintf(why, size, "no modern virtio device on PCI, virtio_mmio.device= or in the DSDT");
	return false;
}
NEED(virtio, NEED_VIRTIO, "virtio", has_virtio);

static bool has_pci(char *why, size_t size)
{
	if (vt_pci(0))
		return true;
	snprintf(why, size, "no modern virtio device on PCI");
	return false;
}
NEED(virtio_pci, NEED_VIRTIO_PCI, "virtio over PCI", has_pci);

static bool has_mmio(char *why, size_t size)
{
	if (vt_mmio(0))
		return true;
	snprintf(why, size, "no virtio-mmio device of version 2");
	return false;
}
NEED(virtio_mmio, NEED_VIRTIO_MMIO, "virtio over MMIO", has_mmio);

static bool has_msix(char *why, size_t size)
{
	if (vt_msix(0))
		return true;
	snprintf(why, size, "no virtio device with MSI-X");
	return false;
}
NEED(msix, NEED_MSIX, "MSI-X", has_msix);

static bool has_rng(char *why, size_t size)
{
	if (virtio_find(VIRTIO_ID_RNG, 0))
		return true;
	snprintf(why, size, "no virtio-rng device");
	return false;
}
NEED(rng, NEED_RNG, "rng", has_rng);

static bool has_function(char *why, size_t size)
{
	if (vt_device(0) || virtio_refused(0))
		return true;
	snprintf(why, size,
		 "nothing on PCI, virtio_mmio.device= or in the DSDT says that it is virtio");
	return false;
}
NEED(virtio_function, NEED_VIRTIO_FUNCTION, "virtio function", has_function);

/* --- devices ----------------------------------------------------------------------------- */

struct virtio_device *vt_device(unsigned int n)
{
	struct virtio_device *d;
	unsigned int i;

	for (i = 0; (d = virtio_get(i)); i++)
		if (d->id != VIRTIO_ID_IOMMU && n-- == 0)
			return d;
	return NULL;
}

struct virtio_pci *vt_pci(unsigned int n)
{
	struct virtio_device *d;
	unsigned int i;

	for (i = 0; (d = vt_device(i)); i++)
		if (virtio_pci(d) && n-- == 0)
			return virtio_pci(d);
	return NULL;
}

void vt_bus_master(const struct virtio_pci *p, bool on)
{
	enum {
		COMMAND = 4,
		MASTER = 1 << 2
	};
	const uint32_t command = pci_read(p->pci, COMMAND, 2);

	pci_write(p->pci, COMMAND, 2, on ? command | MASTER : command & ~(uint32_t)MASTER);
}

const struct virtio_pci_cap_info *vt_shared_region(const struct virtio_pci *p)
{
	unsigned int k;

	for (k = 0; k < p->num_caps; k++)
		if (p->cap[k].type == VIRTIO_PCI_CAP_SHARED_MEMORY_CFG && p->cap[k].in_bar)
			return &p->cap[k];
	return NULL;
}

struct virtio_pci *vt_msix(unsigned int n)
{
	struct virtio_pci *p;
	unsigned int i;

	for (i = 0; (p = vt_pci(i)); i++)
		if (p->has_msix && n-- == 0)
			return p;
	return NULL;
}

struct virtio_mmio *vt_mmio(unsigned int n)
{
	struct virtio_device *d;
	unsigned int i;

	for (i = 0; (d = vt_device(i)); i++)
		if (virtio_mmio(d) && n-- == 0)
			return virtio_mmio(d);
	return NULL;
}

struct virtio_pci *vt_pci_function(unsigned int n)
{
	const struct virtio_refusal *r;
	struct virtio_device *d;
	unsigned int i;

	for (i = 0; (d = virtio_get(i)); i++)
		if (virtio_pci(d) && n-- == 0)
			return virtio_pci(d);
	for (i = 0; (r = virtio_refused(i)); i++)
		if (r->dev && r->kind != VIRTIO_REFUSED_LEGACY && virtio_pci(r->dev) && n-- == 0)
			return virtio_pci(r->dev);
	return NULL;
}

const char *vt_who(const struct virtio_device *d)
{
	static char text[64];

	snprintf(text, sizeof(text), "%s %s%s", d->name, virtio_id_name(d->id),
		 virtio_has(d, VIRTIO_F_RING_PACKED) ? " (packed)" : "");
	return text;
}

uint8_t vt_add_status(struct virtio_device *d, uint8_t bit)
{
	d->ops->set_status(d, d->ops->get_status(d) | bit);
	return d->ops->get_status(d);
}

bool vt_clear_status(struct virtio_device *d)
{
	d->ops->set_status(d, 0);
	return wait_for(d->ops->get_status(d) == 0, ANSWER_NS);
}

void vt_must_reset(struct test_ctx *t, struct virtio_device *d)
{
	require(t, vt_clear_status(d), "%s: status 0x%02x long after a reset", vt_who(d),
		d->ops->get_status(d));
}

int vt_try_up(struct virtio_device *d, const struct bring_up *how)
{
	uint16_t i;
	int ret = virtio_accept(d, how->features | VIRTIO_BIT(VIRTIO_F_VERSION_1) |
					   VIRTIO_BIT(VIRTIO_F_ACCESS_PLATFORM));

	if (ret)
		return ret;
	d->num_queues = d->max_queues;
	d->place = how->place;
	memset(&d->irqs, 0, sizeof(d->irqs));
	ret = d->ops->irq_setup(d, how->irq);
	for (i = 0; i < d->max_queues && !ret; i++)
		if (d->max_size[i])
			ret = virtio_queue_setup(d, i, how->size);
	if (!ret && !how->no_driver_ok)
		ret = virtio_driver_ok(d);
	return ret;
}

void vt_up(struct test_ctx *t, struct virtio_device *d, const struct bring_up *how)
{
	const int ret = vt_try_up(d, how);

	if (ret)
		test_error(t, "%s: initialisation failed (%s): %s", vt_who(d), err_text(ret),
			   d->error);
}

int vt_up_misplaced(struct test_ctx *t, struct virtio_device *d, uint64_t features, uint16_t queue,
		    unsigned int part, uint64_t to)
{
	dma_addr_t at[3];
	int refused, ret;
	uint16_t i;

	if (d->max_size[queue] < VT_MISPLACED)
		test_skip(t, "%s: queue %u has %u entries at most, %u are wanted", vt_who(d), queue,
			  d->max_size[queue], VT_MISPLACED);

	if (virtio_accept(d, features | VIRTIO_BIT(VIRTIO_F_VERSION_1) |
				     VIRTIO_BIT(VIRTIO_F_ACCESS_PLATFORM)))
		test_error(t, "%s: %s", d->name, d->error);
	d->num_queues = d->max_queues;
	if (d->ops->irq_setup(d, VIRTIO_IRQ_POLL))
		test_error(t, "%s: %s", d->name, d->error);
	for (i = 0; i < d->max_queues; i++)
		if (i != queue && d->max_size[i] && virtio_queue_setup(d, i, 0))
			test_error(t, "%s: %s", d->name, d->error);
	d->vq[queue] = vq_create(d, queue, VT_MISPLACED);
	if (!d->vq[queue])
		test_error(t, "no memory for a queue");
	vq_addresses(d->vq[queue], &at[0], &at[1], &at[2]);
	at[part] = to;
	refused = d->ops->queue_enable(d, queue, VT_MISPLACED, at[0], at[1], at[2]);
	ret = virtio_driver_ok(d);
	return refused ? refused : ret;
}

/* --- the fixture: devices in reset, memory given back ------------------------------------- */

#define MAX_DMA 16

static struct {
	struct virtio_device *d;
	void *p;
	size_t size;
	dma_addr_t addr;
} taken[MAX_DMA];
static unsigned int num_taken;

uint8_t *vt_dma(struct test_ctx *t, struct virtio_device *d, size_t size, dma_addr_t *addr)
{
	void *p;

	if (num_taken == MAX_DMA)
		test_error(t, "more than %u DMA areas", MAX_DMA);
	p = dma_alloc(&d->dev, size, 4096, addr);
	if (!p)
		test_error(t, "no memory for a DMA area of %u bytes", (unsigned int)size);
	taken[num_taken].d = d;
	taken[num_taken].p = p;
	taken[num_taken].size = size;
	taken[num_taken++].addr = *addr;
	return p;
}

/* The area that an earlier set-up of the same device had: its rings are gone by now. */
static uint8_t *reuse_dma(struct virtio_device *d, size_t size, dma_addr_t *addr)
{
	unsigned int i;

	for (i = 0; i < num_taken; i++) {
		if (taken[i].d != d || taken[i].size != size)
			continue;
		*addr = taken[i].addr;
		return taken[i].p;
	}
	return NULL;
}

#define MAX_STUCK 8

/* Devices whose last reset by vt_reset_all() did not end. */
static struct virtio_device *stuck[MAX_STUCK];
static unsigned int num_stuck;
static char stuck_text[160];

static bool is_stuck(const struct virtio_device *d)
{
	unsigned int i;

	for (i = 0; i < num_stuck; i++)
		if (stuck[i] == d)
			return true;
	return num_stuck == MAX_STUCK; /* the list is full: nobody is known to be in reset */
}

/*
 * Gives back the areas of devices in reset. A device whose reset does not end may still write to its own, so
 * these stay taken until a later reset ends.
 */
static void free_dma(void)
{
	unsigned int i, held = 0;

	for (i = 0; i < num_taken; i++) {
		if (is_stuck(taken[i].d))
			taken[held++] = taken[i];
		else
			dma_free(&taken[i].d->dev, taken[i].p, taken[i].size, taken[i].addr);
	}
	num_taken = held;
}
void vt_reset_all(void)
{
	struct virtio_device *d;
	unsigned int i;

	num_stuck = 0;
	for (i = 0; (d = vt_device(i)); i++) {
		d->on_queue = NULL;
		d->on_config = NULL;
		if (!virtio_reset(d))
			continue;
		snprintf(stuck_text, sizeof(stuck_text), "%s: %s; its memory stays taken", d->name,
			 d->error);
		if (num_stuck < MAX_STUCK)
			stuck[num_stuck++] = d;
	}
	free_dma();
}

static const char *in_reset(void)
{
	return num_stuck ? stuck_text : NULL;
}

/*
 * What is known of the devices of actors. One that left a buffer unused gets a reset and one plain buffer behind
 * the test; if that one is not used either, later tests say so at once instead of waiting again.
 */
struct health {
	struct virtio_device *d;
	bool silent, dead;
	const char *last_good; /* id of the test in which a buffer was used last */
};
static struct health health[16];
static unsigned int num_health;
static const char *current; /* id of the test that brought an actor up last */

static const char never[] = "the boot";
static const char dead_text[] = "%s: nothing has worked since %s";

static struct health *health_of(struct virtio_device *d)
{
	static struct health rest; /* of devices past the table: never dead */
	unsigned int i;

	for (i = 0; i < num_health; i++)
		if (health[i].d == d)
			return &health[i];
	if (num_health == sizeof(health) / sizeof(health[0]))
		return &rest;
	health[num_health].d = d;
	health[num_health].last_good = never;
	return &health[num_health++];
}

/* --- actors ------------------------------------------------------------------------------ */

#define RX_BUFFERS 4
#define RX_SIZE	   1024u
#define RX_OFF	   (ACTOR_MEM - RX_BUFFERS * RX_SIZE) /* receive buffers at the end of mem */
#define RX_GUARD   64u /* bytes at the end of each that the device is not given */
#define RNG_LEN	   64u
#define PATTERN	   0xa5

struct config_of {
	struct virtio_device *d;
};

static int read_config(void *arg, uint32_t off, void *buf, uint32_t len)
{
	return virtio_config_read(((struct config_of *)arg)->d, off, buf, len);
}

static int write_config(void *arg, uint32_t off, const void *buf, uint32_t len)
{
	struct virtio_device *d = ((struct config_of *)arg)->d;

	return d->ops->config_write(d, off, buf, len);
}

static bool vsock_cid(struct virtio_device *d, uint64_t *cid)
{
	static struct vsock_config cfg;
	struct config_of arg = { d };
	const struct vsock_config_io io = { read_config, write_config, d->ops->config_len(d),
					    &arg };
	enum vsock_layout layout = VSOCK_LAYOUT_AUTO;
	const char *name = cmdline_get("vsock.layout");
	char why[96];

	if (name && vsock_layout_parse(name, &layout))
		return false;
	if (vsock_config_load(&io, layout, !!(d->offered & VIRTIO_BIT(VSOCK_F_INDEXED_CID)), &cfg,
			      why, sizeof(why)))
		return false;
	*cid = cfg.guest[0];
	return true;
}

/* Whether actor n is this device's, by the layout of its rings; n counts down otherwise. */
static bool is_nth(struct actor *a, enum rings rings, unsigned int *n)
{
	const bool offers = a->d->offered & VIRTIO_BIT(VIRTIO_F_RING_PACKED);
	const bool usual = offers && virtio_packed_wanted();
	const bool has[] = {
		rings == RINGS_USUAL ? !usual : rings != RINGS_PACKED,
		rings == RINGS_USUAL ? usual : offers && rings != RINGS_SPLIT,
	};
	unsigned int packed;

	for (packed = 0; packed < 2; packed++) {
		if (!has[packed])
			continue;
		a->packed = packed;
		if ((*n)-- == 0)
			return true;
	}
	return false;
}

bool actor_of(unsigned int n, enum rings rings, struct actor *a)
{
	struct virtio_device *d;
	unsigned int i;

	for (i = 0; (d = virtio_find(VIRTIO_ID_RNG, i)); i++) {
		*a = (struct actor){ .d = d, .writes = true, .len = RNG_LEN };
		if (is_nth(a, rings, &n))
			return true;
	}
	for (i = 0; (d = virtio_find(VIRTIO_ID_VSOCK, i)); i++) {
		*a = (struct actor){ .d = d, .queue = 1, .len = sizeof(struct vsock_hdr) };
		if (d->max_queues >= 2 && vsock_cid(d, &a->cid) && is_nth(a, rings, &n))
			return true;
	}
	*a = (struct actor){ 0 };
	return false;
}

bool actor_get(unsigned int n, struct actor *a)
{
	return actor_of(n, RINGS_USUAL, a);
}

struct virtio_pci *actor_on_pci(unsigned int n, struct actor *a)
{
	unsigned int i;

	for (i = 0; actor_get(i, a); i++)
		if (virtio_pci(a->d) && n-- == 0)
			return virtio_pci(a->d);
	return NULL;
}

void actor_need(struct test_ctx *t)
{
	struct actor a;

	if (!actor_get(0, &a))
		test_skip(t, "no device that acts on a buffer: neither rng nor a usable vsock");
}

void actor_tried(struct test_ctx *t, unsigned int tried, const char *what)
{
	actor_need(t);
	if (!tried)
		test_skip(t, "no rng or vsock device %s", what);
}

static void post_rx(struct actor *a)
{
	struct virtqueue *rx = a->d->vq[0];
	struct vq_seg seg = { .len = RX_SIZE - RX_GUARD };

	memset(a->mem + RX_OFF, PATTERN, RX_BUFFERS * RX_SIZE);
	for (; vq_in_flight(rx) < RX_BUFFERS && vq_free_count(rx);) {
		seg.buf = a->mem + RX_OFF + vq_in_flight(rx) * RX_SIZE;
		if (vq_add(rx, NULL, 0, &seg, 1, seg.buf))
			return;
	}
	vq_kick(rx);
}

static bool take_rst(struct actor *a);

static void bring_actor_up(struct test_ctx *t, struct actor *a, const struct bring_up *how)
{
	struct bring_up h = *how;
	uint32_t skew = (uint32_t)test_random(t);

	h.no_driver_ok = true; /* the receive buffers come first */
	if (a->packed)
		h.features |= VIRTIO_BIT(VIRTIO_F_RING_PACKED);
	vt_up(t, a->d, &h);
	a->vq = a->d->vq[a->queue];
	a->posted = 0;
	a->taken = 0;
	if (vq_raw_stage(a->vq, 0, &(const struct vq_raw_desc){ 0 }))
		test_error(t, "no memory for a queue of %u", vq_size(a->vq));
	a->port = 0xf0000000u | (skew & 0xfffffff); /* another one than the run before */
	a->mem = reuse_dma(a->d, ACTOR_MEM, &a->addr);
	if (!a->mem)
		a->mem = vt_dma(t, a->d, ACTOR_MEM, &a->addr);
	if (!how->no_driver_ok && virtio_driver_ok(a->d))
		test_error(t, "%s: %s", a->d->name, a->d->error);
	if (a->queue && !how->no_driver_ok)
		post_rx(a);
}

/* Whether a plain request to a closed port is answered at all; asked once for each device. */
static bool is_mute(struct test_ctx *t, struct actor *a)
{
	static struct {
		const struct virtio_device *d;
		bool mute;
	} known[8];
	const struct bring_up plain = { .irq = VIRTIO_IRQ_POLL };
	unsigned int i;

	for (i = 0; i < 8 && known[i].d; i++)
		if (known[i].d == a->d)
			return known[i].mute;
	if (health_of(a->d)->silent) /* it is waited for often enough in this test */
		return false;
	bring_actor_up(t, a, &plain);
	actor_prepare(a, false);
	if (!actor_round(a) || i == 8)
		return false;
	known[i].d = a->d;
	known[i].mute = !wait_for(take_rst(a), ANSWER_NS / 2);
	if (known[i].mute)
		test_note(t, "%s: no RST for a request; only the use of buffers is judged",
			  a->d->name);
	return known[i].mute;
}

void actor_up(struct test_ctx *t, struct actor *a, const struct bring_up *how)
{
	const struct health *h = health_of(a->d);

	if (h->dead)
		test_error(t, dead_text, a->d->name, h->last_good);
	current = test_self(t)->id;
	if (!a->writes)
		a->mute = is_mute(t, a);
	bring_actor_up(t, a, how);
}

void actor_prepare(struct actor *a, bool quiet)
{
	struct vsock_hdr *h = (struct vsock_hdr *)a->mem;

	if (a->writes) {
		memset(a->mem, PATTERN, RX_OFF);
		return;
	}
	a->port++;
	*h = (struct vsock_hdr){
		.src_cid = cpu_to_le64(a->cid),
		.dst_cid = cpu_to_le64(VSOCK_CID_HOST),
		.src_port = cpu_to_le32(a->port),
		.dst_port = cpu_to_le32(0xfffffff0u),
		.type = cpu_to_le16(VSOCK_STREAM),
		.op = cpu_to_le16(quiet ? VSOCK_OP_RST : VSOCK_OP_REQUEST),
		.buf_alloc = cpu_to_le32(65536),
	};
}

uint16_t actor_flags(const struct actor *a)
{
	return a->writes ? VRING_DESC_F_WRITE : 0;
}

void actor_desc(struct actor *a, uint16_t i, uint32_t off, uint32_t len, uint16_t flags,
		uint16_t next)
{
	const struct vq_raw_desc d = { a->addr + off, len, flags, next };

	(void)vq_raw_stage(a->vq, i, &d); /* the first one's memory is taken in actor_up() */
}

void actor_entry(struct actor *a, void *table, uint16_t i, uint32_t off, uint32_t len,
		 uint16_t flags, uint16_t next)
{
	const struct vq_raw_desc d = { a->addr + off, len, flags, next };

	vq_raw_entry(a->vq, table, i, &d);
}

void actor_post(struct actor *a, uint16_t head)
{
	vq_raw_post(a->vq, &head, 1);
	a->posted++;
}

void actor_post_batch(struct actor *a, uint16_t n)
{
	static uint16_t heads[32768];
	uint16_t k;

	for (k = 0; k < n; k++)
		heads[k] = k;
	vq_raw_post(a->vq, heads, n);
	a->posted += n;
}

#define LOOK_NS	  (100 * MSEC)
#define QUIET_MIN (20 * MSEC)
#define QUIET_MAX (500 * MSEC)

static uint64_t slowest; /* answer of a device; what was long ago counts less */

static void note_answer(uint64_t ns)
{
	slowest -= slowest / 16;
	slowest = ns > slowest ? ns : slowest;
}

uint64_t vt_quiet_ns(void)
{
	const uint64_t ns = 4 * slowest;

	return ns < QUIET_MIN ? QUIET_MIN : ns > QUIET_MAX ? QUIET_MAX : ns;
}

unsigned int actor_wait(struct actor *a, unsigned int n, uint64_t ns)
{
	const deadline_t end = deadline_in(ns);
	const uint64_t start = time_now();

	/* A device that has given up uses nothing more. */
	while (!wait_for(vq_raw_used_count(a->vq) >= n, ns < LOOK_NS ? ns : LOOK_NS) &&
	       !deadline_passed(end) && !(a->d->ops->get_status(a->d) & VIRTIO_S_NEEDS_RESET))
		;
	if (vq_raw_used_count(a->vq) < n) {
		health_of(a->d)->silent |= ns >= ANSWER_NS;
		return vq_raw_used_count(a->vq);
	}
	note_answer(time_now() - start);
	if (n)
		health_of(a->d)->last_good = current;
	return n;
}

void actor_used(struct actor *a, unsigned int k, uint32_t *id, uint32_t *len)
{
	vq_raw_used(a->vq, k, id, len);
}

struct vq_split *actor_split(struct actor *a)
{
	return vq_split(a->vq);
}

struct vq_packed *actor_packed(struct actor *a)
{
	return vq_packed(a->vq);
}

void actor_done(struct actor *a, unsigned int n)
{
	vq_raw_take(a->vq, n);
	a->taken += n;
}

bool actor_used_in_time(struct actor *a)
{
	actor_desc(a, 0, 0, a->len, actor_flags(a), 0);
	actor_post(a, 0);
	vq_notify(a->vq);
	return actor_wait(a, 1, ANSWER_NS) == 1;
}

bool actor_round(struct actor *a)
{
	if (!actor_used_in_time(a))
		return false;
	actor_done(a, 1);
	return true;
}

void actor_one(struct test_ctx *t, struct actor *a)
{
	actor_prepare(a, true);
	require(t, actor_round(a), "%s: a buffer is not used in time", actor_who(a));
}

static bool is_our_rst(const struct actor *a, const void *buf, uint32_t len)
{
	const struct vsock_hdr *h = buf;

	return len >= sizeof(*h) && le16_to_cpu(h->op) == VSOCK_OP_RST &&
	       le32_to_cpu(h->dst_port) == a->port && le64_to_cpu(h->dst_cid) == a->cid;
}

static bool take_rst(struct actor *a)
{
	struct virtqueue *rx = a->d->vq[0];
	bool found = false;
	uint32_t len;
	void *buf;

	while (vq_get(rx, &buf, &len) == 1) {
		const struct vq_seg seg = { buf, RX_SIZE - RX_GUARD };

		found |= is_our_rst(a, buf, len);
		vq_add(rx, NULL, 0, &seg, 1, buf);
	}
	vq_kick(rx);
	return found;
}

bool actor_understood(struct actor *a, uint32_t used_len)
{
	uint32_t i;

	if (!a->writes)
		return a->mute || wait_for(take_rst(a), ANSWER_NS);
	/* 5.4.6.2: at least one byte is written. A few may be the pattern by chance. */
	if (used_len < 8)
		return used_len > 0;
	/* 2.7.8.2: the first used_len bytes are written. */
	for (i = 0; i < used_len && i < RX_OFF; i++)
		if (a->mem[i] != PATTERN)
			return true;
	return false;
}

bool actor_acted(struct actor *a)
{
	uint32_t i;

	if (!a->writes)
		return take_rst(a);
	for (i = 0; i < a->len; i++)
		if (a->mem[i] != PATTERN)
			return true;
	return false;
}

uint64_t actor_interrupts(const struct actor *a)
{
	return __atomic_load_n(&a->d->irqs.shared, __ATOMIC_RELAXED) +
	       __atomic_load_n(&a->d->irqs.queue[a->queue], __ATOMIC_RELAXED);
}

const char *actor_who(const struct actor *a)
{
	static char text[64];

	snprintf(text, sizeof(text), "%s, %s", vt_who(a->d), virtio_irq_name(a->d->irq_mode));
	return text;
}

bool actor_mode_up(struct test_ctx *t, unsigned int n, const struct bring_up *how, struct actor *a)
{
	static const enum virtio_irq_mode modes[] = { VIRTIO_IRQ_MSIX, VIRTIO_IRQ_MSIX1,
						      VIRTIO_IRQ_INTX };
	struct bring_up h = *how;
	unsigned int i, m;

	for (i = 0; actor_of(i, how->rings, a); i++)
		for (m = 0; m < 3; m++) {
			if (virtio_reset(a->d))
				test_error(t, "%s: %s", a->d->name, a->d->error);
			a->d->num_queues = a->d->max_queues;
			if ((how->features & ~a->d->offered) ||
			    a->d->ops->irq_setup(a->d, modes[m]))
				continue;
			a->d->ops->irq_teardown(a->d);
			if (n--)
				continue;
			h.irq = modes[m];
			actor_up(t, a, &h);
			return true;
		}
	return false;
}

static bool is_pattern(const uint8_t *p, uint32_t n)
{
	while (n && *p == PATTERN) {
		p++;
		n--;
	}
	return n == 0;
}

bool actor_in_bounds(const struct actor *a)
{
	const uint32_t step = a->writes ? RX_OFF : RX_SIZE,
		       guard = a->writes ? RX_OFF - a->len : RX_GUARD;
	uint32_t end;

	for (end = a->writes ? RX_OFF : RX_OFF + RX_SIZE; end <= ACTOR_MEM; end += step) {
		if (!is_pattern(a->mem + end - guard, guard))
			return false;
		if (a->writes)
			break;
	}
	return true;
}

/* --- the fixture ------------------------------------------------------------------------- */

static int set_up(void)
{
	vt_reset_all();
	return 0;
}

/* Whether one plain buffer is used, by a device that comes fresh out of its reset. */
static bool works_again(struct virtio_device *d)
{
	const struct bring_up plain = { .irq = VIRTIO_IRQ_POLL, .no_driver_ok = true };
	struct actor a = { 0 };
	unsigned int i;
	bool works;

	for (i = 0; actor_get(i, &a) && a.d != d; i++)
		;
	if (!a.d || a.d != d || vt_try_up(d, &plain))
		return false;
	a.vq = d->vq[a.queue];
	a.mem = dma_alloc(&d->dev, ACTOR_MEM, 4096, &a.addr);
	if (!a.mem || vq_raw_stage(a.vq, 0, &(const struct vq_raw_desc){ 0 }))
		return true; /* not known: no word against the device */
	actor_prepare(&a, true);
	works = !virtio_driver_ok(d) && actor_round(&a);
	if (virtio_reset(d))
		return false; /* the memory stays the device's */
	dma_free(&d->dev, a.mem, ACTOR_MEM, a.addr);
	return works;
}

void vt_settle(void)
{
	unsigned int i;

	vt_reset_all();
	for (i = 0; i < num_health; i++) {
		struct health *h = &health[i];

		if (!h->silent || h->dead)
			continue;
		h->silent = false;
		h->dead = !works_again(h->d);
		if (!h->dead)
			continue;
		test_fail_around(dead_text, h->d->name, h->last_good);
		if (h->last_good != never) /* else a new boot would show the same */
			test_want_reboot("a virtio device uses no buffer any more");
	}
}
FIXTURE(virtio_suites, .suite = "virtio.", .setup = set_up, .teardown = vt_settle,
	.check = in_reset);
