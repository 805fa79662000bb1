/* SPDX-License-Identifier: BSD-2-Clause */
/* What the boot.apic.* tests share: the registers of the x2APIC mode (Intel SDM 3A, 11.12.1.2). */
#ifndef TESTS_X86_64_APIC_H
#define TESTS_X86_64_APIC_H

#include "lib/test.h"

enum {
	X2APIC_TPR = 0x808,
	X2APIC_PPR = 0x80a,
	X2APIC_LDR = 0x80d,
	X2APIC_ISR = 0x810, /* of vectors 0 to 31; 32 more in each of the next */
	X2APIC_IRR = 0x820,
	X2APIC_ICR = 0x830,
	X2APIC_LVT_TIMER = 0x832,
	X2APIC_TIMER_INITIAL = 0x838,
	X2APIC_TIMER_CURRENT = 0x839,
	X2APIC_SELF_IPI = 0x83f,
	LVT_MASKED = 1u << 16,
	LVT_PERIODIC = 1u << 17,
};

/* Ends the test as a SKIP where the local APICs are in another mode. */
void x2apic_only(struct test_ctx *t);

#endif
