#!/bin/sh
# A purge (deb) leaves nothing: no keys, no state, no events, no user.
set -e
[ ! -d /run/systemd/system ] || systemctl daemon-reload || true
[ "$1" = purge ] || exit 0
rm -rf /etc/ossecd /var/lib/ossecd /var/log/ossecd
if getent passwd ossecd >/dev/null 2>&1; then
    userdel ossecd || true
fi
if getent group ossecd >/dev/null 2>&1; then
    groupdel ossecd || true
fi
