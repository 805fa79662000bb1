#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# tests/host/test_late_cpu.sh BUILD_DIR: a processor that starts when the next one is told to does not take that one's
# place: it is missed, and all that runs on the others passes (but what starts CPUs anew is skipped). Which of the two
# comes first differs: three runs. TAP.
set -uo pipefail

out=$(realpath "$1")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

good() { # DIR STATUS
	[ "$2" = 1 ] && grep -qE 'boot.cpus.all_online: .*expected 3, seen 2' "$1/log" &&
		grep -qE '^[0-9]+ passed, 1 failed, 0 errors, 1 skipped' "$1/log"
}

echo 1..3
for i in 1 2 3; do
	mkdir "$dir/$i"
	"$out/assay" run --host ref --boot pvh --cpus 3 --fault cpu.startup_late --tests 'boot.cpus,boot.irq' \
		--output "$dir/$i/run" >"$dir/$i/log" 2>&1
	if good "$dir/$i" $?; then
		echo "ok $i - a late CPU is missed, the others are who they are"
	else
		sed 's/^/# /' "$dir/$i/log"
		echo "not ok $i - a late CPU is missed, the others are who they are"
	fi
done
