#!/bin/bash
# tls-life.sh - TLS while things change: certificates under load, the server restarted between tickets, many handshakes with large keys beside an
# open connection, streams that end in order, in halves, or are cut off, by both APIs; and where private keys are in memory
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/tls_certs.sh
. "$(dirname "$0")/tls_certs.sh"
tls_begin python3 jq
here="DNS:server.test,IP:$S4,IP:$S6,IP:$K4,IP:$K6"
cert renewed "$here" && KEY=rsa:4096 KEYOPT='' cert large "$here" && chmod -R a+rX "$PKI" || bail "certificates can be made"
PEER=$top_srcdir/tests/system/tls_peer.py
{ conf_packet a; conf_tls; } >"$TMP/a.conf"
server_start a "$NS_S"
port=8740
talk() { # ARGUMENTS of s_client: a line there and back
    : >"$TMP/talk"
    (echo hello; wait_for 10 grep -Eq 'hello|^END' "$TMP/talk") | {
        TMO=20 in_k openssl s_client -connect "$S4:$port" -CAfile "$PKI/ca.pem" -verify_return_error -no_ign_eof "$@"
        echo END
    } >>"$TMP/talk" 2>&1
    grep -q hello "$TMP/talk"
}
says() { grep -q "$1" "$TMP/talk"; }
# crew NAME ARGUMENTS of tls_peer.py in the kernel's namespace; goes on until crew_end, its last words are in $TMP/NAME
crew() {
    local name=$1
    shift
    rm -f "$TMP/$name.in"
    mkfifo "$TMP/$name.in"
    TMO=120 in_k python3 "$PEER" "$@" <"$TMP/$name.in" >"$TMP/$name" 2>&1 &
    crew_pid=$!
    exec 7>"$TMP/$name.in"
    wait_for 20 grep -q begun "$TMP/$name" || not_ok "$name begins" "$(cat "$TMP/$name")"
}
crew_end() {
    exec 7>&-
    wait "$crew_pid"
}

# ---- a new certificate, again and again, under load: nobody is turned away, who is there stays, tickets of before are good
cp "$PKI/server.pem" "$PKI/now.pem"
cp "$PKI/server.key" "$PKI/now.key"
# shellcheck disable=SC2046
tls_server $(pair_of now)
for v in tls1_2 tls1_3; do
    talk -$v -sess_out "$TMP/before.$v" || not_ok "$v: a connection before" "$(cat "$TMP/talk")"
done
for a in $S4 $S6; do
    crew storm storm $a $port "$PKI/ca.pem" 8
    reloads=$(grep -c 'reloaded 0' "$TMP/srv.$port")
    for i in 1 2 3 4 5 6 7 8 9 10; do
        n=$(stat_of handshakes)
        more() { [ "$(stat_of handshakes)" -ge $((n + 10)) ]; }
        wait_for 20 more || not_ok "the storm goes on" "$(cat "$TMP/storm")"
        name=$([ $((i % 2)) = 1 ] && echo renewed || echo server)
        cp "$PKI/$name.pem" "$PKI/now.pem"
        cp "$PKI/$name.key" "$PKI/now.key"
        kill -USR1 "$server_of_port"
        reloaded() { [ "$(grep -c 'reloaded 0' "$TMP/srv.$port")" = $((reloads + i)) ]; }
        wait_for 10 reloaded || not_ok "reload $i" "$(cat "$TMP/srv.$port")"
    done
    crew_end
    diag "$(tail -n 1 "$TMP/storm")"
    check "10 certificates under load at $a: no fault" grep -q 'names=renewed,server faults=0$' "$TMP/storm"
    check "some of the clients resumed" grep -Eq 'resumed=[1-9]' "$TMP/storm"
done
for v in tls1_2 tls1_3; do
    talk -$v -sess_in "$TMP/before.$v" && says '^Reused' && ok "$v: a ticket of before is good" || not_ok "$v: a ticket of before is good" "$(cat "$TMP/talk")"
done

# ---- the server is restarted: the listener comes back with its certificate, tickets of before lead to a full handshake
server_stop a
server_start a "$NS_S"
again() { talk -tls1_3; }
check "after a restart the listener is there again" wait_for 15 again
for v in tls1_2 tls1_3; do
    talk -$v -sess_in "$TMP/before.$v" && says '^New' && ok "$v: a ticket of before the restart: a full handshake" ||
        not_ok "$v: a ticket of before the restart: a full handshake" "$(cat "$TMP/talk")"
    talk -$v -sess_out "$TMP/after.$v" && talk -$v -sess_in "$TMP/after.$v" && says '^Reused' && ok "$v: new ones are good" || not_ok "$v: new ones are good"
done
end_pid "$server_of_port"

# ---- private keys: in the server's locked memory, and in nothing that is shared; not in a program that only connects
# shellcheck disable=SC2046
tls_server $(pair_of large) $(pair_of server)
talk -servername server.test || not_ok "a connection with the first key"
mkfifo "$TMP/hold.in"
in_s env VCL_CONFIG="$TMP/a.vcl" "$PROBE" client -e -n server.test $S4 $port <"$TMP/hold.in" >"$TMP/hold.out" &
exec 9>"$TMP/hold.in"
echo held >&9
wait_for 10 grep -q held "$TMP/hold.out" || not_ok "a program connects"
holder=$(pgrep -f "tls_probe client -e -n server.test $S4 $port" | tail -n 1)
for k in server large; do
    python3 "$top_srcdir/tests/system/key_scan.py" "$PKI/$k.key" "$(server_pid a)" "$holder" "$server_of_port" >"$TMP/scan" 2>&1
    spid=$(server_pid a)
    check "the server has key $k, locked and in no core dump" grep -q "^$spid .* own locked hidden" "$TMP/scan"
    # Of RSA keys OpenSSL has copies of the primes to calculate with: they are in ordinary memory as long as the key is.
    loose() { grep -E "^$spid .*(loose|dumped)" "$TMP/scan" | grep -v 'prime[12]-limbs'; }
    check "and nothing of it is left where it was read" test -z "$(loose)" || diag "$(cat "$TMP/scan")"
    check "no memory that is shared has it" test -z "$(grep ' shared ' "$TMP/scan")" || diag "$(cat "$TMP/scan")"
    check "a program that connects has none of it" grep -qx "$holder none" "$TMP/scan"
