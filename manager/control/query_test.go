package control

import (
	"net/url"
	"strings"
	"testing"

	"ossecd/keys"
)

func TestParseQuery(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                  "",
		"state=connected&state=never":       "",
		"match=web*&sort=-missing&limit=10": "",
		"state=gone":                        "use connected, disconnected, never",
		"match=[":                           "not a pattern",
		"group=[":                           "group: ",
		"sort=size":                         "use channel, events",
		"sort=--id":                         "sort: ",
		"limit=-1":                          "must not be negative",
		"limit=x":                           "want a number",
		"match=a&match=b":                   "given twice",
		"colour=red":                        "no parameter",
	} {
		v, err := url.ParseQuery(text)
		if err != nil {
			t.Fatal(err)
		}
		q, err := parseQuery(v)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		if want == "" && q.values().Encode() != v.Encode() {
			t.Errorf("%s became %s", text, q.values().Encode())
		}
	}
}

func TestMatches(t *testing.T) {
	t.Parallel()
	k := keys.Key{ID: "007", Name: "web01"}
	for pattern, want := range map[string]bool{"web*": true, "web01": true, "007": true, "7": true, "00?": true, "web": false, "*1": true, "70": false} {
		if matches(pattern, k) != want {
			t.Errorf("%s: %v", pattern, !want)
		}
	}
}
