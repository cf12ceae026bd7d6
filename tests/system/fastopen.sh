#!/bin/bash
# fastopen.sh - TCP Fast Open (RFC 7413): data in the SYN, between programs of the kernel and of the stack, in both directions
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
need python3
PROBE=$(dirname "$0")/fastopen.py
KEY=000102030405060708090a0b0c0d0e0f
OLD=f0e0d0c0b0a090807060504030201000
topo_veth
in_k sysctl -qw net.ipv4.tcp_fastopen=3
[ "$HS_STACK" != kernel ] || in_s sysctl -qw net.ipv4.tcp_fastopen=3
conf_packet a 1 >"$TMP/a.conf"
server_start a "$NS_S"
of_stack() { spre a "$@"; }
is_listening() { grep -q listening "$1"; }
pids=()
serve() { # of_stack|in_k ADDRESS JOB...
    bg "$TMP/serve.$1.$2" "$1" python3 "$PROBE" serve "${@:2}"
    pids+=("$bg_pid")
    wait_for 20 is_listening "$TMP/serve.$1.$2" || not_ok "the server at $2 listens" "$(cat "$TMP/serve.$1.$2")"
}
ask() { TMO=60 "$1" python3 "$PROBE" ask "${@:2}" >"$TMP/asked" 2>&1 || diag "$(cat "$TMP/asked")"; }
asked() { sed -n "$1p" "$TMP/asked"; }
told() { sed -n "s/^7001 //p" "$TMP/serve.$1.$2" | head -n 4 | tr '\n' ' '; } # FROM ADDRESS
for f in 4 6; do
    s=S$f k=K$f
    serve of_stack "${!s}" 7001:5 7002:5:$OLD 7003:5:$KEY$OLD 7004:5:$KEY 7005:5::no-cookie 7006:0
    serve in_k "${!k}" 7001:5 7002:5::no-cookie
    ask in_k "${!s}" 7001:4:sendto 7002:2:sendto 7003:2:sendto 7004:1:sendto 7005:1:no-cookie 7006:2:sendto
    check_eq "v$f: a kernel's first SYN asks for a cookie, the others bring it and their data" "$(asked 1)" "0 1 1 1"
    check_eq "v$f: the program is told by TCP_INFO" "$(told of_stack "${!s}")" "usual 201 syn-data 401 syn-data 601 syn-data 801 "
    check_eq "v$f: a program's own key: its cookies are others" "$(asked 2)" "0 1"
    check_eq "v$f: a cookie of the key before is good, and is replaced" "$(asked 3)" "1 1"
    check_eq "v$f: by one of the new key" "$(asked 4)" "1"
    check_eq "v$f: a listener that wants no cookie takes any" "$(asked 5)" "1"
    check_eq "v$f: a listener that has not asked for it" "$(asked 6)" "0 0"
    ask of_stack "${!k}" 7001:4:sendto 7001:9:nonblock 7001:2:connect 7001:1:refused 7002:1:no-cookie
    check_eq "v$f: our first SYN asks for a cookie, the others bring it and their data" "$(asked 1)" "0 1 1 1"
    check_eq "v$f: the kernel's program is told by TCP_INFO" "$(told in_k "${!k}")" "usual 201 syn-data 401 syn-data 601 syn-data 801 "
    check_eq "v$f: a non-blocking program, and more than a SYN takes" "$(asked 2)" "1 1 1 1 1 1 1 1 1"
    check_eq "v$f: TCP_FASTOPEN_CONNECT" "$(asked 3)" "1 1"
    check_eq "v$f: refused, used again, closed unused" "$(asked 4)" "1 refused"
    check_eq "v$f: without a cookie, where both sides have agreed to it" "$(asked 5)" "1"
done
for pid in "${pids[@]}"; do end_pid "$pid"; done
check "nothing is left in the server" wait_for 20 server_is_empty a
finish
