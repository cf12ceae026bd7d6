#!/bin/bash
# sctp-local.sh - SCTP between two programs of this host, without any port: socket calls, and unmodified programs
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
only_hoststack
need_stack
PROBE=$top_builddir/tests/system/sctp_probe OPTIONS=$top_builddir/tests/system/sctp_options PASS=$top_builddir/tests/system/sctp_pass
EXT=$top_builddir/tests/system/sctp_ext LIB=$top_builddir/tests/system/sctp_lib EXAMPLE=$top_builddir/examples/vcl_sctp
[ -x "$PROBE" ] && [ -x "$OPTIONS" ] || bail "sctp_probe and sctp_options are built"

{
    conf_head a
    echo 'port loop0 { device loopback }'
    conf_addrs loop0 10.77.0.1 fd77::1
} >"$TMP/a.conf"
server_start a ''

# probe WHAT ARGUMENT...: its own TAP counts as one result, the lines that failed are shown.
probe() {
    local what=$1 out
    shift
    if out=$(TMO=60 pre a "${PROGRAM:-$PROBE}" "$@" 2>&1); then ok "$what"; else not_ok "$what" "$(grep -v '^ok' <<<"$out" | head -n 20)"; fi
}
# both ends of `sctp_probe serve` and `call`
echo_pair() { # ADDRESS PORT
    local log=$TMP/serve.$2 pid
    TMO=60 bg "$log" pre a "$PROBE" serve "$1" "$2"
    pid=$bg_pid
    wait_for 10 listening "$log" || not_ok "a server at $1 listens" "$(cat "$log")"
    probe "messages to another program and back, $1" call "$1" "$2"
    wait_for 10 pid_gone "$pid"
    check "and it ended in order, $1" grep -q '^ok 1 - the association ends in order' "$log"
}

for ip in 127.0.0.1 ::1; do
    probe "one-to-one sockets, $ip" one $ip
    probe "one-to-many sockets, $ip" many $ip
    PROGRAM=$OPTIONS probe "options of sockets without and with a cut-through association, $ip" local $ip
done
echo_pair 127.0.0.1 7101
echo_pair ::1 7102
# passing MODE ADDRESS PORT CALLS: an echo server whose association goes on in another process
passing() {
    local log=$TMP/pass.$3 pid
    TMO=60 bg "$log" pre a "$PASS" "$1" "$2" "$3"
    pid=$bg_pid
    wait_for 10 listening "$log" || not_ok "a server at $2 listens" "$(cat "$log")"
    for ((i = 1; i <= $4; i++)); do
        probe "$1: messages to a socket that changes its process, $2, $i" call "$2" "$3"
    done
    wait_for 10 pid_gone "$pid"
    check "$1: and it ended in order, $2" grep -q '^association ended in order after 88' "$log"
}
passing exec 127.0.0.1 7141 2
passing exec ::1 7142 2
passing pass 127.0.0.1 7143 1
passing peel 127.0.0.1 7144 1

# ext ADDRESS PORT SCENARIO: both ends have the extensions on, so that they speak by packets, of a loopback address or of an interface's
ext() {
    local log=$TMP/serve.$2 pid
    TMO=60 bg "$log" pre a "$EXT" serve "$1" "$2"
    pid=$bg_pid
    wait_for 10 listening "$log" || not_ok "a server at $1 listens" "$(cat "$log")"
    check_eq "by packets: $3, $1" "$(TMO=60 pre a "$EXT" call "$1" "$2" "$3" 2>&1 | tail -n 1)" "done"
    wait_for 10 pid_gone "$pid"
    check "and it ended in order, $1" grep -q '^ended; denied 0' "$log"
}
port=7150
for ip in 127.0.0.1 ::1 10.77.0.1 fd77::1; do
    ext $ip $((port++)) streams
done
IDATA=1 ext ::1 $((port++)) interleave
check "each request was carried out" [ "$(ctl a --json show sctp | jq '[.[].reconfigs] | add')" -ge 12 ]

