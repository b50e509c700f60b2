package embedded

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// LibraryVersion is the version of the library this package was tested with,
// and the one scripts/setup-engine.sh fetches.
const LibraryVersion = "26.7.3-stable.1"

// FindLibrary returns the path of libchdb.so: explicit if it is not empty, else
// $TIDEMARK_LIBCHDB, else the one beside the executable, else the one that
// scripts/setup-engine.sh put into the cache.
func FindLibrary(explicit string) (string, error) {
	const name = "libchdb.so" // the packages call it so on every platform
	check := func(path, origin string) (string, error) {
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			return "", fmt.Errorf("find engine library: %s is %s, which is no file: correct it, or remove it and run `make setup`", origin, path)
		}
		return path, nil
	}
	if explicit != "" {
		return check(explicit, "the configured path")
	}
	if path := os.Getenv("TIDEMARK_LIBCHDB"); path != "" {
		return check(path, "TIDEMARK_LIBCHDB")
	}
	if self, err := os.Executable(); err == nil {
		for _, dir := range []string{filepath.Dir(self), filepath.Join(filepath.Dir(self), "..", "lib", "tidemark")} {
			if path := filepath.Join(dir, name); isFile(path) {
				return path, nil
			}
		}
	}
	cache := os.Getenv("TIDEMARK_CACHE")
	if cache == "" {
		base := os.Getenv("XDG_CACHE_HOME")
		if base == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return "", fmt.Errorf("find engine library: %w: set TIDEMARK_LIBCHDB", err)
			}
			base = filepath.Join(home, ".cache")
		}
		cache = filepath.Join(base, "tidemark")
	}
	path := filepath.Join(cache, "libchdb", LibraryVersion, name)
	if !isFile(path) {
		return "", fmt.Errorf("find engine library: no %s for %s/%s: run `make setup`, or set TIDEMARK_LIBCHDB, or use a ClickHouse server", path, runtime.GOOS, runtime.GOARCH)
	}
	return path, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
