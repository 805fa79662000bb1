/* SPDX-License-Identifier: BSD-2-Clause */
/* What vtd.c (the unit: registers, tables, caches, records) and vtd_ops.c (its life, domains and mappings) share. */
#ifndef DRIVERS_IOMMU_X86_64_VTD_INTERNAL_H
#define DRIVERS_IOMMU_X86_64_VTD_INTERNAL_H

#include "drivers/iommu/x86_64/vtd.h"
#include "lib/spinlock.h"
#include "lib/time.h"

#define VTD_MAX_DOMAINS 32u
#define VTD_MAX_SEATS	32u
#define VTD_MAX_TABLES	512u
#define VTD_ANSWER_NS	(2 * time_sec())
#define VTD_BIT(n)	(1u << (n))

enum { /* scalable mode: 6.5.2, 9.6 */
	VTD_DESC_PASID_IOTLB = 6,
	VTD_DESC_PASID_CACHE = 7,
	VTD_PASID_OF_DOMAIN = 0u << 4,
	VTD_PASID_ALL = 3u << 4,
	VTD_PASID_PAGES = 3u << 4,

	VTD_STAGE_FIRST = 1u << 6,
	VTD_STAGE_SECOND = 2u << 6,
	VTD_STAGE_NONE = 4u << 6,

	VTD_USER = 1u << 2, /* of entries of the first stage */
	VTD_ACCESSED = 1u << 5,
	VTD_DIRTY = 1u << 6,
};

struct vtd_domain {
	bool used, identity;
	uint32_t id;
	unsigned int levels, seats;
	le64 *table;
};

/* An endpoint that is attached. */
struct vtd_seat {
	struct vtd_domain *d; /* NULL: nobody sits here */
	uint16_t requester;
};

/* Each mode of a unit is an IOMMU of its own to callers. One of them can be up at a time. */
enum vtd_mode {
	VTD_LEGACY,
	VTD_SECOND_STAGE, /* scalable mode */
	VTD_FIRST_STAGE,  /* likewise */
	VTD_MODES,
};

struct vtd_face {
	struct iommu m;
	struct vtd *v;
	enum vtd_mode mode;
};

struct vtd {
	struct vtd_face face[VTD_MODES];
	enum vtd_mode mode;
	struct dmar_unit unit;
	unsigned int number;
	volatile uint8_t *regs;
	struct vtd_features f;
	unsigned int iotlb_at, records_at; /* offsets of registers */
	bool up, queued, lasting;
	unsigned int epoch; /* starts so far */
	spinlock_t lock;
	unsigned int levels;			   /* of new domains */
	struct vtd_entry *root, *context[2 * 256]; /* legacy mode has one of two for each bus */
	struct vtd_domain domain[VTD_MAX_DOMAINS];
	struct vtd_seat seat[VTD_MAX_SEATS];
	struct {
		void *page; /* NULL: free */
		const void
			*owner; /* a domain, a seat; NULL: nobody, and the unit may still read it */
	} table[VTD_MAX_TABLES];
	struct vtd_entry *queue, *messages;
	unsigned int tail;
	volatile uint32_t waited;
	uint32_t waits;
	bool lost;
	unsigned int kept; /* pages that count as taken for good */
};

/* --- vtd.c -------------------------------------------------------------------------------------- */

/* Maps the unit's registers and reads what it can. false: face[VTD_LEGACY].m.error says what makes no sense. */
bool vtd_find_out(struct vtd *v);
bool vtd_is_on(const struct vtd *v, unsigned int bit);
/* A zeroed page that the unit can address, NULL: none; one that is listed as a domain's or seat's. */
void *vtd_new_table(struct vtd *v);
void vtd_free_table(struct vtd *v, void *p);
void *vtd_table_of(struct vtd *v, const void *owner);
void vtd_free_tables(struct vtd *v, const void *owner);
/* Those that the unit may still read stay taken until it is off, whoever comes in the owner's place. */
void vtd_disown_tables(struct vtd *v, const void *owner);
unsigned int vtd_shift_of(unsigned int level);
struct vtd_domain *vtd_domain_find(struct vtd *v, uint32_t id);
/* As vtd_paging_entry(). */
le64 *vtd_walk(struct vtd *v, const struct vtd_domain *d, uint64_t address, unsigned int level,
	       bool make);
/* The first half of the function's context entry in scalable mode; NULL: there is no table for it. */
struct vtd_entry *vtd_scalable_entry(struct vtd *v, uint16_t requester);
/* A descriptor and a wait descriptor behind it, which is waited for. */
int vtd_queued(struct vtd *v, uint64_t low, uint64_t high);
int vtd_queue_off(struct vtd *v);
int vtd_forget_all(struct vtd *v);
void vtd_clear_faults(struct vtd *v);

#endif
