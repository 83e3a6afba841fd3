package agent

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/keys"
	"ossecd/proto"
	"ossecd/proto/simnet"
)

const newSecret = "aaaa75a6e96d28a294cc845cd5bbeca42e206d473715e7364d7fa275193248ec"

var newLine = "003 dyn2 any " + newSecret

// inRig runs f with an agent that is online.
func inRig(t *testing.T, prepare func(r *rig), f func(r *rig, m *fakeManager)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Conditions{})
		m := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
		r := newRig(t, n, anyKey)
		prepare(r)
		r.start()
		f(r, m)
		r.mustStop()
		m.close()
	})
}

func (m *fakeManager) use(line string) {
	key, err := keys.ParseLine(line)
	if err != nil {
		m.t.Fatal(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cipher = proto.NewCipher(key.CipherKey())
}

func (r *rig) keysFile() string {
	r.t.Helper()
	text, err := os.ReadFile(r.cfg.Keys)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

func TestNewKey(t *testing.T) {
	inRig(t, func(*rig) {}, func(r *rig, m *fakeManager) {
		got := m.take()
		if last := got[len(got)-1].text; !strings.HasSuffix(last, " takes-key says-word") {
			t.Errorf("the keepalive ends with %q", last[max(0, len(last)-40):])
		}
		order := m.seal(proto.NewKey + newLine)
		again := m.seal(proto.NewKey + newLine) // under the old key, and on its way, as is what follows
		late := m.seal(proto.Ack)
		m.use(newLine) // what comes from the agent must open under it
		m.answerWith(silent)
		m.sendRaw(order)
		time.Sleep(time.Second / 2)
		m.sendRaw(again)
		m.sendRaw(late)
		time.Sleep(time.Second / 2)
		m.answerWith(acknowledge)
		if got, want := r.keysFile(), newLine+"\n"; got != want {
			t.Fatalf("the keys file has %q", got)
		}
		wantTimeline(t, m.take(), "0 keepalive")
		r.feed.batches <- lines(1, 1)
		time.Sleep(10 * time.Second)
		wantTimeline(t, m.take(), `
			1 1:/var/log/test:line 1
			10 keepalive`)
		if n := r.log.Count("refused"); n > 0 {
			t.Errorf("%d messages were refused:\n%s", n, r.log)
		}
		if r.log.Count(newSecret) > 0 {
			t.Error("the log has the key")
		}
	})
}

// Once the agent has gone over to a new key, the old one carries no order; and nothing at all once the manager has gone over, too.
func TestRetiredKeyCommandsNothing(t *testing.T) {
	const another = "003 dyn2 any bbbb75a6e96d28a294cc845cd5bbeca42e206d473715e7364d7fa275193248ec"
	orders := []string{proto.NewKey + another, proto.ForceReconnect, proto.Removed, "#!-execd restart0 - null (from_the_server) (no_rule_id)", "#!-up file 9e107d9d372bb6826bd81d3542a419d6 merged.mg\n"}
	for name, answers := range map[string]bool{"before the manager used the new key": false, "after it": true} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(*rig) {}, func(r *rig, m *fakeManager) {
				m.take()
				order := m.seal(proto.NewKey + newLine)
				var old [][]byte
				for _, o := range orders {
					old = append(old, m.seal(o))
				}
				ack := m.seal(proto.Ack)
				m.use(newLine)
				if !answers {
					m.answerWith(silent)
				}
				m.sendRaw(order)
				time.Sleep(time.Second)
				for _, d := range old {
					m.sendRaw(d)
				}
				m.sendRaw(ack)
				m.answerWith(acknowledge)
				time.Sleep(time.Second)
				if got, want := r.keysFile(), newLine+"\n"; got != want {
					t.Errorf("the keys file has %q", got)
				}
				want := "retired key"
				if answers {
					want = "wrong key"
				}
				if r.log.Count("refused", want) != 1 {
					t.Errorf("no refusal for a %s:\n%s", want, r.log)
				}
				if r.log.Count("offline") > 0 || r.log.Count("an active response was ordered") > 0 {
					t.Errorf("an order under the old key was obeyed:\n%s", r.log)
				}
			})
		})
	}
}

