/* SPDX-License-Identifier: BSD-2-Clause */
/* AF_VSOCK sockets of this guest. Each blocks for SOCK_SECONDS at most, then its calls fail with EAGAIN. */
#ifndef TESTS_LINUX_SOCK_H
#define TESTS_LINUX_SOCK_H

#include <stddef.h>
#include <stdint.h>

#include "lib/test.h"

#define SOCK_SECONDS 20

/* This guest's CID, as its kernel knows it. */
uint64_t sock_local_cid(void);
/* type: SOCK_STREAM or SOCK_SEQPACKET. To the host (CID 2). The socket or -errno. */
int sock_connect(int type, uint32_t port);
/* The same where it must work. The fixture closes what is open at a test's end. */
int sock_open(struct test_ctx *t, int type, uint32_t port);
/* Listens on a port of the kernel's choice. */
int sock_listen(struct test_ctx *t, int type, uint32_t *port);
int sock_accept(struct test_ctx *t, int listener);
/* All n bytes; 0, or -1 with errno (0: end of file). */
int sock_write(int fd, const void *p, size_t n);
int sock_read(int fd, void *p, size_t n);
/* n bytes of the pattern from offset on; they must go, and must come. */
void sock_send_pattern(struct test_ctx *t, int fd, uint32_t seed, uint64_t offset, size_t n);
void sock_expect_pattern(struct test_ctx *t, int fd, uint32_t seed, uint64_t offset, size_t n);
/* Nothing more comes: the next read is an end of file. */
void sock_expect_end(struct test_ctx *t, int fd);
/* Closes it now, and it is no longer the fixture's to close. */
void sock_close(int fd);
void sock_close_all(void);

#endif
