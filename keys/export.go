package keys

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"ossecd/keys/marked"
)

// MaxExport bounds the text of an exported key in bytes: twice the base64 of the longest line, for white space in it.
const MaxExport = 8 << 10

// ErrExport is what is wrong with a text that should be an exported key. The text is not shown: it may hold the key.
var ErrExport = errors.New("the text is not what ossecd keygen export prints: base64 of one line ID NAME IP KEY")

// Export is the key as it travels from a manager to an agent (docs/protocol.md, "client.keys"). It shows the secret.
func (k Key) Export() string { return base64.StdEncoding.EncodeToString([]byte(k.Line())) }

// ParseExport reads what Export writes, with white space anywhere in it and the padding optional.
func ParseExport(text string) (Key, error) {
	if len(text) > MaxExport {
		return Key{}, fmt.Errorf("%w; it is over %d bytes long", ErrExport, MaxExport)
	}
	text = strings.TrimRight(strings.Join(strings.Fields(string(marked.Text([]byte(text)))), ""), "=")
	line, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(line) == 0 {
		return Key{}, ErrExport
	}
	k, err := ParseLine(strings.TrimRight(string(line), "\r\n"))
	if err != nil {
		return k, fmt.Errorf("%w; in the line: %w", ErrExport, err)
	}
	return k, nil
}
