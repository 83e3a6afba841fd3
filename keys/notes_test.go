package keys

import (
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var noteTime = time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)

func TestNotesReadBack(t *testing.T) {
	t.Parallel()
	k := Key{ID: "001", Name: "web01", Address: Any, Secret: "abc"}
	for name, want := range map[string]Note{
		"all":    {noteTime, []string{"db", "web"}, "3f2a90c1", "next", noteTime.Add(time.Hour)},
		"made":   {Made: noteTime},
		"groups": {Groups: []string{"web"}},
		"next":   {Next: "next", Ordered: noteTime},
	} {
		n := &Notes{lines: make(map[string]noteLine)}
		n.set(k, want)
		text := n.text("client.keys", &Set{Keys: []Key{k}})
		back := &Notes{lines: make(map[string]noteLine)}
		if err := back.parse(string(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := back.Of(k); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}

func TestNotesOfAnotherKey(t *testing.T) {
	t.Parallel()
	k := Key{ID: "001", Name: "web01", Address: Any, Secret: "old"}
	n := &Notes{lines: make(map[string]noteLine)}
	n.set(k, Note{noteTime, []string{"web"}, "tok1", "new", noteTime.Add(time.Hour)})
	for secret, want := range map[string]Note{
		"new":   {Made: noteTime.Add(time.Hour), Groups: []string{"web"}, Token: "tok1"},
		"other": {Groups: []string{"web"}},
	} {
		k.Secret = secret
		if got := n.Of(k); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", secret, got, want)
		}
	}
}

func TestNotesRefused(t *testing.T) {
	t.Parallel()
	const good = "001 0123456789abcdef - - - - -"
	for name, text := range map[string]string{
		"fields": "001 0123456789abcdef - - - -", "ID": "x" + good[1:], "print": "001 0123 - - - - -", "time": strings.Replace(good, " - -", " today -", 1),
		"far time": strings.Replace(good, " - -", " 9999-12-31T23:59:59-01:00 -", 1), "groups": "001 0123456789abcdef - a,,b - - -",
		"token": "001 0123456789abcdef - - \x1b[2J - -", "next": "001 0123456789abcdef - - - \x7f -", "twice": good + "\n" + good,
		"long": "001 0123456789abcdef - - - " + strings.Repeat("a", maxLine) + " -",
	} {
		n := &Notes{path: "client.keys.notes", lines: make(map[string]noteLine)}
		err := n.parse(text)
		if err == nil || !strings.Contains(err.Error(), "client.keys.notes:") {
			t.Errorf("%s: got %v", name, err)
			continue
		}
		if strings.ContainsAny(err.Error(), "\x1b\x7f") {
			t.Errorf("%s: the error is not fit for a terminal: %q", name, err)
		}
	}
}

func FuzzNotes(f *testing.F) {
	f.Add("001 0123456789abcdef 2026-11-23T06:00:00Z a,b 3f2a90c1 next 2026-11-23T07:00:00Z\n")
	f.Add("# x\n\n001 0123456789abcdef - - - - -\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		n := &Notes{lines: make(map[string]noteLine)}
		if n.parse(text) != nil {
			return
		}
		for id, l := range n.lines {
			back := &Notes{lines: make(map[string]noteLine)}
			if err := back.parse(string(l.append(nil, id))); err != nil || !reflect.DeepEqual(back.lines[id], l) {
				t.Errorf("%q: %v, %+v is not %+v", text, err, back.lines[id], l)
			}
		}
	})
}

func TestNotesMode(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "client.keys")
	if err := os.WriteFile(path, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	os.Chmod(path, 0o644)
	err := Edit(t.Context(), path, func(f *File) error { _, err := f.Add("web01", Any, ""); return err })
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(NotesPath(path))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := info.Mode().Perm(), os.FileMode(0o640); got != want && os.PathSeparator == '/' {
		t.Errorf("got the mode %o, want %o", got, want)
	}
}

// TestPromoteInterrupted enumerates what a kill leaves of a change of keys: each write may be the last.
func TestPromoteInterrupted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "client.keys")
	edit := func(change func(*File) error) {
		t.Helper()
		if err := Edit(t.Context(), path, change); err != nil {
			t.Fatal(err)
		}
	}
	var old, next Key
	edit(func(f *File) (err error) { old, err = f.Add("web01", Any, ""); return err })
	edit(func(f *File) (err error) { next, _, err = f.Rotate(old.ID, noteTime); return err })
	good := func(step string, want ...Key) {
		t.Helper()
		s, err := OpenStore(path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		k, _ := s.Load().ByID("001")
		n, has := s.Load().Next("001")
		if got := []Key{k, n}[:1+btoi(has)]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %d keys, want %d, or others", step, len(got), len(want))
		}
	}
	good("ordered", old, next)
	ordered, err := os.ReadFile(NotesPath(path))
	if err != nil {
		t.Fatal(err)
	}
	edit(func(f *File) error { return f.Promote(next) })
	good("done", next)
	if err := os.WriteFile(NotesPath(path), ordered, 0o600); err != nil { // killed before the notes were written
		t.Fatal(err)
	}
	good("killed between the files", next)
	edit(func(f *File) error { return f.Promote(next) })
	edit(func(f *File) error { return f.SetGroups("001", []string{"web"}) })
	good("changed after it", next)
	n, err := LoadNotes(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := n.Of(next); !got.Made.Equal(noteTime) || got.Next != "" {
		t.Errorf("got %+v", got)
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
