#!/bin/bash
# ruby.sh - Ruby: puma with two processes of four threads and its hot restart under load, WEBrick with a thread a connection, Net::HTTP as client
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin ruby puma curl wrk
# shellcheck source=tests/system/ngx.sh
. "$APPS_DIR/../ngx.sh"
mkdir "$TMP/html"
echo 'hoststack test page' >"$TMP/html/index.html"
random_file "$TMP/html/big" 1000000
cat >"$TMP/config.ru" <<'RUBY'
run lambda { |env|
  body = env['REQUEST_METHOD'] == 'POST' ? env['rack.input'].read : File.binread(env['PATH_INFO'] == '/big' ? 'html/big' : 'html/index.html')
  [200, { 'Content-Type' => 'application/octet-stream', 'Content-Length' => body.bytesize.to_s }, [body]]
}
RUBY
cat >"$TMP/webrick.rb" <<'RUBY'
require 'webrick'
server = WEBrick::HTTPServer.new(Port: 7602, BindAddress: ARGV[0], DocumentRoot: 'html', AccessLog: [], Logger: WEBrick::Log.new('/dev/null'))
trap('TERM') { server.shutdown }
server.start
RUBY
cat >"$TMP/get.rb" <<'RUBY'
require 'net/http'
url = URI(ARGV[0])
Net::HTTP.start(url.hostname, url.port) do |http|
  pages = (1..5).map { http.get('/big').body }
  exit 1 unless pages.uniq.size == 1
  $stdout.binmode.write(pages[0])
end
RUBY
cd "$TMP" || exit 99
app_start "$TMP/puma.out" stack puma -q -w 2 -t 4:4 -b "tcp://$S4:7601" -b "tcp://[$S6]:7601" "$TMP/config.ru"
puma=$bg_pid
app_start "$TMP/webrick4.out" stack ruby "$TMP/webrick.rb" $S4
app_start "$TMP/webrick6.out" stack ruby "$TMP/webrick.rb" $S6
app_ready puma 7601 "$TMP/puma.out"
app_ready WEBrick 7602 "$TMP/webrick4.out"
booted() { [ "$(grep -c 'booted' "$TMP/puma.out")" -ge "$1" ]; }
restarted() { # it executes itself anew, and its listeners go along
    local out=$TMP/restart.$hs_n before pid
    before=$(grep -c 'booted' "$TMP/puma.out")
    bg "$out" "$client" wrk -t 2 -c 8 -d 3 --timeout 30 "http://$host:7601/"
    pid=$bg_pid
    kill -USR2 "$puma"
    wait_for 60 booted $((before + 2)) || { tail "$TMP/puma.out"; return 1; }
    wait_for 60 pid_gone "$pid" && grep -q 'requests in' "$out" && ! grep -q 'Non-2xx\|connect [1-9]' "$out" || { cat "$out"; return 1; }
}
pages() { # PORT SERVER
    way_check "$2: curl gets a page" same_as "$TMP/html/index.html" "$client" curl -sS "http://$host:$1/"
    way_check "$2: curl gets 1 MB" same_as "$TMP/html/big" "$client" curl -sS "http://$host:$1/big"
    wrk_case "$way: $2: wrk, kept connections" "$client" 100 "http://$host:$1/" 8
    wrk_case "$way: $2: wrk, a connection a request" "$client" 50 "http://$host:$1/" 8 -H 'Connection: close'
}
cases() {
    pages 7601 puma
    way_check "puma: 1 MB posted comes back" same_as "$TMP/html/big" "$client" curl -sS --data-binary "@$TMP/html/big" "http://$host:7601/"
    way_check "puma: restarts under load" restarted
    pages 7602 WEBrick
    way_check "Net::HTTP, five in one connection" same_as "$TMP/html/big" "$client" ruby "$TMP/get.rb" "http://$host:7601/"
}
each_way_in cases
app_end
