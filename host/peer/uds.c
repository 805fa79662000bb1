/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hybrid vsock: a VMM that carries vsock over Unix sockets (Firecracker, Cloud
 * Hypervisor, vhost-device-vsock). Guest to host: the VMM connects to the socket
 * named PATH_PORT. Host to guest: connect to PATH, say "CONNECT PORT\n", and be
 * told "OK HOST_PORT\n"; the VMM closes where the guest refuses. Only streams, and
 * nothing tells the guest's CID and port, nor which host CID was addressed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/peer/sock.h"

struct uds {
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

static int address(const struct uds *u, uint32_t port, bool listener, struct sockaddr_un *a)
{
	int n;

	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	if (listener)
		n = snprintf(a->sun_path, sizeof(a->sun_path), "%s_%u", u->path, port);
	else
		n = snprintf(a->sun_path, sizeof(a->sun_path), "%s", u->path);
	return n > 0 && (size_t)n < sizeof(a->sun_path) ? 0 : -ENAMETOOLONG;
}

/* A socket left by a peer that was killed is removed; one that somebody serves is not, nor anything else. */
static int remove_stale(const struct sockaddr_un *a)
{
	struct stat st;
	int fd, ret;

	if (lstat(a->sun_path, &st))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EADDRINUSE;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	ret = connect(fd, (const struct sockaddr *)a, sizeof(*a)) && errno == ECONNREFUSED ?
		      0 :
		      -EADDRINUSE;
	close(fd);
	if (!ret && unlink(a->sun_path))
		ret = -errno;
	return ret;
}

static int uds_listen(void *arg, uint64_t cid, uint32_t port, uint16_t type)
{
	struct sockaddr_un a;
	int fd, ret;

	if (type != 1)
		return -EOPNOTSUPP;
	if (cid != ASSAY_CID_ANY && cid != ASSAY_CID_HOST)
		return -EADDRNOTAVAIL;
	ret = address(arg, port, true, &a);
	if (!ret)
		ret = remove_stale(&a);
	if (ret)
		return ret;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (!bind(fd, (const struct sockaddr *)&a, sizeof(a)) && !listen(fd, 1024))
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

static void uds_unlisten(void *arg, uint64_t cid, uint32_t port, uint16_t type)
{
	struct sockaddr_un a;

	(void)cid;
	(void)type;
	if (!address(arg, port, true, &a))
		unlink(a.sun_path);
}

static int uds_connect(void *arg, const struct ctl_addr *local, const struct ctl_addr *remote,
		       uint16_t type, uint32_t buf, bool *progress)
{
	struct sockaddr_un a;
	int fd, ret;

	(void)remote;
	(void)buf;
	if (type != 1)
		return -EOPNOTSUPP;
	if (local->cid != ASSAY_CID_HOST)
		return -EADDRNOTAVAIL;
	ret = address(arg, 0, false, &a);
	if (ret)
		return ret;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* Unix sockets connect at once, or not: -EAGAIN is a full backlog. */
	if (!connect(fd, (const struct sockaddr *)&a, sizeof(a))) {
		*progress = false;
		return fd;
	}
	ret = -errno;
	close(fd);
	return ret;
}

static int uds_hello(void *arg, const struct ctl_addr *remote, char *buf, size_t size)
{
	(void)arg;
	return snprintf(buf, size, "CONNECT %u\n", remote->port);
}

static int uds_hello_reply(void *arg, const char *line, struct ctl_addr *local)
{
	char *end;
	unsigned long port;

	(void)arg;
	if (strncmp(line, "OK ", 3) != 0)
		return -ECONNREFUSED;
	port = strtoul(line + 3, &end, 10);
	if (end == line + 3 || port > UINT32_MAX)
		return -EPROTO;
	local->port = (uint32_t)port; /* the source port that the guest sees */
	return 0;
}

static void uds_addresses(void *arg, int fd, struct ctl_addr *local, struct ctl_addr *remote)
{
	(void)arg;
	(void)fd;
	(void)local;
	(void)remote;
}

int uds_flavour(const char *path, struct sock_flavour *out, const char **hint)
{
	struct sockaddr_un a;
	struct uds *u = calloc(1, sizeof(*u));

	if (!u)
		return -ENOMEM;
	if (strlen(path) >= sizeof(u->path))
		goto too_long;
	memcpy(u->path, path, strlen(path) + 1);
	if (address(u, UINT32_MAX, true, &a))
		goto too_long;
	memset(out, 0, sizeof(*out));
	out->ops.name = "uds";
	out->ops.caps = CTL_CAP_HOST_CONNECT | CTL_CAP_ANY_GUEST_PORT;
	out->arg = u;
	out->listen = uds_listen;
	out->unlisten = uds_unlisten;
	out->connect = uds_connect;
	out->addresses = uds_addresses;
	out->hello = uds_hello;
	out->hello_reply = uds_hello_reply;
	return 0;
too_long:
	*hint = "a Unix socket's name has at most 107 bytes, \"_PORT\" included: use a shorter path";
	free(u);
	return -ENAMETOOLONG;
}

void uds_flavour_free(struct sock_flavour *f)
{
	free(f->arg);
	f->arg = NULL;
}
