#!/bin/bash
# tls.sh - TLS as a transport of the native API, against openssl s_client, s_server and the kernel's curl; good and bad certificates
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/tls_certs.sh
. "$(dirname "$0")/tls_certs.sh"
tls_begin curl
{ conf_packet a; conf_tls "handshake-timeout 6s"; } >"$TMP/a.conf"
server_start a "$NS_S"
port=8440
# s_client ADDRESS ARGUMENTS: standard input is sent, what comes back is printed; ends when the server has closed
s_client() {
    local to=$1
    shift
    TMO=20 in_k openssl s_client -connect "$(at "$to")" -CAfile "$PKI/ca.pem" -verify_return_error -quiet -no_ign_eof "$@" 2>"$TMP/s_client.err"
}
at() { case $1 in *:*) printf '[%s]:%s' "$1" $port ;; *) printf '%s:%s' "$1" $port ;; esac; }
echoes() { # ADDRESS ARGUMENTS
    local got
    : >"$TMP/echo.out"
    got=$( (echo hello; wait_for 10 grep -q hello "$TMP/echo.out") | s_client "$@" | tee "$TMP/echo.out")
    [ "$got" = hello ]
}
fetch() { # ADDRESS ARGUMENTS: number of bytes
    local to=$1
    shift
    TMO=40 in_k curl -sS --cacert "$PKI/ca.pem" "$@" "https://$(at "$to")/" 2>"$TMP/curl.err" | wc -c
}

# ---- servers
tls_server -c "$PKI/server.pem" -k "$PKI/server.key"
for a in $S4 $S6; do
    for v in tls1_2 tls1_3; do
        check "s_client $v to $a: echo" echoes $a -$v
    done
done
check "an old version is refused" test -z "$(s_client $S4 -tls1_1 </dev/null)"
end_pid "$server_of_port"
tls_server -w 30000000 -c "$PKI/rsa.pem" -k "$PKI/rsa.key"
before=$(stat_of in_place)
for a in $S4 $S6; do
    check_eq "curl from $a, TLS 1.3: 30 MB" "$(fetch $a)" 30000000 || diag "$(cat "$TMP/curl.err")"
done
check_eq "curl, TLS 1.2: 30 MB" "$(fetch $S4 --tls-max 1.2)" 30000000
check_eq "all three in place" "$(($(stat_of in_place) - before))" 3
many_fetches() { # at once
    local i pids=() ok=0
    for i in $(seq 10); do
        fetch $S4 >"$TMP/many.$i" &
        pids+=($!)
    done
    wait "${pids[@]}"
    for i in $(seq 10); do [ "$(cat "$TMP/many.$i")" = 30000000 ] && ok=$((ok + 1)); done
    [ $ok = 10 ]
}
check "curl, 10 at once: 30 MB each" many_fetches
end_pid "$server_of_port"

# ---- suites whose records are made in place, and one that OpenSSL makes
tls_server -c "$PKI/server.pem" -k "$PKI/server.key"
od -An -v -tx1 -N 200000 /dev/urandom | tr -d ' \n' >"$TMP/random" # no letter that s_client takes for a command
there_and_back() { # in places, s_client's arguments
    local before
    before=$(stat_of in_place)
    { cat "$TMP/random"; wait_for 20 same_size; } | s_client "${@:2}" >"$TMP/back"
    cmp "$TMP/random" "$TMP/back" && [ "$(($(stat_of in_place) - before))" = "$1" ]
}
same_size() { [ "$(stat -c %s "$TMP/back")" = 400000 ]; }
for c in TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256; do
    check "$c: 400 KB there and back, in place" there_and_back 1 $S4 -tls1_3 -ciphersuites $c
done
for c in AES128-GCM-SHA256 AES256-GCM-SHA384 CHACHA20-POLY1305; do
    check "TLS 1.2, $c: the same" there_and_back 1 $S6 -tls1_2 -cipher ECDHE-ECDSA-$c
done
check "TLS 1.3, short records with padding: in place" there_and_back 1 $S4 -max_send_frag 512 -record_padding 700
check "TLS 1.2, AES-CBC: through OpenSSL" there_and_back 0 $S4 -tls1_2 -cipher ECDHE-ECDSA-AES128-SHA256
check "short records were asked for: through OpenSSL" there_and_back 0 $S4 -maxfraglen 512
end_pid "$server_of_port"

# ---- clients
ask() { # ADDRESS ARGUMENTS of the probe's client: sends a line to a server of the kernel, prints the answer
    local to=$1
    shift
    printf 'GET / HTTP/1.0\r\n\r\n' | TMO=20 probe client "$@" "$to" $port 2>"$TMP/ask.err"
}
# kernel_server CERT ARGUMENTS
kernel_server() {
    local c=$1
    shift
    port=$((port + 1))
    bg "$TMP/ks.$port" in_k openssl s_server -accept $port -cert "$PKI/$c.pem" -key "$PKI/$c.key" -www "$@"
    server_of_port=$bg_pid
    wait_for 10 grep -q ACCEPT "$TMP/ks.$port" || bail "s_server listens" "$(cat "$TMP/ks.$port")"
}
answers() { ask "$@" | grep -q 'HTTP/1.0 200'; }
refused() { # WHY ADDRESS ARGUMENTS: with -EKEYREJECTED, and the server's log says why
    local why=$1
    shift
    for _ in 1 2 3 4 5 6 7 8 9 10; do # a log that has said the like too often is silent for a while
        ask "$@" | grep -q HTTP && return 1
        grep -q 'Key was rejected' "$TMP/ask.err" || return 1
        wait_for 1 grep -q "$why" "$TMP/a.log" && return 0
    done
    return 1
}
kernel_server server
for a in $K4 $K6; do
    check "client to $a: the certificate is for the address" answers $a
    check "client to $a: the certificate is for the name" answers $a -n server.test
