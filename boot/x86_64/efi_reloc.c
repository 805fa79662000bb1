/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * GNU-EFI's crt0 calls this before anything else, in place of its own function, since
 * the image's relocations are packed (DT_RELR) and take a twentieth of the room. The
 * code uses no data that has to be relocated itself.
 */
#include <stdint.h>

enum {
	DT_NULL = 0,
	DT_RELA = 7,
	DT_RELASZ = 8,
	DT_RELRSZ = 35,
	DT_RELR = 36
};
enum {
	R_X86_64_RELATIVE = 8
};

struct elf64_dyn {
	int64_t tag;
	uint64_t value;
};

struct elf64_rela {
	uint64_t offset;
	uint64_t info;
	int64_t addend;
};

uint64_t _relocate(uint64_t base, const struct elf64_dyn *dyn);

static void apply_rela(uint64_t base, uint64_t table, uint64_t size)
{
	const struct elf64_rela *r = (const struct elf64_rela *)(base + table);

	for (; size >= sizeof(*r); size -= sizeof(*r), r++)
		if ((uint32_t)r->info == R_X86_64_RELATIVE)
			*(uint64_t *)(base + r->offset) = base + (uint64_t)r->addend;
}

/* An even word is an address; an odd one a bit map of the 63 words behind the last address. */
static void apply_relr(uint64_t base, uint64_t table, uint64_t size)
{
	const uint64_t *r = (const uint64_t *)(base + table);
	uint64_t *where = (uint64_t *)base, bits, i;

	for (; size >= sizeof(*r); size -= sizeof(*r), r++) {
		if (!(*r & 1)) {
			where = (uint64_t *)(base + *r);
			*where++ += base;
			continue;
		}
		for (bits = *r >> 1, i = 0; bits; bits >>= 1, i++)
			if (bits & 1)
				where[i] += base;
		where += 63;
	}
}

uint64_t _relocate(uint64_t base, const struct elf64_dyn *dyn)
{
	uint64_t rela = 0, rela_size = 0, relr = 0, relr_size = 0;

	for (; dyn->tag != DT_NULL; dyn++) {
		if (dyn->tag == DT_RELA)
			rela = dyn->value;
		else if (dyn->tag == DT_RELASZ)
			rela_size = dyn->value;
		else if (dyn->tag == DT_RELR)
			relr = dyn->value;
		else if (dyn->tag == DT_RELRSZ)
			relr_size = dyn->value;
	}
	if (rela)
		apply_rela(base, rela, rela_size);
	if (relr)
		apply_relr(base, relr, relr_size);
	return 0; /* EFI_SUCCESS */
}
