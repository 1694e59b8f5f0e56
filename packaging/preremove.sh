#!/bin/sh
# dpkg: remove or upgrade. rpm: how many will be there.
set -e

command -v systemctl >/dev/null || exit 0
case "$1" in
remove | 0)
	[ ! -d /run/systemd/system ] || systemctl stop otelcol-hotspot.service
	;;
esac
# dpkg forgets whether it was enabled when it is purged.
[ "$1" != 0 ] || systemctl --no-reload disable otelcol-hotspot.service
