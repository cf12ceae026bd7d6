#!/bin/bash
# rate.sh - how fast a stream gets over simulated links of 100 Mbit/s, alone: the same number on every machine
# LONG=1 (make soak): more seeds
seeds=1
[ "${LONG:-0}" = 0 ] || seeds=$(seq -s ' ' 10)
n=0
# case_of MIN-KBIT/S WORDS...
case_of() {
    local min=$1 seed v6 out
    shift
    for seed in $seeds; do
        v6=$(((seed + n) % 2))
        n=$((n + 1))
        if out=$("$top_builddir/tests/sim/sim_rate" "$@" rate=100000000 queue=300 "seed=$seed" "v6=$v6" "min=$min" 2>&1); then
            echo "ok $n - $*, seed $seed, v6 $v6: $out"
        else
            echo "not ok $n - $*, seed $seed, v6 $v6: at least $min kbit/s"
            sed 's/^/# /' <<<"$out"
        fi
    done
}
# A lossless link is used to nine tenths: the first slow start and what it loses is in it.
case_of 92000 delay-us=10000
case_of 92000 delay-us=10000 reorder=20000 reorder-us=4000
case_of 88000 delay-us=50000
case_of 88000 delay-us=50000 reorder=20000 reorder-us=4000
# What CUBIC gets out of a link with random losses: chance has a large part in it.
case_of 20000 delay-us=10000 loss=1000
case_of 3500 delay-us=10000 loss=10000
case_of 1800 delay-us=10000 loss=50000
case_of 4000 delay-us=50000 loss=1000
case_of 1200 delay-us=50000 loss=10000
case_of 350 delay-us=50000 loss=50000
echo "1..$n"
