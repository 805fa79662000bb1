#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# tests/host/test_survive.sh BUILD_DIR: `assay run` where things go wrong, with scripts that act as VMMs
# and devices, and with QEMU. Whatever happens: the right status, a clear message, the results so far, and
# no process and no file left behind. TAP.
set -uo pipefail

out=$(realpath "$1")
assay=$out/assay
tmp=$(mktemp -d /tmp/as.XXXXXX)
mark=ASSAY_SURVIVE=$$.$RANDOM
export "${mark?}" PAYLOAD="$out/assay.elf" LC_ALL=C.UTF-8
trap 'rm -rf "$tmp"' EXIT

n=0
planned=0
report() { # OK NAME
	n=$((n + 1))
	if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi
}

# --- scripts that act as programs of a host ------------------------------------------------

# fake MODE ARGUMENT...: prints reports, or fails in one of many ways. Three tests of the payload's table.
cat >"$tmp/fake" <<'FAKE'
#!/usr/bin/env bash
mode=$1
shift
after=$(sed -n 's/.*after=\([^ ]*\).*/\1/p' <<<"$*")
tests=(boot.paging.null boot.paging.nx boot.paging.text)
while [ -n "$after" ] && [ "${tests[0]:-$after}" != "$after" ]; do tests=("${tests[@]:1}"); done
[ -z "$after" ] || tests=("${tests[@]:1}")
eol=$'\n'
say() { printf '%s%s' "$*" "$eol"; }
begin() { say "KTAP version 1"; say "# assay fake boot=pvh"; say "# env cpu: fake"; say "1..1"
	say "    KTAP version 1"; say "    # Subtest: boot"; say "    1..${1:-${#tests[@]}}"; }
start() { say "    # start ${tests[$1]}"; }
pass() { start "$1"; say "    ok $(($1 + 1)) ${tests[$1]}"; }
end() { say "${1:-ok} 1 boot"; say "# Totals: pass:${2:-${#tests[@]}} fail:0 xfail:0 xpass:0 skip:0 error:0"; say "# end"; }
all() { begin; for i in "${!tests[@]}"; do pass "$i"; done; end; }
# What happened so far in this scenario: a file beside its temporary folder.
happened() { : >"$TMPDIR/../$1"; }
await() { until [ -e "$TMPDIR/../$1" ]; do sleep 0.02; done; }
# In the first boot the second test goes wrong; what remains runs in the second one.
second() { [ -z "$after" ] || { all; exit 0; }; begin; pass 0; start 1; }
binary() { head -c "$1" /dev/urandom; }
flood() { while :; do binary 1000000 || exit 0; done; }

case $mode in
good) all ;;
crlf) eol=$'\r\n'; all ;;
silent) sleep 1000 ;;
quits) exit 0 ;;
fails) echo "fake: cannot open the thing" >&2; exit 7 ;;
complains) echo "fake: -mon is deprecated" >&2; echo "fake: cannot open the thing" >&2; exit 7 ;;
hangs) second; sleep 1000 ;;
spins) second; while :; do :; done ;;
hangs-between) begin; pass 0; sleep 1000 ;;
always-hangs) begin; start 0; sleep 1000 ;;
dies) second; exit 0 ;;
boots-anew) second; begin; pass 0; sleep 1000 ;;
exits) second; echo "fake: out of luck" >&2; exit 7 ;;
crashes) second; kill -SEGV $$ ;;
killed) second; kill -KILL $$ ;;
dies-each) begin; start 0; exit 0 ;;
floods) flood ;;
floods-test) second; flood ;;
floods-after) all; flood ;;
binary) binary 300000; echo; all ;;
binary-inside) begin; pass 0; binary 300000; echo; pass 1; pass 2; end ;;
overlong) begin; pass 0; head -c 3000000 /dev/zero | tr '\0' x; echo; pass 1; pass 2; end ;;
closes) second; exec >&- 2>&-; sleep 1000 ;;
closes-early) exec >&- 2>&-; sleep 1000 ;;
ignores-term) trap '' TERM HUP INT; all; while :; do sleep 0.1; done ;;
ignores-term-hang) trap '' TERM HUP INT; second; while :; do sleep 0.1; done ;;
leaves-daemon) setsid sleep 1000 </dev/null >/dev/null 2>&1 & all ;;
leaves-daemon-stdout) (setsid sleep 1000 &) ; all ;;
no-end) begin; pass 0; pass 1; pass 2; say "ok 1 boot" ;;
dies-between) say "KTAP version 1"; say "1..1"; exit 0 ;;
bails-early) say "Bail out! no guest: out of luck"; exit 0 ;;
bail) say "KTAP version 1"; say "Bail out! no memory"; say "# end" ;;
lost) begin; pass 0; start 1; pass 2; end ok 3 ;;
twice) begin 4; pass 0; say "    ok 2 ${tests[0]}"; pass 1; pass 2; end ok 4 ;;
wrong-plan) begin 9; pass 0; pass 1; pass 2; end ;;
wrong-totals) begin; pass 0; pass 1; pass 2; end ok 40 ;;
wrong-words) begin; pass 0; pass 1; start 2; say "    ok 3 ${tests[2]} # MAYBE"; end ;;
foreign) begin 4; pass 0; pass 1; pass 2; say "    # start no.such"; say "    ok 4 no.such"; end ok 4 ;;
numbers) begin; pass 0; pass 1; start 2; say "    ok 99999999999999999999 ${tests[2]}"; end ;;
endless) say "KTAP version 1"; say "1..1"; say "    # Subtest: boot"; say "    1..100000"
	while :; do say "    # note"; say "    # start boot.paging.null"; say "    ok 1 boot.paging.null"; sleep 0.05; done ;;
