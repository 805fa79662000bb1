/* SPDX-License-Identifier: BSD-2-Clause */
/* assay-refdev: the command line, and the loop. */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "host/common/util.h"
#include "host/ref/dev/chaos.h"
#include "host/ref/dev/device.h"
#include "host/ref/dev/faults.h"
#include "host/ref/dev/log.h"
#include "host/ref/dev/pci_function.h"
#include "host/ref/dev/vfio_user.h"
#include "host/ref/dev/vhost_proto.h"
#include "host/ref/dev/vhost_user.h"

#ifndef ASSAY_VERSION
#define ASSAY_VERSION "0"
#endif

#define MAX_DEVICES 16
#define USAGE_ERROR 2

struct device_options {
	char *socket;
	struct device_params params;
	uint8_t config[CONFIG_MAX];
	bool cids_given, layout_given;
	unsigned int num_guest, num_host;
	uint64_t guest[CTL_MAX_CIDS], host[CTL_MAX_CIDS];
	struct device *device;
	struct vhu *vhu; /* one of them */
	struct vfu *vfu;
};

struct options {
	struct device_options dev[MAX_DEVICES];
	unsigned int num; /* dev[0]: what stands outside of --device */
	const char *log, *injected;
	unsigned int vectors; /* of vfio-user; 0: vhost-user */
	bool verbose, once, connect, print_config_size;
};

enum {
	OPT_SOCKET = 256,
	OPT_CIDS,
	OPT_HOST_CIDS,
	OPT_LAYOUT,
	OPT_FAULT,
	OPT_INJECTED,
	OPT_LOG,
	OPT_DEVICE,
	OPT_PAGE_STATE,
	OPT_ONCE,
	OPT_CONNECT,
	OPT_PRINT_CONFIG_SIZE,
	OPT_CONFIG_BYTES,
	OPT_VFIO,
	OPT_CHAOS,
	OPT_ACCESS_PLATFORM, /* this one and what follows take no value */
	OPT_IN_ORDER,
	OPT_PACKED,
	OPT_NOTIFICATION_DATA,
};

const char *argp_program_version = "assay-refdev " ASSAY_VERSION;

static const struct argp_option option_list[] = {
	{ "socket", OPT_SOCKET, "PATH", 0, "listen for the VMM there (vhost-user)", 0 },
	{ "cids", OPT_CIDS, "N,N...", 0,
	  "the guest's CIDs, N-M for a range; the first is its default", 0 },
	{ "host-cids", OPT_HOST_CIDS, "N,N...", 0, "additional CIDs of the host", 0 },
	{ "layout", OPT_LAYOUT, "NAME", 0,
	  "config layout: upstream, multi, multi-host, indexed (default: by the CIDs)", 0 },
	{ "device", OPT_DEVICE,
	  "socket=PATH,cids=3:4[,host-cids=7:8][,layout=NAME][,page-state=FILE]"
	  "[,config-bytes=HEX][,access-platform][,in-order][,packed][,notification-data]",
	  0, "one more device, as above", 0 },
	{ "config-bytes", OPT_CONFIG_BYTES, "HEX", 0, "show these config bytes instead", 0 },
	{ "access-platform", OPT_ACCESS_PLATFORM, NULL, 0, "offer VIRTIO_F_ACCESS_PLATFORM", 0 },
	{ "in-order", OPT_IN_ORDER, NULL, 0, "offer VIRTIO_F_IN_ORDER, and use buffers in batches",
	  0 },
	{ "packed", OPT_PACKED, NULL, 0, "offer VIRTIO_F_RING_PACKED", 0 },
	{ "notification-data", OPT_NOTIFICATION_DATA, NULL, 0, "offer VIRTIO_F_NOTIFICATION_DATA",
	  0 },
	{ "vfio", OPT_VFIO, "N", 0,
	  "be a whole PCI function with N MSI-X vectors (vfio-user in place of vhost-user)", 0 },
	{ "page-state", OPT_PAGE_STATE, "FILE", 0,
	  "page states of protected memory: private pages are not touched", 0 },
	{ "fault", OPT_FAULT, "ID", 0, "inject a fault (may be repeated)", 1 },
	{ "chaos", OPT_CHAOS, "SEED", 0, "answer at random: what is wrong follows from the seed",
	  1 },
	{ "injected", OPT_INJECTED, "FILE", 0, "count there how often each fault was injected", 1 },
	{ "log", OPT_LOG, "FILE", 0, "log there (default: standard error)", 2 },
	{ "verbose", 'v', NULL, 0, "log connections and queues, too", 2 },
	{ "connect", OPT_CONNECT, NULL, 0,
	  "the VMM listens at the sockets: connect, again and again", 2 },
	{ "once", OPT_ONCE, NULL, 0, "end when every VMM has gone", 2 },
	{ "print-config-size", OPT_PRINT_CONFIG_SIZE, NULL, 0,
	  "print the bytes of config space of each device (QEMU's config_size=) and end", 2 },
	{ 0 },
};

