package listen

import "net/netip"

// ReturnPath is the return address of an agent: the way that answers to a message take. Whoever holds the conversation with an agent
// takes it from each authentic and fresh message.
type ReturnPath struct {
	Conn Writer
	To   netip.AddrPort
	From netip.Addr // the address of ours that it was sent to
}

// Stream is the connection that answers take, or nil where they are datagrams.
func (r *ReturnPath) Stream() *Stream {
	s, _ := r.Conn.(*Stream)
	return s
}

// Write sends a packet back.
func (r *ReturnPath) Write(p []byte) error { return r.Conn.WritePacket(p, r.To, r.From) }
