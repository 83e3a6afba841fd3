package file

import (
	"encoding/binary"
	"os"
	"strings"
	"testing"
	"time"
)

// How a file begins says how it is written, without any configuration, and over restarts.
func TestMarkedFiles(t *testing.T) {
	t.Parallel()
	bytes := func(_ binary.AppendByteOrder, text string) []byte { return []byte(text) }
	for _, tt := range []struct {
		name, encoding string
		write          func(binary.AppendByteOrder, string) []byte
		order          binary.AppendByteOrder
	}{
		{"UTF-16 little-endian", "", wide, binary.LittleEndian},
		{"UTF-16 big-endian", "", wide, binary.BigEndian},
		{"UTF-16 configured", "utf-16", wide, binary.BigEndian},
		{"UTF-16LE configured", "utf-16le", wide, binary.LittleEndian},
		{"UTF-8", "", bytes, nil},
		{"UTF-8 configured", "utf-8", bytes, nil},
		{"UTF-8 among UTF-16", "utf-16", bytes, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "*.log")
			r.cfg.Encoding = tt.encoding
			add := func(name, text string) { r.append(name, string(tt.write(tt.order, text))) }
			add("old.log", "\ufeffold\r\n")
			r.start()
			add("old.log", "größe\r\n")
			mark := tt.write(tt.order, "\ufeff")
			r.append("new.log", string(mark[:1])) // as slow writers do
			still()
			r.append("new.log", string(mark[1:]))
			add("new.log", "first\r\nse\rcond\n\r\n")
			r.want(r.path("old.log"), "größe")
			r.want(r.path("new.log"), "first", "se\rcond", "")
			r.stop()
			add("new.log", "whi")
			r.start()
			add("new.log", "le away 😀\r\n")
			r.want(r.path("new.log"), "first", "se\rcond", "", "while away 😀")

			// Written anew, and long lines in pieces.
			r.must(os.Truncate(r.path("new.log"), 0))
			long := strings.Repeat("ਊ", 4000)
			add("new.log", "\ufeff"+long+"\r\n")
			r.wait(r.t, "pieces", func() bool { return len(r.lines(r.path("new.log"))) >= 7 })
			r.mu.Lock()
			defer r.mu.Unlock()
			if got := join(t, r.lines(r.path("new.log"))[4:], 6016); got != long {
				t.Errorf("%d bytes, want %d", len(got), len(long))
			}
		})
	}
}

// A file that has nothing but its mark has no line.
func TestMarkAlone(t *testing.T) {
	t.Parallel()
	for _, mark := range []string{markUTF8, markUTF16le, markUTF16be} {
		r := newRig(t, "*.log")
		r.cfg.FromStart, r.cfg.Finish = true, true
		r.append("a.log", mark)
		r.append("b.log", "b\r")
		r.start()
		r.want("", "b")
		time.Sleep(2 * testPace.settle)
		r.want("", "b")
	}
}

// What an older version read byte by byte is read on from the next whole character.
func TestPositionWithinCharacter(t *testing.T) {
	t.Parallel()
	text := wide(binary.LittleEndian, "\ufeffone\ntwo\n")
	tl := &tail{track: &track{}, reached: reached{pos: mark{off: 9}}} // behind the first byte of the newline
	tl.settle(text, int64(len(text)))
	if tl.pos.off != 10 || tl.form.coding != utf16le {
		t.Errorf("position %d, coding %d", tl.pos.off, tl.form.coding)
	}
}

// An event of several lines has newlines alone, and what begins it is matched without its carriage return.
func TestMultilineReturns(t *testing.T) {
	t.Parallel()
	for _, encode := range []func(string) string{
		func(s string) string { return s },
		func(s string) string { return string(wide(binary.LittleEndian, "\ufeff"+s)) },
	} {
		r := newRig(t, "*.log")
		r.cfg.FromStart, r.cfg.MultilineStart, r.cfg.MultilineTimeout = true, `^begin$`, 50*time.Millisecond
		r.append("a.log", encode("begin\r\none\r\n\r\nbegin\r\ntwo\r\n"))
		r.start()
		r.want("", "begin\none\n", "begin\ntwo")
	}
}

// What was compressed while the agent was down is as marked as it was before.
func TestMarkedAndCompressed(t *testing.T) {
	t.Parallel()
	r := newRig(t, "*.log")
	r.cfg.Compressed, r.cfg.FromStart = true, true
	r.append("a.log", string(wide(binary.BigEndian, "\ufeffone\r\n")))
	r.start()
	r.want("", "one")
	r.stop()
	r.append("a.log", string(wide(binary.BigEndian, "two\r\n")))
	r.rename("a.log", "a.log.1")
	r.pack("a.log.1", ".gz")
	r.start()
	r.want("", "one", "two")
}
