package proto

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
)

// Named begins a message of a manager of ours within a conversation (docs/protocol.md, "Which manager says it, and when"). Behind it stand
// the conversation's name, a blank, and the message as it would be without.
const Named = "#!-ossecd in "

// ConversationName names what an agent of ours and a run of a manager of ours say to each other over one socket of the agent. nonce is the
// word that the agent chose for the socket, and run the name of the run. Who says the name knows the nonce, so nothing that bears it was said
// before the agent chose that, nor by another manager.
func ConversationName(nonce, run string) string {
	text := append(make([]byte, 0, 192), "ossecd conversation 1"...)
	for _, field := range []string{nonce, run} {
		text = append(binary.BigEndian.AppendUint64(text, uint64(len(field))), field...)
	}
	sum := sha256.Sum256(text)
	return base32.StdEncoding.EncodeToString(sum[:10])
}

// AppendNamed appends a message of the conversation.
func AppendNamed(dst []byte, name string, message []byte) []byte {
	return append(append(append(append(dst, Named...), name...), ' '), message...)
}

// ParseNamed reads what follows Named.
func ParseNamed(rest []byte) (name string, message []byte, ok bool) {
	word, message, ok := bytes.Cut(rest, []byte(" "))
	if !ok || !isWord(word) {
		return "", nil, false
	}
	return string(word), message, true
}

func isNamed(message []byte) bool {
	rest, ok := bytes.CutPrefix(message, []byte(Named))
	if ok {
		_, _, ok = ParseNamed(rest)
	}
	return ok
}
