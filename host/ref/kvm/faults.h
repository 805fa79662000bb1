/* SPDX-License-Identifier: BSD-2-Clause */
/* The reference KVM's injected faults: what a real host bug would do, one thing each. */
#ifndef HOST_REF_KVM_FAULTS_H
#define HOST_REF_KVM_FAULTS_H

#include "host/ref/fault/fault.h"
#include "host/ref/kvm/fault_ids.h"

#endif
