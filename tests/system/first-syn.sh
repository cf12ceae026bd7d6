#!/bin/bash
# first-syn.sh - options set before connect() and listen() are in the first SYN, SYN,ACK and INIT that the kernel's side sees
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
only_hoststack
need python3
PROBE=$(dirname "$0")/first_syn.py
OPTIONS=(mss=700 ttl=33 tos=184 uto=45000 nodelay=1)
SEEN="ttl=33 tos=184 mss=700 uto=45"
topo_veth
{
    conf_packet a
    echo 'tcp { user-timeout-option }'
} >"$TMP/a.conf"
server_start a "$NS_S"
stack() { spre a python3 "$PROBE" "$@"; }
secret() { spre a env LDP_TRANSPARENT_TLS=1 python3 "$PROBE" "$@"; } # TLS of the preload library, which needs no certificate to connect
kernel() { in_k python3 "$PROBE" "$@"; }
up() { # WHAT FILE: it says so
    wait_for 30 grep -q listening "$2" || bail "$1 is up" "$(cat "$2")"
}
bg "$TMP/seen" kernel watch vk0
up "who watches" "$TMP/seen"
first() { # KIND FIELD PORT: what the first such packet with that port as its FIELD (2 source, 3 destination) offers
    wait_for 30 awk -v k="$1" -v f="$2" -v p="$3" '$1 == k && $f == p { found = 1 } END { exit !found }' "$TMP/seen" || return
    awk -v k="$1" -v f="$2" -v p="$3" '$1 == k && $f == p { $1 = $2 = $3 = ""; sub(/^ */, ""); print; exit }' "$TMP/seen"
}
connects() { # HOW ADDRESS PORT OPTION...: the local port, in $port
    port=$(TMO=60 stack connect "$@" 2>"$TMP/err") || { not_ok "connect $*" "$(cat "$TMP/err")"; port=; }
}
for f in 4 6; do
    s=S$f k=K$f
    bg "$TMP/k$f" kernel listen "${!k}" 7101
    up "the kernel's listener" "$TMP/k$f"
    for how in blocking nonblock bound again fastopen; do
        connects $how "${!k}" 7101 "${OPTIONS[@]}"
        check_eq "v$f, $how: the first SYN" "$(first SYN 2 "$port" | sed 's/ window.*//')" "$SEEN"
    done
    connects blocking "${!k}" 7101
    check_eq "v$f: who has set nothing has nothing of it" "$(first SYN 2 "$port" | sed 's/ window.*//; s/mss=1[0-9]*/mss=1.../')" \
        "ttl=64 tos=0 mss=1... uto=-"
    connects blocking "${!k}" 7101 rcvbuf=8192
    check_eq "v$f: SO_RCVBUF: the first window" "$(first SYN 2 "$port" | grep -o 'window=.*')" window=8192
    bg "$TMP/sctp$f" stack connect sctp "${!k}" 710$f ttl=33 tos=184
    check_eq "v$f, SCTP: the INIT" "$(first INIT 3 710$f)" "ttl=33 tos=184"
    end_pid "$bg_pid"
    bg "$TMP/tls$f" secret connect early "${!k}" 720$f "${OPTIONS[@]}"
    check_eq "v$f, TLS: the first SYN" "$(first SYN 3 720$f | sed 's/ window.*//')" "$SEEN"
    end_pid "$bg_pid"
    bg "$TMP/s$f" stack listen "${!s}" 7102 "${OPTIONS[@]}"
    up "the stack's listener" "$TMP/s$f"
    port=$(TMO=60 kernel connect blocking "${!s}" 7102) || not_ok "v$f: the kernel connects"
    check_eq "v$f: the SYN,ACK" "$(first SYN,ACK 3 "$port" | sed 's/ window.*//')" "$SEEN"
done
finish
