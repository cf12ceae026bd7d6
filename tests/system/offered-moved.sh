#!/bin/bash
# offered-moved.sh - what was written before a connection changed hands comes first, whoever accepts it, though it was offered to another one
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/ways_lib.sh
. "$(dirname "$0")/ways_lib.sh"
need jq
need_root
need_stack
only_hoststack
veth_server
every_way offered_moved 20
finish
