#!/bin/bash
# tcp-ao.sh - TCP-AO (RFC 5925) between two servers: both algorithms and families, wrong keys, change of keys in mid-stream
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
only_hoststack
need python3 jq
topo_veth
conf_packet a >"$TMP/a.conf"
B4=10.77.0.3 B6=fd77::3
{ conf_head b; echo 'port wire0 { device packet iface=vk0 }'; conf_addrs wire0 $B4 $B6; } >"$TMP/b.conf"
server_start a "$NS_S"
server_start b "$NS_K"
hs_pre=$(hs_preload_libs)
probe=$top_srcdir/tests/system/tcp_auth_probe.py
# shellcheck disable=SC2317
at_a() { spre a python3 "$probe" "$@"; }
# shellcheck disable=SC2317
at_b() { in_k env LD_LIBRARY_PATH="$PRELOAD_DIR" ASAN_OPTIONS=detect_leaks=0 VCL_CONFIG="$TMP/b.vcl" LD_PRELOAD="$hs_pre" python3 "$probe" "$@"; }
exit_is() { # CODE COMMAND...
    local want=$1 rc=0
    shift
    "$@" || rc=$?
    [ "$rc" = "$want" ]
}
counter() { ctl "$1" --json show tcp | jq "[.. | objects | .$2? | numbers] | add // 0"; }
ao() { # FAMILY PORT ALG ADDRESS-OF-A ADDRESS-OF-B
    bg "$TMP/listen$2" at_a ao-listen "$1" "$2" "$5" "$3" first second
    wait_for 20 grep -q listening "$TMP/listen$2" || bail "$3, v$1: listener is up" "$(cat "$TMP/listen$2")"
    check "$3, v$1: keys change in mid-stream, the old one is removed" at_b ao-connect "$1" "$4" "$2" "$3" first second
    check "$3, v$1: no answer with another key" exit_is 3 at_b ao-connect "$1" "$4" "$2" "$3" wrong - 0.5
}
ao 4 4001 'hmac(sha1)' $S4 $B4
ao 6 4002 'hmac(sha1)' $S6 $B6
ao 4 4003 'cmac(aes128)' $S4 $B4
ao 6 4004 'cmac(aes128)' $S6 $B6
check "wrong signatures were counted" test "$(counter a sig_bad)" -gt 0
check "and changes of keys" test "$(counter a sig_key_changes)" -ge 4
check_eq "nothing was sent again for it" "$(counter b sig_bad)" 0
finish
