package journal

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"ossecd/keys/durable/queue"
)

// rig is a journal, in a synctest bubble, with readers that go on when they are told to.
type rig struct {
	*Journal
	t   *testing.T
	put int
}

func open(t *testing.T, cfg Config, readers ...ReaderConfig) *rig {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.Limit == 0 {
		cfg.Limit = 64 << 20
	}
	if cfg.Memory == 0 {
		cfg.Memory = 16 << 20
	}
	if cfg.Share == 0 {
		cfg.Share = 50
	}
	cfg.Readers, cfg.Log = readers, slog.New(slog.DiscardHandler)
	j, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{Journal: j, t: t}
}

func (r *rig) end() {
	r.t.Helper()
	for _, one := range r.readers {
		one.Close()
	}
	if n, err := r.Close(nil); n > 0 || err != nil {
		r.t.Errorf("%d unwritten, %v", n, err)
	}
}

// give puts n records with rising numbers, of size bytes each.
func (r *rig) give(a *Account, n, size int) (end uint64) {
	var l Lot
	for range n {
		r.put++
		text := fmt.Sprintf("%d ", r.put)
		l.Records = append(l.Records, make([]byte, Head)...)
		l.Records = append(l.Records, text+strings.Repeat("x", max(0, size-Head-len(text)))...)
		l.End(a)
	}
	return r.Put(&l, false)
}

// take has a reader read all that it may, and says which records it got.
func (r *rig) take(i int) (got []int) {
	r.t.Helper()
	one := r.Reader(i)
	for b := one.Next(); len(b) > 0; b = one.Next() {
		n, last := 0, uint64(0)
		for ; len(b) > 0; b = b[Size(b):] {
			var number int
			fmt.Sscan(string(b[Head:Size(b)]), &number)
			got = append(got, number)
			n, last = n+1, Number(b)
		}
		one.Settle(last+1, n, 0)
	}
	for j := range r.readers {
		if c := r.Reader(j).Counts(); c.Received != c.Delivered+c.Pending+c.Lost {
			r.t.Errorf("reader %d: %+v", j, c)
		}
	}
	return got
}

// expect says what is wrong with records that are to be those from a number to another.
func expect(t *testing.T, what string, got []int, from, to int) {
	t.Helper()
	if len(got) != to-from+1 {
		t.Fatalf("%s: %d records, want those from %d to %d", what, len(got), from, to)
	}
	for i, n := range got {
		if n != from+i {
			t.Fatalf("%s: record %d at place %d, want %d", what, n, i, from+i)
		}
	}
}

// disk is one that can fail or hang.
type disk struct {
	mu   sync.Mutex
	err  error
	hang chan struct{}
	to   func([]byte, int) error
}

func (d *disk) append(records []byte, n int) error {
	d.mu.Lock()
	err, hang := d.err, d.hang
	d.mu.Unlock()
	if hang != nil {
		<-hang
	}
	if err != nil {
		return err
	}
	return d.to(records, n)
}

func (d *disk) set(err error, hang chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err, d.hang = err, hang
}

func (r *rig) breakable() *disk {
	d := &disk{to: r.append}
	r.Journal.append = d.append
	return d
}

