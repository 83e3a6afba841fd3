package webclient

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"ossecd/keys/setting/settingtest"
)

// What is posted arrives as it was, however it is compressed, with its credentials and headers.
func TestPost(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(" s3cret \r\nmore\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const body = "{\"a\":1}\n{\"a\":2}\n"
	for name, tt := range map[string]struct {
		o    Options
		auth string
	}{
		"plain":  {Options{Compression: "none"}, ""},
		"gzip":   {Options{Compression: "gzip", TokenFile: secret, TokenType: "ApiKey"}, "ApiKey s3cret"},
		"zstd":   {Options{Compression: "zstd", User: "me", PasswordFile: secret}, "Basic bWU6czNjcmV0"},
		"header": {Options{Headers: map[string]string{"X-Scope-OrgID": "x"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				in := io.Reader(q.Body)
				switch q.Header.Get("Content-Encoding") {
				case "gzip":
					in, _ = gzip.NewReader(in)
				case "zstd":
					in, _ = zstd.NewReader(in)
				}
				got, err := io.ReadAll(in)
				if err != nil || string(got) != body || q.Header.Get("Authorization") != tt.auth || q.Header.Get("Content-Type") != "x/y" {
					t.Errorf("got %q, %v, %v", got, err, q.Header)
				}
				for name, value := range tt.o.Headers {
					if q.Header.Get(name) != value {
						t.Errorf("%s is missing", name)
					}
				}
				w.WriteHeader(202)
				w.Write(bytes.Repeat([]byte("x"), 2*maxAnswer))
			}))
			defer s.Close()
			o := tt.o
			o.URL, o.Timeout = s.URL, time.Minute
			c, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for range 2 { // the second time with what the first one left
				status, answer, err := c.Post(t.Context(), "x/y", []byte(body))
				if status != 202 || len(answer) != maxAnswer || err != nil {
					t.Errorf("got %d, %d bytes, %v", status, len(answer), err)
				}
			}
		})
	}
}

// A server's certificate is checked.
func TestCertificates(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	c, err := New(Options{URL: s.URL, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Post(t.Context(), "x/y", nil); err == nil {
		t.Error("a certificate that nobody signed was taken")
	}
	empty := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{CA: empty}); err == nil || !strings.Contains(err.Error(), "no certificate") {
		t.Error(err)
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"url":"https://x.example/hook?a=b"}`: "", `{"url":"http://127.0.0.1:8080"}`: "",
		`{}`: "url: is not the address", `{"url":"ftp://x"}`: "url: ", `{"url":"https://"}`: "url: ", `{"url":"https://me:secret@x/"}`: "url: ",
		`{"url":"http://x","user":"me"}`:                                      "user: goes with password_file",
		`{"url":"http://x","user":"me","password_file":"p","token_file":"t"}`: "token_file: does not go with user",
		`{"url":"http://x","cert":"c"}`:                                       "cert: goes with key",
		`{"url":"http://x","timeout":"1h"}`:                                   "timeout: ",
		`{"url":"http://x","headers":{"a":1}}`:                                "headers: ",
	} {
		table := settingtest.Table(t, "sink[1]", text)
		Read(table, time.Second)
		if err := table.End(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// A secret is the first line of a file, as editors of Windows leave it, too.
func TestReadSecret(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	for text, want := range map[string]string{
		"s3cret\n": "s3cret", "s3cret\r\nmore\r\n": "s3cret", " s3cret ": "s3cret", "\ufeffs3cret\r\n": "s3cret",
		"\xff\xfes\x003\x00\r\x00\n\x00": "s3", "": "", "\n": "", "a b\n": "", "s\x00\n": "", "sö\n": "",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadSecret("token_file", path); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
}
