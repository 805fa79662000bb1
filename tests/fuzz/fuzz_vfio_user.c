/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reference device as a PCI function facing a hostile VMM and guest: the input is a series of vfio-user messages,
 * most of them accesses to registers, and of writes to the shared memory. The device must not crash, every walk ends,
 * and a queue that runs lies within the memory that it was given.
 */
#include <poll.h>
#include <string.h>

#include "host/ref/dev/usock.h"
#include "host/ref/dev/vfio_proto.h"
#include "host/ref/dev/vfio_user.h"
#include "tests/fuzz/vmm.h"

#define VECTORS 4
#define BAR	2      /* the registers */
#define NOTIFY	0x4000 /* in there */
#define CONFIG	7

struct session {
	struct vmm *m;
	struct vfu *v;
};

static void serve(struct session *s)
{
	struct usock_fds fds = { 0 };
	uint8_t sink[8192];

	for (unsigned int i = 0; i < 4; i++) {
		struct pollfd p;

		if (!vfu_poll_fill(s->v, &p) || poll(&p, 1, 0) <= 0)
			break;
		vfu_poll_done(s->v, &p, 1);
		vmm_check_rings(s->m);
	}
	device_run(s->m->d);
	vfu_after_run(s->v);
	vmm_check_rings(s->m);
	while (usock_recv(s->m->fd, sink, sizeof(sink), &fds) > 0)
		usock_close_fds(&fds);
}

/* --- messages --- */

static void send_message(struct session *s, struct vfu_msg *m, uint16_t command, uint32_t payload,
			 int fd)
{
	uint32_t size = payload < sizeof(m->raw) ? payload : (uint32_t)sizeof(m->raw);

	m->h.command = command;
	m->h.size = (uint32_t)sizeof(m->h) + payload;
	(void)usock_send(s->m->fd, m, sizeof(m->h) + size, fd);
}

static void region_write(struct session *s, uint32_t region, uint64_t offset, uint64_t value,
			 uint32_t count)
{
	struct vfu_msg m = { 0 };

	m.access.region = region;
	m.access.offset = offset;
	m.access.count = count;
	memcpy(m.access.data, &value, count < 8 ? count : 8);
	send_message(s, &m, VFU_REGION_WRITE, 16 + (count < 4096 ? count : 4096), -1);
}

/* A register of the common configuration or a notification, mostly, in the width that it has. */
static void access_register(struct session *s, struct input *in)
{
	static const uint8_t at[] = { 0,  4,  8,  12, 16, 20, 20, 20, 22, 24, 26,
				      28, 32, 36, 40, 44, 48, 52, 58, 21, 30, 56 };
	static const uint8_t width[] = { 4, 4, 4, 4, 2, 1, 1, 1, 2, 2, 2,
					 2, 4, 4, 4, 4, 4, 4, 2, 1, 2, 2 };
	const unsigned int n = u8(in) % (sizeof(at) + 2);

	if (n < sizeof(at))
		region_write(s, BAR, at[n], u8(in) < 200 ? u8(in) : u64(in), width[n]);
	else if (n == sizeof(at))
		region_write(s, BAR, NOTIFY + 4 * (u8(in) % 4u), u8(in) % 4u, 2);
	else
		region_write(s, CONFIG, u8(in), u64(in), u8(in) % 5u);
}

static void other_message(struct session *s, struct input *in)
{
	static const uint16_t commands[] = { 1, 2, 3, 4, 5,  6,	 7,  8,	 8,
					     8, 9, 9, 9, 10, 10, 13, 15, 99 };
	struct vfu_msg m = { 0 };
	const uint16_t command = commands[u8(in) % (sizeof(commands) / sizeof(commands[0]))];
	const uint8_t how = u8(in);
	uint32_t payload = how & 64 ? u16(in) : 20 + u8(in) % 24u;

	if (how & 128)
		m.h.flags = u8(in);
	for (unsigned int i = 0; i < 40 && in->n; i++)
		m.raw[i] = u8(in);
	switch (command) {
	case VFU_DMA_MAP:
		m.map.flags &= 3;
		if (how & 1)
			m.map.address = VMM_GPA;
		if (how & 2)
			m.map.size = VMM_MEM_SIZE;
		if (how & 4)
			m.map.offset = 0;
		payload = 32;
		break;
	case VFU_DMA_UNMAP:
		m.unmap.address = how & 1 ? VMM_GPA : m.unmap.address;
		m.unmap.size = how & 2 ? VMM_MEM_SIZE : m.unmap.size;
		break;
	case VFU_DEVICE_SET_IRQS:
		m.set_irqs.index %= 4;
		m.set_irqs.start %= how & 1 ? 1 : VECTORS + 2;
		m.set_irqs.count %= how & 2 ? 2 : VECTORS + 2;
		break;
	case VFU_REGION_READ:
	case VFU_REGION_WRITE:
		m.access.region %= 10;
		if (how & 1)
			m.access.offset %= 0x8000;
		if (how & 2)
			m.access.count %= 16;
		break;
	default:
		break;
	}
	send_message(s, &m, command, payload,
		     (how & 24) == 0	    ? -1 :
		     command == VFU_DMA_MAP ? s->m->mem_fd :
					      s->m->event_fd);
}

/* Most inputs start with queues that run: few would come so far by themselves. */
static void start(struct session *s, unsigned int how)
{
	struct vfu_msg m = { 0 };

	m.version.minor = 1;
	send_message(s, &m, VFU_VERSION, 4, -1);
	m = (struct vfu_msg){ .map = { 32, 3, 0, VMM_GPA, VMM_MEM_SIZE } };
	send_message(s, &m, VFU_DMA_MAP, 32, s->m->mem_fd);
	region_write(s, CONFIG, 4, 6, 2);
	if (!(how & 1))
		return;
	region_write(s, BAR, 20, 3, 1);
	region_write(s, BAR, 8, 0, 4);
	region_write(s, BAR, 12, 7 | (how & 2) << 28, 4);
	region_write(s, BAR, 8, 1, 4);
	region_write(s, BAR, 12, 1 | (how & 4 ? 0x9c0 : 0), 4);
	region_write(s, BAR, 20, 11, 1);
	for (unsigned int q = 0; q < DEV_QUEUES; q++) {
		region_write(s, BAR, 22, q, 2);
		region_write(s, BAR, 24, 64, 2);
		for (unsigned int part = 0; part < 3; part++)
			region_write(s, BAR, 32 + 8 * part, VMM_GPA + 0x8000 * q + 0x2000 * part,
				     4);
		region_write(s, BAR, 28, 1, 2);
	}
	region_write(s, BAR, 20, 15, 1);
	for (unsigned int i = 0; i < 16; i++)
		serve(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { .p = data, .n = size };
	struct session s = { .m = vmm_start() };

	s.v = vfu_new_connected(s.m->device_fd, s.m->d, VECTORS);
	must(s.v);
	start(&s, u8(&in));
	while (in.n && !vfu_served(s.v)) {
		switch (u8(&in) % 4) {
		case 0:
			vmm_scribble(s.m, &in);
			break;
		case 1:
			other_message(&s, &in);
			break;
		default:
			access_register(&s, &in);
			break;
		}
		serve(&s);
	}
	vfu_free(s.v);
	vmm_end(s.m);
	return 0;
}
