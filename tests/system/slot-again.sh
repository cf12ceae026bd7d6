#!/bin/bash
# slot-again.sh - what comes late about a cut-through connection that was closed is not done to the next one in the same slot
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/ways_lib.sh
. "$(dirname "$0")/ways_lib.sh"
need jq
need_root
need_stack
only_hoststack
veth_server
every_way slot_again 50
finish
