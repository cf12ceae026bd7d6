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
served_by_ways accept_now.py "none poll set away child" "$TMP/there"
nothing_left
finish
