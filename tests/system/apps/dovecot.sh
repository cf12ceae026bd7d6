#!/bin/bash
# dovecot.sh - dovecot, whose logins pass their connection to another process: mails stored and fetched by IMAP and POP3
# shellcheck source=tests/system/apps/apps.sh
. "$(dirname "$0")/apps.sh"
app_begin dovecot curl
# It hands on what it is told of its environment, no more (import_environment).
mkdir -m 777 "$TMP/mail" "$TMP/dove"
any_user
echo 'joe:{PLAIN}secret:65534:65534::'"$TMP/mail" >"$TMP/passwd"
cat >"$TMP/dovecot.conf" <<CONF
base_dir = $TMP/dove
log_path = $TMP/dovecot.log
protocols = imap pop3
listen = $S4, $S6
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain
import_environment = LD_PRELOAD LD_LIBRARY_PATH VCL_CONFIG
default_internal_user = nobody
default_internal_group = nogroup
default_login_user = nobody
mail_location = maildir:$TMP/mail/%u
first_valid_uid = 1
passdb {
  driver = passwd-file
  args = $TMP/passwd
}
userdb {
  driver = passwd-file
  args = $TMP/passwd
}
service imap-login {
  chroot =
  inet_listener imap {
    port = 1143
  }
  inet_listener imaps {
    port = 0
  }
}
service pop3-login {
  chroot =
  inet_listener pop3 {
    port = 1110
  }
  inet_listener pop3s {
    port = 0
  }
}
CONF
app_start "$TMP/dove.out" stack dovecot -F -c "$TMP/dovecot.conf"
app_ready dovecot 1143 "$TMP/dovecot.log"
app_ready dovecot 1110 "$TMP/dovecot.log"
(printf 'Subject: %s\r\n\r\n' big; head -c 2000000 /dev/urandom | base64 | sed 's/$/\r/') >"$TMP/letter"
mail() { "$client" curl -sS --connect-timeout 20 --user joe:secret "$@"; }
stored() {
    mail -X "CREATE b$hs_n" "imap://$host:1143/" >/dev/null && mail -T "$TMP/letter" "imap://$host:1143/b$hs_n" &&
        same_as "$TMP/letter" mail "imap://$host:1143/b$hs_n;MAILINDEX=1"
}
ten() {
    local i pids=() rc=0
    for i in {1..10}; do { mail "imap://$host:1143/$1;MAILINDEX=1" | cmp "$TMP/letter" -; } & pids+=($!); done
    for i in "${pids[@]}"; do wait "$i" || rc=1; done
    return $rc
}
by_pop3() { mail -T "$TMP/letter" "imap://$host:1143/INBOX" && same_as "$TMP/letter" mail "pop3://$host:1110/1"; }
cases() {
    local box=b$hs_n
    way_check "a mail of 2.7 MB stored and fetched" stored
    way_check "ten at once" ten "$box"
    way_check "by POP3" by_pop3
}
each_way_in cases
app_end
