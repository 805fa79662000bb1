/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/ref/dev/virtio_pci.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/virtio_config.h>

#include "host/ref/dev/faults.h"
#include "host/ref/dev/log.h"
#include "host/ref/dev/usock.h"
#include "host/ref/dev/virtio_admin.h"

#define BIT(n)	  (1ull << (n))
#define SHOW_NS	  100000000ll
#define SETTLE_NS 200000ll /* from an eventfd that is read to the interrupt */

enum {
	F_NOTIFICATION_DATA = 38,
	F_NOTIF_CONFIG_DATA = 39,
	F_RING_RESET = 40,
	F_ADMIN_VQ = 41,
	F_SUSPEND = 43,
	S_ACKNOWLEDGE = 1,
	S_DRIVER_OK = 4,
	S_FEATURES_OK = 8,
	S_SUSPEND = 16,
	S_NEEDS_RESET = 64,
	ISR_QUEUE = 1,
	ISR_CONFIG = 2,
};

/* --- the layout --- */

enum {
	BAR_MSIX = 0,
	BAR_VIRTIO = 2,		      /* and 3 */
	BAR_SHARED = VPCI_SHARED_BAR, /* and the next one */
	PBA = 16 * PCI_MAX_VECTORS,
	BAR_MSIX_SIZE = 2 * PBA,
	COMMON = 0,
	COMMON_SIZE = 64,
	ISR = 0x1000,
	ISR_SIZE = 1,
	CONFIG = 0x2000,
	NOTIFY = 0x4000,
	NOTIFY_SIZE = 0x1000,
	NOTIFY_STEP = 4, /* bytes between two queues' addresses */
	BAR_VIRTIO_SIZE = 0x8000,
	SHARED_SIZE = 0x10000,
};

enum {
	CAP_COMMON = 1,
	CAP_NOTIFY = 2,
	CAP_ISR = 3,
	CAP_DEVICE = 4,
	CAP_WINDOW = 5,
	CAP_SHARED = 8,
	CAP_VENDOR = 9,
	CAP_ID_VENDOR = 9,
	/* Their places in configuration space. */
	AT_COMMON = PCI_CAP_FREE,
	AT_NOTIFY = AT_COMMON + 16,
	AT_ISR = AT_NOTIFY + 20,
	AT_DEVICE = AT_ISR + 16,
	AT_WINDOW = AT_DEVICE + 16,
	AT_SHARED = AT_WINDOW + 20,
	AT_VENDOR = AT_SHARED + 24,
	AT_END = AT_VENDOR + 12,
};
_Static_assert((int)AT_END <= 256, "capabilities fit");

static void put_cap(struct virtio_pci *v, unsigned int at, unsigned int next, uint8_t type,
		    uint8_t bar, uint32_t offset, uint32_t length)
{
	struct pci_function *f = &v->pci;

	f->config[at] = CAP_ID_VENDOR;
	f->config[at + 1] = (uint8_t)next;
	f->config[at + 2] = (uint8_t)((next ? next : AT_END) - at);
	f->config[at + 3] = type;
	f->config[at + 4] = bar;
	pci_put32(f, at + 8, offset);
	pci_put32(f, at + 12, length);
}

/* Faults: capabilities that break a rule. */
static void spoil_caps(struct virtio_pci *v)
{
	struct pci_function *f = &v->pci;

	if (fault(F_VFIO_NOTIFY_CAP_LEN))
		f->config[AT_NOTIFY + 2] = 16;
	if (fault(F_VFIO_SHM_OUTSIDE_BAR))
		pci_put32(f, AT_SHARED + 12, 2 * SHARED_SIZE);
	if (fault(F_VFIO_VENDOR_IS_VIRTIO))
		pci_put16(f, AT_VENDOR + 4, 0x1af4);
	if (fault(F_VFIO_VENDOR_LEN))
		f->config[AT_VENDOR + 2] = 10;
	if (fault(F_VFIO_REVISION_0))
		f->config[PCI_REVISION] = 0;
	if (fault(F_VFIO_SUBSYSTEM_LOW))
		pci_put16(f, PCI_SUBSYSTEM, 19);
	if (fault(F_VFIO_CAP_WRITABLE))
		f->writable[AT_NOTIFY + 16] = 0xff;
	if (fault(F_VFIO_CAPS_OVERLAP))
		f->config[AT_SHARED + 2] += 4;
	if (fault(F_VFIO_NOTIFY_SHORT))
		pci_put32(f, AT_NOTIFY + 12, NOTIFY_STEP * (DEV_QUEUES - 1));
}