empty-names) begin; say "    # start "; say "    ok 1 "; say "    not ok"; say "ok"; say "1.."; pass 0; pass 1; pass 2; end ;;
# A host that looks at itself behind the report, longer than a VMM is waited for otherwise; one that does so
# without end.
checks-itself) all; sleep 5; echo "@end" >"$TMPDIR/../records"; sleep 1000 ;;
checks-without-end) all; : >"$TMPDIR/../records"; sleep 1000 ;;
slow) second; sleep 1.5; say "    ok 2 ${tests[1]}"; pass 2; end ;;
asks) if [ -z "$after" ]; then begin; pass 0; say "# reboot: nothing works since then"; exit 0; fi
	# The harness tells it to a payload that knows the option.
	[[ $* == *reboots=1* ]] || ! grep -aqzx reboots "$PAYLOAD" || exit 9
	all ;;
asks-while-told) [[ $* == *reboots=1* ]] || { all; exit 0; }; begin; pass 0; say "# reboot: nothing works"; exit 0 ;;
paced) begin; start 0; happened started; await go; say "    ok 1 ${tests[0]}"; pass 1; pass 2; end ;;
asks-always) begin 1; pass 0; say "# reboot: nothing works"; exit 0 ;;
probe) say "KTAP version 1"; say "# end" ;;
lasts) second; happened started; sleep 1000 ;;
device) sleep 1000 ;;
device-dies) [ ! -e "$TMPDIR/../died" ] || exec sleep 1000; await started; happened died; exit 3 ;;
# The harness looks for the thread ten times a second.
device-worker) if [ ! -e "$TMPDIR/../died" ]; then await started; sleep 1; happened died; exec sleep 1000; fi
	while :; do sleep 0.1; done ;;
device-quits) echo "fake: no such CID" >&2; exit 3 ;;
esac
FAKE
chmod +x "$tmp/fake"

# A host of scripts; MODE is the VMM's way to fail, DEVICE that of a device, if any.
cat >"$tmp/fake.host" <<FAKE
[host]
description = a script
machine = m
boot = pvh
[machine m]
[boot pvh]
[vmm]
command = $tmp/fake \${MODE} \${CMDLINE_ARGS}
FAKE
cat >"$tmp/device.host" <<FAKE
[host]
extends = $tmp/fake.host
[vars]
MODE = good
DEVICE_COMMAND = $tmp/fake
[device dev]
command = \${DEVICE_COMMAND} \${DEVICE} \${SOCKET}
ready = \${WAIT}
deadline = 1
FAKE
cat >"$tmp/worker.host" <<FAKE
[host]
extends = $tmp/device.host
[device dev]
thread = bash
FAKE

# What comes behind the report has a deadline: the VMM's own checks, and a command that prints the host's log.
cat >"$tmp/after.host" <<FAKE
[host]
extends = $tmp/fake.host
[after]
deadline = \${AFTER_SECONDS}
records = \${RECORDS}
FAKE
cat >"$tmp/after-command.host" <<FAKE
[host]
extends = $tmp/fake.host
[after]
deadline = 0.5 0.5
command = sleep 1000
FAKE

