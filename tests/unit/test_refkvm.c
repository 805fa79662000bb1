/* SPDX-License-Identifier: BSD-2-Clause */
/* The reference KVM without QEMU: leaves, hypercalls of both families, page states, clocks, faults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/ref/kvm/kvm.h"

#define FRAMES	   512u /* of the slot at 0; the second is at 4 GiB */
#define HIGH	   (1ull << 20)
#define ENOSYS_KVM (-1000)

static struct {
	struct refkvm k;
	char path[32];
	uint8_t mem[FRAMES << 12];
	uint64_t last_write;
} host;

static bool mem_write(void *arg, uint64_t gpa, const void *buf, size_t len)
{
	(void)arg;
	host.last_write = gpa;
	if (gpa + len <= sizeof(host.mem))
		memcpy(host.mem + gpa, buf, len);
	return gpa + len <= sizeof(host.mem);
}

static bool mem_read(void *arg, uint64_t gpa, void *buf, size_t len)
{
	(void)arg;
	if (gpa + len > sizeof(host.mem))
		return false;
	memcpy(buf, host.mem + gpa, len);
	return true;
}

static void start(enum refkvm_mode mode, const char *fault)
{
	struct refkvm *k = &host.k;
	int fd;

	memset(&host, 0, sizeof(host));
	fault_disable_all();
	strcpy(host.path, "/tmp/assay-pages-XXXXXX");
	fd = mkstemp(host.path);
	assert_true(fd >= 0);
	close(fd);
	k->mode = mode;
	k->slots = 2;
	k->slot[0] = (struct refkvm_range){ 0, FRAMES };
	k->slot[1] = (struct refkvm_range){ HIGH, 16 };
	k->tsc_hz = 2000000000;
	k->io = (struct refkvm_io){ mem_write, mem_read, NULL };
	if (fault)
		assert_int_equal(fault_enable(fault), 0);
	assert_int_equal(refkvm_init(k, host.path), 0);
}

static void stop(void)
{
	refkvm_fini(&host.k);
	unlink(host.path);
}

static int64_t call_as(unsigned int cpu, unsigned int cpl, bool long_mode, uint64_t nr, uint64_t a,
		       uint64_t b, uint64_t c)
{
	struct refkvm_call r = { .rax = nr,
				 .rbx = a,
				 .rcx = b,
				 .rdx = c,
				 .cpu = cpu,
				 .cpl = cpl,
				 .long_mode = long_mode };

	refkvm_hypercall(&host.k, &r);
	return (int64_t)r.rax;
}

static int64_t call(uint64_t nr, uint64_t a, uint64_t b, uint64_t c)
{
	return call_as(0, 0, true, nr, a, b, c);
}

/* Pages of the first slot that devices may touch, as a device would ask. */
static unsigned int open_pages(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < FRAMES; i++)
		n += page_states_allowed(&host.k.pages, (uint64_t)i << 12, 4096, NULL);
	return n;
}

static void leaves(void **state)
{
	static const struct {
		enum refkvm_mode mode;
		uint32_t bit;
	} modes[] = { { REFKVM_NONE, 0 }, { REFKVM_RFC, 1u << 15 }, { REFKVM_MAP_GPA, 1u << 16 } };
	uint32_t r[4];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		start(modes[i].mode, NULL);
		assert_false(refkvm_cpuid(&host.k, 1, r));
		assert_false(refkvm_cpuid(&host.k, 0x40000100, r));
		assert_true(refkvm_cpuid(&host.k, 0x40000000, r));
		assert_int_equal(r[0], 0x40000001);
		assert_memory_equal(&r[1], "KVMKVMKVM\0\0\0", 12);
		assert_true(refkvm_cpuid(&host.k, 0x40000001, r));
		assert_int_equal(r[0] & (3u << 15), modes[i].bit);
		assert_true(r[0] & 1u << 3);
		stop();
	}
}

static void numbers(void **state)
{
	(void)state;
	start(REFKVM_NONE, NULL);
	assert_int_equal(call(1, 0, 0, 0), 0);
	for (uint64_t nr = 2; nr < 20; nr++)
		assert_int_equal(call(nr, 0, 0, 0), ENOSYS_KVM);
	assert_int_equal(call_as(0, 3, true, 1, 0, 0, 0), -1);
	assert_int_equal(call_as(0, 0, false, 99, 0, 0, 0), (uint32_t)ENOSYS_KVM);
	/* 32-bit code has no upper halves. */
	assert_int_equal(call_as(0, 0, false, 1 | 1ull << 32, 0, 0, 0), 0);
	stop();
}

