package agent

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/proto"
	"ossecd/proto/simnet"
)

// stockDatagram is a line of a stock session (testdata/vectors/README.md).
type stockDatagram struct {
	fromAgent bool
	data      []byte
	at        time.Duration
	text      string
}

// readSession reads a stock session: the agent's key line, and what went over the wire.
func readSession(t testing.TB, name string) (key string, all []stockDatagram) {
	t.Helper()
	f, err := os.Open("../testdata/vectors/stock-session-" + name + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		line := in.Text()
		if k, ok := strings.CutPrefix(line, "# client.keys: "); ok {
			key = k
		}
		if data, ok := strings.CutPrefix(line[1:], ">"); ok {
			b, err := hex.DecodeString(data[2:])
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, stockDatagram{fromAgent: line[0] == 'A', data: b})
		}
		if rest, ok := strings.CutPrefix(line, "#   +"); ok {
			d := &all[len(all)-1]
			at, rest, _ := strings.Cut(rest, " ")
			if d.at, err = time.ParseDuration(at); err != nil {
				t.Fatal(err)
			}
			_, d.text, _ = strings.Cut(rest, "\"")
		}
	}
	if key == "" || len(all) == 0 {
		t.Fatalf("%s: nothing in it", name)
	}
	return key, all
}

// What the stock manager sent goes to our agent at the stock times; our agent then says what it should, and when.
// It differs from the stock agent in what protocol.md names: it does not wait a second before its first event, and
// it repeats unanswered keepalives.
func TestStockSessions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		method proto.Method
		// online: the session begins with an agent that has been online for this long; it was acknowledged with
		// the counts 0:1 and 0:2 when it started.
		online time.Duration
		until  time.Duration
		want   string
		logged []string
	}{
		{"blowfish-fixed-start", proto.Blowfish, 0, 12 * time.Second, `
			0 startup
			0.001 1:ossec:ossec: Agent started: 'fixed1->127.0.0.1'.
			0.001 keepalive
			10.001 keepalive`, []string{"discarded"}},
		{"aes-any-start", proto.AES, 0, 25 * time.Second, `
			0 startup
			0 1:ossec:ossec: Agent started: 'dyn2->any'.
			0 keepalive
			10 keepalive
			20 keepalive`, []string{"discarded", "active response was ordered", "10.9.8.7", "integrity check"}},
		{"agent-counter-lost", proto.Blowfish, 0, 12 * time.Second, `
			0 startup
			6 startup
			10 startup`, nil},
		{"manager-down-45s", proto.Blowfish, 5 * time.Second, 82500 * time.Millisecond, `
			0 startup
			0 1:ossec:ossec: Agent started: 'fixed1->127.0.0.1'.
			0 keepalive
			10 keepalive
			15 keepalive
			20 keepalive
			25 keepalive
			30 startup
			36 startup
			40 startup
			45 startup
			51 startup
			52.028 keepalive
			62.028 keepalive
			72.028 keepalive
			82.028 keepalive`, []string{"offline", "connected", "discarded"}},
		{"manager-orders", proto.Blowfish, time.Second, 7 * time.Second, `
			0 startup
			0 1:ossec:ossec: Agent started: 'fixed1->127.0.0.1'.
			0 keepalive`, []string{"artest10", "integrity check", "some unknown control"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			key, session := readSession(t, tt.name)
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(1, simnet.Conditions{})
				m := newFakeManager(t, n, managerAddr, key, tt.method, proto.OSSEC)
				m.setCount(proto.Counter{})
				if tt.online == 0 {
					m.answerWith(silent)
				}
				r := newRig(t, n, key)
				r.cfg.Method = tt.method
				r.start()
				m.answerWith(silent)
				time.Sleep(tt.online)
				began := time.Now()
				for _, d := range session {
					if !d.fromAgent {
						time.Sleep(d.at - time.Since(began))
						m.sendRaw(d.data)
						synctest.Wait()
					}
				}
				time.Sleep(tt.until - time.Since(began))
				wantTimeline(t, m.take(), tt.want)
				for _, text := range tt.logged {
					if r.log.Count(text) == 0 {
						t.Errorf("no word of %q in the log:\n%v", text, r.log)
					}
				}
				if got := r.log.Count("msg=refused"); got != 0 {
					t.Errorf("stock datagrams were refused:\n%v", r.log)
				}
				r.mustStop()
				m.close()
			})
		})
	}
}

// Our startup messages keep the pauses that the stock agent kept, to the second.
func TestStartupKeepsStockPauses(t *testing.T) {
	t.Parallel()
	_, session := readSession(t, "manager-down-45s")
	var first time.Duration
	var stock []string
	for _, d := range session {
		if d.fromAgent && strings.HasPrefix(d.text, "#!-agent startup") {
			if first == 0 {
				first = d.at
			}
			stock = append(stock, fmt.Sprint((d.at - first).Round(time.Second)))
		}
	}
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Conditions{})
		m := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
		m.answerWith(silent)
		r := newRig(t, n, anyKey)
		r.start()
		time.Sleep(24 * time.Second)
		r.mustStop()
		m.close()
		var ours []string
		for _, h := range m.take() {
			ours = append(ours, h.at.String())
		}
		if got, want := strings.Join(ours, " "), strings.Join(stock, " "); got != want {
			t.Errorf("ours %s, stock %s", got, want)
		}
	})
}
