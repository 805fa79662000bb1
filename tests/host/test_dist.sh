#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The release archive, unpacked in a folder with a blank by a user without rights: its first command works,
# and without QEMU it says what to do. TAP. tests/host/test_dist.sh BUILD_DIR
set -uo pipefail

out=$(cd "$1" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
n=0

ok() { # WHAT STATUS [FILE]
	n=$((n + 1))
	if [ "$2" = 0 ]; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1"
		[ -z "${3:-}" ] || sed 's/^/# /' "$3"
	fi
}
var() { sed -n "s/^$1=//p" "$out/setup.env"; }
user=()
[ "$(id -u)" != 0 ] || user=(setpriv --reuid 65534 --regid 65534 --clear-groups)
# COMMAND in the archive, with nothing of this user's surroundings.
as_user() {
	(cd "$tmp/a b"/assay-* && "${user[@]}" env -i HOME="$tmp/home" TMPDIR="$tmp/home" PATH="$path" "$@") \
		>"$tmp/log" 2>&1 </dev/null
}

echo 1..6
scripts/dist "$out" test >"$tmp/log" 2>&1
ok "make dist" $? "$tmp/log"
mkdir -p "$tmp/a b" "$tmp/home" "$tmp/bin" "$tmp/none"
tar -C "$tmp/a b" -xJf "$out/dist/assay-test.tar.xz"
(cd "$tmp/a b"/assay-* && sha256sum --status -c SHA256SUMS)
ok "its sums" $?

# The QEMU that set-up fetched, as this user could have installed one: where others may read it.
qemu=$(var QEMU)
case $qemu in
"$(var QEMU_DIR)"/*)
	cp -r "$(var QEMU_DIR)" "$tmp/qemu"
	sed "s|$(var QEMU_DIR)|$tmp/qemu|g" "$qemu" >"$tmp/bin/qemu-system-x86_64"
	;;
*) printf '#!/bin/sh\nexec "%s" "$@"\n' "$qemu" >"$tmp/bin/qemu-system-x86_64" ;;
esac
chmod -R a+rX "$tmp"
chmod +x "$tmp/bin/qemu-system-x86_64"
[ ${#user[@]} = 0 ] || chown -R 65534:65534 "$tmp/a b" "$tmp/home"

path=$tmp/bin:/usr/bin:/bin
as_user ./assay run --host ref --tests 'boot,vsock.cids'
ok "the first command" $? "$tmp/log"
grep -qE '^[0-9]{2,} passed, 0 failed, 0 errors' "$tmp/log"
ok "has verdicts" $? "$tmp/log"

as_user ./assay list --faults
[ "$(grep -c '[a-z]\.[a-z_]' "$tmp/log")" -gt 100 ]
ok "lists the faults" $? "$tmp/log"

# No QEMU, no apt-get: programs of these names only.
for p in bash sh env id sed head tail sort grep find cut mkdir dirname flock sha256sum tr cat rm uname; do
	ln -s "$(command -v $p)" "$tmp/none/$p"
done
path=$tmp/none
as_user ./assay run --host ref --tests boot
rc=$?
[ $rc != 0 ] && grep -q 'QEMU of 11.1 or newer in PATH' "$tmp/log"
ok "says what to install where there is no QEMU" $? "$tmp/log"
