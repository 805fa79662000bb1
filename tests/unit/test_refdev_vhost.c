/* SPDX-License-Identifier: BSD-2-Clause */
/* host/ref/dev/vhost_user.c against a small front end over a socket pair, a hostile one too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/ref/dev/vhost_proto.h"
#include "host/ref/dev/vhost_user.h"
#include "tests/unit/fake_guest.h"

#define MEM_SIZE 0x200000u
#define GPA	 0x100000ull
#define UVA	 0x7000000000ull

struct fixture {
	struct device *d;
	struct vhu *v;
	int fd, backend[2], mem_fd, kick[DEV_QUEUES], call[DEV_QUEUES];
	uint8_t *mem;
	struct fake_guest g; /* low: the shared memory, for its helpers */
};

static int setup(void **state)
{
	const struct device_params p = {
		.name = "dev",
		.cids = { .layout = CTL_LAYOUT_MULTI, .num_guest = 2, .cid = { 3, 4 } },
	};
	struct fixture *f = calloc(1, sizeof(*f));
	int fds[2];

	assert_non_null(f);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	f->d = device_new(&p);
	f->v = vhu_new_connected(fds[0], f->d);
	f->fd = fds[1];
	f->mem_fd = memfd_create("guest", MFD_CLOEXEC);
	assert_true(f->mem_fd >= 0);
	assert_int_equal(ftruncate(f->mem_fd, MEM_SIZE), 0);
	f->mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, f->mem_fd, 0);
	f->g.low = f->mem;
	for (unsigned int q = 0; q < DEV_QUEUES; q++) {
		f->kick[q] = eventfd(0, EFD_NONBLOCK);
		f->call[q] = eventfd(0, EFD_NONBLOCK);
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	vhu_free(f->v);
	device_free(f->d);
	if (f->fd >= 0)
		close(f->fd);
	close(f->mem_fd);
	munmap(f->mem, MEM_SIZE);
	for (unsigned int q = 0; q < DEV_QUEUES; q++) {
		close(f->kick[q]);
		close(f->call[q]);
	}
	free(f);
	return 0;
}

/* Lets the back end take what is there. */
static void serve(struct fixture *f)
{
	for (unsigned int i = 0; i < 20; i++) {
		struct pollfd fds[VHU_MAX_FDS];
		const unsigned int n = vhu_poll_fill(f->v, fds);

		if (n && poll(fds, n, 0) > 0)
			vhu_poll_done(f->v, fds, n);
		device_run(f->d);
	}
}

static void send_msg(struct fixture *f, const struct vhu_msg *m, const int *fds, unsigned int n)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * 16)];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)m,
			     .iov_len = sizeof(m->h) + m->h.size };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n) {
		struct cmsghdr *c;

		mh.msg_control = control.buf;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * n);
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
	}
	assert_int_equal(sendmsg(f->fd, &mh, MSG_NOSIGNAL), iov.iov_len);
	serve(f);
}

static struct vhu_msg msg(uint32_t request, uint32_t size)
{
	struct vhu_msg m = { .h = { .request = request, .flags = VHU_VERSION, .size = size } };

	return m;
}

static bool receive(struct fixture *f, struct vhu_msg *m)
{
	ssize_t n = recv(f->fd, &m->h, sizeof(m->h), MSG_DONTWAIT);

	if (n != (ssize_t)sizeof(m->h))
		return false;
	assert_int_equal(m->h.flags & (VHU_VERSION_MASK | VHU_REPLY), VHU_VERSION | VHU_REPLY);
	assert_true(m->h.size <= sizeof(m->raw));
	return m->h.size == 0 || recv(f->fd, m->raw, m->h.size, MSG_DONTWAIT) == (ssize_t)m->h.size;
}

static uint64_t ask(struct fixture *f, uint32_t request)
{
	struct vhu_msg m = msg(request, 0);

	send_msg(f, &m, NULL, 0);
	assert_true(receive(f, &m));
	assert_int_equal(m.h.request, request);
	assert_int_equal(m.h.size, 8);
	return m.u64;
}

static void tell(struct fixture *f, uint32_t request, uint64_t value)
{
	struct vhu_msg m = msg(request, 8);

	m.u64 = value;
	send_msg(f, &m, NULL, 0);
}

