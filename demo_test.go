package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLastLines(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", demoRecentMax+100)
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"empty", "", nil},
		{"no line end", "part", nil},
		{"some", "one\ntwo\npart", []string{"one", "two"}},
		{"many", "1\n2\n3\n4\n5\n6\n7\n", []string{"3", "4", "5", "6", "7"}},
		{"long first", long + "\nshort\n", []string{"short"}},
		{"long last", "short\n" + long + "\n", nil},
		{"lines of Windows", "\ufeffone\r\nt\rwo\r\n", []string{"one", "t\rwo"}},
		{"empty lines and bytes", "\n\xff\x00\n", []string{"", "\xff\x00"}},
	} {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, l := range lastLines(path) {
			got = append(got, string(l))
		}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := lastLines(filepath.Join(t.TempDir(), "nowhere")); got != nil {
		t.Errorf("lines %q of no file", got)
	}
}

func TestEndingWriter(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	var out bytes.Buffer
	w := &endingWriter{&out, cancel}
	if n, err := w.Write([]byte("one")); n != 3 || err != nil || ctx.Err() != nil || out.String() != "one" {
		t.Fatalf("a good write: %d, %v, %v, %q", n, err, ctx.Err(), &out)
	}
	w.w = brokenPipe{}
	for range 2 {
		if n, err := w.Write([]byte("two")); n != 3 || err != nil {
			t.Errorf("a failed write says %d, %v", n, err)
		}
	}
	if !errors.Is(context.Cause(ctx), errReaderGone) {
		t.Errorf("the demo goes on: %v", context.Cause(ctx))
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, os.ErrClosed }
