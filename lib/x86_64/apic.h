/* SPDX-License-Identifier: BSD-2-Clause */
/* Local APIC, in x2APIC mode where the CPU has it. CR8 is never written: an emulated nested SVM aborts. */
#ifndef LIB_X86_64_APIC_H
#define LIB_X86_64_APIC_H

#include <stdbool.h>
#include <stdint.h>

/* Enables the local APIC of the CPU that calls it. The first CPU also chooses the mode and masks the old PIC. False:
 * this machine has none. */
bool apic_init_cpu(bool first);
/* IA32_APIC_BASE of the CPU that came last, as it was before apic_init_cpu() changed it. */
uint64_t apic_base_found(void);
uint32_t apic_id(void);
const char *apic_mode(void); /* "x2apic" or "xapic" */
void apic_eoi(void);
void apic_send_ipi(uint32_t dest, unsigned int vector);
void apic_send_nmi(uint32_t dest);
void apic_send_init(uint32_t dest);
void apic_send_startup(uint32_t dest, uint8_t page);
/* One timer interrupt (VEC_TIMER) after ns; 0 stops it. Calibrated by apic_timer_calibrate(). */
void apic_timer_calibrate(void);
void apic_timer_set(uint64_t ns);
/* The longest ns that it can be set to. */
uint64_t apic_timer_max(void);
const char *apic_timer_mode(void);
/* Ticks of the timer's undivided clock while the TSC counts tsc_ticks. Stops the timer. */
uint64_t apic_timer_ticks(uint64_t tsc_ticks);

#endif
