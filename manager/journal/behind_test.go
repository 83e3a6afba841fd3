package journal

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"ossecd/keys/durable/queue"
)

func mustStart(t *testing.T, dir string, readers ...ReaderConfig) *Journal {
	t.Helper()
	j, err := Open(Config{Dir: dir, Limit: 64 << 20, Memory: 64 << 20, Share: 100, Readers: readers, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	j.Start()
	return j
}

// put puts numbered records, and waits until they are written.
func (j *Journal) put(t *testing.T, from, to int) {
	t.Helper()
	var l Lot
	for i := from; i <= to; i++ {
		l.Records = append(append(l.Records, make([]byte, Head)...), fmt.Sprintf("%07d %s", i, strings.Repeat("x", 200))...)
		l.End(nil)
	}
	j.Put(&l, false)
	deadline := make(chan struct{})
	defer time.AfterFunc(10*time.Second, func() { close(deadline) }).Stop()
	j.Flush(deadline)
	select {
	case <-deadline:
		t.Fatal("it is not written")
	default:
	}
}

// took notes which records there are in some, and gives the number behind them.
func took(had map[string]int, records []byte) (next uint64, n int) {
	for ; len(records) > 0; records = records[Size(records):] {
		had[string(records[Head:Head+7])]++
		next = Number(records) + 1
		n++
	}
	return next, n
}

// What a reader is given that is too far behind comes once or is lost once, wherever it was when it fell behind, and also if it then ends.
func TestAReaderTooFarBehind(t *testing.T) {
	t.Parallel()
	for _, first := range []int{1, 100, 200, 300, 400, 1171, 1172, 1173, 1500, 1700, 1757, 1758, 2343} {
		for _, gives := range []bool{true, false} { // whether it gets rid of what it had
			dir := t.TempDir()
			slow := ReaderConfig{Place: "slow", Limit: 1 << 20, Start: queue.AtOldest}
			j := mustStart(t, dir, slow)
			r, had := j.Reader(0), make(map[string]int)
			n := 0
			put := func(more int) {
				j.put(t, n+1, n+more)
				n += more
			}
			before := max(0, first-10) // done with
			put(before)
			for n := 0; n < before; {
				next, given := took(had, r.Next())
				r.Settle(next, given, 0)
				n += given
			}
			put(first - before)
			hand := make(map[string]int)
			next, given := took(hand, r.Next())
			for r.disk.Committed() <= next { // it may be within the piece of memory that the reader has, and not be
				put(200)
			}
			if gives {
				for text := range hand {
					had[text]++
				}
				r.Settle(next, given, 0)
				for b := r.Next(); len(b) > 0; b = r.Next() {
					next, given = took(had, b)
					r.Settle(next, given, 0)
				}
			}
			r.Close()
			c := r.Counts()
			j.Close(nil)
			pending := uint64(0)
			if !gives {
				j = mustStart(t, dir, slow)
				r = j.Reader(0)
				for b := r.Next(); len(b) > 0; b = r.Next() {
					_, given = took(had, b)
					pending += uint64(given)
				}
				j.Close(nil)
			}
			missing := uint64(0)
			for i := 1; i <= n; i++ {
				switch had[fmt.Sprintf("%07d", i)] {
				case 0:
					missing++
				case 1:
				default:
					t.Fatalf("%d at first: record %d came twice", first, i)
				}
			}
			if missing == 0 || c.Lost != missing || c.Pending != pending || c.Received != uint64(n) {
				t.Errorf("%d at first, given %v: %d of %d are missing, and %d came later; counted are %+v", first, gives, missing, n, pending, c)
			}
		}
	}
}
