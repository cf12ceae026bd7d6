# shellcheck shell=bash
# bench_groups.sh - the topologies, the programs that serve in them, and the rows (sourced)
#
# A group makes its own namespaces and servers, says its rows, and takes everything down again. While rows are only counted,
# nothing is set up.

L4=10.78.0.1 M4=10.78.0.2 L6=fd78::1 # a veth pair with the kernel on both ends, beside the stack's
group_pids=()
stack() { spre a "$@"; }
stack_b() { spre b "$@"; }
inside() { VCL=$TMP/a.global.vcl spre a "$@"; }   # without the local scope: TCP inside the server
native() { in_s env VCL_CONFIG="$TMP/a.vcl" "$@"; }
native_inside() { in_s env VCL_CONFIG="$TMP/a.global.vcl" "$@"; }
native_b() { in_s env VCL_CONFIG="$TMP/b.vcl" "$@"; }
at_cpu0() { local run=$1; shift; "$run" taskset -c 0 "$@"; }
stack_cpu0() { at_cpu0 stack "$@"; }
inside_cpu0() { at_cpu0 inside "$@"; }
in_s_cpu0() { at_cpu0 in_s "$@"; }

serve() { # RUN LOG 'PATTERN' COMMAND...: a server that stays for the group
    local run=$1 log=$TMP/serve.${#group_pids[@]} pattern=$2
    shift 2
    bg "$log" "$run" "$@"
    group_pids+=("$bg_pid")
    is_up() { grep -q "$pattern" "$log"; }
    wait_for 10 is_up || { echo "bench: does not start: $*: $(cat "$log")" >&2; exit 1; }
}
serve_load() { serve "$1" '^ready' "${@:4}" "$LOAD" server "$2" "$3"; } # RUN ADDRESS PORT [PREFIX...]
group_begin() { # NAME MTU: namespaces, the stack's link without a server, and the kernel's own link
    NS_S=$TAG-$1s NS_K=$TAG-$1k
    topo_veth "$2"
    ip -n "$NS_S" link add vs1 mtu "$2" type veth peer name vk1 mtu "$2" netns "$NS_K"
    ip -n "$NS_S" addr add $L4/24 dev vs1
    ip -n "$NS_K" addr add $M4/24 dev vk1
    ip -n "$NS_S" addr add $L6/64 dev vs1 nodad
    ip -n "$NS_K" addr add fd78::2/64 dev vk1 nodad
    ip -n "$NS_S" link set vs1 up
    ip -n "$NS_K" link set vk1 up
    for ns in "$NS_S" "$NS_K"; do
        ip netns exec "$ns" sysctl -qw net.ipv4.ip_local_port_range='2000 65000' net.ipv4.tcp_tw_reuse=1 net.core.somaxconn=4096 \
            net.ipv4.ip_local_reserved_ports=5201,6379,7001-7021,8080,8443
    done
}
group_end() { # SERVER...
    local pid name
    for pid in "${group_pids[@]}"; do end_pid "$pid"; done
    group_pids=()
    for name in "$@"; do server_stop "$name"; done
}

# ---- rows that every way has ----

streams() { # WAY FIRST SECOND 'SIZES OF A QUICK RUN'
    local size in_quick
    for size in 64 1460 16384 131072 1048576; do
        in_quick=full
        case " $4 " in *" $size "*) in_quick= ;; esac
        $in_quick row "stream/$1/tx/1/$size" Gbit/s higher - s_stream "$2" "$3" tx $size 1
    done
    row "stream/$1/rx/1/16384" Gbit/s higher - s_stream "$2" "$3" rx 16384 1
}
streams_many() {
    full row "stream/$1/tx/8/16384" Gbit/s higher - s_stream "$2" "$3" tx 16384 8
    row "stream/$1/tx/64/16384" Gbit/s higher - s_stream "$2" "$3" tx 16384 64
    full row "stream/$1/rx/64/16384" Gbit/s higher - s_stream "$2" "$3" rx 16384 64
}
percent='median p99 p99.9 max'
round_trips() { # WAY FIRST SECOND
    row "rtt/$1/sleep" us lower "$percent" s_rtt "$2" "$3" 64 sleep
    full row "rtt/$1/busy" us lower "$percent" s_rtt "$2" "$3" 64 busy
}
connections() {
    row "conn/$1/1" conn/s higher - s_conn "$2" "$3" 1
    row "conn/$1/32" conn/s higher - s_conn "$2" "$3" 32
}

