/* SPDX-License-Identifier: BSD-2-Clause */
/* host/ref/dev/vfio_user.c and what is behind it, against a small VMM over a socket pair, a hostile one too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/ref/dev/usock.h"
#include "host/ref/dev/vfio_proto.h"
#include "host/ref/dev/vfio_user.h"

#define MEM_SIZE 0x20000u
#define GPA	 0x100000ull
#define VECTORS	 4

struct fixture {
	struct device *d;
	struct vfu *v;
	int fd, mem_fd, event;
	struct vfu_msg reply;
	struct usock_fds fds; /* beside the reply */
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
	f->v = vfu_new_connected(fds[0], f->d, VECTORS);
	assert_non_null(f->v);
	f->fd = fds[1];
	f->mem_fd = memfd_create("guest", MFD_CLOEXEC);
	f->event = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(ftruncate(f->mem_fd, MEM_SIZE), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	usock_close_fds(&f->fds);
	vfu_free(f->v);
	device_free(f->d);
	close(f->fd);
	close(f->mem_fd);
	close(f->event);
	free(f);
	return 0;
}

static void serve(struct fixture *f)
{
	for (unsigned int i = 0; i < 4; i++) {
		struct pollfd p;

		if (vfu_poll_fill(f->v, &p) && poll(&p, 1, 0) > 0)
			vfu_poll_done(f->v, &p, 1);
	}
}

/* The error of the reply, 0: none, -1: no reply. */
static int ask(struct fixture *f, uint16_t command, struct vfu_msg *m, uint32_t payload, int fd)
{
	ssize_t n;

	m->h.id = 77;
	m->h.command = command;
	m->h.size = (uint32_t)sizeof(m->h) + payload;
	assert_int_equal(usock_send(f->fd, m, m->h.size, fd), 0);
	serve(f);
	usock_close_fds(&f->fds);
	n = usock_recv(f->fd, &f->reply, sizeof(f->reply), &f->fds);
	if (n < (ssize_t)sizeof(f->reply.h))
		return -1;
	assert_int_equal(f->reply.h.id, 77);
	assert_int_equal(f->reply.h.command, command);
	assert_int_equal(f->reply.h.size, n);
	assert_int_equal(f->reply.h.flags & VFU_TYPE_MASK, VFU_REPLY);
	if (!(f->reply.h.flags & VFU_ERROR))
		return 0;
	assert_int_equal(n, sizeof(f->reply.h));
	return (int)f->reply.h.error;
}

static void greet(struct fixture *f)
{
	struct vfu_msg m = { .version = { 0, 1, "" } };

	assert_int_equal(ask(f, VFU_VERSION, &m, 4, -1), 0);
	assert_int_equal(f->reply.version.minor, 1);
	assert_non_null(strstr(f->reply.version.data, "\"max_data_xfer_size\":4096"));
}

static int map(struct fixture *f, uint64_t address, uint64_t size, uint64_t offset, uint32_t flags,
	       int fd)
{
	struct vfu_msg m = { .map = { 32, flags, offset, address, size } };

	return ask(f, VFU_DMA_MAP, &m, 32, fd);
}

static int unmap(struct fixture *f, uint64_t address, uint64_t size, uint32_t flags)
{
	struct vfu_msg m = { .unmap = { 24, flags, address, size } };

	return ask(f, VFU_DMA_UNMAP, &m, 24, -1);
}

static int put(struct fixture *f, uint32_t region, uint64_t offset, uint64_t value, uint32_t count)
{
	struct vfu_msg m = { .access = { offset, region, count, { 0 } } };

	memcpy(m.access.data, &value, count < 8 ? count : 8);
	return ask(f, VFU_REGION_WRITE, &m, 16 + count, -1);
}

static uint64_t get(struct fixture *f, uint32_t region, uint64_t offset, uint32_t count)
{
	struct vfu_msg m = { .access = { offset, region, count, { 0 } } };
	uint64_t value = 0;

	assert_int_equal(ask(f, VFU_REGION_READ, &m, 16, -1), 0);
	assert_int_equal(f->reply.access.count, count);
	memcpy(&value, f->reply.access.data, count);
	return value;
}

static int set_irqs(struct fixture *f, uint32_t flags, uint32_t index, uint32_t start,
		    uint32_t count, int fd)
{
	struct vfu_msg m = { .set_irqs = { 20, flags, index, start, count, { 0 } } };

	return ask(f, VFU_DEVICE_SET_IRQS, &m, 20, fd);
}

