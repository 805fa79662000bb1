/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/ref/dev/vhost_user.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/virtio_config.h>

#include "host/ref/dev/faults.h"
#include "host/ref/dev/log.h"
#include "host/ref/dev/usock.h"
#include "host/ref/dev/vhost_proto.h"

#define CONNECT_NS   10000000ll /* between two tries */
#define ASK_AGAIN_NS 5000000ll

#define PROTOCOL_FEATURES                                                                          \
	(1ull << VHU_P_MQ | 1ull << VHU_P_REPLY_ACK | 1ull << VHU_P_BACKEND_REQ |                  \
	 1ull << VHU_P_CONFIG | 1ull << VHU_P_RESET_DEVICE | 1ull << VHU_P_CONFIGURE_MEM_SLOTS |   \
	 1ull << VHU_P_STATUS)

struct vhu {
	struct device *d;
	char *path;
	int listen_fd, fd, backend_fd;
	bool client;	    /* connects to path instead of listening there */
	int64_t connect_ns; /* not before */
	bool served;
	uint64_t features, protocol;
	uint8_t status;
	uint32_t base[DEV_QUEUES];
	bool base_known[DEV_QUEUES]; /* else a queue is new */
	bool addr_set[DEV_QUEUES];
	struct iotlb tlb;
	int64_t ask_ns; /* when it may be asked again for translations that a queue waits for */
	bool asks_later;

	struct vhu_msg msg; /* as far as it came in */
	size_t got;
	struct usock_fds fds;
};

/* An IOMMU stands in front of the device as long as the VMM says so. */
static void translate(struct vhu *v, bool on)
{
	struct iotlb *const other = v->d->sibling ? v->d->sibling->mem.tlb : NULL;

	iotlb_clear(&v->tlb);
	v->d->mem.tlb = !on ? NULL : other && fault(F_IOTLB_SHARED) ? other : &v->tlb;
}

static void vhu_disconnect(struct vhu *v, const char *why)
{
	if (v->fd < 0)
		return;
	rd_log("%s: the VMM is gone: %s", v->d->name, why);
	usock_close(&v->fd);
	usock_close(&v->backend_fd);
	usock_close_fds(&v->fds);
	v->got = 0;
	device_detach(v->d);
	for (unsigned int i = 0; i < DEV_QUEUES; i++) {
		struct ring *r = &v->d->ring[i];

		usock_close(&r->kick_fd);
		usock_close(&r->call_fd);
		usock_close(&r->err_fd);
		r->enabled = false;
		r->num = 0;
		v->addr_set[i] = false;
		v->base_known[i] = false;
	}
	translate(v, false);
	v->features = v->protocol = 0;
	v->status = 0;
	v->served = true;
}

void vhu_drop(struct vhu *v)
{
	vhu_disconnect(v, "SIGUSR1");
}

/* --- sending --- */

static void reply(struct vhu *v, struct vhu_msg *m, uint32_t size)
{
	m->h.flags = VHU_VERSION | VHU_REPLY;
	m->h.size = size;
	if (usock_send(v->fd, m, sizeof(m->h) + size, -1))
		vhu_disconnect(v, "it takes no reply");
}

static void reply_u64(struct vhu *v, struct vhu_msg *m, uint64_t value)
{
	m->u64 = value;
	reply(v, m, sizeof(m->u64));
}

/* True: the VMM will say when it told the guest; device_config_told() follows. */
static bool config_changed(void *arg)
{
	struct vhu *v = arg;
	const bool answers = v->protocol & 1ull << VHU_P_REPLY_ACK;
	const struct vhu_header h = {
		.request = VHU_BACKEND_CONFIG_CHANGE_MSG,
		.flags = VHU_VERSION | (answers ? VHU_NEED_REPLY : 0),
	};

	if (v->backend_fd < 0) {
		rd_log("%s: the VMM gave no channel for config changes", v->d->name);
		return false;
	}
	if (usock_send(v->backend_fd, &h, sizeof(h), -1)) {
		rd_log("%s: config change: %s", v->d->name, strerror(errno));
		return false;
	}
	return answers;
}

