package enroll

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"ossecd/proto"
)

// Server gives out keys.
type Server struct {
	cfg      Config
	log      *slog.Logger
	tls      *tls.Config
	listener net.Listener
	limiter  *connLimiter
	refusals *refusals
	issuer   *issuer
	enrolled atomic.Uint64
}

// Counts are how many agents were given a key, and how many requests and connections were refused, by reason, since the start.
// It may be called at any time.
func (s *Server) Counts() (enrolled uint64, refused map[string]uint64) {
	return s.enrolled.Load(), s.refusals.counts()
}

// Listen opens the port. The Config was validated. Run must be called.
func Listen(cfg Config, log *slog.Logger) (*Server, error) {
	s, fingerprint, err := newServer(cfg, log)
	if err != nil {
		return nil, err
	}
	s.listener, err = net.Listen("tcp", cfg.Listen)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("enroll.listen: %s: the port is in use (%w); stop what holds it (ss -tlnp shows it), or choose another port", cfg.Listen, err)
	case err != nil:
		return nil, fmt.Errorf("enroll.listen: %w; use an address of this host and a free port", err)
	}
	log.Info("enrolment listening", "addr", s.listener.Addr().String(), "fingerprint", fingerprint, "certificate", cfg.CertFile(),
		"tokens", cfg.Tokens != "", "password", cfg.PasswordFile != "", "client_certificates", cfg.ClientCA != "")
	if !cfg.asks() && cfg.ClientCA == "" {
		log.Warn("whoever reaches the enrolment port gets a key", "remedy", "ask for a token, a password or a certificate: --enroll-tokens, --enroll-password-file or --enroll-client-ca")
	}
	return s, nil
}

// Close is for where Run is not called.
func (s *Server) Close() { s.listener.Close() }

// newServer is a server without a port.
func newServer(cfg Config, log *slog.Logger) (s *Server, fingerprint string, err error) {
	s = &Server{cfg: cfg, log: log, limiter: newConnLimiter(), refusals: &refusals{log: log}}
	s.issuer = newIssuer(&s.cfg, log)
	if err := cfg.checkFiles(); err != nil {
		return nil, "", err
	}
	s.tls, fingerprint, err = s.cfg.tlsConfig()
	return s, fingerprint, err
}

// Run gives out keys until ctx ends. It returns when all its goroutines have ended.
func (s *Server) Run(ctx context.Context) {
	var all sync.WaitGroup
	all.Go(func() { s.issuer.run(ctx) })
	all.Go(func() { s.refusals.run(ctx) })
	stop := context.AfterFunc(ctx, func() { s.listener.Close() })
	defer stop()
	for {
		conn, err := s.listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			break
		}
		if err != nil {
			s.refusals.note(failed, netip.AddrPort{}, "err", err.Error())
			time.Sleep(acceptPause)
			continue
		}
		from := addrOf(conn)
		stay, why := s.limiter.enter(conn, from.Addr(), time.Now())
		if why != 0 {
			conn.Close()
			s.refusals.note(why, from)
			continue
		}
		all.Go(func() {
			defer s.limiter.leave(stay)
			s.serve(ctx, conn, from, stay)
		})
	}
	all.Wait()
	if attrs := s.refusals.summary(); attrs != nil {
		s.log.Info("enrolments refused, in all", attrs...)
	}
}