static void put_caps(struct virtio_pci *v)
{
	struct pci_function *f = &v->pci;

	put_cap(v, AT_COMMON, AT_NOTIFY, CAP_COMMON, BAR_VIRTIO, COMMON, COMMON_SIZE);
	put_cap(v, AT_NOTIFY, AT_ISR, CAP_NOTIFY, BAR_VIRTIO, NOTIFY, NOTIFY_SIZE);
	pci_put32(f, AT_NOTIFY + 16, NOTIFY_STEP);
	put_cap(v, AT_ISR, AT_DEVICE, CAP_ISR, BAR_VIRTIO, ISR, ISR_SIZE);
	put_cap(v, AT_DEVICE, AT_WINDOW, CAP_DEVICE, BAR_VIRTIO, CONFIG,
		(uint32_t)v->d->config_space);
	put_cap(v, AT_WINDOW, AT_SHARED, CAP_WINDOW, 0, 0, 0);
	f->writable[AT_WINDOW + 4] = 0xff;
	memset(f->writable + AT_WINDOW + 8, 0xff, 12);
	put_cap(v, AT_SHARED, AT_VENDOR, CAP_SHARED, BAR_SHARED, 0, SHARED_SIZE);
	f->config[AT_SHARED + 5] = 1;
	/* Vendor data: 4.1.4.8; the vendor is nobody. */
	put_cap(v, AT_VENDOR, 0, CAP_VENDOR, 0, 0, 0);
	pci_put16(f, AT_VENDOR + 4, 0x1234);
	memcpy(f->config + AT_VENDOR + 6, "assay", 6);
	spoil_caps(v);
}

static void put_header(struct virtio_pci *v)
{
	struct pci_function *f = &v->pci;

	pci_put16(f, PCI_VENDOR, 0x1af4);
	pci_put16(f, PCI_DEVICE, 0x1040 + 19);
	pci_put16(f, PCI_SUBVENDOR, 0x1af4);
	pci_put16(f, PCI_SUBSYSTEM, 0x1100);
	f->config[PCI_REVISION] = 1;
	f->config[PCI_CLASS + 1] = 0x80; /* a communication device of no other kind */
	f->config[PCI_CLASS + 2] = 0x07;
	pci_put32(f, PCI_CAP_MSIX + 4, BAR_MSIX);
	pci_put32(f, PCI_CAP_MSIX + 8, BAR_MSIX | PBA);
	pci_function_bar(f, BAR_MSIX, BAR_MSIX_SIZE, false, false);
	pci_function_bar(f, BAR_VIRTIO, BAR_VIRTIO_SIZE, true, false);
	pci_function_bar(f, BAR_SHARED, SHARED_SIZE, true, true);
}

/* --- interrupts --- */

static void update_line(struct virtio_pci *v)
{
	pci_set_intx(&v->pci, v->isr && !pci_msix_on(&v->pci));
}

static bool running(const struct virtio_pci *v)
{
	return v->status & S_DRIVER_OK;
}

static void interrupt(struct virtio_pci *v, uint8_t cause, uint16_t vector)
{
	if (vector == VPCI_NO_VECTOR && pci_msix_on(&v->pci) && fault(F_VFIO_NO_VECTOR_IS_0))
		vector = 0;
	if (vector != VPCI_NO_VECTOR && vector >= 8 && fault(F_VFIO_HIGH_VECTOR))
		vector %= 8;
	if (cause == ISR_CONFIG && fault(F_VFIO_ISR_CONFIG_BIT))
		cause = ISR_QUEUE;
	if (pci_msix_on(&v->pci)) {
		/* 4.1.4.5.1: a config change is shown in ISR all the same. */
		v->isr |= cause & ISR_CONFIG;
		if (cause == ISR_QUEUE && fault(F_VFIO_ISR_CONFIG_ALWAYS))
			v->isr |= ISR_CONFIG;
		if (v->isr && fault(F_VFIO_STATUS_WITH_MSIX))
			pci_set_intx(&v->pci, true);
		pci_raise_vector(&v->pci, vector);
		return;
	}
	v->isr |= cause;
	update_line(v);
}

static void on_used(void *arg, unsigned int queue)
{
	struct virtio_pci *v = arg;

	interrupt(v, ISR_QUEUE, v->queue[queue].vector);
}

static void notify_config(struct virtio_pci *v)
{
	if (v->was_suspended && running(v) && fault(F_VFIO_RESUME_SILENT))
		return;
	if (running(v) || (v->status & S_SUSPEND && fault(F_VFIO_SUSPENDED_CONFIG)))
		interrupt(v, ISR_CONFIG, v->config_vector);
}

/* However many changes there are: never the generation that the driver saw when it read the configuration. */
static void next_generation(struct virtio_pci *v)
{
	if (!fault(F_VFIO_GENERATION) && ++v->generation == v->generation_read &&
	    !fault(F_VFIO_GENERATION_WRAPS))
		v->generation++;
}

/* False: the guest is told by the time that this returns. */
static bool on_config_changed(void *arg)
{
	struct virtio_pci *v = arg;

	next_generation(v);
	notify_config(v);
	return false;
}

/* --- life --- */

static void begin_wait(struct virtio_pci *v, struct vpci_wait *w)
{
	/* Nothing was signalled since the last time: nothing can be under way. */
	w->on = v->signals_settled != v->pci.signals;
	w->until_ns = rd_now_ns() + SHOW_NS;
	w->taken_ns = 0;
}

static bool waits(struct virtio_pci *v, struct vpci_wait *w)
{
	const int64_t now = rd_now_ns();

	if (!w->on)
		return false;
	if (!w->taken_ns && pci_signals_taken(&v->pci))
		w->taken_ns = now;
	if (now < w->until_ns && !(w->taken_ns && now >= w->taken_ns + SETTLE_NS))
		return true;
	w->on = false;
	v->signals_settled = v->pci.signals;
	return false;
}

