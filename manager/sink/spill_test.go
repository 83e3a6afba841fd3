package sink

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// onDisk is a sink for r with a queue on disk.
func onDisk(r Sink, dir string, limit int, disk int64) Spec {
	s := spec(r, limit)
	s.Disk = Disk{Dir: dir, Limit: disk}
	return s
}

// numbered puts events with rising numbers.
func numbered(h *Hub, from, to int) {
	for i := from; i <= to; i++ {
		h.give(fmt.Sprintf("event %d", i), nil)
	}
}

// inOrder checks that r has events with rising numbers, and nothing else.
func inOrder(t *testing.T, r *reader, from, to int) {
	t.Helper()
	var want strings.Builder
	for i := from; i <= to; i++ {
		fmt.Fprintf(&want, "event %d\n", i)
	}
	if got := r.String(); got != want.String() {
		t.Errorf("got %d lines, want %d: %.200q ... %.200q", strings.Count(got, "\n"), to-from+1, got, got[max(0, len(got)-200):])
	}
}

// adds checks that counts add up.
func adds(t *testing.T, c Counts) {
	t.Helper()
	if c.Received != c.Delivered+c.Pending+c.Lost {
		t.Errorf("counts do not add up: %+v", c)
	}
}

// A sink that takes what comes never touches the disk.
func TestNothingGoesToTheDiskWithoutNeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &reader{}
		h := start(t, quiet, onDisk(r, t.TempDir(), 1<<20, MinDisk))
		for i := range 50 {
			numbered(h, i*10+1, i*10+10)
			time.Sleep(100 * time.Millisecond)
		}
		if _, end := h.queues[0].disk.Bounds(); end != 1 {
			t.Errorf("%d events went to the disk", end-1)
		}
		end(t, h)
		inOrder(t, r, 1, 500)
	})
}

// What a sink does not take goes to the disk, in order, and from there to the sink once it takes it, in this run or in a later
// one; without a kill nothing comes twice.
func TestToTheDiskAndBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := &reader{}
		r.set(errors.New("away"), 0)
		h := start(t, quiet, onDisk(r, dir, 1<<20, MinDisk))
		for i := range 10 {
			numbered(h, i*100+1, i*100+100)
			time.Sleep(500 * time.Millisecond)
		}
		if c := h.queues[0].tally(); c != (Counts{Received: 1000, Pending: 1000}) {
			t.Errorf("counts %+v", c)
		}
		time.Sleep(2 * spillAfter)
		if _, end := h.queues[0].disk.Bounds(); end != 1001 {
			t.Errorf("%d events are on the disk", end-1)
		}
		r.set(nil, 0)
		time.Sleep(2 * retryMost)
		inOrder(t, r, 1, 1000)
		numbered(h, 1001, 1100) // past the disk again
		synctest.Wait()
		inOrder(t, r, 1, 1100)

		r.set(errors.New("away"), 0)
		numbered(h, 1101, 1500)
		if err := h.Close(2 * time.Second); err != nil {
			t.Error(err)
		}
		c := h.queues[0].tally()
		adds(t, c)
		if c.Pending != 400 || c.Lost != 0 {
			t.Errorf("counts %+v", c)
		}

		r.set(nil, 0)
		h = start(t, quiet, onDisk(r, dir, 1<<20, MinDisk))
		numbered(h, 1501, 1600)
		end(t, h)
		if c := h.queues[0].tally(); c != (Counts{Received: 500, Delivered: 500}) {
			t.Errorf("counts %+v", c)
		}
		inOrder(t, r, 1, 1600)
		h = start(t, quiet, onDisk(r, dir, 1<<20, MinDisk))
		end(t, h)
		if c := h.queues[0].tally(); c != (Counts{}) {
			t.Errorf("after all was delivered there is %+v", c)
		}
	})
}

// After a kill, what has waited for more than two seconds is there, and is delivered.
func TestKilledWithABacklog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		hung := &reader{gate: make(chan struct{})} // as one that never answers
		h := start(t, quiet, onDisk(hung, dir, 1<<20, MinDisk))
		numbered(h, 1, 100)
		time.Sleep(2 * spillAfter)
		synctest.Wait()
		numbered(h, 101, 200)
		time.Sleep(2 * spillAfter)
		synctest.Wait()
		copied := t.TempDir() // what a kill would leave
		if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		close(hung.gate)
		end(t, h)
		inOrder(t, hung, 1, 200)

		r := &reader{}
		h = start(t, quiet, onDisk(r, filepath.Clean(copied), 1<<20, MinDisk))
		end(t, h)
		inOrder(t, r, 1, 200)
	})
}

