package enroll

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/keys/limitlog"
	"ossecd/keys/tokens"
	"ossecd/proto"
)

// closed says whether the other end closes the connection within a time far below the server's own limits.
func closed(conn net.Conn) error {
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

// What is no TLS is cut off at once, whatever it is.
func TestGarbage(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for _, garbage := range []string{
		"GET / HTTP/1.1\r\n\r\n", "OSSEC A:'web01'\n", strings.Repeat("\x00", 100_000), "\x16\x03\x01\xff\xff" + strings.Repeat("a", 100_000),
		"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "\x80\x2e\x01\x03\x01",
	} {
		conn, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		go io.WriteString(conn, garbage)
		if err := closed(conn); err != nil {
			t.Errorf("%.20q: %v", garbage, err)
		}
		conn.Close()
	}
	r.waitLog(`reason="no TLS" count=1`)
	r.wantKey("OSSEC A:'web01'", "001 web01 any")
}

// A TLS from before 1.2 is refused.
func TestOldTLS(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13} {
		conn, err := tls.Dial("tcp", r.addr, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
		if got, want := err == nil, version >= tls.VersionTLS12; got != want {
			t.Errorf("%s: taken %v, want %v: %v", tls.VersionName(version), got, want, err)
		}
		if err == nil {
			conn.Close()
		}
	}
}

// A request that has no end is not read to it.
func TestTooLong(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	conn, err := r.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	text := []byte(strings.Repeat("OSSEC PASS: ", 1000))
	n := 0
	for ; n < 64<<20 && err == nil; n += len(text) {
		_, err = conn.Write(text)
	}
	if err == nil {
		t.Errorf("%d bytes were taken", n)
	}
	r.waitLog(`reason="request too long" count=1`)
	// What is as long as the longest, and has no end yet, is not waited for.
	endless, err := r.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer endless.Close()
	endless.SetDeadline(time.Now().Add(requestWithin / 2))
	if _, err := io.WriteString(endless, strings.Repeat("a", proto.MaxEnrollRequest)); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(endless); err != nil || !strings.HasPrefix(string(answer), "ERROR: Invalid request") {
		t.Errorf("%d bytes: got %q, %v", proto.MaxEnrollRequest, answer, err)
	}
	// The longest that is allowed is taken.
	request := "OSSEC A:'web01' V:'v4.14.5"
	request += strings.Repeat("a", proto.MaxEnrollRequest-len(request)-2) + "'"
	r.wantKey(request, "001 web01 any")
	if text := r.logs.String(); strings.Contains(text, strings.Repeat("a", 1000)) {
		t.Error("the log has all of the groups")
	}
}

// pipeServer is a server without a port, whose connections are pipes.
func pipeServer(t testing.TB) (s *Server, logs *syncBuffer) {
	logs = new(syncBuffer)
	dir := t.TempDir()
	cfg := Config{
		Listen: ":0", Keys: filepath.Join(dir, "client.keys"), Dir: filepath.Join(dir, "enroll"),
		Silence: func(string) time.Duration { return 0 }, TakeUp: func() {},
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	s, _, err := newServer(cfg, slog.New(slog.NewTextHandler(logs, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return s, logs
}

// Who is slow is cut off after 10 s, wherever it stops.
func TestSlow(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		act  func(*rig, net.Conn)
	}{
		{"says nothing", func(*rig, net.Conn) {}},
		{"drips a handshake", func(_ *rig, c net.Conn) {
			for _, b := range []byte("\x16\x03\x01\x00\xff") {
				time.Sleep(3 * time.Second)
				c.Write([]byte{b})
			}
		}},
		{"drips a request", func(r *rig, c net.Conn) {
			conn := r.client(c)
			for {
				if _, err := conn.Write([]byte("O")); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, logs := pipeServer(t)
				theirs, ours := net.Pipe()
				began := time.Now()
				acted := make(chan struct{})
				go func() {
					tt.act(&rig{t: t}, theirs)
					close(acted)
				}()
				s.letIn(t, t.Context(), ours)
				if took := time.Since(began); took != requestWithin {
					t.Errorf("cut off after %v, want %v", took, requestWithin)
				}
				theirs.Close()
				<-acted
				if !strings.Contains(logs.String(), `reason="too slow"`) {
					t.Errorf("the log has\n%s", logs.String())
				}
			})
		})
	}
}

// letIn serves a connection from loopback.
func (s *Server) letIn(t *testing.T, ctx context.Context, conn net.Conn) {
	stay, why := s.limiter.enter(conn, loopback, time.Now())
	if why != 0 {
		t.Errorf("not let in: %v", why)
		return
	}
	defer s.limiter.leave(stay)
	s.serve(ctx, conn, netip.AddrPortFrom(loopback, 1), stay)
}

// noted is a connection that notes whether it was closed.
type noted bool

func (n *noted) Close() error { *n = true; return nil }

// An address has so many connections, and no more.
func TestVisitors(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	v := newConnLimiter()
	last := make(map[string]*stay)
	enter := func(ip string, want reason) {
		t.Helper()
		s, got := v.enter(new(noted), netip.MustParseAddr(ip), now)
		if got != want {
			t.Errorf("%s: got %v, want %v", ip, got, want)
		}
		if got == 0 {
			last[ip] = s
		}
	}
	leave := func(ip string) { v.leave(last[ip]) }
	for range maxOpenFrom {
		enter("192.0.2.1", 0)
	}
	enter("192.0.2.1", tooMany)
	enter("::ffff:192.0.2.1", tooMany)
	enter("192.0.2.2", 0)
	leave("192.0.2.1")
	enter("192.0.2.1", 0)
	enter("192.0.2.1", tooMany)

	// A host has a whole /64.
	for n := range maxOpenFrom {
		enter(fmt.Sprintf("2001:db8::%d", n+1), 0)
	}
	enter("2001:db8::ffff", tooMany)
	enter("2001:db8:0:1::1", 0)

	// All together: who waits longest makes room, unless it has asked.
	v = newConnLimiter()
	first := new(noted)
	idle, _ := v.enter(first, netip.MustParseAddr("192.0.2.1"), now)
	for n := range maxOpen {
		if *first {
			t.Errorf("put out after %d others", n)
		}
		enter(fmt.Sprintf("10.0.%d.%d", n/256, n%256), 0)
	}
	if !bool(*first) || !v.wasPutOut(idle) || v.ask(idle) {
		t.Error("the first was not put out")
	}
	v.leave(idle)
	for n := range maxOpen {
		if !v.ask(last[fmt.Sprintf("10.0.%d.%d", n/256, n%256)]) {
			t.Fatalf("number %d was put out", n)
		}
	}
	enter("192.0.2.3", tooMany)
	leave("10.0.0.7")
	enter("192.0.2.3", 0)
	if v.silent.Len() != 1 || v.asked != maxOpen-1 {
		t.Errorf("%d wait and %d have asked", v.silent.Len(), v.asked)
	}

	// Whose handshake is under way is left alone for a while; those who said nothing make room before.
	v = newConnLimiter()
	at := func(n int) string { return fmt.Sprintf("10.0.%d.%d", n/256, n%256) }
	for n := range maxOpen {
		enter(at(n), 0)
		if n != 7 {
			v.speaks(last[at(n)], now)
		}
	}
	enter("192.0.2.1", 0)
	v.speaks(last["192.0.2.1"], now)
	enter("192.0.2.2", tooMany)
	if !v.wasPutOut(last[at(7)]) || v.wasPutOut(last[at(0)]) {
		t.Error("not the silent one made room")
	}
	now = now.Add(spareFor)
	enter("192.0.2.2", 0)
	enter("192.0.2.3", 0) // in place of that one, which is silent
	v.speaks(last["192.0.2.2"], now)
	if !v.wasPutOut(last[at(0)]) || v.wasPutOut(last[at(1)]) || !v.wasPutOut(last["192.0.2.2"]) || v.speaking.Len() != maxOpen-1 {
		t.Errorf("%d speak", v.speaking.Len())
	}

	// Each as often as the rate allows.
	v = newConnLimiter()
	for range connectBurst {
		enter("192.0.2.1", 0)
		leave("192.0.2.1")
	}
	enter("192.0.2.1", tooFast)
	now = now.Add(time.Second)
	for range connectRate {
		enter("192.0.2.1", 0)
		leave("192.0.2.1")
	}
	enter("192.0.2.1", tooFast)

	// Who guesses is kept out for a while.
	for range guessBurst {
		enter("192.0.2.4", 0)
		leave("192.0.2.4")
		v.guessed(netip.MustParseAddr("192.0.2.4"), now)
	}
	enter("192.0.2.4", guessing)
	enter("192.0.2.5", 0)
	now = now.Add(6 * time.Second)
	enter("192.0.2.4", 0)
	v.guessed(netip.MustParseAddr("192.0.2.4"), now)
	enter("192.0.2.4", guessing)

	// What is remembered is bounded, and open connections are not forgotten.
	for n := range 3 * maxClients {
		ip := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
		s, why := v.enter(new(noted), ip, now)
		if why != 0 {
			t.Fatalf("%v: %v", ip, why)
		}
		v.leave(s)
	}
	if len(v.from) > maxClients || v.silent.Len() != 2 || v.from[prefixOf(netip.MustParseAddr("192.0.2.4"))].open != 1 {
		t.Errorf("%d clients, %d open", len(v.from), v.silent.Len())
	}
}

// The eleventh guess is not heard, nor is the right password after it.
// An address that guessed stays out however many others come, and how many are remembered is bounded.
func TestManyGuess(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	v := newConnLimiter()
	first := netip.MustParseAddr("192.0.2.1")
	come := func(ip netip.Addr) reason {
		s, why := v.enter(new(noted), ip, now)
		if why == 0 {
			v.leave(s)
		}
		return why
	}
	for range guessBurst {
		v.guessed(first, now)
	}
	others := func(f func(ip netip.Addr)) {
		for n := range 2 * maxClients {
			f(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}))
		}
	}
	others(func(ip netip.Addr) { v.guessed(ip, now) })
	if why := come(first); why != guessing {
		t.Errorf("after many others it is let in: %v", why)
	}
	if len(v.from) > maxClients {
		t.Errorf("%d are remembered", len(v.from))
	}
	if why := come(netip.MustParseAddr("192.0.2.77")); why != 0 {
		t.Errorf("one that did not guess is kept out: %v", why)
	}
	now = now.Add(time.Hour)
	others(func(ip netip.Addr) {
		if why := come(ip); why != 0 {
			t.Fatalf("an hour later %v: %v", ip, why)
		}
		now = now.Add(time.Millisecond)
	})
	if why := come(first); why != 0 || v.rest.open != 0 {
		t.Errorf("an hour later: %v, %d open", why, v.rest.open)
	}
}

// Wrong passwords of all addresses together are bounded; the right one is not looked at meanwhile.
func TestWrongPasswordsOfAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newIssuer(&Config{}, slog.New(slog.DiscardHandler))
		for range wrongBurst {
			if why := c.checkPassword("guess", "sesame"); why != wrongPassword {
				t.Fatal(why)
			}
		}
		for _, shown := range []string{"guess", "sesame"} {
			if why := c.checkPassword(shown, "sesame"); why != passwordsPaused {
				t.Errorf("%s: %v", shown, why)
			}
		}
		time.Sleep(time.Minute)
		if why := c.checkPassword("sesame", "sesame"); why != 0 {
			t.Error(why)
		}
	})
}

