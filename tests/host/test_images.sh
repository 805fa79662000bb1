#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The images alone, without harness and devices: where the command line comes from, little memory, many
# CPUs, a machine without isa-debug-exit. TAP. tests/host/test_images.sh BUILD_DIR
set -uo pipefail

out=$1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
n=0

var() { sed -n "s/^$1=//p" "$out/setup.env"; }
qemu=$(var QEMU)
cp "$(var OVMF_VARS)" "$tmp/vars.fd"
exit_device=(-device "isa-debug-exit,iobase=0xf4,iosize=4")

# What the payload says on its console, without carriage returns; status in $tmp/rc.
boot() { # QEMU_ARGUMENT...
	local rc=0
	timeout -k 5 60 "$qemu" -accel tcg -nodefaults -vga none -display none -no-reboot -serial stdio \
		"$@" </dev/null 2>"$tmp/stderr" | tr -d '\r' || rc=$?
	echo "$rc" >"$tmp/rc"
}
pvh() { boot -M q35 -m 128 -kernel "$out/assay.elf" "${exit_device[@]}" "$@"; }
efi() {
	boot -M q35 -m 128 "${exit_device[@]}" \
		-drive "if=pflash,unit=0,format=raw,readonly=on,file=$(var OVMF_CODE)" \
		-drive "if=pflash,unit=1,format=raw,file=$tmp/vars.fd" "$@"
}

check() { # NAME FILE PATTERN...: each pattern (extended, anchored) is a line of the file
	local name=$1 file=$2 p ok=ok
	shift 2
	if [ "$(cat "$tmp/rc")" = 124 ]; then
		ok='not ok'
		echo '# the machine did not end within 60 s'
	fi
	for p; do
		grep -aqE "^$p\$" "$file" || {
			ok='not ok'
			echo "# no line \"$p\" in:"
			sed 's/^/#   /' "$file" "$tmp/stderr"
		}
	done
	echo "$ok $((++n)) $name"
}
all_pass='# Totals: pass:[1-9][0-9]* fail:0 xfail:0 xpass:0 skip:[0-9]+ error:0'

echo 1..12

# Half a megabyte with Debian 12's compiler; others build some more.
limit=524288
[ "$(gcc -dumpversion)" = 12 ] || limit=$((limit + limit / 50))
size=$(stat -c %s "$out/assay.efi")
if [ "$size" -le "$limit" ]; then
	echo "ok $((++n)) assay.efi has $size bytes"
else
	echo "# assay.efi has $size bytes, $limit are allowed"
	echo "not ok $((++n)) the size of assay.efi"
fi
pvh -append 'tests=boot.trap nonsense=1' >"$tmp/log"
check 'PVH: kernel command line' "$tmp/log" '# warning: unknown option nonsense .*' \
	' +ok 1 boot.trap.instructions' "$all_pass" '# end'

pvh -fw_cfg name=opt/assay/cmdline,string=tests=boot.trap >"$tmp/log"
check 'PVH: fw_cfg' "$tmp/log" ' +ok 1 boot.trap.instructions' "$all_pass" '# end'

efi -kernel "$out/assay.efi" -append 'tests=boot.trap' >"$tmp/log"
check 'EFI: load options' "$tmp/log" '# assay .* boot=efi' ' +ok 1 boot.trap.instructions' "$all_pass" \
	'# end'

# The payload in it is packed.
cp "$out/assay.efi" "$tmp/damaged.efi"
head -c 4096 /dev/zero | tr '\0' '\377' | dd of="$tmp/damaged.efi" bs=4096 seek=$((size / 8192)) conv=notrunc status=none
# The firmware goes on with whatever else it may boot.
: >"$tmp/log"
timeout -k 5 60 "$qemu" -accel tcg -M q35 -m 128 -nodefaults -vga none -display none -no-reboot -serial "file:$tmp/log" \
	-drive "if=pflash,unit=0,format=raw,readonly=on,file=$(var OVMF_CODE)" -kernel "$tmp/damaged.efi" </dev/null 2>"$tmp/stderr" &
pid=$!
until grep -aq 'assay: the image is damaged' "$tmp/log" || ! kill -0 $pid 2>/dev/null; do sleep 0.1; done
kill $pid 2>/dev/null
wait $pid 2>/dev/null
echo 0 >"$tmp/rc"
tr -d '\r' <"$tmp/log" >"$tmp/text"
check 'EFI: a damaged image says so' "$tmp/text" '.*assay: the image is damaged'

echo 'tests=boot.trap' >"$tmp/assay.cfg"
images/esp "$tmp/disk.img" "$out/assay.efi" "$tmp/assay.cfg"
efi -drive "format=raw,file=$tmp/disk.img" >"$tmp/log"
check 'EFI: assay.cfg on the ESP' "$tmp/log" ' +ok 1 boot.trap.instructions' "$all_pass" '# end'

pvh -m 32 -append tests=boot >"$tmp/log"
check 'PVH: 32 MiB' "$tmp/log" "$all_pass" '# end'

pvh -smp 8 -append tests=boot.cpus >"$tmp/log"
check 'PVH: 8 CPUs' "$tmp/log" '# env cpus: 8 listed, 8 online' "$all_pass" '# end'

boot -M q35 -m 64 -kernel "$out/assay.elf" -append tests=boot.trap >"$tmp/log"
check 'PVH: without isa-debug-exit the machine is switched off' "$tmp/log" "$all_pass" '# end'

boot -M microvm,acpi=off -m 64 -kernel "$out/assay.elf" -append tests=boot.trap >"$tmp/log"
check 'PVH: without ACPI the machine is reset' "$tmp/log" "$all_pass" '# end'

pvh -append 'tests=no.such.test' >"$tmp/log"
check 'a filter that matches nothing' "$tmp/log" 'Bail out! no test matches "no.such.test"'

# A window that lies in RAM is not mapped as registers, and not a SKIP.
pvh -append 'virtio_mmio.device=4K@0x100000:5 tests=virtio.probe' >"$tmp/log"
check 'a device window in RAM is refused' "$tmp/log" '    not ok [0-9] virtio.probe.window' \
	'# env virtio not used: mmio 0x100000: the window cannot be mapped'