// While the disk is full or hangs, readers that can go on do. What all have is safe, and what is not waits, in fair shares; nothing is lost that
// memory holds, and nothing comes twice when the disk is there again.
func TestADiskThatTakesNothing(t *testing.T) {
	t.Parallel()
	for _, hangs := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := open(t, Config{Memory: 1 << 20}, ReaderConfig{Place: "fast"}, ReaderConfig{Place: "slow"})
			d := r.breakable()
			r.Start()
			var a, b Account
			safe := func(end uint64) *atomic.Bool {
				yes := new(atomic.Bool)
				if r.When(end, func() { yes.Store(true) }) {
					yes.Store(true)
				}
				synctest.Wait()
				return yes
			}
			one := safe(r.give(&a, 10, 100))
			if !one.Load() {
				t.Fatal("what is written is not safe")
			}
			expect(t, "the fast one", r.take(0), 1, 10)

			hang := make(chan struct{})
			if hangs {
				d.set(nil, hang)
			} else {
				d.set(syscall.ENOSPC, nil)
			}
			two := safe(r.give(&a, 10, 100))
			time.Sleep(2 * lateAfter)
			expect(t, "the fast one, of what is not written", r.take(0), 11, 20)
			if synctest.Wait(); two.Load() {
				t.Error("safe, though the slow one has not got it and the disk neither")
			}
			expect(t, "the slow one", r.take(1), 1, 20)
			if synctest.Wait(); !two.Load() {
				t.Error("not safe, though all have it")
			}
			// An agent that floods loses its own events, under its name.
			r.give(&a, 100, 10_000)
			r.give(&b, 20, 10_000)
			if a.Lost() < 40 || a.Lost() > 60 || b.Lost() > 0 {
				t.Errorf("%d lost of the one that floods, %d of the other", a.Lost(), b.Lost())
			}
			lost := 0
			for _, l := range r.Losses(func(*Account) bool { return true }) {
				lost += int(l.Crowded + l.Full)
				if l.Account != &a || l.Full > 0 {
					t.Errorf("told: %+v", l)
				}
			}
			if lost != int(a.Lost()) {
				t.Errorf("%d told of %d", lost, a.Lost())
			}
			three := safe(r.give(nil, 1, 100))
			d.set(nil, nil)
			close(hang)
			time.Sleep(2 * again)
			if synctest.Wait(); !three.Load() {
				t.Error("not written when the disk was there again")
			}
			got := r.take(0)
			if want := 120 - lost + 1; len(got) != want || got[len(got)-1] != r.put {
				t.Errorf("%d came, want %d", len(got), want)
			}
			slow := r.take(1)
			if fmt.Sprint(slow) != fmt.Sprint(got) {
				t.Errorf("the slow one has %d, the fast one %d", len(slow), len(got))
			}
			cfg := r.cfg
			r.end()
			r = open(t, cfg, cfg.Readers...)
			r.Start()
			if got := append(r.take(0), r.take(1)...); len(got) > 0 {
				t.Errorf("after a restart %v came again", got)
			}
			r.end()
		})
	}
}

// A reader that holds its records has the journal take no more once it is full; it loses none, and all goes on when it does.
func TestHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Limit: MinLimit, Memory: 1 << 20, Share: 100}, ReaderConfig{Place: "fast"}, ReaderConfig{Place: "held", Hold: true})
		r.Start()
		got := 0
		var end uint64
		var a Account
		for range 150 {
			end = r.give(&a, 10, 1000)
			synctest.Wait()
			n := r.take(0)
			expect(t, "the fast one", n, got+1, got+len(n))
			got += len(n)
		}
		time.Sleep(2 * again)
		n := r.take(0)
		expect(t, "the fast one", n, got+1, 1500)
		safe := r.When(end, func() {})
		if safe || a.Lost() > 0 {
			t.Errorf("safe: %v, %d lost", safe, a.Lost())
		}
		expect(t, "the one that holds", r.take(1), 1, 1500)
		time.Sleep(2 * again)
		r.give(&a, 10, 1000)
		synctest.Wait()
		expect(t, "the one that holds, later", r.take(1), 1501, 1510)
		if c := r.Reader(1).Counts(); c != (Counts{Received: 1510, Delivered: 1510}) {
			t.Errorf("%+v", c)
		}
		r.take(0)
		r.end()
	})
}

