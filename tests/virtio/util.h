/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the virtio.* suites share: bringing a device up with chosen features,
 * interrupts and queue size; "actors", that is queues of devices that do
 * something when they are given a buffer (rng: fills it; vsock: takes a packet);
 * and descriptors written by hand.
 */
#ifndef TESTS_VIRTIO_UTIL_H
#define TESTS_VIRTIO_UTIL_H

#include "drivers/virtio/packed.h"
#include "drivers/virtio/split.h"
#include "drivers/virtio/virtio.h"
#include "drivers/virtio/virtqueue.h"
#include "lib/test.h"
#include "tests/support/needs.h"

/* Device back ends differ; the front end is the VMM's. */
#define OWNER_FRONT "the VMM's virtio front end"
#define OWNER_RING  "the device's virtqueue code"

/* Long enough for a loaded host; used only where an answer is due. */
#define ANSWER_NS (2 * test_sec())
/*
 * How long nothing must happen where nothing may: 20 ms, and longer on a host whose devices were slow to
 * answer lately, since what it does wrong comes as late.
 */
#define QUIET_NS vt_quiet_ns()
uint64_t vt_quiet_ns(void);

struct virtio_mmio;
struct virtio_pci;
struct virtio_pci_cap_info;

enum rings {
	RINGS_USUAL, /* those that a driver takes */
	RINGS_EACH,  /* each device with split rings, then with packed ones where it offers them */
	RINGS_SPLIT,
	RINGS_PACKED,
};

struct bring_up {
	enum rings rings;  /* of actor_mode_up() */
	uint64_t features; /* of those offered; VERSION_1 and ACCESS_PLATFORM come on top */
	enum virtio_irq_mode irq;
	uint16_t size;	   /* 0: the device's largest */
	bool no_driver_ok; /* stop before DRIVER_OK */
	enum virtio_place place;
};

/* Devices that the suites may reset and drive: all but IOMMUs, which others' DMA goes through. */
struct virtio_device *vt_device(unsigned int n);
/* The n-th of them on PCI, on PCI with MSI-X, on MMIO; NULL past the last. */
struct virtio_pci *vt_pci(unsigned int n);
struct virtio_pci *vt_msix(unsigned int n);
struct virtio_mmio *vt_mmio(unsigned int n);
void vt_bus_master(const struct virtio_pci *p, bool on);
/* Its first shared memory region that lies in a BAR, or NULL. */
const struct virtio_pci_cap_info *vt_shared_region(const struct virtio_pci *p);
/*
 * The n-th virtio function on PCI, usable or not, but legacy ones: for tests that read its configuration
 * space. NULL past the last.
 */
struct virtio_pci *vt_pci_function(unsigned int n);
/* "pci 00:03.0 rng"; one buffer for all callers. */
const char *vt_who(const struct virtio_device *d);
/* Reset, features, queues (all that the device has), DRIVER_OK. 0 or -errno, d->error says more. */
int vt_try_up(struct virtio_device *d, const struct bring_up *how);
/* The same; failure ends the test as an ERROR. */
void vt_up(struct test_ctx *t, struct virtio_device *d, const struct bring_up *how);
/*
 * The same with queues of VT_MISPLACED entries for a driver that polls, but that one of the three parts of this queue is
 * said to lie elsewhere. 0, or -errno: the device refuses that, and d->error says how.
 */
#define VT_MISPLACED 8u
int vt_up_misplaced(struct test_ctx *t, struct virtio_device *d, uint64_t features, uint16_t queue,
		    unsigned int part, uint64_t to);
/* One more status bit; the status read back. */
uint8_t vt_add_status(struct virtio_device *d, uint8_t bit);
/*
 * Writes 0 to the status, and does no more: the driver's queues and interrupts stay. true: it reads 0 in time. A
 * driver waits as long as it takes; ANSWER_NS are more than any device needs.
 */
bool vt_clear_status(struct virtio_device *d);
/* The same; a device that shows no reset FAILs the test and ends it. */
void vt_must_reset(struct test_ctx *t, struct virtio_device *d);

/* All devices in reset, memory of vt_dma() given back: what the fixture of virtio.* does. */
void vt_reset_all(void);
/*
 * The same behind a test, for the teardown of fixtures whose tests use actors; then a device that left a buffer
 * unused gets a plain one. If it does not use that either, the test FAILs, and actor_up() ends later tests of this
 * device as an ERROR. A new boot is asked for, unless the device never worked.
 */
void vt_settle(void);

/* Zeroed memory that the device sees, freed after the test; no memory ends the test. */
uint8_t *vt_dma(struct test_ctx *t, struct virtio_device *d, size_t size, dma_addr_t *addr);

