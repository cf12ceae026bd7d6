#!/bin/bash
# turns.sh - processes that take turns in waiting for connections, by a lock of their own: none is offered one while it waits for its turn
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/ways_lib.sh
. "$(dirname "$0")/ways_lib.sh"
need_root
need python3
need_stack
veth_server
port=7400
for f in 4 6; do
    s=S$f
    for way in turns drain away tries; do
        python_served "v$f: $way, the kernel's peer" in_k "${!s}" turns.py $way "$TMP/lock"
        python_served "v$f: $way, cut-through" stack "${!s}" turns.py $way "$TMP/lock"
    done
done
nothing_left
finish