// A reader that is too far behind loses its oldest records, counted exactly; another one none. What it has in hand it keeps.
func TestTooFarBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, full := range []bool{false, true} {
			cfg, limit := Config{}, int64(2<<20)
			if full { // of the journal
				cfg.Limit, limit = 3<<20, 0
			}
			r := open(t, cfg, ReaderConfig{Place: "fast"}, ReaderConfig{Place: "slow", Limit: limit})
			r.Start()
			r.give(nil, 5, 1000)
			synctest.Wait()
			hand := r.Reader(1).Next()
			got := 0
			for range 900 {
				r.give(nil, 10, 1000)
				synctest.Wait()
				got += len(r.take(0))
			}
			if got != 9005 {
				t.Errorf("the fast one has %d", got)
			}
			c := r.Reader(1).Counts()
			if c.Lost < 5500 || c.Lost > 8000 || c.Received != 9005 || c.Pending != 9005-c.Lost {
				t.Errorf("%+v", c)
			}
			n := 0
			for ; len(hand) > 0; hand = hand[Size(hand):] {
				n++
				r.Reader(1).Settle(Number(hand)+1, 1, 0)
			}
			rest := r.take(1)
			expect(t, "the slow one", rest, 9005-len(rest)+1, 9005)
			if now := r.Reader(1).Counts(); n != 5 || now != (Counts{Received: 9005, Delivered: uint64(5 + len(rest)), Lost: c.Lost}) || now.Delivered+now.Lost != 9005 {
				t.Errorf("%d in hand, then %d; %+v", n, len(rest), now)
			}
			if told := r.Reader(1).Untold(true); told != c.Lost {
				t.Errorf("%d told of %d", told, c.Lost)
			}
			r.end()
		}
	})
}

// Puts, reads and calls back at once, of many.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	cfg := Config{Dir: t.TempDir(), Limit: 64 << 20, Memory: 64 << 20, Share: 100, Readers: []ReaderConfig{{Place: "a"}, {Place: "b"}}, Log: slog.New(slog.DiscardHandler)}
	j, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	j.Start()
	const writers, each = 4, 2000
	var all, called sync.WaitGroup
	for range writers {
		all.Go(func() {
			var a Account
			for range each {
				var l Lot
				for range 3 {
					l.Records = append(append(l.Records, make([]byte, Head)...), strings.Repeat("r", 200)...)
					l.End(&a)
				}
				called.Add(1)
				if j.When(j.Put(&l, false), called.Done) {
					called.Done()
				}
			}
			if a.Lost() > 0 {
				t.Errorf("%d lost", a.Lost())
			}
		})
	}
	for i := range cfg.Readers {
		all.Go(func() {
			r, n, last := j.Reader(i), 0, uint64(0)
			for n < writers*each*3 {
				b := r.Next()
				if len(b) == 0 {
					<-r.Wake()
					continue
				}
				some := 0
				for ; len(b) > 0; b = b[Size(b):] {
					if number := Number(b); last > 0 && number != last+1 {
						t.Errorf("record %d after %d", number, last)
					}
					last = Number(b)
					some++
				}
				n += some
				r.Settle(last+1, some, 0)
			}
		})
	}
	all.Wait()
	called.Wait()
	if n, err := j.Close(nil); n > 0 || err != nil {
		t.Error(n, err)
	}
}

func TestOpenFaults(t *testing.T) {
	t.Parallel()
	if _, err := Open(Config{Dir: t.TempDir(), Limit: MinLimit - 1}); err == nil || !strings.HasPrefix(err.Error(), "journal: ") {
		t.Error(err)
	}
}

// While a reader that must lose nothing is behind, one account can fill its share of the journal alone; the others go on.
func TestShareOfWhatIsHeld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Limit: 8 << 20, Share: 50}, ReaderConfig{Place: "held", Hold: true})
		r.Start()
		var flooder, other Account
		for range 800 {
			r.give(&flooder, 10, 1000)
			synctest.Wait()
		}
		for range 100 {
			r.give(&other, 10, 1000)
			synctest.Wait()
		}
		if n := flooder.Lost(); n < 1500 || n > 4500 || other.Lost() > 0 {
			t.Errorf("%d lost of the one that floods, %d of the other", n, other.Lost())
		}
		if n := len(r.take(0)); n != 9000-int(flooder.Lost()) {
			t.Errorf("%d came, %d were lost", n, flooder.Lost())
		}
		synctest.Wait()
		lost := flooder.Lost()
		r.give(&flooder, 10, 1000)
		synctest.Wait()
		if n := len(r.take(0)); n != 10 || flooder.Lost() != lost {
			t.Errorf("after all was taken %d came", n)
		}
		r.end()
	})
}