# Datagrams a second that arrive: into the stack, and out of it. Short samples: there are many ports.
packets() { # PORT FIRST SECOND [in|out]
    local size way=${4:+/$4} in_quick=full
    [ "${4:-in}" != in ] || in_quick=
    for size in 64 1400; do
        pairs=$((pairs > 3 ? 3 : pairs)) $in_quick row "packets/$1$way/$size" packets/s higher - s_packets "$2" "$3" $size
        in_quick=full
    done
}

# ---- one host: cut-through, and TCP inside one server; the reference ring ----

local_sides() {
    side loopback in_s 127.0.0.1 'kernel, loopback'
    side cut stack $S4 cut-through
    side inside inside $S4 'TCP inside one server'
    side ring ring - 'raw ring of two processes'
    side native native $S4 'cut-through, native API'
    side native_inside native_inside $S4 'TCP inside one server, native API'
    side link_k in_k $L4 'kernel to kernel, veth'
    side link_h in_k $S4 'kernel to hoststack, veth'
    side out_k in_s $M4 'kernel to kernel, veth'
    side out_h stack $K4 'hoststack to kernel, veth'
    side two_k in_s $L4 'kernel to kernel, veth'
}
placement_rows() { # the client on core 0, its server on the same core or on the other one; the worker of a on the other one
    local how port
    for how in "one-core 7010" "two-cores 7011"; do
        read -r how port <<<"$how"
        for what in "cut loopback_cpu0 cut_cpu0" "inside loopback_cpu0 inside_cpu0"; do
            read -r way a b <<<"$what"
            PORT=$port full row "placed/$way/$how/stream/16384" Gbit/s higher - s_stream "$a" "$b" tx 16384 1
            PORT=$port full row "placed/$way/$how/rtt/sleep" us lower "median p99" s_rtt "$a" "$b" 64 sleep
        done
    done
    PORT=7011 full row placed/cut/two-cores/rtt/busy us lower "median p99" s_rtt loopback_cpu0 cut_cpu0 64 busy
}
group_local() {
    local_sides
    side loopback_cpu0 in_s_cpu0 127.0.0.1 'kernel, loopback'
    side cut_cpu0 stack_cpu0 $S4 cut-through
    side inside_cpu0 inside_cpu0 $S4 'TCP inside one server'
    streams cut loopback cut '64 16384 131072'
    streams_many cut loopback cut
    for size in 1460 131072; do row "ring/stream/$size" Gbit/s higher - s_stream ring cut tx $size 1; done
    for how in sleep busy; do row "ring/rtt/$how" us lower 'median p99' s_rtt ring cut 64 $how; done
    row ring/native/rtt us lower 'median p99' s_rtt ring native 64 busy
    row iperf3/cut/default Gbit/s higher - s_iperf loopback cut
    full row iperf3/cut/1460 Gbit/s higher - s_iperf loopback cut -l 1460
    round_trips cut loopback cut
    connections cut loopback cut
    streams inside loopback inside '64 16384'
    streams_many inside loopback inside
    row core/mtu1500/stream Gbit/s higher - s_stream_per_core - inside tx 16384 1
    row core/mtu1500/conn conn/s higher - s_native_conn_per_core - native_inside 128
    full row core/mtu1500/conn-preloaded conn/s higher - s_conn_per_core - inside 32
    round_trips inside loopback inside
    connections inside loopback inside
    placement_rows
    row calls/kernel-descriptor ns lower 'write recv poll' s_calls loopback cut
}
group_link() {
    local_sides
    streams link link_k link_h '64 16384 131072'
    streams_many link link_k link_h
    row iperf3/link/to-hoststack Gbit/s higher - s_iperf link_k link_h
    full row iperf3/link/from-hoststack Gbit/s higher - s_iperf out_k out_h
    round_trips link link_k link_h
    round_trips link-out out_k out_h
    connections link link_k link_h
    full connections link-out out_k out_h
    packets packet link_k link_h in
    packets packet out_k out_h out
}
group_ipv6() {
    side cut6_k in_s ::1 'kernel, loopback'
    side cut6_h stack $S6 cut-through
    side link6_k in_k $L6 'kernel to kernel, veth'
    side link6_h in_k $S6 'kernel to hoststack, veth'
    for way in cut6 link6; do
        full row stream/$way/tx/1/16384 Gbit/s higher - s_stream ${way}_k ${way}_h tx 16384 1
        full row rtt/$way/sleep us lower 'median p99' s_rtt ${way}_k ${way}_h 64 sleep
        full row conn/$way/32 conn/s higher - s_conn ${way}_k ${way}_h 32
    done
}
group_apps() {
    local_sides
    for what in "cut loopback cut" "link link_k link_h"; do
        read -r way a b <<<"$what"
        row "nginx/$way/keep/1k" req/s higher - s_wrk "$a" "$b" 1k
        full row "nginx/$way/close/1k" req/s higher - s_wrk "$a" "$b" 1k -H 'Connection: close'
        full row "nginx/$way/keep/100k" req/s higher - s_wrk "$a" "$b" 100k
        full row "nginx/$way/close/100k" req/s higher - s_wrk "$a" "$b" 100k -H 'Connection: close'
        row "redis/$way" req/s higher 'set get' s_redis "$a" "$b"
    done
    full row nginx/cut/keep/memory req/s higher - s_wrk loopback cut memory
    full row nginx/cut/close/memory req/s higher - s_wrk loopback cut memory -H 'Connection: close'
}
group_costs() {
    local_sides
    side loopback_mem in_s 127.0.0.1 'kernel, loopback'
    side mem_cut mem_pre 10.79.0.1 'hoststack, cut-through'
    side mem_inside mem_pre_global 10.79.0.1 'hoststack, TCP inside one server'
    row memory/cut bytes/conn lower 'all without-placeholders' s_memory loopback_mem mem_cut "$held"
    full row memory/inside bytes/conn lower 'all without-placeholders' s_memory loopback_mem mem_inside "$held"
    row idle/server '% of core' lower - s_idle - cut
    row start/server ms lower - s_start_server - cut
    full row start/true ms lower - s_start_program loopback cut 20 true
    row start/first-connection ms lower - s_start_connected loopback cut 5
}

