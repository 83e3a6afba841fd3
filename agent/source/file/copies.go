package file

import (
	"bytes"
	"io"
	"path/filepath"
	"strings"
	"time"
)

// A copy of a followed file, as copytruncate leaves it beside the file under a name that a glob matches as well, holds lines that
// were sent already. It is recognised by its name (copyName), and by its content:
//
//	the file still has what the copy has    the copy waits: what is new in the file is read there
//	the file was truncated                  the copy is read on from where reading of the file had stopped, so that lines which were
//	                                        written and truncated away in between come from the copy
//	anything else                           it is no copy, and read whole
//
// A new file that merely begins like another one is no copy: all that both have must be the same.

// ending is a digest of the bytes just before an offset, which tells whether what was read up to there is what a copy has.
type ending struct {
	off   int64
	print fingerprint // of up to headSize bytes
}

// endingAt reads it; false where the file does not have these bytes any more.
func endingAt(r io.ReaderAt, off int64) (e ending, ok bool) {
	var buf [headSize]byte
	b := buf[:min(off, headSize)]
	if n, _ := r.ReadAt(b, off-int64(len(b))); n < len(b) {
		return ending{}, false
	}
	return ending{off, fingerprintOf(b)}, true
}

// endingIn is that of an offset in, or at the end of, text, which begins at offset from, and which goes back as far as an ending needs.
func endingIn(text []byte, from, off int64) ending {
	end := off - from
	return ending{off, fingerprintOf(text[end-min(off, headSize) : end])}
}

// copyNames are the names of which this one can be that of a copy: app.log.1, app.log-20261127, app-20261127.log and app.log~ are
// those of copies of app.log.
func copyNames(path string) (names []string) {
	dir, base := filepath.Split(path)
	ext := filepath.Ext(base)
	for i := 1; i < len(base); i++ {
		if !strings.ContainsRune(".-_~", rune(base[i])) {
			continue
		}
		names = append(names, dir+base[:i])
		if i < len(base)-len(ext) {
			names = append(names, dir+base[:i]+ext)
		}
	}
	return names
}

// verdict is what is found out about a file that may be a copy.
type verdict uint8

const (
	noCopy verdict = iota
	undecided
	waitingCopy // of a file that has all of it
	readOn      // from the position that was set
)

// copying is what copies knows of a tail.
type copying struct {
	unjudged bool     // it may be a copy of another file: nothing was read of it
	copyOf   *tail    // which has all of it, so that it waits; nil as a rule
	wasThen  *reached // was of that one, as of then
	copied   int64    // bytes that it has in common with that one
	was      *reached // how far it was read when it was last truncated; saved with its position, since a copy may be met later
}

// copies recognises copies of followed files.
type copies struct{ *paths }

// judge says whether a file met anew is to be read now. It is called before each reading until that is known.
func (c *copies) judge(t *tail) (read bool) {
	if c.stands(t) {
		if in, err := statFile(t.file); err == nil && in.size == t.copied {
			c.hold(t, in)
			return false
		}
	}
	in, err := statFile(t.file)
	if err != nil || t.packed != nil {
		t.unjudged = false
		return true
	}
	if in.size == 0 {
		return true // there is nothing to read
	}
	if in.size != t.size {
		t.size, t.grown = in.size, time.Now()
	}
	best := noCopy
	for _, name := range copyNames(t.track.path) {
		tr := c.tracks[name]
		if tr == nil {
			continue
		}
		for _, of := range tr.tails {
			if of == t || of.packed != nil || of.unjudged {
				continue
			}
			if v := t.compare(of, in.size); v > best {
				best = v
			}
		}
	}
	switch {
	case best == waitingCopy:
		c.hold(t, in)
		return false
	case best == undecided && time.Since(t.grown) < c.pace.settle:
		c.turns.soon[t] = struct{}{} // it may still be written
		return false
	case best == readOn:
		c.Log.Info("reading goes on in a copy of a followed file", "path", t.track.path, "offset", t.pos.off)
	case best == noCopy && t.copyOf != nil && !c.stands(t): // it was one, and nothing else is left that tells
		t.pos.off = t.copied
	}
	c.settle(t)
	return true
}

// stands says that what t is a copy of is followed and was not truncated. Where t still goes another way than that, it only
// began like it.
func (c *copies) stands(t *tail) bool {
	return t.copyOf != nil && c.tails[t.copyOf.id] == t.copyOf && t.copyOf.was == t.wasThen
}

// hold lets a copy rest until it, or what it is a copy of, changes.
func (c *copies) hold(t *tail, in info) {
	t.size, t.mtime = in.size, in.mtime
	delete(c.turns.soon, t)
	c.turns.setDrained(t, true)
	if !t.left.IsZero() {
		c.turns.soon[t] = struct{}{}
	}
}

func (c *copies) settle(t *tail) {
	t.unjudged, t.copyOf, t.wasThen = false, nil, nil
	delete(c.turns.soon, t)
	t.filed, c.saving.dirty = false, true
}

// compare says whether t, of that size, is a copy of a followed file.
func (t *tail) compare(of *tail, size int64) verdict {
	if in, err := statFile(of.file); err == nil && in.size >= size && in.size >= of.pos.off && sameContent(t.file, of.file, size) {
		t.copyOf, t.wasThen, t.copied = of, of.was, size
		return waitingCopy
	}
	was := of.was
	if was == nil { // it may be truncated and not read since
		was = &of.reached
		if in, err := statFile(of.file); err == nil && in.size >= of.pos.off {
			head, err := readHead(of.file, make([]byte, headSize))
			if err != nil || of.print.fits(head) {
				return noCopy // it stands, and its content is another
			}
		}
	}
	if was.pos.off == 0 {
		return noCopy
	}
	head, err := readHead(t.file, make([]byte, headSize))
	switch {
	case err != nil || len(head) >= was.print.n && !was.print.fits(head):
		return noCopy
	case size < was.pos.off:
		return undecided
	}
	if was.pos.off > int64(was.print.n) { // else the head was all that was read
		// Where the ending is of another position nothing tells what was read last: what comes twice then is better than what is lost.
		if got, ok := endingAt(t.file, was.pos.off); !ok || got != was.end {
			return noCopy
		}
	}
	t.pos = was.pos
	return readOn
}

// sameContent says that both files begin with the same n bytes. Of more than a megabyte the first and last halves of one are
// compared.
func sameContent(a, b io.ReaderAt, n int64) bool {
	const most = 1 << 20
	if n <= most {
		return sameAt(a, b, 0, n)
	}
	return sameAt(a, b, 0, most/2) && sameAt(a, b, n-most/2, most/2)
}

func sameAt(a, b io.ReaderAt, off, n int64) bool {
	const step = 64 << 10
	x, y := make([]byte, min(n, step)), make([]byte, min(n, step))
	for end := off + n; off < end; off += step {
		m := min(step, end-off)
		if i, _ := a.ReadAt(x[:m], off); int64(i) < m {
			return false
		}
		if i, _ := b.ReadAt(y[:m], off); int64(i) < m || !bytes.Equal(x[:m], y[:m]) {
			return false
		}
	}
	return true
}
