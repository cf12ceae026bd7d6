#!/bin/bash
# php.sh - PHP: php-fpm behind nginx over TCP, started anew under load; PHP's own server with three processes
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
for PHP_FPM in /usr/sbin/php-fpm[0-9]*; do :; done
app_begin nginx "$PHP_FPM" php ab curl
mkdir "$TMP/www" "$TMP/tmp"
echo '<?php echo file_get_contents("php://input") ?: "hoststack test page\n";' >"$TMP/www/echo.php"
echo "hoststack test page" >"$TMP/page"
random_file "$TMP/in" 1000000
pool() { # NAME ADDRESS
    printf '[%s]\nuser = nobody\ngroup = nogroup\nlisten = %s:9000\npm = dynamic\npm.max_children = 6\n' "$1" "$2"
    printf 'pm.start_servers = 2\npm.min_spare_servers = 1\npm.max_spare_servers = 3\n'
}
{
    printf '[global]\ndaemonize = no\nerror_log = %s\npid = %s\nprocess_control_timeout = 60\n' "$TMP/fpm.log" "$TMP/fpm.pid"
    pool four $S4
    pool six "[$S6]"
} >"$TMP/fpm.conf"
site() {
    cat <<NGINX
server {
    listen $1:8300;
    client_max_body_size 0;
    location / { include fastcgi_params; fastcgi_param SCRIPT_FILENAME $TMP/www\$fastcgi_script_name; fastcgi_pass $1:9000; }
}
NGINX
}
cp /etc/nginx/fastcgi_params "$TMP/"
cat >"$TMP/nginx.conf" <<NGINX
daemon off;
worker_processes 2;
pid $TMP/nginx.pid;
events { }
http {
    access_log off;
    client_body_temp_path $TMP/tmp/b; proxy_temp_path $TMP/tmp/p; fastcgi_temp_path $TMP/tmp/f;
    uwsgi_temp_path $TMP/tmp/u; scgi_temp_path $TMP/tmp/s;
    $(site $S4)
    $(site "[$S6]")
}
NGINX
app_start "$TMP/fpm.out" stack "$PHP_FPM" -n -y "$TMP/fpm.conf" -R -F
fpm=$bg_pid
app_start "$TMP/nginx.out" stack nginx -e "$TMP/nginx.log" -c "$TMP/nginx.conf"
export PHP_CLI_SERVER_WORKERS=3
for a in $S4 "[$S6]"; do app_start "$TMP/cli.out" stack php -n -S "$a:8301" -t "$TMP/www"; done
unset PHP_CLI_SERVER_WORKERS
app_ready php-fpm 9000 "$TMP/fpm.log"
app_ready nginx 8300 "$TMP/nginx.log"
app_ready php 8301 "$TMP/cli.out"
page() { same_as "$TMP/page" "$client" curl -sS "http://$host:$1/echo.php"; }
upload() { same_as "$TMP/in" "$client" curl -sS -H 'Content-Type: x/y' --data-binary "@$TMP/in" "http://$host:$1/echo.php"; }
all_served() { grep -Eq '^Failed requests: +0$' "$1" && grep -Eq "^Complete requests: +$2\$" "$1" && ! grep -q Non-2xx "$1" || { cat "$1"; return 1; }; }
load() {
    "$client" ab -q -n 500 -c 8 "http://$host:$1/echo.php" >"$TMP/ab" 2>&1
    all_served "$TMP/ab" 500
}
again() { # php-fpm executes itself anew, and finds its listeners
    local ab before
    TMO=60 "$client" ab -q -n 1000 -c 4 "http://$host:8300/echo.php" >"$TMP/ab" 2>&1 & ab=$!
    before=$(grep -c 'ready to handle connections' "$TMP/fpm.log")
    kill -USR2 "$fpm"
    is_ready() { [ "$(grep -c 'ready to handle connections' "$TMP/fpm.log")" -gt "$before" ]; }
    wait_for 60 is_ready || { tail "$TMP/fpm.log"; return 1; }
    wait "$ab"
    all_served "$TMP/ab" 1000 || { tail "$TMP/fpm.log" "$TMP/nginx.log"; return 1; }
}
cases() {
    local port
    for port in 8300 8301; do
        way_check "$([ $port = 8300 ] && echo php-fpm || echo "PHP's own server"): a page" page $port
        way_check "$([ $port = 8300 ] && echo php-fpm || echo "PHP's own server"): 1 MB uploaded comes back" upload $port
        way_check "$([ $port = 8300 ] && echo php-fpm || echo "PHP's own server"): 500 requests of 8 clients" load $port
    done
    way_check "php-fpm: executed anew under load" again
}
each_way_in cases
app_end