static void tell_fd(struct fixture *f, uint32_t request, uint64_t value, int fd)
{
	struct vhu_msg m = msg(request, 8);

	m.u64 = value;
	send_msg(f, &m, &fd, 1);
}

static void tell_state(struct fixture *f, uint32_t request, uint32_t index, uint32_t num)
{
	tell(f, request, index | (uint64_t)num << 32);
}

static uint64_t acknowledged(struct fixture *f, struct vhu_msg m, const int *fds, unsigned int n)
{
	m.h.flags |= VHU_NEED_REPLY;
	send_msg(f, &m, fds, n);
	assert_true(receive(f, &m));
	return m.u64;
}

static void negotiate(struct fixture *f)
{
	uint64_t protocol;

	assert_true(ask(f, VHU_GET_FEATURES) & 1ull << VHU_F_PROTOCOL_FEATURES);
	protocol = ask(f, VHU_GET_PROTOCOL_FEATURES);
	assert_true(protocol & 1ull << VHU_P_CONFIG);
	tell(f, VHU_SET_PROTOCOL_FEATURES, protocol);
	assert_int_equal(ask(f, VHU_GET_QUEUE_NUM), DEV_QUEUES);
	tell(f, VHU_SET_OWNER, 0);
	tell(f, VHU_SET_FEATURES, ask(f, VHU_GET_FEATURES));
}

static void give_memory(struct fixture *f)
{
	struct vhu_msg m = msg(VHU_ADD_MEM_REG, 40);

	m.mem_reg.region = (struct vhu_region){ .gpa = GPA, .size = MEM_SIZE, .uva = UVA };
	assert_int_equal(acknowledged(f, m, &f->mem_fd, 1), 0);
}

static void start_queue(struct fixture *f, unsigned int q)
{
	struct vhu_msg m = msg(VHU_SET_VRING_ADDR, 40);
	struct ring scratch;

	/* The helpers' low region starts at FG_LOW_GPA; so does ours. */
	fg_ring_setup(&f->g, &scratch, q, FG_QSIZE);
	tell_state(f, VHU_SET_VRING_NUM, q, FG_QSIZE);
	tell_state(f, VHU_SET_VRING_BASE, q, 0);
	m.addr.index = q;
	m.addr.desc = UVA + (f->g.ring[q].desc - GPA);
	m.addr.avail = UVA + (f->g.ring[q].avail - GPA);
	m.addr.used = UVA + (f->g.ring[q].used - GPA);
	send_msg(f, &m, NULL, 0);
	tell_fd(f, VHU_SET_VRING_CALL, q, f->call[q]);
	tell_fd(f, VHU_SET_VRING_KICK, q, f->kick[q]);
	assert_false(f->d->ring[q].running);
	tell_state(f, VHU_SET_VRING_ENABLE, q, 1);
	assert_true(f->d->ring[q].running);
}

static void connects_a_guest(void **state)
{
	struct fixture *f = *state;
	struct virtio_vsock_hdr h = fg_hdr(4, 1000, 2, ASSAY_ECHO_PORT, 1, VIRTIO_VSOCK_OP_REQUEST);
	const uint64_t one = 1;
	uint64_t count;
	struct vhu_msg m;

	negotiate(f);
	give_memory(f);
	for (unsigned int q = 0; q < DEV_QUEUES; q++)
		start_queue(f, q);
	fg_desc(&f->g, DEV_RX, 0, GPA + 0x180000, 4096, VRING_DESC_F_WRITE, 0);
	fg_avail(&f->g, DEV_RX, 0);
	memcpy(f->mem + 0x181000, &h, sizeof(h));
	fg_desc(&f->g, DEV_TX, 5, GPA + 0x181000, sizeof(h), 0, 0);
	fg_avail(&f->g, DEV_TX, 5);
	assert_int_equal(write(f->kick[DEV_TX], &one, sizeof(one)), sizeof(one));
	serve(f);
	assert_int_equal(fg_used_idx(&f->g, DEV_TX), 1);
	assert_int_equal(fg_used_idx(&f->g, DEV_RX), 1);
	assert_int_equal(read(f->call[DEV_RX], &count, sizeof(count)), sizeof(count));
	memcpy(&h, f->mem + 0x180000, sizeof(h));
	assert_int_equal(le16toh(h.op), VIRTIO_VSOCK_OP_RESPONSE);
	assert_int_equal(f->d->num_conns, 1);
	/* The VMM stops the queues, as at a reset: where they stood is told. */
	for (unsigned int q = 0; q < DEV_QUEUES; q++) {
		tell_state(f, VHU_GET_VRING_BASE, q, 0);
		assert_true(receive(f, &m));
		assert_int_equal(m.state.index, q);
		assert_int_equal(m.state.num, q == DEV_EVENT ? 0 : 1);
		assert_false(f->d->ring[q].running);
	}
	assert_int_equal(f->d->num_conns, 0);
	/* And starts them anew. */
	for (unsigned int q = 0; q < DEV_QUEUES; q++) {
		tell_state(f, VHU_SET_VRING_ENABLE, q, 0);
		start_queue(f, q);
	}
	close(f->fd);
	f->fd = -1;
	serve(f);
	assert_true(vhu_served(f->v));
	assert_int_equal(f->d->mem.n, 0);
	assert_false(f->d->ring[0].running);
}

