package file

import (
	"os"
	"path/filepath"
	"slices"
)

// Found counts the files that the globs stand for at present, and names the globs that stand for none. A file that two globs
// match counts once. It may be called while Run runs.
func (s *Source) Found() (files int, none []string) {
	seen := make(map[string]struct{})
	for _, g := range s.globs {
		matched := false
		expander{
			visit:  func(string) {},
			failed: func(string, error) {}, // Run says so
			found: func(path string) {
				path = filepath.Clean(path)
				if s.cfg.Compressed && packedName(path) || slices.ContainsFunc(s.exclude, func(x glob) bool { return x.match(path) }) {
					return
				}
				if fi, err := os.Stat(path); err != nil || fi.IsDir() {
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
