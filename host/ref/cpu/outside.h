/* SPDX-License-Identifier: BSD-2-Clause */
/* Hooks of outside.c: local and I/O APIC, CPUID, clocks, traps and atomics that go wrong as other hypervisors' did. */
#ifndef HOST_REF_CPU_OUTSIDE_H
#define HOST_REF_CPU_OUTSIDE_H

#include "host/ref/cpu/machine.h"

bool outside_nmi_second_lost(unsigned int cpu, const struct plugin_site *s);
bool outside_nmi_to_all(unsigned int cpu, const struct plugin_site *s);
bool outside_ipi_to_all(unsigned int cpu, const struct plugin_site *s);
bool outside_ipi_to_self_lost(unsigned int cpu, const struct plugin_site *s);
bool outside_timer_divide_ap(unsigned int cpu, const struct plugin_site *s);
bool outside_timer_ap_dead(unsigned int cpu, const struct plugin_site *s);
bool outside_timer_late(unsigned int cpu, const struct plugin_site *s);
bool outside_timer_shortest_lost(unsigned int cpu, const struct plugin_site *s);
bool outside_init_keeps_timer(unsigned int cpu, const struct plugin_site *s);
bool outside_startup_notes_tsc(unsigned int cpu, const struct plugin_site *s);
bool outside_cr3_reload_ap(unsigned int cpu, const struct plugin_site *s);
bool outside_wp_ap(unsigned int cpu, const struct plugin_site *s);
bool outside_lock64_lost(unsigned int cpu, const struct plugin_site *s);
bool outside_self_ipi_lost(unsigned int cpu, const struct plugin_site *s);
bool outside_timer_zero_keeps(unsigned int cpu, const struct plugin_site *s);
bool outside_timer_mask_ignored(unsigned int cpu, const struct plugin_site *s);
bool outside_ipi_others_and_self(unsigned int cpu, const struct plugin_site *s);
bool apic_logical_one(unsigned int cpu, const struct plugin_site *s);
bool apic_broadcast_lost(unsigned int cpu, const struct plugin_site *s);
bool apic_higher_lost(unsigned int cpu, const struct plugin_site *s);
bool apic_tpr_ignored(unsigned int cpu, const struct plugin_site *s);
bool apic_periodic_once(unsigned int cpu, const struct plugin_site *s);
bool apic_notes_timer(unsigned int cpu, const struct plugin_site *s);
bool init_clears_lstar_notes(unsigned int cpu, const struct plugin_site *s);
bool outside_init_xapic_notes(unsigned int cpu, const struct plugin_site *s);

void outside_x2apic_id(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx);
void outside_apic_base_bsp(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx);
void outside_cpuid_id(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx);
void outside_cpuid_topology(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx);
void outside_cpuid_count(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx);
void outside_cpuid_x2apic(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx);
void outside_tsc_rate_ap(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx);
void outside_cpuid_nx(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx);
void outside_tsc_from_startup(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx);
void outside_init_xapic(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx);
void apic_ldr_xapic(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx);
void apic_irr_hidden(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx);
void apic_isr_hidden(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx);
void apic_ppr_is_0(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx);
void apic_initial_hidden(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx);
void apic_count_stands(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx);
void init_keeps_cr0(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx);
void init_keeps_dr7(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx);
void init_clears_lstar(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx);
void outside_pm_timer_back(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx);
void outside_pm_timer_wide(unsigned int cpu, enum kind kind, uint64_t rax, uint64_t rcx);

void outside_xapic_icr_high(unsigned int cpu, const struct store *s);
void outside_ioapic_dest(unsigned int cpu, const struct store *s);
void outside_ioapic_edge(unsigned int cpu, const struct store *s);
void outside_ioapic_mask(unsigned int cpu, const struct store *s);
void outside_ioapic_old_vector(unsigned int cpu, const struct store *s);
void outside_split_lock(unsigned int cpu, const struct store *s);
void outside_cross_page(unsigned int cpu, const struct store *s);

uint64_t outside_pf_cr2(unsigned int cpu, unsigned int vector);
uint64_t outside_pf_write(unsigned int cpu, unsigned int vector);
uint64_t outside_pf_present(unsigned int cpu, unsigned int vector);
uint64_t outside_pf_fetch(unsigned int cpu, unsigned int vector);
uint64_t outside_gp_code(unsigned int cpu, unsigned int vector);
uint64_t outside_ud_rip(unsigned int cpu, unsigned int vector);
uint64_t outside_ud_as_gp(unsigned int cpu, unsigned int vector);

#endif
