package keygen

import (
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ossecd/keys/tokens"
)

const testPrint = "0acf75450131dccc7848dbcd903b9fa8198d67cf8aeeff5bfcf97e915492fcb5"

func TestTokenLife(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "enroll.tokens")
	first := strings.TrimSpace(must(t, path, "token", "add", "--tokens", "{keys}", "--fingerprint", strings.ToUpper(testPrint)))
	text, err := tokens.Parse(first)
	if err != nil || text.Fingerprint() != testPrint {
		t.Fatalf("made %q, %v", first, err)
	}
	cert := filepath.Join(t.TempDir(), "cert.pem")
	if err := os.WriteFile(cert, append([]byte("\ufeff"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("abc")})...), 0o600); err != nil {
		t.Fatal(err)
	}
	out := must(t, path, "token", "add", "--tokens", "{keys}", "--cert", cert, "--uses", "0", "--expires", "0", "--name", "web*", "--json")
	var second token
	if err := json.Unmarshal([]byte(out), &second); err != nil || second.Uses != nil || second.Expires != nil || second.Names != "web*" ||
		!strings.HasSuffix(second.Token, "_"+tokens.Fingerprint([]byte("abc"))) {
		t.Errorf("got %s, %v", out, err)
	}
	var list []token
	out = must(t, path, "token", "list", "--tokens", "{keys}", "--json")
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 2 || *list[0].Uses != 1 || list[1].ID != second.ID ||
		time.Until(*list[0].Expires) > defaultExpires || time.Until(*list[0].Expires) < defaultExpires-time.Minute {
		t.Errorf("got %s, %v", out, err)
	}
	out = must(t, path, "token", "list", "--tokens", "{keys}")
	if lines := strings.Split(out, "\n"); len(lines) != 4 || !strings.HasPrefix(lines[2], second.ID+"  any   never ") || strings.Contains(out, text.Password()[4:]) {
		t.Errorf("got\n%s", out)
	}
	if got, want := must(t, path, "token", "revoke", "--tokens", "{keys}", second.ID), "revoked "+second.ID+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if out := must(t, path, "token", "list", "--tokens", "{keys}"); strings.Contains(out, second.ID) {
		t.Errorf("got\n%s", out)
	}
}

func TestTokenWrong(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "enroll.tokens")
	nothing := filepath.Join(t.TempDir(), "nothing.pem")
	if err := os.WriteFile(nothing, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"add --uses -1", 2, "--uses 1 to"},
		{"add --uses 1000001", 2, "--uses 1 to"},
		{"add --expires -1h", 2, "--expires"},
		{"add --names [", 2, "--names"},
		{"add --name a\x1bb", 2, "--names"},
		{"add --fingerprint 0a", 2, "--fingerprint"},
		{"add --fingerprint " + testPrint + " --cert x", 2, "either"},
		{"add --cert " + nothing, 1, "does not begin with a certificate"},
		{"add --cert " + nothing + ".none", 1, "--cert"},
		{"add --cert " + filepath.Dir(nothing), 1, "--cert"},
		{"list", 1, "ossecd keygen token add"},
		{"revoke", 2, "needs ID"},
		{"revoke 0a0a0a0a", 1, "no such token"},
	} {
		args := append([]string{"token"}, strings.Split(tt.args, " ")...)
		args = append(args, "--tokens", "{keys}")
		_, _, err := run(t, path, "", args...)
		code := 1
		if coded, ok := err.(interface{ ExitCode() int }); ok {
			code = coded.ExitCode()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || code != tt.code {
			t.Errorf("%q: got %v with %d, want %q with %d", tt.args, err, code, tt.want, tt.code)
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a file was made")
	}
}
