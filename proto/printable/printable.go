// Package printable keeps what others wrote from steering a terminal, or a reader's eyes: control characters, those above U+007F among
// them, marks that turn the direction of writing, line separators, and bytes that are no UTF-8 are written as escapes.
package printable

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Steers says whether a character can steer a terminal, break a line, or turn the direction of what follows.
func Steers(r rune) bool {
	switch {
	case r < 0x7f:
		return r < ' '
	case r <= 0x9f, r == 0x061c, r == 0x200e, r == 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
		return true
	}
	return false
}

// Text is text with all but printable characters and line ends escaped as in Go.
func Text(text string) string {
	var b strings.Builder
	for rest := text; rest != ""; {
		r, size := utf8.DecodeRuneInString(rest)
		if r == '\n' || unicode.IsPrint(r) && (r != utf8.RuneError || size > 1) {
			b.WriteString(rest[:size])
		} else {
			q := strconv.QuoteToASCII(rest[:size])
			b.WriteString(q[1 : len(q)-1])
		}
		rest = rest[size:]
	}
	return b.String()
}

// Writer escapes what is written through it: tables and other text for people, and JSON, whose strings stay the same data. Line ends and
// tabs pass.
type Writer struct {
	w    io.Writer
	rest []byte // the beginning of a character whose end is to come
	out  []byte
}

// NewWriter makes a Writer that writes to w. Each Write is passed on at once, but for the beginning of a character.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Unwrap is what it writes to, for text that is safe already.
func (w *Writer) Unwrap() io.Writer { return w.w }

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	w.out = w.out[:0]
	text := append(w.rest, p...)
	for len(text) > 0 && utf8.FullRune(text) {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1:
			w.out = fmt.Appendf(w.out, `\x%02x`, text[0])
		case r == '\n', r == '\t', unicode.IsPrint(r):
			w.out = append(w.out, text[:size]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			w.out = fmt.Appendf(w.out, `\u%04x\u%04x`, high, low)
		default:
			w.out = fmt.Appendf(w.out, `\u%04x`, r)
		}
		text = text[size:]
	}
	w.rest = append(w.rest[:0], text...)
	if _, err := w.w.Write(w.out); err != nil {
		return 0, err
	}
	return len(p), nil
}
