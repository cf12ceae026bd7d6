#!/bin/bash
# addresses.sh - addresses against the kernel: conflicts are found (ARP probes, duplicate address detection), free ones announced
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
only_hoststack
need jq ping python3
topo_veth
ip -n "$NS_K" addr add 10.77.0.9/24 dev vk0
ip -n "$NS_K" addr add fd77::9/64 dev vk0 nodad
{
    conf_head a
    printf 'port wire0 { device packet iface=vs0 }\n'
    printf 'interface wire0 { address %s/24  address 10.77.0.9/24  address %s/64  address fd77::9/64 }\n' $S4 $S6
} >"$TMP/a.conf"
server_start a "$NS_S"
state_of() { ctl a --json show interface | jq -r --arg a "$1" '.[0].addresses[] | select(.address == $a) | .state'; }
# The server is ready when it knows: no waiting here.
for a in $S4/24 $S6/64; do check_eq "$a, that nobody has, is used" "$(state_of $a)" preferred; done
for a in 10.77.0.9/24 fd77::9/64; do check_eq "$a, that the kernel has, is not" "$(state_of $a)" duplicate; done
check "the log says so, v4" grep -q 'another host has 10.77.0.9' "$TMP/a.log"
check "the log says so, v6" grep -q 'another host has fd77::9' "$TMP/a.log"
check "the kernel reaches the one, v4" in_k ping -c 2 -i 0.2 -W 20 $S4
check "the kernel reaches the one, v6" in_k ping -c 2 -i 0.2 -W 20 $S6
stack() { spre a "$@"; }
# A kernel that takes an address of ours hears of it.
n_conflicts() { ctl a --json show errors | jq '[.[] | select(.reason | test("address conflict")) | .count] | add // 0'; }
before=$(n_conflicts)
ip -n "$NS_K" addr add $S4/32 dev vk0
in_k ping -c 1 -W 1 -I $S4 10.77.0.77 >/dev/null 2>&1 # an ARP request from our address
conflicts() { [ "$(n_conflicts)" -gt "$before" ]; }
check "somebody with an address of ours is seen" wait_for 10 conflicts
ip -n "$NS_K" addr del $S4/32 dev vk0
check "and we keep it" wait_for 10 in_k ping -c 1 -W 1 $S4
server_stop a

# Addresses of no link: reached by whichever interface, bound to, and a source.
{
    conf_packet a
    printf 'interface lo { address 10.80.0.1/32  address fd80::1/128  address 10.81.0.1/24 }\n'
} >"$TMP/a.conf"
server_start a "$NS_S"
check_eq "lo: shown, without link-local address and probes" \
    "$(ctl a --json show interface | jq -r '.[] | select(.name == "lo") | "\(.kind) \([.addresses[] | .address + "=" + .state] | join(" "))"')" \
    "loopback 10.80.0.1/32=preferred fd80::1/128=preferred 10.81.0.1/24=preferred"
in_k ip route add 10.80.0.0/16 via $S4
in_k ip route add fd80::/16 via $S6
PY=$(python3 -c 'import sys; print(sys.executable)')
for a in 10.80.0.1 fd80::1; do
    check "lo: the kernel reaches $a by a route" in_k ping -q -c 2 -i 0.2 -W 20 $a
    bg "$TMP/lo.$a" spre a "$ECHO" server $a 7020
    wait_for 10 listening "$TMP/lo.$a" || not_ok "lo: a program binds to $a" "$(cat "$TMP/lo.$a")"
    lo_pid=$bg_pid
    check "lo: a program is reached at $a by the network" in_k timeout 60 "$ECHO" -b 100000 client $a 7020
    check "lo: by cut-through" spre a timeout 60 "$ECHO" -b 100000 client $a 7020
    VCL=$TMP/a.global.vcl check "lo: by TCP inside the server" spre a timeout 60 "$ECHO" -b 100000 client $a 7020
    end_pid "$lo_pid"
    bg "$TMP/lou.$a" spre a "$ECHO" -u server $a 7021
    wait_for 10 listening "$TMP/lou.$a" || not_ok "lo: datagrams" "$(cat "$TMP/lou.$a")"
    lo_pid=$bg_pid
    check "lo: datagrams between two programs" spre a timeout 60 "$ECHO" -u -n 20 -b 1000 client $a 7021
    end_pid "$lo_pid"
    case $a in *:*) to=$K6 ;; *) to=$K4 ;; esac
    bg "$TMP/lok.$a" in_k "$ECHO" server $to 7022
    lo_pid=$bg_pid
    wait_for 10 listening "$TMP/lok.$a" || not_ok "lo: the kernel's server" "$(cat "$TMP/lok.$a")"
    check_eq "lo: a source for connections to others: $a" "$(TMO=20 spre a "$PY" -c 'import socket, sys
s = socket.create_connection((sys.argv[2], 7022), 30, (sys.argv[1], 0))
s.sendall(b"12345")
print(s.recv(5), s.getsockname()[0])' $a $to 2>&1)" "b'12345' $a"
    end_pid "$lo_pid"
done
check "lo: nobody is at the rest of its prefix" bash -c "! ip netns exec '$NS_K' ping -q -c 1 -W 1 10.81.0.9"
server_stop a

# Of several addresses the kernel's choice (RFC 6724), asked of a kernel that has the same ones on a device of its own.
own4=(10.77.0.1/24 10.78.0.1/16)
own6=(2001:db8:1::1/64 2001:db8:ffff::1/48 2002:c633:6401::1/48 fd77::1/64 fd78:1::1/64)
make_ns "$TAG-c"
ip -n "$TAG-c" link add d0 type veth peer name d1
ip -n "$TAG-c" link set d1 up
ip -n "$TAG-c" link set d0 up
{
    conf_head b
    printf 'port wire0 { device packet iface=vs0 }\ninterface wire0 { no-dad'
    for a in "${own4[@]}" "${own6[@]}"; do printf '  address %s' "$a"; done
    printf ' }\nroute ::/0 via fd77::2\nroute 0.0.0.0/0 via 10.77.0.2\n'
} >"$TMP/b.conf"
# The kernel puts later addresses first where the rules have no opinion; only its rules are asked for here.
for a in "${own4[@]}"; do ip -n "$TAG-c" addr add "$a" dev d0; done
for a in "${own6[@]}"; do ip -n "$TAG-c" addr add "$a" dev d0 nodad; done
ip -n "$TAG-c" route add default via fd77::2 dev d0
ip -n "$TAG-c" route add default via 10.77.0.2 dev d0
server_start b "$NS_S"
cat >"$TMP/sources.py" <<'PY'
import socket, sys
for to in sys.argv[1:]:
    s = socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, socket.SOCK_DGRAM)
    s.connect((to, 9))
    print(to, s.getsockname()[0])
PY
PY=$(python3 -c 'import sys; print(sys.executable)')
to=(10.77.0.9 10.78.5.5 192.0.2.1 2001:db8:1::9 2001:db8:1:0:8::1 2001:db8:ffff:7::1 2002:c633:6401:9::1 2002:102:304::1 fd77::9 fd78:1::9
    fd78:2::1)
TMO=60 spre b "$PY" "$TMP/sources.py" "${to[@]}" >"$TMP/ours" 2>&1
ip netns exec "$TAG-c" "$PY" "$TMP/sources.py" "${to[@]}" >"$TMP/kernels" 2>&1
check_eq "source addresses are those of the kernel" "$(cat "$TMP/ours")" "$(cat "$TMP/kernels")"
check_eq "for all destinations" "$(wc -l <"$TMP/ours")" ${#to[@]}
finish
