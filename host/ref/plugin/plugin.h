/* SPDX-License-Identifier: BSD-2-Clause */
/* What the reference host's QEMU plugins share. */
#ifndef HOST_REF_PLUGIN_PLUGIN_H
#define HOST_REF_PLUGIN_PLUGIN_H

#include "host/ref/fault/fault.h"
#include "host/ref/plugin/qemu_plugin.h"

/* fault=ID, which a plugin of faults needs once, and injected=FILE. The fault's number; -1: it said what is wrong. */
int plugin_one_fault(int argc, char **argv);

#endif