static void config_space(void **state)
{
	struct fixture *f = *state;
	struct vhu_msg m = msg(VHU_GET_CONFIG, 12 + 20);
	struct vhu_header change;
	int pair[2];

	negotiate(f);
	m.config.size = 20;
	send_msg(f, &m, NULL, 0);
	assert_true(receive(f, &m));
	assert_int_equal(m.h.size, 12 + 20);
	assert_memory_equal(m.config.data, "\2\0\0\0\3\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0", 20);
	/* More than there is, more than came, past the end: an empty answer. */
	m = msg(VHU_GET_CONFIG, 12 + 20);
	m.config.size = 257;
	send_msg(f, &m, NULL, 0);
	assert_true(receive(f, &m));
	assert_int_equal(m.h.size, 0);
	m = msg(VHU_GET_CONFIG, 12 + 20);
	m.config.offset = 0xffffffff;
	m.config.size = 20;
	send_msg(f, &m, NULL, 0);
	assert_true(receive(f, &m));
	assert_int_equal(m.h.size, 0);
	/* A change is told on the other channel. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	m = msg(VHU_SET_BACKEND_REQ_FD, 0);
	assert_int_equal(acknowledged(f, m, &pair[1], 1), 0);
	close(pair[1]);
	f->d->config_changed(f->d->config_arg);
	assert_int_equal(recv(pair[0], &change, sizeof(change), MSG_DONTWAIT), sizeof(change));
	assert_int_equal(change.request, VHU_BACKEND_CONFIG_CHANGE_MSG);
	assert_int_equal(change.size, 0);
	close(pair[0]);
}

static void memory_tables(void **state)
{
	struct fixture *f = *state;
	struct vhu_msg m = msg(VHU_SET_MEM_TABLE, 8 + 32);
	const int two[2] = { f->mem_fd, f->mem_fd };

	negotiate(f);
	m.mem.count = 1;
	m.mem.region[0] = (struct vhu_region){ .gpa = GPA, .size = MEM_SIZE, .uva = UVA };
	assert_int_equal(acknowledged(f, m, two, 1), 0);
	assert_int_equal(f->d->mem.n, 1);
	/* Fewer descriptors or bytes than regions, too many regions, an offset that wraps. */
	m.mem.count = 2;
	assert_int_equal(acknowledged(f, m, two, 1), 1);
	assert_int_equal(acknowledged(f, m, two, 2), 1);
	m.mem.count = 0xffffffff;
	assert_int_equal(acknowledged(f, m, two, 2), 1);
	m.mem.count = 1;
	m.mem.region[0].offset = UINT64_MAX - 100;
	assert_int_equal(acknowledged(f, m, two, 1), 1);
	assert_int_equal(f->d->mem.n, 0);
	give_memory(f);
	m = msg(VHU_REM_MEM_REG, 40);
	m.mem_reg.region = (struct vhu_region){ .gpa = GPA, .size = MEM_SIZE, .uva = UVA + 1 };
	assert_int_equal(acknowledged(f, m, NULL, 0), 1);
	m.mem_reg.region.uva = UVA;
	assert_int_equal(acknowledged(f, m, NULL, 0), 0);
	assert_int_equal(f->d->mem.n, 0);
}

