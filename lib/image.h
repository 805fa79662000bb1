/* SPDX-License-Identifier: BSD-2-Clause */
/* Symbols of the linker scripts. */
#ifndef LIB_IMAGE_H
#define LIB_IMAGE_H

extern char image_start[], image_end[];
extern char text_start[], text_end[];
extern char rodata_start[], rodata_end[];
extern char data_start[], data_end[];
/* boot/x86_64/stack.S: the first CPU's stack and the page below it. */
extern char boot_stack_guard[], boot_stack_top[];

#endif
