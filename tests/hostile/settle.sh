#!/bin/bash
# settle.sh - a cut-through peer lies in what it shares with who serves it: that one waits for nobody, keeps nothing, and nothing is left
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/../system/lib.sh"
need_root
need jq
need_stack
only_hoststack
n=${HS_LIES:-12}
seed=${HS_SEED:-$((SRANDOM & 0x7fffffff))}
hostile=$top_builddir/tests/hostile
veth_server
# Each at the same time as the other, or what one does without a pause the other never sees.
two=no
taskset -c 0 true 2>/dev/null && taskset -c 1 true 2>/dev/null && two=yes

# lie MODE: one run of it; what the honest program says of itself in $line
lie() {
    local on_0=() on_1=()
    case $two$1 in yesflood | yesdeaf) on_0=(taskset -c 0) on_1=(taskset -c 1) ;; esac
    bg "$TMP/steady" stack "${on_1[@]}" "$hostile/steady" "$at" 7100 7000
    steady_pid=$bg_pid
    wait_for 10 is_ready || bail "$what: it listens" "$(cat "$TMP/steady")"
    said=$(TMO=120 in_s env VCL_CONFIG="$TMP/a.vcl" "${on_0[@]}" "$hostile/settle_liar" "$at" 7100 "$1" "$n" "$seed" 2>&1) || said="exit $?: $said"
    ! pid_gone "$steady_pid" || said="exit: the honest program ended before it was told to; the liar: $said"
    kill "$steady_pid"
    wait_for 30 pid_gone "$steady_pid" || kill -9 "$steady_pid"
    line=$(grep connections "$TMP/steady")
}
is_ready() { grep -q ready "$TMP/steady"; }
# A call of many thousands may wait for a server that waits for the processor; one that waits for the peer does so in each connection, or for a
# second, and each time that the same is done.
waited() {
    local slow ms
    slow=$(sed -n 's/.* \([0-9]*\) slow.*/\1/p' <<<"$line")
    ms=$(sed -n 's/.* \([0-9]*\) ms$/\1/p' <<<"$line")
    [ "${slow:-999}" -gt $((n / 4)) ] || [ "${ms:-999}" -ge 500 ]
}
for at in $S4 $S6; do
    empty=$(server_counts a)
    for mode in begun done blink moved settled early words flood deaf; do
        what="$at, $mode, seed $seed"
        for _ in 1 2 3 4 5 6; do
            lie $mode
            [[ $said != exit* && -n $line ]] && waited || break
        done
        [[ $said != exit* ]] && ok "$what: the liar has had its say" || not_ok "$what: the liar has had its say" "$said"
        [ -n "$line" ] && ok "$what: $line" || not_ok "$what: the other connection goes on" "$(tail -n 5 "$TMP/steady")"
        waited && not_ok "$what: no call waits for the peer, of six runs" || ok "$what: no call waits for the peer"
        case $mode in words | flood | deaf) ;; *) check "$what: the peer was told off" grep -q 'broke the contract' "$TMP/steady" ;; esac
        back() { [ "$(server_counts a)" = "$empty" ]; }
        wait_for 30 back && ok "$what: nothing is left in the server" || not_ok "$what: nothing is left in the server" "before $empty"$'\n'"after  $(server_counts a)"
    done
done
server_alive a && ok "the server lives" || not_ok "the server lives" "seed $seed"
server_stop a
check "no sanitizer has anything to say" eval "! grep -E 'ERROR: (Address|Leak)Sanitizer|runtime error:' '$TMP/a.log'"
finish