// A manager that says nothing under the new key, as somebody on the way can see to, does not keep the old one good for long.
func TestRetiredKeyEnds(t *testing.T) {
	const retiredFor = 30 * time.Second
	inRig(t, func(r *rig) { r.cfg.TimeReconnect = time.Hour }, func(r *rig, m *fakeManager) {
		m.take()
		order := m.seal(proto.NewKey + newLine)
		soon, late := m.seal(proto.Ack), m.seal(proto.Ack)
		m.use(newLine)
		m.answerWith(silent)
		m.sendRaw(order)
		time.Sleep(retiredFor / 2)
		m.sendRaw(soon)
		time.Sleep(retiredFor / 4)
		if n := r.log.Count("refused"); n > 0 {
			t.Errorf("%d messages were refused:\n%s", n, r.log)
		}
		time.Sleep(retiredFor)
		m.sendRaw(late)
		time.Sleep(time.Second)
		if r.log.Count("refused", "wrong key") != 1 {
			t.Errorf("an ack under the old key is taken for ever:\n%s", r.log)
		}
		m.answerWith(acknowledge)
	})
}

// A new key that does not fit is refused, and the old one stays in use.
func TestNewKeyRefused(t *testing.T) {
	none := func(*rig) {}
	for name, c := range map[string]struct {
		prepare    func(*rig)
		order, log string
	}{
		"another ID":      {none, "004 dyn2 any " + newSecret, "it is for 004"},
		"another name":    {none, "003 dyn3 any " + newSecret, "it is for 003 dyn3"},
		"another address": {none, "003 dyn2 192.0.2.1 " + newSecret, "it is for"},
		"no line":         {none, "x", "want four fields"},
		"an escape":       {none, "003 dyn2 any \x1b[2J", "not usable"},
		"two managers":    {func(r *rig) { r.cfg.Managers = append(r.cfg.Managers, stranger.String()) }, newLine, "not asked for"},
		"the same":        {none, anyKey, ""},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, c.prepare, func(r *rig, m *fakeManager) {
				m.take()
				m.send(proto.NewKey + c.order)
				time.Sleep(12 * time.Second)
				if r.keysFile() != anyKey+"\n" {
					t.Errorf("the keys file has %q", r.keysFile())
				}
				if c.log != "" && r.log.Count("a new key was refused", c.log) != 1 {
					t.Errorf("the log says\n%s", r.log)
				}
				if got := m.take(); len(got) == 0 {
					t.Error("the agent fell silent")
				}
			})
		})
	}
}

// A keys file that was changed or removed since we read it is left alone: what is in it now is somebody's wish.
func TestNewKeyLeavesChangedFile(t *testing.T) {
	for name, text := range map[string]string{
		"another key":  "009 dyn9 any " + newSecret + "\n",
		"several keys": anyKey + "\n009 dyn9 any " + newSecret + "\n",
		"removed":      "",
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(*rig) {}, func(r *rig, m *fakeManager) {
				m.take()
				if text == "" {
					if err := os.Remove(r.cfg.Keys); err != nil {
						t.Fatal(err)
					}
				} else if err := os.WriteFile(r.cfg.Keys, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				m.send(proto.NewKey + newLine)
				time.Sleep(12 * time.Second)
				if got, err := os.ReadFile(r.cfg.Keys); string(got) != text {
					t.Errorf("the keys file has %q, %v", got, err)
				}
				if r.log.Count("a new key was not saved") == 0 || r.log.Count(newSecret) > 0 {
					t.Errorf("the log says\n%s", r.log)
				}
				if got := m.take(); len(got) == 0 { // under the old key
					t.Error("the agent fell silent")
				}
			})
		})
	}
}

func TestToldRemoved(t *testing.T) {
	inRig(t, func(*rig) {}, func(r *rig, m *fakeManager) {
		m.answerWith(func(string) []string { return []string{proto.Removed} })
		m.take()
		time.Sleep(2 * time.Minute)
		if r.log.Count("offline", "the manager removed this agent", "give it a new key") != 1 || r.log.Count("the manager removed this agent") != 2 {
			t.Errorf("the log says\n%s", r.log)
		}
		if n := len(m.take()); n > 40 {
			t.Errorf("%d messages in two minutes", n)
		}
		m.answerWith(acknowledge) // it was a mistake
		time.Sleep(2 * time.Minute)
		if r.log.Count("msg=connected") != 2 {
			t.Errorf("the log says\n%s", r.log)
		}
	})
}
