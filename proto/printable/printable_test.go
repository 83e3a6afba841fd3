package printable

import (
	"bytes"
	"encoding/json"
	"testing"
)

const hostile = "a\x1b[31m\u009b2J\x7f\u202eb\u2066c\u2028d\u2029\u200e\U000e0041\r"

func TestText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain":          "plain",
		"two\nlines":     "two\nlines",
		"größer – 日本":    "größer – 日本",
		"\x1b[31mred\r":  `\x1b[31mred\r`,
		"\u009b \u202e":  `\u009b \u202e`,
		"bad \xff\xfe.":  `bad \xff\xfe.`,
		"real \ufffd \t": `real ` + "\ufffd" + ` \t`,
		"\u2028\u2069":   `\u2028\u2069`,
	} {
		if got := Text(in); got != want {
			t.Errorf("Text(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSteers(t *testing.T) {
	t.Parallel()
	for _, r := range "\x00\x1b\n\x7f\u0080\u009b\u009f\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069" {
		if !Steers(r) {
			t.Errorf("%U passes", r)
		}
	}
	for _, r := range " aé\u00a0\u2027\u202f\u2065\u206a\u200d日\ufffd\U0001f600" {
		if Steers(r) {
			t.Errorf("%U does not pass", r)
		}
	}
}

// However the text is cut into writes, no steering character and no bad byte passes, and JSON stays the same data.
func TestWriter(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(hostile + "日本 \U0001f600")
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1, 2, 3, 5, 1000} {
		var out bytes.Buffer
		w := NewWriter(&out)
		for rest := append(text, '\n'); len(rest) > 0; {
			n := min(size, len(rest))
			if done, err := w.Write(rest[:n]); done != n || err != nil {
				t.Fatalf("%d of %d written, %v", done, n, err)
			}
			rest = rest[n:]
		}
		for _, r := range out.String() {
			if Steers(r) && r != '\n' {
				t.Errorf("%U passed", r)
			}
		}
		var got string
		if err := json.Unmarshal(out.Bytes(), &got); err != nil || got != hostile+"日本 \U0001f600" {
			t.Errorf("in pieces of %d: %q, %v", size, got, err)
		}
	}
	var out bytes.Buffer
	NewWriter(&out).Write([]byte("a\x9b31m\xc2.\tb\n"))
	if got, want := out.String(), `a\x9b31m\xc2.`+"\tb\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
