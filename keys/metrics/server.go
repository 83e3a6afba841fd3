package metrics

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

// Config is what a Server is told.
type Config struct {
	Listen    string // HOST:PORT
	TokenFile string // a file whose first line is the token that all but health needs; may be empty
	// Collect writes the metrics. Alive and Ready say what is wrong, or nil.
	Collect      func(*Writer)
	Alive, Ready func() error
	Log          *slog.Logger
}

const (
	maxConns  = 64
	maxHeader = 8 << 10 // bytes
	minToken  = 16      // bytes
	maxToken  = 1 << 10
)

// Validate says what is wrong with a listener's address and token file.
func Validate(listen, tokenFile string) error {
	if listen == "" {
		if tokenFile != "" {
			return errors.New("http_token_file: goes with http_listen")
		}
		return nil
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("http_listen: %q is not host:port, as in 127.0.0.1:9514", listen)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return fmt.Errorf("http_listen: %q: %q is not a port; use 0 to 65535", listen, port)
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" {
		return fmt.Errorf("http_listen: %q: %q is not an address of this host; use numbers, as in 127.0.0.1:9514, or localhost", listen, host)
	}
	return nil
}

// token reads the token; empty where none is needed.
func (c *Config) token() (string, error) {
	if c.TokenFile == "" {
		return "", nil
	}
	f, err := os.Open(c.TokenFile)
	if err != nil {
		return "", fmt.Errorf("http_token_file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return "", fmt.Errorf("http_token_file: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimSpace(line); len(line) < minToken || len(line) > maxToken {
		return "", fmt.Errorf("http_token_file: the first line of %s has %d bytes; use a token of %d to %d, as from: openssl rand -hex 32", c.TokenFile, len(line), minToken, maxToken)
	}
	return line, nil
}

// Server serves /metrics, /healthz and /readyz.
type Server struct {
	cfg    Config
	socket net.Listener
	server *http.Server
}

// Open listens. An address in use is an error.
func Open(cfg Config) (*Server, error) {
	if err := Validate(cfg.Listen, cfg.TokenFile); err != nil {
		return nil, err
	}
	if _, err := cfg.token(); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("http_listen: %w; name another address with --http-listen", err)
	}
	s := &Server{cfg: cfg, socket: &limited{l, make(chan struct{}, maxConns)}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", health(cfg.Alive))
	mux.HandleFunc("GET /readyz", health(cfg.Ready))
	mux.Handle("GET /metrics", s.guard(http.HandlerFunc(s.metrics)))
	s.server = &http.Server{
		Handler: headers(mux), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// Addr is where it listens.
func (s *Server) Addr() netip.AddrPort { return s.socket.Addr().(*net.TCPAddr).AddrPort() }

// Loopback says that only this host reaches it.
func (s *Server) Loopback() bool { return s.Addr().Addr().Unmap().IsLoopback() }

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) {
	s.cfg.Log.Info("listening", "addr", s.Addr().String(), "network", "http")
	if !s.Loopback() && s.cfg.TokenFile == "" {
		s.cfg.Log.Warn("only health is told at this address", "addr", s.Addr().String(),
			"remedy", "for metrics, listen on a loopback address, or name a file with a token: http_token_file")
	}
	defer context.AfterFunc(ctx, func() { s.server.Close() })()
	if err := s.server.Serve(s.socket); !errors.Is(err, http.ErrServerClosed) {
		s.cfg.Log.Error("metrics and health are not served", "err", err)
	}
}

// Close closes it where there will be no Run.
func (s *Server) Close() { s.socket.Close() }

// guard lets those ask who show the token, or, where there is none, those of this host who name it by an address: a page in a browser
// that had a name lead here would name that.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		want, err := s.cfg.token()
		switch {
		case err != nil:
			http.Error(w, "the token file cannot be read; see the log", http.StatusServiceUnavailable)
			s.cfg.Log.Error("a request was refused", "err", err)
			return
		case want == "" && !s.Loopback():
			http.Error(w, "this address is not loopback: set http_token_file, and send Authorization: Bearer TOKEN", http.StatusForbidden)
			return
		case want == "" && !namesAddress(r.Host):
			http.Error(w, "name this host by its address or as localhost", http.StatusForbidden)
			return
		}
		if got, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); want != "" && (!ok || !same(got, want)) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="ossecd"`)
			http.Error(w, "send Authorization: Bearer TOKEN, with the token of http_token_file", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

func namesAddress(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil || host == "localhost"
}

func (s *Server) metrics(w http.ResponseWriter, _ *http.Request) {
	var m Writer
	s.cfg.Collect(&m)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Write(m.b)
}

func health(wrong func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if err := wrong(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, err)
			return
		}
		io.WriteString(w, "ok\n")
	}
}

func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		next.ServeHTTP(w, r)
	})
}

// limited takes so many connections at once, and closes others.
type limited struct {
	net.Listener
	slots chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.slots <- struct{}{}:
			return &limitedConn{c, sync.OnceFunc(func() { <-l.slots })}, nil
		default:
			c.Close()
		}
	}
}

type limitedConn struct {
	net.Conn
	free func()
}

func (c *limitedConn) Close() error {
	c.free()
	return c.Conn.Close()
}
