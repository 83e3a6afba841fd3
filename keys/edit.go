package keys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ossecd/keys/durable"
	"ossecd/proto"
)

// ErrNoAgent says that no living agent has the ID.
var ErrNoAgent = errors.New("no such agent")

// File is a keys file being changed. Lines that are not touched stay as they are, byte for byte.
type File struct {
	path    string
	lines   []string // without line ends
	set     *Set     // of the lines; changes with them
	changed bool
	taken   *taken // by lines and set; nil where it is to be made
	notes   *Notes
}

// Edit changes the keys file at path, or makes it (0600), by calling change. Other Edits wait meanwhile, until ctx ends; readers find
// the old file or the new. An existing file keeps its owner, group and mode. Where change returns an error, nothing is
// written. A file with faulty lines can be edited: they stay. What is noted beside the file (NotesPath) is written after it, so that
// a kill between the two can lose a note, and never leaves one of a key that is not there; see Notes.Of for a key's change.
func Edit(ctx context.Context, path string, change func(*File) error) (err error) {
	unlock, err := durable.LockFile(ctx, path)
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	defer unlock()
	text, err := readFile(path)
	if err != nil {
		return err
	}
	f := &File{path: path}
	if f.notes, err = LoadNotes(path); err != nil {
		return err
	}
	if f.set, _, err = parse(text, filepath.Base(path)); err != nil {
		return err
	}
	body, mark := strings.CutPrefix(string(text), bom)
	if body = strings.TrimSuffix(body, "\n"); body != "" {
		f.lines = strings.Split(body, "\n")
	}
	if err := change(f); err != nil {
		return err
	}
	if f.changed {
		if err := f.write(mark); err != nil {
			return err
		}
	}
	if !f.notes.changed {
		return nil
	}
	if err := durable.ReplaceFileLike(f.notes.path, path, f.notes.text(filepath.Base(path), f.set), 0o600); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	return nil
}

// write replaces the keys file.
func (f *File) write(mark bool) error {
	body := strings.Join(f.lines, "\n") + "\n"
	if mark {
		body = bom + body
	}
	if len(body) > maxFile {
		return fmt.Errorf("keys: %s would have over %d MB, and could not be read; remove lines that are no longer needed", f.path, maxFile>>20)
	}
	if err := durable.ReplaceFile(f.path, []byte(body), 0o600); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	return nil
}

// readFile is the text of the keys file, none where it is missing.
func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	defer file.Close()
	return readText(file, filepath.Base(path))
}

// Set is the content with the changes made so far. It changes with the next one, and is not to be kept.
func (f *File) Set() *Set { return f.set }

// Add makes a key for a new agent. Without an ID it gets the next after all that were ever used, 001 at least.
func (f *File) Add(name string, address Address, id string) (Key, error) {
	if id == "" {
		var err error
		if id, err = f.nextID(); err != nil {
			return Key{}, err
		}
	}
	k := Key{ID: id, Name: name, Address: address, Secret: NewSecret()}
	if err := f.insert(k); err != nil {
		return Key{}, err
	}
	f.notes.set(k, Note{Made: time.Now().UTC().Truncate(time.Second)})
	return k, nil
}

// Import adds a key made elsewhere.
func (f *File) Import(k Key) error { return f.insert(k) }

// Reserve sees to it that an ID, of an agent that was removed elsewhere, is never given out. One that is in use stays so.
func (f *File) Reserve(id string) {
	use := f.use()
	if _, has := use.lines[id]; has || CheckID(id) != nil {
		return
	}
	use.line(id, len(f.lines))
	f.lines = append(f.lines, id+" "+removedText)
	f.set.Removed = append(f.set.Removed, id)
	f.changed = true
}

func (f *File) insert(k Key) error {
	if _, err := ParseLine(k.Line()); err != nil {
		return err
	}
	use := f.use()
	if i, has := use.lines[k.ID]; has {
		if slices.Contains(f.set.Removed, k.ID) {
			return fmt.Errorf("the ID %s was removed and is never given out again; choose another", k.ID)
		}
		return fmt.Errorf("the ID %s %w by line %d of %s; choose another", k.ID, errDuplicate, i+1, f.path)
	}
	if id, has := use.names[k.Name]; has {
		return fmt.Errorf("the name %s %w by agent %s in %s; choose another, or remove that one first", k.Name, errDuplicate, id, f.path)
	}
	if ip, single := k.Address.Single(); single {
		if id, has := use.addrs[ip]; has {
			return fmt.Errorf("the address %s %w by agent %s in %s; agents with a single address are known by it alone: use any or a network",
				ip, errDuplicate, id, f.path)
		}
	}
	use.line(k.ID, len(f.lines))
	use.key(k)
	f.lines = append(f.lines, k.Line())
	f.set.add(k)
	f.changed = true
	return nil
}

// nextID is the number after the highest that any line has, in three digits or more.
func (f *File) nextID() (string, error) {
	highest := f.use().highest
	id := fmt.Sprintf("%03d", highest+1)
	if len(id) > proto.MaxIDLen {
		return "", fmt.Errorf("%s has the ID %d, and there is none after it; choose a free ID, as with --id", f.path, highest)
	}
	return id, nil
}

// Remove ends an agent: its line keeps the ID, so that it is not given out again, and loses everything else; so do
// faulty lines with that ID, which would come to life otherwise.
func (f *File) Remove(id string) (Key, error) {
	k, ok := f.set.ByID(id)
	if !ok {
		return Key{}, fmt.Errorf("%w: %q is not in %s; ossecd keygen list shows all", ErrNoAgent, id, f.path)
	}
	for i, line := range f.lines {
		if lineID(line) == id {
			f.lines[i] = id + " " + removedText
		}
	}
	f.set.remove(id)
	if _, has := f.notes.lines[id]; has {
		delete(f.notes.lines, id)
		f.notes.changed = true
	}
	f.taken = nil
	f.changed = true
	return k, nil
}

func (s *Set) remove(id string) {
	s.Keys = slices.Delete(s.Keys, s.byID[id], s.byID[id]+1)
	s.Removed = append(s.Removed, id)
	clear(s.byID)
	for i, k := range s.Keys {
		s.byID[k.ID] = i
	}
}

// removedText stands in place of name, address and key of a removed agent. The stock programs take a line whose
// name begins with "#" for a removed one.
const removedText = "#*#*#*#*#*#*#*#*#*#*#"
