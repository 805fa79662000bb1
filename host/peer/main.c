/* SPDX-License-Identifier: BSD-2-Clause */
/* `assay peer`. */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "host/peer/peer.h"
#include "host/peer/sockets.h"

struct options {
	const char *uds, *log;
	bool vsock, verbose;
	uint32_t port;
};

static const struct argp_option options[] = {
	{ "uds", 'u', "PATH", 0, "serve a VMM that speaks the hybrid protocol on Unix sockets PATH and "
				 "PATH_PORT (vhost-device-vsock, Firecracker, Cloud Hypervisor)", 0 },
	{ "vsock", 's', NULL, 0, "serve AF_VSOCK: a Linux host with vhost-vsock", 0 },
	{ "control-port", 'p', "PORT", 0, "control port (4000); the services follow on +1, +2, +3", 0 },
	{ "log", 'l', "FILE", 0, "write the log to FILE instead of standard error", 0 },
	{ "verbose", 'v', NULL, 0, "log every request", 0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	char *end;

	switch (key) {
	case 'u':
		o->uds = arg;
		return 0;
	case 's':
		o->vsock = true;
		return 0;
	case 'l':
		o->log = arg;
		return 0;
	case 'v':
		o->verbose = true;
		return 0;
	case 'p':
		o->port = (uint32_t)strtoul(arg, &end, 0);
		if (!*arg || *end || !o->port)
			argp_error(state, "--control-port %s is not a port", arg);
		return 0;
	case ARGP_KEY_END:
		if (!o->uds == !o->vsock)
			argp_error(state, "give either --uds PATH or --vsock");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int stop_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

static void explain(const struct options *o, int err)
{
	fprintf(stderr, "assay peer: cannot listen: %s\n", strerror(err));
	if (o->vsock && (err == EAFNOSUPPORT || err == ENODEV || err == EADDRNOTAVAIL))
		fprintf(stderr, "  this host has no vsock transport: modprobe vhost_vsock\n");
	if (err == EADDRINUSE)
		fprintf(stderr, "  another peer runs already; --control-port chooses other ports\n");
}

int peer_main(int argc, char **argv)
{
	static const struct argp argp = {
		options, parse, NULL,
		"The other end of the payload's vsock connections: echo, sink, source, and the "
		"control protocol by which the guest says what the host does next.",
		NULL, NULL, NULL,
	};
	struct options o = { 0 };
	struct peer_config cfg = { 0 };
	struct sockets *s;
	struct peer *p;
	int fd, ret = 0;

	argp_parse(&argp, argc, argv, 0, NULL, &o);
	cfg.log = o.log ? fopen(o.log, "a") : stderr;
	if (!cfg.log) {
		perror(o.log);
		return 1;
	}
	s = sockets_new(o.uds);
	if (!s)
		return 1;
	cfg.ops = sockets_ops(s);
	cfg.be = s;
	cfg.verbose = o.verbose;
	cfg.control_port = o.port;
	fd = stop_signals();
	p = peer_new(&cfg);
	if (!p) {
		explain(&o, errno);
		sockets_free(s);
		return 1;
	}
	sockets_set_peer(s, p);
	fprintf(cfg.log, "peer: ready\n");
	fflush(cfg.log);
	while (ret == 0) {
		ret = sockets_round(s, fd, peer_next_timeout_ns(p));
		peer_run_timers(p);
	}
	peer_free(p);
	sockets_free(s);
	return ret < 0;
}
