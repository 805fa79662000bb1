/* SPDX-License-Identifier: BSD-2-Clause */
/* lib/cmdline.c and lib/glob.c: what a user writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/glob.h"

/* Its words are private, and stay for good. */
#include "lib/cmdline.c" /* NOLINT(bugprone-suspicious-include) */

/* In place of the linker script's array. */
const struct cmdline_option start_assay_options[] = { { "tests", "" }, { "repeat", "" } };
__asm__(".globl stop_assay_options\n.set stop_assay_options, start_assay_options + 32");

static int fresh(void **state)
{
	(void)state;
	memset(&cl, 0, sizeof(cl));
	return 0;
}

/* What fn prints. */
static const char *printed(void (*fn)(void))
{
	static char text[8192];
	FILE *f = tmpfile();
	size_t n;
	int out;

	assert_non_null(f);
	fflush(stdout);
	out = dup(1);
	dup2(fileno(f), 1);
	fn();
	fflush(stdout);
	dup2(out, 1);
	close(out);
	rewind(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	return text;
}

static void words(void **state)
{
	(void)state;
	cmdline_add("  a=1\tb= c\r\nd=x=y =v #off=1 e\n", "test");
	assert_string_equal(cmdline_get("a"), "1");
	assert_string_equal(cmdline_get("b"), "");
	assert_string_equal(cmdline_get("c"), "");
	assert_string_equal(cmdline_get("d"), "x=y");
	assert_string_equal(cmdline_get(""), "v");
	assert_string_equal(cmdline_get("e"), "");
	assert_null(cmdline_get("#off"));
	assert_null(cmdline_get("off"));
	assert_null(cmdline_get("aa"));
	assert_null(cmdline_get("A"));
}

static void later_wins(void **state)
{
	(void)state;
	cmdline_add("a=1 m=first", "the image");
	cmdline_add("", "empty");
	cmdline_add("a=2 m=second", "load options");
	assert_string_equal(cmdline_get("a"), "2");
	assert_string_equal(cmdline_get_nth("m", 0), "first");
	assert_string_equal(cmdline_get_nth("m", 1), "second");
	assert_null(cmdline_get_nth("m", 2));
	assert_null(cmdline_get_nth("none", 0));
}

static uint64_t got;
static bool flag;

static void get_number(void)
{
	got = cmdline_get_u64("n", 7);
}

static void get_flag(void)
{
	flag = cmdline_get_bool("f", flag);
}

static void numbers(void **state)
{
	static const struct {
		const char *text;
		uint64_t value;
		bool warns;
	} cases[] = {
		{ "", 7, false },	 { "n=0", 0, false },
		{ "n=0x1F", 31, false }, { "n=18446744073709551615", UINT64_MAX, false },
		{ "n=", 7, true },	 { "n", 7, true },
		{ "n=12k", 7, true },	 { "n=one", 7, true },
		{ "n=-1", 7, true },	 { "n=18446744073709551616", 7, true },
	};
	unsigned int i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fresh(state);
		cmdline_add(cases[i].text, "test");
		if (!!strstr(printed(get_number), "# warning: n=") != cases[i].warns ||
		    got != cases[i].value)
			fail_msg("'%s': %llu", cases[i].text, (unsigned long long)got);
	}
}

static void flags(void **state)
{
	static const struct {
		const char *text;
		int value; /* -1: neither, the default and a warning */
	} cases[] = {
		{ "f", 1 },	{ "f=", 1 },	  { "f=on", 1 },     { "f=1", 1 },
		{ "f=yes", 1 }, { "f=true", 1 },  { "f=off", 0 },    { "f=0", 0 },
		{ "f=no", 0 },	{ "f=false", 0 }, { "f=maybe", -1 }, { "f=ON", -1 },
	};
	unsigned int i, dflt;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (dflt = 0; dflt < 2; dflt++) {
			fresh(state);
			cmdline_add(cases[i].text, "test");
			flag = dflt;
			assert_int_equal(!!strstr(printed(get_flag), "# warning: f="),
					 cases[i].value < 0);
			assert_int_equal(flag, cases[i].value < 0 ? (int)dflt : cases[i].value);
		}
	}
	fresh(state);
	flag = true;
	assert_string_equal(printed(get_flag), "");
	assert_true(flag);
}

