# SPDX-License-Identifier: BSD-2-Clause
# What the Makefile has to know of this architecture.
# No red zone, since interrupts use the stack; general registers only, since interrupts save no others. The stack
# stays aligned to 16 bytes: the C library uses SSE.
ARCH_CFLAGS := -mno-red-zone -mgeneral-regs-only
ARCH_EFI_CFLAGS := -maccumulate-outgoing-args
EFI_TARGET := efi-app-x86_64
# The image without firmware: PVH, loaded at 2 MiB, where it is in the way of nothing, in 32 MiB as well.
ELF_LDFLAGS := -e pvh_entry --defsym=elf_base=0x200000
