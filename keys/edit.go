package keys

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gofrs/flock"

	"ossecd/keys/durable"
)

// ErrNoAgent says that no living agent has the ID.
var ErrNoAgent = errors.New("no such agent")

// File is a keys file being changed. Lines that are not touched stay as they are, byte for byte.
type File struct {
	path  string
	lines []string // without line ends
	set   *Set
}

// Edit changes the keys file at path, or makes it (0600), by calling change. Other Edits wait meanwhile; readers find
// the old file or the new. An existing file keeps its owner, group and mode. Where change returns an error, nothing is
// written. A file with faulty lines can be edited: they stay.
func Edit(path string, change func(*File) error) (err error) {
	lock := flock.New(path+".lock", flock.SetPermissions(0o600))
	if err := lock.Lock(); err != nil {
		return fmt.Errorf("keys: lock %s.lock: %w; the directory must exist and be writable", path, err)
	}
	defer lock.Unlock()
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keys: %w", err)
	}
	f := &File{path: path}
	if f.set, _, err = Parse(bytes.NewReader(text), filepath.Base(path)); err != nil {
		return err
	}
	if s := strings.TrimSuffix(string(text), "\n"); s != "" {
		f.lines = strings.Split(s, "\n")
	}
	before := len(f.lines)
	old := strings.Join(f.lines, "\n")
	if err := change(f); err != nil {
		return err
	}
	text = []byte(strings.Join(f.lines, "\n"))
	if len(f.lines) == before && string(text) == old {
		return nil
	}
	if err := durable.ReplaceFile(path, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	return nil
}

// Set is the content as it was when the edit began.
func (f *File) Set() *Set { return f.set }

// Add makes a key for a new agent. Without an ID it gets the next after all that were ever used, 001 at least.
func (f *File) Add(name string, address Address, id string) (Key, error) {
	if id == "" {
		id = f.nextID()
	}
	k := Key{ID: id, Name: name, Address: address, Secret: NewSecret()}
	return k, f.insert(k)
}

// Import adds a key made elsewhere.
func (f *File) Import(k Key) error { return f.insert(k) }

func (f *File) insert(k Key) error {
	if _, err := ParseLine(k.Line()); err != nil {
		return err
	}
	for _, id := range f.set.Removed {
		if id == k.ID {
			return fmt.Errorf("the ID %s was removed and is never given out again; choose another", k.ID)
		}
	}
	mine, single := k.Address.Single()
	for _, old := range f.set.Keys {
		his, singleToo := old.Address.Single()
		switch {
		case old.ID == k.ID:
			return fmt.Errorf("the ID %s %w by %s in %s; choose another, or remove that one first", k.ID, errDuplicate, old.Name, f.path)
		case old.Name == k.Name:
			return fmt.Errorf("the name %s %w by agent %s in %s; choose another, or remove that one first", k.Name, errDuplicate, old.ID, f.path)
		case single && singleToo && mine == his:
			return fmt.Errorf("the address %s %w by agent %s in %s; agents with a single address are known by it alone: use any or a network",
				mine, errDuplicate, old.ID, f.path)
		}
	}
	f.lines = append(f.lines, k.Line())
	f.set = f.set.with(k)
	return nil
}

// with is the set and one key more.
func (s *Set) with(k Key) *Set {
	n := &Set{Keys: append(s.Keys[:len(s.Keys):len(s.Keys)], k), Removed: s.Removed, byID: make(map[string]int, len(s.Keys)+1)}
	for i := range n.Keys {
		n.byID[n.Keys[i].ID] = i
	}
	return n
}

// nextID is the number after the highest that any line has, in three digits or more.
func (f *File) nextID() string {
	highest := 0
	for _, line := range f.lines {
		id, _, _ := strings.Cut(strings.TrimRight(line, "\r"), " ")
		if n, err := strconv.Atoi(id); err == nil && checkID(id) == nil {
			highest = max(highest, n)
		}
	}
	return fmt.Sprintf("%03d", highest+1)
}

// Remove ends an agent: its line keeps the ID, so that it is not given out again, and loses everything else.
func (f *File) Remove(id string) (Key, error) {
	k, ok := f.set.ByID(id)
	if !ok {
		return Key{}, fmt.Errorf("%w: %.32q is not in %s; ossecd keygen list shows all", ErrNoAgent, id, f.path)
	}
	for i, line := range f.lines {
		if strings.HasPrefix(line, id+" ") {
			if _, err := ParseLine(strings.TrimSuffix(line, "\r")); err == nil {
				f.lines[i] = id + " " + removedText
			}
		}
	}
	return k, nil
}

// removedText stands in place of name, address and key of a removed agent. The stock programs take a line whose
// name begins with "#" for a removed one.
const removedText = "#*#*#*#*#*#*#*#*#*#*#"
