package channel

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"ossecd/agent/udp"
	"ossecd/keys"
	"ossecd/proto"
)

// sealer writes messages to a manager: it counts, seals and sends them, without allocating. It belongs to the
// link's goroutine.
type sealer struct {
	cipher   *proto.Cipher
	sealer   *proto.Sealer
	sender   *keys.Sender
	envelope proto.Envelope
	datagram []byte
	random   pool

	staged  int                  // datagrams that are sealed and not sent yet: the first so many of
	batch   [udp.MaxBatch][]byte // which are used again and again
	counts  [udp.MaxBatch]uint64 // of the staged
	skipped int                  // of the staged, those that were sent already
}

// zlibLevel is the fastest one: it costs a third of the stock 9, and makes datagrams some 5 % longer.
const zlibLevel = 1

func newSealer(cfg *Config, sender *keys.Sender) (*sealer, error) {
	z, err := proto.NewSealer(zlibLevel)
	if err != nil {
		return nil, err
	}
	w := &sealer{cipher: proto.NewCipher(cfg.Key.CipherKey()), sealer: z, sender: sender}
	w.envelope = proto.Envelope{Method: cfg.Method, Dialect: cfg.Dialect}
	if cfg.Key.Address.NeedsID(cfg.Dialect == proto.Wazuh) {
		w.envelope.ID = cfg.Key.ID
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
func (w *sealer) write(conn net.Conn, message []byte) (err error) {
	if w.datagram, err = w.seal(w.datagram[:0], message); err != nil {
		return err
	}
	// A refusal speaks of a datagram sent earlier, and keeps this one from being sent; the next try sends it.
	for range 2 {
		if _, err = conn.Write(w.datagram); err == nil {
			return nil
		}
		if !udp.IsRefused(err) {
			break
		}
	}
	return unsent(err)
}

func (w *sealer) seal(dst, message []byte) (_ []byte, err error) {
	if w.envelope.Counter, err = w.sender.Next(); err != nil {
		return dst, fmt.Errorf("%w: %w", errCount, err)
	}
	w.random.fill(&w.envelope)
	w.envelope.Stored = proto.IsControl(message) // so that its answer is never longer than it, whatever compresses well
	if string(message) == proto.Startup {
		w.envelope.Random = w.cipher.StartupRandom(w.envelope.Counter) // tells a manager of ours who starts
	}
	if dst, err = w.sealer.Seal(dst, w.cipher, &w.envelope, message); err != nil {
		return dst, fmt.Errorf("%w: %w", errNever, err)
	}
	return dst, nil
}

// count is that of the last message.
func (w *sealer) count() uint64 { return w.envelope.Counter.Value() }

func unsent(err error) error {
	switch {
	case udp.IsRefused(err):
		return fmt.Errorf("%w: %w", errRefused, err)
	case udp.IsTooLong(err):
		return fmt.Errorf("%w: %w", errNever, err)
	}
	return err
}

// stage seals a message that flush is to send, and gives its length then. Up to udp.MaxBatch messages can be staged.
func (w *sealer) stage(message []byte) (n int, err error) {
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
func (w *sealer) flush(conn net.Conn) (left int, err error) {
	many, ok := conn.(udp.BatchWriter)
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
		case udp.IsTooLong(err):
			w.skipped++
			return left, unsent(err)
		case !udp.IsRefused(err), refused > 0 && n == 0:
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
