/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Intel VT-d (Virtualization Technology for Directed I/O, revision 4.1): root and context entries, page tables, invalidation
 * by registers and by the queue, fault records, and remapped interrupts. The promises that every IOMMU makes are behind
 * drivers/iommu/iommu.h, once for each mode that the unit has: legacy mode, and scalable mode with page tables of the second
 * or first stage. Here is what only this one has, with raw doors for tests that write what a driver would not; they are for
 * legacy mode.
 */
#ifndef DRIVERS_IOMMU_X86_64_VTD_H
#define DRIVERS_IOMMU_X86_64_VTD_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/iommu/iommu.h"
#include "drivers/iommu/x86_64/dmar.h"
#include "lib/endian.h"

/* What the unit says that it can (11.4.2, 11.4.3), in numbers that hold. */
struct vtd_features {
	unsigned int address_bits;  /* that a device may send: MGAW */
	unsigned int physical_bits; /* of the platform: DMAR's host address width */
	unsigned int domain_bits;
	unsigned int levels;	 /* of page tables: bit n is set for n levels, 3 to 5 */
	unsigned int large;	 /* pages: bit 1 for 2 MiB, bit 2 for 1 GiB */
	unsigned int records;	 /* of faults */
	unsigned int most_pages; /* a power of two: of one invalidation by page */
	bool by_page, pass_through, caching_mode, write_buffer, coherent, snoop, device_tlb;
	bool protected_low, protected_high, root_invalidates;
	bool queue, interrupts, x2apic, scalable, second_stage, first_stage;
};

struct vtd;

/* The n-th unit of the machine that can be driven, NULL past the last, and what it is to others in legacy mode. */
struct vtd *vtd_get(unsigned int n);
struct iommu *vtd_iommu(struct vtd *v);
const struct vtd_features *vtd_features(const struct vtd *v);

/* --- registers ------------------------------------------------------------------------------- */

enum vtd_register { /* 11.4 */
	VTD_VERSION = 0x00,
	VTD_CAPABILITY = 0x08,
	VTD_EXTENDED = 0x10,
	VTD_COMMAND = 0x18,
	VTD_STATUS = 0x1c,
	VTD_ROOT = 0x20,
	VTD_CONTEXT_COMMAND = 0x28,
	VTD_FAULT_STATUS = 0x34,
	VTD_FAULT_CONTROL = 0x38,
	VTD_FAULT_DATA = 0x3c,
	VTD_FAULT_ADDRESS = 0x40,
	VTD_FAULT_ADDRESS_HIGH = 0x44,
	VTD_PROTECTED = 0x64,
	VTD_QUEUE_HEAD = 0x80,
	VTD_QUEUE_TAIL = 0x88,
	VTD_QUEUE = 0x90,
	VTD_DONE_STATUS = 0x9c,
	VTD_DONE_CONTROL = 0xa0,
	VTD_DONE_DATA = 0xa4,
	VTD_DONE_ADDRESS = 0xa8,
	VTD_DONE_ADDRESS_HIGH = 0xac,
	VTD_INTERRUPT_TABLE = 0xb8,
};
enum { /* of VTD_COMMAND and VTD_STATUS, by bit number */
	VTD_ON_TRANSLATION = 31,
	VTD_SET_ROOT = 30,
	VTD_FLUSH_WRITES = 27,
	VTD_ON_QUEUE = 26,
	VTD_ON_INTERRUPTS = 25,
	VTD_SET_INTERRUPT_TABLE = 24,
	VTD_ON_COMPATIBILITY = 23,
};
enum { /* of VTD_FAULT_STATUS */
	VTD_FAULT_OVERFLOW = 1u << 0,
	VTD_FAULT_PENDING = 1u << 1,
	VTD_FAULT_QUEUE = 1u << 4,
};
enum { /* of VTD_FAULT_CONTROL and VTD_DONE_CONTROL */
	VTD_EVENT_MASKED = 1u << 31,
	VTD_EVENT_PENDING = 1u << 30,
};
uint32_t vtd_read32(const struct vtd *v, unsigned int off);
uint64_t vtd_read64(const struct vtd *v, unsigned int off);
void vtd_write32(struct vtd *v, unsigned int off, uint32_t value);
void vtd_write64(struct vtd *v, unsigned int off, uint64_t value);
/* Sets or clears one bit of VTD_COMMAND and waits for VTD_STATUS to say so. 0, -ETIMEDOUT. */
int vtd_command(struct vtd *v, unsigned int bit, bool on);
/* Makes the root table the unit's (again), without any invalidation. */
int vtd_set_root(struct vtd *v);

/* --- entries (9.1, 9.3, 9.8) -------------------------------------------------------------------- */

/* Root and context entries. */
struct vtd_entry {
	le64 low, high;
};
#define VTD_PRESENT	    (1ull << 0)
#define VTD_FAULTS_OFF	    (1ull << 1) /* context */
#define VTD_TYPE(n)	    ((uint64_t)(n) << 2)
#define VTD_TYPE_MASK	    VTD_TYPE(3)
#define VTD_PASS_THROUGH    VTD_TYPE(2)
#define VTD_WIDTH(levels)   ((uint64_t)((levels)-2))
#define VTD_WIDTH_MASK	    7ull
#define VTD_DOMAIN_ID(did)  ((uint64_t)(did) << 8)
#define VTD_READ	    (1ull << 0) /* page tables */
#define VTD_WRITE	    (1ull << 1)
#define VTD_LARGE	    (1ull << 7)
#define VTD_SNOOP	    (1ull << 11)
#define VTD_ADDRESS_OF(low) ((low)&0x000ffffffffff000ull)

