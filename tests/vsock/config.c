/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Promise (virtio 1.4, 5.10.4; multi-CID series of 2021): the configuration space says which CIDs
 * the guest has: none of them reserved, each once, the same at each look and after each reset.
 *
 * How hosts break it: a count that is one off, or past the space; a CID of 2; bits above the 32nd;
 * bytes that change between two reads of one generation; a reset that forgets what the host's
 * administrator set.
 *
 * How it is seen here: the driver reads and judges the space by its layout; the tests read it over
 * and over, reset the device, and compare with what the peer in the device was given.
 */
#include <errno.h>
#include <string.h>

#include "lib/errname.h"
#include "tests/vsock/pair.h"

#define OWNER "vsock device (configuration space)"

TEST(config_valid,
     .id = "vsock.config.valid",
     .clause = "virtio 1.4, 5.10.4 and 5.10.6.4.2 MUST NOT: guest CIDs are not reserved; multi-cid P1",
     .owner = OWNER,
     .needs = NEED_VSOCK)
{
	const int ret = vsock_env_reopen(t, 0);
	struct vsock *vs = vsock_env()->vs;
	const struct vsock_config *cfg = vsock_config(vs);

	expect(t, vsock_config_error(vs)[0] == '\0', "%s (layout %s)", vsock_config_error(vs),
	       vsock_layout_name(cfg->layout));
	if (vsock_config_error(vs)[0])
		test_hexdump(t, "config", cfg->raw, cfg->raw_len < 64 ? cfg->raw_len : 64);
	else
		test_note(t, "layout %s, %u guest CIDs from %llu, %u host CIDs",
			  vsock_layout_name(cfg->layout), (unsigned int)cfg->num_guest,
			  (unsigned long long)cfg->guest[0], (unsigned int)cfg->num_host);
	expect(t, ret == 0, "the device does not come up: %s", vsock_env_device_error());
}

#define READS 40

/*
 * Each byte by itself, the one behind the last, and the last that there is. A driver reads a field by its own width
 * (4.1.3.1, 4.2.2.2), so that what such a load gives is not promised; that it changes nothing is. How many gave another
 * byte.
 */
static unsigned int bytes_alone(struct test_ctx *t, struct virtio_device *d, const uint8_t *raw,
				uint32_t len)
{
	const uint32_t all = d->ops->config_len(d);
	unsigned int differ = 0;
	uint32_t off;
	uint8_t byte;

	for (off = 0; off < len; off++) {
		if (d->ops->config_read(d, off, &byte, 1))
			test_error(t, "byte %u of the configuration cannot be read",
				   (unsigned int)off);
		differ += byte != raw[off];
	}
	if (len < all)
		(void)d->ops->config_read(d, len, &byte, 1);
	if (len < all)
		(void)d->ops->config_read(d, all - 1, &byte, 1);
	return differ;
}

TEST(config_stable,
     .id = "vsock.config.stable",
     .clause = "virtio 1.4, 2.5.2: configuration space does not change without a notice",
     .owner = OWNER,
     .needs = NEED_VSOCK,
     .timeout = 20 * SEC) /* 500 CIDs are 4,000 bytes, each time */
{
	struct vsock_env *e = vsock_env_dev(t);
	const struct vsock_config first = *vsock_config(e->vs);
	struct virtio_device *d = vsock_device(e->vs);
	const uint32_t gen = d->ops->config_generation(d);
	const uint32_t all = 8 + 8 * (first.num_guest + first.num_host);
	/* But for the indexed layout's last bytes: the index is ours. */
	const uint32_t len = first.layout == VSOCK_LAYOUT_INDEXED ? VSOCK_INDEXED_INDEX :
			     first.raw_len < all		  ? first.raw_len :
								    all;
	uint8_t now[sizeof(first.raw)];
	int i, differ = 0;
	unsigned int alone = bytes_alone(t, d, first.raw, len);

	if (alone)
		test_note(t, "bytes that differ when they are read alone: %u of %u", alone,
			  (unsigned int)len);
	for (i = 0; i < READS; i++) {
		if (virtio_config_read(d, 0, now, len))
			test_error(t, "config space cannot be read: %s", d->error);
		differ += memcmp(now, first.raw, len) != 0;
	}
	expect_eq(t, differ, 0, "reads of %d that differ", READS);
	expect_eq(t, d->ops->config_generation(d), gen, "generation afterwards");
}

