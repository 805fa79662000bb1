/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/fuzz/vmm.h"

#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static struct vmm vmm;

/* Once: the memory stays from input to input. */
static void make_memory(void)
{
	vmm.mem_fd = memfd_create("guest", MFD_CLOEXEC);
	vmm.event_fd = eventfd(0, EFD_NONBLOCK);
	must(vmm.mem_fd >= 0 && vmm.event_fd >= 0 && ftruncate(vmm.mem_fd, VMM_MEM_SIZE) == 0);
	vmm.mem = mmap(NULL, VMM_MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, vmm.mem_fd, 0);
	must(vmm.mem != MAP_FAILED);
}

struct vmm *vmm_start(void)
{
	const struct device_params params = {
		.name = "fuzz",
		.cids = { .layout = CTL_LAYOUT_INDEXED, .num_guest = 2, .cid = { 3, 4 } },
	};
	int fds[2];

	if (!vmm.mem)
		make_memory();
	memset(vmm.mem, 0, VMM_MEM_SIZE);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	vmm.device_fd = fds[0];
	vmm.fd = fds[1];
	vmm.d = device_new(&params);
	must(vmm.d);
	return &vmm;
}

void vmm_end(struct vmm *m)
{
	device_free(m->d);
	close(m->fd);
}

static void check_part(const struct device *d, const void *at, uint64_t uva, uint64_t bytes)
{
	uint64_t gpa;

	must(at && mem_at_uva(&d->mem, uva, bytes, &gpa) == at);
}

static void check_split(const struct device *d, const struct ring *r)
{
	const uint64_t event = r->event_idx ? 2 : 0;

	must((r->num & (r->num - 1)) == 0);
	check_part(d, r->desc, r->desc_uva, 16ull * r->num);
	check_part(d, r->avail, r->avail_uva, 4 + 2ull * r->num + event);
	check_part(d, r->used, r->used_uva, 4 + 8ull * r->num + event);
}

static void check_packed(const struct device *d, const struct ring *r)
{
	must(r->next_avail.slot < r->num && r->next_used.slot < r->num);
	check_part(d, r->pdesc, r->desc_uva, 16ull * r->num);
	check_part(d, r->driver_event, r->avail_uva, 4);
	check_part(d, r->device_event, r->used_uva, 4);
}

void vmm_check_rings(const struct vmm *m)
{
	for (unsigned int i = 0; i < DEV_QUEUES; i++) {
		const struct ring *r = &m->d->ring[i];

		if (!r->running)
			continue;
		must(r->num && r->num <= RING_MAX_SIZE);
		(r->packed ? check_packed : check_split)(m->d, r);
	}
}

void vmm_scribble(struct vmm *m, struct input *in)
{
	const unsigned int at = (u16(in) * 16u) % VMM_MEM_SIZE;

	for (unsigned int i = 0; i < 16; i++)
		m->mem[at + i] = u8(in);
}
