#!/bin/bash
# way-same.sh - where datagrams go and come in (ENETUNREACH, IP_PKTINFO, IP_UNICAST_IF): one program over the kernel and over the stack, the
# same output
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/same_lib.sh
. "$(dirname "$0")/same_lib.sh"
need_root
need_stack
only_hoststack
PROBE=$top_builddir/tests/system/way_same

# Two links to the other host, which sends to all on the first one, and nowhere a way to others.
world_begin() { # NAME
    second_link
    bg "$TMP/echo.$1" in_k "$ECHO" -u server :: 7000
    wait_for 5 listening "$TMP/echo.$1" || bail "the echo server of $1 listens" "$(cat "$TMP/echo.$1")"
    bg "$TMP/all.$1" in_k python3 -c '
import socket, time
four, six = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
four.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
four.bind(("'$K4'", 0)); six.bind(("'$K6'", 0))
while True:
    four.sendto(b"all", ("10.77.0.255", 5620))
    six.sendto(b"all", ("ff02::1", 5621, 0, socket.if_nametoindex("vk0")))
    time.sleep(0.05)'
}
probe() { # FAMILY
    case $1 in
    4) TMO=60 spre a "$PROBE" 4 $S4 $K4 $S4B $K4B 10.95.0.1 2>&1 ;;
    *) TMO=60 spre a "$PROBE" 6 $S6 $K6 $S6B $K6B fd95::1 2>&1 ;;
    esac
}
world_conf() { two_links_conf "$1"; }

same 100 4 6
finish
