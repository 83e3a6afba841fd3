package nats

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ossecd/manager/journal"
	"ossecd/manager/sink"
	"ossecd/manager/sink/sinktest"
)

// made is a stream as by default.
var made = Stream{Name: "OSSEC", Replicas: 1, MaxAge: time.Hour, Duplicates: 2 * time.Minute}

func TestPublish(t *testing.T) {
	t.Parallel()
	n := newServer(t, nil)
	r := run(t, Options{Servers: []string{n.url()}, Stream: made}, quiet)
	r.put("one")
	r.put("two\nlines")
	var l sink.Lot
	l.Report(nil, nil, at, "ossecd: of nobody.", sink.Report{Action: sink.Lost, Number: 3})
	l.Report(r.web, nil, at, "ossec: Agent connected: 'web01-any'.", sink.Report{Action: sink.Connected})
	r.sinks.Put(&l, false)
	r.end()

	s := n.stream("OSSEC")
	info := s.CachedInfo().Config
	if len(info.Subjects) != 1 || info.Subjects[0] != "ossec.events.*" || info.MaxAge != time.Hour || info.Storage != jetstream.FileStorage {
		t.Errorf("made %+v", info)
	}
	all := messages(t, s)
	want := []struct{ subject, text string }{
		{"ossec.events.001", "one"}, {"ossec.events.001", "two\nlines"}, {"ossec.events._", "ossecd: of nobody."}, {"ossec.events.001", "ossec: Agent connected: 'web01-any'."},
	}
	if len(all) != len(want) {
		t.Fatalf("%d messages, want %d", len(all), len(want))
	}
	ids := make(map[string]bool)
	for i, m := range all {
		var line struct {
			FullLog string `json:"full_log"`
		}
		if err := json.Unmarshal(m.Data, &line); err != nil || bytes.HasSuffix(m.Data, []byte("\n")) || line.FullLog != want[i].text || m.Subject != want[i].subject {
			t.Errorf("message %d to %s: %q, %v", i, m.Subject, m.Data, err)
		}
		ids[m.Header.Get(nats.MsgIdHdr)] = true
	}
	if len(ids) != len(want) || ids[""] {
		t.Errorf("identities %v", ids)
	}
}

// A stream that exists is taken as it is, and one that another user made too.
func TestStreamThatExists(t *testing.T) {
	t.Parallel()
	n := newServer(t, nil)
	first := run(t, Options{Servers: []string{n.url()}, Stream: made, Origin: "A"}, quiet)
	first.put("one")
	first.end()
	other := made
	other.MaxAge = time.Minute
	second := run(t, Options{Servers: []string{n.url()}, Stream: other, Origin: "B"}, quiet)
	second.put("two")
	second.end()
	third := run(t, Options{Servers: []string{n.url()}, Origin: "C"}, quiet)
	third.put("three")
	third.end()
	s := n.stream("OSSEC")
	if got := messages(t, s); len(got) != 3 || s.CachedInfo().Config.MaxAge != time.Hour {
		t.Errorf("%d messages, kept for %v", len(got), s.CachedInfo().Config.MaxAge)
	}
}

