#!/usr/bin/env bash
# The collector part of Tidemark beside its peers: the highest rate without loss,
# and CPU seconds per million flows. One collector at a time, on one CPU, the
# generator on another, over 127.0.0.1. It ends by itself, in about 25 minutes.
#
# A run is lossless when the collector itself counted at least 99.9 % of the flows
# that were sent. Rates double until TRIES runs lose, then the gap is halved HALVINGS
# times; the best rate is run CONFIRM times more. Tidemark's rows are dropped
# ("decode"); hashed into leaves and a tree and encoded as the block that is
# inserted ("hash"); or that and written to the spool on disk, synced ("spool"). The
# peers do not hash. "avx2" and "generic" are "spool" on a CPU with less.
#
#   DURATION=10s TRIES=2 HALVINGS=2 CONFIRM=2 ONLY='tidemark|nfcapd' SENDER_CPU=0 COLLECTOR_CPU=1
set -euo pipefail
cd "$(dirname "$0")/.."
duration=${DURATION:-10s} halvings=${HALVINGS:-2} confirm=${CONFIRM:-2} tries=${TRIES:-2} only=${ONLY:-.}
sender_cpu=${SENDER_CPU:-0} collector_cpu=${COLLECTOR_CPU:-1}
cache=${TIDEMARK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tidemark}
goflow2_version=v2.2.6
buffer=$((32 << 20))

say() { echo "bench-peers: $*" >&2; }
for tool in taskset awk curl; do command -v "$tool" >/dev/null || { say "needs $tool"; exit 1; }; done
PATH=$PATH:/usr/sbin
if (($(nproc) < 2)); then say "needs two CPUs: one for the generator, one for the collector"; exit 1; fi

