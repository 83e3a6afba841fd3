package proto

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
)

// Message is what an opened datagram says. It is authentic: its checksum held under the key. Whether it is
// fresh is for the caller's Window to say.
type Message struct {
	Method  Method
	Dialect Dialect // as the AES form shows it; of a Blowfish message, what the caller knew before
	Random  uint16
	Counter Counter
	Payload []byte // part of the Opener's buffer: valid until its next Open
}

// Opener opens datagrams without allocating. It is scratch space: one for each goroutine that opens.
type Opener struct {
	plain    []byte
	body     []byte
	inflater inflater
	last     *schedule // that a message was opened with
}

// NewOpener returns an Opener; it grows to about 200 KB with the largest datagrams.
func NewOpener() *Opener { return new(Opener) }

// Open decrypts and unpacks a frame and checks it (docs/protocol.md, "The secured message"). known is the
// dialect in which the peer was last understood, if any: it bounds how far a Blowfish message is inflated and
// says which AES form is tried first. The error is ErrKey, ErrChecksum, ErrTooLarge or ErrMalformed.
func (o *Opener) Open(c *Cipher, f Frame, known Dialect) (Message, error) {
	if cap(o.plain) < len(f.Body) {
		o.plain = make([]byte, len(f.Body)+1024)
	}
	plain := o.plain[:len(f.Body)]
	// The first blocks tell whether the key can be the right one: strangers are not to cost more than that.
	if f.Method == Blowfish {
		k := c.expandBlowfish()
		if k != o.last {
			k.touch()
			o.last = k
		}
		head := min(len(plain), 32)
		k.decryptCBC(plain[:head], f.Body[:head], blowfishIV)
		if plain[0] != '!' {
			return Message{}, ErrKey
		}
		if rest := plain[head:]; len(rest) > 0 {
			k.decryptCBC(rest, f.Body[head:], binary.BigEndian.Uint64(f.Body[head-8:]))
		}
		return o.unpack(plain, Blowfish, known, known)
	}
	// What was sealed with its IV in front comes out right from the second block on: in CBC the IV bears on the
	// first block alone, and that block is then the IV itself.
	head := min(len(plain), 32)
	c.decryptAES(plain[:head], f.Body[:head], wazuhIV)
	if plain[0] != '!' && (head < 32 || plain[16] != '!') {
		return Message{}, ErrKey
	}
	if rest := plain[head:]; len(rest) > 0 {
		c.decryptAES(rest, f.Body[head:], f.Body[head-16:head])
	}
	pad := int(plain[len(plain)-1]) // PKCS#7
	if pad < 1 || pad > 16 || pad > len(plain) {
		return Message{}, ErrKey
	}
	for _, b := range plain[len(plain)-pad:] {
		if int(b) != pad {
			return Message{}, ErrKey
		}
	}
	plain = plain[:len(plain)-pad]
	first, second := OSSEC, Wazuh
	if known == Wazuh {
		first, second = Wazuh, OSSEC
	}
	m, err := o.unpack(aesForm(plain, first), AES, first, first)
	if err == nil {
		return m, nil
	}
	m, err2 := o.unpack(aesForm(plain, second), AES, second, second)
	if err2 == ErrKey {
		return m, err // the first reading got further, or neither got anywhere
	}
	return m, err2
}

// aesForm is where the padding of the form's plaintext begins in what decryptAES gave.
func aesForm(plain []byte, d Dialect) []byte {
	if d == OSSEC {
		return plain[min(16, len(plain)):]
	}
	return plain
}

// unpack reads padding, stream and body.
func (o *Opener) unpack(plain []byte, m Method, d, limit Dialect) (Message, error) {
	n := 0
	for n < len(plain) && plain[n] == '!' {
		n++
	}
	if n == 0 || len(plain)-n < 2 {
		return Message{}, ErrKey
	}
	plain = plain[n:]
	if plain[0]&0x0f != 8 || plain[0]>>4 > 7 || plain[1]&0x20 != 0 || (uint(plain[0])<<8|uint(plain[1]))%31 != 0 {
		return Message{}, ErrKey // no zlib header without a preset dictionary (RFC 1950, 2.2)
	}
	body, err := o.inflate(plain, maxBody(limit))
	if err != nil {
		return Message{}, err
	}
	if len(body) < bodyOverhead {
		return Message{}, ErrChecksum
	}
	sum := md5.Sum(body[32:])
	var want [32]byte
	hex.Encode(want[:], sum[:])
	if !bytes.Equal(want[:], body[:32]) {
		return Message{}, ErrChecksum
	}
	random, ok1 := digits(body[32:37])
	global, ok2 := digits(body[37:47])
	local, ok3 := digits(body[48:52])
	if !ok1 || !ok2 || !ok3 || body[47] != ':' || body[52] != ':' || random > 0xffff || global > 0xffff_ffff {
		return Message{}, ErrMalformed
	}
	return Message{
		Method: m, Dialect: d, Random: uint16(random),
		Counter: Counter{uint32(global), uint32(local)},
		Payload: body[bodyOverhead:],
	}, nil
}

// inflate unpacks the zlib stream (RFC 1950) at the start of p, whose header has been looked at; what follows
// the stream is not.
func (o *Opener) inflate(p []byte, limit int) ([]byte, error) {
	if cap(o.body) < limit {
		o.body = make([]byte, limit)
	}
	n, used, err := o.inflater.inflate(o.body[:limit], p[2:])
	if err != nil {
		return nil, err
	}
	body, sum := o.body[:n], p[2+used:]
	if len(sum) < 4 || binary.BigEndian.Uint32(sum) != adler32sum(body) {
		return nil, ErrChecksum
	}
	return body, nil
}

// digits is the number that p, all digits and no more than 10 of them, spells.
func digits(p []byte) (uint64, bool) {
	var v uint64
	for _, c := range p {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + uint64(c-'0')
	}
	return v, true
}
