/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/ref/dev/usock.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SEND_LIMIT_MS 2000

void usock_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void usock_close_fds(struct usock_fds *f)
{
	for (unsigned int i = 0; i < f->n; i++)
		usock_close(&f->fd[i]);
	f->n = 0;
}

int usock_take_fd(struct usock_fds *f, unsigned int n)
{
	int fd = -1;

	if (n < f->n) {
		fd = f->fd[n];
		f->fd[n] = -1;
	}
	return fd;
}

/* Whether somebody listens there. */
static bool alive(const struct sockaddr_un *sa)
{
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ret;

	if (fd < 0)
		return true;
	ret = connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0;
	close(fd);
	return ret;
}

int usock_listen(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct stat st;
	int fd, err;

	if (strlen(path) >= sizeof(sa.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(sa.sun_path, path, strlen(path));
	if (stat(path, &st) == 0) {
		if (!S_ISSOCK(st.st_mode) || alive(&sa)) {
			errno = EADDRINUSE;
			return -1;
		}
		unlink(path);
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 && listen(fd, 1) == 0)
		return fd;
	err = errno;
	close(fd);
	errno = err;
	return -1;
}

int usock_connect(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static void collect_fds(struct msghdr *mh, struct usock_fds *f)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (f->n < USOCK_MAX_FDS)
				f->fd[f->n++] = fd;
			else
				close(fd);
		}
	}
}

ssize_t usock_recv(int fd, void *buf, size_t len, struct usock_fds *f)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * USOCK_MAX_FDS)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	const ssize_t n = recvmsg(fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n > 0)
		collect_fds(&mh, f);
	return n;
}

static ssize_t send_some(int fd, const void *buf, size_t len, int with)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { .buf = { 0 } };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (with >= 0) {
		mh.msg_control = control.buf;
		mh.msg_controllen = sizeof(control.buf);
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &with, sizeof(with));
	}
	return sendmsg(fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int usock_send(int fd, const void *buf, size_t len, int with)
{
	const char *p = buf;

	while (len) {
		const ssize_t n = send_some(fd, p, len, with);

		if (n > 0) {
			p += n;
			len -= (size_t)n;
			with = -1;
		} else if (n < 0 && errno == EAGAIN) {
			struct pollfd w = { .fd = fd, .events = POLLOUT };

			if (poll(&w, 1, SEND_LIMIT_MS) <= 0)
				return -ETIMEDOUT;
		} else if (n < 0 && errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}
