#!/bin/sh
# Sets up the development chain: Anvil, and with the argument "dev" also forge and
# solc, from npm into Tidemark's cache. Pinned by checksum, safe to repeat.
#
#   scripts/setup-chain.sh        Anvil (what `make run`, `make demo` and tests need)
#   scripts/setup-chain.sh dev    + forge and solc (what `make contracts` needs)
#   scripts/setup-chain.sh path   print the directory, install nothing
#
# A tool is unpacked beside its final name and renamed, so an interrupted run
# leaves either no tool or a whole one.
set -eu

foundry=1.7.1
solc=0.8.37
dir="${TIDEMARK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tidemark}/chain/$foundry"

say() { echo "setup-chain: $*"; }
die() { echo "setup-chain: $*" >&2; exit 1; }

# fetch PACKAGE VERSION INTEGRITY MEMBER NAME [MODE]
# puts MEMBER of an npm package at $dir/NAME.
fetch() {
	if [ -e "$dir/$5" ]; then
		say "$1 $2: present"
		return
	fi
	command -v npm >/dev/null || die "npm is missing: install Node.js with npm (Debian: apt-get install npm) and run this again"
	mkdir -p "$dir" || die "cannot create $dir: set TIDEMARK_CACHE to a directory that can be written"
	tmp=$(mktemp -d "$dir/.$5.XXXXXX")
	trap 'rm -rf "$tmp"' EXIT
	trap 'exit 130' INT TERM
	say "$1 $2: downloading"
	if ! npm pack --loglevel=error --ignore-scripts --fetch-retries=2 --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=5000 \
		--pack-destination "$tmp" "$1@$2" >"$tmp/out" 2>"$tmp/err"; then
		cause=$(grep -hm1 -E 'npm error (code|[0-9]{3}|network|request)' "$tmp/err" || true)
		die "npm could not download $1@$2, is there a network and a registry? (${cause:-npm said nothing})"
	fi
	archive=$(ls "$tmp"/*.tgz) || die "npm pack $1@$2 left no archive"
	got="sha512-$(node -e 'process.stdout.write(require("crypto").createHash("sha512").update(require("fs").readFileSync(process.argv[1])).digest("base64"))' "$archive")"
	[ "$got" = "$3" ] || die "checksum of $1@$2: got $got, want $3; nothing was installed"
	tar -xzf "$archive" -C "$tmp" "package/$4"
	chmod "${6:-755}" "$tmp/package/$4"
	mv -f "$tmp/package/$4" "$dir/$5"
	rm -rf "$tmp"
	trap - EXIT INT TERM
	say "$1 $2: installed as $dir/$5"
}

# solc for Linux is not on npm as a program; its WebAssembly build is. forge
# accepts any program that answers --version and --standard-json.
shim() {
	tmp=$(mktemp "$dir/.solc.XXXXXX")
	cat >"$tmp" <<'JS'
#!/usr/bin/env node
const path = require('path'), fs = require('fs');
const m = require(path.join(path.dirname(fs.realpathSync(process.argv[1])), 'soljson.js'));
const args = process.argv.slice(2);
if (args.includes('--version')) {
  console.log('solc, the solidity compiler commandline interface\nVersion: ' + m.cwrap('solidity_version', 'string', [])());
} else if (args.includes('--standard-json')) {
  process.stdout.write(m.cwrap('solidity_compile', 'string', ['string', 'number', 'number'])(fs.readFileSync(0, 'utf8'), 0, 0));
} else {
  console.error('solc shim: only --version and --standard-json');
  process.exit(1);
}
JS
	chmod 755 "$tmp"
	mv -f "$tmp" "$dir/solc"
}

case "${1:-}" in
path) echo "$dir"; exit ;;
"" | dev) ;;
*) die "unknown argument $1: want nothing, dev or path" ;;
esac

if [ -z "${1:-}" ] && [ -n "${TIDEMARK_ANVIL:-}" ]; then
	[ -x "$TIDEMARK_ANVIL" ] || die "TIDEMARK_ANVIL is $TIDEMARK_ANVIL, which is no program: point it at an anvil $foundry or unset it"
	say "anvil: TIDEMARK_ANVIL is set, using $TIDEMARK_ANVIL"
	exit
fi
platform="$(uname -s)/$(uname -m)"
[ "$platform" = Linux/x86_64 ] || die "no pinned Anvil for $platform (only Linux/x86_64): set TIDEMARK_ANVIL to an anvil $foundry, or use any Ethereum RPC by configuration"

fetch @foundry-rs/anvil-linux-amd64 $foundry 'sha512-+XmShybEaxfCrr0OUUZwYEy2OnYZt5pHH9TzBtLv3+VrK0O/ANuNSVEahqNhKHlgX7GRJ59383ofNhxkRWIYTg==' bin/anvil anvil
"$dir/anvil" --version >/dev/null 2>&1 || die "$dir/anvil does not start here (glibc too old, or not this platform)"
if [ "${1:-}" = dev ]; then
	fetch @foundry-rs/forge-linux-amd64 $foundry 'sha512-/HQddyTanVOJKgvilmZrf8VOf7mhvwrWb59W73w5W5flX7b6zNh9CR6hKZzJwiRRi5Sxk/JOFEYIeKsQx7Teqg==' bin/forge forge
	fetch solc $solc 'sha512-ieUYdPDRGNKMsZpCfi9tY64Q+ASoL8tyhLuvf9cFiqDs+6ijlx8Wn2CRi0N71AlCvRx0V092rlUYu3b3PuxWlA==' soljson.js soljson.js 644
	shim
fi
