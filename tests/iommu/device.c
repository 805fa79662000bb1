/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iommu.device.*: virtio devices that run behind an IOMMU (VIRTIO_F_ACCESS_PLATFORM), each in an address space of its own.
 *
 * A host breaks this in the device, which keeps translations of its own: one that was taken back and stays, permissions that
 * nobody looks at, a buffer whose second page is looked for behind the first, a queue that goes on in memory that it has no
 * more, one table for all devices, an address without a translation that is taken for a physical one.
 *
 * The device gets requests at addresses that the test maps itself; what lay there before is overwritten once it is unmapped.
 * A vsock device answers the request that is there now; a rng writes to the page that is there now.
 */
#include <string.h>

#include "drivers/iommu/dma.h"
#include "drivers/iommu/iommu.h"
#include "drivers/virtio/vq_impl.h"
#include "drivers/virtio/vsock.h"
#include "lib/errname.h"
#include "lib/mem.h"
#include "tests/virtio/util.h"

#define OWNER_DEVICE "the device's own translations (vhost-user: IOTLB messages)"
#define PLACES	     8u	  /* pages that a test has */
#define MANY	     100u /* pages of addresses of one chain, at most */
#define CACHE	     2048u /* translations that a device holds: vhost by default, and the reference host */
#define SPAN	     (CACHE + 8 * MANY) /* pages of addresses of a test, at most */
#define LARGE	     1280u		/* likewise of one buffer: 5 MiB */
#define HEAD	     20u		/* of a request, in front of a page border */
#define SEEN	     44u		/* bytes behind the border that are looked at */
#define JUNK	     0xee
#define ROUNDS	     4u
#define RW	     (IOMMU_READ | IOMMU_WRITE)
#define SUBJECTS     16u

static const struct bring_up plain = { .irq = VIRTIO_IRQ_POLL };

/* A device, its space, and pages for its requests. */
struct subject {
	struct actor a;
	struct iommu_space_info s;
	uint8_t *page; /* PLACES of them */
	uint64_t iova; /* where the test maps */
};

static struct {
	struct virtio_device *d[SUBJECTS];
	void *page[SUBJECTS];
	unsigned int n;
	struct iommu_space_info space[SUBJECTS];
} used;

/* --- fixture --------------------------------------------------------------------------------------- */

static void unmap_all(const struct iommu_space_info *s)
{
	(void)s->m->ops->unmap(s->m, s->domain, s->beyond, s->beyond + SPAN * PAGE_SIZE - 1);
}

static int set_up(void)
{
	vt_reset_all();
	return 0;
}

static void tear_down(void)
{
	unsigned int i;

	vt_settle(); /* nothing is written any more */
	for (i = 0; i < used.n; i++) {
		unmap_all(&used.space[i]);
		if (used.d[i]->ops->get_status(used.d[i]) == 0)
			mem_pages_free(used.page[i], PLACES);
		else
			mem_keep(PLACES); /* it may still write there */
	}
	used.n = 0;
}
FIXTURE(iommu_device, .suite = "iommu.device.", .setup = set_up, .teardown = tear_down);

/* In every test: memory that a driver has back, and a device still reaches. */
static unsigned int refused_before;

static int count_refused(void)
{
	refused_before = iommu_unmaps_refused();
	return 0;
}

static void judge_refused(void)
{
	const unsigned int n = iommu_unmaps_refused() - refused_before;

	if (n)
		test_fail_around("virtio 1.4, 5.13.6.6: %u UNMAPs of what was mapped are refused",
				 n);
}
FIXTURE(iommu_refused, .suite = "", .outermost = true, .setup = count_refused,
	.teardown = judge_refused);

/* It is known once the device was up. */
static bool has_space(struct test_ctx *t, struct subject *x)
{
	if (!iommu_space(&x->a.d->dev, &x->s))
		actor_up(t, &x->a, &plain);
	return iommu_space(&x->a.d->dev, &x->s) && x->a.d->dev.dma_layers == 2;
}

/* The same for each layout of a device. */
static uint8_t *pages_for(struct test_ctx *t, const struct subject *x)
{
	unsigned int i;

	for (i = 0; i < used.n; i++)
		if (used.d[i] == x->a.d)
			return used.page[i];
	if (used.n == SUBJECTS)
		test_error(t, "more devices than the fixture keeps pages for");
	used.page[i] = mem_pages(PLACES, PAGE_SIZE);
	if (!used.page[i])
		test_error(t, "no %u pages", PLACES);
	used.d[i] = x->a.d;
	used.space[used.n++] = x->s;
	return used.page[i];
}

/* The n-th device of the kind, up; false past the last. */
static bool subject_get(struct test_ctx *t, unsigned int n, enum rings rings, struct subject *x)
{
	unsigned int i;

	memset(x, 0, sizeof(*x));
	for (i = 0; actor_of(i, rings, &x->a); i++) {
		if (!has_space(t, x) || n--)
			continue;
		x->page = pages_for(t, x);
		x->iova = x->s.beyond;
		actor_up(t, &x->a, &plain);
		x->a.mute = false; /* an answer that does not come tells of a translation */
		unmap_all(&x->s);  /* another layout of the same device was there before */
		return true;
	}
	if (!used.n)
		test_skip(
			t,
			"no rng or vsock device has an address space of its own (iommu=on, and an "
			"IOMMU that the VIOT or the DMAR puts in front of it)");
	return false;
}

/* --- steps ------------------------------------------------------------------------------------------ */

/* n pages at the k-th page of the test's addresses become those from `page` on. */
static void maps(struct test_ctx *t, const struct subject *x, unsigned int k, const uint8_t *page,
		 unsigned int n, uint32_t flags)
{
	const uint64_t at = x->iova + k * PAGE_SIZE;
	const int ret = x->s.m->ops->map(x->s.m, x->s.domain, at, at + n * PAGE_SIZE - 1,
					 virt_to_phys(page), flags);

	require(t, ret == 0, "%s: mapping %u pages: %s", actor_who(&x->a), n, err_text(ret));
}

static void unmaps(struct test_ctx *t, const struct subject *x, unsigned int k, unsigned int n)
{
	const uint64_t at = x->iova + k * PAGE_SIZE;
	const int ret = x->s.m->ops->unmap(x->s.m, x->s.domain, at, at + n * PAGE_SIZE - 1);

	require(t, ret == 0, "%s: unmapping %u pages: %s", actor_who(&x->a), n, err_text(ret));
}

/* What the device needs, and what it must not have. */
static uint32_t right(const struct subject *x)
{
	return x->a.writes ? IOMMU_WRITE : IOMMU_READ;
}

static uint32_t wrong(const struct subject *x)
{
	return x->a.writes ? IOMMU_READ : IOMMU_WRITE;
}

