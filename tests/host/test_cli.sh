#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# tests/host/test_cli.sh BUILD_DIR: what people type: mistakes and their messages, reports that are merged and
# compared, shards, known deviations, images that carry a command line, the man page. TAP.
set -uo pipefail

out=$(realpath "$1")
assay=$out/assay
tmp=$(mktemp -d /tmp/ac.XXXXXX)
trap 'rm -rf "$tmp"' EXIT
# Signs stand before verdicts where the locale has them.
export ASSAY_RUNS=$tmp/runs TMPDIR=$tmp LC_ALL=C.UTF-8
n=0
report() { # OK NAME
	n=$((n + 1))
	if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi
}
expect() { # NAME STATUS PATTERN... -- COMMAND...: output of both kinds; "!" before what must not be there
	local name=$1 want=$2 patterns=() ok=0 rc=0 p
	shift 2
	while [ "$1" != -- ]; do
		patterns+=("$1")
		shift
	done
	shift
	timeout -k 5 60 "$@" >"$tmp/out" 2>&1 </dev/null || rc=$?
	[ $rc = "$want" ] || {
		ok=1
		echo "# status $rc instead of $want"
	}
	for p in "${patterns[@]}"; do
		if [ "${p#!}" != "$p" ]; then
			! grep -aqE -- "${p#!}" "$tmp/out" || {
				ok=1
				echo "# \"${p#!}\" is there"
			}
		elif ! grep -aqE -- "$p" "$tmp/out"; then
			ok=1
			echo "# no \"$p\""
		fi
	done
	[ $ok = 0 ] || sed 's/^/#   | /' "$tmp/out"
	report $ok "$name"
}

# --- mistakes: status 4, and a line that says the way out --------------------------------------------

expect 'no command' 4 'Usage: assay COMMAND' -- "$assay"
expect 'unknown command' 4 'no command "rnu" .did you mean run' -- "$assay" rnu
expect 'unknown option' 4 "unrecognized option '--tset'" 'assay run --help' -- "$assay" run --tset x
expect 'an argument' 4 '"vsock" is no option; tests are named by --tests' -- "$assay" run vsock
expect 'unknown test' 4 'no test matches "vsock.stream.conect" .did you mean vsock.stream.connect' \
	'assay list' -- "$assay" run --tests vsock.stream.conect
expect 'unknown test to leave out' 4 'no test matches "-nothing.at.all"' -- "$assay" run --tests 'boot,-nothing.at.all'
expect 'no test left' 4 'no test is left to run' -- "$assay" run --tests 'boot,-boot'
expect 'unknown host' 4 'no host "reff" .did you mean ref' 'path of a .host file' -- "$assay" run --host reff
expect 'a host file that is not there' 4 'no host "./none.host"' -- "$assay" run --host ./none.host
expect 'a host that is a folder' 4 'Is a directory' -- "$assay" run --host "$tmp/"
cp "$assay" "$tmp/alone"
expect 'no recipes' 4 'no recipe was found at all' 'ASSAY_HOSTS' -- sh -c "cd / && $tmp/alone run"
expect 'recipes by ASSAY_HOSTS' 4 'no host "nobody"' '^hosts:.* ref ' -- sh -c "cd / && ASSAY_HOSTS='$PWD/host/hosts' $tmp/alone run --host nobody"
printf '[vmm]\ncommand = true\n' >"$tmp/secret.host"
chmod 0 "$tmp/secret.host"
chmod 755 "$tmp"
if [ "$(id -u)" != 0 ]; then
	expect 'a recipe that may not be read' 4 'secret.host: Permission denied' '!no host' -- "$assay" run --host "$tmp/secret.host"
elif command -v setpriv >/dev/null && setpriv --reuid 65534 --clear-groups "$assay" --version >/dev/null 2>&1; then
	expect 'a recipe that may not be read' 4 'secret.host: Permission denied' '!no host' \
		-- setpriv --reuid 65534 --clear-groups "$assay" run --host "$tmp/secret.host"
else
	n=$((n + 1))
	echo "ok $n - a recipe that may not be read # SKIP this is root, and nobody else may run $assay"
fi
expect 'unknown machine' 4 'host ref has no machine "pc"' 'it has: q35 microvm' -- "$assay" run --machine pc
expect 'unknown boot' 4 'has no boot "bios"' 'it has:.* efi' -- "$assay" run --boot bios
expect 'a boot that the machine has not' 4 'microvm .*does not start by "efi"; it starts by: pvh' \
	-- "$assay" run --machine microvm --boot efi
