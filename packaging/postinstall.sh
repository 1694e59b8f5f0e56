#!/bin/sh
# dpkg: configure, and the version that was there before. rpm: how many are there.
set -e

command -v systemctl >/dev/null || exit 0
case "$1 $2" in
"configure " | "1 ") first=1 ;;
*) first= ;;
esac

# Whether a new service is enabled is the distribution's to say.
[ -z "$first" ] || systemctl preset otelcol-hotspot.service
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
if [ "$first" ] && systemctl --quiet is-enabled otelcol-hotspot.service; then
	systemctl start otelcol-hotspot.service
else
	systemctl try-restart otelcol-hotspot.service
fi
