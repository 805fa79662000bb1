/* SPDX-License-Identifier: BSD-2-Clause */
/* The CPUs. Index 0 is the one that booted; tests run there. */
#ifndef LIB_SMP_H
#define LIB_SMP_H

#include <stdint.h>

#define SMP_MAX_CPUS 64 /* a larger machine has CPUs that are not started */

/* How many CPUs the firmware lists as usable, how many of these are to start, and how many did. */
unsigned int smp_cpus_listed(void);
unsigned int smp_cpus_present(void);
unsigned int smp_cpus_online(void);
unsigned int smp_this_cpu(void);
/* Hardware id of a CPU: its name at the interrupt controller (x86: the local APIC id). */
uint32_t smp_hw_id(unsigned int cpu);

/* Starts fn(arg) on an idle CPU, with interrupts enabled, and returns at once. 0, -EBUSY (the CPU has work),
 * -EINVAL. */
int smp_call_async(unsigned int cpu, void (*fn)(void *arg), void *arg);
/* Waits for what smp_call_async() started. 0, -ETIMEDOUT after ns nanoseconds, -EFAULT: fn took an exception (the
 * registers are printed; the CPU is usable again). */
int smp_wait(unsigned int cpu, uint64_t ns);
/* smp_call_async() and smp_wait(); on the calling CPU fn(arg) is just called. */
int smp_call(unsigned int cpu, void (*fn)(void *arg), void *arg, uint64_t ns);
/* Physical address of the page below 1 MiB where CPUs start; 0: there is none. */
uint64_t smp_trampoline(void);
/* Stops an idle CPU by INIT and starts it again; meanwhile (or NULL) is called while it comes up. 0, -EINVAL,
 * -EBUSY, -ENODEV (no trampoline), -ETIMEDOUT: the CPU is gone. */
int smp_restart(unsigned int cpu, void (*meanwhile)(void *arg), void *arg);
/* Takes each CPU that is at work out of it, by NMI; how many there were. It is called between tests, so that a
 * function that hangs on another CPU costs one test. A CPU that does not answer the NMI stays busy for good. */
unsigned int smp_reclaim(void);
/* Sends one NMI to an idle CPU, which does nothing at it. 0 once it was taken, -EINVAL, -ETIMEDOUT. */
int smp_nmi_one(unsigned int cpu, uint64_t ns);
/* How many NMIs a CPU has taken since boot. */
uint32_t smp_nmis(unsigned int cpu);

#endif
