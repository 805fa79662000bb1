/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/ref/kvm/faults.h"

FAULT_TABLE("refkvm");
