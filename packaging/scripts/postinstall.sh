#!/bin/sh
# Directories and running services. $1 is "configure" (deb), the number of installed versions (rpm), or a version (apk).
set -e
install -d -m 0750 -o ossecd -g ossecd /etc/ossecd
install -d -m 0755 /var/lib/ossecd
install -d -m 0750 -o ossecd -g ossecd /var/log/ossecd
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
    # What ran before an upgrade runs on as the new version.
    systemctl try-restart ossecd-manager.service ossecd-agent.service || true
fi
if [ "$1" = configure ] && [ -z "$2" ] || [ "$1" = 1 ]; then
    cat <<'TEXT'
ossecd is installed and not started yet. A host that receives logs runs the manager:
    ossecd keygen add NAME && systemctl enable --now ossecd-manager
A host that sends logs runs the agent, once /etc/ossecd/ossecd.toml names the manager and the files:
    systemctl enable --now ossecd-agent
TEXT
fi
