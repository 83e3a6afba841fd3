package syslog

import (
	"bufio"
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
	"testing"
	"time"
	"unicode/utf8"

	"ossecd/manager/sink"
	"ossecd/manager/sink/sinktest"
)

var (
	quiet = slog.New(slog.DiscardHandler)
	from  = netip.MustParseAddrPort("10.0.0.7:40112")
	at    = time.Date(2026, 11, 22, 15, 24, 33, 651_004_000, time.FixedZone("", 3600))
)

// messageOf is the message of a lot's only event.
func messageOf(l *sink.Lot, limit int) (string, bool) {
	var e sink.Event
	events := l.Events()
	events.Next(&e)
	b, cut := appendMessage([]byte("before"), &e, 134, limit)
	return strings.TrimPrefix(string(b), "before"), cut
}

func TestMessage(t *testing.T) {
	t.Parallel()
	web := sink.NewAgent("001", "web01", "any")
	tests := []struct {
		name string
		make func(l *sink.Lot)
		want string
	}{
		{"event", func(l *sink.Lot) { l.Event(web, at, 1, from, '1', []byte("/var/log/x"), []byte("a: b é\tc")) },
			"<134>1 2026-11-22T14:24:33.651004Z web01 ossecd - - [ossecd@32473 id=\"001\" name=\"web01\" ip=\"any\" source=\"10.0.0.7:40112\" queue=\"1\" location=\"/var/log/x\"] a: b é\tc"},
		{"hostile", func(l *sink.Lot) {
			l.Event(web, at, 1, from, ']', []byte("\"]\\ x=\"\x1b\n\xff"), []byte("one\n<134>1 two\x00\u009b\xff]"))
		},
			`<134>1 2026-11-22T14:24:33.651004Z web01 ossecd - - [ossecd@32473 id="001" name="web01" ip="any" source="10.0.0.7:40112" queue="\]" location="\"\]\\ x=\"#033#012` + "\ufffd\"] one#012<134>1 two#000#233\ufffd]"},
		{"empty", func(l *sink.Lot) { l.Event(web, at, 1, from, '1', nil, nil) },
			`<134>1 2026-11-22T14:24:33.651004Z web01 ossecd - - [ossecd@32473 id="001" name="web01" ip="any" source="10.0.0.7:40112" queue="1"]`},
		{"own", func(l *sink.Lot) {
			l.Report(nil, nil, at, "ossecd: 3 events lost.", sink.Report{Action: sink.Lost, Number: 3})
		},
			`<134>1 2026-11-22T14:24:33.651004Z - ossecd - events-lost [ossecd@32473 queue="1" location="ossecd" count="3"] ossecd: 3 events lost.`},
	}
	for _, tt := range tests {
		var l sink.Lot
		tt.make(&l)
		if got, cut := messageOf(&l, 2048); got != tt.want || cut {
			t.Errorf("%s:\n got %q\nwant %q", tt.name, got, tt.want)
		}
	}
}

// Whatever is sent, a message keeps its limit, is UTF-8 without control characters, and has its structured data whole.
func FuzzMessage(f *testing.F) {
	for _, s := range []string{"", "plain", "\"]\\", "caf\u00e9 \u2028 \U0001f600", "\xff\xfe\xc3", "\x1b[31m\u009b\x7f", strings.Repeat("é", 2000), strings.Repeat("\xff", 1500)} {
		f.Add([]byte(s), []byte(s))
	}
	web := sink.NewAgent("00000001", strings.Repeat("n", 128), strings.Repeat("1", 64))
	f.Fuzz(func(t *testing.T, location, message []byte) {
		var l sink.Lot
		l.Event(web, at, 1, from, '1', location, message)
		got, cut := messageOf(&l, 2048)
		if len(got) > 2048 || !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return r < 0x20 && r != '\t' || r >= 0x7f && r < 0xa0 }) {
			t.Fatalf("%d bytes: %q", len(got), got)
		}
		if (len(got) > 2040) != cut && len(location) <= maxLocation && len(message) > 2048 {
			t.Errorf("%d bytes, cut %v", len(got), cut)
		}
		data := strings.NewReplacer(`\\`, "", `\"`, "", `\]`, "").Replace(got)
		if before, _, ok := strings.Cut(data, "]"); !ok || strings.Count(before, `"`)%2 != 0 {
			t.Errorf("the structured data is not whole: %q", got)
		}
	})
}

