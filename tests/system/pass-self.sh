#!/bin/bash
# pass-self.sh - a descriptor that a program passes to itself, or to a child and back, and closes meanwhile: what it takes is the socket, always
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/system/ways_lib.sh
. "$(dirname "$0")/ways_lib.sh"
need jq
need_root
need_stack
only_hoststack
veth_server
every_way pass_self 200
finish
