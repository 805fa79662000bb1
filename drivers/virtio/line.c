/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupt lines that several devices may share: each attached device is asked. */
#include <errno.h>
#include <stddef.h>

#include "drivers/virtio/transport.h"
#include "lib/irq.h"

#define MAX_LINES 8
#define MAX_USERS 8
/* Nobody's interrupts in a row after which a stuck line is masked, so that the CPU gets on. */
#define MAX_STRAY 1000

struct line {
	uint32_t gsi;
	int vector; /* 0: unused entry */
	unsigned int stray;
	bool level, active_low;
	struct {
		struct virtio_device *d;
		virtio_line_fn handler;
	} user[MAX_USERS];
};

static struct line lines[MAX_LINES];

static void on_line(void *arg)
{
	struct line *l = arg;
	bool ours = false;
	unsigned int i;

	for (i = 0; i < MAX_USERS; i++)
		if (l->user[i].d && l->user[i].handler(l->user[i].d))
			ours = true;
	l->stray = ours ? 0 : l->stray + 1;
	if (ours)
		return;
	for (i = 0; i < MAX_USERS; i++)
		if (l->user[i].d)
			__atomic_fetch_add(&l->user[i].d->irqs.unexpected, 1, __ATOMIC_RELAXED);
	if (l->stray >= MAX_STRAY) /* also where somebody unmasked it since */
		irq_gsi_mask(l->gsi, true);
}

static struct line *find_line(uint32_t gsi)
{
	struct line *unused = NULL;
	unsigned int i;

	for (i = 0; i < MAX_LINES; i++) {
		if (lines[i].vector && lines[i].gsi == gsi)
			return &lines[i];
		if (!lines[i].vector && !unused)
			unused = &lines[i];
	}
	return unused;
}

static int open_line(struct line *l, uint32_t gsi, bool level, bool active_low)
{
	const int vector = irq_alloc(on_line, l);
	int ret;

	if (vector < 0)
		return vector;
	ret = irq_gsi_route(gsi, vector, 0, level, active_low);
	if (ret) {
		irq_free(vector);
		return ret;
	}
	l->gsi = gsi;
	l->vector = vector;
	l->stray = 0;
	l->level = level;
	l->active_low = active_low;
	return 0;
}

int virtio_line_attach(struct virtio_device *d, uint32_t gsi, bool level, bool active_low,
		       virtio_line_fn handler)
{
	struct line *l = find_line(gsi);
	unsigned int i;
	bool on;
	int ret;

	if (!l)
		return -ENOSPC;
	if (!l->vector) {
		ret = open_line(l, gsi, level, active_low);
		if (ret)
			return ret;
	}
	for (i = 0; i < MAX_USERS && l->user[i].d; i++)
		;
	if (i == MAX_USERS)
		return -ENOSPC;
	on = irq_save();
	l->user[i].handler = handler;
	l->user[i].d = d;
	irq_restore(on);
	return irq_gsi_mask(gsi, false);
}

static void close_if_unused(struct line *l)
{
	unsigned int i;

	for (i = 0; i < MAX_USERS; i++)
		if (l->user[i].d)
			return;
	irq_gsi_mask(l->gsi, true);
	irq_free(l->vector);
	l->vector = 0;
}

void virtio_line_detach(struct virtio_device *d)
{
	unsigned int i, k;
	bool on;

	for (i = 0; i < MAX_LINES; i++) {
		if (!lines[i].vector)
			continue;
		on = irq_save();
		for (k = 0; k < MAX_USERS; k++)
			if (lines[i].user[k].d == d)
				lines[i].user[k].d = NULL;
		irq_restore(on);
		close_if_unused(&lines[i]);
	}
}

static struct line *line_of(const struct virtio_device *d)
{
	unsigned int i, k;

	for (i = 0; i < MAX_LINES; i++)
		for (k = 0; lines[i].vector && k < MAX_USERS; k++)
			if (lines[i].user[k].d == d)
				return &lines[i];
	return NULL;
}

int virtio_line_ctl(struct virtio_device *d, enum virtio_irq_ctl what, unsigned int arg)
{
	const struct line *l = line_of(d);
	int ret;

	if (!l)
		return -EOPNOTSUPP;
	/* An edge at a masked pin is lost (82093AA, 3.2.4): only a level is kept. */
	if (what == VIRTIO_IRQ_MASK && l->level)
		return irq_gsi_mask(l->gsi, arg);
	if (what != VIRTIO_IRQ_STEER)
		return -EOPNOTSUPP;
	ret = irq_gsi_route(l->gsi, l->vector, arg, l->level, l->active_low);
	return ret ? ret : irq_gsi_mask(l->gsi, false);
}
