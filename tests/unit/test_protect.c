/* SPDX-License-Identifier: BSD-2-Clause */
/* kvmpv/protect.c and its two implementations, against the reference KVM: detection, retries, the record. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/boot_info.h"
#include "host/ref/kvm/kvm.h"
#include "kvmpv/x86_64/kvm.h"
#include "kvmpv/x86_64/map_gpa.h"
#include "lib/x86_64/kvm.h"

/* Its state is private; each test starts anew. */
#include "kvmpv/protect.c" /* NOLINT(bugprone-suspicious-include) */
#include "tests/unit/held_lock.h"

#define FRAMES 1024u

static struct {
	struct refkvm k;
	char path[32];
	uint32_t features; /* shown instead of the host's, 0: the host's */
	unsigned int calls, freed, kept;
	struct kvm_call last;
	uint64_t args;	  /* of all calls, or'ed */
	char warned[200]; /* what was printed */
	uint64_t unknown; /* a hypercall that this host does not have; 0: none */
	int64_t answer;	  /* 0: the host's own */
	bool trapped, no_signature, no_pool;
	const char *off; /* the switch of the command line that is not as it is without a word */
	const char *contents; /* the command line's */
	const struct reboot_record *rebooted;
	char env[64];
} host;

static struct boot_info info = {
	.mem_count = 4, /* what stands behind them does not count */
	.mem = { { 0x1000, 0x9e000, BOOT_MEM_RAM },
		 { 0xa0000, 0x60000, BOOT_MEM_MMIO },
		 { 0x9f800, 0x400, BOOT_MEM_RAM }, /* not a page of it */
		 { 0x100800, (FRAMES << 12) - 0x100800, BOOT_MEM_RAM },
		 { 0xf0000000, 0x1000, BOOT_MEM_RAM } },
};

const struct boot_info *boot_info_get(void)
{
	return &info;
}

bool cmdline_get_bool(const char *key, bool dflt)
{
	return host.off && strcmp(key, host.off) == 0 ? !dflt : dflt;
}

const char *cmdline_get(const char *key)
{
	assert_string_equal(key, "protect.contents");
	return host.contents;
}

const struct reboot_record *reboot_record(void)
{
	return host.rebooted;
}

void env_line(const char *key, const char *fmt, ...)
{
	const int n = snprintf(host.env, sizeof(host.env), "%s: ", key);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(host.env + n, sizeof(host.env) - (size_t)n, fmt, ap);
	va_end(ap);
}

int __wrap_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int __wrap_printf(const char *fmt, ...)
{
	const size_t n = strlen(host.warned);
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = vsnprintf(host.warned + n, sizeof(host.warned) - n, fmt, ap);
	va_end(ap);
	return ret;
}

uint32_t kvm_arch_base(void)
{
	return host.no_signature ? 0 : 0x40000000;
}

uint32_t kvm_arch_features(void)
{
	uint32_t r[4];

	if (host.features)
		return host.features;
	refkvm_cpuid(&host.k, 0x40000001, r);
	return r[0];
}

enum kvm_opcode kvm_arch_opcode(void)
{
	return KVM_VMCALL;
}

void kvm_arch_call(enum kvm_opcode op, struct kvm_call *c)
{
	struct refkvm_call r = { .rax = c->nr,
				 .rbx = c->arg[0],
				 .rcx = c->arg[1],
				 .rdx = c->arg[2],
				 .long_mode = true };

	(void)op;
	host.calls++;
	host.last = *c;
	host.args |= c->arg[0] | c->arg[1] | c->arg[2] | c->arg[3];
	if (!host.answer)
		refkvm_hypercall(&host.k, &r);
	c->result = host.answer				  ? (uint64_t)host.answer :
		    host.unknown && c->nr == host.unknown ? (uint64_t)-KVM_ENOSYS :
							    r.rax;
	c->trapped = host.trapped;
}

