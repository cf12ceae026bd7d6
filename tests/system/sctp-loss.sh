#!/bin/bash
# sctp-loss.sh - plenty of data to usrsctp and from it, 1 % of the packets lost either way, checksums compared; BYTES=N: how much
# shellcheck source=tests/system/usrsctp.sh
. "$(dirname "$0")/usrsctp.sh"
OURS=$top_builddir/tests/system/sctp_ext THEIRS=$top_builddir/tests/system/usrsctp_ext
BYTES=${BYTES:-6000000}
TMO=$((60 + BYTES / 200000)) # 1.6 Mbit/s at the least
conf_packet a >"$TMP/a.conf"
server_start a "$NS_S"
keep_kernel_quiet
lose 'meta l4proto 132 numgen random mod 100 < 1'

# pour WHAT ADDRESS PORT SIZE: somebody serves at K4 or K6, or we at S4 or S6, and the other side sends
pour() {
    local serve=(in_k "$THEIRS") call=(spre a "$OURS") out pid from=$SECONDS
    case $2 in
    "$S4" | "$S6") serve=(spre a "$OURS") call=(in_k "$THEIRS") ;;
    esac
    bg "$TMP/serve.$3" "${serve[@]}" serve "$2" "$3"
    pid=$bg_pid
    wait_for 20 grep -q ready "$TMP/serve.$3" || not_ok "somebody listens at $2" "$(cat "$TMP/serve.$3")"
    out=$("${call[@]}" call "$2" "$3" pour "$BYTES" "$4" 2>&1)
    if grep -q '^done' <<<"$out"; then ok "$1: $(head -n 1 <<<"$out") with the same checksums, in $((SECONDS - from)) s"; else not_ok "$1" "$out"; fi
    wait_for 30 pid_gone "$pid"
    check "$1: and it ends in order" grep -q '^ended' "$TMP/serve.$3"
}
pour "we send" $K4 7601 1400
pour "usrsctp sends" $S4 7602 1400
pour "we send, IPv6, messages of several packets" $K6 7603 20000
pour "usrsctp sends, IPv6, messages of several packets" $S6 7604 20000
check "packets were lost" [ "$(ctl a --json show sctp | jq '.[0].retransmits')" -ge 20 ]
check_eq "nothing is left in the server" "$(wait_for 20 server_is_empty a && echo yes)" yes
finish
