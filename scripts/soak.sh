#!/usr/bin/env bash
# The daemon for MINUTES at 80 % of RATE, its highest lossless rate (scripts/bench.sh
# finds it), sampled every EVERY seconds; then OVERLOAD seconds at 150 % of RATE.
# It fails unless in the first part nothing is lost, memory is steady and active
# parts stay below 300, and after the second every datagram that was sent was read
# or dropped by the kernel, counted, and every flow that was read is stored.
#
#   RATE=200000 MINUTES=10 EVERY=10 OVERLOAD=60 MIX=v5,v9,ipfix
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=${MINUTES:-10} every=${EVERY:-10} overload=${OVERLOAD:-60} mix=${MIX:-v5,v9,ipfix}
rate=${RATE:?set RATE to the highest lossless rate that scripts/bench.sh printed}
. scripts/daemon.sh

failed=0
judge() { # WHAT CONDITION...: of awk
	if awk "BEGIN {exit !($2)}"; then echo "ok: $1"; else echo "FAILED: $1"; failed=1; fi
}
total() { field "$1" <<<"${2%%,\"by_protocol\"*}"; }

flows_stored() { tidemark sql --format TSV "SELECT count() FROM flows"; } # the metric counts rows of events too

sample() { # SECONDS
	local m
	m=$(scrape)
	parts=$(tidemark sql --format TSV "SELECT count() FROM system.parts WHERE active AND database = 'tidemark'")
	memory=$(rss_of "$daemon")
	printf '| %d | %d | %d | %d | %s | %s | %s | %s | %.1f | %.1f |\n' "$1" "$memory" "$(rss_of "$engine")" "$parts" \
		"$(sum tidemark_anchor_backlog_batches <<<"$m")" "$(du -sm "$dir/data/spool" | cut -f1)" \
		"$(sum tidemark_anchor_committed_rows_total <<<"$m")" "$(sum tidemark_collector_kernel_drops_total <<<"$m")" \
		"$(cpu_of "$daemon")" "$(cpu_of "$engine")"
}

start_daemon
engine=$(engine)
echo "Machine: $(awk -F': ' '/model name/{print $2; exit}' /proc/cpuinfo), $(nproc) CPUs, $(date -u +%F), load $(cut -d' ' -f1-3 /proc/loadavg)"
echo; echo "## $minutes minutes at 80 % of $rate flows/s, mix $mix"
echo "| s | daemon MiB | engine MiB | active parts | backlog | spool MiB | rows stored | datagrams dropped | CPU s daemon | engine |"
echo "|---|---|---|---|---|---|---|---|---|---|"
began=$(date +%s)
load --rate $((rate * 8 / 10)) --duration "${minutes}m" --mix "$mix" >"$dir/sent" &
generator=$!
most=0 early=0 late=0
while kill -0 "$generator" 2>/dev/null; do
	sleep "$every"
	at=$(($(date +%s) - began))
	sample "$at"
	most=$((parts > most ? parts : most))
	# The first fifth fills caches and buffers.
	if ((at * 10 > minutes * 60 * 2)); then
		if ((at * 10 <= minutes * 60 * 6)); then early=$((memory > early ? memory : early)); else late=$((memory > late ? memory : late)); fi
	fi
done
wait "$generator"
settle
sample $(($(date +%s) - began))
sent=$(<"$dir/sent")
rows=$(flows_stored)
echo
judge "$(total flows "$sent") flows sent, $rows stored" "$rows >= $(total flows "$sent")"
judge "at most $most active parts" "$most < 300"
judge "daemon at most $early MiB in the first half, $late MiB in the second" "$late <= $early * 1.1 + 16"

echo; echo "## $overload s at 150 %"
before=$(scrape) already=$rows
load --rate $((rate * 15 / 10)) --duration "${overload}s" --mix "$mix" >"$dir/sent"
settle 600
after=$(scrape)
sent=$(<"$dir/sent")
grown() { echo $(($(sum "$1" <<<"$after") - $(sum "$1" <<<"$before"))); }
read=$(grown tidemark_collector_datagrams_total) shed=$(grown tidemark_collector_shed_total) dropped=$(grown tidemark_collector_kernel_drops_total)
flows=$(grown tidemark_collector_flows_total) lost=$(grown tidemark_collector_lost_flows_total) stored=$(($(flows_stored) - already))
undecodable=$(grown tidemark_collector_undecodable_total)
echo "sent $(total datagrams "$sent") datagrams, $(total flows "$sent") flows"
echo "read $read, dropped by the kernel $dropped, shed $shed, undecodable $undecodable datagrams; decoded $flows, stored $stored, lost after decoding $lost flows"
judge "every datagram sent was read, shed or dropped by the kernel" "$(total datagrams "$sent") == $read + $dropped"
judge "every flow read is stored" "$flows == $stored + $lost"
sample $(($(date +%s) - began))
exit "$failed"
