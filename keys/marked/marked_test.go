package marked

import (
	"bytes"
	"testing"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, in, text, line string }{
		{"empty", "", "", ""},
		{"plain", "a\nb", "a\nb", "a"},
		{"Windows", "a\r\r\nb\r\n", "a\r\r\nb\r\n", "a\r"},
		{"marked", "\xef\xbb\xbfö\r\n", "ö\r\n", "ö"},
		{"mark alone", "\xef\xbb\xbf", "", ""},
		{"mark within", "a\xef\xbb\xbf", "a\xef\xbb\xbf", "a\xef\xbb\xbf"},
		{"little-endian", "\xff\xfea\x00\xf6\x00\r\x00\n\x00", "aö\r\n", "aö"},
		{"big-endian", "\xfe\xff\x00a\xd8\x3d\xde\x00\x00\n", "a😀\n", "a😀"},
		{"half a pair", "\xfe\xff\xd8\x3d\x00\n", "\ufffd\n", "\ufffd"},
		{"half a unit", "\xff\xfea\x00b", "a\ufffd", "a\ufffd"},
		{"bytes", "\xff\n", "\xff\n", "\xff"},
	} {
		if got := string(Text([]byte(tt.in))); got != tt.text {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.text)
		}
		if got := string(FirstLine([]byte(tt.in))); got != tt.line {
			t.Errorf("%s: first line %q, want %q", tt.name, got, tt.line)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add([]byte("\xff\xfea\x00\x3d\xd8\x00\xde\n\x00x"))
	f.Add([]byte("\xfe\xff\xd8\x3d\xd8\x3d\xde\x00"))
	f.Add([]byte("\xef\xbb\xbfa\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		out := UTF8(in)
		if wide := len(in) > 1 && (in[0] == 0xff && in[1] == 0xfe || in[0] == 0xfe && in[1] == 0xff); !wide {
			if !bytes.Equal(out, in) {
				t.Fatalf("%q became %q", in, out)
			}
		} else if !utf8.Valid(out) || !bytes.HasPrefix(out, []byte(Mark)) || len(out) > 3*len(in)/2+3 {
			t.Fatalf("%q became %q", in, out)
		}
		if line := FirstLine(in); bytes.IndexByte(line, '\n') >= 0 {
			t.Fatalf("line %q", line)
		}
	})
}
