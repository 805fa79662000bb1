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
#include <fcntl.h>
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

/* A device and a FIFO stay what they are; a link stays one; "-" is standard output. */
static void nodes(void **state)
{
	char dir[] = "/tmp/assay-unit-XXXXXX", *fifo, *link, *file, *text, buf[8];
	struct stat st;
	int fd, saved, out;

	(void)state;
	assert_non_null(mkdtemp(dir));
	fifo = xasprintf("%s/fifo", dir);
	link = xasprintf("%s/link", dir);
	file = xasprintf("%s/file", dir);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	fd = open(fifo, O_RDONLY | O_NONBLOCK);
	assert_true(fd >= 0);
	assert_int_equal(write_file(fifo, "fifo", 4), 0);
	assert_int_equal(read(fd, buf, sizeof(buf)), 4);
	close(fd);
	assert_int_equal(lstat(fifo, &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
	assert_int_equal(write_file("/dev/null", "x", 1), 0);
	assert_int_equal(write_file("/dev/full", "x", 1), -ENOSPC);
	assert_int_equal(stat("/dev/full", &st), 0);
	assert_true(S_ISCHR(st.st_mode));
	assert_int_equal(write_file(file, "old", 3), 0);
	assert_int_equal(symlink("file", link), 0);
	assert_int_equal(write_file(link, "new", 3), 0);
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(read_file(file, 10, &text, NULL), 0);
	assert_string_equal(text, "new");
	free(text);
	/* Two writers of one descriptor do not write over each other. */
	fflush(stdout);
	saved = dup(STDOUT_FILENO);
	out = open(file, O_RDWR | O_TRUNC);
	dup2(out, STDOUT_FILENO);
	printf("a");
	fd = write_file("/dev/stdout", "b", 1) | write_file("-", "c", 1) |
	     write_file("/dev/fd/1", "d", 1);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	close(out);
	assert_int_equal(fd, 0);
	assert_int_equal(read_file(file, 10, &text, NULL), 0);
	assert_string_equal(text, "abcd");
	free(text);
	free(fifo);
	free(link);
	free(file);
	assert_int_equal(remove_tree(dir), 0);
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
		cmocka_unit_test(files),   cmocka_unit_test(suggestions), cmocka_unit_test(nodes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