TEST(config_resets,
     .id = "vsock.config.survives_reset",
     .clause = "virtio 1.4, 2.4.1: a device reset leaves the host's configuration as it is",
     .owner = OWNER,
     .needs = NEED_VSOCK)
{
	const struct vsock_config first = *vsock_config(vsock_env_dev(t)->vs), *now;
	int i;

	for (i = 0; i < 3; i++) {
		require(t, vsock_env_reopen(t, 0) == 0,
			"the device does not come up after reset %d: %s", i,
			vsock_env_device_error());
		now = vsock_config(vsock_env()->vs);
		expect(t, memcmp(now->guest, first.guest, sizeof(first.guest)) == 0,
		       "guest CIDs after reset %d: %llu instead of %llu", i,
		       (unsigned long long)now->guest[0], (unsigned long long)first.guest[0]);
		expect_eq(t, now->num_guest, first.num_guest, "count of guest CIDs after reset %d",
			  i);
	}
}

TEST(config_matches,
     .id = "vsock.config.matches_device",
     .clause = "multi-cid P1: the configuration space lists the CIDs that the host was given",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_DEVICE_CTL)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const struct vsock_config *cfg = vsock_config(e->vs);
	struct ctl_dev_info info;
	uint32_t i;

	CTL_OK(t, ctl_dev_info(e->ctl, &info));
	expect_eq(t, cfg->num_guest, info.num_guest, "guest CIDs");
	for (i = 0; i < cfg->num_guest && i < CTL_MAX_CIDS; i++)
		expect_eq(t, cfg->guest[i], info.cids[i], "guest CID %u", (unsigned int)i);
	if (cfg->layout == VSOCK_LAYOUT_MULTI_HOST || cfg->layout == VSOCK_LAYOUT_INDEXED)
		expect_eq(t, cfg->num_host, info.num_host, "host CIDs");
	for (i = 0; i < cfg->num_host && cfg->num_guest + i < CTL_MAX_CIDS; i++)
		expect_eq(t, cfg->host[i], info.cids[cfg->num_guest + i], "host CID %u",
			  (unsigned int)i);
}

TEST(config_streams_implied,
     .id = "vsock.config.implied_stream",
     .clause = "virtio 1.4, 5.10.3.2 SHOULD: with no feature negotiated the device acts as STREAM",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER)
{
	/* A bit that vsock does not have: none of its own is negotiated. */
	const int opened = vsock_env_reopen(t, VIRTIO_BIT(VIRTIO_F_EVENT_IDX));
	struct vsock *vs = vsock_env()->vs;
	struct vsock_conn *c;
	int ret;

	if (opened)
		test_error(t, "the device does not come up without features: %s",
			   vsock_env_device_error());
	ret = vsock_connect(vs, VSOCK_STREAM, any_port(0), host_port(ASSAY_ECHO_PORT), CONNECT_NS,
			    &c);
	/* Only SHOULD: a device may refuse, and a driver that negotiates nothing is an old one. */
	if (ret)
		test_note(t, "a stream without feature bits: %s", err_text(ret));
	else
		vsock_conn_close(c, IO_NS);
	expect(t, !(vsock_device(vs)->ops->get_status(vsock_device(vs)) & VIRTIO_S_NEEDS_RESET),
	       "the device gives up at a stream without feature bits");
}

TEST(config_no_implied,
     .id = "vsock.config.no_implied_stream",
     .clause = "virtio 1.4, 5.10.3.2 SHOULD: the device offers NO_IMPLIED_STREAM",
     .owner = OWNER,
     .needs = NEED_VSOCK)
{
	const uint64_t offered = vsock_device(vsock_env_dev(t)->vs)->offered;

	/* Without streams or messages to tell apart the bit has no meaning, and with it one of them has to be there. */
	expect(t,
	       !(offered & VIRTIO_BIT(VSOCK_F_NO_IMPLIED_STREAM)) ||
		       offered & (VIRTIO_BIT(VSOCK_F_STREAM) | VIRTIO_BIT(VSOCK_F_SEQPACKET)),
	       "NO_IMPLIED_STREAM is offered, and neither STREAM nor SEQPACKET");
	if (!(offered & VIRTIO_BIT(VSOCK_F_NO_IMPLIED_STREAM)))
		test_note(
			t,
			"NO_IMPLIED_STREAM is not offered: a driver that wants messages gets streams as well");
}

