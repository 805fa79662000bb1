/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Injected faults, as every part of the reference host has them: which are on, and how often each was injected.
 *
 * A part lists its faults in host/ref/PART/faults. The build makes host/ref/PART/fault_ids.h of it, with F_GROUP_NAME
 * for the id group.name, and the part has one FAULT_TABLE(). A misbehaviour asks `if (condition && fault(F_X))`:
 * fault() stands last, since it counts an injection each time that it is true.
 */
#ifndef HOST_REF_FAULT_FAULT_H
#define HOST_REF_FAULT_FAULT_H

#include <stdbool.h>
#include <stdint.h>

struct fault_row {
	const char *id, *what;
};

/* Defined by FAULT_TABLE(). */
extern const char fault_component[];
extern const struct fault_row fault_rows[];
extern const unsigned int fault_count;
extern bool fault_enabled[];

#define FAULT_MAX 1024

#define FAULT_TABLE(component)                                                                     \
	_Static_assert(F_COUNT <= FAULT_MAX, "raise FAULT_MAX");                                   \
	const char fault_component[] = component;                                                  \
	const struct fault_row fault_rows[F_COUNT] = { FAULT_ROWS };                               \
	const unsigned int fault_count = F_COUNT;                                                  \
	bool fault_enabled[F_COUNT]

/* Counts an injection; any thread may call it. Always true. */
bool fault_injected(unsigned int id);

static inline bool fault(unsigned int id)
{
	return __builtin_expect(fault_enabled[id], 0) && fault_injected(id);
}

/* For set-up that does no harm by itself: is it on? Counts nothing. */
static inline bool fault_on(unsigned int id)
{
	return fault_enabled[id];
}

/* 0, -ENOENT. */
int fault_enable(const char *id);
/* All off (unit tests). */
void fault_disable_all(void);
/*
 * Once all are enabled: each gets its line in the file of injection counts (host/common/injected.h); path NULL: there
 * is no such file. 0 or -errno.
 */
int fault_begin(const char *path);
/* Writes the last counts. */
void fault_end(void);

#endif