# Two recipes that may not run at the same time.
cat >"$tmp/locked.host" <<FAKE
[host]
extends = $tmp/fake.host
lock = survive.$$
FAKE
# A machine that starts by one way only, which is not the probe guest's.
cat >"$tmp/probe.host" <<FAKE
[host]
extends = $tmp/fake.host
boot = pvh
[machine small]
BOOTS = efi
[machine m]
BOOTS = pvh efi
[boot efi]
[probe]
command = $tmp/fake probe list=1
[vmm]
command = $tmp/fake good \${BOOT} \${CMDLINE_ARGS}
FAKE
# A device in a network namespace of its own.
cat >"$tmp/netns.host" <<FAKE
[host]
extends = ref
boot = pvh
[device refdev]
command = unshare -n \${REFDEV} --socket \${SOCKET} --cids \${CIDS} --layout \${LAYOUT}
FAKE

# Real QEMU. A second program, which serves nobody and can be killed: a peer that died.
cat >"$tmp/qemu.host" <<FAKE
[host]
extends = ref
boot = pvh
[device peer]
command = $assay peer --uds \${TMP}/peer
ready = \${TMP}/peer_4000
FAKE

# hold ARGUMENT...: QEMU. In the first boot nothing that it prints behind the start of the test $HOLD_AT is passed on:
# for the harness that test runs until something happens, however fast this machine is.
cat >"$tmp/hold" <<HOLD
#!/usr/bin/env bash
qemu=\${QEMU:-$(sed -n 's/^QEMU=//p' "$out/setup.env" 2>/dev/null)}
HOLD
cat >>"$tmp/hold" <<'HOLD'
held=$TMPDIR/../held
[ "$1" != --version ] && [ ! -e "$held" ] || exec "$qemu" "$@"
exec 3< <(exec setpriv --pdeathsig KILL "$qemu" "$@" 3<&-)
while IFS= read -r line <&3; do
	printf '%s\n' "$line"
	[[ $line != *"# start $HOLD_AT"* ]] || break
done
: >"$held"
exec -a "held chardev" sleep 1000 # by the name that is looked for
HOLD
chmod +x "$tmp/hold"

# --- scenarios run beside each other; what they did is looked at afterwards ---------------------

children_of() { # PID; procps may not be there
	local f stat
	for f in /proc/[0-9]*/stat; do
		{ read -r stat <"$f"; } 2>/dev/null || continue
		read -r _ stat _ <<<"${stat##*) }"
		[ "$stat" != "$1" ] || basename "${f%/stat}"
	done
}
# The pid of one program of a harness.
pid_of() { # HARNESS PROGRAM: refdev, peer, vmm or harness
	local p word
	case $2 in
	vmm) word=chardev ;; # QEMU's arguments, which the holding script has, too
	refdev) word=$out/assay-refdev ;;
	peer) word="$assay peer" ;;
	harness) echo "$1" && return ;;
	esac
	for p in $(children_of "$1"); do
		[[ "$(tr '\0' ' ' 2>/dev/null <"/proc/$p/cmdline")" != *"$word"* ]] || echo "$p"
	done
}
await() { # PATTERN FILE: until it is there, for some 30 s at most
	local i
	for ((i = 0; i < 1500; i++)); do
		grep -aqs -- "$1" "$2" && return 0
		sleep 0.02
	done
	return 1
}