done
check "client: a name that the certificate is not for" refused "ostname mismatch" $K4 -n another.test
end_pid "$server_of_port"
cert common.test "IP:$K4" || bail "a certificate can be made"
kernel_server common.test
check "client: the address is in the certificate" answers $K4
check "client: a common name is no name" refused "ostname mismatch" $K4 -n common.test
end_pid "$server_of_port"
kernel_server server -tls1_2
check "client: TLS 1.2" answers $K4
end_pid "$server_of_port"
kernel_server server -num_tickets 10 -max_send_frag 512 -record_padding 300 -Verify 1 -CAfile "$PKI/ca.pem"
for a in $K4 $K6; do # the tickets have the client's certificate in them; OpenSSL reads them or we do, as they come
    # shellcheck disable=SC2046
    check "client to $a: tickets that go over several records, with padding" answers $a $(pair_of client)
done
end_pid "$server_of_port"
for c in expired:expired wrongca:"unable to get local issuer" self:"self-signed" wrongname:"address mismatch"; do
    kernel_server ${c%%:*}
    check "client: refused, ${c%%:*}" refused "${c#*:}" $K6
    end_pid "$server_of_port"
done
kernel_server expired
check "client: verify none takes any certificate" answers $K4 -v 1
end_pid "$server_of_port"
port=$((port + 1))
check "client: nobody listens" test "$(ask $K4; cat "$TMP/ask.err")" = "error: connect: Connection refused"

# ---- both ends on this host: joined through the server
tls_server -c "$PKI/server.pem" -k "$PKI/server.key"
for a in $S4 $S6 127.0.0.1; do
    check_eq "TLS to TLS on this host, $a" "$(echo hello | probe client $a $port 2>&1)" hello
done
head -c 3000000 /dev/urandom >"$TMP/random"
probe client $S4 $port <"$TMP/random" >"$TMP/back" 2>"$TMP/back.err"
check "TLS to TLS on this host: 3 MB" cmp "$TMP/random" "$TMP/back"

# ---- what is shown, and what is wrong
mkfifo "$TMP/hold.in"
hold() { in_s env VCL_CONFIG="$TMP/a.vcl" "$PROBE" client -n server.test $S4 $port <"$TMP/hold.in" >"$TMP/hold.out"; }
hold &
exec 9>"$TMP/hold.in"
echo held >&9
shown() {
    [ "$(ctl a --json show session verbose | jq -rc '[.. | objects | select(.tls_state == "open")
        | .tls_version + " " + .tls_cipher + " " + .tls_sni] | .[]' | tr '\n' ',')" = "$1" ]
}
check "show session verbose: version, cipher, name" wait_for 10 shown \
    "TLSv1.3 TLS_AES_256_GCM_SHA384 server.test,TLSv1.3 TLS_AES_256_GCM_SHA384 server.test,"
aeads() { ctl a --json show session verbose | jq -r '[.. | objects | select(.tls_in_place == true) | .tls_aead] | unique | .[]'; }
check_eq "and the library that makes its records: the one that the log names" "$(aeads)" \
    "$(sed -n 's/.*tls: .*AES-GCM of records by //p' "$TMP/a.log" | head -n 1)"
exec 9>&-
wait $!
check_eq "listen without a certificate" "$(probe server :: 9999 2>&1)" "error: listen: Required key not available"
check_eq "a key of another certificate" "$(probe server -c "$PKI/server.pem" -k "$PKI/second.key" :: 9999 2>&1 | tail -n 1)" \
    "error: vppcom_add_cert_key_pair: Invalid argument"
# Truncation: the peer's FIN without close_notify is an error of reading, not the end.
end_pid "$server_of_port"
tls_server -c "$PKI/server.pem" -k "$PKI/server.key"
python3 - "$S4" $port "$NS_K" <<'P' || not_ok "a client that does not say goodbye"
import os, socket, ssl, sys
fd = os.open("/var/run/netns/" + sys.argv[3], os.O_RDONLY)
import ctypes
ctypes.CDLL(None).setns(fd, 0)
ctx = ssl._create_unverified_context()
raw = socket.create_connection((sys.argv[1], int(sys.argv[2])))
c = ctx.wrap_socket(raw)
c.sendall(b"x"); assert c.recv(1) == b"x"
raw2 = socket.socket(fileno=os.dup(c.fileno())); c.detach(); raw2.shutdown(socket.SHUT_WR); raw2.close()
P
check "truncation is told as a reset" wait_for 10 grep -q "ended: Connection reset" "$TMP/srv.$port"
# A peer that stops in the middle of the handshake is given up after handshake-timeout.
before=$(stat_of handshake_timeouts)
check "a silent peer is given up" in_k timeout 60 bash -c "exec 3<>/dev/tcp/$S4/$port; cat <&3"
given_up() { [ "$(stat_of handshake_timeouts)" = $((before + 1)) ]; }
check "and counted" wait_for 10 given_up
garbage() { head -c 5000 /dev/urandom | TMO=10 in_k bash -c "cat >/dev/tcp/$S4/$port"; }
for i in 1 2 3 4 5; do garbage 2>/dev/null; done
check "after garbage it serves on" echoes $S6
end_pid "$server_of_port"
nothing_left() { [ "$(ctl a --json show tls | jq '[.. | objects | .connections? // 0] | add')" = 0 ]; }
check "no connection is left in the server" wait_for 10 nothing_left
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
