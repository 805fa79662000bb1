/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/irq.h"

#include "lib/device.h"

int irq_message(struct device *d, int vector, unsigned int cpu, uint64_t *addr, uint32_t *data)
{
	if (d->irq)
		return d->irq->message(d, vector, cpu, addr, data);
	return irq_message_direct(vector, cpu, addr, data);
}
