# shellcheck shell=bash
# ngx.sh - nginx and wrk of a test (sourced by those that use them)

need nginx curl wrk
# ngx_conf DIR PORT [WORKERS] [LISTEN-OPTIONS]: configuration, a small page and one of 1 MB, all below DIR
ngx_conf() {
    local dir=$1 port=$2 workers=${3:-2} opts=${4:-}
    mkdir -p "$dir/html" "$dir/logs" "$dir/tmp"
    printf 'hoststack test page %s\n' "$port" >"$dir/html/index.html"
    [ -f "$dir/html/big" ] || head -c 1000000 /dev/urandom >"$dir/html/big"
    chmod -R a+rX "$dir"
    cat >"$dir/nginx.conf" <<NGINX
daemon off;
master_process on;
worker_processes $workers;
pid $dir/nginx.pid;
error_log $dir/logs/error.log notice;
events { worker_connections ${NGX_CONNS:-4096}; }
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000000;
    client_body_temp_path $dir/tmp/b; proxy_temp_path $dir/tmp/p; fastcgi_temp_path $dir/tmp/f;
    uwsgi_temp_path $dir/tmp/u; scgi_temp_path $dir/tmp/s;
    server { listen $S4:$port backlog=4096 $opts; listen [$S6]:$port backlog=4096 $opts; root $dir/html; }
}
NGINX
}
# ngx_start SERVER DIR: the master's id is in ngx_pid once a page is served
ngx_start() {
    local port
    port=$(sed -n "s/.*listen $S4:\([0-9]*\).*/\1/p" "$2/nginx.conf")
    bg "$2/out" spre "$1" nginx -e "$2/logs/error.log" -c "$2/nginx.conf"
    ngx_pid=$bg_pid
    # shellcheck disable=SC2317
    ngx_answers() { TMO=5 spre "$1" curl -s -o /dev/null "http://$S4:$2/"; }
    wait_for 10 ngx_answers "$1" "$port" || { not_ok "nginx serves a page" "$(tail -n 15 "$2/out" "$2/logs/error.log")"; return 1; }
}
ngx_workers() { pgrep -P "$ngx_pid" | wc -l; }
ngx_same_page() { # CLIENT-SIDE URL FILE
    TMO=20 "$1" curl -sS -o "$TMP/page" "$2" && cmp "$TMP/page" "$3"
}
# wrk_clean OUTPUT: wrk ended without one error of any kind
wrk_clean() {
    grep -Eq '^ +[0-9]+ requests in' "$1" && ! grep -Eq 'Socket errors|Non-2xx' "$1"
}
wrk_requests() { sed -n 's/^ *\([0-9]*\) requests in.*/\1/p' "$1"; }
# wrk_until REQUESTS: wrk has no option for a number of requests, so runs of a few seconds are added up
# (of four times as long after a while, where connecting takes most of a run)
# wrk_case WHAT CLIENT-SIDE REQUESTS URL CONNECTIONS [WRK-OPTION...]
wrk_case() {
    local what=$1 side=$2 want=$3 url=$4 conns=$5 done=0 runs=0 out=$TMP/wrk.out
    shift 5
    while [ "$done" -lt "$want" ]; do
        runs=$((runs + 1))
        if ! TMO=40 "$side" wrk -t 2 -c "$conns" -d $((${WRK_SECS:-1} * (runs > 5 ? 4 : 1))) --timeout "${WRK_TIMEOUT:-30}" "$@" "$url" >"$out" 2>&1 || ! wrk_clean "$out"; then
            not_ok "$what" "after $done requests: $(cat "$out")"
            return 1
        fi
        done=$((done + $(wrk_requests "$out")))
        [ "$runs" -lt "${WRK_RUNS:-60}" ] || break
    done
    if [ "$done" -ge "$want" ]; then
        ok "$what: $done requests, 0 errors, $(sed -n 's/^Requests.sec: *//p' "$out")/s"
    else
        not_ok "$what" "only $done requests in $runs runs"
    fi
}
