package tokens

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

const testPrint = "0acf75450131dccc7848dbcd903b9fa8198d67cf8aeeff5bfcf97e915492fcb5"

func TestText(t *testing.T) {
	t.Parallel()
	for _, fingerprint := range []string{"", testPrint} {
		made := New(fingerprint)
		got, err := Parse(made.String())
		if err != nil || got != made || got.Fingerprint() != fingerprint {
			t.Errorf("%q: got %q, %v", made, got, err)
		}
		if sent, err := Parse(got.Password()); err != nil || sent.Fingerprint() != "" || sent.Password() != got.Password() || !IsToken(sent.String()) {
			t.Errorf("%q is sent as %q, which reads as %q, %v", made, got.Password(), sent, err)
		}
		if strings.ContainsAny(made.String(), " '\n") || len(made.Password()) > 32 {
			t.Errorf("%q is nothing to be sent", made)
		}
	}
	if a, b := New(""), New(""); a == b {
		t.Error("two tokens are the same")
	}
}

func TestTextMalformed(t *testing.T) {
	t.Parallel()
	secret := "abcdefghijklmnopqrstuvwxyz"
	for _, s := range []string{
		"", "oe1_", secret, "oe2_" + secret, "oe1_" + secret[1:], "oe1_" + secret + "2", "oe1_0" + secret[1:], "oe1_" + strings.ToUpper(secret), "oe1_" + secret + "_",
		"oe1_" + secret + "_" + testPrint[1:], "oe1_" + secret + "_" + testPrint + "_", "oe1_" + secret + "_" + testPrint[1:] + "g", " oe1_" + secret,
	} {
		if got, err := Parse(s); !errors.Is(err, errText) || got != (Text{}) || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: got %q, %v", s, got, err)
		}
	}
}

func TestParseFingerprint(t *testing.T) {
	t.Parallel()
	var colons []string
	for i := 0; i < len(testPrint); i += 2 {
		colons = append(colons, strings.ToUpper(testPrint[i:i+2]))
	}
	for _, s := range []string{testPrint, strings.ToUpper(testPrint), strings.Join(colons, ":")} {
		if got, err := ParseFingerprint(s); err != nil || got != testPrint {
			t.Errorf("%q: got %q, %v", s, got, err)
		}
	}
	for _, s := range []string{"", ":", testPrint[2:], testPrint + "00", "sha256:" + testPrint, strings.Replace(testPrint, "0", "g", 1)} {
		if got, err := ParseFingerprint(s); err == nil {
			t.Errorf("%q: got %q", s, got)
		}
	}
	if got := Fingerprint([]byte("abc")); got != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Errorf("got %q", got)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	for _, tt := range []struct {
		token Token
		name  string
		want  error
	}{
		{Token{Uses: 1, Names: "*"}, "web01", nil},
		{Token{Uses: Unlimited, Names: "web*"}, "web01", nil},
		{Token{Uses: 1, Names: "web0?", Expires: now.Add(time.Second)}, "web01", nil},
		{Token{Uses: 0, Names: "*"}, "web01", ErrUsedUp},
		{Token{Uses: 1, Names: "*", Expires: now}, "web01", ErrExpired},
		{Token{Uses: Unlimited, Names: "*", Expires: now.Add(-time.Hour)}, "web01", ErrExpired},
		{Token{Uses: 1, Names: "web*"}, "db01", ErrName},
		{Token{Uses: 1, Names: "web"}, "web01", ErrName},
	} {
		if err := tt.token.Check(tt.name, now); !errors.Is(err, tt.want) {
			t.Errorf("%+v for %q: got %v, want %v", tt.token, tt.name, err, tt.want)
		}
	}
}

