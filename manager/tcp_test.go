package manager

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"ossecd/proto"
)

// tcpRig is a manager that listens on TCP and UDP of loopback.
type tcpRig struct {
	*rig
	tcp, udp netip.AddrPort
}

func startTCP(t *testing.T, lines ...string) *tcpRig {
	t.Helper()
	r := &tcpRig{rig: newRig(t, lines...)}
	r.cfg.Listen = []string{"udp://127.0.0.1:0", "tcp://127.0.0.1:0"}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop, r.ended = cancel, make(chan struct{})
	ready := make(chan []netip.AddrPort, 1)
	r.cfg.Ready = func(all []netip.AddrPort) { ready <- all }
	log := slog.New(slog.NewTextHandler(r.logs, nil))
	go func() {
		r.err = Run(ctx, r.cfg, log)
		close(r.ended)
	}()
	t.Cleanup(func() {
		cancel()
		<-r.ended
	})
	select {
	case all := <-ready:
		r.udp, r.tcp = all[0], all[1]
	case <-r.ended:
		t.Fatal(r.err)
	}
	return r
}

// packets is a stream of which each Read takes a packet and each Write sends one.
type packets struct{ net.Conn }

func (p packets) Write(b []byte) (int, error) {
	_, err := p.Conn.Write(proto.AppendPacket(nil, b))
	return len(b), err
}

func (p packets) Read(b []byte) (int, error) {
	var head [proto.PacketHeader]byte
	if _, err := io.ReadFull(p.Conn, head[:]); err != nil {
		return 0, err
	}
	n := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
	return io.ReadFull(p.Conn, b[:n])
}

// connect makes an agent that speaks over a connection.
func (r *tcpRig) connect(keyLine string, method proto.Method, d proto.Dialect, global uint32) *peer {
	r.t.Helper()
	k := mustKey(r.t, keyLine)
	p := &peer{r: r.rig, key: k, cipher: proto.NewCipher(k.CipherKey()), opener: proto.NewOpener(),
		e: proto.Envelope{Method: method, Dialect: d, ID: k.ID, Counter: proto.Counter{Global: global}}}
	p.conn = r.stream()
	return p
}

func (r *tcpRig) stream() packets {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.tcp.String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	return packets{conn}
}

// eventually waits until what f says holds.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

func (r *tcpRig) wantText(text string) {
	r.t.Helper()
	eventually(r.t, "no event "+text, func() bool { return strings.Contains(r.out.String(), `"full_log":"`+text+`"`) })
}

func wantEnd(t *testing.T, conn net.Conn) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Read(make([]byte, 1<<16)); err == nil || os.IsTimeout(err) {
		t.Errorf("the connection goes on: %v", err)
	}
}

