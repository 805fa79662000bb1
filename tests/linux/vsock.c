/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What programs in a Linux guest rely on: streams, messages, refusals, ends of either direction, many connections. The
 * guest's side is the kernel's own driver, so that the reference host, with which the suite is proved, is judged by
 * something that nobody here wrote. Hosts broke it by credit that never came back, by refusals that were kept, by
 * an end of data that overtook data.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/virtio_vsock.h>

#include "tests/linux/peer.h"
#include "tests/linux/sock.h"

#define OWNER	    "vsock device back end"
#define CONNECTS    2000
#define BULK	    (16u << 20)
#define MESSAGE_MAX (64u << 10)
#define NOBODY_PORT 4999
#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static const size_t sizes[] = { 1,     2,     43,    44,    45,	    1000,   4051,  4052,  4053,
				4095,  4096,  4097,  8191,  16384,  40000,  65491, 65492, 65493,
				65535, 65536, 65537, 99991, 131072, 262144, 262145 };

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* A stream from here to the peer, which does what service says; *conn is the peer's number of it. */
static int open_to(struct test_ctx *t, int type, uint16_t service, uint32_t *conn)
{
	const uint16_t vtype = type == SOCK_STREAM ? VIRTIO_VSOCK_TYPE_STREAM :
						     VIRTIO_VSOCK_TYPE_SEQPACKET;
	const uint32_t port = peer_listen(t, vtype, service);
	const int fd = sock_open(t, type, port);

	*conn = peer_accept(t, port, vtype).conn;
	return fd;
}

TEST(cid,
     .id = "linux.config.cid",
     .clause = "virtio 1.4, 5.10.4: guest_cid is the guest's address",
     .owner = OWNER)
{
	struct ctl_dev_info info;

	if (!(peer_hello(t)->caps & CTL_CAP_DEVICE))
		test_skip(t, "the peer does not know the device");
	require(t, !peer_order(t, CTL_DEV_INFO, NULL, 0, &info, sizeof(info)),
		"no device information");
	expect_eq(t, sock_local_cid(), info.cids[0], "the CID that the kernel read");
	expect_eq(t, peer_hello(t)->control_guest.cid, info.cids[0], "the CID that the host sees");
}

TEST(echo,
     .id = "linux.stream.echo",
     .clause = "virtio 1.4, 5.10.6: a stream delivers what was sent, in order",
     .owner = OWNER,
     .liveness = 1,
     .timeout = 30 * SEC)
{
	size_t i;

	for (i = 0; i < COUNT_OF(sizes); i++) {
		const int fd = sock_open(t, SOCK_STREAM, ASSAY_ECHO_PORT);

		sock_send_pattern(t, fd, (uint32_t)i, 0, sizes[i] < 65536 ? sizes[i] : 65536);
		sock_expect_pattern(t, fd, (uint32_t)i, 0, sizes[i] < 65536 ? sizes[i] : 65536);
		shutdown(fd, SHUT_WR);
		sock_expect_end(t, fd);
		sock_close(fd);
	}
}

TEST(sizes_to_host,
     .id = "linux.stream.to_host",
     .clause = "virtio 1.4, 5.10.6: a stream delivers what was sent, in order",
     .owner = OWNER,
     .liveness = 1,
     .timeout = 30 * SEC)
{
	uint64_t sent = 0;
	struct ctl_report r;
	uint32_t conn;
	size_t i;
	const int fd = open_to(t, SOCK_STREAM, CTL_SVC_NONE, &conn);

	for (i = 0; i < COUNT_OF(sizes); i++) {
		sock_send_pattern(t, fd, 5, sent, sizes[i]);
		sent += sizes[i];
		r = peer_wait(t, conn, CTL_WAIT_RX, sent, "all bytes reach the host");
		require_eq(t, r.rx_bytes, sent, "bytes at the host");
	}
	shutdown(fd, SHUT_WR);
	peer_wait(t, conn, CTL_WAIT_FLAGS, CTL_CONN_GUEST_SHUT_SEND, "the end of data is seen");
	/* The same bytes the other way: what they sum to is known at both ends. */
	peer_send(t, conn, sent, 0, 5, true);
	sock_expect_pattern(t, fd, 5, 0, sent);
	r = peer_wait(t, conn, CTL_WAIT_TX, sent, "all bytes go to the guest");
	expect_eq(t, r.tx_crc, r.rx_crc, "CRC of what went there and came back");
}

