package enroll

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ossecd/keys/tokens"
	"ossecd/proto"
)

const testLine = "007 web01 any 6e5d1d9949a5e82bc2a6f43e09b3c9d8b53ffd0eabb1ab5796f4fb782261fecb"

// fake is a manager that answers each connection with the next of its answers, the last again and again.
type fake struct {
	t           *testing.T
	addr        string
	cert        *x509.Certificate
	fingerprint string

	mu       sync.Mutex
	answers  []string
	requests []string
}

// startFake starts a manager. change, which may be nil, changes how it speaks TLS.
func startFake(t *testing.T, change func(*tls.Config), answers ...string) *fake {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	m := &fake{t: t, fingerprint: tokens.Fingerprint(der), answers: answers}
	if m.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	if change != nil {
		change(config)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	m.addr = l.Addr().String()
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { m.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		all.Wait()
	})
	return m
}

func (m *fake) serve(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return // the agent does not trust us
	}
	m.mu.Lock()
	m.requests = append(m.requests, line)
	answer := m.answers[0]
	if len(m.answers) > 1 {
		m.answers = m.answers[1:]
	}
	m.mu.Unlock()
	io.WriteString(conn, answer)
}

func (m *fake) got() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.requests)
}

func (m *fake) caFile() string {
	return writeFile(m.t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.cert.Raw})))
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs Run with a keys file in a new directory, and returns what it has afterwards.
func run(t *testing.T, m *fake, once bool, change func(*Config)) (keysFile, logs string, err error) {
	t.Helper()
	cfg := Config{Manager: m.addr, Keys: filepath.Join(t.TempDir(), "agent.keys"), Name: "web01", Fingerprint: m.fingerprint}
	change(&cfg)
	var log strings.Builder
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err = Run(ctx, cfg, once, slog.New(slog.NewTextHandler(&log, nil)))
	text, readErr := os.ReadFile(cfg.Keys)
	if readErr != nil && !errors.Is(readErr, fs.ErrNotExist) {
		t.Error(readErr)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(cfg.Keys), ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if info, err := os.Stat(cfg.Keys); err == nil && runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	return string(text), log.String(), err
}

const given = "OSSEC K:'" + testLine + "'"

func TestRun(t *testing.T) {
	t.Parallel()
	token := tokens.New("")
	for _, tt := range []struct {
		name, answer, request string
		change                func(*fake, *Config)
	}{
		{"stock form", given + "\n\n", "OSSEC A:'web01'\n", func(*fake, *Config) {}},
		{"Wazuh's form", given, "OSSEC A:'web01'\n", func(*fake, *Config) {}},
		{"password", given, "OSSEC PASS: sesame 1 OSSEC A:'web01'\n", func(m *fake, c *Config) {
			c.PasswordFile = writeFile(t, "password", "sesame 1\r\nmore\n")
		}},
		{"token", given, "OSSEC PASS: " + token.Password() + " OSSEC A:'web01'\n", func(m *fake, c *Config) { c.Token = token.String() + "\n" }},
		{"token with fingerprint", given, "", func(m *fake, c *Config) {
			c.TokenFile, c.Fingerprint = writeFile(t, "token", tokens.New(m.fingerprint).String()+"\n"), ""
		}},
		{"authority", given, "OSSEC A:'web01'\n", func(m *fake, c *Config) { c.CA, c.Fingerprint = m.caFile(), "" }},
		{"authority, saved on Windows", given, "OSSEC A:'web01'\n", func(m *fake, c *Config) {
			c.Fingerprint, c.CA = "", writeFile(m.t, "ca.pem", "\ufeff"+string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.cert.Raw})))
		}},
		{"authority and fingerprint", given, "OSSEC A:'web01'\n", func(m *fake, c *Config) { c.CA = m.caFile() }},
		{"insecure", given, "OSSEC A:'web01'\n", func(m *fake, c *Config) { c.Insecure, c.Fingerprint = true, "" }},
		{"another name", "OSSEC K:'1024 web2 192.0.2.7 x'\n\n", "OSSEC A:'web'\n", func(m *fake, c *Config) { c.Name = "web" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := startFake(t, nil, tt.answer)
			text, logs, err := run(t, m, true, func(c *Config) { tt.change(m, c) })
			line, _, _ := strings.Cut(strings.TrimPrefix(tt.answer, "OSSEC K:'"), "'")
			if err != nil || text != line+"\n" {
				t.Fatalf("got %q, %v, want %q", text, err, line)
			}
			if got := m.got(); len(got) != 1 || tt.request != "" && got[0] != tt.request || strings.Contains(got[0], m.fingerprint) {
				t.Errorf("sent %q, want %q", got, tt.request)
			}
			if secret := strings.Fields(line)[3]; strings.Contains(logs, secret) && len(secret) > 1 || strings.Contains(logs, token.Password()) {
				t.Errorf("the log has a secret:\n%s", logs)
			}
			if warned := strings.Contains(logs, "is not verified"); warned != (tt.name == "insecure") {
				t.Errorf("warned: %v\n%s", warned, logs)
			}
		})
	}
}

