#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What the documents and the CI files name exists: targets of make, files, hosts, options of assay and of
# scripts/setup's components; docs/without-a-fault.tsv names the tests that no fault names. TAP.
# tests/host/test_docs.sh BUILD_DIR
set -uo pipefail

out=$1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
n=0

result() { # WHAT: fine if $tmp/bad is empty
	n=$((n + 1))
	if [ ! -s "$tmp/bad" ]; then echo "ok $n - $1"; else
		echo "not ok $n - $1"
		sed 's/^/# /' "$tmp/bad"
	fi
}
docs=(README.md docs/*.md docs/ci/*)
# FILE<tab>LINE, with lines that go on joined.
text() {
	local f
	for f in "$@"; do
		sed -e ':a' -e '/\\$/N; s/\\\n *//; ta' "$f" | sed "s|^|$f	|"
	done
}
text "${docs[@]}" >"$tmp/text"
# Those of PATTERN that are not words of the file KNOWN, with where they stand.
unknown() { # PATTERN KNOWN [PREFIX_TO_CUT]
	grep -oE "^[^	]*	|$1" "$tmp/text" | awk -v known="$2" -v cut="${3:-}" '
		BEGIN { while ((getline w < known) > 0) is[w] = 1 }
		/\t$/ { file = $0; next }
		{ w = $0; sub(cut, "", w); if (!(w in is)) print file w }' | sort -u >"$tmp/bad"
}

echo 1..7
make -s help | grep -oE 'make [a-z-]+' | cut -d' ' -f2 >"$tmp/targets"
printf '%s\n' all setup help olddefconfig defconfig >>"$tmp/targets" # the last two are the kernel's
unknown '(`|run: |- |&& )make [a-z][a-z-]+' "$tmp/targets" '^.*make '
result "targets of make"

grep -oE '^[^	]*	|(^|[^A-Za-z0-9_./-])(scripts|docs|host|images|tests|lib|drivers|kvmpv|boot|linker)/[A-Za-z0-9_./-]*[A-Za-z0-9_]' "$tmp/text" |
	awk '/\t$/ { file = $1; next } { sub(/^[^a-z]/, ""); print file, $0 }' | sort -u |
	while read -r file path; do
		case $path in
		scripts/config | drivers/vhost*) ;; # the kernel's
		*[A-Z][A-Z]*) ;;                     # a placeholder: host/ref/PART
		*) compgen -G "$path*" >/dev/null || echo "$file: $path" ;;
		esac
	done >"$tmp/bad"
result "files of the tree"

"$out/assay" list --hosts | awk '{ print $1 }' >"$tmp/hosts"
printf '%s\n' NAME >>"$tmp/hosts"
unknown '--host[= ][a-zA-Z0-9.-]*[a-zA-Z0-9]' "$tmp/hosts" '^--host[= ]'
result "hosts"

# Options of each `assay COMMAND` up to the line's, the quote's or the sentence's end.
: >"$tmp/bad.options"
for command in run list report diff faults race configure peer; do
	"$out/assay" "$command" --help | grep -oE -- '--[a-z0-9-]+' | sort -u >"$tmp/known"
	grep -oE "\bassay $command [^\`|;&]*" "$tmp/text" | grep -oE -- '(^| )--[a-z0-9-]+' | tr -d ' ' | sort -u |
		grep -vxF -f "$tmp/known" | sed "s/^/assay $command: /" >>"$tmp/bad.options"
done
cp "$tmp/bad.options" "$tmp/bad"
result "options of assay"

scripts/setup --list | tr ' ' '\n' >"$tmp/components"
unknown 'scripts/setup( --env [^ ]*)? [a-z][a-z0-9.-]*[a-z0-9]' "$tmp/components" '^.* '
result "components of scripts/setup"

# The job unpacks what `make dist` packs, and calls what is in it.
: >"$tmp/bad"
mkdir -p "$tmp/archive"
scripts/dist "$out" docs >"$tmp/log" 2>&1 || cp "$tmp/log" "$tmp/bad"
tar -C "$tmp/archive" -xf "$out/dist/assay-docs.tar.xz" 2>>"$tmp/bad"
grep -oE '\./[a-z-]+ run' docs/ci/lava-job.yaml | cut -d' ' -f1 | while read -r p; do
	[ -x "$tmp/archive/assay-docs/$p" ] || echo "docs/ci/lava-job.yaml: $p"
done >>"$tmp/bad"
grep -q 'tar\.xz | tar xJ' docs/ci/lava-job.yaml || echo "docs/ci/lava-job.yaml: the archive is a .tar.xz" >>"$tmp/bad"
grep -q './assay run' docs/ci/lava-job.yaml || echo "docs/ci/lava-job.yaml calls no assay" >>"$tmp/bad"
result "the archive of docs/ci/lava-job.yaml"

# A fault names tests by id or glob; those that it makes a note of as well.
"$out/assay" list | awk '{ print $1 }' >"$tmp/tests"
"$out/assay" list --faults | cut -f3 | tr ',' '\n' | sed 's/^ *note://' | sort -u >"$tmp/named"
mapfile -t globs < <(grep -E '[*?[]' "$tmp/named" | grep -vxF '?')
grep -vxF -f "$tmp/named" "$tmp/tests" | while read -r id; do
	for glob in "${globs[@]}"; do
		# shellcheck disable=SC2053 # a glob on purpose
		[[ $id == $glob ]] && continue 2
	done
	echo "$id"
done | sort >"$tmp/unnamed"
grep -v '^#' docs/without-a-fault.tsv | cut -f1 | sort >"$tmp/listed"
{
	[ -s "$tmp/tests" ] && [ -s "$tmp/named" ] || echo "assay list names nothing"
	comm -23 "$tmp/unnamed" "$tmp/listed" | sed 's/$/: no fault names it, nor does docs\/without-a-fault.tsv/'
	comm -13 "$tmp/unnamed" "$tmp/listed" | sed 's/^/docs\/without-a-fault.tsv: /; s/$/ is no test, is there twice, or a fault names it/'
	awk -F'\t' '!/^#/ && (NF != 2 || $2 == "") { print "docs/without-a-fault.tsv: no reason: " $0 }' docs/without-a-fault.tsv
} >"$tmp/bad"
result "tests that no fault names"
