/* SPDX-License-Identifier: BSD-2-Clause */
/* Unix sockets to a VMM: messages with file descriptors beside them. */
#ifndef HOST_REF_DEV_USOCK_H
#define HOST_REF_DEV_USOCK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define USOCK_MAX_FDS 16

/* File descriptors that came with a message; -1: taken. */
struct usock_fds {
	unsigned int n;
	int fd[USOCK_MAX_FDS];
};

/* Closes *fd if it is open; -1 stands there then. */
void usock_close(int *fd);
/* Closes those that nobody took. */
void usock_close_fds(struct usock_fds *f);
/* The n-th becomes the caller's; -1: there is none. */
int usock_take_fd(struct usock_fds *f, unsigned int n);

/* Listens. A stale socket file is replaced. -1 and errno (EADDRINUSE: somebody listens there). */
int usock_listen(const char *path);
/* -1: nobody listens there. */
int usock_connect(const char *path);
/* What recvmsg() says, never waiting; descriptors are added to f, those for which it has no room are closed. */
ssize_t usock_recv(int fd, void *buf, size_t len, struct usock_fds *f);
/* All of it, and a descriptor beside it unless it is -1. 0, -errno; -ETIMEDOUT: the other side does not read. */
int usock_send(int fd, const void *buf, size_t len, int with);

#endif
