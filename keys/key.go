// Package keys holds what identifies an agent: its line of client.keys, what is derived from that line, the files with such lines,
// and the message counts by which each message is accepted only once.
package keys

import (
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"ossecd/proto"
)

// Key is one line of client.keys: who an agent is, from where it may send, and the secret that both ends share.
// Keys can be compared with ==. No way of printing one shows the secret, but Line.
type Key struct {
	ID      string // 1 to 8 digits; "001" and "1" are different
	Name    string // 2 to 128 of A-Z a-z 0-9 . _ -
	Address Address
	Secret  string // no blanks; what the tools make is 64 hexadecimal digits
}

// Limits of the fields, in bytes (docs/protocol.md, "client.keys").
const (
	maxLine   = 2047
	maxSecret = 1024
	minName   = 2
	maxName   = 128
	maxShown  = 50 // the longest IPv6 network has 44, what the tools make as a key 64
)

// Line is the key as client.keys has it, without a line end. It shows the secret.
func (k Key) Line() string {
	return k.ID + " " + k.Name + " " + k.Address.String() + " " + k.Secret
}

// String is the key without the secret.
func (k Key) String() string { return k.ID + " " + k.Name + " " + k.Address.String() }

// GoString likewise, for %#v.
func (k Key) GoString() string { return "keys.Key{" + k.String() + "}" }

// LogValue likewise, for a logger.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText likewise, for JSON and for keys within what a logger is given.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// CipherKey derives what the ciphers are keyed with (docs/protocol.md, "Key derivation").
func (k Key) CipherKey() proto.Key {
	var key proto.Key
	secret := sumHex(k.Secret)
	name, id := sumHex(k.Name), sumHex(k.ID)
	who := sumHex(string(name[:]) + string(id[:]))
	copy(key[:], secret[:])
	copy(key[32:], who[:])
	return key
}

func sumHex(s string) (h [32]byte) {
	sum := md5.Sum([]byte(s))
	hex.Encode(h[:], sum[:])
	return h
}

// NewSecret makes a secret of 64 hexadecimal digits.
func NewSecret() string {
	var b [32]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

var (
	errID     = errors.New("is not an agent ID; use 1 to 8 digits, as in 001 (000 is the manager itself)")
	errName   = errors.New("is not an agent name; use 2 to 128 letters, digits, dots, dashes and underscores")
	errSecret = errors.New("use 1 to 1024 printable characters without blanks")
	errFields = errors.New("want four fields with single blanks between them: ID NAME IP KEY")
)

// CheckID says what is wrong with an agent's ID. One that is right can stand in a path.
func CheckID(id string) error {
	if strings.Trim(id, "0") == "" || checkID(id) != nil {
		return fmt.Errorf("%s %w", shown(id), errID)
	}
	return nil
}

// CheckName says what is wrong with an agent's name.
func CheckName(name string) error {
	ok := len(name) >= minName && len(name) <= maxName
	for _, c := range []byte(name) {
		ok = ok && (c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '.' || c == '_' || c == '-')
	}
	if !ok {
		return fmt.Errorf("%s %w", shown(name), errName)
	}
	return nil
}

// shown is a field of a line for an error. A long one is not shown: it may be the key in the wrong place.
func shown(field string) string {
	if len(field) > maxShown {
		return fmt.Sprintf("a text of %d bytes", len(field))
	}
	return strconv.Quote(field)
}

func checkSecret(s string) error {
	ok := len(s) > 0 && len(s) <= maxSecret
	for _, c := range []byte(s) {
		ok = ok && c > ' ' && c != 0x7f
	}
	if !ok {
		return fmt.Errorf("the key of %d bytes is not usable: %w", len(s), errSecret)
	}
	return nil
}

// ParseLine reads a line of client.keys, without its line end. The error is about the first field that is wrong; it
// does not show the secret.
func ParseLine(line string) (Key, error) {
	var k Key
	if len(line) > maxLine {
		return k, fmt.Errorf("the line is %d bytes long, the most is %d; %w", len(line), maxLine, errFields)
	}
	var f [4]string
	rest, more := line, true
	for i := range f {
		if !more {
			return k, errFields
		}
		f[i], rest, more = strings.Cut(rest, " ")
	}
	if more {
		return k, errFields
	}
	address, err := ParseAddress(f[2])
	for _, err := range [...]error{CheckID(f[0]), CheckName(f[1]), err, checkSecret(f[3])} {
		if err != nil {
			return k, err
		}
	}
	return Key{ID: f[0], Name: f[1], Address: address, Secret: f[3]}, nil
}
