/* SPDX-License-Identifier: BSD-2-Clause */
/* Instructions and accesses that trap, for trap_call(); lib/<arch>/ has them. */
#ifndef LIB_TRAP_H
#define LIB_TRAP_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/test.h"

/* An instruction that must trap, the vector it must take, and where the architecture says so. */
struct trap_kind {
	const char *name;
	const char *clause;
	uint32_t vector;
	void (*provoke)(void *arg);
	uint8_t code[3]; /* the instruction's bytes */
	uint8_t size;
	bool trap; /* the address that is reported is behind it */
};
/* The n-th, NULL past the last. */
const struct trap_kind *trap_kind(unsigned int n);

/* Whether the reported address is that of this instruction or, of a trap, the one behind it. */
bool trap_ip_fits(const struct trap_kind *k, const struct trap_info *info);

enum trap_access {
	TRAP_READ,
	TRAP_WRITE,
	TRAP_FETCH
};
/* Whether this is a page fault by such an access, to a page that is present (its protection forbids it) or not. A
 * fetch can be told from a read only where a no-execute bit exists. */
bool trap_is_page_fault(const struct trap_info *info, enum trap_access how, bool present);

/* Writes code to p that returns to its caller, and nothing else. */
void trap_write_return(void *p);

#endif
