package shared

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ossecd/keys/durable"
	"ossecd/proto"
)

// ConfigName is the part whose sum agents report beside that of the merged file.
const ConfigName = "agent.conf"

// Sums are what an agent reports of its shared files: MD5s, empty where a file is missing.
type Sums struct{ Merged, Config string }

// Store is the directory of shared files. One goroutine at a time.
type Store struct{ dir string }

// Open returns the store in dir, made 0700 where it is missing.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("shared files: %w; make the state directory writable for this user", err)
	}
	return &Store{dir}, nil
}

// Sums reads the files and returns their sums. One that cannot be read counts as missing, so that it is pushed
// again.
func (s *Store) Sums() Sums {
	var sums Sums
	if data, err := s.read(proto.MergedName); err == nil {
		sums.Merged = sum(data)
	}
	if data, err := s.read(ConfigName); err == nil {
		sums.Config = sum(data)
	}
	return sums
}

func (s *Store) read(name string) ([]byte, error) {
	return durable.ReadIn(s.dir, name, proto.MaxPushed)
}

// Put stores a pushed file. The merged file is stored with all its parts, and what was a part of the one before
// and is none now is removed. refused are names of parts that were left out. On an error the sums may still be
// the old ones, so that the manager pushes again.
func (s *Store) Put(name string, data []byte) (refused []string, err error) {
	if !Allowed(name) {
		return nil, ErrName
	}
	if name != proto.MergedName {
		if err := s.room(name); err != nil {
			return nil, err
		}
		return nil, s.write(name, data)
	}
	parts, refused, err := split(data)
	if err != nil {
		return nil, err
	}
	var before []proto.Part
	if old, err := s.read(proto.MergedName); err == nil {
		before, _, _ = split(old)
	}
	stays := map[string]bool{} // in lower case: some file systems take both for one
	for _, p := range parts {
		stays[strings.ToLower(p.Name)] = true
		if err := s.write(p.Name, p.Content); err != nil {
			return refused, err
		}
	}
	for _, p := range before {
		if !stays[strings.ToLower(p.Name)] {
			if e := os.Remove(filepath.Join(s.dir, p.Name)); e != nil && !errors.Is(e, fs.ErrNotExist) {
				err = e
			}
		}
	}
	if err != nil {
		return refused, fmt.Errorf("shared files: %w; remove it by hand", err)
	}
	return refused, s.write(name, data) // last: its sum vouches for the parts
}

// maxStored is how many files there are at most: those of a merged one, and as many that were pushed one by one.
const maxStored = 2 * proto.MaxMergedFiles

// room says whether one more file, or a new version of one, can be stored.
func (s *Store) room(name string) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("shared files: %w; make the directory readable for this user", err)
	}
	for _, e := range entries {
		if e.Name() == name {
			return nil
		}
	}
	if len(entries) >= maxStored {
		return fmt.Errorf("%w: %s has %d; remove those that are no longer needed", ErrMany, s.dir, len(entries))
	}
	return nil
}

// write replaces one file. A new one gets the owner of the directory, which may be that of a stock agent, and can be read by its
// group. What is no regular file there, such as a link out of the directory, is replaced.
func (s *Store) write(name string, data []byte) error {
	path := filepath.Join(s.dir, name)
	info, err := os.Lstat(path)
	isNew := err != nil || !info.Mode().IsRegular()
	if err = durable.ReplaceFileIn(s.dir, name, data, 0o640); err == nil && isNew {
		err = durable.Give(s.dir, path)
	}
	if err != nil {
		return fmt.Errorf("shared files: %w; free space, let this user write to the directory, and move away what is no file there", err)
	}
	return nil
}
