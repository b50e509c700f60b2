# Sourced by bench.sh and soak.sh: the real daemon with its engine on a fresh
# data directory, and what both are asked about it. It sets $dir, which is removed
# at the end with the daemon.
dir=$(mktemp -d "${TMPDIR:-/tmp}/tidemark-bench.XXXXXX")
daemon=
stop_daemon() { if [[ -n $daemon ]]; then kill "$daemon" 2>/dev/null || true; wait "$daemon" 2>/dev/null || true; daemon=; fi; }
trap 'stop_daemon; rm -rf "$dir"' EXIT

start_daemon() {
	stop_daemon
	rm -rf "$dir/data"
	udp=$((20000 + RANDOM % 10000)) tcp=$((30000 + RANDOM % 2000))
	printf 'site: bench\ncollector: {listen: ["127.0.0.1:%d"]}\nhttp: {listen: "127.0.0.1:%d"}\n' "$udp" "$tcp" >"$dir/c.yaml"
	bin/tidemark --data-dir "$dir/data" --config "$dir/c.yaml" run 2>"$dir/log" &
	daemon=$!
	until grep -q 'tidemark is running' "$dir/log"; do kill -0 "$daemon"; sleep 0.1; done
	sleep 2
}
tidemark() { bin/tidemark --data-dir "$dir/data" --config "$dir/c.yaml" "$@"; }
load() { bin/sitesim load --to "127.0.0.1:$udp" "$@" 2>/dev/null; } # prints its report
field() { sed 's/.*"'"$1"'":\([0-9]*\).*/\1/'; }                     # NAME: of the report, the last of that name

scrape() { # the metrics as they are now
	exec 3<>"/dev/tcp/127.0.0.1/$tcp"
	printf 'GET /metrics HTTP/1.0\r\nHost: bench\r\n\r\n' >&3
	cat <&3
	exec 3<&- 3>&-
}
# sum NAME of a scrape on standard input, over its labels.
sum() { awk -v n="$1" '$1 ~ "^"n"({|$)" {s += $2} END {printf "%.0f", s}'; }
metric() { scrape | sum "$1"; }
engine() { ps -o pid= --ppid "$daemon" | tr -d ' '; }
cpu_of() { awk -v hz="$(getconf CLK_TCK)" '{printf "%.2f", ($14 + $15) / hz}' "/proc/$1/stat"; } # seconds so far
rss_of() { awk '/VmRSS/{printf "%d", $2 / 1024}' "/proc/$1/status"; }                            # MiB

# settle waits until all that was read is committed: the sockets are empty and two
# looks a seal interval apart find the same.
settle() {
	local last=-1 now
	for _ in $(seq "${1:-100}"); do
		sleep 6
		now=$(metric tidemark_anchor_committed_rows_total)
		[[ $now == "$last" && $(metric tidemark_anchor_backlog_batches) == 0 && $(metric tidemark_collector_queued_bytes) == 0 ]] && return
		last=$now
	done
}
