package stock

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ossecd/keys"
	"ossecd/proto"
)

// What an agent says of itself is written without the control characters that a terminal would obey: those below U+0020, those from
// U+0080 to U+009F, and single bytes that a terminal of another character set takes for the latter.
func TestAgentInfoHasNoControlCharacters(t *testing.T) {
	t.Parallel()
	home := Layout(t.TempDir())
	dir := home.AgentInfo()
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	i, err := OpenAgentInfo(home, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer i.dir.Close()
	k, err := keys.ParseLine("001 web01 any secret")
	if err != nil {
		t.Fatal(err)
	}
	i.Note(k, []byte("Linux caf\u00e9 \x1b]0;x\a \u009b31m \u0085 \x9b32m - OSSEC v4\nrest"), proto.AES)
	for name, content := range i.waiting {
		if err := i.write(name, content); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(filepath.Join(dir, "web01-any"))
	if err != nil {
		t.Fatal(err)
	}
	if first, _, _ := strings.Cut(string(got), "\n"); first != "Linux caf\u00e9 ]0;x 31m  32m - OSSEC v4" {
		t.Errorf("the file begins %q", first)
	}
}

// A stock manager sets the time of an agent's file at each keepalive.
func TestLastHeard(t *testing.T) {
	t.Parallel()
	home := Layout(t.TempDir())
	k, err := keys.ParseLine("003 net01 198.51.100.0/24 secret")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(home.AgentInfo(), "net01-198.51.100.0")
	at := time.Now().Add(-time.Hour).Truncate(time.Second)
	if got := home.LastHeard(k); !got.IsZero() {
		t.Errorf("without a file: %v", got)
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o750), os.WriteFile(path, nil, 0o644), os.Chtimes(path, at, at)); err != nil {
		t.Fatal(err)
	}
	if got := home.LastHeard(k); !got.Equal(at) {
		t.Errorf("got %v, want %v", got, at)
	}
	if got := Layout("").LastHeard(k); !got.IsZero() {
		t.Errorf("without a stock server: %v", got)
	}
}