/* The device works while the driver wants it to, and while it may reach memory. */
static void update_pause(struct virtio_pci *v)
{
	const bool master = pci_masters(&v->pci) ||
			    (running(v) && fault(F_VFIO_BUS_MASTER_IGNORED));
	if (running(v) && !(pci_get16(&v->pci, PCI_COMMAND) & PCI_COMMAND_MASTER))
		v->master_lost = true;
	const bool may = !(master && v->master_lost && fault(F_VFIO_MASTER_STAYS_OFF)) &&
			 (running(v) || (v->status & S_SUSPEND && fault(F_VFIO_SUSPENDED_RUNS))) &&
			 master;

	if (may && v->d->paused)
		v->d->look_at_tx = true;
	v->d->paused = !may;
}

static uint64_t address(const struct vpci_queue *q, unsigned int part)
{
	return q->addr[2 * part] | (uint64_t)q->addr[2 * part + 1] << 32;
}

static struct ring *ring_of(struct virtio_pci *v, unsigned int i)
{
	return i == VPCI_ADMIN ? &v->admin : &v->d->ring[i];
}

static int start_ring(struct virtio_pci *v, unsigned int i, struct ring *r)
{
	if (i == VPCI_ADMIN)
		return ring_start(r, ring_new_base(r));
	return device_ring_start(v->d, i, ring_new_base(r));
}

static void stop_ring(struct virtio_pci *v, unsigned int i)
{
	if (i == VPCI_ADMIN)
		ring_stop(&v->admin);
	else
		device_ring_reset(v->d, i);
}

void virtio_pci_memory_changed(struct virtio_pci *v)
{
	device_memory_changed(v->d);
	if (v->admin.running && ring_map(&v->admin))
		ring_stop(&v->admin);
}

static void start_queue(struct virtio_pci *v, unsigned int i)
{
	const struct vpci_queue *q = &v->queue[i];
	struct ring *r = ring_of(v, i);

	if (v->started[i] || !running(v))
		return;
	if (!q->enabled && !(q->addr[0] && fault(F_VFIO_DISABLED_RUNS)))
		return;
	r->num = q->size;
	r->desc_uva = address(q, 0);
	r->avail_uva = address(q, 1);
	r->used_uva = address(q, 2);
	v->started[i] = start_ring(v, i, r) == 0;
}

static void start_queues(struct virtio_pci *v)
{
	for (unsigned int i = 0; i < VPCI_QUEUES; i++)
		start_queue(v, i);
}

static void reset_queue(struct virtio_pci *v, unsigned int i)
{
	struct vpci_queue *q = &v->queue[i];

	const struct vpci_queue old = *q;

	memset(q, 0, sizeof(*q));
	q->size = VPCI_QUEUE_SIZE;
	q->vector = VPCI_NO_VECTOR;
	v->started[i] = false;
	if (old.size && old.size != q->size && fault(F_VFIO_QUEUE_SIZE_KEPT))
		q->size = old.size;
	if (old.enabled && fault(F_VFIO_QUEUE_ENABLE_KEPT))
		q->enabled = true;
	if (i == DEV_EVENT && old.size && old.vector != q->vector && fault(F_VFIO_VECTOR_KEPT))
		q->vector = old.vector;
}

static void device_status_zero(struct virtio_pci *v)
{
	device_stop(v->d);
	if (v->d->changed_in_reset)
		next_generation(v);
	v->d->changed_in_reset = false;
	ring_stop(&v->admin);
	for (unsigned int i = 0; i < VPCI_QUEUES; i++)
		reset_queue(v, i);
	v->driver_features = 0;
	v->device_select = v->driver_select = 0;
	v->select = 0;
	if (!fault(F_VFIO_CONFIG_VECTOR_KEPT))
		v->config_vector = VPCI_NO_VECTOR;
	v->broke = !v->broke && v->status & S_NEEDS_RESET;
	v->status = 0;
	v->was_suspended = false;
	v->master_lost = false;
	v->isr = 0;
	if (!(pci_any_pending(&v->pci) && fault(F_VFIO_RESET_KEEPS_PENDING)))
		pci_drop_pending(&v->pci);
	update_line(v);
	update_pause(v);
}

static void show_later(struct virtio_pci *v, uint8_t before)
{
	v->status_shown = before;
	begin_wait(v, &v->status_waits);
}

void virtio_pci_reset(struct virtio_pci *v)
{
	pci_function_power_on(&v->pci);
	device_status_zero(v);
	v->status_waits.on = false;
}

static bool negotiated(const struct virtio_pci *v, unsigned int feature)
{
	return v->status & S_FEATURES_OK && v->driver_features & BIT(feature);
}

static void suspend(struct virtio_pci *v)
{
	const uint8_t before = v->status;

	v->status = (uint8_t)((before | S_SUSPEND) & ~S_DRIVER_OK);
	if (fault(F_VFIO_SUSPEND_DRIVER_OK))
		v->status |= S_DRIVER_OK;
	if (v->isr && fault(F_OUTSIDE3_FR_SUSPEND_DROPS_ISR)) {
		v->isr = 0;
		update_line(v);
	}
	v->was_suspended = true;
	v->d->changes_while_paused = fault_on(F_VFIO_SUSPENDED_CONFIG);
	show_later(v, before);
	update_pause(v);
}