// edit is Edit, which must not fail.
func edit(t *testing.T, path string, change func(*File)) {
	t.Helper()
	if err := Edit(t.Context(), path, func(f *File) error { change(f); return nil }); err != nil {
		t.Fatal(err)
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens")
	now := time.Now()
	var once, many Text
	edit(t, path, func(f *File) {
		once, _ = f.Add(Token{Uses: 1, Names: "*", Expires: now.Add(time.Hour)}, testPrint, now)
		many, _ = f.Add(Token{Uses: Unlimited, Names: "web*"}, "", now)
	})
	text, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(text), once.secret) || strings.Contains(string(text), many.secret) || strings.Count(string(text), "\n") != 2 {
		t.Fatalf("the file has %q, %v", text, err)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	spend := func(password string, want error) {
		t.Helper()
		edit(t, path, func(f *File) {
			token, err := f.Find(password)
			if err == nil {
				err = token.Check("web01", now)
			}
			if !errors.Is(err, want) {
				t.Errorf("%q: got %v, want %v", password, err, want)
			}
			if err == nil {
				f.Spend(token)
			}
		})
	}
	spend(once.String(), nil) // stock agents send it whole
	spend(once.Password(), ErrUsedUp)
	spend(once.String()[:32], ErrUsedUp) // as much of it as stock agents send
	spend(once.Password()[:29], ErrUnknown)
	spend(many.Password(), nil)
	spend(many.Password(), nil)
	spend(New("").Password(), ErrUnknown)
	spend("sesame", ErrUnknown)

	edit(t, path, func(f *File) {
		all := f.All()
		if len(all) != 2 || all[0].Uses != 0 || all[1].Uses != Unlimited || !all[0].Expires.Equal(now.Add(time.Hour).Truncate(time.Second)) {
			t.Errorf("the file has %+v", all)
		}
		f.Add(Token{Uses: 1, Names: "*"}, "", now)
		if token, err := f.Find(once.Password()); err != nil || token.Uses != 0 {
			t.Errorf("whoever comes late with a used token is to be told so: got %v", err)
		}
		if n := len(f.All()); n != 3 {
			t.Errorf("%d tokens, want 3", n)
		}
		f.Add(Token{Uses: 0, Names: "*"}, "", now) // without an expiry
		f.Add(Token{Uses: 1, Names: "*"}, "", now.Add(time.Hour))
		if n := len(f.All()); n != 3 {
			t.Errorf("%d tokens: those that ended were not dropped", n)
		}
		if _, err := f.Find(many.Password()); err != nil {
			t.Errorf("lost: %v", err)
		}
	})
	edit(t, path, func(f *File) {
		token, err := f.Find(many.Password())
		if err != nil {
			t.Fatal(err)
		}
		id := token.ID()
		if err := f.Revoke(id); err != nil {
			t.Error(err)
		}
		if err := f.Revoke(id); !errors.Is(err, ErrNoToken) {
			t.Errorf("revoked twice: %v", err)
		}
		if _, err := f.Find(many.Password()); !errors.Is(err, ErrUnknown) {
			t.Errorf("revoked: %v", err)
		}
	})
}

// Where the change fails, the file stays as it was, but for what was saved.
func TestEditFails(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens")
	failure := errors.New("failure")
	err := Edit(t.Context(), path, func(f *File) error {
		f.Add(Token{Uses: 1, Names: "*"}, "", time.Now())
		return failure
	})
	if _, statErr := os.Stat(path); !errors.Is(err, failure) || !errors.Is(statErr, fs.ErrNotExist) {
		t.Errorf("got %v, %v", err, statErr)
	}
	err = Edit(t.Context(), path, func(f *File) error {
		f.Add(Token{Uses: 1, Names: "*"}, "", time.Now())
		return errors.Join(f.Save(), failure)
	})
	if f, loadErr := Load(path); !errors.Is(err, failure) || loadErr != nil || len(f.All()) != 1 {
		t.Errorf("got %v, %v", err, loadErr)
	}
	ctx, cancel := context.WithCancel(t.Context())
	edit(t, path, func(*File) {
		time.AfterFunc(10*time.Millisecond, cancel)
		if err := Edit(ctx, path, func(*File) error { return nil }); err == nil || !strings.Contains(err.Error(), "gave up waiting") {
			t.Errorf("while another edits: %v", err)
		}
	})
}

func TestLoadFaults(t *testing.T) {
	t.Parallel()
	sum := testPrint
	for _, tt := range []struct{ text, want string }{
		{"# comment\n\n" + sum + " 1 - *\n" + sum[1:] + " 1 - *\n", "tokens:4: "},
		{sum + " 1 -\n", "tokens:1: "},
		{sum + " 1 - * \x1b[2J\n", "list of groups"},
		{sum + " 1 - * b,a\n", "list of groups"},
		{sum + " 1 - * \n", "four fields"},
		{sum + "  1 - *\n", "four fields"},
		{strings.ToUpper(sum) + " 1 - *\n", "not a SHA-256"},
		{sum + " -1 - *\n", "number of uses"},
		{sum + " 1000001 - *\n", "number of uses"},
		{sum + " +1 - *\n", "number of uses"},
		{sum + " 1 tomorrow *\n", "not a time"},
		{sum + " 1 - [\n", "not a pattern"},
		{sum + " 1 - \x1b[2J\n", "not a pattern"},
		{sum + " 1 - *\n" + sum + " 2 - *\n", "tokens:2: the token is there twice"},
		{strings.Repeat("#", maxFile+1), "over 16 MB"},
	} {
		path := filepath.Join(t.TempDir(), "tokens")
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%.100q: got %v, want %q", tt.text, err, tt.want)
		}
		if err := Edit(t.Context(), path, func(*File) error { t.Error("a faulty file is edited"); return nil }); err == nil {
			t.Errorf("%.100q: edited", tt.text)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// FuzzFile reads foreign bytes as a file of tokens: what is taken is written back the same.
func FuzzFile(f *testing.F) {
	f.Add(testPrint + " 1 2026-11-24T03:57:47Z *\n# comment\n\n")
	f.Add(testPrint + " - - web*\r\n")
	f.Add(testPrint + " - - web* a,b\n")
	f.Add(testPrint + " 0 2026-11-24T03:57:47+01:00 [a-z]?\n")
	f.Add(testPrint + " 0 0000-01-01T00:00:00+01:00 x\n")
	f.Add(testPrint + " 0 9999-12-31T23:59:59-01:00 x\n")
	f.Add(testPrint + " 0 0001-01-01T00:00:00Z x\n")
	f.Add(testPrint + " 0 2026-11-24T03:57:47.5Z x\n")
	f.Fuzz(func(t *testing.T, text string) {
		file := &File{path: "tokens"}
		if file.parse(text) != nil {
			return
		}
		for _, token := range file.All() {
			back, err := parseLine(token.line())
			if err != nil || back != token {
				t.Fatalf("%q: %+v became %q, which is %+v, %v", text, token, token.line(), back, err)
			}
		}
	})
}

// A file that an editor of Windows saved is read, and written without its mark.
func TestMarkedFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "enroll.tokens")
	if err := os.WriteFile(path, []byte("\xef\xbb\xbf"+testPrint+" - - web*\r\n# more\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := Edit(t.Context(), path, func(f *File) error {
		if len(f.All()) != 1 || f.All()[0].Names != "web*" {
			t.Errorf("got %v", f.All())
		}
		f.Add(Token{Uses: 1}, "", time.Now())
		return nil
	})
	text, _ := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(text), testPrint) || strings.Contains(string(text), "\r") {
		t.Errorf("written %q, %v", text, err)
	}
}
