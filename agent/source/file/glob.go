package file

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// glob is a path or a pattern, cleaned. What is no good pattern is the name of a file that is there.
type glob struct {
	text      string
	ancestors []string // patterns of the directories above, the nearest first
}

func parseGlob(text string) (glob, error) {
	if text == "" {
		return glob{}, fmt.Errorf("empty path: give the path or glob of a file")
	}
	if _, err := filepath.Match(text, ""); err != nil && !isThere(text) {
		return glob{}, fmt.Errorf("glob %q: %w; close every [ and end no glob in \\, and write [[] for a [ that stands in the name itself", text, err)
	}
	g := glob{text: filepath.Clean(text)}
	for d := filepath.Dir(g.text); ; d = filepath.Dir(d) {
		g.ancestors = append(g.ancestors, d)
		if d == filepath.Dir(d) {
			return g, nil
		}
	}
}

// match says that the cleaned path is one of the glob's files.
func (g glob) match(path string) bool { return matches(g.text, path) }

// onTheWay says that path, as a directory, may hold files of the glob somewhere below it.
func (g glob) onTheWay(path string) bool {
	for _, a := range g.ancestors {
		if matches(a, path) {
			return true
		}
	}
	return false
}

// matches says that path is one of a pattern's, or what the pattern says as it stands: names with brackets are common on Windows.
// Each element is compared by itself, as the expander does.
func matches(pattern, path string) bool {
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

// expander finds the files of globs. visit is called for each directory before it is read; failed for each one
// that cannot be read though it is there.
type expander struct {
	visit  func(dir string)
	found  func(path string)
	failed func(dir string, err error)
}

// files finds the files of g, existing or, where the last element is no pattern, not.
func (x expander) files(g glob) {
	base := filepath.Base(g.text)
	for _, d := range x.dirs(filepath.Dir(g.text)) {
		x.visit(d)
		if !hasMeta(base) {
			x.found(filepath.Join(d, base))
			continue
		}
		for _, e := range x.list(d, base) {
			if !e.IsDir() {
				x.found(filepath.Join(d, e.Name()))
			}
		}
	}
}

// dirs gives the existing directories that a pattern stands for. On the way it visits those in which one may
// appear.
func (x expander) dirs(pattern string) []string {
	if !hasMeta(pattern) {
		for d := pattern; ; d = filepath.Dir(d) {
			if isDir(d) {
				if d == pattern {
					return []string{d}
				}
				x.visit(d)
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
		x.visit(d)
		if !hasMeta(base) {
			if sub := filepath.Join(d, base); isDir(sub) {
				all = append(all, sub)
			}
			continue
		}
		for _, e := range x.list(d, base) {
			sub := filepath.Join(d, e.Name())
			if e.IsDir() || e.Type()&os.ModeSymlink != 0 && isDir(sub) {
				all = append(all, sub)
			}
		}
	}
	return all
}

// list gives the entries of a directory that match a pattern, by name.
func (x expander) list(dir, pattern string) []os.DirEntry {
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		x.failed(dir, err)
	}
	n := 0
	for _, e := range entries {
		if matches(pattern, e.Name()) {
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

func isDir(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.IsDir()
}
