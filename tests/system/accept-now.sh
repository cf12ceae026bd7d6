#!/bin/bash
# accept-now.sh - accept() that does not wait has the connection that is there, at the first try
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/ways_lib.sh
. "$(dirname "$0")/ways_lib.sh"
need_root
need python3
need_stack
veth_server
port=7600
for f in 4 6; do
    s=S$f
    for way in none poll set away child; do
        python_served "v$f: $way, the kernel's peer" in_k "${!s}" accept_now.py $way "$TMP/there" acked
        python_served "v$f: $way, cut-through" stack "${!s}" accept_now.py $way "$TMP/there"
    done
done
nothing_left
finish