func TestGuessing(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) {
		c.PasswordFile, c.Tokens = writeFile(t, "password", "sesame"), filepath.Join(t.TempDir(), "tokens")
	})
	for n := range guessBurst {
		guess := fmt.Sprintf("guess%d", n)
		if n%2 == 0 {
			guess = tokens.New("").Password()
		}
		r.wantRefusal("OSSEC PASS: "+guess+" OSSEC A:'web01'", "Invalid password")
	}
	if answer, err := r.tryAsk("OSSEC PASS: sesame OSSEC A:'web01'\n"); err == nil || answer != "" {
		t.Errorf("after %d guesses: got %q, %v", guessBurst, answer, err)
	}
	r.waitLog("reason=guessing count=1")
}

// At a stop an idle connection is closed at once.
func TestStop(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	conn, err := r.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	r.stop()
	if took := time.Since(began); took > requestWithin/2 {
		t.Errorf("the stop took %v", took)
	}
	if err := closed(conn); err != nil {
		t.Error(err)
	}
}

// An agent that went away before its answer came is named.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, logs := pipeServer(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go s.issuer.run(ctx)
		theirs, ours := net.Pipe()
		go func() {
			conn := (&rig{t: t}).client(theirs)
			if _, err := io.WriteString(conn, "OSSEC A:'web01'\n"); err != nil {
				t.Error(err)
			}
			theirs.Close()
		}()
		s.letIn(t, ctx, ours)
		if !strings.Contains(logs.String(), `msg="an agent may not have received its new key" agent=001 name=web01`) {
			t.Errorf("the log has\n%s", logs.String())
		}
	})
}