# A peer that writes nonsense: who serves goes on.
liar=$top_builddir/tests/hostile/sctp_liar seed=${HS_SEED:-$((SRANDOM & 0x7fffffff))}
for ip in 127.0.0.1 ::1; do
    TMO=60 bg "$TMP/victim.log" pre a "$liar" serve $ip 7170
    pid=$bg_pid
    wait_for 10 listening "$TMP/victim.log"
    TMO=40 VCL_CONFIG=$TMP/a.vcl check "300 associations with a liar, $ip (seed $seed)" "$liar" lie $ip 7170 300 "$seed"
    probe "an honest one after them, $ip" call $ip 7170
    check "who serves is alive" kill -0 "$pid"
    nobody() { [ "$(tail -n 1 "$TMP/victim.log")" = nobody ]; }
    check "and has heard of the end of each, $ip" wait_for 10 nobody
    end_pid "$pid"
done

# One that says hello without end, to who does not listen to it: others are served meanwhile.
for ip in 127.0.0.1 ::1; do
    TMO=60 bg "$TMP/calm.log" pre a "$liar" serve $ip 7171 calm
    pid=$bg_pid
    wait_for 10 listening "$TMP/calm.log"
    TMO=40 VCL_CONFIG=$TMP/a.vcl bg "$TMP/flood.log" "$liar" flood $ip 7171 100000
    flood_pid=$bg_pid
    floods() { grep -q flooding "$TMP/flood.log"; }
    wait_for 10 floods || not_ok "a flood of notifications, $ip" "$(cat "$TMP/flood.log")"
    TMO=25 check "an honest one beside a flood of notifications, $ip" pre a "$PROBE" call $ip 7171
    check "the flood goes on, $ip" kill -0 "$flood_pid"
    end_pid "$flood_pid"
    end_pid "$pid"
done

# The native API
for ip in 127.0.0.1 ::1; do
    TMO=30 bg "$TMP/native" pre a "$EXAMPLE" serve $ip 7160
    wait_for 10 listening "$TMP/native"
    pid=$bg_pid
    out=$(TMO=20 pre a "$EXAMPLE" call $ip 7160 2>&1)
    wait_for 10 pid_gone "$pid"
    check_eq "native API: streams, payload protocols and flags, $ip" "$(sort <<<"$out")" "$(
        echo 'association: 4 streams out, 4 in'
        echo 'association: state 3'
        for i in {0..11}; do
            kind=ordered
            [ $((i % 3)) != 2 ] || kind=unordered
            echo "stream $((i % 4)), payload protocol $((100 + i)), $kind: message $i"
        done | sort
    )"
done

# libsctp's calls, cut-through and by packets
if [ -x "$LIB" ]; then
    for ips in '127.0.0.1 ::1' '10.77.0.1 fd77::1'; do
        # shellcheck disable=SC2086 # two words
        PROGRAM=$LIB probe "libsctp, $ips" calls $ips
        # shellcheck disable=SC2086
        PACKETS=1 PROGRAM=$LIB probe "libsctp by packets, $ips" calls $ips
    done
    for ip in 127.0.0.1 fd77::1; do
        PROGRAM=$LIB probe "SCTP_AUTOCLOSE, $ip" autoclose $ip
        PROGRAM=$LIB probe "a process that is killed, $ip" killed $ip
        PACKETS=1 PROGRAM=$LIB probe "by packets, $ip" killed $ip
        PROGRAM=$LIB probe "a one-to-many socket in a child, $ip" forked $ip
        PACKETS=1 PROGRAM=$LIB probe "the same by packets, $ip" forked $ip
    done
else
    skip "libsctp's calls" "no libsctp-dev when this was built"
fi
check_eq "nothing is left in the server" "$(wait_for 10 server_is_empty a && echo yes)" yes

if command -v checksctp >/dev/null; then
    check_eq "checksctp" "$(TMO=10 pre a checksctp 2>&1)" "SCTP supported"
else
    skip "checksctp" "no program 'checksctp' here"
fi