/* What of the config changed meanwhile changes now, and is notified (3.4.2). */
static void resume(struct virtio_pci *v)
{
	struct ring *tx = &v->d->ring[DEV_TX];

	if (!tx->packed && tx->chains && fault(F_VFIO_RESUME_AGAIN))
		tx->last_avail--;
	v->status = (uint8_t)((v->status | S_DRIVER_OK) & ~S_SUSPEND);
	if (fault(F_VFIO_RESUME_FORGETS))
		v->status &= (uint8_t)~S_ACKNOWLEDGE;
	update_pause(v);
	if (fault(F_VFIO_RESUME_DEAD))
		v->d->paused = true;
}

/* 2.2.1, 6.1 MUST of the driver: it takes what was offered only, and VERSION_1. */
static bool features_forbidden(const struct virtio_pci *v)
{
	return v->driver_features & ~v->offered || !(v->driver_features & BIT(VIRTIO_F_VERSION_1));
}

static void set_features(struct virtio_pci *v)
{
	const struct ring *like = &v->d->ring[DEV_TX];
	struct ring *r = &v->admin;

	device_set_features(v->d, v->driver_features);
	if (fault(F_VFIO_ADMIN_FEATURES))
		return;
	r->event_idx = like->event_idx;
	r->indirect_ok = like->indirect_ok;
	r->packed = like->packed;
	r->batches = like->batches;
}

/* Fault vfio.driver_ok_again: the last buffer of tx is available once more. */
static void start_again(struct virtio_pci *v)
{
	struct ring *tx = &v->d->ring[DEV_TX];

	if (tx->packed || !tx->chains || !fault(F_VFIO_DRIVER_OK_AGAIN))
		return;
	tx->last_avail--;
	v->d->look_at_tx = true;
}

static void write_status(struct virtio_pci *v, uint8_t s)
{
	const uint8_t before = v->status;

	v->status_waits.on = false;
	if (s == before && running(v))
		start_again(v);
	if (s == 0) {
		device_status_zero(v);
		show_later(v, before);
		return;
	}
	if (before & S_SUSPEND) {
		if (s & S_DRIVER_OK || fault(F_VFIO_RESUMED_BY_ANY))
			resume(v);
		return;
	}
	if (s & S_FEATURES_OK && !(before & S_FEATURES_OK) &&
	    (features_forbidden(v) || (v->refused && fault(F_VFIO_FEATURES_REFUSED)))) {
		v->refused = true;
		s &= (uint8_t)~S_FEATURES_OK;
	}
	if (!(s & S_FEATURES_OK))
		s &= (uint8_t)~S_DRIVER_OK;
	v->status = (uint8_t)((s & ~S_SUSPEND) | (before & S_NEEDS_RESET));
	if (v->broke && fault(F_OUTSIDE3_FR_NEEDS_RESET_STICKS))
		v->status |= S_NEEDS_RESET;
	if (s & S_FEATURES_OK && !(before & S_FEATURES_OK))
		set_features(v);
	if (running(v) && !(before & S_DRIVER_OK)) {
		update_pause(v);
		start_queues(v);
	}
	if (s & S_SUSPEND && (negotiated(v, F_SUSPEND) || fault(F_VFIO_SUSPEND_UNASKED)) &&
	    (before & S_DRIVER_OK || fault(F_VFIO_SUSPEND_EARLY)))
		suspend(v);
	else if (before & S_DRIVER_OK && negotiated(v, F_SUSPEND) && fault(F_VFIO_SUSPEND_AGAIN))
		suspend(v);
}

static uint8_t read_status(struct virtio_pci *v)
{
	return waits(v, &v->status_waits) ? v->status_shown : v->status;
}

/* Fault vfio.shm_streams: the header of the packet that came last lies in the shared memory. */
static void stream_to_shared(struct virtio_pci *v)
{
	const struct device *d = v->d;

	if (d->headers_total && fault(F_VFIO_SHM_STREAMS))
		memcpy(v->shared, d->headers[(d->headers_total - 1) % DEV_HEADERS],
		       sizeof(d->headers[0]));
}

void virtio_pci_after_run(struct virtio_pci *v)
{
	if (fault_on(F_VFIO_SHM_STREAMS) && running(v))
		stream_to_shared(v);
	for (unsigned int i = 0; i < VPCI_QUEUES; i++) {
		if (!ring_of(v, i)->broken || !v->started[i])
			continue;
		if (v->status & S_NEEDS_RESET && !fault(F_VFIO_NEEDS_RESET_AGAIN))
			continue;
		if (i == DEV_RX && fault(F_VFIO_NEEDS_RESET_NOT_RX))
			continue;
		if (fault(F_VFIO_NEEDS_RESET_MISSING))
			continue;
		v->status |= S_NEEDS_RESET;
		if (!fault(F_VFIO_NEEDS_RESET_SILENT))
			notify_config(v);
	}
}

/* --- the common configuration --- */

enum common_register {
	DEVICE_FEATURE_SELECT = 0,
	DEVICE_FEATURE = 4,
	DRIVER_FEATURE_SELECT = 8,
	DRIVER_FEATURE = 12,
	CONFIG_MSIX_VECTOR = 16,
	NUM_QUEUES = 18,
	DEVICE_STATUS = 20,
	CONFIG_GENERATION = 21,
	QUEUE_SELECT = 22,
	QUEUE_SIZE = 24,
	QUEUE_MSIX_VECTOR = 26,
	QUEUE_ENABLE = 28,
	QUEUE_NOTIFY_OFF = 30,
	QUEUE_ADDRESS = 32, /* 3 of 64 bits, accessed as halves */
	QUEUE_NOTIF_CONFIG_DATA = 56,
	QUEUE_RESET = 58,
	ADMIN_QUEUE_INDEX = 60,
	ADMIN_QUEUE_NUM = 62,
};

