/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/vsock/watch.h"

#include <stdio.h>

#include "tests/vsock/oracle.h"

#define DEVICES 8 /* of more the rest is not watched */
#define SHOWN	4 /* findings that are shown in full */

/* Owner: the fixture below. */
static struct {
	struct vsock *vs;
	struct oracle *oracle; /* NULL: no memory */
} watched[DEVICES];
static unsigned int more[2]; /* findings that are not shown: notes, breaches */
static unsigned int shown[2];

/* --- reports ------------------------------------------------------------------------------ */

static void show(const struct oracle_finding *f)
{
	if (shown[f->must] == SHOWN)
		return;
	shown[f->must]++;
	if (f->must)
		test_fail_around("virtio 1.4, %s", f->text);
	else
		test_note_around("noted: virtio 1.4, %s", f->text);
}

static void report(const struct oracle *o)
{
	const unsigned int before[2] = { shown[0], shown[1] };
	const struct oracle_finding *f;
	unsigned int i;

	for (i = 0; (f = oracle_finding(o, i)); i++)
		show(f);
	for (i = 0; i < 2; i++)
		more[i] += oracle_count(o, i) - (shown[i] - before[i]);
}

/* --- devices ------------------------------------------------------------------------------ */

static struct oracle **oracle_of(const struct vsock *vs)
{
	unsigned int i;

	for (i = 0; i < DEVICES; i++)
		if (watched[i].vs == vs)
			return &watched[i].oracle;
	return NULL;
}

/* 5.10.3.1: streams are implied unless NO_IMPLIED_STREAM takes that away. */
static struct oracle *new_oracle(struct vsock *vs)
{
	const struct virtio_device *d = vsock_device(vs);
	const struct oracle_device how = {
		.config = vsock_config(vs),
		.stream = virtio_has(d, VSOCK_F_STREAM) || !virtio_has(d, VSOCK_F_SEQPACKET) ||
			  !virtio_has(d, VSOCK_F_NO_IMPLIED_STREAM),
		.seqpacket = virtio_has(d, VSOCK_F_SEQPACKET),
	};

	return oracle_new(&how);
}

static void device_up(struct vsock *vs)
{
	unsigned int i;

	for (i = 0; i < DEVICES; i++) {
		if (watched[i].vs)
			continue;
		watched[i].vs = vs;
		watched[i].oracle = new_oracle(vs);
		return;
	}
}

static void device_down(struct oracle **o)
{
	unsigned int i;

	if (*o)
		report(*o);
	oracle_free(*o);
	*o = NULL;
	for (i = 0; i < DEVICES; i++)
		if (o == &watched[i].oracle)
			watched[i].vs = NULL;
}

static void on_seen(void *arg, const struct vsock_seen *s)
{
	struct oracle **o = oracle_of(s->vs);

	(void)arg;
	if (s->what == VSOCK_SAW_UP && !o)
		device_up(s->vs);
	if (!o || (!*o && s->what != VSOCK_SAW_DOWN))
		return;
	switch (s->what) {
	case VSOCK_SAW_SENT:
		oracle_sent(*o, s->hdr);
		break;
	case VSOCK_SAW_RECEIVED:
		oracle_received(*o, s->hdr, s->used_len);
		break;
	case VSOCK_SAW_CIDS:
		oracle_cids(*o, vsock_config(s->vs));
		break;
	case VSOCK_SAW_TRANSPORT_RESET:
		oracle_transport_reset(*o);
		break;
	case VSOCK_SAW_DOWN:
		device_down(o);
		break;
	case VSOCK_SAW_UP:
		break;
	}
}

static void on_barrier(struct vsock *vs, bool over)
{
	struct oracle **o = oracle_of(vs);

	if (o && *o)
		oracle_barrier(*o, over);
}

/* --- the end of a test -------------------------------------------------------------------- */

/* What the host's end knows of is at most what the guest knows of. */
static int compare_live(const struct vsock_env *e, const struct oracle *o)
{
	struct ctl_dev_info info;
	const int ret = ctl_dev_info(e->ctl, &info);
	const unsigned int live = oracle_live(o);

	if (!ret && info.conns > live)
		test_fail_around(
			"the device has %u connections, of which the guest knows %u: what ended stays half-open",
			(unsigned int)info.conns, live);
	return ret;
}

int vsock_watch_audit(const struct vsock_env *e)
{
	const uint32_t services[] = { ctl_port(), ASSAY_ECHO_PORT, ASSAY_SINK_PORT,
				      ASSAY_SOURCE_PORT };
	struct oracle **o = oracle_of(e->vs);
	int ret = ctl_barrier(e->ctl);

	if (ret || !o || !*o)
		return ret;
	ret = ctl_forget_all(e->ctl);
	if (ret)
		return ret;
	oracle_host_closes(*o, services, sizeof(services) / sizeof(services[0]));
	ret = ctl_barrier(e->ctl);
	if (!ret)
		ret = ctl_barrier(e->ctl);
	if (ret)
		return ret;
	wait_for(vsock_poll(e->vs) < 0 || oracle_settled(*o), test_sec());
	oracle_audit(*o);
	if (ctl_can(e->ctl, CTL_CAP_DEVICE))
		ret = compare_live(e, *o);
	return ret;
}

/* --- fixture ------------------------------------------------------------------------------ */

static int begin(void)
{
	shown[0] = shown[1] = more[0] = more[1] = 0;
	vsock_observe(on_seen, NULL);
	ctl_watch(on_barrier);
	return 0;
}

static void end(void)
{
	unsigned int i;

	vsock_observe(NULL, NULL);
	ctl_watch(NULL);
	/* Of a device that is still up, as some tests leave it. */
	for (i = 0; i < DEVICES; i++)
		if (watched[i].vs)
			device_down(&watched[i].oracle);
	if (more[1])
		test_note_around("%u more packets that are not explained", more[1]);
	if (more[0])
		test_note_around("%u more packets that are noted", more[0]);
}

FIXTURE(vsock_watch, .suite = "", .outermost = true, .setup = begin, .teardown = end);

/* Benchmarks measure the device, without a watcher. */
static int unwatched(void)
{
	vsock_observe(NULL, NULL);
	ctl_watch(NULL);
	return 0;
}

FIXTURE(vsock_unwatched, .suite = "bench.", .outermost = true, .setup = unwatched);
