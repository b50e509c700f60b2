#!/usr/bin/env bash
# Runs the tests. `scripts/test.sh race` runs only the race jobs, which need cgo
# (gcc); the product is built without it.
set -euo pipefail
cd "$(dirname "$0")/.."

# Packages whose goroutines share memory and which load neither the engine
# library (no cgo there) nor go-ethereum (minutes of compiling under -race).
race=(./collector ./collector/netflow ./collector/sflow ./enrich)

if [[ "${1:-}" != race ]]; then
	go test -timeout 30m ./...
fi
if command -v gcc >/dev/null; then
	CGO_ENABLED=1 go test -race -short -timeout 15m "${race[@]}"
else
	echo "no gcc: the race detector's tests are left out (install gcc to run them)" >&2
fi