/* The same CIDs in another order, so that connections live on; by 0 is the order that there was. */
static void put_in_order(const struct vsock_config *was, uint32_t by, uint64_t *cids)
{
	uint32_t i;

	for (i = 0; i < was->num_guest; i++)
		cids[i] = was->guest[(i + by) % was->num_guest];
}

static bool notified_since(struct vsock_env *e, uint64_t before)
{
	const struct virtio_irq_counts *n = &vsock_device(e->vs)->irqs;

	return wait_for(vsock_poll(e->vs) >= 0 &&
				__atomic_load_n(&n->config, __ATOMIC_RELAXED) != before,
			IO_NS);
}

static void rotate_cids(struct test_ctx *t, struct vsock_env *e, const struct vsock_config *was,
			uint32_t by)
{
	struct virtio_device *d = vsock_device(e->vs);
	const uint64_t before = __atomic_load_n(&d->irqs.config, __ATOMIC_RELAXED);
	uint64_t cids[VSOCK_MAX_CIDS] = { 0 };

	put_in_order(was, by, cids);
	CTL_OK(t, ctl_set_cids(e->ctl, cids, was->num_guest, was->host, was->num_host, false));
	require(t, notified_since(e, before),
		"no notification in time of a change of the configuration");
}

/* A counter that is too narrow, or that stands still, hides a change from a driver that reads it in two halves. */
TEST(config_generation,
     .id = "vsock.config.generation",
     .clause = "virtio 1.4, 4.1.4.3.1, 4.2.2.1 MUST: another config_generation once the configuration has changed, however often",
     .owner = OWNER,
     .needs = NEED_VSOCK | NEED_PEER | NEED_DEVICE_CTL | NEED_MULTI_CID,
     .timeout = 10 * SEC)
{
	enum {
		CHANGES = 4,
		BYTES = 32
	};
	struct vsock_env *e = vsock_env_ctl(t);
	const struct vsock_config was = *vsock_config(e->vs);
	struct virtio_device *d = vsock_device(e->vs);
	uint8_t before[BYTES], after[BYTES];
	uint32_t len = d->ops->config_len(d), gen;
	unsigned int n, k;

	len = len < BYTES ? len : BYTES;
	if (d->irq_mode == VIRTIO_IRQ_POLL)
		test_skip(t, "the device has no interrupt to notify by");
	for (n = 1; n <= CHANGES; n++) {
		if (virtio_config_read(d, 0, before, len))
			test_error(t, "config space cannot be read: %s", d->error);
		gen = d->ops->config_generation(d);
		for (k = n; k--;)
			rotate_cids(t, e, &was, k % 2 ? 0 : 1);
		if (virtio_config_read(d, 0, after, len))
			test_error(t, "config space cannot be read: %s", d->error);
		require(t, memcmp(before, after, len) != 0, "the configuration is as it was");
		expect(t, d->ops->config_generation(d) != gen,
		       "%u changes, and the generation is %u as before", n, (unsigned int)gen);
		rotate_cids(t, e, &was, 0);
	}
}

static bool shows_first(struct test_ctx *t, struct vsock_env *e, uint64_t cid)
{
	struct ctl_dev_info info;

	CTL_OK(t, ctl_dev_info(e->ctl, &info));
	return info.cids[0] == cid;
}

/*
 * n changes, behind which the CIDs have an order that they have not now. The driver reads them whenever it is notified:
 * here it is not. false: two CIDs have two orders only, and n changes lead back to this one.
 */
