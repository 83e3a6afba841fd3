package order

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"ossecd/keys/localqueue"
	"ossecd/proto"
)

// Request is what the stock analysis daemon or control tool asks for (docs/protocol.md, "Events").
type Request struct {
	All    bool
	ID     string // of the one agent meant, if any
	Sender string // name of the agent whose event it was, where that one is meant
	Text   string // the control message
}

var (
	errRequest = errors.New("not of the form LOCATION FLAGS AGENT MESSAGE")
	errDoubt   = errors.New("in doubt: the location holds what looks like an order, the name of the user has blanks, or the datagram was cut; nothing is sent")
)

// stockLongest is how long a datagram of the stock analysis daemon can get. One as long as that was cut.
const stockLongest = 1023

// ParseRequest reads a datagram of the active-response queue:
//
//	(web01) any->/var/log/auth.log NRN (null) host-deny600 - 10.9.8.7 1795415962.1 5710 (web01) any->/var/log/auth.log (null)
//	(msg_to_agent) [] N!S 001 syscheck restart
//
// The location is an agent's own text, and the user is a log line's: both can hold what looks like flags and a command. Only the agent's
// name at the beginning is to be trusted. The true reading has its location once more behind the command, after exactly five words. What
// a look-alike in the location has before it is a part of that, and what one in the user's name has before it is longer: so the longest
// location that stands there again must stand in its place, and none may stand there twice. Else nothing is obeyed.
// What was cut may lack the true flags or that second location, and whatever
// looks right in it may be the agent's words: it is obeyed only if it is for the very agent that sent the event.
func ParseRequest(d []byte) (Request, error) {
	d, _, _ = bytes.Cut(d, []byte{0})
	text := string(d)
	readings := readRequest(text)
	if len(readings) == 0 {
		return Request{}, fmt.Errorf("%.80q is %w", text, errRequest)
	}
	r, sure := judge(readings, len(text) >= stockLongest)
	if !sure {
		return Request{}, fmt.Errorf("%.80q is %w", text, errDoubt)
	}
	if !r.All && r.ID == "" && r.Sender == "" {
		return Request{}, fmt.Errorf("%.80q is %w: it is for the agent of an event that no agent sent", text, errRequest)
	}
	return r, proto.CheckOrder(r.Text)
}

// judge says which of the readings holds, of which there is one at least, and whether that is sure.
func judge(readings []reading, cut bool) (r Request, sure bool) {
	longest := readings[len(readings)-1]
	if cut {
		return longest.Request, len(readings) == 1 && !longest.All && longest.ID == ""
	}
	repeated := false
	for _, r := range readings { // the shortest location first
		switch strings.Count(r.Text, r.location) {
		case 0:
		case 1:
			repeated, longest = true, r
		default:
			return Request{}, false
		}
	}
	if repeated {
		return longest.Request, longest.confirmed()
	}
	return longest.Request, len(readings) == 1
}

// reading is what a datagram can mean.
type reading struct {
	location string
	Request
}

// confirmed says that the location stands once more where the analysis daemon puts it: COMMAND USER ADDRESS ALERT RULE LOCATION FILE. A
// user's name with blanks would move it, and could bring an address of its own.
func (r *reading) confirmed() bool {
	command, ok := strings.CutPrefix(r.Text, proto.Execd)
	words := strings.SplitN(command, " ", 6)
	return ok && len(words) == 6 && strings.HasPrefix(words[5], r.location+" ")
}

// readRequest finds all readings.
func readRequest(text string) (all []reading) {
	for at := 0; ; {
		i := strings.IndexByte(text[at:], ' ')
		if i < 0 {
			return all
		}
		at += i + 1
		r, err := parseFlags(text[at:])
		if err != nil {
			continue
		}
		location := text[:at-1]
		if r.Sender != "" {
			r.Sender = ""
			if name, _, end := strings.Cut(strings.TrimPrefix(location, "("), ") "); end && strings.HasPrefix(location, "(") {
				r.Sender = name // else no agent is named there
			}
		}
		all = append(all, reading{location, r})
	}
}

// parseFlags reads "FLAGS AGENT MESSAGE". A sender that is meant is not known yet, and given as "?".
func parseFlags(s string) (r Request, err error) {
	flags, rest, _ := strings.Cut(s, " ")
	id, message, ok := strings.Cut(rest, " ")
	if !ok || len(flags) != 3 || strings.IndexByte("AN", flags[0]) < 0 || strings.IndexByte("R!N", flags[1]) < 0 || strings.IndexByte("SN", flags[2]) < 0 || message == "" {
		return r, errRequest
	}
	r.All, r.Text = flags[0] == 'A', proto.Execd+message
	switch flags[1] {
	case 'R':
		r.Sender = "?"
	case '!':
		r.Text = proto.ControlPrefix + message
	}
	if flags[2] == 'S' {
		r.ID = id
	}
	if !r.All && r.Sender == "" && r.ID == "" {
		return r, errRequest
	}
	return r, nil
}

// ListenQueue opens the active-response queue at a path. One that is there already is replaced if nobody reads it. The analysis daemon
// connects to it once, when it starts: one that reads its own queue by now is named.
func ListenQueue(path, analysisQueue string, log *slog.Logger) (*localqueue.Queue, error) {
	q, err := localqueue.Open(path, log)
	if err != nil {
		return nil, fmt.Errorf("active responses: %w", err)
	}
	if localqueue.InUse(analysisQueue) != nil {
		log.Warn("the analysis daemon was started before ossecd: its active responses do not reach ossecd",
			"remedy", "restart the analysis daemon, and then the monitor daemon, each after the old one has ended")
	}
	return q, nil
}

// ServeQueue obeys what the queue asks for until ctx ends, and closes it. Events do not need it, so that a process that takes it from us
// does not end the manager.
func (d *Dispatcher) ServeQueue(ctx context.Context, q *localqueue.Queue) {
	q.Serve(ctx, func(datagram []byte) {
		r, err := ParseRequest(datagram)
		if err == nil {
			_, err = d.obey(r)
		}
		if err != nil {
			d.limited.Error("an active response was not passed on", "err", err)
		}
	}, func(by error) error {
		d.limited.Error("active responses go to another process", "err", by, "remedy", "stop that process, and restart the analysis daemon afterwards")
		return nil
	})
}

// obey sends what was asked for to those who are meant.
func (d *Dispatcher) obey(r Request) ([]Told, error) {
	const from = "active-response queue"
	if r.All {
		return d.Send(from, nil, r.Text)
	}
	var ids []string
	if r.ID != "" {
		ids = append(ids, r.ID)
	}
	if r.Sender != "" {
		a := d.fleet.Roster().ByName(r.Sender)
		if a == nil {
			return nil, fmt.Errorf("agent %.130q: %w", r.Sender, errNoAgent)
		}
		ids = append(ids, a.Key.ID)
	}
	return d.Send(from, ids, r.Text)
}
