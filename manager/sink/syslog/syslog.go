// Package syslog sends events as messages of RFC 5424: over UDP (RFC 5426), TCP with counted octets (RFC 6587) or TLS
// (RFC 5425).
package syslog

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"

	"ossecd/keys/limitlog"
	"ossecd/keys/marked"
	"ossecd/manager/sink"
)

// Options say where to, and as what.
type Options struct {
	Address  string // host:port
	Protocol string // "udp", "tcp" or "tls"
	CA       string // file of the certificates that vouch for the server; "" is those of the system
	Facility int    // 0 to 23
	Severity int    // 0 to 7
	MaxSize  int    // bytes of a message; longer ones are cut
}

const (
	// writeWithin is what a write may take until the connection counts as broken.
	writeWithin = 30 * time.Second
)

// Syslog is the sink.
type Syslog struct {
	o       Options
	link    sink.Link
	event   sink.Event
	message []byte
	text    []byte // of a write over a stream
	limited *limitlog.Logger
}

// New makes a sink, which connects at the first event, and anew whenever the connection breaks.
func New(o Options, log *slog.Logger) (*Syslog, error) {
	s := &Syslog{o: o, limited: limitlog.New(log)}
	s.link.Stream = o.Protocol != "udp"
	var d net.Dialer
	if o.Protocol != "tls" {
		s.link.Dial = func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, o.Protocol, o.Address) }
		return s, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CA != "" {
		pem, err := os.ReadFile(o.CA)
		if err != nil {
			return nil, fmt.Errorf("ca: %w; name a file of certificates that this user may read", err)
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(marked.Text(pem)) {
			return nil, fmt.Errorf("ca: %q holds no certificate; give it as PEM", o.CA)
		}
	}
	secure := tls.Dialer{NetDialer: &d, Config: c}
	s.link.Dial = func(ctx context.Context) (net.Conn, error) { return secure.DialContext(ctx, "tcp", o.Address) }
	return s, nil
}

// Write sends events. Over UDP an event counts as delivered once it is sent, over TCP and TLS once the system has taken it:
// the protocol has no answers. What stood in a stream that broke is given to the next one from the write on that failed.
func (s *Syslog) Write(ctx context.Context, events sink.Batch) (r sink.Result, err error) {
	c, err := s.link.Conn(ctx)
	if err != nil {
		return r, err
	}
	c.SetWriteDeadline(time.Now().Add(writeWithin))
	err = s.link.During(ctx, func() error {
		if s.link.Stream {
			return s.stream(c, events, &r)
		}
		return s.datagrams(c, events, &r)
	})
	if err != nil {
		s.link.Break()
	}
	return r, err
}

func (s *Syslog) datagrams(c net.Conn, events sink.Batch, r *sink.Result) error {
	for events.Next(&s.event) {
		s.format()
		switch _, err := c.Write(s.message); {
		case sink.TooLong(err):
			r.Refused++
			s.complain("an event is lost: the system sends no datagrams of its length", len(s.message), "lower max_size")
		case err != nil:
			return err
		}
		r.Done++
	}
	return nil
}

// stream writes all events at once, each with its length in front.
func (s *Syslog) stream(c net.Conn, events sink.Batch, r *sink.Result) error {
	s.text = s.text[:0]
	n := 0
	for ; events.Next(&s.event); n++ {
		s.format()
		s.text = strconv.AppendInt(s.text, int64(len(s.message)), 10)
		s.text = append(s.text, ' ')
		s.text = append(s.text, s.message...)
	}
	if _, err := c.Write(s.text); err != nil {
		return err
	}
	r.Done = n
	return nil
}

// format makes the message of the event at hand.
func (s *Syslog) format() {
	var cut bool
	s.message, cut = appendMessage(s.message[:0], &s.event, s.o.Facility<<3|s.o.Severity, s.o.MaxSize)
	if cut {
		s.complain("an event was cut for syslog", s.o.MaxSize, "raise max_size as far as the server takes it, or keep a sink of type file beside this one")
	}
}

// complain logs what happened to the event at hand, at most once per logEvery.
func (s *Syslog) complain(what string, size int, remedy string) {
	s.limited.Warn(what, "address", s.o.Address, "bytes", size, "agent", string(s.event.ID), "name", string(s.event.Name), "remedy", remedy)
}

// Close ends it.
func (s *Syslog) Close() error {
	s.link.Break()
	return nil
}
