#!/bin/bash
# options.sh - every socket option over the kernel and over hoststack: default, set, get back, wrong lengths (diff_options.c); and what
# SO_ZEROCOPY does (diff_zerocopy.c), times of bytes (diff_stamp.c), bytes left and datagrams lost (diff_told.c), vectors (diff_vectors.c), looks (diff_peek.c), one-shot, edge-triggered and exclusive epoll (diff_epoll.c), and what
# a refused connect() leaves behind (diff_refused.c); and what the other end hears of one that ends with its process, with bytes unread, or
# before it is accepted (diff_ended.c); urgent marks and splice(), urgent bytes and resets, sendfile() from a pipe (diff_marks.c)
# shellcheck source=tests/diff/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
only_hoststack
OPTIONS=diff_options
MAN=$top_srcdir/man/hoststack-compliance.7
topo_tap
make_ns "$TAG-o"    # the kernel's own run: both addresses are its own
for a in $S4/32 $K4/32 $S6/128 $K6/128; do ip -n "$TAG-o" addr add "$a" dev lo; done
conf_tap a >"$TMP/a.conf"
server_start a "$NS_S"
tap_up

# compare NAME PROTO FROM TO
compare() {
    local name=$1
    shift
    ip netns exec "$TAG-o" "$top_builddir/tests/diff/$OPTIONS" kernel "$@" >"$TMP/kernel" 2>"$TMP/kernel.err" &&
        TMO=100 spre a "$top_builddir/tests/diff/$OPTIONS" ours "$@" >"$TMP/ours" 2>"$TMP/ours.err"
    check_eq "$name: the program ran over both" "$? $(cat "$TMP"/*.err) $(wc -l <"$TMP/ours")" "0  $(wc -l <"$TMP/kernel")"
    if cmp -s "$TMP/kernel" "$TMP/ours"; then
        ok "$name: $OPTIONS: $(wc -l <"$TMP/kernel") lines as on the kernel"
    else
        not_ok "$name: $OPTIONS: as on the kernel" "$(diff "$TMP/kernel" "$TMP/ours" | grep '^[<>]' | head -n 40)"
    fi
}
for OPTIONS in diff_options diff_zerocopy diff_epoll diff_stamp diff_told diff_vectors diff_peek; do
    compare "cut-through IPv4" tcp 127.0.0.1 127.0.0.1
    compare "cut-through IPv6" tcp ::1 ::1
    compare "TCP IPv4" tcp $S4 $K4
    compare "TCP IPv6" tcp $S6 $K6
    compare "UDP IPv4" udp $S4 $K4
    compare "UDP IPv6" udp $S6 $K6
done
OPTIONS=diff_peek # sockets that the stack and the kernel wait for together
compare "UDP over loopback IPv4" udp 127.0.0.1 127.0.0.1
compare "UDP over loopback IPv6" udp ::1 ::1
for OPTIONS in diff_ended diff_marks; do
    compare "cut-through IPv4" tcp 127.0.0.1 127.0.0.1
    compare "cut-through IPv6" tcp ::1 ::1
    compare "TCP IPv4" tcp $S4 $K4
    compare "TCP IPv6" tcp $S6 $K6
done
OPTIONS=diff_refused
compare "cut-through IPv4" tcp 127.0.0.1 127.0.0.1
compare "TCP IPv4" tcp $S4 $K4
compare "TCP IPv6" tcp $S6 $K6
compare "TCP IPv6, of the stack's own" tcp $S6 $S6
is_done() { grep -q done "$1"; }
no_session() { ! "$CTL" -s "$TMP/a.run/cli.sock" show session | grep -q tcp; }
for to in $K4 $S4; do
    bg "$TMP/hold" spre a "$top_builddir/tests/diff/diff_refused" ours tcp $S4 $to hold
    wait_for 30 is_done "$TMP/hold" && wait_for 30 no_session && ok "refused by $to: the server keeps nothing of it" ||
        not_ok "refused by $to: the server keeps nothing of it" "$(cat "$TMP/hold"; "$CTL" -s "$TMP/a.run/cli.sock" show session | head -n 5)"
    end_pid "$bg_pid"
done
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
