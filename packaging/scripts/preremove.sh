#!/bin/sh
# A removal, as against an upgrade, stops both daemons. $1 is "remove" (deb), or 0 (rpm).
set -e
case "$1" in remove | 0) ;; *) exit 0 ;; esac
if [ -d /run/systemd/system ]; then
    systemctl disable --now ossecd-manager.service ossecd-agent.service || true
fi