// The servers are away at the start, and go and come again under load: all events are there, each once.
func TestServerRestarts(t *testing.T) {
	t.Parallel()
	n := newServer(t, nil)
	n.stop()
	r := run(t, Options{Servers: []string{n.url()}, Stream: made}, quiet)
	const events = 6000
	for i := range events {
		switch i {
		case events / 6:
			n.start()
			r.wait(func(c journal.Counts) bool { return c.Delivered > 0 })
		case events / 2, events * 3 / 4:
			n.stop()
		case events*2/3 - 1, events - 1:
			n.start()
		}
		r.put("event %d", i)
		if i%100 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	r.wait(func(c journal.Counts) bool { return c.Delivered == events })
	r.end()
	once(t, messages(t, n.stream("OSSEC")), events)
}

// once checks that each event is there once.
func once(t *testing.T, all []*jetstream.RawStreamMsg, events int) {
	t.Helper()
	count := make(map[string]int)
	for _, m := range all {
		count[string(m.Data)]++
	}
	for text, n := range count {
		if n > 1 {
			t.Errorf("%d times: %s", n, text)
		}
	}
	if len(count) != events {
		t.Errorf("%d events of %d", len(count), events)
	}
}

// What is sent again since its acknowledgement was lost is recognised, also after a restart of the manager.
func TestSentAgain(t *testing.T) {
	t.Parallel()
	n := newServer(t, nil)
	s, err := New(Options{Servers: []string{n.url()}, Stream: made, Subject: subject(t, DefaultSubject), Origin: "M"}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	batch := recorded(t, 500)
	for range 2 {
		if r, err := s.Write(t.Context(), batch); err != nil || r.Done != 500 || r.Refused != 0 {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	s.Close()
	if s, err = New(s.o, quiet); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if r, err := s.Write(t.Context(), batch); err != nil || r.Done != 500 {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := messages(t, n.stream("OSSEC")); len(got) != 500 {
		t.Errorf("%d messages, want 500", len(got))
	}
}

// recorded is a batch of events with serials, as a queue gives it to its sink.
func recorded(t *testing.T, events int) sink.Batch {
	t.Helper()
	k := &keeper{}
	h := sinktest.Start(t, sinktest.Journal(t), quiet, sink.Spec{Open: func(context.Context, sink.Env) (sink.Sink, error) { return k, nil }})
	a := sink.NewAgent("001", "web01", "any")
	var l sink.Lot
	for range events {
		l.Event(a, at, 1, from, '1', []byte("l"), []byte("always the same"))
	}
	h.Put(&l, false)
	if err := h.Close(limit); err != nil {
		t.Fatal(err)
	}
	return k.all
}

// keeper is a sink that keeps records.
type keeper struct{ all sink.Batch }

func (k *keeper) Write(_ context.Context, events sink.Batch) (sink.Result, error) {
	k.all = append(k.all, events...)
	return sink.Result{Done: events.Len()}, nil
}

func (k *keeper) Close() error { return nil }

// A stream that takes no more holds events up, and loses none of them; one event that is too long for ever holds up nothing.
func TestRefusals(t *testing.T) {
	t.Parallel()
	n := newServer(t, nil)
	nc, err := nats.Connect(n.url())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, _ := jetstream.New(nc)
	cfg := jetstream.StreamConfig{Name: "SMALL", Subjects: []string{"ossec.events.>"}, MaxMsgs: 2, Discard: jetstream.DiscardNew, MaxMsgSize: 1000}
	if _, err := js.CreateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	var logs syncBuffer
	r := run(t, Options{Servers: []string{n.url()}}, slog.New(slog.NewTextHandler(&logs, nil)))
	r.put("%s", strings.Repeat("x", 2000))
	for i := range 5 {
		r.put("event %d", i)
	}
	r.wait(func(c journal.Counts) bool {
		return c.Delivered == 2 && strings.Contains(logs.String(), "maximum messages exceeded")
	})
	if c := r.counts(); c != (journal.Counts{Received: 6, Delivered: 2, Pending: 3, Lost: 1, Refused: 1}) {
		t.Errorf("counts %+v", c)
	}
	cfg.MaxMsgs = 100
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	r.end()
	once(t, messages(t, n.stream("SMALL")), 5)
	if !strings.Contains(logs.String(), "events are lost: they are longer than") {
		t.Errorf("not logged:\n%s", logs.String())
	}
}

// Where no stream takes the subject, events wait, and the log says what to do.
func TestNoStream(t *testing.T) {
	t.Parallel()
	n := newServer(t, nil)
	var logs syncBuffer
	r := run(t, Options{Servers: []string{n.url()}}, slog.New(slog.NewTextHandler(&logs, nil)))
	r.put("one")
	for end := time.Now().Add(limit); !strings.Contains(logs.String(), "no stream answers for the subject"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not logged:\n%s", logs.String())
		}
	}
	run(t, Options{Servers: []string{n.url()}, Stream: made, Origin: "N"}, quiet).endAfter("two")
	r.end()
	once(t, messages(t, n.stream("OSSEC")), 2)
}

// endAfter puts one event and ends.
func (r *running) endAfter(text string) {
	r.put("%s", text)
	r.end()
}

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

// With TLS both ways, and a password: who lacks one of them gets nowhere.
func TestSecrets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, cert, key := certificates(t, dir)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	text, _ := os.ReadFile(ca)
	pool.AppendCertsFromPEM(text)
	n := newServer(t, func(o *server.Options) {
		o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
		o.TLSTimeout = limit.Seconds()
		o.Username, o.Password = "ossecd", "right"
	})
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := Secrets{CA: ca, Cert: cert, Key: key, User: "ossecd", PasswordFile: write("right", "right\r\n")}
	tests := []struct {
		name   string
		change func(s *Secrets)
		want   string
	}{
		{"all", func(*Secrets) {}, ""},
		{"another password", func(s *Secrets) { s.PasswordFile = write("wrong", "wrong\n") }, "Authorization Violation"},
		{"no user", func(s *Secrets) { s.User = "" }, "Authorization Violation"},
		{"no password file", func(s *Secrets) { s.PasswordFile = filepath.Join(dir, "none") }, "password_file: "},
		{"no CA", func(s *Secrets) { s.CA = "" }, "certificate"},
		{"no certificate", func(s *Secrets) { s.Cert = "" }, "tls"},
	}
	batch := recorded(t, 1)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{Servers: []string{n.url()}, Stream: made, Subject: subject(t, DefaultSubject), Origin: "M", Secrets: good}
			tt.change(&o.Secrets)
			s, err := New(o, quiet)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			_, err = s.Write(t.Context(), batch)
			if got := errText(err); !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	for _, bad := range []Secrets{{CA: filepath.Join(dir, "none")}, {CA: write("empty", "")}, {CA: ca, Cert: cert, Key: cert}} {
		if _, err := New(Options{Secrets: bad}, quiet); err == nil {
			t.Errorf("%+v: taken", bad)
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// certificates makes a CA and a certificate of it for 127.0.0.1, for both sides.
func certificates(t *testing.T, dir string) (ca, cert, key string) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, cert, key
}

func TestSecretFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	for _, text := range []string{"s3cret", "\ufeffs3cret\r\nmore", "\xfe\xff\x00s\x003\x00c\x00r\x00e\x00t\x00\r\x00\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if get, err := secret("token_file", path); err != nil || get() != "s3cret" {
			t.Errorf("%q: %v", text, err)
		}
	}
}
