# shellcheck shell=bash
# lib.sh - one run of the differential tester: the kernel's log, our comparison, and again where the kernel itself was not of one mind
. "$(dirname "${BASH_SOURCE[0]}")/../system/lib.sh"
DIFF=$top_builddir/tests/diff/diff_calls

# diff_options ARG...: --seeds A..B, --seed N, --calls N
seeds='' calls=60 one=
diff_options() {
    while [ $# -gt 0 ]; do
        case $1 in
        --seeds) seeds=$2; shift ;;
        --seed) seeds=$2..$2 one=1; shift ;;
        --calls) calls=$2; shift ;;
        *) echo "usage: $0 [--seeds A..B | --seed N] [--calls N]" >&2; exit 2 ;;
        esac
        shift
    done
}

# diff_run NAME SEEDS [ARG...]: functions over_kernel and over_stack say where. Output of the comparison in $TMP/NAME.out
diff_run() {
    local name=$1 range=$2
    shift 2
    over_kernel "$DIFF" --seeds "$range" --calls "$calls" "$@" </dev/null 2>"$TMP/$name.kernel.err" |
        over_stack "$DIFF" --compare ${one:+--verbose} --seeds "$range" --calls "$calls" "$@" >"$TMP/$name.out" 2>"$TMP/$name.err"
}

# The same in parts at once: most of a sequence's time is waiting. False: a part has not run to its end.
diff_parts() { # NAME SEEDS [ARG...]
    local name=$1 first=${2%..*} last=${2#*..} parts=8 part from size rc=0
    shift 2
    size=$(((last - first + parts) / parts))
    rm -f "$TMP/$name".part*
    for ((part = 0; part < parts; part++)); do
        from=$((first + part * size))
        [ $from -le "$last" ] || break
        diff_run "$name.part$part" "$from..$((from + size - 1 < last ? from + size - 1 : last))" "$@" &
        hs_parts[part]=$!
    done
    for part in "${!hs_parts[@]}"; do
        wait "${hs_parts[part]}"
        grep -q '^compared' "$TMP/$name.part$part.out" || { cat "$TMP/$name.part$part.err" >>"$TMP/$name.err"; rc=1; }
    done
    cat "$TMP/$name".part*.out >"$TMP/$name.out"
    hs_parts=()
    return $rc
}
hs_parts=()

# A sequence differs when it does so again, twice: what a busy kernel answers once and not again is no rule to go by.
diff_check() { # NAME SEEDS [ARG...]
    local name=$1 range=$2 seed tries bad=
    shift 2
    diff_parts "$name" "$range" "$@" || { not_ok "$name: the tester ran to its end" "$(tail -n 20 "$TMP/$name.out" "$TMP/$name.err")"; return; }
    if [ -n "$one" ]; then sed 's/^/# /' "$TMP/$name.out"; fi
    for seed in $(sed -n 's/^differs //p' "$TMP/$name.out"); do
        for tries in 1 2; do diff_run "$name.again$tries" "$seed..$seed" "$@" && continue 2; done
        bad+=" $seed"
        cp "$TMP/$name.again2.out" "$TMP/$name.$seed.txt"
    done
    if [ -z "$bad" ]; then ok "$name: sequences $range answer as on the kernel"; return; fi
    # shellcheck disable=SC2086
    set -- $bad
    not_ok "$name: sequences $range answer as on the kernel" "$# differ: $bad"
    for seed in "${@:1:5}"; do sed 's/^# */# /' "$TMP/$name.$seed.txt" | grep '^#'; done
}
