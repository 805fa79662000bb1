/* SPDX-License-Identifier: BSD-2-Clause */
/* Stacks of CPUs and of exceptions. */
#ifndef LIB_X86_64_STACK_H
#define LIB_X86_64_STACK_H

#include <stdint.h>

/* Makes a stack of `pages` pages above a guard page. Returns its top, 0: no memory. */
uint64_t stack_new(unsigned int pages);

#endif