/* No answer is asked for: the translation comes as a message of its own, if there is one. */
static void ask_translation(void *arg, uint64_t iova, bool write)
{
	struct vhu *v = arg;
	const struct {
		struct vhu_header h;
		struct vhu_iotlb t;
	} __attribute__((packed)) m = {
		.h = { VHU_BACKEND_IOTLB_MSG, VHU_VERSION, sizeof(m.t) },
		.t = { .iova = iova,
		       .type = VHU_IOTLB_MISS,
		       .access = write && !fault(F_IOTLB_ASKS_TO_READ) ? VHU_ACCESS_WO :
									 VHU_ACCESS_RO },
	};
	struct pollfd room = { .fd = v->backend_fd, .events = POLLOUT };

	/* A VMM that is busy reads nothing, and who waits for it here keeps it busy. */
	if (v->backend_fd < 0)
		return;
	if (poll(&room, 1, 0) <= 0) {
		v->asks_later = true;
		v->ask_ns = rd_now_ns() + ASK_AGAIN_NS;
		return;
	}
	if (usock_send(v->backend_fd, &m, sizeof(m), -1))
		rd_log("%s: a translation cannot be asked for: %s", v->d->name, strerror(errno));
}

/* Replies on the channel of our requests: only one kind is answered, so what they say is known. */
static void read_backend(struct vhu *v)
{
	uint8_t buf[256];
	const ssize_t n = recv(v->backend_fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n > 0)
		device_config_told(v->d);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		usock_close(&v->backend_fd);
}

/* --- what only a VMM that breaks the protocol sends --- */

static bool no_one_fd(const struct vhu *v)
{
	return v->fds.n != 1;
}

static bool table_refused_by_vhost(const struct vhu *v, const struct vhu_msg *m)
{
	const uint32_t n = m->mem.count;

	return n > VHU_MAX_REGIONS || n > v->fds.n || m->h.size < 8 + n * sizeof(struct vhu_region);
}

static bool fd_refused(const struct vhu *v, const struct vhu_msg *m)
{
	return (m->u64 & VHU_VRING_INDEX) >= DEV_QUEUES ||
	       (!(m->u64 & VHU_VRING_NOFD) && v->fds.n != 1);
}

static bool config_refused(const struct vhu_msg *m)
{
	const uint32_t off = m->config.offset, len = m->config.size;

	return off > VHU_CONFIG_MAX || len > VHU_CONFIG_MAX - off || m->h.size < 12 + len;
}

/* Bytes of payload without which a message is not understood. */
static uint32_t needed(uint32_t request)
{
	switch (request) {
	case VHU_SET_FEATURES:
	case VHU_SET_PROTOCOL_FEATURES:
	case VHU_SET_VRING_NUM:
	case VHU_SET_VRING_BASE:
	case VHU_GET_VRING_BASE:
	case VHU_SET_VRING_KICK:
	case VHU_SET_VRING_CALL:
	case VHU_SET_VRING_ERR:
	case VHU_SET_VRING_ENABLE:
	case VHU_SET_MEM_TABLE:
	case VHU_SET_STATUS:
		return 8;
	case VHU_IOTLB_MSG:
		return sizeof(struct vhu_iotlb);
	case VHU_SET_VRING_ADDR:
	case VHU_ADD_MEM_REG:
	case VHU_REM_MEM_REG:
		return 40;
	case VHU_GET_CONFIG:
	case VHU_SET_CONFIG:
		return 12;
	default:
		return 0;
	}
}

static bool names_queue(uint32_t request)
{
	return request == VHU_SET_VRING_NUM || request == VHU_SET_VRING_BASE ||
	       request == VHU_GET_VRING_BASE || request == VHU_SET_VRING_ENABLE ||
	       request == VHU_SET_VRING_ADDR;
}

/* Cut off, or of a queue that is not there: all of these start with the index. */
static bool request_refused(const struct vhu_msg *m)
{
	return m->h.size < needed(m->h.request) ||
	       (names_queue(m->h.request) && m->state.index >= DEV_QUEUES);
}

/* --- messages --- */

static bool not_yet(const struct vhu *v, unsigned int q)
{
	const struct ring *r = &v->d->ring[q];
	const bool enabled = r->enabled || !(v->features & 1ull << VHU_F_PROTOCOL_FEATURES);

	return r->running || r->waits || !enabled || r->kick_fd < 0 || !v->addr_set[q];
}