expect 'unknown fault' 4 'has no fault "data.lost_pocket" .did you mean data.lost_packet' 'assay list --faults' \
	-- "$assay" run --fault data.lost_pocket
for s in 0/3 4/3 1/0 x/2 2 1/2/3 -1/2; do
	expect "--shard $s" 4 "shard $s: I/N is wanted, with I from 1 to N" -- "$assay" run --shard "$s"
done
expect '--cpus 0' 4 'cpus 0: a number from 1' -- "$assay" run --cpus 0
expect '--timeout x' 4 'timeout x: seconds are wanted' -- "$assay" run --timeout x
expect '--memory lots' 4 'memory lots: a size like 256M' -- "$assay" run --memory lots
expect '--repeat too often' 4 'repeat 100000 of [0-9]+ tests are more than the 1000000 results' -- "$assay" run --repeat 100000
expect '--repeat 0' 4 'repeat 0: a number from 1' -- "$assay" run --repeat 0
expect '--shuffle x' 4 'shuffle x: a number' -- "$assay" run --shuffle x
expect '--shuffle of 65 bits' 4 'shuffle 18446744073709551616: a number of 64 bits' -- "$assay" run --shuffle 18446744073709551616
for c in 'run --tests boot --tests' 'run --output' 'run --append' 'run --cpus' 'faults --fault' 'race --way' 'report --junit' 'list --image' 'configure --output' \
	'peer --uds'; do
	# shellcheck disable=SC2086 # words
	expect "an empty $c" 4 "${c##* }: its value is empty" -- "$assay" $c ''
done
expect 'faults: one of two is unknown' 4 'no such fault: "data.nothing"' -- "$assay" faults --fault data.lost_packet,data.nothing
expect 'race: one of two ways is unknown' 4 'no way "vmm-sigkil"; there are: .*vmm-sigkill' -- "$assay" race --way vmm-sigkill,vmm-sigkil
expect 'race: no folder' 2 '/dev/null/vmm-sigkill-0: Not a directory' -- "$assay" race --way vmm-sigkill --output /dev/null
expect '--set of a variable that only another section uses' 4 'nothing of host ref uses .{SOCKET2} with this machine, boot and values' 'set SOCKET2' \
	-- "$assay" run --boot pvh --tests boot.trap --set SOCKET2=/tmp/x
expect '--set of that variable where it is used' 0 '' 'passed' \
	-- "$assay" run --host ref-devices --boot pvh --tests boot.trap --set "SOCKET2=\${TMP}/second.sock"
expect '--set x' 4 'set x: NAME=VALUE' -- "$assay" run --set x
expect '--accel hvf' 4 'accel hvf: tcg, kvm or auto' -- "$assay" run --accel hvf
expect '--kernel on a host without' 4 'host ref has no use for it .--host nested' -- "$assay" run --kernel /bin/sh
expect 'a known file that is not there' 4 '/no/known: No such file' -- "$assay" run --known /no/known
echo 'boot.trap' >"$tmp/bad.known"
expect 'a known test without a reason' 4 'bad.known:1: .*reason' -- "$assay" run --known "$tmp/bad.known"
expect 'an image that is not there' 3 '/no/image: No such file' 'build it with .make.' -- "$assay" run --image /no/image
expect 'an image that is none' 3 'no ELF file' -- "$assay" run --image /bin/sh.none --image tests/host/test_cli.sh
expect 'a QEMU that is not there' 3 'host ref cannot start: /no/qemu is missing' 'make.*QEMU' \
	-- "$assay" run --set QEMU=/no/qemu
expect 'a reference device that is not built' 3 '/no/refdev is missing' '.make. builds' \
	-- "$assay" run --set REFDEV=/no/refdev
expect 'no firmware' 3 '/no/ovmf is missing' 'scripts/setup.*OVMF' -- "$assay" run --boot efi --set OVMF_CODE=/no/ovmf --tests boot.trap
expect 'a report that is not there' 3 '/no/report: No such file' -- "$assay" report /no/report
mkdir -p "$tmp/empty"
expect 'a folder without a report' 3 'empty: a folder without a report .result.json or report.ktap' -- "$assay" report "$tmp/empty"
echo '{"format": 2, "results": [' >"$tmp/bad.json"
expect 'a damaged JSON report' 3 'bad.json: damaged JSON' -- "$assay" report "$tmp/bad.json"
expect 'an empty list of tests' 4 'list of tests is empty' -- "$assay" run --tests ,
echo 'boot.trap.instruction	a reason' >"$tmp/stray.known"
expect 'a known test that is none' 4 'no test matches "boot.trap.instruction" .did you mean' -- "$assay" run --known "$tmp/stray.known"
expect 'an unknown test that is required' 4 'no test matches "vsok"' -- "$assay" run --require vsok
expect 'a required test that is left out' 4 '"vsock" is required, and --tests leaves it out' \
	-- "$assay" run --require vsock --tests boot
