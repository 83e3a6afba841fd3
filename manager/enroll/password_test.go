package enroll

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The password is the first line, however an editor or a shell saved it.
func TestPasswordFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "password")
	most := strings.Repeat("p", maxPassword)
	wide := func(text string) string { return "\xff\xfe" + strings.Join(strings.Split(text, ""), "\x00") + "\x00" }
	for text, want := range map[string]string{
		"secret": "secret", "secret\nmore": "secret", "\ufeffsecret\r\n": "secret", wide("secret\r\nmore"): "secret", "a\rb\r\r\n": "a\rb\r",
		most + "\r\n": most, "\ufeff" + most + "\r\n": most, wide(most + "\r\n"): most,
		"": "", "\ufeff\r\n": "", most + "p\n": "", most + most + "p": "",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readPassword(path); got != want || (err == nil) != (want != "") {
			t.Errorf("%.20q: got %.20q, %v", text, got, err)
		}
	}
}
