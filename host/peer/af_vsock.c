/* SPDX-License-Identifier: BSD-2-Clause */
/* AF_VSOCK: the guest's device is the kernel's own (vhost-vsock), or another kernel transport. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "host/peer/sock.h"

static int make_socket(uint16_t type)
{
	const int fd = socket(
		AF_VSOCK, (type == 2 ? SOCK_SEQPACKET : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC,
		0);

	if (fd >= 0)
		return fd;
	return errno == ESOCKTNOSUPPORT || errno == EPROTONOSUPPORT ? -EOPNOTSUPP : -errno;
}

static struct sockaddr_vm sockaddr(uint64_t cid, uint32_t port)
{
	struct sockaddr_vm a;

	memset(&a, 0, sizeof(a));
	a.svm_family = AF_VSOCK;
	a.svm_cid = cid > UINT32_MAX ? VMADDR_CID_ANY : (unsigned int)cid;
	a.svm_port = port;
	return a;
}

static int bind_to(int fd, uint64_t cid, uint32_t port)
{
	const struct sockaddr_vm a = sockaddr(cid, port);

	return bind(fd, (const struct sockaddr *)&a, sizeof(a)) ? -errno : 0;
}

static int vm_listen(void *arg, uint64_t cid, uint32_t port, uint16_t type)
{
	const int fd = make_socket(type);
	int ret;

	(void)arg;
	if (fd < 0)
		return fd;
	ret = bind_to(fd, cid, port);
	if (!ret && listen(fd, 1024))
		ret = -errno;
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

static int vm_connect(void *arg, const struct ctl_addr *local, const struct ctl_addr *remote,
		      uint16_t type, uint32_t buf, bool *progress)
{
	const struct sockaddr_vm a = sockaddr(remote->cid, remote->port);
	const uint64_t size = buf;
	const int fd = make_socket(type);
	int ret = 0;

	(void)arg;
	if (fd < 0)
		return fd;
	if (buf && setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, &size, sizeof(size)))
		ret = -errno;
	/* A client that is bound to the host's CID would not reach a guest behind loopback: any CID. */
	if (!ret)
		ret = bind_to(fd, local->cid == ASSAY_CID_HOST ? ASSAY_CID_ANY : local->cid,
			      local->port);
	if (!ret && connect(fd, (const struct sockaddr *)&a, sizeof(a))) {
		*progress = errno == EINPROGRESS;
		ret = *progress ? 0 : errno == ECONNRESET ? -ECONNREFUSED : -errno;
	}
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

static void vm_addresses(void *arg, int fd, struct ctl_addr *local, struct ctl_addr *remote)
{
	struct sockaddr_vm a = { 0 };
	socklen_t len = sizeof(a);

	(void)arg;
	if (!getsockname(fd, (struct sockaddr *)&a, &len)) {
		if (a.svm_cid != VMADDR_CID_ANY)
			local->cid = a.svm_cid;
		local->port = a.svm_port;
	}
	len = sizeof(a);
	if (!getpeername(fd, (struct sockaddr *)&a, &len)) {
		remote->cid = a.svm_cid;
		remote->port = a.svm_port;
	}
}

int vsock_flavour(struct sock_flavour *out, const char **hint)
{
	int fd = make_socket(1);

	if (fd < 0) {
		*hint = "the kernel has no AF_VSOCK: load vhost_vsock on the host (modprobe vhost_vsock), "
			"or serve a Unix socket with --uds";
		return fd;
	}
	close(fd);
	memset(out, 0, sizeof(*out));
	out->ops.name = "af_vsock";
	out->ops.caps = CTL_CAP_HOST_CONNECT | CTL_CAP_GUEST_ADDRS | CTL_CAP_HOST_ADDRS |
			CTL_CAP_HALF_CLOSE | CTL_CAP_ANY_GUEST_PORT;
	fd = make_socket(2);
	if (fd >= 0) {
		out->ops.caps |= CTL_CAP_SEQPACKET;
		close(fd);
	}
	out->listen = vm_listen;
	out->connect = vm_connect;
	out->addresses = vm_addresses;
	return 0;
}