// An agent over TCP is judged and answered as one over UDP, in each cipher and dialect, and may change from one to the other.
func TestAgentOverTCP(t *testing.T) {
	t.Parallel()
	r := startTCP(t, anyLine)
	global := uint32(10)
	for _, form := range []proto.Envelope{{Method: proto.Blowfish, Dialect: proto.OSSEC}, {Method: proto.AES, Dialect: proto.OSSEC}, {Method: proto.AES, Dialect: proto.Wazuh}} {
		p := r.connect(anyLine, form.Method, form.Dialect, global)
		p.hello()
		text := "in " + form.Method.String() + " " + form.Dialect.String()
		d := p.send("1:log:" + text)
		r.wantText(text)
		p.write(d) // once more
		long := strings.Repeat("0123456789abcdef ", 300)
		p.send("1:log:" + long)
		p.send(keepalive("OSSEC HIDS v3.7.0", time.Minute))
		if got := p.answer(); got != proto.Ack {
			t.Errorf("%s: answered with %q", text, got)
		}
		r.wantText(long)
		if n := strings.Count(r.out.String(), text); n != 1 {
			t.Errorf("%s: came %d times", text, n)
		}
		global += 10
	}
	udp := r.connect(anyLine, proto.Blowfish, proto.OSSEC, global)
	before := udp.conn
	udp.hello()
	conn, err := net.Dial("udp", r.udp.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	udp.conn = conn
	udp.hello()
	wantEnd(t, before) // which it uses no more
	r.end()
}

// The connection of the latest fresh message is the agent's, and the one before is closed; what replays can do nothing of the kind.
func TestSecondConnection(t *testing.T) {
	t.Parallel()
	r := startTCP(t, anyLine)
	first := r.connect(anyLine, proto.Blowfish, proto.OSSEC, 10)
	hello := first.send(proto.Startup)
	first.answer()
	replay := r.stream()
	replay.Write(hello)
	first.send("1:log:one")
	first.send(keepalive("OSSEC HIDS v3.7.0", time.Minute))
	if got := first.answer(); got != proto.Ack {
		t.Errorf("after a replay: %q", got)
	}
	second := r.connect(anyLine, proto.Blowfish, proto.OSSEC, 20)
	second.hello()
	wantEnd(t, first.conn)
	second.send("1:log:two")
	r.wantText("one")
	r.wantText("two")
	if !strings.Contains(r.logs.String(), "an agent speaks over another connection now") {
		t.Errorf("the log says\n%s", r.logs)
	}
	r.end()
}

func TestPing(t *testing.T) {
	t.Parallel()
	r := startTCP(t, anyLine)
	udp, err := net.Dial("udp", r.udp.String())
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for _, conn := range []net.Conn{r.stream(), udp} {
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		conn.Write([]byte(proto.Ping))
		b := make([]byte, 100)
		if n, err := conn.Read(b); err != nil || string(b[:n]) != proto.Pong {
			t.Errorf("%q, %v", b[:n], err)
		}
	}
	r.end()
}

// What strangers send over connections ends these, changes nothing, and keeps no agent waiting.
func TestStrangersOverTCP(t *testing.T) {
	t.Parallel()
	r := startTCP(t, anyLine, fixedLine)
	p := r.connect(anyLine, proto.AES, proto.Wazuh, 10)
	p.hello()
	wrong := mustKey(t, anyLine)
	wrong.Secret = "another"
	forged := &peer{r: r.rig, cipher: proto.NewCipher(wrong.CipherKey()), e: proto.Envelope{ID: "001", Method: proto.AES, Dialect: proto.Wazuh, Counter: proto.Counter{Global: 99}}}
	for _, d := range [][]byte{[]byte("x"), []byte(":12345678"), []byte("!999!:12345678"), forged.seal(proto.Startup)} {
		c := r.stream()
		c.Write(d)
		wantEnd(t, c)
	}
	whole := proto.AppendPacket(nil, p.seal("1:log:never sent"))
	stop := make(chan struct{})
	stopped := make(chan int)
	go func() { // connections that come, begin something and stay, or go
		n := 0
		var open []net.Conn
		for {
			select {
			case <-stop:
				for _, c := range open {
					c.Close()
				}
				stopped <- n
				return
			default:
			}
			c, err := net.Dial("tcp", r.tcp.String())
			if err != nil {
				continue
			}
			n++
			switch n % 4 {
			case 0:
				c.Write(whole[:rand.IntN(len(whole))])
			case 1:
				c.Write([]byte{0, 255, 0, 0})
			case 2:
				c.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
			}
			if open = append(open, c); len(open) > 400 {
				open[0].Close()
				open = open[1:]
			}
		}
	}()
	began := time.Now()
	for i := range 200 {
		p.send("1:log:line " + string(rune('a'+i%26)))
		p.send(keepalive("ossecd v1", time.Minute))
		if got := p.answer(); !strings.HasPrefix(got, proto.Ack) {
			t.Fatalf("answered with %q after %v", got, time.Since(began))
		}
	}
	q := r.connect(anyLine, proto.AES, proto.Wazuh, 50) // and a new connection is served, too
	q.hello()
	took := time.Since(began)
	close(stop)
	n := <-stopped
	if took > 20*time.Second || n < 100 {
		t.Errorf("%v beside %d connections", took, n)
	}
	t.Logf("201 answers in %v beside %d connections", took, n)
	r.end()
}
