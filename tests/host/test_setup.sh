#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# tests/host/test_setup.sh: the parts of scripts/setup that decide, over made-up configurations.
set -uo pipefail

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
export XDG_CACHE_HOME=$tmp/cache
# shellcheck source=scripts/setup
. scripts/setup
set +e

echo 1..25
n=0
same() { # WHAT EXPECTED SEEN
	n=$((n + 1))
	if [ "$2" = "$3" ]; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1"
		printf '# expected "%s"\n# seen "%s"\n' "$2" "$3"
	fi
}
status() { # COMMAND...: its exit status
	("$@") >"$tmp/out" 2>&1
	echo $?
}

# --- the machine's own archive
# shellcheck source=/dev/null
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
archive() { # FILE LINE...
	local file=$tmp/etc/$1
	shift
	rm -rf "${tmp:?}/etc"
	mkdir -p "$tmp/etc/sources.list.d"
	printf '%s\n' "$@" >"$file"
	# shellcheck disable=SC2034 # read by own_archive
	apt_etc=$tmp/etc
	own_archive | sed 's/ *$//'
}
main_uri=http://a.example/debian
same "deb822" "$main_uri /k.gpg" "$(archive sources.list.d/d.sources \
	"# a comment" "Types: deb" "URIs: $main_uri" "Suites: $codename $codename-updates" \
	"Components: main" "Signed-By: /k.gpg" "" \
	"Types: deb" "URIs: http://b.example/security" "Suites: $codename-security" "Components: main")"
same "deb822, one disabled" "$main_uri" "$(archive sources.list.d/d.sources \
	"Types: deb" "URIs: http://b.example/debian" "Suites: $codename" "Components: main" "Enabled: no" "" \
	"Types: deb deb-src" "URIs: $main_uri" "Suites: $codename" "Components: main")"
same "deb822, sources only" "" "$(archive sources.list.d/d.sources \
	"Types: deb-src" "URIs: $main_uri" "Suites: $codename" "Components: main")"
same "one line" "$main_uri" "$(archive sources.list \
	"#deb http://b.example/debian $codename main" "deb-src http://b.example/debian $codename main" \
	"deb http://b.example/security $codename-security main" "deb $main_uri $codename main contrib")"
same "one line with options" "$main_uri /k.gpg" "$(archive sources.list.d/d.list \
	"deb [arch=amd64 signed-by=/k.gpg] $main_uri $codename main")"
same "another release only" "" "$(archive sources.list "deb $main_uri other main")"
same "a file that apt does not read" "" "$(archive sources.list.d/d.list.disabled \
	"deb $main_uri $codename main")"

# --- versions
for v in "11.1 11.1 0" "11.1.3 11.1 0" "12.0 11.1 0" "11.0.9 11.1 1" "7.2.22 11.1 1" "9.2 11.1 1"; do
	read -r have want rc <<<"$v"
	same "version $have for $want" "$rc" "$(status version_at_least "$have" "$want")"
done

# --- a cache folder is whole, or it is not
mkdir -p "$tmp/d.new/sub"
echo one >"$tmp/d.new/a"
echo two >"$tmp/d.new/sub/b c"
same "not there yet" 1 "$(status intact "$tmp/d")"
commit_dir "$tmp/d"
same "whole" 0 "$(status intact "$tmp/d")"
echo more >>"$tmp/d/a"
same "a file of another size" 1 "$(status intact "$tmp/d")"
echo one >"$tmp/d/a"
rm "$tmp/d/sub/b c"
same "a file missing" 1 "$(status intact "$tmp/d")"

# --- a wrapper survives any path
d="$tmp/a \$b (c) & d"
libs=usr/lib/x86_64-linux-gnu
mkdir -p "$d.new/$libs"
# shellcheck disable=SC2016 # for the file
printf '%s\n' '#!/bin/sh' 'echo "$@"' >"$d.new/$libs/ld-linux-x86-64.so.2"
chmod +x "$d.new/$libs/ld-linux-x86-64.so.2"
write_wrapper "$d" usr/bin/p run "" -L "$d/x y"
commit_dir "$d"
same "wrapper" "--library-path $d/$libs:$d/lib/x86_64-linux-gnu $d/usr/bin/p -L $d/x y one two" \
	"$("$d/run" one two)"

# --- what to do about a failure
hint() { # LINE_OF_THE_LOG EXPECTED
	echo "$1" >"$tmp/log"
	same "hint: $2" "$2" "$(way_out "$tmp/log" | cut -d: -f1)"
}
hint 'tar: write error: No space left on device' 'the disk is full'
hint "Temporary failure resolving 'mirror'" 'the network or its name service does not answer'
hint 'E: Could not get lock /var/lib/apt/lists/lock' "another package manager holds apt's lock"
hint 'something new' "a mirror must be reachable through this machine's own apt configuration"

# --- words of the command line
same "unknown component" 1 "$(status main no-such-component)"
same "unknown option" 1 "$(status main --no-such-option)"
same "paths" 9 "$( (main --print-env) | grep -c '^[A-Z_]*=/')"