int bounce_init(int64_t (*share)(uint64_t gfn, uint64_t npages))
{
	return share(0x200, 16) || host.no_pool ? -1 : 0;
}

void mem_keep(size_t n)
{
	host.kept += (unsigned int)n;
}

void mem_pages_free(void *p, size_t n)
{
	(void)p;
	host.freed += (unsigned int)n;
}

static bool no_io(void *arg, uint64_t gpa, const void *buf, size_t len)
{
	(void)arg;
	(void)gpa;
	(void)buf;
	(void)len;
	return true;
}

static void start(enum refkvm_mode mode)
{
	int fd;

	memset(&host, 0, sizeof(host));
	memset(&prot, 0, sizeof(prot));
	strcpy(host.path, "/tmp/assay-pages-XXXXXX");
	fd = mkstemp(host.path);
	assert_true(fd >= 0);
	close(fd);
	host.k.mode = mode;
	host.k.slots = 1;
	host.k.slot[0].count = FRAMES;
	host.k.tsc_hz = 1000000000;
	host.k.io.write = no_io;
	assert_int_equal(refkvm_init(&host.k, host.path), 0);
}

static void stop(void)
{
	refkvm_fini(&host.k);
	unlink(host.path);
}

static bool open_page(uint64_t gfn)
{
	return page_states_allowed(&host.k.pages, gfn << 12, 4096, NULL);
}

/* FACTS of both families: the same numbers, bit 15 means something else upstream. */
static void detection(void **state)
{
	char why[96] = "";

	(void)state;
	start(REFKVM_RFC);
	assert_ptr_equal(protect_query(why, sizeof(why)), &protect_rfc_ops);
	assert_false(page_states_protected(&host.k.pages)); /* asking enables nothing */
	assert_int_equal(host.args, 0);
	stop();
	start(REFKVM_MAP_GPA);
	assert_ptr_equal(protect_query(why, sizeof(why)), &protect_map_gpa_ops);
	stop();
	start(REFKVM_NONE);
	assert_null(protect_query(why, sizeof(why)));
	assert_string_not_equal(why, "");
	stop();
	/* Upstream with MSI_EXT_DEST_ID: 13 and 14 are unknown there. */
	start(REFKVM_NONE);
	host.features = 1u << 15;
	assert_null(protect_query(why, sizeof(why)));
	stop();
	start(REFKVM_MAP_GPA);
	host.features = 1u << 15 | 1u << 16;
	assert_ptr_equal(protect_query(why, sizeof(why)), &protect_map_gpa_ops);
	stop();
	/* One of the two calls alone is not the RFC. */
	for (uint64_t nr = KVM_HC_MEM_SHARE; nr <= KVM_HC_MEM_UNSHARE; nr++) {
		start(REFKVM_RFC);
		host.unknown = nr;
		assert_null(protect_query(why, sizeof(why)));
		assert_non_null(strstr(why, "neither MEM_PROTECTED that answers"));
		stop();
	}
	/* Opted out: nothing is called. */
	start(REFKVM_RFC);
	host.off = "kvmpv";
	assert_null(protect_query(why, sizeof(why)));
	assert_string_equal(why, "kvmpv=off");
	assert_int_equal(host.calls, 0);
	stop();
	start(REFKVM_RFC);
	host.no_signature = true;
	assert_null(protect_query(why, sizeof(why)));
	assert_non_null(strstr(why, "no KVM signature"));
	assert_int_equal(host.calls, 0);
	assert_null(protect_query(NULL, 0)); /* who does not want to know why */
	/* A "no" of the machine's is asked about once, one of the command line's may change. */
	host.no_signature = false;
	assert_ptr_equal(protect_query(why, sizeof(why)), &protect_rfc_ops);
	assert_int_equal(host.calls, 2);
	assert_ptr_equal(protect_query(NULL, 0), &protect_rfc_ops);
	assert_int_equal(host.calls, 2);
	stop();
	start(REFKVM_NONE);
	assert_null(protect_query(why, sizeof(why)));
	stop();
	host.features = 1u << 16;
	assert_null(protect_query(why, sizeof(why)));
	/* As much of it as there is room for. */
	memset(why, 'x', sizeof(why));
	assert_null(protect_query(why, 12));
	assert_string_equal(why, "KVM feature");
}