begin() { # NAME: its folder
	mkdir -p "$tmp/$1/tmp"
	export TMPDIR=$tmp/$1/tmp SCENARIO=$1
}
# Long limits, which no busy machine reaches: only what really hangs has short ones.
hung="--test-timeout 2 --grace 1 --silence 2"
run() { # NAME ARGUMENT...
	local name=$1
	shift
	begin "$name"
	"$assay" run --output "$tmp/$name/run" --test-timeout 60 --grace 30 --first-line 120 --silence 60 "$@" \
		>"$tmp/$name/out" 2>&1 </dev/null
	echo $? >"$tmp/$name/rc"
}
fake() { # MODE ARGUMENT...
	local mode=$1
	shift
	run "$mode" --host "$tmp/fake.host" --set "MODE=$mode" \
		--tests boot.paging.null,boot.paging.nx,boot.paging.text "$@"
}
after() { # MODE SECONDS
	run "$1" --host "$tmp/after.host" --set "MODE=$1" --set "AFTER_SECONDS=$2" --set "RECORDS=$tmp/$1/records" \
		--tests boot.paging.null,boot.paging.nx,boot.paging.text
}
device() { # NAME DEVICE WAIT VMM_MODE ARGUMENT...
	run "$1" --host "$tmp/device.host" --set "DEVICE=$2" --set "WAIT=$3" --set "MODE=$4" \
		--tests boot.paging.null,boot.paging.nx,boot.paging.text "${@:5}"
}
qemu_tests=irq.cpu,boot.paging,vsock.stream.echo
fault_tests=boot.paging,vsock.stream.echo,vsock.stream.hundred
qemu_kill() { # NAME SIGNAL PROGRAM ARGUMENT...: while a test runs
	local harness pid
	begin "$1"
	HOLD_AT=irq.cpu.halt_wakes "$assay" run --host "$tmp/qemu.host" --set "QEMU=$tmp/hold" --output "$tmp/$1/run" \
		--test-timeout 60 --grace 30 --first-line 120 --tests "$qemu_tests" "${@:4}" >"$tmp/$1/out" 2>&1 </dev/null &
	harness=$!
	await '# start irq.cpu.halt_wakes' "$tmp/$1/run/serial.raw"
	pid=$(pid_of $harness "$3")
	# A VMM is stopped or killed with all of its processes.
	[ "$3" != vmm ] || pid=-$pid
	kill "-$2" -- "$pid"
	wait $harness
	echo $? >"$tmp/$1/rc"
}
interrupt() { # NAME SIGNAL: of the harness itself
	begin "$1"
	"$assay" run --host "$tmp/fake.host" --set MODE=hangs --output "$tmp/$1/run" --test-timeout 100 \
		--tests boot.paging.null,boot.paging.nx,boot.paging.text >"$tmp/$1/out" 2>&1 </dev/null &
	await "start boot.paging.nx" "$tmp/$1/run/serial.raw"
	kill "-$2" $!
	wait $!
	echo $? >"$tmp/$1/rc"
}

# The machine does nothing for longer than the limits, the harness no more than its guest; then both go on.
stalled() {
	begin stalled
	"$assay" run --host "$tmp/fake.host" --set MODE=paced --output "$tmp/stalled/run" --test-timeout 9 --grace 1 \
		--silence 9 --first-line 120 --tests boot.paging.null,boot.paging.nx,boot.paging.text \
		>"$tmp/stalled/out" 2>&1 </dev/null &
	await "start boot.paging.null" "$tmp/stalled/run/serial.raw"
	kill -STOP $!
	sleep 13
	kill -CONT $!
	sleep 1
	: >"$tmp/stalled/go"
	wait $!
	echo $? >"$tmp/stalled/rc"
	rm -f "$tmp/stalled/"{go,started}
}

locked() { # a run that lasts; one that waits in vain; one that comes when the first has ended
	local first waits
	begin locked
	"$assay" run --host "$tmp/locked.host" --set MODE=lasts --output "$tmp/locked/run" --test-timeout 100 \
		--tests boot.paging.null,boot.paging.nx,boot.paging.text >"$tmp/locked/out" 2>&1 </dev/null &
	first=$!
	await "start boot.paging.nx" "$tmp/locked/run/serial.raw"
	run locked-vain --host "$tmp/locked.host" --set MODE=good --timeout 0.5
	begin locked
	run locked-waits --host "$tmp/locked.host" --set MODE=good --tests boot.paging &
	waits=$!
	await "waiting for another run" "$tmp/locked-waits/out"
	kill -INT $first
	wait $waits
	wait $first
	echo $? >"$tmp/locked/rc"
}
twice_in_one() {
	begin two
	"$assay" run --host "$tmp/fake.host" --host "$tmp/fake.host:boot.paging.nx" --set MODE=good --output "$tmp/two/run" \
		--tests boot.paging.null,boot.paging.nx,boot.paging.text >"$tmp/two/out" 2>&1 </dev/null
	echo $? >"$tmp/two/rc"
}
blanks() {
	begin blanks
	mkdir "$tmp/blanks/tmp/a b"
	TMPDIR="$tmp/blanks/tmp/a b" "$assay" run --host ref --boot pvh --tests boot.paging.nx --output "$tmp/blanks/a b" \
		>"$tmp/blanks/out" 2>&1 </dev/null
	echo $? >"$tmp/blanks/rc"
	rmdir "$tmp/blanks/tmp/a b"
}

# --- what must be so ------------------------------------------------------------------------------