serve_netload_everywhere() {
    serve_load stack $S6 7001
    serve_load in_s ::1 7001
    serve_load in_s $L6 7001
    serve_load stack $S4 7001
    serve_load in_s 127.0.0.1 7001
    serve_load in_s $L4 7001
    serve_load in_k $K4 7001
    serve_load in_k $M4 7001
}
serve_native() { serve native '^ready' "$NATIVE" server $S4 7020; }
serve_iperf() { serve "$1" 'Server listening' iperf3 -s -B "$2" -p 5201 --forceflush; }
serve_apps() {
    local dir from_memory
    from_memory=$(printf 'x%.0s' {1..1024}) # 1 KB that nginx need not open a file for
    for dir in "$TMP/ngx.h" "$TMP/ngx.k"; do
        ngx_conf "$dir" 8080 1
        head -c 1024 /dev/zero >"$dir/html/1k"
        head -c 102400 /dev/zero >"$dir/html/100k"
        sed -i "s|root .*/html;|& location = /memory { return 200 \"$from_memory\"; }|" "$dir/nginx.conf"
    done
    sed -i "s/listen .*backlog=4096 ; root/listen 127.0.0.1:8080 backlog=4096; listen $L4:8080 backlog=4096; root/" "$TMP/ngx.k/nginx.conf"
    ngx_start a "$TMP/ngx.h" || exit 1
    group_pids+=("$ngx_pid")
    bg "$TMP/ngx.k/out" in_s nginx -e "$TMP/ngx.k/logs/error.log" -c "$TMP/ngx.k/nginx.conf"
    group_pids+=("$bg_pid")
    kernel_nginx_is_up() { in_s curl -sf -o /dev/null "http://127.0.0.1:8080/1k"; }
    wait_for 10 kernel_nginx_is_up || { echo "bench: the kernel's nginx does not start: $(cat "$TMP/ngx.k/out")" >&2; exit 1; }
    serve stack 'Ready to accept' redis-server --bind $S4 --save '' --appendonly no --dir "$TMP" --protected-mode no
    serve in_s 'Ready to accept' redis-server --bind 127.0.0.1 $L4 --save '' --appendonly no --dir "$TMP" --protected-mode no
}
one_link() { # what is common to the groups with one server on a packet socket at the veth pair
    group_begin 1 1500
    { conf_packet a; echo 'tcp { cc-algo cubic  msl 100ms }'; } >"$TMP/a.conf"
    FIFO=4m server_start a "$NS_S"
    serve_netload_everywhere
    for at in "stack $S4" "in_s 127.0.0.1" "in_s $L4" "in_k $K4" "in_k $M4"; do
        # shellcheck disable=SC2086
        serve_iperf $at
    done
    serve_native
    serve_load stack $S4 7010 taskset -c 0
    serve_load stack $S4 7011 taskset -c 1
    serve_load in_s 127.0.0.1 7010 taskset -c 0
    serve_load in_s 127.0.0.1 7011 taskset -c 1
    serve_apps
}

