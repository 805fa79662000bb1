/* SPDX-License-Identifier: BSD-2-Clause */
/* The CIDs of a device and its config space, in every layout (drivers/virtio/vsock_config.h). */
#ifndef HOST_REF_DEV_CONFIG_H
#define HOST_REF_DEV_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/peer/proto.h"

#define CONFIG_MAX 4096

struct dev_cids {
	enum ctl_layout layout;
	unsigned int num_guest, num_host;
	uint64_t cid[CTL_MAX_CIDS]; /* guest, then additional host CIDs */
};

/* "upstream", "multi", "multi-host", "indexed". 0, -EINVAL. */
int config_layout_parse(const char *name, enum ctl_layout *out);
const char *config_layout_name(enum ctl_layout layout);
/* The layout for this many CIDs where none is asked for. */
enum ctl_layout config_layout_default(unsigned int num_guest, unsigned int num_host);

/* Bytes of config space. */
size_t config_size(const struct dev_cids *c);
/*
 * 0, -EINVAL: why says what is wrong (none, reserved, duplicate, > 32 bits, too many for `space` bytes of config).
 */
int config_check(const struct dev_cids *c, size_t space, char *why, size_t why_size);
/* "3,4,5-9" (any of the separators) appended at cids[*num]; all past `max` is counted, not stored. */
int config_parse_cids(const char *list, const char *separators, uint64_t *cids, unsigned int max,
		      unsigned int *num);
/* Writes the space as the guest shall read it; index: of the indexed layout. Bytes written. */
size_t config_build(const struct dev_cids *c, uint32_t index, uint64_t reads,
		    uint8_t buf[CONFIG_MAX]);

bool config_is_guest(const struct dev_cids *c, uint64_t cid);
bool config_is_host(const struct dev_cids *c, uint64_t cid);

#endif
