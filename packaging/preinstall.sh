#!/bin/sh
# Before the files are laid down: one of them belongs to the group.
set -e

getent group otelcol-hotspot >/dev/null || groupadd --system otelcol-hotspot
getent passwd otelcol-hotspot >/dev/null || useradd --system --gid otelcol-hotspot \
	--home-dir /var/lib/otelcol-hotspot --no-create-home --shell /usr/sbin/nologin otelcol-hotspot