// A manager that is not the one we mean is told nothing.
func TestNotVerified(t *testing.T) {
	t.Parallel()
	other := startFake(t, nil, given)
	for _, tt := range []struct {
		name   string
		change func(*fake, *Config)
		want   error
	}{
		{"fingerprint", func(m *fake, c *Config) { c.Fingerprint = other.fingerprint }, ErrNotVerified},
		{"token", func(m *fake, c *Config) { c.Token, c.Fingerprint = tokens.New(other.fingerprint).String(), "" }, ErrNotVerified},
		{"one of two", func(m *fake, c *Config) { c.Token = tokens.New(other.fingerprint).String() }, ErrNotVerified},
		{"authority", func(m *fake, c *Config) { c.CA, c.Fingerprint = other.caFile(), "" }, nil},
		{"authority but right fingerprint", func(m *fake, c *Config) { c.CA = other.caFile() }, nil},
		{"name", func(m *fake, c *Config) {
			c.CA, c.Fingerprint = m.caFile(), ""
			c.Manager = strings.Replace(c.Manager, "127.0.0.1", "localhost", 1)
			c.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, m.addr)
			}
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := startFake(t, nil, given)
			text, _, err := run(t, m, true, func(c *Config) { tt.change(m, c) })
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) || text != "" {
				t.Errorf("got %q, %v, want %v", text, err, tt.want)
			}
			if got := m.got(); len(got) > 0 {
				t.Errorf("it was told %q", got)
			}
		})
	}
}

func TestBadAnswers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ answer, want string }{
		{"", "without an answer"},
		{"ERROR: Invalid password\n\n", `the manager refused: "Invalid password"`},
		{"ERROR: Duplicate agent name: web01. Unable to add agent", `refused: "Duplicate agent name: web01"`},
		{"ERROR: \x1b[2J\n", `refused: "\x1b[2J"`},
		{"OSSEC K:'" + testLine, "no whole answer"},
		{"OSSEC K:'", "no whole answer"},
		{"OSSEC K:'" + strings.Repeat("a", 2*proto.MaxEnrollAnswer), "too large"},
		{"OSSEC K:'" + testLine + "\n002 web02 any x'", "cannot use"},
		{"OSSEC K:'007 web01 any'", "cannot use"},
		{"OSSEC K:'../7 web01 any x'", "cannot use"},
		{"OSSEC K:'000 web01 any x'", "cannot use"},
		{"HTTP/1.1 400 Bad Request\r\n", "malformed"},
	} {
		m := startFake(t, nil, tt.answer)
		text, logs, err := run(t, m, true, func(*Config) {})
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\x1b") || text != "" {
			t.Errorf("%.60q: got %q, %v, want %q", tt.answer, text, err, tt.want)
		}
		if strings.Contains(logs+err.Error(), strings.Fields(testLine)[3]) {
			t.Errorf("%.60q: the key is told: %v\n%s", tt.answer, err, logs)
		}
	}
}

// It goes on until the manager gives a key.
func TestRetry(t *testing.T) {
	t.Parallel()
	m := startFake(t, nil, "ERROR: Invalid password\n\n", given)
	text, logs, err := run(t, m, false, func(*Config) {})
	if err != nil || text != testLine+"\n" || len(m.got()) != 2 || strings.Count(logs, "no key yet") != 1 {
		t.Errorf("got %q, %v; asked %q\n%s", text, err, m.got(), logs)
	}
}