static void rfc(void **state)
{
	static const struct {
		uint64_t gfn, n;
		int64_t want;
		unsigned int open; /* pages afterwards */
	} shares[] = {
		{ 5, 0, 0, 0 },
		{ 5, 1, 0, 1 },
		{ 5, 1, 0, 1 },
		{ 4, 3, 0, 3 },
		{ FRAMES - 1, 1, 0, 4 },
		{ FRAMES - 1, 2, -22, 4 },
		{ FRAMES, 1, 0, 4 }, /* no slot there */
		{ HIGH + 15, 2, -22, 4 },
		{ HIGH, 1ull << 52, -22, 4 },
		{ 0, UINT64_MAX, -22, 4 },
		{ UINT64_MAX, 1, 0, 4 },
	};

	(void)state;
	start(REFKVM_RFC, NULL);
	assert_int_equal(open_pages(), FRAMES);
	assert_int_equal(call(13, 7, 1, 0), 0);
	assert_int_equal(call(12, 0, 0, 0), 0);
	assert_int_equal(open_pages(), 0); /* what was shared before, too */
	for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
		assert_int_equal(call(13, shares[i].gfn, shares[i].n, 0), shares[i].want);
		assert_int_equal(open_pages(), shares[i].open);
	}
	assert_int_equal(call(14, 5, 1, 0), 0);
	assert_int_equal(open_pages(), 3);
	assert_int_equal(call(14, 0, FRAMES, 0), 0);
	assert_int_equal(open_pages(), 0);
	assert_int_equal(call(13, 1, 1, 0), 0);
	assert_int_equal(call(12, 0, 0, 0), 0); /* again: all private */
	assert_int_equal(open_pages(), 0);
	refkvm_reset(&host.k);
	assert_int_equal(open_pages(), FRAMES);
	assert_false(page_states_protected(&host.k.pages));
	stop();
}

static void map_gpa(void **state)
{
	static const struct {
		uint64_t gpa, n, attrs;
		int64_t want;
		unsigned int open;
	} calls[] = {
		{ 0, FRAMES, 0x10, 0, 0 },
		{ 0x1000, 1, 0, 0, 1 },
		{ 0x1000, 2, 0, 0, 2 },
		{ 0x1001, 1, 0x10, -22, 2 },
		{ 0x1000, 0, 0x10, -22, 2 },
		{ 0x1000, 1, 0x30, -22, 2 },
		{ 0x1000, 1, 1ull << 63, -22, 2 },
		{ 0x1000, 1, 3, -22, 2 },
		{ 0xfffffffffffff000, 2, 0x10, -22, 2 },
		{ 0x1000, UINT64_MAX >> 11, 0x10, -22, 2 },
		{ (FRAMES - 1) << 12, 2, 0, -22, 2 },
		{ FRAMES << 12, 1, 0, -22, 2 },
		{ 0x1000, 1, 0x11, 0, 1 },
		{ 0x2000, 1, 0x12, 0, 0 },
	};

	(void)state;
	start(REFKVM_MAP_GPA, NULL);
	assert_int_equal(call(13, 0, 0, 0), ENOSYS_KVM);
	assert_int_equal(open_pages(), FRAMES);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		assert_int_equal(call(12, calls[i].gpa, calls[i].n, calls[i].attrs), calls[i].want);
		assert_int_equal(open_pages(), calls[i].open);
	}
	stop();
}

static void behaviours(void **state)
{
	struct refkvm_behaviour *b = &host.k.behave;

	(void)state;
	start(REFKVM_RFC, NULL);
	assert_int_equal(call(12, 0, 0, 0), 0);
	b->eintr_once = true;
	assert_int_equal(call(13, 1, 1, 0), -4);
	assert_int_equal(call(13, 1, 1, 0), 0);
	b->eintr_once = false;
	b->enomem_once = true;
	assert_int_equal(call(14, 1, 1, 0), -12);
	assert_int_equal(call(14, 1, 1, 0), 0);
	b->enomem_once = false;
	b->max_shared = 2;
	assert_int_equal(call(13, 1, 1, 0), 0);
	assert_int_equal(call(13, 3, 1, 0), 0);
	assert_int_equal(call(13, 5, 1, 0), -28);
	assert_int_equal(call(13, 3, 1, 0), 0);
	b->max_shared = 0;
	b->no_unshare = true;
	assert_int_equal(call(14, 1, 1, 0), -95);
	assert_int_equal(open_pages(), 2);
	b->no_unshare = false;
	b->lose_contents = true;
	host.mem[0x8000] = 1;
	assert_int_equal(call(13, 8, 1, 0), 0);
	assert_int_not_equal(host.mem[0x8000], 1);
	stop();
	/* A guest that makes its memory private where it runs does not lose it. */
	start(REFKVM_MAP_GPA, NULL);
	b->lose_contents = true;
	host.mem[0x8000] = 1;
	assert_int_equal(call(12, 0, FRAMES, 0x10), 0);
	assert_int_equal(host.mem[0x8000], 1);
	stop();
}

struct pvclock {
	uint32_t version, pad;
	uint64_t tsc, ns;
	uint32_t mul;
	int8_t shift;
	uint8_t flags, pad2[2];
};