// A write that hangs while it has part of a chunk taken neither loses nor repeats the rest.
func TestPartOfALoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := &reader{}
		r.set(errors.New("away"), 0)
		h := start(t, quiet, onDisk(r, dir, 1<<20, MinDisk))
		var l Lot
		for i := range 100 {
			l.Report(nil, nil, testNow, fmt.Sprintf("event %d", i+1), Report{})
		}
		h.Put(&l, false)
		time.Sleep(3 * spillAfter)
		r.set(errors.New("away"), 30) // takes 30 of each load, and fails
		for r.String() == "" {
			time.Sleep(10 * time.Millisecond)
		}
		r.set(errors.New("away"), 0)
		if err := h.Close(time.Second); err != nil {
			t.Error(err)
		}
		taken := strings.Count(r.String(), "\n")
		if c := h.queues[0].tally(); taken != 30 || int(c.Pending) != 100-taken {
			t.Errorf("%d taken, counts %+v", taken, c)
		}
		r.set(nil, 0)
		h = start(t, quiet, onDisk(r, dir, 1<<20, MinDisk))
		end(t, h)
		inOrder(t, r, 1, 100)
	})
}

// The disk is bounded, and so is memory behind it: past both the newest are lost, exactly counted, and reported.
func TestDiskAndMemoryFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &reader{}
		r.set(errors.New("away"), 0)
		h := start(t, quiet, onDisk(r, t.TempDir(), 1<<20, MinDisk))
		text := strings.Repeat("x", 1000)
		for range 300 {
			for range 10 {
				h.give(text, nil)
			}
			time.Sleep(20 * time.Millisecond)
		}
		c := h.queues[0].tally()
		adds(t, c)
		if c.Received != 3000 || c.Lost == 0 || c.Pending < 1700 || c.Pending > 2100 {
			t.Errorf("counts %+v", c)
		}
		lost := c.Lost
		r.set(nil, 0)
		time.Sleep(2 * retryMost)
		end(t, h)
		if n := strings.Count(r.String(), text); n != 3000-int(lost) {
			t.Errorf("%d events came, %d were lost", n, lost)
		}
		if want := fmt.Sprintf(`"count":%d,`, lost); !strings.Contains(r.String(), want) {
			t.Errorf("not reported: %s", want)
		}
	})
}

// A disk that takes nothing leaves all in memory, says so once a minute, and takes what waits when it is mended.
func TestDiskFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var logs syncBuffer
		r := &reader{}
		r.set(errors.New("away"), 0)
		h := start(t, slog.New(slog.NewTextHandler(&logs, nil)), onDisk(r, t.TempDir(), 1<<20, MinDisk))
		q := h.queues[0]
		q.disk.Close()
		numbered(h, 1, 500)
		time.Sleep(10 * spillAfter)
		if n := strings.Count(logs.String(), "cannot go to the disk"); n != 1 {
			t.Errorf("%d lines about it:\n%s", n, logs.String())
		}
		if c := h.queues[0].tally(); c != (Counts{Received: 500, Pending: 500}) {
			t.Errorf("counts %+v", c)
		}
		r.set(nil, 0)
		time.Sleep(2 * retryMost)
		end(t, h)
		inOrder(t, r, 1, 500)
	})
}

// A disk that is busy, as with the removal of what was delivered, holds up whoever writes to it, and not the receivers.
func TestABusyDiskHoldsUpNoReceiver(t *testing.T) {
	t.Parallel()
	h := NewHub([]Spec{onDisk(&reader{}, t.TempDir(), 1<<20, MinDisk)}, quiet)
	if err := h.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer h.Abandon()
	q := h.queues[0]
	numbered(h, 1, 1)
	held, free, moved := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go q.disk.Append(1, func(b []byte, _ int) []byte {
		close(held)
		<-free
		return append(b, 'x')
	})
	<-held
	go func() {
		defer close(moved)
		q.toDisk()
	}()
	put := make(chan struct{})
	go func() {
		defer close(put)
		for i := range 100 { // toDisk waits for the disk at some time of these
			numbered(h, i+2, i+2)
			time.Sleep(time.Millisecond)
		}
	}()
	select {
	case <-put:
	case <-time.After(20 * time.Second):
		t.Error("a receiver waits for the disk")
	}
	close(free)
	<-moved
	<-put
}

// Where somebody removes the directory, what it held and what comes later are kept, over a stop, too.
func TestRemovedDirectory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "disk")
		r := &reader{}
		r.set(errors.New("away"), 0)
		h := start(t, quiet, onDisk(r, dir, 1<<20, MinDisk))
		numbered(h, 1, 1) // which the writer has in hand from then on
		synctest.Wait()
		numbered(h, 2, 100)
		time.Sleep(3 * spillAfter)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		numbered(h, 101, 200)
		time.Sleep(3 * spillAfter)
		if err := h.Close(2 * time.Second); err != nil {
			t.Error(err)
		}
		adds(t, h.queues[0].tally())
		r.set(nil, 0)
		h = start(t, quiet, onDisk(r, dir, 1<<20, MinDisk))
		end(t, h)
		if c := h.queues[0].tally(); c != (Counts{Received: 200, Delivered: 200}) {
			t.Errorf("counts %+v", c)
		}
		inOrder(t, r, 1, 200)

		r.set(errors.New("away"), 0)
		h = start(t, quiet, onDisk(r, dir, 1<<20, MinDisk))
		numbered(h, 201, 201)
		synctest.Wait()
		numbered(h, 202, 300)
		time.Sleep(3 * spillAfter)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		numbered(h, 301, 400)
		time.Sleep(3 * spillAfter)
		r.set(nil, 0)
		time.Sleep(2 * retryMost)
		end(t, h)
		if c := h.queues[0].tally(); c != (Counts{Received: 200, Delivered: 200}) {
			t.Errorf("counts %+v", c)
		}
	})
}

