#!/bin/bash
# idle.sh - an idle server, with a port and attached programs, uses under 1 % of a core; and wakes up at once
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need ping
need_stack
only_hoststack
veth_server
serve_echo echo stack $S4 7000
echo_pid=$bg_pid
check "a connection first, so that everything has run once" in_k "$ECHO" -b 1000 client $S4 7000

# cpu_share PID SECONDS: hundredths of a percent of a core, measured over that time
cpu_share() {
    local t0 t1 c0 c1 hz
    hz=$(getconf CLK_TCK)
    c0=$(server_cpu_ticks "$1") t0=$EPOCHREALTIME
    sleep "$2" # the length of the measurement, nothing is waited for
    c1=$(server_cpu_ticks "$1") t1=$EPOCHREALTIME
    awk -v c=$((c1 - c0)) -v hz="$hz" -v t0="$t0" -v t1="$t1" 'BEGIN { printf "%d\n", c / hz / (t1 - t0) * 10000 }'
}
# The best of three: what wakes them up of itself does so each time, what other tests do to the machine does not.
for who in "the server $(server_pid a)" "the program $echo_pid"; do
    for _ in 1 2 3; do
        share=$(cpu_share "${who##* }" 4)
        [ "$share" -ge 100 ] || break
    done
    if [ "$share" -lt 100 ]; then ok "${who% *} uses under 1 % of a core while idle: $share/100 %"
    else not_ok "${who% *} uses under 1 % of a core while idle" "$share/100 %"; fi
done
# Waking: the median of 20 echoes after idle gaps, the best of ten, since the cores are shared with other tests.
is_soon() { awk -v m="${med:-1000}" 'BEGIN { exit !(m < 1) }'; }
for _ in 1 2 3 4 5 6 7 8 9 10; do
    med=$(in_k ping -c 20 -i 0.2 -W 20 $S4 | sed -n 's/.*time=\([0-9.]*\) ms/\1/p' | sort -n | sed -n 10p)
    ! is_soon || break
done
if is_soon; then ok "an echo after 200 ms of sleep is answered in $med ms (median)"
else not_ok "an echo after 200 ms of sleep is answered in under 1 ms (median)" "${med:-none} ms"; fi
finish
