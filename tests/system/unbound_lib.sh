# shellcheck shell=bash
# unbound_lib.sh - unbound with 200 names of its own, for who has sourced lib.sh: its configuration, and dnsperf's questions in $TMP/queries
unbound_conf() { # FILE ADDRESS-4 ADDRESS-6 PORT MORE
    cat >"$1" <<CONF
server:
    verbosity: 1
    use-syslog: no
    logfile: ""
    username: ""
    chroot: ""
    directory: "$TMP"
    pidfile: ""
    num-threads: 2
    so-reuseport: yes
    do-daemonize: no
    do-not-query-localhost: no
    interface: $2@$4
    interface: $3@$4
    access-control: 0.0.0.0/0 allow
    access-control: ::/0 allow
    module-config: "iterator"
$5
remote-control:
    control-enable: no
CONF
}
# shellcheck disable=SC2034  # used by the scripts
unbound_zone="    local-zone: \"hoststack.\" static"
for i in {1..200}; do
    unbound_zone+=$'\n'"    local-data: \"h$i.hoststack. 3600 IN A 192.0.2.$i\""
    echo "h$i.hoststack A" >>"$TMP/queries"
done
