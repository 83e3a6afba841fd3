package enroll

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"ossecd/keys"
	"ossecd/keys/tokens"
	"ossecd/proto"
)

// recorder is a connection that keeps what was written to it.
type recorder struct {
	net.Conn
	mu   sync.Mutex
	sent bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	r.sent.Write(p)
	r.mu.Unlock()
	return r.Conn.Write(p)
}

// Whoever recorded an agent's enrolment on its way, and sends the same once more, gets no key, even where the token is good for many.
func TestReplay(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens")
	r := newRig(t, func(c *Config) { c.Tokens, c.Duplicates = path, "number" })
	token := addToken(t, path, tokens.Token{Uses: tokens.Unlimited, Names: "*"})
	raw, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	agent := &recorder{Conn: raw}
	conn := r.client(agent)
	fmt.Fprintf(conn, "OSSEC PASS: %s OSSEC A:'web01'\n", token)
	answer, err := io.ReadAll(conn)
	conn.Close()
	if !strings.HasPrefix(string(answer), "OSSEC K:'001 web01 any ") {
		t.Fatalf("got %q, %v", answer, err)
	}
	agent.mu.Lock()
	recorded := bytes.Clone(agent.sent.Bytes())
	agent.mu.Unlock()
	before := r.keysFile()
	again, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	go again.Write(recorded)
	if err := closed(again); err != nil {
		t.Error(err)
	}
	r.waitLog(`reason="no TLS" count=1`)
	if after := r.keysFile(); after != before {
		t.Errorf("the keys file became %q", after)
	}
}

// A certificate and a token can both be required: neither does alone.
func TestCertificateAndToken(t *testing.T) {
	t.Parallel()
	_, ca := (*authority)(nil).sign(t)
	mine, _ := ca.sign(t)
	path := filepath.Join(t.TempDir(), "tokens")
	r := newRig(t, func(c *Config) { c.Tokens, c.ClientCA = path, writeFile(t, "ca.pem", ca.pem()) })
	token := addToken(t, path, tokens.Token{Uses: 1, Names: "*"})
	withToken := "OSSEC PASS: " + token + " OSSEC A:'web01'\n"
	if answer, err := r.tryAsk(withToken); err == nil || answer != "" {
		t.Errorf("without a certificate: got %q, %v", answer, err)
	}
	if answer, err := r.tryAsk("OSSEC A:'web01'\n", mine); err != nil || !strings.HasPrefix(answer, "ERROR: Invalid password\n") {
		t.Errorf("without a token: got %q, %v", answer, err)
	}
	if answer, err := r.tryAsk(withToken, mine); err != nil || !strings.HasPrefix(answer, "OSSEC K:'001 web01 any ") {
		t.Errorf("with both: got %q, %v", answer, err)
	}
}

// Ten thousand names at once, every tenth of which comes twice, all get their answers, and each name one key.
func TestTenThousandNames(t *testing.T) {
	t.Parallel()
	const names, twice = 10_000, 1_000
	s, _ := pipeServer(t)
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { s.issuer.run(ctx); close(ended) }()
	orders := make([]*order, names+twice)
	var waiting sync.WaitGroup
	for n := range orders {
		orders[n] = &order{req: proto.EnrollRequest{Name: fmt.Sprintf("web%d", n%names)}, from: loopback, done: make(chan struct{})}
		waiting.Go(func() {
			s.issuer.orders <- orders[n]
			<-orders[n].done
		})
	}
	waiting.Wait()
	cancel()
	<-ended
	given, refused := 0, 0
	for _, o := range orders {
		switch o.why {
		case 0:
			given++
		case nameTaken:
			refused++
		default:
			t.Fatalf("%s: %v", o.req.Name, o.why)
		}
	}
	set, faults, err := keys.Load(s.cfg.Keys)
	if err != nil || len(faults) > 0 || len(set.Keys) != names || given != names || refused != twice {
		t.Errorf("%d keys, %d refusals; the file has %d: %v, %v", given, refused, len(set.Keys), faults, err)
	}
}
