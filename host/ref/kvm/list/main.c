/* SPDX-License-Identifier: BSD-2-Clause */
/* assay-refkvm --list-faults: what refkvm.so can inject. Faults come to the plugin as fault=ID. */
#include <stdio.h>
#include <string.h>

#include "host/ref/kvm/faults.h"

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--list-faults") == 0) {
		refkvm_fault_list(stdout);
		return ferror(stdout) ? 1 : 0;
	}
	fputs("Usage: assay-refkvm --list-faults\n",
	      argc == 2 && !strcmp(argv[1], "--help") ? stdout : stderr);
	return argc == 2 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
}