// Refusals are logged once a minute for each reason, with how many there were, and nothing is left untold.
func TestRefusalsLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var logs syncBuffer
		r := &refusals{log: slog.New(slog.NewTextHandler(&logs, nil))}
		from := netip.AddrPortFrom(loopback, 1)
		told := 0
		lines := func(want ...string) {
			t.Helper()
			got := logs.String()[told:]
			told += len(got)
			if n := strings.Count(got, "\n"); n != len(want) {
				t.Errorf("%d lines, want %d:\n%s", n, len(want), got)
			}
			for _, w := range want {
				if !strings.Contains(got, w) {
					t.Errorf("no %q in\n%s", w, got)
				}
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { r.run(ctx); close(done) }()
		r.note(badName, from, "name", "a")
		lines(`reason="invalid name" count=1 source=127.0.0.1:1 name=a`)
		for range 5 {
			r.note(badName, from, "name", "b")
		}
		r.note(tooSlow, from)
		lines(`reason="too slow" count=1`)
		time.Sleep(2*limitlog.Every + time.Second)
		synctest.Wait()
		lines(`reason="invalid name" count=5 source=127.0.0.1:1 name=b`)
		// Each address has its line; where there are too many, those past the bound share one.
		for i := range 2 * maxTold {
			r.note(badGroup, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}), 1))
		}
		if n := strings.Count(logs.String()[told:], "\n"); n < maxTold-2 || n > maxTold+1 {
			t.Errorf("%d lines about %d addresses", n, 2*maxTold)
		}
		time.Sleep(3 * limitlog.Every)
		synctest.Wait()
		r.mu.Lock()
		if len(r.told) != 0 {
			t.Errorf("%d addresses are kept", len(r.told))
		}
		r.mu.Unlock()
		cancel()
		<-done
		if got := fmt.Sprint(r.summary()); got != fmt.Sprintf("[too slow 1 invalid name 6 invalid group %d]", 2*maxTold) {
			t.Errorf("in all: %s", got)
		}
	})
}