static void queue_without_memory(void **state)
{
	struct fixture *f = *state;
	struct vhu_msg m = msg(VHU_SET_VRING_ADDR, 40);

	negotiate(f);
	tell_state(f, VHU_SET_VRING_NUM, 0, FG_QSIZE);
	send_msg(f, &m, NULL, 0);
	tell_fd(f, VHU_SET_VRING_KICK, 0, f->kick[0]);
	tell_state(f, VHU_SET_VRING_ENABLE, 0, 1);
	assert_false(f->d->ring[0].running);
}

/* Memory that goes away under a running queue stops it, until it is there again. */
static void memory_goes_away(void **state)
{
	struct fixture *f = *state;
	struct vhu_msg m = msg(VHU_REM_MEM_REG, 40);

	negotiate(f);
	give_memory(f);
	start_queue(f, 0);
	m.mem_reg.region = (struct vhu_region){ .gpa = GPA, .size = MEM_SIZE, .uva = UVA };
	assert_int_equal(acknowledged(f, m, NULL, 0), 0);
	assert_false(f->d->ring[0].running);
	serve(f);
	give_memory(f);
	assert_true(f->d->ring[0].running);
	assert_int_equal(f->d->ring[0].waits, RING_WAITS_NOT);
}

/* A queue that runs keeps its size: its rings were looked up for that one. */
static void size_of_a_running_queue(void **state)
{
	struct fixture *f = *state;
	struct vhu_msg m = msg(VHU_SET_VRING_NUM, 8);

	negotiate(f);
	give_memory(f);
	start_queue(f, 1);
	m.state.index = 1;
	m.state.num = RING_MAX_SIZE;
	assert_int_equal(acknowledged(f, m, NULL, 0), 1);
	assert_true(f->d->ring[1].running);
	assert_int_equal(f->d->ring[1].num, FG_QSIZE);
	tell_state(f, VHU_GET_VRING_BASE, 1, 0);
	assert_true(receive(f, &m));
	m = msg(VHU_SET_VRING_NUM, 8);
	m.state.index = 1;
	m.state.num = RING_MAX_SIZE;
	assert_int_equal(acknowledged(f, m, NULL, 0), 0);
	assert_int_equal(f->d->ring[1].num, RING_MAX_SIZE);
}

/* With EVENT_IDX a ring has two bytes more: one that ends with the memory does not fit any longer. */
static void features_of_a_running_queue(void **state)
{
	struct fixture *f = *state;
	const uint64_t without = 7 | 1ull << VHU_F_PROTOCOL_FEATURES | 1ull << 32;
	struct vhu_msg m = msg(VHU_SET_VRING_ADDR, 40);

	negotiate(f);
	give_memory(f);
	tell(f, VHU_SET_FEATURES, without);
	start_queue(f, 0);
	start_queue(f, 1);
	m.addr.index = 1;
	m.addr.desc = UVA;
	m.addr.avail = UVA + 0x8000;
	m.addr.used = UVA + MEM_SIZE - (4 + 8 * FG_QSIZE);
	assert_int_equal(acknowledged(f, m, NULL, 0), 0);
	assert_true(f->d->ring[1].running);
	tell(f, VHU_SET_FEATURES, without | 1ull << 29);
	assert_true(f->d->ring[0].running);
	assert_false(f->d->ring[1].running);
}

/* New addresses of a running queue that are nowhere stop it. */
static void address_of_a_running_queue(void **state)
{
	struct fixture *f = *state;
	struct vhu_msg m = msg(VHU_SET_VRING_ADDR, 40);

	negotiate(f);
	give_memory(f);
	start_queue(f, 0);
	m.addr.desc = UVA - 4096;
	m.addr.avail = UVA + 0x8000;
	m.addr.used = UVA + 0xa000;
	assert_int_equal(acknowledged(f, m, NULL, 0), 1);
	assert_false(f->d->ring[0].running);
	serve(f);
}

