package syslog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func readAll(r io.Reader) (messages []string, err error) {
	f := NewFramer(r)
	for {
		m, err := f.Next()
		if len(m) > 0 {
			messages = append(messages, string(m))
		}
		if err != nil {
			return messages, err
		}
	}
}

var streams = []struct {
	name, stream string
	want         []string
	err          error
}{
	{"lines", "<13>one\n<13>two\n", []string{"<13>one", "<13>two"}, io.EOF},
	{"CR LF", "<13>one\r\n", []string{"<13>one\r"}, io.EOF}, // Strip takes it away
	{"NULs", "<13>one\x00<13>two\x00", []string{"<13>one", "<13>two"}, io.EOF},
	{"a last line without an end", "<13>one\n<13>tw", []string{"<13>one", "<13>tw"}, io.EOF},
	{"counts", "7 <13>one9 <13>a\nbc<13>line\n7 <13>two", []string{"<13>one", "<13>a\nbc<", "13>line", "<13>two"}, io.EOF},
	{"counts and newlines", "8 <13>one\n8 <13>two\n", []string{"<13>one\n", "<13>two\n"}, io.EOF},
	{"half a counted message", "7 <13>one7 <13>t", []string{"<13>one"}, io.EOF},
	{"half a count", "7 <13>one7", []string{"<13>one", "7"}, io.EOF},
	{"a line without a priority", "2026-11-23T09:42:24Z host app: x\n", []string{"2026-11-23T09:42:24Z host app: x"}, io.EOF},
	{"a line that begins with a number", "12 Nov 2026 host\n", []string{"12 Nov 2026 host"}, io.EOF},
	{"a count of nothing", "0 <13>one\n", []string{"0 <13>one"}, io.EOF},
	{"a count that is too high", "7 <13>one65537 <13>x", []string{"<13>one"}, ErrFrame},
	{"a count with too many digits", "1234567890 <13>x\n", []string{"1234567890 <13>x"}, io.EOF},
	{"the highest count", "65536 <" + strings.Repeat("x", MaxMessage-1) + "7 <13>one", []string{"<" + strings.Repeat("x", MaxMessage-1), "<13>one"}, io.EOF},
	{"a line that is too long", "<1>" + strings.Repeat("x", MaxMessage) + "7 <13>one\n<2>y\n", []string{"<1>" + strings.Repeat("x", MaxMessage-3), "xxx7 <13>one", "<2>y"}, io.EOF},
	{"nothing", "", nil, io.EOF},
	{"a mark before lines", "\ufeff<13>one\n<13>two\n", []string{"<13>one", "<13>two"}, io.EOF},
	{"a mark before counts", "\ufeff7 <13>one7 <13>two", []string{"<13>one", "<13>two"}, io.EOF},
	{"a mark later on", "<13>one\n\ufeff<13>two\n", []string{"<13>one", "\ufeff<13>two"}, io.EOF}, // Strip takes it away
	{"a mark alone", "\ufeff", nil, io.EOF},
	{"half a mark", "\xef\xbb", []string{"\xef\xbb"}, io.EOF},
	{"half a mark and a line", "\xef\xbbx\n", []string{"\xef\xbbx"}, io.EOF},
	{"empty lines", "\n\n\x00<13>one\n\n", []string{"<13>one"}, io.EOF},
}

func TestFrames(t *testing.T) {
	t.Parallel()
	for _, tt := range streams {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for how, r := range map[string]io.Reader{
				"at once": strings.NewReader(tt.stream), "byte by byte": iotest.OneByteReader(strings.NewReader(tt.stream)),
				"with its end": iotest.DataErrReader(strings.NewReader(tt.stream)), "in halves": iotest.HalfReader(strings.NewReader(tt.stream)),
			} {
				got, err := readAll(r)
				if !slices.Equal(got, tt.want) || !errors.Is(err, tt.err) {
					t.Errorf("%s: got %.200q, %v\nwant %.200q, %v", how, got, err, tt.want, tt.err)
				}
			}
		})
	}
}

func TestStrip(t *testing.T) {
	t.Parallel()
	tests := []struct{ message, want string }{
		{"<13>Nov 23 09:42:24 vm sshd: x", "Nov 23 09:42:24 vm sshd: x"},
		{"<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - BOM'su root' failed", "1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - BOM'su root' failed"},
		{"<0>x\r\n\x00", "x"},
		{"\ufeff<13>x\n", "x"},
		{"\ufeffx", "x"},
		{"<13>\ufeffx", "\ufeffx"},
		{"<191>x", "x"},
		{"<192>x", "<192>x"},
		{"<>x", "<>x"},
		{"<1", "<1"},
		{"<12345>x", "<12345>x"},
		{"<1a>x", "<1a>x"},
		{"<7>", ""},
		{"no priority <13>", "no priority <13>"},
		{"\n", ""},
		{"", ""},
	}
	for _, tt := range tests {
		if got := string(Strip([]byte(tt.message))); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.message, got, tt.want)
		}
	}
}

// However a stream is cut into reads, the messages are the same, none is too long, and memory is bounded.
func FuzzFrames(f *testing.F) {
	for _, s := range streams {
		f.Add([]byte(s.stream))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		whole, err := readAll(bytes.NewReader(stream))
		bytewise, err2 := readAll(iotest.OneByteReader(bytes.NewReader(stream)))
		if !slices.Equal(whole, bytewise) || fmt.Sprint(err) != fmt.Sprint(err2) {
			t.Fatalf("at once %.200q, %v; byte by byte %.200q, %v", whole, err, bytewise, err2)
		}
		for _, m := range whole {
			if len(m) > MaxMessage {
				t.Fatalf("a message of %d bytes", len(m))
			}
		}
	})
}

// A line that comes in small pieces is looked through once.
func BenchmarkFrames(b *testing.B) {
	stream := bytes.Repeat(append([]byte("<13>"), append(bytes.Repeat([]byte("x"), 196), '\n')...), 1000)
	b.ReportAllocs()
	b.SetBytes(int64(len(stream)))
	for b.Loop() {
		if _, err := readAll(bytes.NewReader(stream)); err != io.EOF {
			b.Fatal(err)
		}
	}
}
