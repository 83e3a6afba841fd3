package file

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

var (
	errNotRegular = errors.New("not a regular file")
	errLink       = errors.New("a symbolic link to a file of another owner") // whose maker does not own what it leads to
)

// tail is one open file. It holds no bytes of it: a line without its newline is read again when there is more.
type tail struct {
	track *track
	file  *os.File
	id    identity
	reached
	room   int     // largest message in bytes
	form   form    // settled when the file is read
	packed *packed // of a compressed file, else nil

	seen
	turn
	rotation
	copying

	filed       bool   // the positions file knows it as it is: its lines can be sent, and a kill repeats few of them
	failed      string // the last read error logged
	undelivered int64  // bytes of its events that are not delivered; see undelivered.go
}

// seen is a file as it was when it was last looked at.
type seen struct {
	size  int64
	mtime int64
	grown time.Time // when size last changed
	atEnd bool      // all of size was looked at
	rest  int64     // bytes at the end that no event was made of yet; right while atEnd
	lines int64     // of them, those of whole lines, to which more may belong
}

// rotation says where a file stands that its path does not stand for.
type rotation struct {
	left     time.Time // since when the path stands for another file, or none; zero: followed
	released bool      // the successor need not wait for it any more
	alias    string    // another matching path of this file, "" if none was seen
}

// openTail opens the regular file at path; the position is its beginning.
func openTail(path string) (*tail, error) {
	f, err := openFollowed(path)
	if err != nil {
		return nil, err
	}
	in, err := statFile(f)
	if err == nil && !in.mode.IsRegular() {
		err = fmt.Errorf("%s: %w", path, errNotRegular)
	}
	var head []byte
	if err == nil {
		head, err = readHead(f, make([]byte, headSize))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &tail{file: f, id: in.id, reached: reached{print: fingerprintOf(head)}, seen: seen{size: in.size, grown: time.Now()}}, nil
}

func (t *tail) close() {
	if t.packed != nil {
		t.packed.Close()
	}
	t.file.Close()
}

// resume sets the position to a saved one. It says false, and leaves it at the beginning, where the content is
// not what was read then: another file with the same inode, or one that was truncated.
func (t *tail) resume(r record) (bool, error) {
	head, err := readHead(t.file, make([]byte, headSize))
	if err != nil {
		return false, err
	}
	if t.size < r.pos.off || !r.print.fits(head) {
		t.was = &r.reached
		return false, nil
	}
	t.pos, t.end, t.was = r.pos, r.end, r.was
	t.unjudged = t.pos.off == 0 // it may be a copy that waited
	return true, nil
}

// toEnd sets the position to the end of the file, or to the beginning of its last line where that has no newline
// yet and begins within the last room bytes.
func (t *tail) toEnd() error {
	head, err := readHead(t.file, make([]byte, headSize))
	if err != nil {
		return err
	}
	c := t.form.coding.of(head)
	begin := max(0, t.size-int64(t.room))
	begin += begin % int64(c.unit())
	buf := make([]byte, t.size-begin)
	n, err := t.file.ReadAt(buf, begin)
	if err != nil && err != io.EOF {
		return err
	}
	t.pos.off = t.size - t.size%int64(c.unit())
	if i := c.lastNewline(buf[:n]); i >= 0 {
		t.pos.off = begin + int64(i+c.unit())
	}
	return nil
}

// read adds to b the events of the next chunk, whose bytes it puts into buf (larger than room and headSize).
// It says true where the file was truncated, and then begins it again.
func (t *tail) read(buf []byte, b *batch) (truncated bool, err error) {
	if t.packed != nil {
		return false, t.readPacked(len(buf), b)
	}
	in, err := statFile(t.file)
	if err != nil {
		return false, err
	}
	if t.atEnd && in.size == t.size && in.mtime == t.mtime {
		return false, nil
	}
	head, err := readHead(t.file, buf)
	if err != nil {
		return false, err
	}
	if in.size < t.pos.off || !t.print.fits(head) {
		truncated = true
		was := t.reached
		t.was, t.reached = &was, reached{}
	}
	if len(head) > t.print.n {
		t.print = fingerprintOf(head)
	}
	t.settle(head, in.size)
	if in.size != t.size || truncated {
		t.grown = time.Now()
	}
	t.size, t.mtime, t.atEnd = in.size, in.mtime, false

	data, err := t.readOn(buf, min(int64(len(buf)), t.size-t.pos.off), b)
	if err != nil {
		return truncated, err
	}
	t.split(data, b)
	return truncated, nil
}

// readOn reads so many bytes behind the position into buf, or as many as it holds, and notes for the batch what stands there and before. So the ending
// of what is sent is that of what was read, whatever becomes of the file meanwhile.
func (t *tail) readOn(buf []byte, n int64, b *batch) ([]byte, error) {
	before := min(t.pos.off, headSize)
	buf = buf[:max(0, min(int64(len(buf)), before+n))]
	got, err := t.file.ReadAt(buf, t.pos.off-before)
	if err != nil && err != io.EOF {
		return nil, err
	}
	b.text, b.from = buf[:got], t.pos.off-before
	return b.text[min(before, int64(got)):], nil
}

// settle finds out what a file of this size is written in by its head, and passes over the mark that says so.
func (t *tail) settle(head []byte, size int64) {
	t.form.coding = t.track.coding.of(head)
	if t.pos.off < t.form.coding.mark(head) {
		t.pos = mark{off: t.form.coding.mark(head)}
	}
	if odd := t.pos.off % int64(t.form.coding.unit()); t.pos.off < size {
		t.pos.off += odd // saved by a version, or with an encoding, that read single bytes
	}
}

// split adds the events of data, which begins at the position, and notes what is left where there are none.
func (t *tail) split(data []byte, b *batch) {
	b.split(t.form, t.track.location, data, t.pos, t.room)
	if len(b.events) > 0 {
		return
	}
	t.atEnd, t.rest, t.lines = true, int64(len(data)), 0
	if t.form.start != nil {
		if n := t.form.coding.lastNewline(data); n >= 0 {
			t.lines = int64(n + t.form.coding.unit())
		}
	}
}

// readRest adds what stands at the end of a file that read found nothing new in: all of it, or its whole lines.
func (t *tail) readRest(buf []byte, b *batch, all bool) error {
	want, newline := t.lines, t.form.coding.unit()
	if all && t.rest > t.lines {
		want, newline = t.rest, 0
	}
	data, err := t.readOn(buf, want, b)
	if err != nil {
		return err
	}
	if n := len(data); n > newline {
		b.add(t.form, t.track.location, data[:n-newline], t.pos, newline)
	}
	t.atEnd, t.rest, t.lines = false, 0, 0
	return nil
}

// noteEnding keeps the ending of what stood before the position when reading began there, at its end.
func (t *tail) noteEnding() {
	if t.packed == nil && t.end.off != t.pos.off {
		if e, ok := endingAt(t.file, t.pos.off); ok {
			t.end = e
		}
	}
}

// stillFor is how long a file has not grown, and not stood at its path where that was left.
func (t *tail) stillFor(now time.Time) time.Duration {
	still := now.Sub(t.grown)
	if !t.left.IsZero() {
		still = min(still, now.Sub(t.left))
	}
	return still
}
