#!/bin/bash
# ports.sh - two servers joined by DPDK devices, and DPDK's own ports to the kernel: echo and bulk data over each
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
only_hoststack
topo_veth
B4=10.77.0.2 B6=fd77::2

conf_vlan() { printf 'interface p0.100 { address 10.78.0.%s/24  address fd78::%s/64  no-dad }\n' "$1" "$1"; }
in_vlan() { # each way, v4 and v6, through the capture of each
    local at=7100 a pid
    ctl a capture start "$TMP/vlan.pcapng" >/dev/null || not_ok "$what: the capture starts"
    for a in 10.78.0.1 fd78::1; do
        at=$((at + 1))
        bg "$TMP/echo.$at" stack_a "$ECHO" server $a $at
        pid=$bg_pid
        wait_for 5 listening "$TMP/echo.$at" || { not_ok "$what: echo server listens on $a" "$(cat "$TMP/echo.$at")"; return; }
        TMO=20 check "$what: VLAN, 3 MB to $a and back" stack_b "$ECHO" -N -b 3000000 client $a $at
        end_pid "$pid"
    done
    ctl a capture stop >/dev/null || not_ok "$what: the capture ends"
    # A packet of a tag's network without it would be one that the capture has not put back.
    check_eq "$what: VLAN, tags in the capture, v4 and v6, in and out; without a tag" \
        "$(for f in 'vlan 100 and src 10.78.0.1' 'vlan 100 and src 10.78.0.2' 'vlan 100 and src fd78::1' 'vlan 100 and src fd78::2' \
            'net 10.78.0.0/24 or net fd78::/64'; do tcpdump -nr "$TMP/vlan.pcapng" "$f" 2>/dev/null | grep -c . | sed 's/^[1-9].*/some/'; done | xargs)" \
        "some some some some 0"
}

two() { # WHAT DEVICE-A DEVICE-B: two servers, echo between a program of each
    local what=$1 pid
    { conf_head a; printf 'port p0 { device %s }\n' "$2"; conf_addrs p0 $S4 $S6; conf_vlan 1; } >"$TMP/a.conf"
    { conf_head b; printf 'port p0 { device %s }\n' "$3"; conf_addrs p0 $B4 $B6; conf_vlan 2; } >"$TMP/b.conf"
    server_start a "$NS_S"
    server_start b "$NS_S"
    stack_a() { spre a "$@"; }
    stack_b() { spre b "$@"; }
    bg "$TMP/echo" stack_a "$ECHO" server $S4 7000
    pid=$bg_pid
    wait_for 5 listening "$TMP/echo" || { not_ok "$what: echo server listens" "$(cat "$TMP/echo")"; return; }
    reach() { TMO=3 stack_b "$ECHO" -b 10 client $S4 7000; }
    wait_for 10 reach || not_ok "$what: the two servers reach each other"
    TMO=20 check "$what: TCP, 20 connections of 1 MB at once" stack_b "$ECHO" -N -n 20 -b 1000000 client $S4 7000
    TMO=20 check "$what: TCP, one connection of 30 MB" stack_b "$ECHO" -N -b 30000000 client $S4 7000
    TMO=20 check "$what: TCP, 100 connections of 1 byte" stack_b "$ECHO" -n 100 -b 1 client $S4 7000
    end_pid "$pid"
    bg "$TMP/echo6" stack_a "$ECHO" -u server $S6 7001
    pid=$bg_pid
    wait_for 5 listening "$TMP/echo6" || { not_ok "$what: UDP echo server listens" "$(cat "$TMP/echo6")"; return; }
    TMO=20 check "$what: UDP v6, 50 datagrams" stack_b "$ECHO" -u -n 50 -b 1200 client $S6 7001
    end_pid "$pid"
    bg "$TMP/echo6t" stack_a "$ECHO" server $S6 7002
    pid=$bg_pid
    wait_for 5 listening "$TMP/echo6t" || { not_ok "$what: TCP echo server listens, v6" "$(cat "$TMP/echo6t")"; return; }
    TMO=20 check "$what: TCP v6, one connection of 30 MB" stack_b "$ECHO" -N -b 30000000 client $S6 7002
    end_pid "$pid"
    in_vlan
    [ -z "${4:-}" ] || "$4"
    server_alive a && server_alive b && ok "$what: both servers live" || not_ok "$what: both servers live"
    server_stop b
    server_stop a
}
super_frames() { # 60 MB and more came in pieces far above the MTU, both ways
    local side mean
    for side in a b; do
        mean=$(ctl $side --json show interface | jq '.[0] | .rx_bytes / .rx_packets | floor')
        if [ "$mean" -gt 3000 ]; then ok "$side takes super-frames"; else not_ok "$side takes super-frames" "$mean bytes a packet"; fi
        check_eq "$side: offloads" "$(ctl $side --json show interface | jq -r '.[0].offloads | join(" ")')" \
            "tx-checksum rx-checksum tso $([ $side = a ] || echo "lro ")vlan-insert vlan-strip"
    done
}
turns() { ctl "$1" --json show worker | jq '[.. | objects | .turns? // empty] | add'; }
both_sleep() { # polling, it would be a thousand turns a second, and more
    local side before
    for side in a b; do
        before=$(turns $side)
        sleep 0.3 # the length of the measurement, nothing is waited for
        before=$(($(turns $side) - before))
        if [ "$before" -lt 100 ]; then ok "$side sleeps"; else not_ok "$side sleeps" "$before turns in 0.3 s"; fi
    done
}
vhost_more() {
    super_frames
    both_sleep
}
two "vhost and virtio_user" "net_vhost0,iface=$TMP/vhost.sock" "net_virtio_user0,path=$TMP/vhost.sock,mac=02:00:00:00:77:02" vhost_more
two "memif" "net_memif0,role=server,id=0,socket=$TMP/memif.sock,socket-abstract=no,mac=02:00:00:00:77:01" \
    "net_memif0,role=client,id=0,socket=$TMP/memif.sock,socket-abstract=no,mac=02:00:00:00:77:02"

