package file

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// coding is how the text of a file is written. Events are UTF-8.
type coding uint8

const (
	plain  coding = iota // UTF-8, or whatever it is: the bytes are passed on as they are; UTF-16 where its byte order mark says so
	latin1               // ISO 8859-1
	utf16le
	utf16be
	utf16marked // as the byte order mark says, which may be that of UTF-8, too; little-endian without one
)

// codings are the values of Config.Encoding.
var codings = map[string]coding{
	"": plain, "utf-8": plain, "latin-1": latin1, "utf-16le": utf16le, "utf-16be": utf16be, "utf-16": utf16marked,
}

func parseCoding(text string) (coding, error) {
	c, ok := codings[text]
	if !ok {
		return c, fmt.Errorf("encoding: %.40q is unknown; use utf-8, utf-16, utf-16le, utf-16be or latin-1", text)
	}
	return c, nil
}

// Marks at the beginning of a file, which are no part of its text.
const (
	markUTF8    = "\xef\xbb\xbf"
	markUTF16le = "\xff\xfe"
	markUTF16be = "\xfe\xff"
)

// of settles what a file is written in by its first bytes. Those of UTF-16's marks are in no text of UTF-8.
func (c coding) of(head []byte) coding {
	switch marked := c == plain || c == utf16marked; {
	case marked && bytes.HasPrefix(head, []byte(markUTF16be)):
		return utf16be
	case c == utf16marked && bytes.HasPrefix(head, []byte(markUTF8)): // files of both kinds stand side by side on Windows
		return plain
	case marked && bytes.HasPrefix(head, []byte(markUTF16le)), c == utf16marked:
		return utf16le
	}
	return c
}

// mark is how many bytes of the beginning of a file say how it is written, and are no text. The coding is settled.
func (c coding) mark(head []byte) int64 {
	mark := ""
	switch c {
	case plain:
		mark = markUTF8
	case utf16le:
		mark = markUTF16le
	case utf16be:
		mark = markUTF16be
	}
	if !bytes.HasPrefix(head, []byte(mark)) {
		return 0
	}
	return int64(len(mark))
}

// unit is how many bytes a newline has.
func (c coding) unit() int {
	if c >= utf16le {
		return 2
	}
	return 1
}

// fit is how many bytes of the file become at most n bytes of an event.
func (c coding) fit(n int) int {
	switch c {
	case plain:
		return n
	case latin1:
		return n / 2
	}
	return (n/3 - 2) * 2 // a carriage return and half a unit may stand at the end of a file
}

// newline is where the first newline begins, -1 for none. data begins at a whole unit.
func (c coding) newline(data []byte) int {
	if c.unit() == 1 {
		return bytes.IndexByte(data, '\n')
	}
	for at := 0; ; {
		i := bytes.IndexByte(data[at:], '\n')
		if i < 0 {
			return -1
		}
		at += i
		if begin := at &^ 1; begin+2 <= len(data) && c.rune(data[begin:]) == '\n' {
			return begin
		}
		at++
	}
}

// lastNewline is where the last newline begins, -1 for none.
func (c coding) lastNewline(data []byte) int {
	if c.unit() == 1 {
		return bytes.LastIndexByte(data, '\n')
	}
	for at := len(data)&^1 - 2; at >= 0; at -= 2 {
		if c.rune(data[at:]) == '\n' {
			return at
		}
	}
	return -1
}

// rune is the unit of UTF-16 that data begins with.
func (c coding) rune(data []byte) rune {
	if c == utf16be {
		return rune(binary.BigEndian.Uint16(data))
	}
	return rune(binary.LittleEndian.Uint16(data))
}

// cutAt is the nearest place at or before n where a character begins, or n where there is none close by.
func (c coding) cutAt(data []byte, n int) int {
	switch c {
	case latin1:
		return n
	case plain:
		return cutAt(data, n)
	}
	if n &^= 1; n > 2 && utf16.IsSurrogate(c.rune(data[n:])) && c.rune(data[n:]) >= 0xdc00 {
		return n - 2
	}
	return n
}

// endsInReturn says that text ends in a carriage return, which before a newline belongs to the line end.
func (c coding) endsInReturn(text []byte) bool {
	if c.unit() == 1 {
		return bytes.HasSuffix(text, []byte("\r"))
	}
	return len(text) >= 2 && len(text)%2 == 0 && c.rune(text[len(text)-2:]) == '\r'
}

// trimReturn is a line without the carriage return of its line end.
func (c coding) trimReturn(line []byte) []byte {
	if c.endsInReturn(line) {
		return line[:len(line)-c.unit()]
	}
	return line
}

// append appends text in UTF-8. What is no character becomes U+FFFD.
func (c coding) append(dst, text []byte) []byte {
	switch c {
	case plain:
		return append(dst, text...)
	case latin1:
		for _, b := range text {
			dst = utf8.AppendRune(dst, rune(b))
		}
		return dst
	}
	for at := 0; at < len(text); at += 2 {
		if at+1 == len(text) {
			return utf8.AppendRune(dst, utf8.RuneError)
		}
		r := c.rune(text[at:])
		if utf16.IsSurrogate(r) && at+4 <= len(text) {
			if both := utf16.DecodeRune(r, c.rune(text[at+2:])); both != utf8.RuneError {
				r = both
				at += 2
			}
		}
		dst = utf8.AppendRune(dst, r) // half a pair becomes U+FFFD
	}
	return dst
}
