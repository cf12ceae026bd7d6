#!/bin/bash
# tls-ends.sh - TLS: the server's half of a stream ends first, by the native API at either end, of TLS 1.3 and 1.2; versions below the least one,
# and what else the configuration chooses for programs that do not; receive buffers shorter than a record
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/tls_certs.sh
. "$(dirname "$0")/tls_certs.sh"
tls_begin python3
PEER=$top_srcdir/tests/system/tls_peer.py
{ conf_packet a; conf_tls; } >"$TMP/a.conf"
server_start a "$NS_S"
port=8840

# ---- the server's half is over, the client says more (RFC 8446 s6.1; RFC 5246 s7.2.1 would have it stop, and who goes on is heard all the same)
after_ours() { [ "$(grep -c 'after ours: 100000 end' "$TMP/srv.$port")" = "$1" ]; }
# shellcheck disable=SC2046
tls_server $(pair_of server) -f
n=0
for v in 1.3 1.2; do
    for a in $S4 $S6; do
        n=$((n + 1))
        check_eq "native server at $a ends its half first, TLS $v: a client reads to the end" \
            "$(TLS_MAX=$v TMO=30 in_k python3 "$PEER" client later $a $port 2>&1)" "half a story TLSv$v"
        check "and the server reads what it says after that" wait_for 10 after_ours $n || diag "$(cat "$TMP/srv.$port")"
    done
done
for nb in '' -b; do
    for a in $S4 $S6; do
        n=$((n + 1))
        # shellcheck disable=SC2086
        check_eq "native server and native client on this host, $a${nb:+, non-blocking}" "$(echo word | TMO=30 probe client -f $nb $a $port 2>&1)" "half a story"
        check "and the server reads what it says after that" wait_for 10 after_ours $n || diag "$(cat "$TMP/srv.$port")"
    done
done
for v in 1.3 1.2; do
    port=$((port + 1))
    TLS_MAX=$v bg "$TMP/ks.$port" in_k python3 "$PEER" server $K6 $port "$PKI/server.pem" "$PKI/server.key"
    wait_for 10 listening "$TMP/ks.$port" || bail "the kernel's server listens" "$(cat "$TMP/ks.$port")"
    for nb in '' -b; do
        # shellcheck disable=SC2086
        check_eq "native client${nb:+, non-blocking}: the server's half is over, TLS $v" \
            "$(echo half | TMO=30 probe client -f -n server.test $nb $K6 $port 2>&1)" "half a story"
    done
    all_came() { [ "$(grep -c 'half 100000' "$TMP/ks.$port")" = 2 ]; }
    check "and all of ours came" wait_for 10 all_came || diag "$(cat "$TMP/ks.$port")"
done

# ---- a receive buffer that holds no full record (8 KB): it bounds what the program has before it, and stops nobody
head -c 1000000 /dev/urandom >"$TMP/big"
port=$((port + 1))
bg "$TMP/ks.$port" in_k sh -c "cd '$TMP' && exec openssl s_server -accept $port -cert '$PKI/server.pem' -key '$PKI/server.key' -WWW"
kernel_pid=$bg_pid
wait_for 10 grep -q ACCEPT "$TMP/ks.$port" || bail "s_server listens" "$(cat "$TMP/ks.$port")"
gets_big() { # ARGUMENTS of the probe
    printf 'GET /big HTTP/1.0\r\n\r\n' | TMO=60 probe client -R 16384 "$@" $port >"$TMP/got" 2>"$TMP/ask.err" && tail -c 1000000 "$TMP/got" | cmp - "$TMP/big"
}
for nb in '' -b; do
    for a in $K4 $K6; do
        # shellcheck disable=SC2086
        check "a client with one gets a megabyte from $a${nb:+, non-blocking}" gets_big $nb $a || diag "$(cat "$TMP/ask.err")"
    done
done
end_pid "$kernel_pid"

