#!/bin/bash
# dtls.sh - DTLS as a transport of the native API (RFC 6347), against openssl and gnutls over UDP; two workers
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/tls_certs.sh
. "$(dirname "$0")/tls_certs.sh"
tls_begin python3
make_crl server-revoked || bail "a revocation list can be made"
{ conf_packet a 2; conf_tls "crl $PKI/crl.pem handshake-timeout 8s max-handshakes 10"; } >"$TMP/a.conf"
server_start a "$NS_S"
stat_is() { [ "$(stat_of "$1")" = "$2" ]; }
port=8440
# dtls_server ARGUMENTS: of the probe; at :: and the next port
dtls_server() {
    port=$((port + 1))
    bg "$TMP/srv.$port" probe server -d "$@" :: $port
    server_of_port=$bg_pid
    wait_for 10 listening "$TMP/srv.$port" || bail "the server at port $port listens" "$(cat "$TMP/srv.$port")"
}
at() { case $1 in *:*) printf '[%s]:%s' "$1" $port ;; *) printf '%s:%s' "$1" $port ;; esac; }
# talk ARGUMENTS of s_client: a line there and back; what s_client says is in $TMP/talk
talk() {
    : >"$TMP/talk"
    (echo hello; wait_for 10 grep -Eq 'hello|^END' "$TMP/talk") | {
        TMO=20 in_k openssl s_client -dtls1_2 -connect "${TO-$S4:$port}" -CAfile "$PKI/ca.pem" -verify_return_error -no_ign_eof "$@"
        echo END
    } >>"$TMP/talk" 2>&1
    grep -q hello "$TMP/talk"
}
says() { grep -q "$1" "$TMP/talk"; }

# ---- servers: names, protocols, client certificates, resumption
# shellcheck disable=SC2046
dtls_server $(pair_of server) $(pair_of second) -a h2,http/1.1
for a in $S4 $S6; do
    TO=$(at $a) check "s_client to $a: a message there and back" talk
done
talk -servername second.test -alpn http/1.1,h2 && says 'subject=CN = second' && says 'ALPN protocol: h2' &&
    ok "name and protocol are the server's choice" || not_ok "name and protocol are the server's choice" "$(head -n 20 "$TMP/talk")"
talk -sess_out "$TMP/session" && talk -sess_in "$TMP/session" && says '^Reused' && ok "a client resumes" ||
    not_ok "a client resumes" "$(grep -E 'Reused|New' "$TMP/talk")"
check "a small path MTU: the handshake goes in pieces" talk -mtu 300
mkfifo "$TMP/hold.in"
hold() { TMO=200 in_k openssl s_client -dtls1_2 -connect $S4:$port -servername second.test -quiet -no_ign_eof <"$TMP/hold.in" >"$TMP/hold.out" 2>/dev/null; }
hold &
exec 9>"$TMP/hold.in"
echo held >&9
shown() {
    [ "$(ctl a --json show session verbose | jq -rc '[.. | objects | select(.tls_state == "open")
        | "\(.proto) \(.tls_version) \(.tls_cipher) \(.tls_sni) \(.tls_data_mtu)"] | .[]')" = "$1" ]
}
check "show session verbose" wait_for 10 shown "dtls DTLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384 second.test 1435" ||
    diag "$(ctl a --json show session verbose)"

# ---- floods: nobody is remembered who has not brought a cookie back; and few who have
check_eq "a cookie counts at the address it was sent to" "$(in_k timeout 200 python3 "$top_srcdir/tests/system/dtls_hello.py" replay $S6 $port)" refused
for a in $S4 $S6; do # RFC 9147 s5.1: it must be of no use to have somebody else answered
    check_eq "an answer to the shortest ClientHellos at $a is no longer than they, and one" \
        "$(in_k timeout 200 python3 "$top_srcdir/tests/system/dtls_hello.py" shortest $a $port)" "no more 1"
done
greeted=$(stat_of dtls_greeted)
flood() { in_k timeout 200 python3 "$top_srcdir/tests/system/dtls_hello.py" flood $S4 $port 10000; }
check "10000 forged ClientHellos, and noise" flood
was_greeted() { [ $(($(stat_of dtls_greeted) - greeted)) -gt 3000 ] || { flood && false; }; } # what the port has no room for is lost
check "were answered" wait_for 20 was_greeted || diag "$(ctl a show tls)"
check_eq "and left nothing" "$(stat_of connections) $(stat_of handshakes_now)" "1 0"
half=$(in_k timeout 200 python3 "$top_srcdir/tests/system/dtls_hello.py" half $S4 $port 40)
# Two workers, 10 each. Packets of a few may have been lost, as under load.
if [ "$half" -gt 5 ] && [ "$half" -le 20 ]; then ok "handshakes that stop: no more than may be at a time"; else
    not_ok "handshakes that stop: no more than may be at a time" "$half: $(ctl a show tls)"; fi
