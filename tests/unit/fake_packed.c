/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/fake_packed.h"

#include <string.h>

#include "lib/mem.h"
#include "lib/mmio.h"

void fake_packed_start(struct fake_packed *p, const struct fake_device *f, uint16_t queue)
{
	const struct fake_queue *q = &f->q[queue];

	*p = (struct fake_packed){
		.size = q->size,
		.desc = (struct pvring_desc *)q->desc,
		.driver = (struct pvring_event *)q->avail,
		.device = (struct pvring_event *)q->used,
		.avail_wrap = true,
		.used_wrap = true,
	};
}

static void skip(const struct fake_packed *p, uint16_t *slot, bool *wrap, uint16_t n)
{
	while (n--) {
		*slot = (uint16_t)((*slot + 1) % p->size);
		if (*slot == 0)
			*wrap = !*wrap;
	}
}

static void add_seg(struct fake_chain *c, const struct pvring_desc *d)
{
	const bool write = le16_to_cpu(d->flags) & VRING_DESC_F_WRITE;
	const uint32_t len = le32_to_cpu(d->len);

	if (c->n == FAKE_MAX_SEGS)
		return;
	c->seg[c->n].p = phys_to_virt(le64_to_cpu(d->addr));
	c->seg[c->n].len = len;
	c->seg[c->n++].write = write;
	*(write ? &c->writable : &c->readable) += len;
}

static void walk_table(struct fake_chain *c, const struct pvring_desc *d)
{
	const struct pvring_desc *e = phys_to_virt(le64_to_cpu(d->addr));
	uint32_t n = le32_to_cpu(d->len) / (uint32_t)sizeof(*e);

	c->indirect = true;
	for (; n--; e++)
		add_seg(c, e);
}

uint16_t fake_packed_pop(struct fake_packed *p, struct fake_chain *c)
{
	const struct pvring_desc *d = &p->desc[p->avail];
	uint16_t flags = le16_to_cpu(READ_ONCE(d->flags)), descs = 0;

	if (!!(flags & PVRING_DESC_F_AVAIL) != p->avail_wrap ||
	    !!(flags & PVRING_DESC_F_USED) == p->avail_wrap)
		return 0;
	rmb();
	memset(c, 0, sizeof(*c));
	do {
		d = &p->desc[p->avail];
		flags = le16_to_cpu(d->flags);
		if (flags & VRING_DESC_F_INDIRECT)
			walk_table(c, d);
		else
			add_seg(c, d);
		c->head = le16_to_cpu(d->id);
		skip(p, &p->avail, &p->avail_wrap, 1);
		descs++;
	} while (flags & VRING_DESC_F_NEXT && descs < p->size);
	return descs;
}

void fake_packed_push(struct fake_packed *p, uint16_t id, uint32_t len, uint16_t descs)
{
	struct pvring_desc *d = &p->desc[p->used];

	d->id = cpu_to_le16(id);
	d->len = cpu_to_le32(len);
	wmb();
	WRITE_ONCE(d->flags,
		   cpu_to_le16(p->used_wrap ? PVRING_DESC_F_AVAIL | PVRING_DESC_F_USED : 0));
	skip(p, &p->used, &p->used_wrap, descs);
}