/* The bus's root entry; the function's context entry, NULL where the bus has no table. */
struct vtd_entry *vtd_root_entry(struct vtd *v, uint8_t bus);
struct vtd_entry *vtd_context_entry(struct vtd *v, uint16_t requester);
/*
 * The entry of level `level` (1 is a page's) for this address in a domain. NULL: no domain, or no table that far down;
 * with `make` tables are made on the way, and there is no memory.
 */
le64 *vtd_paging_entry(struct vtd *v, uint32_t domain, uint64_t address, unsigned int level,
		       bool make);
/* Makes what was written to an entry visible to the unit; nothing is invalidated. */
void vtd_written(struct vtd *v, const volatile void *entry, uint32_t bytes);
/*
 * An entry of two halves becomes this. The unit may read it at any time, and sees it absent until both halves are there.
 * Nothing is invalidated.
 */
void vtd_entry_set(struct vtd *v, struct vtd_entry *e, uint64_t low, uint64_t high);
/* Domains that are made from now on have page tables of so many levels. start() sets the most that the unit has up to 4. */
void vtd_levels(struct vtd *v, unsigned int levels);

/* --- invalidation --------------------------------------------------------------------------------- */

enum vtd_scope {
	VTD_ALL = 1,
	VTD_OF_DOMAIN = 2,
	VTD_OF_ONE = 3, /* function, or pages */
};
/* By which way later invalidations go. start() takes the registers. 0, -EOPNOTSUPP, -ETIMEDOUT. */
int vtd_by_queue(struct vtd *v, bool on);
/* 0, -ETIMEDOUT, -EPROTO (the unit says that it did not do it). `pages` is the exponent of a power of two. */
int vtd_forget_context(struct vtd *v, enum vtd_scope scope, uint16_t domain, uint16_t requester);
int vtd_forget(struct vtd *v, enum vtd_scope scope, uint16_t domain, uint64_t address,
	       unsigned int pages);
/* Interrupt entries: all of them, or 2^n from one on. By the queue only: else -EOPNOTSUPP. */
int vtd_forget_interrupts(struct vtd *v, bool all, uint16_t index, unsigned int n);

#define VTD_QUEUE_ENTRIES 256u
enum vtd_descriptor { /* 6.5.2 */
	VTD_DESC_CONTEXT = 1,
	VTD_DESC_IOTLB = 2,
	VTD_DESC_INTERRUPTS = 4,
	VTD_DESC_WAIT = 5,
	VTD_WAIT_INTERRUPT = 1u << 4,
	VTD_WAIT_WRITE = 1u << 5,
};
/* Puts one raw descriptor behind the last; the unit is told of it, and nothing is waited for. */
void vtd_queue_put(struct vtd *v, uint64_t low, uint64_t high);
/* A wait descriptor behind what is there, and its status in time: 0, -ETIMEDOUT, -EPROTO (the queue has stopped). */
int vtd_queue_wait(struct vtd *v);
/* Behind a descriptor that stopped the queue: a wait descriptor in its place, and on it goes. As vtd_queue_wait(). */
int vtd_queue_resume(struct vtd *v);

/* --- interrupt remapping (5.1, 9.10) ---------------------------------------------------------------- */

#define VTD_INTERRUPTS 256u
#define VTD_VECTOR(n)  ((uint64_t)(n) << 16)
#define VTD_SOURCE(requester)                                                                      \
	((uint64_t)(requester) | 1ull << 18) /* high: of this requester alone */
/*
 * Messages are remapped from now on, by an empty table, or no longer; they need the queue. Interrupts that were set up before
 * are blocked meanwhile. 0, -EOPNOTSUPP, -ENOMEM, -ETIMEDOUT.
 */
int vtd_interrupts(struct vtd *v, bool on);
struct vtd_entry *vtd_interrupt_entry(struct vtd *v, uint16_t index);
/* The low half of an entry that gives this vector of this CPU, present. */
int vtd_interrupt_to(const struct vtd *v, int vector, unsigned int cpu, uint64_t *low);
/* The address that a message for an entry goes to; with `sub` its data is added to the index. */
uint64_t vtd_message_address(uint16_t index, bool sub);

/* --- faults ----------------------------------------------------------------------------------------- */

enum vtd_reason { /* 7.1.3: legacy mode */
	VTD_NO_ROOT = 0x1,
	VTD_NO_CONTEXT = 0x2,
	VTD_BAD_CONTEXT = 0x3,
	VTD_BEYOND_WIDTH = 0x4,
	VTD_NO_WRITE = 0x5,
	VTD_NO_READ = 0x6,
	VTD_BAD_TABLE = 0x7,
	VTD_ROOT_RESERVED = 0xa,
	VTD_CONTEXT_RESERVED = 0xb,
	VTD_PAGING_RESERVED = 0xc,
	VTD_TYPE_BLOCKED = 0xd,
	VTD_MESSAGE_RESERVED = 0x20,
	VTD_MESSAGE_INDEX = 0x21,
	VTD_MESSAGE_ABSENT = 0x22,
	VTD_MESSAGE_TABLE = 0x23,
	VTD_MESSAGE_ENTRY = 0x24,
	VTD_MESSAGE_COMPATIBLE = 0x25,
	VTD_MESSAGE_SOURCE = 0x26,
};
struct vtd_fault {
	uint16_t requester;
	uint8_t reason;
	bool read;
	uint64_t page;	/* DMA */
	uint16_t index; /* a message's */
};
/* Takes the oldest record: 1, 0 (none), -EPROTO (pending says one thing and the records another). */
int vtd_fault_get(struct vtd *v, struct vtd_fault *f);
/* Whether faults were lost since the last call. */
bool vtd_fault_lost(struct vtd *v);

#endif
