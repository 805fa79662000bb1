# shellcheck shell=bash disable=SC2154
# SPDX-License-Identifier: BSD-2-Clause
# What the scripts share that make an initramfs: a kernel's modules, archives and their cache. Who sources it has die()
# and the folder $tmp, and sets $archives, where archives are kept, and $sources, the files that make them.

keep=8 # archives in the cache
# A user without root has no sbin in PATH; modinfo (kmod) is there.
PATH=$PATH:/usr/sbin:/sbin
declare -A file=() visited=()
order=()

# The version string that a bzImage carries (Documentation/arch/x86/boot.rst: kernel_version).
kernel_version() {
	local at
	[ "$(dd if="$1" bs=1 skip=514 count=4 status=none)" = HdrS ] || return 1
	at=$(od -An -tu2 -j 526 -N 2 "$1" | tr -d ' ')
	dd if="$1" bs=1 skip=$((at + 512)) count=128 status=none | tr '\0' '\n' | sed -n '1s/ .*//p'
}

# The folder that holds the modules of one kernel.
modules_dir() {
	local d=$1 list
	[ -d "$d" ] || die "--modules $d: there is no such folder"
	[ ! -d "$d/lib/modules" ] || d=$d/lib/modules
	if [ ! -e "$d/modules.order" ] && [ ! -d "$d/kernel" ]; then
		# lib/modules itself: the only version in it
		list=$(find -L "$d" -mindepth 1 -maxdepth 1 -type d -exec test -d '{}/kernel' \; -print)
		case $(grep -c . <<<"$list") in
		1) d=$list ;;
		0) ;;
		*) die "--modules $1 has modules of several kernels: name one of them" "$list" ;;
		esac
	fi
	echo "$d"
}

plain_name() { # PATH
	local n=${1##*/}
	n=${n%%.ko*}
	echo "${n//-/_}"
}

read_modules() { # DIR: the path of each module by its name; of a build tree, its own objects
	local name path
	while read -r name path; do file[$name]=$path; done < <(
		find -L "$1" -mindepth 1 \( -name source -o -name build -o -name .git \) -prune -o \
			\( -name '*.ko' -o -name '*.ko.xz' -o -name '*.ko.zst' -o -name '*.ko.gz' \) -print |
			awk -F/ '{ n = $NF; sub(/\.ko.*/, "", n); gsub(/-/, "_", n); print n, $0 }'
	)
}

# Depth first, as insmod wants them. A name without a file is built in, or missing: the guest will tell.
visit() {
	local name dep f
	name=$(plain_name "$1")
	[ -z "${visited[$name]:-}" ] || return 0
	visited[$name]=1
	f=${file[$name]:-}
	[ -n "$f" ] || return 0
	while read -r dep; do [ -z "$dep" ] || visit "$dep"; done < <(modinfo -F depends "$f" | tr ',' '\n')
	order+=("$f")
}

unpack_module() { # FILE TO
	case $1 in
	*.xz) xz -dc "$1" >"$2" ;;
	*.zst) zstd -qdc "$1" >"$2" ;;
	*.gz) gzip -dc "$1" >"$2" ;;
	*) cp "$1" "$2" ;;
	esac
	# Of a developer's tree: debug information of tens of megabytes. Stripping would spoil a signature,
	# and no packaged module is of that size.
	if [ "$(stat -c %s "$2")" -gt 8000000 ]; then strip --strip-debug "$2"; fi
}

collect_modules() { # DIR NAME...: with what they depend on
	local m
	command -v modinfo >/dev/null || die "modinfo is missing" "scripts/setup nested installs it (kmod)"
	read_modules "$1"
	shift
	for m in "$@"; do visit "$m"; done
}

pack() { (cd "$1" && find . -mindepth 1 | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet); }

# NAME FUNCTION FILE...: prints the path of the archive that FUNCTION fills, made when it is not there.
cached() {
	local name=$1 make=$2 key path
	shift 2
	key=$({
		cat "${sources[@]}"
		stat -Lc '%n %s %Y' "$@"
	} | sha256sum | cut -c1-16)
	path=$archives/$name-$key.cpio
	mkdir -p "$archives"
	if [ ! -s "$path" ]; then
		mkdir "$tmp/$name"
		"$make" "$tmp/$name" "$@" >&2
		pack "$tmp/$name" >"$path.$$"
		mv "$path.$$" "$path"
		find "$archives" -maxdepth 1 -name '*.cpio' -printf '%T@ %p\0' | sort -z -rn | tail -z -n +$((keep + 1)) |
			cut -z -d' ' -f2- | xargs -0 -r rm -f
	else
		touch -c "$path"
	fi
	echo "$path"
}

make_modules() { # DIR FILE...
	local d=$1 f name
	shift
	mkdir -p "$d/assay/modules"
	for f in "$@"; do
		name=$(plain_name "$f")
		unpack_module "$f" "$d/assay/modules/$name.ko"
		echo "$name" >>"$d/assay/modules/order"
	done
}