one() { # WHAT DEVICE: a server and the kernel
    local what=$1 pid
    { conf_head a; printf 'port p0 { device %s }\n' "$2"; conf_addrs p0 $S4 $S6; } >"$TMP/a.conf"
    server_start a "$NS_S"
    stack_a() { spre a "$@"; }
    [ -z "${3:-}" ] || "$3"
    bg "$TMP/echo" stack_a "$ECHO" server $S4 7000
    pid=$bg_pid
    wait_for 5 listening "$TMP/echo" || { not_ok "$what: echo server listens" "$(cat "$TMP/echo")"; return; }
    reach() { TMO=3 in_k "$ECHO" -b 10 client $S4 7000; }
    wait_for 10 reach || not_ok "$what: the kernel reaches the stack"
    TMO=20 check "$what: TCP, 5 connections of 500 KB at once" in_k "$ECHO" -N -n 5 -b 500000 client $S4 7000
    TMO=20 check "$what: TCP, 50 connections of 1 byte" in_k "$ECHO" -n 50 -b 1 client $S4 7000
    end_pid "$pid"
    server_alive a && ok "$what: the server lives" || not_ok "$what: the server lives"
    server_stop a
}
# The stock AF_PACKET driver truncates super-frames: the peer must not send any.
if command -v ethtool >/dev/null; then
    in_k ethtool -K vk0 tx off tso off gso off >/dev/null 2>&1
    one "net_af_packet" "net_af_packet0,iface=vs0,blocksz=262144,framesz=2048,framecnt=4096"
else
    skip "net_af_packet" "no ethtool here"
fi
# It leaves the kernel's interface in place, and puts a program of its own before it.
if ! python3 -c 'import socket; socket.socket(44, socket.SOCK_RAW)' 2>/dev/null; then skip "net_af_xdp" "this kernel has no AF_XDP"
elif command -v ethtool >/dev/null; then one "net_af_xdp" "net_af_xdp0,iface=vs0"
else skip "net_af_xdp" "no ethtool here"; fi
tap_addr() {
    wait_for 5 ip -n "$NS_S" link show dtap0
    ip -n "$NS_S" link set dtap0 up
    ip -n "$NS_S" addr add $K4/24 dev dtap0
}
NS_K=$NS_S
one "net_tap" "net_tap0,iface=dtap0" tap_addr

