package proto

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestSplitMerged(t *testing.T) {
	t.Parallel()
	text := AppendPart(AppendPart([]byte("#group\n"), "a", []byte("!1 b\nx")), "b", nil)
	parts, err := SplitMerged(text)
	if err != nil || len(parts) != 2 || parts[0].Name != "a" || string(parts[0].Content) != "!1 b\nx" || parts[1].Name != "b" || len(parts[1].Content) != 0 {
		t.Errorf("%q: %q, %v", text, parts, err)
	}
	many := strings.Builder{}
	for i := range MaxMergedFiles + 1 {
		fmt.Fprintf(&many, "!0 f%d\n", i)
	}
	for name, text := range map[string]string{
		"group does not end":  "#default",
		"no mark":             "3 a\nxyz",
		"no size":             "! a\nxyz",
		"no name":             "!3\nxyz",
		"negative":            "!-3 a\nxyz",
		"no digits":           "!0x3 a\nxyz",
		"past the end":        "!4 a\nxyz",
		"huge":                "!99999999999999999999 a\nxyz",
		"rest":                "!3 a\nxyz\n",
		"line does not end":   "!3 " + strings.Repeat("a", 500),
		"begins with a blank": " 3 a\nxyz",
		"too many":            many.String(),
	} {
		if parts, err := SplitMerged([]byte(text)); !errors.Is(err, ErrMerged) || parts != nil {
			t.Errorf("%s: %q, %v", name, parts, err)
		}
	}
}

func TestChunks(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"", "x", strings.Repeat("x", 900), strings.Repeat("#!-", 700), strings.Repeat("x", 899) + "#!-#!-",
		strings.Repeat("a:b:", 700), strings.Repeat("x", 899) + "4:::::: and so on: "} {
		file := append([]byte("!"), content...)
		var all []byte
		for at := 0; at < len(file); {
			c := Chunk(file, at)
			if len(c) == 0 || len(c) > ChunkSize || IsControl(c) {
				t.Fatalf("%.20q: chunk %.20q of %d bytes", content, c, len(c))
			}
			if _, err := ParseEvent(bytes.Clone(c), OSSEC); err == nil {
				t.Fatalf("%.20q: chunk %.20q is an event", content, c)
			}
			all = append(all, c...)
			at += len(c)
		}
		if !bytes.Equal(all, file) {
			t.Errorf("%.20q: came out as %.20q", content, all)
		}
	}
}

// A file in which every place looks like an event's beginning goes in pieces of full length all the same.
func TestChunksOfColons(t *testing.T) {
	t.Parallel()
	file := []byte("!9999 colons\n" + strings.Repeat(":", 9999))
	pieces := 0
	for at := 0; at < len(file); at += len(Chunk(file, at)) {
		pieces++
	}
	if want := (len(file) + ChunkSize - 1) / ChunkSize; pieces != want {
		t.Errorf("%d pieces, want %d", pieces, want)
	}
}
