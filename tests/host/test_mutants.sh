#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# tests/host/test_mutants.sh BUILD_DIR: the tool that lists mutants, and what scripts/mutants says to wrong options. TAP.
set -uo pipefail

out=$1
tool=$out/assay-mutate
if [ ! -x "$tool" ]; then
	echo "1..0 # SKIP $tool is not built: it needs libclang (scripts/setup mutants)"
	exit
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
n=0

result() { # WHAT STATUS
	n=$((n + 1))
	if [ "$2" = 0 ]; then echo "ok $n - $1"; else
		echo "not ok $n - $1"
		sed 's/^/# /' "$tmp/log"
	fi
}
flags=$(sed -n 's/^CLANG_FLAGS //p' "$out/mutants/flags")
# shellcheck disable=SC2086 # a list of words
list() { "$tool" --own "$tmp/" --faults fault --ignore note --except "$tmp/t.c:excepted" "$@" "$tmp/t.c" -- $flags; }

cat >"$tmp/t.c" <<'C'
#define SIZE 16
enum { FIRST = 3, DEAD = 4 };
int fault(int id);
void note(int what);
void lock_mutex(int *m);
int sum(int from, int to, int *at);
static _Bool odd(int x)
{
	return x & 1;
}
static int only_faulty(int x)
{
	return x + DEAD;
}
static _Bool bad(int x)
{
	return x > 2 && fault(1);
}
int excepted(int x)
{
	return x + 1;
}
int subject(int a, int b, int *m)
{
	lock_mutex(m);
	note(a + b);
	if (a < SIZE || odd(b))
		a = sum(a,
			b, m);
	if (b > 1 && fault(2))
		b = only_faulty(b);
	if (bad(a))
		return b * 2;
	for (int i = FIRST; i != b; i++)
		*m -= i;
	return a;
}
struct own {
	int seen, unread;
};
void store(struct own *o, int x)
{
	o->unread = 1;
	o->seen += x;
	if (o->seen && o->unread && fault(3))
		o->unread++;
	if (x)
		o->unread = odd(x);
	note(o->unread);
	x = o->seen;
}
struct node {
	struct node *next;
	int v;
};
int locals(struct node *n)
{
	int depth = 0, sum = 0, last[2] = { 0, 0 };
	struct node *p = n;

	for (; n; n = n->next) {
		depth++;
		sum += n->v;
		last[depth & 1] = n->v;
	}
	p->v = 5;
	return last[1] && depth > 2 && fault(4) ? 0 : sum;
}
int behind(int x)
{
	for (struct node *n = 0; n && fault(5); n = n->next)
		x += 3;
	switch (x) {
	case 8:
		if (!fault(6))
			return x;
		x -= 4;
		break;
	default:
		break;
	}
	return x;
}
C
cat >"$tmp/expected" <<'LIST'
2 FIRST constant: 3 => (3 + 1)
2 FIRST constant: 3 => (3 - 1)
9 odd condition: x & 1 => !(x & 1)
9 odd constant: 1 => (1 + 1)
9 odd constant: 1 => (1 - 1)
9 odd mask: x & 1 => x | 1
25 subject lock: lock_mutex(m) => (void)0
27 subject comparison: a < SIZE => a <= SIZE
27 subject comparison: a < SIZE => a >= SIZE
27 subject condition: a < SIZE || odd(b) => !(a < SIZE || odd(b))
27 subject condition: a < SIZE || odd(b) => 0
27 subject condition: a < SIZE || odd(b) => a < SIZE
27 subject condition: a < SIZE || odd(b) => odd(b)
27 subject constant: SIZE => (SIZE + 1)
27 subject logic: a < SIZE || odd(b) => a < SIZE && odd(b)
28 subject arguments: sum(a, b, m) => sum(b, a, m)
28 subject dropped: a = sum(a, b, m) => (void)0
34 subject arithmetic: i++ => i--
34 subject comparison: i != b => i == b
34 subject constant: FIRST => (FIRST + 1)
35 subject arithmetic: *m -= i => *m += i
35 subject dropped: *m -= i => (void)0
36 subject return: a => 0
44 store arithmetic: o->seen += x => o->seen -= x
44 store dropped: o->seen += x => (void)0
47 store condition: x => !(x)
47 store condition: x => 0
50 store dropped: x = o->seen => (void)0
58 locals constant: 0 => (0 + 1)
63 locals arithmetic: sum += n->v => sum -= n->v
63 locals dropped: sum += n->v => (void)0
66 locals constant: 5 => (5 + 1)
66 locals constant: 5 => (5 - 1)
66 locals dropped: p->v = 5 => (void)0
67 locals return: last[1] && depth > 2 && fault(4) ? 0 : sum => 0
76 behind return: x => 0
80 behind dropped: break => (void)0
82 behind return: x => 0
LIST

echo 1..22
list >"$tmp/list" 2>"$tmp/log"
result "a small file is listed" $?
sed 's/ *$//' "$tmp/list" | awk -F '\t' '{ print $2, $3, $4 ": " $5 " => " $6 }' | LC_ALL=C sort -n >"$tmp/seen"
diff <(LC_ALL=C sort -n "$tmp/expected") "$tmp/seen" >"$tmp/log"
result "its mutants, none of what only a fault reaches, of logs and of exceptions" $?

bad=0
while IFS=$'\t' read -r _ _ _ _ _ to _ off bytes; do
	if ! "$tool" --apply "$off:$bytes:$to" "$tmp/t.c" >"$tmp/m.c" 2>"$tmp/log" ||
		! gcc -fsyntax-only "$tmp/m.c" 2>"$tmp/log" ||
		[ "$(wc -l <"$tmp/m.c")" != $(($(wc -l <"$tmp/t.c") + 1)) ]; then
		bad=1
		break
	fi
