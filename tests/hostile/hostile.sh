#!/bin/bash
# hostile.sh - a client that writes random values over every byte it can write; honest clients beside it must not notice
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/../system/lib.sh"
need_root
need jq
need_stack
only_hoststack
rounds=${HS_ROUNDS:-3000}
seed=${HS_SEED:-$((SRANDOM & 0x7fffffff))}
veth_server

serve_echo kecho in_k $K4 7001
empty=$(server_counts a)
serve_echo echo stack $S4 7000
echo_pid=$bg_pid
# The honest: over the port into the stack, out of it, cut-through, and through the stack's own TCP.
names=() pids=()
honest() {
    names+=("$1")
    bg "$TMP/honest.${#names[@]}" "${@:2}"
    pids+=("$bg_pid")
}
honest "the kernel's client over the port" in_k "$ECHO" -f -t 60 -n 3 -b 20000 client $S4 7000
honest "a preloaded client of the kernel's server" stack "$ECHO" -f -t 60 -N -n 3 -b 20000 client $K4 7001
honest "a cut-through client" stack "$ECHO" -f -t 60 -n 3 -b 20000 client $S4 7000
honest "a client through the stack's TCP" global "$ECHO" -f -t 60 -N -n 3 -b 20000 client $S4 7000
rounds_of() { tail -n 1 "$TMP/honest.$1" | grep -E '^[0-9]+$' || echo 0; }
for i in "${!names[@]}"; do
    began() { [ "$(rounds_of $((i + 1)))" -ge 2 ]; }
    wait_for 15 began || bail "${names[i]} works before anything happens" "$(tail -n 3 "$TMP/honest.$((i + 1))")"
done
attached=$(app_count a apps)

TMO=${HS_HOSTILE_SECONDS:-300} check "hostile client: $rounds rounds (seed $seed)" \
    in_s "$top_builddir/tests/hostile/hostile" -s "$TMP/a.run/app.sock" -n "$rounds" -S "$seed" $S4 7000 $K4 7001
server_alive a && ok "the server lives" || not_ok "the server lives" "seed $seed"
for i in "${!names[@]}"; do
    was=$(rounds_of $((i + 1)))
    goes_on() { [ "$(rounds_of $((i + 1)))" -gt "$((was + 1))" ] || pid_gone "${pids[i]}"; }
    wait_for 15 goes_on
    if pid_gone "${pids[i]}" || [ "$(rounds_of $((i + 1)))" -le "$was" ]; then
        not_ok "${names[i]} did not notice" "seed $seed, round $was: $(tail -n 3 "$TMP/honest.$((i + 1))")"
    else
        ok "${names[i]} did not notice: $(rounds_of $((i + 1))) rounds without an error"
    fi
done
only_honest() { [ "$(app_count a apps)" = "$attached" ]; }
wait_for 15 only_honest && ok "no hostile client is left" || not_ok "no hostile client is left" "$(server_counts a)"
check "violations were counted" test "$(app_count a violations)" -gt 0
check "the log says why a client was dropped" grep -Eiq 'client.*(drop|violat|hang|contract)' "$TMP/a.log"
for p in "${pids[@]}"; do end_pid "$p"; done
end_pid "$echo_pid"
back() { [ "$(server_counts a)" = "$empty" ]; }
wait_for 30 back && ok "nothing is left in the server" || not_ok "nothing is left in the server" "before $empty"$'\n'"after  $(server_counts a)"
server_stop a
check "no sanitizer has anything to say" eval "! grep -E 'ERROR: (Address|Leak)Sanitizer|runtime error:' '$TMP/a.log'"
finish
