#!/usr/bin/env bash
# The whole promise on a simulated site: devices live for two weeks in seconds,
# are attacked, and somebody edits the record. Own data directory, free ports;
# nothing is left running. `make demo` builds what it needs first.
set -euo pipefail
exec 3>&1 # what is run is shown even where its output goes into a file
cd "$(dirname "$0")/.."
dir=$(mktemp -d "${TMPDIR:-/tmp}/tidemark-demo.XXXXXX")
daemon=
finish() {
	local code=$?
	if [[ -n $daemon ]] && kill -0 "$daemon" 2>/dev/null; then
		kill "$daemon" && wait "$daemon" 2>/dev/null || true
	fi
	if ((code)); then
		echo "the demo failed (exit $code); the daemon's last words, from $dir/daemon.log:" >&2
		tail -n 20 "$dir/daemon.log" >&2 || true
	elif [[ -z ${TIDEMARK_DEMO_KEEP:-} ]]; then
		rm -rf "$dir"
	fi
}
trap finish EXIT

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then bold=$'\e[1m' dim=$'\e[2m' off=$'\e[0m'; else bold='' dim='' off=''; fi
say() { printf '\n%s== %s%s\n' "$bold" "$*" "$off"; }
run() { printf '%s$ tidemark %s%s\n' "$dim" "$*" "$off" >&3; bin/tidemark --data-dir "$dir/data" --config "$dir/tidemark.yaml" "$@"; }

# free_port proto: a port nobody has, by the kernel's own tables.
free_port() {
	local port hex
	while :; do
		port=$((20000 + RANDOM % 20000))
		printf -v hex ':%04X ' "$port"
		grep -q "$hex" "/proc/net/$1" "/proc/net/${1}6" 2>/dev/null || { echo "$port"; return; }
	done
}
udp=$(free_port udp)
tcp=$(free_port tcp)
cat >"$dir/tidemark.yaml" <<EOF
site: demo
networks: [10.20.0.0/16]
collector:
  listen: ["127.0.0.1:$udp"]
  exporters: [{address: 127.0.0.0/8, clock: as_exported}]   # the simulation has its own calendar
chain: {interval: 5s}
http: {listen: "127.0.0.1:$tcp"}
EOF

say "A collector starts, with its own database engine and a local Ethereum chain"
bin/tidemark --data-dir "$dir/data" --config "$dir/tidemark.yaml" run --dev-chain 2>"$dir/daemon.log" &
daemon=$!
for _ in $(seq 300); do
	grep -q 'tidemark is running' "$dir/daemon.log" && break
	kill -0 "$daemon" 2>/dev/null || exit 1
	sleep 0.1
done
grep -q 'tidemark is running' "$dir/daemon.log"
run anchor now
run contract trust >"$dir/trust.json"
echo "An auditor notes chain, contract, log and key in a trust file, and keeps it elsewhere."

say "Fifteen days of a small site, sent as NetFlow v5 and v9, IPFIX and sFlow over UDP"
bin/sitesim life --to "127.0.0.1:$udp" --days 15 --seed 7 --state "$dir/site.json" >"$dir/life.json" 2>"$dir/sitesim.log"
run anchor now
run exporters

say "What was found"
run devices
say "What one of them normally does"
run baseline 10.20.10.11
say "Nothing has happened yet"
run alerts

say "Day 16: the site is attacked"
bin/sitesim attack --to "127.0.0.1:$udp" --state "$dir/site.json" --labels "$dir/labels.ndjson" >"$dir/attack.json" 2>>"$dir/sitesim.log"
run anchor now
run alerts
alert=$(bin/tidemark --data-dir "$dir/data" --config "$dir/tidemark.yaml" alerts --output ndjson | sed -n '1s/.*"id":"\([^"]*\)".*/\1/p')
say "Why, for the most severe one"
run alerts explain "$alert"

say "The record so far"
run anchor status
run verify --trust "$dir/trust.json"
say "One flow, for an auditor: a file that needs neither our database nor our word"
flow=$(bin/tidemark --data-dir "$dir/data" --config "$dir/tidemark.yaml" alerts explain --output json "$alert" | grep -o '[0-9a-f]\{16\}-[0-9]*-[0-9]*' | sed -n 1p)
run prove --flow "$flow" --out "$dir/bundle.json"
run verify-bundle --trust "$dir/trust.json" --rpc "$(cat "$dir/data/chain/url")" "$dir/bundle.json"

say "Now somebody with the database's password alters one row of the scan"
batch=${flow#*-}; pos=${batch#*-}; batch=${batch%-*}
run sql "ALTER TABLE flows UPDATE packets = packets + 1 WHERE batch_index = $batch AND pos = $pos SETTINGS mutations_sync = 1"
echo "(no word of it anywhere)"
if run verify --trust "$dir/trust.json"; then
	echo "verify did not notice" >&2
	exit 1
fi
say "The edit was named. The collector stops; all it received is stored"
kill "$daemon"
wait "$daemon"
daemon=
echo "Done in $SECONDS s."
