#!/bin/bash
# sctp-usrsctp.sh - SCTP with another implementation (usrsctp over raw IP), both directions, IPv4 and IPv6
# shellcheck source=tests/system/usrsctp.sh
. "$(dirname "$0")/usrsctp.sh"
conf_packet a >"$TMP/a.conf"
server_start a "$NS_S"
ctl a address add wire0 10.77.0.11/24 # for later: it is probed meanwhile

keep_kernel_quiet

we_call "messages to usrsctp and back, IPv4" $K4 7201
we_call "messages to usrsctp and back, IPv6" $K6 7202
it_calls "messages from usrsctp and back, IPv4" $S4 7211 2000 1000
it_calls "messages from usrsctp and back, IPv6" $S6 7212 2000 1000
it_calls "messages larger than packets" $S4 7213 200 60000
AUTH_KEY=secret we_call "authenticated (RFC 4895), IPv4" $K4 7231
AUTH_KEY=secret it_calls "authenticated, from usrsctp, IPv6" $S6 7232 300 1000
check "AUTH chunks went" [ "$(ctl a --json show sctp | jq '.[0].rx_auth > 300 and .[0].drop_auth == 0')" = true ]
# Addresses change in mid-transfer (RFC 5061), which goes on until they have.
preferred() { ctl a --json show interfaces | jq -e '.[].addresses[] | select(.address == "10.77.0.11/24" and .state == "preferred")' >/dev/null; }
changes() { ctl a --json show sctp | jq '.[0].asconfs'; }
have_changed() { [ "$(changes)" -ge "$1" ]; }
# changing WHAT PORT CHANGES
changing() {
    local serve call want=$(($(changes) + $3))
    TMO=60 bg "$TMP/serve.$2" spre a "$PROBE" serve $S4 "$2"
    serve=$bg_pid
    wait_for 10 grep -q ready "$TMP/serve.$2" || not_ok "we listen" "$(cat "$TMP/serve.$2")"
    UNTIL=$TMP/changed.$2 TMO=60 bg "$TMP/call.$2" in_k "$PEER" call $S4 "$2" 200 1000
    call=$bg_pid
    check "$1" wait_for 40 have_changed "$want" || diag "$(ctl a --json show sctp | jq -c '.[0] | {asconfs, asconfs_refused, drop_asconf, drop_auth}')"
    touch "$TMP/changed.$2"
    wait_for 40 pid_gone "$call"
    check "$1: and every message came back" grep -q '^checked' "$TMP/call.$2"
    wait_for 20 pid_gone "$serve"
}
check "nobody else has the second address" wait_for 20 preferred
in_k ip addr add 10.77.0.12/24 dev vk0
MOVE_TO=10.77.0.11 changing "our address: another one, made primary, the only one" 7241 3
TMO=60 bg "$TMP/peer.7243" in_k "$PEER" serve $K4 7243
peer=$bg_pid
wait_for 10 grep -q listening "$TMP/peer.7243" || not_ok "usrsctp listens" "$(cat "$TMP/peer.7243")"
out=$(TMO=60 spre a "$top_builddir/tests/system/sctp_options" many $K4 7243 $S4 10.77.0.11 2>&1)
check_eq "addresses of a one-to-many socket change, it is peeled off" "$?" 0 || diag "$(grep -v '^ok' <<<"$out")"
wait_for 20 pid_gone "$peer"
check "usrsctp had its messages" grep -q 'echoed 4' "$TMP/peer.7243"
MOVE_FROM=$K4 MOVE_TO=10.77.0.12 changing "the peer's: another one, the only one" 7242 2
check_eq "nothing is left in the server" "$(wait_for 20 server_is_empty a && echo yes)" yes
finish
