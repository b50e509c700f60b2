package storage_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"tidemark/storage"
)

// engineDirVar makes the test binary an engine process on the directory it names.
const engineDirVar = "engine-of="

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && len(os.Args[1]) > len(engineDirVar) && os.Args[1][:len(engineDirVar)] == engineDirVar {
		err := storage.ServeEngine(context.Background(), storage.EngineOptions{
			DataDir: os.Args[1][len(engineDirVar):], Parent: os.Stdin, MemoryLimit: 2 << 30,
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}
