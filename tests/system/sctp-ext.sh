#!/bin/bash
# sctp-ext.sh - the extensions with usrsctp, raw and in UDP, both directions: partial reliability, stream reset, I-DATA
# shellcheck source=tests/system/usrsctp.sh
. "$(dirname "$0")/usrsctp.sh"
OURS=$top_builddir/tests/system/sctp_ext THEIRS=$top_builddir/tests/system/usrsctp_ext
{
    conf_packet a
    echo 'sctp { udp-encapsulation-port 9899 }'
} >"$TMP/a.conf"
server_start a "$NS_S"
keep_kernel_quiet

declare -A server caller what
# begin PORT WHAT ADDRESS IN_UDP IDATA SCENARIO…: usrsctp serves at K4 or K6, or we at S4 or S6, and the other side calls; in the background
begin() {
    local port=$1 at=$3 name=$2 serve=(in_k) call=(spre a) udp=$4 p
    what[$port]=$name
    case $at in
    "$K4" | "$K6") serve+=("$THEIRS") call+=("$OURS") ;;
    *) serve=(spre a "$OURS") call=(in_k "$THEIRS") ;;
    esac
    local -x TMO=60
    [ "$5" = 0 ] || local -x IDATA=1
    if [ "$udp" = 1 ]; then # each usrsctp has a UDP port of its own; the one who calls says where to
        local -x UDP_OWN=$((port + 2000)) UDP_PORT=9899
        [ "${serve[0]}" != in_k ] || UDP_PORT=$UDP_OWN
    fi
    shift 5
    bg "$TMP/serve.$port" "${serve[@]}" serve "$at" "$port"
    server[$port]=$bg_pid
    wait_for 20 grep -q ready "$TMP/serve.$port" || not_ok "$name: somebody listens" "$(cat "$TMP/serve.$port")"
    bg "$TMP/call.$port" "${call[@]}" call "$at" "$port" "$@"
    caller[$port]=$bg_pid
}
both_gone() { pid_gone "${server[$1]}" && pid_gone "${caller[$1]}"; }
# end PORT…: they have ended well
end() {
    local port
    for port in "$@"; do
        wait_for 60 both_gone "$port"
        if grep -q '^done' "$TMP/call.$port" && grep -q '^ended; denied 0' "$TMP/serve.$port"; then ok "${what[$port]}"; else
            not_ok "${what[$port]}" "$(tail -n 5 "$TMP/call.$port" "$TMP/serve.$port")"
        fi
    done
}
count() { ctl a --json show sctp | jq "[.[].$1] | add"; }

# one PORT WHAT…: begun and ended. Each usrsctp gets all packets of its host and answers some that are another's, but for those in UDP.
one() {
    begin "$@"
    end "$1"
}

one 7501 "streams reset and added, we ask" $K4 0 0 streams
one 7502 "streams reset and added, usrsctp asks, IPv6" $S6 0 0 streams
one 7511 "I-DATA, we send, IPv6" $K6 0 1 interleave
one 7512 "I-DATA, usrsctp sends" $S4 0 1 interleave
begin 7503 "streams reset and added in UDP, we ask, IPv6" $K6 1 0 streams
begin 7504 "streams reset and added in UDP, usrsctp asks" $S4 1 0 streams
begin 7513 "I-DATA in UDP, we send" $K4 1 1 interleave
begin 7514 "I-DATA in UDP, usrsctp sends, IPv6" $S6 1 1 interleave
end 7503 7504 7513 7514
check "each request was carried out" [ "$(count reconfigs)" -ge 16 ]

lose 'meta l4proto { 132, 17 } meta length > 900' # no large packet passes from now on
one 7521 "we give messages up" $K4 0 0 partial
one 7522 "usrsctp gives messages up, IPv6" $S6 0 0 partial
begin 7523 "we give messages up in UDP, IPv6" $K6 1 0 partial
begin 7524 "usrsctp gives messages up in UDP" $S4 1 0 partial
begin 7527 "we give I-DATA up in UDP" $K4 1 1 partial
begin 7528 "usrsctp gives I-DATA up in UDP, IPv6" $S6 1 1 partial
end 7523 7524 7527 7528
check "what we gave up was counted" [ "$(count abandoned)" -ge 36 ]
check_eq "nothing is left in the server" "$(wait_for 20 server_is_empty a && echo yes)" yes
finish
