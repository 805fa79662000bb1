/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/fake_virtio.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/virtio/transport.h"
#include "lib/cmdline.h"
#include "lib/mem.h"
#include "lib/mmio.h"
#include "lib/test.h"
#include "lib/time.h"

/* --- lib/ without a machine ------------------------------------------------------------ */

const char *fake_cmdline_key, *fake_cmdline_value;
uint64_t fake_time_step = 10 * USEC;
uint64_t fake_sec = SEC;
unsigned int fake_fail;
static size_t pages_out, pages_kept;
static long maps_out;
static size_t synced;

static bool fails(void)
{
	return fake_fail && --fake_fail == 0;
}

/* Who links with --wrap has these in place of the C library's; fuzzers don't. */
void *__real_calloc(size_t n, size_t size) __attribute__((weak));
void *__real_malloc(size_t size) __attribute__((weak));

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *mem_pages(size_t n, size_t align)
{
	void *p = fails() ? NULL : aligned_alloc(align, n * PAGE_SIZE);

	if (!p)
		return NULL;
	memset(p, 0, n * PAGE_SIZE);
	pages_out += n * PAGE_SIZE;
	return p;
}

void mem_pages_free(void *p, size_t n)
{
	if (!p)
		return;
	pages_out -= n * PAGE_SIZE;
	free(p);
}

void mem_keep(size_t n)
{
	pages_kept += n;
}

size_t fake_pages_kept(void)
{
	return pages_kept;
}

size_t fake_pages_out(void)
{
	return pages_out;
}

long fake_maps_out(void)
{
	return maps_out;
}

size_t fake_synced(void)
{
	const size_t n = synced;

	synced = 0;
	return n;
}

uint64_t time_now(void)
{
	static uint64_t now;

	now += fake_time_step;
	return now;
}

uint64_t time_sec(void)
{
	return fake_sec;
}

void cpu_relax(void)
{
}

bool wait_more(struct wait *w)
{
	return time_now() - w->start < w->ns;
}

const char *cmdline_get(const char *key)
{
	return fake_cmdline_key && strcmp(key, fake_cmdline_key) == 0 ? fake_cmdline_value : NULL;
}

char fake_env[512];

void env_line(const char *key, const char *fmt, ...)
{
	const int n = snprintf(fake_env, sizeof(fake_env), "%s: ", key);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(fake_env + n, sizeof(fake_env) - (size_t)n, fmt, ap);
	va_end(ap);
}

/* A back end that only counts, on top of each device's own. */
static void *count_alloc(struct dma_layer *l, size_t size, size_t align, dma_addr_t *addr)
{
	return l->lower->ops->alloc(l->lower, size, align, addr);
}

static void count_free(struct dma_layer *l, void *p, size_t size, dma_addr_t addr)
{
	l->lower->ops->free(l->lower, p, size, addr);
}

static int count_map(struct dma_layer *l, void *buf, size_t len, enum dma_dir dir, dma_addr_t *addr)
{
	if (fails())
		return -EIO;
	maps_out++;
	return l->lower->ops->map(l->lower, buf, len, dir, addr);
}

static void count_unmap(struct dma_layer *l, dma_addr_t addr, void *buf, size_t len,
			enum dma_dir dir)
{
	maps_out--;
	l->lower->ops->unmap(l->lower, addr, buf, len, dir);
}

static void count_sync(struct dma_layer *l, dma_addr_t addr, void *buf, size_t len,
		       enum dma_dir dir)
{
	(void)l;
	(void)addr;
	(void)buf;
	synced += len;
	if (dir != DMA_FROM_DEVICE)
		abort();
}

static void no_sync(struct dma_layer *l, dma_addr_t addr, void *buf, size_t len, enum dma_dir dir)
{
	(void)l;
	(void)addr;
	(void)buf;
	(void)len;
	(void)dir;
}

static const struct dma_ops counting_ops = {
	.name = "counting",
	.alloc = count_alloc,
	.free = count_free,
	.map = count_map,
	.unmap = count_unmap,
	.sync_for_cpu = count_sync,
	.sync_for_device = no_sync,
};

bool fake_restricted;

static int count(struct device *d)
{
	static struct dma_ops restricted;

	restricted = counting_ops;
	restricted.restricted = true;
	return dma_push(d, fake_restricted ? &restricted : &counting_ops, NULL);
}

static struct device_policy counting = { .attach = count };

/* --- transport ------------------------------------------------------------------------- */

static struct fake_device *to_fake(struct virtio_device *d)
{
	return d->transport;
}

static void forget_queues(struct fake_device *f)
{
	unsigned int i;

	for (i = 0; i < VIRTIO_MAX_QUEUES; i++)
		f->q[i] = (struct fake_queue){ .max = f->q[i].max };
}

