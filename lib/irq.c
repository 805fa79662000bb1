/* SPDX-License-Identifier: BSD-2-Clause */
/* irq.h: a device's message goes through its interrupt back end, or straight to the CPUs where it has none. */
#include "lib/irq.h"

#include "lib/device.h"

int irq_message(struct device *d, int vector, unsigned int cpu, uint64_t *addr, uint32_t *data)
{
	if (d->irq)
		return d->irq->message(d, vector, cpu, addr, data);
	return irq_message_direct(vector, cpu, addr, data);
}