/* A queue runs once it has addresses and a kick descriptor and is enabled. */
static void update_queue(struct vhu *v, unsigned int q)
{
	struct ring *r = &v->d->ring[q];

	if (not_yet(v, q))
		return;
	device_ring_start(v->d, q, v->base_known[q] ? v->base[q] : ring_new_base(r));
}

static int set_mem_table(struct vhu *v, const struct vhu_msg *m)
{
	const uint32_t n = m->mem.count;
	int ret = 0;

	if (table_refused_by_vhost(v, m))
		return -EINVAL;
	mem_clear(&v->d->mem);
	for (uint32_t i = 0; i < n && !ret; i++) {
		const struct vhu_region *r = &m->mem.region[i];

		ret = mem_add(&v->d->mem, r->gpa, r->size, r->uva, v->fds.fd[i], r->offset);
	}
	device_memory_changed(v->d);
	return ret;
}

static int add_region(struct vhu *v, const struct vhu_msg *m)
{
	const struct vhu_region *r = &m->mem_reg.region;
	int ret;

	if (no_one_fd(v))
		return -EINVAL;
	ret = mem_add(&v->d->mem, r->gpa, r->size, r->uva, v->fds.fd[0], r->offset);
	device_memory_changed(v->d);
	return ret;
}

static int remove_region(struct vhu *v, const struct vhu_msg *m)
{
	const struct vhu_region *r = &m->mem_reg.region;
	const int ret = mem_remove(&v->d->mem, r->gpa, r->size, r->uva);

	device_memory_changed(v->d);
	return ret;
}

static int set_vring_addr(struct vhu *v, const struct vhu_msg *m)
{
	struct ring *r = &v->d->ring[m->addr.index];

	r->desc_uva = m->addr.desc;
	r->used_uva = m->addr.used;
	r->avail_uva = m->addr.avail;
	v->addr_set[m->addr.index] = true;
	if (r->running) {
		device_ring_remap(v->d, m->addr.index);
		return r->running || r->waits ? 0 : -EFAULT;
	}
	update_queue(v, m->addr.index);
	return 0;
}

/* The rings lie where they lay for the old size: a queue that runs keeps it. */
static int set_vring_num(struct vhu *v, const struct vhu_msg *m)
{
	struct ring *r = &v->d->ring[m->state.index];

	if (m->state.num == 0 || m->state.num > RING_MAX_SIZE)
		return -EINVAL;
	if (r->running || r->waits)
		return -EBUSY;
	r->num = (uint16_t)m->state.num;
	return 0;
}

static int set_fd(struct vhu *v, const struct vhu_msg *m)
{
	const unsigned int q = m->u64 & VHU_VRING_INDEX;
	const bool none = m->u64 & VHU_VRING_NOFD;
	struct ring *r;
	int *to;

	if (fd_refused(v, m))
		return -EINVAL;
	r = &v->d->ring[q];
	to = m->h.request == VHU_SET_VRING_KICK ? &r->kick_fd :
	     m->h.request == VHU_SET_VRING_CALL ? &r->call_fd :
						  &r->err_fd;
	usock_close(to);
	if (none)
		return 0;
	*to = usock_take_fd(&v->fds, 0);
	/* Reads and writes must not wait: an empty counter or a full one is no reason to stop. */
	fcntl(*to, F_SETFL, fcntl(*to, F_GETFL) | O_NONBLOCK);
	if (to == &r->kick_fd)
		update_queue(v, q);
	return 0;
}

static int set_enable(struct vhu *v, const struct vhu_msg *m)
{
	struct ring *r = &v->d->ring[m->state.index];

	r->enabled = m->state.num;
	if (r->enabled)
		update_queue(v, m->state.index);
	return 0;
}

static void stop_queue(struct vhu *v, unsigned int q)
{
	struct ring *r = &v->d->ring[q];

	v->base[q] = device_ring_stop(v->d, q);
	v->base_known[q] = true;
	usock_close(&r->kick_fd);
	v->addr_set[q] = false;
}

/* Whether a part of the queue may lie in the range: none is longer than the largest descriptor table. */
static bool may_hold(const struct vhu_iotlb *t, const struct ring *r)
{
	const uint64_t at[] = { r->desc_uva, r->avail_uva, r->used_uva }, most = RING_MAX_SIZE * 16;

	for (unsigned int i = 0; i < 3; i++) {
		if (at[i] + most - t->iova < t->size + most)
			return true;
	}
	return false;
}