# ---- the other ways out of a host ----

group_jumbo() {
    local_sides
    full row stream/link-9000/tx/1/131072 Gbit/s higher - s_stream link_k link_h tx 131072 1
    full row stream/link-9000/rx/1/131072 Gbit/s higher - s_stream link_k link_h rx 131072 1
    full row core/mtu9000/stream Gbit/s higher - s_stream_per_core - inside tx 16384 1
}
jumbo() {
    group_begin 2 9000
    { conf_packet a | sed 's/iface=vs0/iface=vs0  mtu 9000/'; echo 'tcp { cc-algo cubic  msl 100ms }'; } >"$TMP/a.conf"
    FIFO=4m server_start a "$NS_S"
    serve_load stack $S4 7001
    serve_load in_s $L4 7001
}
group_tap() {
    side tap_k in_k $L4 'kernel to kernel, veth'
    side tap_h in_s $S4 'kernel to hoststack, TAP'
    streams tap tap_k tap_h 16384
    full streams_many tap tap_k tap_h
    round_trips tap tap_k tap_h
    full connections tap tap_k tap_h
    packets tap tap_k tap_h in
    side tap_out_k in_s $M4 'kernel to kernel, veth'
    side tap_out_h stack $K4 'hoststack to kernel, TAP'
    packets tap tap_out_k tap_out_h out
}
tap() {
    group_begin 3 1500
    ip -n "$NS_S" link del vs0
    { conf_tap a; echo 'tcp { cc-algo cubic  msl 100ms }'; } >"$TMP/a.conf"
    FIFO=4m server_start a "$NS_S"
    tap_up
    serve_load stack $S4 7001
    serve_load in_s $L4 7001
    serve_load in_s $K4 7001
    serve_load in_k $M4 7001
}
group_vhost() {
    side vhost_k in_k $L4 'kernel to kernel, veth'
    side vhost_h stack_b $S4 'hoststack to hoststack, vhost'
    streams vhost vhost_k vhost_h 16384
    full streams_many vhost vhost_k vhost_h
    round_trips vhost vhost_k vhost_h
    full connections vhost vhost_k vhost_h
    packets vhost vhost_k vhost_h
    side vhost_native native_b $S4 'hoststack to hoststack, vhost, native API'
    row stream/vhost-native/tx/1/131072 Gbit/s higher - s_stream vhost_k vhost_native tx 131072 1
    # To the guest: the other server's program is the one that writes.
    side vhost_guest_k in_s $M4 'kernel to kernel, veth'
    side vhost_guest native $K4 'hoststack to hoststack, vhost, native API'
    row stream/vhost-native/to-guest/1/131072 Gbit/s higher - s_stream vhost_guest_k vhost_guest tx 131072 1
}
vhost() {
    group_begin 4 1500
    { conf_head a; printf 'port p0 { device net_vhost0,iface=%s/vhost.sock }\ntcp { cc-algo cubic  msl 100ms }\n' "$TMP"; conf_addrs p0 $S4 $S6; } >"$TMP/a.conf"
    { conf_head b
      printf 'port p0 { device net_virtio_user0,path=%s/vhost.sock,mac=02:00:00:00:77:02 }\n' "$TMP"
      printf 'tcp { cc-algo cubic  msl 100ms }\n'; conf_addrs p0 $K4 $K6; } >"$TMP/b.conf"
    FIFO=4m server_start a "$NS_S"
    FIFO=4m server_start b "$NS_S"
    serve_load stack $S4 7001
    serve_load in_s $L4 7001
    serve_load in_k $M4 7001
    serve_native
    serve native_b '^ready' "$NATIVE" server $K4 7020
    reach() { TMO=3 stack_b "$LOAD" conn $S4 7001 1 0.01; }
    wait_for 10 reach || { echo "bench: the two servers do not reach each other" >&2; exit 1; }
}

