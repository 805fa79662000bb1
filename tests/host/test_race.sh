#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# tests/host/test_race.sh BUILD_DIR: `assay race` on the reference host, and on one whose device crashes. TAP.
set -uo pipefail

out=$(realpath "$1")
tmp=$(mktemp -d /tmp/ar.XXXXXX)
trap 'rm -rf "$tmp"' EXIT

n=0
race() { # NAME STATUS PATTERN ARGUMENT...
	local name=$1 want=$2 pattern=$3 status
	shift 3
	n=$((n + 1))
	"$out/assay" race --output "$tmp/logs" "$@" >"$tmp/out" 2>&1
	status=$?
	if [ "$status" = "$want" ] && grep -q "$pattern" "$tmp/out"; then
		echo "ok $n - $name"
	else
		echo "not ok $n - $name"
		echo "# status $status, expected $want and \"$pattern\""
		sed 's/^/# /' "$tmp/out"
	fi
}

# A device that dies of a bug of its own when it is told to end.
cat >"$tmp/refdev" <<WRAPPER
#!/usr/bin/env bash
"$out/assay-refdev" "\$@" &
trap 'kill \$!; kill -ABRT \$\$' TERM
wait
WRAPPER
chmod +x "$tmp/refdev"
cat >"$tmp/crash.host" <<HOST
[host]
extends = ref
[device refdev]
command = $tmp/refdev --socket \${SOCKET} --cids \${CIDS} --layout \${LAYOUT}
HOST

echo 1..4
race "three ways, then a fresh guest" 0 "^3 cycles in .* 0 bad" --cycles 3 \
	--way device-reset,vmm-sigkill,backend-sigkill
race "a device that crashes" 1 "refdev crashed" --cycles 1 --way vmm-sigkill --host "$tmp/crash.host"
race "a way that is none" 4 "backend-sigkill" --way nothing

# A cycle that does not react, not even to SIGTERM, holds up nobody, and leaves nothing.
mark=ASSAY_RACE=$$.$RANDOM
marked() { # PATTERN: the processes of that race whose command line fits
	local f
	while read -r f; do
		f=${f%/environ}
		! grep -qsz -- "$1" "$f/cmdline" || echo "${f#/proc/}"
	done < <(grep -lszx "$mark" /proc/[0-9]*/environ)
}
await() { # SECONDS COMMAND...
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}
vmm_runs() { [ -n "$(marked qmp.sock)" ]; }
over() { ! kill -0 "$1" 2>/dev/null; }
mkdir "$tmp/tmp"
env "$mark" TMPDIR="$tmp" "$out/assay" race --output "$tmp/stopped" --way vmm-sigkill >"$tmp/out" 2>&1 &
race=$!
await 30 vmm_runs
for p in $(marked assay-refdev); do # its parent is the cycle
	cycle=$(awk '/^PPid/ { print $2 }' "/proc/$p/status")
done
kill -STOP "$cycle" && kill -TERM $race && await 30 over $race && [ -z "$(marked .)" ] && grep -q interrupted "$tmp/out"
ok=$?
n=$((n + 1))
if [ $ok = 0 ]; then echo "ok $n - a cycle that does not react"; else
	echo "not ok $n - a cycle that does not react"
	sed 's/^/# /' "$tmp/out"
fi
for p in $(marked .); do
	echo "# left: $p $(tr "\\0" " " <"/proc/$p/cmdline" 2>/dev/null)"
	kill -KILL "$p" 2>/dev/null
done
