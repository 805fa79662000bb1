/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/vsock/env.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Owner: the fixture below. One device, one control connection, kept over tests while they are sound. */
static struct {
	struct vsock_env env;
	bool probed;
	int open_ret, ctl_ret;
	char config_error[128];
	/* As learnt by the probe. */
	uint32_t caps, num_guest, num_host;
	bool seqpacket;
	char peer[48];
} state;

struct vsock_env *vsock_env(void)
{
	return &state.env;
}

struct vsock_env *vsock_env_ctl(struct test_ctx *t)
{
	if (!state.env.vs)
		test_error(t, "the device does not come up: errno %d %s", -state.open_ret,
			   state.config_error);
	if (!state.env.ctl)
		test_error(t, "no control connection: errno %d", -state.ctl_ret);
	return &state.env;
}

static void close_all(void)
{
	/* The host forgets the control connection with the device's reset. */
	if (state.env.ctl)
		ctl_close(state.env.ctl);
	vsock_close(state.env.vs);
	state.env = (struct vsock_env){ 0 };
}

void vsock_env_drop(void)
{
	close_all();
}

int vsock_env_reconnect(void)
{
	if (state.env.ctl)
		ctl_close(state.env.ctl);
	return ctl_open(state.env.vs, &state.env.ctl);
}

static int open_all(void)
{
	int ret = vsock_open(0, 0, &state.env.vs);

	state.open_ret = ret;
	if (ret) {
		if (state.env.vs)
			snprintf(state.config_error, sizeof(state.config_error), "%s",
				 vsock_config_error(state.env.vs));
		close_all();
		return ret;
	}
	state.ctl_ret = ctl_open(state.env.vs, &state.env.ctl);
	if (!state.ctl_ret)
		state.ctl_ret = ctl_forget_all(state.env.ctl);
	return 0;
}

int vsock_env_open(void)
{
	return state.env.vs ? 0 : open_all();
}

static void probe(void)
{
	const struct vsock_config *cfg;

	if (state.probed)
		return;
	state.probed = true;
	if (open_all())
		return;
	cfg = vsock_config(state.env.vs);
	state.num_guest = cfg->num_guest;
	state.num_host = cfg->num_host;
	state.seqpacket = virtio_has(vsock_device(state.env.vs), VSOCK_F_SEQPACKET);
	if (state.env.ctl) {
		state.caps = le32_to_cpu(ctl_hello(state.env.ctl)->caps);
		memcpy(state.peer, ctl_hello(state.env.ctl)->name, sizeof(state.peer));
	}
	close_all();
}

/* --- needs ------------------------------------------------------------------------------------ */

static bool has_device(char *why, size_t size)
{
	if (vsock_count())
		return true;
	snprintf(why, size, "no vsock device (looked on PCI, virtio_mmio.device= and in the DSDT)");
	return false;
}
NEED(vsock_device, NEED_VSOCK_DEVICE, "vsock device", has_device);

static bool has_vsock(char *why, size_t size)
{
	if (!has_device(why, size))
		return false;
	probe();
	if (state.open_ret == 0)
		return true;
	snprintf(why, size, "the vsock device does not come up: errno %d %.60s", -state.open_ret,
		 state.config_error);
	return false;
}
NEED(vsock, NEED_VSOCK, "vsock", has_vsock);

static bool has_peer(char *why, size_t size)
{
	if (!has_vsock(why, size))
		return false;
	if (state.ctl_ret == 0 && state.peer[0])
		return true;
	snprintf(why, size,
		 "no peer answers at CID 2 port 4000 (errno %d): run assay peer on the host",
		 -state.ctl_ret);
	return false;
}
NEED(peer, NEED_PEER, "peer", has_peer);

static bool has_cap(uint32_t cap, const char *what, char *why, size_t size)
{
	if (!has_peer(why, size))
		return false;
	if (state.caps & cap)
		return true;
	snprintf(why, size, "the peer (%s) %s", state.peer, what);
	return false;
}

static bool multi_cid(char *why, size_t size)
{
	if (!has_vsock(why, size))
		return false;
	if (state.num_guest > 1)
		return true;
	snprintf(why, size, "the device lists one guest CID");
	return false;
}
NEED(multi_cid, NEED_MULTI_CID, "several guest CIDs", multi_cid);

