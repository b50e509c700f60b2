#!/bin/sh
# Sets up litewitness, a C2SP witness that the tests of anchor/witness talk to
# (filippo.io/torchwood, BSD-3-Clause), in Tidemark's cache. It is no part of the
# product and not in go.mod. Prints its path; safe to repeat.
set -eu
version=v0.9.0 # the newest that Go 1.26 builds
dir="${TIDEMARK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tidemark}/witness/$version"
if [ ! -x "$dir/litewitness" ]; then
	mkdir -p "$dir"
	tmp=$(mktemp -d "$dir/.build.XXXXXX")
	trap 'rm -rf "$tmp"' EXIT
	(cd "$tmp" && GOFLAGS=-mod=mod GOBIN="$tmp" go install "filippo.io/torchwood/cmd/litewitness@$version") >&2
	mv "$tmp/litewitness" "$dir/litewitness"
fi
echo "$dir/litewitness"
