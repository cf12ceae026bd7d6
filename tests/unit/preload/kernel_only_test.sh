#!/bin/bash
# kernel_only_test.sh - with the preload library and no server, programs must behave as without it. Prints TAP.
lib=$top_builddir/.libs/libvcl_ldpreload.so
calls=$top_builddir/tests/unit/preload/calls
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT
export VCL_VPP_SAPI_SOCKET=$dir/no-server/app.sock
unset VCL_CONFIG LD_PRELOAD HOSTSTACK_REPORT

echo "1..8"
n=0
result() { # result STATUS NAME
    n=$((n + 1))
    if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi
}
case $(grep '^HS_CFLAGS' "$top_builddir/Makefile") in
*-fsanitize=*) # the sanitizer's runtime must come first in the process
    runtime=$(gcc -print-file-name=libasan.so); export ASAN_OPTIONS=detect_leaks=0
    preload="$runtime $lib" ;;
*) preload=$lib ;;
esac

# 1, 2: what the library is
needed=$(readelf -d "$lib" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -v -E '^(libc\.so|ld-linux|libasan|libubsan|libtsan)')
[ -z "$needed" ]; result $? "depends on libc only${needed:+: $needed}"
nm -D --defined-only "$lib" | awk '$2 == "T" { print $3 }' | sort >"$dir/exported"
sed -n 's/^V\{0,1\}CALL([^,]*, *\([A-Za-z0-9_]*\),.*/\1/p' "$top_srcdir/preload/libc_calls.def" | sort >"$dir/table"
diff "$dir/table" "$dir/exported" >&2; result $? "exports the calls of the table and nothing else"

# 3: programs that use no network say and do the same
plain() {
    ls -d / && bash -c 'echo $((6 * 7)); for i in 1 2 3; do (exit $i); echo $?; done | sort' &&
        env true && printf 'b\na\n' | sort && dd if=/dev/zero bs=4k count=1 status=none | wc -c
}
plain >"$dir/plain.out" 2>"$dir/plain.err"
(export LD_PRELOAD=$preload; plain) >"$dir/pre.out" 2>"$dir/pre.err"
cmp "$dir/plain.out" "$dir/pre.out" && [ ! -s "$dir/pre.err" ]; result $? "ls, bash, sort, dd run as before"

# 4: every call gives what it gave, with the kernel as fallback
printf 'vcl { fallback kernel }\n' >"$dir/vcl.conf"
"$calls" >"$dir/kernel.calls" 2>&1
VCL_CONFIG=$dir/vcl.conf LD_PRELOAD=$preload "$calls" >"$dir/preload.calls" 2>"$dir/preload.err"
lines=$(wc -l <"$dir/kernel.calls")
diff "$dir/kernel.calls" "$dir/preload.calls" >&2 && [ "$lines" -gt 200 ]; result $? "$lines results are the same"

# 5, 6: without the fallback a listener that the stack should have fails, once loudly; the rest works
listen='import socket, errno
s = socket.socket(); s.bind(("127.0.0.1", 0))
for i in range(3):
    try: s.listen(1); print("listens")
    except OSError as e: print(errno.errorcode[e.errno])'
if python=$(command -v python3); then
    VCL_CONFIG= LD_PRELOAD=$preload "$python" -c "$listen" >"$dir/listen.out" 2>"$dir/listen.err"
    [ "$(sort -u "$dir/listen.out")" = ENETDOWN ]; result $? "a listener without a server is ENETDOWN"
    [ "$(grep -c hoststack "$dir/listen.err")" = 1 ]; result $? "and says so once"
    LD_PRELOAD=$preload "$python" - >"$dir/out" 2>"$dir/err" <<'P'
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 0))
t = socket.socket()
try: t.connect(("127.0.0.1", 1))
except ConnectionRefusedError: print("refused by the kernel")
P
    [ "$(cat "$dir/out")" = "refused by the kernel" ] && [ ! -s "$dir/err" ]
    result $? "clients of the kernel are untouched, without a word"
else
    for t in 5 6 7; do n=$t; echo "ok $t # SKIP no python3"; done
fi

# 8: the report names each socket
HOSTSTACK_REPORT=1 VCL_CONFIG=$dir/vcl.conf LD_PRELOAD=$preload "$calls" 2>"$dir/report" >/dev/null
grep -q 'tcp.*: not accelerated: no server, fallback kernel' "$dir/report"; result $? "HOSTSTACK_REPORT=1 says why not"
