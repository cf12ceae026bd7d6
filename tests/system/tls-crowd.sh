#!/bin/bash
# tls-crowd.sh - TLS: memory of handshakes is bounded; who comes when it is used waits, and programs' own connections do not; an engine from elsewhere
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/tls_certs.sh
. "$(dirname "$0")/tls_certs.sh"
tls_begin python3 jq
PEER=$top_srcdir/tests/system/tls_peer.py
LIMIT=$((2 << 20)) MANY=100
port=8940
# hold NAME ADDRESS: clients that stop amid their handshake, until let_go
hold() {
    rm -f "$TMP/$1.in"
    mkfifo "$TMP/$1.in"
    TMO=120 in_k python3 "$PEER" hold "$2" $port $MANY <"$TMP/$1.in" >"$TMP/$1" 2>&1 &
    note_pid $!
    exec 7>"$TMP/$1.in"
    wait_for 20 grep -q begun "$TMP/$1" || not_ok "clients that stop begin" "$(cat "$TMP/$1")"
}
let_go() { exec 7>&-; }
hello() { # ADDRESS: a client of openssl, a line there and back
    local got
    : >"$TMP/echo.out"
    got=$( (echo hello; wait_for 25 grep -q hello "$TMP/echo.out") |
        TMO=30 in_k openssl s_client -connect "$1" -CAfile "$PKI/ca.pem" -verify_return_error -quiet -no_ign_eof 2>"$TMP/s_client.err" | tee "$TMP/echo.out")
    [ "$got" = hello ]
}
all_there() { [ "$(stat_of connections)" = $MANY ] && [ "$(stat_of handshakes_waited)" -ge "$1" ]; }
is_bounded() { [ "$(stat_of handshake_memory)" -le $LIMIT ] && [ "$(stat_of handshakes_now)" -lt 40 ]; }
stat_is() { [ "$(stat_of "$1")" = "$2" ]; }
begin() { # HANDSHAKE-TIMEOUT WORDS of the configuration
    { conf_packet a; conf_tls "handshake-memory 2m handshake-timeout $1 $2"; } >"$TMP/a.conf"
    server_start a "$NS_S"
    # shellcheck disable=SC2046
    tls_server $(pair_of server)
}
end() {
    server_alive a && ok "the server lives" || not_ok "the server lives"
    end_pid "$server_of_port"
    server_stop a
}
crowd() { # WORDS of the configuration
    begin 300s "$1" # what follows takes its time on a slow machine
    local waited=0 a
    for a in $S4 $S6; do
        hold held $a
        check "$MANY clients that stop amid their handshake at $a, ${1:-by the worker}: most wait" wait_for 20 all_there $((waited + MANY - 40)) ||
            diag "$(ctl a show tls)"
        check "and the others take no more memory than they may" is_bounded || diag "$(ctl a show tls)"
        for nb in '' -b; do
            # shellcheck disable=SC2086
            check_eq "meanwhile a program of ours connects${nb:+, non-blocking}" \
                "$(printf 'GET / HTTP/1.0\r\n\r\n' | TMO=20 probe client $nb -n server.test $K4 8999 2>&1 | grep -c 'HTTP/1.0 200')" 1
        done
        poured=$(TMO=30 in_k python3 "$PEER" pour $a $port 7>&- 2>&1)
        check "one who waits and goes on talking is heard for 64 KB ($poured)" test "$poured" -ge 40000 -a "$poured" -le 100000
        at="$a:$port"
        [ $a = $S4 ] || at="[$a]:$port"
        hello "$at" 7>&- &
        patient=$!
        is_there() { [ "$(stat_of connections)" -gt $MANY ]; }
        check "one who comes last waits" wait_for 10 is_there
        check "and is not served yet" test ! -s "$TMP/echo.out"
        let_go
        wait $patient && ok "and is served when they have gone" || not_ok "and is served when they have gone" "$(cat "$TMP/s_client.err"; ctl a show tls)"
        check "nothing is left" wait_for 20 stat_is connections 0 || diag "$(ctl a show tls)"
        check_eq "of the memory, too" "$(stat_of handshake_memory)" 0
        waited=$(stat_of handshakes_waited)
    done
    check_eq "nobody was given up" "$(stat_of handshake_timeouts)" 0
    end
    begin 6s "$1"
    hold held $S4
    check "those that wait are given up in time, too, and counted" wait_for 60 stat_is handshake_timeouts $MANY || diag "$(ctl a show tls)"
    check "and nothing is left of them" wait_for 20 stat_is connections 0 || diag "$(ctl a show tls)"
    let_go
    end
}
bg "$TMP/ks" in_k openssl s_server -accept 8999 -cert "$PKI/server.pem" -key "$PKI/server.key" -www
wait_for 10 grep -q ACCEPT "$TMP/ks" || bail "s_server listens" "$(cat "$TMP/ks")"
crowd ''
crowd 'handshake-threads 1'

# ---- an engine from elsewhere
engine=$(realpath "$top_builddir")/tests/engine/.libs/toy_engine.so
{ conf_packet a; conf_tls "engine $engine"; } >"$TMP/a.conf"
server_start a "$NS_S"
check "the log names the engine" grep -q 'tls: engine toy,' "$TMP/a.log"
# shellcheck disable=SC2046
tls_server $(pair_of server)
head -c 3000000 /dev/urandom >"$TMP/random"
for a in $S4 $S6; do
    for nb in '' -b; do
        # shellcheck disable=SC2086
        check_eq "it makes both ends of a connection, $a${nb:+, non-blocking}" "$(echo hello | TMO=20 probe client $nb $a $port 2>&1)" hello
    done
    TMO=30 probe client $a $port <"$TMP/random" >"$TMP/back" 2>"$TMP/back.err"
    check "3 MB there and back, $a" cmp "$TMP/random" "$TMP/back" || diag "$(cat "$TMP/back.err")"
done
failed=$(stat_of handshakes_failed)
TMO=20 in_k openssl s_client -connect "$S4:$port" </dev/null >"$TMP/s_client" 2>&1 && not_ok "it is no TLS: OpenSSL is not understood" ||
    ok "it is no TLS: OpenSSL is not understood"
one_failed() { [ "$(($(stat_of handshakes_failed) - failed))" = 1 ]; }
check "which is counted" wait_for 10 one_failed
check_eq "it has no datagrams: DTLS is refused" "$(probe server -d -c "$PKI/server.pem" -k "$PKI/server.key" :: 9999 2>&1)" "error: listen: Protocol not supported"
check_eq "and for who connects" "$(echo | probe client -d $S4 9999 2>&1)" "error: connect: Protocol not supported"
server_alive a && ok "the server lives" || not_ok "the server lives"
server_stop a
for e in gnutls:"neither 'openssl' nor the full path of a shared object" /nowhere/engine.so:"No such file" \
    "$(realpath "$top_builddir")/tests/engine/.libs/toy_other.so:made for another version of the server"; do
    { conf_packet a; conf_tls "engine ${e%%:*}"; } >"$TMP/bad.conf"
    TMO=20 in_s "$HOSTSTACKD" -c "$TMP/bad.conf" --foreground >"$TMP/bad.out" 2>&1 && not_ok "with the engine ${e%%:*} the server does not start" ||
        check "with the engine ${e%%:*} the server does not start, and says why" grep -q "${e#*:}" "$TMP/bad.out" || diag "$(tail -n 3 "$TMP/bad.out")"
done
finish
