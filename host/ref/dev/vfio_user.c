/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/ref/dev/vfio_user.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/ref/dev/chaos.h"
#include "host/ref/dev/log.h"
#include "host/ref/dev/usock.h"
#include "host/ref/dev/vfio_proto.h"
#include "host/ref/dev/virtio_pci.h"

_Static_assert(VFU_MAX_FDS <= USOCK_MAX_FDS, "descriptors of a message");
_Static_assert(VFU_MAX_XFER >= PCI_CONFIG_SIZE, "a VMM reads configuration space at once");

/* What the VMM lets the device reach. Not all of it can be mapped: ROMs, and what no file backs. */
struct dma_range {
	uint64_t address, size;
	bool mapped;
};

struct vfu {
	struct device *d;
	struct virtio_pci fn;
	char *path;
	int listen_fd, fd;
	bool served, greeted;
	struct dma_range range[MEM_MAX_REGIONS];
	unsigned int ranges;

	struct vfu_msg msg; /* as far as it came in */
	size_t got;
	struct usock_fds fds;
};

/* --- life of a connection --- */

static void disconnect(struct vfu *v, const char *why)
{
	if (v->fd < 0)
		return;
	rd_log("%s: the VMM is gone: %s", v->d->name, why);
	usock_close(&v->fd);
	usock_close_fds(&v->fds);
	v->got = 0;
	v->ranges = 0;
	virtio_pci_reset(&v->fn);
	pci_function_close(&v->fn.pci);
	device_detach(v->d);
	v->greeted = false;
	v->served = true;
}

void vfu_drop(struct vfu *v)
{
	disconnect(v, "SIGUSR1");
}