TEST(refused,
     .id = "linux.stream.refused",
     .clause = "virtio 1.4, 5.10.6.5: RST where nobody listens",
     .owner = OWNER,
     .timeout = 30 * SEC)
{
	int i, fd;

	for (i = 0; i < 100; i++) {
		fd = sock_connect(i % 2 ? SOCK_SEQPACKET : SOCK_STREAM, NOBODY_PORT);
		require(t, fd == -ECONNRESET || fd == -ECONNREFUSED,
			"connect to a port of nobody: %s", fd >= 0 ? "it works" : strerror(-fd));
	}
}

TEST(guest_half_close,
     .id = "linux.stream.guest_half_close",
     .clause = "virtio 1.4, 5.10.6.5: SHUTDOWN of one direction",
     .owner = OWNER,
     .timeout = 30 * SEC)
{
	uint32_t conn;
	const int fd = open_to(t, SOCK_STREAM, CTL_SVC_NONE, &conn);
	struct ctl_report r;

	sock_send_pattern(t, fd, 1, 0, 100000);
	shutdown(fd, SHUT_WR);
	peer_wait(t, conn, CTL_WAIT_FLAGS, CTL_CONN_GUEST_SHUT_SEND, "the end of data is seen");
	r = peer_wait(t, conn, CTL_WAIT_RX, 100000, "data before the end arrives");
	expect(t, !(r.flags & CTL_CONN_CLOSED), "the connection is over, though one direction was");
	peer_send(t, conn, 200000, 0, 2, true);
	sock_expect_pattern(t, fd, 2, 0, 200000);
	peer_do(t, CTL_SHUTDOWN, conn, 3);
	sock_expect_end(t, fd);
}

TEST(host_half_close,
     .id = "linux.stream.host_half_close",
     .clause = "virtio 1.4, 5.10.6.5: SHUTDOWN of one direction",
     .owner = OWNER,
     .timeout = 30 * SEC)
{
	uint32_t conn;
	const int fd = open_to(t, SOCK_STREAM, CTL_SVC_NONE, &conn);
	struct ctl_report r;

	peer_send(t, conn, 150000, 0, 3, false);
	peer_do(t, CTL_SHUTDOWN, conn, 2);
	sock_expect_pattern(t, fd, 3, 0, 150000);
	sock_expect_end(t, fd);
	sock_send_pattern(t, fd, 4, 0, 150000);
	r = peer_wait(t, conn, CTL_WAIT_RX, 150000, "the other direction goes on");
	expect_eq(t, r.rx_bytes, 150000, "bytes at the host");
}

TEST(host_reset,
     .id = "linux.stream.host_reset",
     .clause = "virtio 1.4, 5.10.6.5: RST ends the connection",
     .owner = OWNER,
     .timeout = 30 * SEC)
{
	uint32_t conn;
	const int fd = open_to(t, SOCK_STREAM, CTL_SVC_NONE, &conn);
	char c;

	peer_do(t, CTL_RESET, conn, 0);
	expect(t, recv(fd, &c, 1, 0) <= 0, "a byte comes on a connection that was reset");
	expect(t, send(fd, "x", 1, MSG_NOSIGNAL) < 0, "a connection that was reset takes a byte");
}

