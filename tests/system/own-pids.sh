#!/bin/bash
# own-pids.sh - what lib.sh ends and waits for is the test's own: the number of a process that has ended may be a stranger's by then
#
# In a pid namespace of its own, where the next number can be chosen (proc(5): ns_last_pid).
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need unshare
here=$(cd "$(dirname "$0")" && pwd)
unshare --pid --fork --mount-proc true 2>/dev/null || skip_all "no pid namespaces here"

cat >"$TMP/script" <<'SCRIPT'
# script LIB OUT: a test as any other
. "$1"
exec >"$2"
bg "$TMP/ended" true
ended=$bg_pid
wait_for 60 pid_gone "$ended" || echo "our first one does not end"
sleep 0.05 # at least: who begins later does so at a later tick, and those are 10 ms
sleeps() { bg "$TMP/sleep" sleep 1000; wait_for 60 is_sleep "$bg_pid" || echo "no sleep begins"; } # not the shell before it: that has traps
is_sleep() { [ "$(cat "/proc/$1/comm")" = sleep ]; }
sleeps
ours=$bg_pid
{ echo $((ended - 1)) >/proc/sys/kernel/ns_last_pid; } 2>/dev/null || { echo "no ns_last_pid"; exit 1; }
sleep 1000 &
stranger=$!
disown "$stranger"
[ "$stranger" = "$ended" ] || echo "the number has not come round: $ended, $stranger"
lives() { kill -0 "$1" 2>/dev/null; }
lives "$stranger" && pid_gone "$ended" && echo "ours is gone"
pid_gone "$ours" || echo "the other one is not"
server_pid_x=$ended
HS_STACK=hoststack server_alive x || echo "a server is not"
end_pid "$ended" 2>&1
lives "$stranger" && echo "end_pid spares a stranger"
end_pid "$ours"
lives "$ours" || echo "and ends our own"
sleeps
echo "$bg_pid $stranger" >"$2.pids"
SCRIPT
cat >"$TMP/around" <<'AROUND'
# around SCRIPT LIB OUT: process 1 of the namespace
bash "$1" "$2" "$3"
read -r ours stranger <"$3.pids" || exit
kill -0 "$stranger" 2>/dev/null && echo "so does the end of a test" >>"$3"
kill -0 "$ours" 2>/dev/null || echo "which leaves nothing" >>"$3"
AROUND
timeout 360 unshare --pid --fork --mount-proc bash "$TMP/around" "$TMP/script" "$here/lib.sh" "$TMP/out" >"$TMP/said" 2>&1
! grep -q "no ns_last_pid" "$TMP/out" || skip_all "the kernel does not let us choose the next number"
while read -r what; do
    check "$what" grep -qxF "$what" "$TMP/out" || diag "$(cat "$TMP/out" "$TMP/said")"
done <<'WANTED'
ours is gone
the other one is not
a server is not
end_pid spares a stranger
and ends our own
so does the end of a test
which leaves nothing
WANTED
check_eq "and nothing else is said" "$(wc -l <"$TMP/out")" 7
finish
