/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vsock device's config space in every layout of the design's table. Pure
 * functions over bytes and a reader, so that they are tested on the host.
 */
#ifndef DRIVERS_VIRTIO_VSOCK_CONFIG_H
#define DRIVERS_VIRTIO_VSOCK_CONFIG_H

#include <stddef.h>
#include <stdint.h>

enum vsock_layout {
	VSOCK_LAYOUT_AUTO = -1,
	VSOCK_LAYOUT_UPSTREAM = 0, /* le64 guest_cid */
	VSOCK_LAYOUT_MULTI = 1,	   /* le32 number_cid, le64 cids[], packed (2021 series, patch 1) */
	VSOCK_LAYOUT_MULTI_HOST = 2, /* le32 number_cid, le32 number_host_cid, le64 cids[] (patch 3) */
	VSOCK_LAYOUT_INDEXED = 3, /* le64 guest_cid, le32 num_guest_cid, num_host_cid, index, le64 cid */
};

/* Experimental and unassigned (design): offered by a device with the `indexed` layout. */
#define VSOCK_F_INDEXED_CID 50
/*
 * Its offsets (packed, as in the author's proposal). The index counts guest CIDs, then host CIDs;
 * the cid reads 0 for an index past them.
 */
#define VSOCK_INDEXED_NUM_GUEST 8
#define VSOCK_INDEXED_NUM_HOST	12
#define VSOCK_INDEXED_INDEX	16
#define VSOCK_INDEXED_CID	20
#define VSOCK_INDEXED_SIZE	28

#define VSOCK_MAX_CIDS 500
#define VSOCK_RAW_MAX  (8 + 8 * VSOCK_MAX_CIDS)

struct vsock_config {
	enum vsock_layout layout;
	uint32_t num_guest, num_host;
	uint64_t guest[VSOCK_MAX_CIDS];
	uint64_t host[VSOCK_MAX_CIDS]; /* additional host CIDs */
	uint8_t raw[VSOCK_RAW_MAX];    /* bytes as read, for the report */
	uint32_t raw_len;
};

/* Config space access; the virtio device's, or a fake. */
struct vsock_config_io {
	int (*read)(void *arg, uint32_t off, void *buf, uint32_t len);
	int (*write)(void *arg, uint32_t off, const void *buf, uint32_t len);
	uint32_t len; /* bytes of config space shown */
	void *arg;
};

/* "auto", "upstream", "multi", "multi-host", "indexed". 0, -EINVAL. */
int vsock_layout_parse(const char *name, enum vsock_layout *out);
const char *vsock_layout_name(enum vsock_layout layout);

/*
 * Reads and judges the config. want AUTO: bytes 4..7 non-zero means multi (upstream has zeros
 * there); INDEXED only with indexed_offered. 0; -EPROTO: contradicts itself (count 0 or past the
 * space, a reserved, duplicate or > 32-bit CID): why says which, with the offset; -EIO: access
 * failed.
 */
int vsock_config_load(const struct vsock_config_io *io, enum vsock_layout want, int indexed_offered,
		      struct vsock_config *out, char *why, size_t why_size);

#endif