// Damage costs a reader that is behind the records that it hit, counted and told; a reader that is new starts where it is told to; what a reader
// that is no more has not got stays until it is forgotten.
func TestDamageAndPlaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Dir: t.TempDir(), Keep: time.Hour}
		r := open(t, cfg, ReaderConfig{Place: "first"}, ReaderConfig{Place: "gone"})
		r.Start()
		r.give(nil, 1000, 1000)
		synctest.Wait()
		r.end()
		segments, err := filepath.Glob(filepath.Join(cfg.Dir, "0*"))
		if err != nil || len(segments) != 1 {
			t.Fatal(segments, err)
		}
		f, err := os.OpenFile(segments[0], os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(make([]byte, 1500), 500_000); err != nil {
			t.Fatal(err)
		}
		f.Close()

		r = open(t, cfg, ReaderConfig{Place: "first"}, ReaderConfig{Place: "now", Start: queue.Now}, ReaderConfig{Place: "oldest", Start: queue.AtOldest})
		r.put = 1000
		r.Start()
		if absent := r.Absent(); len(absent) != 1 || absent["gone"] != 1000 {
			t.Errorf("absent: %v", absent)
		}
		r.give(nil, 10, 1000)
		synctest.Wait()
		for i, place := range []string{"first", "now", "oldest"} {
			got, c := r.take(i), r.Reader(i).Counts()
			switch {
			case place == "now":
				expect(t, place, got, 1001, 1010)
			case len(got)+int(c.Lost) != 1010 || c.Lost < 2 || c.Lost > 3 || got[len(got)-1] != 1010 || r.Reader(i).Untold(true) != c.Lost:
				t.Errorf("%s: %d came, %+v", place, len(got), c)
			}
		}
		if err := r.Forget("gone"); err != nil || len(r.Absent()) > 0 {
			t.Error(err, r.Absent())
		}
		r.end()
		r = open(t, cfg, ReaderConfig{Place: "gone", Start: queue.AtOldest}) // all had got it, and it is kept
		r.Start()
		if got := r.take(0); len(got) < 1000 {
			t.Errorf("after all were done, and within the time that it is kept, %d came", len(got))
		}
		r.end()
	})
}

// BenchmarkSync is putting and reading records of 300 bytes, 32 at once, by how often the disk is forced, for a reader that is not done with them.
func BenchmarkSync(b *testing.B) {
	for _, sync := range []time.Duration{0, time.Second, 100 * time.Millisecond, 10 * time.Millisecond} {
		b.Run(fmt.Sprint("sync=", sync), func(b *testing.B) {
			j, err := Open(Config{Dir: b.TempDir(), Limit: 256 << 20, Memory: 64 << 20, Share: 100, Sync: sync,
				Readers: []ReaderConfig{{Place: "a"}, {Place: "b"}}, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			j.Start()
			var l Lot
			for range 32 {
				l.Records = append(append(l.Records, make([]byte, Head)...), make([]byte, 300-Head)...)
				l.End(nil)
			}
			r := j.Reader(0)
			for b.Loop() {
				end := j.Put(&l, false)
				done := make(chan struct{})
				if !j.When(end, func() { close(done) }) {
					<-done
				}
				for some := r.Next(); len(some) > 0; some = r.Next() {
					r.Settle(end, 32, 0)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*32), "ns/event")
			j.Close(nil)
		})
	}
}
