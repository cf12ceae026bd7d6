#!/bin/bash
# crowd.sh - more peers than anybody has counted on, alive or dead before they were accepted: an honest client does not notice
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/../system/lib.sh"
need_root
need jq
need_stack
only_hoststack
dead=${HS_CROWD:-1500} alive=1000
veth_server
crowd() { in_s "$top_builddir/tests/hostile/crowd" "$@"; }
empty=$(server_counts a)

for fam in 4 6; do
    [ $fam = 4 ] && at=$S4 || at=$S6
    bg "$TMP/echo$fam" stack "$ECHO" server "$at" 7000
    echo_pid=$bg_pid
    wait_for 10 listening "$TMP/echo$fam" || bail "v$fam: the echo server listens" "$(cat "$TMP/echo$fam")"
    check "v$fam: an honest client before" stack "$ECHO" -n 3 -b 20000 client "$at" 7000

    # A backlog of 1024: what dies beyond that was never offered to anybody.
    no_pairs() { [ "$(app_count a pairs)" = 0 ]; } # the echo server has closed what the honest client has
    wait_for 20 no_pairs || not_ok "v$fam: the honest client's connections are closed" "$(app_count a pairs) pairs"
    kill -STOP "$echo_pid"
    TMO=120 check "v$fam: $dead clients connect and die while nobody accepts" crowd -n "$dead" "$TMP/a.run/app.sock" "$at" 7000
    gone() { [ "$(app_count a clients)" = 1 ]; }
    wait_for 20 gone
    bounded() { [ "$(app_count a pairs)" -le 1025 ]; } # one that was just being made for who has died goes as well
    wait_for 20 bounded && ok "v$fam: the backlog bounds what they leave behind" ||
        not_ok "v$fam: the backlog bounds what they leave behind" "$(app_count a pairs) pairs"
    kill -CONT "$echo_pid"
    TMO=30 check "v$fam: an honest client after them" stack "$ECHO" -n 3 -b 20000 client "$at" 7000
    none() { [ "$(app_count a pairs)" = 0 ]; }
    wait_for 20 none && ok "v$fam: nothing is left of them" || not_ok "v$fam: nothing is left of them" "$(server_counts a)"

    bg "$TMP/crowd$fam" crowd -k -n $alive "$TMP/a.run/app.sock" "$at" 7000
    crowd_pid=$bg_pid
    all() { grep -q "^$alive clients" "$TMP/crowd$fam" || pid_gone "$crowd_pid"; }
    wait_for 60 all
    check "v$fam: $alive clients at once" grep "^$alive clients" "$TMP/crowd$fam"
    TMO=30 check "v$fam: an honest client among them" stack "$ECHO" -n 3 -b 20000 client "$at" 7000
    end_pid "$crowd_pid"
    end_pid "$echo_pid"
    back() { [ "$(server_counts a)" = "$empty" ]; }
    wait_for 30 back && ok "v$fam: all is as before" || not_ok "v$fam: all is as before" "before $empty"$'\n'"after  $(server_counts a)"
done
# A connection's end that is claimed more often than anybody answers: claims are refused then, and all memory comes back.
for at in "$S4" "$S6"; do
    bg "$TMP/echo.tug" stack "$ECHO" server "$at" 7000
    echo_pid=$bg_pid
    wait_for 10 listening "$TMP/echo.tug" || bail "the echo server listens" "$(cat "$TMP/echo.tug")"
    TMO=60 check "connections at $at are given back that may not be" in_s "$top_builddir/tests/hostile/giver" "$TMP/a.run/app.sock" "$at" 7100 7000
    server_alive a || bail "the server lives" "$(tail -n 5 "$TMP/a.log")"
    TMO=60 check "two programs tug at one connection to $at" in_s "$top_builddir/tests/hostile/tug" 100 "$TMP/a.run/app.sock" "$at" 7000
    check "an honest client after them" stack "$ECHO" -n 3 -b 20000 client "$at" 7000
    end_pid "$echo_pid"
    wait_for 30 back && ok "nothing is left of the connection" || not_ok "nothing is left of the connection" "$(server_counts a)"
done
# Ended while clients come and go: what the control thread had asked of the worker about them is done before they are freed.
for n in 1 2 3 4 5; do
    bg "$TMP/coming" crowd -n 100000 "$TMP/a.run/app.sock" "$S4" 7000
    crowd_pid=$bg_pid
    ever=$(app_count a clients_ever)
    some() { [ "$(app_count a clients_ever)" -gt $((ever + 20)) ]; }
    wait_for 20 some && ok "end $n: clients come" || not_ok "end $n: clients come" "$(cat "$TMP/coming")"
    server_stop a
    end_pid "$crowd_pid"
    [ $n = 5 ] || server_start a "$NS_S"
done
check "no sanitizer has anything to say" eval "! grep -E 'ERROR: (Address|Leak)Sanitizer|runtime error:' '$TMP/a.log'"
finish
