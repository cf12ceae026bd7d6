#!/bin/bash
# tls-more.sh - TLS: names (SNI), protocols (ALPN), client certificates, revocation, resumption, key update, renegotiation, certificates that
# change, GnuTLS as peer, records in pieces and records that are none
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/tls_certs.sh
. "$(dirname "$0")/tls_certs.sh"
tls_begin python3
make_crl server-revoked || bail "a revocation list can be made"
{ conf_packet a; conf_tls "crl $PKI/crl.pem"; } >"$TMP/a.conf"
server_start a "$NS_S"
port=8540
# talk ARGUMENTS of s_client: a line there and back; what s_client says is in $TMP/talk
talk() {
    : >"$TMP/talk"
    (echo hello; wait_for 10 grep -Eq 'hello|^END' "$TMP/talk") | {
        # shellcheck disable=SC2086
        TMO=20 ${SIDE-in_k} openssl s_client -connect "${TO-$S4:$port}" -CAfile "$PKI/ca.pem" -verify_return_error -no_ign_eof "$@"
        echo END
    } >>"$TMP/talk" 2>&1
    grep -q hello "$TMP/talk"
}
says() { grep -q "$1" "$TMP/talk"; }

# ---- names and protocols
# shellcheck disable=SC2046
tls_server $(pair_of server) $(pair_of second) -a h2,http/1.1
talk -servername second.test && says 'subject=CN = second' && ok "the name chooses the second certificate" ||
    not_ok "the name chooses the second certificate" "$(head -n 20 "$TMP/talk")"
talk -servername unknown.test && says 'subject=CN = server' && ok "an unknown name gets the first" || not_ok "an unknown name gets the first"
talk -noservername && says 'subject=CN = server' && ok "no name gets the first" || not_ok "no name gets the first"
talk -alpn http/1.1,h2 && says 'ALPN protocol: h2' && ok "ALPN: the server's order counts" || not_ok "ALPN: the server's order counts"
no_common() { ! talk -alpn spdy/1 && says 'no application protocol'; }
check "ALPN: nothing in common is refused" no_common
early() {
    talk -tls1_3 -sess_out "$TMP/session.early" && openssl sess_id -in "$TMP/session.early" -noout -text >"$TMP/early" &&
        grep -q 'Max Early Data: 0' "$TMP/early"
}
check "early data is not offered" early
client_alpn() { echo hello | probe client -n second.test -a http/1.1 $S4 $port | grep -q hello; }
check "a client of ours, by name and protocol" client_alpn
end_pid "$server_of_port"

# ---- client certificates
# shellcheck disable=SC2046
tls_server $(pair_of server) -v 3
check "required: a good certificate is taken" talk -cert "$PKI/client.pem" -key "$PKI/client.key"
refused() { ! talk "$@"; }
check "required: none is refused" refused
check "required: one of another authority is refused" refused -cert "$PKI/badclient.pem" -key "$PKI/badclient.key"
# shellcheck disable=SC2046
ours_with_cert() { echo hello | probe client $(pair_of client) -n server.test $S4 $port | grep -q hello; }
check "required: a client of ours shows its own" ours_with_cert
end_pid "$server_of_port"
# shellcheck disable=SC2046
tls_server $(pair_of server) -v 2
check "optional: none is taken" talk
check "optional: one of another authority is refused" refused -cert "$PKI/badclient.pem" -key "$PKI/badclient.key"
end_pid "$server_of_port"

# ---- revocation
port=$((port + 1))
bg "$TMP/ks.$port" in_k openssl s_server -accept $port -cert "$PKI/server-revoked.pem" -key "$PKI/server-revoked.key" -www
wait_for 10 grep -q ACCEPT "$TMP/ks.$port" || bail "s_server listens"
check_eq "a revoked certificate is refused" "$(echo | probe client -n server.test $K4 $port 2>&1)" "error: connect: Key was rejected by service"
check "and the log says so" wait_for 5 grep -q 'certificate revoked' "$TMP/a.log"
end_pid "$bg_pid"

# ---- resumption
# shellcheck disable=SC2046
tls_server $(pair_of server)
for v in tls1_2 tls1_3; do
    talk -$v -sess_out "$TMP/session.$v" && talk -$v -sess_in "$TMP/session.$v" && says '^Reused' &&
        ok "$v: a client resumes" || not_ok "$v: a client resumes" "$(grep -E 'Reused|New' "$TMP/talk")"
