/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The oracle (oracle.h) at work: it watches every vsock device in every test but benchmarks. What
 * it finds in a packet makes the test that ran a FAIL, whatever its body says.
 */
#ifndef TESTS_VSOCK_WATCH_H
#define TESTS_VSOCK_WATCH_H

#include "tests/vsock/env.h"

/*
 * Begins to watch outside of a test, for the connections that are left from there: a host may send
 * on them later. The fixture calls it for each test.
 */
void vsock_watch(void);
/*
 * At the end of a test, while the device is up: has the peer close all that it opened for the test,
 * waits until nothing is under way any more, and has the oracle look for what should have come. 0,
 * or what the control connection says.
 */
int vsock_watch_audit(const struct vsock_env *e);

#endif
