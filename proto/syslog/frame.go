// Package syslog takes apart what senders of syslog write: the frames of a stream, and the priority of a message.
package syslog

import (
	"bytes"
	"errors"
	"io"
	"strings"
)

// ErrFrame is how a stream ends that announces a message longer than MaxMessage.
var ErrFrame = errors.New("the count of octets is too high")

// MaxMessage is how many bytes one message has at most, as of a datagram.
const MaxMessage = 1 << 16

// mark is the byte order mark in UTF-8.
const mark = "\ufeff"

const (
	maxDigits = 9
	firstRead = 4 << 10
)

// Framer takes messages from a stream in either form of RFC 6587, told apart anew for each message: a count of octets, a
// blank, and so many octets, of which the first is "<"; or a line that ends with a newline or a NUL.
type Framer struct {
	from io.Reader
	buf  []byte // read, and not taken yet: buf[at:]
	at   int
	seen int  // of them, so many hold no end of a line
	met  bool // the beginning of the stream, where a byte order mark may stand, as some programs of Windows write it
	mid  bool // in the middle of a line that was too long
	err  error
}

// NewFramer makes a framer of what a reader gives.
func NewFramer(from io.Reader) *Framer { return &Framer{from: from} }

// Next is the next message, which is good until the next call. A line that is too long comes in several pieces. An
// error, ErrFrame or that of the reader, may come with a last line that nothing ends.
func (f *Framer) Next() ([]byte, error) {
	for {
		m, ok, err := f.take()
		if ok || err != nil {
			return m, err
		}
		if f.err != nil {
			return f.rest(), f.err
		}
		f.read()
	}
}

// take is a message from what was read, if there is a whole one.
func (f *Framer) take() (m []byte, ok bool, err error) {
	p := f.buf[f.at:]
	if !f.met {
		if len(p) < len(mark) && strings.HasPrefix(mark, string(p)) && f.err == nil {
			return nil, false, nil
		}
		f.met = true
		rest := bytes.TrimPrefix(p, []byte(mark))
		f.at += len(p) - len(rest)
		p = rest
	}
	if !f.mid && f.seen == 0 {
		n, begin, sure := parseCount(p)
		switch {
		case !sure && f.err == nil:
			return nil, false, nil
		case sure && n > MaxMessage:
			return nil, false, ErrFrame
		case sure && n > 0 && len(p) < begin+n:
			return nil, false, nil
		case sure && n > 0:
			f.at += begin + n
			return p[begin : begin+n], true, nil
		}
	}
	most := min(len(p), MaxMessage)
	end := bytes.IndexAny(p[f.seen:most], "\n\x00")
	switch {
	case end >= 0:
		end += f.seen
		f.at += end + 1
		f.seen, f.mid = 0, false
		return p[:end], true, nil
	case most == MaxMessage:
		f.at += most
		f.seen, f.mid = 0, true
		return p[:most], true, nil
	}
	f.seen = most
	return nil, false, nil
}

// parseCount reads the count of octets before a message, and says where the message begins. The count is 0 where a line
// begins instead. It is not sure while p is too short to say.
func parseCount(p []byte) (n, begin int, sure bool) {
	for i, c := range p {
		switch {
		case '0' <= c && c <= '9' && i < maxDigits && (i > 0 || c != '0'):
			n = 10*n + int(c-'0')
		case c == ' ' && i > 0 && i+1 == len(p):
			return 0, 0, false
		case c == ' ' && i > 0 && p[i+1] == '<':
			return n, i + 1, true
		default:
			return 0, 0, true
		}
	}
	return 0, 0, false
}

// rest is the line that the stream ended in. A counted message that is not whole is none.
func (f *Framer) rest() []byte {
	p := f.buf[f.at:]
	f.at = len(f.buf)
	if n, _, sure := parseCount(p); sure && n > 0 && !f.mid {
		return nil
	}
	return p
}

// read reads once. The buffer grows as messages need it, up to the longest with its count.
func (f *Framer) read() {
	n := copy(f.buf, f.buf[f.at:])
	f.buf, f.at = f.buf[:n], 0
	if n == cap(f.buf) {
		f.buf = append(make([]byte, 0, max(firstRead, min(2*n, MaxMessage+maxDigits+1))), f.buf...)
	}
	n, f.err = f.from.Read(f.buf[len(f.buf):cap(f.buf)])
	f.buf = f.buf[:len(f.buf)+n]
}