expect 'help of a command' 0 'Usage: assay report' -- "$assay" help report
expect 'help of none' 4 'no command "rnu"' -- "$assay" help rnu
for c in list 'list --json' 'list --hosts' --help 'run --help'; do
	expect "a full standard output: $c" 3 'standard output: ' -- sh -c "'$assay' $c >/dev/full"
done
expect 'a report that is none' 3 'no KTAP report in it' -- "$assay" report tests/host/test_cli.sh
expect 'report of nothing' 4 'which reports' -- "$assay" report
expect 'diff of one' 4 'two reports are wanted' -- "$assay" diff "$tmp"
expect 'configure what' 4 'which image' -- "$assay" configure
expect 'configure an unknown option' 4 'no option "tets" .did you mean tests' '!wrote' \
	-- "$assay" configure --output "$tmp/x" "$out/assay.img" tets=vsock
expect 'configure an unknown test' 4 'no test matches "vsok"' -- "$assay" configure --output "$tmp/x" "$out/assay.elf" tests=vsok
expect 'configure: nothing was written' 1 -- test -e "$tmp/x"
expect 'configure something else' 2 'no place for a command line' -- "$assay" configure --output "$tmp/x" "$assay" shuffle=1
long=$(head -c 5000 /dev/zero | tr '\0' x)
expect 'configure too much' 2 'too long .at most' -- "$assay" configure --output "$tmp/x" "$out/assay.elf" "console=$long"

bad_recipe() { # NAME PATTERN TEXT
	printf '%b' "$3" >"$tmp/bad.host"
	expect "recipe: $1" 4 "$2" -- "$assay" run --host "$tmp/bad.host"
}
bad_recipe 'empty' 'no .vmm. command' ''
bad_recipe 'no section' 'bad.host:1: a line before the first' 'a = b\n'
bad_recipe 'unknown key' 'bad.host:2: an unknown key' '[host]\nfoo = b\n'
bad_recipe 'not a key' 'bad.host:2: neither' '[host]\nfoo\n'
bad_recipe 'bad header' 'bad.host:1: a malformed' '[host\n'
bad_recipe 'bad variable' 'bad.host:2: a name of a variable' '[vars]\nfoo = b\n'
bad_recipe 'extends itself' 'cannot be read' "[host]\nextends = $tmp/bad.host\n"
# shellcheck disable=SC2016 # the recipe's variable
printf '[host]\nmachine = m\nboot = b\n[machine m]\n[boot b]\n[vmm]\ncommand = ${NOBODY_SETS_THIS} x\n' >"$tmp/unset.host"
expect 'recipe: a variable that is not set' 3 'NOBODY_SETS_THIS. is not set' '--set NOBODY_SETS_THIS=' \
	-- "$assay" run --host "$tmp/unset.host"
# shellcheck disable=SC2016 # the recipe's variable
printf '[host]\nmachine = m\nboot = b\n[machine m]\n[boot b]\n[known boot]\nreason = ${NOBODY_SETS_THIS}\n[vmm]\ncommand = true\n' >"$tmp/unset.host"
expect 'recipe: a reason of a variable that is not set' 4 'known boot. reason: no variable NOBODY_SETS_THIS' \
	-- "$assay" run --host "$tmp/unset.host"
# What a recipe asks its own program for: NAME is known only where that answers; where nothing uses it nobody is asked.
asks() { # COMMAND USE
	printf '[host]\nmachine = m\nboot = b\n[machine m]\n[boot b]\n[ask SIZE]\n%b[vmm]\ncommand = echo %s\n' "$1" "$2" >"$tmp/asks.host"
}
# shellcheck disable=SC2016 # the recipe's variable
size='${SIZE}'
asks 'command = false\n' "$size"
expect 'recipe: [ask] of a program that fails' 3 'ask SIZE.: .*false ended with status 1' -- "$assay" run --host "$tmp/asks.host"
asks 'command = true\n' "$size"
expect 'recipe: [ask] of one that says nothing' 3 'ask SIZE.: .*true printed nothing' -- "$assay" run --host "$tmp/asks.host"
asks 'command = /no/such/program\n' "$size"
expect 'recipe: [ask] of one that is missing' 3 'ask SIZE.: /no/such/program: No such file' -- "$assay" run --host "$tmp/asks.host"
asks '' "$size"
expect 'recipe: [ask] without a command' 3 'ask SIZE.: has no command' -- "$assay" run --host "$tmp/asks.host"
asks 'command = false\n' nothing
expect 'recipe: [ask] for what nothing uses' 3 'exited with status 0 before' -- "$assay" run --host "$tmp/asks.host"
expect 'CIDs that the reference device refuses' 3 'ask CONFIG_SIZE.: .*CID 0 is reserved' \
	-- "$assay" run --boot pvh --tests boot.trap --set CIDS=0