# lksctp-tools: one-to-many sockets through libsctp
received() { grep -aq "$2" "$TMP/$1.log"; }
if command -v sctp_test >/dev/null && command -v sctp_darn >/dev/null; then
    for ip in 127.0.0.1 ::1; do
        TMO=40 bg "$TMP/test.$ip.log" pre a stdbuf -oL sctp_test -H $ip -P 7130 -l
        pid=$bg_pid
        wait_for 10 received "test.$ip" 'Receiving packets'
        TMO=30 pre a sctp_test -H $ip -P 7131 -h $ip -p 7130 -s -x 3 -c 4 >"$TMP/test.out" 2>&1
        check_eq "sctp_test sends messages of all sizes, $ip" "$?" 0
        check "sctp_test receives them and the end, $ip" wait_for 10 received "test.$ip" 'SCTP_ASSOC_CHANGE(SHUTDOWN_COMPLETE)'
        check_eq "all of them, $ip" "$(grep -ac 'Data 32768 bytes' "$TMP/test.$ip.log")" "$(grep -ac '32768 bytes' "$TMP/test.out")"
        end_pid "$pid"

        TMO=40 bg "$TMP/darn.$ip.log" pre a stdbuf -oL sctp_darn -H $ip -P 7132 -l
        pid=$bg_pid
        wait_for 10 received "darn.$ip" listening
        printf 'hello\nworld\n' | TMO=10 pre a sctp_darn -H $ip -P 7133 -h $ip -p 7132 -s >/dev/null 2>&1
        check "sctp_darn: notification and messages, $ip" wait_for 10 received "darn.$ip" 'world'
        check "sctp_darn: COMM_UP, $ip" received "darn.$ip" SCTP_COMM_UP
        end_pid "$pid"
    done
else
    skip "sctp_test and sctp_darn" "no lksctp-tools here"
fi

if command -v iperf3 >/dev/null; then
    port=7110
    for ip in 127.0.0.1 ::1; do
        TMO=30 bg "$TMP/iperf.$port" pre a iperf3 --forceflush -s -1 -p $port
        wait_for 10 grep -q 'Server listening' "$TMP/iperf.$port"
        out=$(TMO=20 pre a iperf3 --sctp -c $ip -p $port -n 64M -J 2>&1)
        # The receiving side of iperf3 stops when it is told that all is sent, perhaps before it has read the last messages.
        check_eq "iperf3 --sctp, $ip" "$(jq -r '.end.sum_sent.bytes >= 67108864 and .end.sum_received.bytes > 0' <<<"$out" 2>&1)" true
        port=$((port + 1))
    done
else
    skip "iperf3 --sctp" "no program 'iperf3' here"
fi

if socat -V 2>/dev/null | grep -q 'WITH_SCTP 1'; then
    head -c 300000 /dev/urandom >"$TMP/data"
    for v in 4 6; do
        a=127.0.0.1
        [ $v = 4 ] || a='[::1]'
        TMO=20 bg "$TMP/socat.$v" pre a socat -u "SCTP$v-LISTEN:712$v,bind=$a" "OPEN:$TMP/copy.$v,creat"
        pid=$bg_pid
        TMO=20 pre a socat -u "OPEN:$TMP/data" "SCTP$v:$a:712$v,retry=100,interval=0.1" 2>"$TMP/socat.err"
        wait_for 10 pid_gone "$pid"
        check "socat carries a file over SCTP, IPv$v" cmp "$TMP/data" "$TMP/copy.$v"
    done
    # The child of a fork goes on with what its parent has accepted: it sends, and it receives.
    TMO=20 bg "$TMP/fork.out" pre a socat -U SCTP4-LISTEN:7128,bind=127.0.0.1,fork "EXEC:cat $TMP/data"
    sender=$bg_pid
    TMO=20 bg "$TMP/fork.in" pre a socat -u SCTP6-LISTEN:7129,bind=[::1],fork "OPEN:$TMP/copy.in,creat,append"
    receiver=$bg_pid
    for i in 1 2; do
        TMO=10 pre a socat -u SCTP4:127.0.0.1:7128,retry=100,interval=0.1 "OPEN:$TMP/copy.$i,creat" 2>"$TMP/socat.err"
        check "a forked child sends, $i" cmp "$TMP/data" "$TMP/copy.$i"
        rm -f "$TMP/copy.in"
        TMO=10 pre a socat -u "OPEN:$TMP/data" SCTP6:[::1]:7129,retry=100,interval=0.1 2>"$TMP/socat.err"
        check "a forked child receives, $i" wait_for 10 cmp "$TMP/data" "$TMP/copy.in"
    done
    end_pid "$sender"
    end_pid "$receiver"
else
    skip "socat SCTP" "this socat has none"
fi
finish
