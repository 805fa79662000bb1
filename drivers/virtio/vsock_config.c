/* SPDX-License-Identifier: BSD-2-Clause */
#include "drivers/virtio/vsock_config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "lib/endian.h"

static const struct {
	const char *name;
	enum vsock_layout layout;
} names[] = {
	{ "auto", VSOCK_LAYOUT_AUTO },	     { "upstream", VSOCK_LAYOUT_UPSTREAM },
	{ "multi", VSOCK_LAYOUT_MULTI },     { "multi-host", VSOCK_LAYOUT_MULTI_HOST },
	{ "indexed", VSOCK_LAYOUT_INDEXED },
};

int vsock_layout_parse(const char *name, enum vsock_layout *out)
{
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(name, names[i].name) != 0)
			continue;
		*out = names[i].layout;
		return 0;
	}
	return -EINVAL;
}

const char *vsock_layout_name(enum vsock_layout layout)
{
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].layout == layout)
			return names[i].name;
	return "?";
}

struct loader {
	const struct vsock_config_io *io;
	struct vsock_config *cfg;
	char *why;
	size_t why_size;
};

static int __attribute__((format(printf, 3, 4)))
refuse(const struct loader *l, int ret, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(l->why, l->why_size, fmt, ap);
	va_end(ap);
	return ret;
}

static uint32_t raw32(const struct vsock_config *c, uint32_t off)
{
	le32 v;

	memcpy(&v, c->raw + off, sizeof(v));
	return le32_to_cpu(v);
}

static uint64_t raw64(const struct vsock_config *c, uint32_t off)
{
	return raw32(c, off) | (uint64_t)raw32(c, off + 4) << 32;
}

#define FIRST_READ 256u

/* The device's whole space up to `len`, and what raw[] holds, from where it was read already. */
static int read_raw(const struct loader *l, uint64_t len)
{
	struct vsock_config *c = l->cfg;
	const uint32_t from = c->raw_len;
	uint32_t to = l->io->len < sizeof(c->raw) ? l->io->len : (uint32_t)sizeof(c->raw);

	if (to > len)
		to = (uint32_t)len;
	if (to < 8)
		return refuse(l, -EPROTO, "config space has %u bytes, 8 are the least",
			      (unsigned int)to);
	if (to > from && l->io->read(l->io->arg, from, c->raw + from, to - from))
		return refuse(l, -EIO, "config space cannot be read");
	c->raw_len = to > from ? to : from;
	return 0;
}

/* Design: bytes 4 to 7 are the low half of cids[0] in `multi` and zero in `upstream`. */
static enum vsock_layout detect(const struct vsock_config *c, bool indexed_offered)
{
	if (indexed_offered)
		return VSOCK_LAYOUT_INDEXED;
	return c->raw_len >= 12 && raw32(c, 4) != 0 ? VSOCK_LAYOUT_MULTI : VSOCK_LAYOUT_UPSTREAM;
}

static int load_list(const struct loader *l, uint32_t count, uint32_t hosts, uint32_t off)
{
	struct vsock_config *c = l->cfg;
	const uint64_t need = off + 8 * ((uint64_t)count + hosts);
	uint32_t i;

	if (count == 0)
		return refuse(l, -EPROTO, "number_cid at offset 0 is 0");
	/* Long lists only: MMIO shows more than the device has. */
	if (need > c->raw_len && read_raw(l, need))
		return -EIO;
	if (count > VSOCK_MAX_CIDS || hosts > VSOCK_MAX_CIDS || need > c->raw_len)
		return refuse(l, -EPROTO,
			      "%u guest and %u host CIDs need %llu bytes, the space has %u",
			      (unsigned int)count, (unsigned int)hosts, (unsigned long long)need,
			      (unsigned int)c->raw_len);
	for (i = 0; i < count; i++)
		c->guest[i] = raw64(c, off + 8 * i);
	for (i = 0; i < hosts; i++)
		c->host[i] = raw64(c, off + 8 * (count + i));
	c->num_guest = count;
	c->num_host = hosts;
	return 0;
}

enum { /* indexed layout */
	IDX_NUM_GUEST = 8,
	IDX_NUM_HOST = 12,
	IDX_INDEX = 16,
	IDX_CID = 20,
	IDX_END = 28,
};

