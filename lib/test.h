/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests and verdicts. A test registers itself in a linker section:
 *
 *	TEST(connect_each,
 *	     .id = "vsock.cids.connect_each",
 *	     .clause = "multi-cid P2: any listed source CID is accepted",
 *	     .owner = "vsock device back end",
 *	     .needs = NEED_VSOCK | NEED_PEER | NEED_MULTI_CID,
 *	     .timeout = 5 * SEC)
 *	{
 *		require(t, n > 0, "no CID listed");
 *		expect_eq(t, seen, cid, "source CID that the host saw");
 *	}
 *
 * PASS: every check held, and there was at least one. FAIL: a check did not
 * hold: the host broke the clause. SKIP: not offered. ERROR: the test could not
 * be carried out; it made no check, or the watchdog ended it before a check
 * failed.
 */
#ifndef LIB_TEST_H
#define LIB_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/env.h"
#include "lib/time.h"

struct test_ctx; /* the running test: verdict, checks, way out */

struct test {
	const char *id;	       /* suite.subject.name, [a-z0-9_.] */
	const char *clause;    /* "virtio 1.4, 2.4.1 MUST: status reads 0 after a reset" */
	const char *owner;     /* host component that most likely owns a failure */
	uint64_t needs;	       /* NEED_* of tests/support/needs.h */
	uint64_t timeout : 63; /* ns; 0: TEST_TIMEOUT_DEFAULT */
	/* The clause promises that something goes on: a test that the watchdog ends is a FAIL, not an ERROR. */
	uint64_t liveness : 1;
	void (*fn)(struct test_ctx *t);
};
_Static_assert(sizeof(struct test) == 48, "host/cli reads this layout from the image");

#define TEST_TIMEOUT_DEFAULT (5 * SEC)

#define TEST(name, ...)                                                                            \
	static void test_##name(struct test_ctx *t);                                               \
	static const struct test test_desc_##name                                                  \
		__attribute__((used, section("assay_tests"), aligned(8))) = { .fn = test_##name,   \
									      __VA_ARGS__ };       \
	static void test_##name(struct test_ctx *t)

/* A need is probed once a boot, the answer kept. */
struct test_need {
	uint64_t bit;
	const char *name;
	/* true: met. false: why says what is missing and where it was looked for. */
	bool (*probe)(char *why, size_t size);
};
#define NEED(sym, nbit, nname, fn)                                                                 \
	static const struct test_need need_##sym                                                   \
		__attribute__((used, section("assay_needs"), aligned(8))) = { nbit, nname, fn }

/*
 * Runs around each test, makes a known state before it and leaves nothing behind. Fixtures run in link order; every
 * member but the suite may be NULL.
 */
struct test_fixture {
	const char *suite;  /* applies to ids that begin with it; "" to all */
	int (*setup)(void); /* negative errno: the test is an ERROR */
	void (*teardown)(void);
	/* After the teardown: NULL, or what a test that passed has left behind; it becomes an ERROR. */
	const char *(*check)(void);
	bool outermost; /* set up before those that are not, and torn down after them */
	/* The suite's tests change the machine for good: they run behind all other suites. */
	bool last;
};
#define FIXTURE(sym, ...)                                                                          \
	static const struct test_fixture fixture_##sym                                             \
		__attribute__((used, section("assay_fixtures"), aligned(8))) = { __VA_ARGS__ }

/* Checks. They count; a failed one records and goes on (expect) or ends the test (require). */
#define TEST_FATAL 0x80000000u /* in `where`, beside the line: few arguments make short calls */
void test_check(struct test_ctx *t, bool ok, const char *file, unsigned int where, const char *fmt,
		...) __attribute__((format(printf, 5, 6)));
