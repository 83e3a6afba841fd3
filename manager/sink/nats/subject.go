package nats

import (
	"fmt"
	"slices"
	"strings"

	"ossecd/manager/sink"
)

// DefaultSubject is where events go unless something else is asked for.
const DefaultSubject = "ossec.events.{agent.id}"

// maxToken bounds what one placeholder becomes, in bytes.
const maxToken = 64

// placeholders are what a template may have in braces.
var placeholders = map[string]func(e *sink.Event) []byte{
	"agent.id":   func(e *sink.Event) []byte { return e.ID },
	"agent.name": func(e *sink.Event) []byte { return e.Name },
	"queue":      func(e *sink.Event) []byte { return []byte{e.Queue} },
	"location":   func(e *sink.Event) []byte { return e.Location },
	"action":     func(e *sink.Event) []byte { return e.Action },
}

// Subject is a template of subjects: texts, and between them what an event fills in.
type Subject struct {
	texts []string // one more than fills
	fills []func(e *sink.Event) []byte
}

// ParseSubject reads a template such as "ossec.events.{agent.id}".
func ParseSubject(template string) (s Subject, err error) {
	rest := template
	for {
		text, after, found := strings.Cut(rest, "{")
		s.texts = append(s.texts, text)
		if !found {
			break
		}
		name, after, closed := strings.Cut(after, "}")
		fill := placeholders[name]
		if !closed || fill == nil {
			return s, fmt.Errorf("%.80q: {%.40s} is unknown; use {agent.id}, {agent.name}, {queue}, {location} or {action}", template, name)
		}
		s.fills, rest = append(s.fills, fill), after
	}
	filled := s.Filter()
	tokens := strings.Split(filled, ".")
	if slices.Contains(tokens, "") || len(template) > 200 || strings.Contains(strings.Join(s.texts, ""), "*") || strings.HasPrefix(filled, "$") ||
		strings.ContainsFunc(filled, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '>' || r == '}' }) {
		return s, fmt.Errorf(`%.80q is not a subject to publish to; use words of letters, digits, "-" and "_" with dots between them, as in %s`, template, DefaultSubject)
	}
	return s, nil
}

// Filter is the subject with a wildcard for each word that is not the same for all events.
func (s *Subject) Filter() string {
	tokens := strings.Split(strings.Join(s.texts, "{"), ".")
	for i, t := range tokens {
		if strings.Contains(t, "{") {
			tokens[i] = "*"
		}
	}
	return strings.Join(tokens, ".")
}

// appendTo appends the subject of an event. What is filled in is one word, or a part of one, whatever agents and files are
// called: bytes other than letters, digits, "-" and "_" become "_", and what is missing is "_".
func (s *Subject) appendTo(b []byte, e *sink.Event) []byte {
	for i, text := range s.texts {
		b = append(b, text...)
		if i == len(s.fills) {
			break
		}
		value := s.fills[i](e)
		if len(value) == 0 {
			b = append(b, '_')
		}
		for _, c := range value[:min(len(value), maxToken)] {
			if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' {
				c = '_'
			}
			b = append(b, c)
		}
	}
	return b
}
