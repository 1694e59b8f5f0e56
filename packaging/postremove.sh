#!/bin/sh
# dpkg: remove, purge, upgrade and others. rpm: how many are left. The user
# stays: another file may be its.
set -e

if [ "$1" = purge ]; then
	rm -rf /var/lib/otelcol-hotspot
	rm -f /etc/systemd/system/multi-user.target.wants/otelcol-hotspot.service
fi
[ ! -d /run/systemd/system ] || systemctl daemon-reload
