#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# tests/host/test_conformance.sh BUILD_DIR: docs/conformance.md is what the tests of the image say, and
# its generator notices when it is not.
set -uo pipefail

out=$(realpath "$1")
top=$PWD
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

echo 1..7
n=0
result() { # WHAT STATUS EXPECTED
	n=$((n + 1))
	[ "$2" = "$3" ] || printf 'not '
	echo "ok $n - $1"
	[ "$2" = "$3" ] || sed 's/^/# /' "$tmp/out"
}
conformance() { # ARGUMENT...: its exit status, in a copy of the tree's part that it reads
	(cd "$tmp/tree" && "$top/scripts/conformance" "$tmp/build" "$@") >"$tmp/out" 2>&1
	echo $?
}

"$top/scripts/conformance" "$out" --check >"$tmp/out" 2>&1
result 'docs/conformance.md is up to date (make conformance)' $? 0

mkdir -p "$tmp/tree/docs" "$tmp/build"
cp docs/conformance.md docs/conformance.pins docs/virtio-1.4-normative.tsv "$tmp/tree/docs"
chmod -R u+w "$tmp/tree" # of a read-only tree
"$out/assay" list >"$tmp/list"
printf '#!/bin/sh\ncat "%s"\n' "$tmp/list" >"$tmp/build/assay"
chmod +x "$tmp/build/assay"
result 'a list read elsewhere gives the same' "$(conformance && cmp -s "$tmp/build/conformance.md" "$out/conformance.md"; echo $?)" $'0\n0'
echo 'virtio.new.test   virtio 1.4, 2.5.2 MUST: something new' >>"$tmp/list"
result 'a new test is noticed' "$(conformance --check)" 1
conformance >/dev/null
result 'and joined to its statement' "$(grep -c 'virtio.new.test. |$' "$tmp/tree/docs/conformance.md")" 1
echo '2.1.2#99 virtio.init.reset' >>"$tmp/tree/docs/conformance.pins"
result 'a pin of no statement is an error' "$(conformance)" 1
sed -i '$d' "$tmp/tree/docs/conformance.pins"
echo '2.1.2#1 virtio.no.such_test' >>"$tmp/tree/docs/conformance.pins"
result 'a pin of no test is an error' "$(conformance)" 1
sed -i '$d' "$tmp/tree/docs/conformance.pins"
echo '2.1.2#1 = no test can' >>"$tmp/tree/docs/conformance.pins"
result 'an excuse of what a test checks is an error' "$(conformance)" 1