# --- lists ------------------------------------------------------------------------------------------------

expect 'list' 0 '^vsock.cids.connect_each +multi-cid P2' '^boot.trap.instructions ' -- "$assay" list
expect 'list of a glob' 0 '^vsock.cids.connect_each' '!^vsock.stream' '!^boot' -- "$assay" list vsock.cids
expect 'list of nothing' 4 'no test matches' -- "$assay" list no.such.test
expect 'list --hosts' 0 '^ref +reference host' '^vhost-device-vsock ' '!damaged' -- "$assay" list --hosts
expect 'list --faults' 0 '^data.lost_packet	' '^crash	' -- "$assay" list --faults
expect 'list --json' 0 '"id":"boot.trap.instructions","clause":' -- "$assay" list --json boot.trap

# --- reports of real runs, at the same time ------------------------------------------------------------

go() { # NAME ARGUMENT...
	local name=$1
	shift
	"$assay" run --host ref --boot pvh --output "$tmp/$name" "$@" >"$tmp/$name.out" 2>&1 </dev/null
	echo $? >"$tmp/$name.rc"
}
cat >"$tmp/some.known" <<KNOWN
# test			reason
boot.paging.nx		it is not known at all	https://example.org/1
vsock.stream.echo	bytes are flipped
KNOWN
some=boot.paging,boot.time,vsock.stream.echo,vsock.stream.connect
(
	go whole --tests "$some" &
	go shard1 --tests "$some" --shard 1/3 &
	wait
	go shard2 --tests "$some" --shard 2/3 &
	go shard3 --tests "$some" --shard 3/3 &
	wait
	go broken --tests "$some" --fault data.byte_flipped &
	go known --tests "$some" --fault data.byte_flipped --known "$tmp/some.known" &
	wait
	go unreached --tests vsock.init,vsock.stream.connect --fault dead.refuses &
	go unpromised --tests vsock.init,vsock.stream.connect --fault dead.refuses --set PEER= &
	wait
)
results() { grep -aE '^    (not )?ok ' "$1" | sed 's/ok [0-9]*/ok/' | sort; }

