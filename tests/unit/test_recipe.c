/* SPDX-License-Identifier: BSD-2-Clause */
/* Recipes: what is refused, what inherits, and how variables become words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/cli/recipe.h"

static void refused(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "a = b", "t:1: a line before" },
		{ "[host]\n\n[vmm\ncommand = x", "t:3: a malformed" },
		{ "[]\n", "t:1: a malformed" },
		{ "[host] x\n", "t:1: a malformed" },
		{ "[host]\nfoo = x\n", "t:2: an unknown key" },
		{ "[vars]\nfoo = x\n", "t:2: a name of a variable" },
		{ "[vars]\n9A = x\n", "t:2: a name of a variable" },
		{ "[vmm]\nnothing\n", "t:2: neither" },
		{ "[vmn]\ncommand = x\n", "t:2: there is no section [vmn] (did you mean vmm" },
		{ "[devcie x]\ncommand = x\n",
		  "t:2: there is no section [devcie] (did you mean device" },
		{ "[vmm]\n  x\n", "t:2: a continued line" },
	};
	struct sbuf err = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_null(recipe_parse("t", cases[i].text, &err));
		assert_non_null(strstr(err.s, cases[i].why));
		sbuf_free(&err);
	}
}

static void uses(void **state)
{
	static const char *const all[] = { "B", "C_1", "D", "MACHINE", "LAYOUT" };
	struct sbuf err = { 0 };
	struct strv names = { 0 };
	struct recipe *r = recipe_parse(
		"t",
		"[vars]\nA = ${B}x${C_1:q}\n[machine q]\n[layout x]\nE = 1\n[vmm]\ncommand = ${D} ${B}\n",
		&err);
	size_t i;

	(void)state;
	assert_non_null(r);
	recipe_uses(r, &names);
	for (i = 0; i < ARRAY_SIZE(all); i++)
		assert_true(strv_has(&names, all[i]));
	assert_false(strv_has(&names, "A"));
	assert_false(strv_has(&names, "E"));
	strv_free(&names);
	recipe_free(r);
}

/* What only sections use that do not apply is not used; a value that was given hides the recipe's own. */
static void uses_now(void **state)
{
	struct sbuf err = { 0 };
	struct strv names = { 0 };
	struct vars v = { .recipe = recipe_parse(
				  "t",
				  "[vars]\nA = ${B}\nMACHINE = q\n[machine q]\nB = ${C}\n"
				  "[machine p]\nB = ${D}\n[vmm]\ncommand = ${A}\n",
				  &err) };

	(void)state;
	assert_non_null(v.recipe);
	vars_uses(&v, &names);
	assert_true(strv_has(&names, "C"));
	assert_true(strv_has(&names, "MACHINE"));
	assert_false(strv_has(&names, "D"));
	strv_free(&names);
	strv_add(&v.given, "MACHINE=p");
	strv_add(&v.given, "A=${B} ${E}");
	vars_uses(&v, &names);
	assert_true(strv_has(&names, "D"));
	assert_true(strv_has(&names, "E"));
	assert_false(strv_has(&names, "C"));
	strv_free(&names);
	recipe_free((struct recipe *)v.recipe);
	vars_free(&v);
}

static void seconds(void **state)
{
	(void)state;
	assert_true(recipe_seconds("2.5") == 2.5);
	assert_true(recipe_seconds("60 suite,irqfd:60,smoke") == 60 + 30 + 60 + 30);
	assert_true(recipe_seconds("60 suite,soak:3600") == 60 + 30 + 3600);
	assert_true(recipe_seconds("") < 0);
	assert_true(recipe_seconds("-1") < 0);
	assert_true(recipe_seconds("1 irqfd:x") < 0);
	assert_true(recipe_seconds("1s") < 0);
	assert_true(recipe_seconds("irqfd:") < 0);
}

static void parsed(void **state)
{
	struct sbuf err = { 0 };
	struct strv names = { 0 };
	struct recipe *r = recipe_parse(
		"t",
		"# c\n; c\n[host]\r\ndescription = a = b\r\n[device x]\ncommand = one\n"
		"\ttwo\n  three\n[ device  y ]\ncommand=z\n[device x]\nready = q\n[vmm]\ncommand =\n",
		&err);

	(void)state;
	assert_non_null(r);
	assert_null(err.s);
	assert_string_equal(recipe_get(r, "host", "", "description"), "a = b");
	assert_string_equal(recipe_get(r, "device", "x", "command"), "one two three");
	assert_string_equal(recipe_get(r, "device", "x", "ready"), "q");
	assert_string_equal(recipe_get(r, "device", "y", "command"), "z");
	assert_string_equal(recipe_get(r, "vmm", "", "command"), "");
	assert_null(recipe_get(r, "device", "z", "command"));
	recipe_names(r, "device", &names);
	assert_int_equal(names.n, 2);
	assert_string_equal(names.v[0], "x");
	strv_free(&names);
	recipe_free(r);
}

struct fixture {
	struct vars v;
	struct recipe *r;
};

static void setup(struct fixture *f, const char *text)
{
	struct sbuf err = { 0 };

	memset(f, 0, sizeof(*f));
	f->r = recipe_parse("t", text, &err);
	assert_non_null(f->r);
	f->v.recipe = f->r;
}

