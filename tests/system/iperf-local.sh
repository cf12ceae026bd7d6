#!/bin/bash
# iperf-local.sh - unmodified iperf3, client and server on the same stack: cut-through, and through the stack's TCP
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_stack
# shellcheck source=tests/system/iperf.sh
. "$(dirname "$0")/iperf.sh"
veth_server
iperf_all "cut-through" stack stack $S4 $S6
iperf_case "cut-through over loopback's address" stack stack 127.0.0.1
iperf_case "app-scope-global only, v4" stack global $S4
iperf_case "app-scope-global only, v4, -R" stack global $S4 -R
finish
