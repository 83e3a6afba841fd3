package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ossecd/proto/printable"
)

const hostile = "a\x1b[31m\nb\u009b2J\x7f\u202e\u2066\u2029\xff\x00"

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
				if printable.Steers(r) {
					t.Fatalf("prints %q:\n%q", r, line)
				}
			}
			if format == "json" {
				var record map[string]any
				if err := json.Unmarshal(line, &record); err != nil {
					t.Fatalf("%v: %s", err, line)
				}
				if got, want := record["err"], "a\x1b[31m\nb\u009b2J\x7f\u202e\u2066\u2029\ufffd\x00"; got != want {
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

// What commands print of texts that others chose steers no terminal, and JSON stays the same data.
func TestCommandsPrintNoControlCharacters(t *testing.T) { // not beside others: package cli keeps state of its own
	path := filepath.Join(t.TempDir(), "client.keys")
	const secret = "k\u009b2J\u202e\u2028"
	if err := os.WriteFile(path, []byte("001 web01 any "+secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"keygen", "show", "001"}, {"keygen", "list"}, {"keygen", "verify"}, {"keygen", "show", "001", "--json"}} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), append(append([]string{"ossecd"}, args...), "--keys", path), &out, &errs); code != 0 && args[1] != "verify" {
			t.Fatalf("%q: %d, %s", args, code, errs.String())
		}
		for _, r := range out.String() + errs.String() {
			if printable.Steers(r) && r != '\n' && r != '\t' {
				t.Errorf("%q prints %q:\n%q", args, r, out.String()+errs.String())
			}
		}
		if args[len(args)-1] == "--json" && !strings.Contains(out.String(), `k\u009b2J\u202e\u2028`) {
			t.Errorf("the JSON is %s", out.String())
		}
	}
}
