// Package pattern finds the files that paths and patterns of paths stand for.
package pattern

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Pattern is a path or a pattern of paths. What is no good pattern is the name of a file that is there.
type Pattern struct {
	Text      string   // cleaned
	ancestors []string // patterns of the directories above, the nearest first
}

// Parse reads a path, or a pattern in the syntax of path/filepath.Match.
func Parse(text string) (Pattern, error) {
	if text == "" {
		return Pattern{}, fmt.Errorf("empty path: give the path or glob of a file")
	}
	if _, err := filepath.Match(text, ""); err != nil && !isThere(text) {
		return Pattern{}, fmt.Errorf("glob %q: %w; close every [ and end no glob in \\, and write [[] for a [ that stands in the name itself", text, err)
	}
	p := Pattern{Text: filepath.Clean(text)}
	for d := filepath.Dir(p.Text); ; d = filepath.Dir(d) {
		p.ancestors = append(p.ancestors, d)
		if d == filepath.Dir(d) {
			return p, nil
		}
	}
}

// Match says that the cleaned path is one of the pattern's files.
func (p Pattern) Match(path string) bool { return Match(p.Text, path) }

// OnTheWay says that path, as a directory, may hold files of the pattern somewhere below it.
func (p Pattern) OnTheWay(path string) bool {
	for _, a := range p.ancestors {
		if Match(a, path) {
			return true
		}
	}
	return false
}

// Match says that path is one of a pattern's, or what the pattern says as it stands: names with brackets are common on Windows.
// Each element is compared by itself, as an Expander does.
func Match(pattern, path string) bool {
	if pattern == path {
		return true
	}
	for more := true; more; {
		var one, name string
		var moreNames bool
		one, pattern, more = strings.Cut(pattern, string(filepath.Separator))
		name, path, moreNames = strings.Cut(path, string(filepath.Separator))
		if ok, err := filepath.Match(one, name); more != moreNames || one != name && (!ok || err != nil) {
			return false
		}
	}
	return true
}

func hasMeta(s string) bool {
	if runtime.GOOS == "windows" {
		return strings.ContainsAny(s, `*?[`)
	}
	return strings.ContainsAny(s, `*?[\`)
}

// Expander finds the files of patterns. Visit is called for each directory before it is read; Failed for each one
// that cannot be read though it is there.
type Expander struct {
	Visit  func(dir string)
	Found  func(path string)
	Failed func(dir string, err error)
}

// Files finds the files of p, existing or, where the last element is no pattern, not.
func (x Expander) Files(p Pattern) {
	base := filepath.Base(p.Text)
	for _, d := range x.dirs(filepath.Dir(p.Text)) {
		x.Visit(d)
		if !hasMeta(base) {
			x.Found(filepath.Join(d, base))
			continue
		}
		for _, e := range x.list(d, base) {
			if !e.IsDir() {
				x.Found(filepath.Join(d, e.Name()))
			}
		}
	}
}

// dirs gives the existing directories that a pattern stands for. On the way it visits those in which one may
// appear.
func (x Expander) dirs(pattern string) []string {
	if !hasMeta(pattern) {
		for d := pattern; ; d = filepath.Dir(d) {
			if IsDir(d) {
				if d == pattern {
					return []string{d}
				}
				x.Visit(d)
				return nil
			}
			if d == filepath.Dir(d) {
				return nil
			}
		}
	}
	var all []string
	base := filepath.Base(pattern)
	for _, d := range x.dirs(filepath.Dir(pattern)) {
		x.Visit(d)
		if !hasMeta(base) {
			if sub := filepath.Join(d, base); IsDir(sub) {
				all = append(all, sub)
			}
			continue
		}
		for _, e := range x.list(d, base) {
			sub := filepath.Join(d, e.Name())
			if e.IsDir() || e.Type()&os.ModeSymlink != 0 && IsDir(sub) {
				all = append(all, sub)
			}
		}
	}
	return all
}

// list gives the entries of a directory that match a pattern, by name.
func (x Expander) list(dir, pattern string) []os.DirEntry {
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		x.Failed(dir, err)
	}
	n := 0
	for _, e := range entries {
		if Match(pattern, e.Name()) {
			entries[n] = e
			n++
		}
	}
	return entries[:n]
}

func isThere(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// IsDir says that path is a directory, or a link to one.
func IsDir(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.IsDir()
}