static void versions(void **state)
{
	struct fixture *f = *state;
	struct vfu_msg m = { .info = { 16, 0, 0, 0 } };

	/* Nothing before the greeting. */
	assert_int_equal(ask(f, VFU_DEVICE_GET_INFO, &m, 16, -1), EINVAL);
	m = (struct vfu_msg){ .version = { 1, 0, "" } };
	assert_int_equal(ask(f, VFU_VERSION, &m, 4, -1), EINVAL);
	m = (struct vfu_msg){ .version = { 0, 9, "" } };
	assert_int_equal(ask(f, VFU_VERSION, &m, 4, -1), 0);
	assert_int_equal(f->reply.version.minor, 1);
	assert_int_equal(ask(f, 6, &m, 16, -1), ENOTSUP);
	assert_int_equal(ask(f, 99, &m, 0, -1), ENOTSUP);
}

static void info(void **state)
{
	struct fixture *f = *state;
	struct vfu_msg m = { .info = { 16, 0, 0, 0 } };

	greet(f);
	assert_int_equal(ask(f, VFU_DEVICE_GET_INFO, &m, 16, -1), 0);
	assert_int_equal(f->reply.info.num_regions, VFU_REGIONS);
	assert_int_equal(f->reply.info.num_irqs, VFU_IRQS);
	m.info.argsz = 15;
	assert_int_equal(ask(f, VFU_DEVICE_GET_INFO, &m, 16, -1), EINVAL);
	for (uint32_t i = 0; i < VFU_REGIONS; i++) {
		m = (struct vfu_msg){ .region = { 32, 0, i, 0, 0, 0 } };
		assert_int_equal(ask(f, VFU_DEVICE_GET_REGION_INFO, &m, 32, -1), 0);
		/* The shared memory is what the VMM may map. */
		assert_int_equal(!!(f->reply.region.flags & VFU_REGION_F_MMAP), i == 4);
		assert_int_equal(f->fds.n, i == 4);
		assert_int_equal(f->reply.region.size, i == VFU_REGION_CONFIG ? 4096 :
						       i == 0		      ? 8192 :
						       i == 2		      ? 0x8000 :
						       i == 4		      ? 0x10000 :
										0);
	}
	m.region.index = VFU_REGIONS;
	assert_int_equal(ask(f, VFU_DEVICE_GET_REGION_INFO, &m, 32, -1), EINVAL);
	m = (struct vfu_msg){ .irq = { 16, 0, VFU_IRQ_MSIX, 0 } };
	assert_int_equal(ask(f, VFU_DEVICE_GET_IRQ_INFO, &m, 16, -1), 0);
	assert_int_equal(f->reply.irq.count, VECTORS);
	m.irq.index = VFU_IRQS;
	assert_int_equal(ask(f, VFU_DEVICE_GET_IRQ_INFO, &m, 16, -1), EINVAL);
}

static void memory(void **state)
{
	struct fixture *f = *state;

	greet(f);
	assert_int_equal(map(f, GPA, MEM_SIZE, 0, 3, f->mem_fd), 0);
	assert_int_equal(f->d->mem.n, 1);
	assert_int_equal(map(f, GPA + MEM_SIZE - 1, 4096, 0, 3, f->mem_fd), EEXIST);
	assert_int_equal(map(f, 0, 0, 0, 3, f->mem_fd), EINVAL);
	assert_int_equal(map(f, UINT64_MAX - 10, 4096, 0, 3, f->mem_fd), EINVAL);
	/* Past the file's end there is no memory. */
	assert_int_equal(map(f, 0x900000, MEM_SIZE, 4096, 3, f->mem_fd), EINVAL);
	/* Without a descriptor, or for reading only: known, and never touched. */
	assert_int_equal(map(f, 0x800000, 4096, 0, 3, -1), 0);
	assert_int_equal(map(f, 0x900000, 4096, 0, 1, f->mem_fd), 0);
	assert_int_equal(f->d->mem.n, 1);
	assert_int_equal(map(f, 0x800000, 4096, 0, 3, -1), EEXIST);
	assert_int_equal(unmap(f, GPA, 4096, 0), EINVAL);
	assert_int_equal(unmap(f, 0x700000, 4096, 0), EINVAL);
	assert_int_equal(unmap(f, 0x800000, 4096, 0), 0);
	assert_int_equal(f->reply.unmap.address, 0x800000);
	assert_int_equal(unmap(f, 0, 0, VFU_DMA_UNMAP_ALL), 0);
	assert_int_equal(f->d->mem.n, 0);
	for (unsigned int i = 0; i < MEM_MAX_REGIONS; i++)
		assert_int_equal(map(f, 4096ull * i, 4096, 0, 3, -1), 0);
	assert_int_equal(map(f, 0x900000, 4096, 0, 3, -1), ENOSPC);
}