// While a disk takes nothing, few events a second take little more memory than they have bytes.
func TestMemoryWhileTheDiskFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &reader{}
		r.set(errors.New("away"), 0)
		h := start(t, quiet, onDisk(r, t.TempDir(), 1<<20, MinDisk))
		q := h.queues[0]
		q.disk.Close()
		for i := range 300 {
			numbered(h, i+1, i+1)
			time.Sleep(spillAfter)
		}
		q.mu.Lock()
		memory := 0
		for _, c := range q.chunks {
			memory += cap(c.b)
		}
		if memory > 4*writeSize {
			t.Errorf("%d bytes in %d chunks for %d of events", memory, len(q.chunks), q.waiting)
		}
		q.mu.Unlock()
		r.set(nil, 0)
		time.Sleep(2 * retryMost)
		end(t, h)
		inOrder(t, r, 1, 300)
	})
}

// An agent that floods a backlog leaves the others their part of the disk.
func TestShareOfTheDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &reader{}
		r.set(errors.New("away"), 0)
		s := onDisk(r, t.TempDir(), 1<<20, 2*MinDisk)
		s.Share = 50
		h := start(t, quiet, s)
		flooder, other := h.NewAgent("001", "web01", "any"), h.NewAgent("002", "db01", "any")
		text := strings.Repeat("f", 1000)
		for range 500 {
			for range 10 {
				h.give(text, flooder)
			}
			h.give("other", other)
			time.Sleep(20 * time.Millisecond)
		}
		r.set(nil, 0)
		time.Sleep(4 * retryMost)
		end(t, h)
		f, o := strings.Count(r.String(), text), strings.Count(r.String(), "other\n")
		if o != 500 || f < 800 || f > 2000 {
			t.Errorf("%d of the one that floods, %d of the other", f, o)
		}
	})
}

// What cannot be read from the disk is counted as lost, and what stands behind it is delivered.
func TestDamagedDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := &reader{}
		r.set(errors.New("away"), 0)
		h := start(t, quiet, onDisk(r, dir, 1<<20, MinDisk))
		for i := range 20 {
			numbered(h, i*500+1, i*500+500)
			time.Sleep(spillAfter)
		}
		if err := h.Close(time.Second); err != nil {
			t.Error(err)
		}
		f, err := os.OpenFile(filepath.Join(dir, "0000000000000001"), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt([]byte("damage"), 3000); err != nil {
			t.Fatal(err)
		}
		r.set(nil, 0)
		h = start(t, quiet, onDisk(r, dir, 1<<20, MinDisk))
		end(t, h)
		c := h.queues[0].tally()
		if c.Received != 10_001 || c.Lost == 0 || strings.Count(r.String(), "\n") != int(c.Delivered) {
			t.Errorf("counts %+v, %d lines", c, strings.Count(r.String(), "\n"))
		}
		if want := fmt.Sprintf(`"count":%d,`, c.Lost); !strings.Contains(r.String(), want) || !strings.Contains(r.String(), "event 10000\n") {
			t.Errorf("not there: %s", want)
		}
	})
}

// Whatever sink and disk do while events come, each event is delivered once, in order, and the counts add up at any time.
func TestFaultsAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := &reader{}
	h := start(t, quiet, onDisk(r, dir, 512<<10, 64<<20))
	stop := make(chan struct{})
	var faults sync.WaitGroup
	faults.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				r.set(nil, 0)
				return
			case <-time.After(3 * time.Millisecond):
			}
			switch i % 3 {
			case 0:
				r.set(errors.New("away"), i%7)
			case 1:
				h.queues[0].inTrouble(true)
			case 2:
				r.set(nil, 0)
			}
			adds(t, h.queues[0].tally())
		}
	})
	const events = 10_000
	for i := range events {
		for h.queues[0].tally().Pending > 5000 { // memory alone is too small for all
			time.Sleep(time.Millisecond)
		}
		h.give(fmt.Sprintf("event %d", i+1), nil)
		if i%200 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	close(stop)
	faults.Wait()
	for deadline := time.Now().Add(time.Minute); h.queues[0].tally().Pending > 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	end(t, h)
	if c := h.queues[0].tally(); c.Lost == 0 {
		inOrder(t, r, 1, events)
	} else {
		t.Errorf("counts %+v", c)
	}
}
