#!/usr/bin/env bash
# Measures detection: simulated sites and real captures go through bin/tidemark, and
# what it alerts is compared with the truth. Writes docs/evaluation.md, and by
# scripts/eval-devices.sh docs/evaluation-devices.md.
#
#   make eval                     everything, tuning and sealed seeds: hours of CPU
#   EVAL=short make eval          one small trial of each kind, under three minutes; prints, writes no document
#   TIDEMARK_EVAL_BUDGET=35m make eval   what fits, the most telling trials first; run again, the same
#                                 version goes on where it stopped, and a new one begins anew
#   EVAL_PARTS=benign,attacks     some parts only: benign attacks bars timing delays poison ramp told splice devices
#   EVAL_SEEDS=tuning             one set of seeds only
#   EVAL_ONLY=tuning-1-learned    trials whose name holds this
#   EVAL_RESULTS=DIR              where results are kept, one file a trial; a trial run again replaces its own
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
bin=$root/bin
captures=${TIDEMARK_CAPTURES:-$root/../shared/captures}
results=${EVAL_RESULTS:-${TIDEMARK_CACHE:-$HOME/.cache/tidemark}/eval}
parts=${EVAL_PARTS:-benign,attacks,bars,timing,delays,poison,ramp,told,splice,devices}
without() { tr , '\n' <<<"$2" | sed "/^$1\$/d" | paste -sd,; } # PART LIST
devices=0
if [[ ,$parts, == *,devices,* ]]; then
	[[ -n ${EVAL_ONLY:-} ]] || devices=1
	parts=$(without devices "$parts")
fi
if [[ ! -d $captures/iot && (,$parts, == *,splice,* || $devices == 1) ]]; then
	[[ ${CI:-} != true ]] || { echo "eval: no captures in $captures" >&2; exit 1; }
	echo "eval: no captures in $captures: the parts splice and devices are left out; set TIDEMARK_CAPTURES" >&2
	parts=$(without splice "$parts")
	devices=0
fi
flags=(--program "$bin/tidemark" --captures "$captures")
[[ -z ${EVAL_ONLY:-} ]] || flags+=(--only "$EVAL_ONLY")

if [[ ${EVAL:-} == short ]]; then
	short=benign,attacks,${parts##*,}
	[[ -z ${EVAL_PARTS:-} ]] || short=$parts
	results=$(mktemp -d)
	trap 'rm -rf "$results"' EXIT
	nice -n 10 "$bin/sitesim" eval "${flags[@]}" --results "$results" --short --parts "$short"
	nice -n 10 "$bin/sitesim" report --results "$results" --out "$results/evaluation.md" --machine "a short run"
	sed -n '/^## Bars/,/^## Attacks found/p' "$results/evaluation.md"
	exit
fi

failed=0
seeds=$(tr ' ' , <<<"${EVAL_SEEDS:-tuning,sealed}")
[[ -z $parts ]] || nice -n "${EVAL_NICE:-10}" "$bin/sitesim" eval "${flags[@]}" --results "$results" --seeds "$seeds" --parts "$parts" --budget "${TIDEMARK_EVAL_BUDGET:-0}" || failed=1
machine="$(nproc) cores of $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(date -u +%F)"
"$bin/sitesim" report --results "$results" --out "$root/docs/evaluation.md" --machine "$machine"
[[ $devices == 0 ]] || TIDEMARK_CAPTURES=$captures nice -n 19 "$root/scripts/eval-devices.sh" || failed=1
echo "eval: wrote docs/evaluation.md from the results in $results"
exit $failed
