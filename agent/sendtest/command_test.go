package sendtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"ossecd/keys"
	"ossecd/keys/durable"
	"ossecd/proto"
)

const testLine = "007 web01 any 5ecret5ecret5ecret"

// run is "ossecd send-test" with the keys in a file.
func run(t *testing.T, lines string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "client.keys")
	if err := os.WriteFile(file, []byte(lines+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errOut bytes.Buffer
	command := Command()
	command.HideHelp = true // its flag is one for all apps, and tests run side by side
	app := &cli.App{
		Name: "ossecd", Writer: &out, ErrWriter: &errOut, Commands: []*cli.Command{command}, HideHelp: true,
		ExitErrHandler: func(*cli.Context, error) {},
	}
	err = app.RunContext(t.Context(), append([]string{"ossecd", "send-test", "--keys", file}, args...))
	return out.String(), errOut.String(), err
}

func TestOnce(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ crypto, dialect, location, wantEvent string }{
		{"blowfish", "ossec", "/var/log/a", "1:/var/log/a:hello"},
		{"aes", "ossec", "a:b", "1:a_b:hello"},
		{"blowfish", "wazuh", "a:b", "1:a|:b:hello"},
		{"aes", "wazuh", "x", "1:x:hello"},
	} {
		t.Run(tt.crypto+" "+tt.dialect, func(t *testing.T) {
			t.Parallel()
			m := startManager(t, testLine, acks)
			began := time.Now().Unix()
			out, warn, err := run(t, testLine, "--manager", m.addr, "--crypto", tt.crypto, "--dialect", tt.dialect, "--location", tt.location, "hello")
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if !strings.Contains(warn, "A stock agent with the same key will be refused") {
				t.Errorf("no warning, only %q", warn)
			}
			got := m.arrivals()
			if len(got) < 3 || got[0].text != proto.Startup || got[1].text != tt.wantEvent || !strings.HasPrefix(got[2].text, "#!-"+about.Uname) {
				t.Fatalf("got %+v", got)
			}
			for i := range got {
				c := got[i].count
				if int64(c.Global) < began || int64(c.Global) > time.Now().Unix()+1 {
					t.Errorf("count %v is not of the clock", c)
				}
				if i > 0 && c.Value() <= got[i-1].count.Value() {
					t.Errorf("counts do not rise: %v after %v", c, got[i-1].count)
				}
			}
			for _, want := range []string{"connect ", "startup ", "event ", "keepalive ", "round trip", fmt.Sprintf("count %d:%04d", got[1].count.Global, got[1].count.Local)} {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
		})
	}
}

func TestFailuresAreExplained(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		args  []string
		reply func(*scripted, netip.AddrPort, proto.Message)
		want  string // in the output
		never string
	}{
		{"silence", nil, func(*scripted, netip.AddrPort, proto.Message) {}, "tcpdump", "connection refused"},
		{"the other cipher", nil, func(m *scripted, from netip.AddrPort, got proto.Message) {
			m.send(from, proto.AES, proto.OSSEC, proto.Ack)
		}, "Try --crypto aes", "tcpdump"},
		{"the other AES", []string{"--crypto", "aes"}, func(m *scripted, from netip.AddrPort, got proto.Message) {
			m.send(from, proto.AES, proto.Wazuh, proto.Ack)
		}, "Try --dialect wazuh", "tcpdump"},
		{"another key", nil, func(m *scripted, from netip.AddrPort, got proto.Message) {
			m.key.Secret = "another"
			m.send(from, proto.Blowfish, proto.OSSEC, proto.Ack)
		}, "cannot be opened with this key", "tcpdump"},
		{"another program", nil, func(m *scripted, from netip.AddrPort, got proto.Message) {
			m.conn.WriteToUDPAddrPort([]byte("HTTP/1.1 400 Bad Request"), from)
		}, "not in this protocol", "tcpdump"},
		{"refused in words", []string{"--dialect", "wazuh"}, func(m *scripted, from netip.AddrPort, got proto.Message) {
			m.send(from, proto.Blowfish, proto.Wazuh, "#!-err {\"message\":\"Agent version \x1b[31m\"}")
		}, `Agent version \x1b[31m`, "tcpdump"},
		{"gone after the ack", nil, func(m *scripted, from netip.AddrPort, got proto.Message) {
			if string(got.Payload) == proto.Startup {
				m.send(from, got.Method, got.Dialect, proto.Ack)
			}
		}, "UdpRcvbufErrors", "tcpdump"},
		{"the same answer again", nil, func(m *scripted, from netip.AddrPort, got proto.Message) {
			m.sendAt(from, proto.Blowfish, proto.OSSEC, proto.Counter{Global: 5, Local: 5}, proto.Ack)
		}, "UdpRcvbufErrors", "tcpdump"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := startManager(t, testLine, tt.reply)
			out, _, err := run(t, testLine, append(tt.args, "--manager", m.addr, "--timeout", "1s")...)
			if !errors.Is(err, errNoAnswer) {
				t.Errorf("got error %v, want %v", err, errNoAnswer)
			}
			if !strings.Contains(out, "What to check next") || !strings.Contains(out, tt.want) || strings.Contains(out, tt.never) {
				t.Errorf("want %q and not %q in\n%s", tt.want, tt.never, out)
			}
			if strings.Contains(out, "5ecret") || strings.Contains(out, "\x1b") {
				t.Errorf("prints the key or control characters:\n%q", out)
			}
		})
	}
}

