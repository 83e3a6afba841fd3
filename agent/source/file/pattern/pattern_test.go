package pattern

import (
	"path/filepath"
	"testing"
)

func TestMatches(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pattern, path string
		want          bool
	}{
		{"/l/br[1].log", "/l/br[1].log", true},
		{"/l/br[1].log", "/l/br1.log", true},
		{"/l/br[1].log", "/l/br2.log", false},
		{"/l[1]/a*.log", "/l[1]/ab.log", true},
		{"/l[1]/a*.log", "/l1/ab.log", true},
		{"/l*/a[1].log", "/lx/a[1].log", true},
		{"/l/*.log", "/l/x/a.log", false},
		{"/l/*", "/l", false},
		{"/l", "/l/x", false},
		{"/l/a?", "/l/a?", true},
		{"/l/[^a].log", "/l/a.log", false},
		{"/l/a[[]b.log", "/l/a[b.log", true},
	} {
		if got := Match(filepath.FromSlash(tt.pattern), filepath.FromSlash(tt.path)); got != tt.want {
			t.Errorf("%s and %s: %v, want %v", tt.pattern, tt.path, got, tt.want)
		}
	}
}