static void accept_vmm(struct vfu *v)
{
	v->fd = accept4(v->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (v->fd >= 0)
		rd_log("%s: a VMM connected", v->d->name);
}

/* --- replies --- */

static void reply_with(struct vfu *v, uint32_t payload, int fd)
{
	struct vfu_msg *m = &v->msg;

	m->h.flags = VFU_REPLY;
	m->h.error = 0;
	m->h.size = (uint32_t)sizeof(m->h) + payload;
	if (usock_send(v->fd, m, m->h.size, fd))
		disconnect(v, "it takes no reply");
}

static void reply_error(struct vfu *v, int err)
{
	struct vfu_header h = {
		.id = v->msg.h.id,
		.command = v->msg.h.command,
		.size = sizeof(h),
		.flags = VFU_REPLY | VFU_ERROR,
		.error = (uint32_t)err,
	};

	if (usock_send(v->fd, &h, sizeof(h), -1))
		disconnect(v, "it takes no reply");
}

/* --- what only a VMM that breaks the protocol sends: 0, or the -errno that it is answered with --- */

static struct dma_range *find_range(struct vfu *v, uint64_t address, uint64_t size)
{
	for (unsigned int i = 0; i < v->ranges; i++) {
		struct dma_range *r = &v->range[i];

		if (address < r->address + r->size && r->address < address + size)
			return r;
	}
	return NULL;
}

static int map_refused(struct vfu *v, const struct vfu_msg *m)
{
	const uint64_t address = m->map.address, size = m->map.size;

	if (v->fds.n > 1 || size == 0 || address + size < address || !(m->map.flags & VFU_DMA_READ))
		return -EINVAL;
	if (find_range(v, address, size))
		return -EEXIST;
	return v->ranges == MEM_MAX_REGIONS ? -ENOSPC : 0;
}

static int unmap_refused(const struct dma_range *r, const struct vfu_msg *m)
{
	return !r || r->address != m->unmap.address || r->size != m->unmap.size ? -EINVAL : 0;
}

static uint32_t irq_count(const struct vfu *v, uint32_t index)
{
	return index == VFU_IRQ_INTX ? 1 : index == VFU_IRQ_MSIX ? v->fn.pci.vectors : 0;
}

static int irqs_refused(const struct vfu *v, const struct vfu_msg *m)
{
	const uint32_t data = m->set_irqs.flags & VFU_IRQ_DATA,
		       action = m->set_irqs.flags & VFU_IRQ_ACTION;
	const uint32_t start = m->set_irqs.start, count = m->set_irqs.count,
		       all = irq_count(v, m->set_irqs.index);
	const uint32_t bytes = m->h.size - (uint32_t)offsetof(struct vfu_msg, set_irqs.data);

	if (m->set_irqs.index >= VFU_IRQS || (data & (data - 1)) || (action & (action - 1)) ||
	    !data || !action || start > all || count > all - start)
		return -EINVAL;
	if (data == VFU_IRQ_DATA_BOOL && bytes < count)
		return -EINVAL;
	if (data == VFU_IRQ_DATA_EVENTFD && action != VFU_IRQ_TRIGGER)
		return -ENOTSUP;
	/* No descriptors at all take those away that are there. */
	return data == VFU_IRQ_DATA_EVENTFD && v->fds.n && v->fds.n != count ? -EINVAL : 0;
}

/* A question about something that is not there, or with no room for the answer. */
static int info_refused(uint32_t argsz, size_t room, uint32_t index, uint32_t all)
{
	return argsz < room || index >= all ? -EINVAL : 0;
}

/* --- messages: bytes of the reply, or -errno; *with may become a descriptor that goes beside it --- */

static int version(struct vfu *v, struct vfu_msg *m)
{
	int n;

	if (m->version.major != VFU_MAJOR)
		return -EINVAL;
	if (m->version.minor > VFU_MINOR)
		m->version.minor = VFU_MINOR;
	n = snprintf(m->version.data, sizeof(m->version.data),
		     "{\"capabilities\":{\"max_msg_fds\":%d,\"max_data_xfer_size\":%d,"
		     "\"max_dma_maps\":%d,\"pgsizes\":4096}}",
		     VFU_MAX_FDS, VFU_MAX_XFER, MEM_MAX_REGIONS);
	v->greeted = true;
	return 4 + n + 1;
}

static int dma_map(struct vfu *v, const struct vfu_msg *m)
{
	const uint64_t address = m->map.address, size = m->map.size;
	struct dma_range r = { .address = address, .size = size };
	const int fd = v->fds.n ? v->fds.fd[0] : -1, refused = map_refused(v, m);

	if (refused)
		return refused;
	/* What the device may only read is no place for rings or buffers: as if it were not there. */
	if (fd >= 0 && m->map.flags & VFU_DMA_WRITE) {
		const int ret = mem_add(&v->d->mem, address, size, address, fd, m->map.offset);

		if (ret)
			return ret;
		r.mapped = true;
	}
	v->range[v->ranges++] = r;
	rd_debug("%s: DMA 0x%" PRIx64 " + 0x%" PRIx64 "%s", v->d->name, address, size,
		 r.mapped ? "" : ", not mapped");
	virtio_pci_memory_changed(&v->fn);
	return 0;
}

static void drop_range(struct vfu *v, struct dma_range *r)
{
	if (r->mapped)
		mem_remove(&v->d->mem, r->address, r->size, r->address);
	*r = v->range[--v->ranges];
}

static int dma_unmap(struct vfu *v, const struct vfu_msg *m)
{
	struct dma_range *r;

	if (m->unmap.flags == VFU_DMA_UNMAP_ALL && !m->unmap.address && !m->unmap.size) {
		while (v->ranges)
			drop_range(v, v->range);
	} else {
		r = m->unmap.size ? find_range(v, m->unmap.address, m->unmap.size) : NULL;
		if (unmap_refused(r, m))
			return -EINVAL;
		drop_range(v, r);
	}
	virtio_pci_memory_changed(&v->fn);
	return sizeof(m->unmap);
}

static int device_info(struct vfu_msg *m)
{
	if (info_refused(m->info.argsz, sizeof(m->info), 0, 1))
		return -EINVAL;
	m->info.argsz = sizeof(m->info);
	m->info.flags = VFU_DEVICE_RESETS | VFU_DEVICE_PCI;
	m->info.num_regions = VFU_REGIONS;
	m->info.num_irqs = VFU_IRQS;
	return sizeof(m->info);
}

static uint64_t region_size(const struct vfu *v, uint32_t region)
{
	if (region < PCI_BARS)
		return v->fn.pci.bar_size[region];
	return region == VFU_REGION_CONFIG ? PCI_CONFIG_SIZE : 0;
}

static int region_info(struct vfu *v, struct vfu_msg *m, int *with)
{
	if (info_refused(m->region.argsz, sizeof(m->region), m->region.index, VFU_REGIONS))
		return -EINVAL;
	m->region.argsz = sizeof(m->region);
	m->region.size = region_size(v, m->region.index);
	m->region.flags = m->region.size ? VFU_REGION_F_READ | VFU_REGION_F_WRITE : 0;
	m->region.cap_offset = 0;
	m->region.offset = 0;
	if (m->region.index == VPCI_SHARED_BAR) {
		m->region.flags |= VFU_REGION_F_MMAP;
		*with = v->fn.shared_fd;
	}
	return sizeof(m->region);
}

static int irq_info(const struct vfu *v, struct vfu_msg *m)
{
	if (info_refused(m->irq.argsz, sizeof(m->irq), m->irq.index, VFU_IRQS))
		return -EINVAL;
	m->irq.argsz = sizeof(m->irq);
	m->irq.count = irq_count(v, m->irq.index);
	m->irq.flags = m->irq.count ? VFU_IRQ_EVENTFD : 0;
	if (m->irq.index == VFU_IRQ_INTX)
		m->irq.flags |= VFU_IRQ_MASKABLE | VFU_IRQ_AUTOMASKED;
	return sizeof(m->irq);
}

static void give_fd(struct vfu *v, uint32_t index, uint32_t n, int fd)
{
	if (fd >= 0)
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	if (index == VFU_IRQ_INTX)
		pci_give_intx_fd(&v->fn.pci, fd);
	else
		pci_give_vector_fd(&v->fn.pci, n, fd);
}

/* The device's interrupt as if it had raised it, for DATA_NONE and DATA_BOOL. */
static void act_on_irq(struct vfu *v, uint32_t action, uint32_t index, uint32_t n)
{
	if (index == VFU_IRQ_INTX && action == VFU_IRQ_UNMASK)
		pci_intx_unmask(&v->fn.pci);
	else if (index == VFU_IRQ_MSIX && action == VFU_IRQ_TRIGGER)
		pci_raise_vector(&v->fn.pci, n);
}

static int set_irqs(struct vfu *v, const struct vfu_msg *m)
{
	const uint32_t data = m->set_irqs.flags & VFU_IRQ_DATA,
		       action = m->set_irqs.flags & VFU_IRQ_ACTION;
	const uint32_t index = m->set_irqs.index, start = m->set_irqs.start,
		       count = m->set_irqs.count, all = irq_count(v, index);
	const int refused = irqs_refused(v, m);

	if (refused)
		return refused;
	if (data == VFU_IRQ_DATA_NONE && count == 0) {
		for (uint32_t i = 0; i < all; i++)
			give_fd(v, index, i, -1);
		return 0;
	}
	if (data == VFU_IRQ_DATA_EVENTFD) {
		for (uint32_t i = 0; i < count; i++)
			give_fd(v, index, start + i, usock_take_fd(&v->fds, i));
		return 0;
	}
	for (uint32_t i = 0; i < count; i++) {
		if (data == VFU_IRQ_DATA_NONE || m->set_irqs.data[i])
			act_on_irq(v, action, index, start + i);
	}
	return 0;
}

/* Not inside of the region, or more than was agreed on; write: without all of the bytes. No VMM that works asks so. */
static bool access_refused(const struct vfu *v, const struct vfu_msg *m, bool write)
{
	const struct vfu_access *a = &m->access;
	const uint64_t size = region_size(v, a->region);

	return a->count > VFU_MAX_XFER || a->offset > size || a->count > size - a->offset ||
	       (write && m->h.size - offsetof(struct vfu_msg, access.data) < a->count);
}

static int region_read(struct vfu *v, struct vfu_msg *m)
{
	struct vfu_access *a = &m->access;

	if (access_refused(v, m, false))
		return -EINVAL;
	if (a->region == VFU_REGION_CONFIG)
		pci_config_read(&v->fn.pci, (uint32_t)a->offset, a->data, a->count);
	else
		v->fn.pci.ops->bar_read(v->fn.pci.arg, a->region, a->offset, a->data, a->count);
	/* Configuration space stays: the VMM itself reads it, and does not start without. */
	if (a->region != VFU_REGION_CONFIG && chaos_strikes())
		chaos_bytes(a->data, a->count);
	return (int)(offsetof(struct vfu_access, data) + a->count);
}

static int region_write(struct vfu *v, struct vfu_msg *m)
{
	const struct vfu_access *a = &m->access;

	if (access_refused(v, m, true))
		return -EINVAL;
	if (a->region == VFU_REGION_CONFIG)
		pci_config_write(&v->fn.pci, (uint32_t)a->offset, a->data, a->count);
	else
		v->fn.pci.ops->bar_write(v->fn.pci.arg, a->region, a->offset, a->data, a->count);
	return offsetof(struct vfu_access, data);
}

/* Bytes behind the header without which a message is not understood. */
static uint32_t needed(uint16_t command)
{
	switch (command) {
	case VFU_VERSION:
		return 4;
	case VFU_DMA_MAP:
		return sizeof(((struct vfu_msg *)0)->map);
	case VFU_DMA_UNMAP:
		return sizeof(((struct vfu_msg *)0)->unmap);
	case VFU_DEVICE_GET_INFO:
		return sizeof(((struct vfu_msg *)0)->info);
	case VFU_DEVICE_GET_REGION_INFO:
		return sizeof(((struct vfu_msg *)0)->region);
	case VFU_DEVICE_GET_IRQ_INFO:
		return sizeof(((struct vfu_msg *)0)->irq);
	case VFU_DEVICE_SET_IRQS:
		return offsetof(struct vfu_msg, set_irqs.data) - sizeof(struct vfu_header);
	case VFU_REGION_READ:
	case VFU_REGION_WRITE:
		return offsetof(struct vfu_access, data);
	default:
		return 0;
	}
}

/* Cut off, or before both sides agreed on a version. No VMM that works sends it. */
static bool message_refused(const struct vfu *v, const struct vfu_msg *m)
{
	return m->h.size - sizeof(m->h) < needed(m->h.command) ||
	       (!v->greeted && m->h.command != VFU_VERSION);
}

static int handle(struct vfu *v, struct vfu_msg *m, int *with)
{
	if (message_refused(v, m))
		return -EINVAL;
	switch (m->h.command) {
	case VFU_VERSION:
		return version(v, m);
	case VFU_DMA_MAP:
		return dma_map(v, m);
	case VFU_DMA_UNMAP:
		return dma_unmap(v, m);
	case VFU_DEVICE_GET_INFO:
		return device_info(m);
	case VFU_DEVICE_GET_REGION_INFO:
		return region_info(v, m, with);
	case VFU_DEVICE_GET_IRQ_INFO:
		return irq_info(v, m);
	case VFU_DEVICE_SET_IRQS:
		return set_irqs(v, m);
	case VFU_REGION_READ:
		return region_read(v, m);
	case VFU_REGION_WRITE:
		return region_write(v, m);
	case VFU_DEVICE_RESET:
		virtio_pci_reset(&v->fn);
		return 0;
	default:
		return -ENOTSUP;
	}
}

static void complete(struct vfu *v)
{
	const bool answers = !(v->msg.h.flags & VFU_NO_REPLY);
	int with = -1, ret;

	ret = handle(v, &v->msg, &with);
	if (ret < 0)
		rd_log("%s: vfio-user command %u: %s", v->d->name, v->msg.h.command,
		       strerror(-ret));
	if (answers && ret < 0)
		reply_error(v, -ret);
	else if (answers)
		reply_with(v, (uint32_t)ret, with);
	usock_close_fds(&v->fds);
	v->got = 0;
}

/* Nothing came, for now or for good. */
static bool nothing_came(struct vfu *v, ssize_t n)
{
	if (n > 0)
		return false;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	disconnect(v, n == 0 ? "it closed the connection" : strerror(errno));
	return true;
}

/* No VMM that works sends such a header. */
static bool header_refused(const struct vfu *v)
{
	const struct vfu_header *h = &v->msg.h;

	return h->size < sizeof(*h) || h->size > sizeof(v->msg) ||
	       (h->flags & VFU_TYPE_MASK) != VFU_COMMAND;
}

/* Reads on; true: a whole message is there. */
static bool receive(struct vfu *v)
{
	const struct vfu_header *h = &v->msg.h;
	const size_t want = v->got < sizeof(*h) ? sizeof(*h) : h->size;
	const ssize_t n = usock_recv(v->fd, (uint8_t *)&v->msg + v->got, want - v->got, &v->fds);

	if (nothing_came(v, n))
		return false;
	v->got += (size_t)n;
	if (v->got < sizeof(*h))
		return false;
	if (header_refused(v)) {
		disconnect(v, "a message makes no sense");
		return false;
	}
	return v->got == h->size;
}

/* --- the caller's loop --- */

unsigned int vfu_poll_fill(const struct vfu *v, struct pollfd *fds)
{
	fds[0] = (struct pollfd){ .fd = v->fd >= 0 ? v->fd : v->listen_fd, .events = POLLIN };
	return fds[0].fd >= 0;
}

void vfu_poll_done(struct vfu *v, const struct pollfd *fds, unsigned int n)
{
	if (n == 0 || !fds[0].revents)
		return;
	if (fds[0].fd == v->listen_fd)
		accept_vmm(v);
	/* Header and payload are two reads. */
	else if (receive(v) || (v->got == sizeof(v->msg.h) && receive(v)))
		complete(v);
}

void vfu_after_run(struct vfu *v)
{
	virtio_pci_after_run(&v->fn);
}

bool vfu_served(const struct vfu *v)
{
	return v->served && v->fd < 0;
}

/* --- life --- */

static struct vfu *new (struct device *d, unsigned int vectors)
{
	struct vfu *v = calloc(1, sizeof(*v));
	int ret;

	if (!v)
		return NULL;
	v->d = d;
	v->listen_fd = v->fd = -1;
	ret = virtio_pci_init(&v->fn, d, vectors);
	if (!ret)
		return v;
	free(v);
	errno = -ret;
	return NULL;
}

struct vfu *vfu_new(const char *path, struct device *d, unsigned int vectors)
{
	struct vfu *v = new (d, vectors);
	int err;

	if (!v)
		return NULL;
	v->listen_fd = usock_listen(path);
	if (v->listen_fd >= 0)
		v->path = strdup(path);
	if (v->path)
		return v;
	err = errno;
	vfu_free(v);
	errno = err;
	return NULL;
}

struct vfu *vfu_new_connected(int fd, struct device *d, unsigned int vectors)
{
	struct vfu *v = new (d, vectors);

	if (v)
		v->fd = fd;
	return v;
}

void vfu_free(struct vfu *v)
{
	if (!v)
		return;
	disconnect(v, "refdev ends");
	virtio_pci_free(&v->fn);
	usock_close(&v->listen_fd);
	if (v->path)
		unlink(v->path);
	free(v->path);
	free(v);
}
