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
#include "lib/x86_64/kvm.h"

/* Its state is private; each test starts anew. */
#include "kvmpv/protect.c" /* NOLINT(bugprone-suspicious-include) */

#define FRAMES 1024u

static struct {
	struct refkvm k;
	char path[32];
	uint32_t features; /* shown instead of the host's, 0: the host's */
	unsigned int calls, freed, kept;
	struct kvm_call last;
	uint64_t unknown; /* a hypercall that this host does not have; 0: none */
	const char *off;
} host;

static struct boot_info info = {
	.mem_count = 3, /* what stands behind them does not count */
	.mem = { { 0x1000, 0x9e000, BOOT_MEM_RAM },
		 { 0xa0000, 0x60000, BOOT_MEM_MMIO },
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
	(void)key;
	return NULL;
}

const struct reboot_record *reboot_record(void)
{
	return NULL;
}

void env_line(const char *key, const char *fmt, ...)
{
	(void)key;
	(void)fmt;
}

uint32_t kvm_arch_base(void)
{
	return 0x40000000;
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
	refkvm_hypercall(&host.k, &r);
	c->result = host.unknown && c->nr == host.unknown ? (uint64_t)-KVM_ENOSYS : r.rax;
	c->trapped = false;
}

int bounce_init(int64_t (*share)(uint64_t gfn, uint64_t npages))
{
	return share(0x200, 16) ? -1 : 0;
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
}

static void enable(void **state)
{
	static const enum refkvm_mode modes[] = { REFKVM_RFC, REFKVM_MAP_GPA };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		start(modes[i]);
		host.k.behave.eintr_once = true;
		assert_int_equal(protect_enable(), 0);
		assert_true(protect_enabled());
		assert_int_equal(protect_enable(), 0);
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

/* hypercalls.rst, 8: bytes, pages of 4 KiB, encrypted or not; each range once more where the host is interrupted. */
static void map_gpa_calls(void **state)
{
	unsigned int calls;

	(void)state;
	start(REFKVM_MAP_GPA);
	assert_int_equal(protect_map_gpa_ops.enable(), 0);
	assert_int_equal(host.calls, 2); /* as many as there are ranges of RAM */
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
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(detection),	 cmocka_unit_test(enable),
		cmocka_unit_test(map_gpa_calls), cmocka_unit_test(record),
		cmocka_unit_test(pages_free),
	};

	return cmocka_run_group_tests_name("protect", tests, NULL, NULL);
}
