/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/vsock/watch.h"

#include <string.h>

#include "tests/vsock/oracle.h"

#define DEVICES 8 /* of more the rest is not watched */
#define SHOWN	4 /* findings that are shown in full */

/* Owner: the fixture below. */
static struct watched {
	struct vsock *vs;
	struct oracle *oracle; /* NULL: no memory */
	unsigned int ordered, events;
	uint32_t generation; /* of the configuration, when it came up */
} watched[DEVICES];
static unsigned int more[2]; /* findings that are not shown: notes, breaches */
static unsigned int shown[2];

static struct oracle_past past;
static unsigned int past_packets;
static bool in_test; /* else the needs are probed, of which nothing is said */

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

	past_packets += oracle_past_packets(o);
	for (i = 0; (f = oracle_finding(o, i)); i++)
		show(f);
	for (i = 0; i < 2; i++)
		more[i] += oracle_count(o, i) - (shown[i] - before[i]);
}

/* --- devices ------------------------------------------------------------------------------ */

static struct watched *find(const struct vsock *vs)
{
	unsigned int i;

	for (i = 0; i < DEVICES; i++)
		if (watched[i].vs == vs)
			return &watched[i];
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
		.past = &past,
	};

	return oracle_new(&how);
}

static uint32_t generation_of(struct vsock *vs)
{
	struct virtio_device *d = vsock_device(vs);

	return d->ops->config_generation(d);
}

static void device_up(struct vsock *vs)
{
	unsigned int i;

	for (i = 0; i < DEVICES; i++) {
		if (watched[i].vs)
			continue;
		watched[i] = (struct watched){ .vs = vs,
					       .oracle = new_oracle(vs),
					       .generation = generation_of(vs) };
		return;
	}
}

static void device_down(struct watched *w)
{
	if (w->oracle && in_test)
		report(w->oracle);
	oracle_free(w->oracle);
	*w = (struct watched){ 0 };
}

static void on_event(struct watched *w)
{
	oracle_transport_reset(w->oracle);
	if (w->events++ == w->ordered && in_test)
		test_fail_around("virtio 1.4, 5.10.6.7: a TRANSPORT_RESET that nobody ordered");
}

static void on_bad_event(const struct vsock_seen *s)
{
	le32 id = 0;

	if (!in_test)
		return;
	if (s->used_len >= sizeof(id))
		memcpy(&id, s->payload, sizeof(id));
	test_fail_around("virtio 1.4, 5.10.6.7: an event of %u bytes, id %u",
			 (unsigned int)s->used_len, (unsigned int)le32_to_cpu(id));
}

static void on_seen(void *arg, const struct vsock_seen *s)
{
	struct watched *w = find(s->vs);

	(void)arg;
	if (s->what == VSOCK_SAW_UP && !w)
		device_up(s->vs);
	if (!w || (!w->oracle && s->what != VSOCK_SAW_DOWN))
		return;
	switch (s->what) {
	case VSOCK_SAW_SENT:
		oracle_sent(w->oracle, s->hdr);
		break;
	case VSOCK_SAW_RECEIVED:
		oracle_received(w->oracle, s->hdr, s->used_len);
		break;
	case VSOCK_SAW_ADVANCED:
		oracle_advanced(w->oracle, s->hdr, s->used_len);
		break;
	case VSOCK_SAW_CIDS:
		oracle_cids(w->oracle, vsock_config(s->vs));
		break;
	case VSOCK_SAW_TRANSPORT_RESET:
		on_event(w);
		break;
	case VSOCK_SAW_BAD_EVENT:
		on_bad_event(s);
		break;
	case VSOCK_SAW_DOWN:
		device_down(w);
		break;
	case VSOCK_SAW_UP:
		break;
	}
}

static void on_step(struct vsock *vs, enum ctl_step step)
{
	struct watched *w = find(vs);

	if (!w || !w->oracle)
		return;
	if (step == CTL_STEP_EVENT)
		w->ordered++;
	else if (step == CTL_STEP_BUFFER)
		oracle_host_buffers(w->oracle);
	else
		oracle_barrier(w->oracle, step == CTL_STEP_OVER);
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

/*
 * Notifications without a cause are no breach: a driver has to stand them (2.7.7.1), and suppressing
 * them is a hint (2.7.7.2). A test about them fails where it must; here they are noted.
 */
static void audit_interrupts(const struct watched *w)
{
	static bool said; /* once a boot: a host that does it does it in each test */
	const struct virtio_irq_counts *n = &vsock_device(w->vs)->irqs;
	const uint64_t config = __atomic_load_n(&n->config, __ATOMIC_RELAXED);
	const uint64_t unwanted = __atomic_load_n(&n->unwanted, __ATOMIC_RELAXED);

	if (config && !w->ordered && generation_of(w->vs) == w->generation)
		test_note_around("%u notifications of a configuration that has not changed",
				 (unsigned int)config);
	if (unwanted && !said) {
		said = true;
		test_note_around(
			"%u used-buffer notifications though the driver suppressed them (said once)",
			(unsigned int)unwanted);
	}
}

int vsock_watch_audit(const struct vsock_env *e)
{
	const uint32_t services[] = { ctl_port(), ASSAY_ECHO_PORT, ASSAY_SINK_PORT,
				      ASSAY_SOURCE_PORT };
	struct watched *w = find(e->vs);
	struct oracle *o = w ? w->oracle : NULL;
	int ret = ctl_barrier(e->ctl);

	if (w)
		audit_interrupts(w);
	if (ret || !o)
		return ret;
	ret = ctl_forget_all(e->ctl);
	if (ret)
		return ret;
	oracle_host_closes(o, services, sizeof(services) / sizeof(services[0]));
	ret = ctl_barrier(e->ctl);
	if (!ret)
		ret = ctl_barrier(e->ctl);
	if (ret)
		return ret;
	wait_for(vsock_poll(e->vs) < 0 || oracle_settled(o), test_sec());
	oracle_audit(o);
	if (ctl_can(e->ctl, CTL_CAP_DEVICE))
		ret = compare_live(e, o);
	return ret;
}

/* --- fixture ------------------------------------------------------------------------------ */

void vsock_watch(void)
{
	vsock_observe(on_seen, NULL);
	ctl_watch(on_step);
}

static int begin(void)
{
	shown[0] = shown[1] = more[0] = more[1] = past_packets = 0;
	in_test = true;
	vsock_watch();
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
			device_down(&watched[i]);
	in_test = false;
	if (past_packets)
		test_note_around("%u packets of connections from before a device reset",
				 past_packets);
	if (more[1])
		test_note_around("%u more packets that are not explained", more[1]);
	if (more[0])
		test_note_around("%u more packets that are noted", more[0]);
}

FIXTURE(vsock_watch, .suite = "", .outermost = true, .setup = begin, .teardown = end);

/* Benchmarks measure the device, without a watcher: it is outermost, and up before this one. */
static int unwatched(void)
{
	vsock_observe(NULL, NULL);
	ctl_watch(NULL);
	return 0;
}

FIXTURE(vsock_unwatched, .suite = "bench.", .setup = unwatched);