static struct vpci_queue *selected(struct virtio_pci *v)
{
	if (v->select == VPCI_QUEUES && fault(F_VFIO_QUEUE_SELECT))
		return &v->queue[VPCI_QUEUES - 1];
	return v->select < VPCI_QUEUES ? &v->queue[v->select] : NULL;
}

static uint32_t word(uint64_t features, uint32_t select)
{
	if (select >= 2 && fault(F_VFIO_FEATURE_SELECT))
		select %= 2;
	return select < 2 ? (uint32_t)(features >> 32 * select) : 0;
}

/* What the driver writes to notify a queue, with NOTIF_CONFIG_DATA. */
static uint16_t cookie(unsigned int queue)
{
	return (uint16_t)(0x1d00 + 7 * queue);
}

static unsigned int width_of(unsigned int at)
{
	if (at < CONFIG_MSIX_VECTOR || (at >= QUEUE_ADDRESS && at < QUEUE_NOTIF_CONFIG_DATA))
		return 4;
	return at == DEVICE_STATUS || at == CONFIG_GENERATION ? 1 : 2;
}

static uint32_t read_queue(struct virtio_pci *v, unsigned int at)
{
	struct vpci_queue *q = selected(v);

	if (!q)
		return at == QUEUE_MSIX_VECTOR ? VPCI_NO_VECTOR : 0;
	if (at >= QUEUE_ADDRESS && at < QUEUE_NOTIF_CONFIG_DATA)
		return q->addr[(at - QUEUE_ADDRESS) / 4];
	switch (at) {
	case QUEUE_SIZE:
		return q->size;
	case QUEUE_MSIX_VECTOR:
		return v->select && fault(F_VFIO_VECTOR_OF_QUEUE_0) ? v->queue[0].vector :
								      q->vector;
	case QUEUE_ENABLE:
		return q->enabled;
	case QUEUE_NOTIFY_OFF:
		return v->select;
	case QUEUE_NOTIF_CONFIG_DATA:
		return negotiated(v, F_NOTIF_CONFIG_DATA) ? cookie(v->select) : 0;
	case QUEUE_RESET:
		if (q->odd) {
			v->queue[v->select].odd = false;
			return 2;
		}
		if (q->enabled && q->was_reset && fault(F_VFIO_QUEUE_RESET_STAYS))
			return 1;
		return waits(v, &q->resetting);
	default:
		return 0;
	}
}

static uint32_t read_common(struct virtio_pci *v, unsigned int at)
{
	switch (at) {
	case DEVICE_FEATURE_SELECT:
		return v->device_select;
	case DEVICE_FEATURE:
		return word(v->offered, v->device_select);
	case DRIVER_FEATURE_SELECT:
		return v->driver_select;
	case DRIVER_FEATURE:
		return word(v->driver_features,
			    fault(F_VFIO_DRIVER_FEATURE) ? v->device_select : v->driver_select);
	case CONFIG_MSIX_VECTOR:
		return v->config_vector;
	case NUM_QUEUES:
		return DEV_QUEUES;
	case DEVICE_STATUS:
		return read_status(v);
	case CONFIG_GENERATION:
		return v->generation;
	case QUEUE_SELECT:
		return v->select;
	case ADMIN_QUEUE_INDEX:
		return fault(F_VFIO_ADMIN_INDEX) ? VPCI_ADMIN - 1 : VPCI_ADMIN;
	case ADMIN_QUEUE_NUM:
		return fault(F_VFIO_ADMIN_NUM) ? UINT16_MAX : 1;
	default:
		return read_queue(v, at);
	}
}

static uint16_t vector_for(const struct virtio_pci *v, uint32_t value)
{
	if (value == v->pci.vectors && fault(F_VFIO_VECTOR_BEYOND))
		return (uint16_t)value;
	return value < v->pci.vectors ? (uint16_t)value : VPCI_NO_VECTOR;
}

/* Fault vfio.queue_reset_skips: what waits on tx when another queue is reset is lost, the first of it. */
static void spoil_tx(struct virtio_pci *v)
{
	struct ring *tx = &v->d->ring[DEV_TX];

	if (!tx->packed && ring_pending(tx) && fault(F_VFIO_QUEUE_RESET_SKIPS))
		tx->last_avail++;
}

static void reset_one_queue(struct virtio_pci *v)
{
	if (!negotiated(v, F_RING_RESET))
		return;
	if (!fault(F_VFIO_QUEUE_RESET_RUNS))
		stop_ring(v, v->select);
	reset_queue(v, v->select);
	if (v->select + 1u < DEV_QUEUES && v->queue[v->select + 1].enabled &&
	    fault(F_OUTSIDE2_VS_QUEUE_RESET_TWO)) {
		stop_ring(v, v->select + 1);
		reset_queue(v, v->select + 1);
	}
	if (v->select != DEV_TX)
		spoil_tx(v);
	begin_wait(v, &v->queue[v->select].resetting);
	v->queue[v->select].odd = fault(F_VFIO_QUEUE_RESET_2);
	v->queue[v->select].was_reset = true;
}

