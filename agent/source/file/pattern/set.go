package pattern

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Set says which paths are meant.
type Set struct {
	Patterns []Pattern
	Exclude  []Pattern
	Skip     func(path string) bool // leaves out further ones; may be nil
}

// ParseAll reads several; what says in errors what they are.
func ParseAll(what string, texts []string) (all []Pattern, _ error) {
	var errs []error
	for _, text := range texts {
		p, err := Parse(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
			continue
		}
		all = append(all, p)
	}
	return all, errors.Join(errs...)
}

// Match says that the cleaned path is meant.
func (s *Set) Match(path string) bool {
	return matchAny(s.Patterns, path) && !s.Excluded(path)
}

// Excluded says that a path is left out, whatever matches it.
func (s *Set) Excluded(path string) bool {
	return s.Skip != nil && s.Skip(path) || matchAny(s.Exclude, path)
}

// OnTheWay says that path, as a directory, may hold files that are meant somewhere below it.
func (s *Set) OnTheWay(path string) bool {
	return slices.ContainsFunc(s.Patterns, func(p Pattern) bool { return p.OnTheWay(path) })
}

// Unabsolute finds what an absolute path is called by the patterns, if by any.
func (s *Set) Unabsolute(path string) (string, bool) {
	if s.Match(path) {
		return path, true
	}
	wd, err := os.Getwd()
	if err != nil {
		return "", false
	}
	rel, err := filepath.Rel(wd, path)
	return rel, err == nil && s.Match(rel)
}

func matchAny(patterns []Pattern, path string) bool {
	return slices.ContainsFunc(patterns, func(p Pattern) bool { return p.Match(path) })
}

// Count counts the files that the set stands for at present, and names the patterns that stand for none. A file that two of them match
// counts once.
func (s *Set) Count() (files int, none []string) {
	seen := make(map[string]struct{})
	for _, p := range s.Patterns {
		matched := false
		Expander{
			Visit:  func(string) {},
			Failed: func(string, error) {}, // whoever follows them says so
			Found: func(path string) {
				path = filepath.Clean(path)
				if fi, err := os.Stat(path); s.Excluded(path) || err != nil || fi.IsDir() {
					return
				}
				matched = true
				seen[path] = struct{}{}
			},
		}.Files(p)
		if !matched {
			none = append(none, p.Text)
		}
	}
	return len(seen), none
}