check "and they time out" wait_for 30 stat_is connections 1
check "it serves on" talk
echo again >&9
check "and the one that was open, too" wait_for 10 grep -q again "$TMP/hold.out"
exec 9>&-
wait $!
check "close_notify ends a connection" wait_for 10 stat_is connections 0
end_pid "$server_of_port"

# shellcheck disable=SC2046
dtls_server $(pair_of server) -v 3
refused() { ! talk "$@"; }
check "client certificate required: a good one is taken" talk -cert "$PKI/client.pem" -key "$PKI/client.key"
check "none is refused" refused
check "one of another authority is refused" refused -cert "$PKI/badclient.pem" -key "$PKI/badclient.key"
for a in $S4 $S6; do
    for p in "100 apart" "100 together" "20 apart" "20 together"; do # at 20, the cookie is in none of them whole
        # shellcheck disable=SC2086
        check_eq "ClientHellos in pieces to $a: $p" "$(in_k timeout 200 python3 "$top_srcdir/tests/system/dtls_hello.py" pieces $a $port $p)" welcome
    done
done
# shellcheck disable=SC2046
check_eq "a client of ours shows its own" "$(echo hello | probe client -d $(pair_of client) -n server.test $S4 $port)" hello
end_pid "$server_of_port"

# ---- a client that has died, and comes back from the same port (RFC 6347 s4.2.8)
# shellcheck disable=SC2046
dtls_server $(pair_of server)
mkfifo "$TMP/dead.in"
dead() { $HS_EXEC ip netns exec "$NS_K" openssl s_client -dtls1_2 -connect $S4:$port -bind $K4:5555 -quiet -no_ign_eof <"$TMP/dead.in"; }
bg "$TMP/dead.out" dead
exec 9>"$TMP/dead.in"
echo alive >&9
check "a client talks" wait_for 10 grep -q alive "$TMP/dead.out"
end_pid "$bg_pid" KILL
exec 9>&-
check "it begins anew from the same port" talk -bind $K4:5555
check "and its former connection was reset" wait_for 10 grep -q "ended: Connection reset" "$TMP/srv.$port"
end_pid "$server_of_port"

# ---- clients
# kernel_server CERT ARGUMENTS: says "olleh" to each who comes, and prints what it is told
kernel_server() {
    local c=$1
    shift
    port=$((port + 1))
    rm -f "$TMP/ks.in"
    mkfifo "$TMP/ks.in"
    kernel() { $HS_EXEC ip netns exec "$NS_K" openssl s_server -dtls1_2 -accept $port -cert "$PKI/$c.pem" -key "$PKI/$c.key" "$@" <"$TMP/ks.in"; }
    bg "$TMP/ks.$port" kernel "$@"
    server_of_port=$bg_pid
    exec 8>"$TMP/ks.in"
    wait_for 10 grep -q ACCEPT "$TMP/ks.$port" || bail "s_server listens" "$(cat "$TMP/ks.$port")"
}
ask() { # ARGUMENTS ADDRESS
    echo hello | TMO=20 probe client -d "$@" $port 2>"$TMP/ask.err"
}
kernel_server server
converses() { # ADDRESS ARGUMENTS: what is said arrives, and the answer
    (wait_for 10 grep -q hello "$TMP/ks.$port"; echo olleh >&8) &
    [ "$(ask -e "$@")" = olleh ]
}
check "client to s_server, by name" converses -n server.test $K4 || diag "$(cat "$TMP/ask.err")"
end_pid "$server_of_port"
kernel_server server -listen -6
check "client to s_server -listen, by address, IPv6" converses $K6 || diag "$(cat "$TMP/ask.err")"
end_pid "$server_of_port"
refused_because() {
    local name=()
    [ "$1" != revoked ] || name=(-n server.test)
    for _ in 1 2 3 4 5 6 7 8 9 10; do # a log that has said the like too often is silent for a while
        [ "$(ask "${name[@]}" $K4; cat "$TMP/ask.err")" = "error: connect: Key was rejected by service" ] || return 1
        wait_for 1 grep -q "$1" "$TMP/a.log" && return 0
    done
    return 1
}
for c in expired:expired wrongca:"unable to get local issuer" self:"self-signed" wrongname:"address mismatch" server-revoked:revoked; do
    kernel_server ${c%%:*}
    check "refused: ${c%%:*}" refused_because "${c#*:}"
    end_pid "$server_of_port"