check() { # NAME STATUS[|STATUS] PATTERN...: lines of the output (extended expressions), "!" for those that must not be
	local name=$1 want=$2 rc ok=0 p
	shift 2
	planned=$((planned + 1))
	rc=$(cat "$tmp/$name/rc" 2>/dev/null)
	[[ $rc =~ ^($want)$ ]] || {
		ok=1
		echo "# $name: status $rc instead of $want"
	}
	for p; do
		if [ "${p#!}" != "$p" ]; then
			! grep -aqE -- "${p#!}" "$tmp/$name/out" || {
				ok=1
				echo "# $name: \"${p#!}\" in its output"
			}
		elif ! grep -aqE -- "$p" "$tmp/$name/out"; then
			ok=1
			echo "# $name: no \"$p\" in its output"
		fi
	done
	[ -z "$(ls -A "$tmp/$name/tmp")" ] || {
		ok=1
		echo "# $name: left in the temporary folder: $(ls -A "$tmp/$name/tmp")"
	}
	[ $ok = 0 ] || sed 's/^/#   | /' "$tmp/$name/out"
	report $ok "$name"
}
has() { # NAME PATTERN...: lines of the report that it wrote
	local name=$1 ok=0 p
	shift
	planned=$((planned + 1))
	for p; do
		grep -aqE -- "$p" "$tmp/$name/run/report.ktap" || {
			ok=1
			echo "# $name: no \"$p\" in its report.ktap"
		}
	done
	[ $ok = 0 ] || sed 's/^/#   | /' "$tmp/$name/run/report.ktap"
	report $ok "$name: report.ktap"
}

# --- go -----------------------------------------------------------------------------------------------

# Scripts first, several at a time: they sleep more than they work.
most=8
at_once() { # FUNCTION ARGUMENT...
	while [ "$(jobs -rp | wc -l)" -ge $most ]; do wait -n; done
	"$@" &
}
(
	for m in good crlf silent quits fails hangs hangs-between dies boots-anew exits crashes killed closes closes-early \
		ignores-term ignores-term-hang leaves-daemon leaves-daemon-stdout no-end bail lost twice \
		bails-early wrong-plan wrong-totals wrong-words foreign numbers empty-names binary binary-inside overlong slow \
		floods-after spins; do
		case $m in
		silent | closes-early) at_once fake $m --first-line 1 ;;
		hangs | hangs-between | spins | closes | ignores-term-hang)
			# shellcheck disable=SC2086 # words
			at_once fake $m $hung
			;;
		*) at_once fake $m ;;
		esac
	done
	at_once after checks-itself 9
	at_once after checks-without-end 1
	at_once run after-hangs --host "$tmp/after-command.host" --set MODE=good \
		--tests boot.paging.null,boot.paging.nx,boot.paging.text
	at_once fake asks
	at_once fake asks-always --reboots 1
	at_once fake asks-while-told --reboots 1
	at_once run probe --host "$tmp/probe.host" --machine small --accel auto
	at_once locked
	at_once twice_in_one
	at_once fake floods --first-line 120
	at_once fake floods-test --test-timeout 30
	# shellcheck disable=SC2086 # words
	at_once fake always-hangs --reboots 1 $hung
	at_once stalled
	at_once fake dies-each --reboots 1
	at_once fake dies-between --reboots 1
	at_once fake endless --timeout 3
	at_once device device-quits device-quits "$tmp/never" good
	at_once device device-never-ready device "$tmp/never" good
	at_once device device-dies device-dies / lasts --grace 10
	at_once run device-worker --host "$tmp/worker.host" --set DEVICE=device-worker --set WAIT=/ --set MODE=lasts \
		--tests boot.paging.null,boot.paging.nx,boot.paging.text --grace 10
	at_once device device-gone device / good --set DEVICE_COMMAND=/no/such/program
	at_once interrupt sigint INT
	at_once interrupt sigterm TERM
	at_once interrupt sighup HUP
	wait
)

check good 0 '✓ boot.paging.text' '3 passed, 0 failed'
check crlf 0 '3 passed, 0 failed'
check silent 3 'no report from the payload within 1.0 s; the VMM runs on' 'first-line gives'
check quits 3 'exited with status 0 before the report'
check bails-early 3 'exited with status 0 before the payload' 'the payload gave up: no guest: out of luck'
check fails 3 'vmm exited with status 7 before the payload' 'vmm: fake: cannot open the thing'
check hangs 1 'boot.paging.nx: timeout.*the guest hung' 'booting again for the remaining 1 test' \
	'2 passed, 1 failed'
has hangs '^    ok [0-9] boot.paging.null$' '^    ok [0-9] boot.paging.text$' \
	'^    not ok [0-9] boot.paging.nx # TIMEOUT the guest hung'
