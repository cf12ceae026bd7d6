#!/bin/bash
# ncat.sh - ncat: sending and receiving files, programs behind it, many clients, UDP, its chat
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin ncat
random_file "$TMP/in" 3000000
for a in $S4 $S6; do
    app_start "$TMP/cat.$a" stack ncat -l -k "$a" 7101 -c "cat $TMP/in"
    app_start "$TMP/sh.$a" stack ncat -l -k "$a" 7102 -c 'head -c 3000000 | sha256sum | cut -c-64'
    app_start "$TMP/udp.$a" stack ncat -u -l -k "$a" 7103 -e /bin/cat
done
for p in 7101 7102; do app_ready "ncat $p" $p; done
file() { same_as "$TMP/in" "$client" ncat --recv-only "$addr" 7101; }
# Its server drops what the program has still to say when the client's stream ends: so it stays open until the answer is there.
digest() { [ "$("$client" ncat "$addr" 7102 < <(cat "$TMP/in"; sleep 5))" = "$(sha256sum <"$TMP/in" | cut -c-64)" ]; }
receive() { # a server that takes one file
    rm -f "$TMP/received"
    bg "$TMP/received" stack ncat -l "$addr" 7104 --recv-only
    local pid=$bg_pid
    send() { "$client" ncat --send-only "$addr" 7104 <"$TMP/in"; }
    wait_for 10 send && wait_for 10 pid_gone "$pid" && cmp "$TMP/received" "$TMP/in"
}
datagram() {
    local i
    for ((i = 0; i < 5; i++)); do
        [ "$("$client" ncat -u -i 1 "$addr" 7103 2>/dev/null < <(echo hello; sleep 2))" = hello ] && return
    done
    return 1
}
cases() {
    way_check "a program sends a file" file
    way_check "a program reads a file, and answers" digest
    way_check "takes one file" receive
    way_check "UDP" datagram
}
each_way_in cases
app_end
