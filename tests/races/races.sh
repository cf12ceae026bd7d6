#!/bin/bash
# races.sh - threads that make any call on any socket at any moment: no crash, no hang, and nothing is left
# shellcheck source=tests/races/lib.sh
. "$(dirname "$0")/lib.sh"
races_all
finish