static void take_cids(struct argp_state *st, const char *what, const char *list, const char *sep,
		      uint64_t *cids, unsigned int *num)
{
	*num = 0;
	if (config_parse_cids(list, sep, cids, CTL_MAX_CIDS, num))
		argp_error(st, "%s: '%s' is no list of numbers", what, list);
}

static void take_config(struct argp_state *st, struct device_options *o, const char *hex)
{
	const size_t n = strlen(hex) / 2;

	if (n == 0 || n > CONFIG_MAX || strlen(hex) % 2 ||
	    strspn(hex, "0123456789abcdefABCDEF") != strlen(hex))
		argp_error(st, "config-bytes: 1 to %d bytes as hexadecimal digits", CONFIG_MAX);
	for (size_t i = 0; i < n; i++) {
		const char byte[3] = { hex[2 * i], hex[2 * i + 1], 0 };

		o->config[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	o->params.config_bytes = o->config;
	o->params.config_bytes_len = n;
}

/* One property of a device; from an option or a part of --device. */
static void take(struct argp_state *st, struct device_options *o, int key, char *value,
		 const char *sep)
{
	switch (key) {
	case OPT_SOCKET:
		o->socket = value;
		break;
	case OPT_CIDS:
		o->cids_given = true;
		take_cids(st, "cids", value, sep, o->guest, &o->num_guest);
		break;
	case OPT_HOST_CIDS:
		take_cids(st, "host-cids", value, sep, o->host, &o->num_host);
		break;
	case OPT_LAYOUT:
		if (config_layout_parse(value, &o->params.cids.layout))
			argp_error(st,
				   "layout '%s' is none of upstream, multi, multi-host, indexed",
				   value);
		o->layout_given = true;
		break;
	case OPT_PAGE_STATE:
		o->params.page_state = value;
		break;
	case OPT_CONFIG_BYTES:
		take_config(st, o, value);
		break;
	case OPT_ACCESS_PLATFORM:
		o->params.access_platform = true;
		break;
	case OPT_IN_ORDER:
		o->params.in_order = true;
		break;
	case OPT_PACKED:
		o->params.packed = true;
		break;
	case OPT_NOTIFICATION_DATA:
		o->params.notification_data = true;
		break;
	}
}

static void take_device(struct argp_state *st, struct options *all, char *arg)
{
	static const struct {
		const char *name;
		int key;
	} parts[] = {
		{ "socket", OPT_SOCKET },
		{ "cids", OPT_CIDS },
		{ "host-cids", OPT_HOST_CIDS },
		{ "layout", OPT_LAYOUT },
		{ "page-state", OPT_PAGE_STATE },
		{ "config-bytes", OPT_CONFIG_BYTES },
		{ "access-platform", OPT_ACCESS_PLATFORM },
		{ "in-order", OPT_IN_ORDER },
		{ "packed", OPT_PACKED },
		{ "notification-data", OPT_NOTIFICATION_DATA },
	};
	struct device_options *o;

	if (all->num == MAX_DEVICES)
		argp_error(st, "at most %d devices", MAX_DEVICES - 1);
	o = &all->dev[all->num++];
	for (char *save, *part = strtok_r(arg, ",", &save); part;
	     part = strtok_r(NULL, ",", &save)) {
		char *value = strchr(part, '=');
		unsigned int i = 0;

		if (value)
			*value++ = '\0';
		while (i < sizeof(parts) / sizeof(parts[0]) && strcmp(part, parts[i].name) != 0)
			i++;
		if (i == sizeof(parts) / sizeof(parts[0]))
			argp_error(st, "device: '%s' is not understood", part);
		if (!value && parts[i].key < OPT_ACCESS_PLATFORM)
			argp_error(st, "device: %s needs a value", part);
		take(st, o, parts[i].key, value, ":+");
	}
}

static _Noreturn void no_such_fault(const char *id)
{
	const char *ids[F_COUNT];

	for (unsigned int i = 0; i < F_COUNT; i++)
		ids[i] = fault_rows[i].id;
	fprintf(stderr, "assay-refdev: there is no fault \"%s\"", id);
	print_suggestions(stderr, id, ids, F_COUNT);
	fputc('\n', stderr);
	exit(USAGE_ERROR);
}

static void take_chaos(struct argp_state *st, const char *arg)
{
	char *end;
	unsigned long long seed;

	errno = 0;
	seed = strtoull(arg, &end, 0);
	if (errno || end == arg || *end)
		argp_error(st, "chaos: '%s' is no number", arg);
	chaos_begin(seed);
}

static error_t parse(int key, char *arg, struct argp_state *st)
{
	struct options *all = st->input;

	switch (key) {
	case OPT_SOCKET:
	case OPT_CIDS:
	case OPT_HOST_CIDS:
	case OPT_LAYOUT:
	case OPT_PAGE_STATE:
	case OPT_CONFIG_BYTES:
	case OPT_ACCESS_PLATFORM:
	case OPT_IN_ORDER:
	case OPT_PACKED:
	case OPT_NOTIFICATION_DATA:
		take(st, &all->dev[0], key, arg, ",:");
		return 0;
	case OPT_DEVICE:
		take_device(st, all, arg);
		return 0;
	case OPT_FAULT:
		if (fault_enable(arg) == 0)
			return 0;
		no_such_fault(arg);
	case OPT_CHAOS:
		take_chaos(st, arg);
		return 0;
	case OPT_INJECTED:
		all->injected = arg;
		return 0;
	case OPT_LOG:
		all->log = arg;
		return 0;
	case 'v':
		all->verbose = true;
		return 0;
	case OPT_VFIO:
		all->vectors = (unsigned int)atoi(arg);
		if (all->vectors < 1 || all->vectors > PCI_MAX_VECTORS)
			argp_error(st, "vfio: 1 to %d vectors", PCI_MAX_VECTORS);
		return 0;
	case OPT_CONNECT:
		all->connect = true;
		return 0;
	case OPT_ONCE:
		all->once = true;
		return 0;
	case OPT_PRINT_CONFIG_SIZE:
		all->print_config_size = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int bad(const char *what, const char *why)
{
	fprintf(stderr, "assay-refdev: %s: %s\n", what, why);
	return -EINVAL;
}

/* Joins guest and host CIDs and judges them. */
static int settle(struct device_options *o, size_t space, bool need_socket)
{
	struct dev_cids *c = &o->params.cids;
	const char *name = o->socket ? o->socket : "device";
	unsigned int n = 0;
	char why[160];

	if (!o->socket && need_socket)
		return bad("device", "where to listen? --socket PATH is missing");
	if (!o->cids_given)
		return bad(name, "which CIDs? --cids is missing");
	c->num_guest = o->num_guest;
	c->num_host = o->num_host;
	if (!o->layout_given)
		c->layout = config_layout_default(o->num_guest, o->num_host);
	for (unsigned int i = 0; i < o->num_guest && i < CTL_MAX_CIDS; i++)
		c->cid[n++] = o->guest[i];
	for (unsigned int i = 0; i < o->num_host && n < CTL_MAX_CIDS; i++)
		c->cid[n++] = o->host[i];
	if (config_check(c, space, why, sizeof(why)))
		return bad(name, why);
	o->params.name = name;
	return 0;
}

static int settle_all(struct options *all)
{
	/* A function of its own has all the space that there is. */
	const size_t space = all->vectors ? CONFIG_MAX : VHU_CONFIG_MAX;
	unsigned int first = 0;

	/* With --device only, nothing stands outside of it. */
	if (!all->dev[0].socket && !all->dev[0].cids_given && all->num > 1)
		first = 1;
	for (unsigned int i = first; i < all->num; i++) {
		const struct dev_cids *a = &all->dev[i].params.cids;

		if (settle(&all->dev[i], space, !all->print_config_size))
			return -EINVAL;
		for (unsigned int j = first; j < i; j++) {
			const struct dev_cids *b = &all->dev[j].params.cids;

			for (unsigned int k = 0; k < a->num_guest; k++) {
				if (config_is_guest(b, a->cid[k]))
					return bad(all->dev[i].params.name,
						   "a CID that another device has, too");
			}
			if (all->dev[i].socket && all->dev[j].socket &&
			    strcmp(all->dev[i].socket, all->dev[j].socket) == 0)
				return bad(all->dev[i].socket, "two devices on one socket");
		}
	}
	if (first) {
		memmove(&all->dev[0], &all->dev[1], sizeof(all->dev[0]) * --all->num);
		/* Forged bytes lie in the structure itself. */
		for (unsigned int i = 0; i < all->num; i++) {
			if (all->dev[i].params.config_bytes)
				all->dev[i].params.config_bytes = all->dev[i].config;
		}
	}
	return 0;
}

static volatile sig_atomic_t ended, dropped;

static void on_signal(int sig)
{
	if (sig == SIGUSR1)
		dropped = 1;
	else
		ended = 1;
}

/* --- one of the two front ends --- */

static unsigned int poll_fill(struct device_options *o, struct pollfd *fds)
{
	return o->vfu ? vfu_poll_fill(o->vfu, fds) : vhu_poll_fill(o->vhu, fds);
}

static void poll_done(struct device_options *o, const struct pollfd *fds, unsigned int n)
{
	if (o->vfu)
		vfu_poll_done(o->vfu, fds, n);
	else
		vhu_poll_done(o->vhu, fds, n);
}

static void drop(struct device_options *o)
{
	if (o->vfu)
		vfu_drop(o->vfu);
	else
		vhu_drop(o->vhu);
}

static bool work(struct device_options *o)
{
	const bool more = device_run(o->device);

	if (o->vfu)
		vfu_after_run(o->vfu);
	return more;
}

static bool all_served(const struct options *all)
{
	for (unsigned int i = 0; i < all->num; i++) {
		const struct device_options *o = &all->dev[i];

		if (!(o->vfu ? vfu_served(o->vfu) : vhu_served(o->vhu)))
			return false;
	}
	return true;
}

static int wait_for_events(struct options *all, bool busy, const sigset_t *unblocked)
{
	struct pollfd fds[MAX_DEVICES * VHU_MAX_FDS];
	unsigned int first[MAX_DEVICES + 1] = { 0 };
	struct timespec ts;
	int64_t timeout = busy ? 0 : -1;

	for (unsigned int i = 0; i < all->num; i++) {
		const int64_t t[2] = { busy ? 0 : device_timeout_ns(all->dev[i].device),
				       all->dev[i].vhu ? vhu_timeout_ns(all->dev[i].vhu) : -1 };

		first[i + 1] = first[i] + poll_fill(&all->dev[i], fds + first[i]);
		for (unsigned int k = 0; k < 2; k++) {
			if (t[k] >= 0 && (timeout < 0 || t[k] < timeout))
				timeout = t[k];
		}
	}
	ts.tv_sec = timeout / 1000000000;
	ts.tv_nsec = timeout % 1000000000;
	if (ppoll(fds, first[all->num], timeout < 0 ? NULL : &ts, unblocked) < 0)
		return errno == EINTR ? 0 : -errno;
	for (unsigned int i = 0; i < all->num; i++)
		poll_done(&all->dev[i], fds + first[i], first[i + 1] - first[i]);
	return 0;
}

static int serve(struct options *all)
{
	struct sigaction sa = { .sa_handler = on_signal };
	sigset_t block, unblocked;
	bool busy = false;

	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	/* Only ppoll() lets them in: none is missed between the look and the wait. */
	sigemptyset(&block);
	sigaddset(&block, SIGTERM);
	sigaddset(&block, SIGINT);
	sigaddset(&block, SIGHUP);
	sigaddset(&block, SIGUSR1);
	sigprocmask(SIG_BLOCK, &block, &unblocked);
	while (!ended && !(all->once && all_served(all))) {
		const int ret = wait_for_events(all, busy, &unblocked);

		if (ret) {
			rd_log("poll: %s", strerror(-ret));
			return 1;
		}
		/* For tests of VMMs: the back end goes away in the middle, and is there again at once. */
		if (dropped) {
			dropped = 0;
			for (unsigned int i = 0; i < all->num; i++)
				drop(&all->dev[i]);
		}
		busy = false;
		for (unsigned int i = 0; i < all->num; i++)
			busy |= work(&all->dev[i]);
	}
	return 0;
}

static int open_device(struct device_options *o, const struct options *all)
{
	o->device = device_new(&o->params);
	if (!o->device) {
		fprintf(stderr, "assay-refdev: %s: %s\n", o->socket, strerror(errno));
		return -1;
	}
	if (all->vectors)
		o->vfu = vfu_new(o->socket, o->device, all->vectors);
	else
		o->vhu = (all->connect ? vhu_new_client : vhu_new)(o->socket, o->device);
	if (!o->vhu && !o->vfu) {
		fprintf(stderr, "assay-refdev: %s: %s\n", o->socket,
			errno == EADDRINUSE ? "in use by another process, or no socket" :
					      strerror(errno));
		return -1;
	}
	rd_log("%s: %u guest CIDs from %" PRIu64 " on, %u host CIDs, layout %s, config_size %zu",
	       o->socket, o->params.cids.num_guest, o->params.cids.cid[0], o->params.cids.num_host,
	       config_layout_name(o->params.cids.layout), o->device->config_space);
	return 0;
}

static size_t size_shown(const struct device_options *o)
{
	return o->params.config_bytes ? o->params.config_bytes_len : config_size(&o->params.cids);
}

static int run(struct options *all)
{
	FILE *log = all->log ? fopen(all->log, "we") : stderr;
	int ret = 1, err;

	if (!log) {
		fprintf(stderr, "assay-refdev: %s: %s\n", all->log, strerror(errno));
		return 1;
	}
	rd_log_setup(log, all->verbose);
	for (unsigned int i = 0; i < F_COUNT; i++) {
		if (fault_on(i))
			rd_log("fault %s: %s", fault_rows[i].id, fault_rows[i].what);
	}
	err = fault_begin(all->injected);
	if (err) {
		fprintf(stderr, "assay-refdev: %s: %s\n", all->injected, strerror(-err));
		goto out;
	}
	for (unsigned int i = 0; i < all->num; i++) {
		if (i && fault(F_DEVICES_SHARED_CID))
			all->dev[i].params.cids = all->dev[0].params.cids;
		if (open_device(&all->dev[i], all))
			goto out;
	}
	for (unsigned int i = 0; i < all->num; i++)
		all->dev[i].device->sibling = all->dev[(i + 1) % all->num].device;
	ret = serve(all);
	rd_log("end");
out:
	for (unsigned int i = 0; i < all->num; i++) {
		vhu_free(all->dev[i].vhu);
		vfu_free(all->dev[i].vfu);
		device_free(all->dev[i].device);
	}
	fault_end();
	rd_log_setup(NULL, false);
	if (log != stderr)
		fclose(log);
	return ret;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		.options = option_list,
		.parser = parse,
		.doc = "Assay's reference vsock device, a vhost-user back end with several CIDs"
		       " and, on request, faults.",
	};
	static struct options all = { .num = 1 };

	argp_err_exit_status = USAGE_ERROR;
	if (argp_parse(&argp, argc, argv, 0, NULL, &all))
		return USAGE_ERROR;
	if (settle_all(&all))
		return USAGE_ERROR;
	if (all.print_config_size) {
		for (unsigned int i = 0; i < all.num; i++)
			printf("%zu\n", size_shown(&all.dev[i]));
		return 0;
	}
	return run(&all);
}