check stalled 0 '3 passed, 0 failed'
check spins 1 'the guest hung' '2 passed, 1 failed'
check hangs-between 2 'harness.end: ERROR, the guest hung' 'booting again for the remaining 2' '3 passed, 0 failed, 3 errors'
check always-hangs 3 'the guest hung' 'report is incomplete: 1 of 3'
check dies 1 'the guest died .triple fault or reset.' '2 passed, 1 failed'
check boots-anew 1 'died .triple fault or reset.: the machine started the payload anew' '2 passed, 1 failed'
check exits 1 'exited with status 7' 'fake: out of luck' '2 passed, 1 failed'
check crashes 1 'vmm was ended by signal 11' 'owner: +vmm' '2 passed, 1 failed'
check killed 2 'vmm was ended by signal 9' '2 passed, 0 failed, 1 error'
check dies-each 3 'the guest died' '2 boots are enough: 1 test has no verdict'
check dies-between 3 'the guest died' 'report is incomplete: 3 of 3'
check closes 1 'the guest hung.*its console was closed' '2 passed, 1 failed'
check closes-early 3 'no report from the payload within 1.0 s; its console was closed'
check ignores-term 0 '3 passed, 0 failed'
check ignores-term-hang 1 'the guest hung' '2 passed, 1 failed'
check leaves-daemon 0 '3 passed'
check leaves-daemon-stdout 0 '3 passed'
check no-end 2 'harness.end: ERROR.*before the report.s end' '3 passed, 0 failed, 1 error'
check bail 3 'the payload gave up: no memory'
check lost 2 'boot.paging.nx: ERROR, its result line was lost' '2 passed, 0 failed, 2 errors'
check twice 2 'harness.report' "breaks KTAP's rules"
check wrong-plan 2 'planned 9 tests and reported 3'
check wrong-totals 2 'the totals say pass:40'
check wrong-words 2 'unknown directive'
check foreign 2 'no.such is no test of suite boot'
check numbers 2 "breaks KTAP's rules"
check empty-names 2 '3 passed'
check binary 0 '3 passed'
check binary-inside 0 '3 passed' 'unparsable output on the console'
check overlong 0 '3 passed' 'unparsable'
check floods 3 'the console was flooded: more than 16 MiB'
check floods-test 1 'the console was flooded' '2 passed, 1 failed'
check floods-after '0|2' '3 passed' # by how much comes within the time that the VMM has to end
check endless 3 'time of the whole run is over'
check slow 0 '3 passed'
check checks-itself 0 '3 passed, 0 failed, 0 errors' '!host.end'
check checks-without-end 2 'host.end: ERROR, the host did not come to the end of its own checks in time' '3 passed, 0 failed, 1 error'
check after-hangs 0 'the host.s log was not read: sleep did not end within 1 s' \
	'host.dmesg.clean: the kernel.s log cannot be read: sleep did not end within 1 s' '3 passed'
check device-quits 3 'dev exited with status 3 before it was ready' 'fake: no such CID'
check device-never-ready 3 'dev was not ready within 1.0 s'
check device-dies 1 'dev exited with status 3' 'owner: +dev'
check device-worker 1 'host.dev.alive: dev is dead: its thread bash ended' 'while boot.paging.nx ran' '3 passed, 1 failed'
has device-worker '^    ok [0-9] boot.paging.null$' '^    ok [0-9] boot.paging.text$'
check device-gone 3 'dev cannot be started: /no/such/program: No such file'
check asks 0 'asks for a new boot: nothing works since then' 'booting again for the remaining 2' '3 passed' '!ERROR'
check asks-while-told 0 'booting again for the remaining 2' '3 passed'
check asks-always 3 '2 boots are enough: 1 test has no verdict' '!harness.end'
check locked 3 '!waiting'
check locked-vain 3 'waiting for another run that uses survive' 'until the time of this one was over'
check locked-waits 0 'waiting for another run' '3 passed'
check two 0 '3 passed'
planned=$((planned + 1))
[ -f "$tmp/two/run/fake.host/report.ktap" ] && [ -f "$tmp/two/run/fake.host-2/report.ktap" ]
report $? 'two: a folder each'
if [ -w /dev/kvm ]; then
	check probe 0 'small, efi, .*kvm' '3 passed'
	planned=$((planned + 1))
	grep -q 'fake good efi' "$tmp/probe/run/commands.txt"
	report $? 'probe: the boot that the machine has'
fi
check sigint 3 'interrupted' '1 passed' 'incomplete: interrupted; 2 of 3'
has sigint '^    ok 1 boot.paging.null$'
check sigterm 3 'interrupted' '1 passed'
check sighup 3 'interrupted' '1 passed'

