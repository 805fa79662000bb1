/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/ref/dev/config.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/virtio/vsock_config.h"
#include "host/ref/dev/faults.h"

static const char *const layout_names[] = {
	[CTL_LAYOUT_UPSTREAM] = "upstream",
	[CTL_LAYOUT_MULTI] = "multi",
	[CTL_LAYOUT_MULTI_HOST] = "multi-host",
	[CTL_LAYOUT_INDEXED] = "indexed",
};

int config_layout_parse(const char *name, enum ctl_layout *out)
{
	for (unsigned int i = 0; i < sizeof(layout_names) / sizeof(layout_names[0]); i++) {
		if (strcmp(name, layout_names[i]) == 0) {
			*out = i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *config_layout_name(enum ctl_layout layout)
{
	return layout_names[layout];
}

enum ctl_layout config_layout_default(unsigned int num_guest, unsigned int num_host)
{
	if (num_host)
		return CTL_LAYOUT_MULTI_HOST;
	return num_guest == 1 ? CTL_LAYOUT_UPSTREAM : CTL_LAYOUT_MULTI;
}

size_t config_size(const struct dev_cids *c)
{
	switch (c->layout) {
	case CTL_LAYOUT_MULTI:
		return 4 + 8 * (size_t)c->num_guest;
	case CTL_LAYOUT_MULTI_HOST:
		return 8 + 8 * (size_t)(c->num_guest + c->num_host);
	case CTL_LAYOUT_INDEXED:
		return VSOCK_INDEXED_SIZE;
	default:
		return 8;
	}
}

int config_check(const struct dev_cids *c, size_t space, char *why, size_t why_size)
{
	const unsigned int n = c->num_guest + c->num_host;

	if (c->num_guest == 0) {
		snprintf(why, why_size, "no guest CID");
		return -EINVAL;
	}
	if (c->num_guest > CTL_MAX_CIDS || c->num_host > CTL_MAX_CIDS || n > CTL_MAX_CIDS) {
		snprintf(why, why_size, "%u CIDs: at most %d are possible", n, CTL_MAX_CIDS);
		return -EINVAL;
	}
	if (config_size(c) > space) {
		snprintf(why, why_size, "%u CIDs do not fit the %zu bytes of config space", n,
			 space);
		return -EINVAL;
	}
	if (c->layout == CTL_LAYOUT_UPSTREAM && n != 1) {
		snprintf(why, why_size, "the upstream layout shows one guest CID and no host CID");
		return -EINVAL;
	}
	if (c->layout == CTL_LAYOUT_MULTI && c->num_host) {
		snprintf(why, why_size,
			 "the multi layout shows no host CIDs: use multi-host or indexed");
		return -EINVAL;
	}
	for (unsigned int i = 0; i < n; i++) {
		const uint64_t cid = c->cid[i];

		if (cid <= 2 || cid >= UINT32_MAX) {
			snprintf(why, why_size, "CID %" PRIu64 " is %s", cid,
				 cid > UINT32_MAX && cid != UINT64_MAX ? "wider than 32 bits" :
									 "reserved");
			return -EINVAL;
		}
		for (unsigned int j = 0; j < i; j++) {
			if (c->cid[j] == cid) {
				snprintf(why, why_size, "CID %" PRIu64 " is listed twice", cid);
				return -EINVAL;
			}
		}
	}
	return 0;
}

int config_parse_cids(const char *list, const char *separators, uint64_t *cids, unsigned int max,
		      unsigned int *num)
{
	for (;;) {
		unsigned long long v, last;
		char *end;

		if (*list < '0' || *list > '9')
			return -EINVAL;
		errno = 0;
		v = strtoull(list, &end, 0);
		last = v;
		if (*end == '-') {
			if (end[1] < '0' || end[1] > '9')
				return -EINVAL;
			last = strtoull(end + 1, &end, 0);
		}
		if (errno)
			return -errno;
		if (last < v || last - v > UINT16_MAX)
			return -EINVAL;
		for (unsigned long long i = 0; i <= last - v; i++, ++*num) {
			if (*num < max)
				cids[*num] = v + i;
		}
		if (*end == '\0')
			return 0;
		if (!strchr(separators, *end))
			return -EINVAL;
		list = end + 1;
	}
}

static void put32(uint8_t *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static void put64(uint8_t *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

/* The i-th CID as the guest is told. */
static uint64_t shown(const struct dev_cids *c, unsigned int i, uint64_t reads)
{
	const bool last = i + 1 == c->num_guest;

	if (i == 30 && fault(F_OUTSIDE_VS_CID_31ST))
		return 0;
	if (last && fault(F_CONFIG_RESERVED_CID))
		return 2;
	if (last && fault(F_CONFIG_OTHER_CID))
		return c->cid[i] + 1000;
	if (last && fault(F_CONFIG_DUPLICATE_CID))
		return c->cid[0];
	if (last && fault(F_CONFIG_HIGH_BITS))
		return c->cid[i] | 1ull << 32;
	if (last && reads / 3 % 2 && fault(F_CONFIG_TORN))
		return c->cid[i] + 0x100;
	return c->cid[i];
}

static uint32_t shown_count(const struct dev_cids *c)
{
	if (fault(F_CONFIG_COUNT_OFF_BY_ONE))
		return c->num_guest + 1;
	if (fault(F_CONFIG_COUNT_ZERO))
		return 0;
	if (fault(F_CONFIG_COUNT_PAST_SPACE))
		return 600;
	return c->num_guest;
}

size_t config_build(const struct dev_cids *c, uint32_t index, uint64_t reads,
		    uint8_t buf[CONFIG_MAX])
{
	const unsigned int n = c->num_guest + c->num_host;
	size_t off = 4;

	memset(buf, 0, CONFIG_MAX);
	switch (c->layout) {
	case CTL_LAYOUT_MULTI_HOST:
		put32(buf + 4, c->num_host && fault(F_OUTSIDE_VS_HOST_COUNT) ? 0 : c->num_host);
		off = 8;
		/* fall through */
	case CTL_LAYOUT_MULTI:
		put32(buf, shown_count(c));
		for (unsigned int i = 0; i < n; i++, off += 8) /* config_check(): they fit */
			put64(buf + off, shown(c, i, reads));
		break;
	case CTL_LAYOUT_INDEXED:
		put64(buf, shown(c, 0, reads));
		put32(buf + VSOCK_INDEXED_NUM_GUEST, shown_count(c));
		put32(buf + VSOCK_INDEXED_NUM_HOST, c->num_host);
		put32(buf + VSOCK_INDEXED_INDEX, index);
		if (index >= c->num_guest && index < n && fault(F_OUTSIDE_VS_INDEX_HOST))
			index -= c->num_guest;
		if (index < n)
			put64(buf + VSOCK_INDEXED_CID,
			      shown(c, index && fault(F_CONFIG_INDEX_STUCK) ? 0 : index, reads));
		break;
	default:
		put64(buf, shown(c, 0, reads));
		break;
	}
	return config_size(c);
}

bool config_is_guest(const struct dev_cids *c, uint64_t cid)
{
	if (cid == 0 && fault(F_CIDS_SOURCE_ZERO))
		return true;
	for (unsigned int i = 0; i < c->num_guest && !(i >= 4 && fault(F_OUTSIDE_VS_CID_FIFTH));
	     i++) {
		if (c->cid[i] == cid)
			return true;
	}
	return false;
}

bool config_is_host(const struct dev_cids *c, uint64_t cid)
{
	if (cid == ASSAY_CID_HOST)
		return true;
	if (fault_on(F_CIDS_OWN_DESTINATION) && config_is_guest(c, cid) &&
	    fault(F_CIDS_OWN_DESTINATION))
		return true;
	for (unsigned int i = 0; i < c->num_host; i++) {
		if (c->cid[c->num_guest + i] == cid)
			return true;
	}
	return false;
}
