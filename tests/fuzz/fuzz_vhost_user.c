/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reference device facing a hostile VMM: the input is a series of vhost-user messages, with descriptors for what a
 * real VMM would send, and of writes to the shared memory. The device must not crash, every walk ends, and a queue that
 * runs lies within the memory that it was given, whatever its size and features are by then.
 */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/ref/dev/vhost_proto.h"
#include "host/ref/dev/vhost_user.h"
#include "tests/fuzz/vmm.h"

#define UVA   0x7000000000ull
#define RINGS 0x8000u /* apart */

struct session {
	struct vmm *m;
	struct vhu *v;
};

static void serve(struct session *s)
{
	uint8_t sink[4096];

	for (unsigned int i = 0; i < 4; i++) {
		struct pollfd fds[VHU_MAX_FDS];
		const unsigned int n = vhu_poll_fill(s->v, fds);

		if (!n || poll(fds, n, 0) <= 0)
			break;
		vhu_poll_done(s->v, fds, n);
		vmm_check_rings(s->m);
	}
	device_run(s->m->d);
	vmm_check_rings(s->m);
	while (recv(s->m->fd, sink, sizeof(sink), MSG_DONTWAIT) > 0)
		;
}

/* --- messages ------------------------------------------------------------------------------------------------ */

static void send_message(struct session *s, const struct vhu_msg *m, const int *fds, unsigned int n)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * VHU_MAX_REGIONS)];
		struct cmsghdr align;
	} control = { 0 };
	const size_t size = m->h.size < sizeof(m->raw) ? m->h.size : sizeof(m->raw);
	struct iovec iov = { .iov_base = (void *)(uintptr_t)m, .iov_len = sizeof(m->h) + size };
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
	(void)!sendmsg(s->m->fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Where a VMM would put a part of a ring; at the end of memory; anywhere. */
static uint64_t address(struct input *in, unsigned int queue, unsigned int part)
{
	const uint8_t kind = u8(in);

	if (kind < 160)
		return UVA + RINGS * (uint64_t)(queue % 4) + 0x2000ull * part + kind % 4 * 16;
	if (kind < 230)
		return UVA + VMM_MEM_SIZE - u16(in);
	return u64(in);
}

static uint32_t number(struct input *in)
{
	static const uint32_t numbers[] = { 0, 1, 2, 64, 128, 256, 1024, 1025, 65536, UINT32_MAX };
	const uint8_t kind = u8(in);

	return kind < 200 ? numbers[kind % 10] : u32(in);
}

static struct vhu_region region(struct input *in)
{
	struct vhu_region r = { .gpa = VMM_GPA, .size = VMM_MEM_SIZE, .uva = UVA };
	const uint8_t kind = u8(in);

	if (kind & 1)
		r.gpa = u64(in);
	if (kind & 2)
		r.size = kind & 64 ? u64(in) : VMM_MEM_SIZE - (uint64_t)u16(in);
	if (kind & 4)
		r.uva = u64(in);
	if (kind & 8)
		r.offset = kind & 128 ? u64(in) : u16(in);
	return r;
}

static void fill(struct vhu_msg *m, struct input *in)
{
	m->h.size = 8;
	switch (m->h.request) {
	case VHU_SET_VRING_NUM:
	case VHU_SET_VRING_BASE:
	case VHU_GET_VRING_BASE:
	case VHU_SET_VRING_ENABLE:
		m->state.index = u8(in) % (DEV_QUEUES + 1);
		m->state.num = number(in);
		break;
	case VHU_SET_VRING_ADDR:
		m->h.size = 40;
		m->addr.index = u8(in) % (DEV_QUEUES + 1);
		m->addr.desc = address(in, m->addr.index, 0);
		m->addr.avail = address(in, m->addr.index, 2);
		m->addr.used = address(in, m->addr.index, 3);
		break;
	case VHU_SET_VRING_KICK:
	case VHU_SET_VRING_CALL:
	case VHU_SET_VRING_ERR:
		m->u64 = u8(in) % (DEV_QUEUES + 1) | (u8(in) < 20 ? VHU_VRING_NOFD : 0);
		break;
	case VHU_SET_MEM_TABLE:
		m->mem.count = u8(in) % (VHU_MAX_REGIONS + 2);
		for (unsigned int i = 0; i < m->mem.count && i < VHU_MAX_REGIONS; i++)
			m->mem.region[i] = region(in);
		m->h.size = 8 + 32 * m->mem.count;
		break;
	case VHU_ADD_MEM_REG:
	case VHU_REM_MEM_REG:
		m->h.size = 40;
		m->mem_reg.region = region(in);
		break;
	case VHU_GET_CONFIG:
	case VHU_SET_CONFIG:
		m->config.offset = u8(in) < 200 ? u8(in) : u32(in);
		m->config.size = u8(in) < 200 ? u8(in) : u32(in);
		m->h.size = 12 + m->config.size % 300;
		break;
	case VHU_SET_FEATURES:
		m->u64 = u8(in) | (uint64_t)u8(in) << 28;
		break;
	case VHU_SET_PROTOCOL_FEATURES:
		m->u64 = u32(in);
		break;
	default:
		m->u64 = u8(in);
		break;
	}
	/* Sometimes less than it needs, or more than any message has. */
	if (u8(in) < 8)
		m->h.size = number(in);
}

static void message(struct session *s, struct input *in)
{
	static const uint32_t requests[] = {
		VHU_GET_FEATURES,
		VHU_SET_FEATURES,
		VHU_SET_OWNER,
		VHU_RESET_OWNER,
		VHU_SET_MEM_TABLE,
		VHU_SET_LOG_BASE,
		VHU_SET_VRING_NUM,
		VHU_SET_VRING_ADDR,
		VHU_SET_VRING_BASE,
		VHU_GET_VRING_BASE,
		VHU_SET_VRING_KICK,
		VHU_SET_VRING_CALL,
		VHU_SET_VRING_ERR,
		VHU_SET_VRING_ENABLE,
		VHU_SET_PROTOCOL_FEATURES,
		VHU_GET_CONFIG,
		VHU_SET_CONFIG,
		VHU_RESET_DEVICE,
		VHU_ADD_MEM_REG,
		VHU_REM_MEM_REG,
		VHU_SET_STATUS,
		VHU_GET_STATUS,
		VHU_GET_MAX_MEM_SLOTS,
		VHU_SET_BACKEND_REQ_FD,
		VHU_GET_QUEUE_NUM,
		VHU_GET_PROTOCOL_FEATURES,
		777,
	};
	struct vhu_msg m = { .h.flags = VHU_VERSION };
	int fds[VHU_MAX_REGIONS];
	unsigned int n = 0;
	uint8_t how;

	m.h.request = requests[u8(in) % (sizeof(requests) / sizeof(requests[0]))];
	how = u8(in);
	if (how & 1)
		m.h.flags |= VHU_NEED_REPLY;
	fill(&m, in);
	/* The descriptors that such a message has; sometimes none, or one of another kind. */
	if (m.h.request == VHU_SET_MEM_TABLE)
		n = m.mem.count < VHU_MAX_REGIONS ? m.mem.count : VHU_MAX_REGIONS;
	else if (m.h.request == VHU_ADD_MEM_REG || m.h.request == VHU_SET_VRING_KICK ||
		 m.h.request == VHU_SET_VRING_CALL || m.h.request == VHU_SET_VRING_ERR)
		n = 1;
	if ((how & 0xf0) == 0x10)
		n = 0;
	for (unsigned int i = 0; i < n; i++)
		fds[i] = (m.h.request == VHU_SET_MEM_TABLE || m.h.request == VHU_ADD_MEM_REG) ==
					 ((how & 0xf0) != 0x20) ?
				 s->m->mem_fd :
				 s->m->event_fd;
	send_message(s, &m, fds, n);
}

static void kick(const struct session *s)
{
	const uint64_t one = 1;

	(void)!write(s->m->event_fd, &one, sizeof(one));
}

#define START_SIZE 64

static void tell(struct session *s, uint32_t request, uint32_t index, uint32_t num, const int *fd)
{
	struct vhu_msg m = { .h = { request, VHU_VERSION, 8 } };

	m.state.index = index;
	m.state.num = num;
	send_message(s, &m, fd, fd ? 1 : 0);
}

/* The last queue's used ring ends with the memory. */
static void start_queue(struct session *s, unsigned int q)
{
	struct vhu_msg m = { .h = { VHU_SET_VRING_ADDR, VHU_VERSION, 40 } };

	m.addr.index = q;
	m.addr.desc = UVA + RINGS * (uint64_t)q;
	m.addr.avail = m.addr.desc + 0x4000;
	m.addr.used = q == DEV_EVENT ? UVA + VMM_MEM_SIZE - (4 + 8 * START_SIZE) :
				       m.addr.desc + 0x6000;
	tell(s, VHU_SET_VRING_NUM, q, START_SIZE, NULL);
	send_message(s, &m, NULL, 0);
	tell(s, VHU_SET_VRING_CALL, q, 0, &s->m->event_fd);
	tell(s, VHU_SET_VRING_KICK, q, 0, &s->m->event_fd);
	tell(s, VHU_SET_VRING_ENABLE, q, 1, NULL);
}

/* Most inputs start with queues that run: few would come so far by themselves. */
static void start(struct session *s, unsigned int how)
{
	struct vhu_msg m = { .h = { VHU_ADD_MEM_REG, VHU_VERSION, 40 } };

	tell(s, VHU_SET_FEATURES, 7u | 1u << VHU_F_PROTOCOL_FEATURES, 0, NULL);
	m.mem_reg.region = (struct vhu_region){ .gpa = VMM_GPA, .size = VMM_MEM_SIZE, .uva = UVA };
	if (how % 8)
		send_message(s, &m, &s->m->mem_fd, 1);
	for (unsigned int q = 0; q < DEV_QUEUES; q++)
		if (how >> 3 & 1u << q)
			start_queue(s, q);
	for (unsigned int i = 0; i < 16; i++)
		serve(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { .p = data, .n = size };
	struct session s = { .m = vmm_start() };

	s.v = vhu_new_connected(s.m->device_fd, s.m->d);
	must(s.v);
	start(&s, u8(&in));
	while (in.n && !vhu_served(s.v)) {
		switch (u8(&in) % 4) {
		case 0:
			vmm_scribble(s.m, &in);
			break;
		case 1:
			kick(&s);
			break;
		default:
			message(&s, &in);
			break;
		}
		serve(&s);
	}
	vhu_free(s.v);
	vmm_end(s.m);
	return 0;
}
