#!/bin/bash
# daemon.sh - hoststackd as a daemon: background, log file, lock, privileges, systemd's notifications, the wrapper's usage
# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"
need_stack
only_hoststack
need jq setpriv

conf() { printf '%s\n' "$1" >"$TMP/c.conf"; }
ask() { "$CTL" -s "$TMP/run/cli.sock" "$@"; }
pid_of() { ask --json show version | jq .pid; }
status_of() { sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"; }

# ---- background
conf "unix { runtime-dir $TMP/run  log $TMP/log }"
check "hoststackd goes to the background" timeout 60 "$HOSTSTACKD" -c "$TMP/c.conf"
check "and serves by the time the command ends" ask show version
pid=$(pid_of)
note_pid "$pid"
check "its log is in the file" grep -q 'serving' "$TMP/log"
check "its standard descriptors lead nowhere" test "$(readlink "/proc/$pid/fd/0" "/proc/$pid/fd/1" "/proc/$pid/fd/2" | sort -u)" = /dev/null
timeout 60 "$HOSTSTACKD" -c "$TMP/c.conf" 2>"$TMP/second" # into the same log file
check_eq "a second one in the same directory fails in the foreground of the user" $? 1
check "and says who is there" grep -q "process $pid" "$TMP/log"
kill -HUP "$pid"
check "SIGHUP is logged" wait_for 5 grep -q SIGHUP "$TMP/log"
check "and ends nothing" ask show version
end_pid "$pid"
check "SIGTERM ends it" pid_gone "$pid"
check_eq "and nothing is left in the runtime directory" "$(ls -A "$TMP/run")" ""

# ---- killed: the next one takes over
timeout 60 "$HOSTSTACKD" -c "$TMP/c.conf"
pid=$(pid_of)
note_pid "$pid"
end_pid "$pid" KILL
check "the sockets of a killed server are replaced" timeout 60 "$HOSTSTACKD" -c "$TMP/c.conf"
pid=$(pid_of)
note_pid "$pid"
check "and the new one answers" ask show version
end_pid "$pid"

# ---- systemd
check "READY=1, a fed watchdog, STOPPING=1" "$top_builddir/tests/system/notify_probe" "$HOSTSTACKD" -c "$TMP/c.conf" --foreground

# ---- privileges
if [ "$(id -u)" -eq 0 ]; then
    conf "unix { runtime-dir $TMP/run  log $TMP/log  user nobody  socket-group daemon }"
    check "started by root for user nobody" timeout 60 "$HOSTSTACKD" -c "$TMP/c.conf"
    pid=$(pid_of)
    note_pid "$pid"
    check_eq "runs as nobody" "$(status_of "$pid" Uid | tr '\t' ' ')" "$(id -u nobody) $(id -u nobody) $(id -u nobody) $(id -u nobody)"
    for set in CapInh CapPrm CapEff CapBnd CapAmb; do
        check_eq "no capability in $set" "$(status_of "$pid" $set)" 0000000000000000
    done
    for set in CapPrm CapEff; do
        check_eq "nor in $set of any worker" "$(sed -n "s/^$set:[[:space:]]*//p" "/proc/$pid"/task/*/status | sort -u)" 0000000000000000
    done
    check_eq "can gain none" "$(status_of "$pid" NoNewPrivs)" 1
    check_eq "sockets are of the group, for it alone" "$(stat -c '%a %G' "$TMP/run/app.sock" "$TMP/run/cli.sock" | sort -u)" "660 daemon"
    end_pid "$pid"
    check_eq "and are removed without root's rights" "$(find "$TMP/run" -name '*.sock')" ""
    rm -rf "$TMP/run"
    conf "unix { user no-such-user-here }"
    timeout 60 "$HOSTSTACKD" -c "$TMP/c.conf" --foreground >"$TMP/out" 2>&1
    check_eq "a user that does not exist: exit code 1" $? 1

    # a user without any privilege, and no configuration at all
    mkdir -m 700 "$TMP/xdg" && chown nobody "$TMP/xdg"
    as_nobody=(setpriv --reuid nobody --regid nogroup --clear-groups env XDG_RUNTIME_DIR="$TMP/xdg")
    if "${as_nobody[@]}" test -x "$HOSTSTACKD"; then
        bg "$TMP/nobody.log" "${as_nobody[@]}" "$HOSTSTACKD" --foreground
        check "an unprivileged user's server starts without configuration" \
            wait_for 15 "${as_nobody[@]}" "$CTL" show version
        check_eq "in the user's runtime directory" "$("$CTL" -s "$TMP/xdg/hoststack/cli.sock" --json show version | jq -r .name)" hoststack
        end_pid "$bg_pid"
    else
        skip "an unprivileged user's server starts without configuration" "user nobody cannot read the build directory"
    fi
fi

# ---- the wrapper
W=$top_builddir/hoststack
"$W" >"$TMP/out" 2>&1
check_eq "hoststack without a command: exit code 2" $? 2
"$W" --tls-cert "$TMP/none" true >"$TMP/out" 2>&1
check_eq "hoststack --tls-cert without a key: exit code 2" $? 2
"$W" --tls-cert "$TMP/none" --tls-key "$TMP/none" true >"$TMP/out" 2>&1
check_eq "hoststack --tls-cert with a file that is not there: exit code 2" $? 2
check "and says why" grep -q "cannot read" "$TMP/out"
"$W" -c "$TMP/none" true >"$TMP/out" 2>&1
check_eq "hoststack with a file that is not there: exit code 2" $? 2
"$W" no-such-command-here >"$TMP/out" 2>&1
check_eq "hoststack with a command that is not there: exit code 127" $? 127
printf 'vcl { app-socket-api %s/none.sock }\n' "$TMP" >"$TMP/v.conf"
check_eq "hoststack passes configuration, namespace and exit code on" \
    "$(cd "$TMP" && "$W" -c v.conf -n blue sh -c 'echo "$VCL_CONFIG $VCL_APP_NAMESPACE_ID"; exit 7'; echo $?)" \
    "$TMP/v.conf blue"$'\n'7
check_eq "hoststack keeps what is preloaded already" \
    "$(LD_PRELOAD=/nonexistent.so "$W" sh -c 'echo "${LD_PRELOAD##*:}"' 2>/dev/null)" /nonexistent.so
check_eq "programs work while no server is there" "$("$W" -c "$TMP/v.conf" ls "$TMP/v.conf" 2>/dev/null)" "$TMP/v.conf"
finish
