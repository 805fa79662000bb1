/* SPDX-License-Identifier: BSD-2-Clause */
/* iommu.h: one request at a time, whichever CPU sends it. */
#include "drivers/virtio/iommu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/virtio/transport.h"
#include "drivers/virtio/virtqueue.h"
#include "lib/errname.h"
#include "lib/mmio.h"
#include "lib/spinlock.h"
#include "lib/time.h"

#define MAX_IOMMUS  2u
#define FAULTS	    64u
#define FAULT_BYTES 64u /* newer devices may report more than struct viommu_fault has */
#define UNTOUCHED   0xa5
#define BYPASS_AT   36u
#define SOON_NS	    (5 * MSEC)
#define ANSWER_NS   (2 * time_sec())
#define OWN_FEATURES                                                                               \
	(VIRTIO_BIT(VIOMMU_F_INPUT_RANGE) | VIRTIO_BIT(VIOMMU_F_DOMAIN_RANGE) |                    \
	 VIRTIO_BIT(VIOMMU_F_MAP_UNMAP) | VIRTIO_BIT(VIOMMU_F_PROBE) | VIRTIO_BIT(VIOMMU_F_MMIO) | \
	 VIRTIO_BIT(VIOMMU_F_BYPASS_CONFIG))

struct layout { /* 5.13.4 */
	le64 page_size_mask, input_start, input_end;
	le32 domain_start, domain_end, probe_size;
	uint8_t bypass, reserved[3];
};
_Static_assert(offsetof(struct layout, bypass) == BYPASS_AT, "virtio 1.4, 5.13.4");
_Static_assert(sizeof(struct viommu_map) == 36 && sizeof(struct viommu_unmap) == 28 &&
		       sizeof(struct viommu_fault) == 24,
	       "virtio 1.4, 5.13.6");

struct viommu {
	struct virtio_device *d;
	bool up;
	unsigned int epoch; /* starts so far */
	struct viommu_config config;
	spinlock_t lock;
	unsigned int room; /* buffers for faults that the device may have */
	uint8_t out[VIOMMU_REQ_MAX], in[VIOMMU_REQ_MAX + sizeof(struct viommu_tail)];
	struct report {
		uint8_t bytes[FAULT_BYTES];
		bool posted; /* the device has it */
	} fault[FAULTS];
};

struct viommu *viommu_get(unsigned int n)
{
	static struct viommu *all[MAX_IOMMUS];
	struct virtio_device *d;

	if (n >= MAX_IOMMUS)
		return NULL;
	d = virtio_find(VIRTIO_ID_IOMMU, n);
	if (d && !all[n]) {
		all[n] = calloc(1, sizeof(*all[n]));
		if (all[n])
			all[n]->d = d;
	}
	return d ? all[n] : NULL;
}

struct virtio_device *viommu_device(struct viommu *v)
{
	return v->d;
}

const struct viommu_config *viommu_config(const struct viommu *v)
{
	return &v->config;
}

static bool offers(const struct viommu *v, unsigned int feature)
{
	return v->d->offered & VIRTIO_BIT(feature);
}

int viommu_config_read(struct viommu *v, struct viommu_config *c)
{
	struct layout l = { 0 };
	const uint32_t len = offers(v, VIOMMU_F_BYPASS_CONFIG) ? sizeof(l) : BYPASS_AT;
	int ret = virtio_config_read(v->d, 0, &l, len);

	if (ret)
		return ret;
	*c = (struct viommu_config){ .page_size_mask = le64_to_cpu(l.page_size_mask),
				     .input_end = UINT64_MAX,
				     .domain_end = UINT32_MAX };
	if (offers(v, VIOMMU_F_INPUT_RANGE)) {
		c->input_start = le64_to_cpu(l.input_start);
		c->input_end = le64_to_cpu(l.input_end);
	}
	if (offers(v, VIOMMU_F_DOMAIN_RANGE)) {
		c->domain_start = le32_to_cpu(l.domain_start);
		c->domain_end = le32_to_cpu(l.domain_end);
	}
	if (offers(v, VIOMMU_F_PROBE))
		c->probe_size = le32_to_cpu(l.probe_size);
	c->bypass = l.bypass;
	return 0;
}

int viommu_bypass(struct viommu *v, bool on)
{
	const uint8_t byte = on;

	if (!virtio_has(v->d, VIOMMU_F_BYPASS_CONFIG))
		return -EOPNOTSUPP;
	return v->d->ops->config_write(v->d, BYPASS_AT, &byte, 1);
}

