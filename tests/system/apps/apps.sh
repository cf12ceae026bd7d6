# shellcheck shell=bash
# apps.sh - what the scripts of the program matrix share (sourced): a server, both sides, the ways between them, load and ends
#
# Each case is named after the cell of the matrix that it belongs to, "cut-through IPv4: WHAT"; matrix.sh reads that.
# One server `a` owns S4 and S6 on a packet port (APPS_PORT=tap: on its TAP); the kernel owns K4 and K6 at the other end.

# shellcheck source=tests/system/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
WRK_SECS=${WRK_SECS:-1}
PATH=$PATH:/usr/sbin:/sbin
APPS_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# A version manager's shim is a shell script; what is tested is the interpreter.
PYTHON=python3
[ ! -x /usr/bin/python3 ] || PYTHON=/usr/bin/python3

stack() { spre a "$@"; }
# app_begin PROGRAM...: skips the script when one is missing, then brings the link and the server up
app_begin() {
    need_root
    need "$@"
    need_stack
    if [ "${APPS_PORT:-packet}" = tap ]; then topo_tap; conf_tap a >"$TMP/a.conf"; else topo_veth; conf_packet a >"$TMP/a.conf"; fi
    server_start a "$NS_S"
    [ "${APPS_PORT:-packet}" != tap ] || tap_up
}
# any_user: programs that go on as another user may attach, too
any_user() { [ "$HS_STACK" = kernel ] || { chmod 755 "$TMP/a.run" && chmod 666 "$TMP/a.run/app.sock"; }; }
# app_end: the programs started here end when they are told to, and nothing of them is left
app_end() {
    local pid i
    for pid in ${app_pids[@]+"${app_pids[@]}"}; do
        pid_gone "$pid" && continue
        end_pid "$pid"
        pid_gone "$pid" || not_ok "all ways: program $pid ends on SIGTERM" "$(tr '\0' ' ' <"/proc/$pid/cmdline")"
    done
    # What they have started and left running (ncat's children of UDP peers) goes with them, as in a service's control group.
    for pid in $(ip netns pids "$NS_S"); do
        [ "$pid" = "$(server_pid a 2>/dev/null)" ] || kill -KILL "$pid" 2>/dev/null
    done
    server_alive a && ok "all ways: the server lives" || not_ok "all ways: the server lives"
    if [ "$HS_STACK" != kernel ]; then
        for ((i = 0; i < 4; i++)); do wait_for 10 server_is_empty a && break; done
        server_is_empty a && ok "all ways: nothing is left in the server" ||
            not_ok "all ways: nothing is left in the server" "$(ctl a show app; ctl a show session | head -n 12)"
        check_eq "all ways: no client broke the rules of shared memory" "$(app_count a violations)" 0
    fi
    finish
}
app_pids=()
# app_start LOG SIDE COMMAND...: a server program that app_end ends
app_start() {
    bg "$@"
    app_pids+=("$bg_pid")
}

# ---------------------------------------------------------------- ways
#
# each_way_in FUNCTION ARG...    the server program is on the stack: client over the stack (cut-through) and over the kernel
# each_way_out FUNCTION ARG...   the client program is on the stack: server on the stack (cut-through) and on the kernel
# FAMILIES=4 for programs that know no IPv6. They set: way (name of the cell), client (side that runs clients), addr, host (as a URL wants it), fam (4 or 6).

FAMILIES="4 6"
each_way() { # STACK-SIDE-ADDRESSES KERNEL-SIDE FUNCTION...
    local side
    for side in ${APPS_SIDES:-cut port}; do
        for fam in $FAMILIES; do
            case $1.$side in
            *.cut) way="cut-through IPv$fam" client=stack; [ $fam = 4 ] && addr=$S4 || addr=$S6 ;;
            in.port) way="port IPv$fam" client=in_k; [ $fam = 4 ] && addr=$S4 || addr=$S6 ;;
            out.port) way="port IPv$fam" client=stack; [ $fam = 4 ] && addr=$K4 || addr=$K6 ;;
            esac
            [ $fam = 4 ] && host=$addr || host=[$addr]
            "${@:2}"
        done
    done
}
each_way_in() { each_way in "$@"; }
each_way_out() { each_way out "$@"; }

# way_check WHAT COMMAND...: a case of the present cell; ended after TMO seconds (30)
way_check() {
    local what=$1
    shift
    TMO=${TMO:-30} check "$way: $what" "$@"
}

# ---------------------------------------------------------------- helpers

# answers SIDE ADDRESS PORT: something accepts there
answers() { TMO=2 "$1" bash -c ": </dev/tcp/$2/$3"; }
# app_ready WHAT PORT [LOG]: the server program on the stack accepts connections from the stack, on each address
app_ready() {
    local a f
    for f in $FAMILIES; do
        a=S$f
        a=${!a}
        wait_for 20 answers stack "$a" "$2" || bail "all ways: $1 accepts connections on $a" "$(tail -n 15 "${3:-/dev/null}")"
    done
}
kernel_ready() { # WHAT PORT [LOG]
    local a
    for a in $K4 $K6; do
        wait_for 20 answers in_k "$a" "$2" || bail "all ways: $1 of the kernel accepts connections on $a" "$(tail -n 15 "${3:-/dev/null}")"
    done
}
# same_as FILE COMMAND...: the command prints exactly the file
same_as() {
    local f=$1
    shift
    "$@" | cmp - "$f"
}
# random_file FILE BYTES
random_file() { head -c "$2" /dev/urandom >"$1"; }

# web_servers PORT: nginx on the stack (S4, S6) and on the kernel (K4, K6), with a page and a big one each; for HTTP clients
web_servers() {
    # shellcheck source=tests/system/ngx.sh
    . "$APPS_DIR/../ngx.sh"
    ngx_conf "$TMP/n" "$1"
    cp -r "$TMP/n" "$TMP/kn"
    S4=$K4 S6=$K6 ngx_conf "$TMP/kn" "$1"
    WEB_PAGE=$TMP/n/html/index.html WEB_BIG=$TMP/n/html/big
    app_start "$TMP/n/out" stack nginx -e "$TMP/n/logs/error.log" -c "$TMP/n/nginx.conf"
    app_start "$TMP/kn/out" in_k nginx -e "$TMP/kn/logs/error.log" -c "$TMP/kn/nginx.conf"
    app_ready nginx "$1" "$TMP/n/logs/error.log"
    kernel_ready nginx "$1" "$TMP/kn/logs/error.log"
}
# web_load REQUESTS URL: what every HTTP server must stand, from the present way's client
# web_load PORT PAGE BIG: pages by curl, then wrk with kept connections and with one a request
web_load() {
    local url=http://$host:$1
    TMO=20 way_check "curl gets a page" same_as "$2" "$client" curl -sS "$url/"
    TMO=20 way_check "curl gets 1 MB" same_as "$3" "$client" curl -sS "$url/big"
    WRK_RUNS=1 wrk_case "$way: wrk, kept connections" "$client" 500 "$url/" 16
    WRK_RUNS=1 wrk_case "$way: wrk, a connection a request" "$client" 200 "$url/" 16 -H 'Connection: close'
}
