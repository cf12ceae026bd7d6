#!/bin/bash
# rules.sh - rule { }: allow, deny and redirect in both scopes, both families, TCP and UDP, against the kernel; the first match decides
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
only_hoststack
need jq
topo_veth
ip -n "$NS_K" addr add 10.77.0.3/24 dev vk0
ip -n "$NS_K" addr add fd77::3/64 dev vk0 nodad
{
    conf_packet a
    printf 'namespace blue { }\n'
    for f in 4 6; do
        k=K$f s=S$f
        if [ $f = 4 ]; then other=10.77.0.3; else other=fd77::3; fi
        cat <<CONF
rule { scope global action allow proto tcp local ${!s} remote $other lcl-port 7001 }
rule { scope global action deny proto any remote $other }
rule { scope global action deny proto tcp remote ${!k} rmt-port 7100-7102 }
rule { scope global action deny proto udp remote ${!k} rmt-port 7100 }
CONF
    done
    cat <<CONF
rule { scope global action redirect proto tcp lcl-port 80 to-port 7001 }
rule { scope local action redirect proto tcp rmt-port 81 to-port 7001 }
rule { scope local action deny rmt-port 7002 }
rule { namespace blue scope global action deny }
CONF
} >"$TMP/a.conf"
server_start a "$NS_S"
sed "s/app-scope-local/app-scope-local namespace-id blue/" "$TMP/a.vcl" >"$TMP/blue.vcl"
stack() { spre a "$@"; }
blue() { VCL=$TMP/blue.vcl spre a "$@"; }

fails_with() { # ERROR COMMAND...
    local want=$1 out rc=0
    shift
    out=$("$@" 2>&1) || rc=$?
    [ $rc -ne 0 ] && grep -q "$want" <<<"$out" || { echo "exit $rc: $out"; return 1; }
}
refused() { fails_with 'Connection refused' "$@"; }
hits() { ctl a --json show rule | jq "[.[] | select($1) | .hits] | add"; }

# server SIDE ADDRESS PORT [-u]: an echo server, its id in $bg_pid
serve() {
    local log=$TMP/srv.$1.$2.$3.${4:-t}
    # shellcheck disable=SC2086  # -u or nothing
    bg "$log" "$1" "$ECHO" ${4:-} server "$2" "$3"
    wait_for 5 listening "$log" || not_ok "the server at $2 $3 listens" "$(cat "$log")"
}
for f in 4 6; do
    s=S$f k=K$f
    if [ $f = 4 ]; then any=0.0.0.0 other=10.77.0.3; else any=:: other=fd77::3; fi
    serve stack "${!s}" 7001; tcp1=$bg_pid
    serve stack "${!s}" 7002; tcp2=$bg_pid
    serve stack "${!s}" 7001 -u; udp1=$bg_pid
    serve in_k "$any" 7100; k1=$bg_pid
    serve in_k "$any" 7103; k2=$bg_pid
    serve in_k "$any" 7100 -u; k3=$bg_pid
    export TMO=20
    check "v$f: a connection that no rule names" in_k "$ECHO" -B "${!k}" client "${!s}" 7002
    check "v$f: a peer that is denied, but allowed before at this port" in_k "$ECHO" -B "$other" client "${!s}" 7001
    check "v$f: the same peer is refused at another port" refused in_k "$ECHO" -B "$other" client "${!s}" 7002
    check "v$f: its datagram is answered by port unreachable" refused in_k "$ECHO" -u -B "$other" client "${!s}" 7001
    check "v$f: another peer's datagram arrives" in_k "$ECHO" -u -B "${!k}" client "${!s}" 7001
    check "v$f: a connect that a rule denies" refused stack "$ECHO" client "${!k}" 7100
    check "v$f: a connect beside the range" stack "$ECHO" client "${!k}" 7103
    check "v$f: a datagram that a rule denies" refused stack "$ECHO" -u client "${!k}" 7100
    check "v$f: a port where nobody listens is redirected" in_k "$ECHO" -B "${!k}" client "${!s}" 80
    check "v$f: cut-through to a port that local scope denies" refused stack "$ECHO" client "${!s}" 7002
    check "v$f: cut-through that is redirected" stack "$ECHO" client "${!s}" 81
    check "v$f: cut-through that no rule names" stack "$ECHO" client "${!s}" 7001
    check "v$f: a namespace where all is denied" refused blue "$ECHO" client "${!k}" 7103
    unset TMO
    for p in $tcp1 $tcp2 $udp1 $k1 $k2 $k3; do end_pid "$p"; done
done
check "rules count what they decided" test "$(hits '.action == "deny"')" -ge 10
check "and the redirects too" test "$(hits '.action == "redirect"')" -ge 4
finish
