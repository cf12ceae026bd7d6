#!/bin/bash
# tcp.sh - 1,000 seeds of TCP over the simulated network; SIM_TCP_SEEDS=A-B asks for others
seeds=${SIM_TCP_SEEDS:-1-1000}
echo "1..1"
if out=$("$top_builddir/tests/sim/sim_tcp" --seeds "$seeds" 2>&1); then
    echo "ok 1 - every byte of seeds $seeds arrives, nothing is left"
else
    echo "not ok 1 - every byte of seeds $seeds arrives, nothing is left"
    sed 's/^/# /' <<<"$out"
    echo "# replay one with: tests/sim/sim_tcp --seed N"
fi