func addrOf(conn net.Conn) netip.AddrPort {
	a, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// serve takes one request and answers it.
func (s *Server) serve(ctx context.Context, raw net.Conn, from netip.AddrPort, stay *stay) {
	defer raw.Close()
	goOn := context.AfterFunc(ctx, func() { raw.Close() })
	defer goOn()
	raw.SetDeadline(time.Now().Add(requestWithin))
	conn := tls.Server(&listened{raw, func() { s.limiter.speaks(stay, time.Now()) }}, s.tls)
	o := &order{from: from.Addr(), done: make(chan struct{})}
	detail := o.read(conn)
	if o.why == 0 && !s.limiter.ask(stay) {
		return // it was put out at the last moment, and comes again
	}
	if o.why != 0 && s.limiter.wasPutOut(stay) {
		o.why, detail = tooMany, nil
	}
	if o.why == 0 {
		select {
		case s.issuer.orders <- o:
			goOn() // the issuer is at it: the answer is waited for and sent even at a stop
			<-o.done
		case <-ctx.Done():
			return
		}
	}
	switch {
	case o.why == 0:
		s.enrolled.Add(1)
	case ctx.Err() == nil:
		s.refuse(o, from, detail)
	}
	answer := s.answer(o)
	if answer == nil {
		return
	}
	raw.SetDeadline(time.Now().Add(answerWithin))
	defer context.AfterFunc(ctx, func() { raw.SetDeadline(time.Now().Add(stopWithin)) })()
	_, err := conn.Write(answer)
	if err == nil {
		err = conn.Close()
	}
	if err != nil && o.why == 0 {
		s.log.Warn("an agent may not have received its new key", "agent", o.key.ID, "name", o.key.Name, "source", from.String(), "err", err,
			"remedy", "if it asks again, remove this agent (ossecd keygen remove "+o.key.ID+") and give the host another token")
	}
}

// read reads the request of an order. What it cannot read is told in o.why; detail is more about it.
func (o *order) read(conn *tls.Conn) (detail error) {
	if err := conn.Handshake(); err != nil {
		o.why = noHandshake
		if errors.Is(err, os.ErrDeadlineExceeded) {
			o.why = tooSlow
		}
		return err
	}
	line, err := readRequest(conn)
	switch {
	case errors.Is(err, errLong):
		o.why = tooLong
	case errors.Is(err, os.ErrDeadlineExceeded):
		o.why = tooSlow
	case err != nil:
		o.why = noRequest
	default:
		if o.req, err = proto.ParseEnrollRequest(line); err != nil {
			o.why = malformed
		}
	}
	return err
}

var errLong = errors.New("no line feed within 8 KB")

// readRequest reads a request, and returns it without its line feed.
func readRequest(r io.Reader) ([]byte, error) {
	var line []byte
	buffer := make([]byte, 1024)
	for {
		n, err := r.Read(buffer)
		line = append(line, buffer[:n]...)
		if n := proto.EnrollRequestLen(line); n > 0 {
			return line[:n-1], nil
		}
		if len(line) >= proto.MaxEnrollRequest {
			return nil, errLong
		}
		if err != nil {
			return nil, err
		}
	}
}

// refuse counts and logs a refusal.
func (s *Server) refuse(o *order, from netip.AddrPort, detail error) {
	var attrs []any
	if o.req.Name != "" {
		attrs = append(attrs, "name", shown(o.req.Name))
	}
	if o.why == badAddress || o.why == addressTaken {
		attrs = append(attrs, "address", shown(o.address))
	}
	if o.why == badGroup {
		attrs = append(attrs, "groups", shown(o.groups))
	}
	if o.token != "" {
		attrs = append(attrs, "token", o.token)
	}
	if detail != nil {
		attrs = append(attrs, "err", shown(detail.Error()))
	}
	if o.why.isGuess() {
		s.limiter.guessed(from.Addr(), time.Now())
	}
	s.refusals.note(o.why, from, attrs...)
}

// shown is a foreign text for the log.
func shown(s string) string { return s[:min(len(s), 140)] }

// answer is what the agent is told; nil where it is not to be told anything.
func (s *Server) answer(o *order) []byte {
	if o.why == 0 {
		attrs := []any{"agent", o.key.ID, "name", o.key.Name, "address", o.key.Address.String(), "source", o.from.String()}
		for _, a := range []struct{ key, value string }{{"token", o.token}, {"replaced", o.replaced}, {"groups", o.groups}} {
			if a.value != "" {
				attrs = append(attrs, a.key, a.value)
			}
		}
		if o.key.Name != o.req.Name {
			attrs = append(attrs, "asked_for", o.req.Name)
		}
		what := "agent enrolled"
		if o.returned {
			what = "agent enrolled again, and got its key back"
		}
		s.log.Info(what, attrs...)
		return proto.AppendEnrollKey(nil, o.key.Line(), o.req.Dialect())
	}
	text := o.why.answer(o.req.Name, o.address, o.groups)
	if text == "" {
		return nil
	}
	return proto.AppendEnrollError(nil, text, o.req.Dialect())
}
