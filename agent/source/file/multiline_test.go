package file

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// splitForm is splitIn for a form, without what stands at the end.
func splitForm(f form, data []byte, room int, lengths ...int) (events []string, ends []mark) {
	var at mark
	for _, n := range append(lengths, len(data)) {
		for {
			var b batch
			at = b.split(f, "f", data[at.off:max(n, int(at.off))], at, room)
			for _, e := range b.events {
				events = append(events, string(e.Message))
			}
			ends = append(ends, b.ends...)
			if len(b.events) == 0 {
				break
			}
		}
	}
	return events, ends
}

func TestMultiline(t *testing.T) {
	t.Parallel()
	f := form{start: regexp.MustCompile(`^\d+ `)}
	x := func(n int) string { return strings.Repeat("x", n) }
	for _, tt := range []struct {
		name, data string
		want       []string
	}{
		{"single lines", "1 a\n2 b\n3 c\n", []string{"1 a", "2 b"}}, // the last one may go on
		{"a trace", "1 a\n at b\n at c\n2 d\n", []string{"1 a\n at b\n at c"}},
		{"no start", " at b\n at c\n1 d\n", []string{" at b\n at c"}},
		{"empty lines", "1 a\n\n\n2 b\n", []string{"1 a\n\n"}},
		{"what does not fit", "1 a\n" + x(60) + "\n" + x(60) + "\n2 b\n", []string{"1 a\n" + x(60), x(60)}},
		{"a long line after a start", "1 a\n" + x(150) + "\n2 b\n", nil},
		{"just fits", "1 a\n" + x(minRoom-4) + "\n2 b\n", []string{"1 a\n" + x(minRoom-4)}},
		{"one too many", "1 a\n" + x(minRoom-3) + "\n2 b\n", []string{"1 a", x(minRoom - 3)}},
	} {
		got, _ := splitForm(f, []byte(tt.data), minRoom, len(tt.data))
		if tt.name == "a long line after a start" {
			if len(got) != 3 || got[0] != "1 a" || join(t, got[1:], minRoom) != x(150) {
				t.Errorf("%s: %q", tt.name, got)
			}
		} else if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		for step := range tt.data { // however it grew
			if grown, _ := splitForm(f, []byte(tt.data), minRoom, step); !slices.Equal(grown, got) {
				t.Errorf("%s, %d bytes first: %q, want %q", tt.name, step, grown, got)
			}
		}
	}
}

// The last event of a file ends with the next one, with a pause, or with the file.
func TestMultilineFiles(t *testing.T) {
	t.Parallel()
	r := newRig(t, "*.log")
	r.cfg.MultilineStart, r.cfg.MultilineTimeout = `^\d+ `, 300*time.Millisecond
	r.start()
	a := r.path("a.log")
	r.append("a.log", "1 error\n at one\n at two\n2 ok\n at thr")
	r.want(a, "1 error\n at one\n at two", "2 ok") // what has no newline waits for it
	r.append("a.log", "ee\n")
	r.want(a, "1 error\n at one\n at two", "2 ok", " at three")
	r.append("a.log", "3 last\n at four")
	r.rename("a.log", "a.log.1")
	r.append("a.log", "4 new\n5 newer\n")
	r.want(a, "1 error\n at one\n at two", "2 ok", " at three", "3 last\n at four", "4 new", "5 newer")
}

// An event that was not whole at a stop is whole after it.
func TestMultilineOverARestart(t *testing.T) {
	t.Parallel()
	r := newRig(t, "*.log")
	r.cfg.MultilineStart, r.cfg.MultilineTimeout = `^\d+ `, time.Hour
	r.start()
	r.append("a.log", "0 whole\n1 error\n at one\n")
	r.want(r.path("a.log"), "0 whole")
	r.stop()
	r.startOffline()
	r.append("a.log", " at two\n2 next\n")
	r.want(r.path("a.log"), "0 whole", "1 error\n at one\n at two")
}
