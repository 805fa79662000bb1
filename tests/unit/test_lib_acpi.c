/* SPDX-License-Identifier: BSD-2-Clause */
/* lib/acpi.c over tables that are whole, and such that a firmware should not have written. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Its tables are private; each test starts anew. */
#include "lib/acpi.c" /* NOLINT(bugprone-suspicious-include) */
#include "lib/x86_64/madt.h"

#define BASE 0x7fe0000ull
#define LOW  0xe0000ull

/* Physical memory: two areas, exactly as large as they say. */
static uint8_t *ram, *low;
static size_t ram_size;
static uint8_t reg[16]; /* what mmio_map() shows at 0xfed00000 */

const struct arch_range arch_rsdp_area = { LOW, LOW + 0x20000 };

void arch_port_write(uint64_t port, unsigned int size, uint32_t v)
{
	fail_msg("port 0x%llx, %u bytes, 0x%x", (unsigned long long)port, size, v);
}

const void *firmware_map(uint64_t pa, uint64_t size)
{
	if (pa >= BASE && pa - BASE <= ram_size && size <= ram_size - (pa - BASE))
		return ram + (pa - BASE);
	if (pa >= LOW && pa - LOW <= 0x20000 && size <= 0x20000 - (pa - LOW))
		return low + (pa - LOW);
	return NULL;
}

volatile void *mmio_map(uint64_t pa, uint64_t size)
{
	return pa >= 0xfed00000 && pa + size <= 0xfed00000 + sizeof(reg) ? reg + (pa - 0xfed00000) :
									   NULL;
}

static const char rsd_ptr[8] = { 'R', 'S', 'D', ' ', 'P', 'T', 'R', ' ' };

static int fresh(void **state)
{
	(void)state;
	memset(&acpi, 0, sizeof(acpi));
	memset(reg, 0, sizeof(reg));
	free(ram);
	free(low);
	ram_size = 0;
	ram = NULL;
	low = calloc(1, 0x20000);
	return low ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	free(ram);
	free(low);
	return 0;
}

/* --- making tables ------------------------------------------------------------------------ */

static void put(uint64_t pa, const void *p, size_t n)
{
	assert_true(pa >= BASE && pa - BASE + n <= ram_size);
	memcpy(ram + (pa - BASE), p, n);
}

static void put32(uint64_t pa, uint32_t v)
{
	put(pa, &v, sizeof(v));
}

static void put64(uint64_t pa, uint64_t v)
{
	put(pa, &v, sizeof(v));
}

static void fix_sum(uint64_t pa, size_t n, size_t at)
{
	uint8_t *p = ram + (pa - BASE);

	unsigned int total = 0;
	size_t i;

	p[at] = 0;
	for (i = 0; i < n; i++)
		total += p[i];
	p[at] = (uint8_t)(0u - total);
}

/* n more bytes of memory; their address. */
static uint64_t more(size_t n)
{
	const uint64_t at = BASE + ram_size;
	uint8_t *p = malloc(ram_size + n);

	assert_non_null(p);
	if (ram_size)
		memcpy(p, ram, ram_size);
	memset(p + ram_size, 0, n);
	free(ram);
	ram = p;
	ram_size += n;
	return at;
}

static uint64_t table(const char *sig, const void *body, size_t n)
{
	const uint64_t at = more(sizeof(struct acpi_header) + n);
	struct acpi_header h = { .length = (uint32_t)(sizeof(h) + n), .revision = 1 };

	memcpy(h.signature, sig, 4);
	put(at, &h, sizeof(h));
	if (n)
		put(at + sizeof(h), body, n);
	fix_sum(at, sizeof(h) + n, 9);
	return at;
}

static uint64_t rsdp_at(uint64_t at, uint8_t revision, uint64_t root)
{
	struct rsdp r = { .revision = revision, .length = sizeof(r) };

	memcpy(r.signature, rsd_ptr, 8);
	if (revision >= 2)
		r.xsdt = root;
	else
		r.rsdt = (uint32_t)root;
	put(at, &r, sizeof(r));
	fix_sum(at, RSDP_V1, 8);
	fix_sum(at, sizeof(r), 32);
	return at;
}

/* RSDP and XSDT over these tables. */
static uint64_t root_of(const uint64_t *tables, size_t n)
{
	const uint64_t xsdt = table("XSDT", tables, 8 * n);

	return rsdp_at(more(36), 2, xsdt);
}

static uint64_t root_of_one(uint64_t t)
{
	return root_of(&t, 1);
}