/* A request across the border of two pages: its parts lie at the end of `first` and at the begin of `second`. */
static void writes_request(struct subject *x, uint8_t *first, uint8_t *second)
{
	uint8_t *const mem = x->a.mem;
	static uint8_t request[ACTOR_MEM];

	x->a.mem = request;
	actor_prepare(&x->a, false);
	x->a.mem = mem;
	memcpy(first + PAGE_SIZE - HEAD, request, HEAD);
	memcpy(second, request + HEAD, x->a.len - HEAD);
}

/* It is at the first two of the test's addresses, and the device is told. */
static void asks(struct subject *x)
{
	const dma_addr_t addr = x->a.addr;

	x->a.addr = x->iova;
	actor_desc(&x->a, 0, (uint32_t)PAGE_SIZE - HEAD, x->a.len, actor_flags(&x->a), 0);
	x->a.addr = addr;
	actor_post(&x->a, 0);
	vq_notify(x->a.vq);
}

/* n bytes are other ones now; a few may be the same by chance. */
static bool changed(const uint8_t *now, const uint8_t *before, uint32_t n)
{
	return n < 8 || memcmp(now, before, n < SEEN ? n : SEEN) != 0;
}

/* The `len` bytes that a rng says it wrote are in both parts of the request, as far as they go; 5.4.6.2: at least one is. */
static bool is_written(const uint8_t *first, const uint8_t *second,
		       const uint8_t before[HEAD + SEEN], uint32_t len)
{
	const uint32_t head = len < HEAD ? len : HEAD;

	return len && changed(first + PAGE_SIZE - HEAD, before, head) &&
	       changed(second, before + HEAD, len - head);
}

/* The request in these pages is carried out, with what is in them. */
static void is_served(struct test_ctx *t, struct subject *x, uint8_t *first, uint8_t *second,
		      const char *when)
{
	uint8_t before[HEAD + SEEN];
	uint32_t id, len = 0;

	memset(first + PAGE_SIZE - HEAD, JUNK, HEAD);
	memset(second, JUNK, x->a.len - HEAD);
	writes_request(x, first, second);
	memcpy(before, first + PAGE_SIZE - HEAD, HEAD);
	memcpy(before + HEAD, second, SEEN);
	asks(x);
	require(t, actor_wait(&x->a, 1, ANSWER_NS) == 1, "%s: %s: the buffer is not used",
		actor_who(&x->a), when);
	actor_used(&x->a, 0, &id, &len);
	actor_done(&x->a, 1);
	if (x->a.writes)
		expect(t, is_written(first, second, before, len),
		       "%s: %s: %u bytes are written, and not to the pages that are mapped",
		       actor_who(&x->a), when, (unsigned int)len);
	else
		expect(t, actor_understood(&x->a, len), "%s: %s: no RST answers the request",
		       actor_who(&x->a), when);
}

/* Nothing comes of the request: the pages stay, and no answer comes. */
static void is_not_served(struct test_ctx *t, struct subject *x, uint8_t *first, uint8_t *second,
			  const char *when)
{
	static uint8_t before[2][4096];

	memcpy(before[0], first, PAGE_SIZE);
	memcpy(before[1], second, PAGE_SIZE);
	asks(x);
	expect(t, x->a.writes || x->a.mute || !wait_for(actor_acted(&x->a), QUIET_NS),
	       "%s: %s: the request is answered", actor_who(&x->a), when);
	if (x->a.writes)
		(void)wait_for(false, QUIET_NS);
	expect(t,
	       memcmp(before[0], first, PAGE_SIZE) == 0 &&
		       memcmp(before[1], second, PAGE_SIZE) == 0,
	       "%s: %s: the device writes to the pages", actor_who(&x->a), when);
}

static void scribble(const struct subject *x)
{
	memset(x->page, JUNK, PLACES * PAGE_SIZE);
}

/* --- tests ------------------------------------------------------------------------------------------ */

TEST(device_scattered,
     .id = "iommu.device.scattered",
     .clause = "virtio 1.4, 6.1, 5.13.6.5: pages that follow each other in an address space lie anywhere in memory",
     .owner = OWNER_DEVICE,
     .needs = NEED_VIRTIO | NEED_IOMMU)
{
	struct subject x;
	unsigned int i;

	for (i = 0; subject_get(t, i, RINGS_EACH, &x); i++) {
		scribble(&x);
		maps(t, &x, 0, x.page + 4 * PAGE_SIZE, 1, right(&x));
		maps(t, &x, 1, x.page + 2 * PAGE_SIZE, 1, right(&x));
		is_served(t, &x, x.page + 4 * PAGE_SIZE, x.page + 2 * PAGE_SIZE,
			  "across two pages that are apart");
	}
}

TEST(device_remapped,
     .id = "iommu.device.remapped",
     .clause = "virtio 1.4, 5.13.6.6.2 MUST: what was mapped before cannot be reached once UNMAP has completed",
     .owner = OWNER_DEVICE,
     .needs = NEED_VIRTIO | NEED_IOMMU)
{
	struct subject x;
	unsigned int i, k;
	uint8_t *p;

	for (i = 0; subject_get(t, i, RINGS_EACH, &x); i++) {
		for (k = 0; k < ROUNDS; k++) {
			p = x.page + k % 2 * 4 * PAGE_SIZE;
			scribble(&x);
			maps(t, &x, 0, p, 2, right(&x));
			is_served(t, &x, p, p + PAGE_SIZE,
				  k ? "at an address that was another page's" : "at first");
			is_served(t, &x, p, p + PAGE_SIZE, "again");
			unmaps(t, &x, 0, 2);
		}
	}
}

/* Nobody can tell how long a device may wait for a translation: one that asks for a reset works behind it. */
TEST(device_unmapped,
     .id = "iommu.device.unmapped",
     .clause = "virtio 1.4, 6.1, 5.13.6.6.2 MUST: an address that is not mapped is out of reach; once it is mapped again, the device works",
     .owner = OWNER_DEVICE,
     .needs = NEED_VIRTIO | NEED_IOMMU)
{
	struct subject x;
	unsigned int i;
	uint8_t *q;

	for (i = 0; subject_get(t, i, RINGS_EACH, &x); i++) {
		q = x.page + PAGE_SIZE;
		maps(t, &x, 0, x.page, 2, right(&x));
		is_served(t, &x, x.page, q, "while it is mapped");
		unmaps(t, &x, 0, 2);
		writes_request(&x, x.page, q);
		is_not_served(t, &x, x.page, q, "unmapped");
		maps(t, &x, 0, x.page, 2, right(&x));
		vq_notify(x.a.vq);
		if (actor_wait(&x.a, 1, ANSWER_NS) != 1)
			expect(t, x.a.d->ops->get_status(x.a.d) & VIRTIO_S_NEEDS_RESET,
			       "%s: mapped late: the buffer is not used, and no reset is asked for",
			       actor_who(&x.a));
		actor_up(t, &x.a, &plain);
		is_served(t, &x, x.page, q, "after a reset");
	}
}

