/* SPDX-License-Identifier: BSD-2-Clause */
/* The CPUs. Index 0 is the one that booted; tests run there. */
#ifndef LIB_SMP_H
#define LIB_SMP_H

#include <stdint.h>

#define SMP_MAX_CPUS 64 /* that are started; a machine may have more */

/* CPUs listed as usable by the firmware, those that are to start, and those that answered. */
unsigned int smp_cpus_listed(void);
unsigned int smp_cpus_present(void);
unsigned int smp_cpus_online(void);
unsigned int smp_this_cpu(void);
/* Hardware id (local APIC id) of a CPU. */
uint32_t smp_hw_id(unsigned int cpu);

/* Starts fn(arg), interrupts enabled, on an idle CPU and returns at once. 0, -EBUSY (it runs something),
 * -EINVAL. */
int smp_call_async(unsigned int cpu, void (*fn)(void *arg), void *arg);
/* Waits for what smp_call_async() started. 0, -ETIMEDOUT after ns nanoseconds, -EFAULT: it took an exception
 * (its registers are printed; the CPU is usable again). */
int smp_wait(unsigned int cpu, uint64_t ns);
/* Both in one. */
int smp_call(unsigned int cpu, void (*fn)(void *arg), void *arg, uint64_t ns);
/* The page below 1 MiB where CPUs start, 0: there is none. */
uint64_t smp_trampoline(void);
/* Takes an idle CPU down by INIT and starts it again; meanwhile (or NULL) is called while it comes up. 0,
 * -EINVAL, -EBUSY, -ENODEV (no trampoline), -ETIMEDOUT: it is gone. */
int smp_restart(unsigned int cpu, void (*meanwhile)(void *arg), void *arg);
/* Takes CPUs that are still at work out of it, by NMI; how many there were. Called between tests: one that
 * hangs on another CPU costs one test. A CPU that does not even answer this stays busy for good. */
unsigned int smp_reclaim(void);

#endif
