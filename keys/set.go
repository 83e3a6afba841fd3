package keys

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"ossecd/keys/marked"
	"ossecd/proto"
)

const (
	maxFile   = 64 << 20 // bytes of a keys file: some 500,000 agents
	maxFaults = 1 << 18  // in one file, so that reading what is no keys file at all needs no gigabytes
	minLine   = 11       // bytes of the shortest line, as in "1 ab any x"
	bom       = marked.Mark
)

// Set is the content of a keys file. But for the one of a File it never changes once made.
type Set struct {
	Keys    []Key    // of living agents, in the order of the file
	Removed []string // IDs that were in use and are not given out again
	byID    map[string]int
	lines   []int             // of each of Keys, from 1 on, as it was read
	next    map[string]string // KEY by ID, of agents that have a next one; what a Store reads
}

// ByID finds the key of an agent.
func (s *Set) ByID(id string) (Key, bool) {
	i, ok := s.byID[id]
	if !ok {
		return Key{}, false
	}
	return s.Keys[i], true
}

// Line is the line that Keys[i] was read from, from 1 on.
func (s *Set) Line(i int) int { return s.lines[i] }

// Next is the next key of an agent, where one is ordered (File.Rotate). It is known in the sets of a Store.
func (s *Set) Next(id string) (Key, bool) {
	secret, ok := s.next[id]
	k, living := s.ByID(id)
	k.Secret = secret
	return k, ok && living
}

// takeNext takes up what is noted of next keys.
func (s *Set) takeNext(n *Notes) {
	for _, k := range s.Keys {
		if n.lines[k.ID].Next == "" {
			continue
		}
		if next := n.Of(k).Next; next != "" {
			if s.next == nil {
				s.next = make(map[string]string)
			}
			s.next[k.ID] = next
		}
	}
}

// add puts a key into a set that is being made.
func (s *Set) add(k Key) {
	s.byID[k.ID] = len(s.Keys)
	s.Keys = append(s.Keys, k)
}

// Fault is what is wrong with a line of a keys file.
type Fault struct {
	File string
	Line int    // from 1 on
	ID   string // of the agent whose line it is, where that much can be read
	Kept bool   // the line was taken in spite of it
	Err  error
}

func (f Fault) Error() string { return fmt.Sprintf("%s:%d: %v", f.File, f.Line, f.Err) }

func (f Fault) Unwrap() error { return f.Err }

var (
	errCRLF      = errors.New("the line ends with CR LF; convert the file, as with: sed -i 's/\\r$//'")
	errBOM       = errors.New("the file begins with a byte order mark; save it without one")
	errControl   = errors.New("the line has a tab or another control character; put single blanks between the fields, or restore the file if it is damaged")
	errDuplicate = errors.New("is taken")

	// errNoKeysFile is about the content of a file: to read it again is of no use before it changes.
	errNoKeysFile = errors.New("this is not a keys file, or too large for one; name the right file with --keys")
)

// Load reads a keys file. The set has all lines that are right; the faults are all others. The error is for
// what kept the file from being read at all; fs.ErrNotExist among it.
func Load(path string) (*Set, []Fault, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("keys: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, nil, fmt.Errorf("keys: %s is a directory; name the file in it", path)
	}
	return Parse(f, filepath.Base(path))
}

// Parse reads what a keys file holds (docs/protocol.md, "client.keys"). file is its name, for the faults. A file of over
// 64 MB or with over 262,144 faults is an error.
func Parse(r io.Reader, file string) (*Set, []Fault, error) {
	text, err := readText(r, file)
	if err != nil {
		return nil, nil, err
	}
	return parse(text, file)
}

func readText(r io.Reader, file string) ([]byte, error) {
	// The size is asked for first: a file that is read by growing a buffer costs five times its size.
	var b bytes.Buffer
	if f, ok := r.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			b.Grow(int(min(info.Size(), maxFile)) + bytes.MinRead)
		}
	}
	if _, err := b.ReadFrom(io.LimitReader(r, maxFile+1)); err != nil {
		return nil, fmt.Errorf("keys: %s: %w", file, err)
	}
	text := b.Bytes()
	if len(text) > maxFile {
		return nil, fmt.Errorf("keys: %s has over %d MB: %w", file, maxFile>>20, errNoKeysFile)
	}
	return marked.UTF8(text), nil // a mark is told of
}

func parse(text []byte, file string) (*Set, []Fault, error) {
	n := min(bytes.Count(text, []byte("\n"))+1, len(text)/minLine)
	s := &Set{Keys: make([]Key, 0, n), lines: make([]int, 0, n), byID: make(map[string]int, n)}
	p := parser{set: s, file: file, byAddr: make(map[netip.Addr]int)}
	rest, marked := strings.CutPrefix(string(text), bom) // the keys are parts of one string
	if marked {
		p.n = 1
		p.fault(errBOM, "", true)
		p.n = 0
	}
	for rest != "" {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		p.n++
		p.line(line)
		if len(p.faults) > maxFaults {
			return nil, nil, fmt.Errorf("keys: %s has over %d faults: %w", file, maxFaults, errNoKeysFile)
		}
	}
	return s, p.faults, nil
}

// parser reads a file line by line.
type parser struct {
	set    *Set
	file   string
	n      int // of the line at hand
	faults []Fault
	byAddr map[netip.Addr]int // line of the key with that single address
}

func (p *parser) fault(err error, id string, kept bool) {
	p.faults = append(p.faults, Fault{File: p.file, Line: p.n, ID: id, Kept: kept, Err: err})
}

// trimCR takes off what is left of a line end of Windows.
func trimCR(line string) string { return strings.TrimSuffix(line, "\r") }

// lineID is the ID in front of a line, good or faulty or removed; empty where there is none.
func lineID(line string) string {
	id, _, _ := strings.Cut(trimCR(line), " ")
	if len(id) > proto.MaxIDLen || checkID(id) != nil {
		return ""
	}
	return id
}

func (p *parser) line(line string) {
	line, crlf := strings.CutSuffix(line, "\r")
	if line == "" || line[0] == '#' || line[0] == ' ' {
		return
	}
	id := lineID(line)
	_, rest, _ := strings.Cut(line, " ")
	if crlf {
		p.fault(errCRLF, id, true)
	}
	if id != "" && rest != "" && (rest[0] == '#' || rest[0] == '!') {
		p.set.Removed = append(p.set.Removed, id)
		return
	}
	for i := range len(line) {
		if line[i] < ' ' || line[i] == 0x7f {
			p.fault(errControl, id, false)
			return
		}
	}
	k, err := ParseLine(line)
	if err != nil {
		p.fault(err, id, false)
		return
	}
	if i, has := p.set.byID[k.ID]; has {
		p.fault(fmt.Errorf("the ID %s %w by line %d, which counts; give this agent another ID", k.ID, errDuplicate, p.set.lines[i]), k.ID, false)
		return
	}
	if ip, single := k.Address.Single(); single {
		if at := p.byAddr[ip]; at > 0 {
			p.fault(fmt.Errorf("the address %s %w by line %d, and agents with a single address are known by it alone; use any or a network for one of them",
				ip, errDuplicate, at), k.ID, false)
			return
		}
		p.byAddr[ip] = p.n
	}
	p.set.lines = append(p.set.lines, p.n)
	p.set.add(k)
}
