#!/bin/bash
# java.sh - Java: NIO selector server and client, sockets of threads, its HTTP server and client
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin java javac
javac -d "$TMP/classes" "$APPS_DIR/NioEcho.java" >"$TMP/javac.out" 2>&1 || bail "all ways: NioEcho.java compiles" "$(cat "$TMP/javac.out")"
java_cmd=(java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$TMP/classes" NioEcho)
app_start "$TMP/server" stack "${java_cmd[@]}" server 7401 $S4 $S6
app_start "$TMP/kserver" in_k "${java_cmd[@]}" server 7401 $K4 $K6
app_ready "java, NIO" 7401 "$TMP/server"
app_ready "java, HTTP" 7402 "$TMP/server"
kernel_ready "java, NIO" 7401 "$TMP/kserver"
kernel_ready "java, HTTP" 7402 "$TMP/kserver"
run() { "$client" "${java_cmd[@]}" "$1" "$2" "$addr" "$3" "$4"; }
servers() {
    way_check "NIO server, threads with sockets" run threads 7401 20 50
    way_check "HTTP server, HTTP client" run http 7402 4 100
}
clients() { way_check "NIO client, 50 connections" run nio 7401 50 20; }
each_way_in servers
each_way_out clients
app_end
