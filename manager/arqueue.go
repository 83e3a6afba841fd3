package manager

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"ossecd/keys/durable"
	"ossecd/proto"
)

// request is what the stock analysis daemon or control tool asks for (docs/protocol.md, "Events").
type request struct {
	all    bool
	id     string // of the one agent meant, if any
	sender string // name of the agent whose event it was, where that one is meant
	text   string // the control message
}

var (
	errRequest = errors.New("not of the form LOCATION FLAGS AGENT MESSAGE")
	errDoubt   = errors.New("in doubt: the location holds what looks like an order, or the datagram was cut; nothing is sent")
)

// stockLongest is how long a datagram of the stock analysis daemon can get. One as long as that was cut.
const stockLongest = 1023

// parseRequest reads a datagram of the active-response queue:
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
func parseRequest(d []byte) (request, error) {
	d, _, _ = bytes.Cut(d, []byte{0})
	text := string(d)
	readings := readRequest(text)
	if len(readings) == 0 {
		return request{}, fmt.Errorf("%.80q is %w", text, errRequest)
	}
	r, sure := judge(readings, len(text) >= stockLongest)
	if !sure {
		return request{}, fmt.Errorf("%.80q is %w", text, errDoubt)
	}
	if !r.all && r.id == "" && r.sender == "" {
		return request{}, fmt.Errorf("%.80q is %w: it is for the agent of an event that no agent sent", text, errRequest)
	}
	message, err := checkOrder(r.text)
	r.text = message
	return r, err
}

// judge says which of the readings holds, of which there is one at least, and whether that is sure.
func judge(readings []reading, cut bool) (r request, sure bool) {
	longest := readings[len(readings)-1]
	if cut {
		return longest.request, len(readings) == 1 && !longest.all && longest.id == ""
	}
	repeated := false
	for _, r := range readings { // the shortest location first
		switch strings.Count(r.text, r.location) {
		case 0:
		case 1:
			repeated, longest = true, r
		default:
			return request{}, false
		}
	}
	if repeated {
		return longest.request, longest.confirmed()
	}
	return longest.request, len(readings) == 1
}

// reading is what a datagram can mean.
type reading struct {
	location string
	request
}

// confirmed says that the location stands once more where the analysis daemon puts it: COMMAND USER ADDRESS ALERT RULE LOCATION FILE. A
// user's name with blanks would move it, and could bring an address of its own.
func (r *reading) confirmed() bool {
	command, ok := strings.CutPrefix(r.text, proto.Execd)
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
		if r.sender != "" {
			r.sender = ""
			if name, _, end := strings.Cut(strings.TrimPrefix(location, "("), ") "); end && strings.HasPrefix(location, "(") {
				r.sender = name // else no agent is named there
			}
		}
		all = append(all, reading{location, r})
	}
}

// parseFlags reads "FLAGS AGENT MESSAGE". A sender that is meant is not known yet, and given as "?".
func parseFlags(s string) (r request, err error) {
	flags, rest, _ := strings.Cut(s, " ")
	id, message, ok := strings.Cut(rest, " ")
	if !ok || len(flags) != 3 || strings.IndexByte("AN", flags[0]) < 0 || strings.IndexByte("R!N", flags[1]) < 0 || strings.IndexByte("SN", flags[2]) < 0 || message == "" {
		return r, errRequest
	}
	r.all, r.text = flags[0] == 'A', proto.Execd+message
	switch flags[1] {
	case 'R':
		r.sender = "?"
	case '!':
		r.text = proto.ControlPrefix + message
	}
	if flags[2] == 'S' {
		r.id = id
	}
	if !r.all && r.sender == "" && r.id == "" {
		return r, errRequest
	}
	return r, nil
}

// fulfil sends what was asked for to those who are meant.
func (m *manager) fulfil(r request) ([]Told, error) {
	if r.all {
		return m.orders.send(nil, r.text)
	}
	var ids []string
	if r.id != "" {
		ids = append(ids, r.id)
	}
	if r.sender != "" {
		id := m.idOf(r.sender)
		if id == "" {
			return nil, fmt.Errorf("agent %.130q: %w", r.sender, errNoAgent)
		}
		ids = append(ids, id)
	}
	return m.orders.send(ids, r.text)
}

// idOf is the ID of the agent of this name, or "".
func (m *manager) idOf(name string) string {
	for id, a := range m.roster.Load().byID {
		if a.key.Name == name {
			return id
		}
	}
	return ""
}

// listenAR opens the active-response queue: a unix datagram socket, 0660, with the group of its directory. One that is
// there already is replaced if nobody reads it.
func listenAR(path string) (*net.UnixConn, error) {
	address := &net.UnixAddr{Name: path, Net: "unixgram"}
	if c, err := net.DialUnix("unixgram", nil, address); err == nil {
		c.Close()
		return nil, fmt.Errorf("active responses: another process reads %s; stop the stock remote daemon first (ossec-control stop)", path)
	}
	if err := removeSocket(path); err != nil {
		return nil, err
	}
	c, err := net.ListenUnixgram("unixgram", address)
	if err != nil {
		return nil, fmt.Errorf("active responses: %w; make the directory writable for this user", err)
	}
	if err := durable.OpenToGroup(path); err != nil {
		c.Close()
		return nil, fmt.Errorf("active responses: %w; make the directory writable for this user", err)
	}
	return c, nil
}

// removeSocket removes a socket that an earlier process left behind, and nothing else.
func removeSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.Mode().Type() != fs.ModeSocket {
		err = fmt.Errorf("%s is there and is no socket; remove it, or name another place", path)
	}
	if err == nil {
		err = os.Remove(path)
	}
	return err
}

// serveAR reads requests until ctx ends.
func (m *manager) serveAR(ctx context.Context, c *net.UnixConn) {
	defer context.AfterFunc(ctx, func() { c.Close() })()
	b := make([]byte, 64<<10)
	for {
		n, err := c.Read(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			m.limited.Error("active responses are not read", "err", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
			continue
		}
		r, err := parseRequest(b[:n])
		var told []Told
		if err == nil {
			told, err = m.fulfil(r)
		}
		if err != nil {
			m.limited.Error("an active response was not passed on", "err", err)
			continue
		}
		m.logOrder("active-response queue", r.text, told)
	}
}

// logOrder logs an order that was given.
func (m *manager) logOrder(from, text string, told []Told) {
	reached := 0
	for _, t := range told {
		if t.Reachable {
			reached++
		}
	}
	m.log.Info("order", "from", from, "order", text[:min(len(text), 200)], "agents", len(told), "reached", reached)
}
