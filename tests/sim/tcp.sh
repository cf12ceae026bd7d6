#!/bin/bash
# tcp.sh - 2,000 seeds of TCP over the simulated network, and that a seed replays exactly; SIM_TCP_SEEDS=A-B asks for others
seeds=${SIM_TCP_SEEDS:-1-2000}
sim=$top_builddir/tests/sim/sim_tcp
echo "1..2"
if out=$("$sim" --seeds "$seeds" 2>&1); then
    echo "ok 1 - every byte of seeds $seeds arrives, nothing is left"
else
    echo "not ok 1 - every byte of seeds $seeds arrives, nothing is left"
    sed 's/^/# /' <<<"$out"
    echo "# replay one with: tests/sim/sim_tcp --seed N"
fi
a=$("$sim" --seeds 1-40 --digest 2>&1) b=$("$sim" --seeds 1-40 --digest 2>&1)
if [[ $a = *digest* && $a = "$b" ]]; then
    echo "ok 2 - the same seeds give the same frames at the same times"
else
    echo "not ok 2 - the same seeds give the same frames at the same times"
    printf '# %s\n' "$a" "$b"
fi
