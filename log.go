package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
)

// logFlags are the flags of every command that logs.
func logFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "log-format", Value: "text", Usage: "`FORMAT` of the log on standard error: text or json"},
		&cli.StringFlag{Name: "log-level", Value: "info", Usage: "least `LEVEL` that is logged: debug, info, warn or error"},
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
		return slog.New(slog.NewJSONHandler(escaper{w}, &options)), nil
	}
	return nil, fmt.Errorf("log_format: %q is unknown; use text or json", format)
}

// escaper escapes the control characters that JSON allows unescaped: DEL and those from U+0080 to U+009F, which
// some terminals obey. In JSON they can only stand in strings. Each write is a whole record.
type escaper struct{ w io.Writer }

func (e escaper) Write(p []byte) (int, error) {
	if bytes.IndexFunc(p, isC1) < 0 {
		return e.w.Write(p)
	}
	var out []byte
	for rest := p; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		if isC1(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = append(out, rest[:size]...)
		}
		rest = rest[size:]
	}
	if _, err := e.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

func isC1(r rune) bool { return r >= 0x7f && r <= 0x9f }

// printable is text with all but printable characters and line ends escaped, as error texts can hold names that
// somebody else chose.
func printable(text string) string {
	var b strings.Builder
	for _, line := range strings.SplitAfter(text, "\n") {
		for rest := line; rest != ""; {
			r, size := utf8.DecodeRuneInString(rest)
			if (unicode.IsPrint(r) && (r != utf8.RuneError || size > 1)) || r == '\n' {
				b.WriteString(rest[:size])
			} else {
				q := strconv.QuoteToASCII(rest[:size])
				b.WriteString(q[1 : len(q)-1])
			}
			rest = rest[size:]
		}
	}
	return b.String()
}