/* The address of physical memory, in a space that has nothing there. */
TEST(device_physical,
     .id = "iommu.device.physical",
     .clause = "virtio 1.4, 6.1, 5.13.6: with ACCESS_PLATFORM an address is one of the address space, never a physical one",
     .owner = OWNER_DEVICE,
     .needs = NEED_VIRTIO | NEED_IOMMU)
{
	struct subject x;
	unsigned int i;

	for (i = 0; subject_get(t, i, RINGS_EACH, &x); i++) {
		x.iova = virt_to_phys(x.page);
		writes_request(&x, x.page, x.page + PAGE_SIZE);
		is_not_served(t, &x, x.page, x.page + PAGE_SIZE, "at a physical address");
		vt_must_reset(t, x.a.d);
	}
}

TEST(device_permission,
     .id = "iommu.device.permission",
     .clause = "virtio 1.4, 5.13.6.5.2: a device reads what is mapped with READ, and writes what is mapped with WRITE",
     .owner = OWNER_DEVICE,
     .needs = NEED_VIRTIO | NEED_IOMMU)
{
	struct subject x;
	unsigned int i;

	for (i = 0; subject_get(t, i, RINGS_EACH, &x); i++) {
		maps(t, &x, 0, x.page, 2, wrong(&x));
		writes_request(&x, x.page, x.page + PAGE_SIZE);
		is_not_served(t, &x, x.page, x.page + PAGE_SIZE,
			      x.a.writes ? "mapped for reading" : "mapped for writing");
		vt_must_reset(t, x.a.d);
	}
}

TEST(device_over_reset,
     .id = "iommu.device.over_reset",
     .clause = "virtio 1.4, 2.4.1, 5.13.6.6.2: what is unmapped while a device is in reset is out of its reach afterwards",
     .owner = OWNER_DEVICE,
     .needs = NEED_VIRTIO | NEED_IOMMU)
{
	struct subject x;
	unsigned int i, k;
	uint8_t *p;

	for (i = 0; subject_get(t, i, RINGS_EACH, &x); i++) {
		for (k = 0; k < ROUNDS; k++) {
			p = x.page + k % 2 * 4 * PAGE_SIZE;
			scribble(&x);
			maps(t, &x, 0, p, 2, right(&x));
			actor_up(t, &x.a, &plain);
			is_served(t, &x, p, p + PAGE_SIZE,
				  k ? "at an address that was another page's" : "at first");
			vt_must_reset(t, x.a.d);
			unmaps(t, &x, 0, 2);
		}
	}
}

/* --- a queue's parts -------------------------------------------------------------------------------- */

static uint8_t *page_of(const struct subject *x, unsigned int part)
{
	const uintptr_t at = (uintptr_t)x->a.vq->area[part].at;

	return (uint8_t *)(at & ~(uintptr_t)(PAGE_SIZE - 1));
}

/* A part that has a page of its own is out of reach. */
static void takes_part(struct test_ctx *t, const struct subject *x, unsigned int part)
{
	const uint64_t at = x->a.vq->area[part].addr & ~(uint64_t)(PAGE_SIZE - 1);
	const int ret = x->s.m->ops->unmap(x->s.m, x->s.domain, at, at + PAGE_SIZE - 1);

	require(t, ret == 0, "%s: unmapping a queue's part: %s", actor_who(&x->a), err_text(ret));
}

static void gives_part(struct test_ctx *t, const struct subject *x, unsigned int part,
		       unsigned int flags)
{
	const uint64_t at = x->a.vq->area[part].addr & ~(uint64_t)(PAGE_SIZE - 1);
	const int ret = x->s.m->ops->map(x->s.m, x->s.domain, at, at + PAGE_SIZE - 1,
					 virt_to_phys(page_of(x, part)), flags);

	require(t, ret == 0, "%s: mapping a queue's part: %s", actor_who(&x->a), err_text(ret));
}

/* It is mapped with these rights from now on. */
static void remaps(struct test_ctx *t, const struct subject *x, unsigned int part,
		   unsigned int flags)
{
	takes_part(t, x, part);
	gives_part(t, x, part, flags);
}

/* The page behind that one becomes the test's first one; nobody has the queue's own. */
static void moves_second_page(struct test_ctx *t, const struct subject *x, unsigned int part)
{
	const uint64_t at = x->a.vq->area[part].addr & ~(uint64_t)(PAGE_SIZE - 1);
	struct iommu *const m = x->s.m;
	/* Both were mapped at once, and may be unmapped at once only. */
	int ret = m->ops->unmap(m, x->s.domain, at, at + 2 * PAGE_SIZE - 1);

	if (!ret)
		ret = m->ops->map(m, x->s.domain, at, at + PAGE_SIZE - 1,
				  virt_to_phys(page_of(x, part)), RW);
	if (!ret)
		ret = m->ops->map(m, x->s.domain, at + PAGE_SIZE, at + 2 * PAGE_SIZE - 1,
				  virt_to_phys(x->page), RW);
	require(t, ret == 0, "%s: moving a page of a queue: %s", actor_who(&x->a), err_text(ret));
}

#define SMALL 8u
static const struct bring_up small = { .irq = VIRTIO_IRQ_POLL,
				       .place = VIRTIO_PLACE_PAGE_END,
				       .size = SMALL };

/* The queue's parts apart, and none of them known to the device yet. */
static void parts_up(struct test_ctx *t, struct subject *x)
{
	struct bring_up how = small;

	how.no_driver_ok = true;
	actor_up(t, &x->a, &how);
}

static void is_ready(struct test_ctx *t, const struct subject *x)
{
	require(t, virtio_driver_ok(x->a.d) == 0, "%s: %s", actor_who(&x->a), x->a.d->error);
}

static void posts_one(struct subject *x)
{
	actor_prepare(&x->a, true);
	actor_desc(&x->a, 0, 0, x->a.len, actor_flags(&x->a), 0);
	actor_post(&x->a, 0);
}

/* A device that waits for the part takes the buffer once it has it again, or asks for a reset. */
static void look_whether_it_goes_on(struct test_ctx *t, struct subject *x)
{
	vq_notify(x->a.vq);
	if (actor_wait(&x->a, 1, ANSWER_NS) != 1) {
		if (!(x->a.d->ops->get_status(x->a.d) & VIRTIO_S_NEEDS_RESET))
			test_note(
				t,
				"%s: a queue is mapped again: the buffer is not used, and no reset is asked for",
				actor_who(&x->a));
		return;
	}
	actor_done(&x->a, 1);
	actor_one(t, &x->a);
	expect_eq(t, vq_raw_used_count(x->a.vq), 0,
		  "%s: a queue is mapped again: used buffers too many", actor_who(&x->a));
}

