/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What this architecture promises, and who keeps it: clauses and owners of tests whose bodies suit any architecture
 * (tests/boot, tests/irq).
 */
#ifndef ARCH_PROMISES_H
#define ARCH_PROMISES_H

#define PROMISE_CPU_START                                                                          \
	"Intel SDM 3A, 9.4.3: a processor that gets INIT and STARTUP starts at the vector's page"
#define PROMISE_IPI_WAKES                                                                          \
	"Intel SDM 3A, 11.6.1: a fixed IPI reaches the processor that it is sent to, out of HLT"
#define PROMISE_ATOMIC "Intel SDM 3A, 9.1.2: a locked operation is atomic between processors"
#define PROMISE_NMI                                                                                \
	"Intel SDM 3A, 11.6.1: an IPI of delivery mode NMI interrupts the processor it is sent to"
#define PROMISE_TIMER                                                                              \
	"Intel SDM 3A, 11.5.4: the local APIC's timer interrupts once, and not before its time"
#define PROMISE_TIMER_TIME                                                                         \
	"Intel SDM 3A, 11.5.4: the local APIC's timer interrupts when its count is over"
#define PROMISE_HALT "Intel SDM 2A, HLT: an enabled interrupt resumes execution"
#define PROMISE_IPI                                                                                \
	"Intel SDM 3A, 11.6.1: an IPI arrives on its vector, once, at each processor, the sender too"
#define PROMISE_NO_STRAYS                                                                          \
	"Intel SDM 3A, 11.8: with every line masked no interrupt arrives that nobody asked for"
#define PROMISE_COUNTER "Intel SDM 3B, 18.17: the time-stamp counter increases, on every processor"
#define PROMISE_CPU_IDS                                                                            \
	"ACPI 6.5, 5.2.12.2, 5.2.12.12: each processor's entry in the MADT has an APIC id of its own"
#define PROMISE_LINE_VECTOR                                                                        \
	"Intel 82093AA, 3.2.4: a line interrupts on the vector that its redirection entry has now"

#define OWNER_LOCAL_IRQ "local APIC of the VMM"
#define OWNER_LINES	"I/O APIC of the VMM"
#define OWNER_TIMER	"local APIC timer of the VMM"
#define OWNER_COUNTER	"TSC of the VMM"

#endif
