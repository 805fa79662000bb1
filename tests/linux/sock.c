/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/linux/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "host/peer/proto.h"

#define SOCKS_MAX 256
#define CHUNK	  65536

static int socks[SOCKS_MAX];
static unsigned int num_socks;

static int keep(struct test_ctx *t, int fd)
{
	if (fd < 0)
		return fd;
	if (num_socks == SOCKS_MAX) {
		close(fd);
		test_error(t, "more than %u sockets in one test", SOCKS_MAX);
	}
	socks[num_socks++] = fd;
	return fd;
}

void sock_close(int fd)
{
	unsigned int i;

	for (i = 0; i < num_socks && socks[i] != fd; i++)
		;
	if (i < num_socks)
		socks[i] = socks[--num_socks];
	close(fd);
}

void sock_close_all(void)
{
	while (num_socks)
		close(socks[--num_socks]);
}

uint64_t sock_local_cid(void)
{
	const int fd = open("/dev/vsock", O_RDONLY | O_CLOEXEC);
	unsigned int cid = VMADDR_CID_ANY;

	if (fd >= 0 && ioctl(fd, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid) != 0)
		cid = VMADDR_CID_ANY;
	if (fd >= 0)
		close(fd);
	return cid;
}

static int sock_new(int type)
{
	const struct timeval limit = { .tv_sec = SOCK_SECONDS };
	const int fd = socket(AF_VSOCK, type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &limit, sizeof(limit));
	return fd;
}

int sock_connect(int type, uint32_t port)
{
	const struct sockaddr_vm a = { .svm_family = AF_VSOCK,
				       .svm_cid = VMADDR_CID_HOST,
				       .svm_port = port };
	const int fd = sock_new(type);
	int err;

	if (fd < 0 || connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0)
		return fd;
	err = errno;
	close(fd);
	return -err;
}

int sock_open(struct test_ctx *t, int type, uint32_t port)
{
	const int fd = keep(t, sock_connect(type, port));

	require(t, fd >= 0, "connect to the host's port %u: %s", port, strerror(-fd));
	return fd;
}

int sock_listen(struct test_ctx *t, int type, uint32_t *port)
{
	struct sockaddr_vm a = { .svm_family = AF_VSOCK,
				 .svm_cid = VMADDR_CID_ANY,
				 .svm_port = VMADDR_PORT_ANY };
	socklen_t n = sizeof(a);
	const int fd = keep(t, sock_new(type));

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 128) ||
	    getsockname(fd, (struct sockaddr *)&a, &n))
		test_error(t, "a listening socket: %s", strerror(errno));
	*port = a.svm_port;
	return fd;
}

int sock_accept(struct test_ctx *t, int listener)
{
	const struct timeval limit = { .tv_sec = SOCK_SECONDS };
	const int fd = keep(t, accept4(listener, NULL, NULL, SOCK_CLOEXEC));

	require(t, fd >= 0, "accept: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	return fd;
}

int sock_write(int fd, const void *p, size_t n)
{
	const char *at = p;
	ssize_t w;

	for (; n; at += w, n -= (size_t)w) {
		w = send(fd, at, n, MSG_NOSIGNAL);
		if (w <= 0)
			return -1;
	}
	return 0;
}

int sock_read(int fd, void *p, size_t n)
{
	char *at = p;
	ssize_t r;

	for (; n; at += r, n -= (size_t)r) {
		r = recv(fd, at, n, 0);
		if (r == 0)
			errno = 0;
		if (r <= 0)
			return -1;
	}
	return 0;
}

static uint8_t chunk[CHUNK];

void sock_send_pattern(struct test_ctx *t, int fd, uint32_t seed, uint64_t offset, size_t n)
{
	size_t i, part;

	for (; n; n -= part, offset += part) {
		part = n < CHUNK ? n : CHUNK;
		for (i = 0; i < part; i++)
			chunk[i] = assay_pattern(seed, offset + i);
		require(t, sock_write(fd, chunk, part) == 0, "send at byte %llu: %s",
			(unsigned long long)offset, strerror(errno));
	}
}

void sock_expect_pattern(struct test_ctx *t, int fd, uint32_t seed, uint64_t offset, size_t n)
{
	size_t i, part;

	for (; n; n -= part, offset += part) {
		part = n < CHUNK ? n : CHUNK;
		require(t, sock_read(fd, chunk, part) == 0, "receive from byte %llu on: %s",
			(unsigned long long)offset, errno ? strerror(errno) : "end of file");
		for (i = 0; i < part && chunk[i] == assay_pattern(seed, offset + i); i++)
			;
		require(t, i == part, "byte %llu is not the one that was sent",
			(unsigned long long)(offset + i));
	}
}

void sock_expect_end(struct test_ctx *t, int fd)
{
	char c;
	const ssize_t r = recv(fd, &c, 1, 0);

	require(t, r == 0, "an end of file is due: %s", r > 0 ? "a byte comes" : strerror(errno));
}
