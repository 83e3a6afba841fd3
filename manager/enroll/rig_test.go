package enroll

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ossecd/keys"
	"ossecd/keys/tokens"
)

// syncBuffer is a buffer for many goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// rig is a server on a loopback port, with its files in a directory of the test.
type rig struct {
	t       *testing.T
	cfg     Config
	logs    syncBuffer
	server  *Server
	addr    string
	stop    func()        // ends the server and waits for that
	takenUp chan struct{} // has room for many
}

// newRig starts a server. change, which may be nil, changes its configuration.
func newRig(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{t: t, takenUp: make(chan struct{}, 1000)}
	r.cfg = Config{
		Listen: "127.0.0.1:0", Keys: filepath.Join(dir, "client.keys"), Dir: filepath.Join(dir, "enroll"),
		Silence: func(string) time.Duration { return 0 },
		TakeUp:  func() { r.takenUp <- struct{}{} },
	}
	if change != nil {
		change(&r.cfg)
	}
	if err := r.cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	var err error
	if r.server, err = Listen(r.cfg, slog.New(slog.NewTextHandler(&r.logs, nil))); err != nil {
		t.Fatal(err)
	}
	r.addr = r.server.listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		r.server.Run(ctx)
		close(ended)
	}()
	r.stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(r.stop)
	return r
}

// dial connects without verifying anything.
func (r *rig) dial(certs ...tls.Certificate) (*tls.Conn, error) {
	conn, err := net.DialTimeout("tcp", r.addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	return tls.Client(conn, &tls.Config{InsecureSkipVerify: true, Certificates: certs}), nil
}

// ask sends a request, to which the line feed is added, and returns the whole answer.
func (r *rig) ask(request string) string {
	r.t.Helper()
	answer, err := r.tryAsk(request + "\n")
	if err != nil {
		r.t.Errorf("%.80q: %v", request, err)
	}
	return answer
}

func (r *rig) tryAsk(request string, certs ...tls.Certificate) (string, error) {
	conn, err := r.dial(certs...)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	return string(answer), err
}

// keysFile is what the keys file has.
func (r *rig) keysFile() string {
	r.t.Helper()
	text, err := os.ReadFile(r.cfg.Keys)
	if err != nil && !os.IsNotExist(err) {
		r.t.Fatal(err)
	}
	return string(text)
}

// nextID is the ID that the next agent gets where none has a removed one.
func (r *rig) nextID() string { return fmt.Sprintf("%03d", strings.Count(r.keysFile(), "\n")+1) }

// wantKey asks for a key, checks that the keys file ends with it, and returns it.
func (r *rig) wantKey(request, fields string) keys.Key {
	r.t.Helper()
	answer := r.ask(request)
	line, ok := strings.CutPrefix(answer, "OSSEC K:'")
	line, end, _ := strings.Cut(line, "'")
	if k, err := keys.ParseLine(line); ok && err == nil && k.String() == fields && (end == "\n\n" || end == "") {
		if !strings.HasSuffix(r.keysFile(), line+"\n") {
			r.t.Errorf("%q: the keys file has %q and not %q", request, r.keysFile(), line)
		}
		return k
	}
	r.t.Errorf("%q: got %q, want a key for %s", request, answer, fields)
	return keys.Key{}
}

// wantRefusal asks for a key and is refused with the text; nothing changes.
func (r *rig) wantRefusal(request, text string) {
	r.t.Helper()
	before := r.keysFile()
	want := "ERROR: " + text + "\n\nERROR: Unable to add agent.\n\n"
	if strings.Contains(request, " V:'") {
		want = "ERROR: " + text + ". Unable to add agent"
	}
	if got := r.ask(request); got != want {
		r.t.Errorf("%.100q: got %q, want %q", request, got, want)
	}
	if after := r.keysFile(); after != before {
		r.t.Errorf("%q: the keys file became %q", request, after)
	}
}

// waitLog waits until the log has the text.
func (r *rig) waitLog(text string) {
	r.t.Helper()
	for end := time.Now().Add(10 * time.Second); !strings.Contains(r.logs.String(), text); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("the log has no %q:\n%s", text, r.logs.String())
		}
	}
}

// writeFile puts text into a file of the test.
func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// addToken makes a token in the file and returns what an agent sends.
func addToken(t *testing.T, path string, token tokens.Token) string {
	t.Helper()
	var text tokens.Text
	err := tokens.Edit(t.Context(), path, func(f *tokens.File) error {
		text, _ = f.Add(token, "", time.Now())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return text.Password()
}

// authority is a certificate that signs others.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// sign makes a certificate; one that signs itself where a is nil.
func (a *authority) sign(t *testing.T) (tls.Certificate, *authority) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IsCA:        a == nil, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	parent, signer := template, key
	if a != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, &authority{cert, key}
}

func (a *authority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

var loopback = netip.MustParseAddr("127.0.0.1")

// client speaks TLS as an agent does that verifies nothing.
func (r *rig) client(conn net.Conn) *tls.Conn {
	r.t.Helper()
	c := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	if err := c.Handshake(); err != nil {
		r.t.Error(err)
	}
	return c
}
