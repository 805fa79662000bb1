/* SPDX-License-Identifier: BSD-2-Clause */
/* vsock_config.c: bytes of the config space to CIDs, in each layout, and what is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/virtio/vsock_config.h"

struct space {
	uint8_t b[VSOCK_RAW_MAX + 64];
	uint32_t len;
	const uint64_t *by_index; /* indexed: the CID that shows after a write of the index */
	uint32_t indexes;
	int fail_after; /* accesses until one fails; -1: none does */
};

static bool fails(struct space *s)
{
	return s->fail_after >= 0 && s->fail_after-- == 0;
}

static int io_read(void *arg, uint32_t off, void *buf, uint32_t len)
{
	struct space *s = arg;

	if (fails(s) || off > s->len || len > s->len - off)
		return -ERANGE;
	memcpy(buf, s->b + off, len);
	return 0;
}

static int io_write(void *arg, uint32_t off, const void *buf, uint32_t len)
{
	struct space *s = arg;
	uint64_t cid = 0;
	uint32_t i;

	assert_int_equal(off, VSOCK_INDEXED_INDEX);
	assert_int_equal(len, 4);
	if (fails(s))
		return -ERANGE;
	memcpy(&i, buf, 4);
	if (i < s->indexes)
		cid = s->by_index[i];
	memcpy(s->b + VSOCK_INDEXED_CID, &cid, 8);
	return 0;
}

static struct vsock_config cfg;
static char why[128];

static int load(struct space *s, enum vsock_layout want, int indexed_offered)
{
	const struct vsock_config_io io = { io_read, io_write, s->len, s };

	memset(why, '?', sizeof(why) - 1);
	return vsock_config_load(&io, want, indexed_offered, &cfg, why, sizeof(why));
}

/* le32 words to bytes. */
static struct space words(const uint32_t *w, unsigned int n)
{
	struct space s = { .len = 4 * n, .fail_after = -1 };
	unsigned int i, k;

