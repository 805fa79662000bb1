/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Injected faults: one thing that a real device could get wrong, each. A hook is `if (condition && fault(F_X))`. Faults of
 * connections spare the control connection, by which the guest and the peer talk about the test: those hooks ask
 * fault_on_conn().
 */
#ifndef HOST_REF_DEV_FAULTS_H
#define HOST_REF_DEV_FAULTS_H

#include "host/peer/proto.h"
#include "host/ref/dev/fault_ids.h"
#include "host/ref/fault/fault.h"

static inline bool fault_on_conn(enum fault_id f, uint32_t host_port)
{
	return host_port != ASSAY_CTL_PORT && fault(f);
}

#endif
