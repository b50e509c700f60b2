package storage_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"tidemark/storage"
)

// The test binary is also the processes that tests start: an engine, or a daemon
// with an engine, on the directory that follows.
const (
	engineDirVar = "engine-of="
	daemonDirVar = "daemon-of="
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 {
		var err error
		if dir, ok := strings.CutPrefix(os.Args[1], engineDirVar); ok {
			err = storage.ServeEngine(context.Background(), storage.EngineOptions{DataDir: dir, Parent: os.Stdin, MemoryLimit: 2 << 30})
			exit(err)
		}
		if dir, ok := strings.CutPrefix(os.Args[1], daemonDirVar); ok {
			err = daemon(dir)
			exit(err)
		}
	}
	os.Exit(m.Run())
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// daemon prints the engine's pid when it answers and runs until it is killed.
func daemon(dir string) error {
	engine, err := storage.StartEngine(context.Background(), storage.EngineOptions{
		DataDir: dir, Command: []string{os.Args[0], engineDirVar + dir}, Log: zerolog.Nop(),
	})
	if err != nil {
		return err
	}
	fmt.Println(engine.Pid())
	return engine.Run(context.Background())
}
