/* SPDX-License-Identifier: BSD-2-Clause */
/* host/ref/dev/config.c: every layout against the guest's own reader of it, limits, lists, faults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "drivers/virtio/vsock_config.h"
#include "host/ref/dev/config.h"
#include "host/ref/dev/faults.h"

struct space {
	struct dev_cids c;
	uint32_t index;
};

static int io_read(void *arg, uint32_t off, void *buf, uint32_t len)
{
	struct space *s = arg;
	uint8_t all[CONFIG_MAX];

	config_build(&s->c, s->index, 0, all);
	if (off + len > CONFIG_MAX)
		return -ERANGE;
	memcpy(buf, all + off, len);
	return 0;
}

static int io_write(void *arg, uint32_t off, const void *buf, uint32_t len)
{
	struct space *s = arg;

	if (off != VSOCK_INDEXED_INDEX || len != 4)
		return -ERANGE;
	memcpy(&s->index, buf, 4);
	return 0;
}

static int load(struct space *s, enum vsock_layout want, struct vsock_config *out)
{
	const struct vsock_config_io io = {
		.read = io_read, .write = io_write, .len = (uint32_t)config_size(&s->c), .arg = s
	};
	char why[128];

	return vsock_config_load(&io, want, s->c.layout == CTL_LAYOUT_INDEXED, out, why,
				 sizeof(why));
}

static void driver_reads_each_layout(void **state)
{
	static const struct {
		enum ctl_layout layout;
		unsigned int guest, host;
		size_t size;
	} cases[] = {
		{ CTL_LAYOUT_UPSTREAM, 1, 0, 8 },	{ CTL_LAYOUT_MULTI, 1, 0, 12 },
		{ CTL_LAYOUT_MULTI, 3, 0, 28 },		{ CTL_LAYOUT_MULTI, 31, 0, 252 },
		{ CTL_LAYOUT_MULTI_HOST, 2, 0, 24 },	{ CTL_LAYOUT_MULTI_HOST, 1, 2, 32 },
		{ CTL_LAYOUT_MULTI_HOST, 16, 15, 256 }, { CTL_LAYOUT_INDEXED, 1, 0, 28 },
		{ CTL_LAYOUT_INDEXED, 20, 11, 28 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct space s = { .c = { .layout = cases[i].layout,
					  .num_guest = cases[i].guest,
					  .num_host = cases[i].host } };
		struct vsock_config got;
		char why[160];

		for (unsigned int k = 0; k < cases[i].guest + cases[i].host; k++)
			s.c.cid[k] = 100 + k;
		assert_int_equal(config_check(&s.c, 256, why, sizeof(why)), 0);
		assert_int_equal(config_size(&s.c), cases[i].size);
		assert_int_equal(load(&s, (enum vsock_layout)cases[i].layout, &got), 0);
		assert_int_equal(got.num_guest, cases[i].guest);
		assert_int_equal(got.num_host, cases[i].host);
		for (unsigned int k = 0; k < cases[i].guest; k++)
			assert_int_equal(got.guest[k], 100 + k);
		for (unsigned int k = 0; k < cases[i].host; k++)
			assert_int_equal(got.host[k], 100 + cases[i].guest + k);
	}
}

static void faults_are_seen_by_the_driver(void **state)
{
	static const enum fault_id faults[] = {
		F_CONFIG_COUNT_OFF_BY_ONE, F_CONFIG_COUNT_ZERO, F_CONFIG_RESERVED_CID,
		F_CONFIG_DUPLICATE_CID,	   F_CONFIG_HIGH_BITS,	F_CONFIG_COUNT_PAST_SPACE,
	};
	struct space s = { .c = { .layout = CTL_LAYOUT_MULTI, .num_guest = 3, .cid = { 3, 4, 5 } } };
	struct vsock_config got;

	(void)state;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		assert_int_equal(load(&s, VSOCK_LAYOUT_MULTI, &got), 0);
		fault_enabled[faults[i]] = true;
		assert_int_equal(load(&s, VSOCK_LAYOUT_MULTI, &got), -EPROTO);
		fault_enabled[faults[i]] = false;
	}
}

static void refused(void **state)
{
	static const struct {
		struct dev_cids c;
		const char *why;
	} cases[] = {
		{ { .layout = CTL_LAYOUT_MULTI }, "no guest CID" },
		{ { CTL_LAYOUT_UPSTREAM, 1, 0, { 2 } }, "reserved" },
		{ { CTL_LAYOUT_UPSTREAM, 1, 0, { 0 } }, "reserved" },
		{ { CTL_LAYOUT_UPSTREAM, 1, 0, { 0xffffffff } }, "reserved" },
		{ { CTL_LAYOUT_UPSTREAM, 1, 0, { UINT64_MAX } }, "reserved" },
		{ { CTL_LAYOUT_UPSTREAM, 1, 0, { 0x100000003 } }, "wider" },
		{ { CTL_LAYOUT_MULTI, 3, 0, { 3, 4, 3 } }, "twice" },
		{ { CTL_LAYOUT_MULTI_HOST, 1, 1, { 3, 3 } }, "twice" },
		{ { CTL_LAYOUT_UPSTREAM, 2, 0, { 3, 4 } }, "one guest CID" },
		{ { CTL_LAYOUT_MULTI, 1, 1, { 3, 4 } }, "no host CIDs" },
		{ { .layout = CTL_LAYOUT_MULTI, .num_guest = 32 }, "do not fit the 256 bytes" },
		{ { .layout = CTL_LAYOUT_MULTI_HOST, .num_guest = 16, .num_host = 16 },
		  "do not fit" },
		{ { .layout = CTL_LAYOUT_MULTI, .num_guest = 0xffffffff, .num_host = 2 },
		  "at most" },
	};
	char why[160];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(config_check(&cases[i].c, 256, why, sizeof(why)), -EINVAL);
		if (!strstr(why, cases[i].why))
			fail_msg("case %zu: '%s'", i, why);
	}
}

static void lists(void **state)
{
	static const char *const bad[] = { "",	  "3,",	 ",3", "3,,4", "x",
					   "3;4", "-3",	 "+3", " 3",   "99999999999999999999",
					   "3 4", "5-4", "5-", "5-x",  "1-99999" };
	uint64_t cids[3];
	unsigned int n = 0;

	(void)state;
	assert_int_equal(config_parse_cids("3,0x10,4294967300", ",", cids, 3, &n), 0);
	assert_int_equal(n, 3);
	assert_int_equal(cids[1], 16);
	assert_int_equal(cids[2], 4294967300);
	n = 0;
	assert_int_equal(config_parse_cids("3:4:5:6:7", ",:", cids, 3, &n), 0);
	assert_int_equal(n, 5);
	n = 0;
	assert_int_equal(config_parse_cids("3,10-500,18446744073709551614-18446744073709551615",
					   ",", cids, 3, &n),
			 0);
	assert_int_equal(n, 494);
	assert_int_equal(cids[2], 11);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		n = 0;
		if (config_parse_cids(bad[i], ",", cids, 3, &n) == 0)
			fail_msg("'%s' was taken", bad[i]);
	}
}

/* Every row can be switched on by its id, and nothing else can. */
static void fault_names(void **state)
{
	(void)state;
	assert_int_equal(fault_count, F_COUNT);
	for (unsigned int i = 0; i < F_COUNT; i++) {
		assert_true(*fault_rows[i].id && *fault_rows[i].what);
		assert_int_equal(fault_enable(fault_rows[i].id), 0);
		assert_true(fault_on(i));
		fault_disable_all();
	}
	assert_int_equal(fault_enable("cids.nonsense"), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(driver_reads_each_layout),
		cmocka_unit_test(faults_are_seen_by_the_driver),
		cmocka_unit_test(refused),
		cmocka_unit_test(lists),
		cmocka_unit_test(fault_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
