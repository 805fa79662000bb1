/* SPDX-License-Identifier: BSD-2-Clause */
/* A lock between CPUs. It does not hold off a CPU's own interrupt handlers: irq_save() does that. */
#ifndef LIB_SPINLOCK_H
#define LIB_SPINLOCK_H

#include <stdbool.h>

typedef struct {
	bool taken;
} spinlock_t;

static inline bool spin_trylock(spinlock_t *l)
{
	return !__atomic_test_and_set(&l->taken, __ATOMIC_ACQUIRE);
}

static inline void spin_lock(spinlock_t *l)
{
	while (!spin_trylock(l))
		while (__atomic_load_n(&l->taken, __ATOMIC_RELAXED))
			; /* the load is atomic: the compiler does not drop it */
}

static inline void spin_unlock(spinlock_t *l)
{
	__atomic_clear(&l->taken, __ATOMIC_RELEASE);
}

#endif
