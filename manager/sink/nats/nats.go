// Package nats publishes events to NATS JetStream. The servers acknowledge each event, and recognise by its ID one that is sent
// twice.
package nats

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ossecd/keys/limitlog"
	"ossecd/manager/sink"
)

// Options say where to, and how.
type Options struct {
	Servers []string // URLs; one is enough to find the others of a cluster
	Subject Subject
	Stream  Stream
	Secrets Secrets
	Origin  string // names this sink of this manager among all that publish; goes before the serials of events
}

const (
	// WriteSize is how many bytes of events are on their way without an acknowledgement, at most.
	WriteSize = 512 << 10

	// ackWithin is how long an acknowledgement is waited for. An event whose one did not come is sent again.
	ackWithin = 10 * time.Second

	// connectWithin is what making a connection may take, and reconnectWait the pause between two attempts.
	connectWithin = 5 * time.Second
	reconnectWait = 500 * time.Millisecond
)

// NATS is the sink.
type NATS struct {
	o       Options
	tls     *tls.Config // nil is what the URLs say
	log     *slog.Logger
	nc      *nats.Conn // nil before the first connection
	js      jetstream.JetStream
	ready   bool // the stream was there a moment ago
	sent    []jetstream.PubAckFuture
	form    sink.JSON
	event   sink.Event
	limited *limitlog.Logger
}

// New makes a sink, which connects at the first event. From then on the library mends the connection by itself.
func New(o Options, log *slog.Logger) (*NATS, error) {
	n := &NATS{o: o, log: log, limited: limitlog.New(log)}
	var err error
	n.tls, err = o.Secrets.tls()
	return n, err
}

// Write publishes events and waits for their acknowledgements, in order. After an error all from the first one on that has
// none are given again: the servers recognise those of them that they have.
func (n *NATS) Write(ctx context.Context, events sink.Batch) (r sink.Result, err error) {
	if err := n.connect(ctx); err != nil {
		return r, err
	}
	if err := n.prepare(ctx); err != nil {
		return r, err
	}
	publishErr := n.publish(events)
	defer func() { n.ready = n.ready && err == nil }() // the stream may be gone
	within := time.NewTimer(ackWithin)
	defer within.Stop()
	for _, f := range n.sent {
		refused, err := n.await(ctx, f, within.C)
		if err != nil {
			return r, err
		}
		r.Done++
		if refused {
			r.Refused++
		}
	}
	return r, publishErr
}

// publish sends events until one cannot be sent. n.sent has what will acknowledge them; nil for one that is never taken.
func (n *NATS) publish(events sink.Batch) error {
	clear(n.sent)
	n.sent = n.sent[:0]
	text := make([]byte, 0, len(events)+len(events)/2) // the library keeps what it was given until it is acknowledged
	for events.Next(&n.event) {
		start := len(text)
		text = n.form.Append(text, &n.event)
		data := text[start : len(text)-1 : len(text)-1] // without the line end
		subject := string(n.o.Subject.appendTo(nil, &n.event))
		header := nats.Header{jetstream.MsgIDHeader: {n.id()}}
		if n.o.Stream.Name != "" {
			header[jetstream.ExpectedStreamHeader] = []string{n.o.Stream.Name}
		}
		f, err := n.js.PublishMsgAsync(&nats.Msg{Subject: subject, Data: data, Header: header})
		switch {
		case errors.Is(err, nats.ErrMaxPayload):
			n.complain(len(data))
		case err != nil:
			return fmt.Errorf("%w; check that the NATS servers run: %s", err, strings.Join(n.o.Servers, ", "))
		}
		n.sent = append(n.sent, f)
	}
	return nil
}

// id is the identity of the event at hand. It is the same however often it is sent, also by a later run.
func (n *NATS) id() string { return string(n.event.AppendIdentity([]byte(n.o.Origin + "-"))) }

// await waits for an acknowledgement, and says whether the event is refused for good.
func (n *NATS) await(ctx context.Context, f jetstream.PubAckFuture, within <-chan time.Time) (refused bool, err error) {
	if f == nil {
		return true, nil
	}
	select {
	case <-f.Ok():
		return false, nil
	case err = <-f.Err():
	case <-within:
		err = fmt.Errorf("no acknowledgement within %v; look at the NATS servers, and whether most of a stream's run", ackWithin)
	case <-ctx.Done():
		return false, ctx.Err()
	}
	var refusal *jetstream.APIError
	if errors.As(err, &refusal) && refusal.ErrorCode == codeTooLong {
		n.complain(len(f.Msg().Data))
		return true, nil
	}
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		return false, fmt.Errorf("no stream answers for the subject %q; make one, or have this sink make it with stream = \"NAME\"", f.Msg().Subject)
	}
	return false, err
}

// codeTooLong is the server's number for a message beyond the stream's limit.
const codeTooLong = 10054

// complain logs that an event is not taken, at most once per logEvery.
func (n *NATS) complain(size int) {
	n.limited.Warn("events are lost: they are longer than the NATS server or its stream takes", "bytes", size,
		"remedy", "raise max_payload of the server and max_msg_size of the stream")
}

// Close ends it.
func (n *NATS) Close() error {
	if n.nc != nil {
		n.nc.Close()
	}
	return nil
}
