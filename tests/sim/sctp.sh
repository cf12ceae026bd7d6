#!/bin/bash
# sctp.sh - 1,000 seeds of SCTP over the simulated network; SIM_SCTP_SEEDS=A-B asks for others
seeds=${SIM_SCTP_SEEDS:-1-1000}
sim=$top_builddir/tests/sim/sim_sctp
echo "1..1"
if out=$("$sim" --seeds "$seeds" 2>&1); then
    echo "ok 1 - every message of seeds $seeds arrives once, in the order of its stream, nothing is left"
else
    echo "not ok 1 - every message of seeds $seeds arrives once, in the order of its stream, nothing is left"
    sed 's/^/# /' <<<"$out"
    echo "# replay one with: tests/sim/sim_sctp --seed N"
fi
