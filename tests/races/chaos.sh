#!/bin/bash
# chaos.sh - processes of threads that make any call, fork, exec and pass descriptors, each killed with SIGKILL at a random instant: nothing is
# left in the server, and it serves. Not part of make check.
# shellcheck source=tests/races/lib.sh
. "$(dirname "$0")/lib.sh"
veth_server
races_run cut-through stack chaos 127.0.0.1 ::1
races_run 'cut-through, an address of the port' stack chaos $S4 $S6
races_run 'TCP inside the server' global chaos $S4 $S6
check 'it serves' global "$RACES" ask $S4 $S6 10
server_stop a && ok 'it ends in order'
finish