// started is one such sink.
func started(t *testing.T, o Options) (put func(message string), end func()) {
	t.Helper()
	o.Facility, o.Severity, o.MaxSize = 16, 6, 2048
	h := sinktest.Start(t, sinktest.Journal(t), quiet, sink.Spec{Open: func(context.Context, sink.Env) (sink.Sink, error) { return New(o, quiet) }})
	a := sink.NewAgent("001", "web01", "any")
	return func(message string) {
			var l sink.Lot
			l.Event(a, at, 1, from, '1', []byte("l"), []byte(message))
			h.Put(&l, false)
		}, func() {
			if err := h.Close(time.Minute); err != nil {
				t.Error(err)
			}
		}
}

// next reads a message with its length in front.
func next(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	var n int
	if _, err := fmt.Fscanf(r, "%d", &n); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, n+1)
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	return string(b[1:])
}

func accept(t *testing.T, l net.Listener) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c, bufio.NewReader(c)
}

func TestUDP(t *testing.T) {
	t.Parallel()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	put, end := started(t, Options{Address: c.LocalAddr().String(), Protocol: "udp"})
	put("hello")
	b := make([]byte, 4096)
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	n, _, err := c.ReadFrom(b)
	if err != nil || !strings.HasPrefix(string(b[:n]), "<134>1 2026") || !strings.HasSuffix(string(b[:n]), "] hello") {
		t.Errorf("%q, %v", b[:n], err)
	}
	end()
}

// A server that closes the connection gets what comes later over another one.
func TestTCP(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	put, end := started(t, Options{Address: l.Addr().String(), Protocol: "tcp"})
	for i := range 500 {
		put(fmt.Sprintf("event %d\nof two lines", i))
	}
	c, r := accept(t, l)
	for i := range 500 {
		if got, want := next(t, r), fmt.Sprintf("] event %d#012of two lines", i); !strings.HasSuffix(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	c.Close()
	time.Sleep(100 * time.Millisecond) // the end is seen
	put("on another connection")
	c, r = accept(t, l)
	if got := next(t, r); !strings.HasSuffix(got, "] on another connection") {
		t.Errorf("got %q", got)
	}
	end()
	c.Close()
}

// A connection that breaks in the middle of a write takes nothing of it: all is given to the next one.
func TestAWriteThatBreaks(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s, err := New(Options{Address: l.Addr().String(), Protocol: "tcp", MaxSize: 65_000}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	a := sink.NewAgent("001", "web01", "any")
	var large sink.Lot // more than the system buffers
	for range 500 {
		large.Event(a, at, 1, from, '1', []byte("l"), []byte(strings.Repeat("x", 60_000)))
	}
	go func() {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		io.ReadFull(c, make([]byte, 1000)) // the write has begun
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}()
	if r, err := s.Write(t.Context(), large.Events()); err == nil || r != (sink.Result{}) {
		t.Errorf("%+v, %v", r, err)
	}
	var one sink.Lot
	one.Event(a, at, 1, from, '1', []byte("l"), []byte("again"))
	if r, err := s.Write(t.Context(), one.Events()); err != nil || r.Done != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	c, r := accept(t, l)
	defer c.Close()
	if got := next(t, r); !strings.HasSuffix(got, "] again") {
		t.Errorf("got %.200q", got)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, append([]byte("\ufeff"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	put, end := started(t, Options{Address: l.Addr().String(), Protocol: "tls", CA: ca})
	put("in secret")
	c, r := accept(t, l)
	defer c.Close()
	if got := next(t, r); !strings.HasSuffix(got, "] in secret") {
		t.Errorf("got %q", got)
	}
	end()

	// One for which nobody vouches is told nothing.
	s, err := New(Options{Address: l.Addr().String(), Protocol: "tls", MaxSize: 2048}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if c, err := l.Accept(); err == nil {
			io.Copy(io.Discard, c)
			c.Close()
		}
	}()
	var lot sink.Lot
	lot.Report(nil, nil, at, "x", sink.Report{Action: sink.Lost, Number: 1})
	if _, err := s.Write(t.Context(), lot.Events()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown certificate: %v", err)
	}
}

func TestCAFaults(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(empty, []byte("none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, ca := range []string{empty, empty + ".none"} {
		if _, err := New(Options{Protocol: "tls", CA: ca}, quiet); err == nil || !strings.HasPrefix(err.Error(), "ca: ") {
			t.Errorf("%q: %v", ca, err)
		}
	}
}

// A datagram that the system never takes is counted, and holds up nothing.
func TestATooLongDatagramIsRefused(t *testing.T) {
	t.Parallel()
	s, err := New(Options{Address: "127.0.0.1:9", Protocol: "udp", MaxSize: 1 << 20}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	var l sink.Lot
	l.Event(sink.NewAgent("001", "web01", "any"), at, 1, from, '1', []byte("l"), make([]byte, 100_000))
	if r, err := s.Write(t.Context(), l.Events()); err != nil || r != (sink.Result{Done: 1, Refused: 1}) {
		t.Errorf("%+v, %v", r, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
