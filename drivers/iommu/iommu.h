/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every IOMMU does, whatever its programming interface: devices are attached to domains, domains map addresses to
 * memory, and what is stopped is reported. A test of such a promise goes through here, and so it runs on each kind.
 */
#ifndef DRIVERS_IOMMU_IOMMU_H
#define DRIVERS_IOMMU_IOMMU_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/device.h"

enum {
	IOMMU_READ = 1u << 0,
	IOMMU_WRITE = 1u << 1,
};

/* Both ends of a range belong to it. */
struct iommu_limits {
	uint64_t page_sizes;  /* the bits are the sizes of mappings that there are */
	uint64_t first, last; /* addresses that can be mapped */
	uint32_t domain_first, domain_last;
};

enum iommu_fault_reason {
	IOMMU_FAULT_UNKNOWN, /* it does not say, as it may */
	IOMMU_FAULT_OTHER,
	IOMMU_FAULT_DOMAIN,  /* the endpoint has none, or none that makes sense */
	IOMMU_FAULT_MAPPING, /* there is none, or not for this access */
};

struct iommu_fault {
	uint32_t endpoint;
	enum iommu_fault_reason reason;
	bool read, write; /* neither: it does not say */
	uint64_t address;
	uint64_t known; /* the address's bits that it says */
};

struct iommu {
	const struct iommu_ops *ops;
	char name[48];		    /* "virtio-iommu pci 00:02.0" */
	struct iommu_limits limits; /* since start() */
	const char *error;	    /* what was wrong, where start() failed */
};

/*
 * What an IOMMU that is up does. 0 or -errno: -EINVAL, -ERANGE (an address that it does not have, or off the smallest page),
 * -EEXIST (mapped already), -ENOENT (no such domain, endpoint or mapping), -ENOSPC, -ENOMEM, -EOPNOTSUPP, -ETIMEDOUT, -EPROTO
 * (it breaks its own rules), -EIO. CPUs may call at the same time, but for start() and stop().
 */
struct iommu_ops {
	const char *kind; /* "virtio-iommu", "VT-d" */
	/* Brings it up, also where it is up: no endpoint is attached, and none reaches anything; older faults are forgotten. */
	int (*start)(struct iommu *m);
	/* As it was found; its memory is given back. */
	void (*stop)(struct iommu *m);
	/* How often it was started, 0 while it is not up: what was attached and mapped before another start is gone. */
	unsigned int (*epoch)(const struct iommu *m);
	/* From now on it stays up for good: what it allocates is no leak. */
	void (*lasting)(struct iommu *m);
	/* Whether the device's DMA goes through it, and the device's name there; its own does not. It need not be up. */
	bool (*endpoint)(struct iommu *m, const struct device *d, uint32_t *id);
	/* Whether a part of this range cannot be mapped for the endpoint: messages go there, or firmware has use for it. */
	bool (*reserved)(struct iommu *m, uint32_t endpoint, uint64_t first, uint64_t last);
	/* A domain is there from the first endpoint on that is attached to it up to the last; an endpoint is in one at most. */
	int (*attach)(struct iommu *m, uint32_t domain, uint32_t endpoint);
	/* The same to a domain whose addresses are physical ones. */
	int (*identity)(struct iommu *m, uint32_t domain, uint32_t endpoint);
	int (*detach)(struct iommu *m, uint32_t domain, uint32_t endpoint);
	int (*map)(struct iommu *m, uint32_t domain, uint64_t first, uint64_t last, uint64_t phys,
		   unsigned int how);
	int (*unmap)(struct iommu *m, uint32_t domain, uint64_t first, uint64_t last);
	/* The next that was reported: 1, 0 (none). */
	int (*fault)(struct iommu *m, struct iommu_fault *f);
};

/* A driver's: the n-th IOMMU of its kind, NULL past the last. */
struct iommu_driver {
	struct iommu *(*get)(unsigned int n);
	struct iommu_driver *next; /* of iommu.c */
};
/* At INIT(); get() is not called before all of INIT() is over. */
void iommu_driver_add(struct iommu_driver *d);

/* The n-th of the machine, NULL past the last. */
struct iommu *iommu_get(unsigned int n);

#endif
