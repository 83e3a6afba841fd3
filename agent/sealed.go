package agent

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"ossecd/keys"
	"ossecd/proto"
)

// sealed writes messages to a manager: it counts, seals and sends them, without allocating. It belongs to the
// session's goroutine.
type sealed struct {
	cipher   *proto.Cipher
	sealer   *proto.Sealer
	sender   *keys.Sender
	envelope proto.Envelope
	datagram []byte
	random   pool
}

// zlibLevel is the fastest one: it costs a third of the stock 9, and makes datagrams some 5 % longer.
const zlibLevel = 1

func newSealed(cfg *Config, key keys.Key, sender *keys.Sender) (*sealed, error) {
	sealer, err := proto.NewSealer(zlibLevel)
	if err != nil {
		return nil, err
	}
	w := &sealed{cipher: proto.NewCipher(key.CipherKey()), sealer: sealer, sender: sender}
	w.envelope = proto.Envelope{Method: cfg.Method, Dialect: cfg.Dialect}
	if key.Address.NeedsID(cfg.Dialect == proto.Wazuh) {
		w.envelope.ID = key.ID
	}
	return w, nil
}

// Why a message was not sent; the error of the system is wrapped beside them.
var (
	errRefused = errors.New("nobody takes it there") // the manager's host says so
	errCount   = errors.New("no count for it")       // the sending counter cannot be saved, or is used up
	errNever   = errors.New("it does not fit a datagram")
)

// write sends a message. The error wraps errRefused, errCount or errNever, or is the system's, and then the
// message was not sent.
func (w *sealed) write(conn net.Conn, message []byte) error {
	var err error
	if w.envelope.Counter, err = w.sender.Next(); err != nil {
		return fmt.Errorf("%w: %w", errCount, err)
	}
	w.random.fill(&w.envelope)
	w.datagram, err = w.sealer.Seal(w.datagram[:0], w.cipher, &w.envelope, message)
	if err != nil {
		return fmt.Errorf("%w: %w", errNever, err)
	}
	// A refusal speaks of a datagram sent earlier, and keeps this one from being sent; the next try sends it.
	for range 2 {
		if _, err = conn.Write(w.datagram); err == nil {
			return nil
		}
		if !isRefused(err) {
			break
		}
	}
	switch {
	case isRefused(err):
		return fmt.Errorf("%w: %w", errRefused, err)
	case isTooLong(err):
		return fmt.Errorf("%w: %w", errNever, err)
	}
	return err
}

// pool hands out random bytes from larger reads of the system's source.
type pool struct {
	bytes [4096]byte
	used  int
}

const perEnvelope = 2 + 16

// fill sets the random parts of an envelope.
func (p *pool) fill(e *proto.Envelope) {
	if p.used == 0 || p.used+perEnvelope > len(p.bytes) {
		rand.Read(p.bytes[:]) // ends the process where the system has none
		p.used = 0
	}
	b := p.bytes[p.used : p.used+perEnvelope]
	e.Random = binary.LittleEndian.Uint16(b)
	copy(e.IV[:], b[2:])
	p.used += perEnvelope
}
