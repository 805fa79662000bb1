/* SPDX-License-Identifier: BSD-2-Clause */
/* Drivers' probing, run once after ACPI, PCI and the CPUs are up. */
#ifndef LIB_INIT_H
#define LIB_INIT_H

typedef void (*init_fn)(void);
#define INIT(sym, fn)                                                                              \
	static const init_fn init_##sym                                                            \
		__attribute__((used, section("assay_init"), aligned(8))) = fn

#endif
