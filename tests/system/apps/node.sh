#!/bin/bash
# node.sh - Node.js: http server and client, kept connections, uploads echoed, a server in worker processes (cluster), UDP
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin node curl
for side in stack in_k; do
    [ $side = stack ] && a="$S4 $S6" || a="$K4 $K6"
    # shellcheck disable=SC2086
    app_start "$TMP/http.$side" $side node "$APPS_DIR/node_server.js" http 7301 $a
    # shellcheck disable=SC2086
    app_start "$TMP/cluster.$side" $side node "$APPS_DIR/node_server.js" cluster 7302 $a
done
app_ready "node, http" 7301 "$TMP/http.stack"
app_ready "node, cluster" 7302 "$TMP/cluster.stack"
kernel_ready "node, http" 7301 "$TMP/http.in_k"
random_file "$TMP/in" 1000000
echoed() { same_as "$TMP/in" "$client" curl -sS --data-binary "@$TMP/in" "http://$host:$1/"; }
load() { "$client" node "$APPS_DIR/node_client.js" "$addr" "$1" 20 "$2"; }
servers() {
    way_check "http server echoes 1 MB of curl" echoed 7301
    way_check "http server and client, 1,000 requests on 20 connections" load 7301 1000
    way_check "cluster of two, 1,000 requests" load 7302 1000
}
clients() { way_check "http client, 1,000 requests on 20 connections" load 7301 1000; }
each_way_in servers
each_way_out clients
app_end