/* One part's page is taken away, behind `before` buffers; what lies there must stay as it is, and is not read. */
static void is_out_of_reach(struct test_ctx *t, struct subject *x, unsigned int part,
			    unsigned int before)
{
	actor_up(t, &x->a, &small);
	while (before--)
		actor_one(t, &x->a);
	takes_part(t, x, part);
	posts_one(x);
	vq_notify(x->a.vq);
	expect_eq(t, actor_wait(&x->a, 1, QUIET_NS), 0,
		  "%s: buffers used in a queue of which part %u is unmapped", actor_who(&x->a),
		  part);
	gives_part(t, x, part, RW);
	/* One that writes is the VMM's own here: what it did without the memory is not told. */
	if (!x->a.writes)
		look_whether_it_goes_on(t, x);
	actor_up(t, &x->a, &plain);
	actor_one(t, &x->a);
}

/* A request in the actor's own memory, which is mapped as it should be. */
static void asks_plainly(struct subject *x)
{
	actor_prepare(&x->a, false);
	actor_desc(&x->a, 0, 0, x->a.len, 0, 0);
	actor_post(&x->a, 0);
	vq_notify(x->a.vq);
}

/* The same of the queue for replies: none comes, and it comes once the device has its queue again. */
static void rx_is_out_of_reach(struct test_ctx *t, struct subject *x)
{
	const unsigned int part = x->a.packed ? VQ_DESC : VQ_DEVICE;
	struct virtqueue *rx;
	struct subject its;

	actor_up(t, &x->a, &small);
	x->a.mute = false;
	actor_one(t, &x->a);
	rx = x->a.d->vq[0];
	its = *x;
	its.a.vq = rx;
	takes_part(t, &its, part);
	asks_plainly(x);
	expect(t, !wait_for(vq_raw_used_count(rx) > 0, QUIET_NS),
	       "%s: a receive buffer is used in a queue that is unmapped", actor_who(&x->a));
	gives_part(t, &its, part, RW);
	vq_notify(rx);
	if (!actor_understood(&x->a, 0))
		test_note(t, "%s: rx is mapped again, and no reply comes", actor_who(&x->a));
}

/* Without the wishes of either side a packed ring works: what a device does then is its choice. */
TEST(device_queue_unmapped,
     .id = "iommu.device.queue_unmapped",
     .clause = "virtio 1.4, 6.1, 5.13.6.6.2 MUST: a queue's own memory is out of reach once it is unmapped",
     .owner = OWNER_DEVICE,
     .needs = NEED_VIRTIO | NEED_IOMMU,
     .timeout = 20 * SEC)
{
	unsigned int i, part;
	struct subject x;

	for (i = 0; subject_get(t, i, RINGS_EACH, &x); i++) {
		for (part = VQ_DESC; part < (x.a.packed ? VQ_DRIVER : VQ_AREAS); part++)
			is_out_of_reach(t, &x, part, SMALL + 1 + part); /* once round the ring */
		if (!x.a.writes)
			rx_is_out_of_reach(t, &x);
	}
}

#define LATE_ROUNDS 24u
#define LATE_STEP   (250 * USEC)

/*
 * The device is told of a buffer while a part is not mapped, and again, as soon as it is. false: it waits for more. A device
 * that asks again for translations only so often must not forget what it was told in between: `later`, since what is asked
 * for may be looked up as soon as it is there, or in vain before.
 */
static bool goes_on_when_mapped(struct test_ctx *t, struct subject *x, unsigned int part,
				uint64_t later)
{
	takes_part(t, x, part);
	posts_one(x);
	vq_notify(x->a.vq);
	(void)wait_for(false, later);
	gives_part(t, x, part, RW);
	vq_notify(x->a.vq);
	if (actor_wait(&x->a, 1, ANSWER_NS) != 1)
		return false;
	actor_done(&x->a, 1);
	return true;
}

TEST(device_queue_late,
     .id = "iommu.device.queue_mapped_late",
     .clause = "virtio 1.4, 6.1, 5.13.6.5: a queue that has its memory again when the device is notified goes on, without a further notification",
     .owner = OWNER_DEVICE,
     .needs = NEED_VIRTIO | NEED_IOMMU,
     .timeout = 20 * SEC)
{
	unsigned int i, k, tried = 0;
	struct subject x;
	bool goes_on;

	for (i = 0; subject_get(t, i, RINGS_EACH, &x); i++) {
		/* One that writes is the VMM's own here: what it did without the memory is not told. */
		if (x.a.writes)
			continue;
		tried++;
		actor_up(t, &x.a, &small);
		actor_one(t, &x.a);
		goes_on = true;
		for (k = 0; goes_on && k < LATE_ROUNDS; k++)
			goes_on = goes_on_when_mapped(t, &x, VQ_DESC, k * LATE_STEP);
		if (!goes_on && !(x.a.d->ops->get_status(x.a.d) & VIRTIO_S_NEEDS_RESET))
			test_note(
				t,
				"%s: a queue is mapped when the device is notified: the buffer is not used, and no reset is asked for",
				actor_who(&x.a));
		actor_up(t, &x.a, &plain);
		actor_one(t, &x.a);
	}
	actor_tried(t, tried, "with an address space of its own, and a back end that looks at it");
}

/* A part that the device writes may be read only: it stays as it is. */
static void is_not_written(struct test_ctx *t, struct subject *x, unsigned int part)
{
	static uint8_t before[4096];
	unsigned int n;

	posts_one(x);
	memcpy(before, page_of(x, part), PAGE_SIZE);
	vq_notify(x->a.vq);
	n = actor_wait(&x->a, 1, QUIET_NS);
	/* Without its own wish a device with a packed ring may go on. */
	expect(t, !n || (x->a.packed && part == VQ_DEVICE),
	       "%s: a buffer is used in a queue that may be read only", actor_who(&x->a));
	expect(t, !wait_for(memcmp(before, page_of(x, part), PAGE_SIZE) != 0, QUIET_NS / 4),
	       "%s: part %u of a queue, which may be read only, is written", actor_who(&x->a),
	       part);
}

TEST(device_queue_permission,
     .id = "iommu.device.queue_permission",
     .clause = "virtio 1.4, 5.13.6.5.2, 2.7.5.1 MUST NOT, 2.7.6, 2.8.10: what a device reads of a queue it needs READ for alone; what it writes it does not without WRITE",
     .owner = OWNER_DEVICE,
     .needs = NEED_VIRTIO | NEED_IOMMU)
{
	struct subject x;
	unsigned int i, part;

	for (i = 0; subject_get(t, i, RINGS_EACH, &x); i++) {
		parts_up(t, &x);
		remaps(t, &x, VQ_DRIVER, IOMMU_READ);
		if (!x.a.packed)
			remaps(t, &x, VQ_DESC, IOMMU_READ);
		is_ready(t, &x);
		actor_one(t, &x.a);
		for (part = x.a.packed ? VQ_DESC : VQ_DEVICE; part <= VQ_DEVICE;
		     part += VQ_DEVICE) {
			actor_up(t, &x.a, &small);
			actor_one(t, &x.a);
			remaps(t, &x, part, IOMMU_READ);
			is_not_written(t, &x, part);
		}
		/* The back end unmaps it once more, which is no error. */
		actor_up(t, &x.a, &plain);
		actor_one(t, &x.a);
	}
}

