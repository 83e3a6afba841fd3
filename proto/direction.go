package proto

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

// Both ends seal with one key, so what one of them sent opens at itself, too, when somebody on the way sends it back. Its
// count would then make the true peer's look old (docs/protocol.md, "What ossecd does differently, and why").

// OnlyManagersSay says whether a message is one that no agent sends.
func OnlyManagersSay(message []byte) bool {
	kind, _ := ParseFromManager(message)
	return kind != ManagerChunk && kind < eitherSays
}

// OnlyAgentsSay says whether a message is one that no manager sends. A chunk of a file, which can be anything, is none.
func OnlyAgentsSay(message []byte) bool {
	if kind, _ := ParseFromManager(message); kind < eitherSays {
		return false
	}
	return bytes.HasPrefix(message, []byte(Startup)) || string(message) == Shutdown || bytes.IndexByte(message, '\n') >= 0
}

// ManagersRandom is the random number of a message that a manager of ours seals with this count. Others cannot tell it from random;
// who has the key can, so a manager knows what it sent, or another one that is an ossecd, when it comes back. One in 65,536 messages of
// agents has it by chance.
func (c *Cipher) ManagersRandom(count Counter) uint16 { return c.random("ossecd manager 1", count) }

// StartupRandom is the random number of a startup message that an agent of ours seals with this count. By it a manager of ours
// tells such an agent from a stock one, whose startup has the same text. One in 65,536 startups of stock agents has it by chance.
func (c *Cipher) StartupRandom(count Counter) uint16 { return c.random("ossecd startup 1", count) }

func (c *Cipher) random(what string, count Counter) uint16 {
	h := hmac.New(sha256.New, c.key[:])
	h.Write([]byte(what))
	h.Write(binary.BigEndian.AppendUint64(nil, count.Value()))
	return binary.BigEndian.Uint16(h.Sum(nil))
}
