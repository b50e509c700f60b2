#!/bin/sh
# Writes docs/evaluation-devices.md: which devices of the captures and of simulated
# sites are found, and what they are taken for. Needs softflowd, editcap
# (wireshark-common) and the captures beside the project or in TIDEMARK_CAPTURES.
# Takes ten minutes.
set -eu
cd "$(dirname "$0")/.."
for tool in softflowd editcap; do
	command -v $tool >/dev/null || { echo "eval-devices: $tool is missing: apt-get install softflowd wireshark-common" >&2; exit 1; }
done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
go build -o "$dir/sitesim" ./cmd/sitesim
sites= number=0
site() { # TITLE SEED OPTION...
	number=$((number + 1))
	name=$dir/site$number
	title=$1 seed=$2
	shift 2
	"$dir/sitesim" generate --dir "$name" --devices 100 --days 3 --seed "$seed" "$@" >/dev/null 2>&1
	sites="${sites:+$sites;}$title=$name"
}
for seed in 11 21; do
	site "seed $seed (seen), v9 with MACs" $seed
	site "seed $seed (seen), v9 without MACs" $seed --no-mac
done
for seed in 22 31 32; do
	site "seed $seed, v9 with MACs" $seed
	site "seed $seed, v9 without MACs" $seed --no-mac
	site "seed $seed, v9 with MACs, 1:100" $seed --sampling 100
done
echo "eval-devices: simulated sites"
go test ./enrich/classifier -run TestEvaluation_Simulated -count 1 -timeout 60m -sim "$dir/simulated.md" -sites "$sites"
echo "eval-devices: captures"
go test ./enrich/classifier -run TestEvaluation_RealDevices -count 1 -timeout 60m -eval "$dir/real.md"
cat "$dir/real.md" "$dir/simulated.md" >docs/evaluation-devices.md
echo "eval-devices: wrote docs/evaluation-devices.md"