/* QEMU's own devices write the end of an element to where the first page goes on (docs/known-hosts.md). */
static void expect_untouched(struct test_ctx *t, const struct subject *x, const uint8_t *page)
{
	unsigned int k;

	for (k = 0; k < PAGE_SIZE && page[k] == JUNK; k++)
		;
	if (x->a.writes && k < PAGE_SIZE)
		test_note(t, "%s: byte %u of a page which is not mapped changes", actor_who(&x->a),
			  k);
	else
		expect_eq(t, k, PAGE_SIZE,
			  "%s: first byte that changes of a page which is not mapped",
			  actor_who(&x->a));
}

/*
 * The used ring lies across two pages. The second one is another page of memory from the start on, and the driver's own is not
 * mapped. A device that does not use such a queue says so, or not.
 */
TEST(device_queue_scattered,
     .id = "iommu.device.queue_scattered",
     .clause = "virtio 1.4, 6.1, 5.13.6.5: each page of a queue is translated by itself; 5.13.6.6.2 MUST: what is unmapped is out of reach",
     .owner = OWNER_DEVICE,
     .needs = NEED_VIRTIO | NEED_IOMMU)
{
	struct bring_up how = small;
	unsigned int i, k;
	struct subject x;
	uint8_t *second;

	how.place = VIRTIO_PLACE_ACROSS;
	how.no_driver_ok = true;
	for (i = 0; subject_get(t, i, RINGS_SPLIT, &x); i++) {
		actor_up(t, &x.a, &how);
		second = page_of(&x, VQ_DEVICE) + PAGE_SIZE;
		scribble(&x);
		memset(second, JUNK, PAGE_SIZE);
		moves_second_page(t, &x, VQ_DEVICE);
		is_ready(t, &x);
		for (k = 0; k < SMALL; k++) {
			posts_one(&x);
			vq_notify(x.a.vq);
			if (actor_wait(&x.a, 1, k ? ANSWER_NS : 5 * QUIET_NS) != 1)
				break;
			actor_done(&x.a, 1);
		}
		expect_untouched(t, &x, second);
		if (x.a.taken == SMALL)
			expect(t, x.page[SMALL] != JUNK,
			       "%s: used elements do not come to the page that is mapped",
			       actor_who(&x.a));
		else if (!(x.a.d->ops->get_status(x.a.d) & VIRTIO_S_NEEDS_RESET))
			test_note(t, "%s: a queue in pages that are apart is not used",
				  actor_who(&x.a));
		actor_up(t, &x.a, &plain);
		actor_one(t, &x.a);
	}
}

/* A table of two entries; the second one begins 8 bytes in front of the border of two pages that are apart. */
static void asks_by_table(struct subject *x, uint8_t *first, uint8_t *second)
{
	const uint32_t off = (uint32_t)PAGE_SIZE - 24;
	const uint16_t flags = actor_flags(&x->a);
	const dma_addr_t addr = x->a.addr;
	uint8_t table[2 * sizeof(struct vring_desc)];

	actor_entry(&x->a, table, 0, 0, HEAD, flags | VRING_DESC_F_NEXT, 1);
	actor_entry(&x->a, table, 1, HEAD, x->a.len - HEAD, flags, 0);
	memcpy(first + off, table, 24);
	memcpy(second, table + 24, sizeof(table) - 24);
	x->a.addr = x->iova;
	actor_desc(&x->a, 0, off, sizeof(table), VRING_DESC_F_INDIRECT, 0);
	x->a.addr = addr;
	actor_post(&x->a, 0);
	vq_notify(x->a.vq);
}

TEST(device_table,
     .id = "iommu.device.table",
     .clause = "virtio 1.4, 2.7.5.3, 2.8.7, 6.1: an indirect table lies anywhere in the address space; a device reads it, and no more",
     .owner = OWNER_DEVICE,
     .needs = NEED_VIRTIO | NEED_IOMMU)
{
	const struct bring_up how = { .features = VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC),
				      .irq = VIRTIO_IRQ_POLL };
	unsigned int i, tried = 0;
	struct subject x;
	uint32_t id, len;

	for (i = 0; subject_get(t, i, RINGS_EACH, &x); i++) {
		if (how.features & ~x.a.d->offered)
			continue;
		tried++;
		actor_up(t, &x.a, &how);
		x.a.mute = false;
		scribble(&x);
		maps(t, &x, 0, x.page + 4 * PAGE_SIZE, 1, IOMMU_READ);
		maps(t, &x, 1, x.page + 2 * PAGE_SIZE, 1, IOMMU_READ);
		actor_prepare(&x.a, false);
		asks_by_table(&x, x.page + 4 * PAGE_SIZE, x.page + 2 * PAGE_SIZE);
		require(t, actor_wait(&x.a, 1, ANSWER_NS) == 1,
			"%s: a table across two pages that are apart: the buffer is not used",
			actor_who(&x.a));
		actor_used(&x.a, 0, &id, &len);
		actor_done(&x.a, 1);
		expect(t, actor_understood(&x.a, len),
		       "%s: a table across two pages that are apart: %s", actor_who(&x.a),
		       x.a.writes ? "none of the bytes was written" : "no RST answers the request");
	}
	actor_tried(t, tried, "with an address space of its own and INDIRECT_DESC");
}

/* A request, and n - 1 descriptors behind it, each in a page of addresses of its own. */
static void asks_in_pages(struct subject *x, uint16_t n)
{
	const dma_addr_t addr = x->a.addr;
	uint16_t k;

	x->a.addr = x->iova;
	for (k = 0; k < n; k++)
		actor_desc(&x->a, k, (uint32_t)(k * PAGE_SIZE), x->a.len,
			   (uint16_t)(actor_flags(&x->a) | (k + 1 < n ? VRING_DESC_F_NEXT : 0)),
			   (uint16_t)(k + 1));
	x->a.addr = addr;
	actor_post(&x->a, 0);
	vq_notify(x->a.vq);
}

