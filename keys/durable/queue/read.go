package queue

// Next is the text of the next record, and goes past it. It is valid until the next call; ok is false where there is none.
func (r *Reader) Next() (text []byte, ok bool) {
	record, ok := r.NextRecord()
	if !ok {
		return nil, false
	}
	return record[Head:], true
}

// NextRecord is the next record with its head, and goes past it. It is valid until the next call; ok is false where there is none.
func (r *Reader) NextRecord() (record []byte, ok bool) {
	q := r.q
	for {
		q.mu.Lock()
		from := r.read
		if from.Record >= q.next || q.closed {
			q.mu.Unlock()
			return nil, false
		}
		g := q.find(from.Segment)
		if g == nil {
			g = q.segments[0] // that was removed, since it was said to be delivered
			r.read = Position{g.first, g.start(), max(g.first, from.Record)}
			from = r.read
		}
		newest := g == q.newest()
		if from.Offset >= g.size && !newest {
			r.follow()
			q.mu.Unlock()
			continue
		}
		last := q.next
		if !newest {
			last = q.segments[q.index(g.first)+1].first
		}
		near, size := g.near(from.Record), g.size
		file, err := r.open(g.first)
		q.mu.Unlock()

		if err == nil {
			s := &r.scan
			if r.scanOf != g.first || s.at != from || s.file != file {
				*s = scanner{old: g.old, salt: q.salt, at: from, chunk: s.chunk[:0], made: s.made}
				r.scanOf = g.first
				if from.Offset < 0 {
					s.at = near
				}
			}
			s.file, s.size, s.last = file, size, last
			for ok = true; ok; {
				if record, ok, err = s.next(); err != nil || ok && Number(record) >= from.Record {
					break
				}
			}
		}

		q.mu.Lock()
		switch {
		case q.closed:
		case r.read != from: // the oldest made room meanwhile
		case err != nil || !ok:
			r.damaged(g, last, err)
		default:
			if n := Number(record); n > from.Record {
				r.tellDamage(g, n-from.Record, nil)
			}
			r.read = r.scan.at
			q.mu.Unlock()
			return record, true
		}
		q.mu.Unlock()
	}
}

// follow goes on with the next segment. The lock is held.
func (r *Reader) follow() {
	g := r.q.segments[r.q.index(r.read.Segment)+1]
	r.letGo(r.read.Segment)
	if g.first > r.read.Record {
		r.lost += g.first - r.read.Record // none, but where the file was damaged
	}
	r.read = Position{g.first, g.start(), max(g.first, r.read.Record)}
}

// damaged goes past what cannot be read at the end of a segment, below a number. The lock is held.
func (r *Reader) damaged(g *segment, last uint64, err error) {
	if last > r.read.Record {
		r.tellDamage(g, last-r.read.Record, err)
	}
	r.read = Position{g.first, g.size, last}
}

// tellDamage counts records that are missing. The lock is held.
func (r *Reader) tellDamage(g *segment, n uint64, err error) {
	r.lost += n
	r.q.cfg.Log.Error("a part of a queue on disk cannot be read; it is lost", "file", r.q.path(g.first), "offset", r.read.Offset,
		"records", n, "err", err, "remedy", "look at the disk")
}