static void only_refused(const char *why)
{
	const char *const *reasons;

	assert_int_equal(acpi_refused(&reasons), 1);
	if (!strstr(reasons[0], why))
		fail_msg("'%s' instead of '%s'", reasons[0], why);
}

/* --- finding them ------------------------------------------------------------------------- */

static void whole(void **state)
{
	uint64_t t[4] = { table("AAAA", "1", 1), table("BBBB", "", 0), table("AAAA", "22", 2), 0 };
	const char *const *reasons;

	(void)state;
	assert_int_equal(acpi_init(root_of(t, 3)), 0);
	assert_int_equal(acpi_table("AAAA", 0)->length, 37);
	assert_int_equal(acpi_table("AAAA", 1)->length, 38);
	assert_null(acpi_table("AAAA", 2));
	assert_non_null(acpi_table("BBBB", 0));
	assert_null(acpi_table("CCCC", 0));
	assert_int_equal(acpi_refused(&reasons), 0);
}

static void by_rsdt(void **state)
{
	const uint32_t t[2] = { (uint32_t)table("AAAA", "1", 1), (uint32_t)table("BBBB", "", 0) };
	const uint64_t root = table("RSDT", t, sizeof(t));

	(void)state;
	assert_int_equal(acpi_init(rsdp_at(more(36), 0, root)), 0);
	assert_non_null(acpi_table("AAAA", 0));
	assert_non_null(acpi_table("BBBB", 0));
}

/* Revision 2 without an XSDT. */
static void by_rsdt_all_the_same(void **state)
{
	const uint32_t one = (uint32_t)table("AAAA", "1", 1);
	const uint32_t root = (uint32_t)table("RSDT", &one, sizeof(one));
	const uint64_t at = rsdp_at(more(36), 2, 0);

	(void)state;
	put32(at + 16, root);
	fix_sum(at, RSDP_V1, 8);
	fix_sum(at, 36, 32);
	assert_int_equal(acpi_init(at), 0);
	assert_int_equal(acpi.count, 1);
}

static void found_below_1m(void **state)
{
	const uint64_t one = table("AAAA", "1", 1), xsdt = table("XSDT", &one, 8);
	uint64_t at = rsdp_at(more(36), 2, xsdt);

	(void)state;
	assert_int_equal(acpi_init(0), -ENOENT);
	memcpy(low + 0x1fff0, rsd_ptr, 8); /* at the very end: no room for the rest of it */
	memcpy(low + 0x100, rsd_ptr, 8);   /* its checksum is wrong */
	low[0x110] = 1;
	memcpy(low + 0x208, ram + (at - BASE), 36); /* not on a 16-byte boundary */
	assert_int_equal(acpi_init(0), -ENOENT);
	memcpy(low + 0x300, ram + (at - BASE), 36);
	assert_int_equal(acpi_init(0), 0);
	assert_non_null(acpi_table("AAAA", 0));
}

static void bad_roots(void **state)
{
	uint64_t xsdt, at;

	assert_int_equal(acpi_init(BASE), -EBADMSG); /* not mapped */
	only_refused("RSDP");
	fresh(state);
	at = more(36);
	assert_int_equal(acpi_init(at), -EBADMSG);
	fresh(state);
	xsdt = table("XSDT", "", 0);
	at = rsdp_at(more(36), 2, xsdt);
	ram[at - BASE + 10] ^= 1;
	assert_int_equal(acpi_init(at), -EBADMSG);
	only_refused("signature or checksum");
	fresh(state);
	xsdt = table("XSDT", "", 0);
	at = rsdp_at(more(36), 2, xsdt);
	ram[at - BASE + 24] ^= 1; /* only the extended checksum covers it */
	assert_int_equal(acpi_init(at), -EBADMSG);
	only_refused("signature or checksum");
	fresh(state);
	at = rsdp_at(more(36), 2, 0xfffffffffffffff0ull); /* a table that wraps */
	assert_int_equal(acpi_init(at), -EBADMSG);
	only_refused("cannot be mapped");
	fresh(state);
	at = rsdp_at(more(36), 0, 0);
	assert_int_equal(acpi_init(at), -EBADMSG);
	fresh(state);
	xsdt = table("XSDT", "", 0);
	ram[xsdt - BASE + 9]++;
	at = rsdp_at(more(36), 2, xsdt);
	assert_int_equal(acpi_init(at), -EBADMSG);
	only_refused("XSDT at 0x7fe0000: checksum");
	/* A root without a single table is one. */
	fresh(state);
	xsdt = table("XSDT", "", 0);
	assert_int_equal(acpi_init(rsdp_at(more(36), 2, xsdt)), 0);
	/* Half an entry at the end is none. */
	fresh(state);
	xsdt = table("XSDT", "\x01\x02\x03\x04", 4);
	assert_int_equal(acpi_init(rsdp_at(more(36), 2, xsdt)), 0);
	assert_int_equal(acpi.count, 0);
}

