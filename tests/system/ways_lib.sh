# shellcheck shell=bash
# ways_lib.sh - a program, or a server and its client, in every way that the stack has (sourced); the caller has had its topology made

# every_way PROGRAM ARGUMENT...: called with each address and the arguments, it ends in order, and leaves nothing in the server
every_way() {
    local program=$top_builddir/tests/system/$1 a empty
    shift
    empty=$(server_counts a)
    for a in 127.0.0.1 ::1; do
        check "cut-through, $a" stack "$program" $a "$@"
    done
    for a in $S4 $S6; do
        check "cut-through, an address of the port, $a" stack "$program" $a "$@"
        check "TCP inside the server, $a" global "$program" $a "$@"
    done
    back() { [ "$(server_counts a)" = "$empty" ]; }
    wait_for 30 back && ok "nothing is left in the server" || not_ok "nothing is left in the server" "before $empty"$'\n'"after  $(server_counts a)"
    server_alive a && ok "the server lives" || not_ok "the server lives"
}

# python_served WHAT CLIENT ADDRESS SCRIPT ARGUMENT...: `SCRIPT server ADDRESS PORT ARGUMENT...` says "waits" and ends in order when it has
# served `SCRIPT client ADDRESS PORT ARGUMENT...`, which CLIENT (in_k, stack) runs and which says "ok". Two ports from $port on.
python_served() {
    local what=$1 client=$2 addr=$3 who=$top_srcdir/tests/system/$4 pid
    shift 4
    port=$((port + 2))
    bg "$TMP/srv.$port" stack python3 "$who" server "$addr" $port "$@"
    pid=$bg_pid
    wait_for 60 grep -q waits "$TMP/srv.$port" || { not_ok "$what: it waits" "$(cat "$TMP/srv.$port")"; end_pid "$pid"; return; }
    if [ "$(TMO=120 "$client" python3 "$who" client "$addr" $port "$@" 2>&1)" = ok ] && wait "$pid"; then
        ok "$what"
    else
        not_ok "$what" "$(cat "$TMP/srv.$port")"$'\n'"$(ctl a show session)"
        end_pid "$pid"
    fi
}
# served_by_ways SCRIPT "WAY..." ARGUMENT...: the same with each way as the first argument, over IPv4 and IPv6, for the kernel's clients and the stack's
served_by_ways() {
    local script=$1 ways=$2 f s way
    shift 2
    for f in 4 6; do
        s=S$f
        for way in $ways; do
            python_served "v$f: $way, the kernel's peer" in_k "${!s}" "$script" "$way" "$@"
            python_served "v$f: $way, cut-through" stack "${!s}" "$script" "$way" "$@"
        done
    done
}
# Behind the last of these.
nothing_left() {
    check "nothing is left in the server" wait_for 30 server_is_empty a
    server_alive a && ok "the server lives" || not_ok "the server lives"
}
