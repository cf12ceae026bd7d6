#!/bin/bash
# nginx.sh - nginx, master and workers: pages, kept connections, a connection a request, upload through its proxy
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin nginx curl wrk
web_servers 8080
each_way_in web_load 8080 "$WEB_PAGE" "$WEB_BIG"
app_end
