package sink

import (
	"path/filepath"
	"testing"
)

func TestPlaces(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"nats-2", "to nats", "../x", "=20", "\xff\x00", "a.b"} {
		if got, ok := NameOf(PlaceOf(name)); got != name || !ok || filepath.Base(PlaceOf(name)) != PlaceOf(name) {
			t.Errorf("%q became %q, and that %q, %v", name, PlaceOf(name), got, ok)
		}
	}
	for _, dir := range []string{"lost+found", "a=", "a=2", "a=zz", "=61", "a b", "=2F"} {
		if got, ok := NameOf(dir); ok {
			t.Errorf("%q is that of %q", dir, got)
		}
	}
}
