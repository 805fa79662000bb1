/* SPDX-License-Identifier: BSD-2-Clause */
/* `assay peer`: the peer over the sockets of this host. */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "host/peer/sock.h"

#define EXIT_USAGE 4 /* as the other commands of assay */

struct options {
	const char *uds, *log;
	bool vsock, verbose;
	uint32_t port;
	uint64_t guests[PEER_GUESTS_MAX];
	unsigned int nguests;
};

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

/* "3" or "3,4": CIDs of one guest. */
static bool parse_guests(struct options *o, const char *text)
{
	char *end;

	for (o->nguests = 0; o->nguests < PEER_GUESTS_MAX; text = end + 1) {
		errno = 0;
		o->guests[o->nguests] = strtoull(text, &end, 10);
		if (errno || end == text || *text == '-' || !o->guests[o->nguests++])
			return false;
		if (*end != ',')
			return *end == '\0';
	}
	return false;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	char *end;
	unsigned long port;

	switch (key) {
	case 'u':
		if (!*arg)
			argp_error(state, "--uds: its value is empty");
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
		errno = 0;
		port = strtoul(arg, &end, 10);
		if (errno || *end || end == arg || port < 1 || port > UINT32_MAX - 4)
			argp_error(state, "--control-port=%s is not a port", arg);
		o->port = (uint32_t)port;
		return 0;
	case 'g':
		if (!parse_guests(o, arg))
			argp_error(
				state,
				"--guest-cid=%s: CIDs, separated by commas, are wanted (at most %d)",
				arg, PEER_GUESTS_MAX);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "unexpected argument '%s'", arg);
		return 0;
	case ARGP_KEY_END:
		if (o->vsock == !!o->uds)
			argp_error(state, "give one of --vsock and --uds PATH");
		if (o->nguests && !o->vsock)
			argp_error(
				state,
				"--guest-cid goes with --vsock: a socket of --uds is one guest's");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option options[] = {
	{ "vsock", 's', NULL, 0, "AF_VSOCK sockets of this kernel (vhost-vsock)", 0 },
	{ "uds", 'u', "PATH", 0,
	  "the VMM's Unix socket (Firecracker, Cloud Hypervisor, vhost-device-vsock): host ports are PATH_PORT",
	  0 },
	{ "guest-cid", 'g', "CID[,CID...]", 0,
	  "with --vsock: serve this guest only, and connect to no other (all guests of this host)",
	  0 },
	{ "control-port", 'p', "N", 0, "the control port; echo, sink and source follow (4000)", 0 },
	{ "log", 'l', "FILE", 0, "where the log goes (standard error)", 0 },
	{ "verbose", 'v', NULL, 0, "log each order", 0 },
	{ 0 },
};

/* Each connection is a descriptor: as many as the system lets us have. */
static void raise_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r))
		return;
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
}

static void catch_signals(void)
{
	struct sigaction sa = { .sa_handler = on_signal };

	/* Not restarted: epoll_wait() returns, and the sockets are removed. */
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static int serve(const struct options *o, const struct sock_flavour *f, FILE *log)
{
	struct sock_be *be = sock_new(f);
	struct peer_config cfg = { .log = log, .verbose = o->verbose, .control_port = o->port };
	struct peer *p;
	int ret = -ENOMEM;

	if (!be)
		return ret;
	memcpy(cfg.guests, o->guests, sizeof(cfg.guests));
	cfg.nguests = o->nguests;
	cfg.ops = sock_ops(be);
	cfg.be = be;
	p = peer_new(&cfg);
	if (!p) {
		ret = -errno;
		fprintf(stderr, "assay peer: cannot listen on ports %u to %u%s%s: %s\n", o->port,
			o->port + 3, o->uds ? " of " : "", o->uds ? o->uds : "", strerror(-ret));
		if (ret == -EADDRINUSE)
			fprintf(stderr,
				"assay peer: another peer serves them: end it, or choose --control-port\n");
		goto out;
	}
	sock_set_peer(be, p);
	fprintf(log, "peer: ready: %s%s%s, control port %u\n", f->ops.name, o->uds ? " " : "",
		o->uds ? o->uds : "", o->port);
	fflush(log);
	ret = 0;
	while (!stop && (ret == 0 || ret == -EINTR))
		ret = sock_run(be, -1);
	if (stop)
		ret = 0;
out:
	peer_free(p);
	sock_free(be);
	return ret;
}

int peer_main(int argc, char **argv)
{
	static const struct argp argp = {
		options,
		parse,
		NULL,
		"Serves the payload's vsock tests on the host: echo, sink, source and the control protocol.",
		NULL,
		NULL,
		NULL,
	};
	struct options o = { .port = ASSAY_CTL_PORT };
	struct sock_flavour f;
	const char *hint = "";
	FILE *log = stderr;
	int ret;

	argp_err_exit_status = EXIT_USAGE;
	if (argp_parse(&argp, argc, argv, 0, NULL, &o))
		return EXIT_USAGE;
	if (o.log) {
		log = fopen(o.log, "ae");
		if (!log) {
			fprintf(stderr, "assay peer: %s: %s\n", o.log, strerror(errno));
			return 1;
		}
	}
	raise_limit();
	catch_signals();
	ret = o.uds ? uds_flavour(o.uds, &f, &hint) : vsock_flavour(&f, &hint);
	if (ret) {
		fprintf(stderr, "assay peer: %s%s%s\n", strerror(-ret), *hint ? ": " : "", hint);
	} else {
		ret = serve(&o, &f, log);
		if (ret)
			fprintf(log, "peer: ended: %s\n", strerror(-ret));
		if (o.uds)
			uds_flavour_free(&f);
	}
	if (log != stderr)
		fclose(log);
	return ret ? 1 : 0;
}
