package manager

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"ossecd/manager/listen"
	"ossecd/proto"
	"ossecd/proto/simnet"
)

func TestParseRequest(t *testing.T) {
	t.Parallel()
	const location = "(web01) any->/var/log/auth.log"
	forged := "(web01) any->/x ANN (null) restart-ossec0"
	tests := []struct {
		datagram string
		want     request
	}{ // the first five are what the stock analysis daemon and control tool send
		{location + " NRN (null) host-deny600 - 10.9.8.7 1795415962.1 5710 " + location + " (null)\x00",
			request{sender: "web01", text: "#!-execd host-deny600 - 10.9.8.7 1795415962.1 5710 " + location + " (null)"}},
		{location + " NNS 001 host-deny601 - 10.9.8.7 1795415962.1 5710 " + location + " (null)\x00",
			request{id: "001", text: "#!-execd host-deny601 - 10.9.8.7 1795415962.1 5710 " + location + " (null)"}},
		{location + " ANN (null) host-deny602 - 10.9.8.7 1.1 5710 " + location + " (null)\x00",
			request{all: true, text: "#!-execd host-deny602 - 10.9.8.7 1.1 5710 " + location + " (null)"}},
		{"(msg_to_agent) [] NNS 001 restart-ossec0 - null (from_the_server) (no_rule_id)\x00",
			request{id: "001", text: "#!-execd restart-ossec0 - null (from_the_server) (no_rule_id)"}},
		{"(msg_to_agent) [] A!N (null) syscheck restart\x00", request{all: true, text: proto.SyscheckNow}},
		{forged + " NRN (null) host-deny600 - 10.9.8.7 1.1 5710 " + forged + " (null)\x00",
			request{sender: "web01", text: "#!-execd host-deny600 - 10.9.8.7 1.1 5710 " + forged + " (null)"}},
	}
	for _, test := range tests {
		if got, err := parseRequest([]byte(test.datagram)); err != nil || got != test.want {
			t.Errorf("%q:\n got %+v, %v\nwant %+v", test.datagram, got, err, test.want)
		}
	}
	for _, bad := range []string{"", " ", "x", "(l) NNN 001 x", "(l) NRS", "(l) NNS 001", "(l) NNS 001 ", "web01 NRN (null) x y",
		"(l) NNS 001 a\nb", "(l) NNS 001 " + strings.Repeat("x", maxOrder)} {
		if got, err := parseRequest([]byte(bad)); err == nil {
			t.Errorf("%.40q: got %+v, want an error", bad, got)
		}
	}
}

// A user's name comes from a log line, and may have blanks: then the words behind it are not what they seem, and the location behind
// the command is not where it belongs. Neither may that help a look-alike in the location, nor may the user's name bring an address.
func TestForgedUser(t *testing.T) {
	t.Parallel()
	const plain = "(web01) any->/x"
	forged := plain + " ANN (null) host-deny600 - 8.8.8.8 1.1 5710 " + plain + " y"
	for name, d := range map[string]string{
		"blanks help a forged location": forged + " NRN (null) host-deny600 a b 10.9.8.7 1.1 5710 " + forged + " (null)",
		"an address in the name":        plain + " NRN (null) host-deny600 a 8.8.8.8 10.9.8.7 1.1 5710 " + plain + " (null)",
		"a location in the name":        plain + " ANN (null) host-deny600 a 8.8.8.8 1.1 5710 " + plain + " z 10.9.8.7 1.1 5710 " + plain + " (null)",
		"a location in the file's name": plain + " ANN (null) host-deny600 a b 10.9.8.7 1.1 5710 " + plain + " " + plain + " x",
		"the server's own event":        "web01->/x NNS 002 host-deny600 - 8.8.8.8 1.1 5710 web01->/x y NRN (null) host-deny600 - 10.9.8.7 1.1 5710 web01->/x NNS 002 host-deny600 - 8.8.8.8 1.1 5710 web01->/x y (null)",
		"it, with blanks":               "web01->/x ANN (null) host-deny600 - 8.8.8.8 1.1 5710 web01->/x y NRN (null) host-deny600 a b 10.9.8.7 1.1 5710 web01->/x y (null)",
	} {
		if r, err := parseRequest([]byte(d)); err == nil {
			t.Errorf("%s: obeyed as %+v", name, r)
		}
	}
	// A name that looks like flags is no reason for doubt.
	if r, err := parseRequest([]byte(plain + " NRN (null) host-deny600 ANN 10.9.8.7 1.1 5710 " + plain + " (null)")); err != nil || r.sender != "web01" {
		t.Errorf("got %+v, %v", r, err)
	}
}

