#!/bin/bash
# guard.sh - instructions an operation of the hot paths takes, against the budgets in guard.budget (make bench-guard). Prints TAP.
#
# callgrind counts instructions: the count is the same in every run of one build, whatever else the machine does. It fails when an
# operation takes 5 % more than its budget. GUARD_UPDATE=1 (make bench-guard-update) writes what it counted as the new budgets.
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/../system/lib.sh"
budget=$top_srcdir/tests/bench/guard.budget
limit_percent=105 # and two instructions, for the shortest ones
need valgrind callgrind_annotate
[ "$HS_STACK" != kernel ] || skip_all "only means something over hoststack"

# Another compiler, other flags, another libc or DPDK make another program: its counts say nothing about these budgets. valgrind
# shows every processor with AVX2 as the same one.
built_with() {
    local cflags word cc
    cflags=$(sed -n 's/^CFLAGS = //p' "$top_builddir/Makefile")
    for word in $cflags; do
        case $word in -O2|-g) ;; *) echo "CFLAGS $cflags"; return ;; esac
    done
    ! grep -q '^HS_CFLAGS.*-fsanitize' "$top_builddir/Makefile" || { echo "sanitizers"; return; }
    grep -qw avx2 /proc/cpuinfo || { echo "a processor without AVX2"; return; }
    cc=$(sed -n 's/^CC = //p' "$top_builddir/Makefile")
    printf 'cc %s, libc %s, DPDK %s, %s' "$($cc --version 2>/dev/null | sed -n '1s/.* //p')" "$(getconf GNU_LIBC_VERSION | cut -d ' ' -f 2)" \
        "$(pkg-config --modversion libdpdk 2>/dev/null | cut -d . -f 1,2)" "$(uname -m)"
}
here=$(built_with)
if [ "${GUARD_UPDATE:-0}" != 1 ]; then
    budget_of=$(sed -n 's/^# built with: //p' "$budget")
    [ "$here" = "$budget_of" ] || skip_all "the budgets are of '$budget_of', this is '$here'"
fi

# count PROGRAM [ARGUMENT...]: a line "operation instructions" for each operation of it
count() {
    local out=$TMP/callgrind.out
    # Every symbol bound at the start; copies by loops, since valgrind counts each byte of a string instruction.
    LD_BIND_NOW=1 GLIBC_TUNABLES=glibc.cpu.x86_rep_movsb_threshold=1073741824 timeout 1200 \
        valgrind -q --tool=callgrind --callgrind-out-file="$out" "$@" >"$TMP/times" 2>"$TMP/err" ||
        { diag "${1##*/}: $(tail -n 15 "$TMP/err")"; return 1; }
    callgrind_annotate --inclusive=yes --threshold=100 --show-percs=no "$out" 2>/dev/null |
        awk 'NR == FNR { times[$1] = $2; next }
            match($2, /:op_[a-z0-9_]+$/) {
                name = substr($2, RSTART + 4)
                gsub(/,/, "", $1)
                if (name in times && !(name in seen)) { seen[name] = 1; printf "%s %d\n", name, $1 / times[name] }
            }' "$TMP/times" -
}
: >"$TMP/counts"
check "operations of shared memory and of the stack are counted" \
    eval 'count "$top_builddir/tests/bench/guard_stack" >>"$TMP/counts"' || finish
need_stack
{ conf_head a; } >"$TMP/a.conf"
server_start a ''
preloaded() { VCL_CONFIG=$TMP/a.vcl LD_PRELOAD=$PRELOAD_DIR/libvcl_ldpreload.so count "$top_builddir/tests/bench/guard_preload" 127.0.0.1; }
check "calls of a preloaded program are counted" eval 'preloaded >>"$TMP/counts"' || finish

if [ "${GUARD_UPDATE:-0}" = 1 ]; then
    { sed -n '/^# built with:/q;/^#/p' "$budget"
      printf '# built with: %s\n' "$here"
      sort "$TMP/counts"; } >"$TMP/new" && cat "$TMP/new" >"$budget"
    diff -u <(git -C "$top_srcdir" show HEAD:tests/bench/guard.budget 2>/dev/null) "$budget" | grep '^[-+][a-z]' | sed 's/^/# /'
    finish
fi
while read -r name want; do
    case $name in ''|\#*) continue ;; esac
    got=$(awk -v n="$name" '$1 == n { print $2 }' "$TMP/counts")
    if [ -z "$got" ]; then
        not_ok "$name" "counted nothing: was the operation renamed? make bench-guard-update rewrites the budgets"
    elif [ $((got * 100)) -gt $((want * limit_percent + 200)) ]; then
        not_ok "$name: $got instructions, budget $want" \
            "more than 5 % above. If it has to be so: make bench-guard-update, commit guard.budget, and say why in the message"
    else
        ok "$name: $got instructions, budget $want"
        [ $((got * limit_percent)) -ge $((want * 100)) ] || diag "$name has become cheaper: make bench-guard-update lowers its budget"
    fi
done <"$budget"
while read -r name _; do
    grep -q "^$name " "$budget" || not_ok "$name has a budget" "make bench-guard-update adds it"
done <"$TMP/counts"
finish
