package link

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/agent/conversation"
	"ossecd/agent/outbox"
	"ossecd/agent/source"
	"ossecd/agent/spool"
	"ossecd/keys/durable/queue"
	"ossecd/keys/testlog"
	"ossecd/proto"
)

// memoryOrders does what a test says.
type memoryOrders struct {
	obey    func(m conversation.Message, say func([]byte) error) (leave, remedy string)
	began   int
	results chan func()
}

func (o *memoryOrders) Begin()                 { o.began++ }
func (o *memoryOrders) Results() <-chan func() { return o.results }
func (o *memoryOrders) Close()                 {}
func (o *memoryOrders) Obey(m conversation.Message, say func([]byte) error) (leave, remedy string) {
	return o.obey(m, say)
}

// rig is a link to managers in memory.
type rig struct {
	t      *testing.T
	cfg    Config
	log    testlog.Buffer
	out    *outbox.Output
	orders *memoryOrders
	stop   func()
	ended  chan error
}

// newRig makes a link that is not started yet, with a spool or without one.
func newRig(t *testing.T, spooled bool, managers ...*memoryManager) *rig {
	t.Helper()
	r := &rig{t: t, ended: make(chan error, 1), orders: &memoryOrders{results: make(chan func(), 1)}}
	r.orders.obey = func(conversation.Message, func([]byte) error) (leave, remedy string) { return "", "" }
	var events *spool.Spool
	if spooled {
		var err error
		if events, err = spool.Open(queue.Config{Dir: filepath.Join(t.TempDir(), "spool"), Limit: queue.MinLimit, Log: r.log.Logger()}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { events.Close() })
	}
	box := outbox.New(outbox.Config{Spool: events, Readers: 1, ResendMax: 1000, Finish: true, Log: r.log.Logger()})
	r.out = box.Awaited("test", 0)
	r.cfg = Config{
		Dialer: &memoryDialer{managers, box.Reader(0)}, Outbox: box.Reader(0), Orders: r.orders, TimeReconnect: 30 * time.Second, Log: r.log.Logger(),
	}
	for i := range managers {
		r.cfg.Managers = append(r.cfg.Managers, fmt.Sprint("manager", i))
	}
	return r
}

func (r *rig) start() {
	ctx, cancel := context.WithCancel(r.t.Context())
	r.stop = cancel
	go func() { r.ended <- New(r.cfg).Run(ctx) }()
}

func (r *rig) mustStop() {
	r.t.Helper()
	r.stop()
	if err := <-r.ended; err != nil {
		r.t.Error(err)
	}
}

// emit emits lines, separated by blanks.
func (r *rig) emit(lines string) {
	r.t.Helper()
	for line := range strings.FieldsSeq(lines) {
		if n, err := r.out.Emit(r.t.Context(), []source.Event{{Queue: '1', Location: "l", Message: []byte(line)}}); n != 1 || err != nil {
			r.t.Errorf("%q: %v", line, err)
		}
	}
}

func wantLines(t *testing.T, what string, m *memoryManager, want string) {
	t.Helper()
	if got := strings.Join(m.take(), " "); got != want {
		t.Errorf("%s took %q, want %q", what, got, want)
	}
}

// The second manager takes the place of one that does not answer, and the first one gets it back, with nothing lost or repeated.
func TestFailOverAndBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first, second := &memoryManager{}, &memoryManager{there: true}
		r := newRig(t, true, first, second)
		r.cfg.FailBack = 10 * time.Minute
		r.start()
		r.emit("a b c")
		time.Sleep(24 * time.Second)
		wantLines(t, "the second", second, "a b c")
		if r.log.Count("the manager does not answer", "manager0") != 1 || r.log.Count("connected", "manager1") != 1 {
			t.Errorf("the log says\n%s", &r.log)
		}
		r.emit("d")
		time.Sleep(time.Minute)
		first.set(true)
		time.Sleep(15 * time.Minute)
		r.emit("e")
		time.Sleep(time.Minute)
		wantLines(t, "the second", second, "d")
		wantLines(t, "the first", first, "e")
		if r.log.Count("the first manager is back", "before=manager1") != 1 {
			t.Errorf("the log says\n%s", &r.log)
		}
		r.mustStop()
		for _, m := range []*memoryManager{first, second} {
			if !m.last.closed {
				t.Error("a conversation is left open")
			}
		}
	})
}

// What a manager that fell silent has not acknowledged is sent again; a name that does not resolve is tried again.
func TestSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memoryManager{there: true}
		r := newRig(t, true, m, nil)
		r.start()
		r.emit("a b")
		time.Sleep(15 * time.Second)
		wantLines(t, "the manager", m, "a b")
		m.set(false)
		r.emit("c d")
		time.Sleep(time.Minute)
		wantLines(t, "a silent manager", m, "")
		if r.log.Count("offline", "the manager is silent") != 1 || r.log.Count("events that were not confirmed are sent again", "count=2") != 1 {
			t.Errorf("the log says\n%s", &r.log)
		}
		m.set(true)
		time.Sleep(3 * time.Minute)
		wantLines(t, "the manager", m, "c d")
		if r.log.Count("no connection to the manager", "manager1", errNoSuchName.Error()) != 1 {
			t.Errorf("the log says\n%s", &r.log)
		}
		r.mustStop()
	})
}

