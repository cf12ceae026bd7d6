#!/bin/bash
# stack_same_test.sh - the programs beside this over the stack, cut-through with a server of the test's own: the results must be the
# kernel's, but for the differences named here. Prints TAP.
lib=$top_builddir/.libs/libvcl_ldpreload.so
programs='calls sets names more shell odd'
server=$top_builddir/hoststackd
dir=$(mktemp -d) || exit 99
pid=
trap '[ -n "$pid" ] && kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null; rm -rf "$dir"' EXIT
unset LD_PRELOAD HOSTSTACK_REPORT

echo "1..20"
case $(grep '^HS_CFLAGS' "$top_builddir/Makefile") in
# A cancelled thread (shell.c) leaves its frames poisoned, and the runtime's own look at the signal stack, as it ends, stumbles over them.
*-fsanitize=*) preload="$(gcc -print-file-name=libasan.so) $lib"; export ASAN_OPTIONS=detect_leaks=0:use_sigaltstack=0 ;;
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
for _ in $(seq 600); do
    [ -S "$dir/run/app.sock" ] && break
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
done
if ! [ -S "$dir/run/app.sock" ]; then
    sed 's/^/# /' "$dir/server.log"
    echo "Bail out! the server does not start"
    exit 1
fi

n_tests=0
result() { # 0 or 1, TEXT
    n_tests=$((n_tests + 1))
    if [ "$1" = 0 ]; then echo "ok $n_tests - $2"; else echo "not ok $n_tests - $2"; fi
}
for name in $programs; do
    program=$top_builddir/tests/unit/preload/$name
    "$program" >"$dir/kernel.$name" 2>&1
    HOSTSTACK_REPORT=1 VCL_CONFIG=$dir/vcl.conf LD_PRELOAD=$preload timeout 300 "$program" >"$dir/stack.$name" 2>"$dir/report.$name"
    status=$?
    result $status "$name ends by itself: $status"
    # Taken out: connect(AF_UNSPEC) dissolves a TCP connection on Linux; the stack refuses it.
    for f in kernel stack; do
        grep -v 'connect(a, (struct sockaddr \*)&(struct sockaddr_in){ 0 }, 2)' "$dir/$f.$name" >"$dir/$f.same"
    done
    n=$(wc -l <"$dir/kernel.same")
    diff "$dir/kernel.same" "$dir/stack.same" >"$dir/diff" && [ "$n" -gt 150 ]
    same=$?
    sed 's/^/# /' "$dir/diff"
    result $same "$name: $n results are the kernel's"
done
for name in $programs; do
    accelerated=$(grep -c 'tcp accepted .*: accelerated$' "$dir/report.$name")
    [ "$accelerated" -ge 2 ] || { sed 's/^/# /' "$dir/report.$name"; false; }
    result $? "$name: $accelerated accepted connections were accelerated"
done
# Behind our library another one, whose syscall() is for the program's calls alone.
HOSTSTACK_REPORT=1 VCL_CONFIG=$dir/vcl.conf LD_PRELOAD="$preload $top_builddir/tests/unit/preload/.libs/other.so" timeout 300 \
    "$top_builddir/tests/unit/preload/odd" >"$dir/stack.other" 2>"$dir/report.other"
status=$?
diff "$dir/kernel.odd" "$dir/stack.other" >"$dir/diff" && [ $status = 0 ] && grep -q 'tcp accepted .*: accelerated$' "$dir/report.other"
same=$?
sed 's/^/# /' "$dir/diff"
result $same "odd beside a library that has a syscall() of its own: $status"
left() { "$top_builddir/hoststackctl" -s "$dir/run/cli.sock" show app | awk '$1 == "clients" || $1 == "sessions" || $1 == "pairs" { n += $2 } END { print n }'; }
for _ in $(seq 600); do
    [ "$(left)" = 0 ] && break
    sleep 0.1
done
[ "$(left)" = 0 ]
result $? "the server keeps nothing of it: $(left)"
