/* SPDX-License-Identifier: BSD-2-Clause */
#include "drivers/virtio/iommu_ops.h"

#include <errno.h>
#include <stdio.h>

#include "drivers/iommu/iommu.h"
#include "drivers/virtio/iommu.h"
#include "drivers/virtio/viot.h"
#include "lib/init.h"

#define MAX_IOMMUS 2u

struct face {
	struct iommu m;
	struct viommu *v;
	bool up, bypass; /* as it was found when it came up */
};
static struct face faces[MAX_IOMMUS];

static struct viommu *device_of(struct iommu *m)
{
	return ((struct face *)m)->v;
}

/* A status as an error; drivers' own are negative already. */
static int error_of(int status)
{
	static const int errors[] = { 0,       -EIO,	-EOPNOTSUPP, -EIO,   -EINVAL,
				      -ERANGE, -ENOENT, -EFAULT,     -ENOMEM };

	if (status < 0)
		return status;
	return status < (int)(sizeof(errors) / sizeof(errors[0])) ? errors[status] : -EPROTO;
}

static int start(struct iommu *m)
{
	struct face *f = (struct face *)m;
	const struct viommu_config *c = viommu_config(f->v);
	int ret = viommu_start(f->v);

	if (ret) {
		m->error = viommu_device(f->v)->error;
		return ret;
	}
	if (!f->up)
		f->bypass = c->bypass & 1;
	f->up = true;
	m->limits = (struct iommu_limits){ c->page_size_mask, c->input_start, c->input_end,
					   c->domain_start, c->domain_end };
	ret = viommu_bypass(f->v, false);
	if (!ret || ret == -EOPNOTSUPP)
		return 0;
	m->error = "its bypass field cannot be written";
	viommu_stop(f->v);
	return ret;
}

static void stop(struct iommu *m)
{
	struct face *f = (struct face *)m;

	if (f->up)
		(void)viommu_bypass(f->v, f->bypass);
	f->up = false;
	viommu_stop(f->v);
}

static unsigned int epoch(const struct iommu *m)
{
	return viommu_epoch(((const struct face *)m)->v);
}

static void lasting(struct iommu *m)
{
	viommu_device(device_of(m))->dev.lasting = true;
}

static bool endpoint(struct iommu *m, const struct device *d, uint32_t *id)
{
	struct viommu *by;

	return viot_endpoint(d, &by, id) && by == device_of(m);
}

static bool reserved(struct iommu *m, uint32_t id, uint64_t first, uint64_t last)
{
	struct viommu *v = device_of(m);
	const size_t n = viommu_config(v)->probe_size;
	const struct viommu_resv_mem *r;
	uint8_t properties[VIOMMU_REQ_MAX]; /* each call's own: CPUs may call at the same time */
	size_t at = 0;

	if (viommu_probe(v, id, properties) != VIOMMU_S_OK)
		return false;
	while ((r = viommu_resv_next(properties, n, &at)))
		if (le64_to_cpu(r->start) <= last && le64_to_cpu(r->end) >= first)
			return true;
	return false;
}

static int attach(struct iommu *m, uint32_t domain, uint32_t id)
{
	return error_of(viommu_attach(device_of(m), domain, id, 0));
}

static int identity(struct iommu *m, uint32_t domain, uint32_t id)
{
	struct viommu *v = device_of(m);

	if (!virtio_has(viommu_device(v), VIOMMU_F_BYPASS_CONFIG))
		return -EOPNOTSUPP;
	return error_of(viommu_attach(v, domain, id, VIOMMU_ATTACH_BYPASS));
}

static int detach(struct iommu *m, uint32_t domain, uint32_t id)
{
	return error_of(viommu_detach(device_of(m), domain, id));
}

static int map(struct iommu *m, uint32_t domain, uint64_t first, uint64_t last, uint64_t phys,
	       unsigned int how)
{
	const uint32_t flags = (how & IOMMU_READ ? VIOMMU_MAP_READ : 0u) |
			       (how & IOMMU_WRITE ? VIOMMU_MAP_WRITE : 0u);

	return error_of(viommu_map(device_of(m), domain, first, last, phys, flags));
}

static int unmap(struct iommu *m, uint32_t domain, uint64_t first, uint64_t last)
{
	return error_of(viommu_unmap(device_of(m), domain, first, last));
}

static enum iommu_fault_reason kind_of(uint8_t reason)
{
	switch (reason) {
	case VIOMMU_FAULT_UNKNOWN:
		return IOMMU_FAULT_UNKNOWN;
	case VIOMMU_FAULT_DOMAIN:
		return IOMMU_FAULT_DOMAIN;
	case VIOMMU_FAULT_MAPPING:
		return IOMMU_FAULT_MAPPING;
	default:
		return IOMMU_FAULT_OTHER;
	}
}

static int fault(struct iommu *m, struct iommu_fault *f)
{
	struct viommu_fault v;
	uint32_t len = 0, flags;
	const int ret = viommu_fault_get(device_of(m), &v, &len);

	if (ret <= 0)
		return ret;
	if (len < sizeof(v) - sizeof(v.address))
		return -EPROTO;
	flags = le32_to_cpu(v.flags);
	*f = (struct iommu_fault){ .endpoint = le32_to_cpu(v.endpoint),
				   .reason = kind_of(v.reason),
				   .read = flags & VIOMMU_FAULT_READ,
				   .write = flags & VIOMMU_FAULT_WRITE };
	if (flags & VIOMMU_FAULT_ADDRESS && len >= sizeof(v)) {
		f->address = le64_to_cpu(v.address);
		f->known = UINT64_MAX;
	}
	return 1;
}

static const struct iommu_ops ops = {
	.kind = "virtio-iommu",
	.start = start,
	.stop = stop,
	.epoch = epoch,
	.lasting = lasting,
	.endpoint = endpoint,
	.reserved = reserved,
	.attach = attach,
	.identity = identity,
	.detach = detach,
	.map = map,
	.unmap = unmap,
	.fault = fault,
};

static struct iommu *get(unsigned int n)
{
	struct viommu *v = n < MAX_IOMMUS ? viommu_get(n) : NULL;
	struct face *f = &faces[n];

	if (!v)
		return NULL;
	f->v = v;
	f->m.ops = &ops;
	snprintf(f->m.name, sizeof(f->m.name), "virtio-iommu %s", viommu_device(v)->dev.name);
	return &f->m;
}

struct iommu *viommu_iommu(struct viommu *v)
{
	unsigned int i;

	for (i = 0; i < MAX_IOMMUS; i++)
		if (viommu_get(i) == v)
			return get(i);
	return NULL;
}

static void init(void)
{
	static struct iommu_driver driver = { .get = get };

	iommu_driver_add(&driver);
}
INIT(viommu_ops, init);
