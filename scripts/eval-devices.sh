#!/bin/sh
# Writes docs/evaluation-devices.md: which devices of the captures are found and
# what they are taken for. Needs softflowd, editcap (wireshark-common) and the
# captures beside the project or in TIDEMARK_CAPTURES. Takes some minutes.
set -eu
cd "$(dirname "$0")/.."
for tool in softflowd editcap; do
	command -v $tool >/dev/null || { echo "eval-devices: $tool is missing: apt-get install softflowd wireshark-common" >&2; exit 1; }
done
go test ./enrich/classifier -run TestEvaluation_RealDevices -count 1 -timeout 30m -eval "$PWD/docs/evaluation-devices.md"
echo "eval-devices: wrote docs/evaluation-devices.md"
