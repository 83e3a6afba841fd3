package collector

import (
	"errors"
	"strings"
)

// maxNested is how deep arrays, tables and dotted keys of a pushed file may be nested. The library's time grows with the square of it: a
// file of 25 KB could take ten seconds.
const maxNested = 16

var errNested = errors.New("its tables or keys are nested too deep; write them as plain tables [[agent.source]]")

// checkNested says whether a text that is to be TOML is nested too deep. What is no TOML may pass.
func checkNested(text string) error {
	depth, dots := 0, 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case '.':
			dots++
		case '\n':
			dots = 0
		case '#':
			i = endOf(text, i, "\n") - 1
		case '"', '\'':
			if triple := strings.Repeat(string(c), 3); strings.HasPrefix(text[i:], triple) {
				i = endOf(text, i+3, triple) + 2
				for n := 0; n < 2 && strings.HasPrefix(text[min(i+1, len(text)):], string(c)); n++ {
					i++ // belongs to the string
				}
			} else {
				i = endOf(text, i+1, string(c))
			}
		}
		if max(depth, dots) > maxNested {
			return errNested
		}
	}
	return nil
}

// endOf is where what ends a string or comment stands at or after i, or the end of the text. In strings in double quotes a backslash takes
// the next character's meaning.
func endOf(text string, i int, end string) int {
	for ; i < len(text); i++ {
		if strings.HasPrefix(text[i:], end) {
			return i
		}
		if text[i] == '\\' && end[0] == '"' {
			i++
		}
	}
	return len(text)
}
