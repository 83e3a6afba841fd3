package sendtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"ossecd/proto"
)

// startupPauses are the waiting times after the first startups; the last one is used again and again.
var startupPauses = []time.Duration{time.Second, 2 * time.Second, 3 * time.Second}

// outcome is what --json prints.
type outcome struct {
	OK      bool     `json:"ok"`
	Manager string   `json:"manager"`
	Agents  int      `json:"agents"`
	Sent    int64    `json:"sent"`                    // events
	Acked   int64    `json:"acked"`                   // control messages
	Seconds float64  `json:"seconds"`                 // of a load: from its first event to its last, as given to the system
	Rate    float64  `json:"rate"`                    // events a second in that time
	Hello   float64  `json:"hello_seconds,omitempty"` // of a load: what the handshakes took
	Steps   []step   `json:"steps,omitempty"`
	Error   string   `json:"error,omitempty"`
	Check   []string `json:"check,omitempty"` // what to check next
}

// step is one thing that happened.
type step struct {
	Step    string  `json:"step"`
	Bytes   int     `json:"bytes,omitempty"` // of the datagram
	Counter string  `json:"counter,omitempty"`
	Millis  float64 `json:"round_trip_ms,omitempty"`
	Text    string  `json:"text,omitempty"`
}

// report prints steps as they happen, or all of them at the end as JSON.
type report struct {
	w    io.Writer
	json bool
	out  outcome
}

func (r *report) step(s step) {
	r.out.Steps = append(r.out.Steps, s)
	if r.json {
		return
	}
	line := fmt.Sprintf("%-9s", s.Step)
	if s.Bytes > 0 {
		line += fmt.Sprintf(" %5d bytes, count %s", s.Bytes, s.Counter)
	}
	if s.Millis > 0 {
		line += fmt.Sprintf(", round trip %.3f ms", s.Millis)
	}
	if s.Text != "" {
		line += " " + s.Text
	}
	fmt.Fprintln(r.w, line)
}

func (r *report) sent(name string, s sent) {
	r.step(step{Step: name, Bytes: s.size, Counter: counterText(s.counter)})
}

func (r *report) acked(a answer, since time.Time) {
	r.out.Acked++
	r.step(step{Step: "ack", Bytes: a.size, Counter: counterText(a.counter), Millis: float64(time.Since(since).Microseconds()) / 1000})
}

func counterText(c proto.Counter) string { return fmt.Sprintf("%d:%04d", c.Global, c.Local) }

// finish prints the end of it, and returns the error to end with.
func (r *report) finish(err error, check []string) error {
	r.out.OK, r.out.Check = err == nil, check
	if err != nil {
		r.out.Error = err.Error()
	}
	if r.json {
		e := json.NewEncoder(r.w)
		e.SetEscapeHTML(false)
		return errors.Join(err, e.Encode(&r.out))
	}
	if len(check) > 0 {
		fmt.Fprintln(r.w, "\nWhat to check next:")
		for i, c := range check {
			fmt.Fprintf(r.w, "%2d. %s\n", i+1, c)
		}
		fmt.Fprintln(r.w)
	}
	return err
}

// runOnce speaks as one agent, step by step.
func runOnce(ctx context.Context, j *job, w io.Writer, makeCounts func() (counts, error)) error {
	r := &report{w: w, json: j.json, out: outcome{Manager: j.address.HostPort, Agents: 1}}
	b, err := newBench()
	if err != nil {
		return err
	}
	c, err := makeCounts()
	if err != nil {
		return err
	}
	conn, err := dial(ctx, j.keys[0], j.address)
	if err != nil {
		return r.finish(err, j.explainDial(ctx, err, c, b))
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	s := newSession(j.keys[0], conn, c, j.target)
	s.bench = b
	defer s.leave()
	form := j.method.String()
	if j.dialect == proto.Wazuh {
		form += ", Wazuh's dialect"
	}
	if s.overTCP() {
		form += ", over TCP"
	}
	r.step(step{Step: "connect", Text: fmt.Sprintf("as %v from %v to %v, %s", s.key, s.conn.LocalAddr(), s.conn.RemoteAddr(), form)})

	began := time.Now()
	if err := s.hello(ctx, j.timeout, r); err != nil {
		return r.finish(err, append(j.tryOtherWay(ctx, err, c, b), s.explain(err)...))
	}
	message, err := s.event(j.queue, j.location, []byte(j.message))
	if err != nil {
		return r.finish(err, s.explain(err))
	}
	r.sent("event", message)
	r.out.Sent = 1
	if err := s.probe(ctx, j.timeout, r); err != nil {
		return r.finish(fmt.Errorf("after the event: %w", err), s.explainLater(err))
	}
	r.out.Seconds = time.Since(began).Seconds()
	r.out.Rate = 1 / r.out.Seconds
	r.step(step{Step: "done", Text: "the manager took what came before and after the event; look for it where the manager writes its events"})
	return r.finish(nil, nil)
}

// hello sends startups, with pauses, until one is acknowledged or the timeout is over.
func (s *session) hello(ctx context.Context, timeout time.Duration, r *report) error {
	return s.ask(ctx, timeout, r, "startup", s.startup)
}

// probe likewise sends keepalives.
func (s *session) probe(ctx context.Context, timeout time.Duration, r *report) error {
	return s.ask(ctx, timeout, r, "keepalive", s.keepalive)
}

func (s *session) ask(ctx context.Context, timeout time.Duration, r *report, name string, send func() (sent, error)) error {
	end := time.Now().Add(timeout)
	for try := 0; ; try++ {
		m, err := send()
		if err != nil {
			return err
		}
		r.sent(name, m)
		until := m.at.Add(startupPauses[min(try, len(startupPauses)-1)])
		if until.After(end) {
			until = end
		}
		a, err := s.ack(ctx, until)
		if err == nil {
			r.acked(a, m.at)
			return nil
		}
		if !errors.Is(err, errNoAnswer) {
			return err
		}
		if !time.Now().Before(end) {
			return fmt.Errorf("%w from %v to %d %s messages in %v", errNoAnswer, s.conn.RemoteAddr(), try+1, name, timeout)
		}
		r.step(step{Step: "waiting", Text: "no answer yet; sending again"})
	}
}
