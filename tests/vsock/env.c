/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/vsock/env.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "drivers/virtio/virtqueue.h"
#include "lib/errname.h"
#include "tests/vsock/watch.h"

/*
 * A peer that stayed silent once gets this much later on: a dead device must not cost each test its
 * time.
 */
#define SILENT_NS  (test_sec() / 10)
#define GREET_NS   (2 * test_sec())
#define ERROR_TEXT 160

/* Owner: the fixture below. One device and one control connection, made for each test. */
static struct {
	struct vsock_env env;
	bool probed, silent;
	int open_ret, reset_ret;
	char device_error[ERROR_TEXT], peer_error[ERROR_TEXT], left[ERROR_TEXT];
	const char *last_good; /* the last test that had a control connection */
	/* As learnt by the probe; known: whether it learnt them. */
	bool config_known, peer_known;
	enum vsock_layout layout;
	uint32_t caps, num_guest, num_host;
	char peer[48];
} state;

struct vsock_env *vsock_env(void)
{
	return &state.env;
}

const char *vsock_env_device_error(void)
{
	return state.device_error;
}

const char *vsock_env_peer_error(void)
{
	return state.peer_error;
}

/* With protected memory a device that offers no ACCESS_PLATFORM, which it SHOULD only, is of no use. */
static void skip_if_barred(struct test_ctx *t)
{
	if (state.open_ret == -EPERM)
		test_skip(t, "%s", state.device_error);
}

struct vsock_env *vsock_env_dev(struct test_ctx *t)
{
	skip_if_barred(t);
	if (!state.env.vs || state.open_ret)
		test_error(t, "the vsock device does not come up: %s", state.device_error);
	return &state.env;
}

struct vsock_env *vsock_env_ctl(struct test_ctx *t)
{
	vsock_env_dev(t);
	if (!state.env.ctl && state.last_good)
		test_error(t, "nothing has worked since %s: %s", state.last_good, state.peer_error);
	if (!state.env.ctl)
		test_error(t, "no control connection: %s", state.peer_error);
	state.last_good = test_self(t)->id;
	return &state.env;
}

/* --- up and down ------------------------------------------------------------------------------ */

static int open_device(uint64_t features)
{
	struct vsock *vs;

	state.open_ret = vsock_open(0, features, &state.env.vs);
	vs = state.env.vs;
	state.device_error[0] = '\0';
	if (state.open_ret)
		snprintf(state.device_error, sizeof(state.device_error), "%s",
			 !vs			    ? err_text(state.open_ret) :
			 vsock_config_error(vs)[0]  ? vsock_config_error(vs) :
			 vsock_device(vs)->error[0] ? vsock_device(vs)->error :
						      err_text(state.open_ret));
	return state.open_ret;
}

/* What a REQUEST, or the first bytes on the new connection, met. */
static const char *what_came(enum ctl_stage stage, int ret)
{
	struct vsock *vs = state.env.vs;

	if (ret == -EPROTO)
		return vsock_error(vs);
	if (stage == CTL_VERSION)
		return "the peer speaks another version of the control protocol";
	if (stage == CTL_GREETING)
		return ret == -ECONNRESET ?
			       "REQUEST is answered with RESPONSE, the first data with RST" :
		       ret == -ETIMEDOUT ?
			       "REQUEST is answered with RESPONSE, and no byte of data comes" :
			       err_text(ret);
	if (ret == -ECONNREFUSED || ret == -ECONNRESET)
		return "REQUEST is answered with RST";
	if (ret != -ETIMEDOUT)
		return err_text(ret);
	return !wait_for((vsock_poll(vs), vq_in_flight(vsock_device(vs)->vq[1]) == 0), SILENT_NS) ?
		       "nothing comes in answer to REQUEST, and its buffer on tx is not even used" :
		       "nothing comes in answer to REQUEST";
}

static int open_ctl(uint64_t ns)
{
	enum ctl_stage stage;
	int ret = ctl_open(state.env.vs, ns, &stage, &state.env.ctl);

	if (ret)
		snprintf(state.peer_error, sizeof(state.peer_error), "CID %u port %u: %s",
			 (unsigned int)VSOCK_CID_HOST, (unsigned int)ctl_port(),
			 what_came(stage, ret));
	if (!ret) {
		ret = ctl_forget_all(state.env.ctl);
		if (ret)
			snprintf(state.peer_error, sizeof(state.peer_error),
				 "the peer does not forget what was before: %s", err_text(ret));
	}
	state.silent = ret != 0;
	return ret;
}

static void close_all(void)
{
	/* The host forgets the control connection with the device's reset. */
	if (state.env.ctl)
		ctl_close(state.env.ctl);
	state.reset_ret = vsock_close(state.env.vs);
	state.env = (struct vsock_env){ 0 };
}

void vsock_env_drop(void)
{
	close_all();
}

