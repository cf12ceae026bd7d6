#!/bin/bash
# sctp-paths.sh - usrsctp as a peer with two addresses: a path is cut in mid-transfer, either way round; the peer starts anew
# shellcheck source=tests/system/usrsctp.sh
. "$(dirname "$0")/usrsctp.sh"
ip -n "$NS_S" link add vs1 type veth peer name vk1 netns "$NS_K" || bail "a second veth pair can be made"
in_s sysctl -qw net.ipv6.conf.vs1.disable_ipv6=1
ip -n "$NS_S" link set vs1 up
ip -n "$NS_K" link set vk1 up
ip -n "$NS_K" addr add 10.79.0.2/24 dev vk1
{
    conf_packet a
    echo 'port wire1 { device packet iface=vs1 }'
    echo 'interface wire1 { address 10.79.0.1/24 }'
} >"$TMP/a.conf"
server_start a "$NS_S"
keep_kernel_quiet
cut_path() {
    in_k nft -f - <<'EOF'
table inet cut {
    chain in { type filter hook input priority 0; iifname "vk0" meta l4proto 132 drop; }
    chain out { type filter hook output priority 0; oifname "vk0" meta l4proto 132 drop; }
}
EOF
}
mend_path() { in_k nft delete table inet cut; }
paths() { ctl a --json show sctp paths | jq "[.[] | select(.association_state == \"established\" and .state == \"$1\")] | length"; }
two_paths() { [ "$(paths active)" -ge 2 ]; }
count() { ctl a --json show sctp | jq "[.[].$1] | add"; }
came() { [ "$(count rx_data)" -gt "$1" ]; }

# It calls, and its first address goes away.
TMO=90 bg "$TMP/serve.1" spre a "$PROBE" serve 0.0.0.0 7401
serve=$bg_pid
wait_for 10 grep -q ready "$TMP/serve.1" || not_ok "we listen" "$(cat "$TMP/serve.1")"
UNTIL=$TMP/cut.1 QUICK=1 TMO=80 bg "$TMP/call.1" in_k "$PEER" call $S4 7401 1000 1000
call=$bg_pid
check "both addresses of the peer are found to work" wait_for 20 two_paths
wait_for 20 came $(($(count rx_data) + 200))
cut_path
touch "$TMP/cut.1" # 1,000 messages more
check "the peer's transfer goes on when its first path is cut" wait_for 60 pid_gone "$call"
check "and every message came back" grep -q '^checked' "$TMP/call.1"
wait_for 20 pid_gone "$serve"
check "and the association ends in order" grep -q '^ok 1 - the association ends in order' "$TMP/serve.1"
mend_path

# We call, and the peer's first address goes away.
ANY=1 QUICK=1 TMO=90 bg "$TMP/peer.2" in_k "$PEER" serve $K4 7402
peer=$bg_pid
wait_for 10 grep -q listening "$TMP/peer.2" || not_ok "usrsctp listens" "$(cat "$TMP/peer.2")"
UNTIL=$TMP/cut.2 TMO=80 bg "$TMP/call.2" spre a "$PROBE" call $K4 7402
call=$bg_pid
check "both addresses of the peer are found to work, when we call" wait_for 20 two_paths
before=$(count rx_data)
wait_for 20 came $((before + 50))
before=$(count rx_data)
cut_path
check "messages come on the other path" wait_for 30 came $((before + 500))
touch "$TMP/cut.2"
check "our transfer goes on when the first path is cut" wait_for 60 pid_gone "$call"
check "and every message came back, to us" grep -q '^ok 3 - messages of' "$TMP/call.2"
wait_for 20 pid_gone "$peer"
check "and the peer's end is in order" grep -q '^echoed' "$TMP/peer.2"
mend_path

# A one-to-many socket answers to any of the peer's addresses.
ANY=1 TMO=60 bg "$TMP/peer.4" in_k "$PEER" serve $K4 7404
peer=$bg_pid
wait_for 10 grep -q listening "$TMP/peer.4" || not_ok "usrsctp listens" "$(cat "$TMP/peer.4")"
out=$(TMO=60 spre a "$top_builddir/tests/system/sctp_options" peers $K4 7404 10.79.0.2 2>&1)
check_eq "each address of the peer names its association" "$?" 0 || diag "$(grep -v '^ok' <<<"$out")"
wait_for 20 pid_gone "$peer"
check "and usrsctp had all messages" grep -q 'echoed 3' "$TMP/peer.4"

# The peer dies without a word and begins again from the same port: one association, which goes on (RFC 9260 s5.2).
TMO=90 bg "$TMP/serve.3" spre a "$PROBE" serve $S4 7403
serve=$bg_pid
wait_for 10 grep -q ready "$TMP/serve.3" || not_ok "we listen" "$(cat "$TMP/serve.3")"
out=$(FROM_PORT=7440 DIE=1 TMO=60 in_k "$PEER" call $S4 7403 100 1000 2>&1)
check_eq "a peer sends messages and dies" "$(tail -n 1 <<<"$out")" dies
out=$(FROM_PORT=7440 TMO=60 in_k "$PEER" call $S4 7403 500 1000 2>&1)
check_eq "a peer that starts anew finds its association again" "$(tail -n 1 <<<"$out")" "checked 500"
wait_for 20 pid_gone "$serve"
check "and it ends in order" grep -q '^ok 1 - the association ends in order' "$TMP/serve.3"
check_eq "it was a restart" "$(count restarts)" 1
check_eq "nothing is left in the server" "$(wait_for 20 server_is_empty a && echo yes)" yes
finish