done <"$tmp/list"
result "each compiles, and no line moves" $bad

list --seed 7 >"$tmp/a" 2>"$tmp/log" && list --seed 7 >"$tmp/b" && list --seed 8 >"$tmp/c"
cmp "$tmp/a" "$tmp/b" >"$tmp/log"
result "a seed gives the same order again" $?
! cmp -s "$tmp/a" "$tmp/c"
result "another seed gives another order" $?
cmp <(sort "$tmp/a") <(sort "$tmp/list") >"$tmp/log"
result "of the same mutants" $?

# Wrong use is status 4, with words.
refused() { # WHAT PATTERN COMMAND...
	local what=$1 pattern=$2 rc=0
	shift 2
	"$@" >"$tmp/log" 2>&1 || rc=$?
	echo "exit status $rc" >>"$tmp/log"
	[ $rc = 4 ] && grep -q -- "$pattern" "$tmp/log"
	result "$what" $?
}
refused "a seed that is no number" 'seed x.*number' "$tool" --seed x "$tmp/t.c"
refused "no file" 'which file' "$tool" --seed 1
refused "bytes that are not there" 'no such bytes' "$tool" --apply 100000:1:x "$tmp/t.c"
refused "SAMPLE that is no number" 'SAMPLE=many' env SAMPLE=many scripts/mutants "$out"
refused "a sample of none" 'SAMPLE=0' env SAMPLE=0 scripts/mutants "$out"
refused "SEED that is no number" 'SEED=-3' env SEED=-3 scripts/mutants "$out"
refused "FILE that is no subject" 'FILE=nope.c' env FILE=nope.c scripts/mutants "$out"
refused "HOST that is no run" 'HOST=nope' env HOST=nope scripts/mutants "$out"
refused "OF that is neither" 'OF=nope' env OF=nope scripts/mutants "$out"
refused "a file of the host's among the drivers'" 'FILE=ring.c' env OF=drivers FILE=ring.c scripts/mutants "$out"

# The list of equivalent mutants: each line fits one, and says why.
mutants_of() { # EQUIVALENT: status of the check alone
	EQUIVALENT=$1 FILE=config.c ONLY=check scripts/mutants "$out" >"$tmp/log" 2>&1
}
mutants_of host/ref/equivalent.txt
result "the tree's list of equivalent mutants fits" $?
OF=drivers ONLY=check scripts/mutants "$out" >"$tmp/log" 2>&1
result "and so does that of the drivers" $?
printf 'host/ref/dev/config.c\tnone\tx = 1;\t1 => 2\tit is so\n' >"$tmp/eq"
! mutants_of "$tmp/eq" && grep -q "no mutant is like that" "$tmp/log"
result "a line of it that fits none is an error" $?
printf 'host/ref/dev/config.c\tconfig_is_host\treturn true;\t*\t\n' >"$tmp/eq"
! mutants_of "$tmp/eq" && grep -q "five fields" "$tmp/log"
result "and so is one without a reason" $?

# Which test executes which line: a program that acts as QEMU, which writes what a guest says, and as the host beside it.
cat >"$tmp/host.c" <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static int late;
static void say(const char *text)
{
	FILE *f = fopen(getenv("RECORD_CONSOLE"), "a");
	fprintf(f, "%s\n", text);
	fclose(f);
	usleep(50000);
}
static int twice(int x)
{
	if (x > 5)
		return 2 * x;
	return x +
	       x;
}
int main(int argc, char **argv)
{
	say("KTAP version 1");
	late = twice(argc);
	usleep(50000);
	say("    # start s.one");
	late += twice(10);
	usleep(50000);
	say("    # start s.two");
	late += argv[0][0] == 0 ? 7 : 0;
	usleep(50000);
	return late < 0;
}
C
cat >"$tmp/reached" <<'LINES'
8 111
14 110
15 010
16 110
17 110
25 100
29 001
LINES
printf 's.one\ns.two\n' >"$tmp/order"
flags_file=$(realpath "$out/mutants/flags")
(
	here=$PWD
	cd "$tmp" || exit
	# shellcheck disable=SC2317 # scripts/mutants-host calls it
	flag() { :; }
	# shellcheck source=scripts/mutants-host
	. "$here/scripts/mutants-host"
	subjects=(host.c) cov=$tmp
	: >"$tmp/blocks.p"
	cc=$(sed -n 's/^CC //p' "$flags_file")
	$cc -g -O0 -fsanitize-coverage=trace-pc -c "$tmp/host.c" -o "$tmp/host.o" &&
		$cc -D_GNU_SOURCE -O2 -c "$here/host/mutate/record/record.c" -o "$tmp/record.o" &&
		$cc -o "$tmp/host" "$tmp/host.o" "$tmp/record.o" -lpthread &&
		RECORD_CONSOLE=$tmp/console RECORD_OUT=$tmp "$tmp/host" &&
		blocks_of "$tmp/host" >"$tmp/blocks.h" &&
		lines_of_record "$tmp" >"$tmp/lines"
) >"$tmp/log" 2>&1
result "a host that records what it executes" $?
awk '{ print $2, $3 }' "$tmp/lines" | grep -E '^(8|1[4567]|25|29) ' | diff "$tmp/reached" - >"$tmp/log"
result "tells of each line what executes it: what is before the tests, and each of them" $?