int vsock_env_reopen(struct test_ctx *t, uint64_t features)
{
	close_all();
	open_device(features);
	skip_if_barred(t);
	if (!state.env.vs)
		test_error(t, "the device cannot be opened: %s", state.device_error);
	return state.open_ret;
}

int vsock_env_renew(struct test_ctx *t)
{
	state.reset_ret = vsock_close(state.env.vs);
	ctl_gone(state.env.ctl);
	state.env = (struct vsock_env){ 0 };
	return vsock_env_reopen(t, 0);
}

int vsock_env_reconnect(void)
{
	if (state.env.ctl)
		ctl_close(state.env.ctl);
	state.env.ctl = NULL;
	return open_ctl(GREET_NS);
}

int vsock_env_ask_again(void)
{
	if (state.env.ctl)
		return 0;
	return state.env.vs && !state.open_ret ? open_ctl(GREET_NS) : -ENODEV;
}

static int open_all(void)
{
	const int ret = open_device(0);

	if (ret)
		close_all();
	else
		open_ctl(state.silent ? SILENT_NS : GREET_NS);
	state.open_ret = ret;
	return ret;
}

int vsock_env_open(void)
{
	return state.env.vs ? state.open_ret : open_all();
}

static void probe(void)
{
	const struct vsock_config *cfg;

	if (state.probed)
		return;
	state.probed = true;
	vsock_watch();
	state.open_ret = open_device(0);
	if (!state.env.vs)
		return;
	cfg = vsock_config(state.env.vs);
	state.config_known = cfg->num_guest && !vsock_config_error(state.env.vs)[0];
	state.layout = cfg->layout;
	state.num_guest = cfg->num_guest;
	state.num_host = cfg->num_host;
	if (!state.open_ret && !open_ctl(GREET_NS)) {
		state.peer_known = true;
		state.caps = ctl_hello(state.env.ctl)->caps;
		memcpy(state.peer, ctl_hello(state.env.ctl)->name, sizeof(state.peer));
	}
	close_all();
}

/* --- needs ------------------------------------------------------------------------------------ */

/*
 * What a broken device or a silent peer does not let us see is taken as there: the test runs, and
 * says itself what it met. Only where nobody promised a peer is its silence a reason to skip.
 */
static bool has_vsock(char *why, size_t size)
{
	if (vsock_count())
		return true;
	snprintf(why, size, "no vsock device (looked on PCI, virtio_mmio.device= and in the DSDT)");
	return false;
}
NEED(vsock, NEED_VSOCK, "vsock", has_vsock);

static bool has_peer(char *why, size_t size)
{
	if (!has_vsock(why, size))
		return false;
	if (ctl_promised())
		return true;
	probe();
	if (state.peer_known || state.open_ret)
		return true;
	snprintf(why, size, "no peer (assay peer): %s", state.peer_error);
	return false;
}
NEED(peer, NEED_PEER, "peer", has_peer);

/* Whether there is a device; it was probed then. */
static bool is_probed(char *why, size_t size)
{
	if (!has_vsock(why, size))
		return false;
	probe();
	return true;
}

static bool has_cap(uint32_t cap, const char *what, char *why, size_t size)
{
	if (!has_peer(why, size))
		return false;
	probe();
	if (!state.peer_known || (state.caps & cap))
		return true;
	snprintf(why, size, "the peer (%s) %s", state.peer, what);
	return false;
}

/* Whether the configuration could be read and shows that it is not so. */
static bool config_lacks(bool lacks, const char *what, char *why, size_t size)
{
	if (!state.config_known || !lacks)
		return false;
	snprintf(why, size, "%s", what);
	return true;
}

static bool cid_list(char *why, size_t size)
{
	return is_probed(why, size) &&
	       !config_lacks(
		       state.layout == VSOCK_LAYOUT_UPSTREAM,
		       "guest_cid is the whole configuration: virtio 1.4 has no device drop other CIDs",
		       why, size);
}
NEED(cid_list, NEED_CID_LIST, "a list of CIDs", cid_list);

static bool multi_cid(char *why, size_t size)
{
	return is_probed(why, size) &&
	       !config_lacks(state.num_guest <= 1, "the device lists one guest CID", why, size);
}
NEED(multi_cid, NEED_MULTI_CID, "several guest CIDs", multi_cid);

static bool host_cids(char *why, size_t size)
{
	return is_probed(why, size) &&
	       !config_lacks(!state.num_host,
			     "the device lists no additional host CID (its layout may have none)",
			     why, size);
}
NEED(host_cids, NEED_HOST_CIDS, "additional host CIDs", host_cids);

