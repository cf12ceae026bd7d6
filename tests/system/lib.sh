# shellcheck shell=bash
# lib.sh - what every system test needs: TAP, own network namespaces, own servers, waiting for conditions, cleaning up
#
# A test sources this file, calls plan-less TAP functions and ends with `finish`. Several copies may run at once: every
# namespace, directory and socket carries the test's own process id. Only processes of our own namespaces, and those
# started here by id, are ever ended.
#
# HS_STACK=kernel runs the same script over the kernel's stack in place of hoststack: the control experiment.
# HS_PATIENCE=n makes every limit of waiting n times as long (3): a limit is against hanging, and CI's machine may be slow and busy.
# LONG=1 makes timed runs 10 s; HOSTSTACKD names another server (the ASan build's).

set -u
export LC_ALL=C
top_builddir=${top_builddir:-$PWD}
top_srcdir=${top_srcdir:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
HS_STACK=${HS_STACK:-hoststack}
HS_PATIENCE=${HS_PATIENCE:-3}
HOSTSTACKD=${HOSTSTACKD:-$top_builddir/hoststackd}
CTL=${HOSTSTACKCTL:-$top_builddir/hoststackctl}
PRELOAD_DIR=${PRELOAD_DIR:-$top_builddir/.libs}
# shellcheck disable=SC2034  # used by the scripts
ECHO=$top_builddir/tests/system/net_echo
if [ "${LONG:-0}" = 1 ]; then SECS=10; else SECS=${SECS:-2}; fi
TMP=$(mktemp -d "${TMPDIR:-/tmp}/hs-XXXXXX") || exit 99
chmod 755 "$TMP"
TAG=hs-$$
hs_namespaces=()
hs_pids=()          # started here, not necessarily in a namespace of ours
declare -A hs_born=() # when each of them was
hs_servers=()       # names
hs_n=0 hs_failed=0
HS_EXEC=            # `exec` inside of bg

# ---------------------------------------------------------------- TAP

diag() { sed 's/^/# /' <<<"$*"; }
ok() { hs_n=$((hs_n + 1)); printf 'ok %d - %s\n' "$hs_n" "$1"; }
not_ok() {
    hs_n=$((hs_n + 1)); hs_failed=$((hs_failed + 1))
    printf 'not ok %d - %s\n' "$hs_n" "$1"
    [ $# -lt 2 ] || diag "$2"
}
skip() { hs_n=$((hs_n + 1)); printf 'ok %d - %s # SKIP skipped: %s\n' "$hs_n" "$1" "$2"; }
skip_all() { printf '1..0 # SKIP skipped: %s\n' "$1"; exit 0; }

# check DESCRIPTION COMMAND...: the command's success is the result; its output is shown when it fails.
check() {
    local what=$1 out
    shift
    if out=$("$@" 2>&1); then ok "$what"; else not_ok "$what" "exit $?: $* :: $(tail -n 15 <<<"$out")"; return 1; fi
}
check_eq() { # DESCRIPTION GOT WANTED
    if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "got '$2', wanted '$3'"; return 1; fi
}
bail() { not_ok "$1" "${2-}"; finish; }
finish() {
    local name
    for name in ${hs_servers[@]+"${hs_servers[@]}"}; do
        ! server_alive "$name" || server_stop "$name" || true
    done
    if [ "$hs_failed" -ne 0 ]; then
        for name in ${hs_servers[@]+"${hs_servers[@]}"}; do
            diag "end of the log of server $name:"$'\n'"$(tail -n 15 "$TMP/$name.log" 2>/dev/null)"
        done
    fi
    printf '1..%d\n' "$hs_n"
    exit $((hs_failed != 0))
}

# ---------------------------------------------------------------- cleaning up

hs_cleanup() {
    local rc=$? pid ns left
    trap - EXIT INT TERM HUP
    for pid in ${hs_pids[@]+"${hs_pids[@]}"}; do pid_gone "$pid" || kill -TERM "$pid" 2>/dev/null; done
    for ns in ${hs_namespaces[@]+"${hs_namespaces[@]}"}; do
        for pid in $(ip netns pids "$ns" 2>/dev/null); do kill -TERM "$pid" 2>/dev/null; done
    done
    HS_PATIENCE=1 wait_for 3 hs_all_gone || true
    for pid in ${hs_pids[@]+"${hs_pids[@]}"}; do pid_gone "$pid" || kill -KILL "$pid" 2>/dev/null; done
    for ns in ${hs_namespaces[@]+"${hs_namespaces[@]}"}; do
        for pid in $(ip netns pids "$ns" 2>/dev/null); do kill -KILL "$pid" 2>/dev/null; done
        ip netns del "$ns" 2>/dev/null
    done
    wait 2>/dev/null
    left=${KEEP_TMP:-0}
    if [ "$left" = 1 ]; then diag "kept $TMP"; else rm -rf "$TMP"; fi
    exit $rc
}
hs_all_gone() {
    local pid ns
    for pid in ${hs_pids[@]+"${hs_pids[@]}"}; do pid_gone "$pid" || return 1; done
    for ns in ${hs_namespaces[@]+"${hs_namespaces[@]}"}; do [ -z "$(ip netns pids "$ns" 2>/dev/null)" ] || return 1; done
}
trap hs_cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# wait_for SECONDS COMMAND...: until it succeeds; 1 when it has not in time, HS_PATIENCE times as long.
wait_for() {
    local end=$((SECONDS + $1 * HS_PATIENCE))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.05
    done
}
# Of a busy machine's processes the numbers come round within a minute: that of one of ours that has ended is soon another test's. So who is
# meant is told by when it was started, too, in the kernel's ticks: field 22 of proc(5)'s stat, in $hs_start.
start_of() { # PID
    local stat
    hs_start=
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    read -ra stat <<<"${stat##*) }" # after its name, which may be anything
    hs_start=${stat[19]}
}
note_pid() { # PID: of ours from now on, and ended with the test
    hs_pids+=("$1")
    start_of "$1"
    hs_born[$1]=$hs_start
}
pid_gone() { # PID
    kill -0 "$1" 2>/dev/null || return 0
    [ -n "${hs_born[$1]+noted}" ] || return 1
    start_of "$1"
    [ "$hs_start" != "${hs_born[$1]}" ]
}
# bg LOG COMMAND...: starts it in the background, its id in $bg_pid.
bg() {
    local log=$1
    shift
    : >"$log" # now: whoever waits for a word in it must not find that of an earlier program
    { # the id must be the program's: in_s, in_k, pre and spre replace this subshell
        HS_EXEC=exec
        if declare -F "$1" >/dev/null; then "$@"; else exec "$@"; fi
    } >"$log" 2>&1 </dev/null &
    bg_pid=$!
    note_pid "$bg_pid"
}
end_pid() { # PID [SIGNAL]: ends one of ours and waits for it
    pid_gone "$1" || kill "-${2:-TERM}" "$1" 2>/dev/null
    wait_for 10 pid_gone "$1" || { diag "process $1 goes on after SIG${2:-TERM}: killed"; kill -KILL "$1"; }
    wait "$1" 2>/dev/null
}

# ---------------------------------------------------------------- what must be here

need_root() { [ "$(id -u)" = 0 ] || skip_all "needs root for network namespaces"; }
need() {
    local c
    for c in "$@"; do command -v "$c" >/dev/null || skip_all "no program '$c' here"; done
}
need_stack() {
    [ "$HS_STACK" = kernel ] && return 0
    [ -x "$HOSTSTACKD" ] || bail "hoststackd is built" "no $HOSTSTACKD"
    [ -x "$CTL" ] || bail "hoststackctl is built" "no $CTL"
    [ -e "$PRELOAD_DIR/libvcl_ldpreload.so" ] || bail "libvcl_ldpreload.so is built" "none in $PRELOAD_DIR"
}
only_hoststack() { [ "$HS_STACK" != kernel ] || skip_all "only means something over hoststack"; }

# ---------------------------------------------------------------- topology
#
#   namespace S: the stack's end vs0 (no kernel address), programs of the stack       10.77.0.1  fd77::1
#   namespace K: the kernel's end vk0                                                 10.77.0.2  fd77::2

NS_S=$TAG-s NS_K=$TAG-k
S4=10.77.0.1 S6=fd77::1 K4=10.77.0.2 K6=fd77::2
make_ns() {
    ip netns add "$1" || bail "namespace $1 can be made"
    hs_namespaces+=("$1")
    ip -n "$1" link set lo up
    # The host's default may be another one; what is compared with the kernel is compared over the same algorithm.
    ip netns exec "$1" sysctl -qw net.ipv4.tcp_congestion_control=cubic net.ipv6.conf.all.accept_dad=0 \
        net.ipv6.conf.default.accept_dad=0 2>/dev/null
    ip netns exec "$1" sysctl -qw net.ipv4.ping_group_range="0 0" 2>/dev/null
}
# TMO=seconds before any of in_s, in_k, pre, spre: the command is ended when it takes HS_PATIENCE times as long. HS_PATIENCE=1 where that is
# what is expected of it.
in_s() { $HS_EXEC ip netns exec "$NS_S" ${TMO:+timeout -k 2 $((TMO * HS_PATIENCE))} "$@"; }
in_k() { $HS_EXEC ip netns exec "$NS_K" ${TMO:+timeout -k 2 $((TMO * HS_PATIENCE))} "$@"; }

# deafen: the kernel hears nothing at the stack's end of the link (needs nft)
deafen() {
    in_s nft 'add table inet deaf; add chain inet deaf in { type filter hook input priority 0; }; add rule inet deaf in iif vs0 drop' ||
        bail "nft in the stack's namespace"
}

# topo_veth [MTU]
topo_veth() {
    local mtu=${1:-1500}
    make_ns "$NS_S"
    make_ns "$NS_K"
    ip -n "$NS_S" link add vs0 mtu "$mtu" type veth peer name vk0 mtu "$mtu" netns "$NS_K" || bail "veth pair can be made"
    # The stack owns its end: the kernel there must neither speak IPv6 nor answer ARP.
    [ "$HS_STACK" = kernel ] || in_s sysctl -qw net.ipv6.conf.vs0.disable_ipv6=1
    ip -n "$NS_S" link set vs0 up
    ip -n "$NS_K" link set vk0 up
    ip -n "$NS_K" addr add $K4/24 dev vk0
    ip -n "$NS_K" addr add $K6/64 dev vk0 nodad
    if [ "$HS_STACK" = kernel ]; then
        ip -n "$NS_S" addr add $S4/24 dev vs0
        ip -n "$NS_S" addr add $S6/64 dev vs0 nodad
    fi
}
# topo_router MTU: K is a router now, behind it namespace R, over a link that takes so much
R4=10.78.0.2 R6=fd78::2
topo_router() {
    NS_R=$NS_K-r
    make_ns "$NS_R"
    in_k sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    ip -n "$NS_K" link add kr0 mtu "$1" type veth peer name rk0 mtu "$1" netns "$NS_R" || bail "second veth pair can be made"
    ip -n "$NS_K" link set kr0 up
    ip -n "$NS_R" link set rk0 up
    ip -n "$NS_K" addr add 10.78.0.1/24 dev kr0
    ip -n "$NS_K" addr add fd78::1/64 dev kr0 nodad
    ip -n "$NS_R" addr add $R4/24 dev rk0
    ip -n "$NS_R" addr add $R6/64 dev rk0 nodad
    ip -n "$NS_R" route add default via 10.78.0.1
    ip -n "$NS_R" -6 route add default via fd78::1
    if [ "$HS_STACK" = kernel ]; then
        ip -n "$NS_S" route add default via $K4
        ip -n "$NS_S" -6 route add default via $K6
    fi
}
in_r() { $HS_EXEC ip netns exec "$NS_R" ${TMO:+timeout -k 2 $((TMO * HS_PATIENCE))} "$@"; }
# Both, with server a at its end; stack() for its programs, global() for those that go through its TCP, not cut-through.
veth_server() {
    topo_veth
    conf_packet a >"$TMP/a.conf"
    server_start a "$NS_S"
    stack() { spre a "$@"; }
    global() { VCL=$TMP/a.global.vcl spre a "$@"; }
}
# One namespace: the kernel is the peer behind the stack's TAP (the address is set once the server has made it).
topo_tap() {
    make_ns "$NS_S"
    NS_K=$NS_S
    if [ "$HS_STACK" = kernel ]; then
        ip -n "$NS_S" addr add $S4/24 dev lo
        ip -n "$NS_S" addr add $S6/64 dev lo nodad
        ip -n "$NS_S" addr add $K4/24 dev lo
        ip -n "$NS_S" addr add $K6/64 dev lo nodad
    fi
}
tap_up() { # after the server has started
    [ "$HS_STACK" = kernel ] && return 0
    wait_for 5 ip -n "$NS_S" link show hs0 || bail "the server made its TAP"
    ip -n "$NS_S" link set hs0 up
    ip -n "$NS_S" addr add $K4/24 dev hs0
    ip -n "$NS_S" addr add $K6/64 dev hs0 nodad
}

# ---------------------------------------------------------------- the server

conf_head() { # NAME [WORKERS]
    cat <<CONF
unix { runtime-dir $TMP/$1.run }
cpu { workers ${2:-1} }
dpdk { no-huge  memory 128m }
CONF
}
conf_addrs() { printf 'interface %s { address %s/24  address %s/64  no-dad }\n' "$1" "$2" "$3"; }
conf_packet() { # NAME [WORKERS]: the packet port on vs0
    conf_head "$1" "${2:-1}"
    printf 'port wire0 { device packet iface=vs0  rx-queues %s }\n' "${2:-1}"
    conf_addrs wire0 $S4 $S6
}
conf_tap() {
    conf_head "$1" "${2:-1}"
    printf 'port hs0 { device tap ifname=hs0 }\n'
    conf_addrs hs0 $S4 $S6
}

server_up() { "$CTL" -s "$TMP/$1.run/cli.sock" show version; }
# server_start NAME NAMESPACE ('' = none): with $TMP/NAME.conf; the id is in server_pid_NAME.
server_start() {
    local name=$1 ns=$2
    [ "$HS_STACK" = kernel ] && return 0
    local cmd=("$HOSTSTACKD" -c "$TMP/$name.conf" --foreground)
    [ -z "$ns" ] || cmd=(ip netns exec "$ns" "${cmd[@]}")
    "${cmd[@]}" >>"$TMP/$name.log" 2>&1 </dev/null &
    printf -v "server_pid_$name" %s $!
    note_pid $!
    hs_servers+=("$name")
    local pid=$!
    hs_server_ready() { server_up "$name" || pid_gone "$pid"; }
    wait_for 15 hs_server_ready
    server_up "$name" >/dev/null 2>&1 ||
        bail "server $name starts" "$(cat "$TMP/$name.conf"; tail -n 20 "$TMP/$name.log")"
    cat >"$TMP/$name.vcl" <<VCL
vcl { rx-fifo-size ${FIFO:-1m}  tx-fifo-size ${FIFO:-1m}  app-scope-local  app-scope-global  app-socket-api $TMP/$name.run/app.sock }
VCL
    sed 's/app-scope-local//' "$TMP/$name.vcl" >"$TMP/$name.global.vcl"
}
server_pid() { local v=server_pid_$1; printf %s "${!v}"; }
server_alive() { [ "$HS_STACK" = kernel ] || ! pid_gone "$(server_pid "$1")"; }
# Ends the server. One that was asked to end must have ended in order: a fault or a leak found at the end is a failure too.
server_stop() { # NAME [SIGNAL]
    [ "$HS_STACK" != kernel ] || return 0
    local rc=0
    end_pid "$(server_pid "$1")" "${2:-TERM}" || rc=$?
    [ "${2:-TERM}" != TERM ] || [ "$rc" = 0 ] || not_ok "server $1 ends in order" "exit code $rc :: $(tail -n 30 "$TMP/$1.log")"
}
ctl() { local n=$1; shift; "$CTL" -s "$TMP/$n.run/cli.sock" "$@"; }

# The ASan build's libraries need its run-time first.
hs_preload_libs() {
    local asan=
    if ldd "$PRELOAD_DIR/libvcl_ldpreload.so" 2>/dev/null | grep -q libasan; then
        asan=$(gcc -print-file-name=libasan.so):
    fi
    printf '%s%s/libvcl_ldpreload.so' "$asan" "$PRELOAD_DIR"
}
# pre NAME COMMAND...: the command preloaded, as a program of server NAME (other vcl file: VCL=).
pre() {
    local name=$1
    shift
    if [ "$HS_STACK" = kernel ]; then $HS_EXEC ${TMO:+timeout -k 2 $((TMO * HS_PATIENCE))} "$@"; return; fi
    : "${hs_pre:=$(hs_preload_libs)}"
    $HS_EXEC ${TMO:+timeout -k 2 $((TMO * HS_PATIENCE))} env LD_LIBRARY_PATH="$PRELOAD_DIR" ASAN_OPTIONS=detect_leaks=0 \
        VCL_CONFIG="${VCL:-$TMP/$name.vcl}" LD_PRELOAD="$hs_pre" "$@"
}
# spre NAME COMMAND...: the same in namespace S.
spre() {
    local name=$1
    shift
    if [ "$HS_STACK" = kernel ]; then in_s "$@"; return; fi
    : "${hs_pre:=$(hs_preload_libs)}"
    in_s env LD_LIBRARY_PATH="$PRELOAD_DIR" ASAN_OPTIONS=detect_leaks=0 \
        VCL_CONFIG="${VCL:-$TMP/$name.vcl}" LD_PRELOAD="$hs_pre" "$@"
}

app_count() { ctl "$1" --json show app | jq -r "[.. | objects | .$2? | numbers] | first // 0"; }
# What programs leave in the server, as one line: every count of `show app`, descriptors and shared mappings.
server_counts() {
    [ "$HS_STACK" = kernel ] && { echo none; return; }
    local pid
    pid=$(server_pid "$1")
    printf '%s fds=%s maps=%s\n' \
        "$(ctl "$1" --json show app | jq -c '[leaf_paths as $p | select(getpath($p) | type == "number")
            | select($p | all(type == "string")) | select($p[-1] | test("ever|violations|total") | not) | "\($p[-1])=\(getpath($p))"] | sort | join(" ")')" \
        "$(find "/proc/$pid/fd" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l)" \
        "$(grep -c 'memfd:' "/proc/$pid/maps" 2>/dev/null)"
}
server_is_empty() {
    [ "$HS_STACK" = kernel ] && return 0
    local what
    for what in clients sessions segments leaving; do [ "$(app_count "$1" $what)" = 0 ] || return 1; done
}
server_cpu_ticks() { local f; read -r -a f <<<"$(sed 's/.*) //' "/proc/$1/stat")"; echo $((f[11] + f[12])); }
listening() { grep -q '^ready' "$1"; }
serve_echo() { # LOG SIDE ADDRESS PORT: an echo server that listens; its id is in bg_pid
    bg "$TMP/$1" "$2" "$ECHO" server "$3" "$4"
    wait_for 10 listening "$TMP/$1" || bail "the echo server $1 listens" "$(cat "$TMP/$1")"
}
