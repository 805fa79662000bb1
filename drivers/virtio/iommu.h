/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-iommu (virtio 1.4, 5.13): domains, mappings and faults of the endpoints that it manages. A request is sent and
 * waited for; its status is the result. What a request asks for is the caller's matter: nothing is checked here, so that a
 * test can ask for what a device must refuse.
 */
#ifndef DRIVERS_VIRTIO_IOMMU_H
#define DRIVERS_VIRTIO_IOMMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "drivers/virtio/virtio.h"

enum viommu_feature { /* 5.13.3: bit numbers */
	VIOMMU_F_INPUT_RANGE = 0,
	VIOMMU_F_DOMAIN_RANGE = 1,
	VIOMMU_F_MAP_UNMAP = 2,
	VIOMMU_F_BYPASS = 3,
	VIOMMU_F_PROBE = 4,
	VIOMMU_F_MMIO = 5,
	VIOMMU_F_BYPASS_CONFIG = 6,
};

enum viommu_type { /* 5.13.6 */
	VIOMMU_T_ATTACH = 1,
	VIOMMU_T_DETACH = 2,
	VIOMMU_T_MAP = 3,
	VIOMMU_T_UNMAP = 4,
	VIOMMU_T_PROBE = 5,
};

enum viommu_status {
	VIOMMU_S_OK = 0,
	VIOMMU_S_IOERR = 1,
	VIOMMU_S_UNSUPP = 2,
	VIOMMU_S_DEVERR = 3,
	VIOMMU_S_INVAL = 4,
	VIOMMU_S_RANGE = 5,
	VIOMMU_S_NOENT = 6,
	VIOMMU_S_FAULT = 7,
	VIOMMU_S_NOMEM = 8,
};
/* "OK", "INVAL", ...; "no status" for -EIO, what errname.h says for other negative values. */
const char *viommu_status_name(int status);

enum {
	VIOMMU_ATTACH_BYPASS = 1u << 0,
	VIOMMU_MAP_READ = 1u << 0,
	VIOMMU_MAP_WRITE = 1u << 1,
	VIOMMU_MAP_MMIO = 1u << 2,
};

struct viommu_head {
	uint8_t type;
	uint8_t reserved[3];
};

struct viommu_tail {
	uint8_t status;
	uint8_t reserved[3];
};

/* The readable part of each request. */
struct viommu_attach {
	struct viommu_head head;
	le32 domain, endpoint, flags;
	uint8_t reserved[4];
};

struct viommu_detach {
	struct viommu_head head;
	le32 domain, endpoint;
	uint8_t reserved[8];
};

struct viommu_map {
	struct viommu_head head;
	le32 domain;
	le64 virt_start, virt_end, phys_start;
	le32 flags;
} __attribute__((packed));

struct viommu_unmap {
	struct viommu_head head;
	le32 domain;
	le64 virt_start, virt_end;
	uint8_t reserved[4];
} __attribute__((packed));

struct viommu_probe {
	struct viommu_head head;
	le32 endpoint;
	uint8_t reserved[64];
};

/* Properties lie behind each other without padding, so that one may begin at any address. */
struct viommu_property {
	le16 type; /* 12 bits, 4 reserved ones above */
	le16 length;
} __attribute__((packed));
#define VIOMMU_PROBE_T_RESV_MEM 1

struct viommu_resv_mem {
	struct viommu_property head;
	uint8_t subtype;
	uint8_t reserved[3];
	le64 start, end;
} __attribute__((packed));
enum {
	VIOMMU_RESV_RESERVED = 0,
	VIOMMU_RESV_MSI = 1,
};

enum { /* 5.13.6.9 */
	VIOMMU_FAULT_UNKNOWN = 0,
	VIOMMU_FAULT_DOMAIN = 1,
	VIOMMU_FAULT_MAPPING = 2,
	VIOMMU_FAULT_READ = 1u << 0,
	VIOMMU_FAULT_WRITE = 1u << 1,
	VIOMMU_FAULT_ADDRESS = 1u << 8,
};

struct viommu_fault {
	uint8_t reason;
	uint8_t reserved[3];
	le32 flags, endpoint, reserved1;
	le64 address;
};

/* The configuration in the CPU's order; what a feature would tell that is not offered has its whole range. */
struct viommu_config {
	uint64_t page_size_mask;
	uint64_t input_start, input_end;
	uint32_t domain_start, domain_end;
	uint32_t probe_size;
	uint8_t bypass;
};

struct viommu;

/* The n-th of this machine, NULL past the last. It is brought up by viommu_start(). */
struct viommu *viommu_get(unsigned int n);
struct virtio_device *viommu_device(struct viommu *v);
/*
 * Resets the device and brings it up: no endpoint is attached, faults before it are forgotten. 0, -ENOTSUP (no
 * MAP_UNMAP, 5.13.5), -ENOMEM, as virtio.h.
 */
int viommu_start(struct viommu *v);
/* How often it was started, 0 while it is not up: what was attached and mapped before another start is gone. */
unsigned int viommu_epoch(const struct viommu *v);
/* Resets it and takes its memory. */
void viommu_stop(struct viommu *v);
/* Read from the device. 0, -EAGAIN (torn each time), -ERANGE. */
int viommu_config_read(struct viommu *v, struct viommu_config *c);
/* As read when it was started. */
const struct viommu_config *viommu_config(const struct viommu *v);
/* Bypass of endpoints that are not attached. 0, -EOPNOTSUPP (BYPASS_CONFIG is not offered). */
int viommu_bypass(struct viommu *v, bool on);

/*
 * Any request: `req_len` readable bytes, then `in_len` writable ones, of which *used are written by what the device
 * says. What it did not write is 0xa5. 0, -ETIMEDOUT, -EPROTO (it breaks the ring, or wants a reset), -EINVAL (longer than
 * VIOMMU_REQ_MAX), -EBUSY (another CPU does not come to an end), -ENODEV (not up, as after an error before).
 */
#define VIOMMU_REQ_MAX 4096u
int viommu_request(struct viommu *v, const void *req, size_t req_len, void *in, size_t in_len,
		   uint32_t *used);
/* The same of a request that ends in a tail: its status, or -EIO where nothing was written. */
int viommu_status(struct viommu *v, const void *req, size_t req_len);

/* Requests as they should be. The status, or -errno. Ends of ranges belong to them. */
int viommu_attach(struct viommu *v, uint32_t domain, uint32_t endpoint, uint32_t flags);
int viommu_detach(struct viommu *v, uint32_t domain, uint32_t endpoint);
int viommu_map(struct viommu *v, uint32_t domain, uint64_t start, uint64_t end, uint64_t phys,
	       uint32_t flags);
int viommu_unmap(struct viommu *v, uint32_t domain, uint64_t start, uint64_t end);
/* Fills in probe_size bytes of properties, VIOMMU_REQ_MAX at most. */
int viommu_probe(struct viommu *v, uint32_t endpoint, uint8_t *properties);
/*
 * The RESV_MEM property behind *at (0 at first) of n bytes, NULL past the last; *at moves on. Properties of other types, or
 * that do not fit, are skipped.
 */
const struct viommu_resv_mem *viommu_resv_next(const uint8_t *properties, size_t n, size_t *at);

/* The next fault that the device reported and the bytes that it wrote of it: 1, 0 (none), -EPROTO. */
int viommu_fault_get(struct viommu *v, struct viommu_fault *f, uint32_t *len);
/* Buffers for faults are given to the device, or not, from now on: it has `n` of them at most. */
void viommu_fault_room(struct viommu *v, unsigned int n);

#endif
