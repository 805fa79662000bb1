/* SPDX-License-Identifier: BSD-2-Clause */
/* Known deviations, and the split into shards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "host/cli/run.h"

static void parsed(void **state)
{
	struct known_list k;
	unsigned int line;

	(void)state;
	assert_int_equal(known_parse("", &k, &line), 0);
	assert_int_equal(k.n, 0);
	assert_int_equal(known_parse("# c\n\n  a.b\t reason  https://x \r\nvsock.* all of it", &k,
				     &line),
			 0);
	assert_int_equal(k.n, 2);
	assert_string_equal(k.v[0].glob, "a.b");
	assert_string_equal(k.v[0].reason, "reason  https://x");
	assert_string_equal(k.v[1].glob, "vsock.*");
	assert_string_equal(k.v[1].reason, "all of it");
	known_free(&k);
	assert_int_equal(known_parse("a.b why\na.c\n", &k, &line), -EBADMSG);
	assert_int_equal(line, 2);
	assert_int_equal(k.n, 0);
	assert_int_equal(known_parse("a.c  \t\r\n", &k, &line), -EBADMSG);
	assert_int_equal(known_read("/no/such/file", &k, &line), -ENOENT);
}

static enum verdict apply(const struct known_list *k, const char *id, enum verdict v,
			  const char *reason)
{
	struct report r;
	enum verdict now;

	report_init(&r);
	report_add(&r, id, v, "seen")->timeout = v == V_FAIL;
	known_apply(k, &r.results[0]);
	now = r.results[0].verdict;
	assert_string_equal(r.results[0].reason, reason);
	assert_int_equal(r.results[0].timeout, now == V_FAIL);
	if (now != v) /* what was seen is not lost */
		assert_true(strv_has(&r.results[0].diag, "seen"));
	report_free(&r);
	return now;
}

static void applied(void **state)
{
	struct known_list k;
	unsigned int line;

	(void)state;
	assert_int_equal(known_parse("a.b one\na.* two\nc.d three", &k, &line), 0);
	assert_int_equal(apply(&k, "a.b", V_FAIL, "one"), V_XFAIL);
	assert_int_equal(apply(&k, "a.x", V_FAIL, "two"), V_XFAIL);
	assert_int_equal(apply(&k, "a.b", V_PASS, "one"), V_XPASS);
	assert_int_equal(apply(&k, "a.b", V_SKIP, "seen"), V_SKIP);
	assert_int_equal(apply(&k, "a.b", V_ERROR, "seen"),
			 V_ERROR); /* a test that did not work is not known */
	assert_int_equal(apply(&k, "c.d.e", V_FAIL, "three"), V_XFAIL); /* all below it */
	assert_int_equal(apply(&k, "c.de", V_FAIL, "seen"), V_FAIL);
	known_free(&k);
}

static void shards(void **state)
{
	char id[64];
	unsigned int n, i;

	(void)state;
	/* An interface between machines: these never change. */
	assert_int_equal(shard_of("vsock.stream.echo", 1), 1);
	assert_int_equal(shard_of("vsock.stream.echo", 4), 2);
	assert_int_equal(shard_of("boot.trap.instructions", 7), 1);
	assert_int_equal(shard_of("virtio.ring.sizes", 3), 2);
	for (n = 1; n <= 16; n++) {
		unsigned int count[17] = { 0 };

		for (i = 0; i < 1000; i++) {
			snprintf(id, sizeof(id), "suite.subject.name_%u", i);
			assert_in_range(shard_of(id, n), 1, n);
			count[shard_of(id, n)]++;
		}
		for (i = 1; i <= n; i++) /* none is empty, none has far more than its share */
			assert_in_range(count[i], 1000 / n / 2, 1000 / n * 2);
	}
}

static void lists(void **state)
{
	struct image_test v[] = {
		{ .id = (char[]){ "a.b.one" } },
		{ .id = (char[]){ "a.b.two" } },
		{ .id = (char[]){ "a.c.one" } },
		{ .id = (char[]){ "ab.c" } },
	};
	const struct image_tests all = { .v = v, .n = ARRAY_SIZE(v) };
	static const struct {
		const char *ids[5], *list;
	} cases[] = {
		{ { "a.b.one" }, "a.b.one" },
		{ { "a.b.one", "a.b.two" }, "a.b" },
		{ { "a.b.one", "a.b.two", "a.c.one" }, "a" },
		{ { "a.b.two", "a.c.one", "ab.c" }, "a.b.two,a.c,ab" },
		{ { "a.b.one", "a.b.two", "a.c.one", "ab.c" }, "a,ab" },
	};
	size_t i, k;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct strv ids = { 0 };
		char *list;

		for (k = 0; cases[i].ids[k]; k++)
			strv_add(&ids, cases[i].ids[k]);
		list = tests_list(&all, &ids);
		assert_string_equal(list, cases[i].list);
		free(list);
		strv_free(&ids);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parsed),
		cmocka_unit_test(applied),
		cmocka_unit_test(shards),
		cmocka_unit_test(lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
