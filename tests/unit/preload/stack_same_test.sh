#!/bin/bash
# stack_same_test.sh - the calls of calls.c over the stack, cut-through with a server of the test's own: the results must be the
# kernel's, but for the differences named here. Prints TAP.
lib=$top_builddir/.libs/libvcl_ldpreload.so
calls=$top_builddir/tests/unit/preload/calls
server=$top_builddir/hoststackd
dir=$(mktemp -d) || exit 99
pid=
trap '[ -n "$pid" ] && kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null; rm -rf "$dir"' EXIT
unset LD_PRELOAD HOSTSTACK_REPORT

echo "1..4"
case $(grep '^HS_CFLAGS' "$top_builddir/Makefile") in
*-fsanitize=*) preload="$(gcc -print-file-name=libasan.so) $lib"; export ASAN_OPTIONS=detect_leaks=0 ;;
*) preload=$lib ;;
esac
cat >"$dir/server.conf" <<CONF
unix { runtime-dir $dir/run }
cpu { workers 1 }
dpdk { no-huge memory 128m }
CONF
echo "vcl { app-scope-local  app-socket-api $dir/run/app.sock }" >"$dir/vcl.conf"
"$server" -c "$dir/server.conf" --foreground >"$dir/server.log" 2>&1 &
pid=$!
for _ in $(seq 300); do
    [ -S "$dir/run/app.sock" ] && break
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
done
if ! [ -S "$dir/run/app.sock" ]; then
    sed 's/^/# /' "$dir/server.log"
    echo "Bail out! the server does not start"
    exit 1
fi

"$calls" >"$dir/kernel.calls" 2>&1
HOSTSTACK_REPORT=1 VCL_CONFIG=$dir/vcl.conf LD_PRELOAD=$preload timeout 60 "$calls" >"$dir/stack.calls" 2>"$dir/report"
status=$?
[ $status = 0 ] && echo "ok 1 - the program ends by itself" || echo "not ok 1 - the program ends by itself: $status"
# Taken out: connect(AF_UNSPEC) dissolves a TCP connection on Linux; the stack refuses it.
for f in kernel stack; do grep -v 'connect(a, (struct sockaddr \*)&(struct sockaddr_in){ 0 }, 2)' "$dir/$f.calls" >"$dir/$f.same"; done
n=$(wc -l <"$dir/kernel.same")
if diff "$dir/kernel.same" "$dir/stack.same" >"$dir/diff" && [ "$n" -gt 200 ]; then
    echo "ok 2 - $n results are the kernel's"
else
    sed 's/^/# /' "$dir/diff"
    echo "not ok 2 - $n results are the kernel's"
fi
accelerated=$(grep -c 'tcp accepted .*: accelerated$' "$dir/report")
[ "$accelerated" -ge 4 ] && echo "ok 3 - $accelerated accepted connections were accelerated" ||
    { sed 's/^/# /' "$dir/report"; echo "not ok 3 - accepted connections were accelerated"; }
left() { "$top_builddir/hoststackctl" -s "$dir/run/cli.sock" show app | awk '$1 == "clients" || $1 == "sessions" || $1 == "pairs" { n += $2 } END { print n }'; }
for _ in $(seq 100); do
    [ "$(left)" = 0 ] && break
    sleep 0.1
done
[ "$(left)" = 0 ] && echo "ok 4 - the server keeps nothing of it" || echo "not ok 4 - the server keeps nothing of it: $(left)"