// An agent's location that looks like an order to others is never obeyed, whole or cut where the stock daemon cuts.
func TestForgedRequest(t *testing.T) {
	t.Parallel()
	for name, location := range map[string]string{
		"an order":             "(web01) any->/x ANN (null) host-deny600 - 8.8.8.8",
		"a whole order":        "(web01) any->/x ANN (null) host-deny600 - 8.8.8.8 1.1 5710 (web01) any->/x y",
		"an order to one":      "(web01) any->/x NNS 002 host-deny600 - 8.8.8.8 1.1 5710 (web01) any->/x y",
		"several":              "(web01) any->/x ANN (null) a - 8.8.8.8 1.1 5 (web01) any->/x ANN (null) a - 8.8.8.8 1.1 5 (web01) any->/x y",
		"without a command":    "(web01) any->/x A!N (null) syscheck restart",
		"that fills it":        "(web01) any->/x ANN (null) host-deny600 - 8.8.8.8 1.1 5710 (web01) any->/x " + strings.Repeat("y", 1000),
		"behind much text":     "(web01) any->/" + strings.Repeat("p", 600) + " ANN (null) host-deny600 - 8.8.8.8 1.1 5710 x",
		"beside one to itself": "(web01) any->/x NRN (null) host-deny600 - 8.8.8.8 1.1 5710 (web01) any->/x " + strings.Repeat("y", 1000),
	} {
		whole := location + " NRN (null) host-deny600 - 10.9.8.7 1795415962.1 5710 " + location + " (null)"
		for cut := 1; cut <= len(whole); cut++ {
			for fill := range 2 { // text before the cut is what makes a datagram long
				d := whole[:cut]
				if fill > 0 {
					d += strings.Repeat("z", max(0, stockLongest-cut))
				} else if cut < len(whole) && cut < stockLongest {
					continue // what is shorter is not cut
				}
				if r, err := parseRequest([]byte(d[:min(len(d), stockLongest)])); err == nil && (r.all || r.id != "" || r.sender != "web01") {
					t.Fatalf("%s: %q: obeyed as %+v", name, d, r)
				}
			}
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte("(web01) any->/var/log/auth.log NRN (null) host-deny600 - 10.9.8.7 1795415962.1 5710 (web01) any->/var/log/auth.log (null)\x00"))
	f.Add([]byte("(msg_to_agent) [] A!N (null) syscheck restart\x00"))
	f.Add([]byte("()  NRN  0"))
	f.Fuzz(func(t *testing.T, d []byte) {
		r, err := parseRequest(d)
		if err == nil && (!proto.IsControl([]byte(r.text)) || len(r.text) > maxOrder || !r.all && r.id == "" && r.sender == "") {
			t.Errorf("%q: %+v", d, r)
		}
	})
}

func TestOrderText(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ order, want string }{
		{"syscheck-restart", proto.SyscheckNow},
		{"reconnect", proto.ForceReconnect},
		{"restart-ossec0", "#!-execd restart-ossec0 - null (from_the_server) (no_rule_id)"},
		{"host-deny600 - 10.9.8.7 x 0", "#!-execd host-deny600 - 10.9.8.7 x 0"},
	} {
		words := strings.Fields(test.order)
		if got, err := orderText(words[0], words[1:]); err != nil || got != test.want {
			t.Errorf("%s: got %q, %v, want %q", test.order, got, err, test.want)
		}
	}
	for _, bad := range [][]string{{""}, {"reconnect", "x"}, {"x", "a\nb"}, {"x", strings.Repeat("y", maxOrder)}} {
		if got, err := orderText(bad[0], bad[1:]); !errors.Is(err, errOrder) {
			t.Errorf("%.40q: got %q, %v", bad, got, err)
		}
	}
}

