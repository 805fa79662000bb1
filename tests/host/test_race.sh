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

echo 1..3
race "three ways, then a fresh guest" 0 "^3 cycles in .* 0 bad" --cycles 3 \
	--way device-reset,vmm-sigkill,backend-sigkill
race "a device that crashes" 1 "refdev crashed" --cycles 1 --way vmm-sigkill --host "$tmp/crash.host"
race "a way that is none" 4 "backend-sigkill" --way nothing