func TestRefusedConnection(t *testing.T) {
	t.Parallel()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	addr := conn.LocalAddr().String()
	conn.Close()
	out, _, err := run(t, testLine, "--manager", addr, "--json", "--timeout", "2s")
	if !errors.Is(err, errRefused) {
		t.Errorf("got %v, want %v", err, errRefused)
	}
	var got outcome
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got.OK || got.Error == "" || got.Sent != 0 || !slices.ContainsFunc(got.Check, func(s string) bool { return strings.Contains(s, "nothing listens on "+addr) }) {
		t.Errorf("got %+v", got)
	}
}

func TestKeyOfAnotherAddress(t *testing.T) {
	t.Parallel()
	line := "007 web01 192.0.2.77 5ecret"
	m := startManager(t, line, func(*scripted, netip.AddrPort, proto.Message) {})
	out, _, err := run(t, line, "--manager", m.addr, "--timeout", "100ms")
	if !errors.Is(err, errNoAnswer) || !strings.Contains(out, "the key is for 192.0.2.77, and this host sends from 127.0.0.1") {
		t.Errorf("%v\n%s", err, out)
	}
}

// A host with several addresses sends from the one that its key is for.
func TestSendsFromTheKeysAddress(t *testing.T) {
	t.Parallel()
	own := netip.MustParseAddr("127.0.0.9")
	probe, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(own, 0)))
	if err != nil {
		own = netip.MustParseAddr("127.0.0.1") // systems where loopback is one address
	} else {
		probe.Close()
	}
	line := fmt.Sprintf("007 web01 %s 5ecret", own)
	m := startManager(t, line, acks)
	if out, _, err := run(t, line, "--manager", m.addr); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := m.arrivals()[0].from.Addr(); got != own {
		t.Errorf("sent from %v, want %v", got, own)
	}
}

func TestState(t *testing.T) {
	t.Parallel()
	m := startManager(t, testLine, acks)
	state := t.TempDir()
	high := uint32(2_000_000_000) // an agent that sent more than a clock can count
	if err := os.MkdirAll(filepath.Join(state, "rids"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(state, "rids", "sender_counter"), fmt.Appendf(nil, "%d:17:", high), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, warn, err := run(t, testLine, "--manager", m.addr, "--state", state); err != nil || warn != "" {
		t.Fatalf("%v, warns %q\n%s", err, warn, out)
	}
	came := m.arrivals()
	if got := came[0].count; got.Global <= high {
		t.Errorf("first count is %v, want one above %d", got, high)
	}
	last := came[len(came)-1].count
	sender, err := keys.OpenSender(filepath.Join(state, "rids"))
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close()
	if next, err := sender.Next(); err != nil || next.Value() <= last.Value() {
		t.Errorf("the agent goes on with %v (%v), and %v was used", next, err, last)
	}

	lock, err := durable.LockDir(state)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	before := len(m.arrivals())
	if _, _, err := run(t, testLine, "--manager", m.addr, "--state", state); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("got %v while the agent runs, want %v", err, durable.ErrLocked)
	}
	if after := len(m.arrivals()); after != before {
		t.Errorf("%d messages were sent while the agent runs", after-before)
	}
}

func TestWrongUsage(t *testing.T) {
	t.Parallel()
	several := "001 one any k1\n002 two any k2"
	for _, tt := range []struct {
		lines, want string
		code        int
		args        []string
	}{
		{testLine, "--manager is missing", 2, nil},
		{testLine, "HOST:PORT", 2, []string{"--manager", "a:b"}},
		{testLine, "HOST:PORT", 2, []string{"--manager", "host:0"}},
		{testLine, "HOST:PORT", 2, []string{"--manager", "host:70000"}},
		{testLine, "quote it", 2, []string{"--manager", "127.0.0.1", "two", "words"}},
		{testLine, "--crypto: \"des\"", 2, []string{"--manager", "127.0.0.1", "--crypto", "des"}},
		{testLine, "--dialect: \"x\"", 2, []string{"--manager", "127.0.0.1", "--dialect", "x"}},
		{testLine, "--queue", 2, []string{"--manager", "127.0.0.1", "--queue", "\n"}},
		{testLine, "--queue", 2, []string{"--manager", "127.0.0.1", "--queue", ""}},
		{testLine, "--timeout", 2, []string{"--manager", "127.0.0.1", "--timeout", "0s"}},
		{testLine, "--agents", 2, []string{"--manager", "127.0.0.1", "--agents", "0"}},
		{testLine, "--rate", 2, []string{"--manager", "127.0.0.1", "--rate", "NaN"}},
		{testLine, "too long", 2, []string{"--manager", "127.0.0.1", strings.Repeat("x", proto.MaxMessageOSSEC)}},
		{testLine, "--state", 2, []string{"--manager", "127.0.0.1", "--state", "/nonexistent"}},
		{several, "one of them", 2, []string{"--manager", "127.0.0.1", "--id", "001", "--agents", "2"}},
		{several, "leave out --agents", 2, []string{"--manager", "127.0.0.1", "--state", ".", "--agents", "2"}},
		{several, "choose one with --id", 2, []string{"--manager", "127.0.0.1"}},
		{several, "3 are needed", 1, []string{"--manager", "127.0.0.1", "--agents", "3"}},
		{several, `no such agent: "003"`, 1, []string{"--manager", "127.0.0.1", "--id", "003"}},
	} {
		_, _, err := run(t, tt.lines, tt.args...)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v, want %q", tt.args, err, tt.want)
			continue
		}
		code := 1
		var coded cli.ExitCoder
		if errors.As(err, &coded) {
			code = coded.ExitCode()
		}
		if code != tt.code {
			t.Errorf("%q: exit code %d, want %d", tt.args, code, tt.code)
		}
	}
}