// Without a spool sources wait while no manager is there.
func TestWithoutASpool(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memoryManager{}
		r := newRig(t, false, m)
		r.start()
		late, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if n, err := r.out.Emit(late, []source.Event{{Message: []byte("a")}}); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%d taken, %v", n, err)
		}
		m.set(true)
		r.emit("b c")
		wantLines(t, "the manager", m, "b c")
		r.mustStop()
		if n, err := r.out.Emit(t.Context(), []source.Event{{Message: []byte("d")}}); n != 0 || !errors.Is(err, context.Canceled) {
			t.Errorf("after the end: %d taken, %v", n, err)
		}
	})
}

// A connection that the manager closes is followed by a new one at once, and what was not acknowledged is sent again there.
func TestClosedConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memoryManager{there: true}
		r := newRig(t, true, m)
		r.start()
		r.emit("a b")
		time.Sleep(steadyAfter + askEvery)
		wantLines(t, "the manager", m, "a b")
		m.set(false)
		r.emit("c")
		time.Sleep(time.Millisecond)
		m.set(true)
		m.hangUp()
		time.Sleep(time.Millisecond)
		if m.dials() != 2 || r.log.Count("offline", "the manager closed the connection") != 1 {
			t.Errorf("dialed %d times; the log says\n%s", m.dials(), &r.log)
		}
		wantLines(t, "the manager", m, "c")
		r.mustStop()
	})
}

// A manager that closes every connection, before or after it answered, is not dialed without end.
func TestManagerThatClosesAtOnce(t *testing.T) {
	t.Parallel()
	for _, there := range []bool{true, false} {
		for _, managers := range []int{1, 2} {
			synctest.Test(t, func(t *testing.T) {
				all := []*memoryManager{{there: there, closes: true}, {there: there, closes: true}}[:managers]
				r := newRig(t, true, all...)
				r.start()
				time.Sleep(10 * time.Minute)
				dials := 0
				for _, m := range all {
					if m.dials() < 5 {
						t.Errorf("there %t: dialed %d times in 10 minutes", there, m.dials())
					}
					dials += m.dials()
				}
				if dials > 70 {
					t.Errorf("there %t, %d managers: dialed %d times in 10 minutes", there, managers, dials)
				}
				want := "offline"
				if !there {
					want = "the manager closes the connection before it answers"
				}
				if r.log.Count(want) == 0 {
					t.Errorf("there %t: the log says\n%s", there, &r.log)
				}
				all[0].mu.Lock()
				all[0].there, all[0].closes = true, false
				all[0].mu.Unlock()
				r.emit("a")
				time.Sleep(3 * time.Minute)
				wantLines(t, "the first manager", all[0], "a")
				r.mustStop()
			})
		}
	}
}

// While the first manager of two closes its connections the second one keeps the agent.
func TestFirstManagerClosesWhileLookedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first, second := &memoryManager{closes: true}, &memoryManager{there: true}
		r := newRig(t, true, first, second)
		r.cfg.FailBack = time.Minute
		r.start()
		time.Sleep(10 * time.Minute)
		r.emit("a")
		time.Sleep(time.Second)
		wantLines(t, "the second", second, "a")
		if n := first.dials(); n < 5 || n > 20 || second.dials() != 1 {
			t.Errorf("the first was dialed %d times, the second %d times", n, second.dials())
		}
		r.mustStop()
	})
}

// Orders are obeyed once the manager has answered, and can end the conversation; the rest of an order is done by the link's goroutine.
func TestOrders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memoryManager{}
		r := newRig(t, true, m)
		var obeyed []proto.FromManager
		r.orders.obey = func(m conversation.Message, say func([]byte) error) (leave, remedy string) {
			obeyed = append(obeyed, m.Kind)
			if m.Kind == proto.ManagerForceReconnect {
				return "it was ordered", "none needed"
			}
			r.orders.results <- func() { say([]byte("done")) }
			return "", ""
		}
		r.start()
		time.Sleep(time.Second)
		synctest.Wait()
		m.order(proto.ManagerForceReconnect) // nobody is online
		m.order(proto.ManagerRemoved)
		time.Sleep(time.Second)
		synctest.Wait()
		if len(obeyed) != 0 || r.log.Count("the manager removed this agent", "remedy") != 1 {
			t.Errorf("obeyed %v; the log says\n%s", obeyed, &r.log)
		}
		m.set(true)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		m.order(proto.ManagerSyscheckNow)
		time.Sleep(time.Second)
		synctest.Wait()
		conv := m.last
		if len(obeyed) != 1 || len(conv.said) != 1 {
			t.Errorf("obeyed %v, said %q", obeyed, conv.said)
		}
		m.order(proto.ManagerForceReconnect)
		time.Sleep(time.Second)
		synctest.Wait()
		if m.dialed != 2 || !conv.closed || m.last.closed || r.log.Count("offline", "it was ordered") != 1 {
			t.Errorf("dialed %d times; the log says\n%s", m.dialed, &r.log)
		}
		r.mustStop()
	})
}

func TestExitWhenIdle(t *testing.T) {
	t.Parallel()
	for _, there := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			m := &memoryManager{there: there}
			r := newRig(t, true, m)
			r.cfg.ExitWhenIdle = true
			began := time.Now()
			r.start()
			r.emit("a b c")
			synctest.Wait()
			r.out.Idle()
			err := <-r.ended
			r.stop()
			took := time.Since(began)
			if there && (err != nil || took != 0) || !there && (!errors.Is(err, ErrNotAnswered) || took != r.cfg.TimeReconnect) {
				t.Errorf("there: %t; it ended after %v: %v", there, took, err)
			}
			if there {
				wantLines(t, "the manager", m, "a b c")
			}
		})
	}
}
