/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The translations that an IOMMU in front of the device gave it: I/O virtual addresses to the VMM's own. What is not there is
 * asked for, and the answer comes later; what the VMM takes back is gone before that is acknowledged.
 *
 * Source: QEMU's docs/interop/vhost-user.rst, "IOMMU support".
 */
#ifndef HOST_REF_DEV_IOTLB_H
#define HOST_REF_DEV_IOTLB_H

#include <stdbool.h>
#include <stdint.h>

#define IOTLB_MAX   2048u /* translations; a new one takes the place of the oldest */
#define IOTLB_ASKED 64u	  /* that are on their way */

struct iotlb_entry {
	uint64_t iova, size, uva;
	bool read, write;
};

struct iotlb {
	struct iotlb_entry e[IOTLB_MAX];
	unsigned int n, oldest;
	struct {
		uint64_t iova;
		bool write;
		bool again; /* it may be asked for once more; the answer may be on its way all the same */
	} asked[IOTLB_ASKED];
	unsigned int num_asked;
	/* What faults remember. */
	uint64_t late_iova, late_size, ever_asked;
	/* Asks the VMM for the translation of one address. */
	void (*miss)(void *arg, uint64_t iova, bool write);
	void *arg;
};

void iotlb_clear(struct iotlb *t);
/*
 * What lies below a new translation is replaced. It allows what was asked for, of what it says: QEMU tells both accesses
 * whatever the mapping allows. One that nobody asked for is taken as it is.
 */
void iotlb_update(struct iotlb *t, const struct iotlb_entry *e);
/* Whatever has a byte in the range is dropped. */
void iotlb_invalidate(struct iotlb *t, uint64_t iova, uint64_t size);
/* The VMM has not answered, perhaps since there was nothing: it is asked again. */
void iotlb_ask_again(struct iotlb *t);
/* The translation of an address that allows the access; NULL: the VMM is asked for it. */
const struct iotlb_entry *iotlb_find(struct iotlb *t, uint64_t iova, bool write);

#endif
