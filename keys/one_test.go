package keys

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	fixedLine = "001 fixed1 127.0.0.1 6e5d1d9949a5e82bc2a6f43e09b3c9d8b53ffd0eabb1ab5796f4fb782261fecb"
	anyLine   = "003 dyn2 any f8c75a6e96d28a294cc845cd5bbeca42e206d473715e7364d7fa275193248ec7"
)

func TestLoadOne(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "agent.keys")
	if _, _, err := LoadOne(path); err == nil || !strings.Contains(err.Error(), "keygen import") {
		t.Errorf("no file: %v", err)
	}
	tests := []struct{ name, text, want string }{
		{"good", fixedLine + "\n", ""},
		{"comments and removed ones", "# here\n\n002 #*#*#* any x\n" + fixedLine, ""},
		{"CR LF", fixedLine + "\r\n", ""},
		{"an export", "MDAxIGZpeGVkMSBhbnkg\nYWJj\n", ""},
		{"no export", "MDAxIGZpeGVkMSBhbnk=\n", "agent.keys:1: "},
		{"empty", "", "holds no key"},
		{"two", fixedLine + "\n" + anyLine + "\n", "holds 2 keys"},
		{"fault", "001 fixed1 127.0.0.1\n", "agent.keys:1: "},
		{"fault behind", fixedLine + "\nxyz dyn2 any abc\n", "agent.keys:2: "},
	}
	for _, tt := range tests {
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		key, _, err := LoadOne(path)
		if tt.want == "" && (err != nil || key.ID != "001") || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, %v; want %q", tt.name, key, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "6e5d1d99") {
			t.Errorf("%s: the secret is in the error", tt.name)
		}
	}
}
