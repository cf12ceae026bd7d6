#!/bin/bash
# systemd.sh - the unit is accepted by systemd-analyze, and is as closed as it claims
. "${top_srcdir:?}/tests/lint/lib.sh"

command -v systemd-analyze >/dev/null || { printf '1..0 # SKIP skipped: no systemd-analyze here\n'; exit 0; }
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT
unit=${top_builddir:?}/systemd/hoststackd.service
# The program named must exist: the built one in place of the installed one.
sed "s|^ExecStart=[^ ]*|ExecStart=$top_builddir/hoststackd|" "$unit" >"$dir/hoststackd.service"
printf '[Service]\nExecStart=/bin/true\n' >"$dir/probe.service"
if ! systemd-analyze verify --man=no "$dir/probe.service" >"$dir/probe.log" 2>&1; then
    printf '1..0 # SKIP skipped: systemd-analyze does not run here: %s\n' "$(head -n 1 "$dir/probe.log")"
    exit 0
fi
systemd-analyze verify --man=no "$dir/hoststackd.service" 2>&1 | grep -v '^$' | check "hoststackd.service is accepted without a word"
# Exposure as systemd counts it, 0 to 10; offline needs systemd 250.
if systemd-analyze --help 2>/dev/null | grep -q -- --offline; then
    if ! systemd-analyze security --offline=yes --threshold=30 "$dir/hoststackd.service" >"$dir/security" 2>&1; then
        tail -n 1 "$dir/security"
    fi | check "its exposure is below 3.0"
else
    skip "its exposure is below 3.0" "systemd-analyze has no --offline"
fi
awk '/^\[Service\]/ { s = 1 } /^\[Install\]/ { s = 0 }
    s && /^(Protect|Restrict|Private|Memory|Lock|NoNew|Capability|Ambient|System|Device|UMask)/ && !commented { print FILENAME ": " $0 " has no reason" }
    { commented = /^#/ || (commented && /^[A-Z]/) }' "$top_srcdir/systemd/hoststackd.service.in" | check "every hardening directive has its reason"
finish