void test_check_eq(struct test_ctx *t, uint64_t got, uint64_t want, const char *file,
		   unsigned int where, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/*
 * The condition is evaluated before the message's arguments, so that these tell what was seen when it failed, and read
 * no register before it does.
 */
#define test_check_(t, cond, line, ...)                                                            \
	({                                                                                         \
		const bool check_ok_ = (cond);                                                     \
		test_check(t, check_ok_, __FILE__, line, __VA_ARGS__);                             \
	})
#define expect(t, cond, ...)  test_check_(t, cond, __LINE__, __VA_ARGS__)
#define require(t, cond, ...) test_check_(t, cond, __LINE__ | TEST_FATAL, __VA_ARGS__)
/* Integers; the failure line reads "WHAT: expected 5, seen 4", or "expected 0xfee00000, seen -1". */
#define test_check_eq_(t, got, want, line, ...)                                                    \
	({                                                                                         \
		const uint64_t check_got_ = (uint64_t)(got), check_want_ = (uint64_t)(want);       \
		test_check_eq(t, check_got_, check_want_, __FILE__, line, __VA_ARGS__);            \
	})
#define expect_eq(t, got, want, ...) test_check_eq_(t, got, want, __LINE__, __VA_ARGS__)
#define require_eq(t, got, want, ...)                                                              \
	test_check_eq_(t, got, want, __LINE__ | TEST_FATAL, __VA_ARGS__)
#ifdef __clang_analyzer__ /* which cannot see that a failed require() ends the test */
_Noreturn void test_left(void);
#undef require
#undef require_eq
#define require(t, cond, ...)	      ((cond) ? (void)0 : test_left())
#define require_eq(t, got, want, ...) ((got) == (want) ? (void)0 : test_left())
#endif

/* The other ways out: they do not return. */
_Noreturn void test_skip(struct test_ctx *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
_Noreturn void test_error(struct test_ctx *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * For a fixture: the host broke its promise around the running test, though the body may have passed. The test FAILs,
 * by its own clause.
 */
void test_fail_around(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A diagnostic of a fixture's. */
void test_note_around(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/*
 * For a fixture: the machine is of no more use to other tests. It ends behind the verdict, and the harness starts it
 * again with the next test. Without a harness that would (reboots=1) the run goes on. The machine ends with an error,
 * which the harness takes for this wish: the run's status comes from the verdicts alone (a device that dies, dead.* of
 * the reference host, makes status 1).
 */
void test_want_reboot(const char *why);

/* Diagnostics: "# text" before the result line; bytes as hex, at most 256 of them. */
void test_note(struct test_ctx *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void test_hexdump(struct test_ctx *t, const char *what, const void *p, size_t n);
/* What is left until the watchdog, ns; waits inside a test should end before. */
uint64_t test_time_left(const struct test_ctx *t);
/* time_sec(), for tests. */
static inline uint64_t test_sec(void)
{
	return time_sec();
}
/* The descriptor of the running test. */
const struct test *test_self(const struct test_ctx *t);
/*
 * A test may reset the machine where reboot=on allows it; else it is a SKIP. After the reset the test runs again from
 * its start, with the step (1 and up; 0 at first) and the value that it gave. Its earlier checks and failures count.
 */
unsigned int test_step(const struct test_ctx *t, uint32_t *value);
_Noreturn void test_reboot(struct test_ctx *t, unsigned int step, uint32_t value);
/* Deterministic pseudo-random numbers, seeded from shuffle= and the test's id. */
uint64_t test_random(struct test_ctx *t);
/* One of 0 to n - 1. */
static inline unsigned int test_draw(struct test_ctx *t, unsigned int n)
{
	return (unsigned int)((test_random(t) >> 33) % n);
}

/*
 * Runs all that the command line selects, prints KTAP, returns the counts.
 * assay_main() calls it once.
 */
struct test_totals {
	unsigned int pass, fail, skip, error;
};
struct test_totals test_run_all(void);

/*
 * lib/<arch>/ can leave a test that hangs or takes an exception:
 * guarded_call() runs fn(arg) and returns 0, or what ended it.
 */
enum guard_end {
	GUARD_OK = 0,	     /* fn returned */
	GUARD_LEFT = 1,	     /* guard_leave() was called */
	GUARD_TIMEOUT = 2,   /* the deadline passed, by the timer of the CPU */
	GUARD_EXCEPTION = 3, /* an exception; its description is in *why */
};
enum guard_end guarded_call(void (*fn)(void *), void *arg, uint64_t timeout_ns, char *why,
			    size_t why_size);
_Noreturn void guard_leave(void);

/*
 * For a test that provokes an exception on purpose: runs fn(arg). -EFAULT and *info if it
 * trapped, else 0.
 */
struct trap_info {
	uint32_t vector;
	uint64_t error_code, ip, addr;
};
int trap_call(void (*fn)(void *), void *arg, struct trap_info *info);

#endif