// doored is a manager on an in-memory network with sockets of the system, outside of a bubble.
func doored(t *testing.T, home string, lines ...string) *rig {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the stock server has unix sockets of datagrams, which Windows has not")
	}
	dir, err := os.MkdirTemp("", "o") // names of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &rig{t: t, net: simnet.New(1, simnet.Conditions{}), out: new(syncBuffer), logs: new(syncBuffer)}
	r.cfg = Config{Keys: filepath.Join(dir, "client.keys"), State: filepath.Join(dir, "state"), Out: r.out, Control: filepath.Join(dir, "control.sock")}
	if home != "" {
		r.cfg.OssecHome = filepath.Join(dir, home)
		for _, sub := range []string{stockRids, stockAgentInfo, "queue/alerts", "queue/ossec", stockShared} {
			if err := os.MkdirAll(r.cfg.inStock(sub), 0o750); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.writeKeys(lines...)
	r.start()
	return r
}

// request speaks to the control socket.
func (r *rig) request(method, path, body string) (int, string) {
	r.t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", r.cfg.Control)
	}}}
	q, err := http.NewRequest(method, "http://x"+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	a, err := client.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return a.StatusCode, string(text)
}

func TestControlSocket(t *testing.T) {
	t.Parallel()
	r := doored(t, "", anyLine, fixedLine)
	p := r.dial(anyLine, "198.51.100.9", proto.AES, proto.OSSEC, 100)
	p.hello()
	if code, got := r.request("POST", "/v1/orders", `{"agents":["001"],"action":"reconnect"}`); code != 200 ||
		got != `{"agents":[{"id":"001","name":"web01","reachable":true}]}`+"\n" {
		t.Errorf("got %d %s", code, got)
	}
	if got := p.answer(); got != proto.ForceReconnect {
		t.Errorf("the agent got %q", got)
	}
	if code, got := r.request("POST", "/v1/orders", `{"all":true,"agents":[],"action":"host-deny600","args":["-","192.0.2.1"]}`); code != 200 ||
		!strings.Contains(got, `"id":"002","name":"db01","reachable":false,"reason":"disconnected"`) {
		t.Errorf("got %d %s", code, got)
	}
	if got := p.answer(); got != "#!-execd host-deny600 - 192.0.2.1" {
		t.Errorf("the agent got %q", got)
	}
	for body, want := range map[string]int{
		`{"agents":["009"],"action":"reconnect"}`:            404,
		`{"agents":["001","009"],"action":"reconnect"}`:      404,
		`{"action":"reconnect"}`:                             400,
		`{"all":true,"agents":["001"],"action":"reconnect"}`: 400,
		`{"all":true,"action":"a\nb"}`:                       400,
		`{"all":true,"action":"reconnect","colour":1}`:       400,
		`[`: 400,
		`{"all":true,"action":"` + strings.Repeat("x", maxRequest) + `"}`: 400,
	} {
		if code, got := r.request("POST", "/v1/orders", body); code != want || !strings.Contains(got, `"error"`) {
			t.Errorf("%.60s: got %d %.100s, want %d", body, code, got, want)
		}
	}
	if got := p.answer(); got != "" {
		t.Errorf("a refused order was sent: %q", got)
	}

	var s Status
	if _, text := r.request("GET", "/v1/status", ""); json.Unmarshal([]byte(text), &s) != nil || s.Agents != (AgentCounts{Known: 2, Starting: 1}) {
		t.Errorf("status before the first keepalive %s", text)
	}
	p.send(keepalive("OSSEC HIDS v4.2.0", 0))
	p.answer()
	if _, text := r.request("GET", "/v1/status", ""); json.Unmarshal([]byte(text), &s) != nil || s.Agents != (AgentCounts{Known: 2, Connected: 1}) || len(s.Sinks) != 1 {
		t.Errorf("status %s", text)
	}
	var all []AgentStatus
	if _, text := r.request("GET", "/v1/agents", ""); json.Unmarshal([]byte(text), &all) != nil || len(all) != 2 || all[0].State != "connected" ||
		!strings.HasPrefix(all[0].Source, "198.51.100.9:") || all[0].LastSeen == nil || all[1].State != "disconnected" || all[1].LastSeen != nil {
		t.Errorf("agents %s", text)
	}
	if info, err := os.Stat(r.cfg.Control); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	r.end()
}