static bool host_cids(char *why, size_t size)
{
	if (!has_vsock(why, size))
		return false;
	if (state.num_host > 0)
		return true;
	snprintf(why, size, "the device lists no additional host CID (its layout may have none)");
	return false;
}
NEED(host_cids, NEED_HOST_CIDS, "additional host CIDs", host_cids);

static bool seqpacket(char *why, size_t size)
{
	if (!has_vsock(why, size))
		return false;
	if (!state.seqpacket) {
		snprintf(why, size, "VIRTIO_VSOCK_F_SEQPACKET (bit 1) is not offered");
		return false;
	}
	return has_cap(CTL_CAP_SEQPACKET, "has no seqpackets", why, size);
}
NEED(seqpacket, NEED_SEQPACKET, "seqpacket", seqpacket);

static bool host_connect(char *why, size_t size)
{
	return has_cap(CTL_CAP_HOST_CONNECT, "cannot connect to the guest", why, size);
}
NEED(host_connect, NEED_HOST_CONNECT, "connections from the host", host_connect);

static bool guest_addrs(char *why, size_t size)
{
	return has_cap(CTL_CAP_GUEST_ADDRS, "does not see the guest's CID", why, size);
}
NEED(guest_addrs, NEED_GUEST_ADDRS, "addresses as the host sees them", guest_addrs);

static bool device_ctl(char *why, size_t size)
{
	return has_cap(CTL_CAP_DEVICE, "is not inside the device", why, size);
}
NEED(device_ctl, NEED_DEVICE_CTL, "control of the device", device_ctl);

static bool peer_credit(char *why, size_t size)
{
	return has_cap(CTL_CAP_CREDIT, "cannot see or set credit", why, size);
}
NEED(peer_credit, NEED_PEER_CREDIT, "credit of the peer", peer_credit);

static bool peer_reset(char *why, size_t size)
{
	return has_cap(CTL_CAP_RESET, "cannot send RST", why, size);
}
NEED(peer_reset, NEED_PEER_RESET, "RST from the peer", peer_reset);

static bool half_close(char *why, size_t size)
{
	return has_cap(CTL_CAP_HALF_CLOSE, "cannot close one direction", why, size);
}
NEED(half_close, NEED_HALF_CLOSE, "half-close by the peer", half_close);

static bool mem_state(char *why, size_t size)
{
	return has_cap(CTL_CAP_MEM_STATE, "does not know the page states", why, size);
}
NEED(mem_state, NEED_MEM_STATE, "page states of the host", mem_state);

static bool interrupt(char *why, size_t size)
{
	return has_cap(CTL_CAP_INTERRUPT, "cannot raise interrupts", why, size);
}
NEED(interrupt, NEED_INTERRUPT, "interrupts on request", interrupt);

/* --- fixture ------------------------------------------------------------------------------------ */

/* A test that needs the device opened finds it opened, and a peer that forgot everything. */
static int setup(void)
{
	if (!vsock_count())
		return 0;
	/* Tests of the configuration look at a device that may not come up. */
	if (open_all())
		return 0;
	return 0;
}

FIXTURE(vsock, .suite = "vsock.", .setup = setup, .teardown = close_all);
FIXTURE(bench, .suite = "bench.vsock.", .setup = setup, .teardown = close_all);

/* --- helpers ------------------------------------------------------------------------------------- */

void pattern_fill(uint8_t *buf, size_t n, uint32_t seed, uint64_t pos)
{
	size_t i;

	for (i = 0; i < n; i++)
		buf[i] = assay_pattern(seed, pos + i);
}

int64_t pattern_check(const uint8_t *buf, size_t n, uint32_t seed, uint64_t pos)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (buf[i] != assay_pattern(seed, pos + i))
			return (int64_t)(pos + i);
	return -1;
}

int recv_exact(struct vsock_conn *c, void *buf, size_t n, uint64_t ns)
{
	const deadline_t end = deadline_in(ns);
	uint8_t *p = buf;

	while (n) {
		const uint64_t now = time_now();
		const ssize_t got = vsock_recv(c, p, n, now < end ? end - now : 0);

		if (got < 0)
			return (int)got;
		if (got == 0)
			return -EPIPE;
		p += got;
		n -= (size_t)got;
	}
	return 0;
}
