# shellcheck shell=bash
# same_lib.sh - a program that prints what it finds, over the kernel and over the stack (sourced): its output must be the same
#
# Who sources it says what a world is: world_begin NAME makes its namespaces and links (NS_S, NS_K, HS_STACK: kernel or hoststack), world_conf N
# prints the server's configuration for N workers, probe KIND runs the program.

world() { # NAME: k is the kernel's
    NS_S=$TAG-s$1 NS_K=$TAG-k$1
    HS_STACK=$([ "$1" = k ] && echo kernel || echo hoststack)
    topo_veth
    world_begin "$1"
}
S4B=10.81.0.1 S6B=fd81::1 K4B=10.81.0.2 K6B=fd81::2
second_link() { # between the two hosts: vs1, vk1
    ip -n "$NS_S" link add vs1 type veth peer name vk1 netns "$NS_K" || bail "veth pair can be made"
    [ "$HS_STACK" = kernel ] || in_s sysctl -qw net.ipv6.conf.vs1.disable_ipv6=1
    ip -n "$NS_S" link set vs1 up
    ip -n "$NS_K" link set vk1 up
    ip -n "$NS_K" addr add $K4B/24 dev vk1
    ip -n "$NS_K" addr add $K6B/64 dev vk1 nodad
    if [ "$HS_STACK" = kernel ]; then
        ip -n "$NS_S" addr add $S4B/24 dev vs1
        ip -n "$NS_S" addr add $S6B/64 dev vs1 nodad
    fi
}
two_links_conf() { # WORKERS
    local i
    conf_head a "$1"
    for i in 0 1; do printf 'port wire%s { device packet iface=vs%s  rx-queues %s }\n' $i $i "$1"; done
    conf_addrs wire0 $S4 $S6
    conf_addrs wire1 $S4B $S6B
}
same() { # LINES KIND...: with one worker and with three; each kind prints more than so many lines
    local least=$1 kind n lines
    shift
    world k
    for kind; do probe "$kind" >"$TMP/kernel.$kind"; done
    for n in 1 3; do
        world "h$n"
        world_conf $n >"$TMP/a.conf"
        server_start a "$NS_S"
        for kind; do
            probe "$kind" >"$TMP/stack.$kind"
            lines=$(wc -l <"$TMP/kernel.$kind")
            if diff -U 2 "$TMP/kernel.$kind" "$TMP/stack.$kind" >"$TMP/diff" && [ "$lines" -gt "$least" ]; then
                ok "$n workers, $kind: $lines results as of the kernel"
            else
                not_ok "$n workers, $kind: $lines results as of the kernel" "$(cat "$TMP/diff")"
            fi
        done
        server_alive a && ok "$n workers: the server lives" || not_ok "$n workers: the server lives"
        server_stop a
    done
}
