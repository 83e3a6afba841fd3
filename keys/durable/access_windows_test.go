package durable

import (
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/windows"
)

// A secret is for the system, administrators and its owner; what an administrator allows beyond that stays.
func TestSecretAccess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	access := func(path string) string {
		t.Helper()
		list, err := windows.GetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION)
		if err != nil {
			t.Fatal(err)
		}
		return list.String()
	}
	made, replaced, open := filepath.Join(dir, "made"), filepath.Join(dir, "replaced"), filepath.Join(dir, "open")
	if err := CreateFile(made, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // made, then replaced
		if err := ReplaceFile(replaced, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := ReplaceFile(open, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{made, replaced} {
		if got := access(path); !strings.HasPrefix(got, "D:P") || strings.Contains(got, ";WD)") || !strings.Contains(got, ";BA)") {
			t.Errorf("%s: %s", path, got)
		}
	}
	if got := access(open); strings.HasPrefix(got, "D:P") {
		t.Errorf("%s: %s", open, got)
	}
}