/* An instruction that traps is a call that nobody has. */
static void hypercalls(void **state)
{
	(void)state;
	start(REFKVM_RFC);
	host.answer = 77;
	assert_int_equal(kvm_hypercall(1, 2, 3, 4, 5), 77);
	assert_int_equal(host.last.nr, 1);
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(host.last.arg[i], i + 2);
	host.trapped = true;
	assert_int_equal(kvm_hypercall(1, 2, 3, 4, 5), -KVM_ENOSYS);
	host.trapped = false;
	assert_int_equal(protect_rfc_ops.enable(), 77);
	assert_int_equal(host.last.nr, 12);
	assert_int_equal(host.last.arg[0] | host.last.arg[1] | host.last.arg[2] | host.last.arg[3],
			 0);
	assert_int_equal(protect_rfc_ops.share(5, 6), 77);
	assert_int_equal(host.last.nr, 13);
	assert_int_equal(host.last.arg[0], 5);
	assert_int_equal(host.last.arg[1], 6);
	assert_int_equal(host.last.arg[2] | host.last.arg[3], 0);
	assert_int_equal(protect_rfc_ops.unshare(7, 8), 77);
	assert_int_equal(host.last.nr, 14);
	assert_int_equal(host.last.arg[0], 7);
	assert_int_equal(host.last.arg[1], 8);
	assert_int_equal(host.last.arg[2] | host.last.arg[3], 0);
	assert_int_equal(map_gpa_range(9, 10, 11), 77);
	assert_int_equal(host.last.nr, 12);
	assert_int_equal(host.last.arg[0], 9);
	assert_int_equal(host.last.arg[1], 10);
	assert_int_equal(host.last.arg[2], 11);
	assert_int_equal(host.last.arg[3], 0);
	stop();
}

static int64_t tried(uint64_t gfn, uint64_t npages)
{
	host.calls++;
	assert_int_equal(gfn, 3);
	assert_int_equal(npages, 4);
	return host.calls < (unsigned int)host.unknown ? host.answer : 0;
}

static int64_t tried_alone(void)
{
	return tried(3, 4);
}

/* -EINTR and -ENOMEM: eight times in all. What else is wrong stays so. */
static void retries(void **state)
{
	static const int64_t again_[] = { -KVM_EINTR, -KVM_ENOMEM };
	static const int64_t wrong[] = { -KVM_EINVAL, -KVM_EPERM, 1 };

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		for (unsigned int works = 1; works < 11; works++) {
			const int64_t e = i < 2 ? again_[i] : wrong[works % 3];
			const unsigned int calls = i == 2 ? 1 : works > 8 ? 8 : works;
			const int64_t want = works > calls ? e : 0;

			host.answer = e;
			host.unknown = works;
			host.calls = 0;
			assert_int_equal(protect_try(tried, 3, 4), want);
			assert_int_equal(host.calls, calls);
			host.calls = 0;
			assert_int_equal(protect_retry(tried_alone), want);
			assert_int_equal(host.calls, calls);
		}
	}
	/* A range that is encrypted, as well. */
	start(REFKVM_MAP_GPA);
	host.answer = -KVM_EINTR;
	assert_int_equal(protect_map_gpa_ops.enable(), -KVM_EINTR);
	assert_int_equal(host.calls, 8);
	host.answer = -KVM_EINVAL;
	assert_int_equal(protect_map_gpa_ops.enable(), -KVM_EINVAL);
	assert_int_equal(host.calls, 9);
	stop();
}