static bool change_unseen(struct test_ctx *t, struct vsock_env *e, const struct vsock_config *was,
			  uint32_t n)
{
	struct virtio_device *d = vsock_device(e->vs);
	void (*const on_config)(struct virtio_device *) = d->on_config;
	/* The first of the n - 1 changes is to an order n - 2 places further on than the last of them. */
	const uint32_t last_but_one = (n - 2) % was->num_guest ? 0 : 2;
	uint64_t cids[VSOCK_MAX_CIDS] = { 0 }, before = 0;
	int ret;

	if (last_but_one >= was->num_guest)
		return false;
	d->on_config = NULL;
	put_in_order(was, last_but_one, cids);
	before = __atomic_load_n(&d->irqs.config, __ATOMIC_RELAXED);
	CTL_OK(t,
	       ctl_set_cids_often(e->ctl, cids, was->num_guest, was->host, was->num_host, n - 1));
	/* The host begins once it sees that its answer was read: nothing else is asked before. */
	require(t, notified_since(e, before),
		"no notification in time of a change of the configuration");
	put_in_order(was, 1, cids);
	wait_for((before = __atomic_load_n(&d->irqs.config, __ATOMIC_RELAXED),
		  ret = ctl_set_cids(e->ctl, cids, was->num_guest, was->host, was->num_host,
				     false)) != -EBUSY,
		 5 * test_sec());
	CTL_OK(t, ret);
	require(t, notified_since(e, before),
		"no notification in time of the last of %u changes of the configuration",
		(unsigned int)n);
	/* That may have been the one of an earlier change. */
	if (!wait_for(shows_first(t, e, cids[0]), IO_NS))
		test_error(t, "the host does not make the last of %u changes in time",
			   (unsigned int)n);
	d->on_config = on_config;
	return true;
}

/*
 * On PCI it has 8 bits, so that 256 changes lead a mere counter back to where it was; 255 do where 0 is left out. Of that
 * 4.1.4.3.1 warns.
 */
TEST(config_generation_wraps,
     .id = "vsock.config.generation_wraps",
     .clause = "virtio 1.4, 4.1.4.3.1, 4.2.2.1 MUST: another config_generation once a value has changed since it was read, be it behind 255 or 256 changes",
     .owner = "the VMM's virtio front end",
     .needs = NEED_VSOCK | NEED_PEER | NEED_DEVICE_CTL | NEED_MULTI_CID,
     .timeout = 20 * SEC)
{
	enum {
		BYTES = 32
	};
	static const uint32_t changes[] = { 255, 256 };
	struct vsock_env *e = vsock_env_ctl(t);
	const struct vsock_config was = *vsock_config(e->vs);
	struct virtio_device *d = vsock_device(e->vs);
	uint8_t before[BYTES], after[BYTES];
	uint32_t len = d->ops->config_len(d), gen;
	unsigned int i;

	len = len < BYTES ? len : BYTES;
	if (d->irq_mode == VIRTIO_IRQ_POLL)
		test_skip(t, "the device has no interrupt to notify by");
	for (i = 0; i < COUNT_OF(changes); i++) {
		if (virtio_config_read(d, 0, before, len))
			test_error(t, "config space cannot be read: %s", d->error);
		gen = d->ops->config_generation(d);
		if (!change_unseen(t, e, &was, changes[i])) {
			test_note(t, "two CIDs are as they were behind %u changes",
				  (unsigned int)changes[i]);
			continue;
		}
		if (virtio_config_read(d, 0, after, len))
			test_error(t, "config space cannot be read: %s", d->error);
		require(t, memcmp(before, after, len) != 0, "the configuration is as it was");
		expect(t, d->ops->config_generation(d) != gen,
		       "%u changes since it was read, and the generation is %u as before",
		       (unsigned int)changes[i], (unsigned int)gen);
		rotate_cids(t, e, &was, 0);
	}
}