static void bad_tables(void **state)
{
	static const struct {
		uint32_t length;
		int flip; /* a byte of the table, -1: none */
		const char *why;
	} cases[] = {
		{ 44, 40, "checksum" },
		{ 44, 9, "checksum" },
		{ 0, -1, "length" },
		{ 35, -1, "length" },
		{ 0xffffffff, -1, "length" },
		{ (16u << 20) + 1, -1, "length" },
		{ 44 + 36 + 52 + 36 + 1, -1, "length" },
	};
	uint64_t t[2];
	unsigned int i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fresh(state);
		t[0] = table("BADT", "12345678", 8);
		t[1] = table("GOOD", "", 0);
		if (cases[i].length != 44)
			put32(t[0] + 4, cases[i].length);
		if (cases[i].flip >= 0)
			ram[t[0] - BASE + (unsigned int)cases[i].flip] ^= 0x40;
		assert_int_equal(acpi_init(root_of(t, 2)), 0);
		assert_null(acpi_table("BADT", 0));
		assert_non_null(acpi_table("GOOD", 0)); /* one bad table costs no other */
		only_refused(cases[i].why);
	}
	/* Shorter than it is: fine when the sum holds, and nothing behind it is read. */
	fresh(state);
	t[0] = table("SHRT", "12345678", 8);
	put32(t[0] + 4, 36);
	fix_sum(t[0], 36, 9);
	assert_int_equal(acpi_init(root_of_one(t[0])), 0);
	assert_int_equal(acpi_table("SHRT", 0)->length, 36);
}

static void many(void **state)
{
	uint64_t t[MAX_TABLES + 20];
	const char *const *reasons;
	unsigned int i;

	(void)state;
	for (i = 0; i < MAX_TABLES + 20; i++)
		t[i] = table("MANY", "", 0);
	for (i = 0; i < 10; i++)
		ram[t[i] - BASE + 9]++;
	assert_int_equal(acpi_init(root_of(t, MAX_TABLES + 20)), 0);
	assert_int_equal(acpi.count, MAX_TABLES);
	assert_non_null(acpi_table("MANY", MAX_TABLES - 1));
	assert_null(acpi_table("MANY", MAX_TABLES));
	assert_int_equal(acpi_refused(&reasons), MAX_REFUSED);
}

/* --- the MADT ------------------------------------------------------------------------------ */

static void madt(const void *entries, size_t n)
{
	uint8_t body[512] = { 0 };

	assert_true(n + 8 <= sizeof(body));
	memcpy(body + 8, entries, n);
	assert_int_equal(acpi_init(root_of_one(table("APIC", body, n + 8))), 0);
}

static void cpus(void **state)
{
	static const uint8_t e[] = {
		0,  8,	0, 5,	 1, 0, 0, 0,			     /* enabled */
		0,  8,	1, 6,	 0, 0, 0, 0,			     /* not */
		0,  8,	2, 7,	 3, 0, 0, 0,			     /* enabled */
		0,  8,	3, 0xff, 1, 0, 0, 0,			     /* no id */
		0,  6,	4, 9,	 1, 0,				     /* too short for its type */
		77, 4,	0, 0,					     /* unknown */
		9,  16, 0, 0,	 0, 1, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, /* x2APIC 0x100 */
		9,  16, 0, 0,	 7, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, /* the same as LAPIC 7 */
		9,  16, 0, 0,	 5, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, /* and as LAPIC 5 */
	};
	struct acpi_cpu c[8] = { 0 };

	(void)state;
	madt(e, sizeof(e));
	assert_int_equal(acpi_cpus(c, 8), 3);
	assert_int_equal(c[0].hw_id, 5);
	assert_int_equal(c[0].acpi_uid, 0);
	assert_int_equal(c[1].hw_id, 7);
	assert_int_equal(c[2].hw_id, 0x100);
	assert_int_equal(c[2].acpi_uid, 8);
	/* The count is the table's, whatever there is room for. */
	memset(c, 0x55, sizeof(c));
	assert_true(acpi_cpus(c, 1) >= 3);
	assert_int_equal(c[1].hw_id, 0x55555555);
	assert_true(acpi_cpus(NULL, 0) >= 3);
}

