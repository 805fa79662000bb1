/* SPDX-License-Identifier: BSD-2-Clause */
/* A queue of bytes that grows as needed. */
#ifndef HOST_REF_DEV_FIFO_H
#define HOST_REF_DEV_FIFO_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct fifo {
	uint8_t *buf;
	size_t cap, head, len; /* cap: a power of two, or 0 */
};

static inline void fifo_free(struct fifo *f)
{
	free(f->buf);
	memset(f, 0, sizeof(*f));
}

/* Room for len more bytes; false: no memory. */
static inline int fifo_reserve(struct fifo *f, size_t len)
{
	size_t cap = f->cap ? f->cap : 4096, first;
	uint8_t *buf;

	if (f->len + len <= f->cap)
		return 1;
	while (cap < f->len + len)
		cap *= 2;
	buf = malloc(cap);
	if (!buf)
		return 0;
	first = f->cap - f->head < f->len ? f->cap - f->head : f->len;
	if (first)
		memcpy(buf, f->buf + f->head, first);
	if (f->len > first)
		memcpy(buf + first, f->buf, f->len - first);
	free(f->buf);
	f->buf = buf;
	f->cap = cap;
	f->head = 0;
	return 1;
}

/* The free span behind the content (after fifo_reserve()); *len is cut to it. */
static inline uint8_t *fifo_tail(struct fifo *f, size_t *len)
{
	const size_t at = (f->head + f->len) & (f->cap - 1);

	if (*len > f->cap - at)
		*len = f->cap - at;
	if (*len > f->cap - f->len)
		*len = f->cap - f->len;
	return f->buf + at;
}

/* The content from offset off on; *len is cut to what is contiguous. */
static inline uint8_t *fifo_span(const struct fifo *f, size_t off, size_t *len)
{
	const size_t at = (f->head + off) & (f->cap - 1);

	if (*len > f->len - off)
		*len = f->len - off;
	if (*len > f->cap - at)
		*len = f->cap - at;
	return f->buf + at;
}

static inline int fifo_put(struct fifo *f, const void *data, size_t len)
{
	const uint8_t *p = data;

	if (!fifo_reserve(f, len))
		return 0;
	while (len) {
		size_t part = len;
		uint8_t *to = fifo_tail(f, &part);

		memcpy(to, p, part);
		f->len += part;
		p += part;
		len -= part;
	}
	return 1;
}

static inline void fifo_drop(struct fifo *f, size_t len)
{
	f->head = (f->head + len) & (f->cap - 1);
	f->len -= len;
	if (f->len == 0)
		f->head = 0;
}

/* Takes at most len bytes. */
static inline size_t fifo_get(struct fifo *f, void *data, size_t len)
{
	uint8_t *p = data;
	size_t done = 0;

	while (done < len && f->len) {
		size_t part = len - done;
		const uint8_t *from = fifo_span(f, 0, &part);

		memcpy(p + done, from, part);
		fifo_drop(f, part);
		done += part;
	}
	return done;
}

#endif