# ---- DPDK's own ports, packets only ----

group_dpdk_af_packet() {
    side afp_k in_k $L4 'kernel to kernel, veth'
    side afp_h in_k $S4 'kernel to hoststack, net_af_packet'
    side afp_out_k in_s $M4 'kernel to kernel, veth'
    side afp_out_h stack $K4 'hoststack to kernel, net_af_packet'
    packets net_af_packet afp_k afp_h in
    packets net_af_packet afp_out_k afp_out_h out
}
group_dpdk_af_xdp() {
    side xdp_k in_k $L4 'kernel to kernel, veth'
    side xdp_h in_k $S4 'kernel to hoststack, net_af_xdp'
    side xdp_out_k in_s $M4 'kernel to kernel, veth'
    side xdp_out_h stack $K4 'hoststack to kernel, net_af_xdp'
    packets net_af_xdp xdp_k xdp_h in
    packets net_af_xdp xdp_out_k xdp_out_h out
}
group_dpdk_tap() {
    side dtap_k in_k $L4 'kernel to kernel, veth'
    side dtap_h in_s $S4 'kernel to hoststack, net_tap'
    side dtap_out_k in_s $M4 'kernel to kernel, veth'
    side dtap_out_h stack $K4 'hoststack to kernel, net_tap'
    packets net_tap dtap_k dtap_h in
    packets net_tap dtap_out_k dtap_out_h out
}
group_memif() {
    side memif_k in_k $L4 'kernel to kernel, veth'
    side memif_h stack_b $S4 'hoststack to hoststack, memif'
    packets memif memif_k memif_h
}
dpdk_port() { # GROUP DEVICE
    group_begin "$1" 1500
    { conf_head a; printf 'port p0 { device %s }\n' "$2"; conf_addrs p0 $S4 $S6; } >"$TMP/a.conf"
    FIFO=4m server_start a "$NS_S"
    serve_load stack $S4 7001
    serve_load in_s $L4 7001
    serve_load in_k $M4 7001
}
dpdk_af_packet() {
    dpdk_port 6 'net_af_packet0 iface=vs0 blocksz=262144 framesz=2048 framecnt=4096'
    in_k ethtool -K vk0 tx off tso off gso off >/dev/null 2>&1 # it takes no super-frames
    serve_load in_k $K4 7001
}
dpdk_af_xdp() {
    dpdk_port 10 'net_af_xdp0 iface=vs0'
    in_k ethtool -K vk0 tx off tso off gso off >/dev/null 2>&1
    serve_load in_k $K4 7001
}
dpdk_tap() {
    dpdk_port 7 'net_tap0 iface=dtap0'
    ip -n "$NS_S" link set dtap0 up
    ip -n "$NS_S" addr add $K4/24 dev dtap0
    serve_load in_s $K4 7001
}
memif() {
    dpdk_port 8 "net_memif0,role=server,id=0,socket=$TMP/memif.sock,socket-abstract=no,mac=02:00:00:00:77:01"
    { conf_head b; printf 'port p0 { device net_memif0,role=client,id=0,socket=%s,socket-abstract=no,mac=02:00:00:00:77:02 }\n' "$TMP/memif.sock"
      conf_addrs p0 $K4 $K6; } >"$TMP/b.conf"
    FIFO=4m server_start b "$NS_S"
    reach() { TMO=3 stack_b "$LOAD" conn $S4 7001 1 0.01; }
    wait_for 10 reach || { echo "bench: the two servers do not reach each other" >&2; exit 1; }
}

