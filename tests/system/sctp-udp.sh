#!/bin/bash
# sctp-udp.sh - SCTP in UDP (RFC 6951) with usrsctp, both directions, IPv4 and IPv6, two workers; a peer whose port changes; ICMP
# shellcheck source=tests/system/usrsctp.sh
. "$(dirname "$0")/usrsctp.sh"
{
    conf_packet a 2
    echo 'sctp { udp-encapsulation-port 9899 }'
} >"$TMP/a.conf"
server_start a "$NS_S"
# Nothing but UDP passes, so that what arrives came in it.
in_k nft -f - <<'EOF' || bail "SCTP can be kept out of the way"
table inet plain {
    chain in { type filter hook input priority 0; meta l4proto 132 drop; }
    chain out { type filter hook output priority 0; meta l4proto 132 drop; }
}
EOF

export UDP_PORT=9899 # of usrsctp and of the probe
count() { ctl a --json show sctp | jq "[.[].$1] | add"; }

we_call "messages to usrsctp and back in UDP, IPv4" $K4 7201
we_call "messages to usrsctp and back in UDP, IPv6" $K6 7202
it_calls "messages from usrsctp and back in UDP, IPv4" $S4 7211 1000 1000
it_calls "messages from usrsctp and back in UDP, IPv6" $S6 7212 1000 1000
it_calls "messages larger than packets" $S4 7213 100 60000

# A NAT gives the peer another port in mid-transfer.
TMO=90 bg "$TMP/serve.7221" spre a "$PROBE" serve $S4 7221
serve=$bg_pid
wait_for 10 grep -q ready "$TMP/serve.7221"
before=$(count udp_port_changes) first=$(count rx_data)
UDP_PORT=9899 UNTIL=$TMP/rewritten TMO=80 bg "$TMP/call.7221" in_k "$PEER" call $S4 7221 2000 1000
call=$bg_pid
moved() { [ "$(count rx_data)" -gt $((first + 500)) ]; }
wait_for 20 moved
in_k nft -f - <<'EOF' || bail "a UDP port can be rewritten"
table inet rewrite {
    chain out { type filter hook output priority 0; udp sport 9899 udp sport set 20001; }
    chain in { type filter hook prerouting priority -300; udp dport 20001 udp dport set 9899; }
}
EOF
touch "$TMP/rewritten"
check "the transfer goes on at the peer's new port" wait_for 60 pid_gone "$call"
check "and every message came back" grep -q '^checked [0-9]\{4,\}$' "$TMP/call.7221"
check "the change was seen" [ "$(count udp_port_changes)" -gt "$before" ]
wait_for 10 pid_gone "$serve"
in_k nft delete table inet rewrite

out=$(UDP_PORT=9898 TMO=30 spre a "$PROBE" call $K4 7231 2>&1)
check "nobody at the UDP port: ICMP says so, and connect() fails at once" grep -q 'Connection refused' <<<"$out"
out=$(UDP_PORT=9898 TMO=30 spre a "$PROBE" call $K6 7231 2>&1)
check "the same with IPv6" grep -q 'Connection refused' <<<"$out"
if command -v socat >/dev/null; then
    out=$(TMO=10 spre a socat -u UDP4-RECV:9899 - 2>&1 </dev/null)
    check "no program gets the port" grep -q 'Address already in use' <<<"$out"
fi
check_eq "nothing is left in the server" "$(wait_for 20 server_is_empty a && echo yes)" yes
finish