done
# A server whose keys change every second: a ticket whose key was replaced twice is not taken, and the handshake is a full one.
{ conf_head b; conf_tls "ticket-lifetime 1s"; } >"$TMP/b.conf"
server_start b "$NS_S"
# shellcheck disable=SC2046
bg "$TMP/srv.b" in_s env VCL_CONFIG="$TMP/b.vcl" "$PROBE" server $(pair_of server) :: 8600
wait_for 10 listening "$TMP/srv.b" || bail "the server listens" "$(cat "$TMP/srv.b")"
talk_b() { SIDE="spre b" TO=127.0.0.1:8600 talk -tls1_2 "$@"; }
talk_b -sess_out "$TMP/session.old" || not_ok "a connection to the second server" "$(cat "$TMP/talk")"
not_resumed() { talk_b -sess_in "$TMP/session.old" && says '^New'; }
check "a ticket of a key that is gone is not taken" wait_for 30 not_resumed
end_pid "$bg_pid"
server_stop b
before=$(stat_of resumed)
twice() { (echo one | probe client -n server.test $S4 $port && echo two | probe client -n server.test $S4 $port) | tr '\n' ' '; }
check_eq "two programs of ours, one after the other" "$(twice)" "one two "
check_eq "do not resume each other's sessions" "$(stat_of resumed)" "$before"
end_pid "$server_of_port"
port=$((port + 1))
bg "$TMP/ks.$port" in_k openssl s_server -accept $port -cert "$PKI/server.pem" -key "$PKI/server.key" -rev
wait_for 10 grep -q ACCEPT "$TMP/ks.$port" || bail "s_server listens"
check_eq "a program resumes with a server of the kernel" \
    "$(echo hello | probe client -r 3 -n server.test $K4 $port 2>&1 | tr '\n' ' ')" "olleh olleh olleh "
check_eq "both further times" "$(($(stat_of resumed) - before))" 2
end_pid "$bg_pid"
port=$((port + 1))
# One that refuses another name.
bg "$TMP/ks.$port" in_k openssl s_server -accept $port -cert "$PKI/server.pem" -key "$PKI/server.key" -rev \
    -servername server.test -servername_fatal -cert2 "$PKI/server.pem" -key2 "$PKI/server.key"
wait_for 10 grep -q ACCEPT "$TMP/ks.$port" || bail "s_server listens"
as() { probe client -v 1 "$@" $K4 $port 2>&1; }
check_eq "a program says its server's name to one of the kernel" "$(echo hello | as -n server.test)" olleh
check_eq "another name is refused" "$(echo hello | as -n another.test)" "error: connect: Protocol error"
end_pid "$bg_pid"
port=$((port + 1))
bg "$TMP/ks.$port" in_k openssl s_server -accept $port -cert "$PKI/server.pem" -key "$PKI/server.key" -rev -alpn http/1.1
wait_for 10 grep -q ACCEPT "$TMP/ks.$port" || bail "s_server listens"
mkfifo "$TMP/alpn.in"
as -n server.test -a h2,http/1.1 <"$TMP/alpn.in" >"$TMP/alpn.out" &
as_pid=$!
exec 9>"$TMP/alpn.in"
echo hello >&9
alpn_is() { ctl a --json show session verbose | jq -r '.. | objects | .tls_alpn? // empty' | grep -qx http/1.1; }
check "it gets the protocol that the server has" wait_for 10 alpn_is
exec 9>&-
wait "$as_pid"
end_pid "$bg_pid"

# ---- key update, renegotiation
# shellcheck disable=SC2046
tls_server $(pair_of server)
update() {
    : >"$TMP/update"
    (
        for i in 1 2 3 4 5; do
            echo "line$i"
            wait_for 10 grep -q "line$i" "$TMP/update"
            echo K
            wait_for 10 eval "[ \$(grep -c KEYUPDATE $TMP/update) = $i ]"
        done
        echo last
        wait_for 10 grep -q last "$TMP/update"
    ) | TMO=60 in_k openssl s_client -connect $S4:$port -CAfile "$PKI/ca.pem" -no_ign_eof -tls1_3 >"$TMP/update" 2>&1
    grep -q last "$TMP/update"
}
check "key update, asked for 5 times" update
renegotiate() {
    : >"$TMP/reneg"
    (echo hello; wait_for 10 grep -q hello "$TMP/reneg"; echo R; wait_for 10 grep -q 'no renegotiation' "$TMP/reneg") |
        TMO=20 in_k openssl s_client -connect $S4:$port -CAfile "$PKI/ca.pem" -no_ign_eof -tls1_2 >"$TMP/reneg" 2>&1
    grep -q 'no renegotiation' "$TMP/reneg"
}
check "renegotiation is refused" renegotiate

# ---- memory of connections that are idle, without what is shared with the program
if grep -q libasan /proc/"$(server_pid a)"/maps; then
    skip "memory of an idle connection" "AddressSanitizer's is another"