group_sctp() {
    local size
    side sctp_u in_s $M4 'usrsctp on both ends, veth'
    side sctp_h stack $K4 'hoststack on both ends, veth'
    for size in 64 1400 65536; do row "sctp/$size" '' higher 'messages Gbit/s' s_sctp sctp_u sctp_h $size; done
}
sctp() {
    group_begin 9 1500
    in_k ip addr flush dev vk0 # the second server owns that end
    conf_packet a >"$TMP/a.conf"
    { conf_head b; echo 'port wire0 { device packet iface=vk0 }'; conf_addrs wire0 $K4 $K6; } >"$TMP/b.conf"
    server_start a "$NS_S"
    server_start b "$NS_K"
    in_k nft -f - <<'EOF'
table inet quiet {
    chain out { type filter hook output priority 0; icmp type destination-unreachable icmp code prot-unreachable drop; }
}
EOF
    in_s nft -f - <<'EOF'
table inet quiet {
    chain out { type filter hook output priority 0; icmp type destination-unreachable icmp code prot-unreachable drop; }
}
EOF
    serve pre_b ready "$top_builddir/tests/bench/sctp_load" serve $K4 7031
    serve in_k ready "$top_builddir/tests/bench/usrsctp_load" serve $M4 7030
}
pre_b() { pre b "$@"; }

group() { # SETUP 'SERVER...' ROWS...
    local setup=$1 servers=$2 before=$n_rows rows
    shift 2
    if [ "$counting" = 0 ]; then
        # A group none of whose rows is wanted is not set up.
        counting=1; for rows in "$@"; do $rows; done; counting=0
        [ "$n_rows" -gt "$before" ] || return 0
        n_rows=$before
        $setup
    fi
    for rows in "$@"; do $rows; done
    # shellcheck disable=SC2086
    [ "$counting" = 1 ] || group_end $servers
}
all_groups() {
    group one_link a group_local group_link group_ipv6 group_apps group_costs
    group jumbo a group_jumbo
    group tap a group_tap
    group vhost 'a b' group_vhost
    group tls a group_tls
    [ ! -x "$top_builddir/tests/bench/usrsctp_load" ] || group sctp 'a b' group_sctp
    group dpdk_af_packet a group_dpdk_af_packet
    group dpdk_tap a group_dpdk_tap
    # Not every kernel has it.
    ! python3 -c 'import socket; socket.socket(44, socket.SOCK_RAW)' 2>/dev/null || group dpdk_af_xdp a group_dpdk_af_xdp
    group memif 'a b' group_memif
}
