#!/bin/bash
# gdb.sh - preloaded programs under gdb: run with breakpoints in calls of the library, and attached to while they serve
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
only_hoststack
need gdb
# shellcheck source=tests/system/ngx.sh
. "$(dirname "$0")/ngx.sh"
veth_server
export DEBUGINFOD_URLS=

# gdb starts the program by a shell, all three of them preloaded; it stops in connect() and in the library's own functions, and goes on.
run_in_gdb() { # ADDRESS PORT
    local out
    out=$(TMO=60 stack gdb -nx -batch -ex 'set breakpoint pending on' -ex 'break connect' -ex 'break vcl_connect' -ex run -ex bt -ex continue -ex bt \
        -ex 'delete' -ex continue --args "$ECHO" client "$1" "$2" 2>&1)
    grep -q '^Breakpoint 1[.0-9]*, .*connect' <<<"$out" && grep -q '^Breakpoint 2[.0-9]*, vcl_connect' <<<"$out" && grep -q '#[1-9].* main ' <<<"$out" &&
        grep -q 'exited normally' <<<"$out" || { echo "$out"; return 1; }
}
for f in 4 6; do
    s=S$f k=K$f
    bg "$TMP/k$f" in_k "$ECHO" server "${!k}" 7001
    wait_for 10 listening "$TMP/k$f" || not_ok "v$f: the kernel's server listens"
    bg "$TMP/s$f" stack "$ECHO" server "${!s}" 7001
    wait_for 10 listening "$TMP/s$f" || not_ok "v$f: the stack's server listens"
    check "v$f: run, stopped and continued, over a port" run_in_gdb "${!k}" 7001
    check "v$f: run, stopped and continued, cut-through" run_in_gdb "${!s}" 7001
done

# One worker, so that every request meets it.
ngx_conf "$TMP/n" 8080 1
ngx_start a "$TMP/n" || finish
worker=$(pgrep -P "$ngx_pid")
look_at() { # PID: attaches, and lets go
    local out
    out=$(timeout 60 gdb -nx -batch -p "$1" -ex bt -ex detach 2>&1)
    grep -q '^#[0-9]' <<<"$out" && grep -q 'Inferior .* detached' <<<"$out" || { echo "$out"; return 1; }
}
page() { ngx_same_page "$1" "http://$2:8080/big" "$TMP/n/html/big"; }
for i in 1 2 3; do
    check "attached to the idle worker and detached, $i" look_at "$worker"
    check "a page for the kernel after it" page in_k "$S4"
    check "a page cut-through after it, v6" page stack "[$S6]"
done
bg "$TMP/wrk" in_k wrk -t1 -c8 -d8 "http://$S4:8080/"
load=$bg_pid
bg "$TMP/wrk.cut" stack wrk -t1 -c8 -d8 "http://$S4:8080/"
cut=$bg_pid
n=0
while ! pid_gone "$load" && [ $n -lt 3 ]; do
    look_at "$worker" >"$TMP/look" 2>&1 || not_ok "attached under load" "$(cat "$TMP/look")"
    n=$((n + 1))
done
wait_for 60 pid_gone "$load"
wait_for 60 pid_gone "$cut"
check "attached to and detached from under load" test "$n" -ge 1
for w in wrk wrk.cut; do
    check "$w: requests are answered" grep -q '^Requests/sec: *[1-9]' "$TMP/$w"
    check "$w: none fails" eval '! grep -E "Socket errors: connect [1-9]|read [1-9]|write [1-9]|Non-2xx" "$TMP/$w"'
done

# Held by gdb, the worker stops nobody but its own clients.
mkfifo "$TMP/hold"
bg "$TMP/held" gdb -nx -batch -p "$worker" -ex 'echo held\n' -ex "shell read -r x <$TMP/hold" -ex detach
held=$bg_pid
wait_for 30 grep -q '^held' "$TMP/held" || not_ok "the worker is held" "$(cat "$TMP/held")"
TMO=20
for f in 4 6; do
    s=S$f k=K$f
    check "v$f: while a worker is held, others reach the kernel" stack "$ECHO" client "${!k}" 7001
    check "v$f: and each other" stack "$ECHO" client "${!s}" 7001
done
unset TMO
bg "$TMP/late" stack curl -s -o "$TMP/late.out" "http://$S4:8080/big"
late=$bg_pid
echo go >"$TMP/hold"
wait_for 30 pid_gone "$held" || not_ok "gdb ends"
wait_for 30 pid_gone "$late"
check "who asked the held worker is answered when it goes on" cmp "$TMP/late.out" "$TMP/n/html/big"
server_alive a && ok "the server lives" || not_ok "the server lives"
finish