static void enable(void **state)
{
	static const enum refkvm_mode modes[] = { REFKVM_RFC, REFKVM_MAP_GPA };
	unsigned int calls;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		start(modes[i]);
		host.k.behave.eintr_once = true;
		protect_query(NULL, 0);
		record_shared(5, 1); /* of what was before nothing stays */
		assert_int_equal(protect_enable(), 0);
		assert_true(protect_enabled());
		calls = host.calls;
		assert_int_equal(protect_enable(), 0);
		assert_int_equal(host.calls, calls);
		assert_int_equal(protect_shared_ranges(), 1);
		/* The pool, and what is no whole page of RAM where each range is converted. */
		assert_true(open_page(0x200) && open_page(0x20f));
		assert_false(open_page(0x1ff) || open_page(0x210) || open_page(1) ||
			     open_page(0x101));
		assert_int_equal(open_page(0xa0), modes[i] == REFKVM_MAP_GPA);
		assert_int_equal(protect_shared_pages(), 16);
		assert_true(protect_is_shared(0x20f));
		assert_false(protect_is_shared(0x210));
		stop();
	}
}

/* Where one step fails nothing is half on: but memory that is private stays so. */
static void enable_fails(void **state)
{
	(void)state;
	start(REFKVM_NONE);
	assert_int_equal(protect_enable(), -KVM_ENOSYS);
	assert_int_equal(protect_share(1, 1), -KVM_ENOSYS);
	assert_int_equal(protect_unshare(1, 1), -KVM_ENOSYS);
	assert_true(protect_is_shared(1));
	assert_int_equal(host.calls, 0);
	stop();
	start(REFKVM_RFC);
	host.unknown = KVM_HC_ENABLE_MEM_PROTECTED;
	assert_int_equal(protect_enable(), -KVM_ENOSYS);
	assert_false(protect_enabled());
	assert_true(protect_is_shared(1));
	host.unknown = 0;
	host.no_pool = true;
	assert_int_equal(protect_enable(), -KVM_ENOMEM);
	assert_true(protect_enabled());
	stop();
}

/* With protect=on, at the start: but not after a reset that a test asked for. */
static void at_the_start(void **state)
{
	static const struct reboot_record record;

	(void)state;
	start(REFKVM_RFC);
	assert_false(protect_wanted());
	init();
	assert_false(protect_enabled());
	assert_int_equal(host.calls, 0);
	env();
	assert_string_equal(host.env, "");
	host.off = "protect";
	assert_true(protect_wanted());
	host.rebooted = &record;
	init();
	assert_false(protect_enabled());
	assert_int_equal(host.calls, 0);
	host.rebooted = NULL;
	init();
	assert_true(protect_enabled());
	assert_string_equal(host.warned, "");
	env();
	assert_string_equal(host.env, "protection: rfc, 1 shared ranges");
	protect_forget();
	assert_int_equal(protect_shared_ranges(), 0);
	assert_false(protect_is_shared(0x200));
	stop();
	/* Who wants it and does not get it is told why. */
	start(REFKVM_NONE);
	host.off = "protect";
	init();
	assert_false(protect_enabled());
	assert_string_equal(host.warned,
			    "# warning: protect=on: KVM features 0x100000b: neither MEM_PROTECTED "
			    "that answers nor MAP_GPA_RANGE\n");
	stop();
	start(REFKVM_RFC);
	host.off = "protect";
	host.unknown = KVM_HC_ENABLE_MEM_PROTECTED;
	init();
	assert_false(protect_enabled());
	assert_string_equal(host.warned, "# warning: protect=on: enabling failed: -1000\n");
	stop();
}

static void contents(void **state)
{
	(void)state;
	host.contents = NULL;
	assert_true(protect_keeps_contents());
	host.contents = "lost";
	assert_false(protect_keeps_contents());
	host.contents = "kept";
	assert_true(protect_keeps_contents());
	host.contents = "";
	assert_true(protect_keeps_contents());
}

