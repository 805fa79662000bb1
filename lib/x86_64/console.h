/* SPDX-License-Identifier: BSD-2-Clause */
/* The consoles of a PC. */
#ifndef LIB_X86_64_CONSOLE_H
#define LIB_X86_64_CONSOLE_H

/* Registers the consoles of a PC that answer. One is enough: each byte is an exit. */
void x86_consoles_init(void);

#endif
