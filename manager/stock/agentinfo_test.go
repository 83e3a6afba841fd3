package stock

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ossecd/keys"
	"ossecd/keys/limitlog"
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
	i, err := OpenAgentInfo(home, limitlog.New(slog.New(slog.DiscardHandler)))
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