	for (i = 0; i < n; i++)
		for (k = 0; k < 4; k++)
			s.b[4 * i + k] = (uint8_t)(w[i] >> (8 * k));
	return s;
}
#define WORDS(...)                                                                                 \
	words((const uint32_t[]){ __VA_ARGS__ },                                                   \
	      sizeof((const uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))

static void names(void **state)
{
	static const char *const all[] = { "auto", "upstream", "multi", "multi-host", "indexed" };
	enum vsock_layout l;
	unsigned int i;

	(void)state;
	for (i = 0; i < 5; i++) {
		assert_int_equal(vsock_layout_parse(all[i], &l), 0);
		assert_int_equal(l, (int)i - 1);
		assert_string_equal(vsock_layout_name(l), all[i]);
	}
	assert_int_equal(vsock_layout_parse("Multi", &l), -EINVAL);
	assert_int_equal(vsock_layout_parse("", &l), -EINVAL);
	assert_string_equal(vsock_layout_name((enum vsock_layout)9), "?");
}

static void upstream(void **state)
{
	struct space s = WORDS(3, 0);

	(void)state;
	assert_int_equal(load(&s, VSOCK_LAYOUT_AUTO, 0), 0);
	assert_int_equal(cfg.layout, VSOCK_LAYOUT_UPSTREAM);
	assert_int_equal(cfg.num_guest, 1);
	assert_int_equal(cfg.num_host, 0);
	assert_int_equal(cfg.guest[0], 3);
	assert_int_equal(cfg.raw_len, 8);
	assert_int_equal(cfg.raw[0], 3);
	assert_string_equal(why, "");
	/* A space that shows more (MMIO) is no other layout while bytes 4 to 7 are zero. */
	s = WORDS(0xfffffffe, 0, 77, 88);
	assert_int_equal(load(&s, VSOCK_LAYOUT_AUTO, 0), 0);
	assert_int_equal(cfg.layout, VSOCK_LAYOUT_UPSTREAM);
	assert_int_equal(cfg.guest[0], 0xfffffffe);
}

static void multi(void **state)
{
	struct space s = WORDS(3, 5, 0, 7, 0, 6, 0);

	(void)state;
	assert_int_equal(load(&s, VSOCK_LAYOUT_AUTO, 0), 0);
	assert_int_equal(cfg.layout, VSOCK_LAYOUT_MULTI);
	assert_int_equal(cfg.num_guest, 3);
	assert_int_equal(cfg.guest[0], 5);
	assert_int_equal(cfg.guest[1], 7);
	assert_int_equal(cfg.guest[2], 6);
	/* Room for more CIDs than are counted is not read. */
	s = WORDS(1, 5, 0, 1, 0);
	assert_int_equal(load(&s, VSOCK_LAYOUT_MULTI, 0), 0);
	assert_int_equal(cfg.num_guest, 1);
	assert_int_equal(cfg.guest[1], 0);
	/* Forced, although it looks like upstream; and the other way round. */
	s = WORDS(1, 0, 0, 0);
	assert_int_equal(load(&s, VSOCK_LAYOUT_MULTI, 0), -EPROTO);
	s = WORDS(3, 5, 0);
	assert_int_equal(load(&s, VSOCK_LAYOUT_UPSTREAM, 0), -EPROTO);
	assert_non_null(strstr(why, "upper 32 bits"));
	/* Eight bytes cannot hold a list. */
	s = WORDS(1, 5);
	assert_int_equal(load(&s, VSOCK_LAYOUT_AUTO, 0), -EPROTO);
	assert_int_equal(cfg.layout, VSOCK_LAYOUT_UPSTREAM);
}

static void multi_host(void **state)
{
	struct space s = WORDS(2, 1, 5, 0, 7, 0, 100, 0);

	(void)state;
	assert_int_equal(load(&s, VSOCK_LAYOUT_MULTI_HOST, 0), 0);
	assert_int_equal(cfg.num_guest, 2);
	assert_int_equal(cfg.num_host, 1);
	assert_int_equal(cfg.guest[1], 7);
	assert_int_equal(cfg.host[0], 100);
	s = WORDS(2, 0, 5, 0, 7, 0);
	assert_int_equal(load(&s, VSOCK_LAYOUT_MULTI_HOST, 0), 0);
	assert_int_equal(cfg.num_host, 0);
	s = WORDS(1, 1, 5, 0, 100, 0, 77, 0);
	assert_int_equal(load(&s, VSOCK_LAYOUT_MULTI_HOST, 0), 0);
	assert_int_equal(cfg.host[0], 100);
	assert_int_equal(cfg.host[1], 0);
	assert_int_equal(cfg.guest[1], 0);
}

static void indexed(void **state)
{
	static const uint64_t cids[] = { 9, 10, 11, 200 };
	struct space s = WORDS(9, 0, 3, 1, 0, 0, 0);

	(void)state;
	s.by_index = cids;
	s.indexes = 4;
	assert_int_equal(load(&s, VSOCK_LAYOUT_AUTO, 1), 0);
	assert_int_equal(cfg.layout, VSOCK_LAYOUT_INDEXED);
	assert_int_equal(cfg.num_guest, 3);
	assert_int_equal(cfg.num_host, 1);
	assert_int_equal(cfg.guest[2], 11);
	assert_int_equal(cfg.host[0], 200);
	/* Not offered: the same bytes are an old device's. */
	assert_int_equal(load(&s, VSOCK_LAYOUT_AUTO, 0), 0);
	assert_int_equal(cfg.layout, VSOCK_LAYOUT_UPSTREAM);
	s.b[VSOCK_INDEXED_NUM_GUEST] = 0;
	assert_int_equal(load(&s, VSOCK_LAYOUT_INDEXED, 1), -EPROTO);
	assert_non_null(strstr(why, "num_guest_cid at offset 8 is 0"));
	s.b[VSOCK_INDEXED_NUM_GUEST] = 3;
	/* As many as there is room for, of each kind, and one more. */
	for (unsigned int more = 0; more < 3; more++) {
		uint64_t many[2 * VSOCK_MAX_CIDS + 1];
		struct space m = WORDS(1000, 0, VSOCK_MAX_CIDS + (more == 1),
				       VSOCK_MAX_CIDS + (more == 2), 0, 0, 0);

		for (unsigned int i = 0; i <= 2 * VSOCK_MAX_CIDS; i++)
			many[i] = 1000 + i;
		m.by_index = many;
		m.indexes = 2 * VSOCK_MAX_CIDS + 1;
		assert_int_equal(load(&m, VSOCK_LAYOUT_INDEXED, 1), more ? -EPROTO : 0);
		if (!more)
			assert_int_equal(cfg.host[VSOCK_MAX_CIDS - 1],
					 1000 + 2 * VSOCK_MAX_CIDS - 1);
	}
	/* guest_cid and index 0 say different things. */
	s.b[0] = 8;
	assert_int_equal(load(&s, VSOCK_LAYOUT_INDEXED, 1), -EPROTO);
	assert_string_equal(why, "guest_cid is 8, the CID at index 0 is 9");
	s.b[0] = 9;
	/* Past the list the CID reads 0: a count too high is seen. */
	s.b[VSOCK_INDEXED_NUM_HOST] = 2;
	assert_int_equal(load(&s, VSOCK_LAYOUT_INDEXED, 1), -EPROTO);
	assert_non_null(strstr(why, "reserved"));
	s.b[VSOCK_INDEXED_NUM_GUEST] = 0;
	assert_int_equal(load(&s, VSOCK_LAYOUT_INDEXED, 1), -EPROTO);
	s.b[VSOCK_INDEXED_NUM_GUEST] = (VSOCK_MAX_CIDS + 1) & 0xff;
	s.b[VSOCK_INDEXED_NUM_GUEST + 1] = (VSOCK_MAX_CIDS + 1) >> 8;
	assert_int_equal(load(&s, VSOCK_LAYOUT_INDEXED, 1), -EPROTO);
	s.b[VSOCK_INDEXED_NUM_GUEST] = 3;
	s.b[VSOCK_INDEXED_NUM_GUEST + 1] = 0;
	s.b[VSOCK_INDEXED_NUM_HOST] = 1;
	s.len = VSOCK_INDEXED_SIZE - 1;
	assert_int_equal(load(&s, VSOCK_LAYOUT_INDEXED, 1), -EPROTO);
	assert_string_equal(why, "the indexed layout needs 28 bytes, the space has 27");
}

/* As long as a list may be: more than is read at first. */
static void long_list(void **state)
{
	static struct space s = { .len = 4 + 8 * VSOCK_MAX_CIDS, .fail_after = -1 };
	const uint32_t n = VSOCK_MAX_CIDS, more = n + 1;

	(void)state;
	memcpy(s.b, &n, sizeof(n));
	for (uint32_t i = 0; i < n; i++) {
		const uint64_t cid = 1000 + i;

		memcpy(s.b + 4 + 8 * i, &cid, sizeof(cid));
	}
	assert_int_equal(load(&s, VSOCK_LAYOUT_AUTO, 0), 0);
	assert_int_equal(cfg.num_guest, n);
	assert_int_equal(cfg.guest[0], 1000);
	assert_int_equal(cfg.guest[n - 1], 1000 + n - 1);
	assert_int_equal(cfg.raw_len, s.len);
	s.fail_after = 1; /* the second read */
	assert_int_equal(load(&s, VSOCK_LAYOUT_AUTO, 0), -EIO);
	s.fail_after = -1;
	s.len--;
	assert_int_equal(load(&s, VSOCK_LAYOUT_AUTO, 0), -EPROTO);
	s.len += 9;
	memcpy(s.b, &more, sizeof(more));
	assert_int_equal(load(&s, VSOCK_LAYOUT_AUTO, 0), -EPROTO);
}

/* Each with the words that name the mistake. */
static void refused(void **state)
{
	const struct {
		struct space s;
		enum vsock_layout want;
		const char *says;
	} cases[] = {
		{ WORDS(0, 5, 0), VSOCK_LAYOUT_MULTI, "number_cid at offset 0 is 0" },
		{ WORDS(0, 1, 5, 0), VSOCK_LAYOUT_MULTI_HOST, "number_cid at offset 0 is 0" },
		{ WORDS(2, 5, 0), VSOCK_LAYOUT_AUTO, "need 20 bytes, the space has 12" },
		{ WORDS(0xffffffff, 5, 0), VSOCK_LAYOUT_AUTO, "the space has 12" },
		{ WORDS(0x20000001, 5, 0), VSOCK_LAYOUT_AUTO, "the space has 12" },
		{ WORDS(1, 1, 5, 0), VSOCK_LAYOUT_MULTI_HOST, "need 24 bytes, the space has 16" },
		{ WORDS(1, 0xffffffff, 5, 0), VSOCK_LAYOUT_MULTI_HOST, "the space has 16" },
		{ WORDS(0, 0), VSOCK_LAYOUT_AUTO, "guest CID 0 is 0: reserved" },
		{ WORDS(1, 0), VSOCK_LAYOUT_AUTO, "is 1: reserved" },
		{ WORDS(2, 0), VSOCK_LAYOUT_AUTO, "is 2: reserved" },
		{ WORDS(0xffffffff, 0), VSOCK_LAYOUT_AUTO, "is 4294967295: reserved" },
		{ WORDS(0xffffffff, 0xffffffff), VSOCK_LAYOUT_UPSTREAM, "upper 32 bits" },
		{ WORDS(2, 5, 0, 2, 0), VSOCK_LAYOUT_AUTO, "guest CID 1 is 2: reserved" },
		{ WORDS(2, 2, 0, 5, 0), VSOCK_LAYOUT_AUTO, "guest CID 0 is 2: reserved" },
		{ WORDS(3, 5, 0, 6, 0, 6, 0), VSOCK_LAYOUT_AUTO,
		  "CID 6 is listed twice (places 1, 2)" },
		{ WORDS(3, 5, 0, 5, 0, 6, 0), VSOCK_LAYOUT_AUTO,
		  "CID 5 is listed twice (places 0, 1)" },
		{ WORDS(2, 5, 0, 6, 1), VSOCK_LAYOUT_AUTO, "CID 1 is 0x100000006" },
		{ WORDS(2, 5, 0, 5, 0), VSOCK_LAYOUT_AUTO, "CID 5 is listed twice (places 0, 1)" },
		{ WORDS(1, 1, 5, 0, 5, 0), VSOCK_LAYOUT_MULTI_HOST, "listed twice" },
		{ WORDS(1, 1, 5, 0, 2, 0), VSOCK_LAYOUT_MULTI_HOST, "host CID 0 is 2: reserved" },
		{ WORDS(1), VSOCK_LAYOUT_AUTO, "has 4 bytes" },
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct space s = cases[i].s;

		if (load(&s, cases[i].want, 0) != -EPROTO || !strstr(why, cases[i].says))
			fail_msg("case %u: '%s' instead of '%s'", i, why, cases[i].says);
	}
}

static void access_fails(void **state)
{
	static const uint64_t cids[] = { 9, 10 };
	int i;

	(void)state;
	for (i = 0; i < 5; i++) { /* the space, then index and CID of each */
		struct space s = WORDS(9, 0, 2, 0, 0, 0, 0);

		s.by_index = cids;
		s.indexes = 2;
		s.fail_after = i;
		assert_int_equal(load(&s, VSOCK_LAYOUT_INDEXED, 1), -EIO);
		assert_string_not_equal(why, "");
	}
}

/* Nothing is read past the space, whatever the counts say, and of a large one no more than the list needs. */
static void large(void **state)
{
	struct space s = { .len = 256, .fail_after = -1 };
	uint64_t cid;
	unsigned int i;

	(void)state;
	s.b[0] = 31;
	for (i = 0; i < 31; i++) {
		cid = 3 + i;
		memcpy(s.b + 4 + 8 * i, &cid, 8);
	}
	assert_int_equal(load(&s, VSOCK_LAYOUT_AUTO, 0), 0);
	assert_int_equal(cfg.num_guest, 31);
	assert_int_equal(cfg.guest[30], 33);
	s.b[0] = 32;
	assert_int_equal(load(&s, VSOCK_LAYOUT_AUTO, 0), -EPROTO);
	s.len = 0xffffffff; /* MMIO: the window's rest */
	s.b[0] = 31;
	{
		const struct vsock_config_io io = { io_read, io_write, s.len, &s };

		s.len = sizeof(s.b);
		assert_int_equal(
			vsock_config_load(&io, VSOCK_LAYOUT_AUTO, 0, &cfg, why, sizeof(why)), 0);
	}
	assert_int_equal(cfg.raw_len, 256);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),   cmocka_unit_test(upstream),
		cmocka_unit_test(multi),   cmocka_unit_test(multi_host),
		cmocka_unit_test(indexed), cmocka_unit_test(long_list),
		cmocka_unit_test(refused), cmocka_unit_test(access_fails),
		cmocka_unit_test(large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
