/* SPDX-License-Identifier: BSD-2-Clause */
/* host/cli/fault_list.c: lists that are damaged, places that a recipe has or has not, tests that do not exist. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/cli/cmd.h"
#include "host/cli/fault_list.h"

/* Of main.c. */
bool parse_number(const char *text, unsigned int min, unsigned int max, unsigned int *out)
{
	*out = (unsigned int)strtoul(text, NULL, 10);
	return *out >= min && *out <= max;
}

static char path[] = "/tmp/assay faults-XXXXXX"; /* a blank, which no shell may see */
static struct recipe *recipe;

static void write_list(const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int set_up(void **state)
{
	struct sbuf err = { 0 };
	char *text;
	int fd;

	(void)state;
	strcpy(path, "/tmp/assay faults-XXXXXX");
	fd = mkstemp(path);
	if (fd < 0)
		return -1;
	close(fd);
	text = xasprintf(
		"[host]\nprovides = page-state,vectors\n[vars]\nLAYOUT = multi\nMODE = rfc\n"
		"[layout indexed]\nCIDS = 3\n[machine microvm]\nX = 1\n"
		"[vmm]\ncommand = true\n[faults]\nlist = \"%s\"\n[faults none]\nlist =\n",
		path);
	recipe = recipe_parse("test", text, &err);
	free(text);
	sbuf_free(&err);
	return recipe ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	recipe_free(recipe);
	unlink(path);
	return 0;
}

static void lists(void **state)
{
	static const struct {
		const char *text, *error; /* NULL: it is one */
	} cases[] = {
		{ "# nothing\n\na.b\tc\tt\tany\twhat\n", NULL },
		{ "a.b\tc\tt\tany\twhat\nb.b\tc\tt\tany\twhat\n", NULL },
		{ "a.b\tc\tt\tany\n", "five fields" },
		{ "a.b\tc\t\tany\twhat\n", "five fields" },
		{ "a.b\tc\tt\tany\twhat\tmore\n", "five fields" },
		{ "a.b\tc\tt\tany\twhat\na.b\tc\tt\tany\twhat\n", ":2: another fault has this id" },
	};
	struct fault_list list;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sbuf err = { 0 };
		bool ok;

		write_list(cases[i].text);
		ok = fault_list_read(recipe, &list, &err);
		assert_int_equal(ok, !cases[i].error);
		if (cases[i].error)
			assert_non_null(strstr(err.s ? err.s : "", cases[i].error));
		else
			assert_string_equal(list.v[0].id, "a.b");
		fault_list_free(&list);
		sbuf_free(&err);
	}
	{
		struct sbuf err = { 0 };

		unlink(path);
		assert_false(fault_list_read(recipe, &list, &err));
		assert_non_null(strstr(err.s, "No such file"));
		sbuf_free(&err);
	}
}

static void places(void **state)
{
	static const struct {
		const char *where;
		bool has;
		const char *set, *machine;
		unsigned int cpus;
	} cases[] = {
		{ "any", true, NULL, NULL, 1 },
		{ "multi", true, NULL, NULL, 1 },
		{ "indexed", true, "LAYOUT=indexed", NULL, 1 },
		{ "page-state,cpus=4", true, NULL, NULL, 4 },
		{ "vectors,MODE=none", true, "MODE=none", NULL, 1 },
		{ "machine=microvm", true, NULL, "microvm", 1 },
		{ "machine=q35", false, NULL, NULL, 0 },
		{ "page-states", false, NULL, NULL, 0 },
		{ "MOOD=none", false, NULL, NULL, 0 },
		{ "cpus=0", false, NULL, NULL, 0 },
		{ "any,upstream", false, NULL, NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct fault_entry f = { .where = (char *)(uintptr_t)cases[i].where };
		struct fault_place p;

		assert_int_equal(fault_place(recipe, &f, &p), cases[i].has);
		if (!cases[i].has)
			continue;
		assert_int_equal(p.cpus, cases[i].cpus);
		assert_int_equal(p.set.n, cases[i].set ? 1 : 0);
		if (cases[i].set)
			assert_string_equal(p.set.v[0], cases[i].set);
		assert_int_equal(!p.machine, !cases[i].machine);
		fault_place_free(&p);
	}
}

static void tests_that_exist(void **state)
{
	struct image_test v[] = { { .id = (char *)(uintptr_t) "vsock.stream.echo" },
				  { .id = (char *)(uintptr_t) "boot.irq.ipi" } };
	const struct image_tests tests = { .v = v, .n = 2 };
	static const struct {
		const char *tests, *missing;
		enum fault_expect expect;
	} cases[] = {
		{ "vsock.stream.echo", NULL, FAULT_FAILS },
		{ "vsock.*,boot.irq.ipi", NULL, FAULT_FAILS },
		{ "note:boot.irq.ipi", NULL, FAULT_NOTED },
		{ "-", NULL, FAULT_HARNESS },
		{ "?", NULL, FAULT_OPEN },
		{ "boot.irq.ipi,vsock.stream.eccho", "\"vsock.stream.eccho\"", FAULT_FAILS },
		{ "note:virtio.*", "\"virtio.*\"", FAULT_NOTED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct fault_entry f = { .id = (char *)(uintptr_t) "a.b",
					       .tests = (char *)(uintptr_t)cases[i].tests };
		struct sbuf err = { 0 };
		const char *globs;

		assert_int_equal(fault_expects(&f, &globs), cases[i].expect);
		fault_check_tests(&f, &tests, &err);
		assert_int_equal(err.len == 0, !cases[i].missing);
		if (cases[i].missing)
			assert_non_null(strstr(err.s, cases[i].missing));
		sbuf_free(&err);
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = { T(lists), T(places), T(tests_that_exist) };

	return cmocka_run_group_tests_name("fault_list", tests, NULL, NULL);
}
