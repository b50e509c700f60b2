#!/usr/bin/env bash
# Measures detection: simulated sites and real captures go through bin/tidemark, and
# what it alerts is compared with the truth. Writes docs/evaluation.md.
#
#   make eval                     everything, tuning and sealed seeds: hours of CPU
#   EVAL=short make eval          one small trial of each kind, under three minutes; prints, writes no document
#   EVAL_PARTS=benign,attacks     some parts only: benign attacks timing poison ramp splice
#   EVAL_SEEDS=tuning             one set of seeds only
#   EVAL_ONLY=tuning-1-learned    trials whose name holds this
#   EVAL_RESULTS=DIR              where results are kept, one file a trial; a trial run again replaces its own
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
bin=$root/bin
captures=${TIDEMARK_CAPTURES:-$root/../shared/captures}
results=${EVAL_RESULTS:-${TIDEMARK_CACHE:-$HOME/.cache/tidemark}/eval}
parts=${EVAL_PARTS:-benign,attacks,timing,poison,ramp,splice}
if [[ ! -d $captures/iot && ,$parts, == *,splice,* ]]; then
	[[ ${CI:-} != true ]] || { echo "eval: no captures in $captures" >&2; exit 1; }
	echo "eval: no captures in $captures: the part splice is left out; set TIDEMARK_CAPTURES" >&2
	parts=$(tr , '\n' <<<"$parts" | grep -v '^splice$' | paste -sd,)
fi
flags=(--program "$bin/tidemark" --captures "$captures")
[[ -z ${EVAL_ONLY:-} ]] || flags+=(--only "$EVAL_ONLY")

if [[ ${EVAL:-} == short ]]; then
	results=$(mktemp -d)
	trap 'rm -rf "$results"' EXIT
	nice -n 10 "$bin/sitesim" eval "${flags[@]}" --results "$results" --short --parts "${EVAL_PARTS:-benign,attacks,${parts##*,}}"
	nice -n 10 "$bin/sitesim" report --results "$results" --out "$results/evaluation.md" --machine "a short run"
	sed -n '/^## Bars/,/^## Attacks found/p' "$results/evaluation.md"
	exit
fi

failed=0
for seeds in ${EVAL_SEEDS:-tuning sealed}; do
	some=$parts
	[[ $seeds == tuning ]] || some=$(tr , '\n' <<<"$parts" | grep -v '^splice$' | paste -sd,) # real captures have no seeds
	[[ -z $some ]] || nice -n 19 "$bin/sitesim" eval "${flags[@]}" --results "$results" --seeds "$seeds" --parts "$some" || failed=1
done
machine="$(nproc) cores of $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(date -u +%F)"
"$bin/sitesim" report --results "$results" --out "$root/docs/evaluation.md" --machine "$machine"
echo "eval: wrote docs/evaluation.md from the results in $results"
exit $failed