static void end(struct fixture *f)
{
	vars_free(&f->v);
	recipe_free(f->r);
}

/* The words of a template, joined by "|"; "!" and the message for an error. */
static void expand(const struct fixture *f, const char *template, const char *want)
{
	struct strv words = { 0 };
	struct sbuf err = { 0 }, all = { 0 };
	size_t i;

	if (!vars_words(&f->v, template, &words, &err)) {
		assert_int_equal(*want, '!');
		assert_non_null(strstr(err.s, want + 1));
	} else {
		for (i = 0; i < words.n; i++)
			sbuf_addf(&all, "%s%s", i ? "|" : "", words.v[i]);
		assert_string_equal(all.s ? all.s : "", want);
	}
	strv_free(&words);
	sbuf_free(&err);
	sbuf_free(&all);
}

static void words(void **state)
{
	static const char text
		[] = "[vars]\nONE = a b\nTWO = ${ONE} 'c d'\nEMPTY =\nLOOP = ${LOOP}\nPING = x${PONG}\n"
		     "PONG = y${PING}\nCOMMAS = p,q\n[vmm]\ncommand = x\n";
	static const struct {
		const char *template, *want;
	} cases[] = {
		{ "", "" },
		{ "  a   b\tc ", "a|b|c" },
		{ "'a b' \"c d\" e\\ f", "a b|c d|e f" },
		{ "a'b'\"c\"", "abc" },
		{ "''", "" },
		{ "x '' y", "x||y" },
		{ "'it''s' \"a'b\" 'a\"b'", "its|a'b|a\"b" },
		{ "${ONE}", "a|b" },
		{ "\"${ONE}\"", "a b" },
		{ "'${ONE}'", "${ONE}" },
		{ "x=${ONE}", "x=a b" },
		{ "${ONE}x", "a bx" },
		{ "${TWO} e", "a|b|c d|e" },
		{ "a ${EMPTY} b", "a|b" },
		{ "a \"${EMPTY}\" b", "a||b" },
		{ "a${EMPTY}", "a" },
		{ "file=${COMMAS:q}", "file=p,,q" },
		{ "${COMMAS:q}", "p,,q" },
		{ "$ $x \\${ONE}", "$|$x|${ONE}" },
		{ "${RUN_ARGS}", "r|s t" },
		{ "${RUN}", "r 's t'" },
		{ "${RUN:q}", "r 's t'" },
		{ "${MISSING}", "!${MISSING} is not set" },
		{ "${MISSING", "!without }" },
		{ "${LOOP}", "!by itself" },
		{ "${PING}", "!by itself" },
		{ "'a", "!without its end" },
		{ "a \"b", "!without its end" },
	};
	struct fixture f;
	size_t i;

	(void)state;
	setup(&f, text);
	vars_set(&f.v.run, "RUN", "r 's t'");
	vars_set(&f.v.run, "RUN_ARGS", "r 's t'");
	for (i = 0; i < ARRAY_SIZE(cases); i++)
		expand(&f, cases[i].template, cases[i].want);
	end(&f);
}

static void precedence(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f,
	      "[vars]\nA = recipe\nB = recipe\nLAYOUT = multi\n[layout multi]\nA = of the layout\nC = c\n"
	      "[layout indexed]\nA = no\n[machine q35]\nD = q35\n[machine microvm]\nD = microvm\n[host]\nmachine = x\n");
	setenv("ASSAY_TEST_ENV", "environment", 1);
	vars_set(&f.v.setup, "ASSAY_TEST_ENV", "set-up");
	vars_set(&f.v.setup, "ONLY", "set-up");
	assert_string_equal(vars_get(&f.v, "A"), "of the layout");
	assert_string_equal(vars_get(&f.v, "C"), "c");
	assert_null(vars_get(&f.v, "D"));
	assert_string_equal(vars_get(&f.v, "ASSAY_TEST_ENV"), "environment");
	assert_string_equal(vars_get(&f.v, "ONLY"), "set-up");
	vars_set(&f.v.run, "MACHINE", "q35");
	assert_string_equal(vars_get(&f.v, "D"), "q35");
	vars_set(&f.v.run, "MACHINE", "microvm");
	assert_string_equal(vars_get(&f.v, "D"), "microvm");
	vars_set(&f.v.run, "B", "run");
	assert_string_equal(vars_get(&f.v, "B"), "run");
	vars_set(&f.v.given, "B", "given");
	assert_string_equal(vars_get(&f.v, "B"), "given");
	vars_set(&f.v.given, "LAYOUT", "indexed");
	assert_string_equal(vars_get(&f.v, "A"), "no");
	end(&f);
}

/* A section whose own name depends on what it defines ends somewhere. */
static void circles(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, "[aa x]\nBB = x\n[bb x]\nAA = x\n[self self]\nSELF = self\n");
	assert_null(vars_get(&f.v, "AA"));
	assert_null(vars_get(&f.v, "SELF"));
	vars_set(&f.v.given, "AA", "x");
	assert_string_equal(vars_get(&f.v, "BB"), "x");
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused),    cmocka_unit_test(parsed),	 cmocka_unit_test(uses),
		cmocka_unit_test(uses_now),   cmocka_unit_test(seconds), cmocka_unit_test(words),
		cmocka_unit_test(precedence), cmocka_unit_test(circles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
