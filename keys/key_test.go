package keys

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
)

const (
	testSecret = "5f1d4b3a9c7e2f80a1b2c3d4e5f60718293a4b5c6d7e8f900112233445566778"
	testLine   = "001 web-01 any " + testSecret
)

func mustParse(t testing.TB, line string) Key {
	t.Helper()
	k, err := ParseLine(line)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestCipherKey holds the derivation against what the stock programs derived.
func TestCipherKey(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../testdata/vectors/stock-datagrams.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name      string
		Line      string `json:"client_keys"`
		CipherKey string
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) == 0 {
		t.Fatal("no vectors")
	}
	for _, v := range vectors {
		k := mustParse(t, v.Line)
		if got := k.CipherKey(); string(got[:]) != v.CipherKey {
			t.Errorf("%s: got %s, want %s", v.Name, got[:], v.CipherKey)
		}
		if k.Line() != v.Line {
			t.Errorf("%s: got the line %q, want %q", v.Name, k.Line(), v.Line)
		}
	}
}

func TestParseLineRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		line string
		want error
	}{
		"empty":            {"", errFields},
		"three fields":     {"001 web01 any", errFields},
		"five fields":      {testLine + " more", errFields},
		"two blanks":       {"001  web01 any " + testSecret, errFields},
		"blank at the end": {testLine + " ", errFields},
		"too long":         {"001 web01 any " + strings.Repeat("a", maxLine), errFields},
		"manager's ID":     {"000 web01 any " + testSecret, errID},
		"ID zero":          {"0 web01 any " + testSecret, errID},
		"ID of 9 digits":   {"123456789 web01 any " + testSecret, errID},
		"ID a path":        {"../1 web01 any " + testSecret, errID},
		"ID with letters":  {"00a web01 any " + testSecret, errID},
		"key as ID":        {testSecret + " 001 web01 any", errID},
		"short name":       {"001 w any " + testSecret, errName},
		"long name":        {"001 " + strings.Repeat("w", 129) + " any " + testSecret, errName},
		"name a path":      {"001 a/b any " + testSecret, errName},
		"name with escape": {"001 web\x1b[2J any " + testSecret, errName},
		"name with NUL":    {"001 web\x00 any " + testSecret, errName},
		"name not ASCII":   {"001 wéb01 any " + testSecret, errName},
		"address":          {"001 web01 all " + testSecret, errAddress},
		"key as address":   {"001 web01 " + testSecret + " any", errAddress},
		"no key":           {"001 web01 any ", errSecret},
		"long key":         {"001 web01 any " + strings.Repeat("a", maxSecret+1), errSecret},
		"tab in key":       {"001 web01 any " + testSecret + "\t", errSecret},
		"CR in key":        {"001 web01 any " + testSecret + "\r", errSecret},
		"escape in key":    {"001 web01 any \x1b" + testSecret, errSecret},
		"delete in key":    {"001 web01 any " + testSecret + "\x7f", errSecret},
	} {
		k, err := ParseLine(test.line)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
			continue
		}
		if k != (Key{}) {
			t.Errorf("%s: got a key beside the error", name)
		}
		text := err.Error()
		if strings.Contains(text, testSecret[:16]) || strings.Contains(text, "aaaa") {
			t.Errorf("%s: the error shows the secret: %s", name, text)
		}
		if len(text) > 200 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("%s: error not fit for a terminal: %q", name, text)
		}
	}
}

func TestParseLineLimits(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"1 ab any x", "12345678 " + strings.Repeat("n", 128) + " !2001:db8::/32 " + strings.Repeat("s", maxSecret),
		"001 A.b_C-9 any pass:word!#'\"é", "010 -web any #",
	} {
		if k := mustParse(t, line); k.Line() != line {
			t.Errorf("got %q, want %q", k.Line(), line)
		}
	}
}

// TestSecretIsNotShown prints and logs a key in the ways that happen.
func TestSecretIsNotShown(t *testing.T) {
	t.Parallel()
	k := mustParse(t, testLine)
	set := &Set{Keys: []Key{k}}
	var shown bytes.Buffer
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, v := range []any{k, &k, set, *set, []Key{k}, map[string]Key{"a": k}} {
			fmt.Fprintf(&shown, format+"\n", v)
		}
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&shown, nil), slog.NewJSONHandler(&shown, nil)} {
		slog.New(h).Info("test", "key", k, "pointer", &k, "set", set, "slice", []Key{k})
	}
	if err := json.NewEncoder(&shown).Encode(set); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{testSecret, fmt.Sprintf("%x", testSecret)} {
		if at := strings.Index(shown.String(), secret); at >= 0 {
			t.Errorf("shown: %s", shown.String()[max(0, at-100):at])
		}
	}
	if got, want := k.String(), "001 web-01 any"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNewSecret(t *testing.T) {
	t.Parallel()
	a, b := NewSecret(), NewSecret()
	if len(a) != 64 || strings.Trim(a, "0123456789abcdef") != "" || a == b {
		t.Errorf("got %q and %q, want 64 hexadecimal digits, each time others", a, b)
	}
}