static void accesses(void **state)
{
	struct fixture *f = *state;
	struct vfu_msg m = { .access = { 0x7ffc, 2, 8, { 0 } } };

	greet(f);
	assert_int_equal(get(f, VFU_REGION_CONFIG, 0, 4), 0x10531af4);
	assert_int_equal(get(f, VFU_REGION_CONFIG, 0x100, 4), 0);
	/* Extended configuration space is there, empty, and takes nothing. */
	assert_int_equal(put(f, VFU_REGION_CONFIG, 0xfc, UINT64_MAX, 8), 0);
	assert_int_equal(put(f, VFU_REGION_CONFIG, 0xffc, UINT32_MAX, 4), 0);
	assert_int_equal(get(f, VFU_REGION_CONFIG, 0xffc, 4), 0);
	assert_int_equal(put(f, 2, 20, 1, 1), 0);
	assert_int_equal(get(f, 2, 20, 1), 1);
	/* BARs are sized as PCI says. */
	assert_int_equal(put(f, VFU_REGION_CONFIG, 0x18, UINT32_MAX, 4), 0);
	assert_int_equal(get(f, VFU_REGION_CONFIG, 0x18, 4), 0xffff8004);
	/* Past the end, past what was agreed on, and fewer bytes than are told of. */
	assert_int_equal(ask(f, VFU_REGION_READ, &m, 16, -1), EINVAL);
	m.access.offset = UINT64_MAX - 3;
	assert_int_equal(ask(f, VFU_REGION_READ, &m, 16, -1), EINVAL);
	m = (struct vfu_msg){ .access = { 0, 2, VFU_MAX_XFER + 1, { 0 } } };
	assert_int_equal(ask(f, VFU_REGION_READ, &m, 16, -1), EINVAL);
	m = (struct vfu_msg){ .access = { 0, 1, 4, { 0 } } };
	assert_int_equal(ask(f, VFU_REGION_READ, &m, 16, -1), EINVAL);
	m.access.region = UINT32_MAX;
	assert_int_equal(ask(f, VFU_REGION_READ, &m, 16, -1), EINVAL);
	m = (struct vfu_msg){ .access = { 20, 2, 4, { 0 } } };
	assert_int_equal(ask(f, VFU_REGION_WRITE, &m, 16 + 3, -1), EINVAL);
	assert_int_equal(ask(f, VFU_REGION_WRITE, &m, 15, -1), EINVAL);
	assert_int_equal(ask(f, VFU_DEVICE_RESET, &m, 0, -1), 0);
	assert_int_equal(get(f, 2, 20, 1), 0);
	assert_int_equal(get(f, VFU_REGION_CONFIG, 0x18, 4), 4);
}

static bool signalled(struct fixture *f)
{
	uint64_t count;

	return read(f->event, &count, sizeof(count)) == sizeof(count);
}

static void interrupts(void **state)
{
	const uint32_t fd = VFU_IRQ_DATA_EVENTFD | VFU_IRQ_TRIGGER, none = VFU_IRQ_DATA_NONE;
	struct fixture *f = *state;

	greet(f);
	assert_int_equal(put(f, VFU_REGION_CONFIG, 4, 6, 2), 0);
	assert_int_equal(put(f, VFU_REGION_CONFIG, 0x5e, 0x8000, 2), 0);
	assert_int_equal(set_irqs(f, fd, VFU_IRQ_MSIX, 3, 1, f->event), 0);
	assert_int_equal(set_irqs(f, none | VFU_IRQ_TRIGGER, VFU_IRQ_MSIX, 3, 1, -1), 0);
	assert_true(signalled(f));
	/* Under Function Mask it is pending, and sent when the mask goes. */
	assert_int_equal(put(f, VFU_REGION_CONFIG, 0x5e, 0xc000, 2), 0);
	assert_int_equal(set_irqs(f, none | VFU_IRQ_TRIGGER, VFU_IRQ_MSIX, 3, 1, -1), 0);
	assert_false(signalled(f));
	assert_int_equal(get(f, 0, 0x1000, 1), 8);
	assert_int_equal(put(f, VFU_REGION_CONFIG, 0x5e, 0x8000, 2), 0);
	assert_true(signalled(f));
	assert_int_equal(get(f, 0, 0x1000, 1), 0);
	/* Without Bus Master no message is sent. */
	assert_int_equal(put(f, VFU_REGION_CONFIG, 4, 2, 2), 0);
	assert_int_equal(set_irqs(f, none | VFU_IRQ_TRIGGER, VFU_IRQ_MSIX, 3, 1, -1), 0);
	assert_false(signalled(f));
	assert_int_equal(put(f, VFU_REGION_CONFIG, 4, 6, 2), 0);
	assert_true(signalled(f));
	assert_int_equal(set_irqs(f, fd, VFU_IRQ_MSIX, 3, 1, -1), 0);
	assert_int_equal(set_irqs(f, none | VFU_IRQ_TRIGGER, VFU_IRQ_MSIX, 3, 1, -1), 0);
	assert_false(signalled(f));
	assert_int_equal(set_irqs(f, none | VFU_IRQ_TRIGGER, VFU_IRQ_MSIX, 0, 0, -1), 0);
}

