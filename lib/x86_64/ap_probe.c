/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/x86_64/ap_probe.h"

#include <string.h>

#include "lib/smp.h"
#include "lib/x86_64/smp.h"

extern const char ap_probe_start[], ap_probe_data[], ap_probe_end[];

int ap_probe(unsigned int cpu, struct ap_probe *p)
{
	static uint8_t code[SMP_CODE_SIZE];
	const size_t size = (size_t)(ap_probe_end - ap_probe_start);
	const size_t data = (size_t)(ap_probe_data - ap_probe_start);
	int ret;

	p->next_ip = 0;
	p->next_cs = (uint16_t)((smp_trampoline() + SMP_CODE_SIZE) >> 4);
	memcpy(code, ap_probe_start, size);
	memcpy(code + data, p, sizeof(*p));
	ret = smp_restart_by(cpu, code, size);
	memcpy(p, code + data, sizeof(*p));
	return ret;
}
