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
served_by_ways pass_held.py "child unused thread listener datagram"
nothing_left
finish
