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

echo 1..33
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

# --- other systems: what is asked for, and of whom
cat >"$tmp/ubuntu" <<-OS
	ID=ubuntu
	ID_LIKE=debian
	VERSION_CODENAME=$codename
OS
printf 'ID=fedora\n' >"$tmp/fedora"
printf 'deb %s %s main\n' "$main_uri" "$codename" >"$tmp/etc/sources.list"
# shellcheck disable=SC2034 # read by own_archive
other_archive() { os_release=$tmp/ubuntu own_archive; }
same "Ubuntu's archive is none of Debian" "" "$(other_archive)"
same "it can be told of one" "http://c.example/debian /k.gpg" \
	"$(DEBIAN_ARCHIVE='http://c.example/debian /k.gpg' other_archive)"
says() { # COMMAND...: its error, without what to do about it
	("$@") 2>&1 >/dev/null | sed -n 's/^setup: error: //p'
}
same "Ubuntu is not asked for Debian's suites" \
	"the archive of ubuntu has no suites of Debian, where trixie would come from" \
	"$(os_release=$tmp/ubuntu says suite_prepare deb trixie)"
# PATH of a system without apt-get: links to the programs that are there, but for those left out.
mkdir "$tmp/bin"
for p in bash sh env sed grep head tail sort tr cat cut awk mkdir rm gcc cc1 as ld collect2 make mcopy mformat lz4 \
	meson ninja pkg-config git dirname mktemp; do
	[ -z "$(command -v $p)" ] || ln -s "$(command -v $p)" "$tmp/bin/$p"
done
# shellcheck disable=SC2034 # read by os_field
without_apt() { (os_release=$tmp/fedora PATH=$tmp/bin && "$@"); }
same "no apt-get, and all is there" "0" "$(status without_apt setup_base)"
rm "$tmp/bin/meson"
same "no apt-get, and meson is missing" \
	"there is no apt-get here, and for building and testing is missing what Debian has in: meson" \
	"$(says without_apt setup_base)"
same "no apt-get, and a package of Debian is wanted" \
	"packages of Debian are fetched by apt-get, which is not here" "$(says without_apt suite_prepare deb trixie)"
same "firmware" 0 "$(status find_firmware CODE)"
same "nothing is installed where root may not be asked for" "these packages are missing: p" \
	"$(may_be_root='' says need_root p)"

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
