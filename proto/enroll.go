package proto

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// Limits of enrolment (docs/protocol.md, "Enrolment"), in bytes. Wazuh allows a request of 69,632, nearly all of it for groups.
const (
	MaxEnrollRequest = 8_192 // with its line feed
	MaxEnrollAnswer  = 4_096 // the longest line of client.keys has 2,047
)

// EnrollRequest is what an agent sends to get a key. No field holds a control character, and none but Password a "'".
type EnrollRequest struct {
	Password string // empty: none
	Name     string

	// What follows is Wazuh's; empty where it is not sent.
	Version string // as in "v4.14.5"; every Wazuh agent sends it
	Groups  string // separated by commas
	Address string // an address or network, or "src" for the one that the request comes from
	KeySum  string // of the key that the agent has already: SHA-1 of ID, NAME and KEY joined, hexadecimal
}

const (
	enrollPass  = "OSSEC PASS: "
	enrollAgent = "OSSEC A:'"
	enrollKey   = "OSSEC K:'"
	enrollError = "ERROR: "
	unableOSSEC = "ERROR: Unable to add agent.\n\n"
	unableWazuh = ". Unable to add agent"
)

// options are the fields behind the name, in the order of the wire.
func (r *EnrollRequest) options() [4]enrollOption {
	return [...]enrollOption{{" V:'", &r.Version}, {" G:'", &r.Groups}, {" IP:'", &r.Address}, {" K:'", &r.KeySum}}
}

type enrollOption struct {
	tag   string
	value *string
}

// Dialect is whose form the request has, and the answer is to have.
func (r *EnrollRequest) Dialect() Dialect {
	if r.Version != "" {
		return Wazuh
	}
	return OSSEC
}

// AppendEnrollRequest appends the request with its line feed. It is an error where a field cannot be sent.
func AppendEnrollRequest(dst []byte, r *EnrollRequest) ([]byte, error) {
	start := len(dst)
	if r.Password != "" {
		dst = append(append(append(dst, enrollPass...), r.Password...), ' ')
	}
	dst = append(append(append(dst, enrollAgent...), r.Name...), '\'')
	for _, o := range r.options() {
		if *o.value != "" {
			dst = append(append(append(dst, o.tag...), *o.value...), '\'')
		}
	}
	if back, err := ParseEnrollRequest(dst[start:]); err != nil || back != *r {
		return dst[:start], fmt.Errorf("enrolment request %w: a quote, a control character, or over %d bytes", ErrMalformed, MaxEnrollRequest)
	}
	return append(dst, '\n'), nil
}

// EnrollRequestLen is how long the request is that b begins with, its line feed included; 0 where more must come to say so.
// A stock agent that reads its password from a file sends the line feed of that file too.
func EnrollRequestLen(b []byte) int {
	n := bytes.IndexByte(b, '\n') + 1
	if n == 0 || !bytes.HasPrefix(b, []byte(enrollPass)) || bytes.Contains(b[:n], []byte(" "+enrollAgent)) {
		return n
	}
	switch rest := string(b[n:]); {
	case strings.HasPrefix(rest, " "+enrollAgent):
		if end := strings.IndexByte(rest, '\n') + 1; end > 0 {
			return n + end
		}
		return 0
	case strings.HasPrefix(" "+enrollAgent, rest):
		return 0
	}
	return n
}

// ParseEnrollRequest reads what EnrollRequestLen measured, without the line feed at its end. Options out of order, and
// whatever follows them, are passed over, as stock managers do. The error is ErrMalformed.
func ParseEnrollRequest(line []byte) (EnrollRequest, error) {
	var r EnrollRequest
	if i := bytes.Index(line, []byte("\n "+enrollAgent)); i >= 0 && bytes.HasPrefix(line, []byte(enrollPass)) {
		line = append(bytes.TrimSuffix(bytes.Clone(line[:i]), []byte("\r")), line[i+1:]...)
	}
	if len(line) >= MaxEnrollRequest || bytes.ContainsFunc(line, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return r, ErrMalformed
	}
	rest := string(line)
	if pass, ok := strings.CutPrefix(rest, enrollPass); ok {
		i := strings.LastIndex(pass, " "+enrollAgent) // behind it a quote ends what stands in quotes, so the last is it
		if i < 0 {
			return r, ErrMalformed
		}
		r.Password, rest = pass[:i], pass[i+1:]
	}
	rest, ok := strings.CutPrefix(rest, enrollAgent)
	if ok {
		r.Name, rest, ok = strings.Cut(rest, "'")
	}
	if !ok {
		return r, ErrMalformed
	}
	for _, o := range r.options() {
		value, ok := strings.CutPrefix(rest, o.tag)
		if !ok {
			continue
		}
		if *o.value, rest, ok = strings.Cut(value, "'"); !ok {
			return r, ErrMalformed
		}
	}
	return r, nil
}

// AppendEnrollKey appends the answer that gives out a line of client.keys.
func AppendEnrollKey(dst []byte, line string, d Dialect) []byte {
	dst = append(append(append(dst, enrollKey...), line...), '\'')
	if d != Wazuh {
		dst = append(dst, "\n\n"...)
	}
	return dst
}

// AppendEnrollError appends the answer that refuses. text is one of the stock texts, with what was refused behind it;
// control characters in it become "?".
func AppendEnrollError(dst []byte, text string, d Dialect) []byte {
	text = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return '?'
		}
		return c
	}, text[:min(len(text), MaxEnrollAnswer/2)])
	dst = append(append(dst, enrollError...), text...)
	if d == Wazuh {
		return append(dst, unableWazuh...)
	}
	return append(append(dst, "\n\n"...), unableOSSEC...)
}

// EnrollRefusal is why a manager refused, in its words, which may hold anything but line feeds. It is an error.
type EnrollRefusal string

func (e EnrollRefusal) Error() string { return fmt.Sprintf("the manager refused: %.500q", string(e)) }

// ErrEnrollShort says that an answer is not whole: there may be more to read.
var ErrEnrollShort = errors.New("no whole answer")

// ParseEnrollAnswer reads what a manager sent so far and returns the line of client.keys in it, unchecked. A refusal is an
// EnrollRefusal; Wazuh's has no end but that of the connection, which ended says.
func ParseEnrollAnswer(b []byte, ended bool) (line string, err error) {
	text := string(b)
	refusal, refused := strings.CutPrefix(text, enrollError)
	rest, given := strings.CutPrefix(text, enrollKey)
	switch {
	case refused:
		refusal, _, whole := strings.Cut(refusal, "\n")
		if whole || ended || len(b) >= MaxEnrollAnswer {
			return "", EnrollRefusal(strings.TrimSuffix(refusal, unableWazuh))
		}
	case given:
		if line, _, whole := strings.Cut(rest, "'"); whole {
			return line, nil
		}
	case !strings.HasPrefix(enrollKey, text) && !strings.HasPrefix(enrollError, text):
		return "", ErrMalformed
	}
	if len(b) >= MaxEnrollAnswer {
		return "", ErrTooLarge
	}
	return "", ErrEnrollShort
}