static void odd_interrupts(void **state)
{
	static const struct {
		uint32_t flags, index, start, count;
		int err;
	} odd[] = {
		{ VFU_IRQ_DATA_EVENTFD | VFU_IRQ_TRIGGER, VFU_IRQ_MSIX, 4, 1, EINVAL },
		{ VFU_IRQ_DATA_EVENTFD | VFU_IRQ_TRIGGER, VFU_IRQ_MSIX, 1, UINT32_MAX, EINVAL },
		{ VFU_IRQ_DATA_EVENTFD | VFU_IRQ_TRIGGER, VFU_IRQ_MSIX, UINT32_MAX, 2, EINVAL },
		{ VFU_IRQ_DATA_EVENTFD | VFU_IRQ_TRIGGER, VFU_IRQ_MSI, 0, 1, EINVAL },
		{ VFU_IRQ_DATA_EVENTFD | VFU_IRQ_TRIGGER, VFU_IRQS, 0, 1, EINVAL },
		{ VFU_IRQ_DATA_EVENTFD | VFU_IRQ_TRIGGER, VFU_IRQ_MSIX, 0, 2, EINVAL }, /* one fd */
		{ VFU_IRQ_DATA_EVENTFD | VFU_IRQ_MASK, VFU_IRQ_MSIX, 0, 1, ENOTSUP },
		{ VFU_IRQ_DATA_NONE | VFU_IRQ_DATA_BOOL | VFU_IRQ_TRIGGER, 0, 0, 1, EINVAL },
		{ VFU_IRQ_DATA_NONE | VFU_IRQ_MASK | VFU_IRQ_TRIGGER, 0, 0, 1, EINVAL },
		{ VFU_IRQ_TRIGGER, VFU_IRQ_MSIX, 0, 1, EINVAL },
		{ VFU_IRQ_DATA_NONE, VFU_IRQ_MSIX, 0, 1, EINVAL },
		{ VFU_IRQ_DATA_BOOL | VFU_IRQ_TRIGGER, VFU_IRQ_MSIX, 0, 4, EINVAL }, /* no data */
	};
	struct fixture *f = *state;

	greet(f);
	for (unsigned int i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		assert_int_equal(set_irqs(f, odd[i].flags, odd[i].index, odd[i].start, odd[i].count,
					  f->event),
				 odd[i].err);
}

/* What makes no sense ends the connection; the next VMM would find a device at its power-on. */
static void senseless(void **state)
{
	static const struct vfu_header odd[] = {
		{ 1, VFU_VERSION, 15, 0, 0 },	      { 1, VFU_VERSION, 0, 0, 0 },
		{ 1, VFU_VERSION, UINT32_MAX, 0, 0 }, { 1, VFU_VERSION, 16, VFU_REPLY, 0 },
		{ 1, VFU_VERSION, 16, 7, 0 },
	};

	for (unsigned int i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		struct fixture *f = *state;

		greet(f);
		assert_int_equal(put(f, 2, 20, 1, 1), 0);
		assert_int_equal(usock_send(f->fd, &odd[i], sizeof(odd[i]), -1), 0);
		serve(f);
		assert_true(vfu_served(f->v));
		assert_int_equal(f->d->mem.n, 0);
		teardown(state);
		setup(state);
	}
}

/* Messages come in pieces, and without the wish for an answer. */
static void pieces(void **state)
{
	struct fixture *f = *state;
	struct vfu_msg m = { .access = { 20, 2, 1, { 1 } } };

	greet(f);
	m.h = (struct vfu_header){ 5, VFU_REGION_WRITE, 16 + 16 + 1, VFU_NO_REPLY, 0 };
	for (unsigned int i = 0; i < m.h.size; i++) {
		assert_int_equal(usock_send(f->fd, (uint8_t *)&m + i, 1, -1), 0);
		serve(f);
	}
	assert_int_equal(usock_recv(f->fd, &f->reply, sizeof(f->reply), &f->fds), -1);
	assert_int_equal(get(f, 2, 20, 1), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(versions, setup, teardown),
		cmocka_unit_test_setup_teardown(info, setup, teardown),
		cmocka_unit_test_setup_teardown(memory, setup, teardown),
		cmocka_unit_test_setup_teardown(accesses, setup, teardown),
		cmocka_unit_test_setup_teardown(interrupts, setup, teardown),
		cmocka_unit_test_setup_teardown(odd_interrupts, setup, teardown),
		cmocka_unit_test_setup_teardown(senseless, setup, teardown),
		cmocka_unit_test_setup_teardown(pieces, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
