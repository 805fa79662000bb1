/* SPDX-License-Identifier: BSD-2-Clause */
/* Strings that leave the program, files that appear whole, folders that go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/common/util.h"

static void check(void (*add)(struct sbuf *, const char *), const char *in, const char *want)
{
	struct sbuf b = { 0 };

	add(&b, in);
	assert_string_equal(b.s ? b.s : "", want);
	sbuf_free(&b);
}

static void strings(void **state)
{
	(void)state;
	check(sbuf_add_quoted, "", "''");
	check(sbuf_add_quoted, "a/b-c=1,2", "a/b-c=1,2");
	check(sbuf_add_quoted, "it's $x `y`", "'it'\\''s $x `y`'");
	check(sbuf_add_clean, "a\033[31m\tb\377", "a?[31m b?");
	check(sbuf_add_json, "\"\\\n\001\377x", "\\\"\\\\\\u000a\\u0001\\u00ffx");
	check(sbuf_add_xml, "<a b=\"c\">&\1\n\377", "&lt;a b=&quot;c&quot;&gt;&amp;?\n?");
}

static void growing(void **state)
{
	struct sbuf b = { 0 };
	char *s;
	int i;

	(void)state;
	for (i = 0; i < 1000; i++)
		sbuf_addf(&b, "%d,", i);
	assert_int_equal(b.len, strlen(b.s));
	s = sbuf_steal(&b);
	assert_null(b.s);
	assert_non_null(strstr(s, "998,999,"));
	free(s);
	s = sbuf_steal(&b);
	assert_string_equal(s, "");
	free(s);
}

static void lists(void **state)
{
	struct strv l = { 0 };

	(void)state;
	assert_false(strv_has(&l, "a"));
	strv_add(&l, "a");
	strv_take(&l, xstrdup("b"));
	assert_true(strv_has(&l, "b"));
	assert_null(l.v[2]);
	strv_free(&l);
	assert_int_equal(l.n, 0);
}

static void files(void **state)
{
	char dir[] = "/tmp/assay-unit-XXXXXX", *path, *text;
	struct stat st;
	size_t n;

	(void)state;
	assert_non_null(mkdtemp(dir));
	path = xasprintf("%s/a/b//c", dir);
	assert_int_equal(mkdir_p(path), 0);
	assert_int_equal(mkdir_p(path), 0);
	free(path);
	path = xasprintf("%s/a/file", dir);
	assert_int_equal(write_file(path, "x\0y", 3), 0);
	assert_int_equal(read_file(path, 10, &text, &n), 0);
	assert_int_equal(n, 3);
	assert_memory_equal(text, "x\0y", 4);
	free(text);
	assert_int_equal(read_file(path, 2, &text, &n), -EFBIG);
	assert_int_equal(mkdir_p(path), 0); /* it exists: who uses it says what it is */
	free(path);
	path = xasprintf("%s/a/file/x", dir);
	assert_int_equal(write_file(path, "", 0), -ENOTDIR);
	assert_int_equal(mkdir_p(path), -ENOTDIR);
	free(path);
	path = xasprintf("%s/a/link", dir);
	assert_int_equal(symlink("/etc", path), 0);
	free(path);
	assert_int_equal(read_file(dir, 10, &text, &n), -EISDIR);
	assert_int_equal(remove_tree(dir), 0);
	assert_int_equal(stat(dir, &st), -1);
	assert_int_equal(stat("/etc/passwd", &st), 0); /* links are not followed */
	assert_int_not_equal(remove_tree(dir), 0);
}

static void suggest(const char *word, const char *want)
{
	static const char *const list[] = { "vsock.stream.connect", "vsock.stream.echo", "ref",
					    "ref-mmio" };
	char text[256] = "";
	FILE *f = fmemopen(text, sizeof(text), "w");

	assert_non_null(f);
	print_suggestions(f, word, list, ARRAY_SIZE(list));
	fclose(f);
	assert_string_equal(text, want);
}

static void suggestions(void **state)
{
	(void)state;
	suggest("vsock.stream.conect", " (did you mean vsock.stream.connect, vsock.stream.echo?)");
	suggest("reff", " (did you mean ref?)");
	suggest("mmio", " (did you mean ref-mmio?)");
	suggest("nothing at all like it", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings), cmocka_unit_test(growing),	  cmocka_unit_test(lists),
		cmocka_unit_test(files),   cmocka_unit_test(suggestions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
