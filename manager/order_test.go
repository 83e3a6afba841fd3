package manager

import (
	"bytes"
	"context"
	"encoding/json"
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

	"ossecd/manager/control"
	"ossecd/manager/listen"
	"ossecd/proto"
	"ossecd/proto/simnet"
)

// onSockets is a manager on an in-memory network with sockets of the system, outside of a bubble.
func onSockets(t *testing.T, home string, lines ...string) *rig {
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
		l := r.cfg.stock()
		for _, dir := range []string{l.Rids(), l.AgentInfo(), filepath.Dir(l.ARQueue()), filepath.Dir(l.AnalysisQueue()), l.Shared()} {
			if err := os.MkdirAll(dir, 0o750); err != nil {
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
	r := onSockets(t, "", anyLine, fixedLine)
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
		`{"all":true,"action":"` + strings.Repeat("x", 256<<10) + `"}`: 400,
	} {
		if code, got := r.request("POST", "/v1/orders", body); code != want || !strings.Contains(got, `"error"`) {
			t.Errorf("%.60s: got %d %.100s, want %d", body, code, got, want)
		}
	}
	if got := p.answer(); got != "" {
		t.Errorf("a refused order was sent: %q", got)
	}

	var s control.Status
	if _, text := r.request("GET", "/v1/status", ""); json.Unmarshal([]byte(text), &s) != nil || s.Agents != (control.AgentCounts{Known: 2, Connected: 1, Never: 1, Starting: 1}) {
		t.Errorf("status before the first keepalive %s", text)
	}
	p.send(keepalive("OSSEC HIDS v4.2.0", 0))
	p.answer()
	if _, text := r.request("GET", "/v1/status", ""); json.Unmarshal([]byte(text), &s) != nil || s.Agents != (control.AgentCounts{Known: 2, Connected: 1, Never: 1}) || len(s.Sinks) != 1 {
		t.Errorf("status %s", text)
	}
	_, text := r.request("GET", "/v1/agents", "")
	var all [2]control.Agent
	for i, line := range strings.SplitN(text, "\n", 2) {
		if err := json.Unmarshal([]byte(line), &all[i]); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	if a := all[0]; a.State != "connected" || !strings.HasPrefix(a.Source, "198.51.100.9:") || a.LastSeen == nil || a.Version != "OSSEC HIDS v4.2.0" ||
		a.Channel != "ossec" || a.Cipher != "aes" || a.Missing == nil || *a.Missing != 0 {
		t.Errorf("agents %s", text)
	}
	if a := all[1]; a.State != "never" || a.LastSeen != nil || a.Missing != nil || a.Channel != "" {
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
		r := onSockets(t, "", anyLine)
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
	r := onSockets(t, "home", anyLine, subnetLine)
	p := r.dial(anyLine, "198.51.100.9", proto.Blowfish, proto.OSSEC, 100)
	p.hello()
	q := r.dial(subnetLine, "198.51.100.10", proto.AES, proto.OSSEC, 100)
	q.hello()
	q.send("#!-Linux a\x1bb 1 - OSSEC HIDS v4\nx merged.mg\n\nxyz")
	if got := q.answer(); got != proto.Ack {
		t.Fatalf("got %q", got)
	}
	c, err := net.Dial("unixgram", r.cfg.stock().ARQueue())
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
	path := filepath.Join(r.cfg.stock().AgentInfo(), "net01-198.51.100.0")
	var got []byte
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && len(got) == 0; time.Sleep(10 * time.Millisecond) {
		got, _ = os.ReadFile(path)
	}
	if want := "Linux ab 1 - OSSEC HIDS v4\ncrypto_method:aes\n"; string(got) != want {
		t.Errorf("agent information %q, want %q", got, want)
	}
	r.end()
	if _, err := os.Stat(filepath.Join(r.cfg.stock().Rids(), "sender_counter")); err != nil {
		t.Error(err)
	}
}

func TestARQueueTaken(t *testing.T) {
	t.Parallel()
	r := onSockets(t, "home", anyLine)
	cfg := r.cfg
	cfg.State += "2"
	cfg.Control = ""
	conn, err := r.net.Listen(netip.MustParseAddrPort("203.0.113.6:1514"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Conns = []listen.PacketConn{conn}
	if err := Run(t.Context(), cfg, slog.New(slog.NewTextHandler(new(bytes.Buffer), nil))); err == nil || !strings.Contains(err.Error(), "active responses: ") || !strings.Contains(err.Error(), "is in use by ") {
		t.Errorf("got %v", err)
	}
	r.end()
}
