#!/usr/bin/env bash
# The figures of docs/performance.md for this machine: each stage by itself, the
# line from the socket to the sealed batch on one CPU, and the whole way through the
# real daemon with the highest rate that loses nothing in DURATION. The generator is
# on the same machine. Compare ratios of one run: neighbours inflate CPU time.
#
#   BENCHTIME=1s DURATION=10s MIX=v5,v9,ipfix START=100000 TRIES=2 HALVINGS=2 PARTS='stages line whole'
set -euo pipefail
cd "$(dirname "$0")/.."
benchtime=${BENCHTIME:-1s} duration=${DURATION:-10s} mix=${MIX:-v5,v9,ipfix} start=${START:-100000}
tries=${TRIES:-2} halvings=${HALVINGS:-2} parts=${PARTS:-stages line whole}
. scripts/daemon.sh

printf '## Machine\n%s, %s CPUs, %s, %s, load %s\n' "$(awk -F': ' '/model name/{print $2; exit}' /proc/cpuinfo)" "$(nproc)" \
	"$(go version | cut -d' ' -f3)" "$(date -u +%F)" "$(cut -d' ' -f1-3 /proc/loadavg)"

# stage PACKAGE BENCHMARKS: a line for each, in CPU ns per flow.
stage() {
	go test -run '^$' -bench "$2" -benchtime "$benchtime" "$1" | awk '
		/^Benchmark/ {
			for (i = 3; i < NF; i++) {
				if ($(i+1) ~ /^cpu-ns\//) ns = $i
				if ($(i+1) == "cpu-s/Mrow") ns = $i * 1000
				if ($(i+1) == "allocs/op") allocs = ", " $i " allocations per run"
			}
			sub(/^Benchmark/, "", $1); sub(/-[0-9]+$/, "", $1)
			printf "| %s | %.0f%s |\n", $1, ns, allocs
			ns = allocs = ""
		}'
}
stages() {
	printf '\n## Stages\n| stage | CPU ns per flow |\n|---|---|\n'
	stage ./collector 'Reader$'          # socket, decode, account
	stage ./collector/netflow '^BenchmarkDecode'
	stage ./collector/sflow '^BenchmarkDecode$'
	stage ./enrich '^BenchmarkApply$'
	for lanes in '' avx2 generic; do TIDEMARK_LANES=$lanes stage ./anchor '^Benchmark(Leaves|Tree)$'; done
	stage ./storage '^Benchmark(AppendFlowsBlock|SpoolAppend)$'
	stage ./profile/aggregate '^BenchmarkDerive$'
	stage ./storage '^Benchmark(InsertFlows|ReadFlows|HoldsFlows)$' # engine included
}

line() { # one CPU for the line, the others for the generator
	printf '\n## From the socket to the sealed batch, on one CPU\n| mix | flows/s | lanes | as far as | CPU s per million | lost |\n|---|---|---|---|---|---|\n'
	go test -c -o "$dir/receiver" ./cmd/tidemark
	mkfifo "$dir/stdin"
	for input in "v5,v9,ipfix 400000" "sflow 200000"; do
		for run in 'decode' 'hash' 'hash avx2' 'hash generic' 'spool'; do
			read -r name rate <<<"$input"
			read -r mode lanes <<<"$run"
			receive "$name" "$rate" "$mode" "$lanes"
		done
	done
}
receive() { # MIX RATE MODE LANES
	udp=$((20000 + RANDOM % 10000))
	TIDEMARK_BENCH_RECEIVER=127.0.0.1:$udp TIDEMARK_BENCH_RECEIVER_MODE=$3 TIDEMARK_BENCH_RECEIVER_SPOOL=$dir/spool TIDEMARK_LANES=$4 \
		taskset -c "$(($(nproc) - 1))" "$dir/receiver" -test.run '^TestBenchReceiver$' <"$dir/stdin" >"$dir/report" 2>"$dir/log" &
	daemon=$!
	exec 8>"$dir/stdin"
	until grep -q 'listening for flow exports' "$dir/log"; do kill -0 "$daemon"; sleep 0.1; done
	local sent flows seconds
	sent=$(load --rate "$2" --duration "$duration" --mix "$1" | sed 's/,"by_protocol.*//' | field flows)
	sleep 1
	exec 8>&-
	wait "$daemon" || true
	daemon=
	flows=$(sed -n 's/^{"flows":\([0-9]*\).*/\1/p' "$dir/report") seconds=$(sed -n 's/.*"cpu_seconds":\([0-9.]*\).*/\1/p' "$dir/report")
	awk -v m="$1" -v r="$2" -v l="${4:-best}" -v w="$3" -v s="$sent" -v f="$flows" -v c="$seconds" \
		'BEGIN {printf "| %s | %d | %s | %s | %.3f | %.2f %% |\n", m, r, l, w, c * 1e6 / f, (s - f) * 100 / s}'
}

# attempt RATE: whether the daemon takes it without loss; prints a line of the table.
attempt() {
	local e rows drops d0 e0 d1 e1 sent stored report
	e=$(engine) rows=$(metric tidemark_anchor_committed_rows_total) drops=$(metric tidemark_collector_kernel_drops_total)
	d0=$(cpu_of "$daemon") e0=$(cpu_of "$e")
	report=$(load --rate "$1" --duration "$duration" --mix "$mix" | sed 's/,"by_protocol.*//')
	sent=$(field flows <<<"$report")
	reached=$(sed 's/.*"flows_per_second":\([0-9]*\).*/\1/' <<<"$report")
	memory="$(rss_of "$daemon") + $(rss_of "$e")"
	settle
	d1=$(cpu_of "$daemon") e1=$(cpu_of "$e")
	stored=$(($(metric tidemark_anchor_committed_rows_total) - rows)) drops=$(($(metric tidemark_collector_kernel_drops_total) - drops))
	awk -v a="$1" -v r="$reached" -v s="$sent" -v g="$stored" -v k="$drops" -v d="$d0" -v D="$d1" -v e="$e0" -v E="$e1" -v m="$memory" \
		'BEGIN {printf "| %d | %d | %.3f %%, %d | %.2f | %.2f | %.2f | %s |\n", a, r, (s - g) * 100 / s, k, (D - d) * 1e6 / g, (E - e) * 1e6 / g, (D - d + E - e) * 1e6 / g, m}'
	((stored >= sent))
}
holds() { for _ in $(seq "$tries"); do if attempt "$1"; then return 0; fi; done; return 1; }

whole() {
	printf '\n## The whole way: received, stored, hashed, read back, scored\nMix %s, runs of %s.\n\n' "$mix" "$duration"
	printf '| flows/s asked | sent | lost; datagrams dropped by the kernel | CPU s per million: daemon | engine | both | MiB daemon + engine |\n|---|---|---|---|---|---|---|\n'
	start_daemon
	load --rate 20000 --duration 2s --mix "$mix" >/dev/null # first templates, first parts
	settle
	local low=0 high=0 rate=$start
	while holds "$rate"; do
		low=$rate
		if ((reached * 10 < rate * 9)); then low=$reached; break; fi # the generator's limit
		rate=$((rate * 2))
	done
	high=$rate
	for _ in $(seq "$halvings"); do
		rate=$(((low + high) / 2))
		if ((rate <= low)); then break; fi
		if holds "$rate"; then low=$rate; else high=$rate; fi
	done
	printf '\nHighest rate without loss: %d flows/s for %s\n' "$low" "$duration"
	local began
	began=$(date +%s.%N)
	tidemark verify --no-progress >"$dir/verify" || true
	awk -v s="$began" -v e="$(date +%s.%N)" '/flows/{print; exit} END {printf "verify took %.1f s\n", e - s}' "$dir/verify"
}

for part in $parts; do "$part"; done
