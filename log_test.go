package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
)

const hostile = "a\x1b[31m\nb\u009b2J\x7f\u202e\xff\x00"

func TestLogPrintsNoControlCharacters(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			log, err := newLog(&out, format, "info")
			if err != nil {
				t.Fatal(err)
			}
			log.Info(hostile, hostile, hostile, "err", errors.New(hostile), "any", []string{hostile})
			line := bytes.TrimSuffix(out.Bytes(), []byte("\n"))
			for _, r := range string(line) {
				if r < 0x20 || r >= 0x7f && r <= 0x9f {
					t.Fatalf("prints %q:\n%q", r, line)
				}
			}
			if format == "json" {
				var record map[string]any
				if err := json.Unmarshal(line, &record); err != nil {
					t.Fatalf("%v: %s", err, line)
				}
				if got, want := record["err"], "a\x1b[31m\nb\u009b2J\x7f\u202e\ufffd\x00"; got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
}

func TestNewLogRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range [][2]string{{"xml", "info"}, {"text", "loud"}, {"", "info"}, {"text", ""}} {
		if _, err := newLog(nil, tt[0], tt[1]); err == nil {
			t.Errorf("format %q level %q were taken", tt[0], tt[1])
		}
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain":          "plain",
		"two\nlines":     "two\nlines",
		"größer – 日本":    "größer – 日本",
		"\x1b[31mred\r":  `\x1b[31mred\r`,
		"\u009b \u202e":  `\u009b \u202e`,
		"bad \xff\xfe.":  `bad \xff\xfe.`,
		"real \ufffd \t": `real ` + "\ufffd" + ` \t`,
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
}