# Frames from a file, answers to another: an ARP request, an echo request of IPv4, a neighbour solicitation, an echo request of IPv6.
PY=$(python3 -c 'import sys; print(sys.executable)')
"$PY" - "$TMP/in.pcap" <<'PYTHON'
import ipaddress
import struct
import sys
ME, YOU = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
A, B = (ipaddress.ip_address(a).packed for a in ("10.77.0.2", "10.77.0.1"))
A6, B6 = (ipaddress.ip_address(a).packed for a in ("fd77::2", "fd77::1"))


def csum(b):
    s = sum(struct.unpack(">%dH" % (len(b) // 2), b))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return struct.pack(">H", ~s & 0xffff)


def ip4(payload):
    h = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, 1, 0) + A + B
    return YOU + b"\x08\x00" + h[:10] + csum(h) + h[12:] + payload


def icmp6(mac, dst, payload):
    pseudo = A6 + dst + struct.pack(">II", len(payload), 58)
    payload = payload[:2] + csum(pseudo + payload) + payload[4:]
    return mac + YOU + b"\x86\xdd" + struct.pack(">IHBB", 6 << 28, len(payload), 58, 255) + A6 + dst + payload


echo4 = b"\x08\x00\x00\x00\x00\x01\x00\x01" + bytes(24)
echo4 = echo4[:2] + csum(echo4) + echo4[4:]
group = ipaddress.ip_address("ff02::1:ff00:1").packed
frames = [
    b"\xff" * 6 + YOU + b"\x08\x06" + struct.pack(">HHBBH", 1, 0x800, 6, 4, 1) + YOU + A + bytes(6) + B,
    ME + ip4(echo4),
    icmp6(b"\x33\x33\xff\x00\x00\x01", group, struct.pack(">BBHI", 135, 0, 0, 0) + B6 + b"\x01\x01" + YOU),
    icmp6(ME, B6, struct.pack(">BBHHH", 128, 0, 0, 1, 1) + bytes(24)),
]
with open(sys.argv[1], "wb") as f:
    f.write(struct.pack("<IHHIIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
    for b in frames:
        f.write(struct.pack("<IIII", 0, 0, len(b), len(b)) + b)
PYTHON
{
    conf_head a
    printf 'port p0 { device net_pcap0 rx_pcap=%s tx_pcap=%s  mac 02:00:00:00:00:01 }\n' "$TMP/in.pcap" "$TMP/out.pcap"
    conf_addrs p0 $S4 $S6
} >"$TMP/a.conf"
server_start a "$NS_S"
all_taken() { [ "$(ctl a --json show interface | jq '.[0].rx_packets')" = 4 ]; }
check "net_pcap: the file is read" wait_for 10 all_taken
server_stop a
for want in "ARP, Reply 10.77.0.1 is-at 02:00:00:00:00:01" "10.77.0.1 > 10.77.0.2: ICMP echo reply" "neighbor advertisement, tgt is fd77::1" \
    "fd77::1 > fd77::2: ICMP6, echo reply"; do
    check "net_pcap: $want" bash -c "tcpdump -nr '$TMP/out.pcap' 2>/dev/null | grep -q '$want'"
done

# One process, a ring: what the stack sends to its own segment comes back to it; it must do no harm.
{ conf_head a; printf 'port p0 { device net_ring0 }\n'; conf_addrs p0 $S4 $S6; } >"$TMP/a.conf"
server_start a "$NS_S"
stack() { spre a "$@"; }
bg "$TMP/echo" stack "$ECHO" server $S4 7000
wait_for 5 listening "$TMP/echo" || not_ok "net_ring: echo server listens" "$(cat "$TMP/echo")"
TMO=20 check "net_ring: cut-through echo" stack "$ECHO" -n 10 -b 100000 client $S4 7000
VCL=$TMP/a.global.vcl TMO=20 check "net_ring: TCP inside one server" stack "$ECHO" -N -n 10 -b 1000000 client $S4 7000
server_alive a && ok "net_ring: the server lives" || not_ok "net_ring: the server lives"
finish
