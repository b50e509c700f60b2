// Package hook runs programs of the operator's own: the only way by which Tidemark
// sets anything in motion outside itself.
package hook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
	"unicode"
)

// Run gives in to the program at path on its standard input; values (NAME=VALUE)
// and PATH are all of its environment, and it has no arguments. It has done what
// was asked when it ends with 0 before ctx does. What it wrote last is part of the
// error.
func Run(ctx context.Context, path string, values []string, in []byte) error {
	cmd := exec.CommandContext(ctx, path)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, values...)
	cmd.Stdin = bytes.NewReader(in)
	cmd.WaitDelay = time.Second // for children that hold its output open
	var said tail
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = errors.New("it did not end in time and was killed")
		}
		return fmt.Errorf("run %s: %w: %q", path, err, said.printable())
	}
	return nil
}

// tail keeps the last octets written to it.
type tail []byte

func (t *tail) Write(b []byte) (int, error) {
	*t = append(*t, b...)
	if over := len(*t) - 300; over > 0 {
		*t = append((*t)[:0], (*t)[over:]...)
	}
	return len(b), nil
}

func (t tail) printable() string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, string(t)))
}