TEST(device_many_pages,
     .id = "iommu.device.many_pages",
     .clause = "virtio 1.4, 2.7.5, 6.1: a chain has up to Queue Size descriptors, in however many pages of the address space they lie",
     .owner = OWNER_DEVICE,
     .needs = NEED_VIRTIO | NEED_IOMMU,
     .timeout = 20 * SEC)
{
	uint32_t id, len = 0;
	struct subject x;
	unsigned int i;
	uint16_t k, n;

	for (i = 0; subject_get(t, i, RINGS_EACH, &x); i++) {
		n = vq_size(x.a.vq) < MANY ? vq_size(x.a.vq) : MANY;
		for (k = 0; k < n; k++)
			maps(t, &x, k, x.page + (k ? PAGE_SIZE : 0), 1, right(&x));
		actor_prepare(&x.a, false);
		memcpy(x.page, x.a.mem, x.a.len);
		asks_in_pages(&x, n);
		require(t, actor_wait(&x.a, 1, 2 * ANSWER_NS) == 1,
			"%s: a buffer in %u pages is not used", actor_who(&x.a), n);
		actor_used(&x.a, 0, &id, &len);
		actor_done(&x.a, 1);
		expect(t, x.a.writes || actor_understood(&x.a, len),
		       "%s: a buffer in %u pages: no RST answers the request", actor_who(&x.a), n);
		vt_must_reset(t, x.a.d);
		unmap_all(&x.s);
	}
}

/* The request is in the first page. All others are some pages that follow each other, again and again. */
static void maps_large(struct test_ctx *t, const struct subject *x)
{
	unsigned int k, n;

	maps(t, x, 0, x->page, 1, right(x));
	for (k = 1; k < LARGE; k += n) {
		n = LARGE - k < PLACES - 1 ? LARGE - k : PLACES - 1;
		maps(t, x, k, x->page + PAGE_SIZE, n, right(x));
	}
}

TEST(device_large,
     .id = "iommu.device.large",
     .clause = "virtio 1.4, 2.7.5, 6.1: a buffer of 5 MiB, in however many pages of the address space, is one buffer",
     .owner = OWNER_DEVICE,
     .needs = NEED_VIRTIO | NEED_IOMMU,
     .timeout = 60 * SEC)
{
	const unsigned int kib = (unsigned int)(LARGE * PAGE_SIZE >> 10);
	uint32_t id, len = 0;
	struct subject x;
	unsigned int i;
	dma_addr_t addr;

	for (i = 0; subject_get(t, i, RINGS_EACH, &x); i++) {
		maps_large(t, &x);
		actor_prepare(&x.a, false);
		memcpy(x.page, x.a.mem, x.a.len);
		addr = x.a.addr;
		x.a.addr = x.iova;
		actor_desc(&x.a, 0, 0, kib << 10, actor_flags(&x.a), 0);
		x.a.addr = addr;
		actor_post(&x.a, 0);
		vq_notify(x.a.vq);
		require(t, actor_wait(&x.a, 1, 8 * ANSWER_NS) == 1,
			"%s: a buffer of %u KiB is not used", actor_who(&x.a), kib);
		actor_used(&x.a, 0, &id, &len);
		actor_done(&x.a, 1);
		expect(t, x.a.writes || actor_understood(&x.a, len),
		       "%s: a buffer of %u KiB: no RST answers the request", actor_who(&x.a), kib);
		vt_must_reset(t, x.a.d);
		unmap_all(&x.s);
	}
}

/* A request at the begin of n pages, with a chain through all of them, is answered. */
static void is_served_in_pages(struct test_ctx *t, struct subject *x, uint16_t n,
			       unsigned int round)
{
	uint32_t id, len = 0;

	actor_prepare(&x->a, false);
	memcpy(x->page, x->a.mem, x->a.len);
	asks_in_pages(x, n);
	require(t, actor_wait(&x->a, 1, 2 * ANSWER_NS) == 1,
		"%s: a buffer in %u pages, behind %u others: it is not used", actor_who(&x->a), n,
		round);
	actor_used(&x->a, 0, &id, &len);
	actor_done(&x->a, 1);
	expect(t, actor_understood(&x->a, len),
	       "%s: a buffer in %u pages, behind %u others: no RST answers the request",
	       actor_who(&x->a), n, round);
}

/* A device that keeps translations has to part with some, and to ask for them again. */
TEST(device_many_translations,
     .id = "iommu.device.many_translations",
     .clause = "virtio 1.4, 6.1, 5.13.6.5: a device reaches what is mapped, however many pages it has reached before",
     .owner = OWNER_DEVICE,
     .needs = NEED_VIRTIO | NEED_IOMMU,
     .timeout = 40 * SEC)
{
	unsigned int i, round, rounds, tried = 0;
	struct subject x;
	uint16_t k, n;

	for (i = 0; subject_get(t, i, RINGS_EACH, &x); i++) {
		if (x.a.writes)
			continue;
		tried++;
		n = vq_size(x.a.vq) < MANY ? vq_size(x.a.vq) : MANY;
		rounds = CACHE / n + 4;
		for (round = 0; round <= rounds; round++) {
			/* The last one is at the addresses of the first one. */
			x.iova = x.s.beyond + (round % rounds) * n * PAGE_SIZE;
			for (k = 0; k < n && round < rounds; k = (uint16_t)(k + PLACES))
				maps(t, &x, k, x.page, k + PLACES > n ? (uint32_t)(n - k) : PLACES,
				     right(&x));
			is_served_in_pages(t, &x, n, round);
		}
		vt_must_reset(t, x.a.d);
		unmap_all(&x.s);
	}
	actor_tried(t, tried, "with an address space of its own, and a back end that looks at it");
}

/* Both have a request of their own at the same address; each is carried out with what lies in its own pages. */
static void stay_apart(struct test_ctx *t, struct subject x[2])
{
	unsigned int k, i;
	uint8_t *p;

	for (k = 0; k < ROUNDS; k++) {
		for (i = 0; i < 2; i++) {
			scribble(&x[i]);
			maps(t, &x[i], 0, x[i].page + k % 2 * 2 * PAGE_SIZE, 2, right(&x[i]));
		}
		for (i = 0; i < 2; i++) {
			p = x[i].page + k % 2 * 2 * PAGE_SIZE;
			is_served(t, &x[i], p, p + PAGE_SIZE,
				  "beside another device's page at the same address");
		}
		for (i = 0; i < 2; i++)
			unmaps(t, &x[i], 0, 2);
	}
}

TEST(device_apart,
     .id = "iommu.device.apart",
     .clause = "virtio 1.4, 5.13: the same address in two domains is two pages",
     .owner = OWNER_DEVICE,
     .needs = NEED_VIRTIO | NEED_IOMMU)
{
	struct subject x[3], pair[2];
	unsigned int n, i, k, tried = 0;

	for (n = 0; n < 3 && subject_get(t, n, RINGS_SPLIT, &x[n]); n++)
		;
	if (n < 2)
		test_skip(t, "one rng or vsock device is behind the IOMMU, two are wanted");
	for (i = 0; i < n; i++) {
		for (k = i + 1; k < n; k++) {
			if (x[i].s.m == x[k].s.m && x[i].s.endpoint == x[k].s.endpoint)
				continue; /* behind one bridge */
			tried++;
			pair[0] = x[i];
			pair[1] = x[k];
			stay_apart(t, pair);
			x[i] = pair[0];
			x[k] = pair[1];
		}
	}
	if (!tried)
		test_skip(t, "the devices are one endpoint of the IOMMU");
}