/* 2.8.10.1: packed rings have any size. */
static bool size_allowed(const struct virtio_pci *v, uint32_t size)
{
	return size && size <= VPCI_QUEUE_SIZE &&
	       (!(size & (size - 1)) || negotiated(v, VIRTIO_F_RING_PACKED));
}

static void write_queue(struct virtio_pci *v, unsigned int at, uint32_t value)
{
	struct vpci_queue *q = selected(v);

	if (!q && at == QUEUE_SIZE && fault(F_VFIO_QUEUE_BEYOND))
		q = &v->queue[0];
	if (!q) {
		if (at == QUEUE_ENABLE && fault(F_HOSTILE_NO_QUEUE_STICKS))
			v->d->ring[DEV_TX].lame = true;
		return;
	}
	if (at == QUEUE_MSIX_VECTOR) {
		q->vector = vector_for(v, value);
	} else if (at == QUEUE_RESET) {
		if (value == 1)
			reset_one_queue(v);
	} else if (q->enabled) {
		return; /* 4.1.4.3.2: configured before it is enabled */
	} else if (at == QUEUE_SIZE) {
		if (size_allowed(v, value) &&
		    !(value < VPCI_QUEUE_SIZE && fault(F_VFIO_QUEUE_SIZE_IGNORED)))
			q->size = (uint16_t)value;
		if (fault(F_VFIO_SIZE_TAKES_VECTOR))
			q->vector = VPCI_NO_VECTOR;
	} else if (at >= QUEUE_ADDRESS && at < QUEUE_NOTIF_CONFIG_DATA) {
		q->addr[(at - QUEUE_ADDRESS) / 4 ^ fault(F_VFIO_HALVES_SWAPPED)] = value;
	} else if ((at == QUEUE_ENABLE ||
		    (at == QUEUE_NOTIFY_OFF && fault(F_VFIO_READ_ONLY_ENABLES))) &&
		   value == 1) {
		q->enabled = true;
		q->resetting.on = false;
		start_queue(v, v->select);
	}
}

static void write_features(struct virtio_pci *v, uint32_t value)
{
	const unsigned int shift = 32 * v->driver_select;

	/* 2.2: they are settled with FEATURES_OK. */
	if (v->driver_select > 1 || v->status & S_FEATURES_OK)
		return;
	v->driver_features &= ~((uint64_t)UINT32_MAX << shift);
	v->driver_features |= (uint64_t)value << shift;
}

static void write_common(struct virtio_pci *v, unsigned int at, uint32_t value)
{
	/* 3.4.2 SHOULD: but for the status, nothing changes while suspended. */
	if (v->status & S_SUSPEND && !fault(F_VFIO_SUSPENDED_WRITES) && at != DEVICE_STATUS &&
	    at != QUEUE_SELECT && at != DEVICE_FEATURE_SELECT && at != DRIVER_FEATURE_SELECT)
		return;
	switch (at) {
	case DEVICE_FEATURE_SELECT:
		v->device_select = value;
		break;
	case DRIVER_FEATURE_SELECT:
		v->driver_select = value;
		break;
	case DRIVER_FEATURE:
		write_features(v, value);
		if (fault(F_VFIO_FEATURES_TAKE_VECTOR))
			v->config_vector = VPCI_NO_VECTOR;
		break;
	case CONFIG_MSIX_VECTOR:
		v->config_vector = vector_for(v, value);
		break;
	case DEVICE_STATUS:
		write_status(v, (uint8_t)value);
		if (fault(F_VFIO_STATUS_TAKES_SELECT))
			v->select = (uint16_t)value;
		break;
	case QUEUE_SELECT:
		v->select = (uint16_t)value;
		break;
	default:
		write_queue(v, at, value);
	}
}

static uint32_t load(const uint8_t *p, uint32_t len)
{
	uint32_t value = 0;

	for (uint32_t i = 0; i < len; i++)
		value |= (uint32_t)p[i] << 8 * i;
	return value;
}

static void store(uint8_t *p, uint32_t len, uint32_t value)
{
	for (uint32_t i = 0; i < len; i++)
		p[i] = (uint8_t)(value >> 8 * i);
}

/* 4.1.3.1 MUST of the driver: in the width of each field, 64-bit ones by halves. Otherwise 0 is read, or nothing written. */
static bool wrong_width(uint32_t off, uint32_t len)
{
	return len != width_of(off) || off % len;
}

static void common_read(struct virtio_pci *v, uint32_t off, uint8_t *buf, uint32_t len)
{
	if (!wrong_width(off, len))
		store(buf, len, read_common(v, off));
}

static void common_write(struct virtio_pci *v, uint32_t off, const uint8_t *buf, uint32_t len)
{
	if (!wrong_width(off, len))
		write_common(v, off, load(buf, len));
}

/* --- the other structures --- */

static void config_read(struct virtio_pci *v, uint32_t off, uint8_t *buf, uint32_t len)
{
	const uint32_t size = (uint32_t)v->d->config_space;

	memset(buf, 0, len);
	v->generation_read = v->generation;
	if (off % 8 == 4 && len == 4 && fault(F_VFIO_CONFIG_HALVES))
		off -= 4;
	device_config_read(v->d, off, buf, len < size - off ? len : size - off);
}