TEST(config_index,
     .id = "vsock.config.index_after_reset",
     .clause = "virtio 1.4, 2.4.1: a reset starts the device anew: the index of the indexed layout is 0 again",
     .owner = OWNER,
     .needs = NEED_VSOCK)
{
	struct vsock_env *e = vsock_env_dev(t);
	const struct vsock_config was = *vsock_config(e->vs);
	struct virtio_device *d = vsock_device(e->vs);
	const le32 last = cpu_to_le32(was.num_guest + was.num_host - 1);
	le32 now = cpu_to_le32(UINT32_MAX);
	const le32 odd = cpu_to_le32(0x81020304u);
	le64 cid = cpu_to_le64(UINT64_MAX);

	if (was.layout != VSOCK_LAYOUT_INDEXED)
		test_skip(t, "the layout is %s, without an index", vsock_layout_name(was.layout));
	if (d->ops->config_write(d, VSOCK_INDEXED_INDEX, &last, sizeof(last)))
		test_error(t, "the index cannot be written");
	if (d->ops->config_write(d, VSOCK_INDEXED_INDEX, &odd, sizeof(odd)) ||
	    d->ops->config_read(d, VSOCK_INDEXED_INDEX, &now, sizeof(now)) ||
	    d->ops->config_read(d, VSOCK_INDEXED_CID, &cid, sizeof(cid)))
		test_error(t, "an index cannot be written and read");
	expect_eq(t, le32_to_cpu(now), le32_to_cpu(odd), "an index that was written");
	expect_eq(t, le64_to_cpu(cid), 0, "the CID at an index past the last one");
	if (d->ops->config_write(d, VSOCK_INDEXED_INDEX, &last, sizeof(last)))
		test_error(t, "the index cannot be written");
	d->ops->set_status(d, 0);
	require(t, wait_for(d->ops->get_status(d) == 0, IO_NS), "the reset does not end");
	if (d->ops->config_read(d, VSOCK_INDEXED_INDEX, &now, sizeof(now)))
		test_error(t, "the index cannot be read");
	expect_eq(t, le32_to_cpu(now), 0, "the index after a reset");
	require(t, vsock_env_reopen(t, 0) == 0, "the device does not come up: %s",
		vsock_env_device_error());
}

/* But for the index of the indexed layout, which is a driver's own. */
static bool is_index(const struct vsock_config *c, uint32_t off, uint32_t width)
{
	return c->layout == VSOCK_LAYOUT_INDEXED && off < VSOCK_INDEXED_INDEX + sizeof(le32) &&
	       off + width > VSOCK_INDEXED_INDEX;
}

/* Whatever a driver stores there, by each width that a field may have. */
TEST(config_written,
     .id = "vsock.config.for_its_lifetime",
     .clause = "virtio 1.4, 5.10.4: guest_cid identifies the device for its lifetime; a driver's store changes none",
     .owner = OWNER,
     .needs = NEED_VSOCK)
{
	enum {
		BYTES = 32
	};
	static const uint8_t widths[] = { 1, 2, 4 };
	static const uint8_t odd[4] = { 0x5a, 0xa5, 0x5a, 0xa5 };
	const struct vsock_config first = *vsock_config(vsock_env_dev(t)->vs), *now;
	struct virtio_device *d = vsock_device(vsock_env()->vs);
	uint32_t off, len = d->ops->config_len(d);
	uint8_t before[BYTES], after[BYTES];
	unsigned int i;

	len = len < BYTES ? len : BYTES;
	if (virtio_config_read(d, 0, before, len))
		test_error(t, "config space cannot be read: %s", d->error);
	for (i = 0; i < sizeof(widths); i++)
		for (off = 0; off + widths[i] <= len; off += widths[i])
			if (!is_index(&first, off, widths[i]))
				(void)d->ops->config_write(d, off, odd, widths[i]);
	if (virtio_config_read(d, 0, after, len))
		test_error(t, "config space cannot be read: %s", d->error);
	expect(t, memcmp(before, after, len) == 0,
	       "the first %u bytes of the configuration are others after stores",
	       (unsigned int)len);
	require(t, vsock_env_reopen(t, 0) == 0, "the device does not come up afterwards: %s",
		vsock_env_device_error());
	now = vsock_config(vsock_env()->vs);
	expect(t,
	       now->num_guest == first.num_guest &&
		       memcmp(now->guest, first.guest, sizeof(first.guest)) == 0,
	       "after stores and a reset: %u guest CIDs from %llu on, not %u from %llu on",
	       (unsigned int)now->num_guest, (unsigned long long)now->guest[0],
	       (unsigned int)first.num_guest, (unsigned long long)first.guest[0]);
}
