#!/bin/sh
# Makes enrich/oui.gz, the table of MAC vendors, from Debian's package ieee-data.
# Needs apt-get, dpkg-deb and Go. Run it before a release; the result is committed.
set -eu
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
echo "oui: downloading ieee-data"
(cd "$dir" && apt-get download -qq ieee-data)
dpkg-deb -x "$dir"/ieee-data_*.deb "$dir/x"
go run ./enrich/internal/ouigen "$dir/x/usr/share/ieee-data" enrich/oui.gz
echo "oui: wrote enrich/oui.gz from $(basename "$dir"/ieee-data_*.deb), $(wc -c <enrich/oui.gz) octets"
