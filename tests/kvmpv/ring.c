/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Promise (RFCv2): the host touches no private page, whatever a driver tells it of one. The parts of a queue have their
 * addresses from registers and their lengths from its size (virtio 1.4, 2.7, 2.8): used_event and avail_event belong to
 * them.
 *
 * How a host breaks it: it looks at the page states for what descriptors name, and takes the rings as they are; or it
 * counts the rings' bytes wrong, so that the last ones are not looked at.
 *
 * How the test sees it: of one part of the tx queue the first bytes, or the last ones, lie in a private page, for each
 * part and each layout. The host says afterwards which frame it refused, and what it was to it.
 */
#include "tests/kvmpv/env.h"

#include <string.h>

#include "tests/virtio/util.h"

#define OWNER "host (memory protection), vsock device back end"
#define TX    1u
#define PARTS 3u
#define SIZE  VT_MISPLACED

/* By then a device has looked at a queue that it was notified of, and nobody tells the guest when. */
#define LOOKED_NS (test_sec() / 10)

/* Of a queue of SIZE entries with EVENT_IDX; the last word is what stands behind all entries. */
static const struct part {
	const char *name;
	uint32_t bytes, align, last;
} split_parts[PARTS] = {
	{ "the descriptors", 16 * SIZE, 16, 16 },
	{ "the available ring", 6 + 2 * SIZE, 2, 2 },
	{ "the used ring", 6 + 8 * SIZE, 4, 2 },
}, packed_parts[PARTS] = {
	{ "the descriptors of a packed ring", 16 * SIZE, 16, 16 },
	{ "the driver's event suppression", 4, 4, 4 },
	{ "the device's event suppression", 4, 4, 4 },
};

/*
 * The queue comes up with this part there, the device has time to look at it, and the queue is gone again. false: the
 * device took no such queue.
 */
static bool comes_and_goes(struct test_ctx *t, struct virtio_device *d, bool packed,
			   unsigned int part, uint64_t at)
{
	int ret;

	vsock_env_drop();
	ret = vt_up_misplaced(t, d,
			      VIRTIO_BIT(VIRTIO_F_EVENT_IDX) |
				      (packed ? VIRTIO_BIT(VIRTIO_F_RING_PACKED) : 0),
			      TX, part, at);
	if (!ret) {
		d->ops->notify(d, TX, TX);
		(void)wait_for(false, LOOKED_NS);
	}
	vt_must_reset(t, d);
	(void)virtio_reset(d);
	return !ret;
}

static void is_told(struct test_ctx *t, const struct part *p, const void *priv,
		    const struct ctl_mem_state *s)
{
	expect_eq(t, s->last_addr >> PAGE_SHIFT, gfn_of(priv), "frame that the host refused (%s)",
		  p->name);
	expect_eq(t, s->last_reason, CTL_MEM_RING, "what the host refused, by its number (%s)",
		  p->name);
	expect_eq(t, s->last_queue, TX, "queue that the host stopped (%s)", p->name);
}

/* Two pages that adjoin, one of them private, which has the part's first bytes, or its last ones. */
static void part_refused(struct test_ctx *t, bool packed, unsigned int part, bool last)
{
	const struct part *p = &(packed ? packed_parts : split_parts)[part];
	struct vsock_env *e = kvmpv_device(t);
	uint8_t *const pages = kvmpv_pages(t, 2), *const border = pages + PAGE_SIZE;
	uint8_t *const priv = last ? border : pages, *const shared = last ? pages : border;
	struct ctl_mem_state s0, s1;
	bool taken;

	if (protect_share(gfn_of(shared), 1))
		test_error(t, "a page cannot be shared");
	CTL_OK(t, ctl_mem_state(e->ctl, &s0));
	taken = comes_and_goes(t, vsock_device(e->vs), packed, part,
			       virt_to_phys(border) - (last ? p->bytes - p->last : p->align));
	e = kvmpv_device(t);
	CTL_OK(t, ctl_mem_state(e->ctl, &s1));
	/* A queue that is refused as such is none that the host reaches for. */
	expect(t, !taken || s1.violations > s0.violations,
	       "%s of %s in a private page: the host did not refuse it",
	       last ? "the end" : "the begin", p->name);
	if (taken)
		is_told(t, p, priv, &s1);
	kvmpv_provoked(s1.violations);
	memset(pages, 0, 2 * PAGE_SIZE);
	mem_pages_free(priv, 1);
	protect_pages_free(shared, 1);
}

TEST(leak_ring,
     .id = "kvmpv.leak.private_ring_refused",
     .clause = "RFCv2: host access to a private page faults, be it to the first or the last bytes of a part of a queue",
     .owner = OWNER,
     .needs = NEED_KVM | NEED_PROTECT | NEED_PEER | NEED_MEM_STATE,
     .timeout = 30 * SEC)
{
	const struct virtio_device *d;
	unsigned int packed, part;

	kvmpv_protected(t);
	d = vsock_device(kvmpv_device(t)->vs);
	for (packed = 0; packed < (d->offered & VIRTIO_BIT(VIRTIO_F_RING_PACKED) ? 2u : 1u);
	     packed++)
		for (part = 0; part < PARTS; part++) {
			part_refused(t, packed, part, false);
			part_refused(t, packed, part, true);
		}
}