/* Each form of entries has ids of its own; what is not enabled has none. */
static void madt_repeated_ids(void **state)
{
	static const uint8_t e[] = {
		0, 8,  0, 5, 1, 0, 0, 0, /* */
		0, 8,  1, 6, 1, 0, 0, 0, /* */
		0, 8,  2, 5, 1, 0, 0, 0, /* 5 again */
		0, 8,  3, 6, 0, 0, 0, 0, /* */
		9, 16, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
	};

	(void)state;
	assert_int_equal(acpi_cpus_repeated(), 0);
	madt(e, sizeof(e));
	assert_int_equal(acpi_cpus_repeated(), 1);
}

static void madt_entries_that_lie(void **state)
{
	static const struct {
		uint8_t e[16];
		size_t n;
	} cases[] = {
		{ { 0, 0, 1, 1, 1, 0, 0, 0 }, 8 }, /* would never end */
		{ { 0, 1, 1, 1, 1, 0, 0, 0 }, 8 },
		{ { 0, 9, 1, 1, 1, 0, 0, 0 }, 8 }, /* past the table */
		{ { 0, 255, 1, 1, 1, 0, 0, 0 }, 8 },
		{ { 0 }, 1 },
	};
	struct madt_ioapic io[2];
	struct acpi_cpu c[8];
	unsigned int i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fresh(state);
		madt(cases[i].e, cases[i].n);
		assert_int_equal(acpi_cpus(c, 8), 0);
		assert_int_equal(madt_ioapics(io, 2), 0);
	}
	fresh(state);
	assert_int_equal(acpi_cpus(c, 8), 0); /* no MADT */
}

static void ioapics(void **state)
{
	static const uint8_t e[] = {
		1, 12, 4, 0, 0, 0, 0xc0, 0xfe, 0,  0, 0, 0, /* */
		1, 12, 5, 0, 0, 0, 0xc1, 0xfe, 24, 0, 0, 0, /* */
		2, 10, 0, 0, 2, 0, 0,	 0,    0,  0,	    /* ISA 0 is GSI 2 */
		2, 10, 0, 9, 9, 0, 0,	 0,    13, 0,	    /* 9: level, high */
		2, 10, 1, 5, 7, 0, 0,	 0,    0,  0,	    /* not the ISA bus */
		2, 10, 0, 6, 6, 0, 0,	 0,    15, 0,	    /* level, low */
	};
	struct madt_ioapic io[3] = { 0 };
	uint32_t gsi;

	(void)state;
	madt(e, sizeof(e));
	assert_int_equal(madt_ioapics(io, 3), 2);
	assert_int_equal(io[0].id, 4);
	assert_int_equal(io[0].address, 0xfec00000);
	assert_int_equal(io[1].gsi_base, 24);
	assert_int_equal(madt_ioapics(io, 1), 1);
	madt_isa_irq(0, &gsi);
	assert_int_equal(gsi, 2);
	madt_isa_irq(9, &gsi);
	assert_int_equal(gsi, 9);
	madt_isa_irq(5, &gsi);
	assert_int_equal(gsi, 5);
}

static void mcfg(void **state)
{
	uint8_t b[8 + 16 * 2 + 7] = { 0 };
	struct acpi_mcfg m[3] = { 0 };

	(void)state;
	b[8 + 3] = 0xb0; /* base 0xb0000000 */
	b[8 + 11] = 0xff;
	b[24 + 8] = 1; /* segment */
	b[24 + 10] = 2;
	b[24 + 11] = 3;
	assert_int_equal(acpi_init(root_of_one(table("MCFG", b, sizeof(b)))), 0);
	assert_int_equal(acpi_mcfg(m, 3), 2); /* the half one at the end is none */
	assert_int_equal(m[0].base, 0xb0000000);
	assert_int_equal(m[0].bus_end, 255);
	assert_int_equal(m[1].segment, 1);
	assert_int_equal(m[1].bus_start, 2);
	assert_int_equal(acpi_mcfg(m, 1), 2); /* listed, one of them stored */
	fresh(state);
	assert_int_equal(acpi_mcfg(m, 3), 0);
	fresh(state);
	assert_int_equal(acpi_init(root_of_one(table("MCFG", b, 4))), 0);
	assert_int_equal(acpi_mcfg(m, 3), 0);
}

/* --- power --------------------------------------------------------------------------------- */

static const uint8_t s5[] = { 0x08, '_',  'S',	'5',  '_', 0x12, 0x06, 0x04, 0x0a, 0x05,
			      0x0a, 0x05, 0x00, 0x00, 0,   0,	 0,    0,    0,	   0 };