// Stock agents speak of themselves every ten minutes alone. After a start of the manager an event shows where one is, so that an active
// response that this event brings about reaches it.
func TestOrderToWhomAnEventShowed(t *testing.T) {
	t.Parallel()
	const body = `{"agents":["001"],"action":"host-deny600","args":["-","192.0.2.1"]}`
	for dialect, want := range map[proto.Dialect]string{
		proto.OSSEC: "#!-execd host-deny600 - 192.0.2.1",
		proto.Wazuh: "", // whether it reads JSON is not known before its keepalive, which comes within seconds
	} {
		r := doored(t, "", anyLine)
		p := r.dial(anyLine, "198.51.100.9", proto.AES, dialect, 100)
		p.hello()
		r.end()
		r.start()
		if _, got := r.request("POST", "/v1/orders", body); !strings.Contains(got, `"reachable":false`) {
			t.Errorf("before anything came: %s", got)
		}
		p.send("1:/var/log/auth.log:x")
		for deadline := time.Now().Add(5 * time.Second); !strings.Contains(r.out.String(), "auth.log") && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		code, told := r.request("POST", "/v1/orders", body)
		if got := p.answer(); code != 200 || got != want || strings.Contains(told, `"reachable":true`) != (want != "") {
			t.Errorf("%v: got %q and %d %s, want %q", dialect, got, code, told, want)
		}
		p.move("198.51.100.10")
		p.send("1:/var/log/auth.log:y")
		p.send(proto.Startup)
		if got := p.answer(); got != proto.Ack {
			t.Errorf("%v: startup answered with %q", dialect, got)
		}
		r.end()
	}
}

// TestStockLayout has a manager in a stock server's directory: its queue of active responses is served, and its agent
// information written.
func TestStockLayout(t *testing.T) {
	t.Parallel()
	r := doored(t, "home", anyLine, subnetLine)
	p := r.dial(anyLine, "198.51.100.9", proto.Blowfish, proto.OSSEC, 100)
	p.hello()
	q := r.dial(subnetLine, "198.51.100.10", proto.AES, proto.OSSEC, 100)
	q.hello()
	q.send("#!-Linux a\x1bb 1 - OSSEC HIDS v4\nx merged.mg\n\nxyz")
	if got := q.answer(); got != proto.Ack {
		t.Fatalf("got %q", got)
	}
	c, err := net.Dial("unixgram", r.cfg.inStock(stockARQueue))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, d := range []string{"no such form", "(x) y->z NRN (null) a b", "(msg_to_agent) [] NNS 009 x",
		"(web01) any->/x NRN (null) host-deny600 - 10.9.8.7 1.1 5710 (web01) any->/x (null)\x00"} {
		if _, err := c.Write([]byte(d)); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := p.answer(), "#!-execd host-deny600 - 10.9.8.7 1.1 5710 (web01) any->/x (null)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	path := filepath.Join(r.cfg.inStock(stockAgentInfo), "net01-198.51.100.0")
	var got []byte
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && len(got) == 0; time.Sleep(10 * time.Millisecond) {
		got, _ = os.ReadFile(path)
	}
	if want := "Linux ab 1 - OSSEC HIDS v4\ncrypto_method:aes\n"; string(got) != want {
		t.Errorf("agent information %q, want %q", got, want)
	}
	r.end()
	if _, err := os.Stat(filepath.Join(r.cfg.inStock(stockRids), "sender_counter")); err != nil {
		t.Error(err)
	}
}

// The control socket of a manager that runs is not taken from it by another one, with a state directory of its own.
func TestControlSocketTaken(t *testing.T) {
	t.Parallel()
	r := doored(t, "", anyLine)
	other := newManager(r.cfg, slog.New(slog.DiscardHandler))
	if c, err := other.openControl(); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("%v", err)
		c.socket.Close()
	}
	if code, got := r.request("GET", "/v1/status", ""); code != 200 {
		t.Errorf("got %d %s", code, got)
	}
	r.end()
	c, err := other.openControl() // one that is left behind is replaced
	if err != nil {
		t.Fatal(err)
	}
	c.socket.Close()
	if err := os.WriteFile(r.cfg.Control, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := other.openControl(); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Error(err)
	}
}

func TestARQueueTaken(t *testing.T) {
	t.Parallel()
	r := doored(t, "home", anyLine)
	cfg := r.cfg
	cfg.State += "2"
	cfg.Control = ""
	conn, err := r.net.Listen(netip.MustParseAddrPort("203.0.113.6:1514"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Conns = []listen.PacketConn{conn}
	if err := Run(t.Context(), cfg, slog.New(slog.NewTextHandler(new(bytes.Buffer), nil))); err == nil || !strings.Contains(err.Error(), "another process reads") {
		t.Errorf("got %v", err)
	}
	r.end()
}
