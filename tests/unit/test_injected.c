/* SPDX-License-Identifier: BSD-2-Clause */
/* The file of injection counts: several writers at once, several threads, what the reader makes of it. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/common/injected.h"

static char path[32];

static int set_up(void **state)
{
	int fd;

	(void)state;
	strcpy(path, "/tmp/assay-injected-XXXXXX");
	fd = mkstemp(path);
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

static struct injected *start(const char *id, const char *component)
{
	struct injected *f = NULL;

	assert_int_equal(injected_start(path, id, component, &f), 0);
	return f;
}

static void expect(const char *id, const char *component, uint64_t count)
{
	struct injected_sum *sums;
	size_t n, i;

	assert_int_equal(injected_read(path, &sums, &n), 0);
	for (i = 0; i < n; i++)
		if (strcmp(sums[i].id, id) == 0 && strcmp(sums[i].component, component) == 0)
			break;
	assert_true(i < n);
	assert_int_equal(sums[i].count, count);
	injected_free(sums, n);
}

static void content(const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* Each of the first 100 is there at once, then powers of two, and at the end the exact count. */
static void written_in_place(void **state)
{
	struct injected *a = start("a.b", "refdev"), *b = start("kvm.c", "refkvm");
	unsigned int i;

	(void)state;
	expect("a.b", "refdev", 0);
	for (i = 1; i <= 100; i++) {
		injected_count(a);
		expect("a.b", "refdev", i);
	}
	for (; i <= 130; i++)
		injected_count(a);
	expect("a.b", "refdev", 128);
	expect("kvm.c", "refkvm", 0);
	injected_count(b);
	expect("kvm.c", "refkvm", 1);
	injected_end(a);
	expect("a.b", "refdev", 130);
	injected_end(b);
	injected_end(NULL);
}

/* A VMM that was started again has a second line; another component's count is its own. */
static void summed_up(void **state)
{
	(void)state;
	content("a refdev 0000000007\na refkvm 0000000002\na refdev 0000000030\n");
	expect("a", "refdev", 37);
	expect("a", "refkvm", 2);
}

static void nonsense(void **state)
{
	static const char *const bad[] = { "a\n", "a refdev\n", "a refdev 12\n",
					   "a refdev 00000000x0\n", "a refdev 0000000001" };
	struct injected_sum *sums;
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		content(bad[i]);
		assert_int_equal(injected_read(path, &sums, &n), -74);
		assert_null(sums);
	}
	unlink(path);
	assert_int_equal(injected_read(path, &sums, &n), -2);
}

static void *count_thousand(void *arg)
{
	for (unsigned int i = 0; i < 1024; i++)
		injected_count(arg);
	return NULL;
}

/* vCPUs count at once; the number in the file never goes back. */
static void threads(void **state)
{
	struct injected *f = start("a", "refcpu");
	pthread_t t[4];

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, count_thousand, f), 0);
	for (size_t i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	expect("a", "refcpu", 4096);
	injected_end(f);
}

/* Processes that start at once get a line each. */
static void processes(void **state)
{
	int status;

	(void)state;
	for (unsigned int i = 0; i < 8; i++) {
		if (fork() != 0)
			continue;
		struct injected *f = NULL;

		if (injected_start(path, "a", "x", &f))
			_exit(1);
		for (unsigned int n = 0; n < 100; n++)
			injected_count(f);
		_exit(0); /* as one that was killed: no injected_end() */
	}
	while (wait(&status) > 0)
		assert_int_equal(status, 0);
	expect("a", "x", 800);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(written_in_place), T(summed_up), T(nonsense), T(threads), T(processes),
	};

	return cmocka_run_group_tests_name("injected", tests, NULL, NULL);
}
