package keys

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ossecd/keys/marked"
)

// Note is what is known of an agent and has no place in client.keys, whose form is that of the stock tools.
type Note struct {
	Made   time.Time // when the KEY was made here, UTC, to the second; zero: not known
	Groups []string  // sorted
	Token  string    // ID of the token with which it enrolled; empty: none
	// Next is the KEY that takes the place of the present one, which both ends take from Ordered on; empty: none. It
	// becomes the present one when the agent has used it.
	Next    string
	Ordered time.Time
}

// Notes is the file beside a keys file: a line for each agent of which there is something to note,
//
//	ID PRINT MADE GROUPS TOKEN NEXT ORDERED
//
// with "-" for what there is not. PRINT tells of which KEY the line speaks.
type Notes struct {
	path    string
	lines   map[string]noteLine // by ID
	changed bool
}

type noteLine struct {
	print string // of the KEY; see printOf
	Note
}

const (
	notesSuffix = ".notes"
	notesHead   = "# ossecd's notes on the agents of %s: ID, fingerprint of KEY, made, groups, token, next KEY, ordered. Secret like it.\n"
	nothing     = "-"
	printLen    = 16
	maxGroups   = 16
	maxGroup    = 64
	maxToken    = 64
)

var (
	errNote  = errors.New("want seven fields with single blanks between them, as ossecd writes them: ID PRINT MADE GROUPS TOKEN NEXT ORDERED; correct the line, or remove it")
	errGroup = errors.New("is not a group name; use 1 to 64 letters, digits, dots, dashes and underscores, and at most 16 groups")
)

// NotesPath is where the notes on a keys file are.
func NotesPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // one file of notes, whatever name the keys file is called by
	}
	return path + notesSuffix
}

// printOf tells one KEY from another, and gives neither away.
func printOf(secret string) string {
	sum := sha256.Sum256([]byte("ossecd note 1 " + secret))
	return hex.EncodeToString(sum[:printLen/2])
}

// LoadNotes reads the notes on the keys file at path; none where the file is missing. One fault is an error: what cannot be
// read whole could not be written again without loss.
func LoadNotes(path string) (*Notes, error) {
	n := &Notes{path: NotesPath(path), lines: make(map[string]noteLine)}
	in, err := os.Open(n.path)
	if errors.Is(err, fs.ErrNotExist) {
		return n, nil
	}
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	defer in.Close()
	text, err := readText(in, filepath.Base(n.path))
	if err != nil {
		return nil, err
	}
	return n, n.parse(string(marked.Text(text)))
}

func (n *Notes) parse(text string) error {
	i := 0
	if len(n.lines) == 0 {
		n.lines = make(map[string]noteLine, strings.Count(text, "\n"))
	}
	for line := range strings.Lines(text) {
		i++
		line = strings.TrimRight(line, "\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		id, l, err := parseNote(line)
		if _, has := n.lines[id]; has && err == nil {
			err = fmt.Errorf("the ID %s %w by a line before; remove one of the two", id, errDuplicate)
		}
		if err != nil {
			return fmt.Errorf("keys: %s:%d: %w", filepath.Base(n.path), i, err)
		}
		n.lines[id] = l
	}
	return nil
}

func parseNote(line string) (id string, l noteLine, err error) {
	var f [7]string
	rest, more := line, len(line) <= maxLine
	for i := range f {
		if !more {
			return "", l, errNote
		}
		f[i], rest, more = strings.Cut(rest, " ")
	}
	if more {
		return "", l, errNote
	}
	if err := CheckID(f[0]); err != nil {
		return "", l, err
	}
	if b, err := hex.DecodeString(f[1]); err != nil || len(b) != printLen/2 {
		return "", l, errNote
	}
	l.print = f[1]
	if l.Made, err = parseNoteTime(f[2]); err != nil {
		return "", l, err
	}
	if f[3] != nothing {
		if l.Groups, err = ParseGroups(f[3]); err != nil {
			return "", l, err
		}
	}
	if f[4] != nothing {
		if len(f[4]) > maxToken || CheckName(f[4]) != nil {
			return "", l, errNote
		}
		l.Token = f[4]
	}
	if f[5] != nothing {
		if err := checkSecret(f[5]); err != nil {
			return "", l, err
		}
		l.Next = f[5]
	}
	if l.Ordered, err = parseNoteTime(f[6]); err != nil {
		return "", l, err
	}
	return f[0], l, nil
}

func parseNoteTime(s string) (time.Time, error) {
	if s == nothing {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if year := t.UTC().Year(); err != nil || year < 1 || year > 9999 || t.IsZero() { // else it could not be written again
		return t, fmt.Errorf("%s is not a time; %w", shown(s), errNote)
	}
	return t.UTC().Truncate(time.Second), nil
}

func (l *noteLine) append(b []byte, id string) []byte {
	field := func(s string) {
		if s == "" {
			s = nothing
		}
		b = append(append(b, ' '), s...)
	}
	at := func(t time.Time) {
		if t.IsZero() {
			field("")
			return
		}
		b = t.UTC().AppendFormat(append(b, ' '), time.RFC3339)
	}
	b = append(b, id...)
	field(l.print)
	at(l.Made)
	field(strings.Join(l.Groups, ","))
	field(l.Token)
	field(l.Next)
	at(l.Ordered)
	return append(b, '\n')
}

// text is the file, with what is noted of the agents of the set alone, in its order.
func (n *Notes) text(file string, s *Set) []byte {
	b := fmt.Appendf(nil, notesHead, file)
	for _, k := range s.Keys {
		print := printOf(k.Secret)
		if note := n.of(k, print); !note.empty() {
			l := noteLine{print, note}
			b = l.append(b, k.ID)
		}
	}
	return b
}

func (n *Note) empty() bool {
	return n.Made.IsZero() && len(n.Groups) == 0 && n.Token == "" && n.Next == ""
}

// Of is the note on an agent. What was noted of another KEY does not count, but for its groups. Where the next KEY is in
// the keys file already, a kill came before that could be noted.
func (n *Notes) Of(k Key) Note { return n.of(k, printOf(k.Secret)) }

// of is Of where it is known what tells the KEY.
func (n *Notes) of(k Key, print string) Note {
	l, has := n.lines[k.ID]
	switch {
	case !has:
		return Note{}
	case l.print == print:
		return l.Note
	case l.Next != "" && l.Next == k.Secret:
		return Note{Made: l.Ordered, Groups: l.Groups, Token: l.Token}
	}
	return Note{Groups: l.Groups}
}

func (n *Notes) set(k Key, note Note) {
	n.lines[k.ID] = noteLine{printOf(k.Secret), note}
	n.changed = true
}

// ParseGroups reads names of groups with commas between them; "" is none.
func ParseGroups(s string) ([]string, error) {
	if s == "" {
		return nil, nil
	}
	var groups []string
	for g := range strings.SplitSeq(s, ",") {
		ok := g != "" && len(g) <= maxGroup && len(groups) < maxGroups
		for _, c := range []byte(g) {
			ok = ok && (c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '.' || c == '_' || c == '-')
		}
		if !ok || g == nothing {
			return nil, fmt.Errorf("%s %w", shown(g), errGroup)
		}
		groups = append(groups, g)
	}
	slices.Sort(groups)
	return slices.Compact(groups), nil
}
