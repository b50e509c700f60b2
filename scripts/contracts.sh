#!/bin/sh
# Builds the contract and the Go bindings from contracts/src; both are committed.
#
#   scripts/contracts.sh         test, build, write contracts/TidemarkLog.json and anchor/binding
#   scripts/contracts.sh DIR     only build, and write the same files into DIR (to compare)
set -eu
cd "$(dirname "$0")/.."
tools=$(sh scripts/setup-chain.sh path)
sh scripts/setup-chain.sh dev
export FOUNDRY_SOLC="$tools/solc" FOUNDRY_DISABLE_NIGHTLY_WARNING=1

if [ $# -gt 0 ]; then
	mkdir -p "$1"
	json=$1 binding=$1
else
	json=contracts binding=anchor/binding
	"$tools/forge" test --root contracts
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$tools/forge" build --root contracts --skip test --out "$work/out" --cache-path "$work/cache"
node - "$work/out/TidemarkLog.sol/TidemarkLog.json" "$work" "$json" "$binding" <<'JS'
const fs = require('fs'), [artifact, work, json, binding] = process.argv.slice(2);
const a = JSON.parse(fs.readFileSync(artifact));
if (Object.keys(a.deployedBytecode.immutableReferences || {}).length) throw new Error('immutables: the code hash would differ between deployments');
fs.writeFileSync(json + '/TidemarkLog.json', JSON.stringify({
  contractName: 'TidemarkLog', compiler: 'solc 0.8.37', settings: 'contracts/foundry.toml',
  abi: a.abi, bytecode: a.bytecode.object, deployedBytecode: a.deployedBytecode.object, methodIdentifiers: a.methodIdentifiers,
}, null, 1) + '\n');
fs.writeFileSync(work + '/abi', JSON.stringify(a.abi));
fs.writeFileSync(work + '/bin', a.bytecode.object.slice(2));
fs.writeFileSync(binding + '/TidemarkLog.runtime', a.deployedBytecode.object.slice(2) + '\n');
JS
# The version of abigen is go.mod's.
go run github.com/ethereum/go-ethereum/cmd/abigen --v2 --abi "$work/abi" --bin "$work/bin" \
	--pkg binding --type TidemarkLog --out "$work/tidemark_log.go"
sed -i '2a //lint:file-ignore ST1005 abigen writes an error with a capital' "$work/tidemark_log.go"
mv "$work/tidemark_log.go" "$binding/tidemark_log.go"
echo "contracts: wrote $json/TidemarkLog.json, $binding/tidemark_log.go and $binding/TidemarkLog.runtime"
