#!/bin/bash
# waiting-child.sh - connections go to the process that waits for them, not to its parent that could but does something else
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/ways_lib.sh
. "$(dirname "$0")/ways_lib.sh"
need_root
need jq python3
need_stack
veth_server
port=7300
for f in 4 6; do
    s=S$f
    for child in poll epoll inherited; do
        for parent in epoll accept; do
            python_served "v$f: parent $parent, child $child, the kernel's peer" in_k "${!s}" waiting_child.py $parent $child
            python_served "v$f: parent $parent, child $child, cut-through" stack "${!s}" waiting_child.py $parent $child
        done
    done
done
nothing_left
finish