expect 'a whole run' 0 'vsock.stream.echo' ', 0 failed, 0 errors' -- sh -c "cat $tmp/whole.out; exit \$(cat $tmp/whole.rc)"
expect 'shards unite' 0 -- "$assay" report --quiet --ktap "$tmp/shards.ktap" "$tmp/shard1" "$tmp/shard2" "$tmp/shard3"
expect 'to the whole run' 0 -- diff <(results "$tmp/whole/report.ktap") <(results "$tmp/shards.ktap")
ok=0
for t in $(results "$tmp/whole/report.ktap" | awk '{ print $2 }'); do
	[ "$(cat "$tmp"/shard[123]/report.ktap | grep -acE "^    ok [0-9]+ ${t//./\\.}( |\$)")" = 1 ] || ok=1
done
report $ok 'each test is in one shard'
expect 'a promised peer that is not reached' 1 '✗ vsock.init.peer' 'vsock.stream.connect: ERROR' ' 0 skipped' \
	-- sh -c "cat $tmp/unreached.out; exit \$(cat $tmp/unreached.rc)"
expect 'a peer that nobody promised' 0 '- vsock.init.*: no peer .assay peer.' ', 0 failed, 0 errors' \
	-- sh -c "cat $tmp/unpromised.out; exit \$(cat $tmp/unpromised.rc)"
expect 'a fault FAILs' 1 '✗ vsock.stream.echo' -- sh -c "cat $tmp/broken.out; exit \$(cat $tmp/broken.rc)"
expect 'known' 0 'vsock.stream.echo: known, bytes are flipped' \
	'boot.paging.nx: passes, though known to fail, it is not known at all' '1 known to fail' \
	-- sh -c "cat $tmp/known.out; exit \$(cat $tmp/known.rc)"
expect 'known, later' 0 '1 known to fail' -- "$assay" report --known "$tmp/some.known" "$tmp/broken"

expect 'diff: nothing changed' 0 '0 regressions' -- "$assay" diff "$tmp/whole" "$tmp/shards.ktap"
expect 'diff: a regression' 1 'Regressions: FAIL now' 'PASS +-> FAIL +vsock.stream.echo' '1 regression' \
	-- "$assay" diff "$tmp/whole" "$tmp/broken"
expect 'diff: fixed' 0 'FAIL +-> PASS +vsock.stream.echo' '1 fixed' -- "$assay" diff "$tmp/broken" "$tmp/whole/report.ktap"
expect 'diff: another shard has it' 0 'old report were not selected now' -- "$assay" diff "$tmp/whole" "$tmp/shard1"
grep -av '^# meta s' "$tmp/shard1/report.ktap" >"$tmp/gone.ktap"
expect 'diff: no longer run' 1 'passed, and no longer run' -- "$assay" diff "$tmp/whole" "$tmp/gone.ktap"
expect 'diff: of some tests' 0 '0 regressions' -- "$assay" diff --tests boot "$tmp/whole" "$tmp/broken"
expect 'diff: of tests that are none' 4 'neither report has a test that matches "vsok"' -- "$assay" diff --tests vsok "$tmp/whole" "$tmp/broken"
sed -E 's/^(    ok [0-9]+ vsock.stream.echo)$/\1 # SKIP the peer is gone/; s/pass:([0-9]+)/pass:0/; s/^# Totals:.*/# Totals: pass:'"$(($(results "$tmp/whole/report.ktap" | grep -c '^    ok') - 1))"' fail:0 xfail:0 xpass:0 skip:1 error:0/' \
	"$tmp/whole/report.ktap" >"$tmp/skips.ktap"
expect 'diff: skipped now' 1 'passed, and are skipped now' 'PASS +-> SKIP +vsock.stream.echo' -- "$assay" diff "$tmp/whole" "$tmp/skips.ktap"
expect 'a shard is missing' 3 'incomplete: shard 2/3 is missing' -- "$assay" report "$tmp/shard1" "$tmp/shard3" \
	--junit "$tmp/missing.xml" --html "$tmp/missing.html"
expect 'JUnit says so' 0 'errors="1"' 'shard 2/3 is missing' -- cat "$tmp/missing.xml"
expect 'HTML says so' 0 'shard 2/3 is missing' -- cat "$tmp/missing.html"
expect 'a shard is there twice' 0 'shard 3/3 is there 2 times' -- "$assay" report "$tmp/shard1" "$tmp/shard2" "$tmp/shard3" "$tmp/shard3"
expect 'several hosts' 1 '^ +ref data.byte_flipped|ref +ref data' 'vsock.stream.echo +PASS +FAIL' 'command .*--fault data.byte_flipped' \
	-- "$assay" report "$tmp/whole" "$tmp/broken" --json "$tmp/two.json"
expect 'several hosts in one file' 1 'vsock.stream.echo +PASS +FAIL' -- "$assay" report "$tmp/two.json"
expect 'several hosts as KTAP' 3 'KTAP has no place for 2 hosts' -- "$assay" report "$tmp/two.json" --ktap "$tmp/two.ktap"
expect 'failures at the end' 0 'What went wrong' 'run --host ref --boot pvh --fault data.byte_flipped --tests vsock.stream.echo$' \
	-- sh -c "tail -n 8 '$tmp/broken.out'"
expect 'required, and skipped' 1 'required, but skipped: ' '1 failed' -- "$assay" run --host ref --boot pvh --cpus 1 \
	--tests boot.trap,boot.cpus --require boot.cpus.each_runs,boot.trap --output "$tmp/required"
expect 'required, in its report' 1 'required, but skipped: ' -- "$assay" report "$tmp/required"
expect 'numbers of the payload that are none' 0 'slow=-1 is not a number; 1 is used' '1 passed' \
	-- "$assay" run --host ref --boot pvh --tests boot.trap.instructions --append slow=-1
expect 'numbers of the payload that are too large' 0 '1 passed' '!not a number' \
	-- "$assay" run --host ref --boot pvh --tests boot.trap.instructions --append slow=10000000000000 --append timeout=10000000000000
expect 'a time of less than a second' 0 '1 passed' -- "$assay" run --host ref --boot pvh --tests boot.trap.instructions --test-timeout 0.4 --output "$tmp/short"
expect 'is one second for the payload' 0 'timeout=1' -- cat "$tmp/short/commands.txt"
expect 'repetitions' 1 'vsock.stream.echo: 3 of 3 times' -- "$assay" run --host ref --boot pvh --tests vsock.stream.echo \
	--fault data.byte_flipped --repeat 3 --output "$tmp/repeated"
expect 'benchmarks show what they measure' 0 'median of' -- "$assay" run --host ref --boot pvh --tests bench.vsock.round_trip
if command -v script >/dev/null; then
	expect 'the live line has all hosts' 0 'ref-mmio [0-9]+/[0-9]+' -- script -qec \
		"TERM=xterm '$assay' run --host ref:boot.time --host ref-mmio:boot.time --boot pvh" /dev/null
else
	n=$((n + 1))
	echo "ok $n - the live line has all hosts # SKIP no script"
fi
expect 'an interrupted run' 3 'the report is incomplete: interrupted' -- timeout --preserve-status -s INT 4 "$assay" run --host ref --boot pvh \
	--tests boot.time --repeat 5000 --output "$tmp/interrupted"
for sig in INT TERM HUP; do
	expect "several that are interrupted by SIG$sig, sent to the first process alone" 3 '^ref-mmio: ' \
		-- timeout --foreground --preserve-status -s $sig 4 "$assay" run --host ref:boot.time --host ref-mmio:boot.time --boot pvh \
		--repeat 5000 --output "$tmp/several-$sig"
	expect "each says so: SIG$sig" 0 -- grep -q 'interrupted' "$tmp/several-$sig/ref/report.ktap" "$tmp/several-$sig/ref-mmio/report.ktap"
done
expect 'its report' 3 'the report is incomplete: interrupted' -- "$assay" report "$tmp/interrupted" --junit "$tmp/i.xml" --ktap "$tmp/i.ktap"
expect 'its report as KTAP' 3 'the report is incomplete: interrupted' -- "$assay" report "$tmp/interrupted/report.ktap"
expect 'and once more' 3 'the report is incomplete: interrupted' -- "$assay" report "$tmp/i.ktap"
expect 'its JUnit' 0 'incomplete: interrupted' -- cat "$tmp/i.xml"
mkdir "$tmp/killed"
cp "$tmp/whole/result.json" "$tmp/whole/report.ktap" "$tmp/killed"
expect 'a run that is killed' 137 -- sh -c "timeout --preserve-status -s KILL 3 '$assay' run --host ref --boot pvh --tests boot.time --repeat 5000 --output '$tmp/killed'; exit 137"
expect 'leaves no report of an earlier one' 3 'killed: a folder without a report' 'serial.raw is what the console said' -- "$assay" report "$tmp/killed"
expect 'its comparison' 3 'new report is incomplete' -- "$assay" diff --tests boot.time "$tmp/interrupted" "$tmp/interrupted"
expect 'diff: a new one' 0 'New' 'absent +-> PASS' -- "$assay" diff "$tmp/shard1" "$tmp/whole"

expect 'report in each format' 1 '✗ vsock.stream.echo' -- "$assay" report "$tmp/broken" --junit "$tmp/r.xml" \
	--html "$tmp/r.html" --json "$tmp/r.json" --ktap "$tmp/r.ktap"
expect 'words instead of signs' 1 '  FAIL vsock.stream.echo' '!✗' -- env LC_ALL=C "$assay" report "$tmp/broken"
if command -v xmllint >/dev/null; then
	expect 'JUnit is XML' 0 -- xmllint --noout "$tmp/r.xml"
else
	n=$((n + 1))
	echo "ok $n - JUnit is XML # SKIP no xmllint"
fi
expect 'JUnit' 0 '<testsuites? .*failures="1"' '<testcase .*name="[^"]*echo"' '<failure' -- cat "$tmp/r.xml"
expect 'HTML is one page' 0 '<!DOCTYPE html>|<!doctype html>' 'vsock.stream.echo' '</html>' '!(src|href)="https?:' -- cat "$tmp/r.html"
expect 'JSON' 0 '"vsock.stream.echo"' -- cat "$tmp/r.json"
expect 'KTAP, and back' 0 '0 regressions' -- "$assay" diff "$tmp/broken" "$tmp/r.ktap"
expect 'a serial log is a report' 0 'passed, 0 failed' -- "$assay" report "$tmp/whole/serial.raw"
expect 'a report without its end' 3 'incomplete|stops before its end' -- \
	sh -c "head -n 40 '$tmp/whole/report.ktap' >'$tmp/cut.ktap'; '$assay' report '$tmp/cut.ktap'"
sed 's/^/2026-11-21T08:04:01.123 /' "$tmp/whole/serial.raw" >"$tmp/stamped.log"
expect 'a log with time stamps' 0 'passed, 0 failed' '!unparsable' -- "$assay" report "$tmp/stamped.log"
cat "$tmp/broken/serial.raw" "$tmp/whole/serial.raw" >"$tmp/boots.log"
expect 'a log of several boots' 0 'the log has 2 boots; boot 2 is judged' -- "$assay" report "$tmp/boots.log"
expect 'standard input' 0 'passed, 0 failed' -- sh -c "'$assay' report - <'$tmp/whole/serial.raw'"
expect 'a full standard output: report' 3 'standard output: ' -- sh -c "'$assay' report '$tmp/whole' >/dev/full"
expect 'a full standard output: diff' 3 'standard output: ' -- sh -c "'$assay' diff '$tmp/whole' '$tmp/whole' >/dev/full"
expect 'a full standard output: run' 3 'standard output: ' -- sh -c "'$assay' run --host ref --boot pvh --tests boot.trap >/dev/full"
expect 'a closed standard output: run' 3 'standard output: ' -- sh -c "'$assay' run --host ref --boot pvh --tests boot.trap >&-"
expect 'all of the three closed: run' 3 -- sh -c "'$assay' run --host ref --boot pvh --tests boot.trap --output '$tmp/closed' <&- >&- 2>&-"
expect 'its report has nothing of what is printed' 0 '^    ok 1 boot.trap' '!passed, ' -- cat "$tmp/closed/report.ktap" "$tmp/closed/serial.raw"
expect 'a full device' 3 '/dev/full: No space' -- "$assay" report -q "$tmp/whole" --html /dev/full
expect 'it is still a device' 0 -- test -c /dev/full
for to in - /dev/stdout /dev/fd/1; do
	expect "a report to $to" 0 '^<.xml version' '</testsuites>$' '!passed' -- sh -c "'$assay' report '$tmp/whole' --junit $to 2>/dev/null"
done
expect 'standard output is there once' 4 'only one of the formats' -- "$assay" report "$tmp/whole" --junit - --html -
mkfifo "$tmp/fifo"
expect 'a report to a FIFO' 0 '</testsuites>' -- sh -c "'$assay' report -q '$tmp/whole' --junit '$tmp/fifo' & cat '$tmp/fifo'; wait"
expect 'it is still a FIFO' 0 -- test -p "$tmp/fifo"
expect 'a report that cannot be written' 3 '/no/dir/r.xml' -- "$assay" report "$tmp/whole" --junit /no/dir/r.xml

# --- two at the same time -----------------------------------------------------------------------------------

mkdir -p "$tmp/taken"
exec 9<"$tmp/taken"
flock 9
for c in 'run --boot pvh --tests boot.trap' 'faults --fault data.lost_packet' 'race --seconds 1'; do
	status=2
	[[ $c != run* ]] || status=3
	# shellcheck disable=SC2086 # words
	expect "a folder that another one works in: $c" $status "another run works in $tmp/taken: .*--output" -- "$assay" $c --output "$tmp/taken"
done
exec 9<&-
expect 'a folder that is free again' 0 '1 passed' -- "$assay" run --boot pvh --tests boot.trap.instructions --output "$tmp/taken"
# shellcheck disable=SC2016 # the inner shell's
expect 'a script whose folder another one works in' 2 'another one works in .*: let it end, or build in another folder' '!goes on' \
	-- flock "$tmp/table.lock" bash -c '. scripts/pool; alone_in "$1"; echo goes on' script "$tmp/table"
# shellcheck disable=SC2016 # the inner shell's
expect 'a script whose folder is its own' 0 'goes on' -- bash -c '. scripts/pool; alone_in "$1"; echo goes on' script "$tmp/table"

# --- variables of make and of its scripts ---------------------------------------------------------------------

for v in O CC LD OBJCOPY JOBS; do
	expect "make $v=" 2 "$v=: it is empty" -- env -u MAKEFLAGS -u MAKELEVEL make -s "$v=" help
done
for v in 0 -1 x 1.5 100 "2'"; do
	expect "make JOBS=$v" 2 "JOBS=$v: a number from 1 to 99" -- env -u MAKEFLAGS -u MAKELEVEL make -s "JOBS=$v" help
done
expect 'make O with a blank' 2 'O=a b: .*blank' -- env -u MAKEFLAGS -u MAKELEVEL make -s 'O=a b' help
expect 'make JOBS=3' 0 '^make run' -- env -u MAKEFLAGS -u MAKELEVEL make -s JOBS=3 help
expect 'a kind of tests that there is not' 2 'no kind "units" of tests' -- scripts/test "$tmp" units
expect 'tests without a build folder' 2 'a build folder is wanted' -- scripts/test "$tmp/none" unit
for v in FAULTS=some TEST_TIMEOUT=0 TEST_TIMEOUT=1h FUZZ_SECONDS=-1 JOBS=0; do
	expect "tests with $v" 2 "$v: .* wanted" -- env "$v" scripts/test "$tmp" unit
done
expect 'fuzzers without an end' 2 'FUZZ_SECONDS=0: a number from 1' -- env FUZZ_SECONDS=0 scripts/fuzz "$tmp" /bin/false
expect 'no seed of chaos' 2 'SEEDS=0: a number' -- env SEEDS=0 scripts/chaos "$tmp"
expect 'a number of orders that is none' 2 'SHUFFLES=x: a number' -- env SHUFFLES=x scripts/matrix "$tmp"

# --- images that carry a command line ---------------------------------------------------------------------

for kind in elf efi img; do
	"$assay" configure "$out/assay.$kind" --output "$tmp/assay.$kind" tests=boot.trap,-boot.memory shuffle=7
	"$assay" configure "$tmp/assay.$kind" 'tests=boot.trap,-boot.memory  shuffle=7' # as a recipe's ${CMDLINE} gives it
	expect "configure: $kind shows it" 0 '^tests=boot.trap,-boot.memory shuffle=7$' -- "$assay" configure --show "$tmp/assay.$kind"
done
var() { sed -n "s/^$1=//p" "$out/setup.env"; }
cp "$(var OVMF_VARS)" "$tmp/vars1.fd"
cp "$(var OVMF_VARS)" "$tmp/vars2.fd"
boot() { # KIND QEMU_ARGUMENT...: what the payload says
	local kind=$1
	shift
	timeout -k 5 60 "$(var QEMU)" -accel tcg -M q35 -m 128 -nodefaults -vga none -display none -no-reboot \
		-serial stdio -device isa-debug-exit,iobase=0xf4,iosize=4 "$@" </dev/null 2>&1 | tr -d '\r' >"$tmp/$kind.log"
}
firmware() { # VARS
	printf -- '-drive\nif=pflash,unit=0,format=raw,readonly=on,file=%s\n' "$(var OVMF_CODE)"
	printf -- '-drive\nif=pflash,unit=1,format=raw,file=%s\n' "$tmp/$1"
}
mapfile -t firmware1 < <(firmware vars1.fd)
mapfile -t firmware2 < <(firmware vars2.fd)
boot elf -kernel "$tmp/assay.elf" &
boot efi "${firmware1[@]}" -kernel "$tmp/assay.efi" &
boot img "${firmware2[@]}" -drive "format=raw,file=$tmp/assay.img" &
wait
for kind in elf efi img; do
	expect "configure: $kind obeys" 0 '^    1\.\.1$' 'ok 1 boot.trap.instructions$' 'pass:1 fail:0' '^# end$' -- cat "$tmp/$kind.log"
done
expect 'configure --clear' 0 -- "$assay" configure --clear "$tmp/assay.elf"
expect 'configure: nothing is left' 0 -- cmp "$tmp/assay.elf" "$out/assay.elf"

# --- the man page ------------------------------------------------------------------------------------------

for c in run list peer configure report diff faults race; do
	section=$(awk -v s=".Ss assay $c" '$0 == s { on = 1; next } /^\.S[hs]/ { on = 0 } on' docs/assay.1)
	help=$("$assay" $c --help)
	ok=0
	# shellcheck disable=SC2013 # words
	for o in $(grep -oE '^ +(-[a-z?V], |    )?--[a-z0-9-]+' <<<"$help" | grep -oE -- '--[a-z0-9-]+' | sort -u); do
		case $o in --help | --usage | --version) text=$(cat docs/assay.1) ;; *) text=$section ;; esac
		grep -qE -- "Fl -${o#--}( |\$)" <<<"$text" || {
			ok=1
			echo "# docs/assay.1 does not explain $o of assay $c"
		}
	done
	# shellcheck disable=SC2013 # words
	for o in $(grep -oE 'Fl -[a-z0-9-]+' <<<"$section" | sed 's/Fl -/--/' | sort -u); do
		grep -q -- "$o\b" <<<"$help" || [[ $c$o == run--hosts || $c$o == run--faults ]] || {
			ok=1
			echo "# assay $c has no $o, which docs/assay.1 explains"
		}
	done
	report $ok "man page: options of assay $c"
done
if command -v groff >/dev/null; then
	expect 'man page: groff has nothing to say' 0 '!.' -- sh -c 'groff -mandoc -Tutf8 -ww docs/assay.1 2>&1 >/dev/null'
else
	n=$((n + 1))
	echo "ok $n - man page: groff has nothing to say # SKIP no groff"
fi

echo "1..$n"
