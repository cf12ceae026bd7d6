#!/bin/bash
# pass-held.sh - a socket that comes by SCM_RIGHTS to a process that has it already, by fork or in a call of a thread
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/ways_lib.sh
. "$(dirname "$0")/ways_lib.sh"
need_root
need python3
need_stack
veth_server
port=7500
for f in 4 6; do
    s=S$f
    for way in child unused thread listener datagram; do
        python_served "v$f: $way, the kernel's peer" in_k "${!s}" pass_held.py $way
        python_served "v$f: $way, over loopback or cut-through" stack "${!s}" pass_held.py $way
    done
done
nothing_left
finish
