#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# scripts/layers, on this tree and on small ones that each break one rule. TAP.
set -uo pipefail

layers=$PWD/scripts/layers
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
n=0

result() { # WHAT STATUS
	n=$((n + 1))
	if [ "$2" = 0 ]; then echo "ok $n - $1"; else
		echo "not ok $n - $1"
		sed 's/^/# /' "$tmp/log"
	fi
}
# A tree of FILE=LINE words; PATTERN is in what scripts/layers says, none: it says nothing.
tree() { # WHAT PATTERN FILE=LINE...
	local what=$1 pattern=$2 f rc=0
	shift 2
	rm -rf "$tmp/t"
	mkdir -p "$tmp/t"
	for f; do
		mkdir -p "$tmp/t/$(dirname "${f%%=*}")"
		printf '%s\n' "${f#*=}" >>"$tmp/t/${f%%=*}"
	done
	(cd "$tmp/t" && git init -q . && "$layers") >"$tmp/log" 2>&1 || rc=$?
	if [ -z "$pattern" ]; then
		result "$what" $rc
	else
		[ $rc = 1 ] && grep -q "$pattern" "$tmp/log"
		result "$what" $?
	fi
}

echo 1..11
tree "a right tree" "" 'lib/a.c=#include "lib/a.h"' 'lib/x86_64/a.c=#include "lib/a.h"' 'tests/virtio/t.c=#include "drivers/virtio/v.h"' \
	'drivers/virtio/v.c=#include "lib/a.h"' 'lib/m.h=__asm__ volatile("" ::: "memory");'
tree "a driver that knows a test" 'drivers/virtio/ may not know tests/support/' 'drivers/virtio/v.c=#include "tests/support/s.h"'
tree "lib that knows a driver" 'lib/ may not know drivers/virtio/' 'lib/x86_64/a.c=#include "drivers/virtio/v.h"'
tree "a folder without a rule" 'no rule says' 'new/a.c=#include "lib/a.h"'
tree "a circle" '^    tests/' 'tests/irq/a.c=#include "tests/vsock/v.h"' 'tests/vsock/v.c=#include "tests/virtio/i.h"' \
	'tests/virtio/i.c=#include "tests/irq/x.h"'
tree "an architecture's header outside" 'lib/a.c:1:.*of one architecture' 'lib/a.c=#include "lib/x86_64/io.h"'
tree "an instruction outside" 'kvmpv/a.c:1:.*of one architecture' 'kvmpv/a.c=	__asm__ volatile("hlt");'
tree "a register of x86 outside" 'tests/irq/a.c:1:.*of one architecture' 'tests/irq/a.c=	rdmsr(0x1b);'
tree "two members of TEST() a line" 'tests/irq/a.c:1:.*one member' 'tests/irq/a.c=TEST(a, .id = "irq.a",'
host=deb.debian
tree "a registry's host" 'docs/a.md:1:' "docs/a.md=from http://$host.org/debian"
"$layers" >"$tmp/log" 2>&1
result "this tree" $?
