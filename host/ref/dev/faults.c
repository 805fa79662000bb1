/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/ref/dev/faults.h"

FAULT_TABLE("refdev");
