package journal

import "ossecd/keys/durable/queue"

const (
	// chunkSize is from where on records go to another chunk.
	chunkSize = 128 << 10

	// tailSize is how much is kept in memory for readers that are a little behind.
	tailSize = 2 << 20

	maxSpares = 4
)

// chunk is records that follow each other, in memory. What is in it never changes.
type chunk struct {
	first    uint64 // number of the first one
	n        int
	b        []byte
	written  int // bytes of it that are on disk
	writtenN int // records
	ready    int // bytes that readers may have
	readyN   int
	released bool
}

func (c *chunk) end() uint64 { return c.first + uint64(c.n) }

// tail is the newest records, in memory: all that are not written yet, and some that are. The lock of the journal guards it.
type tail struct {
	chunks  []*chunk // oldest first
	next    uint64   // number of the next record
	salt    uint32
	waiting int      // bytes that are not written
	bytes   int      // in chunks
	writing *chunk   // of which something is being written
	spares  [][]byte // for the next chunks; a few at most
}

// hold puts a record behind all others.
func (t *tail) hold(record []byte) {
	var c *chunk
	if n := len(t.chunks); n > 0 {
		c = t.chunks[n-1]
	}
	if c == nil || cap(c.b)-len(c.b) < len(record) {
		var b []byte
		if n := len(t.spares); n > 0 && len(record) <= chunkSize {
			b, t.spares = t.spares[n-1], t.spares[:n-1]
		} else {
			b = make([]byte, 0, max(chunkSize, len(record)))
		}
		c = &chunk{first: t.next, b: b}
		t.chunks = append(t.chunks, c)
	}
	at := len(c.b)
	c.b = append(c.b, record...)
	queue.Stamp(c.b[at:], t.next, t.salt)
	c.n++
	t.next++
	t.waiting += len(record)
	t.bytes += len(record)
}

// oldest is the number of the first record in memory, and of the next if there is none.
func (t *tail) oldest() uint64 {
	if len(t.chunks) > 0 {
		return t.chunks[0].first
	}
	return t.next
}

// unwritten is what is to be written next, n records of a chunk.
func (t *tail) unwritten() (c *chunk, part []byte, n int) {
	for _, c := range t.chunks {
		if c.written < len(c.b) {
			t.writing = c
			return c, c.b[c.written:], c.n - c.writtenN
		}
	}
	return nil, nil, 0
}

func (t *tail) wrote(c *chunk, size, n int) {
	t.writing = nil
	c.written += size
	c.writtenN += n
	if !c.released {
		t.waiting -= size
	}
}

// show lets readers have what is written, or all.
func (t *tail) show(all bool) {
	for _, c := range t.chunks {
		if c.ready < c.written {
			c.ready, c.readyN = c.written, c.writtenN
		}
		if all {
			c.ready, c.readyN = len(c.b), c.n
		}
	}
}

// shown is the number of the first record that readers may not have yet.
func (t *tail) shown() uint64 {
	for i := len(t.chunks) - 1; i >= 0; i-- {
		if c := t.chunks[i]; c.readyN > 0 {
			return c.first + uint64(c.readyN)
		}
	}
	return t.oldest()
}

// find is the chunk that has a record which readers may have, nil where there is none.
func (t *tail) find(number uint64) *chunk {
	for _, c := range t.chunks {
		if number >= c.first && number < c.first+uint64(c.readyN) {
			return c
		}
	}
	return nil
}

// release drops chunks that no reader is to have from memory: all read up to next, and are done below done. unwritten says that
// what all are done with need not be written. held says that somebody looks at a chunk.
func (t *tail) release(next, done uint64, unwritten bool, held func(*chunk) bool) {
	for len(t.chunks) > 0 {
		c := t.chunks[0]
		last := len(t.chunks) == 1
		whole := c.written == len(c.b)
		switch {
		case whole && !last && (c.end() <= next || t.bytes > tailSize):
		case unwritten && c.end() <= done && (!last || !whole):
		default:
			return
		}
		c.released = true
		t.waiting -= len(c.b) - c.written
		t.bytes -= len(c.b)
		t.chunks[0] = nil
		t.chunks = t.chunks[1:]
		if cap(c.b) == chunkSize && len(t.spares) < maxSpares && c != t.writing && !held(c) {
			t.spares = append(t.spares, c.b[:0])
		}
	}
}