done
port=$((port + 1))
check_eq "nobody listens" "$(ask $K4; cat "$TMP/ask.err")" "error: connect: Connection refused"

# ---- both ends on this host
# shellcheck disable=SC2046
dtls_server $(pair_of server)
for a in $S4 $S6; do
    check_eq "DTLS to DTLS on this host, $a" "$(ask $a)" hello || diag "$(cat "$TMP/ask.err")"
done
check_eq "connecting without waiting" "$(ask -b $S4)$(ask -b -e -n server.test $S6)" hellohello || diag "$(cat "$TMP/ask.err")"
check_eq "and where nobody listens" "$(port=9 ask -b $K6; cat "$TMP/ask.err")" "error: connect: Connection refused"
check_eq "messages of 16 KB, one by one" "$(head -c 200000 /dev/urandom | tee "$TMP/random" | TMO=30 probe client -d -m 16384 -e $S4 $port | sha256sum)" \
    "$(sha256sum <"$TMP/random")"
check_eq "a larger one" "$(head -c 20000 /dev/zero | probe client -d -m 20000 $S4 $port 2>&1)" "error: write: Message too long"
many() {
    local i pids=() ok=0
    for i in $(seq 8); do
        : >"$TMP/many.$i"
        (echo "hello $i"; wait_for 15 grep -q hello "$TMP/many.$i") | TMO=20 in_k openssl s_client -dtls1_2 -connect $S4:$port -quiet -no_ign_eof >"$TMP/many.$i" 2>/dev/null &
        pids+=($!)
    done
    wait "${pids[@]}"
    for i in $(seq 8); do grep -qx "hello $i" "$TMP/many.$i" && ok=$((ok + 1)); done
    [ $ok = 8 ]
}
check "8 clients at once" many

# ---- GnuTLS
if command -v gnutls-cli >/dev/null && command -v gnutls-serv >/dev/null; then
    gnutls() {
        : >"$TMP/gnutls"
        (echo hello; wait_for 10 grep -q hello "$TMP/gnutls") |
            TMO=20 in_k gnutls-cli --udp --x509cafile="$PKI/ca.pem" -p $port $S4 >"$TMP/gnutls" 2>&1
        grep -q hello "$TMP/gnutls"
    }
    check "gnutls-cli --udp" gnutls || diag "$(cat "$TMP/gnutls")"
    port=$((port + 1))
    bg "$TMP/gs" in_k gnutls-serv --udp --echo --disable-client-cert --x509certfile="$PKI/rsa.pem" --x509keyfile="$PKI/rsa.key" -p $port
    from_gnutls() { [ "$(ask -e -n server.test $K4)" = hello ]; }
    check "gnutls-serv --udp" wait_for 10 from_gnutls || diag "$(cat "$TMP/ask.err" "$TMP/gs")"
    end_pid "$bg_pid"
else
    skip "GnuTLS as peer" "no gnutls-cli here"
fi
end_pid "$server_of_port"
server_alive a && ok "the server lives" || not_ok "the server lives"
check "nothing is left" wait_for 20 stat_is connections 0

# ---- a small MTU: flights that are longer go in datagrams that fit, not in fragments of IP
server_stop a
{ conf_packet a 2 | sed 's/no-dad/no-dad  mtu 1280/'; conf_tls; } >"$TMP/a.conf"
server_start a "$NS_S"
cat "$PKI"/{server,rsa,rsa,rsa,ca}.pem >"$PKI/long.pem"
dtls_server -c "$PKI/long.pem" -k "$PKI/server.key"
for a in "$S4 1252" "$S6 1232"; do
    flight=$(in_k timeout 200 python3 "$top_srcdir/tests/system/dtls_hello.py" flight "${a% *}" $port)
    if [ "${flight% *}" -le "${a#* }" ] && [ "${flight#* }" -ge 3 ]; then ok "a long chain to ${a% *}: datagrams that fit"; else
        not_ok "a long chain to ${a% *}: datagrams that fit" "longest, number: $flight"; fi
    TO=$(at "${a% *}") check "and it is taken" talk
done
end_pid "$server_of_port"
finish