/* A queue whose memory is taken away stops where it is, until it has some again. */
static void remap_queues(struct vhu *v, const struct vhu_iotlb *t)
{
	for (unsigned int q = 0; q < DEV_QUEUES; q++) {
		struct ring *r = &v->d->ring[q];

		if (r->running && may_hold(t, r) && !fault(F_IOTLB_RINGS_KEPT))
			device_ring_remap(v->d, q);
	}
}

static int change_translation(struct vhu *v, const struct vhu_iotlb *t)
{
	const struct iotlb_entry e = { t->iova, t->size, t->uva, t->access & VHU_ACCESS_RO,
				       t->access & VHU_ACCESS_WO };

	if (!v->d->mem.tlb)
		return -EINVAL;
	switch (t->type) {
	case VHU_IOTLB_UPDATE:
		iotlb_update(v->d->mem.tlb, &e);
		device_translated(v->d);
		return 0;
	case VHU_IOTLB_INVALIDATE:
		iotlb_invalidate(v->d->mem.tlb, t->iova, t->size);
		remap_queues(v, t);
		return 0;
	default:
		return -EINVAL;
	}
}

static void get_config(struct vhu *v, struct vhu_msg *m)
{
	const uint32_t off = m->config.offset, len = m->config.size;

	if (config_refused(m)) {
		/* An empty payload says so. */
		reply(v, m, 0);
		return;
	}
	device_config_read(v->d, off, m->config.data, len);
	reply(v, m, 12 + len);
}

static int set_config(struct vhu *v, const struct vhu_msg *m)
{
	const uint32_t off = m->config.offset, len = m->config.size;

	if (config_refused(m))
		return -EINVAL;
	device_config_write(v->d, off, m->config.data, len);
	return 0;
}

static void stop_all(struct vhu *v)
{
	for (unsigned int i = 0; i < DEV_QUEUES; i++) {
		stop_queue(v, i);
		v->d->ring[i].enabled = false;
		v->base_known[i] = false;
	}
}

/* 1: answered already. 0 or -errno: what an acknowledgement would say. */
static int handle(struct vhu *v, struct vhu_msg *m)
{
	struct device *d = v->d;

	if (request_refused(m))
		return -EINVAL;
	switch (m->h.request) {
	case VHU_GET_FEATURES:
		reply_u64(v, m, device_features(d) | 1ull << VHU_F_PROTOCOL_FEATURES);
		return 1;
	case VHU_SET_FEATURES:
		v->features = m->u64;
		translate(v, m->u64 & 1ull << VIRTIO_F_ACCESS_PLATFORM);
		device_set_features(d, m->u64 & ~(1ull << VHU_F_PROTOCOL_FEATURES));
		break;
	case VHU_GET_PROTOCOL_FEATURES:
		reply_u64(v, m, PROTOCOL_FEATURES);
		return 1;
	case VHU_SET_PROTOCOL_FEATURES:
		v->protocol = m->u64 & PROTOCOL_FEATURES;
		break;
	case VHU_GET_QUEUE_NUM:
		reply_u64(v, m, DEV_QUEUES);
		return 1;
	case VHU_GET_MAX_MEM_SLOTS:
		reply_u64(v, m, MEM_MAX_REGIONS);
		return 1;
	case VHU_SET_OWNER:
		break;
	case VHU_RESET_OWNER:
	case VHU_RESET_DEVICE:
		stop_all(v);
		break;
	case VHU_SET_MEM_TABLE:
		return set_mem_table(v, m);
	case VHU_ADD_MEM_REG:
		return add_region(v, m);
	case VHU_REM_MEM_REG:
		return remove_region(v, m);
	case VHU_SET_VRING_NUM:
		return set_vring_num(v, m);
	case VHU_SET_VRING_ADDR:
		return set_vring_addr(v, m);
	case VHU_SET_VRING_BASE:
		/* A split ring's index has 16 bits. */
		v->base[m->state.index] = d->ring[m->state.index].packed ? m->state.num :
									   (uint16_t)m->state.num;
		v->base_known[m->state.index] = true;
		break;
	case VHU_GET_VRING_BASE:
		stop_queue(v, m->state.index);
		m->state.num = v->base[m->state.index];
		reply(v, m, sizeof(m->state));
		return 1;
	case VHU_SET_VRING_KICK:
	case VHU_SET_VRING_CALL:
	case VHU_SET_VRING_ERR:
		return set_fd(v, m);
	case VHU_SET_VRING_ENABLE:
		return set_enable(v, m);
	case VHU_SET_BACKEND_REQ_FD:
		if (no_one_fd(v))
			return -EINVAL;
		usock_close(&v->backend_fd);
		v->backend_fd = usock_take_fd(&v->fds, 0);
		break;
	case VHU_IOTLB_MSG:
		return change_translation(v, &m->iotlb);
	case VHU_GET_CONFIG:
		get_config(v, m);
		return 1;
	case VHU_SET_CONFIG:
		return set_config(v, m);
	case VHU_SET_STATUS:
		v->status = (uint8_t)m->u64;
		break;
	case VHU_GET_STATUS:
		reply_u64(v, m, v->status);
		return 1;
	default:
		rd_log("%s: vhost-user request %u is not known", d->name, m->h.request);
		return -EOPNOTSUPP;
	}
	return 0;
}

