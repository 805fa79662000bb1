/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM's clock pages (msr.rst): system time by CPU, wall clock of the boot. */
#ifndef KVMPV_CLOCK_H
#define KVMPV_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/x86_64/kvm.h"

enum {
	PVCLOCK_TSC_STABLE = 1 << 0,
	PVCLOCK_GUEST_STOPPED = 1 << 1
};

struct pvclock_wall_clock {
	uint32_t version;
	uint32_t sec, nsec;
};

/* Registers a page for the calling CPU; shared first when memory is protected. 0, -ENODEV (no such
 * register), -ENOMEM, -EIO (sharing refused). */
int kvm_clock_register(unsigned int cpu);
void kvm_clock_unregister(unsigned int cpu);
const volatile struct pvclock_vcpu_time_info *kvm_clock_page(unsigned int cpu);
/* Nanoseconds by this CPU's page, by the version protocol. 0, -EAGAIN (never stable), -ENODEV. */
int kvm_clock_read(unsigned int cpu, uint64_t *ns);
/* The wall clock at system time 0. */
int kvm_wall_clock(struct pvclock_wall_clock *out);

#endif