done
exec 9>&-
wait $!
end_pid "$server_of_port"

# ---- handshakes with a key of 4096 bits, 100 at a time: who has an open connection does not wait until all are done
measure() { # WHAT
    local pong line
    # shellcheck disable=SC2046
    tls_server $(pair_of large)
    crew crowd crowd $S4 $port 100
    pong=$(TMO=60 probe client -l 3000 $S4 $port 2>&1)
    crew_end
    line=$(tail -n 1 "$TMP/crowd")
    diag "$1: round trips of an open connection in 3 s: number, median, p99, maximum in us: $pong; handshakes in s: $line"
    # How many handshakes there were for a round trip, which takes some turns of the worker.
    check "$1: a round trip waits for a few handshakes, not for a hundred" \
        awk -v pings="${pong%% *}" -v line="$line" 'BEGIN { split(line, c); exit !(pings > 0 && c[1] >= 30 && c[1] / c[2] * 3 / pings < 30) }'
    end_pid "$server_of_port"
}
measure "by the worker"

# ---- the end of a stream, by the native API and by plain sockets, blocking and not
plain() { # DOES...: a program that knows nothing of TLS
    : "${hs_pre:=$(hs_preload_libs)}"
    in_s env LD_LIBRARY_PATH="$PRELOAD_DIR" ASAN_OPTIONS=detect_leaks=0 LDP_TRANSPARENT_TLS=1 LDP_TLS_CERT_FILE="$PKI/server.pem" \
        LDP_TLS_KEY_FILE="$PKI/server.key" LDP_TLS_SERVER_NAME=server.test VCL_CONFIG="$TMP/a.vcl" LD_PRELOAD="$hs_pre" python3 "$PEER" "$@"
}
for a in $K4 $K6; do
    port=$((port + 1))
    bg "$TMP/ks.$port" in_k python3 "$PEER" server $a $port "$PKI/server.pem" "$PKI/server.key"
    ks_pid=$bg_pid
    wait_for 10 listening "$TMP/ks.$port" || bail "the kernel's server listens" "$(cat "$TMP/ks.$port")"
    native() { echo "$1" | TMO=20 probe client -n server.test "${@:2}" $a $port 2>&1 | tr '\n' ' '; }
    for nb in '' -b; do
        check_eq "native client to $a${nb:+, $nb}: the end" "$(native bye $nb)" "half a story "
        check_eq "native client to $a${nb:+, $nb}: cut off" "$(native cut $nb)" "half a story error: read: Connection reset by peer "
        check_eq "native client to $a${nb:+, $nb}: cut off amid a record" "$(native torn $nb)" "half a story error: read: Connection reset by peer "
    done
    for nb in '' nb; do
        check_eq "plain client to $a${nb:+, non-blocking}: the end" "$(TMO=30 plain plain-client $a $port bye $nb 2>&1)" "half a story end"
        check_eq "plain client to $a${nb:+, non-blocking}: cut off" "$(TMO=30 plain plain-client $a $port cut $nb 2>&1)" "half a story ECONNRESET"
        check_eq "plain client to $a${nb:+, non-blocking}: cut off amid a record" "$(TMO=30 plain plain-client $a $port torn $nb 2>&1)" \
            "half a story ECONNRESET"
        check_eq "plain client to $a${nb:+, non-blocking}: the server's half is over, ours is not" \
            "$(TMO=30 plain plain-client $a $port half $nb 2>&1)" "half a story end"
    done
    both_came() { [ "$(grep -c 'half 100000' "$TMP/ks.$port")" = 2 ]; }
    check "and all of ours came" wait_for 10 both_came || diag "$(cat "$TMP/ks.$port")"
    end_pid "$ks_pid"
done
for nb in '' nb; do
    for a in $S4 $S6; do
        port=$((port + 1))
        bg "$TMP/ps.$port" plain plain-server $a $port $nb
        ps_pid=$bg_pid
        wait_for 10 listening "$TMP/ps.$port" || bail "the plain server listens" "$(cat "$TMP/ps.$port")"
        says_of() { TMO=30 in_k python3 "$PEER" client "$1" $a $port 2>&1; }
        said() { grep -qx "half a story $1" "$TMP/ps.$port"; }
        check_eq "plain server at $a${nb:+, non-blocking}: the client's half is over, ours is not" "$(says_of half)" 100013
        check "it read the end" wait_for 10 said end
        says_of cut >/dev/null
        check "plain server at $a${nb:+, non-blocking}: cut off" wait_for 10 said ECONNRESET
        end_pid "$ps_pid"
    done
done

# ---- the same crowd, with threads
server_stop a
{ conf_packet a; conf_tls "handshake-threads 1"; } >"$TMP/a.conf"
server_start a "$NS_S"
measure "by a thread"
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