/* A queue that acts. */
struct actor {
	struct virtio_device *d;
	uint16_t queue;
	bool packed;  /* its rings are packed ones */
	bool writes;  /* rng: a writable buffer; vsock: a readable one of `len` bytes */
	uint32_t len; /* of a plain buffer */
	uint64_t cid; /* vsock: our CID */
	bool mute;    /* vsock: does not answer requests to a closed port */
	/* Set by actor_up(). */
	struct virtqueue *vq;
	uint8_t *mem; /* ACTOR_MEM bytes for the device */
	dma_addr_t addr;
	unsigned int posted, taken; /* buffers since actor_up() */
	uint32_t port;		    /* vsock: of the last packet */
};
#define ACTOR_MEM 16384u

/* The n-th actor of this machine: rng devices, then vsock devices whose config makes sense. */
bool actor_get(unsigned int n, struct actor *a);
/* The same by the layout of the rings. */
bool actor_of(unsigned int n, enum rings rings, struct actor *a);
/* The n-th of those that are PCI functions; NULL past the last. */
struct virtio_pci *actor_on_pci(unsigned int n, struct actor *a);
/* Ends the test as a SKIP if there is none at all. */
void actor_need(struct test_ctx *t);
/* Ends the test as a SKIP if none was tried: "no rng or vsock device " and what they lack. */
void actor_tried(struct test_ctx *t, unsigned int tried, const char *what);
/* Up, with buffers in the vsock's receive queue. Failure ends the test as an ERROR. */
void actor_up(struct test_ctx *t, struct actor *a, const struct bring_up *how);
/* Up as the n-th combination of actor and interrupt mode that works; false past the last. */
bool actor_mode_up(struct test_ctx *t, unsigned int n, const struct bring_up *how, struct actor *a);
/* "pci 00:03.0 rng, msix"; one buffer for all callers. */
const char *actor_who(const struct actor *a);
/*
 * Puts a fresh request into mem: vsock: a REQUEST to a port where nobody listens (an RST comes back), or
 * with quiet an RST (nothing comes back). rng: a pattern to be overwritten.
 */
void actor_prepare(struct actor *a, bool quiet);
/* Stages descriptor i: len bytes at mem + off. */
void actor_desc(struct actor *a, uint16_t i, uint32_t off, uint32_t len, uint16_t flags,
		uint16_t next);
/* The i-th entry of an indirect table at `table`, anywhere in the actor's memory; as actor_desc(). */
void actor_entry(struct actor *a, void *table, uint16_t i, uint32_t off, uint32_t len,
		 uint16_t flags, uint16_t next);
/* WRITE for an actor that writes, else 0. */
uint16_t actor_flags(const struct actor *a);
/* Makes the chain from head available; nobody is told. */
void actor_post(struct actor *a, uint16_t head);
/* Makes n heads from 0 on available at once, so that the device may take them for a batch. */
void actor_post_batch(struct actor *a, uint16_t n);
/* Waits until n more buffers are used, with time limit ns; those used, at most n. */
unsigned int actor_wait(struct actor *a, unsigned int n, uint64_t ns);
/* The element that was used k buffers after the last actor_done(). */
void actor_used(struct actor *a, unsigned int k, uint32_t *id, uint32_t *len);
/* The parts of a split ring, for clauses about it; NULL: it is none. */
struct vq_split *actor_split(struct actor *a);
/* The same of a packed one. */
struct vq_packed *actor_packed(struct actor *a);
/* Used-buffer notifications of its queue, or of all queues where they share a vector or line, since actor_up(). */
uint64_t actor_interrupts(const struct actor *a);
/* Counts n buffers as taken back. */
void actor_done(struct actor *a, unsigned int n);
/* One plain buffer (descriptor 0), told and waited for; actor_round() takes it back, too. true: used in time. */
bool actor_used_in_time(struct actor *a);
bool actor_round(struct actor *a);
/* A quiet request and its actor_round(); a buffer that is not used in time FAILs the test and ends it. */
void actor_one(struct test_ctx *t, struct actor *a);
/*
 * Whether the device understood the request: vsock: its RST came; rng: bytes of mem changed. Takes
 * receive buffers back. A vsock device that does not even answer a plain request (found out once) is
 * judged by the use of the buffer alone: true.
 */
bool actor_understood(struct actor *a, uint32_t used_len);
/* Whether the device has acted on the last request by now, in any way: it is not waited for. A mute one never does. */
bool actor_acted(struct actor *a);
/*
 * Whether what lies behind the last request's writable buffers is as it was: the receive buffers of a vsock
 * device, the plain buffer of a rng.
 */
bool actor_in_bounds(const struct actor *a);

#endif