/* --- the receive queue, by hand ----------------------------------------------------------------------- */

#define REPLY 44u /* bytes of an RST */

/* A vsock device without receive buffers; false past the last. */
static bool receiver_get(struct test_ctx *t, unsigned int n, struct subject *x)
{
	const struct bring_up how = { .irq = VIRTIO_IRQ_POLL, .no_driver_ok = true };
	unsigned int i, seen = 0;

	for (i = 0; subject_get(t, i, RINGS_EACH, x); i++) {
		if (x->a.writes || seen++ < n)
			continue;
		actor_up(t, &x->a, &how);
		x->a.mute = false;
		require(t, virtio_driver_ok(x->a.d) == 0, "%s: %s", actor_who(&x->a),
			x->a.d->error);
		return true;
	}
	if (!seen)
		test_skip(t, "no vsock device has an address space of its own");
	return false;
}

/* One buffer across the border of the k-th and the next page of the test's addresses. */
static void gives_buffer(const struct subject *x, unsigned int k)
{
	struct virtqueue *const rx = x->a.d->vq[0];
	const struct vq_raw_desc d = { .addr = x->iova + (k + 1) * PAGE_SIZE - HEAD,
				       .len = REPLY,
				       .flags = VRING_DESC_F_WRITE };
	const uint16_t head = 0;

	(void)vq_raw_stage(rx, 0, &d);
	vq_raw_post(rx, &head, 1);
	vq_notify(rx);
}

/* The RST to the last request lies there. */
static bool is_reply(const struct subject *x, const uint8_t *at)
{
	struct vsock_hdr h;

	memcpy(&h, at, sizeof(h));
	return le16_to_cpu(h.op) == VSOCK_OP_RST && le32_to_cpu(h.dst_port) == x->a.port;
}

/* The same in these pages. */
static bool reply_in(const struct subject *x, const uint8_t *first, const uint8_t *second)
{
	uint8_t at[sizeof(struct vsock_hdr)];

	memcpy(at, first + PAGE_SIZE - HEAD, HEAD);
	memcpy(at + HEAD, second, sizeof(at) - HEAD);
	return is_reply(x, at);
}

static bool is_junk(const uint8_t *p, unsigned int pages)
{
	size_t i;

	for (i = 0; i < pages * PAGE_SIZE; i++)
		if (p[i] != JUNK)
			return false;
	return true;
}

/* The reply comes into these pages. */
static void reply_comes(struct test_ctx *t, struct subject *x, const uint8_t *page,
			const char *when)
{
	struct virtqueue *const rx = x->a.d->vq[0];

	require(t, wait_for(vq_raw_used_count(rx) > 0, ANSWER_NS),
		"%s: %s: no receive buffer is used", actor_who(&x->a), when);
	vq_raw_take(rx, 1);
	expect(t, reply_in(x, page, page + PAGE_SIZE), "%s: %s: the RST is not where the buffer is",
	       actor_who(&x->a), when);
	require(t, actor_wait(&x->a, 1, ANSWER_NS) == 1, "%s: %s: the request is not used",
		actor_who(&x->a), when);
	actor_done(&x->a, 1);
}

TEST(device_rx_remapped,
     .id = "iommu.device.rx_remapped",
     .clause = "virtio 1.4, 5.13.6.6.2 MUST: what was mapped for writing cannot be written once UNMAP has completed",
     .owner = OWNER_DEVICE,
     .needs = NEED_VSOCK | NEED_IOMMU)
{
	struct subject x;
	unsigned int i, k;
	uint8_t *p, *other;

	for (i = 0; receiver_get(t, i, &x); i++) {
		for (k = 0; k < ROUNDS; k++) {
			p = x.page + k % 2 * 4 * PAGE_SIZE;
			other = x.page + (k + 1) % 2 * 4 * PAGE_SIZE;
			scribble(&x);
			maps(t, &x, 0, p, 2, IOMMU_WRITE);
			gives_buffer(&x, 0);
			asks_plainly(&x);
			reply_comes(t, &x, p,
				    k ? "at an address that was another page's" : "at first");
			expect(t, is_junk(other, 2), "%s: pages that are not mapped are written",
			       actor_who(&x.a));
			unmaps(t, &x, 0, 2);
		}
		vt_must_reset(t, x.a.d);
	}
}

#define IN_PAGE 512u /* where the buffer begins */

static void gives_table(const struct subject *x)
{
	struct virtqueue *const rx = x->a.d->vq[0];
	const struct vq_raw_desc entry = { x->iova + IN_PAGE, REPLY, VRING_DESC_F_WRITE, 0 };
	const struct vq_raw_desc table = { x->iova, sizeof(struct vring_desc),
					   VRING_DESC_F_INDIRECT, 0 };
	const uint16_t head = 0;

	vq_raw_entry(rx, x->page, 0, &entry);
	(void)vq_raw_stage(rx, head, &table);
	vq_raw_post(rx, &head, 1);
	vq_notify(rx);
}

/* The receiver anew, with indirect tables. false: its device does not offer them. */
static bool has_tables(struct test_ctx *t, struct subject *x)
{
	const struct bring_up how = { .features = VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC),
				      .irq = VIRTIO_IRQ_POLL,
				      .no_driver_ok = true };

	if (how.features & ~x->a.d->offered)
		return false;
	actor_up(t, &x->a, &how);
	x->a.mute = false;
	is_ready(t, x);
	return true;
}

/* The buffer's table lies in the same page, so that the device needs both accesses to it at a time. */
TEST(device_both_ways,
     .id = "iommu.device.both_ways",
     .clause = "virtio 1.4, 5.13.6.5.2: what is mapped with READ and WRITE is read and written, be it for one buffer",
     .owner = OWNER_DEVICE,
     .needs = NEED_VSOCK | NEED_IOMMU)
{
	unsigned int i, tried = 0;
	struct virtqueue *rx;
	struct subject x;

	for (i = 0; receiver_get(t, i, &x); i++) {
		if (!has_tables(t, &x))
			continue;
		tried++;
		rx = x.a.d->vq[0];
		maps(t, &x, 0, x.page, 1, RW);
		gives_table(&x);
		asks_plainly(&x);
		require(t, wait_for(vq_raw_used_count(rx) > 0, ANSWER_NS),
			"%s: a receive buffer in the page of its table is not used",
			actor_who(&x.a));
		expect(t, is_reply(&x, x.page + IN_PAGE),
		       "%s: the RST is not in the page of the buffer's table", actor_who(&x.a));
		vt_must_reset(t, x.a.d);
	}
	actor_tried(t, tried, "with an address space of its own and INDIRECT_DESC");
}