static void complete(struct vhu *v)
{
	const uint32_t request = v->msg.h.request;
	const bool ack = v->msg.h.flags & VHU_NEED_REPLY;
	int ret;

	/* Payload that did not come reads as zero. */
	memset(v->msg.raw + v->msg.h.size, 0, sizeof(v->msg.raw) - v->msg.h.size);
	ret = handle(v, &v->msg);
	if (ret < 0)
		rd_log("%s: vhost-user request %u: %s", v->d->name, request, strerror(-ret));
	if (ret <= 0 && ack && (v->protocol & 1ull << VHU_P_REPLY_ACK) && v->fd >= 0)
		reply_u64(v, &v->msg, ret != 0);
	usock_close_fds(&v->fds);
	v->got = 0;
}

/* Nothing came, for now or for good. */
static bool nothing_came(struct vhu *v, ssize_t n)
{
	if (n > 0)
		return false;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	vhu_disconnect(v, n == 0 ? "it closed the connection" : strerror(errno));
	return true;
}

/* No VMM that works sends such a header. */
static bool header_refused(const struct vhu *v)
{
	return (v->msg.h.flags & VHU_VERSION_MASK) != VHU_VERSION ||
	       v->msg.h.size > sizeof(v->msg.raw);
}

/* Reads on; true: a whole message is there. */
static bool receive(struct vhu *v)
{
	const size_t want = v->got < sizeof(v->msg.h) ? sizeof(v->msg.h) :
							sizeof(v->msg.h) + v->msg.h.size;
	const ssize_t n = usock_recv(v->fd, (uint8_t *)&v->msg + v->got, want - v->got, &v->fds);

	if (nothing_came(v, n))
		return false;
	v->got += (size_t)n;
	if (v->got < sizeof(v->msg.h))
		return false;
	if (header_refused(v)) {
		vhu_disconnect(v, "a message makes no sense");
		return false;
	}
	return v->got == sizeof(v->msg.h) + v->msg.h.size;
}