static void unknown(void **state)
{
	const char *text;

	(void)state;
	cmdline_add("tests=a repeet=3 tests repeat=2", "assay.cfg");
	text = printed(cmdline_warn_unknown);
	assert_string_equal(text, "# warning: unknown option repeet (from assay.cfg)\n");
}

static void too_long(void **state)
{
	static char text[TEXT_MAX + 100];
	unsigned int i;

	memset(text, 'a', sizeof(text) - 1);
	cmdline_add(text, "test");
	assert_true(cl.overflow);
	assert_int_equal(cl.words, 0);
	cmdline_add("repeat=1", "test");
	assert_string_equal(cmdline_get("repeat"), "1");
	assert_non_null(strstr(printed(cmdline_warn_unknown), "too long"));
	fresh(state);
	for (i = 0; i < WORDS_MAX + 10; i++)
		cmdline_add("tests=x", "test");
	assert_int_equal(cl.words, WORDS_MAX);
	assert_true(cl.overflow);
	fresh(state);
	for (i = 0; i < 8; i++) { /* exactly full */
		memset(text, ' ', sizeof(text));
		memset(text, 'b', TEXT_MAX / 8 - 1);
		text[TEXT_MAX / 8 - 1] = '\0';
		cmdline_add(text, "test");
	}
	assert_false(cl.overflow);
	cmdline_add("c", "test");
	assert_true(cl.overflow);
}

static void globs(void **state)
{
	static const struct {
		const char *pattern, *s;
		bool match;
	} cases[] = {
		{ "abc", "abc", true },
		{ "abc", "abcd", false },
		{ "abcd", "abc", false },
		{ "*", "", true },
		{ "", "", true },
		{ "", "a", false },
		{ "a*", "a", true },
		{ "a*c", "abbbc", true },
		{ "a*c", "abcb", false },
		{ "*b*b", "abab", true },
		{ "*b*b", "ab", false },
		{ "?", "", false },
		{ "a?c", "abc", true },
		{ "a?c", "ac", false },
		{ "**", "x", true },
		{ "*.x", "a.b.x", true },
		{ "a*b*c*d", "aXbYcZd", true },
		{ "a*ab", "aaab", true },
		{ "*aab", "aaaab", true },
		{ "[a]", "a", false },
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (glob_match(cases[i].pattern, strlen(cases[i].pattern), cases[i].s) !=
		    cases[i].match)
			fail_msg("'%s' and '%s'", cases[i].pattern, cases[i].s);
	assert_true(glob_match("ab,rest", 2, "ab")); /* n characters of it only */
	/* Patterns that are slow with naive matchers. */
	assert_false(
		glob_match("*a*a*a*a*a*a*a*a*b", 18,
			   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

static void selection(void **state)
{
	static const struct {
		const char *list, *id;
		bool selected;
	} cases[] = {
		{ NULL, "a.b", true },	      { "", "a.b", true },
		{ ",", "a.b", true },	      { "a", "a.b", true },
		{ "a", "ab.c", false },	      { "a.b", "a.b.c", true },
		{ "a.", "a.b", false },	      { "a.*", "a.b", true },
		{ "x,a.b", "a.b", true },     { "x,y", "a.b", false },
		{ "-a", "a.b", false },	      { "-a", "b.a", true },
		{ "a,-a.b", "a.b.c", false }, { "a,-a.b", "a.c", true },
		{ "-a.b,a", "a.b", false },   { "a.*,-a.*.slow", "a.x.slow", false },
		{ "-", "a.b", true },
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (glob_list_selects(cases[i].list, cases[i].id) != cases[i].selected)
			fail_msg("'%s' and '%s'", cases[i].list, cases[i].id);
}

#define T(f) cmocka_unit_test_setup(f, fresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(words),   T(later_wins), T(numbers), T(flags),
		T(unknown), T(too_long),   T(globs),   T(selection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
