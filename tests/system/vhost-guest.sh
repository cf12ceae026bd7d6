#!/bin/bash
# vhost-guest.sh - a net_vhost port and guests that are not to be trusted: kicks of all kinds wake it, nothing is left, the next guest is served
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need python3
need_stack
only_hoststack
python3 -c 'import os; os.eventfd' 2>/dev/null || skip_all "this Python has no eventfd"
make_ns "$NS_S"
{ conf_head a; printf 'port p0 { device net_vhost0,iface=%s }\n' "$TMP/v.sock"; conf_addrs p0 $S4 $S6; } >"$TMP/a.conf"
server_start a "$NS_S"
guest() { timeout -k 2 300 python3 "$(dirname "$0")/vhost_guest.py" "$TMP/v.sock" "$1"; }
server_fds() { find "/proc/$(server_pid a)/fd" -mindepth 1 -maxdepth 1 | wc -l; }
no_guest() { [ "$(ctl a --json show interface | jq -r '.[0].up')" = false ]; }

check "a kick wakes the server, 20 times from its sleep" guest by-kick
wait_for 10 no_guest || not_ok "the guest's leaving is seen" "$(ctl a show interface)"
before=$(server_fds)
check "descriptors that are none to kick with: the guest is polled" guest strange-kicks
check "kick descriptors that change under traffic, rings that stop" guest changing
check "20,000 kicks without packets" guest storm
check "60 guests that leave in each state of coming up" guest leaving
fds_are_back() { no_guest && [ "$(server_fds)" -le "$before" ]; }
check "no descriptor is left" wait_for 10 fds_are_back || diag "$before before, $(server_fds) now"
check "the next guest is served" guest by-kick
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
