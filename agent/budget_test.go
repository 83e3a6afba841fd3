package agent

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/keys/durable/queue"
	"ossecd/proto"
	"ossecd/proto/simnet"
)

// A manager that gives the same order at every turn gets no more out of the agent than its budget.
func TestOrderBudgets(t *testing.T) {
	none := func(*rig) {}
	t.Run("removed", func(t *testing.T) {
		inRig(t, none, func(r *rig, m *fakeManager) {
			m.take()
			m.answerWith(func(string) []string { return []string{proto.Ack, proto.Removed} })
			time.Sleep(5 * time.Minute)
			if n := r.log.Count("msg=offline"); n < 2 || n > 6 {
				t.Errorf("offline %d times in five minutes", n)
			}
			if n := len(m.take()); n > 100 {
				t.Errorf("%d messages in five minutes", n)
			}
			if n := r.log.Count("orders to reconnect are ignored"); n < 1 || n > 6 {
				t.Errorf("told %d times:\n%s", n, r.log)
			}
		})
	})
	t.Run("new keys", func(t *testing.T) {
		inRig(t, none, func(r *rig, m *fakeManager) {
			m.take()
			present, changed := anyKey, 0
			for i := range 40 {
				next := "003 dyn2 any " + fmt.Sprintf("%064x", i+1)
				order := m.seal(proto.NewKey + next)
				m.use(next)
				m.sendRaw(order)
				time.Sleep(100 * time.Millisecond)
				if r.keysFile() == next+"\n" {
					present = next
					changed++
				}
				m.use(present)
			}
			if want := 3; changed != want {
				t.Errorf("the keys file was rewritten %d times, want %d", changed, want)
			}
			if r.log.Count("orders to take a new key are ignored") != 1 {
				t.Errorf("the log says\n%s", r.log)
			}
			time.Sleep(time.Minute)
		})
	})
	t.Run("files", func(t *testing.T) {
		inRig(t, none, func(r *rig, m *fakeManager) {
			m.take()
			for i := range 200 {
				text := fmt.Sprintf("#%d\n", i)
				sum := md5.Sum([]byte(text))
				m.send(string(proto.AppendUpFile(nil, hex.EncodeToString(sum[:]), proto.MergedName)))
				m.send(text)
				m.send(proto.CloseFile)
				time.Sleep(10 * time.Millisecond)
			}
			if n, want := r.log.Count("shared file stored"), 32; n < 1 || n > want {
				t.Errorf("%d files were stored, want up to %d", n, want)
			}
			if n := strings.Count(r.log.String(), "msg="); n > 2*32+20 {
				t.Errorf("%d log lines", n)
			}
		})
	})
}

// A manager that names a new run in each ack does not have the agent send the same events again and again, and they arrive once it
// keeps to one.
func TestRunsWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Conditions{Delay: 5 * time.Millisecond})
		m := newFakeManager(t, n, managerAddr, anyKey, proto.Blowfish, proto.OSSEC)
		r := newRig(t, n, anyKey)
		r.cfg.SpoolSize, r.cfg.ProbeInterval, r.cfg.ResendMax = queue.MinLimit, 5*time.Second, 1000
		runs := 0
		m.answerWith(func(text string) []string {
			if !strings.Contains(text, "\n") {
				return acknowledge(text)
			}
			runs++
			// Its first count is above all that were sent: none of them has arrived.
			return []string{string(proto.AppendAck(nil, &proto.Run{Name: fmt.Sprint("RUN", runs), First: proto.Counter{Global: 4_000_000_000}}))}
		})
		r.start()
		r.feed.batches <- wideLines(0, 300)
		time.Sleep(time.Minute)
		const burst, most = 10, 16 // one more each 10 s
		if n := r.log.Count("are sent again"); n < burst || n > most {
			t.Errorf("sent again %d times in a minute, want %d to %d", n, burst, most)
		}
		if n := r.log.Count("orders to send again"); n < 1 || n > 2 {
			t.Errorf("told %d times:\n%s", n, r.log)
		}
		if n := len(m.take()); n > 300*most {
			t.Errorf("%d messages in a minute", n)
		}
		m.answerWith(acknowledgeAsOneRun)
		time.Sleep(5 * time.Minute)
		if got := numbers(m.take()); got != "0-299" {
			t.Errorf("then it heard %s", got)
		}
		r.mustStop()
		m.close()
	})
}

func acknowledgeAsOneRun(text string) []string {
	if !strings.Contains(text, "\n") {
		return acknowledge(text)
	}
	return []string{string(proto.AppendAck(nil, &proto.Run{Name: "STEADY", First: proto.Counter{Global: 4_000_000_000}}))}
}
