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

	staged  int           // datagrams that are sealed and not sent yet: the first so many of
	batch   [slice][]byte // which are used again and again
	counts  [slice]uint64 // of the staged
	skipped int           // of the staged, those that were sent already
}

// batchWriter is a connection that takes several datagrams at once, slice of them at most. The first n were sent; the error is that
// of the one behind them.
type batchWriter interface {
	WriteBatch(datagrams [][]byte) (n int, err error)
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
func (w *sealed) write(conn net.Conn, message []byte) (err error) {
	if w.datagram, err = w.seal(w.datagram[:0], message); err != nil {
		return err
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
	return unsent(err)
}

func (w *sealed) seal(dst, message []byte) (_ []byte, err error) {
	if w.envelope.Counter, err = w.sender.Next(); err != nil {
		return dst, fmt.Errorf("%w: %w", errCount, err)
	}
	w.random.fill(&w.envelope)
	if dst, err = w.sealer.Seal(dst, w.cipher, &w.envelope, message); err != nil {
		return dst, fmt.Errorf("%w: %w", errNever, err)
	}
	return dst, nil
}

// count is that of the last message.
func (w *sealed) count() uint64 { return w.envelope.Counter.Value() }

func unsent(err error) error {
	switch {
	case isRefused(err):
		return fmt.Errorf("%w: %w", errRefused, err)
	case isTooLong(err):
		return fmt.Errorf("%w: %w", errNever, err)
	}
	return err
}

// stage seals a message that flush is to send, and gives its length then. Up to slice messages can be staged.
func (w *sealed) stage(message []byte) (n int, err error) {
	d := &w.batch[w.staged]
	if *d, err = w.seal((*d)[:0], message); err != nil {
		return 0, err
	}
	w.counts[w.staged] = w.count()
	w.staged++
	return len(*d), nil
}

// flush sends what is staged. With errNever one of them was skipped, and flush is to be called again for those behind it. With
// another error as of write the last ones, so many as left says, were not sent, and are staged no more.
func (w *sealed) flush(conn net.Conn) (left int, err error) {
	many, ok := conn.(batchWriter)
	for refused := 0; w.skipped < w.staged; {
		n := 0
		if ok {
			n, err = many.WriteBatch(w.batch[w.skipped:w.staged])
		} else if _, err = conn.Write(w.batch[w.skipped]); err == nil {
			n = 1
		}
		w.skipped += n
		left = w.staged - w.skipped
		switch {
		case err == nil:
			refused = 0
		case isTooLong(err):
			w.skipped++
			return left, unsent(err)
		case !isRefused(err), refused > 0 && n == 0:
			w.staged, w.skipped = 0, 0
			return left, unsent(err)
		default:
			refused = 1 // as in write
		}
	}
	w.staged, w.skipped = 0, 0
	return 0, nil
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
