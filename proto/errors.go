package proto

import "errors"

// Why a datagram or a message is refused. None of these carries bytes of the datagram, so returning one does
// not allocate and logging one is safe.
var (
	// ErrMalformed: not of the form that docs/protocol.md gives.
	ErrMalformed = errors.New("malformed")
	// ErrKey: what was decrypted has no padding or no zlib stream in it; the key is another one, or it is noise.
	ErrKey = errors.New("wrong key")
	// ErrChecksum: the stream or the MD5 in it does not hold; it was damaged or forged.
	ErrChecksum = errors.New("wrong checksum")
	// ErrTooLarge: over what the dialect allows.
	ErrTooLarge = errors.New("too large")
)
