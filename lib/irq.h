/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts, for every architecture; lib/<arch>/ implements them. */
#ifndef LIB_IRQ_H
#define LIB_IRQ_H

#include <stdbool.h>
#include <stdint.h>

/* Called with interrupts off, on the CPU that took the interrupt; EOI is sent after it returns. */
typedef void (*irq_handler_t)(void *arg);

/* A vector of this machine's CPUs with a handler. Returns the vector (> 0) or -ENOSPC. */
int irq_alloc(irq_handler_t handler, void *arg);
/* Gives it back; a later interrupt on it counts as spurious (irq_spurious_count()). */
void irq_free(int vector);
/* Interrupts taken on vectors without a handler since boot, and the last such vector. */
uint64_t irq_spurious_count(int *last_vector);

struct device;

/* How a device's messages reach the CPUs where an IOMMU or an ITS remaps them. */
struct irq_backend {
	const char *name;
	int (*message)(struct device *d, int vector, unsigned int cpu, uint64_t *addr,
		       uint32_t *data);
};
/*
 * Address and data that device d has to write so that CPU `cpu` (index of smp.h) takes `vector`: edge, fixed.
 * Asking again for the same device and vector replaces the earlier answer. 0, -EINVAL, -ENOSPC.
 */
int irq_message(struct device *d, int vector, unsigned int cpu, uint64_t *addr, uint32_t *data);
/* The message without a back end: the CPU's own interrupt controller takes it. */
int irq_message_direct(int vector, unsigned int cpu, uint64_t *addr, uint32_t *data);

/* Routes a global system interrupt (ACPI GSI) through the I/O APIC to `vector` on `cpu`; masked at
 * first. level and active_low as ACPI says. 0, -ENODEV (no I/O APIC has that GSI), -EINVAL. */
int irq_gsi_route(uint32_t gsi, int vector, unsigned int cpu, bool level, bool active_low);
int irq_gsi_mask(uint32_t gsi, bool masked);

/* The local timer of the CPU that calls this calls fn(arg) once, ns nanoseconds from now. A CPU has one such call at
 * a time; ns 0 cancels it, and so does the end of a test. 0, -EINVAL. */
int irq_timer_once(uint64_t ns, irq_handler_t fn, void *arg);
/* How many interrupts of a CPU's local timer came early, or without being set, since boot. */
uint64_t irq_timer_strays(unsigned int cpu);
/* Sends `vector` to CPU `cpu` (its own too). 0, -EINVAL. */
int irq_send_ipi(unsigned int cpu, int vector);

/* The ways in which the CPUs' interrupt controller can be driven: the n-th's name (NULL past the last) and the
 * one in use. irq_mode_set() changes it on all CPUs, which must be idle: 0, -EINVAL, -EBUSY, -ETIMEDOUT (a CPU
 * did not come, nothing changed), -EIO (it did not take effect on all). */
const char *irq_mode_name(unsigned int n);
unsigned int irq_mode(void);
int irq_mode_set(unsigned int n);

bool irq_enabled(void);
void irq_enable(void);
/* Disables and returns whether they were enabled; irq_restore() undoes it. */
bool irq_save(void);
void irq_restore(bool enabled);
/* With interrupts off: enables and halts until an interrupt, atomically; returns with them off. */
void irq_halt(void);

#endif
