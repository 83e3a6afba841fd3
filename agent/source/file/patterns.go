package file

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// patterns says which paths are followed.
type patterns struct {
	globs, exclude []glob
	compressed     bool // names of compressed files are not followed
}

func parseGlobs(what string, texts []string) (globs []glob, _ error) {
	var errs []error
	for _, text := range texts {
		g, err := parseGlob(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
			continue
		}
		globs = append(globs, g)
	}
	return globs, errors.Join(errs...)
}

func (p *patterns) match(path string) bool {
	return slices.ContainsFunc(p.globs, func(g glob) bool { return g.match(path) }) && !p.excluded(path)
}

func (p *patterns) excluded(path string) bool {
	return p.compressed && packedName(path) || slices.ContainsFunc(p.exclude, func(g glob) bool { return g.match(path) })
}

// onTheWay says that path, as a directory, may hold files of ours somewhere below it.
func (p *patterns) onTheWay(path string) bool {
	return slices.ContainsFunc(p.globs, func(g glob) bool { return g.onTheWay(path) })
}

// unabsolute finds what an absolute path is called by the globs, if by any.
func (p *patterns) unabsolute(path string) (string, bool) {
	if p.match(path) {
		return path, true
	}
	wd, err := os.Getwd()
	if err != nil {
		return "", false
	}
	rel, err := filepath.Rel(wd, path)
	return rel, err == nil && p.match(rel)
}

// absolute is the name of a path in the positions file, which must not depend on the working directory.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// Found counts the files that the globs stand for at present, and names the globs that stand for none. A file that two globs
// match counts once. It may be called while Run runs.
func (s *Source) Found() (files int, none []string) {
	seen := make(map[string]struct{})
	for _, g := range s.settings.patterns.globs {
		matched := false
		expander{
			visit:  func(string) {},
			failed: func(string, error) {}, // Run says so
			found: func(path string) {
				path = filepath.Clean(path)
				if fi, err := os.Stat(path); s.settings.patterns.excluded(path) || err != nil || fi.IsDir() {
					return
				}
				matched = true
				seen[path] = struct{}{}
			},
		}.files(g)
		if !matched {
			none = append(none, g.text)
		}
	}
	return len(seen), none
}
