# shellcheck shell=bash
# bench_row.sh - one row: pairs of samples of two sides, alternately, each pair with its calibrations before and after; medians, spread and ratio (sourced)

fast_below_ns=200   # the two modes of a virtual machine's cores lie far apart on both sides of this
calibrate() { "$top_builddir/tests/bench/calib" 2>/dev/null || echo 0; }

declare -A side_run side_addr side_text
# side NAME RUN ADDRESS TEXT: RUN starts a client of that side, which finds its server at ADDRESS
side() { side_run[$1]=$2 side_addr[$1]=$3 side_text[$1]=$4; }

row_heading() { printf '%6s %-13s %-42s %-30s %-30s %-10s %s\n' ratio '(of pairs)' row 'kernel (ring), median (spread)' 'hoststack, median (spread)' unit 'mode, ns'; }

# row ID UNIT higher|lower 'METRIC...' SAMPLE SIDE SIDE [ARGUMENT...]
# SAMPLE RUN ADDRESS ARGUMENT... prints a number for each METRIC ("-": one number, without a name); a first side of "-": ours alone.
row() {
    local id=$1 unit=$2 better=$3 metrics=$4 sample=$5 a=$6 b=$7 i j va vb calib
    shift 7
    # shellcheck disable=SC2254
    case $id in ${ROWS:-*}) ;; *) return ;; esac
    n_rows=$((n_rows + 1))
    [ "$counting" = 0 ] || return 0
    if [ $((SECONDS - begin_s)) -ge "$limit_s" ]; then left_out+=("$id"); return; fi
    : >"$TMP/pairs"
    for ((i = 0; i < pairs; i++)); do
        calib=$(calibrate)
        va= vb=
        # The first and the second take turns in going first: what one leaves behind (caches, memory) meets both.
        for j in $((i % 2)) $(((i + 1) % 2)); do
            if [ "$j" = 1 ]; then vb=$($sample "${side_run[$b]}" "${side_addr[$b]}" "$@" 2>>"$TMP/err")
            elif [ "$a" != - ]; then va=$($sample "${side_run[$a]}" "${side_addr[$a]}" "$@" 2>>"$TMP/err"); fi
        done
        printf '{"calib_ns": [%s, %s], "a": [%s], "b": [%s]}\n' "$calib" "$(calibrate)" "${va// /,}" "${vb// /,}" >>"$TMP/pairs"
    done
    jq -cs --arg id "$id" --arg unit "$unit" --arg better "$better" --arg metrics "$metrics" --argjson fast "$fast_below_ns" \
        --arg a "${side_text[$a]-}" --arg b "${side_text[$b]}" "$row_jq" "$TMP/pairs" >"$TMP/row"
    cat "$TMP/row" >>"$rows_file"
    row_print <"$TMP/row" | sed "1s|\$| [$n_rows/$n_all]|"
    ! jq -e 'select(.failed > 0)' "$TMP/row" >/dev/null || n_failed=$((n_failed + 1))
}
# Rows that a quick run leaves out.
full() { [ "$QUICK" = 1 ] || "$@"; }

row_jq='
def median: sort | length as $n | if $n == 0 then null elif $n % 2 == 1 then .[$n / 2 | floor] else (.[$n / 2 - 1] + .[$n / 2]) / 2 end;
def stats: {median: median, min: min, max: max, samples: .};
def ratio($a; $b): if $a == null or $b == null or $a == 0 or $b == 0 then null elif $better == "higher" then $b / $a else $a / $b end;
. as $all | ($metrics | split(" ")) | to_entries[] | .key as $k | .value as $m
| [$all[] | {calib_ns, mode: (if (.calib_ns | max) < $fast then "fast" elif (.calib_ns | min) >= $fast then "slow" else "changing" end), a: .a[$k], b: .b[$k]}] as $pairs
| [$pairs[] | select(.b != null and ($a == "" or .a != null))] as $good
# Like with like: the pairs of the mode that most were in.
| ([$good[].mode] | group_by(.) | max_by(length) | .[0] // "-") as $mode
| [$good[] | select(.mode == $mode)] as $use
| {id: ($id + (if $m == "-" then "" else "/" + $m end)), unit: $unit, better: $better, first: $a, second: $b, mode: $mode,
   used: ($use | length), failed: (($pairs | length) - ($good | length)), other_mode: (($good | length) - ($use | length)),
   calib_ns: ([$use[].calib_ns[]] | median), a: ([$use[].a | select(. != null)] | stats), b: ([$use[].b] | stats), pairs: $pairs}
| .ratio = ratio(.a.median; .b.median)
| .ratios = ([$use[] | ratio(.a; .b) | select(. != null)] | {min: min, max: max})'

targets=$(dirname "${BASH_SOURCE[0]}")/targets.json # by row: what is wanted, and what VPP 26.10-rc0 reached, as issue 3 has it
row_table_jq='
def target: $targets[0][.id] as $t
    | if $t == null or .b.median == null then ""
      elif $t.ratio then (if .ratio >= $t.ratio then "met: " else "missed: " end) + "\($t.ratio) x"
      elif $t.min then (if .b.median >= $t.min then "met: " else "missed: " end) + "at least \($t.min)"
      elif $t.max then (if .b.median <= $t.max then "met: " else "missed: " end) + "at most \($t.max)"
      else (if .b.median - .a.median <= $t.more then "met: " else "missed: " end) + "at most \($t.more) more" end;
def r: if . == null then "-" elif . >= 1000 then round | tostring elif . >= 10 then . * 10 | round / 10 | tostring else . * 1000 | round / 1000 | tostring end;
def spread: if .median == null then "-" else "\(.median | r) (\(.min | r)..\(.max | r))" end;
def cells: [(.ratio | r), (if .ratios.min == null then "" else "\(.ratios.min | r)..\(.ratios.max | r)" end), .id, (.a | spread), (.b | spread), .unit,
 "\(.mode) \(.calib_ns | r)" + (if .other_mode > 0 then ", \(.other_mode) in another mode left out" else "" end)
 + (if .failed > 0 then ", FAILED \(.failed)" else "" end), target];
'
row_print() {
    jq -r --slurpfile targets "$targets" "$row_table_jq cells | @tsv" |
        awk -F '\t' '{ printf "%6s %-13s %-42s %-30s %-30s %-10s %s%s\n", $1, $2, $3, $4, $5, $6, $7, $8 ? ", target " $8 : "" }'
}
