#!/bin/bash
# fastopen.sh - TCP Fast Open: a client of the kernel sends its data in the SYN, a listener of the stack takes it (RFC 7413)
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
need python3
PROBE=$(dirname "$0")/fastopen.py
topo_veth
in_k sysctl -qw net.ipv4.tcp_fastopen=1
[ "$HS_STACK" != kernel ] || in_s sysctl -qw net.ipv4.tcp_fastopen=3
conf_packet a 2 >"$TMP/a.conf"
server_start a "$NS_S"
is_listening() { grep -q listening "$1"; }
serve() { # ADDRESS PORT QUEUE
    bg "$TMP/serve.$2" spre a python3 "$PROBE" serve "$@"
    wait_for 20 is_listening "$TMP/serve.$2" || not_ok "the server at $1 $2 listens" "$(cat "$TMP/serve.$2")"
}
ask() { TMO=40 in_k python3 "$PROBE" ask "$@" 2>&1; }
port=7200
for f in 4 6; do
    s=S$f
    port=$((port + 1))
    serve "${!s}" $port 5
    check_eq "v$f: the first SYN asks for a cookie, the others bring it and their data" "$(ask "${!s}" $port 4)" "0 1 1 1"
    check_eq "v$f: the program is told by TCP_INFO" "$(sed 1d "$TMP/serve.$port" | tr '\n' ' ')" "usual 201 syn-data 401 syn-data 601 syn-data 801 "
    in_k ip tcp_metrics flush all >/dev/null 2>&1
done
serve "$S4" 7210 0
check_eq "a listener that has not asked for it" "$(ask "$S4" 7210 3)" "0 0 0"
finish
