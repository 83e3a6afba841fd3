package proto

import "bytes"

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
