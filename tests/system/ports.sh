#!/bin/bash
# ports.sh - two servers joined by DPDK devices, and DPDK's own ports to the kernel: echo and bulk data over each
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
only_hoststack
need jq python3 tcpdump
topo_veth
B4=10.77.0.2 B6=fd77::2

two() { # WHAT DEVICE-A DEVICE-B: two servers, echo between a program of each
    local what=$1 pid
    { conf_head a; printf 'port p0 { device %s }\n' "$2"; conf_addrs p0 $S4 $S6; } >"$TMP/a.conf"
    { conf_head b; printf 'port p0 { device %s }\n' "$3"; conf_addrs p0 $B4 $B6; } >"$TMP/b.conf"
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
    server_alive a && server_alive b && ok "$what: both servers live" || not_ok "$what: both servers live"
    server_stop b
    server_stop a
}
two "vhost and virtio_user" "net_vhost0,iface=$TMP/vhost.sock" \
    "net_virtio_user0,path=$TMP/vhost.sock,packed_vq=1,mrg_rxbuf=1,mac=02:00:00:00:77:02"
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
# What a server leaves on the interface costs the next one its start, with a word, and no other one.
if python3 -c 'import socket; socket.socket(44, socket.SOCK_RAW)' 2>/dev/null && command -v ethtool >/dev/null; then
    one "net_af_xdp" "net_af_xdp,iface=vs0"
    TMO=60 in_s "$HOSTSTACKD" -c "$TMP/a.conf" --foreground >"$TMP/second" 2>&1
    check "net_af_xdp: the second start says what to do" grep -q 'taken off now: start again' "$TMP/second"
    one "net_af_xdp, third start" "net_af_xdp,iface=vs0"
    ip -n "$NS_S" link set dev vs0 xdp off
else
    skip "net_af_xdp" "no AF_XDP sockets or no ethtool here"
fi
tap_addr() {
    wait_for 5 ip -n "$NS_S" link show dtap0
    ip -n "$NS_S" link set dtap0 up
    ip -n "$NS_S" addr add $K4/24 dev dtap0
}
NS_K=$NS_S
one "net_tap" "net_tap0,iface=dtap0" tap_addr

# A capture that is replayed, and one of what is sent: a broadcast ARP request and an echo request in, both answered.
python3 - "$TMP/in.pcap" $S4 $S6 <<'PY'
import socket, struct, sys
me, peer, all_ones = bytes.fromhex("020000007701"), bytes.fromhex("020000007702"), b"\xff" * 6
us4, us6 = socket.inet_aton(sys.argv[2]), socket.inet_pton(socket.AF_INET6, sys.argv[3])
k4, k6 = socket.inet_aton("10.77.0.2"), socket.inet_pton(socket.AF_INET6, "fd77::2")
def csum(b):
    s = sum(struct.unpack("!%dH" % (len(b) // 2), b))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return struct.pack("!H", ~s & 0xffff)
arp = all_ones + peer + struct.pack("!HHHBBH", 0x806, 1, 0x800, 6, 4, 1) + peer + k4 + bytes(6) + us4
echo = struct.pack("!BBHHH", 8, 0, 0, 7, 1) + b"replayed"
echo = echo[:2] + csum(echo) + echo[4:]
ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(echo), 0, 0, 64, 1, 0, k4, us4)
ip = ip[:10] + csum(ip) + ip[12:]
ns = struct.pack("!BBHI16sBB6s", 135, 0, 0, 0, us6, 1, 1, peer)
group = socket.inet_pton(socket.AF_INET6, "ff02::1:ff00:1")
ns = ns[:2] + csum(k6 + group + struct.pack("!II", len(ns), 58) + ns) + ns[4:]
ip6 = struct.pack("!IHBB", 0x60000000, len(ns), 58, 255) + k6 + group
frames = [arp, me + peer + b"\x08\x00" + ip + echo, bytes.fromhex("3333ff000001") + peer + b"\x86\xdd" + ip6 + ns]
with open(sys.argv[1], "wb") as f:
    f.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
    for i, frame in enumerate(frames):
        f.write(struct.pack("<IIII", i, 0, len(frame), len(frame)) + frame)
PY
{ conf_head a; printf 'port p0 { device net_pcap0,rx_pcap=%s,tx_pcap=%s  mac 02:00:00:00:77:01 }\n' "$TMP/in.pcap" "$TMP/out.pcap"
  conf_addrs p0 $S4 $S6; } >"$TMP/a.conf"
server_start a "$NS_S"
replayed() { [ "$(ctl a --json show interface | jq '.[0].rx_packets')" = 3 ] && [ "$(ctl a --json show interface | jq '.[0].tx_packets')" -ge 3 ]; }
check "net_pcap: the capture is replayed" wait_for 15 replayed
server_stop a
sent() { tcpdump -nr "$TMP/out.pcap" 2>/dev/null | grep -qE "$1"; }
check "net_pcap: the ARP request is answered" sent "Reply $S4 is-at"
check "net_pcap: so is the echo request" sent "$S4 > $K4: ICMP echo reply, id 7, seq 1"
check "net_pcap: so is the neighbour solicitation" sent "$S6 > $K6: ICMP6, neighbor advertisement, tgt is $S6"

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