static int load_indexed(const struct loader *l)
{
	struct vsock_config *c = l->cfg;
	uint32_t i, n, guests, hosts;

	if (c->raw_len < IDX_END)
		return refuse(l, -EPROTO, "the indexed layout needs %d bytes, the space has %u",
			      IDX_END, (unsigned int)c->raw_len);
	guests = raw32(c, IDX_NUM_GUEST);
	hosts = raw32(c, IDX_NUM_HOST);
	if (guests == 0)
		return refuse(l, -EPROTO, "num_guest_cid at offset %d is 0", IDX_NUM_GUEST);
	if (guests > VSOCK_MAX_CIDS || hosts > VSOCK_MAX_CIDS)
		return refuse(l, -EPROTO, "%u guest and %u host CIDs, more than %d",
			      (unsigned int)guests, (unsigned int)hosts, VSOCK_MAX_CIDS);
	for (i = 0; i < guests + hosts; i++) {
		const le32 index = cpu_to_le32(i);
		le64 cid;

		if (l->io->write(l->io->arg, IDX_INDEX, &index, sizeof(index)) ||
		    l->io->read(l->io->arg, IDX_CID, &cid, sizeof(cid)))
			return refuse(l, -EIO, "index %u cannot be read", (unsigned int)i);
		n = i < guests ? i : i - guests;
		if (i < guests)
			c->guest[n] = le64_to_cpu(cid);
		else
			c->host[n] = le64_to_cpu(cid);
	}
	c->num_guest = guests;
	c->num_host = hosts;
	if (c->guest[0] != raw64(c, 0))
		return refuse(l, -EPROTO, "guest_cid is %llu, the CID at index 0 is %llu",
			      (unsigned long long)raw64(c, 0), (unsigned long long)c->guest[0]);
	return 0;
}

/* 5.10.4: 0, 1, 2, 0xffffffff, 0xffffffffffffffff are reserved; the upper 32 bits are zero. */
static int judge_cid(const struct loader *l, const char *what, uint32_t i, uint64_t cid)
{
	if (cid >> 32)
		return refuse(l, -EPROTO, "%s CID %u is 0x%llx: its upper 32 bits are not zero",
			      what, (unsigned int)i, (unsigned long long)cid);
	if (cid <= 2 || cid == UINT32_MAX)
		return refuse(l, -EPROTO, "%s CID %u is %llu: reserved", what, (unsigned int)i,
			      (unsigned long long)cid);
	return 0;
}

static int judge(const struct loader *l)
{
	const struct vsock_config *c = l->cfg;
	const uint32_t n = c->num_guest + c->num_host;
	uint32_t i, k;
	int ret = 0;

	for (i = 0; i < n && !ret; i++) {
		const bool host = i >= c->num_guest;
		const uint64_t cid = host ? c->host[i - c->num_guest] : c->guest[i];

		ret = judge_cid(l, host ? "host" : "guest", host ? i - c->num_guest : i, cid);
		for (k = 0; k < i && !ret; k++)
			if (cid == (k < c->num_guest ? c->guest[k] : c->host[k - c->num_guest]))
				ret = refuse(l, -EPROTO, "CID %llu is listed twice (places %u, %u)",
					     (unsigned long long)cid, (unsigned int)k,
					     (unsigned int)i);
	}
	return ret;
}

int vsock_config_load(const struct vsock_config_io *io, enum vsock_layout want, int indexed_offered,
		      struct vsock_config *out, char *why, size_t why_size)
{
	const struct loader l = { io, out, why, why_size };
	int ret;

	memset(out, 0, sizeof(*out));
	if (why_size)
		why[0] = '\0';
	ret = read_raw(&l, FIRST_READ);
	if (ret)
		return ret;
	out->layout = want == VSOCK_LAYOUT_AUTO ? detect(out, indexed_offered) : want;
	switch (out->layout) {
	case VSOCK_LAYOUT_MULTI:
		ret = load_list(&l, raw32(out, 0), 0, 4);
		break;
	case VSOCK_LAYOUT_MULTI_HOST:
		ret = load_list(&l, raw32(out, 0), raw32(out, 4), 8);
		break;
	case VSOCK_LAYOUT_INDEXED:
		ret = load_indexed(&l);
		break;
	default:
		out->num_guest = 1;
		out->guest[0] = raw64(out, 0);
		break;
	}
	return ret ? ret : judge(&l);
}
