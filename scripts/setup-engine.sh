#!/bin/sh
# Fetches the embedded engine (libchdb.so) into the cache of tidemark and prints
# its path on stdout; everything else goes to stderr. A second run finds the
# library and does nothing. Two runs at once do not disturb each other: each
# unpacks into a directory of its own and renames the result.
#
#   TIDEMARK_LIBCHDB  path of a libchdb.so of your own: checked, nothing fetched
#   TIDEMARK_CACHE    cache directory, default ${XDG_CACHE_HOME:-$HOME/.cache}/tidemark
set -eu

version=26.7.3-stable.1
# Subresource-integrity hash (SHA-512, base64) of the npm package of each
# platform. A platform without hashes has
# not been seen by us: it needs TIDEMARK_LIBCHDB.
integrity_linux_x64_gnu='XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw=='

say() { echo "setup-engine: $*" >&2; }
die() { say "$*"; exit 1; }

if [ -n "${TIDEMARK_LIBCHDB:-}" ]; then
	[ -f "$TIDEMARK_LIBCHDB" ] || die "TIDEMARK_LIBCHDB=$TIDEMARK_LIBCHDB is no file: point it at a libchdb.so, or unset it to fetch version $version"
	echo "$TIDEMARK_LIBCHDB"
	exit 0
fi

if [ -n "${TIDEMARK_CACHE:-}" ]; then
	cache=$TIDEMARK_CACHE
elif [ -n "${XDG_CACHE_HOME:-}" ]; then
	cache=$XDG_CACHE_HOME/tidemark
elif [ -n "${HOME:-}" ]; then
	cache=$HOME/.cache/tidemark
else
	die "no place for the engine: set HOME or TIDEMARK_CACHE"
fi
target=$cache/libchdb/$version/libchdb.so
if [ -f "$target" ]; then
	echo "$target"
	exit 0
fi

case "$(uname -s)-$(uname -m)" in
Linux-x86_64 | Linux-amd64) platform=linux-x64-gnu integrity=$integrity_linux_x64_gnu ;;
Linux-aarch64 | Linux-arm64) platform=linux-arm64-gnu integrity= ;;
Darwin-x86_64) platform=darwin-x64 integrity= ;;
Darwin-arm64) platform=darwin-arm64 integrity= ;;
*) die "the embedded engine does not exist for $(uname -s) on $(uname -m): use a ClickHouse server (storage.url), or set TIDEMARK_LIBCHDB" ;;
esac
if [ "$platform" = linux-x64-gnu ] && ls /lib/ld-musl-* >/dev/null 2>&1; then
	die "the embedded engine needs glibc and this system has musl: use a ClickHouse server (storage.url), or set TIDEMARK_LIBCHDB"
fi
package=@chdb/lib-$platform@$version
[ -n "$integrity" ] || die "no checksum is pinned for $package: fetch it yourself and set TIDEMARK_LIBCHDB to the libchdb.so inside it"
for tool in npm node tar; do
	command -v "$tool" >/dev/null 2>&1 || die "$tool is missing and is needed to fetch the engine: install it, or set TIDEMARK_LIBCHDB"
done

mkdir -p "$cache/libchdb/$version" || die "cannot create $cache/libchdb/$version: set TIDEMARK_CACHE to a directory you may write to"
work=$(mktemp -d "$cache/libchdb/$version/.fetch.XXXXXX") || die "cannot write to $cache: set TIDEMARK_CACHE to a directory you may write to"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

say "fetching $package (170 MB, 570 MB unpacked) into $cache"
# npm's cache keeps a second copy of the package for no use: it stays in $work.
if ! (cd "$work" && npm pack "$package" --silent --cache "$work/npm" >npm.out 2>npm.err); then
	tail -n 5 "$work/npm.err" >&2
	die "npm could not fetch $package: check the network and npm's registry setting, or set TIDEMARK_LIBCHDB"
fi
archive=$(find "$work" -maxdepth 1 -name '*.tgz' | head -n 1)
[ -n "$archive" ] || die "npm said it fetched $package but left no archive: try again, or set TIDEMARK_LIBCHDB"

got=$(node -e 'const h=require("crypto").createHash("sha512");require("fs").createReadStream(process.argv[1]).on("data",d=>h.update(d)).on("end",()=>console.log(h.digest("base64")))' "$archive")
[ "$got" = "$integrity" ] || die "checksum of $package does not match: got sha512-$got, want sha512-$integrity; nothing was installed"

tar -xzf "$archive" -C "$work" package/libchdb.so || die "cannot unpack $archive: is the disk under $cache full?"
sync "$work/package/libchdb.so" 2>/dev/null || sync
mv "$work/package/libchdb.so" "$target" || die "cannot move the engine to $target"
say "installed $target"
echo "$target"
