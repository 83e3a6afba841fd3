// Package setting is about settings as people write them, in flags and in tables of the configuration: sizes with a unit, and
// what is said about a name that is not known.
package setting

import (
	"cmp"
	"slices"
	"strings"

	"github.com/xrash/smetrics"
)

const maxWord = 100 // bytes of a word that are compared

// Close is the known word that somebody most likely meant, if one is close enough: about a third of the letters differ at most.
func Close(word string, known []string) (string, bool) {
	if len(known) == 0 {
		return "", false
	}
	word = word[:min(len(word), maxWord)]
	distance := func(k string) int { return smetrics.WagnerFischer(word, k, 1, 1, 1) }
	best := slices.MinFunc(known, func(a, b string) int { return cmp.Or(cmp.Compare(distance(a), distance(b)), cmp.Compare(a, b)) })
	d := distance(best)
	return best, d < len(word) && d <= max(1, (len(word)+1)/3)
}

// Instead is the remedy for an unknown word: the close one, or all that are known. before and after stand around each.
func Instead(word string, known []string, before, after string) string {
	if best, ok := Close(word, known); ok {
		return "did you mean " + before + best + after + "?"
	}
	all := slices.Sorted(slices.Values(known))
	for i, k := range all {
		all[i] = before + k + after
	}
	return "use " + strings.Join(slices.Compact(all), ", ")
}