// A stop ends the waiting.
func TestRetryStopped(t *testing.T) {
	t.Parallel()
	m := startFake(t, nil, "ERROR: Invalid password\n\n")
	ctx, cancel := context.WithCancel(t.Context())
	cfg := Config{Manager: m.addr, Keys: filepath.Join(t.TempDir(), "agent.keys"), Name: "web01", Fingerprint: m.fingerprint}
	go func() {
		for len(m.got()) == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if err := Run(ctx, cfg, false, slog.New(slog.DiscardHandler)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// Where the key cannot be stored, none is asked for.
func TestUnwritable(t *testing.T) {
	t.Parallel()
	m := startFake(t, nil, given)
	there := writeFile(t, "agent.keys", "")
	for _, tt := range []struct {
		path string
		want error
	}{{there, fs.ErrExist}, {filepath.Join(t.TempDir(), "none", "agent.keys"), fs.ErrNotExist}} {
		_, _, err := run(t, m, false, func(c *Config) { c.Keys = tt.path })
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.path, err, tt.want)
		}
	}
	if text, err := os.ReadFile(there); err != nil || len(text) > 0 {
		t.Errorf("the file became %q, %v", text, err)
	}
	if got := m.got(); len(got) > 0 {
		t.Errorf("asked %q", got)
	}
}

func TestOurCertificate(t *testing.T) {
	t.Parallel()
	m := startFake(t, func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }, given)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		asks := startFake(t, func(c *tls.Config) { c.ClientAuth, c.MaxVersion = tls.RequireAnyClientCert, version }, given)
		if _, _, err := run(t, asks, true, func(*Config) {}); err == nil || !strings.Contains(err.Error(), "--enroll-cert") {
			t.Errorf("without a certificate, %s: got %v", tls.VersionName(version), err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, m.cert, &x509.Certificate{}, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile := writeFile(t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	keyFile := writeFile(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
	if text, _, err := run(t, m, true, func(c *Config) { c.Cert, c.Key = certFile, keyFile }); err != nil || text != testLine+"\n" {
		t.Errorf("with a certificate: got %q, %v", text, err)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	good := Config{Manager: "192.0.2.10", Keys: "agent.keys", Name: "web01", Fingerprint: strings.Repeat("0a", 32)}
	for _, tt := range []struct {
		manager, want string
	}{
		{"192.0.2.10", "192.0.2.10:1515"}, {"mgr.example.net:15", "mgr.example.net:15"}, {"2001:db8::1", "[2001:db8::1]:1515"},
		{"[2001:db8::1]", "[2001:db8::1]:1515"}, {"[2001:db8::1]:15", "[2001:db8::1]:15"},
	} {
		c := good
		c.Manager = tt.manager
		if err := c.Validate(); err != nil || c.address != tt.want {
			t.Errorf("%q: got %q, %v, want %q", tt.manager, c.address, err, tt.want)
		}
	}
	token := tokens.New("").String()
	for _, text := range []string{token, token + "\r\nmore", "\ufeff" + token + "\r\n", "\xff\xfe" + strings.Join(strings.Split(token+"\r\n", ""), "\x00") + "\x00"} {
		byToken, byPassword := good, good
		byToken.TokenFile, byPassword.PasswordFile = writeFile(t, "token", text), writeFile(t, "password", text)
		for _, c := range []Config{byToken, byPassword} {
			if err := c.Validate(); err != nil || c.password != token {
				t.Errorf("file %q: got %q, %v", text, c.password, err)
			}
		}
	}
	for _, tt := range []struct {
		want   string
		change func(*Config)
	}{
		{"enroll: \"a b\"", func(c *Config) { c.Manager = "a b" }},
		{"enroll: \"a:0\"", func(c *Config) { c.Manager = "a:0" }},
		{"enroll: \"a:\"", func(c *Config) { c.Manager = "a:" }},
		{"enroll: \"\"", func(c *Config) { c.Manager = "" }},
		{"enroll_name: ", func(c *Config) { c.Name = "a'b" }},
		{"enroll_fingerprint: ", func(c *Config) { c.Fingerprint = "0a" }},
		{"enroll: nothing says", func(c *Config) { c.Fingerprint = "" }},
		{"enroll: nothing says", func(c *Config) { c.Fingerprint, c.Token = "", token }},
		{"enroll_insecure: ", func(c *Config) { c.Insecure = true }},
		{"enroll token: ", func(c *Config) { c.Token = token + "0" }},
		{"enroll_token_file: ", func(c *Config) { c.TokenFile = filepath.Join(t.TempDir(), "none") }},
		{"enroll_token_file: ", func(c *Config) { c.TokenFile = writeFile(t, "token", "\n") }},
		{"enroll_password_file: ", func(c *Config) { c.PasswordFile = writeFile(t, "password", strings.Repeat("a", 5000)) }},
		{"enroll: more than one", func(c *Config) { c.TokenFile, c.PasswordFile = "token", "password" }},
		{"enroll_cert: ", func(c *Config) { c.Cert = "cert.pem" }},
	} {
		c := good
		tt.change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), token) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
}