static void config_write(struct virtio_pci *v, uint32_t off, const uint8_t *buf, uint32_t len)
{
	const uint32_t size = (uint32_t)v->d->config_space;

	if (len > size - off || v->status & S_SUSPEND)
		return;
	device_config_write(v->d, off, buf, len);
}

/* The queue that a notification names; VPCI_QUEUES: none. */
static unsigned int notified(const struct virtio_pci *v, uint32_t value)
{
	unsigned int i = 0;

	if (!negotiated(v, F_NOTIF_CONFIG_DATA))
		return value & 0xffff;
	if (fault(F_VFIO_COOKIE_IGNORED))
		return value & 0xffff;
	while (i < VPCI_QUEUES && cookie(i) != (value & 0xffff))
		i++;
	return i;
}

static void kick(struct virtio_pci *v, unsigned int queue)
{
	if (queue != VPCI_ADMIN)
		device_kick(v->d, queue);
	else if (v->started[VPCI_ADMIN] && (!v->d->paused || fault(F_VFIO_ADMIN_BUS_MASTER)) &&
		 !fault(F_VFIO_ADMIN_DEAD))
		virtio_admin_run(&v->admin, &v->d->chain);
}

/* Fault outside3.fr_notify_data_wrap: the driver's position is a smaller number than the device's. */
static bool is_behind(const struct ring *r, uint32_t next)
{
	if (!r->running)
		return false;
	return r->packed ? (next & 0x7fff) < r->next_avail.slot : next < r->last_avail;
}

/* 4.1.5.2: 16 bits at the queue's own address, or 32 with NOTIFICATION_DATA. */
static void notify(struct virtio_pci *v, uint32_t off, const uint8_t *buf, uint32_t len)
{
	const uint32_t width = negotiated(v, F_NOTIFICATION_DATA) ? 4 : 2;
	unsigned int queue = notified(v, load(buf, len < 4 ? len : 4));

	if (len == 4 && width == 4 && load(buf, 4) >> 16 && fault(F_VFIO_NOTIFICATION_DATA))
		queue = load(buf, 4);

	if (len != width || queue >= VPCI_QUEUES || off != queue * NOTIFY_STEP) {
		if (queue >= VPCI_QUEUES && fault(F_HOSTILE_NUMBER_STICKS))
			v->d->ring[DEV_TX].lame = true;
		rd_debug("%s: a notification of %u bytes at %u is no queue's", v->d->name, len,
			 off);
		return;
	}
	if (width == 4 && is_behind(ring_of(v, queue), load(buf, 4) >> 16) &&
	    fault(F_OUTSIDE3_FR_NOTIFY_DATA_WRAP))
		return;
	if (running(v) || (v->status & S_SUSPEND && fault_on(F_VFIO_SUSPENDED_RUNS)))
		kick(v, queue);
	else if (fault_on(F_HOSTILE_KICK_AFTER_RESET) && !v->status)
		device_kick_in_reset(v->d);
}

static void read_isr(struct virtio_pci *v, uint8_t *buf, uint32_t len)
{
	memset(buf, 0, len);
	buf[0] = v->isr;
	if (v->isr && fault(F_VFIO_ISR_KEPT))
		return;
	v->isr = 0;
	update_line(v);
}

/* Below `from` the difference, which is unsigned, is larger than any structure. */
static bool inside(uint64_t off, uint64_t from, uint64_t size)
{
	return off - from < size;
}

/* Fault vfio.bar_fixed: the BAR is not where it was when the driver wrote the first register. */
static bool moved(struct virtio_pci *v)
{
	const uint32_t base = pci_get32(&v->pci, PCI_BAR0 + 4 * BAR_VIRTIO);

	if (!v->first_base && v->status)
		v->first_base = base;
	return v->first_base && v->first_base != base;
}

static void bar_read(void *arg, unsigned int bar, uint64_t off, void *buf, uint32_t len)
{
	struct virtio_pci *v = arg;

	memset(buf, 0, len);
	if (bar == BAR_VIRTIO && moved(v) && fault(F_VFIO_BAR_FIXED)) {
		memset(buf, 0xff, len);
		return;
	}
	if (bar == BAR_SHARED)
		memcpy(buf, (const uint8_t *)v->shared + off, len);
	else if (bar == BAR_MSIX && off >= PBA)
		pci_read_pba(&v->pci, off - PBA, buf, len);
	else if (bar != BAR_VIRTIO)
		return;
	else if (inside(off, COMMON, COMMON_SIZE))
		common_read(v, (uint32_t)off - COMMON, buf, len);
	else if (off == ISR)
		read_isr(v, buf, len);
	else if (inside(off, CONFIG, v->d->config_space))
		config_read(v, (uint32_t)off - CONFIG, buf, len);
}

static void bar_write(void *arg, unsigned int bar, uint64_t off, const void *buf, uint32_t len)
{
	struct virtio_pci *v = arg;

	if (bar == BAR_SHARED)
		memcpy((uint8_t *)v->shared + off, buf, len);
	else if (bar != BAR_VIRTIO)
		return;
	else if (inside(off, COMMON, COMMON_SIZE))
		common_write(v, (uint32_t)off - COMMON, buf, len);
	else if (inside(off, CONFIG, v->d->config_space))
		config_write(v, (uint32_t)off - CONFIG, buf, len);
	else if (inside(off, NOTIFY, NOTIFY_SIZE))
		notify(v, (uint32_t)off - NOTIFY, buf, len);
}

