package proto

import "bytes"

// Method is the cipher of a datagram.
type Method uint8

// The methods; the zero Method is none.
const (
	Blowfish Method = iota + 1
	AES
)

func (m Method) String() string {
	switch m {
	case Blowfish:
		return "blowfish"
	case AES:
		return "aes"
	}
	return "none"
}

// Dialect is whose form of the protocol a peer speaks. Both have the same Blowfish form and different AES forms.
type Dialect uint8

// The dialects; the zero Dialect is that of a peer which has not shown one yet.
const (
	OSSEC Dialect = iota + 1
	Wazuh
)

func (d Dialect) String() string {
	switch d {
	case OSSEC:
		return "ossec"
	case Wazuh:
		return "wazuh"
	}
	return "unknown"
}

const (
	blowfishTag = ":"
	aesTag      = "#AES:"
)

// Frame is the outer form of a datagram. Its slices are parts of the datagram.
type Frame struct {
	ID     []byte // digits of the "!ID!" prefix, nil without one
	Method Method
	Body   []byte // the cipher text, with the IV in front where the dialect sends one; whole blocks, not empty
}

// ParseFrame reads the outer form of a datagram (docs/protocol.md, "The secured message"). It returns
// ErrMalformed, or ErrTooLarge for more than MaxPacket bytes.
func ParseFrame(d []byte) (Frame, error) {
	var f Frame
	if len(d) > MaxPacket {
		return f, ErrTooLarge
	}
	if len(d) > 0 && d[0] == '!' {
		end := bytes.IndexByte(d[1:min(len(d), MaxIDLen+2)], '!')
		if end < 1 {
			return f, ErrMalformed
		}
		f.ID, d = d[1:1+end], d[end+2:]
		for _, c := range f.ID {
			if c < '0' || c > '9' {
				return Frame{}, ErrMalformed
			}
		}
	}
	block := 0
	switch {
	case bytes.HasPrefix(d, []byte(blowfishTag)):
		f.Method, f.Body, block = Blowfish, d[len(blowfishTag):], 8
	case bytes.HasPrefix(d, []byte(aesTag)):
		f.Method, f.Body, block = AES, d[len(aesTag):], 16
	default:
		return Frame{}, ErrMalformed
	}
	if len(f.Body) == 0 || len(f.Body)%block != 0 {
		return Frame{}, ErrMalformed
	}
	return f, nil
}
