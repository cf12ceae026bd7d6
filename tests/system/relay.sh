#!/bin/bash
# relay.sh - over a link that loses, delays, reorders and doubles: every byte arrives, and no slower than with the kernel in our place
# LONG=1 (make soak-relay): each loss rate and delay for itself, ten seconds and three seeds each, and fairness with the
# kernel's CUBIC; LONG=fair: only that, 30 s
# shellcheck source=tests/system/relay_lib.sh
. "$(dirname "$0")/relay_lib.sh"
[ "${LONG:-0}" != 0 ] || FIFO=${FIFO:-1m} # what is written in the last moment has to arrive, too
relay_start

# case_of WHAT MODE SECONDS FAMILY WORDS...: adds to ratios, in hundredths of the kernel's rate
case_of() {
    local what=$1
    shift
    if streams "$@"; then ok "$what: every byte arrives"; else not_ok "$what: every byte arrives"; return; fi
    diag "$what: stack $((rate_h / 1000)) kbit/s, kernel $((rate_k / 1000)) kbit/s"
    ratios+=($((rate_h * 100 / (rate_k + 1))))
}
# medians WHAT PERCENT: as fast as the kernel, but for so many percent that are the machine's: it runs both at once, and whoever is scheduled
# late loses a window
medians() {
    local sorted median
    mapfile -t sorted < <(printf '%s\n' ${ratios[@]+"${ratios[@]}"} | sort -n)
    median=${sorted[${#sorted[@]} / 2]:-0}
    if [ "$median" -ge "$2" ]; then ok "$1: $median % of the kernel's rate"
    else not_ok "$1: $2 % of the kernel's rate or more" "${sorted[*]}"; fi
    ratios=()
}
link=(rate=100000000 queue=300)
ratios=()

if [ "${LONG:-0}" = 0 ]; then
    # In two seconds chance has its part, and what else the machine does: only what is wrong by a factor, three times on end, is seen here.
    case_of() {
        local what=$1
        shift
        for _ in 1 2 3; do
            streams "$@" || { not_ok "$what: every byte arrives"; return; }
            [ $((rate_h * 3)) -lt "$rate_k" ] || break
        done
        ok "$what: every byte arrives"
        if [ $((rate_h * 3)) -ge "$rate_k" ]; then ok "$what: $((rate_h / 1000)) kbit/s, the kernel $((rate_k / 1000))"
        else not_ok "$what: a third of the kernel's rate" "$((rate_h / 1000)) kbit/s, the kernel $((rate_k / 1000))"; fi
    }
    case_of "sending, 1 % lost, 20 ms, v4" tx 2 4 seed=1 delay-us=10000 loss=10000 "${link[@]}"
    case_of "sending, bursts, duplicates, 1 % reordered, 20 ms, v6" tx 2 6 seed=2 delay-us=10000 burst=1500 burst-len=5 dup=2000 \
        reorder=10000 reorder-us=4000 "${link[@]}"
    case_of "receiving, 1 % lost, 2 % reordered, jitter, 20 ms, v6" rx 2 6 seed=4 delay-us=10000 loss=10000 jitter-us=1000 \
        reorder=20000 reorder-us=4000 "${link[@]}"
    CC=bbr KERNEL_CC=$(kernel_cc bbr)
    case_of "BBR sending, 2 % lost, 20 ms, the kernel with $KERNEL_CC, v4" tx 2 4 seed=6 delay-us=10000 loss=20000 "${link[@]}"
    CC=cubic KERNEL_CC=cubic RATE=500000
    # Time that a worker is not scheduled is lost to it but for a few ticks, so below the rate only a factor counts; above it nothing does.
    for _ in 1 2 3; do
        paced=no
        streams tx 2 6 seed=7 delay-us=10000 "${link[@]}" || break
        [ "$rate_h" -gt 4200000 ] || [ "$rate_h" -lt 1000000 ] || { paced=yes && break; }
    done
    if [ $paced = yes ]; then
        ok "SO_MAX_PACING_RATE of 4 Mbit/s: $((rate_h / 1000)) kbit/s, the kernel $((rate_k / 1000))"
    else
        not_ok "SO_MAX_PACING_RATE of 4 Mbit/s" "$rate_h bit/s"
    fi
    finish
fi

if [ "$LONG" != fair ]; then
    family=4
    for mode in tx rx; do
        for delay in 10000 50000; do
            for impair in loss=0 loss=1000 loss=10000 loss=50000 "reorder=20000 reorder-us=4000"; do
                for seed in 1 2 3; do
                    # shellcheck disable=SC2086  # words
                    case_of "$mode, $impair, $((delay / 500)) ms, v$family, seed $seed" $mode 10 $family seed=$seed delay-us=$delay $impair "${link[@]}"
                    family=$((10 - family))
                done
                medians "$mode, $impair, $((delay / 500)) ms" 95
            done
        done
    done
fi

# Two flows through one bottleneck: ours, and the kernel's from the same end of the link.
F4=10.77.0.3
ip -n "$TAG-hs" addr add $F4/24 dev t0
in_ns hs sysctl -qw net.ipv4.tcp_no_metrics_save=1
fair() { # FIRST-RATE SECOND-RATE: Jain's index, in hundredths
    awk -v a="$1" -v b="$2" 'BEGIN { printf "%d", (a + b) ^ 2 / (2 * (a ^ 2 + b ^ 2)) * 100 }'
}
relay_set h seed=1 delay-us=10000 rate=50000000 queue=150
in_fs() { in_ns hs "$@"; }
in_fk() { in_hk "$@"; }
stream f tx 30 4 7900 >"$TMP/rate.f" 2>"$TMP/err.f" &
pid=$!
if stream h tx 30 4 7901 >"$TMP/rate.h" 2>"$TMP/err.h" && wait $pid; then
    ours=$(cat "$TMP/rate.h") theirs=$(cat "$TMP/rate.f")
    jain=$(fair "$ours" "$theirs")
    diag "through one bottleneck: stack $((ours / 1000)), kernel $((theirs / 1000)) kbit/s, Jain's index $jain %"
    if [ "$jain" -ge 90 ]; then ok "Jain's index with the kernel's CUBIC is 0.9 or more"
    else not_ok "Jain's index with the kernel's CUBIC is 0.9 or more" "$jain %"; fi
else
    not_ok "two flows through one bottleneck" "$(cat "$TMP/err.h" "$TMP/err.f")"
fi
finish