/* A file that is shorter than its region: to touch the rest would end the device by SIGBUS. */
static void region_past_the_file(void **state)
{
	struct fixture *f = *state;
	struct vhu_msg m = msg(VHU_ADD_MEM_REG, 40);

	negotiate(f);
	m.mem_reg.region = (struct vhu_region){ .gpa = GPA, .size = MEM_SIZE + 1, .uva = UVA };
	assert_int_equal(acknowledged(f, m, &f->mem_fd, 1), 1);
	m.mem_reg.region.size = MEM_SIZE - 4096;
	m.mem_reg.region.offset = 8192;
	assert_int_equal(acknowledged(f, m, &f->mem_fd, 1), 1);
	m.mem_reg.region.offset = 4096;
	assert_int_equal(acknowledged(f, m, &f->mem_fd, 1), 0);
}

static void nonsense(void **state)
{
	static const uint32_t with_index[] = {
		VHU_SET_VRING_NUM,  VHU_SET_VRING_BASE, VHU_GET_VRING_BASE, VHU_SET_VRING_ENABLE,
		VHU_SET_VRING_ADDR, VHU_SET_VRING_KICK, VHU_SET_VRING_CALL, VHU_SET_VRING_ERR,
	};
	struct fixture *f = *state;
	struct vhu_msg m;

	negotiate(f);
	for (size_t i = 0; i < sizeof(with_index) / sizeof(with_index[0]); i++) {
		m = msg(with_index[i], 40);
		m.u64 = DEV_QUEUES;
		assert_int_equal(acknowledged(f, m, &f->kick[0], 1), 1);
		/* Too short. */
		m = msg(with_index[i], 4);
		assert_int_equal(acknowledged(f, m, NULL, 0), 1);
	}
	m = msg(VHU_SET_VRING_KICK, 8); /* no descriptor came */
	assert_int_equal(acknowledged(f, m, NULL, 0), 1);
	m = msg(VHU_SET_VRING_NUM, 8);
	m.state.num = RING_MAX_SIZE + 1;
	assert_int_equal(acknowledged(f, m, NULL, 0), 1);
	m = msg(777, 0);
	assert_int_equal(acknowledged(f, m, NULL, 0), 1);
	m = msg(VHU_RESET_DEVICE, 0);
	assert_int_equal(acknowledged(f, m, NULL, 0), 0);
	/* Half a message is waited for; the rest may come later. */
	m = msg(VHU_GET_QUEUE_NUM, 0);
	assert_int_equal(send(f->fd, &m, 5, 0), 5);
	serve(f);
	assert_false(receive(f, &m));
	m = msg(VHU_GET_QUEUE_NUM, 0);
	assert_int_equal(send(f->fd, (uint8_t *)&m + 5, 7, 0), 7);
	serve(f);
	assert_true(receive(f, &m));
	assert_int_equal(m.u64, DEV_QUEUES);
	/* A size that no message has ends it. */
	m = msg(VHU_SET_FEATURES, 0);
	m.h.size = 0x7fffffff;
	assert_int_equal(send(f->fd, &m, sizeof(m.h), 0), sizeof(m.h));
	serve(f);
	assert_true(vhu_served(f->v));
}

static void socket_file(void **state)
{
	struct fixture *f = *state;
	char dir[] = "/tmp/refdev-test-XXXXXX", path[64];
	struct vhu *v, *again;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	v = vhu_new(path, f->d);
	assert_non_null(v);
	again = vhu_new(path, f->d);
	assert_null(again);
	assert_int_equal(errno, EADDRINUSE);
	vhu_free(v);
	assert_int_equal(access(path, F_OK), -1);
	/* What a killed process left is no obstacle. */
	{
		struct sockaddr_un sa = { .sun_family = AF_UNIX };
		const int fd = socket(AF_UNIX, SOCK_STREAM, 0);

		snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
		assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
		close(fd);
	}
	v = vhu_new(path, f->d);
	assert_non_null(v);
	vhu_free(v);
	rmdir(dir);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(connects_a_guest),
		T(config_space),
		T(memory_tables),
		T(queue_without_memory),
		T(memory_goes_away),
		T(nonsense),
		T(socket_file),
		T(size_of_a_running_queue),
		T(features_of_a_running_queue),
		T(address_of_a_running_queue),
		T(region_past_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