echo "# scripts: $SECONDS s"

# --- QEMU ---------------------------------------------------------------------------------------------

# A guest that triple faults after the start of a test, as a PVH kernel of some bytes: CS, DS, SS and ESP
# are as the PVH ABI says; no IDT.
cat >"$tmp/triple.S" <<'ASM'
	.section .note.pvh, "a", @note
	.long 4, 4, 18
	.asciz "Xen"
	.long _start
	.text
	.code32
	.globl _start
_start:	mov	$text, %esi
	mov	$0x3f8, %dx
1:	lodsb
	test	%al, %al
	jz	2f
	out	%al, %dx
	jmp	1b
2:	lidt	none
	int3
none:	.word 0
	.long 0
text:	.ascii "KTAP version 1\n# assay triple boot=pvh\n1..1\n    KTAP version 1\n    # Subtest: boot\n    1..3\n"
	.ascii "    # start boot.paging.null\n    ok 1 boot.paging.null\n    # start boot.paging.nx\n\0"
ASM
gcc -m32 -nostdlib -static -no-pie -Wl,-Ttext=0x200000,--build-id=none -o "$tmp/triple.elf" "$tmp/triple.S"
cat >"$tmp/triple.host" <<FAKE
[host]
extends = ref
boot = pvh
[boot pvh]
BOOT_ARGS = -kernel $tmp/triple.elf \${CMDLINE_ARGS}
FAKE

(
	most=4
	at_once qemu_kill stop-qemu STOP vmm --test-timeout 15 --grace 5
	at_once qemu_kill kill-qemu KILL vmm
	at_once qemu_kill kill-refdev KILL refdev
	at_once qemu_kill kill-peer KILL peer
	at_once run refdev-crash --host ref --boot pvh --fault crash --tests "$fault_tests"
	at_once run refdev-hang --host ref --boot pvh --fault hang --tests "$fault_tests" --test-timeout 8 --grace 4 --silence 8
	at_once qemu_kill interrupt-qemu INT harness
	at_once qemu_kill kill-harness KILL harness
	at_once blanks
	unshare -n true 2>/dev/null && at_once run netns --host "$tmp/netns.host" --tests vsock.stream.connect
	at_once run triple-fault --host "$tmp/triple.host" --reboots 0 \
		--tests boot.paging.null,boot.paging.nx,boot.paging.text
	wait
) 2>/dev/null
check kill-qemu 2 'ERROR, vmm was ended by signal 9' 'booting again' '7 passed, 0 failed, 1 error'
has kill-qemu 'ok .* boot.paging.nx$'
check kill-refdev 2 'refdev was ended by signal 9' 'booting again' '7 passed, 0 failed, 1 error'
has kill-refdev '^    ok .* boot.paging.nx$'
check kill-peer 2 'peer was ended by signal 9' 'booting again' '7 passed, 0 failed, 1 error'
has kill-peer '^    ok .* boot.paging.nx$'
check stop-qemu 1 'timeout, the guest hung' 'booting again' '7 passed, 1 failed'
has stop-qemu '^    ok .* boot.paging.nx$'
check interrupt-qemu 3 'interrupted by signal 2' 'incomplete'
has interrupt-qemu '^    ok .* boot.paging.nx$'
check triple-fault 3 'boot.paging.nx: the guest died .triple fault or reset.' '1 passed, 1 failed' '1 of 3 tests'
check blanks 0 '1 passed'
if [ -f "$tmp/netns/rc" ]; then check netns 0 '1 passed'; fi
check refdev-hang 1 '5 passed, [12] failed'
has refdev-hang '^    ok .* boot.paging.nx$'
check refdev-crash 1 'refdev (exited with status 134|was ended by signal 6)' 'owner: +refdev'
has refdev-crash '^    ok .* boot.paging.nx$'

echo "# with QEMU: $SECONDS s"

# --- options that would do nothing, and the smallest recipe ------------------------------------------------

