/* SPDX-License-Identifier: BSD-2-Clause */
/* time.h: waits. */
#include "lib/guard.h"
#include "lib/time.h"

bool wait_more(struct wait *w)
{
	const uint64_t waited = time_now() - w->start - w->lost;
	uint64_t lost;

	if (waited >= w->ns)
		return false;
	lost = cpu_idle(waited, w->ns - waited);
	if (lost)
		guard_extend(lost);
	w->lost += lost;
	if (w->lost / 3 > w->ns)
		w->lost = 3 * w->ns;
	return true;
}