/* --- life ------------------------------------------------------------------------------------ */

static void fill_faults(struct viommu *v)
{
	struct virtqueue *vq = v->d->vq[1];
	unsigned int i;

	for (i = 0; i < FAULTS && vq_in_flight(vq) < v->room; i++) {
		struct report *r = &v->fault[i];
		const struct vq_seg seg = { r->bytes, FAULT_BYTES };

		if (r->posted)
			continue;
		if (vq_add(vq, NULL, 0, &seg, 1, r))
			break;
		r->posted = true;
	}
	vq_kick(vq);
}

int viommu_start(struct viommu *v)
{
	int ret;

	v->up = false;
	v->lock = (spinlock_t){ 0 };
	ret = virtio_negotiate(v->d, OWN_FEATURES | VIRTIO_RING_FEATURES);
	if (!ret && !virtio_has(v->d, VIOMMU_F_MAP_UNMAP))
		ret = virtio_error(v->d, -ENOTSUP, "iommu: MAP_UNMAP is not offered");
	if (!ret)
		ret = viommu_config_read(v, &v->config);
	if (!ret)
		ret = virtio_queues_setup(v->d, 2, 0);
	if (!ret)
		ret = virtio_driver_ok(v->d);
	if (ret) {
		virtio_reset(v->d);
		return ret;
	}
	(void)vq_interrupts(v->d->vq[0], false);
	(void)vq_interrupts(v->d->vq[1], false);
	v->up = true;
	v->epoch++;
	v->room = FAULTS;
	memset(v->fault, 0, sizeof(v->fault));
	fill_faults(v);
	return 0;
}

unsigned int viommu_epoch(const struct viommu *v)
{
	return v->up ? v->epoch : 0;
}

void viommu_stop(struct viommu *v)
{
	v->up = false;
	virtio_reset(v->d);
}

/* --- requests -------------------------------------------------------------------------------- */

static bool wants_reset(struct viommu *v)
{
	return v->d->ops->get_status(v->d) & VIRTIO_S_NEEDS_RESET;
}

static int send(struct viommu *v, size_t req_len, size_t in_len, uint32_t *used)
{
	struct virtqueue *vq = v->d->vq[0];
	const struct vq_seg out = { v->out, (uint32_t)req_len }, in = { v->in, (uint32_t)in_len };
	void *token = NULL;
	int ret = vq_add(vq, &out, 1, &in, in_len ? 1 : 0, v);

	if (ret)
		return ret;
	vq_kick(vq);
	if (wait_for((ret = vq_get(vq, &token, used)) != 0, SOON_NS))
		return ret < 0 ? ret : 0;
	/* Its status is asked for only now, since that takes an exit each time. */
	(void)wait_for((ret = vq_get(vq, &token, used)) != 0 || wants_reset(v), ANSWER_NS);
	return ret > 0 ? 0 : ret < 0 || wants_reset(v) ? -EPROTO : -ETIMEDOUT;
}

int viommu_request(struct viommu *v, const void *req, size_t req_len, void *in, size_t in_len,
		   uint32_t *used)
{
	int ret;

	if (!v->up)
		return -ENODEV;
	if (req_len > sizeof(v->out) || in_len > sizeof(v->in))
		return -EINVAL;
	/* A test that was ended by force may have left it taken: viommu_start() ends that. */
	if (!wait_for(spin_trylock(&v->lock), 2 * ANSWER_NS))
		return -EBUSY;
	memcpy(v->out, req, req_len);
	memset(v->in, UNTOUCHED, in_len);
	*used = 0;
	ret = send(v, req_len, in_len, used);
	memcpy(in, v->in, in_len);
	/* The device has a buffer that nobody can take back: it is used for no other request. */
	if (ret)
		v->up = false;
	spin_unlock(&v->lock);
	return ret;
}

int viommu_status(struct viommu *v, const void *req, size_t req_len)
{
	struct viommu_tail tail;
	uint32_t used;
	const int ret = viommu_request(v, req, req_len, &tail, sizeof(tail), &used);

	if (ret)
		return ret;
	return used ? tail.status : -EIO;
}

