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
	uint64_t page_sizes;  /* each bit is a page size that mappings may have */
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
	bool read, write; /* neither is set where the IOMMU does not say which it was */
	uint64_t address;
	uint64_t known; /* the bits of `address` that the IOMMU reports */
};

struct iommu {
	const struct iommu_ops *ops;
	char name[48];		    /* "virtio-iommu pci 00:02.0" */
	struct iommu_limits limits; /* since start() */
	const char *error;	    /* what was wrong, where start() failed */
};

/*
 * What an IOMMU does once start() has brought it up. Functions that return an int return 0 or -errno: -EINVAL, -ERANGE (the
 * IOMMU has no such address, or the address is not a multiple of the smallest page), -EEXIST (it is mapped already), -ENOENT
 * (there is no such domain, endpoint or mapping), -ENOSPC, -ENOMEM, -EOPNOTSUPP, -ETIMEDOUT, -EPROTO (the IOMMU breaks its
 * own rules), -EIO. Several CPUs may call at the same time, but not while one calls start() or stop().
 */
struct iommu_ops {
	const char *kind; /* "virtio-iommu", "VT-d" */
	/*
	 * Brings the IOMMU up, or up again. Behind it no endpoint is attached, none reaches any memory, and faults of before
	 * are not reported any more.
	 */
	int (*start)(struct iommu *m);
	/* Puts the IOMMU back into the state in which start() found it, and frees the memory that it used. */
	void (*stop)(struct iommu *m);
	/*
	 * How often the IOMMU was started; 0 while it is not up. Each start takes away what was attached and mapped, which a
	 * caller sees by another number.
	 */
	unsigned int (*epoch)(const struct iommu *m);
	/* Tells the driver that the IOMMU stays up for good, so that what it allocates is no leak. */
	void (*lasting)(struct iommu *m);
	/*
	 * Whether the device's DMA goes through this IOMMU, and by which endpoint id. The IOMMU's own DMA does not. It may be
	 * called before start().
	 */
	bool (*endpoint)(struct iommu *m, const struct device *d, uint32_t *id);
	/* Whether a part of the range cannot be mapped for the endpoint: it is for interrupt messages, or the firmware uses it. */
	bool (*reserved)(struct iommu *m, uint32_t endpoint, uint64_t first, uint64_t last);
	/*
	 * Attaches the endpoint to the domain. A domain exists as long as an endpoint is attached to it; an endpoint is
	 * attached to one domain at most.
	 */
	int (*attach)(struct iommu *m, uint32_t domain, uint32_t endpoint);
	/* Attaches the endpoint to a domain whose addresses are physical addresses. */
	int (*identity)(struct iommu *m, uint32_t domain, uint32_t endpoint);
	int (*detach)(struct iommu *m, uint32_t domain, uint32_t endpoint);
	int (*map)(struct iommu *m, uint32_t domain, uint64_t first, uint64_t last, uint64_t phys,
		   unsigned int how);
	int (*unmap)(struct iommu *m, uint32_t domain, uint64_t first, uint64_t last);
	/* Gets the next fault that was reported. 1: *f has it; 0: there is none. */
	int (*fault)(struct iommu *m, struct iommu_fault *f);
};

/* What a driver offers: get() gives the n-th IOMMU of its kind, NULL past the last. */
struct iommu_driver {
	struct iommu *(*get)(unsigned int n);
	struct iommu_driver *next; /* only iommu.c uses it */
};
/* A driver calls this from its INIT() function. get() is called only when all INIT() functions have returned. */
void iommu_driver_add(struct iommu_driver *d);

/* The n-th of the machine, NULL past the last. */
struct iommu *iommu_get(unsigned int n);

#endif