static bool seqpacket(char *why, size_t size)
{
	if (!is_probed(why, size))
		return false;
	if (!(virtio_find(VIRTIO_ID_VSOCK, 0)->offered & VIRTIO_BIT(VSOCK_F_SEQPACKET))) {
		snprintf(why, size, "VIRTIO_VSOCK_F_SEQPACKET (bit 1) is not offered");
		return false;
	}
	return has_cap(CTL_CAP_SEQPACKET, "has no seqpackets", why, size);
}
NEED(seqpacket, NEED_SEQPACKET, "seqpacket", seqpacket);

#define NEED_CAP(sym, cap, lacks, bit, name)                                                       \
	static bool sym(char *why, size_t size)                                                    \
	{                                                                                          \
		return has_cap(cap, lacks, why, size);                                             \
	}                                                                                          \
	NEED(sym, bit, name, sym)
NEED_CAP(host_connect, CTL_CAP_HOST_CONNECT, "cannot connect to the guest", NEED_HOST_CONNECT,
	 "connections from the host");
NEED_CAP(guest_addrs, CTL_CAP_GUEST_ADDRS, "does not see the guest's CID", NEED_GUEST_ADDRS,
	 "addresses as the host sees them");
NEED_CAP(device_ctl, CTL_CAP_DEVICE, "is not inside the device", NEED_DEVICE_CTL,
	 "control of the device");
NEED_CAP(peer_credit, CTL_CAP_CREDIT, "cannot see or set credit", NEED_PEER_CREDIT,
	 "credit of the peer");
NEED_CAP(peer_reset, CTL_CAP_RESET, "cannot send RST", NEED_PEER_RESET, "RST from the peer");
NEED_CAP(half_close, CTL_CAP_HALF_CLOSE, "cannot close one direction", NEED_HALF_CLOSE,
	 "half-close by the peer");
NEED_CAP(mem_state, CTL_CAP_MEM_STATE, "does not know the page states", NEED_MEM_STATE,
	 "page states of the host");

/* --- fixture --------------------------------------------------------------------------------- */

static int setup(void)
{
	state.left[0] = '\0';
	/* A test of what does not come up finds out itself how far it comes. */
	if (vsock_count())
		open_all();
	return 0;
}

/*
 * A device that falls silent has broken; a peer that is gone, or talks nonsense, is no matter of
 * the device's.
 */
static void check_peer(int ret)
{
	if (ret == -ETIMEDOUT)
		test_fail_around(
			"the control connection, which worked before, is silent afterwards");
	else if (ret && ret != -EPROTO) /* a broken ring is virtio_watch()'s */
		snprintf(state.left, sizeof(state.left), "a control connection that is gone: %s",
			 err_text(ret));
}

/* Later tests would only say the same of this device: the test FAILs, and a new boot is asked for. */
static void dead(const char *what, const char *why)
{
	char text[160];

	snprintf(text, sizeof(text), "%s%s", what, why);
	test_fail_around("%s", text);
	test_want_reboot(text);
}

/*
 * The control connection was lost: after a reset, does one plain round trip work? A device that
 * stays silent is dead, whatever the test was about. One that says that nobody listens works, and
 * the peer is gone.
 */
static void try_again(void)
{
	const int opened = open_device(0);
	const int ret = opened ? 0 : open_ctl(GREET_NS);

	if (opened || ret == -ETIMEDOUT || ret == -EPROTO)
		dead("not even a reset brings the device back: ",
		     opened ? state.device_error : state.peer_error);
	close_all();
}

/*
 * After the test: what it sent has reached the peer, and the peer still answers. A device that
 * broke its rings or fell silent meanwhile has not passed.
 */
static void teardown(void)
{
	struct ctl *ctl = state.env.ctl;
	bool lost;

	vsock_set_manner(NULL); /* of the device that is up it stays */
	if (state.env.vs && !state.open_ret) {
		vsock_hold_rx(state.env.vs, false);
		vsock_hold_events(state.env.vs, false);
	}
	if (ctl && !ctl_lost(ctl) && !vsock_error(state.env.vs)[0])
		check_peer(vsock_watch_audit(&state.env));
	lost = ctl && ctl_lost(ctl);
	close_all();
	if (state.reset_ret)
		dead("the device's reset does not end", "");
	else if (lost)
		try_again();
}

static const char *left(void)
{
	return state.left[0] ? state.left : NULL;
}

FIXTURE(vsock, .suite = "vsock.", .setup = setup, .teardown = teardown, .check = left);
FIXTURE(hostile, .suite = "hostile.vsock.", .setup = setup, .teardown = teardown, .check = left);
FIXTURE(bench, .suite = "bench.vsock.", .setup = setup, .teardown = teardown, .check = left);

/* --- helpers ---------------------------------------------------------------------------------- */

uint64_t vsock_received(const struct vsock_env *e)
{
	struct vsock_stats s;

	vsock_poll(e->vs);
	vsock_stats(e->vs, &s);
	return s.rx_packets;
}

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