else
    held_kb() { awk '/^[0-9a-f]+-/ { own = NF < 6 || $6 ~ "heap|hoststack-tls" } /^Rss:/ && own { sum += $2 } END { print sum }' \
        /proc/"$(server_pid a)"/smaps; }
    idle_clients() { # N, each of which sends 100 KB there and back
        rm -f "$TMP/idle.in"
        mkfifo "$TMP/idle.in"
        TMO=120 in_k python3 "$top_srcdir/tests/system/tls_idle.py" $S4 $port "$PKI/ca.pem" "$1" <"$TMP/idle.in" >"$TMP/idle.out" 2>&1 &
        idle_pid=$!
        exec 8>"$TMP/idle.in"
        wait_for 60 grep -q idle "$TMP/idle.out"
    }
    idle_end() {
        exec 8>&-
        wait "$idle_pid"
    }
    idle_clients 5 && idle_end
    before=$(held_kb)
    idle_clients 200 && ok "200 clients are idle" || not_ok "200 clients are idle" "$(tail -n 3 "$TMP/idle.out")" # not in a subshell, which would end them
    is_small() { [ $(($(held_kb) - before)) -lt $((200 * 24)) ]; }
    check "an idle connection takes less than 24 KB of the server" wait_for 30 is_small || diag "$(($(held_kb) - before)) KB"
    diag "an idle connection takes $((($(held_kb) - before) * 1024 / 200)) bytes"
    largest_ring() { [ "$(ctl a --json show session verbose | jq '[.. | objects | select(.proto == "tls") | .tx_fifo_size // 0] | max')" -le 4096 ]; }
    check "nor does a ring stay with the program" wait_for 30 largest_ring
    idle_end
    check "idle connections go on" grep -q again "$TMP/idle.out"
fi

# ---- records in pieces, and what is none
check "records of 512 bytes" talk -max_send_frag 512
check "a client that sends single bytes, and then 300 records at once" in_k timeout 60 python3 "$top_srcdir/tests/system/tls_bytes.py" $S4 $port "$PKI/ca.pem"
oversized() { [ "$(TMO=10 in_k bash -c "exec 3<>/dev/tcp/$S4/$port; printf '\x16\x03\x01\xff\xff%70000s' >&3 & head -c 7 <&3" | od -An -tx1)" = " 15 03 03 00 02 02 16" ]; }
check "a record longer than one may be gets an alert" oversized
check "and it serves on" talk

# ---- another certificate, while connections are open
mkfifo "$TMP/hold.in"
hold() { TMO=60 in_k openssl s_client -connect $S4:$port -CAfile "$PKI/ca.pem" -quiet -no_ign_eof <"$TMP/hold.in" >"$TMP/hold.out" 2>/dev/null; }
hold &
hold_pid=$!
exec 9>"$TMP/hold.in"
echo before >&9
check "a connection with the first certificate" wait_for 10 grep -q before "$TMP/hold.out"
cp "$PKI/second.pem" "$PKI/server.pem"
cp "$PKI/second.key" "$PKI/server.key"
kill -USR1 "$server_of_port"
wait_for 10 grep -q 'reloaded 0' "$TMP/srv.$port" || not_ok "the certificate is changed" "$(cat "$TMP/srv.$port")"
talk -servername second.test && says 'subject=CN = second' && ok "new connections have the new certificate" || not_ok "new connections have the new certificate"
echo after >&9
check "the open one goes on" wait_for 10 grep -q after "$TMP/hold.out"
exec 9>&-
wait "$hold_pid"
end_pid "$server_of_port"

# ---- GnuTLS
if command -v gnutls-cli >/dev/null && command -v gnutls-serv >/dev/null; then
    # shellcheck disable=SC2046
    tls_server $(pair_of rsa)
    gnutls() {
        : >"$TMP/gnutls"
        (echo hello; wait_for 10 grep -q hello "$TMP/gnutls") |
            TMO=20 in_k gnutls-cli --x509cafile="$PKI/ca.pem" --priority "$1" -p $port $S4 >"$TMP/gnutls" 2>&1
        grep -q hello "$TMP/gnutls"
    }
    before=$(stat_of in_place)
    check "gnutls-cli, TLS 1.2" gnutls NORMAL:-VERS-ALL:+VERS-TLS1.2
    check "gnutls-cli, TLS 1.3" gnutls NORMAL:-VERS-ALL:+VERS-TLS1.3
    check_eq "both in place" "$(($(stat_of in_place) - before))" 2
    end_pid "$server_of_port"
    port=$((port + 1))
    bg "$TMP/gs" in_k gnutls-serv --echo --disable-client-cert --x509certfile="$PKI/rsa.pem" --x509keyfile="$PKI/rsa.key" -p $port
    from_gnutls() { [ "$(echo hello | probe client -n server.test $K4 $port 2>"$TMP/gs.err")" = hello ]; }
    check "gnutls-serv" wait_for 10 from_gnutls
    end_pid "$bg_pid"
else
    skip "GnuTLS as peer" "no gnutls-cli here"
fi
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