/* hypercalls.rst, 8: bytes, pages of 4 KiB, encrypted or not; each range once more where the host is interrupted. */
static void map_gpa_calls(void **state)
{
	unsigned int calls;

	(void)state;
	start(REFKVM_MAP_GPA);
	assert_int_equal(protect_map_gpa_ops.enable(), 0);
	assert_int_equal(host.calls, 2); /* as many as there are ranges of RAM */
	assert_int_equal(host.last.arg[0], 0x101000);
	assert_int_equal(host.last.arg[1], FRAMES - 0x101);
	assert_int_equal(host.last.arg[2], 0x10);
	assert_true(open_page(0) && open_page(0x9f) && open_page(0x100));
	assert_false(open_page(1) || open_page(0x9e) || open_page(0x101) || open_page(FRAMES - 1));
	host.k.behave.enomem_once = true;
	calls = host.calls;
	assert_int_equal(protect_map_gpa_ops.enable(), 0);
	assert_int_equal(host.calls, calls + 4);
	host.k.behave.enomem_once = false;
	assert_int_equal(protect_map_gpa_ops.share(0x123, 4), 0);
	assert_int_equal(host.last.nr, KVM_HC_MAP_GPA_RANGE);
	assert_int_equal(host.last.arg[0], 0x123000);
	assert_int_equal(host.last.arg[1], 4);
	assert_int_equal(host.last.arg[2], 0);
	assert_true(open_page(0x123) && open_page(0x126));
	assert_int_equal(protect_map_gpa_ops.unshare(0x124, 2), 0);
	assert_int_equal(host.last.arg[2], 0x10);
	assert_true(open_page(0x123) && open_page(0x126));
	assert_false(open_page(0x124) || open_page(0x125));
	calls = host.calls;
	assert_int_equal(protect_map_gpa_ops.share(0x123, 0),
			 0); /* of no page the host would say -EINVAL */
	assert_int_equal(protect_map_gpa_ops.unshare(0x123, 0), 0);
	assert_int_equal(host.calls, calls);
	assert_int_equal(protect_map_gpa_ops.share(FRAMES, 1), -KVM_EINVAL);
	stop();
}

/* The record against the host's own page states, over a long row of conversions. */
static void record(void **state)
{
	unsigned int i, k, x = 12345;

	(void)state;
	start(REFKVM_RFC);
	assert_int_equal(protect_enable(), 0);
	for (i = 0; i < 3000; i++) {
		uint64_t gfn, n;

		x = x * 1103515245 + 12345;
		gfn = x >> 16 & 255;
		n = x >> 8 & 15;
		if (x >> 28 & 1)
			assert_int_equal(protect_share(gfn, n), 0);
		else
			assert_int_equal(protect_unshare(gfn, n), 0);
		if (i % 50)
			continue;
		for (k = 0; k < FRAMES; k++)
			assert_int_equal(protect_is_shared(k), open_page(k));
	}
	assert_int_equal(protect_unshare(0, FRAMES), 0);
	assert_int_equal(protect_shared_ranges(), 0);
	assert_int_equal(protect_share(FRAMES - 1, 2), -KVM_EINVAL);
	assert_int_equal(protect_shared_pages(), 0);
	stop();
}

