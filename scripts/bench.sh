#!/usr/bin/env bash
# The benchmarks: packages first, then the whole way (UDP in, stored, hashed,
# read back, scored) through the real daemon, with the generator on the same
# machine. Figures are CPU time and lossless rates; compare ratios of one run.
set -euo pipefail
cd "$(dirname "$0")/.."
benchtime=${BENCHTIME:-1s}
rates=${RATES:-50000 100000 150000 200000 300000 400000}

echo "## Machine"
printf '%s, %s CPUs, %s, %s\n' "$(awk -F': ' '/model name/{print $2; exit}' /proc/cpuinfo)" "$(nproc)" "$(go version | cut -d' ' -f3)" "$(date -u +%F)"

echo; echo "## Packages"
go test -run '^$' -bench . -benchtime "$benchtime" ./collector/... ./enrich ./anchor/... ./storage/... | grep -E '^(Benchmark|pkg:|ok|FAIL|---)'

echo; echo "## Gas"
go test -count=1 -run '^TestGas_' -v ./anchor/chain | sed -n 's/^ *\(|.*\|Deploy.*\)$/\1/p'

dir=$(mktemp -d "${TMPDIR:-/tmp}/tidemark-bench.XXXXXX")
daemon=
trap '[[ -n $daemon ]] && kill "$daemon" 2>/dev/null && wait "$daemon" 2>/dev/null; rm -rf "$dir"' EXIT
udp=$((20000 + RANDOM % 20000)); tcp=$((20000 + RANDOM % 20000))
cat >"$dir/c.yaml" <<EOF
site: bench
collector: {listen: ["127.0.0.1:$udp"]}
http: {listen: "127.0.0.1:$tcp"}
EOF
bin/tidemark --data-dir "$dir/data" --config "$dir/c.yaml" run 2>"$dir/log" &
daemon=$!
until grep -q 'tidemark is running' "$dir/log"; do kill -0 "$daemon"; sleep 0.1; done
sleep 2

metric() { # NAME: the sum over its labels
	exec 3<>"/dev/tcp/127.0.0.1/$tcp"
	printf 'GET /metrics HTTP/1.0\r\nHost: bench\r\n\r\n' >&3
	awk -v n="$1" '$1 ~ "^"n"({|$)" {s += $2} END {printf "%d", s}' <&3
	exec 3<&- 3>&-
}
family() { echo "$daemon" $(ps -o pid= --ppid "$daemon"); }
cpu() { # seconds of CPU time of the daemon and its engine, so far
	local hz; hz=$(getconf CLK_TCK)
	for p in $(family); do cat "/proc/$p/stat"; done | awk -v hz="$hz" '{s += $14 + $15} END {printf "%.2f", s / hz}'
}
rss() { for p in $(family); do awk '/VmRSS/{printf "%s %d MiB  ", p, $2 / 1024}' p="$(cat /proc/"$p"/comm)" "/proc/$p/status"; done; }

echo; echo "## End to end"
echo "memory at rest: $(rss)"
best=0
for rate in $rates; do
	rows=$(metric tidemark_anchor_committed_rows_total); drops=$(metric tidemark_collector_kernel_drops_total); before=$(cpu)
	sent=$(bin/sitesim load --to "127.0.0.1:$udp" --rate "$rate" --duration 10s --mix v5,v9,ipfix,sflow 2>/dev/null)
	flows=$(sed 's/^{"flows":\([0-9]*\).*/\1/' <<<"$sent")
	loaded=$(rss)
	for _ in $(seq 600); do # until everything that was taken is committed and read back
		(($(metric tidemark_anchor_committed_rows_total) - rows >= flows)) && break
		sleep 0.2
		[[ $(metric tidemark_anchor_backlog_batches) == 0 && $(metric tidemark_collector_queued_bytes) == 0 ]] && { sleep 6; break; }
	done
	stored=$(($(metric tidemark_anchor_committed_rows_total) - rows)); dropped=$(($(metric tidemark_collector_kernel_drops_total) - drops))
	awk -v r="$rate" -v s="$flows" -v g="$stored" -v d="$dropped" -v a="$before" -v b="$(cpu)" -v m="$loaded" \
		'BEGIN {printf "%7d flows/s asked: sent %d, stored %d (%.2f %% lost, %d datagrams dropped by the kernel), %.2f CPU s per million flows; %s\n", r, s, g, 100 * (s - g) / s, d, (b - a) * 1e6 / g, m}'
	if ((stored >= flows)); then best=$rate; else break; fi
done
echo "highest lossless rate tried: $best flows/s for 10 s"
start=$(date +%s.%N)
bin/tidemark --data-dir "$dir/data" --config "$dir/c.yaml" verify --no-progress >"$dir/verify" || true
awk -v s="$start" -v e="$(date +%s.%N)" '/flows/{print; exit} END {printf "verify took %.1f s\n", e - s}' "$dir/verify"
