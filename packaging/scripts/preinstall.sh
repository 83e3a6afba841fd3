#!/bin/sh
# The user that both daemons run as.
set -e
if ! getent passwd ossecd >/dev/null 2>&1; then
    if command -v useradd >/dev/null 2>&1; then
        getent group ossecd >/dev/null 2>&1 || groupadd --system ossecd
        useradd --system --gid ossecd --home-dir /var/lib/ossecd --no-create-home --shell /usr/sbin/nologin --comment ossecd ossecd
    else # Alpine
        addgroup -S ossecd 2>/dev/null || true
        adduser -S -D -H -h /var/lib/ossecd -s /sbin/nologin -G ossecd -g ossecd ossecd
    fi
fi
