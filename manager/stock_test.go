package manager

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/proto"
)

// The agent's side of the stock sessions drives the manager: everything is taken, all control messages are answered.
func TestStockSessions(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../testdata/vectors/stock-session-*.txt")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d sessions, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { playSession(t, string(text)) })
		})
	}
}

func playSession(t *testing.T, text string) {
	_, rest, ok := strings.Cut(text, "client.keys: ")
	if !ok {
		t.Fatal("no client.keys line")
	}
	keyLine, _, _ := strings.Cut(rest, "\n")
	r := newRig(t, keyLine)
	r.start()
	method, dialect := proto.Blowfish, proto.OSSEC
	if strings.Contains(text, hex.EncodeToString([]byte("#AES:"))) {
		method = proto.AES
	}
	p := r.dial(keyLine, "127.0.0.1", method, dialect, 0)
	events := 0
	for l := range strings.Lines(text) {
		d, ok := strings.CutPrefix(strings.TrimSpace(l), "A>M ")
		if !ok {
			continue
		}
		b, err := hex.DecodeString(d)
		if err != nil {
			t.Fatal(err)
		}
		f, err := proto.ParseFrame(b)
		if err != nil {
			t.Fatal(err)
		}
		m, err := p.opener.Open(p.cipher, f, 0)
		if err != nil {
			t.Fatal(err)
		}
		control := proto.IsControl(m.Payload)
		if !control {
			events++
		}
		p.write(b)
		if got, want := p.answer(), control; (got == proto.Ack) != want {
			t.Errorf("%v answered with %q", m.Counter, got)
		}
		time.Sleep(5 * time.Second)
	}
	lines := r.lines()
	if len(lines) != events+1 || r.actions() != p.key.Name+" connected" {
		t.Errorf("%d lines for %d events, reported %q", len(lines), events, r.actions())
	}
	if r.logs.String() == "" || strings.Contains(r.logs.String(), "refused") {
		t.Errorf("logged:\n%s", r.logs.String())
	}
	r.end()
}
