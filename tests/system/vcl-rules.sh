#!/bin/bash
# vcl-rules.sh - the rules of vcl.conf: by address, prefix, port and protocol, local and remote, v4 and v6; the report names the one that decided
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
only_hoststack
need python3
veth_server
with_rules() { # FILE RULE...
    local file=$1
    shift
    sed 's/}$//' "$TMP/a.vcl" >"$file"
    printf '  rule { %s }\n' "$@" >>"$file"
    echo '}' >>"$file"
}
with_rules "$TMP/r.vcl" \
    'proto tcp local 127.0.0.1 port 7101-7102 serve kernel' \
    'proto udp local ::1 port 7101 serve stack' \
    'proto tcp local 127.0.0.0/8 port 7101-7110 serve stack' \
    'proto any remote fd77::/64 port 7200 serve kernel' \
    'remote 10.77.0.0/30 port 7201 serve kernel' \
    'local ::/0 port 7300 serve kernel' \
    'port 7400-7401 serve kernel' \
    'proto udp local 0.0.0.0/0 port 7500 serve both'
cat >"$TMP/ask.py" <<'PY'
import socket, sys
for line in sys.stdin:
    kind, what, host, port = line.split()
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
    s.setblocking(False)
    try:
        getattr(s, what)((host, int(port)))
    except OSError:
        pass
    s.close()
PY
# A socket a line: protocol, call, address, port, and what the report says of it.
cat >"$TMP/cases" <<CASES
tcp bind 127.0.0.1 7101|not accelerated: rule 1 of vcl.conf
tcp bind 127.0.0.1 7102|not accelerated: rule 1 of vcl.conf
tcp bind 127.0.0.1 7103|accelerated: rule 3 of vcl.conf
tcp bind 127.0.0.2 7101|accelerated: rule 3 of vcl.conf
tcp bind 127.0.0.1 7110|accelerated: rule 3 of vcl.conf
tcp bind 127.0.0.1 7111|accelerated, and on the kernel too
udp bind 127.0.0.1 7101|accelerated, and on the kernel too
udp bind ::1 7101|accelerated: rule 2 of vcl.conf
tcp bind ::1 7101|accelerated, and on the kernel too
tcp connect $K6 7199|accelerated
udp connect $K6 7199|accelerated
tcp connect $K4 7201|not accelerated: never bound, connected or sent from
udp connect $K4 7202|accelerated
tcp bind ::1 7300|not accelerated: rule 6 of vcl.conf
udp bind ::1 7300|not accelerated: rule 6 of vcl.conf
tcp bind 127.0.0.1 7300|accelerated, and on the kernel too
tcp bind 127.0.0.1 7400|not accelerated: rule 7 of vcl.conf
udp bind 127.0.0.1 7401|not accelerated: rule 7 of vcl.conf
tcp bind 127.0.0.1 7402|accelerated, and on the kernel too
udp bind $S4 7500|not accelerated: never bound, connected or sent from
tcp bind $S4 7500|accelerated
udp bind 127.0.0.1 7500|accelerated, and on the kernel too: rule 8 of vcl.conf
CASES
cut -d '|' -f 1 "$TMP/cases" >"$TMP/asked"
VCL=$TMP/r.vcl HOSTSTACK_REPORT=1 spre a python3 "$TMP/ask.py" <"$TMP/asked" >/dev/null 2>"$TMP/report"
said=()
mapfile -t said < <(sed -n 's/^hoststack: pid .*\(: \(not \)\{0,1\}accelerated.*\)/\1/p' "$TMP/report" | sed 's/^: //')
i=0
while IFS='|' read -r asked want; do
    check_eq "$asked" "${said[i]-}" "$want"
    i=$((i + 1))
done <"$TMP/cases"
check_eq "a line for each socket" "${#said[@]}" "$i"

wrong() { # RULE PART-OF-THE-MESSAGE
    with_rules "$TMP/w.vcl" "$1"
    VCL=$TMP/w.vcl spre a python3 "$TMP/ask.py" <<<"tcp bind 127.0.0.1 7600" >"$TMP/wrong" 2>&1
    check "wrong, and said: $1" grep -q "w.vcl:[0-9]*:.*$2" "$TMP/wrong"
}
wrong 'proto icmp serve stack' 'tcp, udp or any, not icmp'
wrong 'port 70000 serve stack' "'70000'"
wrong 'port 9-3 serve stack' "'9-3'"
wrong 'local 10.0.0.0/33 serve stack' '10.0.0.0/33'
wrong 'remote host.example serve stack' 'host.example'
wrong 'serve nobody' 'stack, kernel or both, not nobody'
wrong 'port 80' 'is missing'
wrong 'ports 80 serve stack' "unknown word 'ports'"
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
