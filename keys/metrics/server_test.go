package metrics

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var quiet = slog.New(slog.DiscardHandler)

func serve(t *testing.T, cfg Config) string {
	t.Helper()
	if cfg.Ready == nil {
		cfg.Ready = func() error { return nil }
	}
	cfg.Alive, cfg.Log = func() error { return nil }, quiet
	cfg.Collect = func(w *Writer) { w.BuildInfo("1.2.3") }
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { s.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	return s.Addr().String()
}

func get(t *testing.T, addr, path string, header ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequest("GET", "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if r.Header.Set(header[i], header[i+1]); header[i] == "Host" {
			r.Host = header[i+1]
		}
	}
	a, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	text, _ := io.ReadAll(a.Body)
	if a.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%s: headers %v", path, a.Header)
	}
	return a.StatusCode, string(text)
}

// Metrics are for this host, or for those with the token; health is for all.
func TestWhoMayAsk(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("0123456789abcdef\nmore\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cfg    Config
		header []string
		want   int
	}{
		"loopback":               {Config{Listen: "127.0.0.1:0"}, nil, 200},
		"localhost":              {Config{Listen: "127.0.0.1:0"}, []string{"Host", "localhost:9514"}, 200},
		"a name that leads here": {Config{Listen: "127.0.0.1:0"}, []string{"Host", "evil.example.com"}, 403},
		"everywhere":             {Config{Listen: "0.0.0.0:0"}, nil, 403},
		"no token":               {Config{Listen: "0.0.0.0:0", TokenFile: file}, nil, 401},
		"another token":          {Config{Listen: "0.0.0.0:0", TokenFile: file}, []string{"Authorization", "Bearer 0123456789abcdeX"}, 401},
		"no bearer":              {Config{Listen: "0.0.0.0:0", TokenFile: file}, []string{"Authorization", "0123456789abcdef"}, 401},
		"token":                  {Config{Listen: "0.0.0.0:0", TokenFile: file}, []string{"Authorization", "Bearer 0123456789abcdef"}, 200},
		"loopback, token":        {Config{Listen: "127.0.0.1:0", TokenFile: file}, nil, 401},
	} {
		_, port, _ := net.SplitHostPort(serve(t, c.cfg))
		addr := "127.0.0.1:" + port
		if code, text := get(t, addr, "/metrics", c.header...); code != c.want || (code == 200) != strings.Contains(text, `ossecd_build_info{version="1.2.3"} 1`) {
			t.Errorf("%s: %d %s", name, code, text)
		}
		if code, _ := get(t, addr, "/healthz", c.header...); code != 200 {
			t.Errorf("%s: health %d", name, code)
		}
		if code, _ := get(t, addr, "/else"); code != 404 {
			t.Errorf("%s: another path %d", name, code)
		}
	}
}

// Once the token file is gone nobody may ask, rather than everybody.
func TestTokenFileGone(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	os.WriteFile(file, []byte("0123456789abcdef"), 0o600)
	addr := serve(t, Config{Listen: "127.0.0.1:0", TokenFile: file})
	os.Remove(file)
	if code, _ := get(t, addr, "/metrics", "Authorization", "Bearer 0123456789abcdef"); code != 503 {
		t.Errorf("%d", code)
	}
}

func TestReady(t *testing.T) {
	t.Parallel()
	addr := serve(t, Config{Listen: "127.0.0.1:0", Ready: func() error { return errors.New("the disk is full") }})
	if code, text := get(t, addr, "/readyz"); code != 503 || text != "the disk is full\n" {
		t.Errorf("%d %s", code, text)
	}
	if code, _ := get(t, addr, "/healthz"); code != 200 {
		t.Errorf("health %d", code)
	}
}

// Who holds many connections does not take all there are for long, and is not given more.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	addr := serve(t, Config{Listen: "127.0.0.1:0"})
	var held []net.Conn
	for range maxConns {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	more, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer more.Close()
	more.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := more.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("one more: %v", err)
	}
	for _, c := range held {
		c.Close()
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		a, err := http.Get("http://" + addr + "/healthz")
		if err == nil {
			a.Body.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{"", "", ""}, {"127.0.0.1:9514", "", ""}, {":0", "x", ""}, {"localhost:1", "", ""}, {"[::1]:1", "", ""},
		{"", "x", "goes with http_listen"}, {"9514", "", "not host:port"}, {"127.0.0.1:x", "", "is not a port"}, {"example.com:1", "", "is not an address"},
	} {
		if err := Validate(c[0], c[1]); c[2] == "" && err != nil || c[2] != "" && (err == nil || !strings.Contains(err.Error(), c[2])) {
			t.Errorf("%q: %v", c, err)
		}
	}
	short := filepath.Join(t.TempDir(), "token")
	os.WriteFile(short, []byte("abc\n"), 0o600)
	if _, err := Open(Config{Listen: "127.0.0.1:0", TokenFile: short, Log: quiet}); err == nil || !strings.Contains(err.Error(), "has 3 bytes") {
		t.Errorf("a short token: %v", err)
	}
}
