#!/bin/bash
# tls-threads.sh - handshakes by threads, of TLS and DTLS: both sides, all versions, bad ones, a flood beside an open connection, and a server that ends amid them
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/tls_certs.sh
. "$(dirname "$0")/tls_certs.sh"
tls_begin jq python3
{ conf_packet a; conf_tls "handshake-threads 2 handshake-timeout 8s"; } >"$TMP/a.conf"
server_start a "$NS_S"
port=8641
at() { case $1 in *:*) printf '[%s]:%s' "$1" $port ;; *) printf '%s:%s' "$1" $port ;; esac; }
echoes() { # ADDRESS ARGUMENTS: the line goes with the client's Finished
    local got
    : >"$TMP/echo.out"
    got=$( (echo hello; wait_for 10 grep -q hello "$TMP/echo.out") |
        TMO=20 in_k openssl s_client -connect "$(at "$1")" -CAfile "$PKI/ca.pem" -verify_return_error -quiet -no_ign_eof "${@:2}" \
            2>"$TMP/s_client.err" | tee "$TMP/echo.out")
    [ "$got" = hello ]
}

bg "$TMP/srv" probe server -c "$PKI/rsa.pem" -k "$PKI/rsa.key" :: $port
wait_for 10 listening "$TMP/srv" || bail "the server listens" "$(cat "$TMP/srv")"
check_eq "the threads are there" "$(cat /proc/"$(server_pid a)"/task/*/comm | grep -c '^hs-tls-')" 2
for a in $S4 $S6; do
    for v in tls1_2 tls1_3; do
        check "s_client $v to $a: echo" echoes $a -$v
    done
    check_eq "both ends by threads, $a" "$(echo hello | probe client $a $port 2>&1)" hello
done
head -c 3000000 /dev/urandom >"$TMP/random"
probe client $S6 $port <"$TMP/random" >"$TMP/back" 2>"$TMP/back.err"
check "3 MB there and back, begun with the handshake" cmp "$TMP/random" "$TMP/back"
check_eq "resumption" "$(echo hello | probe client -r 3 $S4 $port 2>&1 | sort -u)" hello
check "of which some are counted" test "$(stat_of resumed)" -gt 0

# ---- DTLS: the worker answers what comes to the listener and has the timers
dport=8661
bg "$TMP/dsrv" probe server -d -c "$PKI/server.pem" -k "$PKI/server.key" :: $dport
wait_for 10 listening "$TMP/dsrv" || bail "the server of DTLS listens" "$(cat "$TMP/dsrv")"
steps=$(stat_of handshake_thread_steps)
for a in $S4 $S6; do
    port=$dport check "s_client dtls1_2 to $a: echo" echoes $a -dtls1_2
    check_eq "DTLS, both ends by threads, $a" "$(echo hello | probe client -d -e -r 2 $a $dport 2>&1 | sort -u)" hello
done
check "threads did them" test "$(stat_of handshake_thread_steps)" -gt "$((steps + 7))"
again=$(stat_of dtls_retransmitted)
hello() { TMO=60 in_k python3 "$top_srcdir/tests/system/dtls_hello.py" "$@"; }
check "clients that stop amid their handshake" test "$(hello half $S6 $dport 5)" -gt 0
sent_again() { [ "$(stat_of dtls_retransmitted)" -gt "$again" ]; }
check "get their flight again" wait_for 10 sent_again
check_eq "nobody listens" "$(echo | probe client -d $K4 $dport 2>&1)" "error: connect: Connection refused"

# ---- bad ones
check "an old version is refused" test -z "$(: | TMO=20 in_k openssl s_client -connect "$(at $S4)" -tls1_1 -quiet 2>/dev/null)"
check_eq "a client that does not trust it is told so" \
    "$(: | TMO=20 in_k openssl s_client -connect "$(at $S4)" -CAfile "$PKI/otherca.pem" -verify_return_error 2>&1 | grep -c 'Verify return code: [^0]')" 1
kport=8651
bg "$TMP/ks" in_k openssl s_server -accept $kport -cert "$PKI/wrongca.pem" -key "$PKI/wrongca.key" -www
wait_for 10 grep -q ACCEPT "$TMP/ks" || bail "s_server listens" "$(cat "$TMP/ks")"
for a in $K4 $K6; do
    check_eq "client to $a: refused, another authority" "$(echo | probe client $a $kport 2>&1)" "error: connect: Key was rejected by service"
done
check "and the log says why" wait_for 5 grep -q "unable to get local issuer" "$TMP/a.log"
failed=$(stat_of handshakes_failed)
garbage() { TMO=10 in_k bash -c "exec 3<>/dev/tcp/$S4/$port; head -c 40000 /dev/urandom >&3; cat <&3 >/dev/null"; }
garbage 2>/dev/null
more_failed() { [ "$(stat_of handshakes_failed)" -gt "$failed" ]; }
check "what is no TLS is refused" wait_for 10 more_failed
silent() { TMO=15 in_k bash -c "exec 3<>/dev/tcp/$S4/$port; printf '\x16\x03\x01' >&3; cat <&3 >/dev/null"; }
check "a silent peer is timed out" silent

# ---- a flood
flood() { # SECONDS: clients that come and go, some of them amid their handshake
    flood_pids=()
    for _ in 1 2 3; do
        HS_PATIENCE=1 TMO=6 in_k openssl s_time -connect "$(at $S4)" -new -time "$1" >>"$TMP/flood" 2>&1 &
        flood_pids+=($!)
    done
    rm -f "$TMP/calm"
    TMO=20 in_k bash -c "until [ -e '$TMP/calm' ]; do timeout 0.01 openssl s_client -connect $S4:$port; done" </dev/null >/dev/null 2>&1 &
    flood_pids+=($!)
}
calm() {
    : >"$TMP/calm"
    wait "${flood_pids[@]}"
}
before=$(stat_of handshakes)
flood 2
pong=$(probe client -l 1500 $S4 $port 2>&1)
calm
diag "round trips of an open connection meanwhile: number, median, p99, maximum in us: $pong; $(($(stat_of handshakes) - before)) handshakes"
check "an open connection goes on in a flood" test "${pong%% *}" -gt 0
more() { [ "$(stat_of handshakes)" -gt "$((before + 10))" ]; }
check "and the flood gets its handshakes" more
drained() { [ "$(stat_of handshakes_now)" = 0 ]; }
check "no handshake is left" wait_for 15 drained
check "it serves on" echoes $S6
before=$(stat_of handshakes)
flood 3
wait_for 10 more
server_stop a
server_alive a && not_ok "the server ends amid a flood" || ok "the server ends amid a flood"
calm
finish
