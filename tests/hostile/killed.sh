#!/bin/bash
# killed.sh - honest programs killed with SIGKILL at random instants: neighbours are undisturbed, nothing is left
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/../system/lib.sh"
need_root
need jq
need_stack
only_hoststack
times=${HS_KILLS:-50}
seed=${HS_SEED:-$((SRANDOM & 0x7fffffff))}
veth_server

serve_echo kecho in_k $K4 7001
empty=$(server_counts a)
serve_echo echo stack $S4 7000
echo_pid=$bg_pid
bg "$TMP/n1" in_k "$ECHO" -f -t 60 -n 3 -b 20000 client $S4 7000
n1=$bg_pid
bg "$TMP/n2" stack "$ECHO" -f -t 60 -n 3 -b 20000 client $S4 7000
n2=$bg_pid
rounds_of() { tail -n 1 "$1" | grep -E '^[0-9]+$' || echo 0; }
goes_on() { [ "$(rounds_of "$1")" -gt "$2" ]; }
for n in "$TMP/n1" "$TMP/n2"; do
    wait_for 15 goes_on "$n" 1 || bail "honest neighbours work" "$(tail -n 3 "$n")"
done
apps=$(app_count a apps)
only_honest() { [ "$(app_count a apps)" = "$apps" ]; }

# kills WHAT SIDE COMMAND...: the killer itself is not preloaded; what it starts is
kills() {
    local what=$1 side=$2 was1 was2
    shift 2
    was1=$(rounds_of "$TMP/n1") was2=$(rounds_of "$TMP/n2")
    cat >"$TMP/victim" <<VICTIM
#!/bin/bash
export LD_LIBRARY_PATH="$PRELOAD_DIR" VCL_CONFIG="$TMP/a.$side" ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD="$(hs_preload_libs)"
exec "\$@"
VICTIM
    chmod +x "$TMP/victim"
    TMO=300 check "$what: killed $times times (seed $seed)" \
        in_s "$top_builddir/tests/hostile/killer" -n "$times" -S "$seed" -m 120 "$TMP/victim" "$@"
    server_alive a || { not_ok "$what: the server lives"; finish; }
    wait_for 15 only_honest && ok "$what: no trace of them" || not_ok "$what: no trace of them" "$(server_counts a)"
    wait_for 15 goes_on "$TMP/n1" "$was1" && ! pid_gone "$n1" && ok "$what: the kernel's client goes on" ||
        not_ok "$what: the kernel's client goes on" "$(tail -n 2 "$TMP/n1")"
    wait_for 15 goes_on "$TMP/n2" "$was2" && ! pid_gone "$n2" && ok "$what: the cut-through client goes on" ||
        not_ok "$what: the cut-through client goes on" "$(tail -n 2 "$TMP/n2")"
}
kills "cut-through client" vcl "$ECHO" -f -N -n 8 -b 200000 client $S4 7000
kills "client of the kernel's server" vcl "$ECHO" -f -N -n 8 -b 200000 client $K4 7001
kills "client through the stack's TCP" global.vcl "$ECHO" -f -N -n 8 -b 200000 client $S4 7000
kills "UDP client" vcl "$ECHO" -u -f -n 8 -b 1000 client $S4 7005
bg "$TMP/s1" in_k bash -c "while :; do '$ECHO' -N -n 4 -b 100000 -t 2 client $S4 7002; sleep 0.01; done"
s1=$bg_pid
bg "$TMP/s2" stack "$ECHO" -f -n 1 -b 1000 client $S4 7000
s2=$bg_pid
apps=$((apps + 1))
wait_for 10 only_honest || true
kills "listener with clients of the kernel" vcl "$ECHO" server $S4 7002
end_pid "$s1"
end_pid "$s2"
for p in "$n1" "$n2" "$echo_pid"; do end_pid "$p"; done
back() { [ "$(server_counts a)" = "$empty" ]; }
wait_for 30 back && ok "nothing is left in the server" || not_ok "nothing is left in the server" "before $empty"$'\n'"after  $(server_counts a)"
server_stop a
check "no sanitizer has anything to say" eval "! grep -E 'ERROR: (Address|Leak)Sanitizer|runtime error:' '$TMP/a.log'"
finish
