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
served_by_ways turns.py "turns drain away tries" "$TMP/lock"
nothing_left
finish
