/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What fuzzers that play a hostile VMM of the reference device share: the guest's memory, the device at the other end of
 * a socket, and the promise that queues which run lie within the memory that the device was given.
 */
#ifndef TESTS_FUZZ_VMM_H
#define TESTS_FUZZ_VMM_H

#include "host/ref/dev/device.h"
#include "tests/fuzz/input.h"

#define VMM_MEM_SIZE 0x20000u
#define VMM_GPA	     0x100000ull

struct vmm {
	int mem_fd, event_fd;
	uint8_t *mem; /* the guest's */
	struct device *d;
	int fd, device_fd; /* the VMM's end, and the device's, which its front end owns */
};

/* A new device with two CIDs; the guest's memory is all zeros. */
struct vmm *vmm_start(void);
/* Behind the end of its front end. */
void vmm_end(struct vmm *m);
void vmm_check_rings(const struct vmm *m);
/* As a guest would: a descriptor, an avail entry, the index. */
void vmm_scribble(struct vmm *m, struct input *in);

#endif