/* n plain requests, and one at this page of the test's addresses, available at once. */
static void asks_with_lost(struct subject *x, uint16_t n, unsigned int k)
{
	const dma_addr_t addr = x->a.addr;
	uint16_t i;

	actor_prepare(&x->a, false);
	for (i = 0; i < n; i++)
		actor_desc(&x->a, i, 0, x->a.len, 0, 0);
	x->a.addr = x->iova + k * PAGE_SIZE;
	actor_desc(&x->a, n, 0, x->a.len, 0, 0);
	x->a.addr = addr;
	actor_post_batch(&x->a, (uint16_t)(n + 1));
	vq_notify(x->a.vq);
}

/* A receive buffer in the k-th page of the test's addresses, without a table. */
static void gives_plain(const struct subject *x, uint16_t head, unsigned int k)
{
	struct virtqueue *const rx = x->a.d->vq[0];
	const struct vq_raw_desc d = { x->iova + k * PAGE_SIZE + IN_PAGE, REPLY, VRING_DESC_F_WRITE,
				       0 };

	(void)vq_raw_stage(rx, head, &d);
	vq_raw_post(rx, &head, 1);
	vq_notify(rx);
}

static void comes_beside(struct test_ctx *t, struct subject *x, const char *where)
{
	if (wait_for(vq_raw_used_count(x->a.d->vq[0]) > 0, ANSWER_NS))
		expect(t, is_reply(x, x->page + IN_PAGE), "%s: the RST is not in %s",
		       actor_who(&x->a), where);
	else
		expect(t, x->a.d->ops->get_status(x->a.d) & VIRTIO_S_NEEDS_RESET,
		       "%s: the request in front of one out of reach is not answered into %s, and no reset is asked for",
		       actor_who(&x->a), where);
	vt_must_reset(t, x->a.d);
}

/*
 * Behind the request there is one out of reach, both available at once: for that one the device may wait for good. Its answer
 * to the first one needs a page that it has not reached yet: that of a table, which it reads; then one that may be written
 * only, in which the lost request lies as well.
 */
TEST(device_rx_beside,
     .id = "iommu.device.rx_beside_lost",
     .clause = "virtio 1.4, 6.1, 5.13.6.5: what is mapped for one queue is in reach, whatever another queue waits for",
     .owner = OWNER_DEVICE,
     .needs = NEED_VSOCK | NEED_IOMMU)
{
	struct subject x;
	unsigned int i;

	for (i = 0; receiver_get(t, i, &x); i++) {
		maps(t, &x, 0, x.page, 1, IOMMU_WRITE);
		gives_plain(&x, 0, 0);
		asks_with_lost(&x, 1, 0);
		comes_beside(t, &x, "a page that may be written only");
		unmaps(t, &x, 0, 1);
		if (!has_tables(t, &x))
			continue;
		maps(t, &x, 0, x.page, 1, RW);
		gives_table(&x);
		asks_with_lost(&x, 1, 4);
		comes_beside(t, &x, "the page of the buffer's table");
	}
}

/*
 * What the device has asked for so far is answered, and it has taken the answers: it asks once more at each notification,
 * and QEMU grants both rights whichever was asked for. An UNMAP completes once the device has dropped the translation, and
 * so comes behind what was sent to it before; some of them, since QEMU looks at one question of the device at a time.
 */
static void drains_answers(struct test_ctx *t, const struct subject *x)
{
	unsigned int k;

	for (k = 0; k < 2 * PLACES; k++) {
		maps(t, x, PLACES, x->page, 1, IOMMU_READ);
		unmaps(t, x, PLACES, 1);
	}
}

/* A page that the device writes while it asks to read elsewhere: a table in it is not read. */
TEST(device_rx_rights,
     .id = "iommu.device.rx_rights",
     .clause = "virtio 1.4, 5.13.6.5.2: what a device asks for elsewhere gives it no right to a page",
     .owner = OWNER_DEVICE,
     .needs = NEED_VSOCK | NEED_IOMMU)
{
	unsigned int i, tried = 0;
	struct virtqueue *rx;
	struct subject x;

	for (i = 0; receiver_get(t, i, &x); i++) {
		if (!has_tables(t, &x))
			continue;
		tried++;
		rx = x.a.d->vq[0];
		maps(t, &x, 0, x.page, 1, IOMMU_WRITE);
		gives_plain(&x, 1, 0);
		asks_with_lost(&x, 2, 4);
		require(t,
			wait_for(vq_raw_used_count(rx) > 0, ANSWER_NS) ||
				x.a.d->ops->get_status(x.a.d) & VIRTIO_S_NEEDS_RESET,
			"%s: no answer to the first of two requests, and no reset is asked for",
			actor_who(&x.a));
		vq_raw_take(rx, vq_raw_used_count(rx));
		drains_answers(t, &x);
		scribble(&x);
		gives_table(&x);
		expect(t, !wait_for(vq_raw_used_count(rx) > 0, QUIET_NS),
		       "%s: a table is read in a page that may be written only", actor_who(&x.a));
		vt_must_reset(t, x.a.d);
	}
	actor_tried(t, tried, "with an address space of its own and INDIRECT_DESC");
}

/*
 * What the device may only read, and has read, is given to it to be written; then the other way round. The addresses are of
 * different pages at first, then of the same ones: a right is an address's.
 */
TEST(device_rx_permission,
     .id = "iommu.device.rx_permission",
     .clause = "virtio 1.4, 5.13.6.5.2: what is mapped with READ only is not written, what is mapped with WRITE only not read, once the device knows it as well",
     .owner = OWNER_DEVICE,
     .needs = NEED_VSOCK | NEED_IOMMU)
{
	struct subject x;
	unsigned int i, k;
	uint8_t *from, *to;
	bool way;

	for (k = 0; k < 4; k++) {
		way = k % 2;
		for (i = 0; receiver_get(t, i, &x); i++) {
			from = x.page;
			to = k < 2 ? x.page + 4 * PAGE_SIZE : from;
			scribble(&x);
			maps(t, &x, 0, from, 2, IOMMU_READ);
			maps(t, &x, 4, to, 2, IOMMU_WRITE);
			gives_buffer(&x, 4);
			writes_request(&x, from, from + PAGE_SIZE);
			asks(&x);
			reply_comes(t, &x, to, "with the right permissions");
			scribble(&x);
			gives_buffer(&x, way ? 4 : 0);
			if (way) {
				writes_request(&x, to, to + PAGE_SIZE);
				x.iova += 4 * PAGE_SIZE;
				asks(&x);
				expect(t, !wait_for(vq_raw_used_count(x.a.d->vq[0]) > 0, QUIET_NS),
				       "%s: a request in pages that it may only write is answered",
				       actor_who(&x.a));
			} else {
				asks_plainly(&x);
				(void)wait_for(vq_raw_used_count(x.a.d->vq[0]) > 0, QUIET_NS);
				expect(t, is_junk(from, 2),
				       "%s: pages that it may only read are written",
				       actor_who(&x.a));
			}
			vt_must_reset(t, x.a.d);
		}
	}
}
