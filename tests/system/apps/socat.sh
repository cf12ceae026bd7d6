#!/bin/bash
# socat.sh - socat: forked children, programs behind it, the socket itself given to a program, half-close, UDP
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin socat
random_file "$TMP/in" 3000000
head -c 1000 "$TMP/in" >"$TMP/small"
mkdir "$TMP/got"
for a in $S4 $S6; do
    h=$a f=4
    [ "$a" = $S4 ] || { h=[$a] f=6; }
    # -t: how long it goes on after one side has ended; half a second is not enough for a busy machine
    app_start "$TMP/echo$f" stack socat -t 20 "TCP$f-LISTEN:7001,bind=$h,reuseaddr,fork" PIPE
    app_start "$TMP/exec$f" stack socat -t 20 "TCP$f-LISTEN:7002,bind=$h,reuseaddr,fork" EXEC:cat
    app_start "$TMP/nofork$f" stack socat -t 20 "TCP$f-LISTEN:7003,bind=$h,reuseaddr,fork" EXEC:cat,nofork
    app_start "$TMP/system$f" stack socat -t 20 "TCP$f-LISTEN:7004,bind=$h,reuseaddr,fork" 'SYSTEM:sha256sum | cut -c-64'
    app_start "$TMP/udp$f" stack socat "UDP$f-LISTEN:7005,bind=$h,reuseaddr,fork" PIPE
    app_start "$TMP/udpr$f" stack socat "UDP$f-RECVFROM:7006,bind=$h,fork" EXEC:rev
    app_start "$TMP/relay$f" stack socat -t 20 "TCP$f-LISTEN:7007,bind=$h,reuseaddr,fork" "TCP$f:$h:7001"
done
for p in 7001 7002 7003 7004 7007; do app_ready "socat $p" $p; done
echo_case() { # PORT: all comes back, then the end of the stream
    same_as "$TMP/in" "$client" socat -t 20 - "TCP:$host:$1" <"$TMP/in"
}
digest() { [ "$("$client" socat -t 20 - "TCP:$host:7004" <"$TMP/in")" = "$(sha256sum <"$TMP/in" | cut -c-64)" ]; }
many() { # ten children at once; not by PIPE: socat writes 8,192 bytes into its own pipe when that has room for less, and waits for itself
    local i pids=() rc=0
    for ((i = 0; i < 10; i++)); do
        "$client" socat -t 20 - "TCP:$host:7002" <"$TMP/in" >"$TMP/got/$i" & pids+=($!)
    done
    for ((i = 0; i < 10; i++)); do wait "${pids[i]}" && cmp "$TMP/in" "$TMP/got/$i" || rc=1; done
    return $rc
}
datagram() { # PORT TEXT WANTED: asked again until answered, datagrams may be lost
    local i
    for ((i = 0; i < 5; i++)); do
        [ "$(printf '%s\n' "$2" | "$client" socat -t 1 - "UDP:$host:$1,connect-timeout=1" 2>&1)" = "$3" ] && return
    done
    return 1
}
cases() {
    way_check "echo by a forked child" echo_case 7001
    way_check "ten at once" many
    way_check "a program behind it" echo_case 7002
    way_check "a program on the socket itself" echo_case 7003
    way_check "a shell behind it" digest
    way_check "relayed to another socat" echo_case 7007
    way_check "UDP, a child for each peer" datagram 7005 hello hello
    way_check "UDP, a program for each datagram" datagram 7006 hello olleh
}
each_way_in cases
app_end