/* --- the window in configuration space (4.1.4.9) --- */

/* 4.1.4.9.2 MUST NOT of the driver: what a device does with such a window is its choice. */
static bool window_forbidden(uint8_t bar, uint32_t off, uint32_t len)
{
	return (len != 1 && len != 2 && len != 4) || bar >= PCI_BARS || off % len;
}

/* Bytes of the window; 0: it points nowhere. */
static uint32_t window(const struct virtio_pci *v, uint8_t *bar, uint32_t *off)
{
	const struct pci_function *f = &v->pci;
	const uint32_t len = pci_get32(f, AT_WINDOW + 12);

	*bar = f->config[AT_WINDOW + 4];
	*off = pci_get32(f, AT_WINDOW + 8);
	if (window_forbidden(*bar, *off, len))
		return 0;
	return inside(*off, 0, f->bar_size[*bar]) ? len : 0;
}

static bool meets_data(unsigned int at, unsigned int len)
{
	return at < AT_WINDOW + 20 && at + len > AT_WINDOW + 16;
}

/* Fault vfio.window_registers_only. */
static bool unreached(uint8_t bar)
{
	return bar == BAR_SHARED && fault(F_VFIO_WINDOW_REGISTERS_ONLY);
}

static void cap_read(void *arg, unsigned int at, unsigned int len)
{
	struct virtio_pci *v = arg;
	uint32_t off, size;
	uint8_t bar;

	if (at >= AT_VENDOR && at < AT_END && fault(F_VFIO_VENDOR_READ))
		v->pci.config[AT_END - 1]++;
	if ((!meets_data(at, len) && !(len <= 4 && fault(F_VFIO_WINDOW_EAGER))) || len > 4)
		return; /* the VMM's look at all of it is no access to the window */
	size = window(v, &bar, &off);
	if (size && !unreached(bar))
		bar_read(v, bar, off, v->pci.config + AT_WINDOW + 16, size);
}

static void cap_written(void *arg, unsigned int at, unsigned int len)
{
	struct virtio_pci *v = arg;
	uint32_t off, size;
	uint8_t bar;

	if (!meets_data(at, len))
		return;
	size = window(v, &bar, &off);
	if (size == 2 && fault(F_VFIO_WINDOW_WIDTH))
		size = 1;
	if (size && !unreached(bar))
		bar_write(v, bar, off, v->pci.config + AT_WINDOW + 16, size);
}

static void on_changed(void *arg)
{
	struct virtio_pci *v = arg;

	update_pause(v);
	if (!(v->isr && pci_msix_on(&v->pci) && fault(F_VFIO_STATUS_OVER_MSIX)))
		update_line(v);
}

static void on_reset(void *arg)
{
	if (!fault(F_VFIO_FLR_KEEPS_STATUS))
		device_status_zero(arg);
}

static const struct pci_function_ops function_ops = {
	.bar_read = bar_read,
	.bar_write = bar_write,
	.cap_read = cap_read,
	.cap_written = cap_written,
	.changed = on_changed,
	.reset = on_reset,
};

static int no_shared_memory(struct virtio_pci *v)
{
	int ret;

	v->shared_fd = memfd_create("shared", MFD_CLOEXEC);
	if (v->shared_fd < 0)
		return -errno;
	if (!ftruncate(v->shared_fd, SHARED_SIZE)) {
		v->shared = mmap(NULL, SHARED_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
				 v->shared_fd, 0);
		if (v->shared != MAP_FAILED)
			return 0;
	}
	ret = -errno;
	usock_close(&v->shared_fd);
	return ret;
}

int virtio_pci_init(struct virtio_pci *v, struct device *d, unsigned int vectors)
{
	memset(v, 0, sizeof(*v));
	v->d = d;

	const int err = no_shared_memory(v);

	if (err)
		return err;
	v->offered = device_features(d) | BIT(F_NOTIFICATION_DATA) | BIT(F_NOTIF_CONFIG_DATA) |
		     BIT(F_RING_RESET) | BIT(F_ADMIN_VQ) | BIT(F_SUSPEND);
	if (fault(F_VFIO_ONE_VECTOR))
		vectors = 1;
	if (fault(F_VFIO_SR_IOV))
		v->offered |= BIT(37);
	pci_function_init(&v->pci, vectors, &function_ops, v);
	put_header(v);
	put_caps(v);
	d->config_changed = on_config_changed;
	d->config_arg = v;
	ring_init(&v->admin, VPCI_ADMIN, "admin", &d->mem);
	for (unsigned int i = 0; i < VPCI_QUEUES; i++) {
		struct ring *r = ring_of(v, i);

		r->interrupt = on_used;
		r->interrupt_arg = v;
		r->enabled = true;
	}
	virtio_pci_reset(v);
	return 0;
}

void virtio_pci_free(struct virtio_pci *v)
{
	pci_function_close(&v->pci);
	munmap(v->shared, SHARED_SIZE);
	usock_close(&v->shared_fd);
}