printf '[vmm]\ncommand = %s good\n' "$tmp/fake" >"$tmp/deaf.host"
# shellcheck disable=SC2016 # the recipe's variable
printf '[vmm]\ncommand = %s good ${CMDLINE_ARGS}\n' "$tmp/fake" >"$tmp/smallest.host"
run set-unused --host "$tmp/fake.host" --set MODES=good
check set-unused 4 'nothing of host fake uses \$\{MODES\} \(did you mean MODE'
run append-unknown --host "$tmp/fake.host" --set MODE=good --append vsock.per=4000
check append-unknown 4 'no option "vsock.per" \(did you mean vsock.peer'
run append-bare --host "$tmp/fake.host" --set MODE=good --append slow
check append-bare 4 'slow=VALUE is wanted'
run no-cmdline --host "$tmp/deaf.host" --tests boot.paging
check no-cmdline 4 '--tests: host deaf gives the payload no command line'
run smallest --host "$tmp/smallest.host" --tests boot.paging.null,boot.paging.nx,boot.paging.text
check smallest 0 '3 passed'
run smallest-boot --host "$tmp/smallest.host" --boot pvh
check smallest-boot 4 'has no \[boot NAME\] sections to choose "pvh" from'
run old-option --host "$tmp/fake.host" --set MODE=complains
check old-option 3 'vmm: fake: cannot open' '!deprecated'

# --- an installed program in somebody's folder ----------------------------------------------------------

mkdir -p "$tmp/usr/bin" "$tmp/usr/share/assay/hosts" "$tmp/theirs/host/hosts" "$tmp/theirs/scripts"
cp "$assay" "$out/assay.elf" "$tmp/usr/bin"
cp "$tmp/fake.host" "$tmp/usr/share/assay/hosts/installed.host"
cp "$tmp/fake.host" "$tmp/theirs/host/hosts/theirs.host"
printf '#!/bin/sh\n: >"%s/ran"\n' "$tmp" >"$tmp/theirs/scripts/setup"
chmod +x "$tmp/theirs/scripts/setup"
begin installed
(cd "$tmp/theirs" && "$tmp/usr/bin/assay" run --host theirs) >"$tmp/installed/out" 2>&1 </dev/null
echo $? >"$tmp/installed/rc"
check installed 4 'there is no host "theirs"' 'hosts: installed'
planned=$((planned + 1))
[ ! -e "$tmp/ran" ]
report $? 'installed: no set-up of another tree is run'

# --- output that goes nowhere ---------------------------------------------------------------------------

begin closed-pipe
"$assay" run --host "$tmp/fake.host" --set MODE=slow --output "$tmp/closed-pipe/run" --tests boot.paging.null,boot.paging.nx,boot.paging.text \
	2>>"$tmp/closed-pipe/out" </dev/null | head -n 1 >>"$tmp/closed-pipe/out"
echo "${PIPESTATUS[0]}" >"$tmp/closed-pipe/rc"
check closed-pipe 3 'fake: a script'
has closed-pipe '^    ok 3 boot.paging.text$'

begin full-stdout
"$assay" run --host "$tmp/fake.host" --set MODE=good --output "$tmp/full-stdout/run" \
	--tests boot.paging.null,boot.paging.nx,boot.paging.text >/dev/full 2>"$tmp/full-stdout/out" </dev/null
echo $? >"$tmp/full-stdout/rc"
check full-stdout 3 'standard output'
has full-stdout '^    ok 3 boot.paging.text$'

run no-output-dir --host "$tmp/fake.host" --set MODE=good --output /proc/none
check no-output-dir 3 'cannot be made in /proc/none' '--output DIR'
run full-output-dir --host "$tmp/fake.host" --set MODE=good --tests boot.paging.null --output /dev/full
check full-output-dir 3 '/dev/full' '--output DIR'

begin full-disk
mkdir "$tmp/small"
if unshare -m mount -t tmpfs -o size=8k none "$tmp/small" 2>/dev/null; then
	# shellcheck disable=SC2016 # for the inner shell
	unshare -m sh -c 'mount -t tmpfs -o size=8k none "$1/small" && shift && exec "$@"' sh "$tmp" \
		"$assay" run --host ref --boot pvh --tests boot --output "$tmp/small/run" >"$tmp/full-disk/out" 2>&1 </dev/null
	echo $? >"$tmp/full-disk/rc"
	check full-disk 3 'No space left on device' '--output DIR'
else
	planned=$((planned + 1)) n=$((n + 1))
	echo "ok $n - full-disk # SKIP no mount here"
fi

# --- nothing is left ------------------------------------------------------------------------------------

planned=$((planned + 1))
left=0
for p in /proc/[0-9]*; do
	case ${p#/proc/} in "$$" | "$BASHPID") continue ;; esac
	grep -qszx "$mark" "$p/environ" || continue
	[ "$(awk '/^PPid/ { print $2 }' "$p/status" 2>/dev/null)" != $$ ] || continue
	echo "# left: $(tr '\0' ' ' <"$p/cmdline")"
	kill -9 "${p#/proc/}"
	left=1
done
report $left 'no process is left'

echo "1..$planned"