static void clocks(void **state)
{
	struct pvclock c;
	uint64_t v = 0;

	(void)state;
	start(REFKVM_RFC, NULL);
	assert_false(refkvm_wrmsr(&host.k, 0, 0x10, 1, 0));
	assert_true(refkvm_wrmsr(&host.k, 1, 0x4b564d01, 0x3000 | 1, 4000000000ull));
	memcpy(&c, host.mem + 0x3000, sizeof(c));
	assert_int_equal(c.version % 2, 0);
	assert_int_equal(c.flags & 1, 1);
	assert_int_equal(c.ns, 2000000000);
	/* One second of ticks is one second. */
	v = c.shift < 0 ? 2000000000ull >> -c.shift : 2000000000ull << c.shift;
	assert_in_range((uint64_t)((unsigned __int128)v * c.mul >> 32), 999999000, 1000001000);
	assert_true(refkvm_rdmsr(&host.k, 1, 0x4b564d01, &v));
	assert_int_equal(v, 0x3001);
	/* Private: not written, whatever the guest asks for. */
	assert_int_equal(call(12, 0, 0, 0), 0);
	host.last_write = 0;
	assert_true(refkvm_wrmsr(&host.k, 0, 0x4b564d01, 0x5000 | 1, 1));
	assert_int_equal(host.last_write, 0);
	assert_true(refkvm_wrmsr(&host.k, 0, 0x4b564d00, 0x6000, 1));
	assert_int_equal(host.last_write, 0);
	assert_int_equal(call(13, 5, 2, 0), 0);
	assert_true(refkvm_wrmsr(&host.k, 0, 0x4b564d01, 0x5000 | 1, 1));
	assert_int_equal(host.last_write, 0x5000);
	refkvm_reset(&host.k);
	assert_true(refkvm_rdmsr(&host.k, 0, 0x4b564d01, &v));
	assert_int_equal(v, 0);
	stop();
}

/* Each fault of the page states: what the healthy host answers, and does, differs. */
static void faults(void **state)
{
	static const struct {
		const char *id;
		uint64_t nr, gfn, n;
		int64_t want;
		unsigned int open;
	} cases[] = {
		{ "kvm.share.neighbour", 13, 8, 1, 0, 2 },
		{ "kvm.share.one_short", 13, 8, 2, 0, 1 },
		{ "kvm.share.zero_error", 13, 8, 0, -22, 0 },
		{ "kvm.share.zero_shares_one", 13, 8, 0, 0, 1 },
		{ "kvm.share.hole_error", 13, FRAMES, 1, -14, 0 },
		{ "kvm.share.crossing_ok", 13, FRAMES - 1, 2, 0, 1 },
		{ "kvm.share.positive_errno", 13, FRAMES - 1, 2, 22, 0 },
		{ "kvm.hypercall.unknown_ok", 99, 0, 0, 0, 0 },
		{ "kvm.hypercall.unknown_einval", 99, 0, 0, -22, 0 },
		{ "kvm.enable.no_effect", 12, 0, 0, 0, FRAMES },
		{ "kvm.enable.partial", 12, 0, 0, 0, FRAMES / 2 },
		{ "kvm.enable.error", 12, 0, 0, -22, 0 },
		{ "kvm.enable.not_sticky", 1, 0, 0, 0, FRAMES },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		start(REFKVM_RFC, cases[i].id);
		call(12, 0, 0, 0);
		assert_int_equal(call(cases[i].nr, cases[i].gfn, cases[i].n, 0), cases[i].want);
		assert_int_equal(open_pages(), cases[i].open);
		stop();
	}
	/* A second enable protects all, also where an early share was kept. */
	start(REFKVM_RFC, "kvm.enable.keeps_early_share");
	call(13, 7, 1, 0);
	call(12, 0, 0, 0);
	assert_int_equal(open_pages(), 1);
	call(12, 0, 0, 0);
	assert_int_equal(open_pages(), 0);
	stop();
	start(REFKVM_RFC, "kvm.reset.keeps_state");
	call(12, 0, 0, 0);
	refkvm_reset(&host.k);
	assert_int_equal(open_pages(), 0);
	stop();
}

/* Every row can be switched on by its id, and nothing else can. */
static void fault_ids(void **state)
{
	(void)state;
	fault_disable_all();
	assert_int_equal(fault_count, F_COUNT);
	assert_string_equal(fault_rows[F_KVM_SHARE_NEIGHBOUR].id, "kvm.share.neighbour");
	assert_int_equal(fault_enable("kvm.no.such"), -2);
	for (unsigned int i = 0; i < fault_count; i++) {
		assert_false(fault_on(i));
		assert_int_equal(fault_enable(fault_rows[i].id), 0);
		assert_true(fault_on(i));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leaves),  cmocka_unit_test(numbers),	 cmocka_unit_test(rfc),
		cmocka_unit_test(map_gpa), cmocka_unit_test(behaviours), cmocka_unit_test(clocks),
		cmocka_unit_test(faults),  cmocka_unit_test(fault_ids),
	};

	return cmocka_run_group_tests_name("refkvm", tests, NULL, NULL);
}
