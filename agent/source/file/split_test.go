package file

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"ossecd/agent/source"
)

// join makes one line of its pieces, and fails where a mark is missing or a piece too large.
func join(t *testing.T, pieces []string, room int) string {
	t.Helper()
	var line strings.Builder
	for i, p := range pieces {
		if len(p) > room {
			t.Fatalf("piece %d has %d bytes, the room is %d", i, len(p), room)
		}
		ok := true
		if i > 0 {
			p, ok = strings.CutPrefix(p, source.Continued)
		}
		if ok && i < len(pieces)-1 {
			p, ok = strings.CutSuffix(p, source.Continues)
		}
		if !ok {
			t.Fatalf("piece %d of %d lacks a mark: %.60q…", i, len(pieces), p)
		}
		line.WriteString(p)
	}
	return line.String()
}

// splitIn splits a file that becomes visible up to each of the given lengths, then whole.
func splitIn(data []byte, room int, lengths ...int) (events []string, ends []mark) {
	var at mark
	for _, n := range append(lengths, len(data)) {
		for {
			var b batch
			to := b.split(form{}, "f", data[at.off:max(n, int(at.off))], at, room)
			for _, e := range b.events {
				events = append(events, string(e.Message))
			}
			ends = append(ends, b.ends...)
			at = to
			if len(b.events) == 0 {
				break
			}
		}
	}
	return events, ends
}

func TestSplit(t *testing.T) {
	t.Parallel()
	const room = minRoom
	x := func(n int) string { return strings.Repeat("x", n) }
	first, middle := room-len(source.Continues), room-len(source.Continues)-len(source.Continued)
	for _, test := range []struct {
		name string
		in   string
		want []string
	}{
		{"nothing", "", nil},
		{"no newline", "abc", nil},
		{"empty lines", "\n\n", []string{"", ""}},
		{"bytes are kept", "\x00\xff\n", []string{"\x00\xff"}},
		{"carriage returns", "a\r\n\r\nb\rc\r\r\n\r", []string{"a", "", "b\rc\r"}},
		{"just fits, with a carriage return", x(room) + "\r\n", []string{x(room)}},
		{"just fits, unfinished, with a carriage return", x(room) + "\r", nil},
		{"a carriage return that is text", x(room) + "\ry\n", []string{x(first) + source.Continues, source.Continued + x(room-first) + "\ry"}},
		{"pieces, with a carriage return", x(room+1) + "\r\n", []string{x(first) + source.Continues, source.Continued + x(room+1-first)}},
		{"just fits", x(room) + "\n", []string{x(room)}},
		{"just fits, unfinished", x(room), nil},
		{"one more", x(room+1) + "\n", []string{x(first) + source.Continues, source.Continued + x(room+1-first)}},
		{"one more, unfinished", x(room + 1), []string{x(first) + source.Continues}},
		{"three", x(first+middle+room) + "\na\n", []string{
			x(first) + source.Continues, source.Continued + x(middle) + source.Continues, source.Continued + x(middle) + source.Continues,
			source.Continued + x(room-middle), "a"}},
		{"at a character", x(first-1) + "é" + x(60) + "\n", []string{x(first-1) + source.Continues, source.Continued + "é" + x(60)}},
		{"no character near", x(first-3) + "\x80\x80\x80\x80\x80" + x(60) + "\n",
			[]string{x(first-3) + "\x80\x80\x80" + source.Continues, source.Continued + "\x80\x80" + x(60)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got, _ := splitIn([]byte(test.in), room); !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestSplitLosesNothing(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		room := minRoom + rnd.IntN(300)
		var line strings.Builder
		for n := rnd.IntN(5 * room); line.Len() < n; {
			line.WriteRune([]rune{'a', ' ', 'é', '€', '𝄞', 0, '\r'}[rnd.IntN(7)])
		}
		pieces, ends := splitIn([]byte(line.String()+"\r\n"), room)
		if got := join(t, pieces, room); got != line.String() {
			t.Fatalf("joined %q\nwant   %q", got, line.String())
		}
		for i, p := range pieces {
			if !utf8.ValidString(p) {
				t.Fatalf("a character was cut: %q", p)
			}
			if ends[i].mid != (i < len(pieces)-1) {
				t.Fatalf("piece %d of %d: mid line %v", i, len(pieces), ends[i].mid)
			}
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte("one\ntwo\n"), uint16(0), uint16(3), uint16(5))
	f.Add([]byte(strings.Repeat("é", 400)+"\nx\n"), uint16(9), uint16(130), uint16(131))
	f.Add([]byte("\n\n\x00\xff\r\n"), uint16(1000), uint16(0), uint16(1))
	f.Add([]byte(strings.Repeat("x", minRoom)+"\r\n"+strings.Repeat("x", minRoom)+"\ry\r\n"), uint16(0), uint16(minRoom+1), uint16(2*minRoom+3))
	f.Fuzz(func(t *testing.T, data []byte, more, a, b uint16) {
		room := minRoom + int(more%1000)
		want, ends := splitIn(data, room)
		cuts := []int{min(int(a), len(data)), min(int(b), len(data))}
		slices.Sort(cuts)
		if got, _ := splitIn(data, room, cuts...); !slices.Equal(got, want) {
			t.Fatalf("seen in parts %v:\n got %q\nwant %q", cuts, got, want)
		}
		// Every line, put together again, is what stands between two newlines.
		var lines, pieces []string
		for i, e := range want {
			pieces = append(pieces, e)
			if !ends[i].mid {
				lines = append(lines, join(t, pieces, room))
				pieces = nil
			}
		}
		whole := strings.Split(string(data), "\n")
		for i, line := range whole {
			whole[i] = strings.TrimSuffix(line, "\r")
		}
		if !slices.Equal(lines, whole[:len(whole)-1]) {
			t.Fatalf("lines %q\nof %q", lines, data)
		}
		// A restart after any event goes on with the same events.
		if len(want) > 0 {
			k := int(a) % len(want)
			var rest batch
			rest.split(form{}, "f", data[ends[k].off:], ends[k], room)
			for i, e := range rest.events {
				if string(e.Message) != want[k+1+i] {
					t.Fatalf("after event %d: %q, want %q", k, e.Message, want[k+1+i])
				}
			}
		}
	})
}

func FuzzPositions(f *testing.F) {
	full, err := positions{
		globs: []name{"/var/log/*.log", "b\xff"},
		files: []record{
			{path: "/var/log/a.log", id: identity{64513, 131}, reached: reached{pos: mark{90210, true}, print: fingerprintOf([]byte("head"))}},
			{path: "/c\xff", id: identity{1<<64 - 1, 0}},
		},
	}.appendTo(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(full)
	f.Add([]byte(`{"version":1,"globs":null,"files":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parsePositions(data)
		if err != nil {
			return
		}
		b, err := p.appendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parsePositions(b)
		if err != nil {
			t.Fatalf("written %q: %v", b, err)
		}
		if !slices.Equal(again.files, p.files) || !slices.Equal(again.globs, p.globs) {
			t.Fatalf("read   %+v\nagain  %+v", p, again)
		}
		if bytes.Equal(data, full) && len(p.files) != 2 {
			t.Fatalf("%d files, want 2", len(p.files))
		}
	})
}