dir=$(mktemp -d "${TMPDIR:-/tmp}/tidemark-peers.XXXXXX")
pid=
stop() { if [[ -n $pid ]]; then kill "${1:--TERM}" "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; pid=; fi; }
trap 'stop -KILL; rm -rf "$dir"' EXIT

say "building"
go build -trimpath -o "$dir/sitesim" ./cmd/sitesim
CGO_ENABLED=0 go test -c -o "$dir/receiver" ./cmd/tidemark
if [[ ! -x $cache/bin/goflow2-$goflow2_version && goflow2 =~ $only ]]; then
	mkdir -p "$cache/bin"
	GOBIN=$dir go install "github.com/netsampler/goflow2/v2/cmd/goflow2@$goflow2_version" &&
		mv "$dir/goflow2" "$cache/bin/goflow2-$goflow2_version" || say "goflow2 cannot be installed: left out"
fi

port=$((20000 + RANDOM % 10000)) http=$((30000 + RANDOM % 2000))
on_cpu() { exec taskset -c "$collector_cpu" "$@"; } # in the background only: the program has the pid of the job

# start_NAME starts the collector in the background; stop_NAME ends it and sets
# counted to the flows it counted.
start_tidemark() { # MODE [LANES]
	mkfifo "$work/stdin"
	TIDEMARK_BENCH_RECEIVER=127.0.0.1:$port TIDEMARK_BENCH_RECEIVER_MODE=$1 TIDEMARK_BENCH_RECEIVER_SPOOL=$work/spool TIDEMARK_LANES=${2:-} \
		on_cpu "$dir/receiver" -test.run '^TestBenchReceiver$' <"$work/stdin" >"$work/report" 2>"$work/log" &
	pid=$!
	exec 8>"$work/stdin"
}
stop_tidemark() {
	exec 8>&-
	wait "$pid" || true
	pid=
	counted=$(sed -n 's/^{"flows":\([0-9]*\).*/\1/p' "$work/report")
}
start_tidemark_decode() { start_tidemark decode; }
start_tidemark_hash() { start_tidemark hash; }
start_tidemark_spool() { start_tidemark spool; }
start_tidemark_avx2() { start_tidemark spool avx2; }
start_tidemark_generic() { start_tidemark spool generic; }
for mode in decode hash spool avx2 generic; do eval "stop_tidemark_$mode() { stop_tidemark; }"; done

start_nfcapd() { on_cpu "${1:-nfcapd}" -b 127.0.0.1 -p "$port" -B "$buffer" -w "$work" -t 3600 >"$work.log" 2>&1 & pid=$!; }
stop_nfcapd() {
	stop
	counted=$(nfdump -R "$work" -I 2>/dev/null | awk '/^Flows:/{print $2}')
}
start_sfcapd() { start_nfcapd sfcapd; }
stop_sfcapd() { stop_nfcapd; }

start_nfacctd() { # aggregates: its flows are summed over the keys it prints at its end
	local name=${1:-nfacctd}
	cat >"$work/conf" <<-CONF
		daemonize: false
		${name}_ip: 127.0.0.1
		${name}_port: $port
		${name}_pipe_size: $buffer
		plugins: print
		aggregate: src_host, dst_host, src_port, dst_port, proto, flows
		print_output: csv
		print_output_file: $work/out
		print_refresh_time: 3600
		print_cache_entries: 524288
		plugin_pipe_size: 134217728
		plugin_buffer_size: 262144
	CONF
	on_cpu "$name" -f "$work/conf" >"$work/log" 2>&1 &
	pid=$!
}
stop_nfacctd() {
	local children
	children=$(ps -o pid= --ppid "$pid")
	stop -INT
	for _ in $(seq 300); do # the plugin writes after its parent has gone
		local alive=
		for c in $children; do kill -0 "$c" 2>/dev/null && alive=1; done
		[[ -z $alive ]] && break
		sleep 0.1
	done
	counted=$(awk -F, 'NR == 1 {for (i = 1; i <= NF; i++) if ($i == "FLOWS") f = i} NR > 1 {s += $f} END {printf "%d", s}' "$work/out" 2>/dev/null || true)
}
start_sfacctd() { start_nfacctd sfacctd; }
stop_sfacctd() { stop_nfacctd; }

start_goflow2() { # protobuf to a file
	local q='?count=1&workers=1&queue_size=512'
	on_cpu "$cache/bin/goflow2-$goflow2_version" -addr "127.0.0.1:$http" -listen "$1://127.0.0.1:$port$q" \
		-format bin -transport.file "$work/out" >"$work/log" 2>&1 &
	pid=$!
}
stop_goflow2() {
	counted=$(curl -s "http://127.0.0.1:$http/metrics" | awk '
		/^goflow2_flow_process_nf_flowset_records_total.*type="DataFlowSet"/ ||
		/^goflow2_flow_process_nf_flowset_total.*version="5"/ || /^goflow2_flow_process_sf_samples_total.*FlowSample/ {s += $NF}
		END {printf "%d", s}')
	stop
}
start_goflow2_nf() { start_goflow2 netflow; }
stop_goflow2_nf() { stop_goflow2; }
start_goflow2_sf() { start_goflow2 sflow; }
stop_goflow2_sf() { stop_goflow2; }

family() { echo "$pid" $(ps -o pid= --ppid "$pid"); }
cpu() { for p in $(family); do cat "/proc/$p/stat" 2>/dev/null; done | awk -v hz="$(getconf CLK_TCK)" '{s += $14 + $15} END {printf "%.2f", s / hz}'; }
rss() { for p in $(family); do cat "/proc/$p/status" 2>/dev/null; done | awk '/^VmRSS/{s += $2} END {printf "%d", s / 1024}'; }
socket() { # FIELD of our port in /proc/net/udp: 5 = octets waiting, 13 = drops
	awk -v p="$(printf ':%04X$' "$port")" -v f="$1" '$2 ~ p {n = $f; if (f == 5) {split(n, q, ":"); n = (q[2] == "00000000" ? 0 : 1)} s += n} END {printf "%d", s}' /proc/net/udp /proc/net/udp6
}

# run NAME MIX RATE: sets flows sent, counted, lost (per cent), used (CPU s per million), memory, drops, reached.
run() {
	work=$dir/work
	rm -rf "$work"; mkdir "$work"
	port=$((port + 1))
	"start_$1"
	for _ in $(seq 100); do [[ $(grep -c -i "$(printf ':%04X ' "$port")" /proc/net/udp) != 0 || $(grep -c -i "$(printf ':%04X ' "$port")" /proc/net/udp6) != 0 ]] && break; sleep 0.1; done
	sleep 0.5
	local before after last
	before=$(cpu)
	taskset -c "$sender_cpu" "$dir/sitesim" load --to "127.0.0.1:$port" --rate "$3" --duration "$duration" --mix "$2" >"$dir/sent" 2>"$dir/sent.log"
	sent=$(sed 's/^{"flows":\([0-9]*\).*/\1/' "$dir/sent")
	reached=$(sed 's/.*"flows_per_second":\([0-9]*\).*/\1/' "$dir/sent")
	memory=$(rss)
	last=-1
	for _ in $(seq 60); do # until it has nothing left to do
		after=$(cpu)
		[[ $(socket 5) == 0 && $after == "$last" ]] && break
		last=$after
		sleep 0.5
	done
	drops=$(socket 13)
	counted=
	"stop_$1"
	counted=${counted:-0}
	lost=$(awk -v s="$sent" -v c="$counted" 'BEGIN {l = (s - c) * 100 / s; if (l < 0) l = 0; printf "%.3f", l}')
	used=$(awk -v a="$before" -v b="$after" -v c="$counted" 'BEGIN {u = 0; if (c) u = (b - a) * 1e6 / c; printf "%.3f", u}')
	say "$1 $2: asked $3/s, sent $reached/s, lost $lost % ($drops datagrams dropped by the kernel), $used CPU s per million flows, $memory MB, load $(cut -d' ' -f1 /proc/loadavg)"
}
# holds NAME MIX RATE: whether one of a few runs is lossless. Neighbours' bursts
# on a shared machine cost runs, not collectors.
holds() { for _ in $(seq "$tries"); do run "$@"; if lossless; then return 0; fi; done; return 1; }
lossless() { awk -v l="$lost" 'BEGIN {exit !(l <= 0.1)}'; }
slow_sender() { awk -v r="$reached" -v a="$1" 'BEGIN {exit !(r < 0.9 * a)}'; }

# search NAME MIX FIRST: prints a line of the table.
search() {
	local low=0 high=0 rate=$3 note= passed=0 figures=
	while holds "$1" "$2" "$rate"; do
		low=$rate
		if slow_sender "$rate"; then low=$reached note=" (the generator's limit)"; break; fi
		rate=$((rate * 2))
	done
	if [[ -z $note ]]; then
		high=$rate
		for _ in $(seq "$halvings"); do
			rate=$(((low + high) / 2))
			if holds "$1" "$2" "$rate"; then low=$rate; else high=$rate; fi
		done
	fi
	if ((low > 0)); then
		for _ in $(seq "$confirm"); do
			run "$1" "$2" "$low"
			if lossless; then passed=$((passed + 1)); fi
			figures+="$used "
		done
	fi
	echo "| $1 | $2 | $low$note | $passed of $confirm | $(tr ' ' '\n' <<<"$figures" | sed '/^$/d' | sort -n | awk '{v[NR] = $1} END {if (NR) printf "%.3f (%.3f to %.3f)", v[int((NR + 1) / 2)], v[1], v[NR]; else printf "-"}') | $memory |"
}

echo "Machine: $(awk -F': ' '/model name/{print $2; exit}' /proc/cpuinfo), $(nproc) CPUs, $(uname -r), $(go version | cut -d' ' -f3), $(date -u +%F), load at start $(cut -d' ' -f1-3 /proc/loadavg)"
echo "Receive buffer asked: $buffer octets, net.core.rmem_max $(cat /proc/sys/net/core/rmem_max). Collector on CPU $collector_cpu, generator on CPU $sender_cpu, runs of $duration."
echo
echo "| collector | mix | highest lossless flows/s | passed again | CPU s per million flows, median (range) | MB |"
echo "|---|---|---|---|---|---|"
candidate() { # NAME MIX FIRST PROGRAM
	[[ $1 =~ $only ]] || return 0
	if ! command -v "$4" >/dev/null; then say "$1 is left out: $4 is not installed"; return 0; fi
	search "$1" "$2" "$3"
}
nf=v5,v9,ipfix
candidate tidemark_decode "$nf" 500000 "$dir/receiver"
candidate tidemark_hash "$nf" 500000 "$dir/receiver"
candidate tidemark_spool "$nf" 500000 "$dir/receiver"
candidate tidemark_avx2 "$nf" 500000 "$dir/receiver"
candidate tidemark_generic "$nf" 250000 "$dir/receiver"
candidate nfcapd "$nf" 500000 nfcapd
candidate nfacctd "$nf" 100000 nfacctd
candidate goflow2_nf "$nf" 20000 "$cache/bin/goflow2-$goflow2_version"
candidate tidemark_decode sflow 250000 "$dir/receiver"
candidate tidemark_hash sflow 250000 "$dir/receiver"
candidate tidemark_spool sflow 250000 "$dir/receiver"
candidate sfcapd sflow 100000 sfcapd
candidate sfacctd sflow 50000 sfacctd
candidate goflow2_sf sflow 10000 "$cache/bin/goflow2-$goflow2_version"
