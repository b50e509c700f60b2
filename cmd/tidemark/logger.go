package main

import (
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"
)

// newLogger writes to w, which is never stdout: data goes there.
func newLogger(cfg LogConfig, w io.Writer) zerolog.Logger {
	level, err := zerolog.ParseLevel(cfg.Level)
	if err != nil {
		level = zerolog.InfoLevel // LoadConfig has refused it
	}
	if cfg.Format == "console" || cfg.Format == "auto" && terminalWidth(w) > 0 {
		w = zerolog.ConsoleWriter{Out: w, NoColor: !colours(w), TimeFormat: time.RFC3339}
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger()
}

// notifySystemd tells systemd the state ("READY=1"), if it asked to be told.
func notifySystemd(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	return sendDatagram(path, state)
}
