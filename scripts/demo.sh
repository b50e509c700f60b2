#!/usr/bin/env bash
# The whole promise on a simulated site: devices live for two weeks in seconds,
# are attacked, and somebody edits the record. Own data directory, free ports;
# nothing is left running. `make demo` builds what it needs first.
set -euo pipefail
exec 3>&1 # what is run is shown even where its output goes into a file
bin=$(cd "$(dirname "$0")/.." && pwd)/bin
dir=$(mktemp -d "${TMPDIR:-/tmp}/tidemark-demo.XXXXXX")
cd "$dir"
daemon=
interrupted=0
finish() {
	local code=$?
	trap - EXIT
	if [[ -n $daemon ]] && kill -0 "$daemon" 2>/dev/null; then
		kill "$daemon" 2>/dev/null || true
		wait "$daemon" 2>/dev/null || true
	fi
	if ((code != 0 && ! interrupted)); then
		echo "the demo failed (exit $code); everything is kept in $dir; the daemon's last words:" >&2
		tail -n 20 daemon.log >&2 || true
	elif [[ -n ${TIDEMARK_DEMO_KEEP:-} ]]; then
		echo "kept: $dir"
	else
		cd / && rm -rf "$dir"
	fi
	exit "$code"
}
trap finish EXIT
trap 'interrupted=1; exit 130' INT
trap 'interrupted=1; exit 143' TERM

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then bold=$'\e[1m' dim=$'\e[2m' off=$'\e[0m'; else bold='' dim='' off=''; fi
say() { printf '\n%s== %s%s\n' "$bold" "$*" "$off"; }
note() { printf '%s\n' "$*" | fold -s -w 110; }
show() {
	local word line=
	for word; do
		[[ $word == *[[:space:]]* ]] && word="\"$word\""
		line+=" $word"
	done
	printf '%s$ tidemark%s%s\n' "$dim" "$line" "$off" >&3
}
run() { show "$@"; "$bin/tidemark" "$@"; }
quietly() { show "$@"; "$bin/tidemark" "$@" >>quiet.log; }
number() { grep -o "\"$1\":[0-9]*" "$2" | head -n 1 | cut -d: -f2; }

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
export TIDEMARK_DATA_DIR=$dir/data TIDEMARK_CONFIG=$dir/tidemark.yaml
cat >tidemark.yaml <<EOF_CONFIG
site: demo
networks: [10.20.0.0/16]
collector:
  listen: ["127.0.0.1:$udp"]
  exporters: [{address: 127.0.0.0/8, clock: as_exported}]   # the simulation has its own calendar
chain: {interval: 5s}
http: {listen: "127.0.0.1:$tcp"}
EOF_CONFIG

say "1. A collector starts, with its own database engine and a local Ethereum chain"
show run --dev-chain
"$bin/tidemark" run --dev-chain 2>daemon.log &
daemon=$!
for _ in $(seq 300); do
	grep -q 'tidemark is running' daemon.log && break
	kill -0 "$daemon" 2>/dev/null || exit 1
	sleep 0.1
done
grep -q 'tidemark is running' daemon.log
quietly anchor now
run contract trust >trust.json
note "trust.json now names chain, contract, log and log key. An auditor gets it today, and keeps it elsewhere: whatever" \
	"becomes of this machine, a history made up later will not agree with it."

say "2. Fifteen ordinary days of a small site, from four routers, over UDP"
"$bin/sitesim" life --to "127.0.0.1:$udp" --days 15 --seed 7 --state site.json >life.json 2>sitesim.log
note "The simulator sent $(number records life.json | sed ':a;s/\([0-9]\)\([0-9]\{3\}\)\($\|,\)/\1,\2\3/;ta') flow records as NetFlow v5 and v9, IPFIX and sFlow. What came of them:"
quietly anchor now
run exporters

say "3. What was found: every device that spoke, who made it, what it offers and what it uses"
run devices

say "4. What is normal: the operator panel of a machine hall works by day, from Monday to Friday"
run baseline 10.20.20.12

say "5. Alerts after fifteen ordinary days"
run alerts

say "6. Day 16: the site is attacked. This is what the simulator does:"
"$bin/sitesim" attack --to "127.0.0.1:$udp" --state site.json --labels labels.ndjson >attack.json 2>>sitesim.log
sed -n 's/.*"attack":"\([^"]*\)","device":"\([^"]*\)".*"ip":"\([^"]*\)".*"start":"[^T]*T\([0-9]*:[0-9]*\).*/\4 \1 \3 \2/p' labels.ndjson |
	sort -u | while read -r at what ip who; do printf '  %s  %-16s %-12s %s\n' "$at" "$what" "$ip" "$who"; done
echo "and this is what the collector says, knowing nothing of it:"
quietly anchor now --final
run alerts
alert=$("$bin/tidemark" alerts --output ndjson | sed -n '1s/.*"id":"\([^"]*\)".*/\1/p')

say "7. Why, for the most severe one"
run alerts explain "$alert"

say "8. What of the record is protected, and is it still what was received?"
run anchor status
echo
run verify --trust trust.json

say "9. One flow as evidence: a file that needs neither our database nor our word"
flow=$("$bin/tidemark" alerts explain --output json "$alert" | grep -o '[0-9a-f]\{16\}-[0-9]*-[0-9]*' | sed -n 1p)
run prove --flow "$flow" --out bundle.txt
node=$(<data/chain/url)
mkdir auditor && cp trust.json bundle.txt auditor/ && cd auditor
note "The auditor has two files, a node of the chain, and no access to this collector:"
show verify-bundle --trust trust.json --rpc "$node" bundle.txt
env -u TIDEMARK_CONFIG TIDEMARK_DATA_DIR="$dir/auditor" "$bin/tidemark" verify-bundle --trust trust.json --rpc "$node" bundle.txt
cd "$dir"

say "10. Now somebody who has the database alters that flow: one more packet"
batch=${flow#*-}; pos=${batch#*-}; batch=${batch%-*}
run sql "ALTER TABLE flows UPDATE packets = packets + 1 WHERE batch_index = $batch AND pos = $pos"
note "Nothing in the row shows it. But:"
code=0
run verify --trust trust.json || code=$?
echo "(exit code $code)"
if ((code != 4)); then
	echo "verify did not notice" >&2
	exit 1
fi

say "The edit was named. The collector stops; all it received is stored"
kill "$daemon"
wait "$daemon"
daemon=
echo "Done in $SECONDS s. Next: make run, and point a router at it (README.md)."