TEST(unread_close,
     .id = "linux.stream.unread_close",
     .clause = "virtio 1.4, 5.10.6.5: a close with unread data ends the connection",
     .owner = OWNER,
     .timeout = 30 * SEC)
{
	uint32_t conn;
	int i;

	for (i = 0; i < 20; i++) {
		const int fd = open_to(t, SOCK_STREAM, CTL_SVC_NONE, &conn);

		peer_send(t, conn, 5000, 0, 3, false);
		sock_close(fd);
		peer_wait(t, conn, CTL_WAIT_FLAGS, CTL_CONN_CLOSED, "the close is seen");
	}
}

TEST(paused,
     .id = "linux.credit.host_pauses",
     .clause = "virtio 1.4, 5.10.6.3: credit stops the sender, and lets it go on",
     .owner = OWNER,
     .liveness = 1,
     .timeout = 60 * SEC)
{
	static char block[4096];
	struct pollfd p = { .events = POLLOUT };
	uint64_t sent = 0;
	uint32_t conn;
	ssize_t n;
	const int fd = open_to(t, SOCK_STREAM, CTL_SVC_NONE, &conn);
	struct ctl_report r;

	peer_do(t, CTL_PAUSE, conn, 1);
	p.fd = fd;
	while ((n = send(fd, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
		sent += (uint64_t)n;
	expect(t, errno == EAGAIN || errno == EWOULDBLOCK, "a full connection: %s",
	       strerror(errno));
	expect(t, sent < 64u << 20, "%llu bytes go to a host that does not read",
	       (unsigned long long)sent);
	peer_do(t, CTL_PAUSE, conn, 0);
	r = peer_wait(t, conn, CTL_WAIT_RX, sent, "what was sent arrives");
	expect_eq(t, r.rx_bytes, sent, "bytes at the host");
	expect(t, !(r.flags & CTL_CONN_OVERRUN), "the kernel sent beyond its credit");
	expect(t, poll(&p, 1, SOCK_SECONDS * 1000) == 1 && p.revents == POLLOUT,
	       "the connection is not writable again");
}

TEST(slow_reader,
     .id = "linux.credit.guest_pauses",
     .clause = "virtio 1.4, 5.10.6.3.1: the device keeps to the driver's credit",
     .owner = OWNER,
     .liveness = 1,
     .timeout = 60 * SEC)
{
	const uint32_t bytes = 4u << 20;
	uint32_t conn;
	const int fd = open_to(t, SOCK_STREAM, CTL_SVC_NONE, &conn);
	struct ctl_report r, before;

	peer_send(t, conn, bytes, 0, 9, true);
	/* Until it stands still: what the kernel's buffer holds. */
	r = peer_report(t, conn);
	do {
		before = r;
		usleep(20000);
		r = peer_report(t, conn);
	} while (!r.tx_bytes || r.tx_bytes != before.tx_bytes);
	expect(t, r.tx_bytes < bytes, "all %u bytes go to a guest that does not read", bytes);
	sock_expect_pattern(t, fd, 9, 0, bytes);
	r = peer_wait(t, conn, CTL_WAIT_TX, bytes, "the rest goes");
	expect_eq(t, r.tx_bytes, bytes, "bytes from the host");
}

TEST(many,
     .id = "linux.stream.many",
     .clause = "virtio 1.4, 5.10.6: connections come and go without end",
     .owner = OWNER,
     .liveness = 1,
     .timeout = 60 * SEC)
{
	const double begin = seconds();
	unsigned int i;
	char c = 'a', d;

	for (i = 0; i < CONNECTS; i++, c++) {
		const int fd = sock_open(t, SOCK_STREAM, ASSAY_ECHO_PORT);

		d = (char)~c;
		require(t, !sock_write(fd, &c, 1) && !sock_read(fd, &d, 1) && c == d,
			"connection %u: the echo of a byte", i);
		sock_close(fd);
	}
	test_note(t, "%u connects, %.0f a second", CONNECTS, CONNECTS / (seconds() - begin));
}

TEST(at_once,
     .id = "linux.stream.at_once",
     .clause = "virtio 1.4, 5.10.6: connections are told apart by addresses and ports",
     .owner = OWNER,
     .liveness = 1,
     .timeout = 30 * SEC)
{
	int fds[64];
	unsigned int i, round;

	for (i = 0; i < COUNT_OF(fds); i++)
		fds[i] = sock_open(t, SOCK_STREAM, ASSAY_ECHO_PORT);
	for (round = 0; round < 5; round++) {
		for (i = 0; i < COUNT_OF(fds); i++)
			sock_send_pattern(t, fds[i], i, round * 777, 777);
		for (i = COUNT_OF(fds); i-- > 0;)
			sock_expect_pattern(t, fds[i], i, round * 777, 777);
	}
}

TEST(host_connects,
     .id = "linux.stream.host_connects",
     .clause = "virtio 1.4, 5.10.6.5: the device may open connections, too",
     .owner = OWNER,
     .timeout = 30 * SEC)
{
	const uint64_t cid = sock_local_cid();
	struct ctl_report r;
	uint32_t port;
	unsigned int i;
	const int listener = sock_listen(t, SOCK_STREAM, &port);

	for (i = 0; i < 50; i++) {
		int fd;

		r = peer_connect(t, cid, port, VIRTIO_VSOCK_TYPE_STREAM, CTL_SVC_ECHO, NULL);
		fd = sock_accept(t, listener);
		sock_send_pattern(t, fd, i, 0, 3000);
		sock_expect_pattern(t, fd, i, 0, 3000);
		sock_close(fd);
		peer_wait(t, r.conn, CTL_WAIT_FLAGS, CTL_CONN_CLOSED, "the close is seen");
	}
}

TEST(guest_refuses,
     .id = "linux.stream.guest_refuses",
     .clause = "virtio 1.4, 5.10.6.5: RST refuses a connection",
     .owner = OWNER,
     .timeout = 30 * SEC)
{
	int status = 0;

	peer_connect(t, sock_local_cid(), NOBODY_PORT, VIRTIO_VSOCK_TYPE_STREAM, CTL_SVC_NONE,
		     &status);
	expect(t, status == -ECONNREFUSED || status == -ECONNRESET,
	       "the host's connect to a port of nobody: %s",
	       status ? strerror(-status) : "it works");
}

/* Both directions of one connection, as fast as they go. */
TEST(bulk,
     .id = "linux.stream.bulk",
     .clause = "virtio 1.4, 5.10.6: a stream delivers what was sent, in order",
     .owner = OWNER,
     .liveness = 1,
     .timeout = 60 * SEC)
{
	double begin = seconds(), middle;
	uint32_t conn;
	const int fd = open_to(t, SOCK_STREAM, CTL_SVC_NONE, &conn);
	struct ctl_report r;

	sock_send_pattern(t, fd, 11, 0, BULK);
	peer_wait(t, conn, CTL_WAIT_RX, BULK, "all bytes reach the host");
	middle = seconds();
	peer_send(t, conn, BULK, 0, 11, true);
	sock_expect_pattern(t, fd, 11, 0, BULK);
	test_note(t,
		  "%.0f MiB/s to the host, %.0f MiB/s from it, with the pattern made and checked",
		  (BULK >> 20) / (middle - begin), (BULK >> 20) / (seconds() - middle));
	r = peer_wait(t, conn, CTL_WAIT_TX, BULK, "all bytes go to the guest");
	expect_eq(t, r.tx_crc, r.rx_crc, "CRC of what went there and came back");
}

static void needs_seqpacket(struct test_ctx *t)
{
	if (!(peer_hello(t)->caps & CTL_CAP_SEQPACKET))
		test_skip(t, "the peer has no seqpackets");
}

TEST(messages_to_host,
     .id = "linux.seqpacket.to_host",
     .clause = "virtio 1.4, 5.10.6.6.2: messages keep their boundaries",
     .owner = OWNER,
     .liveness = 1,
     .timeout = 30 * SEC)
{
	static char message[MESSAGE_MAX];
	unsigned int n = 0;
	struct ctl_report r;
	uint32_t conn;
	size_t i;
	int fd;

	needs_seqpacket(t);
	fd = open_to(t, SOCK_SEQPACKET, CTL_SVC_NONE, &conn);
	for (i = 0; i < COUNT_OF(sizes); i++) {
		if (sizes[i] > MESSAGE_MAX)
			continue;
		require(t, send(fd, message, sizes[i], MSG_NOSIGNAL) == (ssize_t)sizes[i],
			"a message of %zu bytes: %s", sizes[i], strerror(errno));
		r = peer_wait(t, conn, CTL_WAIT_RX_MSGS, ++n, "the message arrives");
		require_eq(t, r.last_msg, sizes[i], "length of the message");
		require_eq(t, r.rx_msgs, n, "messages at the host");
	}
}

TEST(messages_from_host,
     .id = "linux.seqpacket.from_host",
     .clause = "virtio 1.4, 5.10.6.6.2: messages keep their boundaries",
     .owner = OWNER,
     .liveness = 1,
     .timeout = 30 * SEC)
{
	static uint8_t message[MESSAGE_MAX + 1];
	uint32_t conn;
	size_t i, k;
	int fd;

	needs_seqpacket(t);
	fd = open_to(t, SOCK_SEQPACKET, CTL_SVC_NONE, &conn);
	for (i = 0; i < COUNT_OF(sizes); i++) {
		ssize_t n;

		if (sizes[i] > MESSAGE_MAX)
			continue;
		/* Two of them: a boundary that is lost makes one. */
		peer_send(t, conn, 2 * sizes[i], (uint32_t)sizes[i], 7, true);
		for (k = 0; k < 2; k++) {
			n = recv(fd, message, sizeof(message), 0);
			require(t, n == (ssize_t)sizes[i], "message %zu of %zu bytes: %zd come", k,
				sizes[i], n);
			require(t, message[n - 1] == assay_pattern(7, (k + 1) * sizes[i] - 1),
				"the last byte of a message of %zu bytes is another one", sizes[i]);
		}
	}
}

/* The driver resets the device as it leaves it, and begins anew. */
TEST(rebind,
     .id = "linux.driver.rebind",
     .clause = "virtio 1.4, 2.4.1: a device that was reset is initialised again",
     .owner = "virtio device",
     .liveness = 1,
     .timeout = 60 * SEC)
{
	static const char driver[] = "/sys/bus/virtio/drivers/vmw_vsock_virtio_transport";
	char path[160], name[16] = "";
	unsigned int i, k;
	struct pollfd none = { .fd = -1 };

	for (i = 0; i < 8 && !*name; i++) {
		snprintf(path, sizeof(path), "%s/virtio%u", driver, i);
		if (access(path, F_OK) == 0)
			snprintf(name, sizeof(name), "virtio%u", i);
	}
	if (!*name)
		test_error(t, "the driver has no device: %s", driver);
	for (i = 0; i < 20; i++) {
		static const char *const file[] = { "unbind", "bind" };
		int fd = -1, wait;

		peer_leave(t);
		for (k = 0; k < 2; k++) {
			int f;

			snprintf(path, sizeof(path), "%s/%s", driver, file[k]);
			f = open(path, O_WRONLY | O_CLOEXEC);
			if (f < 0 || write(f, name, strlen(name)) < 0)
				test_error(t, "%s: %s", path, strerror(errno));
			close(f);
		}
		/* Until the host has seen the new start a connect may be refused. */
		for (wait = 0; wait < 100 && fd < 0; wait++) {
			fd = sock_connect(SOCK_STREAM, ASSAY_ECHO_PORT);
			if (fd < 0)
				poll(&none, 0, 20);
		}
		require(t, fd >= 0, "start %u: connect: %s", i, strerror(-fd));
		sock_send_pattern(t, fd, i, 0, 10000);
		sock_expect_pattern(t, fd, i, 0, 10000);
		close(fd);
	}
}
