package file

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// wide writes text in UTF-16.
func wide(order binary.AppendByteOrder, text string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(text)) {
		b = order.AppendUint16(b, u)
	}
	return b
}

func TestCodings(t *testing.T) {
	t.Parallel()
	const text = "first größe\nsecond 😀 ਊ\n\nਊ਀last\n"
	want := []string{"first größe", "second 😀 ਊ", "", "ਊ਀last"}
	for _, tt := range []struct {
		name, encoding string
		data           []byte
		want           []string
	}{
		{"utf-8", "utf-8", []byte(text), want},
		{"as it is", "", []byte("\xff\n"), []string{"\xff"}},
		{"utf-16le", "utf-16le", wide(binary.LittleEndian, text), want},
		{"utf-16be", "utf-16be", wide(binary.BigEndian, text), want},
		{"utf-16be, ends of Windows", "utf-16be", wide(binary.BigEndian, strings.ReplaceAll(text, "\n", "\r\n")), want},
		{"carriage returns", "utf-16le", wide(binary.LittleEndian, "a\rb\r\r\n\r\nഊ\n"), []string{"a\rb\r", "", "ഊ"}},
		{"unmarked", "utf-16", wide(binary.LittleEndian, text), want},
		{"half a pair", "utf-16be", []byte{0xd8, 0x3d, 0, 'x', 0, '\n'}, []string{"\ufffdx"}},
		{"latin-1", "latin-1", []byte("gr\xf6\xdfe\n\xff\n"), []string{"größe", "ÿ"}},
	} {
		c, err := parseCoding(tt.encoding)
		if err != nil {
			t.Fatal(err)
		}
		f := form{coding: c.of(tt.data)}
		for _, room := range []int{minRoom, 6000} {
			for step := 1; step < len(tt.data)+1; step++ {
				if got, _ := splitForm(f, tt.data, room, step, len(tt.data)); !slices.Equal(got, tt.want) {
					t.Fatalf("%s, %d bytes first: %q, want %q", tt.name, step, got, tt.want)
				}
			}
		}
	}
	if _, err := parseCoding("utf-32"); err == nil || !strings.HasPrefix(err.Error(), "encoding: ") {
		t.Errorf("utf-32: %v", err)
	}
}

// A long line becomes pieces that fit, cut between characters, however it grew.
func TestLongLinesOfOtherCodings(t *testing.T) {
	t.Parallel()
	line := strings.Repeat("aਊ😀ö", 200)
	for name, tt := range map[string]struct {
		f    form
		data []byte
		line string
	}{
		"utf-16": {form{coding: utf16be}, wide(binary.BigEndian, line+"\n"), line},
		"latin1": {form{coding: latin1}, []byte(strings.Repeat("\xf6", 500) + "\n"), strings.Repeat("ö", 500)},
	} {
		whole, _ := splitForm(tt.f, tt.data, minRoom, len(tt.data))
		if got := join(t, whole, minRoom); got != tt.line || len(whole) < 3 {
			t.Errorf("%s: %d pieces: %.200q", name, len(whole), got)
		}
		for step := 1; step < len(tt.data); step += 7 {
			if got, _ := splitForm(tt.f, tt.data, minRoom, step, len(tt.data)); !slices.Equal(got, whole) {
				t.Fatalf("%s: %d bytes first: other pieces", name, step)
			}
		}
	}
}

// A line that just fits is one event with either line end, however it grew.
func TestLineEndsAtTheLimit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]coding{"utf-16": utf16le, "latin1": latin1} {
		encode := func(s string) []byte {
			if c == latin1 {
				return []byte(s)
			}
			return wide(binary.LittleEndian, s)
		}
		line := strings.Repeat("x", c.fit(minRoom)/c.unit())
		for _, data := range [][]byte{encode(line + "\nnext\n"), encode(line + "\r\nnext\r\n")} {
			for step := 1; step < len(data); step++ {
				if got, _ := splitForm(form{coding: c}, data, minRoom, step, len(data)); !slices.Equal(got, []string{line, "next"}) {
					t.Fatalf("%s: %d bytes first: %q", name, step, got)
				}
			}
		}
		if got, _ := splitForm(form{coding: c}, encode(line+"\rx\n"), minRoom); len(got) != 2 || join(t, got, minRoom) != line+"\rx" {
			t.Errorf("%s: a carriage return that is text: %q", name, got)
		}
	}
}

func TestEncodedFiles(t *testing.T) {
	t.Parallel()
	r := newRig(t, "*.log")
	r.cfg.Encoding = "utf-16"
	r.append("old.log", string(wide(binary.BigEndian, "\ufeffold\nhalf")))
	r.start()
	r.append("old.log", string(wide(binary.BigEndian, " a line\n")))
	r.want(r.path("old.log"), "half a line")
	r.append("new.log", "\xff")
	r.append("new.log", "\xfe"+string(wide(binary.LittleEndian, "größe\nmore\n")))
	r.want(r.path("new.log"), "größe", "more")
}

// What stands at the end of a file without a line end fits, whatever it ends in.
func TestUnfinishedFits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		c     coding
		char  string
		tails []string
	}{
		{plain, "x", []string{"", "\r"}},
		{latin1, "\xf6", []string{"", "\r"}},
		{utf16le, "ਊ", []string{"", "\n", "\r\x00", "\r\x00\n"}},
	} {
		char := tt.char
		if tt.c == utf16le {
			char = string(wide(binary.LittleEndian, char))
		}
		for _, tail := range tt.tails {
			for n := range minRoom + 2 {
				data := []byte(strings.Repeat(char, n) + tail)
				var b batch
				if b.split(form{coding: tt.c}, "f", data, mark{}, minRoom); len(b.events) > 0 {
					break
				}
				b.add(form{coding: tt.c}, "f", data, mark{}, 0)
				if got := len(b.events[0].Message); got > minRoom {
					t.Errorf("coding %d, %d characters and %q: %d bytes, the room is %d", tt.c, n, tail, got, minRoom)
				}
			}
		}
	}
}
