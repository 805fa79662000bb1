/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The configuration space: which CIDs this guest has. A layout that contradicts
 * itself, or names addresses that no guest may have, is a broken promise before
 * the first packet.
 */
#include <errno.h>
#include <string.h>

#include "tests/vsock/env.h"

#define OWNER "vsock device (configuration space)"

/* The config as it is, judged or not: the fixture's device, or one opened here that does not come up. */
static struct vsock *open_any(struct test_ctx *t, bool *own)
{
	struct vsock *vs = vsock_env()->vs;

	*own = !vs;
	if (!vs)
		vsock_open(0, 0, &vs);
	if (!vs)
		test_error(t, "the device cannot be opened at all");
	return vs;
}

TEST(config_valid, .id = "vsock.config.valid",
     .clause =
	     "virtio 1.4, 5.10.4 and 5.10.6.4.2 MUST NOT: guest CIDs are not reserved; multi-cid P1",
     .owner = OWNER, .needs = NEED_VSOCK_DEVICE)
{
	const struct vsock_config *cfg;
	struct vsock *vs;
	bool own;

	vs = open_any(t, &own);
	cfg = vsock_config(vs);
	expect(t, vsock_config_error(vs)[0] == '\0', "%s (layout %s)", vsock_config_error(vs),
	       vsock_layout_name(cfg->layout));
	if (vsock_config_error(vs)[0])
		test_hexdump(t, "config", cfg->raw, cfg->raw_len < 64 ? cfg->raw_len : 64);
	else
		test_note(t, "layout %s, %u guest CIDs from %llu, %u host CIDs",
			  vsock_layout_name(cfg->layout), (unsigned int)cfg->num_guest,
			  (unsigned long long)cfg->guest[0], (unsigned int)cfg->num_host);
	if (own)
		vsock_close(vs);
}

TEST(config_stable, .id = "vsock.config.stable",
     .clause = "virtio 1.4, 2.5.2: configuration space does not change without a notice",
     .owner = OWNER, .needs = NEED_VSOCK)
{
	struct vsock_env *e = vsock_env();
	const struct vsock_config first = *vsock_config(e->vs);
	struct virtio_device *d = vsock_device(e->vs);
	uint32_t gen = d->ops->config_generation(d);
	const uint32_t all = 8 + 8 * (first.num_guest + first.num_host);
	const uint32_t len = first.layout == VSOCK_LAYOUT_INDEXED ? VSOCK_INDEXED_INDEX :
			     first.raw_len < all		  ? first.raw_len :
								    all;
	uint8_t now[sizeof(first.raw)];
	int i, differ = 0;

	/* But for the indexed layout's last bytes: the index is ours. */
	for (i = 0; i < 40; i++) {
		if (virtio_config_read(d, 0, now, len))
			test_error(t, "config space cannot be read");
		differ += memcmp(now, first.raw, len) != 0;
	}
	expect_eq(t, differ, 0, "reads of 40 that differ");
	expect_eq(t, d->ops->config_generation(d), gen, "generation afterwards");
}

TEST(config_resets, .id = "vsock.config.survives_reset",
     .clause = "virtio 1.4, 2.4.1: a device reset leaves the host's configuration as it is",
     .owner = OWNER, .needs = NEED_VSOCK)
{
	struct vsock_env *e = vsock_env();
	const struct vsock_config first = *vsock_config(e->vs);
	struct vsock *vs;
	int i, ret;

	vsock_env_drop();
	for (i = 0; i < 3; i++) {
		ret = vsock_open(0, 0, &vs);
		expect(t, ret == 0, "open after reset %d: errno %d", i, -ret);
		if (vs) {
			expect(t,
			       memcmp(vsock_config(vs)->guest, first.guest, sizeof(first.guest)) ==
				       0,
			       "guest CIDs after reset %d: %llu instead of %llu", i,
			       (unsigned long long)vsock_config(vs)->guest[0],
			       (unsigned long long)first.guest[0]);
			expect_eq(t, vsock_config(vs)->num_guest, first.num_guest,
				  "count of guest CIDs after reset %d", i);
		}
		vsock_close(vs);
	}
}

TEST(config_matches, .id = "vsock.config.matches_device",
     .clause = "multi-cid P1: the configuration space lists the CIDs that the host was given",
     .owner = OWNER, .needs = NEED_VSOCK | NEED_PEER | NEED_DEVICE_CTL)
{
	struct vsock_env *e = vsock_env_ctl(t);
	const struct vsock_config *cfg = vsock_config(e->vs);
	struct ctl_dev_info info;
	uint32_t i;

	CTL_OK(t, ctl_dev_info(e->ctl, &info));
	expect_eq(t, cfg->num_guest, le32_to_cpu(info.num_guest), "guest CIDs");
	for (i = 0; i < cfg->num_guest && i < CTL_MAX_CIDS; i++)
		expect_eq(t, cfg->guest[i], le64_to_cpu(info.cids[i]), "guest CID %u",
			  (unsigned int)i);
	if (cfg->layout == VSOCK_LAYOUT_MULTI_HOST || cfg->layout == VSOCK_LAYOUT_INDEXED)
		expect_eq(t, cfg->num_host, le32_to_cpu(info.num_host), "host CIDs");
}

TEST(config_streams_implied, .id = "vsock.config.implied_stream",
     .clause = "virtio 1.4, 5.10.3.2 SHOULD: with no feature negotiated the device acts as STREAM",
     .owner = OWNER, .needs = NEED_VSOCK | NEED_PEER)
{
	struct vsock_conn *c;
	struct vsock *vs;
	int ret;

	vsock_env_drop();
	/* A bit that vsock does not have: none of its own is negotiated. */
	ret = vsock_open(0, VIRTIO_BIT(VIRTIO_F_EVENT_IDX), &vs);
	if (ret)
		test_error(t, "open without features: errno %d", -ret);
	ret = vsock_connect(vs, VSOCK_STREAM, any_port(0), host_port(ASSAY_ECHO_PORT), CONNECT_NS,
			    &c);
	/* Only SHOULD: a device may refuse, and a driver that negotiates nothing is an old one. */
	if (ret)
		test_note(t, "a stream without feature bits: errno %d", -ret);
	else
		vsock_conn_close(c, IO_NS);
	expect(t, !(vsock_device(vs)->ops->get_status(vsock_device(vs)) & VIRTIO_S_NEEDS_RESET),
	       "the device gives up at a stream without feature bits");
	vsock_close(vs);
}
