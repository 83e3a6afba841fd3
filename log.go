package main

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/urfave/cli/v2"

	"ossecd/proto/printable"
)

// logFlags are the flags of every command that logs.
func logFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "log-format", Value: "text", Usage: "`FORMAT` of the log on standard error: text or json"},
		&cli.StringFlag{Name: "log-level", Value: "info", Usage: "lowest `LEVEL` that is logged: debug, info, warn or error"},
	}
}

// newLog makes the logger that --log-format and --log-level ask for. What it writes holds no control characters
// but line ends: the text form quotes them, the JSON form escapes them.
func newLog(w io.Writer, format, level string) (*slog.Logger, error) {
	var options slog.HandlerOptions
	switch level {
	case "debug":
		options.Level = slog.LevelDebug
	case "info":
		options.Level = slog.LevelInfo
	case "warn":
		options.Level = slog.LevelWarn
	case "error":
		options.Level = slog.LevelError
	default:
		return nil, fmt.Errorf("log_level: %q is unknown; use debug, info, warn or error", level)
	}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, &options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(printable.NewWriter(w), &options)), nil
	}
	return nil, fmt.Errorf("log_format: %q is unknown; use text or json", format)
}
