/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page states of a guest with protected memory: a file that the reference
 * KVM (host/ref/kvm) writes and every device of the guest (host/ref/dev) maps.
 * One byte a guest frame, so that a store is atomic and a device sees either
 * the old state or the new one.
 */
#ifndef HOST_COMMON_PAGE_STATE_H
#define HOST_COMMON_PAGE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_STATE_MAGIC   "ASSAYPGS"
#define PAGE_STATE_VERSION 1
#define PAGE_STATE_SHIFT   12

enum page_state_value {
	PAGE_PRIVATE = 0, /* only meaningful while `protected` is set */
	PAGE_SHARED = 1,
	PAGE_NO_MEMORY = 2, /* no memory slot there: a hole or MMIO */
};

struct page_state_file {
	char magic[8];
	uint32_t version;
	uint32_t is_protected; /* atomic: 0 every page may be touched, 1 only shared ones */
	uint64_t frames;       /* bytes in state[] */
	uint64_t conversions;  /* atomic, counts every change: a device may drop what it cached */
	uint8_t pad[32];
	uint8_t state[];
};
_Static_assert(sizeof(struct page_state_file) == 64, "shared between processes");

struct page_states {
	struct page_state_file *file;
	size_t bytes;
};

/* Creates (or replaces) and maps the file for `frames` frames, all PAGE_NO_MEMORY. 0 or -errno. */
int page_states_create(const char *path, uint64_t frames, struct page_states *out);
/* Maps an existing file; magic, version and size are checked. 0, -EPROTO, -errno. */
int page_states_open(const char *path, struct page_states *out);
void page_states_close(struct page_states *p);

/* What a device asks before it touches [gpa, gpa+len): true when protection is off or every page of it
 * is shared. *bad: the first address that is not. Frames past the file's end are private. */
bool page_states_allowed(const struct page_states *p, uint64_t gpa, uint64_t len, uint64_t *bad);

static inline bool page_states_protected(const struct page_states *p)
{
	return __atomic_load_n(&p->file->is_protected, __ATOMIC_ACQUIRE);
}

#endif
