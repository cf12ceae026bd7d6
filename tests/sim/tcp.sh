#!/bin/bash
# tcp.sh - 2,000 seeds of TCP over the simulated network, that a seed replays exactly, and 300 of a path that gets narrower and wider
# under slow streams; SIM_TCP_SEEDS=A-B asks for others
seeds=${SIM_TCP_SEEDS:-1-2000}
sim=$top_builddir/tests/sim/sim_tcp
echo "1..3"
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
if out=$("$sim" --path --seeds 1-300 2>&1) && [[ $out =~ \ ([0-9]+)\ arrived,\ ([0-9]+)\ lost ]] &&
   (( BASH_REMATCH[1] > 100 && BASH_REMATCH[2] > 100 )); then
    echo "ok 3 - larger packets are tried where the path had become narrow, and every byte arrives"
else
    echo "not ok 3 - larger packets are tried where the path had become narrow, and every byte arrives"
    sed 's/^/# /' <<<"$out"
fi