static uint8_t fake_get_status(struct virtio_device *d)
{
	struct fake_device *f = to_fake(d);

	if (f->resetting) {
		f->resetting--;
		return f->status ? f->status : VIRTIO_S_ACKNOWLEDGE;
	}
	return f->status;
}

static void fake_set_status(struct virtio_device *d, uint8_t status)
{
	struct fake_device *f = to_fake(d);

	if (f->num_status < sizeof(f->status_log))
		f->status_log[f->num_status++] = status;
	if (status == 0 && f->never_resets)
		return;
	if (status == 0) {
		f->resetting = f->slow_reset;
		f->accepted = 0;
		forget_queues(f);
	}
	if (f->refuse_features_ok)
		status &= (uint8_t)~VIRTIO_S_FEATURES_OK;
	if (f->drop_driver_ok)
		status &= (uint8_t)~VIRTIO_S_DRIVER_OK;
	if (f->refuse_driver_ok && (status & VIRTIO_S_DRIVER_OK))
		status |= VIRTIO_S_NEEDS_RESET;
	f->status = status;
}

static uint64_t fake_device_features(struct virtio_device *d)
{
	return to_fake(d)->offered;
}

static void fake_driver_features(struct virtio_device *d, uint64_t features)
{
	to_fake(d)->accepted = features;
}

static uint32_t fake_features_sel(struct virtio_device *d, uint32_t sel)
{
	return sel > 1 ? 0 : (uint32_t)(to_fake(d)->offered >> (32 * sel));
}

static uint32_t fake_generation(struct virtio_device *d)
{
	return to_fake(d)->generation;
}

static int fake_config_read(struct virtio_device *d, uint32_t off, void *buf, uint32_t len)
{
	struct fake_device *f = to_fake(d);

	if (off > f->config_len || len > f->config_len - off)
		return -ERANGE;
	memcpy(buf, f->config + off, len);
	if (f->torn_reads) {
		f->torn_reads--;
		f->generation++;
	}
	return 0;
}

static int fake_config_write(struct virtio_device *d, uint32_t off, const void *buf, uint32_t len)
{
	struct fake_device *f = to_fake(d);

	if (off > f->config_len || len > f->config_len - off)
		return -ERANGE;
	memcpy(f->config + off, buf, len);
	return 0;
}

static uint32_t fake_config_len(struct virtio_device *d)
{
	return to_fake(d)->config_len;
}

static uint16_t fake_queue_max(struct virtio_device *d, uint16_t queue)
{
	return queue < VIRTIO_MAX_QUEUES ? to_fake(d)->q[queue].max : 0;
}

static int fake_queue_enable(struct virtio_device *d, uint16_t queue, uint16_t size,
			     dma_addr_t desc, dma_addr_t driver, dma_addr_t device)
{
	struct fake_queue *q = &to_fake(d)->q[queue];

	if (to_fake(d)->refuse_enable)
		return -EIO;
	q->size = size;
	q->desc = phys_to_virt(desc);
	q->avail = phys_to_virt(driver);
	q->used = phys_to_virt(device);
	q->enabled = true;
	return 0;
}

static bool fake_queue_enabled(struct virtio_device *d, uint16_t queue)
{
	return to_fake(d)->q[queue].enabled;
}

static int fake_queue_reset(struct virtio_device *d, uint16_t queue)
{
	struct fake_queue *q = &to_fake(d)->q[queue];

	*q = (struct fake_queue){ .max = q->max };
	return 0;
}

static void fake_notify(struct virtio_device *d, uint16_t queue, uint32_t data)
{
	struct fake_device *f = to_fake(d);

	f->q[queue].notifies++;
	f->q[queue].notify_data = data;
	if (f->on_notify)
		f->on_notify(f, queue);
}

static int fake_irq_setup(struct virtio_device *d, enum virtio_irq_mode mode)
{
	to_fake(d)->irq_asked = (int)mode;
	if (mode > to_fake(d)->best_irq)
		return -ENOSPC;
	d->irq_mode = mode;
	return 0;
}

static void fake_irq_teardown(struct virtio_device *d)
{
	to_fake(d)->teardowns++;
}

static void fake_remove(struct virtio_device *d)
{
	(void)d;
}

