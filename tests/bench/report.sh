#!/bin/bash
# report.sh - results of make bench as a table (Markdown) and plots (SVG), beside the JSON they come from
#   report.sh [--summary] RESULT.json...    several results, parts of one measurement, count as one; the first names the files
#   --summary: only prints the rows that have a target, in short, as README.md has them
set -eu
summary=no
if [ "${1-}" = --summary ]; then summary=yes; shift; fi
[ $# -gt 0 ] || { echo "usage: report.sh [--summary] RESULT.json..." >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
base=${1%.json}
. "$here/bench_row.sh"

all() { jq -s '.[0] + {calib_ns: (map(.calib_ns) | add), took_s: (map(.took_s) | add), rows: (map(.rows) | add)}' "$@"; }
about() {
    jq -r '"\(.date), revision \(.revision)\(if .changed then " (changed)" else "" end), \(.cores) x \(.cpu) (\(.hypervisor)), Linux \(.kernel),
DPDK \(.versions["libdpdk-dev"]), gcc \(.versions.gcc), \(.cflags); \(.pairs) pairs of \(.seconds) s; a cache line between the cores and back took \(.calib_ns | min) to \(.calib_ns | max) ns.
"'
}
cells() { jq -r --slurpfile targets "$targets" "$row_table_jq $1 | @tsv" | sed 's/\t/ | /g; s/^/| /; s/$/ |/'; }
data=$(all "$@")
if [ $summary = yes ]; then
    about <<<"$data"
    printf '| row | ratio | kernel (ring) | hoststack | unit | target | VPP |\n|---|---:|---:|---:|---|---|---|\n'
    jq -c '.rows[]' <<<"$data" |
        cells 'select($targets[0][.id]) | [.id, (.ratio | r), (.a.median | r), (.b.median | r), .unit, target, $targets[0][.id].vpp // ""]'
    exit
fi
{
    about <<<"$data"
    printf '| ratio | of pairs | row | kernel (ring) | hoststack | unit | mode, ns | target | VPP |\n|---:|---|---|---|---|---|---|---|---|\n'
    jq -c '.rows[]' <<<"$data" | cells 'cells + [$targets[0][.id].vpp // ""]'
} >"$base.md"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
jq -r '.rows[] | select(.ratio != null) | [.id, .ratio, .ratios.min, .ratios.max] | @tsv' <<<"$data" >"$tmp/ratios"
# One file a way: size, first median min max, second median min max.
jq -r '.rows[] | (.id | split("/")) as $i | select($i[0] == "stream" and $i[2] == "tx" and $i[3] == "1")
    | [$i[1], $i[4], .a.median, .a.min, .a.max, .b.median, .b.min, .b.max] | @tsv' <<<"$data" | sort -k1,1 -k2,2n |
    awk -v d="$tmp" '{ line[$1] = line[$1] $0 "\n"; n[$1]++ } END { for (w in n) if (n[w] > 1) printf "%s", line[w] > (d "/stream." w) }'
jq -r '.rows[] | (.id | split("/")) as $i | select($i[0] == "rtt" and $i[3] != "max")
    | ["\($i[1]) \($i[2]) \($i[3])", .a.median, .b.median] | @tsv' <<<"$data" >"$tmp/rtt"
n=$(wc -l <"$tmp/ratios")
svg() { printf 'set terminal svg size %s,%s dynamic enhanced font "sans,11" background "white"\nset output "%s"\nset termoption noenhanced\n' "$1" "$2" "$3"; }
if [ "$n" -gt 0 ]; then
    { svg 900 $((n * 16 + 110)) "$base-ratios.svg"
      cat <<GP
set datafile separator "\t"
set title "hoststack against the kernel (ring): right of 1 hoststack is better (line: spread of the pairs)"
set logscale x 2
set xrange [1./64:64]
set yrange [$n:-1]
set grid x
set lmargin 46
set style fill solid 0.7 noborder
unset key
set arrow from 1, graph 0 to 1, graph 1 nohead lw 2 front
plot "$tmp/ratios" using 2:0:(\$2 < 1 ? \$2 : 1):(\$2 < 1 ? 1 : \$2):(\$0 - 0.38):(\$0 + 0.38):(\$2 < 1 ? 0xc0504d : 0x4f81bd):ytic(1) with boxxyerror lc rgb variable, \
     "" using 2:0:3:4 with xerrorbars pt 0 lc rgb "black"
GP
    } | gnuplot
fi
ways=("$tmp"/stream.*)
if [ -e "${ways[0]}" ]; then
    { svg 1000 $(((${#ways[@]} + 1) / 2 * 300)) "$base-streams.svg"
      printf 'set multiplot layout %s,2\nset logscale x 2\nset logscale y\nset grid\nset key bottom right\nset xlabel "bytes a write"\nset ylabel "Gbit/s"\n' $(((${#ways[@]} + 1) / 2))
      for w in "${ways[@]}"; do
          printf 'set title "%s, one connection"\nplot "%s" using 2:3:4:5 with yerrorlines title "kernel", "" using 2:6:7:8 with yerrorlines title "hoststack"\n' "${w##*.}" "$w"
      done
    } | gnuplot
fi
if [ -s "$tmp/rtt" ]; then
    { svg 1000 520 "$base-roundtrip.svg"
      cat <<GP
set datafile separator "\t"
set title "round trip of 64 bytes, us"
set style data histogram
set style histogram clustered gap 1
set style fill solid 0.8
set logscale y
set grid y
set xtics rotate by 60 right out nomirror
set bmargin 11
set key outside top center horizontal
plot "$tmp/rtt" using 2:xtic(1) title "kernel", "" using 3 title "hoststack"
GP
    } | gnuplot
fi
printf 'table and plots: %s.md %s-*.svg\n' "$base" "$base"
