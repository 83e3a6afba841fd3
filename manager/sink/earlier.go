package sink

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"ossecd/keys/durable/queue"
	"ossecd/manager/journal"
)

// earlier is what waited for a sink on the disk in the version before there was a journal: a queue for each sink. It is delivered
// before all else, and the queue removed. The zero value is none.
type earlier struct {
	queue *queue.Queue
	dir   string

	mu                    sync.Mutex
	held, delivered, lost uint64
}

// open opens the queue, if there is one.
func (e *earlier) open(dir, name string, log *slog.Logger) (err error) {
	if dir == "" {
		return nil
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if e.queue, err = queue.Open(queue.Config{Dir: dir, Limit: queue.MinLimit, Log: log}); err != nil {
		return fmt.Errorf("the queue of %s that an earlier version left: %w", name, err)
	}
	e.lost = e.queue.Reader(0).Lost()
	e.dir, e.held = dir, e.queue.Reader(0).Waiting()+e.lost
	return nil
}

// Earlier is how many events wait in a directory of an earlier version, as far as that can be found out.
func Earlier(dir string, log *slog.Logger) uint64 {
	var e earlier
	defer e.close()
	if err := e.open(dir, dir, log); err != nil {
		log.Warn("events of an earlier version cannot be read", "err", err)
	}
	return e.held
}

func (e *earlier) close() {
	if e.queue != nil {
		e.queue.Close()
	}
}

// count adds what it holds to counts.
func (e *earlier) count(c *journal.Counts) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c.Received += e.held
	c.Delivered += e.delivered
	c.Lost += e.lost
	c.Pending += e.held - e.delivered - e.lost
}

// deliverEarlier gives the sink what an earlier version left. It returns false where there is to be no more.
func (d *delivery) deliverEarlier(ctx context.Context) bool {
	e := &d.early
	if e.queue == nil {
		return true
	}
	from := e.queue.Reader(0)
	for {
		var records Batch
		var behind []queue.Position // each of them
		lost := uint64(0)
		for len(records) < d.Write {
			old, ok := from.Next()
			if !ok {
				break
			}
			n := len(records)
			if records = appendEarlier(records, old); len(records) > n {
				behind = append(behind, from.Read())
			} else {
				lost++
			}
		}
		e.mu.Lock()
		e.lost += lost + from.Lost()
		e.mu.Unlock()
		if len(records) == 0 {
			break
		}
		done := 0
		if !d.write(ctx, records, func(_ uint64, r Result) {
			e.mu.Lock()
			e.delivered += uint64(r.Done - r.Refused)
			e.lost += uint64(r.Refused)
			e.mu.Unlock()
			done += r.Done
			from.Commit(behind[done-1])
		}) {
			return false
		}
	}
	err := e.queue.Close()
	if err = errors.Join(err, os.RemoveAll(e.dir)); err != nil {
		d.log.Warn("the queue that an earlier version left is not removed", "events", d.Name, "err", err, "remedy", "remove "+e.dir)
	}
	os.Remove(filepath.Dir(e.dir)) // once it is empty
	d.log.Info("what an earlier version left for a sink is delivered", "events", d.Name, "count", e.delivered)
	return true
}

// appendEarlier makes a record of one of the earlier version, which was
//
//	0  size of the whole   4  time, Unix ns   12  count or number   20  queue
//	21 length of source    22 of action   23 of ID   24 of name   25 of IP   26 of location (2 bytes)   28 of labels (2 bytes)
//	30 serial
//	38 source, action, ID, name, IP, labels, location, message
//
// and appends nothing where it is none.
func appendEarlier(b Batch, old []byte) Batch {
	const head = 38
	if len(old) < head || int(binary.LittleEndian.Uint32(old)) != len(old) {
		return b
	}
	n := head + int(binary.LittleEndian.Uint16(old[26:])) + int(binary.LittleEndian.Uint16(old[28:]))
	for _, c := range old[21:26] {
		n += int(c)
	}
	if n > len(old) {
		return b
	}
	start := len(b)
	b = append(b, make([]byte, journal.Head)...)
	b = append(b, old[4:20]...)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	b = append(b, old[20:30]...)
	b = append(append(b, 1, 0), old[head:]...)
	b = journal.Seal(b, start)
	queue.Stamp(b[start:], binary.LittleEndian.Uint64(old[30:]), 0)
	return b
}