static const struct virtio_transport_ops fake_ops = {
	.name = "fake",
	.get_status = fake_get_status,
	.set_status = fake_set_status,
	.device_features = fake_device_features,
	.driver_features = fake_driver_features,
	.device_features_sel = fake_features_sel,
	.config_generation = fake_generation,
	.config_read = fake_config_read,
	.config_write = fake_config_write,
	.config_len = fake_config_len,
	.queue_max = fake_queue_max,
	.queue_enable = fake_queue_enable,
	.queue_enabled = fake_queue_enabled,
	.queue_reset = fake_queue_reset,
	.notify = fake_notify,
	.irq_setup = fake_irq_setup,
	.irq_teardown = fake_irq_teardown,
	.remove = fake_remove,
};

void fake_init(struct fake_device *f, uint32_t id, uint64_t offered, unsigned int queues, bool add)
{
	unsigned int i;

	memset(f, 0, sizeof(*f));
	f->vdev.ops = &fake_ops;
	f->vdev.transport = f;
	f->vdev.id = id;
	device_init_none(&f->vdev.dev, "fake");
	f->vdev.name = f->vdev.dev.name;
	f->offered = offered;
	f->best_irq = VIRTIO_IRQ_MSIX;
	f->irq_asked = -1;
	f->config_len = sizeof(f->config);
	for (i = 0; i < queues && i < VIRTIO_MAX_QUEUES; i++)
		f->q[i].max = 64;
	device_policy_add(&counting);
	if (device_attach(&f->vdev.dev))
		abort();
	if (add && virtio_add(&f->vdev))
		abort();
	f->num_status = 0;
}

/* --- the device's side ----------------------------------------------------------------- */

static void add_seg(struct fake_chain *c, const struct vring_desc *d)
{
	const bool write = le16_to_cpu(d->flags) & VRING_DESC_F_WRITE;
	const uint32_t len = le32_to_cpu(d->len);

	if (c->n == FAKE_MAX_SEGS)
		return;
	c->seg[c->n].p = phys_to_virt(le64_to_cpu(d->addr));
	c->seg[c->n].len = len;
	c->seg[c->n].write = write;
	c->n++;
	if (write)
		c->writable += len;
	else
		c->readable += len;
}

static void walk(struct fake_chain *c, const struct vring_desc *table, uint16_t at,
		 unsigned int limit)
{
	const struct vring_desc *d;

	while (limit--) {
		d = &table[at];
		if (le16_to_cpu(d->flags) & VRING_DESC_F_INDIRECT) {
			c->indirect = true;
			walk(c, phys_to_virt(le64_to_cpu(d->addr)), 0,
			     le32_to_cpu(d->len) / (uint32_t)sizeof(*d));
		} else {
			add_seg(c, d);
		}
		if (!(le16_to_cpu(d->flags) & VRING_DESC_F_NEXT))
			return;
		at = le16_to_cpu(d->next);
	}
}

bool fake_pop(struct fake_device *f, uint16_t queue, struct fake_chain *c)
{
	struct fake_queue *q = &f->q[queue];

	if (!q->enabled || le16_to_cpu(READ_ONCE(q->avail->idx)) == q->last_avail)
		return false;
	rmb();
	memset(c, 0, sizeof(*c));
	c->head = le16_to_cpu(q->avail->ring[q->last_avail++ & (q->size - 1)]);
	if (f->accepted & VIRTIO_BIT(VIRTIO_F_EVENT_IDX)) {
		le16 *event = (le16 *)&q->used->ring[q->size];

		*event = cpu_to_le16(q->last_avail);
	}
	walk(c, q->desc, c->head, q->size);
	return true;
}

void fake_push(struct fake_device *f, uint16_t queue, uint32_t id, uint32_t len)
{
	struct fake_queue *q = &f->q[queue];
	const uint16_t idx = le16_to_cpu(q->used->idx);

	q->used->ring[idx & (q->size - 1)].id = cpu_to_le32(id);
	q->used->ring[idx & (q->size - 1)].len = cpu_to_le32(len);
	wmb();
	q->used->idx = cpu_to_le16((uint16_t)(idx + 1));
}

static uint32_t copy(const struct fake_chain *c, uint8_t *buf, uint32_t len, bool in)
{
	uint32_t done = 0, n;
	unsigned int i;

	for (i = 0; i < c->n && done < len; i++) {
		if (c->seg[i].write != in)
			continue;
		n = c->seg[i].len < len - done ? c->seg[i].len : len - done;
		if (in)
			memcpy(c->seg[i].p, buf + done, n);
		else
			memcpy(buf + done, c->seg[i].p, n);
		done += n;
	}
	return done;
}

uint32_t fake_copy_out(const struct fake_chain *c, void *buf, uint32_t len)
{
	return copy(c, buf, len, false);
}

uint32_t fake_copy_in(const struct fake_chain *c, const void *buf, uint32_t len)
{
	return copy(c, (uint8_t *)(uintptr_t)buf, len, true);
}