int viommu_attach(struct viommu *v, uint32_t domain, uint32_t endpoint, uint32_t flags)
{
	const struct viommu_attach req = { .head.type = VIOMMU_T_ATTACH,
					   .domain = cpu_to_le32(domain),
					   .endpoint = cpu_to_le32(endpoint),
					   .flags = cpu_to_le32(flags) };

	return viommu_status(v, &req, sizeof(req));
}

int viommu_detach(struct viommu *v, uint32_t domain, uint32_t endpoint)
{
	const struct viommu_detach req = { .head.type = VIOMMU_T_DETACH,
					   .domain = cpu_to_le32(domain),
					   .endpoint = cpu_to_le32(endpoint) };

	return viommu_status(v, &req, sizeof(req));
}

int viommu_map(struct viommu *v, uint32_t domain, uint64_t start, uint64_t end, uint64_t phys,
	       uint32_t flags)
{
	const struct viommu_map req = { .head.type = VIOMMU_T_MAP,
					.domain = cpu_to_le32(domain),
					.virt_start = cpu_to_le64(start),
					.virt_end = cpu_to_le64(end),
					.phys_start = cpu_to_le64(phys),
					.flags = cpu_to_le32(flags) };

	return viommu_status(v, &req, sizeof(req));
}

int viommu_unmap(struct viommu *v, uint32_t domain, uint64_t start, uint64_t end)
{
	const struct viommu_unmap req = { .head.type = VIOMMU_T_UNMAP,
					  .domain = cpu_to_le32(domain),
					  .virt_start = cpu_to_le64(start),
					  .virt_end = cpu_to_le64(end) };

	return viommu_status(v, &req, sizeof(req));
}

int viommu_probe(struct viommu *v, uint32_t endpoint, uint8_t *properties)
{
	const struct viommu_probe req = { .head.type = VIOMMU_T_PROBE,
					  .endpoint = cpu_to_le32(endpoint) };
	const uint32_t size = v->config.probe_size;
	uint8_t *in;
	uint32_t used;
	int ret;

	if (!virtio_has(v->d, VIOMMU_F_PROBE))
		return VIOMMU_S_UNSUPP;
	if (size > VIOMMU_REQ_MAX)
		return -EINVAL;
	in = malloc(size + sizeof(struct viommu_tail));
	if (!in)
		return -ENOMEM;
	ret = viommu_request(v, &req, sizeof(req), in, size + sizeof(struct viommu_tail), &used);
	if (!ret) {
		memcpy(properties, in, size);
		ret = used ? in[size] : -EIO;
	}
	free(in);
	return ret;
}

const struct viommu_resv_mem *viommu_resv_next(const uint8_t *properties, size_t n, size_t *at)
{
	while (*at + sizeof(struct viommu_property) <= n) {
		const struct viommu_property *p = (const void *)(properties + *at);
		const size_t len = sizeof(*p) + le16_to_cpu(p->length);
		const uint16_t type = le16_to_cpu(p->type) & 0xfff; /* what is above is reserved */

		if (type == 0 || *at + len > n)
			return NULL;
		*at += len;
		if (type == VIOMMU_PROBE_T_RESV_MEM && len >= sizeof(struct viommu_resv_mem))
			return (const void *)p;
	}
	return NULL;
}

/* --- faults ------------------------------------------------------------------------------------ */

int viommu_fault_get(struct viommu *v, struct viommu_fault *f, uint32_t *len)
{
	struct report *r;
	void *token;
	uint32_t used = 0;
	int ret;

	if (!v->up)
		return 0;
	spin_lock(&v->lock);
	ret = vq_get(v->d->vq[1], &token, &used);
	if (ret > 0) {
		r = token;
		memcpy(f, r->bytes, sizeof(*f));
		memset(r, 0, sizeof(*r));
		*len = used;
		fill_faults(v);
	}
	spin_unlock(&v->lock);
	return ret;
}

void viommu_fault_room(struct viommu *v, unsigned int n)
{
	spin_lock(&v->lock);
	v->room = n < FAULTS ? n : FAULTS;
	if (v->up)
		fill_faults(v);
	spin_unlock(&v->lock);
}

const char *viommu_status_name(int status)
{
	static const char *const names[] = { "OK",    "IOERR", "UNSUPP", "DEVERR", "INVAL",
					     "RANGE", "NOENT", "FAULT",	 "NOMEM" };

	if (status == -EIO)
		return "no status";
	if (status < 0)
		return err_text(status);
	return status < (int)(sizeof(names) / sizeof(names[0])) ? names[status] :
								  "an unknown status";
}