# ---- min-version 1.3
talk() { # ARGUMENTS of s_client: what it says is in $TMP/talk
    : >"$TMP/talk"
    (echo hello; wait_for 10 grep -Eq 'hello|^END' "$TMP/talk") | {
        TMO=20 in_k openssl s_client -connect "$TO" -CAfile "$PKI/ca.pem" -verify_return_error -no_ign_eof "$@"
        echo END
    } >>"$TMP/talk" 2>&1
    grep -q hello "$TMP/talk"
}
ask() { printf 'GET / HTTP/1.0\r\n\r\n' | TMO=20 probe client "$@" $port 2>"$TMP/ask.err" | grep -q 'HTTP/1.0 200'; }
kernel_server() {
    port=$((port + 1))
    bg "$TMP/ks.$port" in_k openssl s_server -accept $port -cert "$PKI/server.pem" -key "$PKI/server.key" -www "$@"
    kernel_pid=$bg_pid
    wait_for 10 grep -q ACCEPT "$TMP/ks.$port" || bail "s_server listens" "$(cat "$TMP/ks.$port")"
}
versions() { # LEAST: what a server of ours and a client of ours do with either version
    # shellcheck disable=SC2046
    tls_server $(pair_of server)
    failed=$(stat_of handshakes_failed)
    for a in "$S4:$port" "[$S6]:$port"; do
        TO=$a check "least $1: a client with TLS 1.3 is served at $a" talk -tls1_3
        if [ "$1" = 1.2 ]; then
            TO=$a check "least $1: one with TLS 1.2, too" talk -tls1_2
            continue
        fi
        TO=$a talk -tls1_2 && not_ok "least $1: one with TLS 1.2 is refused at $a" "$(cat "$TMP/talk")" || ok "least $1: one with TLS 1.2 is refused at $a"
        check "and is told so" grep -q 'alert protocol version' "$TMP/talk" || diag "$(cat "$TMP/talk")"
        check "and so are we" wait_for 5 grep -q 'tls: client .*: unsupported protocol' "$TMP/a.log" || diag "$(grep tls: "$TMP/a.log")"
    done
    [ "$1" = 1.2 ] || check_eq "both were counted" "$(($(stat_of handshakes_failed) - failed))" 2
    end_pid "$server_of_port"
    kernel_server -tls1_3
    check "least $1: a client of ours at a server with TLS 1.3" ask $K4
    end_pid "$kernel_pid"
    kernel_server -tls1_2
    for nb in '' -b; do
        for a in $K4 $K6; do
            if [ "$1" = 1.2 ]; then
                # shellcheck disable=SC2086
                check "least $1: at one with TLS 1.2, $a${nb:+, non-blocking}" ask $nb $a
            else
                # shellcheck disable=SC2086
                ask $nb $a
                check_eq "least $1: at one with TLS 1.2, $a${nb:+, non-blocking}" "$(cat "$TMP/ask.err")" "error: connect: Protocol error"
            fi
        done
    done
    [ "$1" = 1.2 ] || check "and the log says why" wait_for 5 grep -Eq 'tls: server .*: (tlsv1 alert protocol version|unsupported protocol)' "$TMP/a.log" ||
        diag "$(grep tls: "$TMP/a.log")"
    end_pid "$kernel_pid"
}
versions 1.2
server_alive a && ok "the server lives" || not_ok "the server lives"
server_stop a
{ conf_packet a; conf_tls "min-version 1.3"; } >"$TMP/a.conf"
server_start a "$NS_S"
versions 1.3
check_eq "least 1.3: DTLS, which has no such version, is refused" "$(probe server -d -c "$PKI/server.pem" -k "$PKI/server.key" :: 9999 2>&1)" \
    "error: listen: Protocol not supported"
server_alive a && ok "the server lives" || not_ok "the server lives"

# ---- ciphers, verification and tickets of the configuration
again() { # WORDS
    server_stop a
    { conf_packet a; conf_tls "$@"; } >"$TMP/a.conf"
    server_start a "$NS_S"
}
again "ciphers ECDHE-ECDSA-AES128-GCM-SHA256 ciphersuites TLS_AES_128_GCM_SHA256 verify required verify-server none no-tickets"
# shellcheck disable=SC2046
tls_server $(pair_of server)
mine=(-cert "$PKI/client.pem" -key "$PKI/client.key")
TO=$S4:$port
for c in "-tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256" "-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256"; do
    # shellcheck disable=SC2086
    check "a client with a cipher of the configuration: ${c##* }" talk $c "${mine[@]}" || diag "$(cat "$TMP/talk")"
    # shellcheck disable=SC2086
    talk $c -sess_out "$TMP/session" "${mine[@]}"
    # shellcheck disable=SC2086
    check "no ticket is given" test -z "$(grep -E 'session ticket:|Post-Handshake New Session Ticket' "$TMP/talk")"
    # shellcheck disable=SC2086
    talk $c && not_ok "a client without a certificate is refused" "$(cat "$TMP/talk")" || ok "a client without a certificate is refused"
done
for c in "-tls1_3 -ciphersuites TLS_AES_256_GCM_SHA384" "-tls1_2 -cipher ECDHE-ECDSA-AES256-GCM-SHA384"; do
    # shellcheck disable=SC2086
    talk $c "${mine[@]}" && not_ok "one with another is refused: ${c##* }" "$(cat "$TMP/talk")" || ok "one with another is refused: ${c##* }"
    check "and is told so" grep -q 'alert handshake failure' "$TMP/talk" || diag "$(cat "$TMP/talk")"
done
check "and so are we" wait_for 5 grep -q 'tls: client .*: no shared cipher' "$TMP/a.log" || diag "$(grep tls: "$TMP/a.log")"
end_pid "$server_of_port"
port=$((port + 1))
bg "$TMP/ks.$port" in_k openssl s_server -accept $port -cert "$PKI/wrongca.pem" -key "$PKI/wrongca.key" -www
wait_for 10 grep -q ACCEPT "$TMP/ks.$port" || bail "s_server listens" "$(cat "$TMP/ks.$port")"
check "verify-server none: any certificate will do" ask $K4
check "unless the program chooses" test -n "$(ask -v 3 $K4 || grep 'Key was rejected' "$TMP/ask.err")"

# ---- without ca-cert-path: whom the distribution trusts, which OpenSSL can be told to look for elsewhere
kernel_server
server_stop a
{ conf_packet a; echo 'tls { }'; } >"$TMP/a.conf"
server_start a "$NS_S"
ask $K4 && not_ok "the distribution does not know our authority" || check "the distribution does not know our authority" grep -q 'Key was rejected' "$TMP/ask.err"
server_stop a
SSL_CERT_FILE=$PKI/ca.pem server_start a "$NS_S"
check "where it does, the certificate is good" ask $K4 || diag "$(cat "$TMP/ask.err")"
finish
