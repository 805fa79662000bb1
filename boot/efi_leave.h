/* SPDX-License-Identifier: BSD-2-Clause */
/* The last step of the EFI entry. */
#ifndef BOOT_EFI_LEAVE_H
#define BOOT_EFI_LEAVE_H

#include "lib/boot_info.h"

/* Leaves the firmware's page tables and stack behind, and calls assay_main(). boot/<arch>/efi_leave.c. */
_Noreturn void efi_leave(const struct boot_info *info);

#endif
