// Package marked reads short texts that editors and shells of Windows wrote: with a byte order mark, in UTF-16 (as PowerShell
// redirects), and with lines that end in a carriage return and a newline.
package marked

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
)

// Mark is the byte order mark in UTF-8.
const Mark = "\xef\xbb\xbf"

// UTF8 is a text that begins with a mark of UTF-16, as UTF-8 with the mark; any other is given back as it is. What is no
// character becomes U+FFFD.
func UTF8(text []byte) []byte {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(text, []byte("\xff\xfe")):
		order = binary.LittleEndian
	case bytes.HasPrefix(text, []byte("\xfe\xff")):
		order = binary.BigEndian
	default:
		return text
	}
	out := make([]byte, 0, len(text))
	for ; len(text) >= 2; text = text[2:] {
		r := rune(order.Uint16(text))
		if utf16.IsSurrogate(r) && len(text) >= 4 {
			if both := utf16.DecodeRune(r, rune(order.Uint16(text[2:]))); both != utf8.RuneError {
				r, text = both, text[2:]
			}
		}
		out = utf8.AppendRune(out, r)
	}
	if len(text) > 0 {
		out = utf8.AppendRune(out, utf8.RuneError)
	}
	return out
}

// Text is a text in UTF-8 without a mark. It is a part of the one given, but for UTF-16.
func Text(text []byte) []byte { return bytes.TrimPrefix(UTF8(text), []byte(Mark)) }

// FirstLine is the first line of a text, without a mark and the line end.
func FirstLine(text []byte) []byte {
	line, _, _ := bytes.Cut(Text(text), []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r"))
}
