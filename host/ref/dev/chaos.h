/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * assay-refdev --chaos: a device that answers at random. Faults are wrong in one way each and prove a test; this one is
 * wrong in all ways at once, and proves that the payload ends with a report whatever its host does. What it does
 * follows from its seed and from what the guest does.
 */
#ifndef HOST_REF_DEV_CHAOS_H
#define HOST_REF_DEV_CHAOS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The seed decides how often it strikes as well: in 1 of 4 places to 1 of 1024. */
void chaos_begin(uint64_t seed);
/* A place where something may go wrong: whether it does now. False, and nothing is drawn, without chaos_begin(). */
bool chaos_strikes(void);
/* Any number below n, or, now and then, far beyond. */
uint32_t chaos_number(uint32_t n);
/* Changes some of these bytes. */
void chaos_bytes(void *buf, size_t len);

#endif