static uint64_t fadt_with(uint64_t dsdt, size_t n, uint32_t fadt_flags)
{
	uint8_t b[260] = { 0 };
	const uint64_t at = table("FACP", b, n - 36);
	struct gas g = { .space = 0, .width = 8, .address = 0xfed00004 };

	put32(at + 40, (uint32_t)dsdt);
	if (n >= 116)
		put32(at + 112, fadt_flags);
	if (n >= 129) {
		put(at + 116, &g, sizeof(g));
		ram[at - BASE + 128] = 0x6e; /* reset value */
	}
	if (n >= 148)
		put64(at + 140, dsdt);
	if (n >= 256) {
		g.address = 0xfed00008;
		put(at + 244, &g, sizeof(g));
	}
	put32(at + 76, 0x608);
	fix_sum(at, n, 9);
	return at;
}

static void power(void **state)
{
	uint64_t dsdt = table("DSDT", s5, sizeof(s5));

	(void)state;
	assert_int_equal(acpi_init(root_of_one(fadt_with(dsdt, 268, 1u << 20 | 1u << 10))), 0);
	assert_non_null(acpi_table("DSDT", 0)); /* which no list names */
	assert_int_equal(acpi_pm_timer_port(), 0x608);
	assert_int_equal(acpi_power_off(), -EIO); /* we are still here */
	assert_int_equal(reg[8], 5 << 2 | 1 << 5);
	assert_true(acpi_can_reset());
	assert_false(acpi_pm_timer_32());
	assert_int_equal(acpi_reset(), -EIO);
	assert_int_equal(reg[4], 0x6e);
	/* SLP_TYP 1 as OneOp, without a prefix. */
	fresh(state);
	{
		static const uint8_t one[] = { 0x08, '_',  'S', '5', '_', 0x12, 0x05, 0x04, 0x01,
					       0x0a, 0x07, 0,	0,   0,	  0,	0,    0,    0 };

		dsdt = table("DSDT", one, sizeof(one));
	}
	assert_int_equal(acpi_init(root_of_one(fadt_with(dsdt, 268, 1u << 20))), 0);
	assert_int_equal(acpi_power_off(), -EIO);
	assert_int_equal(reg[8], 1 << 2 | 1 << 5);
}

static void no_power(void **state)
{
	static const uint8_t cut[] = { 0x08, '_', 'S', '5', '_', 0x12, 0xc6, 0x04, 0x0a, 0x05,
				       0,    0,	  0,   0,   0,	 0,    0,    0,	   0,	 0 };
	static const size_t sizes[] = { 44, 80, 116, 128, 140, 244 };
	uint64_t dsdt;
	unsigned int i;

	assert_int_equal(acpi_power_off(), -ENODEV); /* no table at all */
	assert_int_equal(acpi_reset(), -ENODEV);
	assert_false(acpi_can_reset());
	assert_int_equal(acpi_pm_timer_port(), 0);
	/* A FADT that ends before the field that is wanted. */
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		fresh(state);
		dsdt = table("DSDT", s5, sizeof(s5));
		more(64);
		{
			uint8_t b[260] = { 0 };
			const uint64_t at = table("FACP", b, sizes[i] - 36);

			put32(at + 40, (uint32_t)dsdt);
			if (sizes[i] >= 116)
				put32(at + 112, 1u << 20);
			fix_sum(at, sizes[i], 9);
			assert_int_equal(acpi_init(root_of_one(at)), 0);
		}
		assert_int_equal(acpi_power_off(), -ENODEV);
		assert_int_equal(acpi_reset(), -ENODEV);
	}
	/* \_S5_ whose package begins behind the table's end. */
	fresh(state);
	dsdt = table("DSDT", cut, sizeof(cut));
	assert_int_equal(acpi_init(root_of_one(fadt_with(dsdt, 268, 1u << 20))), 0);
	assert_int_equal(acpi_power_off(), -EIO);
	fresh(state);
	dsdt = table("DSDT", s5 + 1, 8);
	assert_int_equal(acpi_init(root_of_one(fadt_with(dsdt, 268, 1u << 20))), 0);
	assert_int_equal(acpi_power_off(), -ENODEV);
}

#define T(f) cmocka_unit_test_setup(f, fresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(whole),
		T(by_rsdt),
		T(by_rsdt_all_the_same),
		T(found_below_1m),
		T(bad_roots),
		T(bad_tables),
		T(many),
		T(cpus),
		T(madt_repeated_ids),
		T(madt_entries_that_lie),
		T(ioapics),
		T(mcfg),
		T(power),
		T(no_power),
	};

	return cmocka_run_group_tests(tests, NULL, end);
}
