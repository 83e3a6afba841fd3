package response

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What ar.conf says counts for allowed programs alone.
func TestNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, outside := filepath.Join(dir, "ar.conf"), filepath.Join(t.TempDir(), "ar.conf")
	text := `restart-ossec0 - restart-ossec.sh - 0
block600 - block.cmd - 600
block600 - block.sh - 600
block600 - deny.sh - 60
odd - block.sh - -1
odd - block.sh
path - ../block.sh - 0
long - block.sh - 99999999999
deny - deny.sh - 7`
	if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.WriteFile(outside, []byte("out - deny.sh - 0\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	allow := []string{"block.sh", "deny.sh"}
	for _, tt := range []struct {
		name, program string
		timeout       time.Duration
	}{
		{"block600", "block.sh", 10 * time.Minute},
		{"deny", "deny.sh", 7 * time.Second},
		{"restart-ossec0", "", 0},
		{"odd", "", 0},
		{"path", "", 0},
		{"long", "", 0},
		{"block", "", 0},
		{"", "", 0},
	} {
		program, timeout, ok := named(path, tt.name, allow)
		if program != tt.program || timeout != tt.timeout || ok != (program != "") {
			t.Errorf("%q: %q, %v, %v", tt.name, program, timeout, ok)
		}
	}
	for _, text := range []string{"\ufeffdeny - deny.sh - 7\r\n", "\xff\xfe" + strings.Join(strings.Split("deny - deny.sh - 7\r\n", ""), "\x00") + "\x00"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if program, timeout, ok := named(path, "deny", allow); program != "deny.sh" || timeout != 7*time.Second || !ok {
			t.Errorf("%q: %q, %v, %v", text, program, timeout, ok)
		}
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(outside, link); err == nil {
		if program, _, ok := named(link, "out", allow); ok {
			t.Errorf("a link out of the directory was read: %q", program)
		}
	}
	if _, _, ok := named("", "deny", allow); ok {
		t.Error("no file said something")
	}
}