static void accept_vmm(struct vhu *v)
{
	v->fd = v->client ? usock_connect(v->path) :
			    accept4(v->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (v->fd < 0)
		return;
	rd_log("%s: a VMM connected", v->d->name);
}

/* --- the caller's loop --- */

/* A VMM that listens may come later. */
static void try_to_connect(struct vhu *v)
{
	if (v->fd < 0 && v->client && rd_now_ns() >= v->connect_ns) {
		v->connect_ns = rd_now_ns() + CONNECT_NS;
		accept_vmm(v);
	}
}

unsigned int vhu_poll_fill(struct vhu *v, struct pollfd *fds)
{
	unsigned int n = 0;

	try_to_connect(v);
	if (v->fd < 0) {
		if (v->listen_fd >= 0)
			fds[n++] = (struct pollfd){ .fd = v->listen_fd, .events = POLLIN };
		return n;
	}
	fds[n++] = (struct pollfd){ .fd = v->fd, .events = POLLIN };
	if (v->backend_fd >= 0)
		fds[n++] = (struct pollfd){ .fd = v->backend_fd, .events = POLLIN };
	for (unsigned int i = 0; i < DEV_QUEUES; i++) {
		const struct ring *r = &v->d->ring[i];

		if ((r->running || r->waits) && r->kick_fd >= 0)
			fds[n++] = (struct pollfd){ .fd = r->kick_fd, .events = POLLIN };
	}
	return n;
}

/*
 * While a queue waits for its memory, each notification of a storm would be a message, which a VMM that starts a device
 * does not read. What is not asked at once is asked in its time; then whoever waits looks again.
 */
static void ask_again(struct vhu *v)
{
	const int64_t now = rd_now_ns();
	const bool late = v->asks_later;
	bool waits = false;

	for (unsigned int i = 0; i < DEV_QUEUES; i++)
		waits |= v->d->ring[i].waits != RING_WAITS_NOT;
	v->asks_later = waits && now < v->ask_ns;
	if (v->asks_later)
		return;
	v->ask_ns = now + (fault_on(F_IOTLB_LATE_ASK_LOST) ? 20 : 1) * ASK_AGAIN_NS;
	iotlb_ask_again(&v->tlb);
	if (late && !fault(F_IOTLB_LATE_ASK_LOST))
		device_translated(v->d);
}

static void read_kick(struct vhu *v, int fd)
{
	for (unsigned int i = 0; i < DEV_QUEUES; i++) {
		struct ring *r = &v->d->ring[i];
		uint64_t count;

		if (r->kick_fd != fd)
			continue;
		ask_again(v);
		if (read(fd, &count, sizeof(count)) == sizeof(count))
			device_kick(v->d, i);
		else if (errno != EAGAIN && errno != EINTR)
			usock_close(&r->kick_fd); /* not an eventfd: no use to poll it again */
		return;
	}
}

void vhu_poll_done(struct vhu *v, const struct pollfd *fds, unsigned int n)
{
	/* Kicks first: a message may close their descriptors. */
	for (unsigned int i = n; i-- > 0;) {
		if (!fds[i].revents)
			continue;
		if (fds[i].fd == v->listen_fd)
			accept_vmm(v);
		else if (fds[i].fd == v->backend_fd)
			read_backend(v);
		else if (fds[i].fd != v->fd)
			read_kick(v, fds[i].fd);
		else if (receive(v))
			complete(v);
	}
	if (v->asks_later && rd_now_ns() >= v->ask_ns)
		ask_again(v);
}

bool vhu_served(const struct vhu *v)
{
	return v->served && v->fd < 0;
}

/* --- life --- */

static struct vhu *new (struct device *d)
{
	struct vhu *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->d = d;
	v->listen_fd = v->fd = v->backend_fd = -1;
	v->tlb.miss = ask_translation;
	v->tlb.arg = v;
	d->config_changed = config_changed;
	d->config_arg = v;
	return v;
}

struct vhu *vhu_new(const char *path, struct device *d)
{
	struct vhu *v = new (d);
	int err;

	if (!v)
		return NULL;
	v->listen_fd = usock_listen(path);
	if (v->listen_fd >= 0)
		v->path = strdup(path);
	if (v->path)
		return v;
	err = errno;
	usock_close(&v->listen_fd);
	free(v);
	errno = err;
	return NULL;
}

struct vhu *vhu_new_client(const char *path, struct device *d)
{
	struct vhu *v = new (d);

	if (v) {
		v->client = true;
		v->path = strdup(path);
	}
	return v;
}

int64_t vhu_timeout_ns(const struct vhu *v)
{
	const int64_t now = rd_now_ns();

	if (v->client && v->fd < 0)
		return CONNECT_NS;
	if (!v->asks_later)
		return -1;
	return v->ask_ns > now ? v->ask_ns - now : 0;
}

struct vhu *vhu_new_connected(int fd, struct device *d)
{
	struct vhu *v = new (d);

	if (v)
		v->fd = fd;
	return v;
}

void vhu_free(struct vhu *v)
{
	if (!v)
		return;
	vhu_disconnect(v, "refdev ends");
	usock_close(&v->listen_fd);
	if (v->path && !v->client)
		unlink(v->path);
	free(v->path);
	free(v);
}
