package proto

import "encoding/binary"

// Over TCP each message has its length in front, as 4 bytes, the lowest first. A packet is what follows: the same as a datagram over UDP, or a
// probe (docs/protocol.md, "Transport").

const (
	// MaxPacket is the longest packet.
	MaxPacket = 65_536
	// PacketHeader is what stands in front of a packet, in bytes.
	PacketHeader = 4

	// Ping asks a manager, with nothing secret in it, whether it is there. The answer is Pong.
	Ping = "#ping"
	Pong = "#pong"
)

// AppendPacket appends a packet as it is written to a stream. The packet is not empty and has no more than MaxPacket bytes.
func AppendPacket(dst, packet []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(dst, uint32(len(packet))), packet...)
}

// CutPacket takes the first packet off what came over a stream. It is nil where not all of it has come yet; then need says how many bytes of the
// stream have to be there, PacketHeader where not even the length has come. The error is ErrMalformed for an empty packet and ErrTooLarge for
// one over MaxPacket: what follows on such a stream means nothing.
func CutPacket(stream []byte) (packet, rest []byte, need int, err error) {
	if len(stream) < PacketHeader {
		return nil, stream, PacketHeader, nil
	}
	n := binary.LittleEndian.Uint32(stream)
	switch {
	case n == 0:
		return nil, stream, 0, ErrMalformed
	case n > MaxPacket:
		return nil, stream, 0, ErrTooLarge
	}
	need = PacketHeader + int(n)
	if len(stream) < need {
		return nil, stream, need, nil
	}
	return stream[PacketHeader:need:need], stream[need:], need, nil
}