/* Ranges are joined and split; what the record has no room for is not in it. */
static void ranges(void **state)
{
	unsigned int i;

	(void)state;
	start(REFKVM_RFC);
	assert_int_equal(protect_enable(), 0);
	protect_forget();
	assert_int_equal(protect_share(6, 1), 0);
	assert_int_equal(protect_share(5, 1), 0); /* in front of one */
	assert_int_equal(protect_shared_ranges(), 1);
	assert_int_equal(protect_share(7, 2), 0); /* behind it */
	assert_int_equal(protect_shared_ranges(), 1);
	assert_int_equal(protect_share(12, 2), 0);
	assert_int_equal(protect_share(1, 2), 0);
	assert_int_equal(protect_shared_ranges(), 3);
	assert_int_equal(protect_share(9, 3), 0); /* between two */
	assert_int_equal(protect_shared_ranges(), 2);
	assert_int_equal(protect_shared_pages(), 11);
	assert_int_equal(protect_unshare(7, 1), 0); /* out of one's middle */
	assert_int_equal(protect_shared_ranges(), 3);
	assert_int_equal(protect_shared_pages(), 10);
	assert_int_equal(protect_share(5, 0), 0); /* no page is none */
	assert_int_equal(protect_unshare(6, 0), 0);
	assert_int_equal(protect_shared_pages(), 10);
	assert_int_equal(protect_unshare(0, 20), 0);
	assert_int_equal(protect_shared_ranges(), 0);
	for (i = 0; i < MAX_RANGES; i++) {
		assert_int_equal(protect_share(2 * i, 1), 0);
		assert_int_equal(protect_shared_ranges(), i + 1);
	}
	assert_int_equal(protect_share(2 * MAX_RANGES, 1), 0);
	assert_false(protect_is_shared(2 * MAX_RANGES));
	assert_int_equal(protect_shared_ranges(), MAX_RANGES);
	assert_int_equal(protect_share(1, 1), 0);
	assert_int_equal(protect_shared_ranges(), MAX_RANGES - 1);
	for (i = MAX_RANGES; i--;) {
		assert_true(protect_is_shared(2 * i));
		assert_int_equal(protect_unshare(2 * i, 1), 0);
		assert_false(protect_is_shared(2 * i));
		assert_int_equal(protect_shared_ranges(), i > 1 ? i - 1 : 1);
	}
	assert_true(protect_is_shared(1));
	hold(&prot.lock);
	assert_true(protect_is_shared(1));
	expect_waited();
	hold(&prot.lock);
	assert_int_equal(protect_share(2, 1), 0);
	expect_waited();
	stop();
}

static void pages_free(void **state)
{
	uint8_t *const p = phys_to_virt(0x40 << PAGE_SHIFT);

	(void)state;
	start(REFKVM_RFC);
	assert_int_equal(protect_enable(), 0);
	assert_int_equal(protect_share(0x41, 1), 0);
	protect_pages_free(p, 3);
	assert_false(open_page(0x41));
	assert_int_equal(host.freed, 3);
	/* Where the host does not take a page back it is not given to anybody else. */
	host.k.behave.no_unshare = true;
	assert_int_equal(protect_share(0x41, 1), 0);
	protect_pages_free(p, 3);
	assert_int_equal(host.freed, 3);
	assert_int_equal(host.kept, 3);
	/* Where no page is shared, or nothing is protected, the host is not asked. */
	host.calls = 0;
	protect_pages_free(phys_to_virt(0x50 << PAGE_SHIFT), 2);
	assert_int_equal(host.freed, 5);
	protect_pages_free(NULL, 1);
	assert_int_equal(host.freed, 6);
	assert_int_equal(host.calls, 0);
	stop();
	start(REFKVM_RFC);
	protect_pages_free(p, 3);
	assert_int_equal(host.freed, 3);
	assert_int_equal(host.calls, 0);
	stop();
	/* The first and the last page count. */
	for (uint64_t gfn = 0x40; gfn < 0x44; gfn++) {
		start(REFKVM_RFC);
		assert_int_equal(protect_enable(), 0);
		assert_int_equal(protect_share(gfn, 1), 0);
		host.calls = 0;
		protect_pages_free(p, 3);
		assert_int_equal(open_page(gfn), gfn == 0x43);
		assert_int_equal(host.calls, gfn != 0x43);
		stop();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(detection),	 cmocka_unit_test(enable),
		cmocka_unit_test(map_gpa_calls), cmocka_unit_test(record),
		cmocka_unit_test(pages_free),	 cmocka_unit_test(hypercalls),
		cmocka_unit_test(retries),	 cmocka_unit_test(enable_fails),
		cmocka_unit_test(at_the_start),	 cmocka_unit_test(contents),
		cmocka_unit_test(ranges),
	};

	return cmocka_run_group_tests_name("protect", tests, NULL, NULL);
}
