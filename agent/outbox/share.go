package outbox

import (
	"context"

	"ossecd/agent/source"
)

// shareParts is in how many parts a source's share of the spool becomes free again.
const shareParts = 64

// share is what one source has in the spool and nobody has taken yet. Where there are several sources, each may have so much
// at most, so that one that says too much neither takes the others' room nor has them wait behind all of it.
type share struct {
	most  int64 // bytes; 0 for no bound
	held  int64
	parts []part // in their order
}

// part is bytes of a source that are delivered with the events before end.
type part struct {
	end   uint64
	bytes int64
}

// settle forgets what was delivered: all events before this one.
func (s *share) settle(delivered uint64) {
	n := 0
	for n < len(s.parts) && s.parts[n].end <= delivered {
		s.held -= s.parts[n].bytes
		n++
	}
	s.parts = append(s.parts[:0], s.parts[n:]...)
}

// fits is how many events of a batch there is room for: one at least where nothing is held.
func (s *share) fits(batch []source.Event) (n int) {
	for room := s.most - s.held; n < len(batch) && (room >= weight(&batch[n]) || n == 0 && s.held == 0); n++ {
		room -= weight(&batch[n])
	}
	return n
}

// add notes events that stand before end. Small batches are noted as one.
func (s *share) add(batch []source.Event, end uint64) {
	if len(batch) == 0 {
		return
	}
	var bytes int64
	for i := range batch {
		bytes += weight(&batch[i])
	}
	s.held += bytes
	if n := len(s.parts); n > 0 && s.parts[n-1].bytes < s.most/shareParts {
		s.parts[n-1] = part{end, s.parts[n-1].bytes + bytes}
		return
	}
	s.parts = append(s.parts, part{end, bytes})
}

// weight is about what an event takes in the spool.
func weight(e *source.Event) int64 { return int64(len(e.Location) + len(e.Message) + 16) }

// mine is how many events of a batch the source may put into the spool now. It waits until there is one.
func (o *Output) mine(ctx context.Context, batch []source.Event) (int, error) {
	if o.share.most == 0 {
		return len(batch), nil
	}
	for {
		room := o.box.cfg.Spool.Room()
		delivered, _ := o.box.cfg.Spool.Bounds()
		o.mu.Lock()
		o.share.settle(delivered)
		n := o.share.fits(batch)
		o.mu.Unlock()
		if n > 0 {
			return n, nil
		}
		o.limited.Warn("a source has used up its share of the spool; it waits", "source", o.name, "remedy", "find out what it sends so much of, and why managers take it so slowly; or change --source-share")
		if err := o.wait(ctx, room); err != nil {
			return 0, err
		}
	}
}

// took notes what the source put into the spool.
func (o *Output) took(batch []source.Event) {
	if o.share.most == 0 {
		return
	}
	_, end := o.box.cfg.Spool.Bounds()
	o.mu.Lock()
	o.share.add(batch, end)
	o.mu.Unlock()
}
