package proto

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/klauspost/compress/flate"
)

// Envelope is everything about a datagram but its message and key.
type Envelope struct {
	ID      string // digits for the "!ID!" prefix, empty for none
	Method  Method
	Dialect Dialect // decides the AES form and the longest message; unknown is taken as OSSEC
	Counter Counter
	Random  uint16   // goes in front of the counter; need not be secret
	IV      [16]byte // from a secure source; used by OSSEC's AES form alone
	Stored  bool     // the message is not compressed, so that its length alone decides how long the datagram is
}

// Sealer makes datagrams without allocating. It is scratch space: one for each goroutine that seals.
type Sealer struct {
	deflate *flate.Writer // a zlib writer would allocate for each stream
	out     appender
	body    []byte
}

// NewSealer returns a Sealer that deflates at a level from 0 to 9. Stock programs use 9 and take any; 1 costs a
// third of that and makes datagrams some 5 % longer.
func NewSealer(level int) (*Sealer, error) {
	if level < 0 || level > 9 {
		return nil, fmt.Errorf("zlib level %d: use 0 to 9", level)
	}
	w, err := flate.NewWriter(nil, level)
	if err != nil {
		return nil, err
	}
	return &Sealer{deflate: w}, nil
}

// appender is a writer to the end of a slice.
type appender struct{ p []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.p = append(a.p, p...)
	return len(p), nil
}

// Seal appends to dst the datagram that carries message (docs/protocol.md, "The secured message"). It returns
// ErrTooLarge where the message is over MaxMessage of the dialect or the datagram over MaxDatagram.
func (s *Sealer) Seal(dst []byte, c *Cipher, e *Envelope, message []byte) ([]byte, error) {
	if len(message) > MaxMessage(e.Dialect) {
		return dst, ErrTooLarge
	}
	start := len(dst)
	if e.ID != "" {
		dst = append(append(append(dst, '!'), e.ID...), '!')
	}
	tag, ivLen := blowfishTag, 0
	if e.Method == AES {
		tag = aesTag
		if e.Dialect != Wazuh {
			ivLen = len(e.IV)
		}
	}
	dst = append(dst, tag...)
	dst = append(dst, e.IV[:ivLen]...)

	s.pack(e, message)
	text := len(dst) // here the padding begins; as long as the stream wants it
	dst = append(dst, "!!!!!!!!"...)
	dst = append(dst, 0x78, 0x01) // the zlib header (RFC 1950, 2.2) as for the fastest level: a hint to no one
	stream := len(dst)
	s.out.p = dst
	if !e.Stored {
		s.deflate.Reset(&s.out)
		if _, err := s.deflate.Write(s.body); err != nil {
			return dst[:start], err
		}
		if err := s.deflate.Close(); err != nil {
			return dst[:start], err
		}
	}
	if dst = s.out.p; e.Stored || len(dst)-stream > storedSize(len(s.body)) {
		dst = appendStored(dst[:stream], s.body)
	}
	dst = binary.BigEndian.AppendUint32(dst, adler32sum(s.body))
	if extra := (len(dst) - text) % 8; extra > 0 { // 8 "!" are right for a stream of whole blocks
		copy(dst[text+8-extra:], dst[text+8:])
		dst = dst[:len(dst)-extra]
	}

	switch {
	case e.Method == Blowfish:
		c.encryptBlowfish(dst[text:])
	default:
		pad := 16 - (len(dst)-text)%16
		for range pad {
			dst = append(dst, byte(pad))
		}
		iv := wazuhIV
		if ivLen > 0 {
			iv = dst[text-ivLen : text]
		}
		c.encryptAES(dst[text:], iv)
	}
	if len(dst)-start > MaxDatagram {
		return dst[:start], ErrTooLarge
	}
	return dst, nil
}

// maxStored is the longest stored block of deflate (RFC 1951, 3.2.4).
const maxStored = 65_535

// storedSize is how many bytes appendStored appends for so many. No message is longer than that, whatever it says.
func storedSize(n int) int { return n + 5*max(1, (n+maxStored-1)/maxStored) }

// appendStored appends p as a deflate stream that compresses nothing.
func appendStored(dst, p []byte) []byte {
	for {
		n, last := min(len(p), maxStored), byte(0)
		if n == len(p) {
			last = 1
		}
		dst = append(dst, last)
		dst = binary.LittleEndian.AppendUint16(dst, uint16(n))
		dst = binary.LittleEndian.AppendUint16(dst, ^uint16(n))
		dst, p = append(dst, p[:n]...), p[n:]
		if last == 1 {
			return dst
		}
	}
}

// pack writes checksum, random, counter and message into s.body.
func (s *Sealer) pack(e *Envelope, message []byte) {
	b := append(s.body[:0], "0123456789abcdef0123456789abcdef"...)
	b = appendDigits(b, uint64(e.Random), 5)
	b = appendDigits(b, uint64(e.Counter.Global), 10)
	b = append(b, ':')
	b = appendDigits(b, uint64(e.Counter.Local), 4)
	b = append(b, ':')
	b = append(b, message...)
	sum := md5.Sum(b[32:])
	hex.Encode(b[:32], sum[:])
	s.body = b
}

// appendDigits appends v with leading zeros to width digits.
func appendDigits(b []byte, v uint64, width int) []byte {
	n := len(b)
	for range width {
		b = append(b, '0')
	}
	for i := n + width - 1; i >= n && v > 0; i-- {
		b[i] = byte('0' + v%10)
		v /= 10
	}
	return b
}
